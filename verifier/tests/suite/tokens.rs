//! Threats 1 to 11, 14, 18 and 25: the shape of a token and what its header asks for (RFC 7515, RFC 8725).
use crate::support::*;
use carded_verifier::sign::{SigningKey, prepare};
use carded_verifier::{Check, Code, Evidence, Limits, Outcome, base64url, json, verify};
use serde_json::{Value, json};

#[test]
fn every_algorithm_verifies() {
    let world = World::new();
    for algorithm in asymmetric() {
        let verified = world.ok(key(algorithm.name()).sign_claims(&claims()).unwrap());
        assert_eq!(verified.algorithm(), algorithm);
        assert_eq!(verified.kid(), Some(algorithm.name()));
        assert_eq!((verified.iss(), verified.subject()), (ISS, Some("alice")));
        assert_eq!(verified.expires(), Some(at(600)));
        assert_eq!(verified.issuer_name(), "corp");
        assert_eq!(verified.tenant(), None);
    }
}

#[test]
fn the_report_names_every_check_in_order() {
    let world = World::new();
    let good = world.ok(sign(&claims())).report();
    let names: Vec<_> = good.lines().map(|(check, passed, _)| (check.as_str(), passed)).collect();
    let order = ["size", "parse", "issuer", "algorithm", "key", "signature", "type", "audience", "time", "claims"];
    assert_eq!(names, order.map(|name| (name, true)));
    let text = good.to_string();
    assert!(text.contains("issuer     corp") && text.contains("kid EdDSA"), "{text}");

    let denied = world.denied_at(sign(&claims()), 10_000);
    assert_eq!(denied.check(), Check::Time);
    let last = denied.report().lines().last().map(|(check, passed, _)| (check, passed));
    assert_eq!(last, Some((Check::Time, false)));
    assert_eq!(denied.report().lines().count(), 9);
}

#[test]
fn threat_01_base64url_and_exactly_two_dots() {
    let world = World::new();
    let token = sign(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let (h, p, s) = (parts[0], parts[1], parts[2]);
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "a".into(),
        "a.b".into(),
        h.into(),
        format!("{h}.{p}"),
        format!("{h}.{p}."),
        format!(".{p}.{s}"),
        format!("{h}..{s}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.x"),
        format!("{token}.a.b.c"),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{h}.{p}.{s}\0"),
        format!("{h}. {p}.{s}"),
        format!("{h},{p},{s}"),
        format!("{h}.{p}.{s}%3D"),
        token.replace('.', "%2E"),
    ] {
        assert_eq!(world.code(&bad), Code::TokenMalformed, "{bad:?}");
    }
    assert_eq!(world.code([token.as_bytes(), &[0xff]].concat()), Code::TokenMalformed);
}

#[test]
fn threat_02_the_size_cap_comes_first() {
    let limits = Limits { token_bytes: 1000, ..Limits::default() };
    let world = World::limited(vec![corp()], limits).unwrap();
    assert_eq!(world.code(vec![b'.'; 1001]), Code::TokenTooLarge);
    assert_eq!(world.denied_at(vec![b'.'; 1001], 0).check(), Check::Size);
    assert_eq!(world.code(vec![b'.'; 1000]), Code::TokenMalformed);
    // a million dots cost no more than looking at the length
    assert_eq!(world.code(vec![b'.'; 10_000_000]), Code::TokenTooLarge);
    world.ok(sign(&claims()));
}

