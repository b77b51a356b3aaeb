//! Threats 19 to 27 and 90: what the claims say, and to whom (RFC 7519 section 4, RFC 9068, RFC 8725).
use crate::support::*;
use carded_verifier::sign::prepare;
use carded_verifier::{ClaimPath, ClaimTest, Class, Code, Evidence, KeySource, Outcome, RequiredClaim, verify};
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn threat_19_a_key_belongs_to_its_issuer() {
    // two issuers whose keys have the same kid; each key signs for its own issuer only
    let mine = key("EdDSA");
    let theirs = foreign_key("EdDSA");
    let mut other = corp();
    other.name = "other".to_owned();
    other.issuer = id("https://other.example.com");
    other.keys = KeySource::Inline(set(&[&theirs], &asymmetric()));
    let world = World::of(vec![corp(), other]);
    let of_other = with("iss", json!("https://other.example.com"));
    assert_eq!(world.ok(mine.sign_claims(&claims()).unwrap()).issuer_name(), "corp");
    assert_eq!(world.ok(theirs.sign_claims(&of_other).unwrap()).issuer_name(), "other");
    assert_eq!(world.code(mine.sign_claims(&of_other).unwrap()), Code::SignatureInvalid);
    assert_eq!(world.code(theirs.sign_claims(&claims()).unwrap()), Code::SignatureInvalid);
}

#[test]
fn threat_20_iss_is_an_exact_string() {
    let world = World::new();
    for bad in [
        "https://idp.example.com/",
        "https://IDP.example.com",
        "https://idp.example.com:443",
        "https://idp.example.com ",
        " https://idp.example.com",
        "http://idp.example.com",
        "https://idp.example.com.evil.example",
        "https://idp.example.com\0",
        "https://idp.example.com#",
        "https://idp%2eexample.com",
        "idp.example.com",
        "corp",
        "",
    ] {
        assert_eq!(world.code(sign(&with("iss", json!(bad)))), Code::IssuerUntrusted, "{bad:?}");
    }
    for bad in [json!(null), json!(1), json!([ISS]), json!({"iss": ISS})] {
        assert_eq!(world.code(sign(&with("iss", bad))), Code::ClaimInvalid);
    }
    assert_eq!(world.code(sign(&without("iss"))), Code::ClaimMissing);
}

#[test]
fn only_accepted_issuers_count() {
    let mut other = corp();
    other.name = "other".to_owned();
    other.issuer = id("https://other.example.com");
    other.keys = KeySource::Discovery;
    let world = World::of(vec![corp(), other]);
    let (corp, other) = (world.trust.index_of("corp").unwrap(), world.trust.index_of("other").unwrap());
    let token = sign(&claims());
    let foreign = sign(&with("iss", json!("https://other.example.com")));
    let ask = |token: &str, accepted: &[_]| {
        verify(&Evidence::access_token(token.as_bytes()).accepted_issuers(accepted), &world.trust, &world.known, at(0))
    };
    assert!(matches!(ask(&token, &[corp]), Outcome::Verified(_)));
    assert!(matches!(ask(&token, &[other, corp]), Outcome::Verified(_)));
    // nothing is fetched for an issuer that the rule does not name
    for (token, accepted) in [(&token, &[other][..]), (&token, &[]), (&foreign, &[corp])] {
        let Outcome::Denied(denied) = ask(token, accepted) else { panic!() };
        assert_eq!(denied.code(), Code::IssuerUntrusted);
    }
    assert!(matches!(ask(&foreign, &[other]), Outcome::Need(_)));
}

#[test]
fn threat_21_aud_is_required_and_matched() {
    let world = World::with(|issuer| issuer.audiences.push("second".to_owned()));
    for good in [json!(AUD), json!("second"), json!([AUD]), json!(["x", AUD]), json!(["second", "x"])] {
        world.ok(sign(&with("aud", good)));
    }
    for bad in [
        json!("x"),
        json!(""),
        json!([]),
        json!(["x"]),
        json!("API.example.com"),
        json!("api.example.com "),
        json!("api.example.com second"),
        json!(["api.example.com second"]),
        json!("https://api.example.com"),
    ] {
        assert_eq!(world.code(sign(&with("aud", bad.clone()))), Code::AudienceMismatch, "{bad}");
    }
    for bad in [json!(null), json!(1), json!(true), json!({"aud": AUD}), json!([AUD, 1]), json!([[AUD]]), json!([null])]
    {
        assert_eq!(world.code(sign(&with("aud", bad.clone()))), Code::ClaimInvalid, "{bad}");
    }
    assert_eq!(world.code(sign(&without("aud"))), Code::ClaimMissing);
}

