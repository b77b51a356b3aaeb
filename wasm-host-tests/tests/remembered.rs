//! Evidence that the built filter remembers: it is verified once, and holds no longer than what it rests on. How often a
//! signature was checked is what the histogram of verification times counts.

use carded_wasm_host::{Host, Metric, Outcome, Request};
use serde_json::json;

use crate::support::{
    Claims, Key, MINUTE, Provider, SECOND, START, agency, api, ask_api, config, filter, host_with, ready, ready_with,
    start,
};

/// How many decisions checked a signature.
fn verified(host: &Host) -> usize {
    match host.metric("carded.verify_us") {
        Some(Metric::Histogram(times)) => times.len(),
        other => panic!("{other:?}"),
    }
}

/// How many decisions check a signature while this happens.
fn verified_while(host: &mut Host, act: impl FnOnce(&mut Host)) -> usize {
    let before = verified(host);
    act(host);
    verified(host) - before
}

fn ask(host: &mut Host, path: &str, token: &str) -> Outcome {
    let id = host.send(0, Request::get(path).bearer(token));
    host.advance(SECOND);
    host.outcome(id)
}

#[test]
fn a_token_is_verified_once_and_ends_with_its_time() {
    let (mut host, _, key) = ready();
    let token = key.token(&Claims::of("alice").with("exp", START + 30));
    let checked = verified_while(&mut host, |host| {
        for _ in 0..5 {
            let outcome = ask_api(host, &token);
            assert_eq!(outcome.passed().headers.text("x-carded-subject").as_deref(), Some("alice"));
            assert_eq!(outcome.passed().headers.text("x-carded-roles").as_deref(), Some("clerk"));
        }
    });
    assert_eq!(checked, 1);
    host.advance(SECOND * 80);
    ask_api(&mut host, &token).passed();
    host.advance(SECOND * 10);
    ask_api(&mut host, &token).refused(401, "token_expired");
}

#[test]
fn threat_27_what_another_issuer_does_with_its_keys_takes_no_verdict_back() {
    let mut config = config();
    config["issuers"]["other"] = json!({
        "issuer": "https://other.example.com", "audiences": ["api.example.com"],
        "keys": { "jwks_uri": "https://other.example.com/keys" }
    });
    config["fetch"]["clusters"]["other.example.com"] = json!("other");
    config["rules"]
        .as_array_mut()
        .expect("rules")
        .push(json!({ "match": { "path": "/other" }, "require": { "token": "other" } }));
    let (key, theirs) = (Key::new(1, "k1"), Key::new(5, "k5"));
    let (idp, other) = (Provider::new(&[&key]), Provider::new(&[&theirs]));
    idp.max_age(60);
    other.max_age(60);
    let mut host = start(host_with(&config, &idp).cluster("other", other.answers()));
    let until = START + 7200;
    let ours = key.token(&Claims::of("alice").with("exp", until));
    let their = theirs.token(&Claims::of("bob").with("exp", until).with("iss", "https://other.example.com"));
    ask(&mut host, "/api/x", &ours).passed();
    ask(&mut host, "/other", &their).passed();
    // renewed in the background, again and again, and unchanged
    let checked = verified_while(&mut host, |host| {
        for _ in 0..20 {
            host.advance(MINUTE);
            ask(host, "/api/x", &ours).passed();
            ask(host, "/other", &their).passed();
        }
    });
    assert_eq!(checked, 0, "documents that are renewed unchanged take nothing back");
    // the other issuer gets a key more
    other.rotate(&[&theirs, &Key::new(6, "k6")]);
    host.advance(MINUTE * 11);
    let checked = verified_while(&mut host, |host| {
        ask(host, "/api/x", &ours).passed();
    });
    assert_eq!(checked, 0);
    let checked = verified_while(&mut host, |host| {
        ask(host, "/other", &their).passed();
    });
    assert_eq!(checked, 1, "what rests on the changed set is verified anew");
    // and withdraws its old one
    other.rotate(&[&Key::new(6, "k6")]);
    host.advance(MINUTE * 11);
    ask(&mut host, "/other", &their).refused(401, "key_not_found");
    let checked = verified_while(&mut host, |host| {
        ask(host, "/api/x", &ours).passed();
    });
    assert_eq!(checked, 0);
}

