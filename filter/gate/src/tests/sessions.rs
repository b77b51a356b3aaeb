//! What a shown credential opens, and until when.

use super::shop::*;
use super::*;

#[test]
fn a_credential_that_is_taken_back_closes_the_session_after_the_ttl() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    shop.revoked = true;
    shop.now += 5;
    assert_eq!(shop.browse("/wine/white", &session).status, 200, "the list counts for its ttl");
    shop.now += 15;
    let answered = shop.browse("/wine/white", &session);
    assert_eq!((answered.status, answered.code), (401, "credential_revoked"), "{}", answered.body);
    assert!(answered.body.contains("Show with Carded"));
    let program = shop.ask("GET", "/wine/white", &[("cookie", &session)], None);
    assert_eq!((program.status, program.code), (401, "credential_revoked"));
}

#[test]
fn a_session_ends_with_the_credential() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    shop.now = NOW + 9_990;
    assert_eq!(shop.browse("/wine/white", &session).status, 200);
    shop.now = NOW + 10_000;
    assert_eq!(shop.browse("/wine/white", &session).status, 303);
}

#[test]
fn threat_86_what_changes_something_must_come_from_our_own_pages() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    let ask = |shop: &mut Shop, method: &str, headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", session.as_str())];
        all.extend(headers);
        let answered = shop.ask(method, "/wine/order", &all, None);
        (answered.status, answered.code)
    };
    let ours = (200, "forwarded");
    let refused = (403, "cross_site");
    assert_eq!(ask(&mut shop, "POST", &[("origin", SHOP)]), ours);
    assert_eq!(ask(&mut shop, "POST", &[("sec-fetch-site", "same-origin")]), ours);
    assert_eq!(ask(&mut shop, "POST", &[]), refused);
    assert_eq!(ask(&mut shop, "POST", &[("origin", "https://evil.example")]), refused);
    assert_eq!(ask(&mut shop, "POST", &[("origin", "null"), ("sec-fetch-site", "same-origin")]), refused);
    assert_eq!(ask(&mut shop, "DELETE", &[("sec-fetch-site", "same-site")]), refused);
    assert_eq!(ask(&mut shop, "GET", &[("upgrade", "websocket"), ("origin", "https://evil.example")]), refused);
    assert_eq!(ask(&mut shop, "GET", &[("upgrade", "websocket"), ("origin", SHOP)]), ours);
    assert_eq!(ask(&mut shop, "GET", &[("origin", "https://evil.example")]), ours, "it only reads");
}

#[test]
fn rules_mix_a_token_and_a_credential() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    let token = bearer(&token("corp", json!({})));
    let answered = shop.ask("GET", "/both", &[("authorization", &token), ("cookie", &session)], None);
    assert_eq!((answered.status, answered.header("x-carded-subject")), (200, Some("alice")));
    let page = [("accept", "text/html"), ("authorization", &*token)];
    assert_eq!(shop.ask("GET", "/both", &page, None).status, 303, "the credential alone is missing");
    let answered = shop.ask("GET", "/both", &[("cookie", &session), ("accept", "text/html")], None);
    assert_eq!((answered.status, answered.code), (401, "token_missing"), "no wallet has the token");
}

#[test]
fn another_envoy_with_the_same_key_finishes_what_one_began() {
    let (mut one, mut two) = (Shop::new(config()), Shop::new(config()));
    let (parameters, transaction) = one.begin("/wine/red");
    let presentation = vp_token(&show(&card(true), &parameters, NOW));
    let answered = two.respond(&[("vp_token", &presentation), ("state", &parameters["state"])]);
    let done = one.browse(&redirect_uri(&answered), &transaction);
    let session = done.cookie("__Host-carded=");
    assert_eq!(two.browse("/wine/red", &session).status, 200);
    let mut other = config();
    other["credentials"]["over21"]["age"]["at_least"] = json!(18);
    assert_eq!(Shop::new(other).browse("/wine/red", &session).status, 303, "where it means something else, it is none");
}

#[test]
fn threat_76_a_damaged_or_ended_session_counts_as_none() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    let damaged = format!("{}x", &session[..session.len() - 1]);
    for cookie in [&*damaged, "__Host-carded=", "__Host-carded=\u{e9}", &format!("__Host-carded={}", "A".repeat(9000))]
    {
        assert_eq!(shop.browse("/wine/red", cookie).status, 303, "{}", cookie.len());
    }
    assert_eq!(shop.browse("/wine/red", &format!("{damaged}; {session}")).status, 200, "the one that holds counts");
}

