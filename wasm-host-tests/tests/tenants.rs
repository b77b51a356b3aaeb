//! Multi-tenant providers: one pattern for many issuers, whose tenants callers name, and a flood of them costs little.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use carded_wasm_host::{Answer, Host, Request};
use serde_json::{Value, json};

use crate::support::{Claims, Key, MINUTE, SECOND, START, filter, start};

/// A provider in which every tenant but `broken…` has the same key; counts the discovery documents it gave.
fn provider(key: &Key, asked: &Rc<RefCell<Vec<String>>>) -> impl FnMut(&carded_wasm_host::Call) -> Answer + 'static {
    let (jwk, asked) = (key.jwk(), Rc::clone(asked));
    move |call| {
        let path = call.path();
        asked.borrow_mut().push(path.clone());
        let tenant = path.split('/').nth(1).unwrap_or_default().to_owned();
        if tenant.starts_with("broken") {
            return Answer::status(404, "no such tenant");
        }
        if path.ends_with("/keys") {
            return Answer::json(&json!({ "keys": [jwk] }));
        }
        let base = format!("https://login.example.com/{tenant}/v2.0");
        Answer::json(&json!({ "issuer": base, "jwks_uri": format!("https://login.example.com/{tenant}/keys") }))
    }
}

fn story(tenants: Option<Value>) -> (Host, Key, Rc<RefCell<Vec<String>>>) {
    let (key, asked) = (Key::new(1, "k1"), Rc::default());
    let mut corp = json!({
        "issuer": "https://login.example.com/{tenant}/v2.0",
        "audiences": ["api.example.com"],
        "keys": { "discovery": true }
    });
    if let Some(tenants) = tenants {
        corp["tenants"] = tenants;
    }
    let config = json!({
        "origins": ["https://shop.example.com"],
        "issuers": { "corp": corp },
        "rules": [{ "match": { "path": "/api/**" }, "require": { "token": "corp" } }],
        "forward": { "headers": { "x-carded-tenant": "corp.tenant", "x-carded-subject": "corp.sub" } },
        "fetch": { "clusters": { "login.example.com": "idp" } }
    });
    let builder = Host::builder(filter()).configuration(&config).clock(START).cluster("idp", provider(&key, &asked));
    (start(builder), key, asked)
}

fn of_tenant(host: &Host, tenant: &str) -> Claims {
    Claims::of("alice").with("iss", format!("https://login.example.com/{tenant}/v2.0")).at(host.now())
}

fn ask(host: &mut Host, token: &str) -> carded_wasm_host::Outcome {
    let id = host.send(0, Request::get("/api/x").bearer(token));
    host.advance(SECOND);
    host.outcome(id)
}

#[test]
fn the_tenant_is_told_and_cannot_be_claimed() {
    let (mut host, key, _) = story(None);
    let claims = of_tenant(&host, "t-1").with("tenant", "t-2");
    let passed = ask(&mut host, &key.token(&claims)).passed().clone();
    assert_eq!(passed.headers.all("x-carded-tenant"), [b"t-1"]);
}

#[test]
fn only_tenants_on_the_list() {
    let (mut host, key, asked) = story(Some(json!(["a", "b"])));
    let listed = key.token(&of_tenant(&host, "a"));
    ask(&mut host, &listed).passed();
    let before = asked.borrow().len();
    for tenant in ["c", "A", "a ", ""] {
        let token = key.token(&of_tenant(&host, tenant));
        ask(&mut host, &token).refused(401, "issuer_untrusted");
    }
    assert_eq!(asked.borrow().len(), before, "nothing is fetched for tenants that are not on the list");
}

#[test]
fn a_tenant_never_crosses_a_slash_or_a_host() {
    let (mut host, key, asked) = story(None);
    for iss in [
        "https://login.example.com/a/b/v2.0",
        "https://login.example.com/../v2.0",
        "https://login.example.com/%2e%2e/v2.0",
        "https://login.example.com//v2.0",
        "https://login.example.com.evil.com/a/v2.0",
        "https://evil.com/login.example.com/v2.0",
        "https://login.example.com/a?x=/v2.0",
        "https://login.example.com/a#/v2.0",
        "https://user@login.example.com/a/v2.0",
        "http://login.example.com/a/v2.0",
    ] {
        let claims = Claims::of("alice").with("iss", iss).at(host.now());
        ask(&mut host, &key.token(&claims)).refused(401, "issuer_untrusted");
    }
    assert!(asked.borrow().is_empty(), "{:?}", asked.borrow());
}

#[test]
fn a_flood_of_unknown_tenants_costs_at_most_one_failed_fetch_per_cooldown() {
    let (mut host, key, asked) = story(None);
    for number in 0..300 {
        let token = key.token(&of_tenant(&host, &format!("broken-{number}")));
        let id = host.send(0, Request::get("/api/x").bearer(&token));
        host.advance(Duration::from_millis(200));
        host.outcome(id).refused(503, "keys_unavailable");
    }
    // a minute, a cooldown of 30 s
    assert!((1..=3).contains(&asked.borrow().len()), "asked {} times", asked.borrow().len());
    host.advance(MINUTE);
    let token = key.token(&of_tenant(&host, "real"));
    ask(&mut host, &token).passed();
}

#[test]
fn many_unknown_tenants_at_once_do_not_fetch_at_once() {
    let (mut host, key, asked) = story(None);
    let ids: Vec<_> = (0..200)
        .map(|number| {
            let token = key.token(&of_tenant(&host, &format!("broken-{number}")));
            host.send(0, Request::get("/api/x").bearer(&token))
        })
        .collect();
    host.advance(SECOND * 7);
    for id in ids {
        host.outcome(id).refused(503, "keys_unavailable");
    }
    assert!(asked.borrow().len() <= 2, "asked {} times", asked.borrow().len());
}
