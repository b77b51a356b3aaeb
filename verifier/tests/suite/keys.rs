//! Threats 9, 12, 13, 17 and 99: sets of keys and what may be in them (RFC 7517, RFC 7518).
use crate::support::*;
use carded_verifier::jwk::KeyError;
use carded_verifier::sign::SigningKey;
use carded_verifier::{Code, KeySet, KeySetError, KeySource, PublicKey, TrustError};
use serde_json::{Value, json};

fn parse(keys: Vec<Value>) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &asymmetric())
}

fn jwk(name: &str) -> Value {
    key(name).public_jwk()
}

fn changed(name: &str, member: &str, value: Value) -> Value {
    let mut jwk = jwk(name);
    jwk[member] = value;
    jwk
}

#[test]
fn threat_12_duplicate_kids_and_private_keys_refuse_the_set() {
    assert_eq!(parse(vec![jwk("EdDSA"), jwk("ES256")]).unwrap().len(), 2);
    let twice = changed("ES256", "kid", json!("EdDSA"));
    assert_eq!(parse(vec![jwk("EdDSA"), twice.clone()]).unwrap_err(), KeySetError::DuplicateKid);
    // also where one of them would be skipped
    let unknown = json!({"kty": "AKP", "kid": "EdDSA"});
    assert_eq!(parse(vec![jwk("EdDSA"), unknown]).unwrap_err(), KeySetError::DuplicateKid);
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"] {
        for name in ["EdDSA", "ES256", "RS256"] {
            assert_eq!(parse(vec![changed(name, member, json!("AA"))]).unwrap_err(), KeySetError::PrivateKey);
        }
    }
    let unknown = json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "priv": "AA"});
    assert_eq!(parse(vec![jwk("EdDSA"), unknown]).unwrap_err(), KeySetError::PrivateKey);
    for secret in [json!({"kty": "oct", "k": "AAAA"}), json!({"kty": "oct"}), json!({"kty": "RSA", "k": "AAAA"})] {
        assert_eq!(parse(vec![jwk("EdDSA"), secret]).unwrap_err(), KeySetError::SymmetricKey);
    }
}

#[test]
fn a_set_is_strict_json_of_the_right_shape() {
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        r#"{"keys":[1]}"#,
        r#"{"keys":[{}]}"#,
        r#"{"keys":[{"kty":1}]}"#,
        r#"{"keys":[{"kty":"RSA","kid":1}]}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[{"kty":"RSA","kty":"EC"}]}"#,
        "<html>",
    ] {
        assert!(KeySet::parse(bad.as_bytes(), &[]).is_err(), "{bad}");
    }
    assert!(parse(vec![]).unwrap().is_empty());
    assert_eq!(parse(vec![json!({"kty": "AKP"}); 513]).unwrap_err(), KeySetError::TooMany);
}

#[test]
fn threat_13_use_and_key_ops_are_respected() {
    for (member, value, good) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("use", json!("SIG"), false),
        ("use", json!("tls"), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["sign", "verify"]), true),
        ("key_ops", json!(["sign"]), false),
        ("key_ops", json!([]), false),
        ("key_ops", json!(["encrypt"]), false),
        ("key_ops", json!(["VERIFY"]), false),
    ] {
        let set = parse(vec![changed("EdDSA", member, value.clone())]).unwrap();
        assert_eq!(set.len() == 1, good, "{member} {value}");
        if !good {
            assert_eq!(set.skipped(), [KeyError::NotForSignatures]);
        }
    }
    // of a wrong type they are not absent
    for (member, value) in [("use", json!(1)), ("key_ops", json!("verify")), ("key_ops", json!([1])), ("alg", json!(1))]
    {
        assert!(parse(vec![changed("EdDSA", member, value)]).unwrap().is_empty());
    }
    // both must allow it
    let mut both = changed("EdDSA", "key_ops", json!(["encrypt"]));
    both["use"] = json!("sig");
    assert!(parse(vec![both]).unwrap().is_empty());
}

