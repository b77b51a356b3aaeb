//! Tokens that only their issuer can read: it is asked about them (RFC 7662). What it says is a verdict like any other, for a
//! while; what it says no to is remembered for a moment, so that a token that is shown again and again is asked about once.
//!
//! A call goes to an issuer only for what can be no JWT and no token of ours. All requests of a worker with the same token
//! wait for one call, and so many calls are begun in a second, of which half are kept for sources that bring no bad tokens
//! (threats 79 and 83).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use carded_verifier::api_token::PREFIX;
use carded_verifier::{
    Class, Documents, HttpsUrl, Introspection, IssuerIndex, Outcome, Timestamp, provider_metadata, verify_introspection,
};
use form_urlencoded::Serializer;

use super::Gate;
use super::cache::Key;
use super::client;
use super::compile::{Environment, Fetching, IssuerExtra, url_policy};
use super::config::{AuthMethod, Config, ConfigError, Field, IntrospectionConfig};
use super::decide::{Around, Halt};
use super::effect::{Effect, EffectKind, Effected};
use super::possession;
use super::reply::Refusal;
use super::rule::Rule;
use super::verdicts::Verdicts;

/// How long a no is remembered at most.
const NO: Duration = Duration::from_secs(10);

/// The compiled `introspection` of an issuer.
pub(super) struct Asking {
    endpoint: Option<HttpsUrl>,
    client_id: String,
    client_secret: String,
    auth_method: Option<AuthMethod>,
    keep: Duration,
    require_audience: bool,
    require_token_type: bool,
}

impl std::fmt::Debug for Asking {
    /// Never shows the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// A question about a token. Its answer is for every request that brings the same one.
#[derive(Debug)]
pub struct Inquiry {
    issuer: IssuerIndex,
    key: Key,
    /// The call that asks it.
    pub effect: Effect,
}

impl Inquiry {
    /// Whether both are about the same token.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.key == other.key
    }
}

pub(super) fn compile(
    configured: &IntrospectionConfig,
    config: &Config,
    discovers: bool,
    fetching: &Fetching,
    field: &Field,
    environment: Environment<'_>,
    errors: &mut Vec<ConfigError>,
) -> Box<Asking> {
    let field = field.key("introspection");
    let endpoint = configured.endpoint.as_deref().and_then(|endpoint| {
        let url = HttpsUrl::parse(endpoint, url_policy(config))
            .map_err(|why| errors.push(field.key("endpoint").error(why.to_string())))
            .ok()?;
        if !fetching.clusters.contains_key(&url.authority().to_ascii_lowercase()) {
            errors.push(field.key("endpoint").error(format!("`fetch.clusters` does not name `{}`", url.authority())));
        }
        Some(url)
    });
    if configured.endpoint.is_none() && !discovers {
        errors.push(field.error("name the `endpoint`, or give the issuer `keys: { discovery: true }`"));
    }
    if !client::is_word(&configured.client_id) {
        errors.push(field.key("client_id").error("between 1 and 256 visible characters"));
    }
    let keep = configured.cache.map_or(Duration::from_secs(60), |span| span.duration());
    if keep < Duration::from_secs(1) || keep > Duration::from_secs(3600) {
        errors.push(field.key("cache").error("between 1s and 1h"));
    }
    if config.limits.cached_verdicts == Some(0) {
        errors.push(field.error("answers are remembered: `limits.cached_verdicts` cannot be 0"));
    }
    let secret = &configured.client_secret;
    Box::new(Asking {
        endpoint,
        client_id: configured.client_id.clone(),
        client_secret: client::read_client_secret(secret, &field.key("client_secret"), environment, errors),
        auth_method: configured.auth_method,
        keep,
        require_audience: configured.require_audience,
        require_token_type: configured.require_token_type,
    })
}

/// Whose a token is that nobody here can read must be clear from where it stands.
pub(super) fn check_rules(rules: &[Rule], issuers: &[IssuerExtra], errors: &mut Vec<ConfigError>) {
    for (index, rule) in rules.iter().enumerate() {
        for place in &rule.places {
            let mut asked = place
                .issuers
                .iter()
                .filter(|issuer| issuers.get(issuer.as_usize()).is_some_and(|extra| extra.introspection.is_some()));
            let why = match (asked.next(), asked.next()) {
                (Some(_), Some(_)) => "two of its issuers would be asked about tokens from one place: name one",
                (Some(_), None) if rule.reads_credentials && possession::is_scheme(&place.kind) => {
                    "after `DPoP` it reads tokens of ours and of an issuer that is asked about them: nobody could tell which"
                }
                _ => continue,
            };
            errors.push(Field::top("rules").at(index).error(why));
        }
    }
}

