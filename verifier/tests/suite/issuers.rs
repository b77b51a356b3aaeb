//! The list of issuers: found by one look-up however many, and refused where it is unsafe or ambiguous.
use crate::support::*;
use carded_verifier::sign::SigningKey;
use carded_verifier::{Code, Issuer, KeySet, KeySource, Limits, TrustError};
use serde_json::json;
use std::time::Duration;

fn numbered(n: usize) -> Issuer {
    let iss = id(&format!("https://i{n}.example.com/realms/r{n}"));
    Issuer::new(&format!("i{n}"), iss, vec![AUD.to_owned()], asymmetric(), KeySource::Discovery)
}

#[test]
fn ten_thousand_issuers_are_each_found() {
    let token = |n: usize| sign(&with("iss", json!(format!("https://i{n}.example.com/realms/r{n}"))));
    let world = World::of((0..10_000).map(numbered).collect());
    assert_eq!(world.trust.issuers().count(), 10_000);
    assert_eq!(world.trust.first_fetches().len(), 10_000);
    for n in 0..10_000 {
        let fetch = world.need_at(token(n), 0);
        assert_eq!(world.trust.issuer(fetch.issuer().unwrap()).unwrap().name, format!("i{n}"));
        assert_eq!(world.trust.index_of(&format!("i{n}")), fetch.issuer());
    }
    assert_eq!(world.code(token(10_000)), Code::IssuerUntrusted);
    assert_eq!(world.trust.index_of("nobody"), None);
}

#[test]
fn unsafe_issuers_are_refused() {
    let refused = |change: fn(&mut Issuer)| {
        let mut issuer = corp();
        change(&mut issuer);
        World::limited(vec![issuer], Limits::default()).err()
    };
    let name = || "corp".to_owned();
    assert_eq!(refused(|_| {}), None);
    for bad in ["", "Corp", "a.b", "a b", "a|b", "\u{e9}"] {
        let issuer = Issuer { name: bad.to_owned(), ..corp() };
        assert_eq!(World::limited(vec![issuer], Limits::default()).err(), Some(TrustError::Name(bad.to_owned())));
    }
    assert_eq!(refused(|i| i.audiences.clear()), Some(TrustError::NoAudience(name())));
    assert_eq!(refused(|i| i.audiences.push(String::new())), Some(TrustError::NoAudience(name())));
    assert_eq!(refused(|i| i.algorithms.clear()), Some(TrustError::NoAlgorithm(name())));
    assert_eq!(refused(|i| i.algorithms.push(algorithm("HS256"))), Some(TrustError::MixedAlgorithms(name())));
    assert_eq!(refused(|i| i.clock_skew = Duration::from_secs(301)), Some(TrustError::Skew(name())));
    assert_eq!(refused(|i| i.clock_skew = Duration::from_secs(300)), None);
    assert_eq!(refused(|i| i.typ = Some(vec![])), Some(TrustError::Type(name())));
    for other in ["kb+jwt", "application/KB+JWT", "dc+sd-jwt", "logout+jwt", ""] {
        let issuer = Issuer { typ: Some(vec!["at+jwt".to_owned(), other.to_owned()]), ..corp() };
        assert_eq!(World::limited(vec![issuer], Limits::default()).err(), Some(TrustError::Type(name())), "{other}");
    }
    assert_eq!(
        refused(|i| {
            i.issuer = id("accounts.example.com");
            i.keys = KeySource::Discovery;
        }),
        Some(TrustError::DiscoveryWithoutUrl(name()))
    );
    assert_eq!(
        refused(|i| i.keys = KeySource::Inline(KeySet::parse(br#"{"keys":[]}"#, &[]).unwrap())),
        Some(TrustError::NoKey(name()))
    );
    // a secret for an issuer of public keys, and public keys for one of secrets
    assert_eq!(
        refused(|i| i.keys = KeySource::Inline(KeySet::from_secret(algorithm("HS256"), &[1; 32]).unwrap())),
        Some(TrustError::MixedAlgorithms(name()))
    );
    // both at once, in keys and algorithms
    assert_eq!(
        refused(|i| {
            let secret = SigningKey::from_secret(algorithm("HS256"), Some("s"), &[1; 32]).unwrap();
            i.algorithms = vec![algorithm("EdDSA"), algorithm("HS256")];
            i.keys = KeySource::Inline(set(&[&key("EdDSA"), &secret], &i.algorithms));
        }),
        Some(TrustError::MixedAlgorithms(name()))
    );
    assert_eq!(refused(|i| i.algorithms = vec![algorithm("HS256")]), Some(TrustError::MixedAlgorithms(name())));
    assert_eq!(
        refused(|i| {
            i.algorithms = vec![algorithm("HS256")];
            i.keys = KeySource::Discovery;
        }),
        Some(TrustError::SecretFromNetwork(name()))
    );
}

#[test]
fn names_and_issuers_are_distinct() {
    let two = |change: fn(&mut Issuer)| {
        let mut second = corp();
        second.name = "second".to_owned();
        change(&mut second);
        World::limited(vec![corp(), second], Limits::default()).err()
    };
    assert_eq!(two(|_| {}), Some(TrustError::DuplicateIssuer("corp".to_owned(), "second".to_owned())));
    assert_eq!(
        two(|i| {
            i.name = "corp".to_owned();
            i.issuer = id("https://second.example");
        }),
        Some(TrustError::DuplicateName("corp".to_owned()))
    );
    assert_eq!(two(|i| i.issuer = id("https://idp.example.com/")), None);
}

#[test]
fn errors_say_which_issuer() {
    let issuer = Issuer { audiences: vec![], ..corp() };
    let error = World::limited(vec![issuer], Limits::default()).err().unwrap();
    assert_eq!(error.to_string(), "issuer `corp`: needs at least one audience");
}

#[test]
fn an_issuer_may_be_no_url() {
    let world = World::with(|issuer| issuer.issuer = id("kubernetes/serviceaccount"));
    world.ok(sign(&with("iss", json!("kubernetes/serviceaccount"))));
}
