//! Threats 79 and 82 for issuers with many tenants: patterns, made-up tenants, bounded documents.
use crate::support::*;
use carded_verifier::{Code, DocumentKind, Fetch, FetchFailure, Issuer, KeySource, Limits, Outcome, TrustError};
use serde_json::json;

const PATTERN: &str = "https://login.example.com/{tenant}/v2.0";

fn iss(tenant: &str) -> String {
    PATTERN.replace("{tenant}", tenant)
}

fn open() -> Issuer {
    Issuer { name: "many".to_owned(), issuer: id(PATTERN), keys: KeySource::Discovery, ..corp() }
}

fn listed(tenants: &[&str]) -> Issuer {
    Issuer { tenants: Some(tenants.iter().map(|t| (*t).to_owned()).collect()), ..open() }
}

fn token(tenant: &str) -> String {
    sign(&with("iss", json!(iss(tenant))))
}

/// Fetches what a tenant needs, each with a key of its own name.
fn learn(world: &mut World, tenant: &str, offset: i64) -> Vec<Fetch> {
    let mut fetches = Vec::new();
    while let Outcome::Need(fetch) = world.verify_at(token(tenant), offset) {
        let body = match fetch.kind() {
            DocumentKind::Discovery => {
                discovery(&iss(tenant), &format!("https://login.example.com/{tenant}/keys")).into_bytes()
            }
            DocumentKind::Jwks => jwks(&[&key("EdDSA")]),
            other => panic!("{other:?}"),
        };
        world.put(&fetch, body, offset);
        fetches.push(fetch);
    }
    fetches
}

#[test]
fn each_tenant_has_its_own_documents() {
    let mut world = World::of(vec![open()]);
    let fetches = learn(&mut world, "a", 0);
    assert_eq!(
        fetches.iter().map(Fetch::id).collect::<Vec<_>>(),
        [
            "discovery|many|a|https://login.example.com/a/v2.0/.well-known/openid-configuration",
            "jwks|many|a|https://login.example.com/a/keys"
        ]
    );
    assert!(fetches[0].unknown_tenant() && !fetches[1].unknown_tenant());
    let verified = world.ok(token("a"));
    assert_eq!((verified.tenant(), verified.issuer_name()), (Some("a"), "many"));
    assert_eq!(verified.iss(), iss("a"));
    assert!(verified.report().to_string().contains("tenant a"));
    // another tenant's keys are others
    assert!(world.need_at(token("b"), 0).unknown_tenant());
    // tenants have case
    assert!(world.need_at(token("A"), 0).unknown_tenant());
}

#[test]
fn a_discovery_document_of_another_tenant_is_refused() {
    let mut world = World::of(vec![open()]);
    let fetch = world.need_at(token("a"), 0);
    for bad in [iss("b"), PATTERN.to_owned(), iss("a") + "/"] {
        let body = discovery(&bad, "https://login.example.com/a/keys");
        assert!(world.known.insert(&fetch, &reply(body), at(0)).is_err(), "{bad}");
    }
}

#[test]
fn only_listed_tenants_are_trusted() {
    let mut world = World::of(vec![listed(&["a", "b"])]);
    let ahead: Vec<_> = world.trust.first_fetches();
    assert_eq!(ahead.len(), 2);
    assert!(ahead.iter().all(|fetch| !fetch.unknown_tenant()));
    assert_eq!(world.need_at(token("a"), 0), ahead[0]);
    assert_eq!(world.code(token("c")), Code::IssuerUntrusted);
    learn(&mut world, "a", 0);
    world.ok(token("a"));
}

