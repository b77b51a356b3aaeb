//! Tokens that were verified before: the signature of one token is checked once while nothing that it rests on changes.
//!
//! Found by SHA-256 over the issuers that the place admits and the whole token (threat 27). A verdict is bound to the
//! documents as they were: any change of a key set forgets it (a key withdrawn withdraws the verdict). What depends on
//! the time is checked on every hit. Bounded in number and in bytes; the least recently used half goes first.

use std::collections::HashMap;
use std::rc::Rc;

use carded_verifier::{Documents, IssuerIndex, Timestamp, Trust, Verified};
use sha2::{Digest, Sha256};

/// The key of a verdict.
type Key = [u8; 32];

/// The verdicts of one worker.
#[derive(Debug)]
pub struct Verdicts {
    /// Those that were used since the last turn, and those before: two generations approximate the order of use.
    young: HashMap<Key, Entry>,
    old: HashMap<Key, Entry>,
    young_bytes: usize,
    capacity: usize,
    byte_capacity: usize,
    version: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    verified: Rc<Verified>,
    bytes: usize,
}

/// The bytes of memory that one byte of a token's text is counted for: its claims, parsed.
const COST_PER_TOKEN_BYTE: usize = 4;
/// All verdicts together, in counted bytes.
const BYTE_CAPACITY: usize = 8 * 1024 * 1024;

impl Verdicts {
    /// Remembers at most so many verdicts.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            capacity,
            byte_capacity: BYTE_CAPACITY,
            version: 0,
        }
    }

    pub(super) fn key(token: &[u8], issuers: &[IssuerIndex]) -> Key {
        let mut hash = Sha256::new();
        hash.update(u64::try_from(issuers.len()).unwrap_or(u64::MAX).to_le_bytes());
        for issuer in issuers {
            hash.update(u64::try_from(issuer.as_usize()).unwrap_or(u64::MAX).to_le_bytes());
        }
        hash.update(token);
        hash.finalize().into()
    }

    /// The verdict on a token, where it still holds.
    pub(super) fn get(&mut self, key: &Key, trust: &Trust, known: &Documents, now: Timestamp) -> Option<Rc<Verified>> {
        if self.version != known.version() {
            self.clear();
            self.version = known.version();
            return None;
        }
        let entry = match self.young.get(key) {
            Some(entry) => entry.clone(),
            None => {
                let entry = self.old.remove(key)?;
                self.store(*key, entry.clone());
                entry
            }
        };
        if entry.verified.still_holds(trust, now) {
            return Some(entry.verified);
        }
        self.young.remove(key);
        None
    }

    pub(super) fn put(&mut self, key: Key, token: &[u8], verified: &Rc<Verified>, known: &Documents) {
        if self.capacity == 0 {
            return;
        }
        if self.version != known.version() {
            self.clear();
            self.version = known.version();
        }
        let bytes = token.len().saturating_mul(COST_PER_TOKEN_BYTE).saturating_add(256);
        self.store(key, Entry { verified: Rc::clone(verified), bytes });
    }

    /// How many verdicts are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len().saturating_add(self.old.len())
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn store(&mut self, key: Key, entry: Entry) {
        let half = |all: usize| (all / 2).max(1);
        if self.young.len() >= half(self.capacity) || self.young_bytes >= half(self.byte_capacity) {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes = self.young_bytes.saturating_add(entry.bytes);
        if let Some(before) = self.young.insert(key, entry) {
            self.young_bytes = self.young_bytes.saturating_sub(before.bytes);
        }
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.young_bytes = 0;
    }
}
