//! Checks a copy as it came, by the verifier itself ([`verify_issued`]): signature, issuer, type, validity, status, and that
//! it is bound to a key that was made for it. The page answers its need for documents by `fetch`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use carded_verifier::credential::{CredentialIndex, CredentialPolicy, StatusRule, StatusUnavailable, TrustedIssuer};
use carded_verifier::dcql::{CredentialQuery, Format, Meta};
use carded_verifier::presentation::verify_issued;
use carded_verifier::{
    Algorithm, Documents, Fetch, FetchFailure, LifetimeBounds, Limits, Outcome, Reply, RustCrypto, Timestamp, Trust,
};
use serde_json::{Value, json};

use crate::holder::HolderKey;
use crate::link;
use crate::refusal::{Refusal, Step};

const ALGORITHMS: [&str; 4] = ["ES256", "ES384", "EdDSA", "RS256"];

/// Whom to believe about one type of card of one issuer, with the documents that are known so far.
struct Checker {
    trust: Trust,
    limits: Limits,
    index: CredentialIndex,
    known: Documents,
}

/// Checkers by issuer and type, and what they have asked for.
#[derive(Default)]
pub(crate) struct Checkers {
    by_kind: HashMap<String, Checker>,
    pending: HashMap<String, (String, Fetch)>,
}

impl Checkers {
    /// Checks one copy: `{outcome: "verified", key, signer, expires, has_status, status_until}` with the index of the key
    /// that it is bound to, `{outcome: "denied", code, message, detail}`, or `{outcome: "need", id, url, limit}`.
    ///
    /// # Errors
    /// A refusal where the issuer cannot be trusted for anything, or a key is unusable.
    pub(crate) fn check(
        &mut self,
        issuer: &str,
        format: &str,
        types: &[String],
        credential: &str,
        keys: &[Value],
        now: i64,
    ) -> Step {
        let kind = json!([issuer, format, types]).to_string();
        if !self.by_kind.contains_key(&kind) {
            self.by_kind.insert(kind.clone(), Checker::new(issuer, format, types)?);
        }
        let Some(checker) = self.by_kind.get(&kind) else { return Ok(Value::Null) };
        let now = Timestamp::from_unix(now);
        Ok(match verify_issued(checker.index, credential.as_bytes(), &checker.trust, &checker.known, now) {
            Outcome::Verified(verified) => {
                let bound = verified.holder().map(|holder| holder.thumbprint().to_owned());
                let mut key = None;
                for (index, jwk) in keys.iter().enumerate() {
                    if bound.as_deref() == Some(HolderKey::from_jwk(jwk)?.thumbprint().as_str()) {
                        key = Some(index);
                    }
                }
                match key {
                    None => denied("holder_mismatch", "It is not bound to the key that this wallet made for it.", ""),
                    Some(key) => json!({
                        "outcome": "verified",
                        "key": key,
                        "signer": verified.issuer(),
                        "expires": verified.expires().map(Timestamp::unix),
                        "has_status": verified.status().is_some(),
                        "status_until": verified.status_until().map(Timestamp::unix),
                    }),
                }
            }
            Outcome::Denied(refused) => {
                let code = refused.code();
                denied(code.as_str(), &plain(code.as_str(), code.description()), refused.detail())
            }
            Outcome::Need(fetch) => {
                let id = format!("{kind}|{}", fetch.id());
                let answer = json!({
                    "outcome": "need", "id": id, "url": fetch.url().as_str(), "limit": checker.limits.document_bytes + 1,
                });
                self.pending.insert(id, (kind, fetch));
                answer
            }
        })
    }

    /// Hands in the reply to a need.
    pub(crate) fn insert(&mut self, id: &str, status: u16, body: Vec<u8>, max_age: Option<u64>, now: i64) {
        if let Some((checker, fetch)) = self.take(id) {
            let reply = Reply { status, body, max_age: max_age.map(Duration::from_secs) };
            // the documents keep the failure themselves
            let _ = checker.known.insert(&fetch, &reply, Timestamp::from_unix(now));
        }
    }

    /// Says that a need could not be answered.
    pub(crate) fn fail(&mut self, id: &str, why: &str, now: i64) {
        if let Some((checker, fetch)) = self.take(id) {
            let why = if why == "timeout" { FetchFailure::Timeout } else { FetchFailure::Unreachable };
            checker.known.fail(&fetch, why, Timestamp::from_unix(now));
        }
    }

    fn take(&mut self, id: &str) -> Option<(&mut Checker, Fetch)> {
        let (kind, fetch) = self.pending.remove(id)?;
        self.by_kind.get_mut(&kind).map(|checker| (checker, fetch))
    }
}

