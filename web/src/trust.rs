//! Whom a page or site trusts, as JSON in the words of the filter's configuration. Documents come over https alone, but for
//! `danger_allow_http_localhost`, which admits http for hosts that end in `.localhost`, for development.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use carded_verifier::{Algorithm, HttpsUrl, Issuer, IssuerId, KeySet, KeySource, Limits, RustCrypto, Trust, UrlPolicy};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::credentials::{self, Credential, Described};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    #[serde(default)]
    issuers: BTreeMap<String, IssuerDescription>,
    #[serde(default)]
    credentials: BTreeMap<String, Value>,
    /// Hosts beside those of the issuers from which documents are fetched.
    #[serde(default)]
    fetch_hosts: Vec<String>,
    #[serde(default)]
    danger_allow_http_localhost: bool,
}

/// A description that makes sense.
pub(crate) struct Parsed {
    pub(crate) trust: Trust,
    pub(crate) limits: Limits,
    pub(crate) credentials: Vec<Credential>,
    /// Hosts, with their ports, that it names.
    pub(crate) hosts: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerDescription {
    issuer: String,
    audiences: Vec<String>,
    algorithms: Vec<String>,
    keys: KeysDescription,
    clock_skew_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeysDescription {
    Discovery(bool),
    JwksUri(String),
    Jwks(Map<String, Value>),
}

/// Reads a trust description.
///
/// # Errors
/// What is wrong, as a sentence part for people.
pub(crate) fn parse(json: &str) -> Result<Parsed, String> {
    let description: Description =
        serde_json::from_str(json).map_err(|error| format!("the trust description: {error}"))?;
    // Ports are admitted for all: whoever fetches asks first whether the host is named (`Parsed::hosts`), or is a browser.
    let policy = UrlPolicy { allow_http_localhost: description.danger_allow_http_localhost, allow_port: true };
    let limits = Limits { url_policy: policy, ..Limits::default() };
    if description.issuers.is_empty() && description.credentials.is_empty() {
        return Err("name `issuers`, `credentials` or both: without them nobody is trusted".to_owned());
    }
    let each = description.issuers.into_iter();
    let issuers = each.map(|(name, described)| issuer(&name, described, policy)).collect::<Result<Vec<_>, _>>()?;
    let each = description.credentials.iter();
    let described = each.map(|(name, value)| credentials::parse(name, value, policy)).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<_> = described.iter().map(Described::ids).collect();
    let policies = described.into_iter().flat_map(|one| one.policies).collect();
    let trust = Trust::new(issuers, limits.clone(), Arc::new(RustCrypto))
        .and_then(|trust| trust.with_credentials(policies))
        .map_err(|error| error.to_string())?;
    let credentials = ids.into_iter().map(|(name, ids)| Described::resolve(name, &ids, &trust)).collect();
    let mut hosts: BTreeSet<String> =
        trust.first_fetches().iter().map(|fetch| fetch.url().authority().to_owned()).collect();
    for host in description.fetch_hosts {
        let url = HttpsUrl::parse(&format!("https://{host}/"), policy)
            .ok()
            .filter(|url| url.authority() == host)
            .ok_or_else(|| format!("fetch_hosts: `{host}` is no host in lower case, such as keys.example.com"))?;
        hosts.insert(url.authority().to_owned());
    }
    Ok(Parsed { trust, limits, credentials, hosts })
}

fn issuer(name: &str, described: IssuerDescription, policy: UrlPolicy) -> Result<Issuer, String> {
    let fail = |field: &str, why: String| format!("issuers.{name}.{field}: {why}");
    let id = IssuerId::parse(&described.issuer, policy).map_err(|error| fail("issuer", error.to_string()))?;
    let mut algorithms = Vec::new();
    for word in &described.algorithms {
        let algorithm = Algorithm::parse(word).ok_or_else(|| fail("algorithms", format!("`{word}` is not known")))?;
        if algorithm.is_symmetric() {
            return Err(fail("algorithms", format!("`{word}` needs a secret, which a page cannot keep")));
        }
        algorithms.push(algorithm);
    }
    let keys = match described.keys {
        KeysDescription::Discovery(true) => KeySource::Discovery,
        KeysDescription::Discovery(false) => return Err(fail("keys", "`discovery: false` says nothing".to_owned())),
        KeysDescription::JwksUri(url) => {
            KeySource::JwksUri(HttpsUrl::parse(&url, policy).map_err(|error| fail("keys.jwks_uri", error.to_string()))?)
        }
        KeysDescription::Jwks(set) => {
            let text = Value::Object(set).to_string();
            let set =
                KeySet::parse(text.as_bytes(), &algorithms).map_err(|error| fail("keys.jwks", error.to_string()))?;
            KeySource::Inline(set)
        }
    };
    let mut issuer = Issuer::new(name, id, described.audiences, algorithms, keys);
    if let Some(seconds) = described.clock_skew_seconds {
        issuer.clock_skew = Duration::from_secs(seconds);
    }
    Ok(issuer)
}