#[test]
fn keys_of_no_use_are_skipped() {
    for (bad, why) in [
        (json!({"kty": "AKP", "kid": "x"}), KeyError::Unsupported),
        (json!({"kty": "rsa", "n": "AA", "e": "AQAB"}), KeyError::Unsupported),
        (changed("ES256", "crv", json!("secp256k1")), KeyError::Unsupported),
        (changed("ES256", "crv", json!("P-521")), KeyError::Unsupported),
        (changed("EdDSA", "crv", json!("Ed448")), KeyError::Unsupported),
        (changed("EdDSA", "crv", json!("X25519")), KeyError::Unsupported),
        (changed("EdDSA", "alg", json!("none")), KeyError::Unsupported),
        (changed("RS256", "alg", json!("RSA-OAEP")), KeyError::Unsupported),
        (changed("RS256", "alg", json!("ES256")), KeyError::WrongAlgorithm),
        (changed("ES256", "alg", json!("ES384")), KeyError::WrongAlgorithm),
        (changed("ES256", "alg", json!("HS256")), KeyError::WrongAlgorithm),
        (changed("EdDSA", "x", json!("AA==")), KeyError::Malformed),
        (changed("RS256", "n", json!("not base64")), KeyError::Malformed),
        (changed("EdDSA", "x", json!("AA")), KeyError::Invalid),
    ] {
        let set = parse(vec![bad.clone(), jwk("RS512")]).unwrap();
        assert_eq!((set.len(), set.skipped()), (1, &[why][..]), "{bad}");
    }
}

#[test]
fn threat_17_rsa_keys_have_bounded_sizes() {
    let short: Value = serde_json::from_slice(include_bytes!("../keys/rsa_1024_public.json")).unwrap();
    assert_eq!(parse(vec![short]).unwrap().skipped(), [KeyError::TooShort]);
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits / 8];
        bytes[0] = 0x80;
        bytes
    };
    let rsa = |n: &[u8], e: &[u8]| PublicKey::rsa(n, e).map(|key| key.bits());
    assert_eq!(rsa(&modulus(2048), &[1, 0, 1]), Ok(2048));
    assert_eq!(rsa(&modulus(8192), &[3]), Ok(8192));
    assert_eq!(rsa(&modulus(8200), &[1, 0, 1]), Err(KeyError::Invalid));
    // 2047 bits
    let mut one_less = modulus(2048);
    one_less[0] = 0x40;
    assert_eq!(rsa(&one_less, &[1, 0, 1]), Err(KeyError::TooShort));
    // zeros in front are no bits
    let padded = [vec![0; 128], modulus(1024)].concat();
    assert_eq!(rsa(&padded, &[1, 0, 1]), Err(KeyError::TooShort));
    assert_eq!(rsa(&[vec![0], modulus(2048)].concat(), &[1, 0, 1]), Ok(2048));
    for bad in [&[][..], &[0], &[1], &[2], &[4], &[1, 0, 0], &[2, 0, 0, 0, 1], &[1; 9], &[0xff; 256]] {
        assert_eq!(rsa(&modulus(2048), bad), Err(KeyError::Invalid), "{bad:?}");
    }
    let mut even = modulus(2048);
    even[255] = 0xfe;
    assert_eq!(rsa(&even, &[1, 0, 1]), Err(KeyError::Invalid));
    assert_eq!(rsa(&[], &[1, 0, 1]), Err(KeyError::TooShort));
}

#[test]
fn a_key_without_alg_has_the_issuers_only_algorithm_of_its_type() {
    let nameless = |name: &str| {
        let mut jwk = jwk(name);
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    };
    let set = parse(vec![nameless("RS256"), nameless("ES256"), nameless("EdDSA")]).unwrap();
    let world = |algorithms: &[&str]| {
        World::limited(
            vec![{
                let mut issuer = corp();
                issuer.algorithms = algorithms.iter().map(|name| algorithm(name)).collect();
                issuer.keys = KeySource::Inline(set.clone());
                issuer
            }],
            carded_verifier::Limits::default(),
        )
    };
    let token = |name: &str, kid: &str| key(name).with_kid(Some(kid)).sign_claims(&claims()).unwrap();
    let one = world(&["RS384", "ES256", "EdDSA"]).unwrap();
    one.ok(token("RS384", "RS256"));
    one.ok(token("ES256", "ES256"));
    one.ok(token("EdDSA", "EdDSA"));
    assert_eq!(one.code(token("RS256", "RS256")), Code::AlgorithmNotAllowed);
    // the same set serves another issuer with another algorithm
    let other = world(&["PS256", "ES256", "EdDSA", "PS256"]).unwrap();
    other.ok(token("PS256", "RS256"));
    // several would leave the choice to the token
    assert_eq!(
        world(&["RS256", "PS256", "ES256", "EdDSA"]).err(),
        Some(TrustError::KeyWithoutAlgorithm("corp".to_owned()))
    );
}

