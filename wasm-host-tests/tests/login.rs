//! Signing in through the built filter: the code is exchanged by one call of the root context, whatever becomes of the call
//! and of the request that it is for.

use std::cell::RefCell;
use std::rc::Rc;

use carded_wasm_host::{Answer, Call, Host, Reply, Request};
use serde_json::{Value, json};

use crate::support::{Claims, Key, SECOND, START, config, filter, token::base64url};

/// A provider with a token endpoint, as a script.
#[derive(Clone)]
pub(crate) struct Idp(pub(crate) Rc<RefCell<State>>);

pub(crate) struct State {
    pub(crate) nonce: String,
    /// The provider's name for its session.
    sid: String,
    /// The time by its clock.
    pub(crate) now: u64,
    /// What the token endpoint does instead of granting.
    pub(crate) instead: Option<Answer>,
    delay: std::time::Duration,
    pub(crate) exchanges: Vec<(String, String, String)>,
    /// What the endpoint for pushed requests answers; it is not named where there is nothing.
    pub(crate) pushed: Option<Answer>,
    /// The requests that were pushed.
    pub(crate) pushes: Vec<String>,
}

impl Idp {
    pub(crate) fn new() -> Self {
        let state = State {
            nonce: String::new(),
            sid: "s1".to_owned(),
            now: START,
            instead: None,
            delay: SECOND / 10,
            exchanges: Vec::new(),
            pushed: None,
            pushes: Vec::new(),
        };
        Self(Rc::new(RefCell::new(state)))
    }

    /// Its clock says this, and it signs in by a session of this name.
    pub(crate) fn signs_in_by(&self, sid: &str, now: u64) {
        let mut state = self.0.borrow_mut();
        (state.sid, state.now) = (sid.to_owned(), now);
    }

    pub(crate) fn exchanges(&self) -> usize {
        self.0.borrow().exchanges.len()
    }

    fn answer(&self, call: &Call) -> Answer {
        let mut state = self.0.borrow_mut();
        let at = |path: &str| format!("https://idp.example.com{path}");
        match call.path().as_str() {
            "/.well-known/openid-configuration" => {
                let mut metadata = json!({
                    "issuer": at(""), "jwks_uri": at("/keys"), "authorization_endpoint": at("/auth"), "token_endpoint": at("/token"),
                });
                if state.pushed.is_some() {
                    metadata["pushed_authorization_request_endpoint"] = json!(at("/par"));
                }
                Answer::json(&metadata)
            }
            "/par" => {
                state.pushes.push(String::from_utf8(call.body.clone()).expect("a form"));
                state.pushed.clone().unwrap_or_else(|| Answer::status(404, "")).after(state.delay)
            }
            "/keys" => Answer::json(&json!({ "keys": [Key::new(1, "k1").jwk()] })),
            "/token" => {
                let header = |name: &str| call.headers.text(name).unwrap_or_default();
                assert_eq!((header(":method").as_str(), header(":authority").as_str()), ("POST", "idp.example.com"));
                let body = String::from_utf8(call.body.clone()).expect("a form");
                state.exchanges.push((body, header("authorization"), header("content-type")));
                let claims = Claims::of("alice").with("aud", "shop").with("nonce", state.nonce.clone());
                let claims = claims.with("sid", state.sid.clone()).at(state.now);
                let id_token = Key::new(1, "k1").token_with(&json!({ "alg": "EdDSA", "kid": "k1" }), &claims);
                let refresh_token = format!("refresh-{}", state.exchanges.len());
                let tokens = json!({
                    "access_token": "opaque", "token_type": "Bearer", "id_token": id_token,
                    "refresh_token": refresh_token, "expires_in": 600,
                });
                state.instead.clone().unwrap_or_else(|| Answer::json(&tokens)).after(state.delay)
            }
            _ => Answer::status(404, ""),
        }
    }
}

