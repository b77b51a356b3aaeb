//! Sessions that are refreshed ahead of their end, through the built filter: once for all workers, and the browser learns of it.

use carded_wasm_host::{Answer, Host, Outcome};
use serde_json::json;

use crate::login::{Idp, begin, cookie, page, shop_of, with_login};
use crate::support::SECOND;

/// Alice is signed in; the cookies of her browser. The provider's tokens last ten minutes.
fn entered(workers: usize) -> (Host, Idp, String) {
    let mut config = with_login();
    config["login"]["corp"]["refresh"] = json!(true);
    let (mut host, idp) = shop_of(workers, &config);
    let (callback, transaction) = begin(&mut host, &idp);
    let id = host.send(0, page(&callback, &transaction));
    host.advance(SECOND);
    let outcome = host.outcome(id);
    let reply = outcome.replied();
    let cookies = format!("{}; {}", cookie(reply, "__Host-carded="), cookie(reply, "__Host-carded-rt-corp="));
    assert_eq!(idp.exchanges(), 1);
    (host, idp, cookies)
}

fn until(host: &mut Host, idp: &Idp, seconds: u32) {
    host.advance(SECOND * seconds);
    idp.0.borrow_mut().now += u64::from(seconds);
}

/// Six requests at once, spread over the workers; how many came with new cookies, and these.
fn six(host: &mut Host, workers: usize, cookies: &str) -> (usize, Option<String>) {
    let ids: Vec<_> = (0..6).map(|at| host.send(at % workers, page("/account", &format!("a=1; {cookies}")))).collect();
    let waiting = ids.iter().filter(|id| host.outcome(**id).is_waiting()).count();
    assert!(waiting <= 1, "{waiting} wait, and one may");
    host.advance(SECOND);
    let (mut renewed, mut new) = (0, None);
    for id in ids {
        let outcome = host.outcome(id);
        let passed = outcome.passed();
        assert_eq!(passed.headers.text("x-carded-subject").as_deref(), Some("alice"));
        assert_eq!(passed.headers.text("cookie").as_deref(), Some("a=1"), "no service sees a cookie of ours");
        let response = passed.response.as_ref().expect("a response");
        assert!(!response.headers.all("set-cookie").contains(&&b"__Host-carded=evil; Path=/"[..]));
        assert!(response.headers.all("set-cookie").contains(&&b"theirs=1"[..]));
        if response.headers.all("set-cookie").len() > 1 {
            assert_eq!(response.headers.all("cache-control"), [&b"no-store"[..]], "no cache keeps it");
            renewed += 1;
            let both = ["__Host-carded=", "__Host-carded-rt-corp="].map(|name| cookie(response, name));
            new = Some(both.join("; "));
        } else {
            assert_eq!(response.headers.text("cache-control").as_deref(), Some("max-age=60"));
        }
    }
    (renewed, new)
}

fn service(host: &mut Host) {
    host.set_service(|_| {
        let answer = Answer::status(200, "hello").header("cache-control", "max-age=60");
        answer.header("set-cookie", "theirs=1").header("set-cookie", "__Host-carded=evil; Path=/")
    });
}

#[test]
fn six_requests_at_four_workers_refresh_once() {
    let (mut host, idp, mut cookies) = entered(4);
    service(&mut host);
    until(&mut host, &idp, 440);
    assert_eq!(six(&mut host, 4, &cookies).0, 0, "it is not due");
    for round in 1..4 {
        until(&mut host, &idp, if round == 1 { 10 } else { 450 });
        let (renewed, new) = six(&mut host, 4, &cookies);
        assert_eq!((renewed, idp.exchanges()), (1, 1 + round), "one for each time that it is due");
        // those who still have the old cookies go on, and nobody sends the old token again
        assert_eq!(six(&mut host, 4, &cookies).0, 0);
        cookies = new.expect("new cookies");
        assert_eq!(six(&mut host, 4, &cookies).0, 0);
        assert_eq!(idp.exchanges(), 1 + round);
        let sent = idp.0.borrow().exchanges.last().cloned().expect("a call").0;
        assert_eq!(sent, format!("grant_type=refresh_token&refresh_token=refresh-{round}"));
    }
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
    host.assert_never_logged("refresh-");
}

#[test]
fn a_provider_that_is_down_delays_one_request_and_ends_nothing() {
    for answer in [Answer::refused(), Answer::reset(), Answer::never(), Answer::status(500, "oops")] {
        let (mut host, idp, cookies) = entered(2);
        until(&mut host, &idp, 455);
        idp.0.borrow_mut().instead = Some(answer);
        for (wait, calls) in [(0, 2), (1, 2), (30, 3)] {
            until(&mut host, &idp, wait);
            let ids = [0, 1].map(|worker| host.send(worker, page("/account", &cookies)));
            host.advance(SECOND * 6);
            for id in ids {
                assert!(matches!(host.outcome(id), Outcome::Passed(_)), "{:?}", host.outcome(id));
            }
            assert_eq!(idp.exchanges(), calls);
        }
        assert!(host.is_alive(0) && host.is_alive(1) && host.oddities().is_empty(), "{:?}", host.oddities());
    }
}

#[test]
fn a_provider_that_says_no_ends_the_session_in_the_browser() {
    let (mut host, idp, cookies) = entered(1);
    until(&mut host, &idp, 455);
    idp.0.borrow_mut().instead = Some(Answer::status(400, r#"{"error":"invalid_grant"}"#));
    let id = host.send(0, page("/account", &cookies));
    host.advance(SECOND);
    let outcome = host.outcome(id);
    let reply = outcome.replied();
    assert_eq!(reply.status, 303);
    for name in ["__Host-carded=; ", "__Host-carded-rt-corp=; "] {
        assert!(reply.headers.all("set-cookie").iter().any(|set| set.starts_with(name.as_bytes())), "{name}");
    }
}
