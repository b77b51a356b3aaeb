//! Signing in: the whole way, and everything on it that is refused.

use base64::engine::general_purpose::STANDARD;
use carded_verifier::{FetchFailure, base64url};
use sha2::Digest;

use super::provider::*;
use super::shop::{SHOP, key};
use super::*;

#[test]
fn a_person_signs_in_and_arrives_where_they_were_going() {
    let mut door = Door::new(config());
    let sent = door.begin("/account/orders?year=1990&q=a%20b");
    let expect = [
        ("response_type", "code"),
        ("client_id", "shop"),
        ("redirect_uri", "https://shop.example.com/.carded/callback/corp"),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in expect {
        assert_eq!(sent[name], value);
    }
    assert_eq!(sent.len(), 8, "{sent:?}");
    door.grants(&id_token(&sent, json!({})));
    let back = door.browse(&format!("/.carded/callback/corp?code=c%2B0de&state={}", sent["state"]));
    assert_eq!(
        (back.status, back.header("location")),
        (303, Some("/account/orders?year=1990&q=a%20b")),
        "{}",
        back.body
    );
    assert_eq!(door.cookies.keys().collect::<Vec<_>>(), ["__Host-carded"], "the login's own cookie is gone");

    let (form, authorization) = door.calls.pop().unwrap();
    let form: std::collections::BTreeMap<String, String> =
        form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!((form["code"].as_str(), form["redirect_uri"].as_str()), ("c+0de", sent["redirect_uri"].as_str()));
    assert_eq!(base64url::encode(Sha256::digest(&form["code_verifier"])), sent["code_challenge"]);
    assert!(form["code_verifier"].len() >= 43 && !form.contains_key("client_secret"));
    let basic = STANDARD.decode(authorization.unwrap().strip_prefix("Basic ").unwrap()).unwrap();
    assert_eq!(String::from_utf8(basic).unwrap(), "shop:a%20secret%3A%20of%2Bthe%20client");

    let answered = door.browse("/account/orders");
    assert_eq!(answered.status, 200, "{}", answered.body);
    assert_eq!(answered.header("x-carded-subject"), Some("alice"));
    assert_eq!(answered.header("x-carded-email"), Some("alice@example.com"));
    assert!(door.calls.is_empty());
}

#[test]
fn a_session_is_a_login_and_never_a_token() {
    let mut door = Door::new(config());
    door.enter("/account");
    for (path, expected) in [
        ("/quiet", (200, "forwarded")),
        ("/either", (200, "forwarded")),
        ("/api", (401, "token_missing")),
        ("/both", (401, "token_missing")),
    ] {
        assert_eq!(is(&door.browse(path)), expected, "{path}");
    }
    let token = bearer(&token_of("alice"));
    let cookie = format!("__Host-carded={}", door.cookies["__Host-carded"]);
    let both = [("authorization", token.as_str()), ("cookie", cookie.as_str())];
    assert_eq!(is(&door.ask("GET", "/both", &both)), (200, "forwarded"));
    let other = bearer(&token_of("mallory"));
    let both = [("authorization", other.as_str()), ("cookie", cookie.as_str())];
    assert_eq!(is(&door.ask("GET", "/both", &both)), (401, "token_ambiguous"), "two people");
    assert_eq!(is(&door.ask("GET", "/account", &[("authorization", &token)])), (401, "login_required"));
}

/// An access token of the provider.
fn token_of(sub: &str) -> String {
    let sent = [("nonce".to_owned(), String::new())].into();
    signed("idp", Some("at+jwt"), &sent, json!({ "sub": sub, "aud": "api", "nonce": null }))
}

#[test]
fn programs_are_told_and_not_sent() {
    let mut door = Door::new(config());
    let answered = door.ask("GET", "/account", &[]);
    assert_eq!(is(&answered), (401, "login_required"));
    assert_eq!(answered.header("www-authenticate"), Some(r#"Bearer realm="carded""#));
    for headers in [
        &[("accept", "application/json")][..],
        &[("accept", "text/html"), ("sec-fetch-mode", "cors")],
        &[("accept", "text/html"), ("upgrade", "websocket")],
    ] {
        assert_eq!(is(&door.ask("GET", "/account", headers)), (401, "login_required"));
    }
    assert_eq!(is(&door.ask("POST", "/account", &[("accept", "text/html")])), (401, "login_required"));
    assert_eq!(is(&door.browse("/quiet")), (401, "login_required"), "its rule sends nobody");
    assert_eq!(is(&door.ask("GET", "/either", &[])), (401, "token_missing"));
    assert_eq!(door.browse("/either").status, 303);
}

#[test]
fn threat_62_what_another_browser_began_opens_nothing() {
    let mut door = Door::new(config());
    let sent = door.begin("/account");
    door.grants(&id_token(&sent, json!({})));
    let callback = format!("/.carded/callback/corp?code=c&state={}", sent["state"]);
    let kept = std::mem::take(&mut door.cookies);
    assert_eq!(is(&door.browse(&callback)), (400, "login_unknown"), "no cookie");
    // another login's cookie under this one's name
    let other = door.begin("/account");
    let name = |state: &str| format!("__Host-carded-tx-{state}");
    let stolen = door.cookies.remove(&name(&other["state"])).unwrap();
    door.cookies.insert(name(&sent["state"]), stolen);
    assert_eq!(is(&door.browse(&callback)), (400, "login_unknown"), "a cookie opens under its own name only");
    door.cookies = kept.clone();
    door.now += 900;
    assert_eq!(is(&door.browse(&callback)), (400, "login_unknown"), "too late");
    door.now = NOW;
    assert!(door.calls.is_empty() && !door.cookies.contains_key("__Host-carded"));
    door.cookies = kept.clone();
    assert_eq!(door.browse(&callback).status, 303);
    door.cookies = kept;
    assert_eq!(is(&door.browse(&callback)), (400, "login_unknown"), "once");
    assert_eq!(door.calls.len(), 1, "a code is exchanged once");
}

#[test]
fn two_tabs_do_not_get_in_each_others_way() {
    let mut door = Door::new(config());
    let (one, two) = (door.begin("/account/1"), door.begin("/account/2"));
    for name in ["state", "nonce", "code_challenge"] {
        assert_ne!(one[name], two[name]);
    }
    for (sent, target) in [(&two, "/account/2"), (&one, "/account/1")] {
        door.grants(&id_token(sent, json!({})));
        let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
        assert_eq!(back.header("location"), Some(target), "{}", back.body);
    }
    for _ in 0..12 {
        door.cookies.remove("__Host-carded");
        door.begin("/account");
    }
    assert!(door.cookies.len() <= 8, "they do not pile up (threat 70)");
}

#[test]
fn threat_69_the_callback_is_one_address_and_needs_its_parameters() {
    let mut door = Door::new(config());
    let sent = door.begin("/account");
    let state = &sent["state"];
    for (path, expected) in [
        ("/.carded/callback/corp".to_owned(), (400, "login_malformed")),
        ("/.carded/callback/corp?".to_owned(), (400, "login_malformed")),
        ("/.carded/callback/corp?code=c".to_owned(), (400, "login_malformed")),
        (format!("/.carded/callback/corp?state={state}"), (400, "login_malformed")),
        (format!("/.carded/callback/corp?code=c&error=e&state={state}"), (400, "login_malformed")),
        (format!("/.carded/callback/corp?code=c&code=d&state={state}"), (400, "login_malformed")),
        (format!("/.carded/callback/corp?code=c&state={state}&state={state}"), (400, "login_malformed")),
        ("/.carded/callback/corp?code=c&state=".to_owned(), (400, "login_unknown")),
        ("/.carded/callback/corp?code=c&state=a;b".to_owned(), (400, "login_unknown")),
        (format!("/.carded/callback/other?code=c&state={state}"), (404, "not_found")),
        (format!("/.carded/callback?code=c&state={state}"), (404, "not_found")),
        (format!("/.carded/callback/corp/x?code=c&state={state}"), (404, "not_found")),
        (format!("/.carded/Callback/corp?code=c&state={state}"), (404, "not_found")),
    ] {
        assert_eq!(is(&door.browse(&path)), expected, "{path}");
    }
    assert_eq!(is(&door.ask("POST", "/.carded/callback/corp", &[])), (405, "method_not_allowed"));
    assert!(door.calls.is_empty());
}

#[test]
fn threat_63_the_answer_is_of_the_provider_that_was_asked() {
    for (metadata, iss, good) in [
        (json!({}), None, true),
        (json!({}), Some(IDP), true),
        (json!({}), Some("https://idp.example.com/"), false),
        (json!({}), Some("https://evil.example"), false),
        (json!({ "authorization_response_iss_parameter_supported": true }), None, false),
        (json!({ "authorization_response_iss_parameter_supported": true }), Some(IDP), true),
    ] {
        let mut door = Door::new(config());
        door.metadata = metadata;
        let sent = door.begin("/account");
        door.grants(&id_token(&sent, json!({})));
        let iss = iss.map(|iss| format!("&iss={iss}")).unwrap_or_default();
        let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}{iss}", sent["state"]));
        assert_eq!(is(&back), if good { (303, "ok") } else { (403, "login_failed") }, "{iss}");
        assert_eq!(door.calls.len(), usize::from(good), "no code goes to anyone else");
    }
}

/// What an ID token may have, and with which code it is refused; `None` for those that hold.
#[test]
fn the_id_token_is_checked() {
    let half = |text: &str| base64url::encode(&Sha256::digest(text)[..16]);
    let cases = [
        (json!({}), None),
        (json!({ "aud": ["shop"] }), None),
        (json!({ "aud": ["shop", "b"], "azp": "shop" }), None),
        (json!({ "at_hash": half("opaque") }), None),
        (json!({ "iss": "https://evil.example" }), Some("issuer_untrusted")),
        (json!({ "iss": null }), Some("claim_missing")),
        (json!({ "aud": "api" }), Some("audience_mismatch")),
        (json!({ "aud": null }), Some("claim_missing")),
        (json!({ "aud": 1 }), Some("claim_invalid")),
        (json!({ "aud": ["shop", "b"] }), Some("audience_mismatch")),
        (json!({ "aud": ["shop", "b"], "azp": "b" }), Some("audience_mismatch")),
        (json!({ "azp": "b" }), Some("audience_mismatch")),
        (json!({ "nonce": null }), Some("claim_missing")),
        (json!({ "nonce": "another" }), Some("nonce_mismatch")),
        (json!({ "nonce": ["x"] }), Some("nonce_mismatch")),
        (json!({ "exp": null }), Some("claim_missing")),
        (json!({ "iat": null }), Some("claim_missing")),
        (json!({ "exp": "soon" }), Some("claim_invalid")),
        (json!({ "exp": NOW - 100 }), Some("token_expired")),
        (json!({ "iat": NOW + 100 }), Some("token_not_yet_valid")),
        (json!({ "nbf": NOW + 100 }), Some("token_not_yet_valid")),
        (json!({ "sub": null }), Some("claim_missing")),
        (json!({ "sub": "" }), Some("claim_invalid")),
        (json!({ "sub": 7 }), Some("claim_invalid")),
        (json!({ "sub": "x".repeat(256) }), Some("claim_invalid")),
        (json!({ "at_hash": half("another") }), Some("claim_invalid")),
        (json!({ "at_hash": 1 }), Some("claim_invalid")),
        (json!({ "auth_time": "then" }), Some("claim_invalid")),
        (json!({ "events": {} }), Some("type_not_allowed")),
    ];
    for (claims, expected) in cases {
        let mut door = Door::new(config());
        let sent = door.begin("/account");
        door.grants(&id_token(&sent, claims.clone()));
        check(&mut door, &sent, expected, &claims.to_string());
    }
    for (by, typ, expected) in [
        ("idp", Some("JWT"), None),
        ("idp", Some("at+jwt"), Some("type_not_allowed")),
        ("idp", Some("logout+jwt"), Some("type_not_allowed")),
        ("mallory", None, Some("signature_invalid")),
    ] {
        let mut door = Door::new(config());
        let sent = door.begin("/account");
        door.grants(&signed(by, typ, &sent, json!({})));
        check(&mut door, &sent, expected, &format!("{by} {typ:?}"));
    }
}

fn check(door: &mut Door, sent: &std::collections::BTreeMap<String, String>, expected: Option<&str>, what: &str) {
    let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
    match expected {
        None => assert_eq!(back.status, 303, "{what}: {}", back.body),
        Some(code) => {
            assert_eq!(is(&back), (403, "login_failed"), "{what}");
            assert!(back.body.contains(&format!("is refused, {code}:")), "{what}: {}", back.body);
            assert!(door.cookies.is_empty(), "{what}: {:?}", door.cookies);
            assert!(back.body.contains("href=\"/account\""), "a way back");
        }
    }
}

#[test]
fn what_a_token_endpoint_answers_instead() {
    let good = json!({ "access_token": "a", "token_type": "bearer", "id_token": "x.y.z" });
    let without = |name: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(name);
        body
    };
    let reply =
        |status: u16, body: &str| Ok(carded_verifier::Reply { status, body: body.as_bytes().to_vec(), max_age: None });
    let (unavailable, failed) = ((503, "login_unavailable"), (403, "login_failed"));
    let cases: Vec<(Effected, (u16, &str))> = vec![
        (Err(FetchFailure::Timeout), unavailable),
        (Err(FetchFailure::Unreachable), unavailable),
        (Err(FetchFailure::HostNotConfigured), unavailable),
        (Err(FetchFailure::TooLarge), unavailable),
        (reply(503, "upstream connect error"), unavailable),
        (reply(302, ""), failed),
        (reply(400, r#"{"error":"invalid_grant"}"#), failed),
        (reply(400, "<html>"), failed),
        (reply(204, ""), failed),
        (reply(200, ""), failed),
        (reply(200, "[]"), failed),
        (reply(200, &"[".repeat(50_000)), failed),
        (reply(200, &"x".repeat(70_000)), failed),
        (reply(200, r#"{"access_token":"a","access_token":"b"}"#), failed),
        (reply(200, &without("id_token").to_string()), failed),
        (reply(200, &without("access_token").to_string()), failed),
        (reply(200, &without("token_type").to_string()), failed),
        (reply(200, r#"{"access_token":"a","token_type":"DPoP","id_token":"x.y.z"}"#), failed),
        (reply(200, &good.to_string()), failed),
        (reply(200, r#"{"access_token":"a","token_type":"bearer","id_token":7}"#), failed),
    ];
    for (effected, expected) in cases {
        let mut door = Door::new(config());
        let sent = door.begin("/account");
        door.effected = effected.clone();
        let back = door.browse(&format!("/.carded/callback/corp?code=c0de&state={}", sent["state"]));
        assert_eq!(is(&back), expected, "{effected:?}");
        assert_eq!(back.header("retry-after").is_some(), back.status == 503, "{effected:?}");
        assert!(!door.cookies.contains_key("__Host-carded") && back.body.contains("Try again"), "{effected:?}");
        assert!(!back.body.contains("c0de") && !back.body.contains("secret"), "{}", back.body);
    }
}

#[test]
fn threat_101_a_providers_error_is_shown_in_plain_words_and_escaped() {
    let mut door = Door::new(config());
    let sent = door.begin("/account");
    let evil = "%3Cscript%3Ealert(1)%3C/script%3E%0D%0Ax";
    let back = door.browse(&format!(
        "/.carded/callback/corp?error=access_denied&error_description={evil}&state={}",
        sent["state"]
    ));
    assert_eq!(is(&back), (403, "login_refused"));
    assert!(back.body.contains("&lt;script&gt;") && !back.body.contains("<script"), "{}", back.body);
    assert!(back.body.contains("Try again") && back.body.contains("href=\"/account\""));
    assert!(door.cookies.is_empty() && door.calls.is_empty());
}

#[test]
fn threat_64_the_way_back_stays_here() {
    let mut door = Door::new(config());
    for (to, good) in [
        ("/account?x=1%262", true),
        ("", false),
        ("//evil.example", false),
        ("/%5Cevil.example", false),
        ("https://evil.example/", false),
        ("javascript:alert(1)", false),
        ("/a%0d%0ax", false),
        ("/a b", false),
        ("/a/../b", false),
    ] {
        let to_encoded: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let answered = door.browse(&format!("/.carded/login/corp?to={to_encoded}"));
        assert_eq!(answered.status, if good { 303 } else { 400 }, "{to}");
    }
    let raw = door.browse("/.carded/login/corp?to=/%5cevil.example");
    assert_eq!(raw.status, 400);
    assert_eq!(door.browse("/.carded/login/corp").status, 303, "to the start");
    assert_eq!(is(&door.browse("/.carded/login/other")), (404, "not_found"));
    let long = format!("/account/{}", "a".repeat(1600));
    assert_eq!(is(&door.browse(&long)), (400, "request_malformed"));
}

#[test]
fn threat_93_nobody_is_sent_back_to_another_origin() {
    let mut door = Door::new(config());
    let headers = [("accept", "text/html"), ("x-forwarded-host", "evil.example")];
    let sent = door.ask("GET", "/account", &headers);
    assert!(sent.header("location").unwrap().contains("redirect_uri=https%3A%2F%2Fshop.example.com%2F"));
    let mut other = config();
    other["origins"] = json!(["https://other.example.com"]);
    let mut door = Door::new(other);
    assert_eq!(is(&door.browse("/account")), (421, "misdirected"));
}

#[test]
fn threat_86_a_login_carries_no_request_of_another_site() {
    let mut door = Door::new(config());
    door.enter("/account");
    let cookie = format!("__Host-carded={}", door.cookies["__Host-carded"]);
    let mut post = |headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", cookie.as_str())];
        all.extend(headers);
        is(&door.ask("POST", "/account", &all))
    };
    assert_eq!(post(&[("origin", SHOP)]), (200, "forwarded"));
    assert_eq!(post(&[]), (403, "cross_site"));
    assert_eq!(post(&[("origin", "https://evil.example")]), (403, "cross_site"));
}

#[test]
fn threat_90_an_id_token_is_no_access_token() {
    let mut door = Door::new(config());
    let sent = [("nonce".to_owned(), "n".to_owned())].into();
    let mut ask = |claims: Value| is(&door.ask("GET", "/api", &[("authorization", &bearer(&id_token(&sent, claims)))]));
    let refused = (401, "id_token_not_accepted");
    assert_eq!(ask(json!({})), refused);
    assert_eq!(ask(json!({ "nonce": null })), refused, "by its audience alone");
    assert_eq!(ask(json!({ "nonce": null, "aud": ["api", "shop"] })), refused);
    assert_eq!(ask(json!({ "aud": "api" })), refused, "by its nonce alone");
    assert_eq!(ask(json!({ "aud": "api", "nonce": null, "at_hash": "x" })), refused);
    assert_eq!(ask(json!({ "aud": "api", "nonce": null })), (200, "forwarded"));
}

#[test]
fn policies_speak_of_who_signed_in() {
    let mut configured = config();
    configured["rules"][1]["authorize"] = json!(true);
    configured["policies"] = json!([
        { "effect": "allow", "subjects": ["role:corp.clerk"], "actions": ["GET"], "resources": ["/account/{corp.sub}/**"] }
    ]);
    let mut door = Door::new(configured);
    door.enter("/account/alice");
    assert_eq!(is(&door.browse("/account/alice/orders")), (200, "forwarded"));
    assert_eq!(is(&door.browse("/account/bob/orders")), (403, "policy_denied"));
}

#[test]
fn who_signed_in_is_named_only_where_the_rule_asks_and_a_deny_knows_them_everywhere() {
    let mut configured = config();
    configured["issuers"]["home"] = json!({
        "issuer": "https://home.example.com", "audiences": ["api"], "keys": { "discovery": true }
    });
    configured["login"]["home"] = json!({ "client_id": "s", "client_secret": { "env": "KEY_client" } });
    configured["fetch"]["clusters"]["home.example.com"] = json!("home");
    let rules = configured["rules"].as_array_mut().unwrap();
    rules.push(json!({ "match": { "path": "/home/**" }, "optional": { "login": "home" } }));
    configured["policies"] = json!([
        { "effect": "deny", "subjects": ["role:corp.clerk"], "actions": ["*"], "resources": ["/home/staff"] }
    ]);
    let mut door = Door::new(configured);
    door.enter("/account");
    assert_eq!(door.browse("/account").header("x-carded-subject"), Some("alice"));
    let answered = door.browse("/home/garden");
    assert_eq!((is(&answered), answered.header("x-carded-subject")), ((200, "forwarded"), None), "{}", answered.body);
    assert_eq!(is(&door.browse("/home/staff")), (403, "policy_denied"));
    door.cookies.clear();
    assert_eq!(is(&door.browse("/home/staff")), (200, "forwarded"), "a stranger is no clerk");
}

#[test]
fn a_provider_that_lacks_endpoints_is_said_to_be_unavailable() {
    for metadata in [
        json!({ "token_endpoint": "http://idp.example.com/token" }),
        json!({ "authorization_endpoint": "javascript:alert(1)" }),
        json!({ "issuer": "https://evil.example" }),
    ] {
        let mut door = Door::new(config());
        door.metadata = metadata.clone();
        assert_eq!(is(&door.browse("/account")), (503, "login_unavailable"), "{metadata}");
    }
    let mut door = Door::new(config());
    door.metadata = json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] });
    door.enter("/account");
    let (form, authorization) = door.calls.pop().unwrap();
    assert!(form.contains("client_secret=a+secret") && authorization.is_none());
}

#[test]
fn where_there_are_several_providers_a_person_chooses() {
    let mut configured = config();
    configured["issuers"]["home"] = json!({
        "issuer": "https://home.example.com", "audiences": ["api"], "keys": { "discovery": true }
    });
    configured["login"]["home"] =
        json!({ "client_id": "s", "client_secret": { "env": "KEY_client" }, "title": "At <home>" });
    configured["fetch"]["clusters"]["home.example.com"] = json!("home");
    configured["rules"][1]["require"] = json!({ "any": [{ "login": "corp" }, { "login": "home" }] });
    let mut door = Door::new(configured);
    let answered = door.browse("/account?a=1&b=2");
    assert_eq!(is(&answered), (401, "login_required"));
    assert!(answered.body.contains("href=\"/.carded/login/corp?to=%2Faccount%3Fa%3D1%26b%3D2\""), "{}", answered.body);
    assert!(answered.body.contains("At &lt;home&gt;"));
    let back = door.enter("/.carded/login/corp?to=%2Faccount%3Fa%3D1%26b%3D2");
    assert_eq!(back.header("location"), Some("/account?a=1&b=2"));
    assert_eq!(door.browse("/account").status, 200);
}

#[test]
fn max_age_and_acr_values_are_asked_for_and_checked() {
    let mut configured = config();
    configured["login"]["corp"]["max_age"] = json!("5m");
    configured["login"]["corp"]["acr_values"] = json!(["urn:mfa", "phr"]);
    configured["login"]["corp"]["prompt"] = json!("login");
    for (claims, good) in [
        (json!({ "acr": "phr", "auth_time": NOW - 10 }), true),
        (json!({ "acr": "phr", "auth_time": NOW - 400 }), false),
        (json!({ "acr": "phr" }), false),
        (json!({ "acr": "pwd", "auth_time": NOW }), false),
        (json!({ "auth_time": NOW }), false),
    ] {
        let mut door = Door::new(configured.clone());
        let sent = door.begin("/account");
        assert_eq!((sent["max_age"].as_str(), sent["acr_values"].as_str()), ("300", "urn:mfa phr"));
        assert_eq!(sent["prompt"], "login");
        door.grants(&id_token(&sent, claims.clone()));
        let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
        assert_eq!(is(&back), if good { (303, "ok") } else { (403, "login_failed") }, "{claims}");
    }
}

#[test]
fn what_is_wrong_with_a_login_is_said_at_its_field() {
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut configured = config();
        change(&mut configured);
        let errors = build(configured).map(drop).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (at, value, expected) in [
        ("/login/corp/client_id", json!(""), "login.corp.client_id: "),
        ("/login/corp/client_id", json!("api"), "login.corp.client_id: it is among"),
        ("/login/corp/client_secret/env", json!("NONE"), "login.corp.client_secret: "),
        ("/login/corp/scopes", json!(["email"]), "login.corp.scopes: "),
        ("/login/corp/scopes", json!(["openid", "a b"]), "login.corp.scopes: "),
        ("/rules/1/require", json!({ "login": "nobody" }), "rules[1].require.login: "),
        ("/rules/1/require", json!({ "token": "corp" }), "rules[1].otherwise: "),
        ("/origins", json!([]), "rules[1]: "),
        ("/issuers/corp/keys", json!({ "jwks_uri": "https://idp.example.com/keys" }), "login.corp: the provider's"),
    ] {
        let said = wrong(&|configured| *configured.pointer_mut(at).unwrap() = value.clone());
        assert!(said.contains(expected), "{at} {value}: {said}");
    }
    let said = wrong(&|configured| configured["login"]["other"] = configured["login"]["corp"].clone());
    assert!(said.contains("login.other: there is no issuer"), "{said}");
    let said = wrong(&|configured| configured["login"]["corp"]["prompt"] = json!("none"));
    assert!(said.contains("login.corp.prompt: "), "{said}");
    let said = wrong(&|configured| {
        configured.as_object_mut().unwrap().remove("sessions");
    });
    assert!(said.contains("rules[1]: it asks for a credential or a login"), "{said}");
    assert!(key("idp").public_jwk().is_object());
}