#[test]
fn a_pattern_never_crosses_a_slash_or_a_host() {
    let world = World::of(vec![open()]);
    for bad in [
        "https://login.example.com//v2.0",
        "https://login.example.com/a/b/v2.0",
        "https://login.example.com/a%2fb/v2.0",
        "https://login.example.com/../v2.0",
        "https://login.example.com/a/v2.0/",
        "https://login.example.com/a/v2.0#x",
        "https://login.example.com/a?x=/v2.0",
        "https://login.example.com.evil.example/a/v2.0",
        "https://login.example.com@evil.example/a/v2.0",
        "https://evil.example/login.example.com/a/v2.0",
        "https://evil.example/https://login.example.com/a/v2.0",
        "https://login.example.com\\@evil.example/a/v2.0",
        "http://login.example.com/a/v2.0",
        "//login.example.com/a/v2.0",
        "login.example.com/a/v2.0",
    ] {
        assert_eq!(world.code(sign(&with("iss", json!(bad)))), Code::IssuerUntrusted, "{bad}");
    }
    let long = iss(&"x".repeat(129));
    assert_eq!(world.code(sign(&with("iss", json!(long)))), Code::IssuerUntrusted);
}

#[test]
fn one_key_set_for_all_tenants() {
    let common = Issuer { keys: KeySource::JwksUri(url("https://login.example.com/common/keys")), ..open() };
    let mut world = World::of(vec![common]);
    let fetch = world.need_at(token("a"), 0);
    assert!(!fetch.unknown_tenant());
    assert_eq!(world.trust.first_fetches(), std::slice::from_ref(&fetch));
    world.put(&fetch, jwks(&[&key("EdDSA")]), 0);
    for tenant in ["a", "b", "made-up"] {
        assert_eq!(world.ok(token(tenant)).tenant(), Some(tenant));
    }
}

#[test]
fn threat_79_made_up_tenants_cost_one_failed_fetch_a_cooldown() {
    let mut world = World::of(vec![open()]);
    learn(&mut world, "real", 0);
    let mut fetches = 0;
    for offset in 0..300 {
        for n in 0..5 {
            if let Outcome::Need(fetch) = world.verify_at(token(&format!("x{offset}-{n}")), offset) {
                assert!(fetch.unknown_tenant());
                world.known.fail(&fetch, FetchFailure::Status(404), at(offset));
                fetches += 1;
            }
        }
        // who is known is not troubled
        assert!(matches!(world.verify_at(token("real"), offset), Outcome::Verified(_)), "{offset}");
    }
    assert_eq!(fetches, 10);
    assert_eq!(world.denied_at(token("y"), 299).code(), Code::KeysUnavailable);
    assert!(world.denied_at(token("y"), 299).retry_after().is_some());
    assert_eq!(world.known.len(), 2);
}

#[test]
fn threat_82_tenants_never_push_out_what_is_configured() {
    let limits = Limits { max_documents: 10, ..Limits::default() };
    let configured = Issuer { keys: KeySource::JwksUri(url("https://idp.example.com/jwks")), ..corp() };
    let mut world = World::limited(vec![configured, open()], limits).unwrap();
    let fetch = world.need_at(sign(&claims()), 0);
    world.put(&fetch, jwks(&[&key("EdDSA")]), 0);
    for n in 0..50 {
        learn(&mut world, &format!("t{n}"), n);
        assert!(world.known.len() <= 10);
        assert!(matches!(world.verify_at(sign(&claims()), n), Outcome::Verified(_)));
        // the newest is always there
        assert!(matches!(world.verify_at(token(&format!("t{n}")), n), Outcome::Verified(_)));
    }
    assert!(world.need_at(token("t0"), 50).unknown_tenant());
}

