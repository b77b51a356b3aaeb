//! Threats 77 and 79 and the seam to the network: what is needed, how long it serves, what a failure does (OpenID
//! Connect Discovery 1.0, RFC 9111 on age).
use crate::support::*;
use carded_verifier::{
    Class, Code, DocumentKind, Fetch, FetchFailure, Issuer, KeySource, Limits, Outcome, Reply, Timestamp,
};
use serde_json::json;
use std::time::Duration;

const JWKS: &str = "https://keys.example.com/jwks";

fn by_discovery() -> Issuer {
    Issuer { keys: KeySource::Discovery, ..corp() }
}

fn by_uri() -> Issuer {
    Issuer { keys: KeySource::JwksUri(url(JWKS)), ..corp() }
}

fn token() -> String {
    sign(&claims())
}

/// A world with one issuer by `jwks_uri`, its keys fetched at offset 0: fresh until 600, stale until 4200.
fn fetched() -> (World, Fetch) {
    let mut world = World::of(vec![by_uri()]);
    let fetch = world.need_at(token(), 0);
    world.put(&fetch, jwks(&[&key("EdDSA")]), 0);
    (world, fetch)
}

#[test]
fn discovery_then_keys_then_a_verdict() {
    let mut world = World::of(vec![by_discovery()]);
    let first = world.need_at(token(), 0);
    assert_eq!(first.kind(), DocumentKind::Discovery);
    assert_eq!(first.url().as_str(), "https://idp.example.com/.well-known/openid-configuration");
    assert_eq!(first.id(), "discovery|corp||https://idp.example.com/.well-known/openid-configuration");
    assert!(!first.unknown_tenant());
    assert_eq!(world.trust.first_fetches(), std::slice::from_ref(&first));
    world.put(&first, discovery(ISS, JWKS), 0);

    let second = world.need_at(token(), 0);
    assert_eq!((second.kind(), second.url().as_str()), (DocumentKind::Jwks, JWKS));
    // the background would have come to the same
    assert_eq!(world.known.due(&world.trust, at(0)), std::slice::from_ref(&second));
    world.put(&second, jwks(&[&key("EdDSA")]), 0);

    world.ok(token());
    assert_eq!(world.known.len(), 2);
    assert!(world.known.memory() > 0);
    assert!(world.known.due(&world.trust, at(0)).is_empty());
}

#[test]
fn a_discovery_document_must_call_itself_by_the_issuer() {
    for bad in [
        discovery("https://idp.example.com/", JWKS),
        discovery("https://evil.example", JWKS),
        discovery(ISS, "http://keys.example.com/jwks"),
        discovery(ISS, "https://169.254.169.254/latest"),
        discovery(ISS, "https://keys.example.com:8443/jwks"),
        "{}".to_owned(),
        "<html>".to_owned(),
    ] {
        let mut world = World::of(vec![by_discovery()]);
        let fetch = world.need_at(token(), 0);
        let error = world.known.insert(&fetch, &reply(bad.clone()), at(0)).unwrap_err();
        assert!(matches!(error.failure(), FetchFailure::Malformed(_)), "{bad}");
        assert_eq!(world.code(token()), Code::KeysUnavailable, "{bad}");
    }
}

#[test]
fn threat_77_a_bad_reply_is_a_failure_and_leaves_the_document() {
    let big = vec![b' '; 256 * 1024 + 1];
    let oversized = Reply { status: 200, body: big, max_age: None };
    let with_status = |status| Reply { status, ..reply(jwks(&[&key("EdDSA")])) };
    for (bad, why) in [
        (oversized, FetchFailure::TooLarge),
        (with_status(500), FetchFailure::Status(500)),
        (with_status(404), FetchFailure::Status(404)),
        (with_status(204), FetchFailure::Status(204)),
        (with_status(206), FetchFailure::Status(206)),
        (with_status(0), FetchFailure::Status(0)),
        (reply("not json"), FetchFailure::Malformed("not JSON in UTF-8 (line 1, column 2)".to_owned())),
        (reply("{}"), FetchFailure::Malformed("not a set of keys".to_owned())),
        (
            reply(json!({"keys": [{"kty": "oct", "k": "AAAA"}]}).to_string()),
            FetchFailure::Malformed("it holds a symmetric key".to_owned()),
        ),
    ] {
        // where nothing is known it is unavailable, with the time to ask again
        let mut world = World::of(vec![by_uri()]);
        let fetch = world.need_at(token(), 0);
        assert_eq!(world.known.insert(&fetch, &bad, at(0)).unwrap_err().failure(), &why);
        let denied = world.denied_at(token(), 10);
        assert_eq!((denied.code(), denied.class()), (Code::KeysUnavailable, Class::Unavailable));
        assert_eq!(denied.retry_after(), Some(Duration::from_secs(20)));
        assert_eq!(world.need_at(token(), 30), fetch);
        // where a document is known it stays
        let (mut world, fetch) = fetched();
        world.known.insert(&fetch, &bad, at(100)).unwrap_err();
        world.ok(token());
        assert_eq!(world.known.len(), 1);
    }
}

