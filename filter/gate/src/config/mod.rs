//! The configuration as operators write it: YAML inside Envoy's own (`google.protobuf.Struct`) or JSON
//! (`StringValue`). These types are the single source of the JSON Schema in `docs/config.schema.json`.
//!
//! Parsing says where: every error carries the path of its field. Unknown fields are errors. What a single field
//! cannot know (dangling names, unsafe combinations) is checked when [`crate::Gate`] compiles the configuration.

mod api_token;
mod error;
mod evidence;
mod introspection;
mod login;
mod name;
mod named;
mod protobuf;
mod revocation;
mod token;
pub(super) mod tree;
mod units;
mod wire;

use serde_json::Value;
use sha2::{Digest, Sha256};

pub use api_token::{ApiTokenConfig, ApiTokensConfig};
pub use error::{ConfigError, Field};
pub use evidence::{
    AgeConfig, CredentialConfig, KeyReference, Otherwise, PresentationConfig, RootConfig, SessionsConfig, StatusConfig,
    TrustedIssuerConfig, UnavailableConfig, WalletConfig,
};
pub use introspection::IntrospectionConfig;
pub use login::{AuthMethod, LoginConfig};
pub use name::Name;
pub use named::Named;
pub use revocation::{OnFailure, RevocationConfig};
pub use token::{
    BindingConfig, CertificateConfig, CertificateSourceConfig, ExchangeConfig, SigningKeyConfig, TokenConfig,
};
pub use units::{ByteSize, Span};
pub use wire::parse;

use tree::FromNode;

/// The whole configuration of one filter.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Our own public origins (`https://host[:port]`). URLs of our own are built from the one that equals the request's.
    #[serde(default)]
    pub origins: Vec<String>,
    /// For development only: admits `http` and ports for hosts that end in `.localhost`, and nothing else.
    #[serde(default)]
    pub danger_allow_http_localhost: bool,
    /// Who may vouch for a caller with a JWT, by a name of ours (`[a-z0-9_-]+`).
    #[serde(default)]
    pub issuers: Named<IssuerConfig>,
    /// API tokens, by a name of ours (`[a-z0-9_-]+`).
    #[serde(default)]
    pub api_tokens: Named<ApiTokensConfig>,
    /// What a person may be asked to show, by a name of ours (`[a-z0-9_-]+`), which is also the DCQL id.
    #[serde(default)]
    pub credentials: Named<CredentialConfig>,
    /// Where people without a session sign in; `login.X` signs in at `issuers.X`.
    #[serde(default)]
    pub login: Named<LoginConfig>,
    /// How credentials are asked for.
    pub presentation: Option<PresentationConfig>,
    /// What is remembered of evidence that was shown.
    pub sessions: Option<SessionsConfig>,
    /// What is revoked before it ends: sessions, subjects, tokens, keys.
    pub revocation: Option<RevocationConfig>,
    /// What is read of client certificates.
    #[serde(default)]
    pub client_certificate: CertificateSourceConfig,
    /// The first rule that matches decides; no match denies.
    pub rules: Vec<RuleConfig>,
    /// Who may do what. A deny applies to every rule; silence denies where a rule says `authorize: true`.
    #[serde(default)]
    pub policies: Vec<PolicyConfig>,
    /// What the services behind are told.
    #[serde(default)]
    pub forward: ForwardConfig,
    /// Opaque tokens for those of providers.
    pub exchange: Option<ExchangeConfig>,
    /// Where documents (key sets, discovery) are fetched from, and how long they serve.
    #[serde(default)]
    pub fetch: FetchConfig,
    /// Bounds on what one request, one document and all of them together may use.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// What an admitted request leaves for access logs, as `%FILTER_STATE(wasm.carded.NAME:PLAIN)%`; by default all of it. A refused
    /// one always leaves its code and rule. What no access log prints is better not left: it costs host calls on each request.
    pub access_log: Option<Vec<AccessLog>>,
    /// SHA-256 over what evidence means here. What is sealed under one meaning does not open under another.
    #[serde(skip)]
    pub meaning: [u8; 32],
}

impl Config {
    /// Reads a configuration from a JSON value.
    ///
    /// # Errors
    /// One error with the path of the first field that does not fit.
    pub fn from_value(value: Value) -> Result<Self, Vec<ConfigError>> {
        let meaning = meaning(&value);
        let config: Self = tree::read(&value).map_err(|error| vec![error])?;
        Ok(Self { meaning, ..config })
    }
}

