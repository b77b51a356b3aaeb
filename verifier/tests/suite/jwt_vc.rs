//! `jwt_vc_json`: what the clerk signs. Threats 41, 44, 51 and 52 for this format.
use crate::clerk::*;
use crate::support::*;
use crate::vector_files;
use carded_verifier::dcql::CredentialQuery;
use carded_verifier::jwt_vc::{
    CredentialClaims, DataModel, HeldJwtVc, PresentationClaims, prepare_credential, prepare_presentation,
};
use carded_verifier::sign::prepare;
use carded_verifier::{
    Algorithm, Code, Documents, Limits, Outcome, Presentation, StatusRule, StatusUnavailable, Timestamp, verify_issued,
    verify_presentation,
};
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn a_clerks_word_shown_by_its_subject() {
    let mut clerk = Clerk::empty(policy());
    for issued in MODELS {
        for shown in MODELS {
            let presentation = present_by(&holder(), shown, &credential(issued));
            if let Outcome::Need(fetch) = clerk.verify(&presentation) {
                assert_eq!(fetch.url().as_str(), "https://clerk.example/.well-known/did.json");
                clerk.put(&fetch, &clerks_document());
            }
            let verified = clerk.ok(&presentation);
            assert_eq!((verified.id(), verified.issuer()), ("clerk21", CLERK));
            assert_eq!(verified.types(), ["VerifiableCredential", "AgeCredential"]);
            assert!(verified.satisfied());
            assert_eq!(verified.expires(), Some(at(86_400)));
            let (_, did, _) = holder();
            assert_eq!(verified.holder().unwrap().did(), Some(did.as_str()));
            assert_eq!(Some(verified.holder().unwrap().thumbprint().to_owned()), public(&key("EdDSA")).thumbprint());
            // paths start at the credential, whichever model it is of
            assert_eq!(verified.claims()["credentialSubject"]["age_equal_or_over"]["21"], json!(true));
            assert_eq!(verified.claims()["credentialSubject"]["id"], json!(did.as_str()));
            assert_eq!((&verified.claims()["issuer"], &verified.claims()["id"]), (&json!(CLERK), &json!("urn:uuid:1")));
        }
    }
}

#[test]
fn what_the_wallet_keeps() {
    let clerk = Clerk::new();
    for model in MODELS {
        let issued = credential(model);
        let verified = match verify_issued(clerk.index(), issued.as_bytes(), &clerk.trust, &clerk.known, at(0)) {
            Outcome::Verified(verified) => verified,
            other => panic!("{other:?}"),
        };
        let (_, did, _) = holder();
        assert_eq!(verified.holder().unwrap().did(), Some(did.as_str()));
        let held = HeldJwtVc::parse(&issued, &Limits::default()).unwrap();
        assert_eq!((held.claims(), held.types()), (verified.claims(), verified.types()));
        assert_eq!((held.issuer(), held.subject(), held.expires()), (CLERK, Some(did.as_str()), Some(at(86_400))));
        assert_eq!(held.as_issued(), issued);
        // a presentation is no credential as issued
        let presentation = present(&issued);
        let refused = verify_issued(clerk.index(), presentation.as_bytes(), &clerk.trust, &clerk.known, at(0));
        assert!(matches!(refused, Outcome::Denied(_)));
        assert!(HeldJwtVc::parse(&presentation, &Limits::default()).is_err());
    }
    // without a DID that could show it, a wallet has no use for it
    let nobody = changed(|claims| {
        claims.as_object_mut().unwrap().remove("sub");
    });
    match verify_issued(clerk.index(), nobody.as_bytes(), &clerk.trust, &clerk.known, at(0)) {
        Outcome::Denied(denied) => assert_eq!(denied.code(), Code::HolderKeyInvalid),
        other => panic!("{other:?}"),
    }
}

