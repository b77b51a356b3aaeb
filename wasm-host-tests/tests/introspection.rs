//! Opaque tokens through the built filter: their issuer is asked by one call of the root context, however many bring one.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use carded_wasm_host::{Answer, Call, Host, Request};
use serde_json::{Value, json};

use crate::support::{SECOND, START, api, config, filter, token::base64url};

const OPAQUE: &str = "2YotnFZFEjr1zCsicMWpAA";

/// An issuer that is asked, as a script.
#[derive(Clone)]
struct Idp(Rc<RefCell<State>>);

struct State {
    answer: Answer,
    delay: Duration,
    asked: Vec<(String, String)>,
}

fn active() -> Value {
    json!({
        "active": true, "sub": "alice", "aud": "api.example.com", "token_type": "Bearer",
        "exp": START + 3600, "realm_access": { "roles": ["clerk"] },
    })
}

impl Idp {
    fn answer(&self, call: &Call) -> Answer {
        assert_eq!(call.path(), "/introspect");
        let mut state = self.0.borrow_mut();
        let header = |name: &str| call.headers.text(name).unwrap_or_default();
        assert_eq!((header(":method"), header("content-type")).0, "POST");
        state.asked.push((String::from_utf8(call.body.clone()).expect("a form"), header("authorization")));
        state.answer.clone().after(state.delay)
    }

    fn asked(&self) -> usize {
        self.0.borrow().asked.len()
    }

    fn says(&self, answer: Answer) {
        self.0.borrow_mut().answer = answer;
    }
}

fn shop(workers: usize) -> (Host, Idp) {
    shop_of(workers, |_| {})
}

/// The same with something changed.
fn shop_of(workers: usize, change: impl Fn(&mut Value)) -> (Host, Idp) {
    let state = State { answer: Answer::json(&active()), delay: SECOND / 2, asked: Vec::new() };
    let idp = Idp(Rc::new(RefCell::new(state)));
    let mut config = config();
    config["issuers"]["corp"] = json!({
        "issuer": "https://idp.example.com", "audiences": ["api.example.com"],
        "introspection": {
            "endpoint": "https://idp.example.com/introspect", "client_id": "gateway", "client_secret": { "env": "SECRET" },
        },
    });
    change(&mut config);
    let provider = idp.clone();
    let host = Host::builder(filter())
        .configuration(&config)
        .clock(START)
        .workers(workers)
        .env("SECRET", "a secret of the gateway")
        .env("CARDED_SESSION_KEY", &base64url(&[7; 32]))
        .cluster("idp", move |call| provider.answer(call))
        .start();
    let mut host = host.unwrap_or_else(|refused| panic!("{}: {:#?}", refused.why, refused.logs));
    host.advance(SECOND * 2);
    (host, idp)
}

