//! Several tokens, several issuers: all that are presented must hold, and nobody is taken for somebody else.

use carded_wasm_host::Request;
use serde_json::{Value, json};

use crate::support::{Claims, Key, Provider, api, ask_api, config, host_with, inline_issuer, ready, start};

const PARTNER: &str = "https://partner.example.com";

/// `corp` reads the authorization header, `partner` a header of its own.
fn two_issuers(requirement: Value) -> (carded_wasm_host::Host, Key, Key) {
    let (key, partner) = (Key::new(1, "k1"), Key::new(2, "k1"));
    let mut config = config();
    config["issuers"]["partner"] = inline_issuer(PARTNER, &partner);
    config["issuers"]["partner"]["from_headers"] = json!([{ "name": "x-partner" }]);
    config["rules"][3]["require"] = requirement;
    config["forward"]["headers"] = json!({ "x-carded-subject": "corp.sub", "x-carded-partner": "partner.sub" });
    let host = start(host_with(&config, &Provider::new(&[&key])));
    (host, key, partner)
}

fn of_partner(sub: &str) -> Claims {
    Claims::of(sub).with("iss", PARTNER)
}

#[test]
fn all_wants_every_one_of_them() {
    let (mut host, key, partner) = two_issuers(json!({ "all": [{ "token": "corp" }, { "token": "partner" }] }));
    let both = api(&key.good()).header("x-partner", partner.token(&of_partner("bob")));
    let passed = host.ask(both).passed().clone();
    assert_eq!(passed.headers.text("x-carded-subject").as_deref(), Some("alice"));
    assert_eq!(passed.headers.text("x-carded-partner").as_deref(), Some("bob"));
    host.ask(api(&key.good())).refused(401, "token_missing");
    let alone = Request::get("/api/orders").header("x-partner", partner.token(&of_partner("bob")));
    host.ask(alone).refused(401, "token_missing");
}

#[test]
fn any_takes_either_but_none_that_is_bad() {
    let (mut host, key, partner) = two_issuers(json!({ "any": [{ "token": "corp" }, { "token": "partner" }] }));
    host.ask(api(&key.good())).passed();
    host.ask(Request::get("/api/orders").header("x-partner", partner.token(&of_partner("bob")))).passed();
    let mixed = api(&key.good()).header("x-partner", "rubbish");
    host.ask(mixed).refused(401, "token_malformed");
    let expired = partner.token(&of_partner("bob").with("exp", 1));
    host.ask(api(&key.good()).header("x-partner", expired)).refused(401, "token_expired");
    host.ask(Request::get("/api/orders")).refused(401, "token_missing");
}

#[test]
fn a_second_token_in_the_same_place_must_hold_too() {
    let (mut host, _, key) = ready();
    let good = key.good();
    host.ask(api(&good).bearer("rubbish")).refused(401, "token_malformed");
    host.ask(api("rubbish").bearer(&good)).refused(401, "token_malformed");
    // Envoy joins repetitions of this header by a comma
    assert_eq!(host.ask(api(&format!("{good},Bearer {good}"))).replied().status, 401);
    let mallory = key.token(&Claims::of("mallory"));
    assert_eq!(host.ask(api(&good).bearer(&mallory)).replied().status, 401, "two subjects are nobody");
    host.ask(api(&good).bearer(&good)).passed();
}

#[test]
fn two_issuers_with_the_same_sub_are_two_people() {
    let (mut host, key, partner) = two_issuers(json!({ "any": [{ "token": "corp" }, { "token": "partner" }] }));
    let passed =
        host.ask(Request::get("/api/x").header("x-partner", partner.token(&of_partner("alice")))).passed().clone();
    assert_eq!(passed.headers.text("x-carded-subject"), None, "alice of the partner is not alice of corp");
    assert_eq!(passed.headers.text("x-carded-partner").as_deref(), Some("alice"));
    let passed = ask_api(&mut host, &key.good()).passed().clone();
    assert_eq!(passed.headers.text("x-carded-partner"), None);
}

#[test]
fn a_token_where_the_rule_does_not_look_is_not_evidence() {
    let (mut host, key, partner) = two_issuers(json!({ "token": "corp" }));
    let misplaced = Request::get("/api/orders").header("x-partner", key.good());
    host.ask(misplaced).refused(401, "token_missing");
    host.ask(api(&partner.token(&of_partner("bob")))).refused(401, "issuer_untrusted");
    let query = Request::get(&format!("/api/orders?access_token={}", key.good()));
    host.ask(query).refused(401, "token_missing");
}
