//! What may be asked for, in the words of the filter's configuration (`credentials`): an entry of one is an entry of the
//! other. Each becomes one policy of the verifier, or several with `alternatives`.

use std::time::Duration;

use carded_verifier::age::AgePolicy;
use carded_verifier::credential::{CredentialPolicy, StatusRule, StatusUnavailable, TrustedIssuer};
use carded_verifier::dcql::CredentialQuery;
use carded_verifier::time::parse_span;
use carded_verifier::{Algorithm, CredentialIndex, Trust, UrlPolicy};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The most ways in which one credential can be shown.
const MAX_WAYS: usize = 16;

/// One credential by its name, with the ways in which it can be shown.
pub(crate) struct Credential {
    pub(crate) name: String,
    /// Never empty.
    pub(crate) ways: Vec<CredentialIndex>,
}

/// A credential before the trust is built.
pub(crate) struct Described {
    name: String,
    pub(crate) policies: Vec<CredentialPolicy>,
}

impl Described {
    /// The ids of its ways, looked up in the trust.
    pub(crate) fn resolve(name: String, ids: &[String], trust: &Trust) -> Credential {
        Credential { name, ways: ids.iter().filter_map(|id| trust.credential_of(id)).collect() }
    }

    /// Its name and the ids of its ways.
    pub(crate) fn ids(&self) -> (String, Vec<String>) {
        (self.name.clone(), self.policies.iter().map(|policy| policy.query.id.clone()).collect())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Way {
    query: Map<String, Value>,
    age: Option<Age>,
    trusted_issuers: Vec<TrustedIssuerWord>,
    algorithms: Option<Vec<String>>,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    status_issuers: Vec<TrustedIssuerWord>,
    #[serde(default)]
    status_unavailable: Unavailable,
    #[serde(default = "yes")]
    holder_binding: bool,
    max_presentation_age: Option<String>,
    max_credential_age: Option<String>,
    clock_skew: Option<String>,
    #[serde(default)]
    accept_vc_sd_jwt: bool,
    #[serde(default)]
    alternatives: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Age {
    at_least: u8,
    #[serde(default)]
    higher: Vec<u8>,
    #[serde(default)]
    birth_date: bool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an https issuer or a DID as a text, or `{certificate}`")]
enum TrustedIssuerWord {
    Named(String),
    Root(Root),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    certificate: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Status {
    #[default]
    Require,
    IfPresent,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Unavailable {
    #[default]
    Refuse,
    Accept,
}

/// Reads one entry of `credentials`.
///
/// # Errors
/// What is wrong, with the path of the field.
pub(crate) fn parse(name: &str, value: &Value, policy: UrlPolicy) -> Result<Described, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err(format!("credentials.{name}: a name has a-z, 0-9, `-` and `_` only, 64 of them at most"));
    }
    let path = format!("credentials.{name}");
    let mut first = read(value, &path)?;
    let alternatives = std::mem::take(&mut first.alternatives);
    if alternatives.len() >= MAX_WAYS {
        return Err(format!("{path}.alternatives: fewer than {MAX_WAYS}"));
    }
    let mut policies = vec![way(name, first, &path, policy)?];
    for (index, value) in alternatives.iter().enumerate() {
        let path = format!("{path}.alternatives[{index}]");
        let other = read(value, &path)?;
        if !other.alternatives.is_empty() {
            return Err(format!("{path}.alternatives: an alternative has none of its own: list them side by side"));
        }
        policies.push(way(&format!("{name}-{}", index.saturating_add(2)), other, &path, policy)?);
    }
    Ok(Described { name: name.to_owned(), policies })
}

fn read(value: &Value, path: &str) -> Result<Way, String> {
    Way::deserialize(value).map_err(|error| format!("{path}: {error}"))
}

fn way(id: &str, way: Way, path: &str, policy: UrlPolicy) -> Result<CredentialPolicy, String> {
    let fail = |field: &str, why: &str| format!("{path}.{field}: {why}");
    let age = way.age.map(|age| AgePolicy { at_least: age.at_least, higher: age.higher, birth_date: age.birth_date });
    if let Some(Err((member, why))) = age.as_ref().map(AgePolicy::check) {
        return Err(fail(&member.join("."), why));
    }
    let mut wrong = None;
    let query = CredentialQuery::configured(&way.query, id, age.as_ref(), way.holder_binding, &mut |member, why| {
        let why = if member.is_empty() { why.to_owned() } else { format!("`{member}`: {why}") };
        wrong.get_or_insert_with(|| fail("query", &why));
    });
    let query = match (query, wrong) {
        (Some(query), None) => query,
        (_, wrong) => return Err(wrong.unwrap_or_else(|| fail("query", "no query"))),
    };
    let issuers = |words: Vec<TrustedIssuerWord>, field: &str| -> Result<Vec<_>, String> {
        let each = words.into_iter().enumerate();
        each.map(|(index, word)| issuer(word, policy).map_err(|why| fail(&format!("{field}[{index}]"), &why))).collect()
    };
    let trusted_issuers = issuers(way.trusted_issuers, "trusted_issuers")?;
    let status_issuers = issuers(way.status_issuers, "status_issuers")?;
    // the filter's own default
    let words = way.algorithms.unwrap_or_else(|| ["ES256", "ES384", "EdDSA"].map(str::to_owned).to_vec());
    let algorithm = |word: &String| {
        Algorithm::parse(word)
            .filter(|algorithm| !algorithm.is_symmetric())
            .ok_or_else(|| fail("algorithms", &format!("`{word}` is no signature algorithm here")))
    };
    let mut compiled =
        CredentialPolicy::new(query, trusted_issuers, words.iter().map(algorithm).collect::<Result<_, _>>()?);
    compiled.status_issuers = status_issuers;
    compiled.status = match way.status {
        Status::Require => StatusRule::Require,
        Status::IfPresent => StatusRule::IfPresent,
    };
    compiled.status_unavailable = match way.status_unavailable {
        Unavailable::Refuse => StatusUnavailable::Refuse,
        Unavailable::Accept => StatusUnavailable::Accept,
    };
    compiled.holder_binding = way.holder_binding;
    compiled.legacy_vc_sd_jwt = way.accept_vc_sd_jwt;
    compiled.age = age;
    let span = |field: &str, text: Option<String>| -> Result<Option<Duration>, String> {
        let wrong = || fail(field, "a time with its unit, such as 250ms, 2s, 10m, 8h or 1d");
        text.map(|text| parse_span(&text).ok_or_else(wrong)).transpose()
    };
    compiled.max_credential_age = span("max_credential_age", way.max_credential_age)?;
    if let Some(skew) = span("clock_skew", way.clock_skew)? {
        compiled.clock_skew = skew;
    }
    if let Some(age) = span("max_presentation_age", way.max_presentation_age)? {
        if age.is_zero() || age > Duration::from_secs(3600) {
            return Err(fail("max_presentation_age", "between 1s and 1h"));
        }
        compiled.max_presentation_age = age;
    }
    Ok(compiled)
}

fn issuer(word: TrustedIssuerWord, policy: UrlPolicy) -> Result<TrustedIssuer, String> {
    match word {
        TrustedIssuerWord::Named(text) => {
            TrustedIssuer::parse(&text, policy).map_err(|why| format!("`{text}` is no issuer: {why}"))
        }
        TrustedIssuerWord::Root(root) => {
            TrustedIssuer::root(&root.certificate).ok_or_else(|| "the certificate is neither PEM nor base64".to_owned())
        }
    }
}

fn yes() -> bool {
    true
}
