//! Each way in which one token can be wrong, through the whole filter, with its stable code.

use carded_wasm_host::Request;
use serde_json::{Value, json};

use crate::support::token::base64url;
use crate::support::{Claims, Key, START, api, ask_api, config, inline_issuer, ready, ready_with};

/// A claim set, what is wrong with it, and the code that says so.
fn denials() -> Vec<(&'static str, Claims, &'static str)> {
    let good = || Claims::of("alice");
    vec![
        ("expired", good().with("exp", START - 61), "token_expired"),
        ("not yet valid", good().with("nbf", START + 3600), "token_not_yet_valid"),
        ("issued in the future", good().with("iat", START + 3600).with("exp", START + 7200), "token_not_yet_valid"),
        ("no exp", good().without("exp"), "claim_missing"),
        ("exp as text", good().with("exp", "1900000000"), "claim_invalid"),
        ("exp null", good().with("exp", Value::Null), "claim_invalid"),
        ("nbf as text", good().with("nbf", "0"), "claim_invalid"),
        ("another audience", good().with("aud", "other"), "audience_mismatch"),
        ("no audience", good().without("aud"), "claim_missing"),
        ("audience as object", good().with("aud", json!({ "api.example.com": 1 })), "claim_invalid"),
        ("another issuer", good().with("iss", "https://evil.example.com"), "issuer_untrusted"),
        ("the issuer with a slash", good().with("iss", "https://idp.example.com/"), "issuer_untrusted"),
        ("an ID token by nonce", good().with("nonce", "n"), "id_token_not_accepted"),
        ("an ID token by at_hash", good().with("at_hash", "h"), "id_token_not_accepted"),
    ]
}

#[test]
fn each_wrong_claim_has_its_code() {
    let (mut host, _, key) = ready();
    for (what, claims, code) in denials() {
        let reply = ask_api(&mut host, &key.token(&claims)).replied().clone();
        assert_eq!((reply.status, reply.code().as_str()), (401, code), "{what}: {reply:?}");
    }
    assert!(host.all_passed().is_empty());
}

#[test]
fn each_wrong_header_has_its_code() {
    let (mut host, _, key) = ready();
    let claims = Claims::of("alice");
    for (header, code) in [
        (json!({ "alg": "none", "kid": "k1" }), "algorithm_not_allowed"),
        (json!({ "alg": "nOnE", "kid": "k1" }), "algorithm_not_allowed"),
        (json!({ "alg": "HS256", "kid": "k1" }), "algorithm_not_allowed"),
        (json!({ "alg": "PS256", "kid": "k1" }), "algorithm_not_allowed"),
        (json!({ "alg": "RS256", "kid": "k1" }), "key_mismatch"),
        (json!({ "alg": "EdDSA", "kid": "k1", "crit": ["exp"], "exp": 1 }), "critical_header"),
        (json!({ "alg": "EdDSA", "kid": "k1", "crit": ["b64"], "b64": false }), "critical_header"),
        (json!({ "alg": "EdDSA", "kid": "k1", "typ": "logout+jwt" }), "type_not_allowed"),
        (json!({ "alg": "EdDSA", "kid": "k1", "typ": "kb+jwt" }), "type_not_allowed"),
        (json!({ "kid": "k1" }), "token_malformed"),
    ] {
        let reply = ask_api(&mut host, &key.token_with(&header, &claims)).replied().clone();
        assert_eq!((reply.status, reply.code().as_str()), (401, code), "{header}: {reply:?}");
    }
}

