//! Credentials in the benchmarks.

/// The environment variable with the key that seals sessions.
pub(super) const SESSION_KEY: &str = "CARDED_SESSION_KEY";
