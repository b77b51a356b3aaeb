//! What remains of a login: who signed in where, since when, and of the claims only those that the configuration passes
//! on. A login satisfies `{ login: X }`, never `{ token: X }`.

use carded_verifier::condensed::memory_of_members;
use carded_verifier::{ClaimPath, IssuerIndex, Timestamp, VerifiedIdToken};
use serde::Serialize;
use serde_json::{Map, Value};

use super::config::tree::FromNode;
use super::proof::put;

/// One login, as the session keeps it. Its members have short names because browsers carry it.
#[derive(Debug, Clone, PartialEq, Serialize, FromNode)]
pub(super) struct SignedIn {
    /// The login's name.
    #[serde(rename = "n")]
    pub(super) name: String,
    /// `iss`.
    #[serde(rename = "i")]
    pub(super) iss: String,
    /// `sub`.
    #[serde(rename = "u")]
    pub(super) sub: String,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "e")]
    pub(super) ends: i64,
    /// Until when the provider's word counts, where it is asked again before (`refresh`).
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<i64>,
    /// From when on it is asked again.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<i64>,
    /// When the person proved who they are: `auth_time`, or else when they came back from the provider.
    #[serde(rename = "t")]
    pub(super) since: i64,
    /// When the person signed in here, in seconds since 1970.
    #[serde(rename = "o", default)]
    pub(super) at: i64,
    /// The provider's name for its own session.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<String>,
    /// The context of authentication.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(super) acr: Option<String>,
    /// The claims that are passed on.
    #[serde(rename = "c", default, skip_serializing_if = "Map::is_empty")]
    pub(super) claims: Map<String, Value>,
}

impl SignedIn {
    /// What is kept of an ID token that holds, and of what else the provider says.
    pub(super) fn of(
        token: &VerifiedIdToken,
        more: Option<&Map<String, Value>>,
        name: &str,
        keep: &[ClaimPath],
        now: Timestamp,
        ends: Timestamp,
    ) -> Self {
        Self {
            name: name.to_owned(),
            iss: token.iss().to_owned(),
            sub: token.subject().to_owned(),
            ends: ends.unix(),
            until: None,
            due: None,
            since: token.auth_time().map_or(now, |then| then.min(now)).unix(),
            at: now.unix(),
            sid: text(token, "sid"),
            acr: text(token, "acr"),
            claims: kept(token, more, keep),
        }
    }

    /// The same login after a refresh that brought an ID token; nothing where that is of another person, another session of the
    /// provider, or another way of signing in (OpenID Connect Core 1.0 §12.2). The person proved who they are when they did: a
    /// later `auth_time`, which some providers set to the time of the refresh, makes it no younger.
    pub(super) fn refreshed(
        &self,
        token: &VerifiedIdToken,
        more: Option<&Map<String, Value>>,
        keep: &[ClaimPath],
    ) -> Option<Self> {
        let same = |old: &Option<String>, new: &Option<String>| new.is_none() || old == new;
        let since = token.auth_time().map_or(self.since, |then| then.unix().min(self.since));
        let is_same = (self.iss.as_str(), self.sub.as_str()) == (token.iss(), token.subject())
            && same(&self.sid, &text(token, "sid"))
            && same(&self.acr, &text(token, "acr"));
        is_same.then(|| Self { since, claims: kept(token, more, keep), ..self.clone() })
    }

    /// When it ends, if nothing becomes of a refresh.
    pub(super) fn until(&self) -> Timestamp {
        Timestamp::from_unix(self.until.map_or(self.ends, |until| until.min(self.ends)))
    }

    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        self.until() <= now
    }

    /// Whether the provider is to be asked again.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| due <= now.unix() && now.unix() < self.ends)
    }
}

fn text(token: &VerifiedIdToken, name: &str) -> Option<String> {
    token.claims().get(name).and_then(Value::as_str).map(str::to_owned)
}

/// The claims that the configuration passes on; the ID token's count before others.
fn kept(token: &VerifiedIdToken, more: Option<&Map<String, Value>>, keep: &[ClaimPath]) -> Map<String, Value> {
    let mut claims = Map::new();
    for path in keep {
        if let Some(value) = path.get(token.claims()).or_else(|| path.get(more?)) {
            put(&mut claims, path.names(), value);
        }
    }
    claims
}

/// A login of an issuer that this configuration knows.
#[derive(Debug)]
pub(super) struct KnownLogin {
    pub(super) issuer: IssuerIndex,
    pub(super) signed_in: SignedIn,
}

impl KnownLogin {
    /// About how many bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        let one = &self.signed_in;
        let texts = [&one.name, &one.iss, &one.sub].map(String::capacity);
        let others = [&one.sid, &one.acr].map(|text| text.as_ref().map_or(0, String::capacity));
        let texts = texts.into_iter().chain(others).fold(0, usize::saturating_add);
        // five texts with what the allocator takes for each
        let inside = memory_of_members(&one.claims).saturating_add(texts).saturating_add(80);
        size_of::<Self>().saturating_add(inside)
    }
}
