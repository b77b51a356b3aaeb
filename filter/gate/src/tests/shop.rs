//! A shop that asks for an age, a DMV whose word counts for it, and a person or program who has one.

use std::collections::BTreeMap;

use carded_verifier::dcql::{ConcretePathElement, PathElement};
use carded_verifier::sd_jwt::SdHash;
use carded_verifier::sd_jwt::issue::Issue;
use carded_verifier::sd_jwt::present::HeldSdJwt;
use carded_verifier::sign::{SigningKey, prepare};
use carded_verifier::status_list::StatusListClaims;
use carded_verifier::{Algorithm, Fetch, Limits, base64url};
use sha2::Digest;

use super::*;

pub(super) const SHOP: &str = "https://shop.example.com";
pub(super) const DMV: &str = "https://dmv.example";
pub(super) const STATUS: &str = "https://dmv.example/status/1";

pub(super) fn key(name: &str) -> SigningKey {
    let mut seed = [7; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SigningKey::generate(Algorithm::parse("ES256").unwrap(), name, &seed).unwrap()
}

/// A configuration in which `/wine` needs an age, and `/both` a token too.
pub(super) fn config() -> Value {
    json!({
        "origins": [SHOP],
        "issuers": { "corp": issuer("corp") },
        "credentials": { "over21": {
            "query": { "format": "dc+sd-jwt", "meta": { "vct_values": ["https://dmv.example/id"] } },
            "age": { "at_least": 21 },
            "trusted_issuers": [DMV],
        } },
        "presentation": { "wallets": [{ "name": "Carded", "authorization_endpoint": "https://wallet.example.com/present" }] },
        "sessions": { "keys": [{ "env": "KEY_session" }] },
        "rules": [
            { "match": { "path": "/open" }, "allow": "anyone" },
            { "match": { "path": "/wine/**" }, "require": { "credential": "over21" }, "otherwise": "present" },
            { "match": { "path": "/both" }, "require": { "all": [{ "token": "corp" }, { "credential": "over21" }] }, "otherwise": "present" },
        ],
        "forward": { "headers": { "x-carded-over-21": "over21.satisfied", "x-carded-subject": "corp.sub" } },
        "fetch": { "clusters": { "dmv.example": "dmv" } },
    })
}

pub(super) fn environment_of_shop(name: &str) -> Option<String> {
    match name {
        "KEY_session" => Some(base64url::encode([5; 32])),
        name => super::environment(name),
    }
}

/// A shop, its browser's cookies, and what the network would answer.
pub(super) struct Shop {
    pub(super) gate: Gate,
    pub(super) known: Documents,
    pub(super) verdicts: Verdicts,
    pub(super) once: InMemory,
    pub(super) budget: Budget,
    pub(super) counter: u64,
    pub(super) now: i64,
    pub(super) revoked: bool,
    /// How often a document was asked for.
    pub(super) fetched: u32,
    pub(super) asked: Vec<Fetch>,
    /// What an issuer says about a token that it is asked about, and the forms that it was asked with.
    pub(super) introspection: Value,
    pub(super) inquiries: Vec<String>,
}

pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answered {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The cookie that is set, as the browser sends it back.
    pub(super) fn cookie(&self, prefix: &str) -> String {
        let set = self.headers.iter().filter(|(name, _)| name == "set-cookie");
        let mut values = set.map(|(_, value)| value.split(';').next().unwrap().to_owned());
        values.find(|value| value.starts_with(prefix) && !value.ends_with('=')).unwrap()
    }
}

impl Shop {
    pub(super) fn new(config: Value) -> Self {
        let gate = Gate::new(&Config::from_value(config).unwrap(), &environment_of_shop, Arc::new(RustCrypto));
        Self::of(gate.unwrap_or_else(|errors| panic!("{errors:?}")))
    }

    pub(super) fn of(gate: Gate) -> Self {
        Self {
            known: Documents::new(gate.limits()),
            verdicts: Verdicts::new(10, &mut secret),
            once: InMemory::default(),
            budget: Budget::default(),
            counter: 0,
            now: NOW,
            revoked: false,
            fetched: 0,
            asked: Vec::new(),
            introspection: Value::Null,
            inquiries: Vec::new(),
            gate,
        }
    }

    pub(super) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answered {
        self.ask_at("shop.example.com", method, path, headers, body)
    }

    pub(super) fn ask_at(
        &mut self,
        authority: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answered {
        let pseudo = [(":method", method), (":path", path), (":authority", authority), (":scheme", "https")];
        let pairs = pseudo.iter().chain(headers).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut request = Request::from_pairs(pairs);
        for _ in 0..8 {
            let mut random = |bytes: &mut [u8]| {
                for chunk in bytes.chunks_mut(8) {
                    self.counter += 1;
                    let block = sha2::Sha256::digest(self.counter.to_be_bytes());
                    chunk.copy_from_slice(&block[..chunk.len()]);
                }
                true
            };
            let now = Timestamp::from_unix(self.now);
            let mut around = Around {
                verdicts: &mut self.verdicts,
                once: &mut self.once,
                budget: &mut self.budget,
                random: &mut random,
                connection: &mut |name| (name == "source.address").then(|| b"192.0.2.1:1".to_vec()),
                now,
            };
            let decision = self.gate.decide(&request, &self.known, &mut around, &mut Silent);
            let owned = |pairs: Vec<(&str, String)>| pairs.into_iter().map(|(a, b)| (a.to_owned(), b)).collect();
            match decision.step {
                Step::Forward(changes) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let mut headers: Vec<_> = changes.set.iter().map(|(n, v)| (n.to_string(), text(v))).collect();
                    headers.extend(changes.removed().map(|name| (format!("-{}", text(name)), String::new())));
                    return Answered { status: 200, code: "forwarded", headers, body: String::new() };
                }
                Step::Reply(reply) => {
                    let headers = owned(reply.headers);
                    return Answered { status: reply.status, code: reply.code, headers, body: reply.body };
                }
                Step::Body(limit) => {
                    let body = body.unwrap_or_default();
                    assert!(body.len() <= limit);
                    request = request.with_body(body.as_bytes().to_vec());
                }
                Step::Call(effect) => panic!("{effect:?}"),
                Step::Ask(question) => {
                    self.inquiries.push(question.effect.form.clone());
                    let body = self.introspection.to_string().into_bytes();
                    let answer = Ok(carded_verifier::Reply { status: 200, body, max_age: None });
                    self.gate.answered(&question, &answer, &mut self.verdicts, now);
                }
                Step::Need(fetch) => {
                    let reply = self.network(fetch.url().as_str());
                    self.fetched += 1;
                    self.asked.push(fetch.clone());
                    self.known.insert(&fetch, &reply, now).unwrap();
                }
            }
        }
        panic!("too many documents are asked for");
    }

    /// The fetch of the status list, which was asked for before.
    pub(super) fn status_fetch(&self) -> Fetch {
        self.asked.iter().find(|fetch| fetch.url().as_str() == STATUS).unwrap().clone()
    }

    pub(super) fn network(&self, url: &str) -> carded_verifier::Reply {
        let body = match url {
            "https://dmv.example/.well-known/jwt-vc-issuer" => {
                json!({ "issuer": DMV, "jwks": { "keys": [key("dmv").public_jwk()] } }).to_string()
            }
            STATUS => {
                let statuses = vec![u8::from(self.revoked); 64];
                let claims = StatusListClaims {
                    sub: STATUS,
                    iss: Some(DMV),
                    iat: Timestamp::from_unix(self.now),
                    lifetime: None,
                    ttl: Some(std::time::Duration::from_secs(15)),
                    bits: 1,
                    statuses: &statuses,
                };
                let mut header = key("dmv").header();
                header.insert("typ".to_owned(), json!("statuslist+jwt"));
                key("dmv").sign(prepare(&header, &claims.to_claims().unwrap())).unwrap()
            }
            other => panic!("nobody is asked for {other}"),
        };
        carded_verifier::Reply { status: 200, body: body.into_bytes(), max_age: None }
    }

    pub(super) fn browse(&mut self, path: &str, cookie: &str) -> Answered {
        self.ask("GET", path, &[("accept", "text/html,*/*;q=0.8"), ("cookie", cookie)], None)
    }

    /// The request that a wallet gets: its parameters, and the cookie of the transaction.
    pub(super) fn begin(&mut self, path: &str) -> (BTreeMap<String, String>, String) {
        let answered = self.browse(path, "");
        assert_eq!(answered.status, 303, "{}", answered.body);
        let location = answered.header("location").unwrap();
        let (endpoint, query) = location.split_once('?').unwrap();
        assert_eq!(endpoint, "https://wallet.example.com/present");
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        (parameters, answered.cookie("__Host-carded-tx-"))
    }

    pub(super) fn respond(&mut self, form: &[(&str, &str)]) -> Answered {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://wallet.example.com")];
        let answered = self.ask("POST", "/.carded/response", &headers, Some(&body));
        assert_eq!(answered.header("access-control-allow-origin"), Some("*"));
        answered
    }
}

/// A card of the DMV for a holder.
pub(super) fn card(over21: bool) -> String {
    let mut header = key("dmv").header();
    header.insert("typ".to_owned(), json!("dc+sd-jwt"));
    let claims = json!({
        "iss": DMV, "vct": "https://dmv.example/id", "iat": NOW - 100, "exp": NOW + 10_000,
        "cnf": { "jwk": key("holder").public_jwk() },
        "status": { "status_list": { "uri": STATUS, "idx": 3 } },
        "given_name": "Ada", "birthdate": "1990-01-01",
        "age_equal_or_over": { "18": true, "21": over21 },
    });
    let name = |text: &str| PathElement::Name(text.to_owned());
    let issue = Issue {
        header,
        claims: claims.as_object().unwrap().clone(),
        disclosable: vec![
            vec![name("given_name")],
            vec![name("birthdate")],
            vec![name("age_equal_or_over"), name("18")],
            vec![name("age_equal_or_over"), name("21")],
        ],
        decoys: 2,
        hash: SdHash::SHA_256,
    };
    let mut counter = 0_u8;
    let mut random = |bytes: &mut [u8]| {
        counter += 1;
        bytes.fill(counter);
    };
    let prepared = issue.prepare(&mut random).unwrap();
    let signature = key("dmv").signature(prepared.bytes()).unwrap();
    prepared.finish(&signature)
}

pub(super) fn show(card: &str, parameters: &BTreeMap<String, String>, now: i64) -> String {
    let held = HeldSdJwt::parse(card, &Limits::default()).unwrap();
    let name = |text: &str| ConcretePathElement::Name(text.to_owned());
    let shown = held.disclose(&[vec![name("age_equal_or_over"), name("21")]]);
    let prepared = shown.prepare_key_binding(
        Algorithm::parse("ES256").unwrap(),
        &parameters["client_id"],
        &parameters["nonce"],
        Timestamp::from_unix(now),
    );
    let signature = key("holder").signature(prepared.bytes()).unwrap();
    prepared.finish(&signature)
}

pub(super) fn vp_token(presentation: &str) -> String {
    json!({ "over21": [presentation] }).to_string()
}

/// A person goes through all of it; the cookies of the session at the end.
pub(super) fn enter(shop: &mut Shop) -> String {
    let (parameters, transaction) = shop.begin("/wine/red?year=1990");
    let presentation = show(&card(true), &parameters, shop.now);
    let answered = shop.respond(&[("vp_token", &vp_token(&presentation)), ("state", &parameters["state"])]);
    assert_eq!(answered.status, 200, "{}", answered.body);
    let back = redirect_uri(&answered);
    let done = shop.browse(&back, &format!("other=1; {transaction}"));
    assert_eq!((done.status, done.header("location")), (303, Some("/wine/red?year=1990")), "{}", done.body);
    done.cookie("__Host-carded=")
}

/// The address that the wallet is told to go back to, without the origin.
pub(super) fn redirect_uri(answered: &Answered) -> String {
    let body: Value = serde_json::from_str(&answered.body).unwrap();
    body["redirect_uri"].as_str().unwrap().strip_prefix(SHOP).unwrap().to_owned()
}

/// What a program posts to `/.carded/present`.
pub(super) fn programs_form(shop: &mut Shop) -> String {
    let challenge = shop.ask("POST", "/.carded/challenge", &[], None);
    assert_eq!(challenge.status, 200, "{}", challenge.body);
    let challenge: Value = serde_json::from_str(&challenge.body).unwrap();
    let text = |name: &str| challenge[name].as_str().unwrap().to_owned();
    let parameters = BTreeMap::from([("client_id".to_owned(), text("client_id")), ("nonce".to_owned(), text("nonce"))]);
    let presentation = vp_token(&show(&card(true), &parameters, NOW));
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("vp_token", &*presentation), ("nonce", &*parameters["nonce"])])
        .finish()
}

/// A proof of a key for one use of a token at `/wine/red`, with claims of its own or in place of the usual ones.
pub(super) fn proof_of_program(by: &SigningKey, token: &str, claims: Value) -> String {
    let mut header = by.header();
    header.remove("kid");
    header.insert("typ".to_owned(), json!("dpop+jwt"));
    header.insert("jwk".to_owned(), by.public_jwk());
    let mut all = json!({
        "jti": format!("j{claims}"), "htm": "GET", "htu": format!("{SHOP}/wine/red"), "iat": NOW,
        "ath": base64url::encode(sha2::Sha256::digest(token)),
    });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    by.sign(prepare(&header, all.as_object().unwrap())).unwrap()
}
