//! Requests that arrive before the keys do: they wait, bounded in number and time, nothing of them slips on, and every one
//! is answered.

use std::time::Duration;

use carded_wasm_host::{Answer, HeaderMap, Host, Outcome, Request};
use serde_json::json;

use crate::support::{Claims, Key, MINUTE, Provider, SECOND, api, config, host_with};

/// A host whose provider takes half a second for each of its two documents.
fn slow(headers_stop_iteration: bool) -> (Host, Provider, Key) {
    let key = Key::new(1, "k1");
    let idp = Provider::new(&[&key]);
    idp.delay(Duration::from_millis(500));
    let builder = host_with(&config(), &idp).headers_stop_iteration(headers_stop_iteration);
    (builder.start().expect("starts"), idp, key)
}

#[test]
fn a_request_waits_for_the_keys_and_passes() {
    let (mut host, idp, key) = slow(true);
    let id = host.send(0, api(&key.good()));
    host.settle();
    assert!(host.outcome(id).is_waiting());
    host.advance(Duration::from_millis(900));
    assert!(host.outcome(id).is_waiting());
    host.advance(Duration::from_millis(300));
    assert_eq!(host.outcome(id).passed().headers.text("x-carded-subject").as_deref(), Some("alice"));
    assert_eq!((idp.asked("/.well-known/openid-configuration"), idp.asked_for_keys()), (1, 1));
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
}

#[test]
fn a_body_waits_with_its_request_in_both_pause_modes() {
    for allow in [true, false] {
        let (mut host, _, key) = slow(allow);
        let post = Request::new("POST", "/api/orders").body(&[b"one ", b"two"]);
        let trailers = HeaderMap::from_pairs([("x-checksum", "7")]);
        let good = host.send(0, post.clone().bearer(&key.good()).trailers(trailers.clone()));
        let bad = host.send(0, post.bearer(&key.token(&Claims::of("alice").with("exp", 1))));
        host.settle();
        assert!(host.all_passed().is_empty(), "nothing slips on by its body or its trailers (allow: {allow})");
        host.advance(SECOND * 2);
        let passed = host.outcome(good).passed().clone();
        assert_eq!((passed.body.as_slice(), passed.ended), (&b"one two"[..], true), "allow: {allow}");
        assert_eq!(passed.trailers, Some(trailers), "allow: {allow}");
        host.outcome(bad).refused(401, "token_expired");
        assert_eq!(host.all_passed().len(), 1);
    }
}

#[test]
fn a_body_that_trickles_in_is_held_until_the_verdict() {
    let (mut host, _, key) = slow(true);
    let good = host.send(0, Request::new("POST", "/api/orders").bearer(&key.good()).open());
    let bad = host.send(0, Request::new("POST", "/api/orders").bearer(&Key::new(2, "k1").good()).open());
    for id in [good, bad] {
        host.send_body(id, b"first", false);
        host.advance(Duration::from_millis(100));
    }
    assert!(host.all_passed().is_empty());
    host.advance(SECOND * 2);
    host.outcome(bad).refused(401, "signature_invalid");
    host.send_body(good, b" last", true);
    host.send_body(bad, b" last", true);
    host.advance(Duration::from_millis(50)); // what follows a part that was held back goes by the root context
    assert_eq!(host.outcome(good).passed().body, b"first last");
    assert_eq!(host.all_passed().len(), 1);
}

#[test]
fn two_thousand_waiters_are_refused_at_once_and_the_vm_lives() {
    let (mut host, idp, key) = slow(true);
    idp.broken_keys(Answer::refused());
    let ids: Vec<_> = (0..2000).map(|_| host.send(0, api(&key.good()))).collect();
    host.settle();
    assert!(ids.iter().all(|id| host.outcome(*id).is_waiting()));
    host.advance(SECOND * 2);
    for id in &ids {
        let reply = host.outcome(*id).refused(503, "keys_unavailable").clone();
        assert!(reply.headers.contains("retry-after"));
    }
    assert!(host.is_alive(0));
    assert_eq!((host.open_streams(0), host.all_passed().len()), (0, 0));
    idp.mend();
    host.advance(MINUTE);
    host.ask(api(&key.good())).passed();
}

