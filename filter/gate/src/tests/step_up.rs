//! Rules that need a stronger or a newer login (RFC 9470).

use super::provider::*;
use super::shop::Answered;
use super::*;

fn config_with(step_up: &Value) -> Value {
    let mut configured = config();
    let mut vault = json!({ "match": { "path": "/vault" }, "require": { "login": "corp" }, "otherwise": "login" });
    let mut safe = json!({ "match": { "path": "/safe" }, "require": { "token": "corp" } });
    for (name, value) in step_up.as_object().unwrap() {
        vault[name] = value.clone();
        safe[name] = value.clone();
    }
    configured["rules"].as_array_mut().unwrap().extend([vault, safe]);
    configured
}

fn sign_in(door: &mut Door, path: &str, claims: Value) -> Answered {
    let sent = door.begin(path);
    door.grants(&id_token(&sent, claims));
    door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]))
}

#[test]
fn a_browser_signs_in_once_more_with_what_the_rule_needs() {
    let mut door = Door::new(config_with(&json!({ "acr_values": ["phr", "urn:mfa"] })));
    sign_in(&mut door, "/account", json!({ "acr": "pwd" }));
    assert_eq!(door.browse("/account").status, 200);
    let sent = door.begin("/vault");
    assert_eq!(sent["acr_values"], "phr urn:mfa");
    assert!(!sent.contains_key("max_age"));
    // a provider that does not do what was asked ends on a page, and not in a circle
    let back = sign_in(&mut door, "/vault", json!({ "acr": "pwd" }));
    assert_eq!((back.status, back.code), (403, "login_failed"));
    let back = sign_in(&mut door, "/vault", json!({ "acr": "urn:mfa" }));
    assert_eq!(back.header("location"), Some("/vault"));
    assert_eq!(door.browse("/vault").status, 200);
    assert_eq!(door.browse("/account").status, 200);
}

#[test]
fn a_login_grows_too_old_for_a_rule() {
    let mut door = Door::new(config_with(&json!({ "max_age": "5m" })));
    sign_in(&mut door, "/account", json!({ "auth_time": NOW - 100 }));
    assert_eq!(door.browse("/vault").status, 200);
    door.now = NOW + 199;
    assert_eq!(door.browse("/vault").status, 200);
    door.now = NOW + 200;
    let sent = door.begin("/vault");
    assert_eq!(sent["max_age"], "300");
    let back = sign_in(&mut door, "/vault", json!({ "auth_time": NOW - 400 }));
    assert_eq!((back.status, back.code), (403, "login_failed"));
    let back = sign_in(&mut door, "/vault", json!({ "auth_time": NOW + 190 }));
    assert_eq!(back.status, 303);
    assert_eq!(door.browse("/vault").status, 200);
}

#[test]
fn programs_read_what_is_needed() {
    let mut door = Door::new(config_with(&json!({ "acr_values": ["phr"], "max_age": "10m" })));
    let mut ask = |claims: Value| {
        let mut all = json!({ "aud": "api", "nonce": null });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let sent = [("nonce".to_owned(), String::new())].into();
        let token = bearer(&signed("idp", Some("at+jwt"), &sent, all));
        door.ask("GET", "/safe", &[("authorization", &token)])
    };
    let refused = ask(json!({ "acr": "pwd", "auth_time": NOW }));
    assert_eq!((refused.status, refused.code), (401, "insufficient_user_authentication"));
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains(r#"error="insufficient_user_authentication""#), "{challenge}");
    assert!(challenge.ends_with(r#", acr_values="phr", max_age="600""#), "{challenge}");
    for (claims, status) in [
        (json!({}), 401),
        (json!({ "acr": "phr" }), 401),
        (json!({ "acr": "phr", "auth_time": NOW - 600 }), 401),
        (json!({ "acr": "phr", "auth_time": "now" }), 401),
        (json!({ "acr": ["phr"], "auth_time": NOW }), 401),
        (json!({ "acr": "phr", "auth_time": NOW - 599 }), 200),
    ] {
        for _ in 0..2 {
            assert_eq!(ask(claims.clone()).status, status, "{claims}, remembered or not");
        }
    }
}

#[test]
fn what_cannot_be_stepped_up_is_refused() {
    for (change, expected) in [
        (json!({ "match": { "path": "/x" }, "allow": "anyone", "max_age": "5m" }), "max_age: only a login"),
        (
            json!({ "match": { "path": "/x" }, "optional": { "login": "corp" }, "acr_values": ["a"] }),
            "acr_values: only",
        ),
        (
            json!({ "match": { "path": "/x" }, "require": { "login": "corp" }, "acr_values": ["a b"] }),
            "acr_values: each",
        ),
        (
            json!({ "match": { "path": "/x" }, "require": { "login": "corp" }, "acr_values": ["a\"b"] }),
            "acr_values: each",
        ),
        (json!({ "match": { "path": "/x" }, "require": { "login": "corp" }, "max_age": "1s" }), "max_age: at least"),
    ] {
        let mut configured = config();
        configured["rules"][0] = change.clone();
        let environment = |name: &str| Some(if name == "KEY_session" { "A".repeat(43) } else { "x".repeat(40) });
        let errors = Gate::new(&Config::from_value(configured).unwrap(), &environment, Arc::new(RustCrypto))
            .map(drop)
            .unwrap_err();
        assert!(errors.iter().any(|error| error.to_string().contains(expected)), "{change}: {errors:?}");
    }
}
