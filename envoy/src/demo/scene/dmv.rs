//! The motor vehicle agency: an SD-JWT VC (draft 19) about a person, ten copies at a time that share nothing by which they could
//! be linked, with a status list (Token Status List) and an operator who can revoke all copies of somebody.

mod pages;

use anyhow::{Context, Result, anyhow};
use carded_verifier::dcql::PathElement;
use carded_verifier::sd_jwt::SdHash;
use carded_verifier::sd_jwt::issue::Issue;
use carded_verifier::sign::{SigningKey, prepare};
use carded_verifier::status_list::StatusListClaims;
use carded_verifier::{Algorithm, Timestamp};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::http::{Reply, Request};
use super::issuer::{Configuration, Endpoints, Holder, Maker};
use super::people::Person;
use super::random;
use super::status::StatusList;
use crate::keys::now;

/// The type of the identity credential.
pub(crate) const VCT: &str = "https://dmv.example/credentials/id";

/// How long a credential is good, in days.
const DAYS: i64 = 90;
const DAY: i64 = 86_400;

/// How long a status list may be kept: short, so that a demonstration need not wait.
const STATUS_TTL: Duration = Duration::from_secs(15);
/// How long a status list is good at all.
const STATUS_LIFETIME: Duration = Duration::from_secs(300);

/// What can be disclosed by itself. `age_equal_or_over` stays an object in sight, so that one age can be shown alone.
const DISCLOSABLE: [&[&str]; 11] = [
    &["given_name"],
    &["family_name"],
    &["birthdate"],
    &["address"],
    &["address", "street_address"],
    &["address", "locality"],
    &["address", "region"],
    &["address", "postal_code"],
    &["age_equal_or_over", "18"],
    &["age_equal_or_over", "21"],
    &["age_equal_or_over", "65"],
];

/// The agency.
#[derive(Debug)]
pub(crate) struct Dmv {
    endpoints: Endpoints,
    office: Arc<Office>,
    wallet: String,
    /// Whether a form may shorten the validity: how tests get a credential that expires while they watch.
    short_lifetimes: bool,
}

/// What makes and revokes credentials.
#[derive(Debug)]
struct Office {
    url: String,
    key: SigningKey,
    list: Mutex<StatusList>,
}

impl Dmv {
    /// The agency at `url`, with a fresh key. `wallet` is the origin of the wallet that its offers lead to.
    ///
    /// # Errors
    /// When no key can be made.
    pub(crate) fn new(url: &str, wallet: &str, short_lifetimes: bool) -> Result<Self> {
        let algorithm = Algorithm::parse("ES256").context("ES256 is known")?;
        let key = SigningKey::generate(algorithm, &random::token(), &random::bytes()).map_err(|e| anyhow!("{e}"))?;
        let office = Arc::new(Office { url: url.to_owned(), key, list: Mutex::default() });
        let endpoints = Endpoints::new(url, "Department of Motor Vehicles", Box::new(Desk(office.clone())));
        Ok(Self { endpoints, office, wallet: wallet.to_owned(), short_lifetimes })
    }

    /// Answers a request to its host.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        if let Some(reply) = self.endpoints.answer(request) {
            return reply;
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("OPTIONS", _) => Reply::status(204).for_any_origin(),
            ("GET", "/.well-known/jwt-vc-issuer") => Reply::json(200, &self.office.issuer_metadata()).for_any_origin(),
            ("GET", "/jwks") => Reply::json(200, &self.office.key_set()).for_any_origin(),
            ("GET", "/status/1") => match self.office.status_token(now()) {
                Ok(token) => Reply::text("application/statuslist+jwt", token)
                    .header("cache-control", format!("max-age={}", STATUS_TTL.as_secs()))
                    .for_any_origin(),
                Err(_) => Reply::status(500).for_any_origin(),
            },
            ("GET", "/") => pages::home(),
            ("GET", "/apply") => pages::apply(self.short_lifetimes),
            ("POST", "/apply") => self.apply(request),
            ("GET", "/operator") => pages::operator(|person| self.office.list().good(person), None),
            ("POST", "/operator") => self.revoke(request),
            ("GET", path) => match path.strip_prefix("/offers/").and_then(|id| self.endpoints.open_offer(id)) {
                Some(offer) => pages::offer(&self.endpoints, &offer, &self.wallet),
                None => pages::missing(),
            },
            _ => Reply::status(405),
        }
    }

    fn apply(&self, request: &Request) -> Reply {
        let Some(person) = request.field("person").and_then(|id| Person::find(&id)) else {
            return pages::apply(self.short_lifetimes);
        };
        let lifetime = request.field("lifetime").filter(|_| self.short_lifetimes).and_then(|text| text.parse().ok());
        let offer = self.endpoints.offer(person, lifetime);
        Reply::see_other(&format!("/offers/{}", offer.id))
    }

    fn revoke(&self, request: &Request) -> Reply {
        let person = request.field("person").and_then(|id| Person::find(&id));
        let done = person.map(|person| (person, self.office.list().revoke(person.id)));
        pages::operator(|person| self.office.list().good(person), done)
    }
}