#[test]
fn threat_22_times_of_a_wrong_type_are_never_absent() {
    // also where `exp` is not required: wrong is not missing
    for require_exp in [true, false] {
        let world = World::with(|issuer| issuer.require_exp = require_exp);
        for name in ["exp", "nbf", "iat"] {
            for bad in [
                json!(null),
                json!("1790000600"),
                json!(""),
                json!(true),
                json!([NOW]),
                json!({}),
                json!([]),
                json!("2026-11-21T00:00:00Z"),
            ] {
                assert_eq!(world.code(sign(&with(name, bad.clone()))), Code::ClaimInvalid, "{name} {bad}");
            }
        }
    }
}

#[test]
fn threat_23_exp_is_required() {
    assert_eq!(World::new().code(sign(&without("exp"))), Code::ClaimMissing);
    let lenient = World::with(|issuer| issuer.require_exp = false);
    assert_eq!(lenient.ok(sign(&without("exp"))).expires(), None);
    assert_eq!(lenient.code(sign(&with("exp", json!(NOW - 1000)))), Code::TokenExpired);
}

#[test]
fn threat_24_times_never_wrap() {
    let world = World::new();
    let code = |name: &str, value: Value| match world.verify_at(sign(&with(name, value)), 0) {
        Outcome::Verified(_) => None,
        Outcome::Denied(denied) => Some(denied.code()),
        Outcome::Need(_) => panic!(),
    };
    let skew = 60;
    for (value, expected) in [
        (json!(NOW - skew), Some(Code::TokenExpired)),
        (json!(NOW - skew + 1), None),
        (json!(NOW as f64 - 60.0), Some(Code::TokenExpired)),
        // a fraction is no further second
        (json!(NOW as f64 - 59.5), Some(Code::TokenExpired)),
        (json!(NOW as f64 - 58.5), None),
        (json!(0), Some(Code::TokenExpired)),
        (json!(-1), Some(Code::TokenExpired)),
        (json!(i64::MIN), Some(Code::TokenExpired)),
        (json!(-1e300), Some(Code::TokenExpired)),
        (json!(1e-300), Some(Code::TokenExpired)),
        (json!(i64::MAX), None),
        (json!(u64::MAX), None),
        (json!(1e300), None),
        (json!(4_294_967_296_i64 + NOW), None),
    ] {
        assert_eq!(code("exp", value.clone()), expected, "exp {value}");
    }
    for name in ["nbf", "iat"] {
        for (value, expected) in [
            (json!(NOW + skew), None),
            (json!(NOW + skew + 1), Some(Code::TokenNotYetValid)),
            (json!(0), None),
            (json!(-5), None),
            (json!(i64::MIN), None),
            (json!(-1e300), None),
            (json!(i64::MAX), Some(Code::TokenNotYetValid)),
            (json!(u64::MAX), Some(Code::TokenNotYetValid)),
            (json!(1e300), Some(Code::TokenNotYetValid)),
        ] {
            assert_eq!(code(name, value.clone()), expected, "{name} {value}");
        }
    }
    assert_eq!(code("nbf", json!(NOW as f64 + 60.5)), Some(Code::TokenNotYetValid));
    // at the ends of time nothing wraps either
    for now in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        let time = carded_verifier::Timestamp::from_unix(now);
        for exp in [json!(i64::MIN), json!(0), json!(i64::MAX), json!(1e300), json!(-1e300)] {
            let token = sign(&with("exp", exp));
            let _ = verify(&Evidence::access_token(token.as_bytes()), &world.trust, &world.known, time);
        }
    }
}

#[test]
fn max_lifetime() {
    let world = World::with(|issuer| issuer.max_lifetime = Some(Duration::from_secs(3600)));
    let lived = |iat: Value, exp: Value| {
        let mut claims = with("iat", iat);
        claims.insert("exp".to_owned(), exp);
        sign(&claims)
    };
    world.ok(lived(json!(NOW), json!(NOW + 3600)));
    assert_eq!(world.code(lived(json!(NOW), json!(NOW + 3601))), Code::LifetimeTooLong);
    assert_eq!(world.code(lived(json!(i64::MIN), json!(i64::MAX))), Code::LifetimeTooLong);
    assert_eq!(world.code(lived(json!(0), json!(1e300))), Code::LifetimeTooLong);
    assert_eq!(world.code(sign(&without("iat"))), Code::ClaimMissing);
    let lenient = World::with(|issuer| {
        issuer.max_lifetime = Some(Duration::from_secs(3600));
        issuer.require_exp = false;
    });
    assert_eq!(lenient.code(sign(&without("exp"))), Code::ClaimMissing);
}

#[test]
fn clock_skew_is_the_issuers() {
    let world = World::with(|issuer| issuer.clock_skew = Duration::ZERO);
    assert_eq!(world.code(sign(&with("exp", json!(NOW)))), Code::TokenExpired);
    world.ok(sign(&with("exp", json!(NOW + 1))));
    assert_eq!(world.code(sign(&with("nbf", json!(NOW + 1)))), Code::TokenNotYetValid);
}

