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
//!
//! Sessions are sealed, so that nobody can try one by its name: what is tried are cookies that were never sealed here, and the
//! ways to one, which are answers of providers and presentations. Each kind counts for itself and for the address. What another
//! site makes a browser do with its session counts for that session, wherever it is. Of cookies and of these only what fails is
//! answered with a 429, so that whoever has the session is never slowed, whatever others do with it or with their own.

use carded_verifier::{Code, Denied, Timestamp};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::decide::Around;
use super::reply::Refusal;

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

/// What is tried again and again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tried<'a> {
    /// Tokens, from one address.
    Tokens,
    /// From one address, something of its own: a kind of thing, or the key that a token is bound to.
    Of(&'a str),
    /// Something with one session, from anywhere.
    With(&'a str),
}

/// Cookies that claim a session.
pub(super) const COOKIE: Tried<'_> = Tried::Of("cookie");
/// Answers of providers.
pub(super) const LOGIN: Tried<'_> = Tried::Of("login");
/// Presentations.
pub(super) const PRESENTATION: Tried<'_> = Tried::Of("presentation");

impl Tried<'_> {
    /// Under what it is counted; nothing where the host tells no address.
    fn key(self, connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>) -> Option<u64> {
        match self {
            Self::Tokens => address(connection),
            Self::Of(what) => address(connection).map(|address| address ^ hash(what)),
            Self::With(session) => Some(hash(session)),
        }
    }
}

/// FNV-1a of 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Refuses where so much failed that this is not looked at now.
pub(super) fn not_slowed(tried: Tried<'_>, around: &mut Around<'_>) -> Result<(), Refusal> {
    if !around.budget.failures.slows(tried, around.connection, around.now) {
        return Ok(());
    }
    let why = match tried {
        Tried::With(_) => "too many requests with this session did not hold: try again later",
        Tried::Tokens | Tried::Of(_) => "too many tries from this address did not hold: try again later",
    };
    Err(Refusal::too_many_failures(why).retry_after(Duration::from_secs(1)))
}

/// Counts what failed and could be looked at for nothing.
///
/// # Errors
/// Where it is one of too many.
pub(super) fn failed(tried: Tried<'_>, around: &mut Around<'_>) -> Result<(), Refusal> {
    around.budget.failures.count(tried, around.connection, around.now);
    not_slowed(tried, around)
}

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
    fn slows(&mut self, tried: Tried<'_>, connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>, now: Timestamp) -> bool {
        if self.until.is_none_or(|until| until <= now) {
            return false;
        }
        let Some(key) = tried.key(connection) else { return false };
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
        let Some(key) = address(connection) else { return false };
        self.sources.get(place(key)).is_some_and(|source| source.key == key && source.level(now) > 0)
    }

    /// Notes that evidence was bad, as what somebody made up is. What was good once and ended, is for somebody else, or names a
    /// key or an issuer that is not known is not counted: nothing is guessed by it, and little work is made.
    pub(super) fn note(
        &mut self,
        tried: Tried<'_>,
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
        self.count(tried, connection, now);
    }

    /// Counts one failure.
    pub(super) fn count(
        &mut self,
        tried: Tried<'_>,
        connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
        now: Timestamp,
    ) {
        let Some(key) = tried.key(connection) else { return };
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

/// The peer's address without its port; of IPv6 the network that one customer has.
fn address(connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>) -> Option<u64> {
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
