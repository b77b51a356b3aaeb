//! Threats 26, 28, 29, 38, 39 and 41: the holder shows this presentation, to us and now.
use crate::shop::*;
use crate::support::*;
use carded_verifier::{Code, Outcome, base64url};
use serde_json::{Map, Value, json};

fn shown() -> String {
    held(&issue(ada())).disclose(&over_21()).without_key_binding().to_owned()
}

fn with_claim(name: &str, value: Option<Value>) -> String {
    let shown = shown();
    let mut claims = kb_claims(&shown);
    match value {
        Some(value) => claims.insert(name.to_owned(), value),
        None => claims.remove(name),
    };
    bind_claims(&shown, &claims)
}

#[test]
fn threat_28_whether_a_holder_must_prove_it_is_policy() {
    let strict = Shop::new();
    strict.accepts(bind(&shown()));
    assert_eq!(strict.code(shown()), Code::KeyBindingMissing);
    let lax = Shop::with(|policy| {
        policy.holder_binding = false;
        policy.query.require_cryptographic_holder_binding = false;
    });
    assert!(lax.ok(shown()).holder().is_none());
    // a proof that was not asked for must hold as well
    assert!(lax.ok(bind(&shown())).holder().is_some());
    assert_eq!(lax.code(with_claim("nonce", Some(json!("other")))), Code::NonceMismatch);
}

#[test]
fn threat_29_a_stripped_key_binding_jwt_is_refused() {
    let shop = Shop::new();
    let good = bind(&shown());
    let (stripped, kb_jwt) = good.rsplit_once('~').unwrap();
    assert_eq!(shop.code(format!("{stripped}~")), Code::KeyBindingMissing);
    assert!(matches!(shop.verify_at(kb_jwt, 0), Outcome::Denied(_)));
    // a credential without `cnf` cannot be bound to anyone
    let loose = held(&issue(ada_without("cnf"))).disclose(&over_21());
    assert_eq!(shop.code(bind(loose.without_key_binding())), Code::HolderKeyInvalid);
    assert_eq!(shop.code(loose.without_key_binding()), Code::KeyBindingMissing);
}

#[test]
fn threat_38_its_type_its_algorithm_and_the_key_of_cnf() {
    let shop = Shop::new();
    let shown = shown();
    let claims = kb_claims(&shown);
    let holder = holder_key();
    let by = |header: Value| format!("{shown}{}", jws(&holder, header, &claims));
    shop.accepts(by(json!({"alg": "ES256", "typ": "application/kb+jwt"})));
    for typ in ["JWT", "dc+sd-jwt", "at+jwt", "vp+jwt", "dpop+jwt", "kb-jwt", ""] {
        assert_eq!(shop.code(by(json!({"alg": "ES256", "typ": typ}))), Code::KeyBindingInvalid, "{typ}");
    }
    assert_eq!(shop.code(by(json!({"alg": "ES256"}))), Code::KeyBindingInvalid);
    for alg in ["none", "HS256", "ES384", "RS256", "ES256K"] {
        assert_eq!(shop.code(by(json!({"alg": alg, "typ": "kb+jwt"}))), Code::AlgorithmNotAllowed, "{alg}");
    }
    // on the list, but not that of the key
    assert_eq!(shop.code(by(json!({"alg": "EdDSA", "typ": "kb+jwt"}))), Code::KeyBindingInvalid);
    // another's key, also where the header brings it along
    for header in [
        json!({"alg": "ES256", "typ": "kb+jwt"}),
        json!({"alg": "ES256", "typ": "kb+jwt", "jwk": bare_jwk(&thief_key())}),
        json!({"alg": "ES256", "typ": "kb+jwt", "kid": "dmv-1"}),
    ] {
        let stolen = format!("{shown}{}", jws(&thief_key(), header, &claims));
        assert_eq!(shop.code(stolen), Code::KeyBindingInvalid);
    }
    assert_eq!(
        shop.code(format!("{shown}{}", jws(&dmv_key(), json!({"alg": "ES256", "typ": "kb+jwt"}), &claims))),
        Code::KeyBindingInvalid
    );
    // and strict as every JWT
    for header in [
        json!({"alg": "ES256", "typ": "kb+jwt", "crit": ["b64"]}),
        json!({"alg": "ES256", "typ": "kb+jwt", "b64": false}),
    ] {
        assert_eq!(shop.code(by(header)), Code::PresentationMalformed);
    }
}