impl Checker {
    fn new(issuer: &str, format: &str, types: &[String]) -> Result<Self, Refusal> {
        let limits = Limits {
            // a page lives for minutes: what an issuer has just published should be seen
            lifetime: LifetimeBounds { min: Duration::from_secs(1), ..LifetimeBounds::default() },
            cooldown: Duration::from_secs(1),
            ..link::limits()
        };
        let untrusted = |why: &dyn std::fmt::Display| {
            Refusal::new("issuer_untrusted", format!("This issuer's cards cannot be checked: {why}."))
        };
        let format = Format::parse(format);
        let meta = match format {
            Format::DcSdJwt => Meta { vct_values: types.to_vec(), ..Meta::default() },
            _ => Meta { type_values: vec![types.to_vec()], ..Meta::default() },
        };
        let query = CredentialQuery {
            id: "issued".to_owned(),
            format,
            multiple: false,
            meta,
            trusted_authorities: Vec::new(),
            require_cryptographic_holder_binding: true,
            claims: Vec::new(),
            claim_sets: Vec::new(),
        };
        let algorithms = ALGORITHMS.iter().filter_map(|name| Algorithm::parse(name)).collect();
        let trusted = issuers(issuer).map_err(|why| untrusted(&why.message))?;
        let policy = CredentialPolicy {
            status: StatusRule::IfPresent,
            // a list that cannot be reached just now must not keep a good card out; sites ask for it themselves
            status_unavailable: StatusUnavailable::Accept,
            ..CredentialPolicy::new(query, trusted, algorithms)
        };
        let trust = Trust::new(Vec::new(), limits.clone(), Arc::new(RustCrypto))
            .and_then(|trust| trust.with_credentials(vec![policy]))
            .map_err(|why| untrusted(&why))?;
        let index = trust.credential_of("issued").ok_or_else(|| untrusted(&"it has no policy"))?;
        let known = Documents::new(&limits);
        Ok(Self { trust, limits, index, known })
    }
}

/// Who may sign what an issuer hands out: the issuer itself under its URL, or the did:web of the same host. A card in any
/// other name would carry a name that this issuer does not own.
fn issuers(issuer: &str) -> Result<Vec<TrustedIssuer>, Refusal> {
    let url = link::take(issuer, "The issuer's address")?;
    let path = url.path_and_query().trim_matches('/').replace('/', ":");
    let did =
        format!("did:web:{}{}{path}", url.authority().replace(':', "%3A"), if path.is_empty() { "" } else { ":" });
    let parse = |text: &str| TrustedIssuer::parse(text, link::POLICY);
    let bad = |why: &dyn std::fmt::Display| Refusal::new("issuer_untrusted", why.to_string());
    let mut trusted = vec![parse(issuer).map_err(|why| bad(&why))?];
    trusted.extend(parse(&did).ok());
    Ok(trusted)
}

fn denied(code: &str, message: &str, detail: &str) -> Value {
    json!({ "outcome": "denied", "code": code, "message": message, "detail": detail })
}

/// A denial as a person understands it.
fn plain(code: &str, description: &str) -> String {
    match code {
        "signature_invalid" | "key_not_found" => "A copy was not signed by this issuer's key.".to_owned(),
        "issuer_untrusted" => "A copy names somebody else as its issuer.".to_owned(),
        "token_expired" | "credential_expired" => "A copy has expired already.".to_owned(),
        "credential_revoked" => "A copy was withdrawn by its issuer.".to_owned(),
        "credential_suspended" => "A copy is suspended by its issuer.".to_owned(),
        "keys_unavailable" => "The issuer's keys could not be had, so nothing can be checked.".to_owned(),
        _ => format!("A copy did not pass a check: {}.", description.trim_end_matches('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_signs_under_its_own_url_or_host() {
        let names = |issuer| issuers(issuer).unwrap().len();
        assert_eq!(names("https://dmv.example"), 2);
        assert_eq!(names("https://dmv.example/a/b"), 2);
        assert!(issuers("http://dmv.example").is_err());
    }

    #[test]
    fn garbage_is_denied_and_asks_for_nothing() {
        let mut checkers = Checkers::default();
        let types = ["id".to_owned()];
        for bad in ["", "a.b.c~", "e30.e30.c2ln~"] {
            let answer = checkers.check("https://dmv.example", "dc+sd-jwt", &types, bad, &[], 0).unwrap();
            assert_eq!(answer["outcome"], "denied", "{bad}");
        }
        assert!(checkers.pending.is_empty());
    }
}