#[test]
fn threat_27_places_that_admit_other_issuers_share_no_verdict() {
    let mut config = config();
    let second = Key::new(2, "k2");
    config["issuers"]["other"] = crate::support::inline_issuer("https://other.example.com", &second);
    config["rules"].as_array_mut().expect("rules").extend([
        json!({ "match": { "path": "/other" }, "require": { "token": "other" } }),
        json!({ "match": { "path": "/any" }, "require": { "any": [{ "token": "corp" }, { "token": "other" }] } }),
    ]);
    let (mut host, _, key) = ready_with(&config);
    let token = key.good();
    for _ in 0..3 {
        ask(&mut host, "/any", &token).passed();
        ask(&mut host, "/other", &token).refused(401, "issuer_untrusted");
        ask(&mut host, "/api/x", &token).passed();
    }
}

#[test]
fn threat_82_a_flood_of_tokens_does_not_push_out_those_in_use() {
    let mut config = config();
    config["limits"] = json!({ "cached_verdicts": 500 });
    let (mut host, _, key) = ready_with(&config);
    let working: Vec<String> = (0..50).map(|number| key.token(&Claims::of(&format!("user-{number}")))).collect();
    for _ in 0..3 {
        for token in &working {
            ask_api(&mut host, token).passed();
        }
    }
    let mut anew = 0;
    for number in 0..4_000 {
        let flood = key.token(&Claims::of("mallory").with("jti", number));
        ask_api(&mut host, &flood).passed();
        if number % 2 == 0 {
            ask_api(&mut host, &flood).passed();
        }
        if number % 10 == 0 {
            let token = &working[number / 10 % working.len()];
            anew += verified_while(&mut host, |host| {
                ask_api(host, token).passed();
            });
        }
    }
    assert!(anew <= 20, "of 400 uses {anew} were verified anew");
}

#[test]
fn threat_60_a_session_that_is_remembered_ends_with_its_status() {
    let mut host = Host::builder(filter())
        .configuration(&agency::config())
        .clock(START)
        .env("CARDED_SESSION_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
        .cluster("dmv", agency::answer)
        .headers_stop_iteration(true)
        .start()
        .expect("starts");
    let session = agency::enter(&mut host);
    let wine = |host: &mut Host| {
        let id = host.send(0, Request::get("/wine/red").header("cookie", session.as_str()));
        host.advance(SECOND);
        host.outcome(id)
    };
    for _ in 0..3 {
        assert_eq!(wine(&mut host).passed().headers.text("x-carded-over-21").as_deref(), Some("true"));
    }
    let calls = host.calls().len();
    host.set_cluster("dmv", |call| agency::answer_with(call, 1));
    host.advance(SECOND * 30);
    wine(&mut host).passed();
    assert_eq!(host.calls().len(), calls, "the list counts for its time");
    host.advance(MINUTE * 60);
    wine(&mut host).refused(401, "credential_revoked");
    // a cookie with one letter changed is none
    let mut damaged = session.clone().into_bytes();
    let last = damaged.len() - 2;
    damaged[last] = if damaged[last] == b'A' { b'B' } else { b'A' };
    let damaged = String::from_utf8(damaged).expect("ASCII");
    host.ask(Request::get("/wine/red").header("cookie", damaged.as_str())).refused(401, "presentation_required");
}

#[test]
fn a_worker_that_comes_back_remembers_nothing_and_verifies_anew() {
    let (mut host, _, key) = ready();
    let token = key.good();
    ask_api(&mut host, &token).passed();
    host.kill(0);
    host.send(0, api(&token));
    host.advance(SECOND * 2);
    let checked = verified_while(&mut host, |host| {
        ask(host, "/api/x", &token).passed();
        ask(host, "/api/x", &token).passed();
    });
    assert!(checked <= 1, "{checked}");
}