#[test]
fn threat_38_what_cnf_may_hold() {
    let shop = Shop::new();
    let with_cnf = |cnf: Value| {
        let held = held(&issue(ada_with("cnf", cnf))).disclose(&over_21());
        bind(held.without_key_binding())
    };
    let good = bare_jwk(&holder_key());
    shop.accepts(with_cnf(json!({"jwk": good})));
    shop.accepts(with_cnf(json!({"jwk": holder_key().public_jwk(), "kid": "anything"})));
    let mut private = good.clone();
    private["d"] = json!("AA");
    let mut encrypts = good.clone();
    encrypts["use"] = json!("enc");
    let mut other_alg = good.clone();
    other_alg["alg"] = json!("ES384");
    for bad in [
        json!({}),
        json!({"jwk": private}),
        json!({"jwk": encrypts}),
        json!({"jwk": other_alg}),
        json!({"jwk": {"kty": "oct", "k": base64url::encode([7; 32])}}),
        json!({"jwk": {"kty": "EC", "crv": "P-256", "x": good["x"], "y": good["x"]}}),
        json!({"jwk": [good]}),
        json!({"jwk": good, "jku": "https://evil.example/keys"}),
        json!({"jwe": "a.b.c.d.e"}),
        json!({"kid": "holder"}),
        json!({"kid": 1}),
    ] {
        assert_eq!(shop.code(with_cnf(bad.clone())), Code::HolderKeyInvalid, "{bad}");
    }
    assert_eq!(shop.code(with_cnf(json!("jwk"))), Code::ClaimInvalid);
}

#[test]
fn threat_39_each_claim_missing_wrong_and_stale() {
    let shop = Shop::new();
    for (name, wrong, code) in [
        ("nonce", json!("another"), Code::NonceMismatch),
        ("nonce", json!(""), Code::NonceMismatch),
        ("nonce", json!([NONCE]), Code::KeyBindingInvalid),
        ("aud", json!("redirect_uri:https://evil.example/.carded/response"), Code::AudienceMismatch),
        ("aud", json!("https://shop.example/.carded/response"), Code::AudienceMismatch),
        ("aud", json!([SHOP]), Code::KeyBindingInvalid),
        ("sd_hash", json!(digest("other~")), Code::KeyBindingInvalid),
        ("sd_hash", json!(1), Code::KeyBindingInvalid),
        ("iat", json!(NOW - 400), Code::PresentationStale),
        ("iat", json!(NOW + 100), Code::PresentationStale),
        ("iat", json!(i64::MIN), Code::PresentationStale),
        ("iat", json!(1e300), Code::PresentationStale),
        ("iat", json!("now"), Code::ClaimInvalid),
        ("exp", json!(NOW - 100), Code::PresentationStale),
        ("nbf", json!(NOW + 100), Code::PresentationStale),
    ] {
        assert_eq!(shop.code(with_claim(name, Some(wrong.clone()))), code, "{name} {wrong}");
    }
    for name in ["nonce", "aud", "sd_hash", "iat"] {
        assert_eq!(shop.code(with_claim(name, None)), Code::KeyBindingInvalid, "{name}");
    }
    // within the window and the clocks' skew
    for iat in [NOW - 359, NOW - 300, NOW, NOW + 60] {
        shop.accepts(with_claim("iat", Some(json!(iat))));
    }
    assert_eq!(shop.code(with_claim("iat", Some(json!(NOW - 360)))), Code::PresentationStale);
    assert_eq!(shop.code(with_claim("iat", Some(json!(NOW + 61)))), Code::PresentationStale);
    // what is not known is ignored
    shop.accepts(with_claim("transaction", Some(json!({"a": 1}))));
}

