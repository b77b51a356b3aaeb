//! From a configuration to what the verifier and the gate work with: issuers, limits, and where documents come from.
//! Every error that a single field cannot know about is found here, all of them in one pass.

use std::time::Duration;

use carded_verifier::{
    Algorithm, ClaimPath, ClaimTest, HttpsUrl, Issuer, IssuerId, KeySet, KeySource, LifetimeBounds, Limits, Ordered,
    RequiredClaim, UrlPolicy,
};

use super::config::{
    BindingConfig, Config, ConfigError, Field, FromHeader, IssuerConfig, KeysConfig, Name, Otherwise,
    RequiredClaimConfig, SecretConfig, SecretEncoding,
};
use super::introspection::{self, Asking};
use super::place::PlaceKind;
use super::rule::{Rule, is_token};
use super::seal::Sealer;
use super::session::Sessions;

/// Reads a secret by the name of its environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What one issuer is beside what the verifier knows of it.
#[derive(Debug)]
pub(super) struct IssuerExtra {
    /// Where its tokens are read.
    pub(super) places: Vec<PlaceKind>,
    /// Whether its tokens are passed on.
    pub(super) forward: bool,
    /// What its tokens are bound to.
    pub(super) binding: BindingConfig,
    /// Whether proofs of a key carry a nonce of ours.
    pub(super) dpop_nonce: bool,
    /// The claim that holds its roles.
    pub(super) roles: ClaimPath,
    /// How it is asked about tokens that are no JWTs.
    pub(super) introspection: Option<Box<Asking>>,
}

/// How documents are fetched.
#[derive(Debug, Clone)]
pub struct Fetching {
    /// The cluster of each authority, in lower case.
    pub clusters: Ordered<String, String>,
    /// How long one fetch may take.
    pub timeout: Duration,
    /// The longest document, in bytes.
    pub document_bytes: usize,
    /// The shortest time between two tries after a failure.
    pub cooldown: Duration,
}

/// How many requests may wait for documents, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// How many in one worker.
    pub requests: usize,
    /// How long each.
    pub time: Duration,
}

pub(super) fn url_policy(config: &Config) -> UrlPolicy {
    // A port is safe here: nothing is fetched but from authorities that `fetch.clusters` names.
    UrlPolicy { allow_http_localhost: config.danger_allow_http_localhost, allow_port: true }
}

pub(super) fn limits(config: &Config, errors: &mut Vec<ConfigError>) -> Limits {
    let defaults = Limits::default();
    let field = Field::top("fetch").key("lifetime");
    let span =
        |configured: Option<super::config::Span>, default: Duration| configured.map_or(default, |span| span.duration());
    let lifetime = &config.fetch.lifetime;
    let (min, max) = (span(lifetime.min, defaults.lifetime.min), span(lifetime.max, defaults.lifetime.max));
    let default = span(lifetime.default, defaults.lifetime.default.clamp(min, max.max(min)));
    if min > max || default < min || default > max {
        errors.push(field.error("it must hold that min <= default <= max"));
    }
    if min < Duration::from_secs(1) {
        errors.push(field.key("min").error("a document is fresh for at least 1s"));
    }
    let cooldown = span(config.fetch.cooldown, defaults.cooldown);
    if cooldown < Duration::from_secs(1) {
        errors.push(Field::top("fetch").key("cooldown").error("at least 1s: every request could cause a fetch"));
    }
    let bytes =
        |configured: Option<super::config::ByteSize>, default: usize, key: &str, errors: &mut Vec<ConfigError>| {
            let bytes = configured.map_or(default, |size| size.bytes());
            if !(256..=4 * 1024 * 1024).contains(&bytes) {
                errors.push(Field::top("limits").key(key).error("between 256B and 4MiB"));
            }
            bytes
        };
    Limits {
        token_bytes: bytes(config.limits.token_bytes, defaults.token_bytes, "token_bytes", errors),
        document_bytes: bytes(config.limits.document_bytes, defaults.document_bytes, "document_bytes", errors),
        url_policy: url_policy(config),
        lifetime: LifetimeBounds { default, min, max },
        stale: span(config.fetch.stale, defaults.stale),
        cooldown,
        max_documents: config.issuers.len().saturating_mul(2).saturating_add(defaults.max_documents),
        ..defaults
    }
}

