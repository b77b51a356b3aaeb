//! A list of what is revoked, published by one server and learned by every VM of a process within seconds, with one
//! conditional request for all of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use carded_verifier::revocation::compact::build;
use carded_verifier::revocation::{Entry, Kind, Mark};
use carded_wasm_host::{Answer, Call, Host, Outcome};
use serde_json::{Value, json};

use crate::support::{Claims, Key, Provider, SECOND, START, api, config, host_with};

/// A server that publishes one list; clones are the same server.
#[derive(Clone)]
struct Publisher(Rc<RefCell<State>>);

struct State {
    body: Vec<u8>,
    /// The tag of what is published; without one every request gets the whole list.
    etag: Option<String>,
    version: u32,
    broken: Option<Answer>,
    delay: Duration,
    /// The statuses that were answered; 0 for a failure.
    answered: Vec<u16>,
}

impl Publisher {
    fn new(entries: &[Value]) -> Self {
        let state = State {
            body: Vec::new(),
            etag: None,
            version: 0,
            broken: None,
            delay: Duration::from_millis(50),
            answered: Vec::new(),
        };
        let publisher = Self(Rc::new(RefCell::new(state)));
        publisher.publish(entries);
        publisher
    }

    fn publish(&self, entries: &[Value]) {
        self.publish_bytes(json!({ "revoked": entries }).to_string().into_bytes());
    }

    fn publish_bytes(&self, body: Vec<u8>) {
        let mut state = self.0.borrow_mut();
        state.version += 1;
        state.etag = Some(format!("\"v{}\"", state.version));
        state.body = body;
    }

    fn answers(&self) -> impl FnMut(&Call) -> Answer + 'static {
        let state = Rc::clone(&self.0);
        move |call| {
            let mut state = state.borrow_mut();
            let same = state.etag.is_some() && call.headers.text("if-none-match") == state.etag;
            let (status, answer) = match &state.broken {
                Some(broken) => (0, broken.clone()),
                None if same => (304, Answer::status(304, "")),
                None => (200, Answer::status(200, state.body.clone())),
            };
            state.answered.push(status);
            let answer = match &state.etag {
                Some(etag) => answer.header("etag", etag.clone()),
                None => answer,
            };
            answer.after(state.delay)
        }
    }

    /// How often it answered so since the last time.
    fn take(&self) -> Vec<u16> {
        std::mem::take(&mut self.0.borrow_mut().answered)
    }
}

fn started(publisher: &Publisher, workers: usize) -> (Host, Key) {
    let key = Key::new(1, "k1");
    let mut config = config();
    config["revocation"] = json!({ "uri": "https://ops.example.com/revoked", "refresh": "5s" });
    config["fetch"]["clusters"]["ops.example.com"] = json!("ops");
    let host = host_with(&config, &Provider::new(&[&key])).workers(workers).cluster("ops", publisher.answers());
    (host.start().expect("starts"), key)
}

fn code(host: &mut Host, worker: usize, token: &str) -> String {
    let id = host.send(worker, api(token));
    host.advance(Duration::from_millis(200));
    let outcome = host.outcome(id);
    if matches!(outcome, Outcome::Passed(_)) { "passed".to_owned() } else { outcome.replied().code() }
}

fn sub(name: &str) -> Value {
    json!({ "sub": name, "iss": "https://idp.example.com" })
}

fn token(key: &Key, name: &str) -> String {
    key.token(&Claims::of(name).with("exp", START + 7200))
}

#[test]
fn threat_98_a_revocation_reaches_every_worker_within_the_refresh() {
    let publisher = Publisher::new(&[]);
    let (mut host, key) = started(&publisher, 3);
    host.advance(SECOND * 2);
    let (alice, bob) = (token(&key, "alice"), token(&key, "bob"));
    for worker in 0..3 {
        assert_eq!(code(&mut host, worker, &alice), "passed");
        assert_eq!(code(&mut host, worker, &bob), "passed");
    }
    publisher.publish(&[sub("alice")]);
    host.advance(SECOND * 7);
    publisher.0.borrow_mut().broken = Some(Answer::status(500, ""));
    for worker in 0..3 {
        assert_eq!(code(&mut host, worker, &alice), "revoked", "worker {worker}");
        assert_eq!(code(&mut host, worker, &bob), "passed", "worker {worker}");
    }
    // the publisher is down for longer than a list may be old
    host.advance(SECOND * 30);
    for worker in 0..3 {
        assert_eq!(code(&mut host, worker, &bob), "revocation_unavailable");
    }
    // and comes back with an entry less
    publisher.0.borrow_mut().broken = None;
    publisher.publish(&[]);
    host.advance(SECOND * 12);
    for worker in 0..3 {
        assert_eq!(code(&mut host, worker, &alice), "passed");
    }
}

