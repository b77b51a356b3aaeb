//! What ends a session before its time: leaving, and a provider that says so.

use super::provider::*;
use super::shop::{Answered, SHOP};
use super::*;
use std::collections::BTreeMap;

const OTHER: &str = "account.example.com";

/// The shop at two origins.
fn two_hosts() -> Value {
    let mut configured = config();
    configured["origins"] = json!([SHOP, format!("https://{OTHER}")]);
    configured["forward"]["headers"]["x-session"] = json!("session.id");
    configured
}

/// Somebody signs in, now; the page that they are sent to.
fn enter(door: &mut Door, claims: Value) -> Answered {
    let sent = door.begin("/account");
    let mut all = json!({ "iat": door.now, "exp": door.now + 300, "sid": "s1" });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    door.grants(&id_token(&sent, all));
    door.browse(&format!("/.carded/callback/corp?code=c0de&state={}", sent["state"]))
}

fn is_in(door: &mut Door) -> bool {
    door.browse("/quiet").status == 200
}

fn leave(door: &mut Door) -> Answered {
    let cookie = format!("__Host-carded={}", door.cookies["__Host-carded"]);
    let origin = format!("https://{}", door.host);
    door.ask("POST", "/.carded/logout", &[("cookie", &cookie), ("origin", &origin)])
}

/// A logout token that holds, with claims of its own or in place of the usual ones (null takes one out).
fn logout_token(door: &Door, claims: Value) -> String {
    logout_token_of("idp", Some("logout+jwt"), door, claims)
}

fn logout_token_of(by: &str, typ: Option<&str>, door: &Door, claims: Value) -> String {
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let mut all = json!({
        "iat": door.now, "exp": door.now + 120, "jti": format!("j{}", claims), "events": event, "nonce": null,
        "email": null, "groups": null, "phone": null,
    });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    signed(by, typ, &BTreeMap::from([("nonce".to_owned(), String::new())]), all)
}

fn post(door: &mut Door, token: &str) -> Answered {
    door.body = form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", token).finish();
    door.ask("POST", "/.carded/backchannel-logout/corp", &[("content-type", "application/x-www-form-urlencoded")])
}

#[test]
fn threat_68_who_leaves_ends_every_copy_of_the_session() {
    let mut door = Door::new(config());
    enter(&mut door, json!({ "sid": null }));
    let copy = door.cookies.clone();
    assert!(is_in(&mut door));
    door.now += 5;
    let left = leave(&mut door);
    assert_eq!(left.status, 303, "{}", left.body);
    for _ in 0..2 {
        door.cookies.clone_from(&copy);
        let answered = door.browse("/quiet");
        assert_eq!((answered.status, answered.code), (401, "login_required"), "{}", answered.body);
        assert_eq!(door.browse("/account").status, 303, "a person is sent to sign in again");
    }
    // nor is it anything to add to, in a worker that never saw it
    door.cookies.clone_from(&copy);
    door.verdicts = Verdicts::new(10, &mut secret);
    assert!(!is_in(&mut door));
    // and it is not too soon to come back, since it is the name alone that ended
    door.cookies.clear();
    assert_eq!(enter(&mut door, json!({ "sid": null })).status, 303);
    assert!(is_in(&mut door));
}

#[test]
fn threat_68_the_name_that_a_session_had_before_a_login_ends() {
    let mut door = Door::new(two_hosts());
    enter(&mut door, json!({ "sid": null }));
    let copy = door.cookies.clone();
    let name = |door: &mut Door| door.browse("/quiet").header("x-session").map(str::to_owned);
    let before = name(&mut door).unwrap();
    let sent = door.begin("/.carded/login/corp?to=/account");
    door.grants(&id_token(&sent, json!({})));
    door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
    let after = name(&mut door).unwrap();
    assert!(before.len() == 22 && after.len() == 22 && before != after);
    let new = std::mem::replace(&mut door.cookies, copy);
    assert_eq!(name(&mut door), None);
    door.cookies = new;
    assert_eq!(name(&mut door), Some(after));
}