pub(super) fn fetching(config: &Config, limits: &Limits, errors: &mut Vec<ConfigError>) -> Fetching {
    let field = Field::top("fetch").key("clusters");
    let mut clusters = Ordered::new();
    for (authority, cluster) in &config.fetch.clusters {
        let scheme = if config.danger_allow_http_localhost && is_localhost(authority) { "http" } else { "https" };
        match HttpsUrl::parse(&format!("{scheme}://{authority}/"), url_policy(config)) {
            Ok(url) if url.path_and_query() == "/" => {
                clusters.insert(url.authority().to_ascii_lowercase(), cluster.clone());
            }
            _ => errors.push(field.key(authority).error("this is no authority: write host or host:port")),
        }
        if cluster.is_empty() {
            errors.push(field.key(authority).error("name the Envoy cluster that leads there"));
        }
    }
    let timeout = config.fetch.timeout.map_or(Duration::from_secs(2), |span| span.duration());
    if timeout.is_zero() || timeout > Duration::from_secs(60) {
        errors.push(Field::top("fetch").key("timeout").error("between 1ms and 60s"));
    }
    Fetching { clusters, timeout, document_bytes: limits.document_bytes, cooldown: limits.cooldown }
}

fn is_localhost(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.to_ascii_lowercase().ends_with(".localhost")
}

pub(super) fn waiting(config: &Config, errors: &mut Vec<ConfigError>) -> Waiting {
    let time = config.limits.waiting_time.map_or(Duration::from_secs(5), |span| span.duration());
    if time.is_zero() || time > Duration::from_secs(60) {
        errors.push(Field::top("limits").key("waiting_time").error("between 1ms and 60s"));
    }
    let requests = config.limits.waiting_requests.unwrap_or(4096);
    Waiting { requests: usize::try_from(requests).unwrap_or(usize::MAX), time }
}

pub(super) fn origins(config: &Config, errors: &mut Vec<ConfigError>) {
    for (index, origin) in config.origins.iter().enumerate() {
        let is_origin = HttpsUrl::parse(origin, url_policy(config))
            .is_ok_and(|url| url.path_and_query() == "/" && !origin.ends_with('/'));
        if !is_origin {
            errors.push(
                Field::top("origins")
                    .at(index)
                    .error(format!("`{origin}` is no origin: write https://host or https://host:port, without a path")),
            );
        }
    }
}

/// Compiles what sessions are sealed with.
pub(super) fn sessions(
    config: &Config,
    environment: Environment<'_>,
    errors: &mut Vec<ConfigError>,
) -> Option<Sessions> {
    let configured = config.sessions.as_ref()?;
    let field = Field::top("sessions");
    let sealer = Sealer::new(&configured.keys, config.meaning, &field.key("keys"), environment, errors);
    let lifetime = configured.lifetime.map_or(Duration::from_secs(8 * 3600), |span| span.duration());
    if lifetime < Duration::from_secs(10) || lifetime > Duration::from_secs(400 * 24 * 3600) {
        errors.push(field.key("lifetime").error("between 10s and 400 days, as long as browsers keep a cookie"));
    }
    let token_lifetime = configured.token_lifetime.map_or(Duration::from_secs(600), |span| span.duration());
    if token_lifetime < Duration::from_secs(10) || token_lifetime > Duration::from_secs(3600) {
        errors.push(field.key("token_lifetime").error("between 10s and 1h"));
    }
    let idle = configured.idle.map(|span| span.duration());
    if idle.is_some_and(|idle| idle < Duration::from_secs(60) || idle > lifetime) {
        errors.push(field.key("idle").error("between 1m and `lifetime`"));
    }
    Some(Sessions { sealer: sealer?, lifetime, idle, token_lifetime })
}

