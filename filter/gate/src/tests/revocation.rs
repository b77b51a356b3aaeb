//! What was revoked counts no more, however well it is remembered.

use carded_verifier::Fetch;
use carded_verifier::revocation::compact::{Compact, build};
use carded_verifier::revocation::{Entry, Kind, Mark};

use super::provider::{self, Door};
use super::shop::{self, Shop, enter};
use super::*;
use Became::*;

const LIST: &str = "https://ops.example.com/revoked.json";

fn with_list(mut config: Value) -> Value {
    config["revocation"] = json!({ "uri": LIST, "refresh": "5s" });
    config["fetch"]["clusters"]["ops.example.com"] = json!("ops");
    config
}

fn config() -> Value {
    with_list(json!({
        "issuers": { "corp": issuer("corp") },
        "rules": [
            { "match": { "path": "/open" }, "allow": "anyone" },
            { "match": { "path": "/maybe" }, "optional": { "token": "corp" } },
            { "match": { "path": "/**" }, "require": { "token": "corp" } },
        ],
        "fetch": { "clusters": {} },
    }))
}

fn fetch_of(gate: &Gate) -> Fetch {
    gate.trust().first_fetches().into_iter().find(|fetch| fetch.url().as_str() == LIST).unwrap()
}

fn publish(known: &mut Documents, fetch: &Fetch, entries: &[Value], now: i64) {
    let body = json!({ "revoked": entries }).to_string().into_bytes();
    let reply = carded_verifier::Reply { status: 200, body, max_age: None };
    known.insert(fetch, &reply, Timestamp::from_unix(now)).unwrap();
}

fn corp(member: &str, value: &str) -> Value {
    json!({ member: value, "iss": "https://corp.example.com" })
}

#[test]
fn threat_98_a_token_that_is_revoked_is_refused_though_it_is_remembered() {
    let gate = gate(config());
    let fetch = fetch_of(&gate);
    let auth = bearer(&token("corp", json!({ "jti": "j1", "sid": "s1" })));
    for entry in [corp("sub", "alice"), corp("jti", "j1"), corp("sid", "s1")] {
        let mut asked = Asked::new(&gate);
        let get = |asked: &mut Asked<'_>, now| asked.at(NOW + now, "GET", "/x", &[("authorization", &auth)]);
        assert_eq!(get(&mut asked, 0), Needs(LIST.to_owned()));
        publish(&mut asked.known, &fetch, &[corp("sub", "bob")], NOW);
        assert!(matches!(get(&mut asked, 0), Forwarded { .. }));
        assert!(matches!(get(&mut asked, 1), Forwarded { .. }) && asked.verified == 0, "remembered");
        publish(&mut asked.known, &fetch, &[corp("sub", "bob"), entry], NOW + 2);
        for now in 2..5 {
            assert_eq!(get(&mut asked, now), Refused(401, "revoked"));
            assert_eq!(asked.verified, 0, "it is not even verified again");
        }
        // nor by a worker that never saw it
        let mut other = Asked::new(&gate);
        other.known = asked.known;
        assert_eq!(get(&mut other, 5), Refused(401, "revoked"));
        assert_eq!(other.at(NOW + 5, "GET", "/maybe", &[("authorization", &auth)]), Refused(401, "revoked"));
        // another subject's passes, and so does this one once the entry is taken back
        let bob = bearer(&token("corp", json!({ "sub": "carol" })));
        assert!(matches!(other.at(NOW + 5, "GET", "/x", &[("authorization", &bob)]), Forwarded { .. }));
        publish(&mut other.known, &fetch, &[], NOW + 6);
        assert!(matches!(get(&mut other, 6), Forwarded { .. }));
    }
}

#[test]
fn threat_98_without_a_list_that_is_fresh_enough_nothing_passes_that_it_could_revoke() {
    let good = bearer(&token("corp", json!({})));
    for (on_failure, until) in [(json!("refuse"), 14), (json!({ "stale": "10m" }), 605)] {
        let mut config = config();
        config["revocation"]["on_failure"] = on_failure;
        let gate = gate(config);
        let (fetch, mut asked) = (fetch_of(&gate), Asked::new(&gate));
        let get =
            |asked: &mut Asked<'_>, path, now| asked.at(NOW + now, "GET", path, &[("authorization", good.as_str())]);
        let failed = |asked: &mut Asked<'_>, now| {
            asked.known.fail(&fetch, carded_verifier::FetchFailure::Timeout, Timestamp::from_unix(NOW + now));
        };
        failed(&mut asked, 0);
        assert_eq!(get(&mut asked, "/x", 0), Refused(503, "revocation_unavailable"));
        assert!(matches!(get(&mut asked, "/open", 0), Forwarded { .. }), "nothing is read here");
        assert!(matches!(asked.at(NOW, "GET", "/maybe", &[]), Forwarded { .. }), "nothing is brought here");
        assert_eq!(get(&mut asked, "/maybe", 0), Refused(503, "revocation_unavailable"));
        publish(&mut asked.known, &fetch, &[], NOW);
        failed(&mut asked, until - 2);
        assert!(matches!(get(&mut asked, "/x", until - 1), Forwarded { .. }), "{until}");
        assert_eq!(get(&mut asked, "/x", until), Refused(503, "revocation_unavailable"), "{until}");
    }
}