#[test]
fn threat_41_who_signed_is_the_issuer_and_who_presents_the_subject() {
    let clerk = Clerk::new();
    // a stranger shows a credential that is not about them
    for model in MODELS {
        assert_eq!(clerk.code(&present_by(&stranger(), model, &credential(model))), Code::KeyBindingInvalid);
    }
    // signs as themselves, but says to be the holder
    let (key, ..) = stranger();
    let (_, did, kid) = holder();
    let posing = present_by(&(key.clone(), did.clone(), kid), DataModel::V1, &credential(DataModel::V1));
    assert_eq!(clerk.code(&posing), Code::KeyBindingInvalid);
    let (_, _, own_kid) = stranger();
    let posing = present_by(&(key, did, own_kid), DataModel::V1, &credential(DataModel::V1));
    assert!(matches!(clerk.code(&posing), Code::HolderKeyInvalid | Code::KeyNotFound));
    // a credential about nobody, or about somebody by another name than a DID
    let nobody = changed(|claims| {
        claims.as_object_mut().unwrap().remove("sub");
    });
    assert_eq!(clerk.code(&present(&nobody)), Code::KeyBindingInvalid);
    // an issuer that is not trusted, also where the key is the clerk's
    let mallory = changed(|claims| claims["iss"] = json!("did:web:mallory.example"));
    assert_eq!(clerk.code(&present(&mallory)), Code::IssuerUntrusted);
    // signed by somebody else
    let header = object(json!({"alg": "ES256", "kid": format!("{CLERK}#sign"), "typ": "JWT"}));
    let forged = credential(DataModel::V1);
    let payload = object(
        serde_json::from_slice(&carded_verifier::base64url::decode(forged.split('.').nth(1).unwrap()).unwrap())
            .unwrap(),
    );
    let forged = foreign_key("ES256").sign(prepare(&header, &payload)).unwrap();
    assert_eq!(clerk.code(&present(&forged)), Code::SignatureInvalid);
    // self-issued: the holder is nobody's clerk
    let (key, did, kid) = holder();
    let own = CredentialClaims {
        issuer: did.as_str(),
        kid: &kid,
        types: &["AgeCredential"],
        id: None,
        subject: did.as_str(),
        about: about(),
        valid_from: at(-10),
        valid_until: None,
        status: None,
    };
    let own = key.sign(prepare_credential(DataModel::V2, key.algorithm(), &own)).unwrap();
    assert_eq!(clerk.code(&present(&own)), Code::IssuerUntrusted);
}

#[test]
fn threat_44_keys_serve_their_purpose() {
    let clerk = Clerk::new();
    let header = |kid: &str, alg: &str| object(json!({"alg": alg, "kid": kid, "typ": "JWT"}));
    let claims = |jwt: &str| {
        object(
            serde_json::from_slice(&carded_verifier::base64url::decode(jwt.split('.').nth(1).unwrap()).unwrap())
                .unwrap(),
        )
    };
    let good = credential(DataModel::V1);
    // the clerk's key for logins signs no credential
    let login = key("EdDSA").sign(prepare(&header(&format!("{CLERK}#login"), "EdDSA"), &claims(&good))).unwrap();
    assert_eq!(clerk.code(&present(&login)), Code::KeyNotFound);
    let other = key("ES256").sign(prepare(&header("did:web:other.example#sign", "ES256"), &claims(&good))).unwrap();
    assert_eq!(clerk.code(&present(&other)), Code::KeyNotFound);
    // a document that is another's refuses
    let mut strange = clerks_document();
    strange["id"] = json!("did:web:other.example");
    let mut empty = Clerk::empty(policy());
    let Outcome::Need(fetch) = empty.verify(&present(&good)) else { panic!() };
    assert!(empty.known.insert(&fetch, &reply(strange.to_string()), at(0)).is_err());
}

