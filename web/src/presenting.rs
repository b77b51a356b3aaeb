//! Asking for credentials and looking at the answer: OpenID4VP 1.0 with the client id prefix `redirect_uri:` (section
//! 5.9.3) and `response_mode=direct_post` (section 8.2), as the filter does. That a nonce works once is not kept here: the
//! module has no memory between pages or processes, so the site's store is asked (`spendNonce` of the package).

use std::collections::BTreeMap;
use std::time::Duration;

use carded_verifier::dcql::{CredentialSetQuery, Format, Query};
use carded_verifier::openid4vp::{AuthorizationRequest, AuthorizationResponse};
use carded_verifier::{
    Documents, Fetch, HttpsUrl, Limits, Outcome, Presentation, Timestamp, Trust, UrlPolicy, verify_presentation,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer;
use crate::credentials::Credential;

/// 128 bits in base64url.
const SHORTEST_NONCE: usize = 22;
const LONGEST_NONCE: usize = 512;
const LONGEST_STATE: usize = 4096;

/// A request to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    credentials: Vec<String>,
    response_uri: String,
    nonce: String,
    state: Option<String>,
}

/// What was asked for, beside what came.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    credentials: Vec<String>,
    client_id: String,
    nonce: String,
}

/// What came of it.
pub(crate) enum Verdict {
    Said(Value),
    Need(Fetch),
}

/// The request that asks for all of the named credentials, each in any of its ways.
pub(crate) fn request(
    asked: &Asked,
    trust: &Trust,
    credentials: &[Credential],
    policy: UrlPolicy,
) -> Result<Value, String> {
    let wanted = named(&asked.credentials, credentials)?;
    check_nonce(&asked.nonce)?;
    HttpsUrl::parse(&asked.response_uri, policy).map_err(|why| format!("responseUri: {why}"))?;
    if asked.state.as_ref().is_some_and(|state| state.is_empty() || state.len() > LONGEST_STATE || !url_safe(state)) {
        return Err("state: letters, digits and `-._~`, 4096 of them at most".to_owned());
    }
    let mut query = Query { credentials: Vec::new(), credential_sets: Vec::new() };
    let mut formats = Map::new();
    for credential in &wanted {
        let policies: Vec<_> = credential.ways.iter().filter_map(|way| trust.credential(*way)).collect();
        for policy in &policies {
            let names: Vec<&str> = policy.algorithms.iter().map(|algorithm| algorithm.name()).collect();
            let members = match &policy.query.format {
                Format::DcSdJwt => json!({ "sd-jwt_alg_values": names, "kb-jwt_alg_values": names }),
                _ => json!({ "alg_values": names }),
            };
            formats.insert(policy.query.format.as_str().to_owned(), members);
        }
        let options = policies.iter().map(|policy| vec![policy.query.id.clone()]).collect();
        query.credential_sets.push(CredentialSetQuery { options, required: true });
        query.credentials.extend(policies.iter().map(|policy| policy.query.clone()));
    }
    if query.credentials.len() == wanted.len() {
        // one way for each: without sets all are wanted
        query.credential_sets.clear();
    }
    let request = AuthorizationRequest {
        response_uri: asked.response_uri.clone(),
        nonce: asked.nonce.clone(),
        state: asked.state.clone(),
        dcql_query: query,
        client_metadata: Some(json!({ "vp_formats_supported": formats })),
    };
    Ok(json!({
        "client_id": request.client_id(),
        "dcql_query": request.dcql_query.to_value(),
        "query": request.to_query(),
    }))
}

/// The wallet's form.
pub(crate) fn read(form: &[u8], limits: &Limits) -> Value {
    match AuthorizationResponse::parse_form(form, limits) {
        Ok(AuthorizationResponse::Presented { vp_token, state }) => {
            json!({ "outcome": "presented", "vp_token": vp_token, "state": state })
        }
        Ok(AuthorizationResponse::Error { error, description, state }) => {
            json!({ "outcome": "error", "error": error, "description": description, "state": state })
        }
        Err(why) => malformed(&why.to_string()),
    }
}