#[test]
fn a_session_that_is_revoked_is_none() {
    let mut config = with_list(shop::config());
    config["forward"]["headers"]["x-session"] = json!("over21.session");
    let mut shop = Shop::new(config);
    let fetch = fetch_of(&shop.gate);
    publish(&mut shop.known, &fetch, &[], NOW);
    let (session, other) = (enter(&mut shop), enter(&mut shop));
    let id = |shop: &mut Shop, session: &str| {
        let answered = shop.browse("/wine/white", session);
        assert_eq!(answered.status, 200, "{}", answered.body);
        answered.header("x-session").unwrap().to_owned()
    };
    let (ours, theirs) = (id(&mut shop, &session), id(&mut shop, &other));
    assert!(ours.len() == 22 && ours != theirs);
    publish(&mut shop.known, &fetch, &[json!({ "session": ours })], NOW + 1);
    for _ in 0..2 {
        assert_eq!(shop.browse("/wine/white", &session).status, 401, "a page that says so, with a way back");
        let program = shop.ask("GET", "/wine/white", &[("cookie", &session)], None);
        assert_eq!((program.status, program.code), (401, "revoked"));
    }
    assert_eq!(id(&mut shop, &other), theirs);
    // what it held goes into no other session, and a new one has a new name
    let (parameters, transaction) = shop.begin("/wine/red");
    let presentation = shop::show(&shop::card(true), &parameters, shop.now);
    let answered = shop.respond(&[("vp_token", &shop::vp_token(&presentation)), ("state", &parameters["state"])]);
    let back = shop::redirect_uri(&answered);
    let done = shop.browse(&back, &format!("{session}; {transaction}"));
    let new = done.cookie("__Host-carded=");
    let name = id(&mut shop, &new);
    assert!(name != ours && name != theirs);
}

#[test]
fn a_list_in_the_compact_form_says_the_same() {
    let gate = gate(config());
    let fetch = fetch_of(&gate);
    let entry = Entry { mark: Mark::of(Kind::Subject, "https://corp.example.com", "alice"), before: None };
    let body = build(&[entry], [5; 16]).unwrap();
    assert_eq!(Compact::of_slice(&body).unwrap().len(), 1);
    let mut asked = Asked::new(&gate);
    let reply = carded_verifier::Reply { status: 200, body, max_age: None };
    asked.known.insert(&fetch, &reply, Timestamp::from_unix(NOW)).unwrap();
    for (subject, passes) in [("alice", false), ("bob", true)] {
        let auth = bearer(&token("corp", json!({ "sub": subject })));
        let became = asked.at(NOW, "GET", "/x", &[("authorization", &auth)]);
        assert_eq!(became == Refused(401, "revoked"), !passes, "{subject}: {became:?}");
    }
}

#[test]
fn what_is_wrong_with_the_configuration_is_named() {
    for (change, field) in [
        (json!({ "uri": "http://ops.example.com/x" }), "revocation.uri"),
        (json!({ "uri": "https://elsewhere.example.com/x" }), "revocation.uri"),
        (json!({ "uri": LIST, "refresh": "500ms" }), "revocation.refresh"),
        (json!({ "uri": LIST, "refresh": "2h" }), "revocation.refresh"),
        (json!({ "uri": LIST, "on_failure": { "stale": "25h" } }), "revocation.on_failure.stale"),
        (json!({ "uri": LIST, "on_failure": "accept" }), "revocation.on_failure"),
        (json!({ "uri": LIST, "more": 1 }), "revocation.more"),
        (json!({}), "revocation"),
    ] {
        let mut config = config();
        config["revocation"] = change.clone();
        let errors = build_config(config).unwrap_err();
        assert!(errors.iter().any(|error| error.path.starts_with(field)), "{change}: {errors:?}");
    }
}

fn build_config(config: Value) -> Result<Gate, Vec<ConfigError>> {
    super::build(config)
}

#[test]
fn a_login_is_revoked_by_who_signed_in_and_by_the_providers_session() {
    for entry in [
        json!({ "sub": "alice", "iss": provider::IDP }),
        json!({ "sub": "alice", "iss": provider::IDP, "before": NOW + 1 }),
        json!({ "sid": "s1", "iss": provider::IDP }),
    ] {
        let mut door = Door::new(with_list(provider::config()));
        let fetch = fetch_of(&door.gate);
        publish(&mut door.known, &fetch, &[], NOW);
        let sent = door.begin("/account");
        door.grants(&provider::id_token(&sent, json!({ "sid": "s1" })));
        door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
        assert_eq!(door.browse("/quiet").status, 200);
        publish(&mut door.known, &fetch, std::slice::from_ref(&entry), NOW + 1);
        for _ in 0..2 {
            let answered = door.browse("/quiet");
            assert_eq!(answered.status, 401, "{entry}: {}", answered.code);
        }
        // a person is sent to sign in again; who is not to come in at all is told so when they come back
        let sent = door.begin("/account");
        door.now = NOW + 2;
        door.grants(&provider::id_token(&sent, json!({ "sid": "s2", "iat": NOW + 2, "auth_time": NOW + 2 })));
        let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
        let for_good = entry["before"].is_null() && entry["sid"].is_null();
        assert_eq!(back.code == "revoked", for_good, "{entry}: {} {}", back.code, back.body);
        assert_eq!(door.browse("/quiet").status == 200, !for_good, "{entry}");
    }
}
