//! `jwt_vc_json`: how its holder shows it. Threats 28, 29, 38, 39 and 46 for this format.
use crate::clerk::*;
use crate::support::*;
use carded_verifier::jwt_vc::DataModel;
use carded_verifier::sign::SigningKey;
use carded_verifier::{Code, Outcome};
use serde_json::{Value, json};

#[test]
fn threat_29_a_credential_out_of_its_presentation_is_refused() {
    let clerk = Clerk::new();
    for model in MODELS {
        assert_eq!(clerk.code(&credential(model)), Code::KeyBindingMissing);
    }
}

#[test]
fn threat_28_holder_binding_is_the_policys_word_for_jwts_too() {
    let mut open = policy();
    open.holder_binding = false;
    open.query.require_cryptographic_holder_binding = false;
    let relaxed = Clerk::with(|policy| *policy = open);
    assert!(relaxed.ok(&credential(DataModel::V2)).holder().is_none());
    // one that was not asked for must hold as well
    assert_eq!(
        relaxed.code(&present_by(&stranger(), DataModel::V2, &credential(DataModel::V2))),
        Code::KeyBindingInvalid
    );
    assert!(relaxed.ok(&present(&credential(DataModel::V2))).holder().is_some());
}

#[test]
fn threat_39_a_presentation_in_a_jwt_is_for_us_and_for_now() {
    let clerk = Clerk::new();
    for model in MODELS {
        let _ = clerk.ok(&presented(model, |_, _| {}));
        let set = |name: &'static str, value: Value| {
            presented(model, |_, claims| {
                claims.insert(name.to_owned(), value);
            })
        };
        let without = |name: &'static str| {
            presented(model, |_, claims| {
                claims.remove(name);
            })
        };
        for (presentation, why) in [
            (without("nonce"), Code::KeyBindingInvalid),
            (set("nonce", json!(1)), Code::KeyBindingInvalid),
            (set("nonce", json!("other")), Code::NonceMismatch),
            (without("aud"), Code::KeyBindingInvalid),
            (set("aud", json!({})), Code::KeyBindingInvalid),
            (set("aud", json!("https://shop.example.com/.carded/response")), Code::AudienceMismatch),
            (set("aud", json!([AUDIENCE, "https://other.example"])), Code::AudienceMismatch),
            (set("aud", json!([])), Code::AudienceMismatch),
            (without("iat"), Code::KeyBindingInvalid),
            (set("iat", json!("now")), Code::ClaimInvalid),
            (set("iat", json!(NOW - 361)), Code::PresentationStale),
            (set("iat", json!(NOW + 61)), Code::PresentationStale),
            (set("exp", json!(NOW - 61)), Code::PresentationStale),
            (set("nbf", json!(NOW + 61)), Code::PresentationStale),
        ] {
            assert_eq!(clerk.code(&presentation), why, "{presentation}");
        }
        let _ = clerk.ok(&set("aud", json!([AUDIENCE])));
        // VCDM 1.1 has `nbf` for `iat`
        let with_nbf = |nbf: i64| {
            presented(model, |_, claims| {
                claims.remove("iat");
                claims.insert("nbf".to_owned(), nbf.into());
            })
        };
        let _ = clerk.ok(&with_nbf(NOW));
        assert_eq!(clerk.code(&with_nbf(NOW - 400)), Code::PresentationStale);
    }
}

#[test]
fn threat_46_the_audience_is_the_whole_client_id() {
    let clerk = Clerk::new();
    for (aud, fits) in [
        (AUDIENCE, true),
        ("https://shop.example.com/.carded/response", false),
        ("redirect_uri:https://shop.example.com", false),
        ("redirect_uri:https://shop.example.com/.carded/response/", false),
        ("REDIRECT_URI:https://shop.example.com/.carded/response", false),
    ] {
        let made = presented(DataModel::V2, |_, claims| claims["aud"] = json!(aud));
        assert_eq!(matches!(clerk.verify(&made), Outcome::Verified(_)), fits, "{aud}");
    }
}

#[test]
fn threat_38_a_presentation_in_a_jwt_is_one_and_its_holders() {
    let clerk = Clerk::new();
    for model in MODELS {
        // `typ`, `alg`, `kid`
        let header = |name: &'static str, value: Value| {
            presented(model, |header, _| {
                header.insert(name.to_owned(), value);
            })
        };
        for typ in ["kb+jwt", "at+jwt", "vc+jwt", "dc+sd-jwt"] {
            assert!(
                matches!(clerk.code(&header("typ", json!(typ))), Code::KeyBindingInvalid | Code::PresentationMalformed),
                "{typ}"
            );
        }
        assert!(matches!(clerk.code(&header("alg", json!("HS256"))), Code::AlgorithmNotAllowed));
        assert!(matches!(clerk.code(&header("alg", json!("ES256"))), Code::KeyBindingInvalid));
        assert_eq!(
            clerk.code(&presented(model, |header, _| {
                header.remove("kid");
            })),
            Code::KeyBindingInvalid
        );
        assert_eq!(clerk.code(&header("kid", json!("#other"))), Code::HolderKeyInvalid);
    }
}

#[test]
fn exactly_one_credential_in_one_presentation() {
    let clerk = Clerk::new();
    let credential = credential(DataModel::V1);
    let set = |value: Value| presented(DataModel::V1, |_, claims| claims["vp"]["verifiableCredential"] = value);
    let _ = clerk.ok(&set(json!(credential)));
    for bad in [
        json!([]),
        json!([credential, credential]),
        json!([[credential]]),
        json!(null),
        json!([1]),
        json!({"id": credential}),
        json!([{"type": "EnvelopedVerifiableCredential", "id": format!("data:application/jwt,{credential}")}]),
        json!([{"type": "Other", "id": format!("data:application/vc+jwt,{credential}")}]),
    ] {
        assert_eq!(clerk.code(&set(bad.clone())), Code::PresentationMalformed, "{bad:.60}");
    }
    // a presentation within a presentation
    assert_eq!(clerk.code(&set(json!([present(&credential)]))), Code::PresentationMalformed);
    for (pointer, value) in
        [("type", json!(["VerifiableCredential"])), ("@context", json!(["https://example.com"])), ("type", json!(1))]
    {
        let bad = presented(DataModel::V1, |_, claims| claims["vp"][pointer] = value.clone());
        assert_eq!(clerk.code(&bad), Code::PresentationMalformed, "{pointer} {value}");
    }
    // holder and `iss` differ
    let (_, other, _) = stranger();
    for model in MODELS {
        let bad = presented(model, |_, claims| {
            let at =
                if model == DataModel::V1 { claims.get_mut("vp").unwrap().as_object_mut().unwrap() } else { claims };
            at.insert("holder".to_owned(), other.as_str().into());
        });
        assert_eq!(clerk.code(&bad), Code::PresentationMalformed);
    }
}

#[test]
fn a_key_named_in_cnf_is_the_holders() {
    let clerk = Clerk::new();
    let cnf = |key: &SigningKey| {
        let jwk = public(key).to_jwk().unwrap();
        changed(move |claims| claims["cnf"] = json!({ "jwk": jwk }))
    };
    let _ = clerk.ok(&present(&cnf(&key("EdDSA"))));
    assert_eq!(clerk.code(&present(&cnf(&foreign_key("EdDSA")))), Code::KeyBindingInvalid);
}
