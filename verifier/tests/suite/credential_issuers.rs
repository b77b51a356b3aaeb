//! Threats 7 to 12, 19, 20, 40, 41, 43 to 45, 52, 53 and 61 for credentials: whose word counts, and by which key.
use crate::shop::*;
use crate::support::*;
use carded_verifier::dcql::Format;
use carded_verifier::did::Did;
use carded_verifier::sign::SigningKey;
use carded_verifier::{
    Class, Code, CredentialError, CredentialPolicy, DocumentKind, FetchFailure, Limits, Outcome, Reply, RustCrypto,
    StatusRule, Trust, TrustError, TrustedIssuer, UrlPolicy, base64url,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn did_jwk(key: &SigningKey) -> String {
    format!("did:jwk:{}", base64url::encode(bare_jwk(key).to_string()))
}

/// A policy that asks for no status, so that only the issuer's documents are fetched.
fn plain(issuer: &str) -> CredentialPolicy {
    let mut policy = policy();
    policy.trusted_issuers = vec![trusted(issuer)];
    policy.status = StatusRule::IfPresent;
    policy
}

fn by(key: &SigningKey, kid: Option<&str>, iss: &str) -> String {
    let mut header = header("dc+sd-jwt", key);
    match kid {
        Some(kid) => header.insert("kid".to_owned(), json!(kid)),
        None => header.remove("kid"),
    };
    let mut claims = ada_without("status");
    claims.insert("iss".to_owned(), json!(iss));
    present(&issue_by(key, header, claims))
}

#[test]
fn the_keys_are_in_the_metadata_or_where_it_says() {
    let presentation = by(&dmv_key(), Some("dmv-1"), DMV);
    let mut shop = Shop::empty(vec![plain(DMV)]);
    let metadata_fetch = shop.need_at(&presentation, 0);
    assert_eq!(metadata_fetch.kind(), DocumentKind::CredentialIssuer);
    assert_eq!(metadata_fetch.url().as_str(), "https://dmv.example/.well-known/jwt-vc-issuer");
    assert_eq!(shop.trust.first_fetches(), std::slice::from_ref(&metadata_fetch));
    shop.put(&metadata_fetch, json!({"issuer": DMV, "jwks_uri": "https://keys.dmv.example/k"}).to_string(), 0);
    let keys_fetch = shop.need_at(&presentation, 0);
    assert_eq!(
        (keys_fetch.kind(), keys_fetch.url().as_str()),
        (DocumentKind::CredentialKeys, "https://keys.dmv.example/k")
    );
    assert_eq!(shop.known.due(&shop.trust, at(0)), std::slice::from_ref(&keys_fetch));
    shop.put(&keys_fetch, jwks(&[&dmv_key()]), 0);
    let credential = shop.ok(&presentation);
    assert_eq!((credential.issuer(), credential.keys_until()), (DMV, Some(at(600))));
    assert!(credential.status().is_none() && credential.status_until().is_none());
    // a path goes behind the well-known one
    let mut shop = Shop::empty(vec![plain("https://dmv.example/tenant/1234")]);
    let presentation = by(&dmv_key(), Some("dmv-1"), "https://dmv.example/tenant/1234");
    let fetch = shop.need_at(&presentation, 0);
    assert_eq!(fetch.url().as_str(), "https://dmv.example/.well-known/jwt-vc-issuer/tenant/1234");
    shop.put(&fetch, metadata("https://dmv.example/tenant/1234", &[&dmv_key()]), 0);
    shop.accepts(&presentation);
}

#[test]
fn threat_20_the_issuer_is_compared_as_it_is_written() {
    let shop = Shop::empty(vec![plain(DMV)]);
    for iss in
        ["https://dmv.example/", "https://DMV.example", "http://dmv.example", "https://dmv.example.evil.example", ""]
    {
        let presentation = by(&dmv_key(), Some("dmv-1"), iss);
        assert_eq!(shop.code(&presentation), Code::IssuerUntrusted, "{iss}");
    }
    assert_eq!(shop.code(present(&issue(ada_with("iss", json!([DMV]))))), Code::ClaimInvalid);
    assert_eq!(shop.code(present(&issue(ada_without("iss")))), Code::IssuerUntrusted);
}

#[test]
fn threat_79_nothing_is_fetched_for_an_issuer_that_is_not_trusted() {
    let shop = Shop::empty(vec![plain(DMV)]);
    for iss in ["https://evil.example", "did:web:evil.example", &did_jwk(&thief_key())] {
        assert_eq!(shop.code(by(&thief_key(), None, iss)), Code::IssuerUntrusted, "{iss}");
    }
    // nor a status before the signature holds, nor for what was not asked for
    let mut shop = Shop::empty(vec![policy()]);
    let fetch = shop.need_at(present(&issue(ada())), 0);
    shop.put(&fetch, metadata(DMV, &[&dmv_key()]), 0);
    let forged = issue_by(&thief_key(), header("dc+sd-jwt", &dmv_key()), ada());
    assert_eq!(shop.code(present(&forged)), Code::SignatureInvalid);
    assert_eq!(shop.code(present_paths(&issue(ada()), &[])), Code::QueryNotMet);
    let shown = held(&issue(ada())).disclose(&over_21());
    assert_eq!(shop.code(shown.without_key_binding()), Code::KeyBindingMissing);
    assert_eq!(shop.need_at(present(&issue(ada())), 0).kind(), DocumentKind::StatusList);
}

#[test]
fn threat_10_keys_in_the_header_choose_nothing() {
    let mut shop = Shop::empty(vec![plain(DMV)]);
    let fetch = shop.need_at(by(&dmv_key(), Some("dmv-1"), DMV), 0);
    shop.put(&fetch, metadata(DMV, &[&dmv_key()]), 0);
    for (member, value) in [
        ("jwk", bare_jwk(&thief_key())),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut header = header("dc+sd-jwt", &thief_key());
        header.insert(member.to_owned(), value);
        let forged = issue_by(&thief_key(), header, ada_without("status"));
        assert_eq!(shop.code(present(&forged)), Code::SignatureInvalid, "{member}");
    }
}

#[test]
fn threat_07_the_issuer_signs_with_an_algorithm_of_the_list() {
    let mut shop = Shop::empty(vec![plain(DMV)]);
    let fetch = shop.need_at(by(&dmv_key(), Some("dmv-1"), DMV), 0);
    let other = SigningKey::generate(algorithm("ES384"), "dmv-2", &[5; 32]).unwrap();
    shop.put(&fetch, metadata(DMV, &[&dmv_key(), &other]), 0);
    assert_eq!(shop.code(by(&other, Some("dmv-2"), DMV)), Code::AlgorithmNotAllowed);
    for alg in ["none", "HS256", "RS256"] {
        let mut header = header("dc+sd-jwt", &dmv_key());
        header.insert("alg".to_owned(), json!(alg));
        assert_eq!(shop.code(present(&issue_by(&dmv_key(), header, ada_without("status")))), Code::AlgorithmNotAllowed);
    }
    // threat 8: on the list, but not that of the key
    let mut header = header("dc+sd-jwt", &dmv_key());
    header.insert("alg".to_owned(), json!("EdDSA"));
    assert_eq!(shop.code(present(&issue_by(&dmv_key(), header, ada_without("status")))), Code::KeyMismatch);
}

#[test]
fn threat_19_a_key_belongs_to_its_issuer() {
    let mut policy = plain(DMV);
    policy.trusted_issuers.push(trusted("https://club.example"));
    let mut shop = Shop::empty(vec![policy]);
    let club = SigningKey::generate(es256(), "dmv-1", &[21; 32]).unwrap();
    for (iss, key) in [(DMV, &dmv_key()), ("https://club.example", &club)] {
        let fetch = shop.need_at(by(key, Some("dmv-1"), iss), 0);
        shop.put(&fetch, metadata(iss, &[key]), 0);
        assert_eq!(shop.ok(by(key, Some("dmv-1"), iss)).issuer(), iss);
    }
    // both are trusted, neither for the other's word
    assert_eq!(shop.code(by(&club, Some("dmv-1"), DMV)), Code::SignatureInvalid);
    assert_eq!(shop.code(by(&dmv_key(), Some("dmv-1"), "https://club.example")), Code::SignatureInvalid);
}

#[test]
fn threat_12_metadata_of_another_or_with_private_keys_is_not_taken() {
    let mut shop = Shop::empty(vec![plain(DMV)]);
    let presentation = by(&dmv_key(), Some("dmv-1"), DMV);
    let fetch = shop.need_at(&presentation, 0);
    let private =
        json!({"issuer": DMV, "jwks": {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}]}});
    for body in [metadata("https://evil.example", &[&dmv_key()]), private.to_string().into_bytes(), b"<html>".to_vec()]
    {
        assert!(shop.known.insert(&fetch, &reply(body), at(0)).is_err());
        let denied = shop.denied(&presentation);
        assert_eq!((denied.code(), denied.class()), (Code::KeysUnavailable, Class::Unavailable));
        assert_eq!(denied.retry_after(), Some(Duration::from_secs(30)));
    }
}

