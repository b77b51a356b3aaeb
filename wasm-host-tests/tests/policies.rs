//! Who may do what, for callers whose token holds.

use carded_wasm_host::{Outcome, Request};
use serde_json::{Value, json};

use crate::support::{Claims, Key, Provider, config, host_with, inline_issuer, start};

const PARTNER: &str = "https://partner.example.com";

fn story() -> (carded_wasm_host::Host, Key, Key) {
    let (key, partner) = (Key::new(1, "k1"), Key::new(2, "k2"));
    let mut config = config();
    config["issuers"]["partner"] = inline_issuer(PARTNER, &partner);
    config["issuers"]["corp"]["roles"] = json!("realm_access.roles");
    config["rules"] = json!([
        { "match": { "path": "/open/**" }, "require": { "token": "corp" } },
        {
            "name": "api",
            "match": { "path": "/api/**" },
            "require": { "any": [{ "token": "corp" }, { "token": "partner" }] },
            "authorize": true,
            "actions": { "GET": "orders.read", "POST": "orders.write" }
        }
    ]);
    config["policies"] = json!([
        { "effect": "allow", "subjects": ["role:corp.clerk"], "actions": ["orders.read"], "resources": ["/api/orders/**"] },
        { "effect": "allow", "subjects": ["scope:corp.orders:write"], "actions": ["orders.write"], "resources": ["/api/orders"] },
        { "effect": "allow", "subjects": ["*"], "actions": ["*"], "resources": ["/api/users/{corp.sub}/**"] },
        { "effect": "allow", "subjects": ["client:partner.app"], "actions": ["orders.read"], "resources": ["/api/feed"] },
        { "effect": "deny", "subjects": ["sub:corp.mallory"], "actions": ["*"], "resources": ["/**"] }
    ]);
    let host = start(host_with(&config, &Provider::new(&[&key])));
    (host, key, partner)
}

fn ask(host: &mut carded_wasm_host::Host, method: &str, path: &str, token: &str) -> Outcome {
    host.ask(Request::new(method, path).bearer(token))
}

fn roles(names: Value) -> Claims {
    Claims::of("alice").with("realm_access", json!({ "roles": names }))
}

#[test]
fn roles_and_scopes_allow_what_they_name() {
    let (mut host, key, _) = story();
    let clerk = key.token(&roles(json!(["clerk"])));
    ask(&mut host, "GET", "/api/orders/7", &clerk).passed();
    ask(&mut host, "GET", "/api/orders", &clerk).passed();
    ask(&mut host, "POST", "/api/orders", &clerk).refused(403, "policy_denied");
    ask(&mut host, "GET", "/api/prices", &clerk).refused(403, "policy_denied");
    let writer = key.token(&roles(json!([])).with("scope", "openid orders:write"));
    ask(&mut host, "POST", "/api/orders", &writer).passed();
    ask(&mut host, "GET", "/api/orders", &writer).refused(403, "policy_denied");
    let near_miss = key.token(&roles(json!(["Clerk", "clerks", "cler"])));
    ask(&mut host, "GET", "/api/orders", &near_miss).refused(403, "policy_denied");
}

#[test]
fn only_ones_own_data() {
    let (mut host, key, partner) = story();
    let alice = key.token(&roles(json!([])));
    ask(&mut host, "GET", "/api/users/alice/mail", &alice).passed();
    ask(&mut host, "DELETE", "/api/users/alice", &alice).passed();
    ask(&mut host, "GET", "/api/users/bob/mail", &alice).refused(403, "policy_denied");
    ask(&mut host, "GET", "/api/users/ALICE/mail", &alice).refused(403, "policy_denied");
    ask(&mut host, "GET", "/api/users//mail", &alice).refused(400, "path_ambiguous");
    // the same name at another issuer is another person
    let other = partner.token(&Claims::of("alice").with("iss", PARTNER));
    ask(&mut host, "GET", "/api/users/alice/mail", &other).refused(403, "policy_denied");
    // nobody has an empty name
    let nameless = key.token(&Claims::of("").without("realm_access"));
    assert_eq!(ask(&mut host, "GET", "/api/users/", &nameless).replied().status, 403);
}

#[test]
fn a_deny_wins_on_every_rule() {
    let (mut host, key, _) = story();
    let mallory = key.token(&Claims::of("mallory"));
    ask(&mut host, "GET", "/api/orders", &mallory).refused(403, "policy_denied");
    ask(&mut host, "GET", "/api/users/mallory/x", &mallory).refused(403, "policy_denied");
    ask(&mut host, "GET", "/open/x", &mallory).refused(403, "policy_denied");
    ask(&mut host, "GET", "/open/x", &key.good()).passed();
}

#[test]
fn clients_are_told_apart_by_issuer() {
    let (mut host, key, partner) = story();
    let app = partner.token(&Claims::of("svc").with("iss", PARTNER).with("client_id", "app"));
    ask(&mut host, "GET", "/api/feed", &app).passed();
    let same_client_at_corp = key.token(&Claims::of("svc").with("client_id", "app").without("realm_access"));
    ask(&mut host, "GET", "/api/feed", &same_client_at_corp).refused(403, "policy_denied");
}
