//! Errors of the configuration: which field, and what to do.

use std::fmt;

/// One thing that is wrong, with the path of its field (`rules[2].require.token`; empty for the whole).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The path of the field, as in `rules[0].match.path`.
    pub path: String,
    /// What is wrong and what to do, without secrets.
    pub message: String,
}

impl ConfigError {
    /// An error at a field.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

impl std::error::Error for ConfigError {}

/// The path of a field, built while the configuration is walked.
#[derive(Debug, Clone)]
pub struct Field(String);

impl Field {
    /// A field of the configuration's top level.
    #[must_use]
    pub fn top(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// A field inside this one.
    #[must_use]
    pub fn key(&self, name: &str) -> Self {
        Self(format!("{}.{name}", self.0))
    }

    /// A member of this list.
    #[must_use]
    pub fn at(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// An error at this field.
    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(self.0.clone(), message)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
