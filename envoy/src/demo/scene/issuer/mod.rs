//! An issuer of OpenID for Verifiable Credential Issuance 1.0 with the pre-authorized code flow and batches of copies: the code
//! that the motor vehicle agency and the county clerk share. What differs between them is a [`Maker`].
//!
//! State is in memory and bounded. Every answer that a wallet reads may be read from any origin; none depends on a cookie.

mod grants;
mod metadata;
mod proof;

pub(crate) use grants::Offer;
pub(crate) use metadata::Configuration;
pub(crate) use proof::Holder;

use anyhow::Result;
use serde_json::{Map, Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::http::{Reply, Request};
use super::people::Person;
use crate::keys::now;
use grants::{Grants, Refusal};

/// How many copies one batch has at most.
pub(crate) const BATCH: usize = 10;

/// What an issuer makes: its one kind of credential.
pub(crate) trait Maker: Send + Sync + std::fmt::Debug + 'static {
    /// How it is described to wallets.
    fn configuration(&self) -> Configuration;

    /// Makes one copy for each key, about `person`, at `now` (seconds since 1970).
    ///
    /// # Errors
    /// When it cannot; the text is for the operator and reaches nobody else.
    fn make(&self, person: &Person, holders: &[Holder], lifetime: Option<i64>, now: i64) -> Result<Vec<String>>;
}

/// The endpoints of one issuer.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// The Credential Issuer Identifier: an URL without a slash at its end.
    pub(crate) url: String,
    /// Its name for people.
    name: &'static str,
    maker: Box<dyn Maker>,
    grants: Mutex<Grants>,
}

