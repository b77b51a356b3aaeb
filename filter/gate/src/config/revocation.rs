//! The configuration of what is revoked before it ends.

use super::Span;
use super::tree::FromNode;

/// Where the list of what is revoked is published.
#[derive(Debug, Clone, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RevocationConfig {
    /// Its address; its host must be in `fetch.clusters`. JSON or the compact form, both described in the README.
    pub uri: String,
    /// How often it is asked for (5s; between 1s and 1h), once for all workers of a process.
    pub refresh: Option<Span>,
    /// What follows where it cannot be had.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What follows where the list of what is revoked cannot be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Evidence is refused with 503 once two refreshes in a row came to nothing.
    #[default]
    Refuse,
    /// The last list serves for so long beyond `refresh` (at most 24h). Without any list evidence is refused.
    Stale(Span),
}
