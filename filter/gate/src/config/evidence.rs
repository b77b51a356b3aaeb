//! The configuration of what people show: credentials (OpenID4VP 1.0 §6), the wallets that hold them, and the sessions
//! that remember that they were shown.

use serde_json::Value;

use super::tree::{FromNode, Node};
use super::units::Span;

/// What a person may be asked to show, and whose word counts for it.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CredentialConfig {
    /// An OpenID4VP DCQL credential query without its id (OpenID4VP 1.0 §6.1): `format`, `meta`, `claims`, `claim_sets`.
    /// Where `age` is given, `claims` and `claim_sets` are made from it.
    pub query: Value,
    /// Proof of an age, without a birth date.
    pub age: Option<AgeConfig>,
    /// Whose credentials count: https issuers, DIDs, or certificate roots.
    pub trusted_issuers: Vec<TrustedIssuerConfig>,
    /// The allow-list of `alg` values for the signatures of issuers, holders and status lists.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<String>,
    /// Whether a credential must have a status.
    #[serde(default)]
    pub status: StatusConfig,
    /// Whose status lists count; by default those of the credential's own issuer.
    #[serde(default)]
    pub status_issuers: Vec<TrustedIssuerConfig>,
    /// What follows where a status cannot be had.
    #[serde(default)]
    pub status_unavailable: UnavailableConfig,
    /// Whether the presenter must prove to hold the credential's key.
    #[serde(default = "yes")]
    pub holder_binding: bool,
    /// How old a presentation may be (5m).
    pub max_presentation_age: Option<Span>,
    /// How old a credential may be, since its `iat`.
    pub max_credential_age: Option<Span>,
    /// How far the clocks may differ (60s; at most 5m).
    pub clock_skew: Option<Span>,
    /// Whether the old `typ` `vc+sd-jwt` is admitted beside `dc+sd-jwt`.
    #[serde(default)]
    pub accept_vc_sd_jwt: bool,
    /// Other ways to show the same: any one of them is enough. They have no alternatives of their own.
    #[serde(default)]
    pub alternatives: Vec<CredentialConfig>,
}

/// An age that is to be proved.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AgeConfig {
    /// The age in years: `age_equal_or_over.N` or `age_over_N` must be true.
    pub at_least: u8,
    /// Higher ages whose proof is accepted too.
    #[serde(default)]
    pub higher: Vec<u8>,
    /// Whether a birth date may be asked for where no age is attested. It tells more than is needed.
    #[serde(default)]
    pub birth_date: bool,
}

/// Whose word counts.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(untagged))]
pub enum TrustedIssuerConfig {
    /// An https issuer, whose keys come from its `/.well-known/jwt-vc-issuer`, or a DID.
    Named(String),
    /// A certificate under which issuers' certificates (`x5c`) stand.
    Root(RootConfig),
}

impl FromNode for TrustedIssuerConfig {
    fn from_node(node: &Node<'_>) -> Self {
        if let Some(name) = node.as_text() {
            return Self::Named(name.to_owned());
        }
        if node.as_object().is_none() {
            node.misfit("an https issuer or a DID as a text, or an object with a certificate");
        }
        Self::Root(RootConfig::from_node(node))
    }
}

/// A certificate that issuers' certificates stand under.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RootConfig {
    /// The certificate in PEM (RFC 7468), or its DER in base64.
    pub certificate: String,
}

/// Whether a credential must have a status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StatusConfig {
    /// One without is refused.
    #[default]
    Require,
    /// One without is taken as valid.
    IfPresent,
}

/// What follows where a status cannot be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UnavailableConfig {
    /// The credential is refused.
    #[default]
    Refuse,
    /// It is taken as valid.
    Accept,
}

/// How credentials are asked for.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PresentationConfig {
    /// The wallets that people may choose from; with one, nobody is asked.
    pub wallets: Vec<WalletConfig>,
    /// How long a request may be answered (5m; between 30s and 15m).
    pub lifetime: Option<Span>,
}

/// A wallet that is reached by its address.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WalletConfig {
    /// Its name, where there is a choice.
    pub name: String,
    /// Where its requests go (OpenID4VP 1.0 §13.1.2, RFC 8414 `authorization_endpoint`).
    pub authorization_endpoint: String,
}

/// What is remembered of evidence that was shown.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionsConfig {
    /// The keys that cookies are sealed with: the first seals, all open. 32 random bytes each, in base64.
    pub keys: Vec<KeyReference>,
    /// How long a session lasts at most (8h).
    pub lifetime: Option<Span>,
    /// How long a session lasts that nobody uses; by default as long as any. It is renewed when a person opens a page.
    pub idle: Option<Span>,
    /// How long a token for programs lasts at most (10m).
    pub token_lifetime: Option<Span>,
}

/// A key by the name of the environment variable that holds it.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyReference {
    /// The environment variable (`vm_config.environment_variables.host_env_keys`).
    pub env: String,
}

/// Where a browser is sent that lacks what a rule requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// To a wallet, to show a credential.
    Present,
    /// To the provider, to sign in.
    Login,
}

fn yes() -> bool {
    true
}

fn default_algorithms() -> Vec<String> {
    ["ES256", "ES384", "EdDSA"].map(str::to_owned).to_vec()
}
