//! Why the wallet will not go on: a stable code for tests and a sentence for the person.

use serde_json::{Value, json};

/// A refusal. It reaches the page as `{"refused": {"code", "message"}}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    /// Stable, in snake_case.
    pub(crate) code: &'static str,
    /// A sentence for the person, without any secret.
    pub(crate) message: String,
}

impl Refusal {
    /// A refusal with its code and sentence.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// As the page gets it.
    pub(crate) fn to_value(&self) -> Value {
        json!({ "refused": { "code": self.code, "message": self.message } })
    }
}

/// What a step of the wallet answers: JSON for the page, or a refusal.
pub(crate) type Step = Result<Value, Refusal>;
