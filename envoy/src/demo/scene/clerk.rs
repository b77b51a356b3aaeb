//! The county clerk, known by a `did:web` only: signs a plain "over 21" about the holder's DID as a JWT VC (VC Data Model 1.1
//! section 6.3.1, `jwt_vc_json` of OpenID4VCI 1.0 appendix A.1.1). There is nothing in it to hide, so nothing is disclosed selectively.

use anyhow::{Context, Result, anyhow, ensure};
use carded_verifier::Algorithm;
use carded_verifier::sign::{SigningKey, prepare};
use serde_json::{Value, json};
use std::fmt::Write;

use super::http::{Reply, Request};
use super::issuer::{Configuration, Endpoints, Holder, Maker};
use super::page::{House, escape, page};
use super::people::{PEOPLE, Person};
use super::random;

/// The type of the clerk's credential, beside `VerifiableCredential`.
pub(crate) const TYPE: &str = "OverTwentyOneCredential";

const DAY: i64 = 86_400;
const DAYS: i64 = 30;

const HOUSE: House = House {
    class: "clerk",
    name: "County Clerk",
    motto: "Pellworth County",
    mark: r#"<g fill="none" stroke="currentColor" stroke-width="1.7" stroke-linejoin="round" stroke-linecap="round"><path d="M3 9.5 12 4l9 5.5ZM4 20.5h16M6 10v8M10 10v8M14 10v8M18 10v8"/></g>"#,
    links: &[],
};

/// The clerk.
#[derive(Debug)]
pub(crate) struct Clerk {
    endpoints: Endpoints,
    did: String,
    jwk: Value,
    wallet: String,
}

#[derive(Debug)]
struct Desk {
    did: String,
    key: SigningKey,
}

/// The `did:web` of a host, with its port percent-encoded (did:web section 3.2).
pub(crate) fn did_of(url: &str) -> String {
    let host = url.split("://").nth(1).unwrap_or_default();
    format!("did:web:{}", host.replace(':', "%3A"))
}

impl Clerk {
    /// The clerk at `url`, with a fresh key.
    ///
    /// # Errors
    /// When no key can be made.
    pub(crate) fn new(url: &str, wallet: &str) -> Result<Self> {
        let did = did_of(url);
        let algorithm = Algorithm::parse("ES256").context("ES256 is known")?;
        let key =
            SigningKey::generate(algorithm, &format!("{did}#key-1"), &random::bytes()).map_err(|e| anyhow!("{e}"))?;
        let mut jwk = key.public_jwk();
        if let Some(members) = jwk.as_object_mut() {
            members.remove("kid"); // the verification method has the name
        }
        let desk = Desk { did: did.clone(), key };
        let endpoints = Endpoints::new(url, "County Clerk", Box::new(desk));
        Ok(Self { endpoints, did, jwk, wallet: wallet.to_owned() })
    }

    /// Answers a request to its host.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        if let Some(reply) = self.endpoints.answer(request) {
            return reply;
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("OPTIONS", _) => Reply::status(204).for_any_origin(),
            ("GET", "/.well-known/did.json") => Reply::json(200, &self.document()).for_any_origin(),
            ("GET", "/") => home(),
            ("POST", "/apply") => match request.field("person").and_then(|id| Person::find(&id)) {
                Some(person) if person.age >= 21 => {
                    Reply::see_other(&format!("/offers/{}", self.endpoints.offer(person, None).id))
                }
                Some(person) => refused(person),
                None => home(),
            },
            ("GET", path) => match path.strip_prefix("/offers/").and_then(|id| self.endpoints.open_offer(id)) {
                Some(offer) => self.offer(&offer),
                None => Reply::html(
                    404,
                    page(&HOUSE, "Nothing here", "<h1>Nothing here</h1><p><a href=\"/\">To the clerk</a></p>"),
                ),
            },
            _ => Reply::status(405),
        }
    }

    /// The DID document (DID Core section 5).
    fn document(&self) -> Value {
        let method = format!("{}#key-1", self.did);
        json!({
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"],
            "id": self.did,
            "verificationMethod": [
                { "id": method, "type": "JsonWebKey2020", "controller": self.did, "publicKeyJwk": self.jwk },
            ],
            "assertionMethod": [method],
        })
    }

    fn offer(&self, offer: &super::issuer::Offer) -> Reply {
        let object = self.endpoints.offer_object(offer).to_string();
        let encoded: String = form_urlencoded::byte_serialize(object.as_bytes()).collect();
        let body = format!(
            r#"<h1>Your attestation is ready, {given}</h1>
<p class="lead">It says “over 21” about a key of your wallet, and nothing else.</p>
<div class="two"><section class="card" aria-labelledby="h-code"><h2 id="h-code">1. Your code</h2><p>The wallet asks for this code.</p><p class="code" id="tx-code">{tx}</p></section>
<section class="card" aria-labelledby="h-wallet"><h2 id="h-wallet">2. Your wallet</h2><p>The offer is good for ten minutes and works once.</p>
<p class="actions"><a class="button" id="add" href="{wallet}/receive?credential_offer={encoded}">Add to my wallet</a></p></section></div>"#,
            given = escape(offer.person.given_name),
            tx = escape(&offer.tx_code),
            wallet = escape(&self.wallet),
        );
        Reply::html(200, page(&HOUSE, "Your attestation is ready", &body))
    }
}