#[test]
fn four_vms_ask_once_a_refresh_and_get_the_list_once() {
    let publisher = Publisher::new(&[sub("mallory")]);
    let (mut host, key) = started(&publisher, 3);
    host.advance(SECOND * 2);
    assert_eq!(publisher.take(), [200]);
    host.advance(SECOND * 60);
    let asked = publisher.take();
    assert!((8..=13).contains(&asked.len()) && asked.iter().all(|status| *status == 304), "in a minute: {asked:?}");
    for worker in 0..3 {
        assert_eq!(code(&mut host, worker, &token(&key, "mallory")), "revoked");
    }
    publisher.publish(&[sub("mallory"), sub("eve")]);
    host.advance(SECOND * 20);
    let asked = publisher.take();
    assert_eq!(asked.iter().filter(|status| **status == 200).count(), 1, "{asked:?}");
    for worker in 0..3 {
        assert_eq!(code(&mut host, worker, &token(&key, "eve")), "revoked");
    }
    // a worker that dies takes the list from the others
    publisher.take();
    host.kill(1);
    let eve = token(&key, "eve");
    host.send(1, api(&eve));
    host.advance(SECOND * 3);
    assert_eq!(code(&mut host, 1, &eve), "revoked");
    assert!(publisher.take().iter().all(|status| *status == 304));
    // without tags the list comes each time, and is the same each time
    publisher.0.borrow_mut().etag = None;
    host.advance(SECOND * 30);
    assert!(publisher.take().iter().all(|status| *status == 200));
    assert_eq!(code(&mut host, 0, &token(&key, "bob")), "passed");
}

#[test]
fn a_long_list_in_the_compact_form_reaches_every_worker_in_pages() {
    let marks = |from: u32, to: u32| -> Vec<Entry> {
        let of = |number| Mark::of(Kind::Subject, "https://idp.example.com", &format!("user-{number}"));
        (from..to).map(|number| Entry { mark: of(number), before: None }).collect()
    };
    let publisher = Publisher::new(&[]);
    publisher.publish_bytes(build(&marks(0, 60_000), [1; 16]).expect("a list"));
    let (mut host, key) = started(&publisher, 2);
    host.advance(SECOND * 2);
    let tokens: Vec<String> = ["user-0", "user-59999", "user-60000"].iter().map(|name| token(&key, name)).collect();
    for worker in 0..2 {
        let codes: Vec<String> = tokens.iter().map(|token| code(&mut host, worker, token)).collect();
        assert_eq!(codes, ["revoked", "revoked", "passed"]);
    }
    publisher.publish_bytes(build(&marks(1, 90_000), [1; 16]).expect("a list"));
    host.advance(SECOND * 7);
    for worker in 0..2 {
        let codes: Vec<String> = tokens.iter().map(|token| code(&mut host, worker, token)).collect();
        assert_eq!(codes, ["passed", "revoked", "revoked"]);
    }
    // half a list is none: the one before stays
    let half = build(&marks(0, 60_000), [1; 16]).expect("a list");
    publisher.publish_bytes(half[..half.len() / 2].to_vec());
    host.advance(SECOND * 7);
    for worker in 0..2 {
        assert_eq!(code(&mut host, worker, &tokens[2]), "revoked");
        assert_eq!(code(&mut host, worker, &tokens[0]), "passed");
    }
}

#[test]
fn threat_98_until_the_first_list_came_requests_wait_and_are_refused_if_it_does_not() {
    let publisher = Publisher::new(&[]);
    publisher.0.borrow_mut().delay = SECOND;
    let (mut host, key) = started(&publisher, 1);
    let good = token(&key, "alice");
    let id = host.send(0, api(&good));
    host.advance(SECOND * 3);
    host.outcome(id).passed();
    let publisher = Publisher::new(&[]);
    publisher.0.borrow_mut().broken = Some(Answer::status(404, ""));
    let (mut host, _) = started(&publisher, 1);
    let id = host.send(0, api(&good));
    host.advance(SECOND * 6);
    host.outcome(id).refused(503, "revocation_unavailable");
}