/// Every presentation of a `vp_token`, and that together they are what was asked for, no less and no more.
pub(crate) fn verify(
    shown: &Shown,
    form: &[u8],
    trust: &Trust,
    credentials: &[Credential],
    known: &Documents,
    now: Timestamp,
) -> Result<Verdict, String> {
    let wanted = named(&shown.credentials, credentials)?;
    check_nonce(&shown.nonce)?;
    if !shown.client_id.contains(':') {
        return Err("clientId: the whole client id with its prefix, as the request has it".to_owned());
    }
    let vp_token: BTreeMap<String, Vec<String>> = match AuthorizationResponse::parse_form(form, trust.limits()) {
        Ok(AuthorizationResponse::Presented { vp_token, .. }) => vp_token,
        Ok(AuthorizationResponse::Error { .. }) => return Ok(Verdict::Said(malformed("it is an error"))),
        Err(why) => return Ok(Verdict::Said(malformed(&why.to_string()))),
    };
    let mut presented = Map::new();
    // how long the same presentation could be shown again, were its nonce forgotten
    let mut window = Duration::ZERO;
    for (id, presentations) in &vp_token {
        let way = trust.credential_of(id);
        let asked = way.and_then(|way| wanted.iter().find(|one| one.ways.contains(&way)));
        let (Some(way), Some(credential)) = (way, asked) else {
            return Ok(Verdict::Said(unrequested("`vp_token` has an id that was not asked for")));
        };
        let [presentation] = presentations.as_slice() else {
            return Ok(Verdict::Said(malformed("one presentation answers one query")));
        };
        if presented.contains_key(&credential.name) {
            return Ok(Verdict::Said(unrequested("one way to show a credential is enough")));
        }
        let shown = Presentation::new(way, presentation.as_bytes(), &shown.client_id, &shown.nonce);
        match verify_presentation(&shown, trust, known, now) {
            Outcome::Verified(verified) => {
                presented.insert(credential.name.clone(), answer::credential(&verified));
            }
            Outcome::Denied(denied) => return Ok(Verdict::Said(answer::denied(&denied))),
            Outcome::Need(fetch) => return Ok(Verdict::Need(fetch)),
        }
        if let Some(policy) = trust.credential(way) {
            let skew = policy.clock_skew.saturating_mul(2);
            window = window.max(policy.max_presentation_age.saturating_add(skew));
        }
    }
    if wanted.iter().any(|credential| !presented.contains_key(&credential.name)) {
        let hint = "Not everything that was asked for was shown.";
        return Ok(Verdict::Said(answer::refused("presentation_incomplete", "a credential is missing", hint)));
    }
    let until = now.saturating_add(window).unix();
    Ok(Verdict::Said(json!({ "outcome": "verified", "presented": presented, "nonce_until": until })))
}

fn named<'a>(names: &[String], credentials: &'a [Credential]) -> Result<Vec<&'a Credential>, String> {
    let mut found: Vec<&Credential> = Vec::new();
    for name in names {
        let credential = credentials.iter().find(|one| one.name == *name);
        let credential = credential.ok_or_else(|| format!("credentials: none is called `{name}`"))?;
        if found.iter().any(|other| other.name == *name) {
            return Err(format!("credentials: `{name}` is named twice"));
        }
        found.push(credential);
    }
    if found.is_empty() { Err("credentials: name at least one".to_owned()) } else { Ok(found) }
}

fn check_nonce(nonce: &str) -> Result<(), String> {
    if (SHORTEST_NONCE..=LONGEST_NONCE).contains(&nonce.len()) && url_safe(nonce) {
        return Ok(());
    }
    Err("nonce: at least 128 fresh random bits, as 22 to 512 letters, digits and `-._~`".to_owned())
}

/// What `nonce` and `state` are made of (section 5.2).
fn url_safe(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

fn malformed(why: &str) -> Value {
    answer::refused("response_malformed", why, "The wallet's answer cannot be read.")
}

fn unrequested(why: &str) -> Value {
    answer::refused("presentation_unrequested", why, "Something was shown that was not asked for.")
}
