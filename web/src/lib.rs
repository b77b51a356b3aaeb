//! The verifier in the browser: the same checks in the same order as at the edge, by wasm-bindgen.
//!
//! JavaScript fetches (`web/pages/verify.mjs`): [`Verifier::verify`] answers as JSON, with `outcome` one of
//!
//! - `verified`: `issuer`, `iss`, `algorithm`, `claims`, `report`, and `tenant`, `kid`, `expires` where there are any;
//! - `denied`: `code`, `check`, `detail`, `hint` (what the code means), `report`;
//! - `need`: `id`, `url`: fetch it, hand it in by [`Verifier::insert`] or [`Verifier::fail`], and ask again.
//!
//! `report` is a list of `{check, passed, note}` in the order in which the checks ran.

mod trust;

use std::collections::HashMap;

use carded_verifier::{
    Documents, Evidence, Fetch, FetchFailure, Limits, Outcome, Reply, Report, Timestamp, Trust, verify,
};
use serde_json::{Value, json};
use wasm_bindgen::prelude::wasm_bindgen;

/// A trust description with the documents that are known so far.
#[wasm_bindgen]
pub struct Verifier {
    trust: Trust,
    limits: Limits,
    known: Documents,
    /// What was asked for and has not come yet, by id.
    pending: HashMap<String, Fetch>,
}

#[wasm_bindgen]
impl Verifier {
    /// Makes a verifier from a trust description in JSON: `{issuers: {NAME: {issuer, audiences, algorithms, keys}}}` with
    /// `keys` one of `{discovery: true}`, `{jwks_uri: "https://…"}`, `{jwks: {keys: […]}}`.
    ///
    /// # Errors
    /// What is wrong with the description, as text (a thrown string in JavaScript).
    #[wasm_bindgen(constructor)]
    pub fn new(description: &str) -> Result<Verifier, String> {
        let (trust, limits) = trust::parse(description)?;
        let known = Documents::new(&limits);
        Ok(Self { trust, limits, known, pending: HashMap::new() })
    }

    /// Verifies a compact JWT at a time (Unix seconds). The answer is JSON, as the module describes it.
    pub fn verify(&mut self, token: &str, now: f64) -> String {
        let outcome = verify(&Evidence::access_token(token.as_bytes()), &self.trust, &self.known, timestamp(now));
        let answer = match outcome {
            Outcome::Verified(verified) => json!({
                "outcome": "verified",
                "issuer": verified.issuer_name(),
                "iss": verified.iss(),
                "tenant": verified.tenant(),
                "algorithm": verified.algorithm().name(),
                "kid": verified.kid(),
                "expires": verified.expires().map(Timestamp::unix),
                "claims": verified.claims(),
                "report": report(&verified.report()),
            }),
            Outcome::Denied(denied) => json!({
                "outcome": "denied",
                "code": denied.code().as_str(),
                "check": denied.check().as_str(),
                "detail": denied.detail(),
                "hint": denied.code().description(),
                "report": report(&denied.report()),
            }),
            Outcome::Need(fetch) => {
                let answer = json!({ "outcome": "need", "id": fetch.id(), "url": fetch.url().as_str() });
                self.pending.insert(fetch.id().to_owned(), fetch);
                answer
            }
        };
        answer.to_string()
    }

    /// The longest document that is taken, in bytes.
    pub fn document_bytes(&self) -> usize {
        self.limits.document_bytes
    }

    /// Hands in the reply to a `need`. One that cannot be used counts as a failure; the next answer says so.
    pub fn insert(&mut self, id: &str, status: u16, body: Vec<u8>, now: f64) {
        if let Some(fetch) = self.pending.remove(id) {
            // the documents keep the failure themselves
            let _ = self.known.insert(&fetch, &Reply { status, body, max_age: None }, timestamp(now));
        }
    }

    /// Says that a `need` could not be answered: `timeout`, or anything else for "not reachable".
    pub fn fail(&mut self, id: &str, why: &str, now: f64) {
        if let Some(fetch) = self.pending.remove(id) {
            let failure = if why == "timeout" { FetchFailure::Timeout } else { FetchFailure::Unreachable };
            self.known.fail(&fetch, failure, timestamp(now));
        }
    }
}

fn report(report: &Report) -> Value {
    report
        .lines()
        .map(|(check, passed, note)| json!({ "check": check.as_str(), "passed": passed, "note": note }))
        .collect()
}

/// JavaScript's numbers: whole seconds; casting saturates, so that no time wraps.
#[expect(clippy::cast_possible_truncation, reason = "saturates, and a fraction of a second does not count")]
fn timestamp(now: f64) -> Timestamp {
    Timestamp::from_unix(now.floor() as i64)
}