#[test]
fn threat_26_the_kinds_of_token_exclude_each_other() {
    let world = World::new();
    // a key-binding JWT (RFC 9901 section 4.3), also with the claims of an access token
    let mut kb = with("sd_hash", json!("x"));
    kb.insert("nonce".to_owned(), json!("n"));
    let mut header = key("EdDSA").header();
    header.insert("typ".to_owned(), json!("kb+jwt"));
    assert_eq!(world.code(key("EdDSA").sign(prepare(&header, &kb)).unwrap()), Code::TypeNotAllowed);
    // the same without its typ still has a nonce
    assert_eq!(world.code(sign(&kb)), Code::IdTokenNotAccepted);
    // a presentation is no compact JWS at all
    let presentation = format!("{}~WyJhIl0~", sign(&claims()));
    assert_eq!(world.code(presentation), Code::TokenMalformed);
    // a logout token without a typ of its own
    let logout = with("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}}));
    assert_eq!(world.code(sign(&logout)), Code::TypeNotAllowed);
    world.ok(sign(&with("events", json!(["a concert"]))));
}

#[test]
fn threat_90_an_id_token_is_no_access_token() {
    let world = World::with(|issuer| {
        issuer.audiences.push("shop".to_owned());
        issuer.login_client_ids = vec!["shop".to_owned()];
    });
    world.ok(sign(&claims()));
    // refused even where the audience list has it too
    for aud in [json!("shop"), json!(["shop"]), json!([AUD, "shop"])] {
        assert_eq!(world.code(sign(&with("aud", aud.clone()))), Code::IdTokenNotAccepted, "{aud}");
    }
    for name in ["nonce", "at_hash", "c_hash"] {
        for value in [json!("x"), json!(null), json!("")] {
            assert_eq!(world.code(sign(&with(name, value))), Code::IdTokenNotAccepted, "{name}");
        }
    }
}

#[test]
fn threat_27_a_token_has_one_spelling() {
    // what a replay store could be fooled with: other texts that decode to the same token are all refused
    let world = World::new();
    let token = sign(&claims());
    world.ok(&token);
    for other in [
        format!("{token}="),
        format!("{token}\n"),
        format!(" {token}"),
        token.replacen('.', "=.", 1),
        format!("{token}~"),
    ] {
        assert_eq!(world.code(other), Code::TokenMalformed);
    }
    // ECDSA itself is malleable: (r, n - s) holds as well, so a replay key is never the text of a token
    let es = key("ES256").sign_claims(&claims()).unwrap();
    let (message, signature) = es.rsplit_once('.').unwrap();
    let signature = p256_negated(signature);
    world.ok(format!("{message}.{signature}"));
}

/// (r, s) becomes (r, n - s).
fn p256_negated(signature: &str) -> String {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut bytes = carded_verifier::base64url::decode(signature).unwrap();
    let mut borrow = 0_i16;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(bytes[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        bytes[32 + at] = difference.rem_euclid(256) as u8;
    }
    carded_verifier::base64url::encode(bytes)
}

#[test]
fn required_claims() {
    let required = |path: &str, test: ClaimTest| RequiredClaim { path: ClaimPath::parse_dotted(path).unwrap(), test };
    let world = World::with(|issuer| {
        issuer.required_claims = vec![
            required("hd", ClaimTest::Equals(json!("example.com"))),
            required("realm.groups", ClaimTest::Contains(json!("staff"))),
            required("tier", ClaimTest::OneOf(vec![json!("gold"), json!("silver")])),
        ];
    });
    let mut good = with("hd", json!("example.com"));
    good.insert("realm".to_owned(), json!({"groups": ["staff", "x"]}));
    good.insert("tier".to_owned(), json!("silver"));
    world.ok(sign(&good));
    for (name, value) in [
        ("hd", json!("evil.example")),
        ("hd", json!(["example.com"])),
        ("hd", json!(null)),
        ("realm", json!({"groups": ["staff!"]})),
        ("realm", json!(["staff"])),
        ("tier", json!("bronze")),
    ] {
        let mut bad = good.clone();
        bad.insert(name.to_owned(), value.clone());
        let denied = world.denied_at(sign(&bad), 0);
        assert_eq!((denied.code(), denied.class()), (Code::ClaimMismatch, Class::Insufficient), "{name} {value}");
        assert!(denied.detail().contains(name));
        let mut missing = good.clone();
        missing.remove(name);
        assert_eq!(world.code(sign(&missing)), Code::ClaimMismatch);
    }
}

#[test]
fn sub_is_text_or_absent() {
    let world = World::new();
    assert_eq!(world.ok(sign(&without("sub"))).subject(), None);
    for bad in [json!(1), json!(null), json!(["alice"])] {
        assert_eq!(world.code(sign(&with("sub", bad))), Code::ClaimInvalid);
    }
}

#[test]
fn no_claim_counts_before_the_signature_holds() {
    let world = World::new();
    let token = foreign_key("EdDSA").sign_claims(&with("exp", json!("never"))).unwrap();
    assert_eq!(world.code(token), Code::SignatureInvalid);
}