/// Over the members that say what a proof is. Members of JSON objects are in the order of their names here, so that the
/// same configuration means the same in every process of a fleet.
fn meaning(value: &Value) -> [u8; 32] {
    let mut hash = Sha256::new();
    for name in ["credentials", "issuers", "danger_allow_http_localhost", "login"] {
        let text = value.get(name).map(Value::to_string).unwrap_or_default();
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

/// The JSON Schema of [`Config`], as published in `docs/config.schema.json`.
#[cfg(feature = "schema")]
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".into(), "Carded filter configuration".into());
    schema.to_value()
}

/// What a request leaves for access logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// `ok`, or why it was refused.
    Code,
    /// The name of the rule that matched.
    Rule,
    /// The name of the issuer of its token.
    Issuer,
}

/// One issuer of JWTs. The words are those of Envoy's `jwt_authn` where it has them.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The exact `iss` (RFC 7519 §4.1.1), or one with a whole path segment `{tenant}` for multi-tenant providers.
    pub issuer: String,
    /// The tenants that are admitted where `issuer` has `{tenant}`; without it, any.
    pub tenants: Option<Vec<String>>,
    /// The `aud` values that are ours; a token must name at least one (RFC 7519 §4.1.3).
    pub audiences: Vec<String>,
    /// The allow-list of `alg` values. HS* only where it is named, and only with `keys.secret`.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<String>,
    /// Where the keys come from: exactly one of the fields; none where `introspection.endpoint` is given and no token of the
    /// issuer is a JWT.
    #[serde(default)]
    pub keys: KeysConfig,
    /// The issuer is asked about tokens that are no JWTs.
    pub introspection: Option<IntrospectionConfig>,
    /// Headers that carry a token. Where no `from_*` is given: `authorization` with the prefix `Bearer `.
    pub from_headers: Option<Vec<FromHeader>>,
    /// Cookies that carry a token.
    pub from_cookies: Option<Vec<String>>,
    /// Query parameters that carry a token.
    pub from_params: Option<Vec<String>>,
    /// Whether the service behind gets the caller's token too. By default it is removed before the request goes on.
    #[serde(default)]
    pub forward: bool,
    /// What tokens have to be bound to (`cnf`, RFC 7800). A bound one is never taken without its proof.
    #[serde(default)]
    pub binding: BindingConfig,
    /// Whether a DPoP proof must carry a nonce of ours (RFC 9449 §9), which no proof that was made ahead has.
    #[serde(default)]
    pub dpop_nonce: bool,
    /// Claims that a token must have.
    #[serde(default)]
    pub required_claims: Vec<RequiredClaimConfig>,
    /// The longest time between `iat` and `exp` that is admitted; `iat` is then required.
    pub max_lifetime: Option<Span>,
    /// How far the clocks may differ (at most 5m).
    #[serde(default = "default_clock_skew")]
    pub clock_skew: Span,
    /// Whether a token without `exp` is refused.
    #[serde(default = "yes")]
    pub require_exp: bool,
    /// The `typ` values that are admitted; by default none, `JWT` and `at+jwt` (RFC 9068 §2.1).
    pub typ: Option<Vec<String>>,
    /// The claim that `role:` subjects of the policies read.
    #[serde(default = "default_roles")]
    pub roles: Name,
}

/// Where an issuer's keys come from: exactly one field.
#[derive(Debug, Clone, Default, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// `true`: by OpenID Connect Discovery 1.0 §4 from the issuer's `/.well-known/openid-configuration`.
    pub discovery: Option<bool>,
    /// The address of the JWK Set (RFC 7517 §5).
    pub jwks_uri: Option<String>,
    /// The JWK Set itself.
    pub jwks: Option<serde_json::Map<String, Value>>,
    /// A shared secret, for HS* only.
    pub secret: Option<SecretConfig>,
}

/// A secret, by reference: never in the configuration itself.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SecretConfig {
    /// The environment variable that holds it (`vm_config.environment_variables.host_env_keys`).
    pub env: String,
    /// How its text is read.
    #[serde(default)]
    pub encoding: SecretEncoding,
}

/// How the text of a secret becomes bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SecretEncoding {
    /// The bytes of the text itself.
    #[default]
    Text,
    /// Base64url without padding (RFC 4648 §5).
    Base64url,
}