/// The desk that credentials are handed out at.
#[derive(Debug)]
struct Desk(Arc<Office>);

impl Maker for Desk {
    fn configuration(&self) -> Configuration {
        let claims = [
            (json!(["given_name"]), "Given name"),
            (json!(["family_name"]), "Family name"),
            (json!(["birthdate"]), "Date of birth"),
            (json!(["address"]), "Address"),
            (json!(["address", "street_address"]), "Street"),
            (json!(["address", "locality"]), "Town"),
            (json!(["address", "region"]), "State"),
            (json!(["address", "postal_code"]), "Postal code"),
            (json!(["age_equal_or_over", "18"]), "Over 18"),
            (json!(["age_equal_or_over", "21"]), "Over 21"),
            (json!(["age_equal_or_over", "65"]), "Over 65"),
        ];
        Configuration {
            id: "identity",
            members: json!({ "format": "dc+sd-jwt", "vct": VCT }),
            binding_methods: &["jwk", "did:jwk", "did:key"],
            title: "Digital ID",
            colours: ["#1f5186", "#ffffff"],
            claims: claims.to_vec(),
        }
    }

    fn make(&self, person: &Person, holders: &[Holder], lifetime: Option<i64>, now: i64) -> Result<Vec<String>> {
        let indexes = self.0.list().take(person.id, holders.len())?;
        holders.iter().zip(indexes).map(|(holder, index)| self.0.copy(person, holder, index, lifetime, now)).collect()
    }
}

impl Office {
    fn list(&self) -> MutexGuard<'_, StatusList> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One copy. Its times are rounded to days: an exact time would link the copies of a batch (RFC 9901 section 10.1).
    fn copy(&self, person: &Person, holder: &Holder, index: usize, lifetime: Option<i64>, now: i64) -> Result<String> {
        let today = now - now.rem_euclid(DAY);
        let mut claims = object(person.claims(now));
        claims.extend(object(json!({
            "iss": self.url,
            "vct": VCT,
            "iat": today,
            "nbf": today,
            "exp": lifetime.map_or(today + DAYS * DAY, |seconds| now + seconds),
            "cnf": holder.cnf,
            "status": { "status_list": { "idx": index, "uri": self.status_uri() } },
        })));
        let mut header = self.key.header();
        header.insert("typ".to_owned(), json!("dc+sd-jwt"));
        let path = |path: &&[&str]| path.iter().map(|name| PathElement::Name((*name).to_owned())).collect();
        let issue = Issue {
            header,
            claims,
            disclosable: DISCLOSABLE.iter().map(path).collect(),
            // as many as make the number of digests say nothing
            decoys: 1 + random::below(4) as usize,
            hash: SdHash::parse("sha-256").context("sha-256 is known")?,
        };
        let prepared = issue.prepare(&mut random::fill)?;
        let signature = self.key.signature(prepared.bytes()).map_err(|e| anyhow!("{e}"))?;
        Ok(prepared.finish(&signature))
    }

    fn status_uri(&self) -> String {
        format!("{}/status/1", self.url)
    }

    /// JWT VC Issuer Metadata (SD-JWT VC section 5).
    fn issuer_metadata(&self) -> Value {
        json!({ "issuer": self.url, "jwks_uri": format!("{}/jwks", self.url) })
    }

    fn key_set(&self) -> Value {
        json!({ "keys": [self.key.public_jwk()] })
    }

    /// The Status List Token (Token Status List section 5.1).
    fn status_token(&self, now: i64) -> Result<String> {
        let (uri, statuses) = (self.status_uri(), self.list().states());
        let claims = StatusListClaims {
            sub: &uri,
            iss: Some(&self.url),
            iat: Timestamp::from_unix(now),
            lifetime: Some(STATUS_LIFETIME),
            ttl: Some(STATUS_TTL),
            bits: 1,
            statuses: &statuses,
        };
        let mut header = self.key.header();
        header.insert("typ".to_owned(), json!("statuslist+jwt"));
        self.key.sign(prepare(&header, &claims.to_claims()?)).map_err(|e| anyhow!("{e}"))
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
