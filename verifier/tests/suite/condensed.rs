//! Verdicts that are remembered: what is kept of a token, and when it holds no more.
use crate::support::*;
use carded_verifier::{
    Basis, ClaimPath, Condensed, DocumentKind, Evidence, Fetch, Issuer, KeySource, Limits, Outcome, Reply, verify,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn paths(names: &[&str]) -> Arc<[ClaimPath]> {
    names.iter().map(|name| ClaimPath::parse_dotted(name).unwrap()).collect()
}

fn remote(name: &str, host: &str, keys: KeySource) -> Issuer {
    Issuer::new(name, id(&format!("https://{host}")), vec![AUD.to_owned()], asymmetric(), keys)
}

fn jwks_uri(host: &str) -> KeySource {
    KeySource::JwksUri(url(&format!("https://{host}/keys")))
}

fn token_of(host: &str) -> String {
    sign(&with("iss", json!(format!("https://{host}"))))
}

/// The verdict on a token, with whatever is fetched on the way answered by `keys`.
fn remember(world: &mut World, token: &str, keys: &[u8], offset: i64) -> (Condensed, Basis) {
    for _ in 0..4 {
        match verify(&Evidence::access_token(token.as_bytes()), &world.trust, &world.known, at(offset)) {
            Outcome::Verified(verified) => return verified.condensed(&world.trust, &paths(&["sub"])),
            Outcome::Need(fetch) => put(world, &fetch, keys, offset),
            Outcome::Denied(denied) => panic!("{denied:?}"),
        }
    }
    panic!("too many documents");
}

/// Puts a key set in; a discovery document that names it where that is asked for.
fn put(world: &mut World, fetch: &Fetch, keys: &[u8], offset: i64) {
    let iss = fetch.url().as_str().split("/.well-known").next().unwrap().to_owned();
    let body = match fetch.kind() {
        DocumentKind::Discovery => json!({ "issuer": iss, "jwks_uri": format!("{iss}/keys") }).to_string().into_bytes(),
        _ => keys.to_vec(),
    };
    let reply = Reply { status: 200, body, max_age: Some(Duration::from_secs(600)) };
    world.known.insert(fetch, &reply, at(offset)).unwrap();
}

fn holds(world: &World, (condensed, basis): &mut (Condensed, Basis), offset: i64) -> bool {
    condensed.still_holds(basis, &world.trust, &world.known, at(offset))
}

/// The fetch of an issuer's first document.
fn first(world: &World, issuer: usize) -> Fetch {
    world.trust.first_fetches().remove(issuer)
}

#[test]
fn it_keeps_who_vouches_for_whom_and_the_claims_that_were_asked_for() {
    let world = World::new();
    let mut claims = with("roles", json!(["clerk", "staff"]));
    claims.insert("realm".to_owned(), json!({ "a": { "b": 1 }, "secret": 2 }));
    let verified = world.ok(sign(&claims));
    let issuer = verified.issuer_index();
    let (condensed, _) = verified.condensed(&world.trust, &paths(&["roles", "realm.a", "missing"]));
    assert_eq!((condensed.iss(), condensed.subject(), condensed.tenant()), (ISS, Some("alice"), None));
    assert_eq!(condensed.issuer_index(), issuer);
    let claim = |name: &str| condensed.claim(&ClaimPath::parse_dotted(name).unwrap()).cloned();
    assert_eq!(claim("roles"), Some(json!(["clerk", "staff"])));
    assert_eq!(claim("realm.a"), Some(json!({ "b": 1 })));
    for dropped in ["missing", "realm", "realm.a.b", "realm.secret", "sub", "jti"] {
        assert_eq!(claim(dropped), None, "{dropped}");
    }
    assert!(!format!("{condensed:?}").contains("alice"));
}

#[test]
fn what_it_takes_does_not_grow_with_the_claims_that_are_dropped() {
    let world = World::new();
    let memory = |padding: usize| {
        let claims = with("padding", json!("x".repeat(padding)));
        world.ok(sign(&claims)).condensed(&world.trust, &paths(&["roles"])).0.memory()
    };
    assert_eq!(memory(1), memory(5_000));
    let roles = |count: usize| {
        let claims = with("roles", json!(vec!["clerk"; count]));
        world.ok(sign(&claims)).condensed(&world.trust, &paths(&["roles"])).0.memory()
    };
    assert!(roles(100) >= roles(1) + 99 * (size_of::<Value>() + "clerk".len()), "{} {}", roles(1), roles(100));
}

#[test]
fn its_times_are_compared_each_time_with_the_skew_of_the_issuer() {
    let world = World::new();
    for (claims, from, until) in [
        (claims(), -70, 660),
        (with("nbf", json!(NOW + 5)), -55, 660),
        (with("nbf", json!(NOW as f64 + 4.5)), -55, 660),
        (with("exp", json!(NOW as f64 + 600.9)), -70, 660),
    ] {
        let mut verdict = world.ok(sign(&claims)).condensed(&world.trust, &paths(&[]));
        assert_eq!(verdict.0.ends(), at(until));
        for offset in from - 2..from + 2 {
            assert_eq!(holds(&world, &mut verdict, offset), offset >= from, "{claims:?} at {offset}");
        }
        for offset in until - 2..until + 2 {
            assert_eq!(holds(&world, &mut verdict, offset), offset < until, "{claims:?} at {offset}");
        }
        for offset in [from - 1, from, until - 1, until] {
            let outcome =
                verify(&Evidence::access_token(sign(&claims).as_bytes()), &world.trust, &world.known, at(offset));
            assert_eq!(
                matches!(outcome, Outcome::Verified(_)),
                holds(&world, &mut verdict, offset),
                "as when verified anew"
            );
        }
    }
}

#[test]
fn threat_27_a_key_that_is_withdrawn_withdraws_the_verdict_and_no_other_issuers() {
    let (a, b) = ("a.example.com", "b.example.com");
    let issuers = vec![remote("a", a, jwks_uri(a)), remote("b", b, jwks_uri(b))];
    let mut world = World::of(issuers);
    let keys = jwks(&[&key("EdDSA")]);
    let mut of_a = remember(&mut world, &token_of(a), &keys, 0);
    let mut of_b = remember(&mut world, &token_of(b), &keys, 0);
    // renewed unchanged: both hold on
    let (fetch_a, fetch_b) = (first(&world, 0), first(&world, 1));
    put(&mut world, &fetch_a, &keys, 1);
    assert!(holds(&world, &mut of_a, 1) && holds(&world, &mut of_b, 1));
    // a key more takes back only what rests on this very set
    put(&mut world, &fetch_a, &jwks(&[&key("EdDSA"), &key("ES256")]), 2);
    assert!(!holds(&world, &mut of_a, 2) && holds(&world, &mut of_b, 2));
    let mut of_a = remember(&mut world, &token_of(a), &keys, 2);
    put(&mut world, &fetch_a, &jwks(&[&key("ES256")]), 3);
    assert!(!holds(&world, &mut of_a, 3), "withdrawn");
    // the very same set again is no reason to believe an old verdict
    put(&mut world, &fetch_a, &jwks(&[&key("EdDSA"), &key("ES256")]), 4);
    assert!(!holds(&world, &mut of_a, 4));
    assert!(holds(&world, &mut of_b, 4));
    put(&mut world, &fetch_b, &jwks(&[&key("ES256")]), 5);
    assert!(!holds(&world, &mut of_b, 5));
}

#[test]
fn it_lasts_as_long_as_the_key_set_serves() {
    let host = "a.example.com";
    for keys in [jwks_uri(host), KeySource::Discovery] {
        let mut world = World::of(vec![remote("a", host, keys)]);
        let set = jwks(&[&key("EdDSA")]);
        let mut claims = with("iss", json!(format!("https://{host}")));
        claims.insert("exp".to_owned(), json!(NOW + 10_000_000));
        let mut verdict = remember(&mut world, &sign(&claims), &set, 0);
        assert!(holds(&world, &mut verdict, 599));
        assert!(!holds(&world, &mut verdict, 600), "nobody renews it: it is asked for again");
        // a provider that is down: the old set serves for a bounded while, and so does what rests on it
        let fetch = first(&world, 0);
        let stale = i64::try_from(Limits::default().stale.as_secs()).unwrap();
        for offset in [600, 600 + stale - 1, 600 + stale] {
            world.known.fail(&fetch, carded_verifier::FetchFailure::Timeout, at(offset));
            if fetch.kind() == DocumentKind::Discovery {
                let jwks = world.known.due(&world.trust, at(offset + 1)).into_iter().find(|due| *due != fetch);
                jwks.into_iter()
                    .for_each(|jwks| world.known.fail(&jwks, carded_verifier::FetchFailure::Timeout, at(offset)));
            }
            assert_eq!(holds(&world, &mut verdict, offset), offset < 600 + stale, "at {offset}");
        }
    }
}

#[test]
fn a_provider_that_moves_its_keys_takes_verdicts_back() {
    let host = "a.example.com";
    let mut world = World::of(vec![remote("a", host, KeySource::Discovery)]);
    let set = jwks(&[&key("EdDSA")]);
    let mut verdict = remember(&mut world, &token_of(host), &set, 0);
    assert!(holds(&world, &mut verdict, 1));
    let iss = format!("https://{host}");
    let body = json!({ "issuer": iss, "jwks_uri": format!("{iss}/new-keys") }).to_string().into_bytes();
    let moved = Reply { status: 200, body, max_age: None };
    let fetch = first(&world, 0);
    world.known.insert(&fetch, &moved, at(2)).unwrap();
    assert!(!holds(&world, &mut verdict, 2), "its keys are where nobody looked yet");
}

#[test]
fn keys_of_the_configuration_are_never_out_of_date() {
    let mut world = World::of(vec![corp(), remote("a", "a.example.com", jwks_uri("a.example.com"))]);
    let mut verdict = world.ok(sign(&claims())).condensed(&world.trust, &paths(&[]));
    let fetch = first(&world, 0);
    put(&mut world, &fetch, &jwks(&[&key("EdDSA")]), 0);
    put(&mut world, &fetch, &jwks(&[&key("ES256")]), 1);
    assert!(holds(&world, &mut verdict, 2));
}

#[test]
fn a_document_that_is_forgotten_for_room_takes_its_verdicts_with_it() {
    let (a, b, c) = ("a.example.com", "b.example.com", "c.example.com");
    let limits = Limits { max_documents: 2, ..Limits::default() };
    let issuers = vec![remote("a", a, jwks_uri(a)), remote("b", b, jwks_uri(b)), remote("c", c, jwks_uri(c))];
    let mut world = World::limited(issuers, limits).unwrap();
    let keys = jwks(&[&key("EdDSA")]);
    let mut of_a = remember(&mut world, &token_of(a), &keys, 0);
    drop(remember(&mut world, &token_of(c), &keys, 1));
    assert!(holds(&world, &mut of_a, 1));
    let mut of_b = remember(&mut world, &token_of(b), &keys, 2);
    assert!(!holds(&world, &mut of_a, 2));
    assert!(holds(&world, &mut of_b, 2));
    // and the same set, fetched anew, is another document
    let again = first(&world, 0);
    put(&mut world, &again, &keys, 3);
    assert!(!holds(&world, &mut of_a, 3));
}

#[test]
fn a_document_that_comes_after_a_failure_is_looked_at() {
    let host = "a.example.com";
    let mut world = World::of(vec![remote("a", host, jwks_uri(host))]);
    let fetch = first(&world, 0);
    let keys = jwks(&[&key("EdDSA")]);
    let mut version = world.known.version();
    for (offset, fails, changes) in [(0, true, false), (31, false, true), (32, false, false), (33, true, false)] {
        match fails {
            true => world.known.fail(&fetch, carded_verifier::FetchFailure::Timeout, at(offset)),
            false => put(&mut world, &fetch, &keys, offset),
        }
        assert_eq!(world.known.version() != version, changes, "at {offset}");
        version = world.known.version();
    }
}
