//! How many costly checks may fail in a second, so that a flood of presentations that do not hold leaves time for others
//! (threat 54).

use carded_verifier::Timestamp;

use super::slow::Failures;

/// Failing checks in a second, of one worker.
const PER_SECOND: u32 = 50;

/// What is left of this second.
#[derive(Debug)]
pub struct Budget {
    second: Timestamp,
    left: u32,
    /// Of tokens, by who brings them.
    pub(super) failures: Failures,
}

impl Default for Budget {
    fn default() -> Self {
        Self { second: Timestamp::from_unix(0), left: PER_SECOND, failures: Failures::default() }
    }
}

impl Budget {
    /// Takes the price of one check; false where nothing is left.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        if self.second != now {
            (self.second, self.left) = (now, PER_SECOND);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// A check that did not fail costs nothing.
    pub(super) fn give_back(&mut self) {
        self.left = self.left.saturating_add(1).min(PER_SECOND);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_54_checks_that_fail_use_a_budget_up_and_others_do_not() {
        let (mut budget, now) = (Budget::default(), Timestamp::from_unix(7));
        for _ in 0..1000 {
            assert!(budget.take(now));
            budget.give_back();
        }
        assert_eq!((0..1000).filter(|_| budget.take(now)).count(), 50);
        assert!(budget.take(Timestamp::from_unix(8)), "another second");
    }
}