#[test]
fn a_discovery_document_that_leads_nowhere_is_asked_for_again() {
    let mut world = World::of(vec![by_discovery()]);
    let first = world.need_at(token(), 0);
    world.put(&first, discovery(ISS, "https://keys.example.com/typo"), 0);
    let wrong = world.need_at(token(), 5);
    world.known.fail(&wrong, FetchFailure::Status(404), at(5));
    assert_eq!(world.denied_at(token(), 20).code(), Code::KeysUnavailable, "no sooner than the cooldown");
    assert_eq!(world.need_at(token(), 31), first);
    world.put(&first, discovery(ISS, JWKS), 31);
    let right = world.need_at(token(), 31);
    assert_eq!(right.url().as_str(), JWKS);
    world.put(&right, jwks(&[&key("EdDSA")]), 31);
    assert!(matches!(world.verify_at(token(), 31), Outcome::Verified(_)));
}

#[test]
fn failures_of_the_way_count_too() {
    for why in [FetchFailure::Timeout, FetchFailure::Unreachable, FetchFailure::HostNotConfigured] {
        let mut world = World::of(vec![by_uri()]);
        let fetch = world.need_at(token(), 0);
        world.known.fail(&fetch, why, at(0));
        assert_eq!(world.code(token()), Code::KeysUnavailable);
        // a reply that comes late is taken
        world.put(&fetch, jwks(&[&key("EdDSA")]), 5);
        assert!(matches!(world.verify_at(token(), 5), Outcome::Verified(_)));
    }
}

#[test]
fn threat_77_a_reply_that_was_overtaken_or_comes_twice() {
    let (mut world, fetch) = fetched();
    world.put(&fetch, jwks(&[&foreign_key("EdDSA")]), 50);
    world.put(&fetch, jwks(&[&key("EdDSA")]), 40);
    assert!(matches!(world.verify_at(token(), 50), Outcome::Denied(d) if d.code() == Code::SignatureInvalid));
    world.put(&fetch, jwks(&[&foreign_key("EdDSA")]), 50);
    assert_eq!(world.known.len(), 1);
}

#[test]
fn fresh_then_refreshed_then_stale_then_refused() {
    let (mut world, fetch) = fetched();
    let long = with("exp", json!(NOW + 100_000));
    let token = sign(&long);
    let verified = |world: &World, offset| matches!(world.verify_at(&token, offset), Outcome::Verified(_));
    // three quarters of ten minutes
    assert!(world.known.due(&world.trust, at(449)).is_empty());
    assert_eq!(world.known.due(&world.trust, at(450)), std::slice::from_ref(&fetch));
    assert!(verified(&world, 599));
    // expired, and nobody has tried to refresh it
    assert_eq!(world.need_at(&token, 600), fetch);
    // while refreshing fails it serves on; the background tries once a cooldown, ahead of requests
    for offset in (600..4200).step_by(30) {
        assert_eq!(world.known.due(&world.trust, at(offset)), std::slice::from_ref(&fetch), "{offset}");
        world.known.fail(&fetch, FetchFailure::Timeout, at(offset));
        assert!(world.known.due(&world.trust, at(offset + 29)).is_empty(), "{offset}");
        assert!(verified(&world, (offset + 59).min(4199)), "{offset}");
    }
    // an hour after its end it serves no more
    world.known.fail(&fetch, FetchFailure::Timeout, at(4190));
    assert!(verified(&world, 4199));
    let denied = world.denied_at(&token, 4200);
    assert_eq!((denied.code(), denied.retry_after()), (Code::KeysUnavailable, Some(Duration::from_secs(20))));
    assert_eq!(world.need_at(&token, 4220), fetch);
    world.put(&fetch, jwks(&[&key("EdDSA")]), 4300);
    assert!(verified(&world, 4300));
}