#[test]
fn configured_issuers_push_out_tenants_and_then_the_oldest() {
    let limits = Limits { max_documents: 4, ..Limits::default() };
    let issuer = |n: usize| Issuer {
        name: format!("i{n}"),
        issuer: id(&format!("https://i{n}.example")),
        keys: KeySource::JwksUri(url(&format!("https://i{n}.example/jwks"))),
        ..corp()
    };
    let mut issuers: Vec<Issuer> = (0..6).map(issuer).collect();
    issuers.push(open());
    let mut world = World::limited(issuers, limits).unwrap();
    let of = |n: usize| sign(&with("iss", json!(format!("https://i{n}.example"))));
    for n in 0..6 {
        let fetch = world.need_at(of(n), n as i64);
        world.put(&fetch, jwks(&[&key("EdDSA")]), n as i64);
        assert!(world.known.len() <= 4);
        if n == 0 {
            learn(&mut world, "a", 0);
        }
        // a tenant goes first, however much younger it is
        assert!(n > 3 || matches!(world.verify_at(of(0), 6), Outcome::Verified(_)), "{n}");
    }
    for n in 0..6 {
        assert_eq!(matches!(world.verify_at(of(n), 6), Outcome::Verified(_)), n >= 2, "{n}");
    }
    // there is no room for a tenant now, and that is a failure of its fetch
    let fetch = world.need_at(token("b"), 6);
    let body = discovery(&iss("b"), "https://login.example.com/b/keys");
    let error = world.known.insert(&fetch, &reply(body), at(6)).unwrap_err();
    assert_eq!(error.failure(), &FetchFailure::NoRoom);
    assert_eq!(world.denied_at(token("b"), 7).code(), Code::KeysUnavailable);
}

#[test]
fn open_tenants_are_not_refreshed_in_the_background() {
    let mut world = World::of(vec![open()]);
    learn(&mut world, "a", 0);
    assert!(world.known.due(&world.trust, at(10_000)).is_empty());
    let mut listed = World::of(vec![listed(&["a"])]);
    learn(&mut listed, "a", 0);
    assert_eq!(listed.known.due(&listed.trust, at(500)).len(), 2);
}

#[test]
fn an_exact_issuer_comes_before_a_pattern() {
    let exact = Issuer { name: "exact".to_owned(), issuer: id(&iss("special")), ..corp() };
    let world = World::of(vec![open(), exact]);
    assert_eq!(world.ok(token("special")).issuer_name(), "exact");
}

#[test]
fn patterns_that_could_both_match_are_refused() {
    let other = |text: &str| Issuer { name: "other".to_owned(), issuer: id(text), ..open() };
    for text in [PATTERN, "https://login.example.com/x/{tenant}"] {
        let error = World::limited(vec![open(), other(text)], Limits::default()).err();
        let expected = (text == PATTERN || text.ends_with("{tenant}"))
            .then(|| TrustError::DuplicateIssuer("many".to_owned(), "other".to_owned()));
        assert_eq!(error, expected, "{text}");
    }
    for text in [
        "https://login.example.com/{tenant}/v1.0",
        "https://login.example.com/{tenant}",
        "https://b.example/{tenant}/v2.0",
    ] {
        assert!(World::limited(vec![open(), other(text)], Limits::default()).is_ok(), "{text}");
    }
}

#[test]
fn tenants_need_a_pattern() {
    for (issuer, tenants) in
        [(ISS, &["a"][..]), (PATTERN, &[]), (PATTERN, &["a/b"]), (PATTERN, &[".."]), (PATTERN, &[""])]
    {
        let issuer = Issuer { issuer: id(issuer), ..listed(tenants) };
        let error = World::limited(vec![issuer], Limits::default()).err();
        assert_eq!(error, Some(TrustError::Tenants("many".to_owned())), "{tenants:?}");
    }
}

#[test]
fn threat_79_a_tenant_whose_keys_fail_costs_one_fetch_a_cooldown() {
    for max_documents in [100, 2] {
        let mut world = World::limited(vec![open()], Limits { max_documents, ..Limits::default() }).unwrap();
        if max_documents == 2 {
            learn(&mut world, "other", 0);
        }
        let mut fetches = 0;
        for offset in 0..300 {
            for _ in 0..5 {
                match world.verify_at(token("a"), offset) {
                    Outcome::Need(fetch) if fetch.kind() == DocumentKind::Discovery => {
                        world.put(&fetch, discovery(&iss("a"), "https://login.example.com/a/keys"), offset);
                    }
                    Outcome::Need(fetch) => {
                        world.known.fail(&fetch, FetchFailure::Timeout, at(offset));
                        fetches += 1;
                    }
                    other => assert!(matches!(other, Outcome::Denied(_))),
                }
            }
        }
        assert_eq!(fetches, 10, "{max_documents}");
    }
}
