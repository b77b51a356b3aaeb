//! `jwt_vc_json`: a clerk known by did:web signs "over 21" about a holder's DID, who shows it. Threats 28, 29, 38 to 41,
//! 44, 46 and 51 for this format.
use crate::support::*;
use crate::vector_files;
use carded_verifier::age::AgePolicy;
use carded_verifier::dcql::CredentialQuery;
use carded_verifier::did::Did;
use carded_verifier::jwt_vc::{
    CredentialClaims, DataModel, HeldJwtVc, PresentationClaims, prepare_credential, prepare_presentation,
};
use carded_verifier::sign::{SigningKey, prepare};
use carded_verifier::{
    Algorithm, Code, CredentialIndex, CredentialPolicy, Denied, Documents, Fetch, Limits, Outcome, Presentation,
    PublicKey, RustCrypto, StatusRule, StatusUnavailable, Timestamp, Trust, TrustedIssuer, VerifiedCredential,
    verify_issued, verify_presentation,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

const CLERK: &str = "did:web:clerk.example";
const AUDIENCE: &str = "redirect_uri:https://shop.example.com/.carded/response";
const NONCE: &str = "n-0S6_WzA2Mj";
const V1: &str = "https://www.w3.org/2018/credentials/v1";
const MODELS: [DataModel; 2] = [DataModel::V1, DataModel::V2];

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_jwk(&object(key.public_jwk())).unwrap().0
}

/// The holder: an Ed25519 key, its DID and the DID URL of the key.
fn holder() -> (SigningKey, Did, String) {
    let key = key("EdDSA");
    let did = Did::key(&public(&key)).unwrap();
    let kid = format!("{did}#{}", did.as_str().rsplit(':').next().unwrap());
    (key, did, kid)
}

/// Somebody else, with did:jwk and P-256.
fn stranger() -> (SigningKey, Did, String) {
    let key = foreign_key("ES256");
    let did = Did::jwk(&public(&key)).unwrap();
    let kid = format!("{did}#0");
    (key, did, kid)
}

fn clerks_document() -> Value {
    let method = |id: &str, key: &SigningKey| {
        let mut jwk = object(key.public_jwk());
        jwk.remove("kid");
        json!({"id": format!("{CLERK}#{id}"), "type": "JsonWebKey2020", "controller": CLERK, "publicKeyJwk": jwk})
    };
    json!({
        "id": CLERK,
        "verificationMethod": [method("sign", &key("ES256")), method("login", &key("EdDSA"))],
        "assertionMethod": [format!("{CLERK}#sign")],
        "authentication": [format!("{CLERK}#login")]
    })
}

fn policy() -> CredentialPolicy {
    let age = AgePolicy { at_least: 21, higher: vec![], birth_date: false };
    let mut query = CredentialQuery::parse(&json!({
        "id": "clerk21", "format": "jwt_vc_json", "meta": {"type_values": [["AgeCredential"]]}
    }))
    .unwrap();
    (query.claims, query.claim_sets) = age.claims(&query.format);
    let algorithms = vec![algorithm("ES256"), algorithm("EdDSA")];
    let issuer = TrustedIssuer::Did(Did::parse(CLERK).unwrap());
    let mut policy = CredentialPolicy::new(query, vec![issuer], algorithms);
    policy.status = StatusRule::IfPresent;
    policy.age = Some(age);
    policy
}

fn about() -> Map<String, Value> {
    object(json!({"age_equal_or_over": {"21": true}}))
}

fn credential_of(model: DataModel, change: impl FnOnce(&mut CredentialClaims<'_>)) -> String {
    let (_, did, _) = holder();
    let kid = format!("{CLERK}#sign");
    let mut claims = CredentialClaims {
        issuer: CLERK,
        kid: &kid,
        types: &["AgeCredential"],
        id: Some("urn:uuid:1"),
        subject: did.as_str(),
        about: about(),
        valid_from: at(-1000),
        valid_until: Some(at(86_400)),
        status: None,
    };
    change(&mut claims);
    key("ES256").sign(prepare_credential(model, algorithm("ES256"), &claims)).unwrap()
}

fn credential(model: DataModel) -> String {
    credential_of(model, |_| {})
}

/// A credential of any claims, signed by the clerk.
fn signed(claims: Value) -> String {
    let header = object(json!({"alg": "ES256", "kid": format!("{CLERK}#sign"), "typ": "JWT"}));
    key("ES256").sign(prepare(&header, &object(claims))).unwrap()
}

/// The claims of a good credential of VCDM 1.1 with a change.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let (_, did, _) = holder();
    let mut claims = json!({
        "iss": CLERK, "sub": did.as_str(), "nbf": NOW - 1000, "exp": NOW + 86_400, "jti": "urn:uuid:1",
        "vc": {"@context": [V1], "type": ["VerifiableCredential", "AgeCredential"], "credentialSubject": about()}
    });
    change(&mut claims);
    signed(claims)
}