/// What showing a credential needs beside the credentials: sessions, our origins, and wallets for those who browse.
pub(super) fn presentable(config: &Config, rules: &[Rule], errors: &mut Vec<ConfigError>) {
    for (index, rule) in rules.iter().enumerate() {
        let field = Field::top("rules").at(index);
        if !rule.reads_credentials {
            continue;
        }
        if config.sessions.is_none() {
            errors.push(
                field.error("it asks for a credential or a login, and `sessions`, which remember it, is not there"),
            );
        }
        if config.origins.is_empty() {
            errors.push(
                field.error("it asks for a credential or a login, and `origins`, to which answers come, is empty"),
            );
        }
        if rule.otherwise == Some(Otherwise::Present) && config.presentation.is_none() {
            errors.push(field.key("otherwise").error("name the wallets under `presentation`"));
        }
    }
}

/// Compiles one issuer.
pub(super) fn issuer(
    name: &str,
    configured: &IssuerConfig,
    config: &Config,
    fetching: &Fetching,
    environment: Environment<'_>,
    errors: &mut Vec<ConfigError>,
) -> Option<(Issuer, IssuerExtra)> {
    let clusters = &fetching.clusters;
    let field = Field::top("issuers").key(name);
    let before = errors.len();
    if name.is_empty()
        || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    {
        errors.push(field.error("an issuer's name has a-z, 0-9, `-` and `_` only"));
    }
    if super::facts::is_taken(name) {
        errors.push(field.error("claims of client certificates or sessions are called so: take another name"));
    }
    let id = IssuerId::parse(&configured.issuer, url_policy(config))
        .map_err(|why| errors.push(field.key("issuer").error(why.to_string())))
        .ok();
    if configured.audiences.is_empty() || configured.audiences.iter().any(String::is_empty) {
        errors.push(field.key("audiences").error("name at least one audience of ours: without it any token would do"));
    }
    let algorithms = algorithms(configured, &field, errors);
    let keys = keys(configured, &algorithms, config, &field.key("keys"), environment, errors);
    if let (Some(id), Some(keys)) = (&id, &keys) {
        check_hosts(&configured.issuer, keys, config, clusters, &field, errors);
        if configured.tenants.is_some() && !id.is_pattern() {
            errors.push(field.key("tenants").error("`issuer` has no {tenant}"));
        }
    }
    if configured.clock_skew.duration() > Duration::from_secs(300) {
        errors.push(field.key("clock_skew").error("at most 5m"));
    }
    let claims = &configured.required_claims;
    let required_claims: Vec<_> = claims
        .iter()
        .enumerate()
        .filter_map(|(index, claim)| {
            let field = field.key("required_claims").at(index);
            required_claim(claim).map_err(|why| errors.push(field.error(why))).ok()
        })
        .collect();
    let roles = claim_path(&configured.roles).map_err(|why| errors.push(field.key("roles").error(why))).ok();
    let mut places = places(configured, &field, errors);
    if matches!(configured.binding, BindingConfig::IfPresent | BindingConfig::Dpop | BindingConfig::Any) {
        if config.origins.is_empty() {
            errors.push(field.key("binding").error("a DPoP proof is for an address of ours: name `origins`"));
        }
        places.push(PlaceKind::Header { name: "authorization".into(), prefix: super::possession::SCHEME.to_owned() });
    }
    if configured.dpop_nonce {
        let proofs = matches!(configured.binding, BindingConfig::IfPresent | BindingConfig::Dpop | BindingConfig::Any);
        if !proofs || config.sessions.is_none() {
            errors.push(field.key("dpop_nonce").error("it needs a `binding` with DPoP, and the keys of `sessions`"));
        }
    }
    let asked = configured.introspection.as_ref().map(|one| {
        let discovers = matches!(keys, Some(KeySource::Discovery));
        if configured.issuer.contains("{tenant}") {
            errors.push(field.key("introspection").error("an issuer with {tenant} cannot be asked: name each"));
        }
        introspection::compile(one, config, discovers, fetching, &field, environment, errors)
    });
    if errors.len() != before {
        return None;
    }
    let issuer = Issuer {
        name: name.to_owned(),
        issuer: id?,
        tenants: configured.tenants.as_ref().map(|tenants| tenants.iter().cloned().collect()),
        audiences: configured.audiences.clone(),
        algorithms,
        keys: keys?,
        required_claims,
        max_lifetime: configured.max_lifetime.map(|span| span.duration()),
        clock_skew: configured.clock_skew.duration(),
        require_exp: configured.require_exp,
        typ: configured.typ.clone(),
        introspects: asked.is_some(),
        login_client_ids: config.login.get(name).iter().map(|login| login.client_id.clone()).collect(),
    };
    let (forward, binding, dpop_nonce) = (configured.forward, configured.binding, configured.dpop_nonce);
    Some((issuer, IssuerExtra { places, forward, binding, dpop_nonce, roles: roles?, introspection: asked }))
}