#[test]
fn max_age_counts_within_bounds() {
    let age = |seconds: u64| {
        let mut world = World::of(vec![by_uri()]);
        let fetch = world.need_at(token(), 0);
        let reply = Reply { max_age: Some(Duration::from_secs(seconds)), ..reply(jwks(&[&key("EdDSA")])) };
        world.known.insert(&fetch, &reply, at(0)).unwrap();
        let token = sign(&with("exp", json!(NOW + 10_000_000)));
        // when it has to be fetched again
        [1, 59, 60, 300, 3600, 86_399, 86_400, 100_000]
            .into_iter()
            .find(|offset| matches!(world.verify_at(&token, *offset), Outcome::Need(_)))
    };
    assert_eq!(age(0), Some(60));
    assert_eq!(age(300), Some(300));
    assert_eq!(age(3600), Some(3600));
    assert_eq!(age(u64::MAX), Some(86_400));
}

#[test]
fn threat_79_an_unknown_kid_costs_one_fetch_a_cooldown() {
    let (mut world, fetch) = fetched();
    let unknown = |n: i64| key("EdDSA").with_kid(Some(&format!("k{n}"))).sign_claims(&claims()).unwrap();
    let code = |world: &World, n, offset| world.denied_at(unknown(n), offset).code();
    // just fetched
    assert_eq!(code(&world, 1, 29), Code::KeyNotFound);
    let mut fetches = 0;
    for offset in 0..300 {
        for n in 0..3 {
            if let Outcome::Need(need) = world.verify_at(unknown(n), offset) {
                assert_eq!(need, fetch);
                fetches += 1;
                world.put(&fetch, jwks(&[&key("EdDSA")]), offset);
            }
        }
        assert!(matches!(world.verify_at(token(), offset), Outcome::Verified(_)));
    }
    assert_eq!(fetches, 9);
    // a provider that is down is not asked more often either, and the known keys serve on
    let mut failures = 0;
    for offset in 300..600 {
        if let Outcome::Need(_) = world.verify_at(unknown(1), offset) {
            failures += 1;
            world.known.fail(&fetch, FetchFailure::Timeout, at(offset));
        }
        assert!(matches!(world.verify_at(token(), offset), Outcome::Verified(_)));
    }
    assert!((9..=10).contains(&failures), "{failures}");
}

#[test]
fn rotation_replaces_the_whole_set() {
    let (mut world, fetch) = fetched();
    let new = foreign_key("EdDSA").with_kid(Some("new"));
    let by_new = new.sign_claims(&claims()).unwrap();
    assert_eq!(world.need_at(&by_new, 40), fetch);
    world.put(&fetch, jwks(&[&key("EdDSA"), &new]), 40);
    assert!(matches!(world.verify_at(&by_new, 40), Outcome::Verified(_)));
    assert!(matches!(world.verify_at(token(), 40), Outcome::Verified(_)));
    world.put(&fetch, jwks(&[&new]), 80);
    assert_eq!(world.denied_at(token(), 80).code(), Code::KeyNotFound);
    assert!(matches!(world.verify_at(&by_new, 80), Outcome::Verified(_)));
}

#[test]
fn moved_keys_are_fetched_from_the_new_place() {
    let mut world = World::of(vec![by_discovery()]);
    let metadata = world.need_at(token(), 0);
    world.put(&metadata, discovery(ISS, JWKS), 0);
    let old = world.need_at(token(), 0);
    world.put(&old, jwks(&[&key("EdDSA")]), 0);
    world.put(&metadata, discovery(ISS, "https://new.example.com/jwks"), 500);
    let new = world.need_at(token(), 500);
    assert_eq!(new.url().as_str(), "https://new.example.com/jwks");
    assert_eq!(world.known.due(&world.trust, at(500)), std::slice::from_ref(&new));
    world.known.fail(&new, FetchFailure::Timeout, at(500));
    assert_eq!(world.denied_at(token(), 500).code(), Code::KeysUnavailable);
    // a late reply from the old place is not what is asked for
    world.put(&old, jwks(&[&key("EdDSA")]), 510);
    assert_eq!(world.need_at(token(), 510), new);
    world.put(&new, jwks(&[&key("EdDSA")]), 520);
    assert!(matches!(world.verify_at(token(), 520), Outcome::Verified(_)));
    assert_eq!(world.known.len(), 2);
}

