//! The answer to a presentation request (OpenID4VP 1.0 section 8): presentations in two phases, so that keys stay in
//! WebCrypto, the form that is posted to `response_uri`, and the way back.

use std::collections::BTreeMap;
use std::time::Duration;

use carded_verifier::jwt_vc::{DataModel, HeldJwtVc, PresentationClaims, prepare_presentation};
use carded_verifier::openid4vp::{AuthorizationRequest, AuthorizationResponse};
use carded_verifier::sd_jwt::present::PreparedPresentation;
use carded_verifier::{Timestamp, json, sign};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::holder::HolderKey;
use crate::link;
use crate::plan::Held;
use crate::refusal::{Refusal, Step};

const LONGEST_QUERY: usize = 64 * 1024;
/// How long a presentation serves: the way to the site, not more.
const LIFETIME: Duration = Duration::from_secs(300);

/// The copy that the person agreed to show.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Chosen {
    /// `dc+sd-jwt` or `jwt_vc_json`.
    pub(crate) format: String,
    /// `vct` alone, or the VC types.
    pub(crate) types: Vec<String>,
    /// The copy itself.
    pub(crate) credential: String,
    /// The public part of its key.
    pub(crate) jwk: Value,
}

/// A token that lacks its signature.
#[derive(Debug)]
pub(crate) enum Unsigned {
    /// A JWS alone.
    Jws(sign::Prepared),
    /// An SD-JWT with the key-binding JWT that is to be signed.
    SdJwt(PreparedPresentation),
}

