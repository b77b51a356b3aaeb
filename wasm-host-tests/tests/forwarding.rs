//! What the services behind are told: claims as headers, never a client's own copies, and no token unless it is wanted.

use carded_wasm_host::Request;
use serde_json::json;

use crate::support::{Claims, api, ask_api, config, ready, ready_with};

#[test]
fn a_good_token_passes_with_its_claims_as_headers() {
    let (mut host, _, key) = ready();
    let passed = ask_api(&mut host, &key.good()).passed().clone();
    assert_eq!(passed.headers.all("x-carded-subject"), [b"alice"]);
    assert_eq!(passed.headers.all("x-carded-roles"), [b"clerk"]);
    assert!(!passed.headers.contains("authorization"), "the token is kept back");
}

#[test]
fn the_clients_own_copies_are_removed_on_every_path() {
    let (mut host, _, key) = ready();
    let forged = |request: Request| {
        request
            .header("x-carded-subject", "mallory")
            .header("X-Carded-Subject", "mallory")
            .header("x_carded_subject", "mallory")
            .header("X-CARDED_Roles", "mallory")
            .header("x-carded-unheard-of", "mallory")
    };
    let id = host.send(0, forged(api(&key.good())));
    assert_eq!(host.outcome(id).passed().headers.all("x-carded-subject"), [b"alice"]);
    host.ask(forged(Request::get("/health"))).passed();
    host.ask(forged(Request::get("/feed/x"))).passed();
    host.ask(forged(Request::get("/feed/x").bearer(&key.token(&Claims::of("bob").without("realm_access"))))).passed();
    assert_eq!(host.all_passed().len(), 4);
    host.assert_none_passed_with(|_, value| value == b"mallory");
}

#[test]
fn the_token_goes_on_only_where_the_issuer_says_so() {
    let mut config = config();
    config["issuers"]["corp"]["forward"] = json!(true);
    let (mut host, _, key) = ready_with(&config);
    let passed = ask_api(&mut host, &key.good()).passed().clone();
    assert_eq!(passed.headers.text("authorization"), Some(format!("Bearer {}", key.good())));
}

#[test]
fn tokens_are_taken_out_of_cookies_and_queries_and_the_rest_stays() {
    let mut config = config();
    config["issuers"]["corp"]["from_cookies"] = json!(["at"]);
    config["issuers"]["corp"]["from_params"] = json!(["access_token"]);
    config["issuers"]["corp"]["from_headers"] = json!([{ "name": "x-token", "value_prefix": "JWT " }]);
    let (mut host, _, key) = ready_with(&config);
    let token = key.good();
    let request = Request::get("/api/orders").header("cookie", format!("a=1; at={token}; b=2"));
    let passed = host.ask(request).passed().clone();
    assert_eq!(passed.headers.text("cookie").as_deref(), Some("a=1; b=2"));
    let passed = host.ask(Request::get(&format!("/api/orders?x=1&access_token={token}&y=%2F"))).passed().clone();
    assert_eq!(passed.headers.text(":path").as_deref(), Some("/api/orders?x=1&y=%2F"));
    let passed = host.ask(Request::get("/api/orders").header("x-token", format!("JWT {token}"))).passed().clone();
    assert!(!passed.headers.contains("x-token"));
    host.assert_none_passed_with(|_, value| String::from_utf8_lossy(value).contains(&token));
    // places that are not configured are not read
    host.ask(api(&token)).refused(401, "token_missing");
}

#[test]
fn claims_that_are_illegal_in_a_header_refuse() {
    let (mut host, _, key) = ready();
    for sub in ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b", "a\u{7f}b", "\u{85}"] {
        let token = key.token(&Claims::of(sub));
        ask_api(&mut host, &token).refused(403, "claim_not_forwardable");
    }
    let long = key.token(&Claims::of(&"x".repeat(9_000)));
    ask_api(&mut host, &long).refused(403, "claim_not_forwardable");
    assert!(host.all_passed().is_empty());
}

#[test]
fn what_is_not_ascii_is_encoded_and_lists_are_joined() {
    let (mut host, _, key) = ready();
    let claims = Claims::of("Zo\u{eb} 100%").with("realm_access", json!({ "roles": ["a", "b,c", 7] }));
    let passed = ask_api(&mut host, &key.token(&claims)).passed().clone();
    assert_eq!(passed.headers.text("x-carded-subject").as_deref(), Some("Zo%C3%AB 100%25"));
    assert_eq!(passed.headers.text("x-carded-roles").as_deref(), Some("a,b%2Cc,7"));
}