#[test]
fn a_providers_logout_ends_its_session_at_once_and_no_other() {
    for (claims, ends) in [
        (json!({ "sid": "s1" }), [true, false, false]),
        (json!({ "sid": "s1", "sub": null }), [true, false, false]),
        (json!({ "sid": null }), [true, true, false]),
        (json!({ "sid": "s9" }), [false; 3]),
        (json!({ "sid": null, "sub": "carol" }), [false; 3]),
    ] {
        let mut door = Door::new(config());
        let mut jars = Vec::new();
        for who in [json!({}), json!({ "sid": "s2" }), json!({ "sub": "bob", "sid": "s3" })] {
            assert_eq!(enter(&mut door, who).status, 303);
            assert!(is_in(&mut door));
            jars.push(std::mem::take(&mut door.cookies));
        }
        door.now += 10;
        let token = logout_token(&door, claims.clone());
        let answered = post(&mut door, &token);
        assert_eq!((answered.status, answered.code), (200, "ok"), "{claims}: {}", answered.body);
        assert_eq!(answered.header("cache-control"), Some("no-store"));
        for (jar, ends) in jars.iter().zip(ends) {
            door.cookies.clone_from(jar);
            for _ in 0..2 {
                assert_eq!(is_in(&mut door), !ends, "{claims}");
            }
        }
        // who signs in again is in, with the same session at the provider too
        door.now += 1;
        door.cookies.clear();
        assert_eq!(enter(&mut door, json!({})).status, 303, "{claims}");
        assert!(is_in(&mut door));
        // but not by a token that was issued before, while the login was under way
        door.cookies.clear();
        let back = enter(&mut door, json!({ "iat": NOW + 10 }));
        assert_eq!(back.code == "revoked", ends[0], "{claims}: {} {}", back.status, back.code);
        assert_eq!(is_in(&mut door), !ends[0]);
    }
}

#[test]
fn threat_98_a_logout_that_could_not_be_noted_works_when_it_comes_again() {
    let mut door = Door::new(config());
    enter(&mut door, json!({}));
    assert!(is_in(&mut door));
    door.now += 10;
    let token = logout_token(&door, json!({ "sid": "s1" }));
    break_the_store(&mut door.once);
    for _ in 0..2 {
        let answered = post(&mut door, &token);
        assert_eq!((answered.status, answered.code), (500, "internal_error"), "{}", answered.body);
    }
    mend_the_store(&mut door.once);
    assert!(is_in(&mut door), "nothing came of it");
    assert_eq!(is(&post(&mut door, &token)), (200, "ok"), "in the same second");
    assert!(!is_in(&mut door));
    // what worked works once, and not for a moment only
    for seconds in [0, 4, 6, 90] {
        door.now = NOW + 10 + seconds;
        assert_eq!(post(&mut door, &token).status, 400, "{seconds}");
    }
}

#[test]
fn one_logout_ends_the_sessions_of_both_hosts() {
    let mut door = Door::new(two_hosts());
    let mut jars = Vec::new();
    for host in ["shop.example.com", OTHER] {
        door.host = host;
        let back = enter(&mut door, json!({}));
        assert_eq!(back.status, 303, "{}", back.body);
        assert!(is_in(&mut door));
        jars.push(std::mem::take(&mut door.cookies));
    }
    // a session of one host is none at the other
    door.cookies = jars[0].clone();
    assert!(!is_in(&mut door));
    door.now += 1;
    (door.host, door.cookies) = ("shop.example.com", jars[0].clone());
    assert_eq!(leave(&mut door).status, 303);
    for (host, jar) in ["shop.example.com", OTHER].into_iter().zip(jars) {
        (door.host, door.cookies) = (host, jar);
        assert!(!is_in(&mut door), "{host}");
    }
    // the provider may still know her, and then she comes back by the same session there; not in the same second, in which nobody
    // could tell the new session from the old ones
    door.cookies.clear();
    let back = enter(&mut door, json!({}));
    assert_eq!((back.status, back.code), (503, "login_unavailable"), "{}", back.body);
    door.now += 1;
    assert_eq!(enter(&mut door, json!({})).status, 303);
    assert!(is_in(&mut door));
}