impl Maker for Desk {
    fn configuration(&self) -> Configuration {
        Configuration {
            id: "over21",
            members: json!({
                "format": "jwt_vc_json",
                "credential_definition": { "type": ["VerifiableCredential", TYPE] },
            }),
            binding_methods: &["did:jwk", "did:key", "jwk"],
            title: "Over 21",
            colours: ["#2b6247", "#ffffff"],
            claims: vec![(json!(["credentialSubject", "age_over_21"]), "Over 21")],
        }
    }

    fn make(&self, person: &Person, holders: &[Holder], lifetime: Option<i64>, now: i64) -> Result<Vec<String>> {
        ensure!(person.age >= 21, "{} is not over 21", person.id);
        let today = now - now.rem_euclid(DAY);
        let mut header = self.key.header();
        header.insert("typ".to_owned(), json!("JWT"));
        let copy = |holder: &Holder| {
            let claims = json!({
                "iss": self.did,
                "sub": holder.did,
                "nbf": today,
                "exp": lifetime.map_or(today + DAYS * DAY, |seconds| now + seconds),
                "jti": format!("urn:uuid:{}", uuid()),
                "vc": {
                    "@context": ["https://www.w3.org/2018/credentials/v1"],
                    "type": ["VerifiableCredential", TYPE],
                    "credentialSubject": { "id": holder.did, "age_over_21": true },
                },
            });
            let claims = claims.as_object().context("an object")?;
            self.key.sign(prepare(&header, claims)).map_err(|e| anyhow!("{e}"))
        };
        holders.iter().map(copy).collect()
    }
}

/// A random UUID (RFC 9562 section 5.4).
fn uuid() -> String {
    let mut bytes = random::bytes::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn home() -> Reply {
    let mut choices = String::new();
    for (at, person) in PEOPLE.iter().enumerate() {
        let checked = if at == 0 { " checked" } else { "" };
        let _ = write!(
            choices,
            r#"<label class="choice"><input type="radio" name="person" value="{}"{checked}><span><b>{}</b><small>{} years old</small></span></label>"#,
            person.id,
            escape(&person.name()),
            person.age,
        );
    }
    let body = format!(
        r#"<h1>A word from the clerk: over 21</h1>
<p class="lead">No name, no birth date, not even a hidden one: a signed line about a key of your wallet. Shops that trust the clerk take it.</p>
<form method="post" action="/apply" class="card"><fieldset><legend>I am</legend>{choices}</fieldset><button>Get the attestation</button></form>"#
    );
    Reply::html(200, page(&HOUSE, "Over 21", &body))
}

fn refused(person: &Person) -> Reply {
    let body = format!(
        r#"<h1>Not yet, {}</h1><p class="lead">The clerk attests “over 21” only to those who are.</p><p class="actions"><a class="button quiet" href="/">Back</a></p>"#,
        escape(person.given_name)
    );
    Reply::html(403, page(&HOUSE, "Not yet", &body))
}