#[test]
fn threat_52_a_redirect_is_a_failure() {
    let mut shop = Shop::empty(vec![plain(DMV)]);
    let presentation = by(&dmv_key(), Some("dmv-1"), DMV);
    let fetch = shop.need_at(&presentation, 0);
    for status in [301, 302, 307, 308, 204, 404, 500] {
        let reply = Reply { status, body: metadata(DMV, &[&dmv_key()]), max_age: None };
        let error = shop.known.insert(&fetch, &reply, at(0)).unwrap_err();
        assert_eq!(*error.failure(), FetchFailure::Status(status));
        assert_eq!(shop.code(&presentation), Code::KeysUnavailable);
    }
}

#[test]
fn a_key_that_is_not_there_is_looked_for_once_in_a_cooldown() {
    let mut shop = Shop::empty(vec![plain(DMV)]);
    let fetch = shop.need_at(by(&dmv_key(), Some("dmv-1"), DMV), 0);
    shop.put(&fetch, metadata(DMV, &[&dmv_key()]), 0);
    let next = SigningKey::generate(es256(), "dmv-2", &[31; 32]).unwrap();
    let presentation = by(&next, Some("dmv-2"), DMV);
    assert_eq!(shop.code(&presentation), Code::KeyNotFound);
    let again = shop.need_at(&presentation, 30);
    assert_eq!(again, fetch);
    let version = shop.known.version();
    shop.put(&again, metadata(DMV, &[&dmv_key(), &next]), 30);
    assert_ne!(shop.known.version(), version, "verdicts of before are forgotten when the keys change");
    drop(verified(shop.verify_at(&presentation, 30)));
}

