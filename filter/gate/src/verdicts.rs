//! Evidence that was verified before: the signature of one token is checked once while nothing that it rests on changes,
//! and what a session holds is opened once.
//!
//! Found by a key that a client cannot foresee (`key.rs`, threat 27).
//!
//! What refused evidence is not remembered. What depends on the time is compared on every hit, and a hit neither parses
//! nor copies anything. Which issuers a place admits is asked on every hit, too.

use std::rc::Rc;

use carded_verifier::{Basis, Condensed, Denied, Documents, IssuerIndex, Timestamp, Trust};

use super::cache::{Cache, Key};
use super::cookie::LONGEST_SESSION;
use super::key::{Keys, Kind};
use super::minting::Minted;
use super::place::Place;
use super::seal::Random;
use super::session::Opened;

/// The bytes of memory that one verdict may take on average; large ones take the room of several.
const BYTES_EACH: usize = 896;
/// The bytes of memory that all may take at the least, so that a few large ones find room.
const LEAST_BYTES: usize = 512 * 1024;

/// The verdicts of one worker.
#[derive(Debug)]
pub struct Verdicts {
    /// None where nothing is remembered.
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    keys: Keys,
    cache: Cache<Remembered>,
}

#[derive(Debug)]
enum Remembered {
    Token(Rc<Condensed>, Basis),
    Sealed(Rc<Opened>),
    Minted(Rc<Minted>),
    /// What an issuer said no to, and until when that is not asked again.
    Denied(Rc<Denied>, IssuerIndex, Timestamp),
}

impl Verdicts {
    /// Remembers at most so many verdicts, in memory to match. Nothing is remembered where there is no `random` secret.
    #[must_use]
    pub fn new(capacity: usize, random: Random<'_>) -> Self {
        let keys = if capacity > 0 { Keys::new(random) } else { None };
        let cache = || Cache::new(capacity, capacity.saturating_mul(BYTES_EACH).max(LEAST_BYTES));
        Self { kept: keys.map(|keys| Kept { keys, cache: cache() }) }
    }

    /// The key of a token; of one that was exchanged, at the origin that it is bound to.
    #[inline]
    pub(super) fn key_of_token(&self, token: &[u8], bound: Option<&str>) -> Option<Key> {
        let (kind, bound) = kind_of_token(bound);
        self.kept.as_ref().map(|kept| kept.keys.key(kind, bound, token))
    }

    /// The key of a session, or of a token for programs, at one of our origins.
    #[inline]
    pub(super) fn key_of_sealed(&self, is_token: bool, origin: &str, sealed: &[u8]) -> Option<Key> {
        let kept = self.kept.as_ref().filter(|_| sealed.len() <= LONGEST_SESSION)?;
        Some(kept.keys.key(kind_of_sealed(is_token), origin.as_bytes(), sealed))
    }

    /// The key of what was minted for a caller: for all the evidence that was brought, which of it holds, and whom the token
    /// is for. Keys have one length, so that no two lists of them read the same.
    pub(super) fn key_of_minted(&self, evidence: &[Key], holds: u64, other: &[u8]) -> Option<Key> {
        let mut bytes = Vec::with_capacity(evidence.len().saturating_mul(16).saturating_add(other.len()));
        for key in evidence {
            bytes.extend(key.0.to_le_bytes());
            bytes.extend(key.1.to_le_bytes());
        }
        bytes.extend(holds.to_le_bytes());
        self.kept.as_ref().map(|kept| kept.keys.key(Kind::Minted, other, &bytes))
    }

    /// What was minted under this key.
    pub(super) fn minted(&mut self, key: &Key) -> Option<Rc<Minted>> {
        match self.kept.as_mut()?.cache.get(key)? {
            Remembered::Minted(minted) => Some(Rc::clone(minted)),
            _ => None,
        }
    }

    /// Remembers what was minted.
    pub(super) fn put_minted(&mut self, key: Key, minted: &Rc<Minted>, now: Timestamp) {
        if let Some(kept) = &mut self.kept {
            let bytes = minted.memory().saturating_add(COUNTS);
            kept.cache.put(key, Remembered::Minted(Rc::clone(minted)), bytes, minted.renew, now);
        }
    }