fn present_by((key, did, kid): &(SigningKey, Did, String), model: DataModel, credential: &str) -> String {
    let claims = PresentationClaims {
        holder: did.as_str(),
        kid,
        audience: AUDIENCE,
        nonce: NONCE,
        issued_at: at(-10),
        lifetime: Duration::from_secs(300),
    };
    key.sign(prepare_presentation(model, key.algorithm(), credential, &claims)).unwrap()
}

fn present(credential: &str) -> String {
    present_by(&holder(), DataModel::V1, credential)
}

/// A presentation of a good credential with a change to its header and claims.
fn presented(model: DataModel, change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>)) -> String {
    let (key, did, kid) = holder();
    let whole = present_by(&(key.clone(), did, kid), model, &credential(DataModel::V2));
    let part = |n: usize| {
        let bytes = carded_verifier::base64url::decode(whole.split('.').nth(n).unwrap()).unwrap();
        object(serde_json::from_slice(&bytes).unwrap())
    };
    let (mut header, mut claims) = (part(0), part(1));
    change(&mut header, &mut claims);
    key.sign(prepare(&header, &claims)).unwrap()
}

struct Clerk {
    trust: Trust,
    known: Documents,
}

impl Clerk {
    fn empty(policy: CredentialPolicy) -> Self {
        let limits = Limits::default();
        let known = Documents::new(&limits);
        let trust = Trust::new(vec![], limits, Arc::new(RustCrypto)).unwrap();
        Self { trust: trust.with_credentials(vec![policy]).unwrap(), known }
    }

    fn with(change: impl FnOnce(&mut CredentialPolicy)) -> Self {
        let mut policy = policy();
        change(&mut policy);
        let mut clerk = Self::empty(policy);
        let Outcome::Need(fetch) = clerk.verify(&present(&credential(DataModel::V1))) else { panic!() };
        clerk.put(&fetch, &clerks_document());
        clerk
    }

    fn new() -> Self {
        Self::with(|_| {})
    }

    fn put(&mut self, fetch: &Fetch, document: &Value) {
        self.known.insert(fetch, &reply(document.to_string()), at(0)).unwrap();
    }

    fn index(&self) -> CredentialIndex {
        self.trust.credential_of("clerk21").unwrap()
    }

    fn verify_at(&self, presentation: &str, now: Timestamp) -> Outcome<VerifiedCredential> {
        let presentation = Presentation::new(self.index(), presentation.as_bytes(), AUDIENCE, NONCE);
        verify_presentation(&presentation, &self.trust, &self.known, now)
    }

    fn verify(&self, presentation: &str) -> Outcome<VerifiedCredential> {
        self.verify_at(presentation, at(0))
    }

    #[track_caller]
    fn ok(&self, presentation: &str) -> VerifiedCredential {
        match self.verify(presentation) {
            Outcome::Verified(verified) => verified,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn denied(&self, presentation: &str) -> Denied {
        match self.verify(presentation) {
            Outcome::Denied(denied) => denied,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn code(&self, presentation: &str) -> Code {
        self.denied(presentation).code()
    }
}

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
fn a_key_named_in_cnf_is_the_holders() {
    let clerk = Clerk::new();
    let cnf = |key: &SigningKey| {
        let jwk = public(key).to_jwk().unwrap();
        changed(move |claims| claims["cnf"] = json!({ "jwk": jwk }))
    };
    let _ = clerk.ok(&present(&cnf(&key("EdDSA"))));
    assert_eq!(clerk.code(&present(&cnf(&foreign_key("EdDSA")))), Code::KeyBindingInvalid);
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
