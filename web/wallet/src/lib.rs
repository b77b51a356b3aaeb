//! The wallet's logic, by wasm-bindgen: what to believe, what to show, what to sign. The pages (`web/wallet/pages`) draw,
//! fetch, keep and hold the keys; everything that decides is here, pure, and tested natively.
//!
//! Every method takes texts, bytes and numbers (structures as JSON) and answers JSON: its result, or
//! `{"refused": {"code", "message"}}` with a sentence for the person. `pages/src/types.ts` says what each answers.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod answer;
mod check;
mod copies;
mod explain;
mod holder;
mod issuer;
mod link;
mod offer;
mod plan;
mod query;
mod refusal;
mod replies;

use std::collections::HashMap;

use carded_verifier::dcql::Format;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::answer::{Chosen, Unsigned};
use crate::check::Checkers;
use crate::holder::HolderKey;
use crate::issuer::{Configuration, Issuance, Label};
use crate::offer::{Offer, Read};
use crate::plan::{Card, Held};
use crate::refusal::{Refusal, Step};

/// The wallet of one page: documents that were fetched, and what waits for its signature. Nothing of a person is in it.
#[wasm_bindgen]
#[derive(Default)]
pub struct Wallet {
    checkers: Checkers,
    unsigned: HashMap<u32, Unsigned>,
    next: u32,
}

#[wasm_bindgen]
impl Wallet {
    /// A wallet that knows nothing yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which build this is.
    pub fn build(&self) -> String {
        json!(link::BUILD).to_string()
    }

    /// An offer as it was opened, scanned or pasted: `{offer}` or `{fetch}`.
    pub fn read_offer(&self, text: &str) -> String {
        answer(|| {
            Ok(match offer::read(text)? {
                Read::Offer(offer) => json!({ "offer": offer }),
                Read::Fetch(url) => json!({ "fetch": url }),
            })
        })
    }

    /// An offer that was fetched: `{offer}`.
    pub fn parse_offer(&self, body: &[u8]) -> String {
        answer(|| Ok(json!({ "offer": offer::parse(body)? })))
    }

    /// The issuer's metadata, for an offer: what can be had.
    pub fn read_issuer(&self, offer: &str, metadata: &[u8], locale: &str) -> String {
        answer(|| value(&issuer::read(&read::<Offer>(offer)?, metadata, locale)?))
    }

    /// The authorization server's metadata: `{token_endpoint}`.
    pub fn read_server(&self, issuance: &str, metadata: &[u8]) -> String {
        answer(|| Ok(json!({ "token_endpoint": issuer::token_endpoint(&read::<Issuance>(issuance)?, metadata)? })))
    }

    /// The form that asks for a token: `{body}`.
    pub fn token_request(&self, offer: &str, tx_code: Option<String>) -> String {
        answer(|| Ok(json!({ "body": replies::token_request(&read::<Offer>(offer)?, tx_code.as_deref()) })))
    }

    /// The token reply: `{access_token, identifiers}`.
    pub fn read_token(&self, status: u16, body: &[u8], with_tx_code: bool) -> String {
        answer(|| replies::token(status, body, with_tx_code))
    }

    /// The nonce reply: `{c_nonce}`.
    pub fn read_nonce(&self, status: u16, body: &[u8]) -> String {
        answer(|| replies::nonce(status, body))
    }

    /// A proof of possession to be signed: `{id, message}`.
    pub fn prepare_proof(
        &mut self,
        issuance: &str,
        configuration: &str,
        jwk: &str,
        nonce: Option<String>,
        now: f64,
    ) -> String {
        let prepared = (|| {
            let issuance: Issuance = read(issuance)?;
            let configuration: Configuration = read(configuration)?;
            let key = HolderKey::from_jwk(&read(jwk)?)?;
            Ok(Unsigned::Jws(holder::proof(&key, &configuration, &issuance.issuer, nonce.as_deref(), seconds(now))))
        })();
        self.keep(prepared)
    }

    /// The body that asks for credentials.
    pub fn credential_request(&self, configuration: &str, identifier: Option<String>, proofs: &str) -> String {
        answer(|| Ok(replies::credential_request(configuration, identifier.as_deref(), &read::<Vec<String>>(proofs)?)))
    }

    /// The credential reply: `{credentials}` or `{deferred}`.
    pub fn read_credentials(&self, status: u16, body: &[u8], proofs: usize) -> String {
        answer(|| replies::credentials(status, body, proofs))
    }