/// Whether it is of the form of a bearer token (RFC 6750 §2.1), and of neither a JWT nor a token of ours. A JWT's header is
/// JSON, so that its first letter is an `e`.
fn is_opaque(token: &[u8]) -> bool {
    let unpadded = token.trim_ascii_end().split(|byte| *byte == b'=').next().unwrap_or_default();
    let padding = token.get(unpadded.len()..).unwrap_or_default();
    let is_jwt = token.starts_with(b"e") && token.iter().filter(|byte| **byte == b'.').count() == 2;
    !unpadded.is_empty()
        && unpadded.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte))
        && padding.iter().all(|byte| *byte == b'=')
        && !is_jwt
        && !token.starts_with(PREFIX.as_bytes())
}

impl Gate {
    fn asking(&self, issuer: IssuerIndex) -> Option<&Asking> {
        self.issuers.get(issuer.as_usize())?.introspection.as_deref()
    }

    /// The issuer that is to be asked about a token, if any of these is.
    pub(super) fn asked_about(&self, token: &[u8], issuers: &[IssuerIndex]) -> Option<IssuerIndex> {
        if !self.asks_issuers || token.len() > self.limits.token_bytes || !is_opaque(token) {
            return None;
        }
        issuers.iter().copied().find(|issuer| self.asking(*issuer).is_some())
    }

    /// What follows for a token on which there is no verdict: the issuer said no a moment ago, or is asked.
    pub(super) fn introspect(
        &self,
        token: &[u8],
        key: Option<Key>,
        issuer: IssuerIndex,
        known: &Documents,
        around: &mut Around<'_>,
    ) -> Result<Rc<carded_verifier::Denied>, Halt> {
        let later = |why: &str| Halt::from(Refusal::introspection_unavailable(why).retry_after(Duration::from_secs(1)));
        let (Some(asking), Some(key)) = (self.asking(issuer), key) else {
            return Err(later("the issuer cannot be asked about this token here"));
        };
        if let Some(denied) = around.verdicts.denied(&key, issuer, around.now) {
            return Ok(denied);
        }
        let (url, in_form) = match &asking.endpoint {
            Some(url) => (url, false),
            None => match provider_metadata(issuer, &self.trust, known, around.now) {
                Outcome::Need(fetch) => return Err(Halt::Need(fetch)),
                Outcome::Denied(denied) => return Err(Refusal::from_denied(&denied).into()),
                Outcome::Verified(provider) => match &provider.introspection_endpoint {
                    Some(url) => (url, provider.secret_in_form),
                    None => return Err(later("the issuer's metadata names no introspection endpoint")),
                },
            },
        };
        let in_form = asking.auth_method.map_or(in_form, |method| method == AuthMethod::ClientSecretPost);
        if !around.budget.take_call(around.connection, around.now) {
            return Err(later("too many unknown tokens at once: try again"));
        }
        let mut form = Serializer::new(String::new());
        // ASCII, as was looked at
        form.append_pair("token", &String::from_utf8_lossy(token)).append_pair("token_type_hint", "access_token");
        let authorization = client::authenticate(&mut form, &asking.client_id, &asking.client_secret, in_form);
        let effect = Effect {
            kind: EffectKind::Introspection,
            url: url.clone(),
            authorization,
            form: form.finish(),
            kept: String::new(),
        };
        Err(Halt::Ask(Box::new(Inquiry { issuer, key, effect })))
    }

    /// The answer to a question is here: it is remembered, and whoever waits for it can be asked again.
    pub fn answered(&self, question: &Inquiry, answer: &Effected, verdicts: &mut Verdicts, now: Timestamp) {
        let Inquiry { issuer, key, .. } = *question;
        let Some(asking) = self.asking(issuer) else { return };
        let none = Arc::default();
        let asked = Introspection {
            issuer,
            answer,
            require_audience: asking.require_audience,
            require_token_type: asking.require_token_type,
            keep: asking.keep,
            paths: self.asked_claims(issuer).unwrap_or(&none),
        };
        match verify_introspection(&asked, &self.trust, now) {
            Outcome::Verified((condensed, basis)) => verdicts.put_token(key, &Rc::new(condensed), basis, now),
            Outcome::Denied(denied) => {
                let wait = match denied.class() {
                    Class::Unavailable => denied.retry_after().unwrap_or(NO),
                    Class::Evidence | Class::Insufficient => NO.min(asking.keep),
                };
                verdicts.put_denied(key, issuer, denied, now.saturating_add(wait), now);
            }
            Outcome::Need(_) => {}
        }
    }
}
