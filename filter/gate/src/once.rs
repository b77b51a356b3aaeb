//! What works once within a process: nonces of presentations and DPoP proofs (threat 47). The store is bounded; a full
//! one refuses rather than forgets.

use std::collections::BTreeMap;

use carded_verifier::Timestamp;

use super::ended::Cells;

/// A store of what was used, shared by the workers of one process.
pub trait Once {
    /// Notes that something of a kind was used. `until`: when it could not be used any more anyway. Each kind has room of
    /// its own, so that one cannot take up that of another.
    fn spend(&mut self, kind: &'static str, id: &[u8; 32], until: Timestamp, now: Timestamp) -> Spent;

    /// Notes what was used until another time.
    fn hold(&mut self, kind: &'static str, id: &[u8; 32], until: Timestamp, now: Timestamp);
    /// What else the workers of the process share.
    fn cells(&mut self) -> &mut dyn Cells;
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
    kind: &'static str,
    id: &[u8],
    until: Timestamp,
    now: Timestamp,
) -> Result<(), NotSpent> {
    match once.spend(kind, &hash_of(kind, id), until, now) {
        Spent::First => Ok(()),
        Spent::Again => Err(NotSpent::Again),
        Spent::Full => Err(NotSpent::Full),
    }
}

/// Under what something is noted: its hash, with the name of its kind.
pub(super) fn hash_of(kind: &'static str, id: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update(u64::try_from(kind.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(kind);
    hash.update(id);
    hash.finalize().into()
}

/// A store in memory of its own, for one worker alone: tests and tools.
#[derive(Debug, Default)]
pub struct InMemory {
    used: BTreeMap<[u8; 32], Timestamp>,
    cells: BTreeMap<String, (Vec<u8>, u32)>,
}

/// The most that [`InMemory`] notes.
const MAX_NOTES: usize = 10_000;

impl Once for InMemory {
    fn spend(&mut self, _: &'static str, id: &[u8; 32], until: Timestamp, now: Timestamp) -> Spent {
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

    fn hold(&mut self, _: &'static str, id: &[u8; 32], until: Timestamp, _: Timestamp) {
        self.used.insert(*id, until);
    }

    fn cells(&mut self) -> &mut dyn Cells {
        self
    }
}

impl Cells for InMemory {
    fn read(&mut self, name: &str) -> Option<(Vec<u8>, u32)> {
        Some(self.cells.get(name).cloned().unwrap_or((Vec::new(), 1)))
    }

    fn write(&mut self, name: &str, value: &[u8], version: u32) -> bool {
        let same = self.cells.get(name).map_or(1, |(_, known)| *known) == version;
        if same {
            self.cells.insert(name.to_owned(), (value.to_vec(), version.wrapping_add(1)));
        }
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_47_a_full_store_refuses_rather_than_forgets() {
        let mut once = InMemory::default();
        let (now, later) = (Timestamp::from_unix(10), Timestamp::from_unix(20));
        for number in 0..MAX_NOTES {
            assert_eq!(spend(&mut once, "n", &number.to_be_bytes(), later, now), Ok(()));
        }
        assert_eq!(spend(&mut once, "n", b"one more", later, now), Err(NotSpent::Full));
        assert_eq!(
            spend(&mut once, "n", &0_usize.to_be_bytes(), later, now),
            Err(NotSpent::Again),
            "none is forgotten"
        );
        assert_eq!(spend(&mut once, "n", b"one more", later, later), Ok(()), "those that ended make room");
    }

    #[test]
    fn what_is_used_as_one_thing_is_not_used_as_another() {
        let mut once = InMemory::default();
        let (now, later) = (Timestamp::from_unix(10), Timestamp::from_unix(20));
        assert_eq!(spend(&mut once, "nonce", b"x", later, now), Ok(()));
        assert_eq!(spend(&mut once, "dpop", b"x", later, now), Ok(()));
        assert_eq!(spend(&mut once, "noncex", b"", later, now), Ok(()));
    }
}