/// A header that carries a token.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FromHeader {
    /// The header's name.
    pub name: String,
    /// What stands before the token, compared without case (`Bearer `).
    #[serde(default)]
    pub value_prefix: String,
}

/// A claim that a token must have. Without a test, it must only be there.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RequiredClaimConfig {
    /// The claim: names joined by dots, or a list of names.
    pub claim: Name,
    /// The value that it must equal.
    pub equals: Option<Value>,
    /// The values of which it must equal one.
    pub one_of: Option<Vec<Value>>,
    /// The value that the claim, an array (or a string of words as in `scope`), must contain.
    pub contains: Option<Value>,
}

/// One rule: what it matches, and what it asks for. Exactly one of `allow`, `require` and `optional`.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// A name for metrics and access logs; by default the rule's number from 0.
    pub name: Option<String>,
    /// The requests that the rule is for.
    #[serde(rename = "match")]
    pub matches: MatchConfig,
    /// `anyone`: lets through without reading any evidence.
    pub allow: Option<Allow>,
    /// The evidence that must be there.
    pub require: Option<Requirement>,
    /// The evidence that may be absent; where it is there, it must hold.
    pub optional: Option<Requirement>,
    /// Where a browser is sent that lacks what `require` asks for; programs get a 401 in any case.
    pub otherwise: Option<Otherwise>,
    /// The contexts of authentication of which the login or token must name one (`acr`, RFC 9470).
    #[serde(default)]
    pub acr_values: Vec<String>,
    /// How long ago somebody may have signed in at most (`auth_time`, RFC 9470).
    pub max_age: Option<Span>,
    /// Whether an allow of the policies is needed as well.
    #[serde(default)]
    pub authorize: bool,
    /// Names of actions for the policies, by method. A method that is not here is its own name.
    #[serde(default)]
    pub actions: Named<String>,
    /// Whether the services behind get the gateway's own token here (`forward.token`); true where nothing is said.
    pub gateway_token: Option<bool>,
}

/// The requests that a rule is for. Everything that is given must match.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MatchConfig {
    /// Path patterns: exact, `*` for one whole segment, `**` for any number of them.
    pub path: OneOrMany,
    /// Methods, case-sensitive (RFC 9110 §9.1).
    pub methods: Option<Vec<String>>,
    /// Hosts of the authority, compared without case; with a port only where the port is part of it; `*.` for any labels.
    pub hosts: Option<Vec<String>>,
    /// Headers, by name.
    #[serde(default)]
    pub headers: Named<HeaderMatch>,
    /// `true`: only CORS preflights (`OPTIONS` with `origin` and `access-control-request-method`).
    #[serde(default)]
    pub preflight: bool,
}

/// One text or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMany(pub Vec<String>);

/// How a header must be.
#[derive(Debug, Clone, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum HeaderMatch {
    /// Its only value equals this.
    Equals(String),
    /// Its only value starts with this.
    Prefix(String),
    /// It is there, or it is not.
    Present(bool),
}

/// Who is let through without evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Allow {
    /// Everyone.
    Anyone,
}

/// The evidence that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// A token of the named issuer.
    Token(TokenRequirement),
    /// An API token of the named set.
    ApiToken(String),
    /// A client certificate that the proxy's listener verified.
    ClientCertificate(CertificateConfig),
    /// A presentation of the named credential, in this session or by a token that is bound to the holder's key.
    Credential(String),
    /// A session that began with the login of that name.
    Login(String),
    /// At least one of these.
    Any(Vec<Requirement>),
    /// All of these.
    All(Vec<Requirement>),
}

/// A token of an issuer: its name, or an object with more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(untagged))]
pub enum TokenRequirement {
    /// Any good token of the named issuer.
    Of(String),
    /// One for an audience.
    For(TokenForConfig),
}

/// A token of an issuer, for an audience.
#[derive(Debug, Clone, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenForConfig {
    /// The name of the issuer.
    pub issuer: String,
    /// Of the issuer's `audiences` those that are good enough here: the token must name one.
    pub audiences: Vec<String>,
}

impl FromNode for TokenRequirement {
    fn from_node(node: &tree::Node<'_>) -> Self {
        match node.as_text() {
            Some(name) => Self::Of(name.to_owned()),
            None => Self::For(TokenForConfig::from_node(node)),
        }
    }
}

