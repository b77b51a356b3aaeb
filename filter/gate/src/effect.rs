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
    /// A request for a login is left at the provider (RFC 9126 §2).
    Pushed,
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
    /// What the decision needs again when the reply is here, since it starts anew. It is not sent.
    pub kept: String,
}

/// What came of it.
pub type Effected = Result<Reply, FetchFailure>;

/// What came of a call, as the request has it that it was made for.
#[derive(Debug, Clone)]
pub struct Came {
    /// What the call was for.
    pub kind: EffectKind,
    /// What came of it.
    pub effected: Effected,
    /// What was kept with it.
    pub kept: String,
}

impl fmt::Debug for Effect {
    /// Never shows a secret or a code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Effect").field(&self.url.as_str()).finish()
    }
}