#[test]
fn an_issuer_that_is_a_did_vouches_only_where_the_policy_names_it() {
    let clerk = SigningKey::generate(es256(), "clerk", &[41; 32]).unwrap();
    let did = did_jwk(&clerk);
    let shop = Shop::empty(vec![plain(&did)]);
    assert!(shop.trust.first_fetches().is_empty());
    let kid = format!("{did}#0");
    assert_eq!(shop.ok(by(&clerk, Some(&kid), &did)).issuer(), did);
    assert_eq!(shop.ok(by(&clerk, Some("#0"), &did)).issuer(), did);
    assert_eq!(shop.code(by(&thief_key(), Some(&kid), &did)), Code::SignatureInvalid);
    let other = format!("{}#0", did_jwk(&thief_key()));
    assert_eq!(shop.code(by(&thief_key(), Some(&other), &did)), Code::KeyNotFound);
    assert_eq!(Shop::empty(vec![plain(DMV)]).code(by(&clerk, Some(&kid), &did)), Code::IssuerUntrusted);
}

fn clerk_document(id: &str, relationship: &str, key: &SigningKey) -> Value {
    json!({
        "id": id,
        "verificationMethod": [{
            "id": format!("{id}#key-1"), "type": "JsonWebKey2020", "controller": id, "publicKeyJwk": bare_jwk(key)
        }],
        relationship: [format!("{id}#key-1")],
    })
}