#[test]
fn threat_39_a_proof_is_for_these_disclosures() {
    let shop = Shop::new();
    let issued = issue(ada());
    let less = held(&issued).disclose(&over_21());
    let more = held(&issued).disclose(&[place(&["age_equal_or_over"])]);
    let kb = |text: &str| bind(text).rsplit('~').next().unwrap().to_owned();
    for (text, of) in [(&less, &more), (&more, &less)] {
        let swapped = format!("{}{}", text.without_key_binding(), kb(of.without_key_binding()));
        assert_eq!(shop.code(swapped), Code::KeyBindingInvalid);
    }
    // nor for another copy of the same credential
    let other = held(&issue(ada_with("jti", json!("2")))).disclose(&over_21());
    let swapped = format!("{}{}", less.without_key_binding(), kb(other.without_key_binding()));
    assert_eq!(shop.code(swapped), Code::KeyBindingInvalid);
    // and their order is part of it
    let parts: Vec<&str> = more.without_key_binding().split('~').collect();
    let mut turned = parts.clone();
    turned[1..parts.len() - 1].reverse();
    let turned = turned.join("~");
    assert_eq!(shop.code(format!("{turned}{}", kb(more.without_key_binding()))), Code::KeyBindingInvalid);
    shop.accepts(bind(&turned));
}

#[test]
fn threat_26_a_key_binding_jwt_is_nothing_else_and_nothing_else_is_one() {
    let world = World::with(|issuer| issuer.audiences.push(SHOP.to_owned()));
    let kb = jws(&key("ES256"), json!({"alg": "ES256", "typ": "kb+jwt", "kid": "ES256"}), &claims());
    assert_eq!(world.code(&kb), Code::TypeNotAllowed);
    let shop = Shop::new();
    // an access token in place of the proof
    let token = jws(&holder_key(), json!({"alg": "ES256", "typ": "at+jwt"}), &kb_claims(&shown()));
    assert_eq!(shop.code(format!("{}{token}", shown())), Code::KeyBindingInvalid);
}

#[test]
fn threat_41_the_subject_is_the_one_who_shows_it() {
    let shop = Shop::new();
    // a thief has the credential, all of it, but not the key
    let shown = shown();
    let stolen = jws(&thief_key(), json!({"alg": "ES256", "typ": "kb+jwt"}), &kb_claims(&shown));
    assert_eq!(shop.code(format!("{shown}{stolen}")), Code::KeyBindingInvalid);
    // claims of the proof say nothing about the person
    let mut claims = kb_claims(&shown);
    claims.extend::<Map<String, Value>>(object(json!({"sub": "admin", "given_name": "Eve", "iss": DMV})));
    let credential = shop.ok(bind_claims(&shown, &claims));
    assert!(!credential.claims().contains_key("sub") && !credential.claims().contains_key("given_name"));
    let thumbprint = credential.holder().unwrap().thumbprint().to_owned();
    assert_eq!(thumbprint.len(), 43);
}

#[test]
fn threat_46_a_presentation_is_for_one_verifier_and_one_request() {
    let shop = Shop::new();
    let presentation = bind(&shown());
    let code = |audience: &str, nonce: &str| denied(shop.verify_for(&presentation, audience, nonce, at(0))).code();
    assert_eq!(code("redirect_uri:https://shop.example/.carded/respons", NONCE), Code::AudienceMismatch);
    assert_eq!(code("https://shop.example/.carded/response", NONCE), Code::AudienceMismatch);
    assert_eq!(code(SHOP, "n-0S6_WzA2M"), Code::NonceMismatch);
    assert_eq!(code(SHOP, ""), Code::NonceMismatch);
}

#[test]
fn a_credential_as_issued_is_bound_to_a_key_but_shown_by_nobody() {
    let shop = Shop::new();
    let issued = issue(ada());
    let credential = verified(shop.issued(&issued));
    assert_eq!(credential.claims()["given_name"], "Ada");
    assert_eq!(credential.claims()["nationalities"], json!(["GB", "IT"]));
    let (key, _) = carded_verifier::PublicKey::from_jwk(&object(holder_key().public_jwk())).unwrap();
    assert_eq!(credential.holder().unwrap().thumbprint(), key.thumbprint().unwrap());
    assert_eq!(denied(shop.issued(bind(&issued))).code(), Code::PresentationMalformed);
    assert_eq!(denied(shop.issued(issue(ada_without("cnf")))).code(), Code::HolderKeyInvalid);
    let other = issue_by(&thief_key(), header("dc+sd-jwt", &thief_key()), ada());
    assert_eq!(denied(shop.issued(other)).code(), Code::SignatureInvalid);
}