impl Unsigned {
    /// What is to be signed.
    pub(crate) fn message(&self) -> String {
        let bytes = match self {
            Self::Jws(jws) => jws.bytes(),
            Self::SdJwt(presentation) => presentation.bytes(),
        };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The whole token.
    pub(crate) fn finish(self, signature: &[u8]) -> String {
        match self {
            Self::Jws(jws) => jws.finish(signature),
            Self::SdJwt(presentation) => presentation.finish(signature),
        }
    }
}

/// Reads a request from the query of the authorization endpoint.
///
/// # Errors
/// With the reason as a sentence: nothing of a request that does not hold together is shown.
pub(crate) fn request(query: &str) -> Result<AuthorizationRequest, Refusal> {
    if query.len() > LONGEST_QUERY {
        return Err(Refusal::new("request_malformed", "This request is too long."));
    }
    AuthorizationRequest::parse(query, link::POLICY).map_err(|why| {
        Refusal::new(why.error_code(), format!("The site's request cannot be trusted or understood: {why}."))
    })
}

/// Prepares the presentation of a copy for one credential query. What is shown is worked out again from the request, so
/// that it is what the person has seen.
///
/// # Errors
/// `card_does_not_fit`, `credential_unreadable` or `key_unusable`.
pub(crate) fn prepare(
    request: &AuthorizationRequest,
    id: &str,
    chosen: &Chosen,
    now: i64,
) -> Result<Unsigned, Refusal> {
    let misfit = || Refusal::new("card_does_not_fit", "This card does not answer the request.");
    let query = request.dcql_query.credentials.iter().find(|query| query.id == id).ok_or_else(misfit)?;
    let held = Held::parse(&chosen.format, &chosen.credential)?;
    let answer = query.matches(&held.candidate(&chosen.types)).ok_or_else(misfit)?;
    let key = HolderKey::from_jwk(&chosen.jwk)?;
    let audience = request.client_id();
    match &held {
        Held::SdJwt(held) => {
            let now = Timestamp::from_unix(now);
            let shown = held.disclose(&answer.paths);
            Ok(Unsigned::SdJwt(shown.prepare_key_binding(key.algorithm(), &audience, &request.nonce, now)))
        }
        Held::JwtVc(held) => {
            let (holder, kid) = own_did(held, &key)?;
            let claims = PresentationClaims {
                holder: &holder,
                kid: &kid,
                audience: &audience,
                nonce: &request.nonce,
                issued_at: Timestamp::from_unix(now),
                lifetime: LIFETIME,
            };
            Ok(Unsigned::Jws(prepare_presentation(data_model(held), key.algorithm(), held.as_issued(), &claims)))
        }
    }
}

/// The key as the DID that the credential is about, and the DID URL of the key.
fn own_did(held: &HeldJwtVc, key: &HolderKey) -> Result<(String, String), Refusal> {
    ["did:jwk", "did:key"]
        .iter()
        .map(|method| key.did(method))
        .find(|(did, _)| held.subject() == Some(did))
        .ok_or_else(|| Refusal::new("key_unusable", "This card is not bound to a key of this wallet."))
}

/// VCDM 2.0 names itself in its context (VCDM 2.0 section 4.3); everything else is VCDM 1.1.
fn data_model(held: &HeldJwtVc) -> DataModel {
    let first = held.claims().get("@context").and_then(|context| context.get(0)).and_then(Value::as_str);
    if first == Some("https://www.w3.org/ns/credentials/v2") { DataModel::V2 } else { DataModel::V1 }
}

/// The form that shows.
pub(crate) fn show(request: &AuthorizationRequest, presentations: BTreeMap<String, Vec<String>>) -> Value {
    outgoing(request, &AuthorizationResponse::Presented { vp_token: presentations, state: request.state.clone() })
}

/// The form that shows nothing. It says nothing of why: not whether a card would have fitted.
pub(crate) fn decline(request: &AuthorizationRequest) -> Value {
    let error = "access_denied".to_owned();
    outgoing(request, &AuthorizationResponse::Error { error, description: None, state: request.state.clone() })
}

fn outgoing(request: &AuthorizationRequest, response: &AuthorizationResponse) -> Value {
    json!({ "url": request.response_uri, "body": response.to_form() })
}

/// Reads the reply to an answer (section 8.2): where to go on, if anywhere.
///
/// # Errors
/// `site_failed` where the site did not take it, `link_refused` where it leads nowhere that this wallet goes.
pub(crate) fn reply(request: &AuthorizationRequest, status: u16, body: &[u8]) -> Step {
    if status != 200 {
        return Err(Refusal::new("site_failed", format!("The site did not take the answer (status {status}).")));
    }
    let reply = json::parse_object(body, 8).unwrap_or_default();
    let Some(redirect_uri) = reply.get("redirect_uri") else {
        return Ok(json!({ "redirect_uri": null, "same_origin": false }));
    };
    let redirect_uri = link::take(redirect_uri.as_str().unwrap_or_default(), "The way back")?;
    let response_uri = link::take(&request.response_uri, "The address of the answer")?;
    let same_origin = link::origin(&redirect_uri) == link::origin(&response_uri);
    Ok(json!({ "redirect_uri": redirect_uri.as_str(), "same_origin": same_origin }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(changes: &[(&str, Option<&str>)]) -> String {
        let response_uri = "https://shop.example/.carded/response";
        let client_id = format!("redirect_uri:{response_uri}");
        let dcql = json!({"credentials": [{
            "id": "over21", "format": "dc+sd-jwt", "meta": {"vct_values": ["id"]},
            "claims": [{"path": ["age_equal_or_over", "21"], "values": [true]}],
        }]});
        let dcql = dcql.to_string();
        let mut fields = BTreeMap::from([
            ("response_type", "vp_token"),
            ("response_mode", "direct_post"),
            ("client_id", client_id.as_str()),
            ("response_uri", response_uri),
            ("nonce", "n-0S6_WzA2Mj_abcdefgh"),
            ("state", "af0ifjsldkj"),
            ("dcql_query", dcql.as_str()),
        ]);
        for (name, value) in changes {
            match value {
                Some(value) => fields.insert(name, value),
                None => fields.remove(name),
            };
        }
        crate::query::form(fields)
    }

    #[test]
    fn a_request_that_holds_together() {
        let request = request(&query(&[])).unwrap();
        assert_eq!(request.response_uri, "https://shop.example/.carded/response");
        assert_eq!(request.client_id(), "redirect_uri:https://shop.example/.carded/response");
    }

    #[test]
    fn threat_97_a_request_with_transaction_data_is_refused() {
        let refusal = request(&query(&[("transaction_data", Some("[\"e30\"]"))])).unwrap_err();
        assert_eq!(refusal.code, "invalid_transaction_data");
    }

    #[test]
    fn tampered_requests_are_refused() {
        for change in [
            ("client_id", Some("redirect_uri:https://evil.example/")),
            ("client_id", Some("x509_san_dns:shop.example")),
            ("response_uri", Some("https://evil.example/")),
            ("response_uri", Some("http://shop.example/.carded/response")),
            ("response_mode", Some("fragment")),
            ("response_type", Some("code")),
            ("nonce", None),
            ("dcql_query", None),
            ("dcql_query", Some("{}")),
            ("request_uri", Some("https://shop.example/request")),
            ("request", Some("e30.e30.")),
        ] {
            assert!(request(&query(&[change])).is_err(), "{change:?}");
        }
        assert!(request(&format!("{}&nonce=other", query(&[]))).is_err(), "a repeated parameter");
    }

    #[test]
    fn threat_95_refusing_says_nothing_more() {
        let declined = decline(&request(&query(&[])).unwrap());
        assert_eq!(declined["url"], "https://shop.example/.carded/response");
        let form = crate::query::parameters(declined["body"].as_str().unwrap()).unwrap();
        let names: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(names, [("error", "access_denied"), ("state", "af0ifjsldkj")]);
    }

    #[test]
    fn threat_94_the_way_back_is_https_only() {
        let request = request(&query(&[])).unwrap();
        let back = |uri: &str| reply(&request, 200, json!({"redirect_uri": uri}).to_string().as_bytes());
        assert_eq!(back("https://shop.example/.carded/done?response_code=x").unwrap()["same_origin"], true);
        assert_eq!(back("https://other.example/").unwrap()["same_origin"], false);
        for bad in ["javascript:alert(1)", "data:text/html,x", "http://shop.example/", "//shop.example/", ""] {
            assert_eq!(back(bad).unwrap_err().code, "link_refused", "{bad}");
        }
        assert_eq!(reply(&request, 200, b"{}").unwrap()["redirect_uri"], Value::Null);
        assert_eq!(reply(&request, 400, b"{}").unwrap_err().code, "site_failed");
    }
}
