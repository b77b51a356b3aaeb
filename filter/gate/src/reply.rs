//! What a caller reads when a request is refused: RFC 9457 problem details with a stable code, RFC 6750
//! `WWW-Authenticate`, and for gRPC callers a gRPC status. Never a secret, a token or a claim's value.

use std::time::Duration;

use carded_verifier::{Class, Denied};
use serde_json::json;

/// A reply to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The stable code, for metrics, access logs and machines.
    pub code: &'static str,
    /// Headers besides `:status`.
    pub headers: Vec<(&'static str, String)>,
    /// The body: a problem as JSON; for gRPC callers the message.
    pub body: String,
    /// The gRPC status where the caller speaks gRPC.
    pub grpc_status: Option<u8>,
}

impl Reply {
    /// A reply with a JSON body.
    pub(super) fn json(status: u16, code: &'static str, body: &serde_json::Value) -> Self {
        let headers = vec![("cache-control", "no-store".to_owned()), ("content-type", "application/json".to_owned())];
        Self { status, code, headers, body: format!("{body}\n"), grpc_status: None }
    }

    /// Sets cookies.
    pub(super) fn set_cookies(&mut self, sets: impl IntoIterator<Item = String>) {
        self.headers.extend(sets.into_iter().map(|set| ("set-cookie", set)));
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What it means, the same for every refusal with this code.
    pub title: &'static str,
    /// What was found, and what to do.
    pub detail: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// What the challenge asks for besides: parameters of `WWW-Authenticate`, each with a comma before it.
    pub asked: Option<String>,
    /// A nonce for the next DPoP proof.
    pub nonce: Option<Box<str>>,
}

/// The algorithms of DPoP proofs (RFC 9449 §5.1).
const DPOP_ALGORITHMS: &str = "ES256 ES384 EdDSA";

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $code:literal, $status:literal, $title:literal;)*) => {
        impl Refusal {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(detail: impl Into<String>) -> Self {
                Self { code: $code, status: $status, title: $title, detail: detail.into(), retry_after: None, asked: None, nonce: None }
            })*

            /// Every code that the gate itself can answer with, its status and its title. Those of the verifier are in
            /// `carded_verifier::Code`.
            pub const OWN: &'static [(&'static str, u16, &'static str)] = &[$(($code, $status, $title)),*];
        }
    };
}

