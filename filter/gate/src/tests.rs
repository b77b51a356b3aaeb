//! The gate as a whole: configurations in, decisions out. Tokens are HS256 here, which keeps keys in one line; every
//! algorithm is tried in `verifier/tests` and in the real Envoy.

mod api_tokens;
mod audiences;
mod certificates;
mod configuration;
mod decisions;
mod exchange;
mod introspection;
mod leaving;
mod lending;
mod login;
mod login_sessions;
mod logout;
mod minting;
mod possession;
mod presenting;
mod programs;
mod provider;
mod pushed;
mod refresh;
mod remembered;
mod revocation;
mod sessions;
mod shop;
mod slow;
mod slow_sessions;
mod step_up;
mod userinfo;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carded_verifier::{Documents, RustCrypto, Timestamp, Trust};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::ended::{Cells, STATE};
use super::*;

pub(super) const NOW: i64 = 1_790_000_000;

/// A secret for what is remembered.
fn secret(bytes: &mut [u8]) -> bool {
    bytes.fill(7);
    true
}

fn environment(name: &str) -> Option<String> {
    name.starts_with("KEY_").then(|| format!("{name}-0123456789abcdef0123456789abcdef"))
}

/// An issuer that signs with a shared secret of its own.
fn issuer(name: &str) -> Value {
    json!({
        "issuer": format!("https://{name}.example.com"),
        "audiences": ["api"],
        "algorithms": ["HS256"],
        "keys": { "secret": { "env": format!("KEY_{name}") } },
    })
}

fn build(config: Value) -> Result<Gate, Vec<ConfigError>> {
    Gate::new(&Config::from_value(config)?, &environment, Arc::new(RustCrypto))
}

fn gate(config: Value) -> Gate {
    build(config).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// The trust in a single issuer, for tests of the parts.
pub(super) fn trust_of_one() -> Trust {
    let config =
        json!({ "issuers": { "corp": issuer("corp") }, "rules": [{ "match": { "path": "/**" }, "allow": "anyone" }] });
    gate(config).trust
}

/// A token of an issuer, with claims of its own or in place of the usual ones (null takes one out).
fn token(name: &str, claims: Value) -> String {
    let mut all = json!({
        "iss": format!("https://{name}.example.com"), "aud": "api", "sub": "alice", "iat": NOW - 10, "exp": NOW + 600
    });
    for (key, value) in claims.as_object().unwrap() {
        if value.is_null() {
            all.as_object_mut().unwrap().remove(key);
        } else {
            all[key] = value.clone();
        }
    }
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(all.to_string()));
    let key = environment(&format!("KEY_{name}")).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// What became of a request, in a form that tests can read.
#[derive(Debug, PartialEq)]
enum Became {
    Forwarded {
        set: Vec<(String, String)>,
        removed: Vec<String>,
    },
    Refused(u16, &'static str),
    Needs(String),
    /// An issuer is asked about a token, at this address.
    Asks(String),
}

struct Asked<'a> {
    gate: &'a Gate,
    known: Documents,
    verdicts: Verdicts,
    once: InMemory,
    budget: Budget,
    /// How many signatures the last decision checked.
    verified: u32,
    /// The last question about a token.
    inquiry: Option<Inquiry>,
    /// What the proxy knows of the connection.
    connection: Vec<(&'static str, Vec<u8>)>,
}

impl<'a> Asked<'a> {
    fn new(gate: &'a Gate) -> Self {
        Self {
            gate,
            known: Documents::new(gate.limits()),
            verdicts: Verdicts::new(gate.cached_verdicts(), &mut secret),
            once: InMemory::default(),
            budget: Budget::default(),
            verified: 0,
            inquiry: None,
            connection: Vec::new(),
        }
    }

    fn at(&mut self, now: i64, method: &str, path: &str, headers: &[(&str, &str)]) -> Became {
        let pseudo = [(":method", method), (":path", path), (":authority", "api.example.com"), (":scheme", "https")];
        let pairs = pseudo.iter().chain(headers).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let request = Request::from_pairs(pairs);
        let mut random = secret;
        let mut around = Around {
            verdicts: &mut self.verdicts,
            once: &mut self.once,
            budget: &mut self.budget,
            random: &mut random,
            connection: &mut |name| {
                self.connection.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
            },
            now: Timestamp::from_unix(now),
        };
        let decision = self.gate.decide(&request, &self.known, &mut around, &mut Silent);
        self.verified = decision.verified;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match decision.step {
            Step::Forward(changes) => Became::Forwarded {
                set: changes.set.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                removed: changes.removed().map(text).collect(),
            },
            Step::Reply(reply) => Became::Refused(reply.status, reply.code),
            Step::Need(fetch) => Became::Needs(fetch.url().to_string()),
            Step::Body(limit) => panic!("a body of {limit} bytes is asked for"),
            Step::Call(effect) => panic!("{effect:?}"),
            Step::Ask(inquiry) => {
                let url = inquiry.effect.url.to_string();
                self.inquiry = Some(inquiry);
                Became::Asks(url)
            }
        }
    }
}

/// What the workers share of what ended cannot be read or written any more, until it is mended.
fn break_the_store(once: &mut InMemory) {
    let (_, version) = once.read(STATE).unwrap();
    assert!(once.write(STATE, b"of another", version));
}

/// It is as at the start.
fn mend_the_store(once: &mut InMemory) {
    let (_, version) = once.read(STATE).unwrap();
    assert!(once.write(STATE, b"", version));
}

fn ask(gate: &Gate, method: &str, path: &str, headers: &[(&str, &str)]) -> Became {
    Asked::new(gate).at(NOW, method, path, headers)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
