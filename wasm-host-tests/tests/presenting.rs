//! Credentials that are shown to the built filter: bodies that come in pieces, late or not at all, what the workers of one
//! process share, and cookies that no service sees or sets.

use carded_wasm_host::{Answer, HeaderMap, Host, HostBuilder, Request};
use serde_json::Value;

use crate::support::{SECOND, START, agency, filter};

pub(crate) fn builder() -> HostBuilder {
    Host::builder(filter())
        .configuration(&agency::config())
        .clock(START)
        .env("CARDED_SESSION_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
        .cluster("dmv", agency::answer)
}

fn shop() -> Host {
    builder().headers_stop_iteration(true).workers(2).start().expect("starts")
}

fn post(path: &str) -> Request {
    Request::new("POST", path).header("content-type", "application/x-www-form-urlencoded")
}

/// A challenge.
fn challenge(host: &mut Host) -> Value {
    let outcome = host.ask(post("/.carded/challenge"));
    let reply = outcome.replied();
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

#[test]
fn a_presentation_that_comes_in_pieces_is_read_whole_and_works_once_in_the_process() {
    let mut host = shop();
    let challenge = challenge(&mut host);
    let form = agency::form_for(&challenge);
    let (one, rest) = form.as_bytes().split_at(100);
    let (two, three) = rest.split_at(900);
    let id = host.send(0, post("/.carded/present").body(&[one, two, three]));
    host.advance(SECOND);
    let outcome = host.outcome(id);
    let reply = outcome.replied();
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.json()["token_type"], "DPoP");
    assert_eq!(reply.headers.text("access-control-allow-origin").as_deref(), Some("*"));
    // the other worker knows that the nonce was used
    let id = host.send(1, post("/.carded/present").body(&[form.as_bytes()]));
    host.advance(SECOND);
    host.outcome(id).refused(400, "nonce_used");
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
}

#[test]
fn a_body_that_never_comes_is_answered() {
    let mut host = shop();
    let id = host.send(0, post("/.carded/present").open());
    host.advance(SECOND * 2);
    assert!(host.outcome(id).is_waiting());
    host.send_body(id, b"vp_token=", false);
    host.advance(SECOND * 2);
    host.outcome(id).refused(408, "body_missing");
}

#[test]
fn where_the_proxy_does_not_hand_bodies_over_the_request_is_answered_and_says_so() {
    let mut host = builder().headers_stop_iteration(false).start().expect("starts");
    let id = host.send(0, post("/.carded/response").body(&[b"vp_token=x"]));
    host.advance(SECOND * 4);
    let outcome = host.outcome(id);
    let reply = outcome.refused(408, "body_missing");
    assert!(String::from_utf8_lossy(&reply.body).contains("allow_on_headers_stop_iteration"));
}

#[test]
fn threat_82_a_body_over_its_limit_is_not_read() {
    let mut host = shop();
    let piece = vec![b'a'; 64 * 1024];
    let outcome = host.ask(post("/.carded/present").body(&[&piece, &piece, &piece]));
    outcome.refused(413, "body_too_large");
}

#[test]
fn an_empty_body_and_one_that_ends_with_trailers_are_whole() {
    let mut host = shop();
    host.ask(post("/.carded/present")).refused(400, "response_malformed");
    let id = host.send(0, post("/.carded/present").open());
    host.send_body(id, b"nonce=x", false);
    host.send_trailers(id, HeaderMap::from_pairs([("x-end", "1")]));
    host.advance(SECOND);
    host.outcome(id).refused(400, "state_unknown");
}

#[test]
fn a_browser_is_sent_to_the_wallet_and_the_transaction_is_its_own() {
    let mut host = shop();
    let outcome = host.ask(Request::get("/wine/red").header("accept", "text/html"));
    let reply = outcome.replied();
    assert_eq!(reply.status, 303);
    assert!(reply.headers.text("location").is_some_and(|to| to.starts_with("https://wallet.example.com/present?")));
    let cookie = reply.headers.text("set-cookie").expect("a cookie");
    for word in ["__Host-carded-tx-", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(word), "{word}: {cookie}");
    }
    host.ask(Request::get("/wine/red")).refused(401, "presentation_required");
}

#[test]
fn threat_85_no_service_sees_or_sets_a_cookie_of_ours() {
    let mut host = shop();
    host.set_service(|_| {
        Answer::status(200, "fine")
            .header("set-cookie", "a=1")
            .header("set-cookie", "__Host-carded=stolen; Path=/")
            .header("set-cookie", "__host-Carded-tx-1=x")
            .header("set-cookie", "b=2")
    });
    let outcome = host.ask(Request::get("/open").header("cookie", "x=1; __Host-carded=s; __Host-carded-tx-1=t; y=2"));
    let passed = outcome.passed();
    assert_eq!(passed.headers.text("cookie").as_deref(), Some("x=1; y=2"));
    let set: Vec<String> = passed
        .response
        .as_ref()
        .expect("a response")
        .headers
        .all("set-cookie")
        .iter()
        .map(|v| String::from_utf8_lossy(v).into_owned())
        .collect();
    assert_eq!(set, ["a=1", "b=2"]);
}

#[test]
fn threat_80_nothing_that_was_shown_is_logged() {
    let mut host = shop();
    let challenge = challenge(&mut host);
    let form = agency::form_for(&challenge);
    let id = host.send(0, post("/.carded/present").body(&[form.as_bytes()]));
    host.advance(SECOND);
    assert_eq!(host.outcome(id).replied().status, 200);
    host.ask(post("/.carded/present").body(&[b"vp_token=%7B%22over21%22:[%22secret~value%22]%7D&nonce=x"])).replied();
    for secret in [
        challenge["nonce"].as_str().expect("a nonce"),
        "secret~value",
        "Ada",
        agency::card().split('.').next().expect("a header"),
    ] {
        host.assert_never_logged(secret);
    }
}
