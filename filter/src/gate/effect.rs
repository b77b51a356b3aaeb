//! A call with an effect: a code for tokens, and the like. Each kind is made at most once for a request, by the VM that the
//! request is at; what comes back belongs to that request alone and is never kept as a document.

use std::fmt;

use carded_verifier::{FetchFailure, HttpsUrl, Reply};

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectKind {
    /// A code becomes tokens (OpenID Connect Core 1.0 §3.1.3).
    Code,
    /// What else a provider says of a person (OpenID Connect Core 1.0 §5.3).
    UserInfo,
    /// What a token is worth (RFC 7662 §2).
    Introspection,
    /// A refresh token becomes new tokens (RFC 6749 §6).
    Refresh,
}

/// One `POST` of a form.
pub struct Effect {
    /// What it is for.
    pub kind: EffectKind,
    /// Where it goes; only to an authority that `fetch.clusters` names.
    pub url: HttpsUrl,
    /// `authorization`, where the endpoint asks for it there.
    pub authorization: Option<String>,
    /// The form (`application/x-www-form-urlencoded`).
    pub form: String,
}

/// What came of it.
pub type Effected = Result<Reply, FetchFailure>;

impl fmt::Debug for Effect {
    /// Never shows a secret or a code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Effect").field(&self.url.as_str()).finish()
    }
}
