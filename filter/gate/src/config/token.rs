//! The configuration of the gateway's own token: what the services behind get instead of the caller's.

use super::OneOrMany;
use super::evidence::KeyReference;
use super::name::Name;
use super::tree::FromNode;
use super::units::Span;

/// A short-lived JWT for the services behind (in the form of RFC 9068), which says who calls and who vouched.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The header that carries it (`x-carded-token`); with `authorization`, after `Bearer `.
    pub header: Option<String>,
    /// Its `iss`: one of `origins`, by default the first.
    pub issuer: Option<String>,
    /// Its `aud`: the services that it is for.
    pub audiences: Vec<String>,
    /// How long it lasts at most (5m; between 60s and 1h). It never outlives the evidence it is minted for.
    pub lifetime: Option<Span>,
    /// The keys: the first signs, all are published at `/.carded/jwks.json`.
    pub keys: Vec<SigningKeyConfig>,
    /// Claims to put into it, under the evidence that they come from.
    #[serde(default)]
    pub claims: Vec<Name>,
    /// The secret by which `sub` becomes a pseudonym for these audiences (OpenID Connect Core 1.0 §8.1): 32 random bytes or
    /// more, in base64.
    pub pairwise: Option<KeyReference>,
}

/// Tokens of providers are exchanged for opaque ones, at `/.carded/exchange`.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExchangeConfig {
    /// The names of the issuers whose tokens are taken.
    pub issuers: Vec<String>,
    /// How long an exchanged token lasts at most (1h; between 10s and 24h); never longer than the original.
    pub lifetime: Option<Span>,
}

/// What tokens of an issuer are bound to, so that a stolen one is of no use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BindingConfig {
    /// Nothing: whoever has one can use it. One that is bound all the same is refused.
    #[default]
    None,
    /// What a token says; the proof of it is asked for.
    IfPresent,
    /// A key, by DPoP (RFC 9449).
    Dpop,
    /// A client certificate (RFC 8705 §3).
    Certificate,
    /// One of both.
    Any,
}

/// What is read of client certificates.
#[derive(Debug, Clone, Default, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CertificateSourceConfig {
    /// Whether all its names are read, from `x-forwarded-client-cert`, instead of the first ones. The listener then needs
    /// `forward_client_cert_details: SANITIZE_SET` and `set_current_client_cert_details: { uri: true, dns: true }`.
    #[serde(default)]
    pub forwarded: bool,
}

/// Which client certificates are meant: of each field that is given, one must fit.
#[derive(Debug, Clone, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// The first URI in its subjectAltName: exact, or with `*` for one whole segment of the path, or `/**` at the end.
    pub uri_san: Option<OneOrMany>,
    /// The first DNS name in its subjectAltName: exact, or with `*.` before it for one label.
    pub dns_san: Option<OneOrMany>,
    /// Its SHA-256 in hexadecimal.
    pub sha256: Option<OneOrMany>,
}

/// A private key by the name of the environment variable that holds it.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SigningKeyConfig {
    /// The environment variable (`vm_config.environment_variables.host_env_keys`): 32 random bytes or more, in base64.
    pub env: String,
    /// `EdDSA` (Ed25519, the default) or `ES256`.
    pub algorithm: Option<String>,
}
