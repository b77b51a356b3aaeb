//! Leaving, and being made to leave, through the built filter: what one worker ends has ended in all of them at once.

use carded_wasm_host::{Host, Outcome, Request};
use serde_json::json;

use crate::login::{Idp, begin, cookie, page, shop};
use crate::presenting;
use crate::support::{Claims, Key, SECOND, agency};

/// Somebody signs in at a worker, by a session of this name at the provider.
fn enter(host: &mut Host, idp: &Idp, worker: usize, sid: &str) -> String {
    idp.signs_in_by(sid, host.now());
    let (callback, transaction) = begin(host, idp);
    let id = host.send(worker, page(&callback, &transaction));
    host.advance(SECOND);
    let outcome = host.outcome(id);
    cookie(outcome.replied(), "__Host-carded=")
}

fn is_in(host: &mut Host, worker: usize, session: &str) -> bool {
    let id = host.send(worker, Request::get("/account").header("cookie", session));
    host.settle();
    match host.outcome(id) {
        Outcome::Passed(_) => true,
        outcome => {
            outcome.refused(401, "login_required");
            false
        }
    }
}

fn logout_token(now: u64, number: usize, claims: Claims) -> String {
    let events = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let claims = claims.with("aud", "shop").with("events", events).with("jti", format!("j{number}")).at(now);
    Key::new(1, "k1").token_with(&json!({ "alg": "EdDSA", "kid": "k1", "typ": "logout+jwt" }), &claims)
}

/// The provider says so to one of the workers: the status of the answer.
fn tell(host: &mut Host, worker: usize, token: &str) -> u16 {
    let body = format!("logout_token={token}");
    let request = Request::new("POST", "/.carded/backchannel-logout/corp")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(&[body.as_bytes()]);
    let id = host.send(worker, request);
    host.advance(SECOND);
    host.outcome(id).replied().status
}

#[test]
fn threat_68_who_leaves_at_one_worker_has_left_at_all_of_them() {
    let (mut host, idp) = shop(3);
    let session = enter(&mut host, &idp, 1, "s1");
    let other = enter(&mut host, &idp, 2, "s2");
    for worker in 0..3 {
        assert!(is_in(&mut host, worker, &session) && is_in(&mut host, worker, &other));
    }
    let request = Request::new("POST", "/.carded/logout").header("origin", "https://shop.example.com");
    let id = host.send(2, request.header("cookie", session.as_str()));
    host.settle();
    let outcome = host.outcome(id);
    assert_eq!(outcome.replied().status, 200);
    for worker in 0..3 {
        assert!(!is_in(&mut host, worker, &session), "the copy that somebody kept, at {worker}");
        assert!(is_in(&mut host, worker, &other));
    }
    // a VM that comes back knows it too
    host.kill(0);
    host.advance(SECOND * 2);
    assert!(!is_in(&mut host, 0, &session) && is_in(&mut host, 0, &other));
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
}

#[test]
fn threat_98_what_a_provider_ends_has_ended_in_every_worker_at_once() {
    let (mut host, idp) = shop(3);
    let sessions: Vec<_> = (0..3).map(|n| enter(&mut host, &idp, n, &format!("s{n}"))).collect();
    for worker in 0..3 {
        assert!(sessions.iter().all(|session| is_in(&mut host, worker, session)));
    }
    let token = logout_token(host.now(), 1, Claims::of("alice").with("sid", "s1"));
    assert_eq!(tell(&mut host, 0, &token), 200);
    for worker in 0..3 {
        let left: Vec<_> = sessions.iter().map(|session| is_in(&mut host, worker, session)).collect();
        assert_eq!(left, [true, false, true], "{worker}");
    }
    // the same again, at another worker
    assert_eq!(tell(&mut host, 2, &token), 400);
    let forged = logout_token(host.now(), 2, Claims::of("alice").with("iss", "https://evil.example.com"));
    assert_eq!(tell(&mut host, 1, &forged), 400);
    assert!(is_in(&mut host, 1, &sessions[0]));
    // all sessions of hers, and the next one that begins
    let token = logout_token(host.now(), 3, Claims::of("alice"));
    assert_eq!(tell(&mut host, 1, &token), 200);
    for worker in 0..3 {
        assert!(sessions.iter().all(|session| !is_in(&mut host, worker, session)));
    }
    let again = enter(&mut host, &idp, 0, "s1");
    assert!((0..3).all(|worker| is_in(&mut host, worker, &again)));
    host.assert_never_logged(&token);
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
}

#[test]
fn threat_98_thousands_of_logouts_stay_within_their_room() {
    let (mut host, idp) = shop(2);
    let session = enter(&mut host, &idp, 0, "s1");
    let (_, before) = host.shared_data_size();
    for number in 0..2000 {
        let token = logout_token(host.now(), number, Claims::of("bob").with("sid", format!("b{number}")));
        let body = format!("logout_token={token}");
        let request = Request::new("POST", "/.carded/backchannel-logout/corp")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(&[body.as_bytes()]);
        let id = host.send(number % 2, request);
        host.settle();
        assert_eq!(host.outcome(id).replied().status, 200);
    }
    let (_, after) = host.shared_data_size();
    // 20 bytes for each logout, 24 for each `jti` until its end
    assert!((80_000..110_000).contains(&(after - before)), "{}", after - before);
    assert!(is_in(&mut host, 0, &session) && is_in(&mut host, 1, &session));
}

#[test]
fn threat_68_who_leaves_where_credentials_alone_are_shown_has_left_at_all_workers() {
    let mut host = presenting::builder().headers_stop_iteration(true).workers(3).start().expect("starts");
    let session = agency::enter(&mut host);
    let is_in = |host: &mut Host, worker: usize| {
        let id = host.send(worker, Request::get("/wine/red").header("cookie", session.as_str()));
        host.settle();
        match host.outcome(id) {
            Outcome::Passed(_) => true,
            outcome => {
                outcome.refused(401, "revoked");
                false
            }
        }
    };
    assert!((0..3).all(|worker| is_in(&mut host, worker)));
    let request = Request::new("POST", "/.carded/logout").header("origin", "https://shop.example.com");
    let id = host.send(1, request.header("cookie", session.as_str()));
    host.settle();
    assert_eq!(host.outcome(id).replied().status, 200);
    assert!((0..3).all(|worker| !is_in(&mut host, worker)));
    assert!(host.oddities().is_empty(), "{:?}", host.oddities());
}