#[test]
fn each_wrong_form_is_malformed() {
    let (mut host, _, key) = ready();
    let good = key.good();
    let parts: Vec<_> = good.split('.').collect();
    let header = br#"{"alg":"EdDSA","kid":"k1"}"#;
    for (what, token) in [
        ("empty", String::new()),
        ("one part", "abc".to_owned()),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{good}.x")),
        ("empty signature", format!("{}.{}.", parts[0], parts[1])),
        ("padding", format!("{good}=")),
        ("plus and slash", format!("{}.{}.{}", parts[0], parts[1], "+/".repeat(43))),
        ("space inside", format!("{}. {}.{}", parts[0], parts[1], parts[2])),
        ("duplicate claim", key.sign(header, br#"{"iss":"https://idp.example.com","sub":"a","sub":"b"}"#)),
        ("nested duplicate", key.sign(header, br#"{"iss":"https://idp.example.com","x":{"a":1,"a":2}}"#)),
        ("an array", key.sign(header, b"[]")),
        ("not UTF-8", key.sign(header, b"{\"iss\":\"\xff\"}")),
        ("deep", key.sign(header, format!("{{\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200)).as_bytes())),
    ] {
        let reply = ask_api(&mut host, &token).replied().clone();
        assert_eq!((reply.status, reply.code().as_str()), (401, "token_malformed"), "{what}: {reply:?}");
    }
    let encrypted = format!("{}.{}.{}.{}.{}", base64url(br#"{"alg":"dir","enc":"A128GCM"}"#), "", "aa", "aa", "aa");
    ask_api(&mut host, &encrypted).refused(401, "encrypted_token");
}

#[test]
fn a_tampered_token_is_refused_at_every_place() {
    let (mut host, _, key) = ready();
    let good = key.good();
    ask_api(&mut host, &good).passed();
    let forged = Claims::of("mallory");
    let payload = key.token(&forged).split('.').nth(1).expect("payload").to_owned();
    let mut parts: Vec<_> = good.split('.').collect();
    parts[1] = &payload;
    ask_api(&mut host, &parts.join(".")).refused(401, "signature_invalid");
    // every single character, exchanged for another
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let token = String::from_utf8(bytes).expect("ASCII");
        let outcome = ask_api(&mut host, &token);
        assert_eq!(outcome.replied().status, 401, "at {at}: {outcome:?}");
    }
}

#[test]
fn a_token_over_the_limit_is_refused_unread() {
    let mut config = config();
    config["limits"] = json!({ "token_bytes": "1KiB" });
    let (mut host, _, key) = ready_with(&config);
    ask_api(&mut host, &key.good()).passed();
    let long = key.token(&Claims::of("alice").with("padding", "x".repeat(1024)));
    ask_api(&mut host, &long).refused(401, "token_too_large");
    ask_api(&mut host, &"x".repeat(100_000)).refused(401, "token_too_large");
}

#[test]
fn clock_skew_reaches_a_minute_and_no_further() {
    let (mut host, _, key) = ready();
    let now = host.now();
    ask_api(&mut host, &key.token(&Claims::of("alice").with("exp", now - 59))).passed();
    ask_api(&mut host, &key.token(&Claims::of("alice").with("exp", now - 60))).refused(401, "token_expired");
}

#[test]
fn a_token_that_passed_is_refused_once_it_has_expired() {
    let (mut host, _, key) = ready();
    let token = key.token(&Claims::of("alice").with("exp", START + 30));
    ask_api(&mut host, &token).passed();
    host.advance(std::time::Duration::from_secs(120));
    ask_api(&mut host, &token).refused(401, "token_expired");
}

#[test]
fn huge_and_odd_times_never_wrap() {
    let (mut host, _, key) = ready();
    for exp in [json!(-1), json!(i64::MIN), json!(-1e300), json!(0.5)] {
        ask_api(&mut host, &key.token(&Claims::of("alice").with("exp", exp))).refused(401, "token_expired");
    }
    for nbf in [json!(i64::MAX), json!(u64::MAX), json!(1e300)] {
        ask_api(&mut host, &key.token(&Claims::of("alice").with("nbf", nbf))).refused(401, "token_not_yet_valid");
    }
}

#[test]
fn required_claims_and_lifetimes_are_kept() {
    let mut config = config();
    config["issuers"]["corp"]["required_claims"] = json!([
        { "claim": "hd", "equals": "example.com" },
        { "claim": "groups", "contains": "staff" },
        { "claim": "tier", "one_of": ["gold", "silver"] }
    ]);
    config["issuers"]["corp"]["max_lifetime"] = json!("1h");
    let (mut host, _, key) = ready_with(&config);
    let good = || Claims::of("alice").with("hd", "example.com").with("groups", json!(["staff"])).with("tier", "gold");
    ask_api(&mut host, &key.token(&good())).passed();
    ask_api(&mut host, &key.token(&good().without("hd"))).refused(403, "claim_mismatch");
    ask_api(&mut host, &key.token(&good().with("hd", "evil.com"))).refused(403, "claim_mismatch");
    ask_api(&mut host, &key.token(&good().with("groups", json!(["guests"])))).refused(403, "claim_mismatch");
    ask_api(&mut host, &key.token(&good().with("tier", "tin"))).refused(403, "claim_mismatch");
    ask_api(&mut host, &key.token(&good().with("exp", START + 3601))).refused(401, "lifetime_too_long");
}

#[test]
fn a_key_belongs_to_its_issuer() {
    // both issuers have a key with the same kid
    let other = Key::new(2, "k1");
    let mut config = config();
    config["issuers"]["other"] = inline_issuer("https://other.example.com", &other);
    config["rules"][3]["require"] = json!({ "any": [{ "token": "corp" }, { "token": "other" }] });
    let (mut host, _, key) = ready_with(&config);
    ask_api(&mut host, &key.good()).passed();
    let from_other = Claims::of("alice").with("iss", "https://other.example.com");
    ask_api(&mut host, &other.token(&from_other)).passed();
    ask_api(&mut host, &key.token(&from_other)).refused(401, "signature_invalid");
    ask_api(&mut host, &other.good()).refused(401, "signature_invalid");
}

#[test]
fn a_token_of_an_issuer_that_the_rule_does_not_name_is_refused() {
    let other = Key::new(2, "k2");
    let mut config = config();
    config["issuers"]["other"] = inline_issuer("https://other.example.com", &other);
    config["rules"].as_array_mut().expect("rules").push(json!(
        { "match": { "path": "/other/**" }, "require": { "token": "other" } }
    ));
    let (mut host, _, _) = ready_with(&config);
    let token = other.token(&Claims::of("alice").with("iss", "https://other.example.com"));
    host.ask(carded_wasm_host::Request::get("/other/x").bearer(&token)).passed();
    host.ask(api(&token)).refused(401, "issuer_untrusted");
}

/// The filter decodes sixteen letters at once, by instructions that nothing but the built module has.
#[test]
fn each_text_is_decoded_and_each_other_byte_seen_at_each_place() {
    let (mut host, _, key) = ready();
    let mut number = 7_u32;
    for length in 1..=160 {
        let text = |_| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // a `%` is escaped in a header
            char::from(b'&' + u8::try_from((number >> 16) % 89).unwrap_or_default())
        };
        let subject: String = (0..length).map(text).collect();
        let outcome = ask_api(&mut host, &key.token(&Claims::of(&subject)));
        assert_eq!(outcome.passed().headers.text("x-carded-subject").as_deref(), Some(subject.as_str()));
    }
    let token = key.token(&Claims::of("alice").with("letters", "abcdefghijklmnopqrstuvwxyz".repeat(3)));
    let begin = token.find('.').unwrap() + 1;
    assert!(token.len() - begin > 300);
    for place in begin..token.len() {
        // each byte in the first letters, which are read by sixteen in each of their places; then what is next to letters
        let all = place < begin + 40;
        let near = |byte: u8| b"=+/,@[`{~\xc1\xe1\xff".contains(&byte);
        for other in (b'!'..=u8::MAX).filter(|byte| !byte.is_ascii_alphanumeric() && (all || near(*byte))) {
            let mut wrong = format!("Bearer {token}").into_bytes();
            let replaced = std::mem::replace(&mut wrong["Bearer ".len() + place], other);
            if replaced == b'.' || matches!(other, b'-' | b'_' | b'.' | 0x7f) {
                continue;
            }
            let reply = host.ask(Request::get("/api/x").header("authorization", wrong)).replied().clone();
            assert_eq!((reply.status, reply.code().as_str()), (401, "token_malformed"), "{other} at {place}");
        }
    }
}