fn algorithms(configured: &IssuerConfig, field: &Field, errors: &mut Vec<ConfigError>) -> Vec<Algorithm> {
    let field = field.key("algorithms");
    if configured.algorithms.is_empty() {
        errors.push(field.error("name at least one algorithm"));
    }
    let mut algorithms = Vec::new();
    for (index, name) in configured.algorithms.iter().enumerate() {
        match Algorithm::parse(name) {
            Some(algorithm) => algorithms.push(algorithm),
            None => errors.push(field.at(index).error(format!("`{name}` is no algorithm that is known here"))),
        }
    }
    let symmetric = algorithms.iter().filter(|algorithm| algorithm.is_symmetric()).count();
    if symmetric != 0 && symmetric != algorithms.len() {
        errors.push(field.error("HS* and algorithms with public keys do not go together in one issuer"));
    }
    algorithms
}

fn keys(
    issuer: &IssuerConfig,
    algorithms: &[Algorithm],
    config: &Config,
    field: &Field,
    environment: Environment<'_>,
    errors: &mut Vec<ConfigError>,
) -> Option<KeySource> {
    let configured: &KeysConfig = &issuer.keys;
    let symmetric = algorithms.iter().any(|algorithm| algorithm.is_symmetric());
    let asked = issuer.introspection.as_ref().is_some_and(|one| one.endpoint.is_some());
    let result = match (configured.discovery, &configured.jwks_uri, &configured.jwks, &configured.secret) {
        (Some(true), None, None, None) => Ok(KeySource::Discovery),
        (None, Some(uri), None, None) => HttpsUrl::parse(uri, url_policy(config))
            .map(KeySource::JwksUri)
            .map_err(|why| field.key("jwks_uri").error(why.to_string())),
        (None, None, Some(jwks), None) => {
            let text = serde_json::to_vec(jwks).unwrap_or_default();
            KeySet::parse(&text, algorithms)
                .map(KeySource::Inline)
                .map_err(|why| field.key("jwks").error(why.to_string()))
        }
        (None, None, None, None) if asked && !symmetric => Ok(KeySource::Inline(KeySet::default())),
        (None, None, None, Some(secret)) => secret_keys(secret, algorithms, &field.key("secret"), environment),
        _ => Err(field.error("give exactly one of `discovery: true`, `jwks_uri`, `jwks` and `secret`")),
    };
    if symmetric != configured.secret.is_some() {
        let message = if symmetric {
            "HS* needs `secret`: a shared key is never read from a document"
        } else {
            "`secret` is for HS* only, and `algorithms` names none"
        };
        errors.push(field.error(message));
    }
    result.map_err(|error| errors.push(error)).ok()
}

/// The bytes of a secret (threat 99).
pub(super) fn read_secret(
    secret: &SecretConfig,
    field: &Field,
    environment: Environment<'_>,
) -> Result<Vec<u8>, ConfigError> {
    let text = environment(&secret.env).ok_or_else(|| {
        field.error(format!(
            "the environment variable {} is not there: name it in vm_config.environment_variables.host_env_keys and set it for the proxy",
            secret.env
        ))
    })?;
    match secret.encoding {
        SecretEncoding::Text => Ok(text.into_bytes()),
        SecretEncoding::Base64url => carded_verifier::base64url::decode(text.as_bytes())
            .map_err(|_| field.error(format!("{} is no base64url without padding", secret.env))),
    }
}

