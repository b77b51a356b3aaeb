//! Status lists of the demo's issuer: which index is whose, and the list as a signed token (Token Status List, sections 4 and 5).

use anyhow::{Result, ensure};
use std::collections::BTreeMap;

use super::random;

/// Entries of the list. A large list is what hides one holder among many (section 12.5).
const ENTRIES: usize = 1 << 16;

/// The states of all credentials of one issuer: one bit each.
#[derive(Debug)]
pub(crate) struct StatusList {
    bits: Vec<bool>,
    taken: Vec<bool>,
    left: usize,
    people: BTreeMap<&'static str, Vec<usize>>,
}

impl Default for StatusList {
    fn default() -> Self {
        Self { bits: vec![false; ENTRIES], taken: vec![false; ENTRIES], left: ENTRIES, people: BTreeMap::new() }
    }
}

impl StatusList {
    /// Takes `count` entries for a person: at random, and never beside one another, so that nothing tells that they belong together.
    ///
    /// # Errors
    /// When half of the list is taken: from there on a random entry takes long to find.
    pub(crate) fn take(&mut self, person: &'static str, count: usize) -> Result<Vec<usize>> {
        ensure!(self.left >= ENTRIES / 2 + count, "the status list is full");
        let mut all: Vec<usize> = Vec::with_capacity(count);
        while all.len() < count {
            let index = random::below(ENTRIES as u64) as usize;
            if !self.taken[index] && all.iter().all(|known| known.abs_diff(index) > 1) {
                all.push(index);
            }
        }
        for index in &all {
            self.taken[*index] = true;
            self.left -= 1;
        }
        self.people.entry(person).or_default().extend(&all);
        Ok(all)
    }

    /// Revokes every credential of a person, and says how many there were.
    pub(crate) fn revoke(&mut self, person: &str) -> usize {
        let all = self.people.remove(person).unwrap_or_default();
        for index in &all {
            self.bits[*index] = true;
        }
        all.len()
    }

    /// How many credentials of a person are good.
    pub(crate) fn good(&self, person: &str) -> usize {
        self.people.get(person).map_or(0, Vec::len)
    }

    /// The states, one for each entry: 0 valid, 1 invalid (section 7.1).
    pub(crate) fn states(&self) -> Vec<u8> {
        self.bits.iter().map(|bit| u8::from(*bit)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_apart_and_revoked_together() {
        let mut list = StatusList::default();
        let ada = list.take("ada", 10).expect("room");
        let ben = list.take("ben", 10).expect("room");
        for (at, a) in ada.iter().enumerate() {
            assert!(ada.iter().skip(at + 1).all(|b| a.abs_diff(*b) > 1) && !ben.contains(a));
        }
        assert_eq!((list.good("ada"), list.revoke("ada"), list.good("ada")), (10, 10, 0));
        let states = list.states();
        assert!(ada.iter().all(|index| states[*index] == 1) && ben.iter().all(|index| states[*index] == 0));
        assert_eq!(states.iter().filter(|state| **state == 1).count(), 10);
    }

    #[test]
    fn a_list_that_fills_up_issues_no_more() {
        let mut list = StatusList::default();
        while list.take("ada", 10).is_ok() {}
        assert!(list.good("ada") <= ENTRIES / 2);
    }
}
