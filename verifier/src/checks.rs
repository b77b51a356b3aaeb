//! What every pipeline of checks shares: how it stops, which checks passed, and the times of a JWT (RFC 7519 section 2).
use crate::fetch::Fetch;
use crate::json::Claims;
use crate::outcome::{Check, Code, Denied, Outcome};
use crate::time::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// Why the checks stopped.
pub(crate) enum Stop {
    Denied(Code, String, Option<Duration>),
    Need(Fetch),
}

impl From<(Code, String)> for Stop {
    fn from((code, detail): (Code, String)) -> Self {
        Self::Denied(code, detail, None)
    }
}

pub(crate) fn deny<T>(code: Code, detail: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Denied(code, detail.into(), None))
}

/// A document that is needed cannot be had at the moment.
pub(crate) fn unavailable<T>(code: Code, detail: &str, retry_after: Duration) -> Result<T, Stop> {
    Err(Stop::Denied(code, detail.to_owned(), Some(retry_after)))
}

/// The checks that passed, and the one that runs.
pub(crate) struct Steps {
    passed: Vec<Check>,
    current: Check,
}

impl Steps {
    /// The first check begins.
    #[inline]
    pub(crate) fn begin() -> Self {
        Self { passed: Vec::with_capacity(14), current: Check::Size }
    }

    /// The current check passed; another begins.
    #[inline]
    pub(crate) fn next(&mut self, check: Check) {
        self.passed.push(self.current);
        self.current = check;
    }

    /// The outcome; where all passed, `complete` is given the list of them.
    #[inline]
    pub(crate) fn finish<T, V>(
        mut self,
        result: Result<T, Stop>,
        complete: impl FnOnce(T, Vec<Check>) -> V,
    ) -> Outcome<V> {
        match result {
            Ok(value) => {
                self.passed.push(self.current);
                Outcome::Verified(complete(value, self.passed))
            }
            Err(Stop::Need(fetch)) => Outcome::Need(fetch),
            Err(Stop::Denied(code, detail, retry_after)) => {
                Outcome::Denied(Denied { code, check: self.current, detail, retry_after, passed: self.passed })
            }
        }
    }
}

/// A NumericDate (RFC 7519 section 2): a number, rounded so that a token is never valid for longer than it says. What
/// is out of range is the nearest end of it.
#[inline]
pub(crate) fn time(
    claims: &dyn Claims,
    name: &str,
    round: fn(f64) -> f64,
) -> Result<Option<Timestamp>, (Code, String)> {
    let number = match claims.claim(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err((Code::ClaimInvalid, format!("`{name}` is no number"))),
    };
    let seconds = match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(seconds), _, _) => seconds,
        (None, Some(_), _) => i64::MAX,
        // a cast from a float stops at the ends of the range
        (None, None, Some(seconds)) => round(seconds) as i64,
        (None, None, None) => return Err((Code::ClaimInvalid, format!("`{name}` is no number"))),
    };
    Ok(Some(Timestamp::from_unix(seconds)))
}