#[test]
fn two_thousand_waiters_pass_at_once() {
    let (mut host, idp, key) = slow(true);
    let token = key.good();
    let ids: Vec<_> = (0..2000).map(|_| host.send(0, api(&token))).collect();
    host.advance(SECOND * 2);
    assert!(ids.iter().all(|id| matches!(host.outcome(*id), Outcome::Passed(_))));
    assert!(host.is_alive(0));
    assert_eq!(idp.asked_for_keys(), 1);
    assert_eq!(host.count("carded.waiting"), 0);
}

#[test]
fn the_first_waiter_leaves_and_the_others_are_answered() {
    // with very many issuers nothing is fetched ahead: the first request causes the fetch
    let key = Key::new(1, "k1");
    let idp = Provider::new(&[&key]);
    idp.delay(Duration::from_millis(500));
    let mut config = config();
    for number in 0..100 {
        config["issuers"][format!("i{number}")] = crate::support::corp();
        config["issuers"][format!("i{number}")]["issuer"] = json!(format!("https://idp.example.com/{number}"));
    }
    let mut host = host_with(&config, &idp).start().expect("starts");
    let first = host.send(0, api(&key.good()));
    host.advance(Duration::from_millis(100));
    assert_eq!(host.calls().len(), 1, "the first caused the fetch");
    let others: Vec<_> = (0..4).map(|_| host.send(0, api(&key.good()))).collect();
    host.leave(first);
    host.advance(SECOND * 2);
    assert!(matches!(host.outcome(first), Outcome::Left));
    for id in others {
        host.outcome(id).passed();
    }
    assert_eq!(host.calls().len(), 2, "discovery and keys, once each");
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
}

#[test]
fn the_first_waiter_for_an_unknown_key_leaves_and_the_others_pass() {
    let (mut host, idp, _) = slow(true);
    host.advance(MINUTE);
    // the key is new: the first that brings it has the set fetched again
    let fresh = Key::new(5, "k5");
    idp.rotate(&[&fresh]);
    let first = host.send(0, api(&fresh.good()));
    host.advance(Duration::from_millis(10));
    let others: Vec<_> = (0..3).map(|_| host.send(0, api(&fresh.good()))).collect();
    assert!(host.outcome(first).is_waiting(), "{:?}", host.outcome(first));
    host.leave(first);
    host.advance(SECOND * 3);
    for id in others {
        host.outcome(id).passed();
    }
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
}

#[test]
fn no_more_wait_than_may() {
    let key = Key::new(1, "k1");
    let idp = Provider::new(&[&key]);
    idp.delay(Duration::from_millis(500));
    let mut config = config();
    config["limits"] = json!({ "waiting_requests": 3 });
    let mut host = host_with(&config, &idp).start().expect("starts");
    let ids: Vec<_> = (0..5).map(|_| host.send(0, api(&key.good()))).collect();
    host.settle();
    for id in &ids[..3] {
        assert!(host.outcome(*id).is_waiting());
    }
    for id in &ids[3..] {
        let reply = host.outcome(*id).refused(503, "too_many_waiting").clone();
        assert!(reply.headers.contains("retry-after"));
    }
    // one leaves, and its place is free
    host.leave(ids[0]);
    let next = host.send(0, api(&key.good()));
    assert!(host.outcome(next).is_waiting());
    host.advance(SECOND * 2);
    for id in [ids[1], ids[2], next] {
        host.outcome(id).passed();
    }
}

#[test]
fn nobody_waits_longer_than_allowed() {
    let key = Key::new(1, "k1");
    let idp = Provider::new(&[&key]);
    idp.delay(Duration::from_secs(60));
    let mut config = config();
    config["limits"] = json!({ "waiting_time": "1s" });
    config["fetch"]["timeout"] = json!("30s");
    let mut host = host_with(&config, &idp).start().expect("starts");
    host.advance(Duration::from_millis(100));
    let id = host.send(0, api(&key.good()));
    host.advance(Duration::from_millis(900));
    assert!(host.outcome(id).is_waiting());
    host.advance(Duration::from_millis(300));
    host.outcome(id).refused(503, "keys_unavailable");
    assert_eq!(host.open_streams(0), 0);
}

#[test]
fn those_who_need_no_keys_do_not_wait() {
    let (mut host, _, key) = slow(true);
    host.ask(Request::get("/health")).passed();
    host.ask(Request::get("/feed/x")).passed();
    host.ask(Request::get("/api/x")).refused(401, "token_missing");
    // refused before any key is looked at
    host.ask(api(&key.token(&Claims::of("a").with("iss", "https://evil.example.com"))))
        .refused(401, "issuer_untrusted");
}
