//! Evidence that was verified before: the signature of one token is checked once while nothing that it rests on changes,
//! and what a session holds is opened once.
//!
//! Found by SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012) over the kind of evidence, what it is bound to and
//! all of it, keyed with a secret that the VM draws when it starts (threat 27): a pseudo-random function, of whose
//! outputs nobody outside sees one, so that nobody can make two pieces of evidence meet. In Wasm it takes 0.7 µs for 700
//! bytes where BLAKE3 takes 2.5 and SHA-256 6.5; SipHash-1-3 would save another 0.15 and leave no margin.
//!
//! What refused evidence is not remembered. What depends on the time is compared on every hit, and a hit neither parses
//! nor copies anything. Which issuers a place admits is asked on every hit, too.

use std::rc::Rc;

use carded_verifier::{Basis, Condensed, Documents, Timestamp, Trust};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher as _;

use super::cache::{Cache, Key};
use super::minting::Minted;
use super::place::Place;
use super::seal::{LONGEST, Random};
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
    /// With the secret in it.
    hasher: SipHasher24,
    cache: Cache<Remembered>,
}

#[derive(Debug)]
enum Remembered {
    Token(Rc<Condensed>, Basis),
    Sealed(Rc<Opened>),
    Minted(Rc<Minted>),
}

/// What evidence is of, as the first byte of what is hashed.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Token = 1,
    Session = 2,
    ProgramsToken = 3,
    Minted = 4,
}

impl Verdicts {
    /// Remembers at most so many verdicts, in memory to match. Nothing is remembered where there is no `random` secret.
    #[must_use]
    pub fn new(capacity: usize, random: Random<'_>) -> Self {
        let mut secret = [0; 16];
        let kept = (capacity > 0 && random(&mut secret)).then(|| Kept {
            hasher: SipHasher24::new_with_key(&secret),
            cache: Cache::new(capacity, capacity.saturating_mul(BYTES_EACH).max(LEAST_BYTES)),
        });
        Self { kept }
    }

    /// The key of a token.
    pub(super) fn key_of_token(&self, token: &[u8]) -> Option<Key> {
        self.key(Kind::Token, b"", token)
    }

    /// The key of a session, or of a token for programs, at one of our origins.
    pub(super) fn key_of_sealed(&self, is_token: bool, origin: &str, sealed: &[u8]) -> Option<Key> {
        let kind = if is_token { Kind::ProgramsToken } else { Kind::Session };
        if sealed.len() <= LONGEST { self.key(kind, origin.as_bytes(), sealed) } else { None }
    }

    /// The key of what was minted for a caller: for all the evidence that was brought, which of it holds, and whom the token
    /// is for. Keys have one length, so that no two lists of them read the same.
    pub(super) fn key_of_minted(&self, evidence: &[Key], holds: u32, other: &[u8]) -> Option<Key> {
        let mut bytes = Vec::with_capacity(evidence.len().saturating_mul(16).saturating_add(other.len()));
        for key in evidence {
            bytes.extend(key.0.to_le_bytes());
            bytes.extend(key.1.to_le_bytes());
        }
        bytes.extend(holds.to_le_bytes());
        self.key(Kind::Minted, other, &bytes)
    }

    /// What was minted under this key.
    pub(super) fn minted(&mut self, key: &Key) -> Option<Rc<Minted>> {
        match self.kept.as_mut()?.cache.get(key)? {
            Remembered::Minted(minted) => Some(Rc::clone(minted)),
            Remembered::Token(..) | Remembered::Sealed(_) => None,
        }
    }

    /// Remembers what was minted.
    pub(super) fn put_minted(&mut self, key: Key, minted: &Rc<Minted>, now: Timestamp) {
        if let Some(kept) = &mut self.kept {
            let bytes = minted.memory().saturating_add(COUNTS);
            kept.cache.put(key, Remembered::Minted(Rc::clone(minted)), bytes, minted.renew, now);
        }
    }

    fn key(&self, kind: Kind, bound: &[u8], evidence: &[u8]) -> Option<Key> {
        let mut hasher = self.kept.as_ref()?.hasher;
        // the length of what is of any length, but for the last: no two inputs read the same
        let length = u64::try_from(bound.len()).unwrap_or(u64::MAX);
        hasher.write_u64(length << 8 | kind as u64);
        hasher.write(bound);
        hasher.write(evidence);
        let hash = hasher.finish128();
        Some(Key(hash.h1, hash.h2))
    }

    /// The verdict on a token, where it still holds and the place admits its issuer.
    pub(super) fn token(
        &mut self,
        key: &Key,
        place: &Place,
        trust: &Trust,
        known: &Documents,
        now: Timestamp,
    ) -> Option<Rc<Condensed>> {
        let cache = &mut self.kept.as_mut()?.cache;
        let Remembered::Token(condensed, basis) = cache.get(key)? else { return None };
        if !place.admits(condensed.issuer_index()) {
            return None;
        }
        if condensed.still_holds(basis, trust, known, now) {
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

    /// What was sealed under this key, open. Whether it holds now is for the caller to see.
    pub(super) fn sealed(&mut self, key: &Key) -> Option<Rc<Opened>> {
        match self.kept.as_mut()?.cache.get(key)? {
            Remembered::Sealed(opened) => Some(Rc::clone(opened)),
            Remembered::Token(..) | Remembered::Minted(_) => None,
        }
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

/// What an `Rc` takes beside its content, with what the allocator takes.
const COUNTS: usize = 32;
