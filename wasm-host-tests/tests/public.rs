//! What needs no token: public paths, preflights, optional evidence, and what is nobody's: the reserved prefix, no rule.

use carded_wasm_host::{Answer, Request};
use serde_json::json;

use crate::support::{Claims, Key, Provider, ask_api, config, host_with, ready, ready_with};

#[test]
fn a_public_path_passes_without_a_token() {
    let (mut host, _, _) = ready();
    let passed = host.ask(Request::new("POST", "/health").body(&[b"ping"])).passed().clone();
    assert_eq!(passed.body, b"ping");
}

#[test]
fn a_public_path_reads_no_evidence() {
    // keys cannot be had, and the token is garbage: nobody looks
    let idp = Provider::new(&[]);
    idp.broken(Answer::refused());
    let mut host = host_with(&config(), &idp).start().expect("starts");
    let passed = host.ask(Request::get("/health").bearer("garbage")).passed().clone();
    assert_eq!(passed.headers.text("authorization").as_deref(), Some("Bearer garbage"));
}

#[test]
fn a_preflight_passes_and_only_a_preflight() {
    let (mut host, _, _) = ready();
    let options = || Request::new("OPTIONS", "/api/orders").header("origin", "https://app.example.com");
    host.ask(options().header("access-control-request-method", "POST")).passed();
    host.ask(options()).refused(401, "token_missing");
    let disguised = Request::new("POST", "/api/orders")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST");
    host.ask(disguised).refused(401, "token_missing");
}

#[test]
fn optional_evidence_may_be_absent_but_not_bad() {
    let (mut host, _, key) = ready();
    let passed = host.ask(Request::get("/feed/today")).passed().clone();
    assert!(!passed.headers.contains("x-carded-subject"));
    let passed = host.ask(Request::get("/feed/today").bearer(&key.good())).passed().clone();
    assert_eq!(passed.headers.text("x-carded-subject").as_deref(), Some("alice"));
    let stale = key.token(&Claims::of("alice").with("exp", 1_000_000_000));
    host.ask(Request::get("/feed/today").bearer(&stale)).refused(401, "token_expired");
    host.ask(Request::get("/feed/today").bearer("rubbish")).refused(401, "token_malformed");
}

#[test]
fn what_no_rule_names_is_refused() {
    let (mut host, _, key) = ready();
    for request in [Request::get("/"), Request::get("/admin").bearer(&key.good()), Request::get("/HEALTH")] {
        host.ask(request).refused(403, "no_rule");
    }
}

#[test]
fn the_reserved_prefix_is_never_forwarded() {
    let mut config = config();
    config["rules"] = json!([{ "match": { "path": "/**" }, "allow": "anyone" }]);
    let (mut host, _, _) = ready_with(&config);
    for path in ["/.carded", "/.carded/", "/.carded/jwks.json", "/.carded/x?y=1", "/%2ecarded/x"] {
        host.ask(Request::get(path)).refused(404, "not_found");
    }
    host.ask(Request::get("/.cardedx")).passed();
}

#[test]
fn paths_that_readers_could_differ_over_are_refused() {
    let mut config = config();
    config["rules"] = json!([
        { "match": { "path": "/admin/**" }, "require": { "token": "corp" } },
        { "match": { "path": "/**" }, "allow": "anyone" }
    ]);
    let (mut host, _, _) = ready_with(&config);
    for path in ["//admin", "/x/../admin", "/x/..;y/admin", "/x/%2e%2e/admin", "/x%2f..%2fadmin", "/x\\..\\admin"] {
        host.ask(Request::get(path)).refused(400, "path_ambiguous");
    }
    host.ask(Request::get("/%61dmin/x")).refused(401, "token_missing");
    let passed = host.ask(Request::get("/%7euser/x?q=%2f..")).passed().clone();
    assert_eq!(passed.headers.text(":path").as_deref(), Some("/~user/x?q=%2f.."), "what was matched is sent on");
}

#[test]
fn forwarding_headers_never_choose_the_rule() {
    let (mut host, _, _) = ready();
    for name in ["x-forwarded-uri", "x-original-url", "x-envoy-original-path", "x-rewrite-url"] {
        host.ask(Request::get("/api/orders").header(name, "/health")).refused(401, "token_missing");
    }
}

#[test]
fn rules_see_methods_hosts_and_headers() {
    let mut config = config();
    config["rules"] = json!([
        { "match": { "path": "/a", "methods": ["GET"] }, "allow": "anyone" },
        { "match": { "path": "/b", "hosts": ["shop.example.com"] }, "allow": "anyone" },
        { "match": { "path": "/c", "headers": { "x-env": { "equals": "prod" } } }, "allow": "anyone" },
        { "match": { "path": "/d/*/x" }, "allow": "anyone" }
    ]);
    let (mut host, _, _) = ready_with(&config);
    host.ask(Request::get("/a")).passed();
    host.ask(Request::new("DELETE", "/a")).refused(403, "no_rule");
    host.ask(Request::get("/b")).passed();
    let mut elsewhere =
        carded_wasm_host::HeaderMap::from_pairs([(":method", "GET"), (":scheme", "https"), (":path", "/b")]);
    elsewhere.add(":authority", "evil.example.com");
    host.ask(Request::raw(elsewhere)).refused(403, "no_rule");
    host.ask(Request::get("/c").header("x-env", "prod")).passed();
    host.ask(Request::get("/c").header("x-env", "test")).refused(403, "no_rule");
    host.ask(Request::get("/c").header("x-env", "prod").header("x-env", "test")).refused(403, "no_rule");
    host.ask(Request::get("/d/1/x")).passed();
    host.ask(Request::get("/d/1/2/x")).refused(403, "no_rule");
}

#[test]
fn a_token_of_a_key_that_nobody_knows_is_refused() {
    let (mut host, _, _) = ready();
    ask_api(&mut host, &Key::new(9, "k9").good()).refused(401, "key_not_found");
    ask_api(&mut host, &Key::new(9, "k1").good()).refused(401, "signature_invalid");
}