    /// The verdict on a token, where it still holds and the place admits its issuer.
    #[expect(clippy::too_many_arguments, reason = "the evidence, and all that a verdict on it rests on")]
    #[inline]
    pub(super) fn token(
        &mut self,
        key: &Key,
        token: &[u8],
        bound: Option<&str>,
        place: &Place,
        trust: &Trust,
        known: &Documents,
        now: Timestamp,
    ) -> Option<Rc<Condensed>> {
        let Kept { keys, cache } = self.kept.as_mut()?;
        let Remembered::Token(condensed, basis) = cache.get(key)? else { return None };
        if !place.admits(condensed.issuer_index()) {
            return None;
        }
        if condensed.still_holds(basis, trust, known, now) {
            let (kind, bound) = kind_of_token(bound);
            keys.found(*key, kind, bound, token);
            return Some(Rc::clone(condensed));
        }
        cache.remove(key);
        None
    }

    /// Remembers the verdict on a token.
    pub(super) fn put_token(&mut self, key: Key, condensed: &Rc<Condensed>, basis: Basis, now: Timestamp) {
        if let Some(kept) = &mut self.kept {
            let bytes = condensed.memory().saturating_add(COUNTS);
            kept.cache.put(key, Remembered::Token(Rc::clone(condensed), basis), bytes, condensed.ends(), now);
        }
    }

    /// What the issuer said no to a moment ago.
    pub(super) fn denied(&mut self, key: &Key, issuer: IssuerIndex, now: Timestamp) -> Option<Rc<Denied>> {
        match self.kept.as_mut()?.cache.get(key)? {
            Remembered::Denied(denied, asked, until) if *asked == issuer && now < *until => Some(Rc::clone(denied)),
            _ => None,
        }
    }

    /// Remembers what the issuer said no to, for a moment.
    pub(super) fn put_denied(
        &mut self,
        key: Key,
        issuer: IssuerIndex,
        denied: Denied,
        until: Timestamp,
        now: Timestamp,
    ) {
        if let Some(kept) = &mut self.kept {
            // its texts are short
            let bytes = size_of::<Denied>().saturating_add(DENIED);
            kept.cache.put(key, Remembered::Denied(Rc::new(denied), issuer, until), bytes, until, now);
        }
    }

    /// What was sealed under this key, open. Whether it holds now is for the caller to see.
    #[inline]
    pub(super) fn sealed(&mut self, key: &Key, is_token: bool, origin: &str, sealed: &[u8]) -> Option<Rc<Opened>> {
        let Kept { keys, cache } = self.kept.as_mut()?;
        let Remembered::Sealed(opened) = cache.get(key)? else { return None };
        keys.found(*key, kind_of_sealed(is_token), origin.as_bytes(), sealed);
        Some(Rc::clone(opened))
    }

    /// Remembers what was sealed.
    pub(super) fn put_sealed(&mut self, key: Key, opened: &Rc<Opened>, now: Timestamp) {
        if let Some(kept) = &mut self.kept {
            let bytes = opened.memory().saturating_add(COUNTS);
            kept.cache.put(key, Remembered::Sealed(Rc::clone(opened)), bytes, opened.ends(), now);
        }
    }

    /// How many verdicts are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.cache.len())
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes of memory they take, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.cache.bytes())
    }
}

#[inline]
fn kind_of_sealed(is_token: bool) -> Kind {
    if is_token { Kind::ProgramsToken } else { Kind::Session }
}

#[inline]
fn kind_of_token(bound: Option<&str>) -> (Kind, &[u8]) {
    bound.map_or((Kind::Token, b""), |origin| (Kind::Exchanged, origin.as_bytes()))
}

/// What a refusal points to, about.
const DENIED: usize = 192;
/// What an `Rc` takes beside its content, with what the allocator takes.
const COUNTS: usize = 32;
