//! An agency that issues a card, its status list, and a wallet that shows the card.

use carded_verifier::dcql::{ConcretePathElement, PathElement};
use carded_verifier::sd_jwt::SdHash;
use carded_verifier::sd_jwt::issue::Issue;
use carded_verifier::sd_jwt::present::HeldSdJwt;
use carded_verifier::sign::{SigningKey, prepare};
use carded_verifier::status_list::StatusListClaims;
use carded_verifier::{Algorithm, Limits, Timestamp};
use carded_wasm_host::{Answer, Call, Host, Outcome, Request};
use serde_json::{Value, json};
use std::time::Duration;

use super::START;

pub(crate) const ISSUER: &str = "https://dmv.example";
const LIST: &str = "https://dmv.example/status/1";

fn now() -> Timestamp {
    Timestamp::from_unix(START.cast_signed())
}

fn key(name: &str) -> SigningKey {
    let mut seed = [3; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SigningKey::generate(Algorithm::parse("ES256").expect("known"), name, &seed).expect("a key")
}

/// What the agency's server says.
pub(crate) fn answer(call: &Call) -> Answer {
    answer_with(call, 0)
}

/// The same with this status of every card.
pub(crate) fn answer_with(call: &Call, status: u8) -> Answer {
    match call.path().as_str() {
        "/.well-known/jwt-vc-issuer" => {
            Answer::json(&json!({ "issuer": ISSUER, "jwks": { "keys": [key("dmv").public_jwk()] } }))
        }
        "/status/1" => {
            let claims = StatusListClaims {
                sub: LIST,
                iss: Some(ISSUER),
                iat: now(),
                lifetime: None,
                ttl: None,
                bits: 1,
                statuses: &[status; 16],
            };
            let mut header = key("dmv").header();
            header.insert("typ".to_owned(), json!("statuslist+jwt"));
            let token = key("dmv").sign(prepare(&header, &claims.to_claims().expect("claims"))).expect("a signature");
            Answer::status(200, token)
        }
        other => Answer::status(404, other.to_owned()),
    }
}

/// A card that says that its holder is over 21.
pub(crate) fn card() -> String {
    let mut header = key("dmv").header();
    header.insert("typ".to_owned(), json!("dc+sd-jwt"));
    let claims = json!({
        "iss": ISSUER, "vct": "https://dmv.example/id", "iat": START - 100, "exp": START + 100_000,
        "cnf": { "jwk": key("holder").public_jwk() },
        "status": { "status_list": { "uri": LIST, "idx": 3 } },
        "given_name": "Ada", "age_equal_or_over": { "21": true },
    });
    let Value::Object(claims) = claims else { panic!("an object") };
    let name = |text: &str| PathElement::Name(text.to_owned());
    let disclosable = vec![vec![name("given_name")], vec![name("age_equal_or_over"), name("21")]];
    let issue = Issue { header, claims, disclosable, decoys: 1, hash: SdHash::SHA_256 };
    let mut counter = 0_u8;
    let mut random = |bytes: &mut [u8]| {
        counter += 1;
        bytes.fill(counter);
    };
    let prepared = issue.prepare(&mut random).expect("issued");
    let signature = key("dmv").signature(prepared.bytes()).expect("a signature");
    prepared.finish(&signature)
}

/// The form that presents the card, with the nonce or the state beside it.
fn form(client_id: &str, nonce: &str, beside: (&str, &str)) -> String {
    let held = HeldSdJwt::parse(&card(), &Limits::default()).expect("a card");
    let name = |text: &str| ConcretePathElement::Name(text.to_owned());
    let shown = held.disclose(&[vec![name("age_equal_or_over"), name("21")]]);
    let prepared = shown.prepare_key_binding(Algorithm::parse("ES256").expect("known"), client_id, nonce, now());
    let signature = key("holder").signature(prepared.bytes()).expect("a signature");
    let vp_token = json!({ "over21": [prepared.finish(&signature)] }).to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |text: &str| -> String {
        text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    format!("vp_token={}&{}={}", encode(&vp_token), beside.0, encode(beside.1))
}

/// A configuration in which `/wine` needs the card.
pub(crate) fn config() -> Value {
    json!({
        "origins": ["https://shop.example.com"],
        "credentials": { "over21": {
            "query": { "format": "dc+sd-jwt", "meta": { "vct_values": ["https://dmv.example/id"] } },
            "age": { "at_least": 21 },
            "trusted_issuers": [ISSUER],
        } },
        "presentation": { "wallets": [{ "name": "W", "authorization_endpoint": "https://wallet.example.com/present" }] },
        "sessions": { "keys": [{ "env": "CARDED_SESSION_KEY" }] },
        "rules": [
            { "match": { "path": "/open" }, "allow": "anyone" },
            { "match": { "path": "/wine/**" }, "require": { "credential": "over21" }, "otherwise": "present" },
        ],
        "forward": { "headers": { "x-carded-over-21": "over21.satisfied" } },
        "fetch": { "clusters": { "dmv.example": "dmv" } },
        "limits": { "waiting_time": "3s" },
    })
}

/// The form that answers a challenge.
pub(crate) fn form_for(challenge: &Value) -> String {
    let text = |name: &str| challenge[name].as_str().expect("a text").to_owned();
    form(&text("client_id"), &text("nonce"), ("nonce", &text("nonce")))
}

/// A person shows the card in a browser; the session's cookie, as the browser sends it.
pub(crate) fn enter(host: &mut Host) -> String {
    let sent = host.ask(Request::get("/wine/red").header("accept", "text/html"));
    let transaction = cookie(&sent, "__Host-carded-tx-");
    let location = sent.replied().headers.text("location").expect("a way to the wallet");
    let parameter = |name: &str| {
        let pair = location.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        decode(pair.unwrap_or_else(|| panic!("no {name} in {location}")))
    };
    let form = form(&parameter("client_id"), &parameter("nonce"), ("state", &parameter("state")));
    let post = Request::new("POST", "/.carded/response").header("content-type", "application/x-www-form-urlencoded");
    let id = host.send(0, post.body(&[form.as_bytes()]));
    host.advance(Duration::from_secs(1));
    let answer = host.outcome(id).replied().json();
    let back = answer["redirect_uri"].as_str().expect("a way back").to_owned();
    let path = back.strip_prefix("https://shop.example.com").expect("ours");
    let done = host.ask(Request::get(path).header("accept", "text/html").header("cookie", transaction.as_str()));
    cookie(&done, "__Host-carded=")
}

/// The cookie that a reply sets, of those whose name begins so.
fn cookie(outcome: &Outcome, name: &str) -> String {
    let all = outcome.replied().headers.all("set-cookie");
    let texts = all.iter().map(|value| String::from_utf8_lossy(value).into_owned());
    let mut pairs = texts.map(|value| value.split(';').next().unwrap_or_default().to_owned());
    pairs
        .find(|pair| pair.starts_with(name) && !pair.ends_with('='))
        .unwrap_or_else(|| panic!("no {name}: {outcome:?}"))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        match (*first, more) {
            (b'%', [high, low, ..]) => {
                let digits = String::from_utf8(vec![*high, *low]).expect("ASCII");
                bytes.push(u8::from_str_radix(&digits, 16).expect("two digits"));
                rest = &more[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).expect("a text")
}