#[test]
fn a_thousand_requests_with_one_token_wait_for_one_call() {
    let (mut host, idp) = shop(1);
    let ids: Vec<_> = (0..1000).map(|_| host.send(0, api(OPAQUE))).collect();
    let other = host.send(0, api("another"));
    host.settle();
    let early = ids.iter().position(|id| !host.outcome(*id).is_waiting());
    assert!(early.is_none(), "{early:?}: {:?}", early.map(|at| host.outcome(ids[at])));
    host.leave(ids[0]);
    host.advance(SECOND * 2);
    for id in &ids[1..] {
        let outcome = host.outcome(*id);
        let headers = &outcome.passed().headers;
        assert_eq!(headers.text("x-carded-subject").as_deref(), Some("alice"));
        assert!(headers.text("authorization").is_none());
    }
    host.outcome(other).passed();
    let asked = idp.0.borrow().asked.clone();
    let [(form, authorization), (another, _)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(form, &format!("token={OPAQUE}&token_type_hint=access_token"));
    assert_eq!(another, "token=another&token_type_hint=access_token");
    assert!(authorization.starts_with("Basic "), "{authorization}");
    // remembered for a minute, by this worker
    host.advance(SECOND * 50);
    host.ask(api(OPAQUE)).passed();
    assert_eq!(idp.asked(), 2);
    idp.says(Answer::json(&json!({ "active": false })));
    host.advance(SECOND * 15);
    let id = host.send(0, api(OPAQUE));
    host.advance(SECOND);
    host.outcome(id).refused(401, "token_inactive");
    host.ask(api(OPAQUE)).refused(401, "token_inactive");
    assert_eq!(idp.asked(), 3, "a no is remembered, too");
    assert!(host.is_alive(0) && host.oddities().is_empty(), "{:?}", host.oddities());
    for secret in [OPAQUE, "a secret of the gateway", authorization.as_str()] {
        host.assert_never_logged(secret);
    }
}

#[test]
fn threat_77_an_endpoint_that_misbehaves_lets_nobody_in_and_recovers() {
    for (what, answer) in [
        ("is down", Answer::refused()),
        ("breaks off", Answer::reset()),
        ("never answers", Answer::never()),
        ("answers 500", Answer::status(500, "oops")),
        ("answers 401", Answer::status(401, r#"{"error":"invalid_client"}"#)),
        ("redirects", Answer::redirect("https://evil.example.com/introspect")),
        ("answers garbage", Answer::status(200, vec![0xff; 64])),
        ("says nothing of it", Answer::json(&json!({ "sub": "alice" }))),
        ("says it as a text", Answer::json(&json!({ "active": "true", "sub": "alice" }))),
        ("is oversized", Answer::status(200, "x".repeat(300 * 1024))),
    ] {
        let (mut host, idp) = shop(1);
        idp.says(answer);
        let ids: Vec<_> = (0..20).map(|_| host.send(0, api(OPAQUE))).collect();
        host.advance(SECOND * 8);
        for id in ids {
            let reply = host.outcome(id).refused(503, "introspection_unavailable").clone();
            assert!(reply.headers.contains("retry-after"), "{what}");
        }
        assert!(host.is_alive(0) && host.all_passed().is_empty() && host.oddities().is_empty(), "{what}");
        idp.says(Answer::json(&active()));
        host.advance(SECOND * 3);
        let id = host.send(0, api(OPAQUE));
        host.advance(SECOND);
        host.outcome(id).passed();
    }
}

#[test]
fn threat_79_a_flood_of_made_up_tokens_makes_few_calls_in_the_built_module() {
    let (mut host, idp) = shop(1);
    idp.says(Answer::json(&json!({ "active": false })));
    let ids: Vec<_> = (0..1000).map(|number| host.send(0, api(&format!("made-up-{number}")))).collect();
    host.advance(SECOND * 8);
    assert!(idp.asked() <= 200, "{} calls", idp.asked());
    assert!(ids.iter().all(|id| !host.outcome(*id).is_waiting()));
    assert!(host.all_passed().is_empty() && host.is_alive(0));
}

#[test]
fn each_worker_asks_for_itself() {
    let (mut host, idp) = shop(2);
    for worker in [0, 1, 0, 1] {
        let id = host.send(worker, api(OPAQUE));
        host.advance(SECOND);
        host.outcome(id).passed();
    }
    assert_eq!(idp.asked(), 2);
}

#[test]
fn an_opaque_token_is_asked_about_once_and_exchanged() {
    let (mut host, idp) = shop_of(2, |config| {
        config["sessions"] = json!({ "keys": [{ "env": "CARDED_SESSION_KEY" }] });
        config["exchange"] = json!({ "issuers": ["corp"] });
    });
    let exchange = |host: &mut Host, worker: usize, token: &str| {
        let urn = "urn%3Aietf%3Aparams%3Aoauth%3A";
        let form = format!(
            "grant_type={urn}grant-type%3Atoken-exchange&subject_token_type={urn}token-type%3Aaccess_token&subject_token={token}"
        );
        let request =
            Request::new("POST", "/.carded/exchange").header("content-type", "application/x-www-form-urlencoded");
        let (one, two) = form.as_bytes().split_at(50);
        let id = host.send(worker, request.body(&[one, two]));
        host.advance(SECOND * 2);
        host.outcome(id)
    };
    let outcome = exchange(&mut host, 0, OPAQUE);
    let reply = outcome.replied();
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let ours = reply.json()["access_token"].as_str().expect("a token").to_owned();
    assert!(ours.starts_with("carded.") && idp.asked() == 1, "{ours}");
    for worker in [0, 1] {
        let id = host.send(worker, api(&ours));
        host.advance(SECOND);
        assert_eq!(host.outcome(id).passed().headers.text("x-carded-subject").as_deref(), Some("alice"));
    }
    assert_eq!(idp.asked(), 3, "each worker asks once about it");
    idp.says(Answer::json(&json!({ "active": false })));
    exchange(&mut host, 1, "unknown").refused(401, "token_inactive");
    idp.says(Answer::never());
    exchange(&mut host, 1, "another").refused(503, "introspection_unavailable");
    assert!(host.is_alive(0) && host.is_alive(1) && host.oddities().is_empty(), "{:?}", host.oddities());
    for secret in [OPAQUE, ours.as_str()] {
        host.assert_never_logged(secret);
    }
}