pub(crate) fn with_login() -> Value {
    let mut config = config();
    config["login"] = json!({ "corp": { "client_id": "shop", "client_secret": { "env": "OIDC_SECRET" } } });
    config["sessions"] = json!({ "keys": [{ "env": "CARDED_SESSION_KEY" }] });
    let rule = json!({ "match": { "path": "/account/**" }, "require": { "login": "corp" }, "otherwise": "login" });
    config["rules"].as_array_mut().expect("rules").push(rule);
    config
}

pub(crate) fn shop(workers: usize) -> (Host, Idp) {
    shop_of(workers, &with_login())
}

pub(crate) fn shop_of(workers: usize, config: &Value) -> (Host, Idp) {
    shop_at(workers, config, Idp::new())
}

/// The shop of a provider.
pub(crate) fn shop_at(workers: usize, config: &Value, idp: Idp) -> (Host, Idp) {
    let provider = idp.clone();
    let host = Host::builder(filter())
        .configuration(config)
        .clock(START)
        .workers(workers)
        .env("CARDED_SESSION_KEY", &base64_of(7))
        .env("OIDC_SECRET", "a secret of the client")
        .cluster("idp", move |call| provider.answer(call))
        .start();
    let mut host = host.unwrap_or_else(|refused| panic!("{}: {:#?}", refused.why, refused.logs));
    host.advance(SECOND * 2);
    (host, idp)
}

fn base64_of(byte: u8) -> String {
    base64url(&[byte; 32])
}

pub(crate) fn page(path: &str, cookie: &str) -> Request {
    Request::get(path).header("accept", "text/html").header("cookie", cookie)
}

pub(crate) fn cookie(reply: &Reply, prefix: &str) -> String {
    let values = reply.headers.all("set-cookie").into_iter().map(|value| String::from_utf8_lossy(value).into_owned());
    let mut pairs = values.map(|value| value.split(';').next().unwrap_or_default().to_owned());
    pairs.find(|pair| pair.starts_with(prefix) && !pair.ends_with('=')).expect("a cookie")
}

/// A browser is sent to the provider: the address that it comes back with, and the cookie of the login.
pub(crate) fn begin(host: &mut Host, idp: &Idp) -> (String, String) {
    let outcome = host.ask(page("/account/orders?x=1", ""));
    let reply = outcome.replied();
    assert_eq!(reply.status, 303, "{}", String::from_utf8_lossy(&reply.body));
    let location = reply.headers.text("location").expect("a location");
    idp.0.borrow_mut().nonce = parameter(&location, "nonce");
    let back = format!("/.carded/callback/corp?code=c0de&state={}", parameter(&location, "state"));
    (back, cookie(reply, "__Host-carded-tx-"))
}

/// A parameter of an address or a form, as it stands there.
pub(crate) fn parameter(text: &str, name: &str) -> String {
    let value = text.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.expect("a parameter").to_owned()
}

#[test]
fn a_person_signs_in_at_one_worker_and_comes_back_at_another() {
    let (mut host, idp) = shop(2);
    let (callback, transaction) = begin(&mut host, &idp);
    let id = host.send(1, page(&callback, &transaction));
    assert!(host.outcome(id).is_waiting());
    host.advance(SECOND);
    let outcome = host.outcome(id);
    let reply = outcome.replied();
    assert_eq!(reply.status, 303, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.headers.text("location").as_deref(), Some("/account/orders?x=1"));
    let session = cookie(reply, "__Host-carded=");
    for worker in 0..2 {
        let id = host.send(worker, page("/account", &format!("a=1; {session}")));
        host.settle();
        let outcome = host.outcome(id);
        let headers = &outcome.passed().headers;
        assert_eq!(headers.text("x-carded-subject").as_deref(), Some("alice"));
        assert_eq!(headers.text("cookie").as_deref(), Some("a=1"));
    }
    let exchanges = idp.0.borrow().exchanges.clone();
    let [(form, authorization, content_type)] = exchanges.as_slice() else { panic!("{exchanges:?}") };
    assert!(form.starts_with("grant_type=authorization_code&code=c0de&") && form.contains("&code_verifier="), "{form}");
    assert!(authorization.starts_with("Basic "), "{authorization}");
    assert_eq!(content_type, "application/x-www-form-urlencoded");
    // the other worker knows that it was finished
    let id = host.send(0, page(&callback, &transaction));
    host.advance(SECOND);
    assert_eq!(host.outcome(id).replied().status, 400);
    assert_eq!(idp.exchanges(), 1);
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
    for secret in ["c0de", "a secret of the client", "opaque"] {
        host.assert_never_logged(secret);
    }
}

