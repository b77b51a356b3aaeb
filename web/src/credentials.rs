//! What may be asked for, in the words of the filter's configuration (`credentials`): an entry of one is an entry of the
//! other. Each becomes one policy of the verifier, or several with `alternatives`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carded_verifier::age::AgePolicy;
use carded_verifier::credential::{CredentialPolicy, StatusRule, StatusUnavailable, TrustedIssuer};
use carded_verifier::dcql::{CredentialQuery, Format};
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
    if let Some(age) = &age {
        if !(1..=150).contains(&age.at_least) || age.higher.iter().any(|higher| *higher <= age.at_least) {
            return Err(fail("age", "`at_least` is between 1 and 150, and `higher` has higher ages only"));
        }
        if age.higher.len() > 8 {
            return Err(fail("age.higher", "8 at most"));
        }
    }
    let query = query(id, way.query, age.as_ref(), way.holder_binding).map_err(|why| fail("query", &why))?;
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
        text.map(|text| span(&text).ok_or_else(wrong)).transpose()
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

fn query(
    id: &str,
    mut members: Map<String, Value>,
    age: Option<&AgePolicy>,
    holder_binding: bool,
) -> Result<CredentialQuery, String> {
    for (name, why) in [
        ("id", "the credential's name is its id"),
        ("multiple", "one presentation answers one query here"),
        ("require_cryptographic_holder_binding", "say `holder_binding` beside the query"),
    ] {
        if members.contains_key(name) {
            return Err(format!("`{name}`: {why}"));
        }
    }
    // DCQL has a verifier ignore members that it does not know; in a configuration they are mistakes
    const KNOWN: [&str; 5] = ["format", "meta", "claims", "claim_sets", "trusted_authorities"];
    if let Some(unknown) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(format!("`{unknown}` is not known"));
    }
    if age.is_some() && (members.contains_key("claims") || members.contains_key("claim_sets")) {
        return Err("with `age` the claims are made from it: leave `claims` and `claim_sets` out".to_owned());
    }
    members.insert("id".to_owned(), Value::from(id));
    members.insert("require_cryptographic_holder_binding".to_owned(), Value::from(holder_binding));
    let mut query = CredentialQuery::parse(&Value::Object(members)).map_err(|why| why.to_string())?;
    if let Format::Other(format) = &query.format {
        return Err(format!("`{format}` is not known here: dc+sd-jwt or jwt_vc_json"));
    }
    if let Some(age) = age {
        (query.claims, query.claim_sets) = age.claims(&query.format);
    }
    Ok(query)
}

fn issuer(word: TrustedIssuerWord, policy: UrlPolicy) -> Result<TrustedIssuer, String> {
    match word {
        TrustedIssuerWord::Named(text) => {
            TrustedIssuer::parse(&text, policy).map_err(|why| format!("`{text}` is no issuer: {why}"))
        }
        TrustedIssuerWord::Root(root) => {
            let inner: String = root.certificate.lines().filter(|line| !line.starts_with("-----")).collect();
            let inner: String = inner.split_ascii_whitespace().collect();
            let wrong = |_| "the certificate is neither PEM nor base64".to_owned();
            STANDARD.decode(inner).map(|certificate| TrustedIssuer::Root { certificate }).map_err(wrong)
        }
    }
}

fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(milliseconds).map(Duration::from_millis)
}

fn yes() -> bool {
    true
}