#[test]
fn threat_44_the_document_is_that_of_the_did_and_the_key_is_for_this_use() {
    const CLERK: &str = "did:web:clerk.example";
    let clerk = SigningKey::generate(es256(), "clerk", &[41; 32]).unwrap();
    let presentation = by(&clerk, Some("did:web:clerk.example#key-1"), CLERK);
    let fresh = || {
        let shop = Shop::empty(vec![plain(CLERK)]);
        let fetch = shop.need_at(&presentation, 0);
        (shop, fetch)
    };
    let (mut shop, fetch) = fresh();
    assert_eq!(
        (fetch.kind(), fetch.url().as_str()),
        (DocumentKind::DidDocument, "https://clerk.example/.well-known/did.json")
    );
    assert_eq!(shop.trust.first_fetches(), std::slice::from_ref(&fetch));
    shop.put(&fetch, clerk_document(CLERK, "assertionMethod", &clerk).to_string(), 0);
    assert_eq!(shop.ok(&presentation).issuer(), CLERK);

    let (mut shop, fetch) = fresh();
    let other = clerk_document("did:web:evil.example", "assertionMethod", &clerk).to_string();
    assert!(shop.known.insert(&fetch, &reply(other), at(0)).is_err());
    let denied = shop.denied(&presentation);
    assert_eq!((denied.code(), denied.class()), (Code::DidUnresolvable, Class::Unavailable));

    let (mut shop, fetch) = fresh();
    shop.put(&fetch, clerk_document(CLERK, "authentication", &clerk).to_string(), 0);
    assert_eq!(shop.code(&presentation), Code::KeyNotFound);
    // a key that was put in since is found a cooldown later
    assert_eq!(shop.need_at(&presentation, 30), fetch);
}

#[test]
fn threat_61_a_did_leads_to_https_without_ports_only() {
    let limits = Limits { url_policy: UrlPolicy { allow_port: true, ..UrlPolicy::default() }, ..Limits::default() };
    for text in ["did:web:clerk.example%3A8443", "did:web:127.0.0.1", "did:web:user%40clerk.example"] {
        let Ok(did) = Did::parse(text) else { continue };
        let mut policy = plain(DMV);
        policy.trusted_issuers = vec![TrustedIssuer::Did(did)];
        let trust = Trust::new(Vec::new(), limits.clone(), Arc::new(RustCrypto)).unwrap();
        let error = trust.with_credentials(vec![policy]).unwrap_err();
        assert!(matches!(error, TrustError::Credential(_, CredentialError::Did(_))), "{text}: {error}");
    }
    for text in [
        "http://dmv.example",
        "https://user@dmv.example",
        "https://127.0.0.1",
        "https://dmv.example/{tenant}",
        "dmv.example",
        "did:",
    ] {
        assert!(TrustedIssuer::parse(text, UrlPolicy::default()).is_err(), "{text}");
    }
}

#[test]
fn a_holder_may_be_known_by_a_did() {
    let mut shop = Shop::empty(vec![plain(DMV)]);
    let did = did_jwk(&holder_key());
    let with_cnf = |kid: String| {
        let mut claims = ada_without("status");
        claims.insert("cnf".to_owned(), json!({"kid": kid}));
        present(&issue(claims))
    };
    let presentation = with_cnf(format!("{did}#0"));
    let fetch = shop.need_at(&presentation, 0);
    shop.put(&fetch, metadata(DMV, &[&dmv_key()]), 0);
    let credential = shop.ok(&presentation);
    assert_eq!(credential.holder().unwrap().did(), Some(did.as_str()));
    let thief = with_cnf(format!("{}#0", did_jwk(&thief_key())));
    assert_eq!(shop.code(&thief), Code::KeyBindingInvalid);
    // a document on the web is fetched once the issuer's signature holds, and its key must be for authentication
    let web = with_cnf("did:web:ada.example#key-1".to_owned());
    let fetch = shop.need_at(&web, 0);
    assert_eq!(
        (fetch.kind(), fetch.url().as_str()),
        (DocumentKind::DidDocument, "https://ada.example/.well-known/did.json")
    );
    shop.put(&fetch, clerk_document("did:web:ada.example", "assertionMethod", &holder_key()).to_string(), 0);
    assert_eq!(shop.code(&web), Code::KeyNotFound);
    shop.put(&fetch, clerk_document("did:web:ada.example", "authentication", &holder_key()).to_string(), 1);
    shop.accepts(&web);
}