    /// Takes the signature (as JOSE writes it) for what was prepared: `{token}`.
    pub fn finish(&mut self, id: u32, signature: &[u8]) -> String {
        let unsigned = self.unsigned.remove(&id);
        answer(|| {
            let unsigned = unsigned.ok_or_else(|| Refusal::new("not_prepared", "There is nothing to sign."))?;
            Ok(json!({ "token": unsigned.finish(signature) }))
        })
    }

    /// Checks one copy; see `Checkers::check`.
    pub fn check_copy(
        &mut self,
        issuer: &str,
        format: &str,
        types: &str,
        credential: &str,
        keys: &str,
        now: f64,
    ) -> String {
        let checkers = &mut self.checkers;
        answer(|| {
            let types: Vec<String> = read(types)?;
            checkers.check(issuer, format, &types, credential, &read::<Vec<Value>>(keys)?, seconds(now))
        })
    }

    /// Hands in the reply to a need.
    pub fn insert(&mut self, id: &str, status: u16, body: Vec<u8>, max_age: Option<f64>, now: f64) -> String {
        let max_age = max_age.and_then(|seconds| u64::try_from(self::seconds(seconds)).ok());
        self.checkers.insert(id, status, body, max_age, seconds(now));
        "{}".to_owned()
    }

    /// Says that a need could not be answered.
    pub fn fail(&mut self, id: &str, why: &str, now: f64) -> String {
        self.checkers.fail(id, why, seconds(now));
        "{}".to_owned()
    }

    /// What a credential says: `{rows}`.
    pub fn describe(&self, format: &str, credential: &str, labels: &str) -> String {
        answer(|| {
            let held = Held::parse(format, credential)?;
            let rows = explain::rows(&Format::parse(format), held.claims(), &read::<Vec<Label>>(labels)?);
            Ok(json!({ "rows": rows }))
        })
    }

    /// A key as DIDs: `{did_jwk, did_key}`.
    pub fn dids(&self, jwk: &str) -> String {
        answer(|| {
            let key = HolderKey::from_jwk(&read(jwk)?)?;
            Ok(json!({ "did_jwk": key.did_jwk(), "did_key": key.did_key() }))
        })
    }

    /// What can be done about a presentation request.
    pub fn plan(&self, query: &str, cards: &str, now: f64) -> String {
        answer(|| value(&plan::plan(&answer::request(query)?, &read::<Vec<Card>>(cards)?, seconds(now))?))
    }

    /// A presentation to be signed, of a card for one credential query: `{id, message}`.
    pub fn prepare_presentation(&mut self, query: &str, id: &str, card: &str, now: f64) -> String {
        let prepared = (|| {
            let request = answer::request(query)?;
            answer::prepare(&request, id, &read::<Chosen>(card)?, seconds(now))
        })();
        self.keep(prepared)
    }

    /// The answer that shows: `{url, body}`.
    pub fn answer(&self, query: &str, presentations: &str) -> String {
        answer(|| Ok(answer::show(&answer::request(query)?, read(presentations)?)))
    }

    /// The answer that shows nothing: `{url, body}`, the same whatever the reason (threat 95).
    pub fn decline(&self, query: &str) -> String {
        answer(|| Ok(answer::decline(&answer::request(query)?)))
    }

    /// What the site replied: `{redirect_uri, same_origin}`.
    pub fn read_reply(&self, query: &str, status: u16, body: &[u8]) -> String {
        answer(|| answer::reply(&answer::request(query)?, status, body))
    }

    fn keep(&mut self, prepared: Result<Unsigned, Refusal>) -> String {
        answer(|| {
            let unsigned = prepared?;
            let message = unsigned.message();
            self.next = self.next.wrapping_add(1);
            self.unsigned.insert(self.next, unsigned);
            Ok(json!({ "id": self.next, "message": message }))
        })
    }
}

fn answer(step: impl FnOnce() -> Step) -> String {
    step().unwrap_or_else(|refusal| refusal.to_value()).to_string()
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T, Refusal> {
    serde_json::from_str(json).map_err(|why| Refusal::new("page_error", format!("The page made a mistake: {why}.")))
}

fn value(answer: &impl Serialize) -> Step {
    serde_json::to_value(answer).map_err(|why| Refusal::new("page_error", why.to_string()))
}

/// JavaScript's numbers: whole seconds; casting saturates, so that no time wraps.
#[expect(clippy::cast_possible_truncation, reason = "saturates, and a fraction of a second does not count")]
fn seconds(now: f64) -> i64 {
    now.floor() as i64
}
