//! The verifier for JavaScript: the same checks in the same order as at the edge, by wasm-bindgen. The page of
//! `web/pages` uses it as it is, the package `@carded/verifier` (`web/package`) with types around it.
//!
//! JavaScript fetches. [`Verifier::verify`], [`Verifier::verify_presentations`] and [`Verifier::verify_status`] answer as
//! JSON, with `outcome` one of
//!
//! - `verified`: what holds (`answer`), with `report`;
//! - `denied`: `code`, `detail`, `hint` (what the code means), `report`, and `check`, `retry_after` where there are any;
//! - `need`: `id`, `url`, `accept`, and `named`, whether the configuration names the host: fetch it, hand it in by
//!   [`Verifier::insert`] or [`Verifier::fail`], and ask again from the start.
//!
//! `report` is a list of `{check, passed, note}` in the order in which the checks ran.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod answer;
mod credentials;
mod presenting;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use carded_verifier::{
    Documents, Evidence, Fetch, FetchFailure, Limits, Outcome, Reply, StatusReference, Timestamp, Trust, verify,
    verify_status,
};
use serde_json::{Value, json};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::credentials::Credential;
use crate::presenting::{Asked, Shown};

/// A trust description with the documents that are known so far.
#[wasm_bindgen]
pub struct Verifier {
    trust: Trust,
    limits: Limits,
    credentials: Vec<Credential>,
    /// Hosts, with their ports, that the description names.
    hosts: BTreeSet<String>,
    known: Documents,
    /// What was asked for and has not come yet, by id.
    pending: HashMap<String, Fetch>,
}

#[wasm_bindgen]
impl Verifier {
    /// Makes a verifier from a trust description in JSON, in the words of the filter's configuration: `issuers` (of JWTs)
    /// by name, with `keys` one of `{discovery: true}`, `{jwks_uri: "https://…"}`, `{jwks: {keys: […]}}`; `credentials` by
    /// name; `fetch_hosts`; `danger_allow_http_localhost`.
    ///
    /// # Errors
    /// What is wrong with the description, as text (a thrown string in JavaScript).
    #[wasm_bindgen(constructor)]
    pub fn new(description: &str) -> Result<Verifier, String> {
        let trust::Parsed { trust, limits, credentials, hosts } = trust::parse(description)?;
        let known = Documents::new(&limits);
        Ok(Self { trust, limits, credentials, hosts, known, pending: HashMap::new() })
    }

    /// Verifies a compact JWT at a time (Unix seconds). The answer is JSON, as the module describes it.
    pub fn verify(&mut self, token: &str, now: f64) -> String {
        match verify(&Evidence::access_token(token.as_bytes()), &self.trust, &self.known, timestamp(now)) {
            Outcome::Verified(verified) => answer::token(&verified),
            Outcome::Denied(denied) => answer::denied(&denied),
            Outcome::Need(fetch) => self.need(fetch),
        }
        .to_string()
    }

    /// Makes a request for presentations: `{credentials, response_uri, nonce, state}` in JSON gives
    /// `{client_id, dcql_query, query}`, where `query` is what a wallet's authorization endpoint is opened with.
    ///
    /// # Errors
    /// What is wrong with the arguments, as text.
    pub fn request(&self, asked: &str) -> Result<String, String> {
        let asked: Asked = read(asked)?;
        Ok(presenting::request(&asked, &self.trust, &self.credentials, self.limits.url_policy)?.to_string())
    }

    /// Reads the form that a wallet posts: `outcome` is `presented` (`vp_token`), `error` (`error`, `description`), each
    /// with `state` where there is one, or `denied`.
    pub fn read_response(&self, form: &[u8]) -> String {
        presenting::read(form, &self.limits).to_string()
    }

    /// Verifies all that was shown: `shown` is `{credentials, client_id, nonce}` in JSON, `form` has the `vp_token`.
    ///
    /// # Errors
    /// What is wrong with the arguments, as text.
    pub fn verify_presentations(&mut self, shown: &str, form: &[u8], now: f64) -> Result<String, String> {
        let shown: Shown = read(shown)?;
        let outcome = presenting::verify(&shown, form, &self.trust, &self.credentials, &self.known, timestamp(now))?;
        Ok(match outcome {
            presenting::Verdict::Said(value) => value,
            presenting::Verdict::Need(fetch) => self.need(fetch),
        }
        .to_string())
    }

    /// Looks the status of a credential up again: `id`, `issuer` and `status` as they were verified.
    ///
    /// # Errors
    /// What is wrong with the arguments, as text.
    pub fn verify_status(&mut self, id: &str, issuer: &str, status: &str, now: f64) -> Result<String, String> {
        let reference: StatusReference = read(status)?;
        let index = self.trust.credential_of(id).ok_or_else(|| format!("no credential has the id `{id}`"))?;
        Ok(match verify_status(&reference, issuer, index, &self.trust, &self.known, timestamp(now)) {
            Outcome::Verified(checked) => json!({ "outcome": "verified", "until": checked.until().unix() }),
            Outcome::Denied(denied) => answer::denied(&denied),
            Outcome::Need(fetch) => self.need(fetch),
        }
        .to_string())
    }

    /// The longest document that is taken, in bytes.
    pub fn document_bytes(&self) -> usize {
        self.limits.document_bytes
    }

    /// The longest form of a wallet that is taken, in bytes.
    pub fn response_bytes(&self) -> usize {
        carded_verifier::openid4vp::AuthorizationResponse::largest_body(&self.limits)
    }

    /// Hands in the reply to a `need`, with `max-age` of its `cache-control` in seconds where it has one. One that cannot
    /// be used counts as a failure; the next answer says so.
    pub fn insert(&mut self, id: &str, status: u16, body: Vec<u8>, now: f64, max_age: Option<f64>) {
        if let Some(fetch) = self.pending.remove(id) {
            let max_age = max_age.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            // the documents keep the failure themselves
            let _ = self.known.insert(&fetch, &Reply { status, body, max_age }, timestamp(now));
        }
    }

    /// Says that a `need` could not be answered: `timeout`, `host_not_configured`, or anything else for "not reachable".
    pub fn fail(&mut self, id: &str, why: &str, now: f64) {
        if let Some(fetch) = self.pending.remove(id) {
            let failure = match why {
                "timeout" => FetchFailure::Timeout,
                "host_not_configured" => FetchFailure::HostNotConfigured,
                _ => FetchFailure::Unreachable,
            };
            self.known.fail(&fetch, failure, timestamp(now));
        }
    }

    /// Says that a `need` is left alone: nothing is known of its document, and asking again needs it anew.
    pub fn forget(&mut self, id: &str) {
        self.pending.remove(id);
    }

    fn need(&mut self, fetch: Fetch) -> Value {
        let answer = json!({
            "outcome": "need",
            "id": fetch.id(),
            "url": fetch.url().as_str(),
            "accept": fetch.kind().accept(),
            "named": self.hosts.contains(fetch.url().authority()),
        });
        self.pending.insert(fetch.id().to_owned(), fetch);
        answer
    }
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// JavaScript's numbers: whole seconds; casting saturates, so that no time wraps.
#[expect(clippy::cast_possible_truncation, reason = "saturates, and a fraction of a second does not count")]
fn timestamp(now: f64) -> Timestamp {
    Timestamp::from_unix(now.floor() as i64)
}
