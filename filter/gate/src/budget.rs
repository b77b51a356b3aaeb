//! How many costly checks may fail in a second, so that a flood of presentations that do not hold leaves time for others
//! (threat 54).

use carded_verifier::Timestamp;

use super::slow::Failures;

/// Failing checks in a second, of one worker.
const PER_SECOND: u32 = 50;

/// Calls about tokens that only their issuer can read, in a second, of one worker. Half of them are for sources that brought
/// no bad evidence lately, so that a flood of made-up tokens leaves room for others.
const CALLS_PER_SECOND: u32 = 100;

/// Requests for a login that are left at providers in a second, of one worker: who only begins to sign in, again and again,
/// makes no more calls than this.
const PUSHES_PER_SECOND: u32 = 50;

/// What is left of this second.
#[derive(Debug)]
pub struct Budget {
    second: Timestamp,
    left: u32,
    /// Of calls, and of which second.
    calls: (Timestamp, u32),
    /// Of requests for a login, and of which second.
    pushes: (Timestamp, u32),
    /// Of tokens, by who brings them.
    pub(super) failures: Failures,
}

impl Default for Budget {
    fn default() -> Self {
        let never = Timestamp::from_unix(0);
        let (calls, pushes) = ((never, CALLS_PER_SECOND), (never, PUSHES_PER_SECOND));
        Self { second: never, left: PER_SECOND, calls, pushes, failures: Failures::default() }
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

    /// Takes one call about a token; false where nothing is left for this source.
    pub(super) fn take_call(&mut self, connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>, now: Timestamp) -> bool {
        if self.calls.0 != now {
            self.calls = (now, CALLS_PER_SECOND);
        }
        let kept = if self.failures.is_watched(connection, now) { CALLS_PER_SECOND / 2 } else { 0 };
        let left = self.calls.1.checked_sub(1).filter(|left| *left >= kept);
        self.calls.1 = left.unwrap_or(self.calls.1);
        left.is_some()
    }

    /// Takes one request for a login; false where nothing is left.
    pub(super) fn take_push(&mut self, now: Timestamp) -> bool {
        if self.pushes.0 != now {
            self.pushes = (now, PUSHES_PER_SECOND);
        }
        let left = self.pushes.1.checked_sub(1);
        self.pushes.1 = left.unwrap_or(0);
        left.is_some()
    }

    /// A call that another request already waits for costs nothing.
    pub fn give_back_call(&mut self) {
        self.calls.1 = self.calls.1.saturating_add(1).min(CALLS_PER_SECOND);
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
