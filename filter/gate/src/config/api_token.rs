//! The configuration of API tokens.

use super::tree::FromNode;

/// API tokens of one name: here, or in a document. Exactly one of `tokens` and `uri`.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApiTokensConfig {
    /// The tokens, by their hashes: `carded token new` prints what belongs here.
    pub tokens: Option<Vec<ApiTokenConfig>>,
    /// The address of a JSON document with the member `tokens`, of the same form; its host must be in `fetch.clusters`.
    pub uri: Option<String>,
    /// Whether a token counts as the password of HTTP Basic too (RFC 7617); the user name is not looked at.
    #[serde(default = "yes")]
    pub basic: bool,
    /// Whether the service behind gets the token too. By default it is removed before the request goes on.
    #[serde(default)]
    pub forward: bool,
}

/// One API token.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApiTokenConfig {
    /// The SHA-256 of the token, in hex. The token itself is nowhere but with its owner.
    pub sha256: String,
    /// Whose it is: the claims `owner` and `sub`.
    pub owner: String,
    /// What it may be used for: the claim `scope`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// When it ends (RFC 3339, `2027-01-31T00:00:00Z`).
    pub expires: Option<String>,
}

fn yes() -> bool {
    true
}