/// A statement of the policies: subjects, actions and resources, all of which must match.
#[derive(Debug, Clone, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// A name for the report of checks; by default the statement's number from 0.
    pub name: Option<String>,
    /// What follows when it matches.
    pub effect: Effect,
    /// `sub:corp.alice`, `role:corp.clerk`, `client:corp.app`, `scope:corp.orders:read`, or `*`.
    pub subjects: Vec<String>,
    /// Methods, names that a rule maps them to, or `*`.
    pub actions: Vec<String>,
    /// Path patterns, in which a whole segment can be bound to a claim (`/users/{corp.sub}/**`).
    pub resources: Vec<String>,
}

/// What follows when a statement matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It allows, where no other statement denies.
    Allow,
    /// It denies, whatever else allows, on every rule.
    Deny,
}

/// What the services behind are told.
#[derive(Debug, Clone, Default, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ForwardConfig {
    /// Claims by the name of the header that carries them. The client's own copies are removed on every path.
    #[serde(default)]
    pub headers: Named<Name>,
    /// A token of our own for the services, minted for each caller.
    pub token: Option<TokenConfig>,
}

/// Where documents are fetched from, and how long they serve.
#[derive(Debug, Clone, Default, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct FetchConfig {
    /// The Envoy cluster of each authority (`host` or `host:port`): the only hosts that documents are ever fetched from.
    pub clusters: Named<String>,
    /// How long one fetch may take.
    pub timeout: Option<Span>,
    /// How long a document is fresh.
    pub lifetime: LifetimeConfig,
    /// How long a document that is no longer fresh serves while its provider is down.
    pub stale: Option<Span>,
    /// The shortest time between two fetches for keys that are not in a fresh set, or after a failure.
    pub cooldown: Option<Span>,
}

/// How long a document is fresh: its `Cache-Control: max-age` within bounds, or the default.
#[derive(Debug, Clone, Default, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LifetimeConfig {
    /// Where the reply does not say (10m).
    pub default: Option<Span>,
    /// At least (1m).
    pub min: Option<Span>,
    /// At most (24h).
    pub max: Option<Span>,
}

/// Bounds.
#[derive(Debug, Clone, Default, FromNode)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The longest token (16KiB).
    pub token_bytes: Option<ByteSize>,
    /// The longest document (256KiB).
    pub document_bytes: Option<ByteSize>,
    /// How many requests may wait for documents in one worker (4096).
    pub waiting_requests: Option<u32>,
    /// How long a request may wait (5s).
    pub waiting_time: Option<Span>,
    /// How many verified tokens one worker remembers (10000; 0 for none).
    pub cached_verdicts: Option<u32>,
}

fn yes() -> bool {
    true
}

fn default_algorithms() -> Vec<String> {
    ["RS256", "ES256", "ES384", "EdDSA"].map(str::to_owned).to_vec()
}

fn default_clock_skew() -> Span {
    Span::from_secs(60)
}

fn default_roles() -> Name {
    Name(vec!["roles".to_owned()])
}

impl FromNode for OneOrMany {
    fn from_node(node: &tree::Node<'_>) -> Self {
        Self(name::one_or_many(node, "a text or a list of texts"))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for OneOrMany {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "One text or a list of texts.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn first_error(value: Value) -> String {
        Config::from_value(value).unwrap_err()[0].to_string()
    }

    #[test]
    fn an_unknown_field_is_named_with_its_path() {
        let error = first_error(json!({ "rules": [{ "match": { "path": "/", "metods": [] }, "allow": "anyone" }] }));
        assert!(error.starts_with("rules[0].match.metods: unknown field `metods`"), "{error}");
    }

    #[test]
    fn a_wrong_type_deep_inside_is_named_with_its_path() {
        let error = first_error(json!({ "rules": [
            { "match": { "path": "/" }, "require": { "any": [{ "token": "a" }, { "token": 3 }] } }] }));
        assert!(error.starts_with("rules[0].require.any[1].token"), "{error}");
    }

    #[test]
    fn a_requirement_of_a_kind_that_is_not_known_is_refused() {
        let error = first_error(json!({ "rules": [{ "match": { "path": "/" }, "require": { "password": "x" } }] }));
        assert!(error.contains("unknown variant `password`"), "{error}");
    }

    #[test]
    fn a_span_without_a_unit_is_refused() {
        let error = first_error(json!({ "rules": [], "fetch": { "timeout": 2 } }));
        assert!(error.starts_with("fetch.timeout"), "{error}");
    }
}