#[test]
fn threat_90_only_a_logout_token_of_the_provider_for_us_ends_anything() {
    let mut door = Door::new(config());
    enter(&mut door, json!({}));
    let jar = door.cookies.clone();
    door.now += 1;
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let good = |claims: Value| logout_token(&door, claims);
    let now = door.now;
    let nonce = BTreeMap::from([("nonce".to_owned(), "n".to_owned())]);
    for (token, code) in [
        (String::new(), "token_malformed"),
        ("a.b".to_owned(), "token_malformed"),
        (id_token(&nonce, json!({ "sid": "s1" })), "type_not_allowed"),
        (signed("idp", Some("at+jwt"), &nonce, json!({ "aud": "api", "nonce": null })), "type_not_allowed"),
        (logout_token_of("idp", Some("at+jwt"), &door, json!({})), "type_not_allowed"),
        (logout_token_of("other", None, &door, json!({})), "signature_invalid"),
        (good(json!({ "nonce": "n" })), "type_not_allowed"),
        (good(json!({ "events": null })), "type_not_allowed"),
        (good(json!({ "events": [event] })), "type_not_allowed"),
        (good(json!({ "events": { event: true } })), "type_not_allowed"),
        (good(json!({ "events": { "http://schemas.openid.net/event/other": {} } })), "type_not_allowed"),
        (good(json!({ "iss": "https://evil.example.com" })), "issuer_untrusted"),
        (good(json!({ "aud": "api" })), "audience_mismatch"),
        (good(json!({ "aud": ["shop", "other"] })), "audience_mismatch"),
        (good(json!({ "aud": null })), "claim_missing"),
        (good(json!({ "exp": now - 300 })), "token_expired"),
        (good(json!({ "exp": null })), "claim_missing"),
        (good(json!({ "iat": now + 300 })), "token_not_yet_valid"),
        (good(json!({ "iat": null })), "claim_missing"),
        (good(json!({ "sub": null })), "claim_missing"),
        (good(json!({ "sub": 7 })), "claim_invalid"),
        (good(json!({ "sid": "" })), "claim_invalid"),
        (good(json!({ "sid": "x".repeat(256) })), "claim_invalid"),
        (good(json!({ "jti": null })), "claim_missing"),
    ] {
        let answered = post(&mut door, &token);
        assert_eq!((answered.status, answered.code), (400, code), "{}", answered.body);
        let body: Value = serde_json::from_str(&answered.body).unwrap();
        assert_eq!(body["error"], "invalid_request");
        assert_eq!(answered.header("cache-control"), Some("no-store"));
        door.cookies.clone_from(&jar);
        assert!(is_in(&mut door), "{code}");
    }
    for body in ["", "logout_token=a&logout_token=b", "token=a"] {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        door.body = body.to_owned();
        assert_eq!(door.ask("POST", "/.carded/backchannel-logout/corp", &form).status, 400, "{body}");
    }
    assert_eq!(door.ask("POST", "/.carded/backchannel-logout/other", &[]).status, 404);
    assert_eq!(door.ask("GET", "/.carded/backchannel-logout/corp", &[]).status, 405);
    assert!(is_in(&mut door));
    // without explicit typing, and by an inner name of ours, it is good
    door.host = "gateway.internal";
    let token = logout_token_of("idp", None, &door, json!({ "aud": ["shop"], "sid": "s1" }));
    assert_eq!(post(&mut door, &token).status, 200);
    door.host = "shop.example.com";
    assert!(!is_in(&mut door));
}

#[test]
fn a_logout_token_is_no_other_token_and_works_once() {
    let mut door = Door::new(config());
    let token = logout_token(&door, json!({ "aud": "api" }));
    let answered = door.ask("GET", "/api", &[("authorization", &bearer(&token))]);
    assert_eq!((answered.status, answered.code), (401, "type_not_allowed"), "{}", answered.body);
    let untyped = logout_token_of("idp", None, &door, json!({ "aud": "api" }));
    assert_eq!(door.ask("GET", "/api", &[("authorization", &bearer(&untyped))]).code, "type_not_allowed");
    // nor does one that has everything of an ID token beside sign anybody in
    let sent = door.begin("/account");
    let claims = json!({ "nonce": sent["nonce"] });
    door.grants(&logout_token_of("idp", None, &door, claims));
    let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
    assert_eq!((back.status, back.code), (403, "login_failed"), "{}", back.body);

    let token = logout_token(&door, json!({}));
    assert_eq!(post(&mut door, &token).status, 200);
    door.now += 5;
    door.cookies.clear();
    assert_eq!(enter(&mut door, json!({})).status, 303);
    let again = post(&mut door, &token);
    assert_eq!((again.status, again.body.contains("came before")), (400, true), "{}", again.body);
    assert!(is_in(&mut door), "one that is sent again ends nothing that began since");
}