fn secret_keys(
    secret: &SecretConfig,
    algorithms: &[Algorithm],
    field: &Field,
    environment: Environment<'_>,
) -> Result<KeySource, ConfigError> {
    let bytes = read_secret(secret, field, environment)?;
    let [algorithm] = algorithms else {
        return Err(field.error("a secret is for exactly one of HS256, HS384 and HS512: name one in `algorithms`"));
    };
    KeySet::from_secret(*algorithm, &bytes).map(KeySource::Inline).map_err(|why| field.error(why.to_string()))
}

/// Hosts that documents are certainly fetched from must have a cluster. (One that only discovery names is checked when
/// it is named.)
fn check_hosts(
    issuer: &str,
    keys: &KeySource,
    config: &Config,
    clusters: &Ordered<String, String>,
    field: &Field,
    errors: &mut Vec<ConfigError>,
) {
    let (authority, key) = match keys {
        KeySource::Discovery => {
            let url = HttpsUrl::parse(&issuer.replace("{tenant}", "t"), url_policy(config));
            (url.ok().map(|url| url.authority().to_owned()), "discovery")
        }
        KeySource::JwksUri(url) => (Some(url.authority().to_owned()), "jwks_uri"),
        KeySource::Inline(_) => return,
    };
    let field = field.key("keys").key(key);
    match authority {
        None => errors.push(field.error("`issuer` is no https address that could be asked: give `jwks_uri` or `jwks`")),
        Some(authority) if !clusters.contains_key(&authority.to_ascii_lowercase()) => errors.push(
            field.error(format!("documents would be fetched from `{authority}`, which `fetch.clusters` does not name")),
        ),
        Some(_) => {}
    }
}

fn required_claim(configured: &RequiredClaimConfig) -> Result<RequiredClaim, String> {
    let path = claim_path(&configured.claim)?;
    let test = match (&configured.equals, &configured.one_of, &configured.contains) {
        (Some(value), None, None) => ClaimTest::Equals(value.clone()),
        (None, Some(values), None) if !values.is_empty() => ClaimTest::OneOf(values.clone()),
        (None, None, Some(value)) => ClaimTest::Contains(value.clone()),
        _ => return Err("give exactly one of `equals`, `one_of` (not empty) and `contains`".to_owned()),
    };
    Ok(RequiredClaim { path, test })
}

fn claim_path(name: &Name) -> Result<ClaimPath, String> {
    ClaimPath::from_names(name.0.clone()).map_err(|error| error.to_string())
}

fn places(configured: &IssuerConfig, field: &Field, errors: &mut Vec<ConfigError>) -> Vec<PlaceKind> {
    let (headers, cookies, params) = (&configured.from_headers, &configured.from_cookies, &configured.from_params);
    let mut places = Vec::new();
    if headers.is_none() && cookies.is_none() && params.is_none() {
        places.push(PlaceKind::Header { name: "authorization".into(), prefix: "Bearer ".to_owned() });
    }
    for (index, FromHeader { name, value_prefix }) in headers.iter().flatten().enumerate() {
        let field = field.key("from_headers").at(index);
        if !is_token(name) || matches!(name.to_ascii_lowercase().as_str(), "cookie" | "host") {
            errors.push(field.key("name").error(format!("a token cannot be read from `{name}`")));
        }
        if !value_prefix.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            errors.push(field.key("value_prefix").error("visible ASCII only"));
        }
        places.push(PlaceKind::Header { name: name.to_ascii_lowercase().into(), prefix: value_prefix.clone() });
    }
    for (index, name) in cookies.iter().flatten().enumerate() {
        if !is_token(name) {
            errors.push(field.key("from_cookies").at(index).error(format!("`{name}` is no cookie's name")));
        }
        places.push(PlaceKind::Cookie(name.clone()));
    }
    for (index, name) in params.iter().flatten().enumerate() {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'))
        {
            errors.push(
                field
                    .key("from_params")
                    .at(index)
                    .error(format!("`{name}` is no parameter's name that reads the same encoded and decoded")),
            );
        }
        places.push(PlaceKind::Parameter(name.clone()));
    }
    if places.is_empty() {
        errors
            .push(field.error("its tokens are read from nowhere: give one of from_headers, from_cookies, from_params"));
    }
    places
}