impl Endpoints {
    /// The endpoints of an issuer at `url`.
    pub(crate) fn new(url: &str, name: &'static str, maker: Box<dyn Maker>) -> Self {
        Self { url: url.to_owned(), name, maker, grants: Mutex::default() }
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a credential about `person`, with a transaction code. `lifetime` shortens its validity (seconds).
    pub(crate) fn offer(&self, person: &'static Person, lifetime: Option<i64>) -> Offer {
        self.grants().offer(person, lifetime, now())
    }

    /// An offer that is still open.
    pub(crate) fn open_offer(&self, id: &str) -> Option<Offer> {
        self.grants().open_offer(id, now())
    }

    /// The Credential Offer (section 4.1.1).
    pub(crate) fn offer_object(&self, offer: &Offer) -> Value {
        json!({
            "credential_issuer": self.url,
            "credential_configuration_ids": [self.maker.configuration().id],
            "grants": {
                "urn:ietf:params:oauth:grant-type:pre-authorized_code": {
                    "pre-authorized_code": offer.code,
                    "tx_code": {
                        "input_mode": "numeric",
                        "length": offer.tx_code.len(),
                        "description": format!("The {} shows it beside the offer.", self.name),
                    },
                },
            },
        })
    }

    /// Where the offer is, for a QR code (section 4.1.3).
    pub(crate) fn offer_uri(&self, offer: &Offer) -> String {
        format!("{}/offers/{}.json", self.url, offer.id)
    }

    /// Answers what belongs to issuance; nothing for any other path.
    pub(crate) fn answer(&self, request: &Request) -> Option<Reply> {
        let path = request.path.as_str();
        let known = [
            "/.well-known/openid-credential-issuer",
            "/.well-known/oauth-authorization-server",
            "/token",
            "/nonce",
            "/credential",
        ];
        let offer = path.strip_prefix("/offers/").and_then(|rest| rest.strip_suffix(".json"));
        if !known.contains(&path) && offer.is_none() {
            return None;
        }
        let reply = match (request.method.as_str(), path) {
            ("OPTIONS", _) => Reply::status(204),
            ("GET", "/.well-known/openid-credential-issuer") => {
                Reply::json(200, &metadata::issuer(&self.url, self.name, &self.maker.configuration()))
            }
            ("GET", "/.well-known/oauth-authorization-server") => Reply::json(200, &metadata::server(&self.url)),
            ("GET", _) if offer.is_some() => match offer.and_then(|id| self.open_offer(id)) {
                Some(offer) => Reply::json(200, &self.offer_object(&offer)),
                None => Reply::status(404),
            },
            ("POST", "/token") => self.token(request),
            ("POST", "/nonce") => Reply::json(200, &json!({ "c_nonce": self.grants().nonce(now()) })),
            ("POST", "/credential") => self.credential(request),
            _ => Reply::status(405),
        };
        Some(reply.for_any_origin())
    }

    /// The token endpoint (section 6).
    fn token(&self, request: &Request) -> Reply {
        if !request.header("content-type").starts_with("application/x-www-form-urlencoded") {
            return Reply::error("invalid_request", "the body must be a form");
        }
        match request.field("grant_type").as_deref() {
            Some("urn:ietf:params:oauth:grant-type:pre-authorized_code") => {}
            Some(_) => {
                return Reply::error("unsupported_grant_type", "only the pre-authorized code grant is known here");
            }
            None => return Reply::error("invalid_request", "no grant_type"),
        }
        let Some(code) = request.field("pre-authorized_code") else {
            return Reply::error("invalid_request", "no pre-authorized_code");
        };
        let Some(tx_code) = request.field("tx_code") else {
            return Reply::error("invalid_request", "this offer needs its transaction code");
        };
        match self.grants().redeem(&code, &tx_code, now()) {
            Ok(token) => Reply::json(
                200,
                &json!({ "access_token": token, "token_type": "Bearer", "expires_in": grants::TOKEN_LIFETIME }),
            ),
            Err(Refusal::WrongTxCode) => Reply::error("invalid_grant", "the transaction code is wrong"),
            Err(Refusal::Unknown) => Reply::error("invalid_grant", "the offer is unknown, used or has expired"),
        }
    }

    /// The credential endpoint (section 8).
    fn credential(&self, request: &Request) -> Reply {
        let now = now();
        let token = request.header("authorization");
        let token = token.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some(grant) = token.and_then(|(_, token)| self.grants().authorized(token, now)) else {
            // RFC 6750 section 3
            return Reply::json(401, &json!({ "error": "invalid_token" }))
                .header("www-authenticate", "Bearer error=\"invalid_token\"");
        };
        let Ok(body) = carded_verifier::json::parse_object(&request.body, 8) else {
            return Reply::error("invalid_credential_request", "the body is no JSON object");
        };
        if body.get("credential_configuration_id").and_then(Value::as_str) != Some(self.maker.configuration().id) {
            return Reply::error("unknown_credential_configuration", "this issuer has no such credential");
        }
        let holders = match self.holders(&body, now) {
            Ok(holders) => holders,
            Err(reply) => return *reply,
        };
        if !self.grants().spend(&grant.token, holders.len(), now) {
            return Reply::error("credential_request_denied", "all copies of this offer have been issued");
        }
        match self.maker.make(grant.person, &holders, grant.lifetime, now) {
            Ok(copies) => {
                let credentials: Vec<Value> = copies.into_iter().map(|copy| json!({ "credential": copy })).collect();
                Reply::json(200, &json!({ "credentials": credentials }))
            }
            Err(error) => {
                eprintln!("{}: {error:#}", self.name);
                Reply::error("credential_request_denied", "the credential cannot be issued now")
            }
        }
    }

    /// The keys of the request, each with its possession proved, all over one nonce that is used up by this.
    fn holders(&self, body: &Map<String, Value>, now: i64) -> Result<Vec<Holder>, Box<Reply>> {
        let invalid = |why: &str| Box::new(Reply::error("invalid_proof", why));
        let proofs = body.get("proofs").and_then(Value::as_object).ok_or_else(|| invalid("no proofs"))?;
        let (Some(Value::Array(jwts)), 1) = (proofs.get("jwt"), proofs.len()) else {
            return Err(invalid("proofs must hold jwt and nothing else"));
        };
        if jwts.is_empty() || jwts.len() > BATCH {
            return Err(invalid("too few or too many proofs"));
        }
        let mut holders: Vec<Holder> = Vec::with_capacity(jwts.len());
        let mut nonce: Option<String> = None;
        for jwt in jwts {
            let jwt = jwt.as_str().ok_or_else(|| invalid("a proof is no text"))?;
            let (holder, said) = proof::check(jwt, &self.url, now).map_err(invalid)?;
            if nonce.get_or_insert_with(|| said.clone()) != &said {
                return Err(invalid("the proofs carry different nonces"));
            }
            // a copy whose key another copy has could be linked to it
            if holders.iter().any(|known| known.jwk == holder.jwk) {
                return Err(invalid("two proofs are by the same key"));
            }
            holders.push(holder);
        }
        let nonce = nonce.unwrap_or_default();
        if !self.grants().use_nonce(&nonce, now) {
            return Err(Box::new(Reply::error("invalid_nonce", "the nonce is unknown, used or has expired")));
        }
        Ok(holders)
    }
}