/// A front page on which a login is optional.
fn with_front(silent: bool) -> Value {
    let mut configured = config();
    let rule = json!({ "match": { "path": "/front" }, "optional": { "login": "corp" } });
    configured["rules"].as_array_mut().unwrap().push(rule);
    configured["login"]["corp"]["silent"] = json!(silent);
    configured["login"]["corp"]["prompt"] = json!("login");
    configured
}

#[test]
fn where_a_login_is_optional_it_is_tried_once_without_a_question() {
    let mut door = Door::new(with_front(true));
    assert_eq!(door.browse("/front").status, 200, "it has not shown that it keeps cookies");
    door.cookies.insert("theme".to_owned(), "dark".to_owned());
    for headers in [
        &[("cookie", "a=1")][..],
        &[("cookie", "a=1"), ("accept", "text/html"), ("sec-fetch-mode", "cors")],
        &[("cookie", "a=1"), ("accept", "text/html"), ("upgrade", "websocket")],
    ] {
        assert_eq!(door.ask("GET", "/front", headers).status, 200);
    }
    let sent = door.begin("/front?x=1");
    assert_eq!(sent["prompt"], "none");
    assert_eq!(door.browse("/front").status, 200, "once");
    // the provider knows nobody
    let back = door.browse(&format!("/.carded/callback/corp?error=login_required&state={}", sent["state"]));
    assert_eq!((back.status, back.header("location")), (303, Some("/front?x=1")), "{}", back.body);
    let front = door.browse("/front");
    assert_eq!((front.status, front.header("x-carded-subject")), (200, None));
    // and where a login is needed she is asked
    assert_eq!(door.begin("/account")["prompt"], "login");

    // the provider knows her
    door.cookies.retain(|name, _| name == "theme");
    let sent = door.begin("/front");
    door.grants(&id_token(&sent, json!({})));
    let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
    assert_eq!((back.status, back.header("location")), (303, Some("/front")), "{}", back.body);
    assert_eq!(door.browse("/front").header("x-carded-subject"), Some("alice"));
    // who has left stays away
    let left = leave(&mut door);
    let quiet =
        left.headers.iter().any(|(name, value)| name == "set-cookie" && value.starts_with("__Host-carded-quiet=1; "));
    assert!(quiet, "{:?}", left.headers);

    let mut door = Door::new(with_front(false));
    door.cookies.insert("theme".to_owned(), "dark".to_owned());
    assert_eq!(door.browse("/front").status, 200);
}

#[test]
fn a_provider_that_fails_keeps_nobody_from_an_open_page() {
    let mut door = Door::new(with_front(true));
    door.cookies.insert("theme".to_owned(), "dark".to_owned());
    door.metadata = json!({ "authorization_endpoint": "http://idp.example.com/auth" });
    assert_eq!(door.browse("/front").status, 200);
    // one that takes no request is not asked with each page
    let mut door = Door::new(with_front(true));
    door.cookies.insert("theme".to_owned(), "dark".to_owned());
    door.metadata = json!({ "pushed_authorization_request_endpoint": "https://idp.example.com/par" });
    for _ in 0..3 {
        assert_eq!(door.browse("/front").status, 200);
    }
    assert_eq!(door.others.len(), 1);
    // nor do tokens that are not good, where nobody asked to sign in
    let mut door = Door::new(with_front(true));
    door.cookies.insert("theme".to_owned(), "dark".to_owned());
    let sent = door.begin("/front");
    door.grants(&id_token(&sent, json!({ "nonce": "another" })));
    let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
    assert_eq!((back.status, back.header("location")), (303, Some("/front")), "{}", back.body);
    assert_eq!(door.browse("/front").header("x-carded-subject"), None);
}

#[test]
fn a_configuration_names_the_session_and_nothing_else_is_called_so() {
    let mut configured = config();
    configured["forward"]["headers"]["x-session"] = json!("session.name");
    let errors = build_door(configured);
    assert!(errors.contains("forward.headers.x-session"), "{errors}");
    let mut configured = config();
    configured["issuers"]["session"] = configured["issuers"]["corp"].clone();
    configured["issuers"]["session"]["issuer"] = json!("https://other.example.com");
    assert!(build_door(configured).contains("issuers.session"));
}

fn build_door(config: Value) -> String {
    let environment = |name: &str| match name {
        "KEY_session" => Some(carded_verifier::base64url::encode([5; 32])),
        name => environment(name),
    };
    let config = Config::from_value(config).unwrap();
    format!("{:?}", Gate::new(&config, &environment, Arc::new(RustCrypto)).unwrap_err())
}
