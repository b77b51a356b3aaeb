//! Slowing down who brings bad evidence again and again (threat 83), in bounded memory, of one worker.
//!
//! What counts is the address that the proxy itself sees (IPv6 by its /64). Over [`MOST`] failures, of which
//! [`FORGIVEN`] a second are forgiven, only one in [`ONE_IN`] of its requests with evidence that is not remembered is looked at; the others get a
//! 429 at once. So whoever shares the address comes through with a few tries and nobody is locked out; who was let in before is not
//! slowed at all, since what is remembered is not asked here. Names of users play no part.
//!
//! Proofs of a key are checked with each use, also of what is remembered: their failures count for the address together with
//! the key that the token is bound to. Who tries a token that is not theirs slows nobody but those who use the same one from the same
//! address.

use carded_verifier::{Code, Denied, Timestamp};
use std::net::{IpAddr, SocketAddr};

/// So many failures are met as they come.
const MOST: u16 = 100;
/// So many are forgiven in a second.
const FORGIVEN: u16 = 10;
/// No more than this are remembered: a source is slowed for at most a minute after its last one.
const HIGHEST: u16 = 700;
/// The share that is looked at of a source that is slowed.
pub(super) const ONE_IN: u8 = 8;
/// How many sources are watched at once.
const SOURCES: usize = 4096;

/// What the proxy calls the peer's address.
pub(super) const ADDRESS: &str = "source.address";

/// The failures of the sources that are watched.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Empty until somebody fails.
    sources: Vec<Source>,
    /// Until when somebody may be slowed.
    until: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    key: u64,
    level: u16,
    turn: u8,
    at: Timestamp,
}

impl Source {
    /// What is left of its failures.
    fn level(&self, now: Timestamp) -> u16 {
        let forgiven = now.saturating_since(self.at).as_secs().saturating_mul(FORGIVEN.into());
        self.level.saturating_sub(u16::try_from(forgiven).unwrap_or(u16::MAX))
    }
}

impl Failures {
    /// Whether evidence that is not remembered is not looked at now. Nothing is read while nobody is slowed.
    /// `about`: what is tried, where that is one thing (see [`about`]); else 0.
    pub(super) fn slows(
        &mut self,
        connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
        about: u64,
        now: Timestamp,
    ) -> bool {
        if self.until.is_none_or(|until| until <= now) {
            return false;
        }
        let Some(key) = key(connection).map(|key| key ^ about) else { return false };
        let Some(source) = self.sources.get_mut(place(key)).filter(|source| source.key == key) else { return false };
        if source.level(now) <= MOST {
            return false;
        }
        source.turn = source.turn.wrapping_add(1) % ONE_IN;
        source.turn != 0
    }

    /// Whether bad evidence came from there lately. Nothing is read while nobody fails.
    pub(super) fn is_watched(&self, connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>, now: Timestamp) -> bool {
        if self.sources.is_empty() {
            return false;
        }
        let Some(key) = key(connection) else { return false };
        self.sources.get(place(key)).is_some_and(|source| source.key == key && source.level(now) > 0)
    }

    /// Notes that evidence was bad, as what somebody made up is. What was good once and ended, is for somebody else, or names a
    /// key or an issuer that is not known is not counted: nothing is guessed by it, and little work is made.
    pub(super) fn note(
        &mut self,
        denied: &Denied,
        connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
        now: Timestamp,
    ) {
        const NOT_MADE_UP: [Code; 5] = [
            Code::TokenExpired,
            Code::TokenNotYetValid,
            Code::AudienceMismatch,
            Code::KeyNotFound,
            Code::IssuerUntrusted,
        ];
        if denied.class().status() != 401 || NOT_MADE_UP.contains(&denied.code()) {
            return;
        }
        self.count(connection, 0, now);
    }

    /// Counts one failure.
    pub(super) fn count(&mut self, connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>, about: u64, now: Timestamp) {
        let Some(key) = key(connection).map(|key| key ^ about) else { return };
        if self.sources.is_empty() {
            self.sources.resize(SOURCES, Source { key: 0, level: 0, turn: 0, at: now });
        }
        let Some(source) = self.sources.get_mut(place(key)) else { return };
        let level = source.level(now);
        if source.key != key {
            // one that is watched keeps its place: who shares it is not watched, and is not slowed
            if level > 0 {
                return;
            }
            *source = Source { key, level: 0, turn: 0, at: now };
        }
        let level = source.level(now).saturating_add(1).min(HIGHEST);
        (source.level, source.at) = (level, now);
        if level > MOST {
            let longest = std::time::Duration::from_secs(u64::from(HIGHEST / FORGIVEN));
            self.until = Some(now.saturating_add(longest));
        }
    }
}

/// Tells what is tried from what else comes from the same address: a thumbprint that a token is bound to.
pub(super) fn about(thumbprint: &str) -> u64 {
    thumbprint.as_bytes().first_chunk::<8>().map_or(0, |start| u64::from_le_bytes(*start))
}

/// The peer's address without its port; of IPv6 the network that one customer has.
fn key(connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>) -> Option<u64> {
    let address = connection(ADDRESS)?;
    let address: SocketAddr = std::str::from_utf8(&address).ok()?.parse().ok()?;
    Some(match address.ip().to_canonical() {
        // no network of IPv6 begins so
        IpAddr::V4(address) => u64::from(address.to_bits()) | 0xffff << 48,
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0),
    })
}

/// A place among those that are watched. Whoever aims at the place of another keeps that one from being watched.
fn place(key: u64) -> usize {
    usize::try_from(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52).unwrap_or(0)
}
