//! Requests for a sign-in that are left at the provider first (RFC 9126), by one call of the root context.

use carded_wasm_host::{Answer, Host};
use serde_json::json;

use crate::login::{Idp, cookie, page, parameter, shop_at, with_login};
use crate::support::SECOND;

const REFERENCE: &str = "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c";

fn granted() -> Answer {
    Answer::status(201, json!({ "request_uri": REFERENCE, "expires_in": 60 }).to_string())
}

fn shop(workers: usize, pushed: Answer) -> (Host, Idp) {
    let idp = Idp::new();
    idp.0.borrow_mut().pushed = Some(pushed);
    shop_at(workers, &with_login(), idp)
}

#[test]
fn a_request_is_left_at_the_provider_and_the_person_signs_in_with_its_reference() {
    let (mut host, idp) = shop(2, granted());
    let id = host.send(0, page("/account/orders?x=1", ""));
    assert!(host.outcome(id).is_waiting());
    host.advance(SECOND);
    let outcome = host.outcome(id);
    let reply = outcome.replied();
    assert_eq!(reply.status, 303, "{}", String::from_utf8_lossy(&reply.body));
    let location = reply.headers.text("location").expect("a location");
    let carried = location.strip_prefix("https://idp.example.com/auth?").expect("the provider's address");
    assert_eq!(carried, format!("client_id=shop&request_uri={}", REFERENCE.replace(':', "%3A")), "and nothing else");
    let pushes = idp.0.borrow().pushes.clone();
    let [form] = pushes.as_slice() else { panic!("{pushes:?}") };
    assert_eq!(parameter(form, "code_challenge_method"), "S256");
    idp.0.borrow_mut().nonce = parameter(form, "nonce");
    // the other worker finishes it
    let back = format!("/.carded/callback/corp?code=c0de&state={}", parameter(form, "state"));
    let id = host.send(1, page(&back, &cookie(reply, "__Host-carded-tx-")));
    host.advance(SECOND);
    let outcome = host.outcome(id);
    let reply = outcome.replied();
    assert_eq!(reply.headers.text("location").as_deref(), Some("/account/orders?x=1"));
    let session = cookie(reply, "__Host-carded=");
    host.ask(page("/account", &session)).passed();
    assert_eq!((idp.0.borrow().pushes.len(), idp.exchanges()), (1, 1));
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
    for secret in [REFERENCE, "a secret of the client", &parameter(form, "state")] {
        host.assert_never_logged(secret);
    }
}

#[test]
fn an_endpoint_for_requests_that_misbehaves_sends_nobody_and_is_asked_once_for_each() {
    for (what, answer, status) in [
        ("is down", Answer::refused(), 503),
        ("breaks off", Answer::reset(), 503),
        ("never answers", Answer::never(), 503),
        ("answers 500", Answer::status(500, "oops"), 503),
        ("answers 400", Answer::status(400, r#"{"error":"invalid_request"}"#), 403),
        ("redirects", Answer::redirect("https://evil.example.com/par"), 403),
        ("answers garbage", Answer::status(201, vec![0xff; 64]), 403),
        ("gives nothing", Answer::status(201, "{}"), 403),
        ("is oversized", Answer::status(201, "x".repeat(300 * 1024)), 503),
    ] {
        let (mut host, idp) = shop(1, answer);
        let id = host.send(0, page("/account", ""));
        host.advance(SECOND * 8);
        let outcome = host.outcome(id);
        let reply = outcome.replied();
        assert_eq!(reply.status, status, "an endpoint that {what}: {}", String::from_utf8_lossy(&reply.body));
        assert!(reply.headers.text("location").is_none(), "an endpoint that {what}");
        assert_eq!(idp.0.borrow().pushes.len(), 1, "an endpoint that {what}");
        assert!(host.is_alive(0) && host.oddities().is_empty(), "{what}");
        idp.0.borrow_mut().pushed = Some(granted());
        let id = host.send(0, page("/account", ""));
        host.advance(SECOND);
        assert_eq!(host.outcome(id).replied().status, 303, "and recovers");
    }
}