#[test]
fn what_the_jwt_and_the_credential_both_say_is_the_same() {
    let clerk = Clerk::new();
    let vc = |name: &'static str, value: Value| changed(move |claims| claims["vc"][name] = value);
    let (_, did, _) = holder();
    let text = |offset: i64| {
        let held = HeldJwtVc::parse(
            &credential_of(DataModel::V2, |claims| claims.valid_from = at(offset)),
            &Limits::default(),
        );
        held.unwrap().claims()["validFrom"].clone()
    };
    for same in [
        vc("issuer", json!(CLERK)),
        vc("issuer", json!({"id": CLERK, "name": "Clerk"})),
        vc("id", json!("urn:uuid:1")),
        vc("issuanceDate", text(-1000)),
        vc("expirationDate", text(86_400)),
        changed(|claims| claims["vc"]["credentialSubject"]["id"] = json!(did.as_str())),
    ] {
        let _ = clerk.ok(&present(&same));
    }
    let (_, other, _) = stranger();
    for different in [
        vc("issuer", json!("did:web:other.example")),
        vc("id", json!("urn:uuid:2")),
        vc("issuanceDate", text(-1001)),
        vc("expirationDate", text(86_401)),
        changed(|claims| claims["vc"]["credentialSubject"]["id"] = json!(other.as_str())),
        changed(|claims| claims["vc"] = json!("text")),
        changed(|claims| claims["vp"] = json!({})),
        vc("type", json!(["AgeCredential"])),
        vc("@context", json!(["https://www.w3.org/ns/credentials/v2"])),
        vc("credentialSubject", json!([about(), about()])),
    ] {
        assert_eq!(clerk.code(&present(&different)), Code::PresentationMalformed);
    }
    for wrong in [
        vc("issuer", json!(1)),
        vc("id", json!(1)),
        vc("issuanceDate", json!("2026-01-01")),
        vc("expirationDate", json!(NOW + 5)),
        changed(|claims| claims["vc"]["credentialSubject"]["id"] = json!(null)),
        changed(|claims| claims["sub"] = json!(1)),
        changed(|claims| claims["exp"] = json!("tomorrow")),
    ] {
        assert_eq!(clerk.code(&present(&wrong)), Code::ClaimInvalid);
    }
    assert_eq!(
        clerk.code(&present(&changed(|claims| {
            claims.as_object_mut().unwrap().remove("iss");
        }))),
        Code::ClaimMissing
    );
    assert_eq!(
        clerk.code(&present(&changed(|claims| {
            claims.as_object_mut().unwrap().remove("nbf");
        }))),
        Code::ClaimMissing
    );
}

#[test]
fn threat_51_a_jwt_shows_the_type_and_age_that_were_asked_for() {
    let clerk = Clerk::new();
    let vc = |name: &'static str, value: Value| changed(move |claims| claims["vc"][name] = value);
    assert_eq!(
        clerk.code(&present(&vc("type", json!(["VerifiableCredential", "Other"])))),
        Code::CredentialTypeMismatch
    );
    for no in [json!({}), json!({"age_equal_or_over": {"21": false, "18": true}}), json!({"age_over_21": "true"})] {
        assert_eq!(clerk.code(&present(&vc("credentialSubject", no))), Code::QueryNotMet);
    }
}

#[test]
fn the_tighter_of_the_times_counts() {
    let clerk = Clerk::new();
    for model in MODELS {
        let credential = credential(model);
        let at_time = |offset: i64| {
            let (key, did, kid) = holder();
            let claims = PresentationClaims {
                holder: did.as_str(),
                kid: &kid,
                audience: AUDIENCE,
                nonce: NONCE,
                issued_at: at(offset),
                lifetime: Duration::from_secs(60),
            };
            let presentation = key.sign(prepare_presentation(model, key.algorithm(), &credential, &claims)).unwrap();
            match clerk.verify_at(&presentation, at(offset)) {
                Outcome::Denied(denied) => Some(denied.code()),
                Outcome::Verified(_) => None,
                // the clerk's document is old by then: the times are asked about without it
                Outcome::Need(_) => panic!(),
            }
        };
        assert_eq!(at_time(-1000 - 60), None);
        assert_eq!(at_time(-1000 - 61), Some(Code::CredentialNotYetValid));
    }
    for (name, value, why) in [
        ("validUntil", "2020-01-01T00:00:00Z", Code::CredentialExpired),
        ("expirationDate", "2020-01-01T00:00:00Z", Code::PresentationMalformed),
        ("validFrom", "2999-01-01T00:00:00Z", Code::CredentialNotYetValid),
        ("validUntil", "tomorrow", Code::ClaimInvalid),
        ("validUntil", "2999-01-01T00:00:00", Code::ClaimInvalid),
    ] {
        assert_eq!(clerk.code(&present(&changed(|claims| claims["vc"][name] = json!(value)))), why, "{name} {value}");
    }
    let future = changed(|claims| claims["iat"] = json!(NOW + 100));
    assert_eq!(clerk.code(&present(&future)), Code::CredentialNotYetValid);
    let fresh = Clerk::with(|policy| policy.max_credential_age = Some(Duration::from_secs(500)));
    assert_eq!(fresh.code(&present(&credential(DataModel::V2))), Code::CredentialTooOld);
}

