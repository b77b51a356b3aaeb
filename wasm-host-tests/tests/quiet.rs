//! Signing in without a question where a login is optional, through the built filter.

use carded_wasm_host::{Host, Request};
use serde_json::{Value, json};

use crate::login::{Idp, cookie, page, parameter, shop_of, with_login};
use crate::support::SECOND;

const NEWS: &str = "/news?page=2";

fn config() -> Value {
    let mut config = with_login();
    config["login"]["corp"]["silent"] = json!(true);
    let rule = json!({ "match": { "path": "/news" }, "optional": { "login": "corp" } });
    config["rules"].as_array_mut().expect("rules").push(rule);
    config
}

/// A browser that keeps cookies is sent to the provider without a question: the state of that, and its cookies.
fn sent(host: &mut Host, idp: &Idp, worker: usize) -> (String, String) {
    let id = host.send(worker, page(NEWS, "theme=dark"));
    host.advance(SECOND);
    let outcome = host.outcome(id);
    let reply = outcome.replied();
    assert_eq!(reply.status, 303, "{}", String::from_utf8_lossy(&reply.body));
    let location = reply.headers.text("location").expect("a location");
    assert_eq!(parameter(&location, "prompt"), "none");
    idp.0.borrow_mut().nonce = parameter(&location, "nonce");
    let cookies = [cookie(reply, "__Host-carded-tx-"), cookie(reply, "__Host-carded-quiet=")];
    (parameter(&location, "state"), format!("theme=dark; {}", cookies.join("; ")))
}

#[test]
fn who_is_known_to_the_provider_is_signed_in_without_a_question() {
    let (mut host, idp) = shop_of(2, &config());
    let (state, cookies) = sent(&mut host, &idp, 0);
    let id = host.send(1, page(&format!("/.carded/callback/corp?code=c0de&state={state}"), &cookies));
    host.advance(SECOND);
    let outcome = host.outcome(id);
    let reply = outcome.replied();
    assert_eq!((reply.status, reply.headers.text("location").as_deref()), (303, Some(NEWS)));
    let session = cookie(reply, "__Host-carded=");
    let outcome = host.ask(page(NEWS, &format!("theme=dark; {session}")));
    let headers = &outcome.passed().headers;
    assert_eq!(headers.text("x-carded-subject").as_deref(), Some("alice"));
    assert_eq!(headers.text("cookie").as_deref(), Some("theme=dark"));
    assert_eq!(idp.exchanges(), 1);
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
}

#[test]
fn who_is_not_known_goes_on_as_they_were_and_is_not_sent_again() {
    let (mut host, idp) = shop_of(2, &config());
    let (state, cookies) = sent(&mut host, &idp, 0);
    let back = format!("/.carded/callback/corp?error=login_required&state={state}");
    let outcome = host.ask(page(&back, &cookies));
    let reply = outcome.replied();
    assert_eq!((reply.status, reply.headers.text("location").as_deref()), (303, Some(NEWS)));
    for worker in [0, 1] {
        let id = host.send(worker, page(NEWS, &cookies));
        host.settle();
        let outcome = host.outcome(id);
        let headers = &outcome.passed().headers;
        assert!(headers.text("x-carded-subject").is_none());
        assert_eq!(headers.text("cookie").as_deref(), Some("theme=dark"));
    }
    // who keeps no cookies, and what is no browser, is never sent
    host.ask(page(NEWS, "")).passed();
    host.ask(Request::get(NEWS).header("cookie", "theme=dark")).passed();
    assert_eq!(idp.exchanges(), 0);
    assert!(host.is_alive(0) && host.oddities().is_empty(), "{:?}", host.oddities());
}
