//! What works once within a process: nonces of presentations and DPoP proofs (threat 47). The store is bounded; a full
//! one refuses rather than forgets.

use carded_verifier::Timestamp;

/// A store of what was used, shared by the workers of one process.
pub trait Once {
    /// Notes that something was used. `until`: when it could not be used any more anyway.
    fn spend(&mut self, id: &[u8; 32], until: Timestamp, now: Timestamp) -> Spent;
}

/// Whether something was used for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It was.
    First,
    /// It was used before.
    Again,
    /// There is no room to note it.
    Full,
}

/// Why something cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotSpent {
    Again,
    Full,
}

/// Uses something up, under the name of its kind.
pub(super) fn spend(
    once: &mut dyn Once,
    kind: &str,
    id: &[u8],
    until: Timestamp,
    now: Timestamp,
) -> Result<(), NotSpent> {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update(u64::try_from(kind.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(kind);
    hash.update(id);
    match once.spend(&hash.finalize().into(), until, now) {
        Spent::First => Ok(()),
        Spent::Again => Err(NotSpent::Again),
        Spent::Full => Err(NotSpent::Full),
    }
}

/// A store in memory of its own, for one worker alone: tests and tools.
#[derive(Debug, Default)]
pub struct InMemory {
    used: std::collections::BTreeMap<[u8; 32], Timestamp>,
}

/// The most that [`InMemory`] notes.
const MAX_NOTES: usize = 10_000;

impl Once for InMemory {
    fn spend(&mut self, id: &[u8; 32], until: Timestamp, now: Timestamp) -> Spent {
        self.used.retain(|_, until| *until > now);
        if self.used.contains_key(id) {
            Spent::Again
        } else if self.used.len() >= MAX_NOTES {
            Spent::Full
        } else {
            self.used.insert(*id, until);
            Spent::First
        }
    }
}