#[test]
fn a_status_that_is_not_understood_is_not_taken_for_none() {
    let other = json!({"type": "BitstringStatusListEntry", "statusListIndex": "1", "statusListCredential": "https://a.example"});
    let with_other = changed(|claims| claims["vc"]["credentialStatus"] = other.clone());
    assert_eq!(Clerk::new().code(&present(&with_other)), Code::StatusInvalid);
    let accepting = Clerk::with(|policy| policy.status_unavailable = StatusUnavailable::Accept);
    let _ = accepting.ok(&present(&with_other));
    let requiring = Clerk::with(|policy| policy.status = StatusRule::Require);
    assert_eq!(requiring.code(&present(&with_other)), Code::StatusInvalid);
    assert_eq!(requiring.code(&present(&credential(DataModel::V1))), Code::StatusMissing);
    // a Token Status List is looked up, in either model
    for model in MODELS {
        let listed = credential_of(model, |claims| {
            claims.status =
                Some(carded_verifier::StatusReference { uri: "https://clerk.example/status/1".to_owned(), idx: 7 });
        });
        match requiring.verify(&present(&listed)) {
            Outcome::Need(fetch) => assert_eq!(fetch.url().as_str(), "https://clerk.example/status/1"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn no_single_change_of_a_byte_verifies() {
    let clerk = Clerk::new();
    let good = present(&credential(DataModel::V2));
    let length = good.len();
    for at in (0..length).step_by(7) {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        assert!(!matches!(clerk.verify(&text), Outcome::Verified(_)), "{at}");
        assert!(!matches!(clerk.verify(&good[..at]), Outcome::Verified(_)), "{at}");
    }
    let large = format!("{good}{}", "A".repeat(70_000));
    assert_eq!(clerk.code(&large), Code::PresentationTooLarge);
}

/// `credentials/jwt_vc.json` and `response/jwt_vc.json` of OpenID4VP, under DIDs that resolve here.
#[test]
fn examples_of_the_standard() {
    let Some(folder) = vector_files::folder("openid4vp-1.0") else { return };
    let read = |path: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(path)).unwrap()).unwrap() };
    let (_, did, _) = holder();
    let mut credential = read("credentials/jwt_vc.json");
    credential["iss"] = json!(CLERK);
    credential["sub"] = json!(did.as_str());
    let (mut vp, nonce) = (read("response/jwt_vc.json"), NONCE);
    assert_eq!(vp["nonce"], json!(nonce));
    vp["iss"] = json!(did.as_str());
    vp["aud"] = json!(AUDIENCE);
    vp["vp"]["verifiableCredential"] = json!([signed(credential)]);
    let (key, _, kid) = holder();
    let header = object(json!({"alg": "EdDSA", "kid": kid}));
    let presentation = key.sign(prepare(&header, &object(vp.clone()))).unwrap();
    let request = read("request/dcql_jwt_vc.json");
    let mut query = CredentialQuery::parse(&request["credentials"][0]).unwrap();
    query.id = "clerk21".to_owned();
    let clerk = Clerk::with(|policy| {
        policy.query = query;
        policy.age = None;
    });
    let then = Timestamp::from_unix(vp["iat"].as_i64().unwrap());
    let mut known = Documents::new(&Limits::default());
    let verify = |known: &Documents| {
        verify_presentation(
            &Presentation::new(clerk.index(), presentation.as_bytes(), AUDIENCE, NONCE),
            &clerk.trust,
            known,
            then,
        )
    };
    let Outcome::Need(fetch) = verify(&known) else { panic!() };
    known.insert(&fetch, &reply(clerks_document().to_string()), then).unwrap();
    let Outcome::Verified(verified) = verify(&known) else { panic!() };
    assert_eq!(verified.claims()["credentialSubject"]["family_name"], json!("Mustermann"));
    assert_eq!(verified.claims()["issuanceDate"], json!("2010-01-01T00:00:00Z"));
    let _: Algorithm = key.algorithm();
}

#[test]
fn threat_52_a_redirect_to_a_did_document_is_a_failure() {
    let presentation = present(&credential(DataModel::V1));
    for status in [301, 302, 303, 307, 308, 204, 404, 500] {
        let mut clerk = Clerk::empty(policy());
        let Outcome::Need(fetch) = clerk.verify(&presentation) else { panic!() };
        let redirect = carded_verifier::Reply { status, ..reply(clerks_document().to_string()) };
        assert!(clerk.known.insert(&fetch, &redirect, at(0)).is_err(), "{status}");
        assert_eq!(clerk.code(&presentation), Code::DidUnresolvable, "{status}");
    }
}
