//! From the configured credentials to the verifier's policies: for each name the ways in which it can be shown, each a
//! DCQL credential query with an id of its own (OpenID4VP 1.0 §6.1), and whose word counts for it.

use std::time::Duration;

use carded_verifier::age::AgePolicy;
use carded_verifier::credential::{CredentialPolicy, StatusRule, StatusUnavailable, TrustedIssuer};
use carded_verifier::dcql::CredentialQuery;
use carded_verifier::{Algorithm, CredentialIndex, HttpsUrl, Ordered, Trust, UrlPolicy};
use serde_json::Value;

use super::config::{
    Config, ConfigError, CredentialConfig, Field, StatusConfig, TrustedIssuerConfig, UnavailableConfig,
};

/// The most ways in which one credential can be shown.
const MAX_WAYS: usize = 16;

/// One credential by its name, with the ways in which it can be shown.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) name: String,
    /// Never empty.
    pub(super) ways: Vec<CredentialIndex>,
}

impl Credential {
    /// Whether one issuer alone can vouch, so that a claim says who someone is (threat 53).
    pub(super) fn has_one_issuer(&self, trust: &Trust) -> bool {
        let issuers = |way: &CredentialIndex| trust.credential(*way).map(|policy| policy.trusted_issuers.as_slice());
        match self.ways.as_slice() {
            [way] => matches!(issuers(way), Some([TrustedIssuer::Https(_) | TrustedIssuer::Did(_)])),
            _ => false,
        }
    }
}

/// A name and the policies of its ways, before the trust is built.
#[derive(Debug)]
pub(super) struct Compiled {
    name: String,
    ids: Vec<String>,
}

/// Compiles all credentials.
pub(super) fn compile(
    config: &Config,
    clusters: &Ordered<String, String>,
    policy: UrlPolicy,
    errors: &mut Vec<ConfigError>,
) -> (Vec<Compiled>, Vec<CredentialPolicy>) {
    let (mut names, mut policies) = (Vec::new(), Vec::new());
    for (name, configured) in &config.credentials {
        let field = Field::top("credentials").key(name);
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            errors.push(field.error("a credential's name has a-z, 0-9, `-` and `_` only, 64 of them at most"));
        }
        if super::facts::is_taken(name) {
            errors.push(field.error("claims of client certificates or sessions are called so: take another name"));
        }
        if config.issuers.contains_key(name) {
            errors.push(field.error("an issuer has this name too: claims of both would be called the same"));
        }
        if configured.alternatives.len() >= MAX_WAYS {
            errors.push(field.key("alternatives").error(format!("fewer than {MAX_WAYS}")));
        }
        let mut ids = Vec::new();
        let alternatives = configured.alternatives.iter().enumerate();
        let ways = std::iter::once((field.clone(), configured))
            .chain(alternatives.map(|(index, way)| (field.key("alternatives").at(index), way)));
        for (index, (field, way)) in ways.enumerate() {
            if index > 0 && !way.alternatives.is_empty() {
                errors.push(
                    field.key("alternatives").error("an alternative has none of its own: list them side by side"),
                );
            }
            let id = if index == 0 { name.clone() } else { format!("{name}-{}", index.saturating_add(1)) };
            if let Some(compiled) = way_of(&id, way, clusters, policy, &field, errors) {
                policies.push(compiled);
                ids.push(id);
            }
        }
        names.push(Compiled { name: name.clone(), ids });
    }
    (names, policies)
}

/// Finds the ways of each name in the trust.
pub(super) fn resolve(compiled: Vec<Compiled>, trust: &Trust) -> Vec<Credential> {
    let ways = |ids: &[String]| ids.iter().filter_map(|id| trust.credential_of(id)).collect();
    compiled.into_iter().map(|one| Credential { ways: ways(&one.ids), name: one.name }).collect()
}