refusals! {
    /// The request cannot be read.
    request_malformed: "request_malformed", 400, "The request cannot be read";
    /// Two readers could take the path for different ones.
    path_ambiguous: "path_ambiguous", 400, "The path is not in its normal form";
    /// The evidence that the rule asks for is not there.
    token_missing: "token_missing", 401, "A token is needed";
    /// Two tokens of one issuer speak of different subjects.
    token_ambiguous: "token_ambiguous", 401, "Two tokens speak of different subjects";
    /// A token is good, but not for the audience that the rule asks for.
    audience_mismatch: "audience_mismatch", 401, "The token is for another audience";
    /// A client certificate is needed, and there is none, or another one.
    client_certificate_required: "client_certificate_required", 403, "A client certificate is needed";
    /// No rule matches.
    no_rule: "no_rule", 403, "No rule admits this request";
    /// The policies deny, or do not allow.
    policy_denied: "policy_denied", 403, "The policies do not allow this";
    /// A claim that a service is to be told cannot be a header.
    claim_not_forwardable: "claim_not_forwardable", 403, "A claim cannot be passed on as a header";
    /// A credential has to be shown first.
    presentation_required: "presentation_required", 401, "A credential has to be shown";
    /// A person has to sign in first.
    login_required: "login_required", 401, "You have to sign in";
    /// Somebody signed in, but not in the way that the rule needs.
    insufficient_user_authentication: "insufficient_user_authentication", 401, "A stronger or newer login is needed";
    /// What came back to the callback is no answer of a provider.
    login_malformed: "login_malformed", 400, "The provider's answer cannot be read";
    /// The login was not begun in this browser, or is over.
    login_unknown: "login_unknown", 400, "This sign-in was not begun here, or is over";
    /// The provider said no.
    login_refused: "login_refused", 403, "The provider did not sign you in";
    /// The provider's answer is not one to trust.
    login_failed: "login_failed", 403, "The sign-in could not be completed";
    /// The provider cannot be reached.
    login_unavailable: "login_unavailable", 503, "The provider cannot be reached";
    /// A token that is bound to its holder is brought without the proof.
    token_bound: "token_bound", 401, "The token is not taken without the proof of its holder";
    /// A token is not bound to its holder, and has to be.
    token_unbound: "token_unbound", 401, "The token has to be bound to its holder";
    /// A token for programs is not good.
    access_token_invalid: "access_token_invalid", 401, "The token cannot be used";
    /// The proof that comes with a token for programs is not good.
    dpop_proof_invalid: "dpop_proof_invalid", 401, "The proof of the holder's key does not hold";
    /// A proof must be made with a nonce, which comes with this.
    use_dpop_nonce: "use_dpop_nonce", 401, "The proof needs a nonce of ours";
    /// A request that a session carries comes from somewhere else.
    cross_site: "cross_site", 403, "This request does not come from our own pages";
    /// The wallet's answer cannot be read.
    response_malformed: "response_malformed", 400, "The wallet's answer cannot be read";
    /// What was answered was not asked here, or not recently.
    state_unknown: "state_unknown", 400, "This was not asked here a moment ago";
    /// A nonce works once.
    nonce_used: "nonce_used", 400, "This was shown before";
    /// The wallet said no.
    presentation_declined: "presentation_declined", 403, "Nothing was shown";
    /// The wallet failed.
    wallet_failed: "wallet_failed", 403, "The wallet could not answer";
    /// Less was shown than was asked for.
    presentation_incomplete: "presentation_incomplete", 403, "Not everything that was asked for was shown";
    /// Something else was shown.
    presentation_unrequested: "presentation_unrequested", 403, "Something was shown that was not asked for";
    /// A token for programs is bound to one key.
    holder_key_needed: "holder_key_needed", 400, "One holder's key is needed";
    /// The method is another one here.
    method_not_allowed: "method_not_allowed", 405, "Another method is used here";
    /// The body did not come.
    body_missing: "body_missing", 408, "The body of the request did not come";
    /// The body is too large.
    body_too_large: "body_too_large", 413, "The body of the request is too large";
    /// The request is for none of the origins of the configuration.
    misdirected: "misdirected", 421, "This address is not served here";
    /// Too many presentations at once.
    too_many_presentations: "too_many_presentations", 503, "Too many presentations are being checked";
    /// A session outgrows what browsers and proxies carry.
    session_too_large: "session_too_large", 500, "The session is too large";
    /// It was revoked before its end.
    revoked: "revoked", 401, "This was revoked";
    /// What is revoked cannot be had.
    revocation_unavailable: "revocation_unavailable", 503, "What is revoked cannot be had at the moment";
    /// Too much that failed from one address, or with one session.
    too_many_failures: "too_many_failures", 429, "Too many tries that failed";
    /// Nothing is at this address of ours.
    not_found: "not_found", 404, "There is nothing at this address";
    /// A document that the decision needs cannot be had.
    keys_unavailable: "keys_unavailable", 503, "The issuer's keys cannot be had at the moment";
    /// An issuer cannot be asked about a token.
    introspection_unavailable: "introspection_unavailable", 503, "The issuer cannot be asked about the token";
    /// Too many requests wait for documents.
    too_many_waiting: "too_many_waiting", 503, "Too many requests are waiting for keys";
    /// The filter itself failed.
    internal_error: "internal_error", 500, "The filter could not decide";
}

impl Refusal {
    /// The refusal that a denial of the verifier means.
    #[must_use]
    pub fn from_denied(denied: &Denied) -> Self {
        let (status, retry_after) = match denied.class() {
            Class::Evidence => (401, None),
            Class::Insufficient => (403, None),
            Class::Unavailable => (503, denied.retry_after()),
        };
        Self {
            code: denied.code().as_str(),
            status,
            title: denied.code().description().trim_end_matches('.'),
            detail: denied.detail().to_owned(),
            retry_after,
            asked: None,
            nonce: None,
        }
    }