#[test]
fn threat_40_what_is_absent_widens_nothing() {
    let shop = Shop::new();
    for name in ["vct", "age_equal_or_over", "iss", "cnf", "status"] {
        let Value::Object(mut claims) = payload(json!({})) else { panic!() };
        claims.remove(name);
        assert!(matches!(shop.verify_at(raw(Value::Object(claims), &[]), 0), Outcome::Denied(_)), "{name}");
    }
    let Value::Object(mut claims) = payload(json!({})) else { panic!() };
    claims.remove("status");
    assert_eq!(shop.code(raw(Value::Object(claims), &[])), Code::StatusMissing);
}

/// Only the verifier makes these: see the examples in the documentation of the crate that do not compile. And nothing
/// else of an outcome tells that it was verified.
#[test]
fn threat_45_only_a_verified_outcome_holds_a_credential() {
    let shop = Shop::new();
    let good = present(&issue(ada()));
    assert!(matches!(shop.verify_at(&good, 0), Outcome::Verified(credential) if credential.satisfied()));
    assert!(matches!(shop.verify_at(format!("{good}A"), 0), Outcome::Denied(_)));
}

#[test]
fn threat_53_who_someone_is_comes_with_who_says_so() {
    let mut policy = plain(DMV);
    policy.trusted_issuers.push(trusted("https://club.example"));
    let mut shop = Shop::empty(vec![policy]);
    for iss in [DMV, "https://club.example"] {
        let presentation = by(&dmv_key(), Some("dmv-1"), iss);
        let fetch = shop.need_at(&presentation, 0);
        shop.put(&fetch, metadata(iss, &[&dmv_key()]), 0);
        assert_eq!(shop.ok(&presentation).issuer(), iss);
    }
}

#[test]
fn unsafe_policies_are_refused() {
    let refused = |change: fn(&mut CredentialPolicy)| {
        let mut policy = policy();
        change(&mut policy);
        let trust = Trust::new(Vec::new(), Limits::default(), Arc::new(RustCrypto)).unwrap();
        match trust.with_credentials(vec![policy]) {
            Err(TrustError::Credential(_, why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|policy| policy.query.id = "a b".to_owned()), CredentialError::Id);
    assert_eq!(refused(|policy| policy.query.format = Format::Other("mso_mdoc".to_owned())), CredentialError::Format);
    assert_eq!(refused(|policy| policy.query.meta.vct_values.clear()), CredentialError::NoType);
    assert_eq!(refused(|policy| policy.trusted_issuers.clear()), CredentialError::NoIssuer);
    assert_eq!(refused(|policy| policy.algorithms.clear()), CredentialError::NoAlgorithm);
    assert_eq!(refused(|policy| policy.algorithms.push(algorithm("HS256"))), CredentialError::SymmetricAlgorithm);
    assert_eq!(refused(|policy| policy.clock_skew = Duration::from_secs(301)), CredentialError::Skew);
    assert_eq!(refused(|policy| policy.max_presentation_age = Duration::ZERO), CredentialError::PresentationAge);
    let trust = Trust::new(Vec::new(), Limits::default(), Arc::new(RustCrypto)).unwrap();
    let twice = trust.with_credentials(vec![policy(), policy()]).unwrap_err();
    assert_eq!(twice, TrustError::Credential("over21".to_owned(), CredentialError::DuplicateId));
    assert_eq!(twice.to_string(), "credential `over21`: the id is taken");
}
