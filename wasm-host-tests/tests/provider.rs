//! Providers that are slow, down, wrong or changing: doubt never passes, the documents that are there serve for a bounded
//! while, and a flood costs the provider next to nothing.

use std::time::Duration;

use carded_wasm_host::{Answer, Host};
use serde_json::{Value, json};

use crate::support::{Claims, Key, MINUTE, Provider, SECOND, api, ask_api, config, host_with, ready, start};

fn fresh_claims(host: &Host) -> Claims {
    Claims::of("alice").at(host.now())
}

/// What a provider can answer in place of its documents, by name.
fn misdeeds() -> Vec<(&'static str, Answer)> {
    let keys = |keys: Value| Answer::json(&json!({ "keys": keys }));
    let jwk = || Key::new(1, "k1").jwk();
    let mut private = jwk();
    private["d"] = json!("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
    vec![
        ("is down", Answer::refused()),
        ("breaks off", Answer::reset()),
        ("never answers", Answer::never()),
        ("is late", keys(json!([jwk()])).after(SECOND * 3)),
        ("answers 500", Answer::status(500, "oops")),
        ("answers 404", Answer::status(404, "{}")),
        ("answers 204", Answer::status(204, "")),
        ("redirects", Answer::redirect("https://evil.example.com/keys")),
        ("redirects with a body", Answer::json(&json!({ "keys": [jwk()] })).header("location", "/x").with_status(302)),
        ("answers garbage", Answer::status(200, vec![0xff; 64])),
        ("answers HTML", Answer::status(200, "<html>")),
        ("answers nothing", Answer::status(200, "")),
        ("answers an array", Answer::status(200, "[]")),
        ("answers cut JSON", Answer::status(200, r#"{"keys":[{"kty":"OKP""#)),
        ("answers deep JSON", Answer::status(200, "[".repeat(100_000))),
        ("is oversized", Answer::status(200, format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(300 * 1024)))),
        ("has no keys", keys(json!([]))),
        ("has one kid twice", keys(json!([jwk(), jwk()]))),
        ("gives a private key away", keys(json!([private]))),
    ]
}

#[test]
fn a_provider_that_misbehaves_never_lets_anyone_pass() {
    for (what, answer) in misdeeds() {
        for discovery_too in [false, true] {
            let key = Key::new(1, "k1");
            let idp = Provider::new(&[&key]);
            if discovery_too {
                idp.broken(answer.clone())
            } else {
                idp.broken_keys(answer.clone())
            }
            let mut host = host_with(&config(), &idp).start().expect("starts");
            let early = host.send(0, api(&key.good()));
            host.advance(SECOND * 8);
            let late = host.ask(api(&key.good()));
            for outcome in [host.outcome(early), late] {
                let reply = outcome.replied().clone();
                let expected = [(503, "keys_unavailable".to_owned()), (401, "key_not_found".to_owned())];
                assert!(expected.contains(&(reply.status, reply.code())), "a provider that {what}: {reply:?}");
            }
            assert!(host.is_alive(0) && host.all_passed().is_empty(), "a provider that {what}");
            // and when it behaves again, all is well
            idp.mend();
            host.advance(MINUTE * 2);
            let token = key.token(&fresh_claims(&host));
            host.send(0, api(&token));
            host.advance(SECOND * 5);
            assert_eq!(
                host.ask(api(&token)).passed().headers.text("x-carded-subject").as_deref(),
                Some("alice"),
                "{what}"
            );
        }
    }
}

#[test]
fn no_keys_at_all_is_a_503_that_says_when_to_try_again() {
    let key = Key::new(1, "k1");
    let idp = Provider::new(&[&key]);
    idp.broken(Answer::refused());
    let mut host = start(host_with(&config(), &idp));
    let reply = ask_api(&mut host, &key.good()).refused(503, "keys_unavailable").clone();
    let seconds: u64 = reply.headers.text("retry-after").and_then(|text| text.parse().ok()).expect("retry-after");
    assert!((1..=60).contains(&seconds), "{seconds}");
}

#[test]
fn a_cluster_that_envoy_does_not_have_is_a_503() {
    let key = Key::new(1, "k1");
    let mut config = config();
    config["fetch"]["clusters"] = json!({ "idp.example.com": "forgotten" });
    let mut host = start(host_with(&config, &Provider::new(&[&key])));
    ask_api(&mut host, &key.good()).refused(503, "keys_unavailable");
    assert!(host.is_alive(0));
}

#[test]
fn discovery_that_names_another_issuer_is_refused() {
    let key = Key::new(1, "k1");
    let idp = Provider::new(&[&key]);
    idp.calls_itself("https://idp.example.com/");
    let mut host = start(host_with(&config(), &idp));
    ask_api(&mut host, &key.good()).refused(503, "keys_unavailable");
    assert_eq!(idp.asked_for_keys(), 0);
}

#[test]
fn documents_are_refreshed_ahead_of_their_end_and_nobody_waits() {
    let (mut host, idp, key) = ready();
    assert_eq!(idp.asked_for_keys(), 1);
    for _ in 0..60 {
        host.advance(MINUTE);
        let token = key.token(&fresh_claims(&host));
        ask_api(&mut host, &token).passed(); // at once: `ask` lets no time pass
    }
    // ten minutes is the default lifetime
    assert!((5..=12).contains(&idp.asked_for_keys()), "asked {} times in an hour", idp.asked_for_keys());
}

#[test]
fn max_age_counts_within_bounds() {
    for (max_age, few, many) in [(0, 20, 61), (3600, 0, 2), (1_000_000_000, 0, 2)] {
        let key = Key::new(1, "k1");
        let idp = Provider::new(&[&key]);
        idp.max_age(max_age);
        let mut host = start(host_with(&config(), &idp));
        let before = idp.asked_for_keys();
        for _ in 0..30 {
            host.advance(MINUTE);
        }
        let asked = idp.asked_for_keys() - before;
        assert!((few..=many).contains(&asked), "max-age {max_age}: asked {asked} times in half an hour");
    }
}

#[test]
fn stale_keys_serve_for_a_while_and_then_no_more() {
    let (mut host, idp, key) = ready();
    idp.broken(Answer::refused());
    host.advance(MINUTE * 40);
    let token = key.token(&fresh_claims(&host));
    ask_api(&mut host, &token).passed();
    // lifetime 10m and stale 1h have passed
    host.advance(MINUTE * 40);
    let token = key.token(&fresh_claims(&host));
    let id = host.send(0, api(&token));
    host.advance(SECOND * 6);
    host.outcome(id).refused(503, "keys_unavailable");
    idp.mend();
    host.advance(MINUTE * 2);
    let token = key.token(&fresh_claims(&host));
    ask_api(&mut host, &token).passed();
}

#[test]
fn a_provider_that_stays_down_is_not_hammered() {
    let (mut host, idp, key) = ready();
    idp.broken(Answer::refused());
    let before = idp.asked("/keys") + idp.asked("/.well-known/openid-configuration");
    for _ in 0..120 {
        host.advance(MINUTE);
        let token = key.token(&fresh_claims(&host));
        host.send(0, api(&token));
    }
    let asked = idp.asked("/keys") + idp.asked("/.well-known/openid-configuration") - before;
    // two hours, two documents, a cooldown of 30 s
    assert!(asked <= 2 * 2 * 120 + 4, "asked {asked} times in two hours");
}

#[test]
fn a_flood_of_unknown_keys_costs_one_fetch_per_cooldown() {
    let (mut host, idp, key) = ready();
    host.advance(MINUTE);
    let before = idp.asked_for_keys();
    let stranger = Key::new(9, "k9");
    for number in 0..1000 {
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": format!("unknown-{number}") });
        let id = host.send(0, api(&stranger.token_with(&header, &fresh_claims(&host))));
        host.advance(Duration::from_millis(60));
        host.outcome(id).refused(401, "key_not_found");
    }
    // one minute, a cooldown of 30 s
    let asked = idp.asked_for_keys() - before;
    assert!((1..=3).contains(&asked), "asked {asked} times");
    let token = key.token(&fresh_claims(&host));
    ask_api(&mut host, &token).passed();
}

#[test]
fn a_flood_of_unknown_issuers_costs_nothing() {
    let (mut host, idp, key) = ready();
    let before = host.calls().len();
    for number in 0..300 {
        let claims = Claims::of("a").with("iss", format!("https://evil-{number}.example.com"));
        ask_api(&mut host, &key.token(&claims)).refused(401, "issuer_untrusted");
    }
    assert_eq!(host.calls().len(), before);
    assert_eq!(idp.asked_for_keys(), 1);
}

#[test]
fn keys_rotate_without_anyone_being_refused() {
    let (mut host, idp, old) = ready();
    host.advance(MINUTE);
    let new = Key::new(2, "k2");
    idp.rotate(&[&old, &new]);
    let id = host.send(0, api(&new.token(&fresh_claims(&host))));
    host.advance(SECOND);
    host.outcome(id).passed();
    let token = old.token(&fresh_claims(&host));
    ask_api(&mut host, &token).passed();
    // the old key goes
    idp.rotate(&[&new]);
    host.advance(MINUTE * 11);
    let token = old.token(&fresh_claims(&host));
    let id = host.send(0, api(&token));
    host.advance(SECOND);
    host.outcome(id).refused(401, "key_not_found");
    let token = new.token(&fresh_claims(&host));
    ask_api(&mut host, &token).passed();
}

#[test]
fn a_verdict_does_not_outlive_its_key() {
    // the same token passes, its key is withdrawn, and it is refused: no memory of the verdict helps
    let (mut host, idp, key) = ready();
    let token = key.token(&Claims::of("alice").with("exp", host.now() + 7200));
    ask_api(&mut host, &token).passed();
    idp.rotate(&[&Key::new(2, "k2")]);
    host.advance(MINUTE * 11);
    let id = host.send(0, api(&token));
    host.advance(SECOND);
    host.outcome(id).refused(401, "key_not_found");
}

#[test]
fn calls_go_where_the_configuration_says_and_say_so() {
    let (host, _, _) = ready();
    let calls = host.calls();
    assert!(!calls.is_empty());
    for call in calls {
        assert_eq!((call.cluster.as_str(), call.authority().as_str()), ("idp", "idp.example.com"));
        assert_eq!(call.headers.text(":scheme").as_deref(), Some("https"));
        assert_eq!(call.headers.text(":method").as_deref(), Some("GET"));
        assert_eq!(call.timeout, Some(SECOND * 2));
    }
}