    /// The request is for none of our origins.
    pub(super) fn not_ours() -> Self {
        Self::misdirected("neither scheme nor host are one of the configured `origins`")
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// When it may be tried again, where waiting helps (RFC 9110 §10.2.3).
    pub(super) fn wait(&self) -> Option<(&'static str, String)> {
        let seconds = self.retry_after.map_or(1, |after| after.as_millis().div_ceil(1000).max(1));
        matches!(self.status, 429 | 503).then(|| ("retry-after", seconds.to_string()))
    }

    /// The reply to the caller.
    #[must_use]
    pub fn reply(&self, is_grpc: bool) -> Reply {
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        if let Some(challenge) = self.challenge() {
            headers.push(("www-authenticate", challenge));
        }
        headers.extend(self.nonce.iter().map(|nonce| ("dpop-nonce", String::from(&**nonce))));
        headers.extend(self.wait());
        if is_grpc {
            return Reply {
                status: self.status,
                code: self.code,
                headers,
                body: format!("{}: {}", self.code, self.detail),
                grpc_status: Some(self.grpc_status()),
            };
        }
        headers.push(("content-type", "application/problem+json".to_owned()));
        let problem = json!({
            "type": format!("urn:carded:problem:{}", self.code),
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        });
        Reply { status: self.status, code: self.code, headers, body: format!("{problem}\n"), grpc_status: None }
    }

    /// RFC 6750 §3: what the caller has to bring. Without any token, no error is named (§3.1).
    fn challenge(&self) -> Option<String> {
        let error = match (self.status, self.code) {
            (401, "token_missing" | "login_required") => return Some(r#"Bearer realm="carded""#.to_owned()),
            (401, "presentation_required") => return Some(dpop_challenge("")),
            (401, "access_token_invalid") => return Some(dpop_challenge("invalid_token")),
            (401, "dpop_proof_invalid") => return Some(dpop_challenge("invalid_dpop_proof")),
            (401, "use_dpop_nonce") => return Some(dpop_challenge("use_dpop_nonce")),
            (401, "insufficient_user_authentication") => "insufficient_user_authentication",
            (401, _) => "invalid_token",
            (403, "policy_denied") => "insufficient_scope",
            _ => return None,
        };
        let description: String = self.detail.chars().map(quotable).collect();
        let asked = self.asked.as_deref().unwrap_or_default();
        Some(format!(r#"Bearer realm="carded", error="{error}", error_description="{description}"{asked}"#))
    }

    /// The gRPC status (codes of google.rpc.Code).
    fn grpc_status(&self) -> u8 {
        match self.status {
            400 => 3,  // INVALID_ARGUMENT
            401 => 16, // UNAUTHENTICATED
            403 => 7,  // PERMISSION_DENIED
            404 => 12, // UNIMPLEMENTED, as HTTP's 404 maps
            429 => 8,  // RESOURCE_EXHAUSTED
            503 => 14, // UNAVAILABLE
            _ => 13,   // INTERNAL
        }
    }
}

/// RFC 9449 §7.1: a challenge to prove a key, with an error or without.
pub(super) fn dpop_challenge(error: &str) -> String {
    let (name, end) = if error.is_empty() { ("", "") } else { ("error=\"", "\", ") };
    format!(r#"DPoP realm="carded", {name}{error}{end}algs="{DPOP_ALGORITHMS}""#)
}

/// RFC 6750 §3: `error_description` has visible ASCII but `"` and `\`.
fn quotable(character: char) -> char {
    match character {
        '"' | '\\' => '\'',
        ' '..='~' => character,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
        reply.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_missing_token_is_challenged_without_an_error() {
        let reply = Refusal::token_missing("bring one").reply(false);
        assert_eq!(header(&reply, "www-authenticate"), Some(r#"Bearer realm="carded""#));
        assert_eq!(header(&reply, "cache-control"), Some("no-store"));
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(401), Some("token_missing")));
    }

    #[test]
    fn a_challenge_cannot_be_broken_out_of() {
        let reply = Refusal::policy_denied("a \"quote\"\r\nx-evil: ë\\").reply(false);
        assert_eq!(
            header(&reply, "www-authenticate"),
            Some(r#"Bearer realm="carded", error="insufficient_scope", error_description="a 'quote'??x-evil: ?'""#)
        );
    }

    #[test]
    fn grpc_callers_get_a_status_and_a_message() {
        let reply = Refusal::keys_unavailable("later").retry_after(Duration::from_millis(1500)).reply(true);
        assert_eq!((reply.grpc_status, reply.body.as_str()), (Some(14), "keys_unavailable: later"));
        assert_eq!(header(&reply, "retry-after"), Some("2"));
    }
}
