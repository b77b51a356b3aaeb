//! The part of the configuration that is about tokens that only their issuer can read.

use super::tree::FromNode;
use super::{AuthMethod, SecretConfig, Span, yes};

/// The issuer is asked about tokens that are no JWTs (RFC 7662).
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IntrospectionConfig {
    /// Where it is asked; by default at `introspection_endpoint` of its metadata, which needs `keys: { discovery: true }`.
    pub endpoint: Option<String>,
    /// Our name there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: SecretConfig,
    /// How the secret is sent; by default as the metadata says, `client_secret_basic` first.
    pub auth_method: Option<AuthMethod>,
    /// How long an answer is believed (60s; between 1s and 1h), and so how long a token passes that was withdrawn; never
    /// beyond the token's end.
    pub cache: Option<Span>,
    /// Whether an answer without `aud` is refused.
    #[serde(default = "yes")]
    pub require_audience: bool,
    /// Whether an answer without `token_type` is refused. Of a refresh token there may be none.
    #[serde(default = "yes")]
    pub require_token_type: bool,
}