#[test]
fn threat_03_non_canonical_base64() {
    let world = World::new();
    let token = sign(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    // Ed25519: 64 bytes end in a group of one byte, whose last character has four stray bits
    let last = parts[2].chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.find(last).unwrap();
    assert_eq!(value % 16, 0);
    for stray in 1..16 {
        let other = &alphabet[value + stray..=value + stray];
        let forged = format!("{}.{}.{}{other}", parts[0], parts[1], &parts[2][..parts[2].len() - 1]);
        assert_eq!(world.code(forged), Code::TokenMalformed);
    }
    for tail in ["=", "==", "\r\n"] {
        assert_eq!(world.code(format!("{token}{tail}")), Code::TokenMalformed, "{tail:?}");
        let padded = format!("{}{tail}.{}.{}", parts[0], parts[1], parts[2]);
        assert_eq!(world.code(padded), Code::TokenMalformed, "{tail:?}");
    }
    let standard = token.replace('-', "+").replace('_', "/");
    assert!(standard == token || world.code(standard) == Code::TokenMalformed);
}

#[test]
fn threat_04_header_and_payload_are_utf_8_json_objects() {
    let world = World::new();
    let header = r#"{"alg":"EdDSA","kid":"EdDSA"}"#;
    let payload = Value::Object(claims()).to_string();
    world.ok(sign_raw(header, &payload));
    for bad in ["", "[]", "null", "\"x\"", "1", "{", "{}x", "{}{}", "\u{feff}{}", "{'a':1}", "{\"a\":1,}", "// c\n{}"] {
        assert_eq!(world.code(sign_raw(bad, &payload)), Code::TokenMalformed, "{bad:?}");
        assert_eq!(world.code(sign_raw(header, bad)), Code::TokenMalformed, "{bad:?}");
    }
    for bad in [
        format!("{payload} x"),
        format!("{payload}\0"),
        payload.replace("alice", "\\ud800"),
        payload.replace("alice", "\u{1}"),
        payload.replace("\"alice\"", "1e999"),
        payload.replace("\"alice\"", "NaN"),
        payload.replace("\"alice\"", "01"),
    ] {
        assert_eq!(world.code(sign_raw(header, &bad)), Code::TokenMalformed, "{bad:?}");
    }
    let mut latin = payload.clone().into_bytes();
    let place = payload.find("alice").unwrap();
    latin[place] = 0xe9;
    let message = format!("{}.{}", base64url::encode(header), base64url::encode(&latin));
    let signature = key("EdDSA").signature(message.as_bytes()).unwrap();
    assert_eq!(world.code(format!("{message}.{}", base64url::encode(signature))), Code::TokenMalformed);
}

#[test]
fn threat_05_duplicate_keys_at_any_depth() {
    let world = World::new();
    let header = r#"{"alg":"EdDSA","kid":"EdDSA"}"#;
    let payload = Value::Object(claims()).to_string();
    let twice = |inner: &str| payload.replacen('{', &format!("{{{inner},"), 1);
    for bad in [
        twice(r#""sub":"mallory""#),
        twice(r#""s\u0075b":"mallory""#),
        twice(r#""x":{"a":1,"a":1}"#),
        twice(r#""x":[[{"a":{"b":1,"b":2}}]]"#),
    ] {
        assert_eq!(world.code(sign_raw(header, &bad)), Code::TokenMalformed, "{bad}");
    }
    for bad in [
        r#"{"alg":"none","alg":"EdDSA","kid":"EdDSA"}"#,
        r#"{"alg":"EdDSA","kid":"x","kid":"EdDSA"}"#,
        r#"{"alg":"EdDSA","kid":"EdDSA","x":{"y":0,"y":0}}"#,
    ] {
        assert_eq!(world.code(sign_raw(bad, &payload)), Code::TokenMalformed, "{bad}");
    }
    // the same name in different objects is none twice
    world.ok(sign_raw(header, &twice(r#""x":{"a":1},"y":{"a":1}"#)));
}

#[test]
fn threat_06_nesting_is_capped() {
    let world = World::new();
    let header = r#"{"alg":"EdDSA","kid":"EdDSA"}"#;
    let payload = Value::Object(claims()).to_string();
    let nested = |depth: usize, open: &str, close: &str| {
        let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        payload.replacen('{', &format!("{{\"deep\":{value},"), 1)
    };
    // the object itself is the first of 32
    world.ok(sign_raw(header, &nested(31, "[", "]")));
    world.ok(sign_raw(header, &nested(31, "{\"a\":", "}")));
    assert_eq!(world.code(sign_raw(header, &nested(32, "[", "]"))), Code::TokenMalformed);
    assert_eq!(world.code(sign_raw(header, &nested(32, "{\"a\":", "}"))), Code::TokenMalformed);
    // far deeper than any stack, unclosed too, on a small stack
    let run = || {
        for depth in [100, 10_000, 1_000_000] {
            let open = "[".repeat(depth);
            let error = json::parse_value(open.as_bytes(), 32).unwrap_err();
            assert_eq!(error, json::JsonError::TooDeep);
            let closed = format!("{open}{}", "]".repeat(depth));
            assert!(json::parse_value(closed.as_bytes(), usize::MAX).is_err() == (depth > json::DEEPEST));
        }
    };
    std::thread::Builder::new().stack_size(256 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn threat_07_only_algorithms_on_the_list() {
    let world = World::with(|issuer| issuer.algorithms.retain(|algorithm| algorithm.name() == "ES256"));
    assert_eq!(world.code(sign(&claims())), Code::AlgorithmNotAllowed);
    world.ok(key("ES256").sign_claims(&claims()).unwrap());

    let world = World::new();
    for none in
        ["none", "None", "NONE", "nOnE", "", " none", "none\0", "null", "HS256", "ES512", "EDDSA", "eddsa", "RS1"]
    {
        let token = sign_header(json!({"alg": none, "kid": "EdDSA"}));
        assert_eq!(world.code(&token), Code::AlgorithmNotAllowed, "{none}");
        let message = &token[..token.rfind('.').unwrap()];
        let unsigned = world.code(format!("{message}."));
        let expected = if none.eq_ignore_ascii_case("none") { Code::AlgorithmNotAllowed } else { Code::TokenMalformed };
        assert_eq!(unsigned, expected, "{none}");
    }
    for bad in [json!(null), json!(0), json!(true), json!(["EdDSA"]), json!({"EdDSA": 1})] {
        assert_eq!(world.code(sign_header(json!({"alg": bad, "kid": "EdDSA"}))), Code::TokenMalformed, "{bad}");
    }
    assert_eq!(world.code(sign_header(json!({"kid": "EdDSA"}))), Code::TokenMalformed);
}

#[test]
fn threat_08_a_key_has_one_algorithm() {
    let world = World::new();
    // all of these are signatures that hold under the key's numbers, but not for the key's algorithm
    for (kid, other) in [("RS256", "RS384"), ("RS256", "PS256"), ("PS256", "RS256"), ("RS512", "RS256")] {
        let token = key(other).with_kid(Some(kid)).sign_claims(&claims()).unwrap();
        assert_eq!(world.code(token), Code::KeyMismatch, "{kid} {other}");
    }
    assert_eq!(world.code(sign_header(json!({"alg": "ES256", "kid": "EdDSA"}))), Code::KeyMismatch);
}

#[test]
fn threat_09_a_public_key_is_no_hmac_secret() {
    let world = World::new();
    let rsa = key("RS256");
    let parsed = carded_verifier::PublicKey::from_jwk(&object(rsa.public_jwk())).unwrap().0;
    let spki = parsed.spki_der().unwrap().to_vec();
    let jwk = rsa.public_jwk().to_string().into_bytes();
    for secret in [spki, jwk, vec![0; 64]] {
        for name in ["HS256", "HS384", "HS512"] {
            let forged = SigningKey::from_secret(algorithm(name), Some("RS256"), &secret).unwrap();
            assert_eq!(world.code(forged.sign_claims(&claims()).unwrap()), Code::AlgorithmNotAllowed);
        }
    }
}

#[test]
fn threat_10_a_header_never_brings_its_key() {
    let world = World::new();
    let mallory = foreign_key("EdDSA");
    let jwk = mallory.public_jwk();
    for kid in [Some("EdDSA"), Some("mallory"), None] {
        let mut header = mallory.with_kid(kid).header();
        header.insert("jwk".to_owned(), jwk.clone());
        header.insert("jku".to_owned(), json!("https://mallory.example/jwks"));
        header.insert("x5u".to_owned(), json!("https://mallory.example/cert"));
        header.insert("x5c".to_owned(), json!(["MIIB"]));
        let code = world.code(mallory.sign(prepare(&header, &claims())).unwrap());
        let expected = if kid == Some("mallory") { Code::KeyNotFound } else { Code::SignatureInvalid };
        assert_eq!(code, expected, "{kid:?}");
    }
    // such members do not trouble a token that is good without them
    let mut header = key("EdDSA").header();
    header.insert("x5t".to_owned(), json!("abc"));
    header.insert("jwk".to_owned(), jwk);
    world.ok(key("EdDSA").sign(prepare(&header, &claims())).unwrap());
}

#[test]
fn threat_11_kid_is_matched_exactly() {
    let world = World::new();
    for kid in ["eddsa", "EdDSA ", " EdDSA", "EdDS", "EdDSA\0", "../EdDSA", "' OR 1=1", "", "*", "EdDSA/../EdDSA"] {
        let token = key("EdDSA").with_kid(Some(kid)).sign_claims(&claims()).unwrap();
        assert_eq!(world.code(token), Code::KeyNotFound, "{kid:?}");
    }
    for kid in [json!(1), json!(null), json!(["EdDSA"]), json!({"EdDSA": 1}), json!(true)] {
        assert_eq!(world.code(sign_header(json!({"alg": "EdDSA", "kid": kid}))), Code::TokenMalformed, "{kid}");
    }
}

#[test]
fn without_a_kid_exactly_one_key_must_serve() {
    let world = World::new();
    world.ok(key("EdDSA").with_kid(None).sign_claims(&claims()).unwrap());
    let (a, b) = (key("EdDSA"), foreign_key("EdDSA").with_kid(Some("b")));
    let two = set(&[&a, &b], &asymmetric());
    let world = World::with(|issuer| issuer.keys = carded_verifier::KeySource::Inline(two));
    assert_eq!(world.code(a.with_kid(None).sign_claims(&claims()).unwrap()), Code::KeyAmbiguous);
    world.ok(a.sign_claims(&claims()).unwrap());
    world.ok(b.sign_claims(&claims()).unwrap());
    assert_eq!(world.code(key("ES256").with_kid(None).sign_claims(&claims()).unwrap()), Code::KeyNotFound);
}

#[test]
fn threat_14_crit_b64_and_zip_are_refused() {
    let world = World::new();
    for (name, value) in [
        ("crit", json!(["b64"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(null)),
        ("crit", json!("exp")),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
    ] {
        let mut header = key("EdDSA").header();
        header.insert(name.to_owned(), value.clone());
        let token = key("EdDSA").sign(prepare(&header, &claims())).unwrap();
        assert_eq!(world.code(token), Code::CriticalHeader, "{name} {value}");
    }
}

#[test]
fn threat_14_an_unencoded_payload_is_refused() {
    // RFC 7797: with b64 false the payload is signed as it is
    let world = World::new();
    let mut header = key("EdDSA").header();
    header.insert("b64".to_owned(), json!(false));
    header.insert("crit".to_owned(), json!(["b64"]));
    let header = base64url::encode(Value::Object(header).to_string());
    let message = format!("{header}.{}", Value::Object(claims()));
    let signature = base64url::encode(key("EdDSA").signature(message.as_bytes()).unwrap());
    assert!(matches!(world.code(format!("{message}.{signature}")), Code::CriticalHeader | Code::TokenMalformed));
}

#[test]
fn threat_18_encrypted_and_nested_tokens_are_refused() {
    let world = World::new();
    assert_eq!(world.code("eyJhbGciOiJSU0EtT0FFUCJ9.AAAA.AAAA.AAAA.AAAA"), Code::EncryptedToken);
    assert_eq!(world.code("...."), Code::EncryptedToken);
    for cty in ["JWT", "jwt", "application/jwt", "Application/JWT"] {
        let mut header = key("EdDSA").header();
        header.insert("cty".to_owned(), json!(cty));
        assert_eq!(world.code(key("EdDSA").sign(prepare(&header, &claims())).unwrap()), Code::EncryptedToken, "{cty}");
    }
    let token = sign_header(json!({"alg": "EdDSA", "kid": "EdDSA", "enc": "A256GCM"}));
    assert_eq!(world.code(token), Code::EncryptedToken);
    assert_eq!(world.code(sign_header(json!({"alg": "RSA-OAEP", "kid": "RS256"}))), Code::AlgorithmNotAllowed);
    // a payload that is a token, without saying so
    let inner = sign(&claims());
    assert_eq!(world.code(sign_raw(r#"{"alg":"EdDSA","kid":"EdDSA"}"#, &inner)), Code::TokenMalformed);
    assert_eq!(world.code(sign_raw(r#"{"alg":"EdDSA","kid":"EdDSA"}"#, &format!("\"{inner}\""))), Code::TokenMalformed);
}

#[test]
fn threat_25_typ_is_compared_as_a_media_type() {
    let world = World::new();
    let typed = |typ: Value| {
        let mut header = key("EdDSA").header();
        header.insert("typ".to_owned(), typ);
        key("EdDSA").sign(prepare(&header, &claims())).unwrap()
    };
    for good in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt", "application/jwt"] {
        world.ok(typed(json!(good)));
    }
    world.ok(sign_header(json!({"alg": "EdDSA", "kid": "EdDSA"})));
    for bad in [
        "",
        "kb+jwt",
        "dc+sd-jwt",
        "vc+sd-jwt",
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "statuslist+jwt",
        "oauth-authz-req+jwt",
        "JOSE",
        "at+jwt ",
        "application/application/at+jwt",
        "text/at+jwt",
        "at\u{2b}jw\u{442}",
    ] {
        assert_eq!(world.code(typed(json!(bad))), Code::TypeNotAllowed, "{bad}");
    }
    for bad in [json!(null), json!(1), json!(["JWT"])] {
        assert_eq!(world.code(typed(bad)), Code::TokenMalformed);
    }
    let strict = World::with(|issuer| issuer.typ = Some(vec!["Application/AT+jwt".to_owned()]));
    strict.ok(typed(json!("at+jwt")));
    strict.ok(typed(json!("application/at+jwt")));
    assert_eq!(strict.code(typed(json!("JWT"))), Code::TypeNotAllowed);
    assert_eq!(strict.code(sign_header(json!({"alg": "EdDSA", "kid": "EdDSA"}))), Code::TypeNotAllowed);
}

#[test]
fn refusals_never_echo_the_token() {
    let world = World::new();
    let secretive = with("sub", json!("s3cret-subject"));
    let late = world.denied_at(sign(&secretive), 100_000);
    let foreign = world.denied_at(sign(&with("iss", json!("https://s3cret.example"))), 0);
    let typed = world.denied_at(sign(&with("aud", json!("s3cret-audience"))), 0);
    for denied in [late, foreign, typed] {
        let text = format!("{denied:?} {} {}", denied.detail(), denied.report());
        assert!(!text.contains("s3cret"), "{text}");
    }
    let token = sign(&secretive);
    assert!(!format!("{:?}", Evidence::access_token(token.as_bytes())).contains(&token[..20]));
    assert!(!format!("{:?}", world.ok(&token)).contains("s3cret"));
}

#[test]
fn the_same_evidence_gives_the_same_outcome() {
    let world = World::new();
    let token = sign(&claims());
    let evidence = Evidence::access_token(token.as_bytes());
    for _ in 0..2 {
        assert!(matches!(verify(&evidence, &world.trust, &world.known, at(0)), Outcome::Verified(_)));
    }
}