#[test]
fn a_person_who_leaves_meanwhile_takes_the_answer_with_them() {
    let (mut host, idp) = shop(1);
    let (callback, transaction) = begin(&mut host, &idp);
    let id = host.send(0, page(&callback, &transaction));
    host.advance(SECOND / 20);
    host.leave(id);
    host.advance(SECOND * 8);
    assert!(host.is_alive(0) && idp.exchanges() <= 1);
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
    // and one who leaves before the call is made causes none
    let (callback, transaction) = begin(&mut host, &idp);
    let before = idp.exchanges();
    let id = host.send(0, page(&callback, &transaction));
    host.leave(id);
    host.advance(SECOND * 8);
    assert!(idp.exchanges() <= before + 1 && host.is_alive(0));
    let (callback, transaction) = begin(&mut host, &idp);
    let id = host.send(0, page(&callback, &transaction));
    host.advance(SECOND);
    assert_eq!(host.outcome(id).replied().status, 303, "others still sign in");
}

#[test]
fn a_token_endpoint_that_misbehaves_signs_nobody_in_and_is_asked_once() {
    for (what, answer, status) in [
        ("is down", Answer::refused(), 503),
        ("breaks off", Answer::reset(), 503),
        ("never answers", Answer::never(), 503),
        ("answers 500", Answer::status(500, "oops"), 503),
        ("answers 400", Answer::status(400, r#"{"error":"invalid_grant"}"#), 403),
        ("redirects", Answer::redirect("https://evil.example.com/token"), 403),
        ("answers garbage", Answer::status(200, vec![0xff; 64]), 403),
        ("is oversized", Answer::status(200, "x".repeat(300 * 1024)), 503),
    ] {
        let (mut host, idp) = shop(1);
        let (callback, transaction) = begin(&mut host, &idp);
        idp.0.borrow_mut().instead = Some(answer);
        let id = host.send(0, page(&callback, &transaction));
        host.advance(SECOND * 8);
        let outcome = host.outcome(id);
        let reply = outcome.replied();
        assert_eq!(reply.status, status, "a token endpoint that {what}");
        let sets = |value: &&[u8]| value.starts_with(b"__Host-carded=");
        assert!(!reply.headers.all("set-cookie").iter().any(sets), "a token endpoint that {what}");
        assert_eq!(idp.exchanges(), 1, "a token endpoint that {what}");
        assert!(host.is_alive(0) && host.all_passed().is_empty() && host.oddities().is_empty(), "{what}");
    }
}

#[test]
fn a_hundred_people_sign_in_at_once() {
    let (mut host, idp) = shop(1);
    let begun: Vec<_> = (0..100)
        .map(|_| {
            let (callback, transaction) = begin(&mut host, &idp);
            (callback, transaction)
        })
        .collect();
    // all of one nonce but the last: what matters is that each gets an answer of its own
    let ids: Vec<_> = begun.iter().map(|(callback, transaction)| host.send(0, page(callback, transaction))).collect();
    host.advance(SECOND * 2);
    let statuses: Vec<u16> = ids.into_iter().map(|id| host.outcome(id).replied().status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 99);
    assert_eq!(idp.exchanges(), 100);
    assert!(host.is_alive(0) && host.oddities().is_empty(), "{:?}", host.oddities());
}