#[test]
fn threat_70_a_session_that_would_outgrow_a_cookie_is_refused() {
    let mut configured = config();
    configured["forward"]["headers"]["x-name"] = json!("over21.given_name");
    let shop = Shop::new(configured);
    let proof = |size: usize| super::super::proof::Proof {
        name: "over21".to_owned(),
        way: "over21".to_owned(),
        issuer: DMV.to_owned(),
        ends: NOW + 100,
        claims: [("given_name".to_owned(), json!("x".repeat(size)))].into_iter().collect(),
        status: None,
    };
    let sessions = shop.gate.sessions.as_ref().unwrap();
    let cookies = |size: usize| {
        let mut session = super::super::session::Session::default();
        session.add(vec![proof(size)], Timestamp::from_unix(NOW));
        let none = Request::default();
        sessions.seal(&session, &none, SHOP, Timestamp::from_unix(NOW), &mut |_| true).map(|sealed| sealed.cookies)
    };
    for (size, expected) in [(1000, 1), (3500, 2), (8000, 3)] {
        let sets = cookies(size).unwrap();
        assert!(sets.len() == expected && sets.iter().all(|set| set.len() <= 4096), "{size}");
    }
    let refused = cookies(9000).unwrap_err();
    assert_eq!((refused.code, refused.status), ("session_too_large", 500));
}

#[test]
fn threat_68_each_session_is_sealed_anew() {
    let mut shop = Shop::new(config());
    let (one, two) = (enter(&mut shop), enter(&mut shop));
    assert_ne!(one, two);
}

#[test]
fn threat_68_who_leaves_where_nobody_signs_in_ends_every_copy_too() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    let other = enter(&mut shop);
    assert_eq!(shop.browse("/wine/red", &session).status, 200);
    let post = |shop: &mut Shop, from: &str| {
        shop.ask("POST", "/.carded/logout", &[("cookie", &session), ("origin", from)], None)
    };
    assert_eq!(post(&mut shop, "https://evil.example").status, 403);
    assert_eq!(shop.browse("/wine/red", &session).status, 200);
    let left = post(&mut shop, SHOP);
    assert!(left.status == 200 && left.body.contains("signed out"), "{}", left.body);
    assert!(left.headers.iter().any(|(name, set)| name == "set-cookie" && set.starts_with("__Host-carded=; ")));
    for _ in 0..2 {
        let answered = shop.browse("/wine/red", &session);
        assert_eq!((answered.status, answered.code), (401, "revoked"), "{}", answered.body);
        assert!(answered.body.contains("Show with Carded"), "a person can begin anew: {}", answered.body);
        let script = shop.ask("GET", "/wine/red", &[("cookie", &session)], None);
        assert_eq!((script.status, script.code), (401, "revoked"));
        // another worker of the process, which never saw it
        shop.verdicts = Verdicts::new(10, &mut secret);
    }
    assert_eq!(shop.browse("/wine/red", &other).status, 200, "another browser stays");
    // nor is it anything to add to
    let (parameters, transaction) = shop.begin("/wine/red");
    let presentation = show(&card(true), &parameters, shop.now);
    let answered = shop.respond(&[("vp_token", &vp_token(&presentation)), ("state", &parameters["state"])]);
    let done = shop.browse(&redirect_uri(&answered), &format!("{session}; {transaction}"));
    assert_eq!(done.status, 303, "{}", done.body);
    let new = done.cookie("__Host-carded=");
    assert_eq!(shop.browse("/wine/red", &new).status, 200, "under a name of its own");
    assert_eq!(shop.browse("/wine/red", &session).code, "revoked");
}

#[test]
fn threat_98_where_a_logout_cannot_be_noted_nobody_is_told_that_they_left() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    break_the_store(&mut shop.once);
    let left = shop.ask("POST", "/.carded/logout", &[("cookie", &session), ("origin", SHOP)], None);
    assert_eq!((left.status, left.code), (500, "internal_error"));
    assert!(!left.headers.iter().any(|(name, _)| name == "set-cookie"), "{:?}", left.headers);
}
