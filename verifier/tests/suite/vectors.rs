//! The examples of the standards themselves, and `jsonwebtoken` on both ends.
use crate::support::*;
use carded_verifier::jwk::KeyError;
use carded_verifier::sign::{SigningKey, install_crypto_provider};
use carded_verifier::{Algorithm, KeySet, PublicKey, RustCrypto, SignatureProvider, base64url};
use serde_json::{Value, json};

const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const RSA_2048: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

fn holds(alg: &str, jwk: &Value, header: &str, payload: &str, signature: &str) -> bool {
    let (key, _) = PublicKey::from_jwk(&object(jwk.clone())).unwrap();
    let message = format!("{header}.{payload}");
    RustCrypto.verify(algorithm(alg), &key, message.as_bytes(), &base64url::decode(signature).unwrap()).is_ok()
}

#[test]
fn rfc_7515_appendix_a() {
    let examples = [
        (
            "HS256",
            json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            "RS256",
            json!({"kty": "RSA", "n": RSA_2048, "e": "AQAB"}),
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "ES256",
            json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ];
    for (alg, jwk, header, signature) in examples {
        assert!(holds(alg, &jwk, header, JOE, signature), "{alg}");
        assert!(!holds(alg, &jwk, header, &JOE[..JOE.len() - 4], signature), "{alg}");
    }
}

#[test]
fn rfc_8037_appendix_a_4() {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let (header, payload) = ("eyJhbGciOiJFZERTQSJ9", "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(holds("EdDSA", &jwk, header, payload, signature));
    assert!(!holds("EdDSA", &jwk, header, JOE, signature));
    // and A.1 with A.4: the private key makes the same signature
    let private = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"});
    let key = SigningKey::from_jwk(private.to_string().as_bytes()).unwrap();
    let made = key.signature(format!("{header}.{payload}").as_bytes()).unwrap();
    assert_eq!(base64url::encode(made), signature);
}

/// RFC 7517 appendix A.1: an EC key for encryption and an RSA key for signatures.
#[test]
fn rfc_7517_appendix_a_1() {
    let set = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
         "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "use": "enc", "kid": "1"},
        {"kty": "RSA", "n": RSA_2048, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    ]});
    let set = KeySet::parse(set.to_string().as_bytes(), &asymmetric()).unwrap();
    assert_eq!((set.len(), set.skipped()), (1, &[KeyError::NotForSignatures][..]));
}

/// RFC 7519 section 6.1: an unsecured JWT is no token.
#[test]
fn rfc_7519_section_6_1() {
    let world = World::new();
    assert_eq!(world.code(format!("eyJhbGciOiJub25lIn0.{JOE}.")), carded_verifier::Code::AlgorithmNotAllowed);
}

#[test]
fn jsonwebtoken_signs_and_checks_with_the_same_crypto() {
    install_crypto_provider();
    install_crypto_provider();
    let world = World::new();
    for algorithm in Algorithm::all() {
        let key = key(algorithm.name());
        let mut header = jsonwebtoken::Header::new(algorithm.to_jsonwebtoken());
        header.kid = key.kid().map(str::to_owned);
        let token = jsonwebtoken::encode(&header, &claims(), &key.encoding_key().unwrap()).unwrap();
        if !algorithm.is_symmetric() {
            world.ok(&token);
        }
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.public_jwk()).unwrap();
        let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let id = algorithm.to_jsonwebtoken();
        assert!(jsonwebtoken::crypto::verify(signature, message.as_bytes(), &decoding, id).unwrap(), "{algorithm}");
        assert!(!jsonwebtoken::crypto::verify(signature, b"other", &decoding, id).unwrap(), "{algorithm}");
        if !algorithm.is_symmetric() {
            let named = jsonwebtoken::jwk::Jwk::from_encoding_key(&key.encoding_key().unwrap(), id).unwrap();
            assert_eq!(named.algorithm, jwk.algorithm, "{algorithm}");
        }
    }
}

/// Where `jsonwebtoken` alone would not hold the line: each of these it takes, and the verifier refuses.
#[test]
fn what_jsonwebtoken_lets_through() {
    install_crypto_provider();
    let decoding = {
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key("EdDSA").public_jwk()).unwrap();
        jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap()
    };
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_audience(&[AUD]);
    validation.validate_exp = false;
    let theirs = |token: &str| jsonwebtoken::decode::<Value>(token, &decoding, &validation).map(|_| ());
    let world = World::new();
    let header = r#"{"alg":"EdDSA","kid":"EdDSA"}"#;
    let payload = Value::Object(claims()).to_string();
    let deep = payload.replacen('{', &format!("{{\"x\":{}1{},", "[".repeat(100), "]".repeat(100)), 1);
    for token in [
        sign_raw(header, &payload.replacen('{', "{\"role\":\"clerk\",\"role\":\"admin\",", 1)),
        sign_raw(header, &deep),
        sign_raw(r#"{"alg":"EdDSA","kid":"EdDSA","typ":"kb+jwt"}"#, &payload),
        sign_raw(r#"{"alg":"EdDSA","kid":"EdDSA","zip":"DEF"}"#, &payload),
    ] {
        assert_eq!(theirs(&token), Ok(()), "it holds this line now: {token}");
        assert!(matches!(world.verify_at(&token, 0), carded_verifier::Outcome::Denied(_)));
    }
    let with_private = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA", "kid": "1"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "1"}]});
    assert!(serde_json::from_value::<jsonwebtoken::jwk::JwkSet>(with_private.clone()).is_ok());
    assert!(KeySet::parse(with_private.to_string().as_bytes(), &asymmetric()).is_err());
}
