//! Whom a page trusts, as JSON in the words of the filter's configuration. There is no exception for `http`: what runs in
//! a person's browser fetches over https alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use carded_verifier::{Algorithm, HttpsUrl, Issuer, IssuerId, KeySet, KeySource, Limits, RustCrypto, Trust, UrlPolicy};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    issuers: BTreeMap<String, IssuerDescription>,
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

const POLICY: UrlPolicy = UrlPolicy { allow_http_localhost: false, allow_port: true };

/// Reads a trust description.
///
/// # Errors
/// What is wrong, as a sentence part for people.
pub(crate) fn parse(json: &str) -> Result<(Trust, Limits), String> {
    let description: Description =
        serde_json::from_str(json).map_err(|error| format!("the trust description: {error}"))?;
    let limits = Limits { url_policy: POLICY, ..Limits::default() };
    let issuers: Result<Vec<_>, String> =
        description.issuers.into_iter().map(|(name, described)| issuer(&name, described)).collect();
    let trust = Trust::new(issuers?, limits.clone(), Arc::new(RustCrypto)).map_err(|error| error.to_string())?;
    Ok((trust, limits))
}

fn issuer(name: &str, described: IssuerDescription) -> Result<Issuer, String> {
    let fail = |field: &str, why: String| format!("issuers.{name}.{field}: {why}");
    let id = IssuerId::parse(&described.issuer, POLICY).map_err(|error| fail("issuer", error.to_string()))?;
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
            KeySource::JwksUri(HttpsUrl::parse(&url, POLICY).map_err(|error| fail("keys.jwks_uri", error.to_string()))?)
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