fn way_of(
    id: &str,
    way: &CredentialConfig,
    clusters: &Ordered<String, String>,
    policy: UrlPolicy,
    field: &Field,
    errors: &mut Vec<ConfigError>,
) -> Option<CredentialPolicy> {
    let before = errors.len();
    let age = way.age.as_ref().map(|age| AgePolicy {
        at_least: age.at_least,
        higher: age.higher.clone(),
        birth_date: age.birth_date,
    });
    if let Some(Err((path, why))) = age.as_ref().map(AgePolicy::check) {
        errors.push(path.iter().fold(field.clone(), |field, name| field.key(name)).error(why));
    }
    let query = query(id, way, age.as_ref(), field, errors);
    let issuers = |configured: &[TrustedIssuerConfig], field: &Field, errors: &mut Vec<ConfigError>| -> Vec<_> {
        let each = configured.iter().enumerate();
        each.filter_map(|(index, one)| {
            trusted_issuer(one, clusters, policy).map_err(|why| errors.push(field.at(index).error(why))).ok()
        })
        .collect()
    };
    if way.trusted_issuers.is_empty() {
        errors.push(field.key("trusted_issuers").error("name at least one: without it nobody's word would count"));
    }
    let trusted_issuers = issuers(&way.trusted_issuers, &field.key("trusted_issuers"), errors);
    let status_issuers = issuers(&way.status_issuers, &field.key("status_issuers"), errors);
    let mut algorithms = Vec::new();
    for (index, name) in way.algorithms.iter().enumerate() {
        match Algorithm::parse(name) {
            Some(algorithm) if !algorithm.is_symmetric() => algorithms.push(algorithm),
            _ => {
                errors.push(field.key("algorithms").at(index).error(format!("`{name}` is no signature algorithm here")))
            }
        }
    }
    if way.algorithms.is_empty() {
        errors.push(field.key("algorithms").error("name at least one algorithm"));
    }
    let clock_skew = way.clock_skew.map_or(Duration::from_secs(60), |span| span.duration());
    if clock_skew > Duration::from_secs(300) {
        errors.push(field.key("clock_skew").error("at most 5m"));
    }
    let max_presentation_age = way.max_presentation_age.map_or(Duration::from_secs(300), |span| span.duration());
    if max_presentation_age.is_zero() || max_presentation_age > Duration::from_secs(3600) {
        errors.push(field.key("max_presentation_age").error("between 1s and 1h"));
    }
    if errors.len() != before {
        return None;
    }
    Some(CredentialPolicy {
        query: query?,
        trusted_issuers,
        algorithms,
        status: match way.status {
            StatusConfig::Require => StatusRule::Require,
            StatusConfig::IfPresent => StatusRule::IfPresent,
        },
        status_issuers,
        status_unavailable: match way.status_unavailable {
            UnavailableConfig::Refuse => StatusUnavailable::Refuse,
            UnavailableConfig::Accept => StatusUnavailable::Accept,
        },
        holder_binding: way.holder_binding,
        max_presentation_age,
        max_credential_age: way.max_credential_age.map(|span| span.duration()),
        clock_skew,
        legacy_vc_sd_jwt: way.accept_vc_sd_jwt,
        age,
    })
}

fn query(
    id: &str,
    way: &CredentialConfig,
    age: Option<&AgePolicy>,
    field: &Field,
    errors: &mut Vec<ConfigError>,
) -> Option<CredentialQuery> {
    let field = field.key("query");
    let Value::Object(members) = &way.query else {
        errors.push(field.error("write a DCQL credential query: `format`, `meta` and `claims`"));
        return None;
    };
    CredentialQuery::configured(members, id, age, way.holder_binding, &mut |member, why| {
        let field = if member.is_empty() { field.clone() } else { field.key(member) };
        errors.push(field.error(why));
    })
}

fn trusted_issuer(
    configured: &TrustedIssuerConfig,
    clusters: &Ordered<String, String>,
    policy: UrlPolicy,
) -> Result<TrustedIssuer, String> {
    let reachable = |url: &HttpsUrl| {
        clusters.contains_key(&url.authority().to_ascii_lowercase()).then_some(()).ok_or_else(|| {
            format!("its documents would be fetched from `{}`, which `fetch.clusters` does not name", url.authority())
        })
    };
    match configured {
        TrustedIssuerConfig::Named(text) => {
            let issuer = TrustedIssuer::parse(text, policy).map_err(|why| format!("`{text}` is no issuer: {why}"))?;
            match &issuer {
                TrustedIssuer::Did(did) if did.method() == "web" => {
                    reachable(&did.web_url(policy).map_err(|why| why.to_string())?)?;
                }
                TrustedIssuer::Https(_) => reachable(&HttpsUrl::parse(text, policy).map_err(|why| why.to_string())?)?,
                _ => {}
            }
            Ok(issuer)
        }
        TrustedIssuerConfig::Root(root) => {
            TrustedIssuer::root(&root.certificate).ok_or_else(|| "the certificate is neither PEM nor base64".to_owned())
        }
    }
}