#[test]
fn first_failures_are_made_up_for_in_the_background() {
    let mut world = World::of(vec![by_discovery()]);
    let fetch = world.trust.first_fetches().remove(0);
    world.known.fail(&fetch, FetchFailure::Unreachable, at(0));
    assert!(world.known.due(&world.trust, at(29)).is_empty());
    assert_eq!(world.known.due(&world.trust, at(30)), [fetch]);
}

#[test]
fn nothing_is_fetched_before_the_issuer_and_algorithm_are_right() {
    let world = World::of(vec![by_uri()]);
    for (token, code) in [
        ("x.y.z".to_owned(), Code::TokenMalformed),
        (sign(&with("iss", json!("https://evil.example"))), Code::IssuerUntrusted),
        (sign_header(json!({"alg": "HS256", "kid": "x"})), Code::AlgorithmNotAllowed),
        (sign_header(json!({"alg": "EdDSA", "crit": ["x"]})), Code::CriticalHeader),
    ] {
        assert_eq!(world.code(token), code);
    }
}

#[test]
fn a_symmetric_key_from_the_network_is_refused() {
    let secret = carded_verifier::sign::SigningKey::from_secret(algorithm("HS256"), Some("s"), &[1; 32]).unwrap();
    let mut world = World::of(vec![by_uri()]);
    let fetch = world.need_at(token(), 0);
    assert!(world.known.insert(&fetch, &reply(jwks(&[&key("EdDSA"), &secret])), at(0)).is_err());
}

#[test]
fn a_clock_that_was_set_back_locks_nobody_out() {
    let mut world = World::of(vec![by_uri()]);
    let fetch = world.need_at(token(), 0);
    world.known.fail(&fetch, FetchFailure::Timeout, Timestamp::from_unix(i64::MAX));
    let denied = world.denied_at(token(), 0);
    assert_eq!(denied.retry_after(), Some(Duration::from_secs(30)));
    world.put(&fetch, jwks(&[&key("EdDSA")]), 1);
    world.ok(token());
}

#[test]
fn limits_must_make_sense() {
    let bad = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        World::limited(vec![corp()], limits).is_err()
    };
    assert!(bad(|l| l.token_bytes = 0));
    assert!(bad(|l| l.document_bytes = 0));
    assert!(bad(|l| l.json_depth = 0));
    assert!(bad(|l| l.json_depth = 1000));
    assert!(bad(|l| l.max_documents = 1));
    assert!(bad(|l| l.cooldown = Duration::ZERO));
    assert!(bad(|l| l.lifetime.min = Duration::ZERO));
    assert!(bad(|l| l.lifetime.min = Duration::from_secs(601)));
    assert!(bad(|l| l.lifetime.max = Duration::from_secs(599)));
    assert!(!bad(|_| {}));
}

#[test]
fn threat_52_redirects_are_errors() {
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let mut world = World::of(vec![by_uri()]);
        let fetch = world.need_at(token(), 0);
        let redirect = Reply { status, ..reply(jwks(&[&key("EdDSA")])) };
        let error = world.known.insert(&fetch, &redirect, at(0)).unwrap_err();
        assert_eq!(error.failure(), &FetchFailure::Status(status));
        assert_eq!(world.code(token()), Code::KeysUnavailable);
    }
}

#[test]
fn threat_19_documents_belong_to_their_issuer() {
    // two issuers whose keys are at one address: what is fetched for one never serves the other
    let other = Issuer { name: "other".to_owned(), issuer: id("https://other.example.com"), ..by_uri() };
    let mut world = World::of(vec![by_uri(), other]);
    let of_other = sign(&with("iss", json!("https://other.example.com")));
    let (mine, theirs) = (world.need_at(token(), 0), world.need_at(&of_other, 0));
    assert_eq!(mine.url(), theirs.url());
    assert_ne!(mine, theirs);
    assert_ne!(mine.id(), theirs.id());
    world.put(&mine, jwks(&[&key("EdDSA")]), 0);
    world.ok(token());
    assert_eq!(world.need_at(&of_other, 0), theirs);
    world.put(&theirs, jwks(&[&foreign_key("EdDSA")]), 0);
    world.ok(token());
    assert_eq!(world.code(&of_other), Code::SignatureInvalid);
}