#[test]
fn a_fetched_key_without_alg_is_unusable_where_several_algorithms_fit() {
    let mut nameless = jwk("RS256");
    nameless.as_object_mut().unwrap().remove("alg");
    let mut issuer = corp();
    issuer.keys = KeySource::JwksUri(url("https://idp.example.com/jwks"));
    let mut world = World::of(vec![issuer]);
    let token = key("RS256").sign_claims(&claims()).unwrap();
    let fetch = world.need_at(&token, 0);
    world.put(&fetch, json!({"keys": [nameless]}).to_string(), 0);
    assert_eq!(world.code(&token), Code::KeyMismatch);
    assert_eq!(world.code(key("RS256").with_kid(None).sign_claims(&claims()).unwrap()), Code::KeyNotFound);
}

#[test]
fn hs_needs_its_name_and_a_secret() {
    let secret = [9; 64];
    for name in ["HS256", "HS384", "HS512"] {
        let key = SigningKey::from_secret(algorithm(name), None, &secret).unwrap();
        let world = World::with(|issuer| {
            issuer.algorithms = vec![algorithm(name)];
            issuer.keys = KeySource::Inline(KeySet::from_secret(algorithm(name), &secret).unwrap());
        });
        world.ok(key.sign_claims(&claims()).unwrap());
        // a secret that the configuration gives has no kid, and serves whatever kid a token names
        world.ok(key.with_kid(Some("any")).sign_claims(&claims()).unwrap());
        let wrong = SigningKey::from_secret(algorithm(name), None, &[8; 64]).unwrap();
        assert_eq!(world.code(wrong.sign_claims(&claims()).unwrap()), Code::SignatureInvalid);
        assert_eq!(world.code(sign(&claims())), Code::AlgorithmNotAllowed);
    }
}

#[test]
fn hs_by_an_inline_jwk() {
    let key = SigningKey::from_secret(algorithm("HS256"), Some("s"), &[9; 32]).unwrap();
    let world = World::with(|issuer| {
        issuer.algorithms = vec![algorithm("HS256")];
        issuer.keys = KeySource::Inline(set(&[&key], &[algorithm("HS256")]));
    });
    world.ok(key.sign_claims(&claims()).unwrap());
    assert_eq!(KeySet::parse(&jwks(&[&key]), &[algorithm("RS256")]).unwrap_err(), KeySetError::SymmetricKey);
}

#[test]
fn threat_99_secrets_too_short_are_refused() {
    for (name, bytes) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        assert!(KeySet::from_secret(algorithm(name), &vec![1; bytes]).is_ok());
        assert_eq!(
            KeySet::from_secret(algorithm(name), &vec![1; bytes - 1]).unwrap_err(),
            KeySetError::Key(KeyError::TooShort)
        );
    }
    assert!(KeySet::from_secret(algorithm("HS256"), &[]).is_err());
    assert_eq!(KeySet::from_secret(algorithm("RS256"), &[1; 64]).unwrap_err(), KeySetError::NotSymmetric);
    let jwk = json!({"kty": "oct", "alg": "HS512", "k": carded_verifier::base64url::encode([1; 63])});
    let set = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes(), &[algorithm("HS512")]).unwrap();
    assert_eq!(set.skipped(), [KeyError::TooShort]);
}

#[test]
fn secrets_are_never_shown() {
    let set = KeySet::from_secret(algorithm("HS256"), &[0x41; 32]).unwrap();
    let shown = format!("{set:?} {:?}", SigningKey::from_secret(algorithm("HS256"), None, &[0x41; 32]).unwrap());
    assert!(!shown.contains("65, 65") && !shown.contains("AAAA"), "{shown}");
    assert_eq!(PublicKey::secret(&[0x41; 32]).unwrap().spki_der(), None);
}
