//! Rules that need more than a login: that somebody signed in in a certain way, or a short while ago (RFC 9470). A browser is
//! sent to sign in once more; a program reads what is needed.

use std::time::Duration;

use carded_verifier::{ClaimPath, IssuerIndex, Timestamp};
use serde_json::Value;

use super::config::{ConfigError, Field, RuleConfig};
use super::facts::{Facts, Word};
use super::reply::Refusal;
use super::requirement::Requirement;

/// How somebody must have signed in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StepUp {
    /// The contexts of authentication of which one is needed; any where there is none.
    pub(super) acr_values: Vec<String>,
    pub(super) max_age: Option<Duration>,
    /// The issuers whose tokens count here, in order.
    issuers: Vec<IssuerIndex>,
    acr: Option<ClaimPath>,
    auth_time: Option<ClaimPath>,
}

impl StepUp {
    /// What a rule asks for beyond its requirement.
    pub(super) fn compile(
        configured: &RuleConfig,
        requirement: Option<&Requirement>,
        field: &Field,
        errors: &mut Vec<ConfigError>,
    ) -> Option<Box<Self>> {
        if configured.acr_values.is_empty() && configured.max_age.is_none() {
            return None;
        }
        let key = if configured.acr_values.is_empty() { "max_age" } else { "acr_values" };
        let issuers = requirement.map(Requirement::issuers).unwrap_or_default();
        if issuers.is_empty() && !requirement.is_some_and(|asked| asked.names_login(None)) {
            errors.push(field.key(key).error("only a login or a token in `require` says how somebody signed in"));
        }
        let visible =
            |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if !configured.acr_values.iter().all(visible) {
            errors.push(field.key("acr_values").error("each is one word"));
        }
        if configured.max_age.is_some_and(|span| span.duration() < Duration::from_secs(10)) {
            errors.push(field.key("max_age").error("at least 10s: nobody could use what they signed in for"));
        }
        let path = |name: &str| ClaimPath::from_names(vec![name.to_owned()]).ok();
        Some(Box::new(Self {
            acr_values: configured.acr_values.clone(),
            max_age: configured.max_age.map(|span| span.duration()),
            issuers,
            acr: path("acr"),
            auth_time: path("auth_time"),
        }))
    }

    /// The claims of tokens that it looks at.
    pub(super) fn claims(&self) -> impl Iterator<Item = &ClaimPath> {
        self.acr.iter().chain(&self.auth_time)
    }

    /// Whether a login or a token that counts here is enough.
    pub(super) fn is_met(&self, requirement: &Requirement, facts: &Facts<'_>, now: Timestamp) -> bool {
        facts.words().any(|word| {
            let counts = match word {
                Word::Token(verified) => self.issuers.binary_search(&verified.issuer_index()).is_ok(),
                Word::Login(login) => requirement.names_login(Some(login.issuer)),
            };
            counts && self.is_met_by(word, now)
        })
    }

    fn is_met_by(&self, word: Word<'_>, now: Timestamp) -> bool {
        let (acr, since) = match word {
            Word::Login(login) => (login.signed_in.acr.as_deref(), Some(login.signed_in.since)),
            Word::Token(verified) => {
                let claim = |path: &Option<ClaimPath>| path.as_ref().and_then(|path| verified.claim(path));
                (claim(&self.acr).and_then(Value::as_str), claim(&self.auth_time).and_then(Value::as_i64))
            }
        };
        let is_recent =
            |max_age: Duration| since.is_some_and(|since| Timestamp::from_unix(since).saturating_add(max_age) > now);
        (self.acr_values.is_empty() || self.acr_values.iter().any(|asked| Some(asked.as_str()) == acr))
            && self.max_age.is_none_or(is_recent)
    }

    /// What programs read (RFC 9470 §3).
    pub(super) fn refusal(&self) -> Refusal {
        let mut asked = String::new();
        if !self.acr_values.is_empty() {
            asked.push_str(&format!(", acr_values=\"{}\"", self.acr_values.join(" ")));
        }
        if let Some(max_age) = self.max_age {
            asked.push_str(&format!(", max_age=\"{}\"", max_age.as_secs()));
        }
        let mut refusal = Refusal::insufficient_user_authentication("sign in again, in the way that is asked for here");
        refusal.asked = Some(asked);
        refusal
    }
}
