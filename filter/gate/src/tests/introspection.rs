//! Tokens that only their issuer can read.

use super::*;
use Became::*;
use carded_verifier::{FetchFailure, Reply};

const ENDPOINT: &str = "https://corp.example.com/introspect";
const OPAQUE: &str = "2YotnFZFEjr1zCsicMWpAA";

fn base() -> Value {
    json!({
        "origins": ["https://api.example.com"],
        "issuers": {
            "corp": {
                "issuer": "https://corp.example.com", "audiences": ["api"],
                "introspection": {
                    "endpoint": ENDPOINT, "client_id": "gateway", "client_secret": { "env": "KEY_client" },
                },
            },
            "other": issuer("other"),
        },
        "rules": [
            { "match": { "path": "/x" }, "require": { "token": "corp" } },
            { "match": { "path": "/either" }, "require": { "any": [{ "token": "corp" }, { "token": "other" }] } },
            { "match": { "path": "/other" }, "require": { "token": "other" } },
        ],
        "forward": { "headers": { "x-sub": "corp.sub", "x-scope": "corp.scope" } },
        "fetch": { "clusters": { "corp.example.com": "corp" } },
    })
}

fn good() -> Value {
    json!({ "active": true, "sub": "alice", "aud": "api", "exp": NOW + 600, "token_type": "Bearer", "scope": "read" })
}

impl Asked<'_> {
    fn with_token(&mut self, path: &str, token: &str, offset: i64) -> Became {
        self.at(NOW + offset, "GET", path, &[("authorization", &bearer(token))])
    }

    /// What the last question was is answered.
    fn answer(&mut self, answer: &Effected, offset: i64) {
        let inquiry = self.inquiry.take().expect("something was asked");
        self.gate.answered(&inquiry, answer, &mut self.verdicts, Timestamp::from_unix(NOW + offset));
    }

    fn says(&mut self, answer: &Value, offset: i64) {
        self.answer(&Ok(Reply { status: 200, body: answer.to_string().into_bytes(), max_age: None }), offset);
    }

    /// A token is shown, and its issuer answers.
    fn shown(&mut self, token: &str, answer: &Value) -> Became {
        assert_eq!(self.with_token("/x", token, 0), Asks(ENDPOINT.to_owned()));
        self.says(answer, 0);
        self.with_token("/x", token, 0)
    }
}

fn configured() -> Gate {
    gate(base())
}

fn is_forwarded(became: &Became) -> bool {
    matches!(became, Forwarded { .. })
}

#[test]
fn an_issuer_is_asked_once_about_a_token_and_believed_for_a_while() {
    let gate = configured();
    let mut asked = Asked::new(&gate);
    assert_eq!(asked.with_token("/x", OPAQUE, 0), Asks(ENDPOINT.to_owned()));
    let inquiry = asked.inquiry.take().unwrap();
    assert_eq!(inquiry.effect.form, format!("token={OPAQUE}&token_type_hint=access_token"));
    let basic = inquiry.effect.authorization.clone().unwrap();
    assert!(basic.starts_with("Basic "), "{basic}");
    assert!(!format!("{inquiry:?}").contains(OPAQUE) && !format!("{inquiry:?}").contains(&basic), "{inquiry:?}");
    // whoever comes meanwhile asks the same
    assert_eq!(asked.with_token("/x", OPAQUE, 0), Asks(ENDPOINT.to_owned()));
    assert!(asked.inquiry.as_ref().unwrap().is_same(&inquiry));
    asked.with_token("/x", "another", 0);
    assert!(!asked.inquiry.as_ref().unwrap().is_same(&inquiry));
    asked.inquiry = Some(inquiry);
    asked.says(&good(), 0);
    let Forwarded { set, .. } = asked.with_token("/x", OPAQUE, 0) else { panic!("the token is good") };
    let header = |name: &str| set.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!((header("x-sub"), header("x-scope")), (Some("alice"), Some("read")));
    assert_eq!(asked.verified, 0, "remembered");
    assert!(is_forwarded(&asked.with_token("/x", OPAQUE, 59)));
    assert_eq!(asked.with_token("/x", OPAQUE, 60), Asks(ENDPOINT.to_owned()), "and asked again then");
    asked.says(&json!({ "active": false }), 60);
    assert_eq!(asked.with_token("/x", OPAQUE, 60), Refused(401, "token_inactive"));
}

#[test]
fn what_was_answered_never_outlives_the_token() {
    let gate = configured();
    let mut asked = Asked::new(&gate);
    let mut ends = good();
    ends["exp"] = json!(NOW - 40);
    assert!(is_forwarded(&asked.shown(OPAQUE, &ends)), "within the skew");
    assert!(is_forwarded(&asked.with_token("/x", OPAQUE, 19)));
    assert_eq!(asked.with_token("/x", OPAQUE, 20), Asks(ENDPOINT.to_owned()));
}

#[test]
fn a_no_is_remembered_for_a_moment() {
    let gate = configured();
    let mut asked = Asked::new(&gate);
    assert_eq!(asked.shown(OPAQUE, &json!({ "active": false })), Refused(401, "token_inactive"));
    assert_eq!(asked.with_token("/x", OPAQUE, 9), Refused(401, "token_inactive"));
    assert_eq!(asked.with_token("/x", OPAQUE, 10), Asks(ENDPOINT.to_owned()));
    // an endpoint that fails is asked again sooner, and it is not the caller's fault
    for answer in [
        Err(FetchFailure::Timeout),
        Ok(Reply { status: 401, body: b"{}".to_vec(), max_age: None }),
        Ok(Reply { status: 200, body: br#"{"sub":"alice"}"#.to_vec(), max_age: None }),
    ] {
        let mut asked = Asked::new(&gate);
        asked.with_token("/x", OPAQUE, 0);
        asked.answer(&answer, 0);
        assert_eq!(asked.with_token("/x", OPAQUE, 1), Refused(503, "introspection_unavailable"));
        assert_eq!(asked.with_token("/x", OPAQUE, 2), Asks(ENDPOINT.to_owned()));
    }
}

#[test]
fn an_issuer_is_asked_about_its_own_tokens_only() {
    let gate = configured();
    let mut asked = Asked::new(&gate);
    // a JWT of another issuer is that one's, and one of nobody is nobody's
    let jwt = token("other", json!({}));
    assert!(is_forwarded(&asked.with_token("/either", &jwt, 0)));
    assert_eq!(asked.with_token("/x", &jwt, 0), Refused(401, "issuer_untrusted"));
    assert_eq!(asked.with_token("/x", &token("corp", json!({})), 0), Refused(401, "algorithm_not_allowed"));
    // what looks like a token of ours, or like none at all
    let api_token = "carded_000000000000000000000000000000000000";
    for odd in [api_token, "", "a b", "a\"b", "a%20b", "=", "a=b", "é", "a,b"] {
        assert_eq!(asked.with_token("/x", odd, 0), Refused(401, "token_malformed"), "{odd}");
    }
    let long = "a".repeat(16 * 1024 + 1);
    assert_eq!(asked.with_token("/x", &long, 0), Refused(401, "token_too_large"));
    // a place that its tokens are not read from
    assert_eq!(asked.with_token("/other", OPAQUE, 0), Refused(401, "token_malformed"));
    for opaque in ["ya29.a0AfB_x-y~z+/w", "a.b.c", "eyJhbGciOiJkaXIifQ..a.b.c", "aGVsbG8=="] {
        assert_eq!(asked.with_token("/either", opaque, 0), Asks(ENDPOINT.to_owned()), "{opaque}");
    }
    // a verdict is for the rules that name the issuer
    asked.with_token("/either", OPAQUE, 1);
    asked.says(&good(), 1);
    assert!(is_forwarded(&asked.with_token("/either", OPAQUE, 1)));
    assert_eq!(asked.with_token("/other", OPAQUE, 1), Refused(401, "token_malformed"));
}

#[test]
fn threat_79_made_up_tokens_cost_so_many_calls_in_a_second_and_leave_room_for_others() {
    let gate = configured();
    let mut asked = Asked::new(&gate);
    let from = |asked: &mut Asked<'_>, address: &str, token: &str, offset: i64| {
        asked.connection = vec![("source.address", address.as_bytes().to_vec())];
        asked.with_token("/x", token, offset)
    };
    // one that failed lately gets half of the calls
    assert_eq!(from(&mut asked, "192.0.2.1:1", "bad", 0), Asks(ENDPOINT.to_owned()));
    asked.says(&json!({ "active": false }), 0);
    assert_eq!(from(&mut asked, "192.0.2.1:1", "bad", 0), Refused(401, "token_inactive"));
    let flood = |asked: &mut Asked<'_>, address: &str| {
        let asks = |n: usize, asked: &mut Asked<'_>| from(asked, address, &format!("made-up-{n}"), 0);
        (0..500).filter(|n| asks(*n, asked) == Asks(ENDPOINT.to_owned())).count()
    };
    assert_eq!(flood(&mut asked, "192.0.2.1:2"), 49);
    assert_eq!(from(&mut asked, "192.0.2.1:3", "made-up", 0), Refused(503, "introspection_unavailable"));
    assert_eq!(flood(&mut asked, "192.0.2.2:1"), 50, "others still come through");
    assert_eq!(flood(&mut asked, "192.0.2.3:1"), 0, "but no more than that");
    assert_eq!(from(&mut asked, "192.0.2.3:1", "made-up", 1), Asks(ENDPOINT.to_owned()), "a second later they do");
}

#[test]
fn threat_83_tokens_that_their_issuer_does_not_know_slow_down_who_brings_them() {
    let gate = configured();
    let mut asked = Asked::new(&gate);
    asked.connection = vec![("source.address", b"192.0.2.1:1".to_vec())];
    assert!(is_forwarded(&asked.shown(OPAQUE, &good())));
    for number in 0..101 {
        let token = format!("bad-{number}");
        asked.with_token("/x", &token, number / 40);
        asked.says(&json!({ "active": false }), number / 40);
        assert_eq!(asked.with_token("/x", &token, number / 40), Refused(401, "token_inactive"));
    }
    let slowed = (0..50).filter(|_| asked.with_token("/x", "bad-1", 2) == Refused(429, "too_many_failures")).count();
    assert!(slowed > 20, "{slowed}");
    assert!(is_forwarded(&asked.with_token("/x", OPAQUE, 2)), "who was let in before is not slowed");
}

#[test]
fn threat_82_what_issuers_said_no_to_stays_small() {
    let gate = configured();
    let mut asked = Asked::new(&gate);
    assert!(is_forwarded(&asked.shown(OPAQUE, &good())));
    for _ in 0..5 {
        assert!(is_forwarded(&asked.with_token("/x", OPAQUE, 0)));
    }
    for number in 0..20_000_i64 {
        asked.with_token("/x", &format!("made-up-{number}"), 1 + number / 100);
        asked.says(&json!({ "active": false }), 1 + number / 100);
    }
    assert!(asked.verdicts.len() <= gate.cached_verdicts(), "{}", asked.verdicts.len());
    assert!(asked.verdicts.bytes() < 10 << 20, "{}", asked.verdicts.bytes());
}

#[test]
fn the_endpoint_comes_from_the_metadata_where_none_is_named() {
    let mut config = base();
    config["issuers"]["corp"]["introspection"].as_object_mut().unwrap().remove("endpoint");
    config["issuers"]["corp"]["keys"] = json!({ "discovery": true });
    let gate = gate(config);
    let document = |more: Value| {
        let mut all = json!({
            "issuer": "https://corp.example.com", "jwks_uri": "https://corp.example.com/keys",
            "authorization_endpoint": "https://corp.example.com/auth", "token_endpoint": "https://corp.example.com/token",
        });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all.to_string()
    };
    let known = |asked: &mut Asked<'_>, body: String| {
        let fetch = gate.trust().first_fetches().remove(0);
        let reply = Reply { status: 200, body: body.into_bytes(), max_age: None };
        asked.known.insert(&fetch, &reply, Timestamp::from_unix(NOW)).unwrap();
    };
    let mut asked = Asked::new(&gate);
    let discovery = "https://corp.example.com/.well-known/openid-configuration";
    assert_eq!(asked.with_token("/x", OPAQUE, 0), Needs(discovery.to_owned()));
    known(&mut asked, document(json!({})));
    assert_eq!(asked.with_token("/x", OPAQUE, 0), Refused(503, "introspection_unavailable"));
    let post =
        json!({ "introspection_endpoint": ENDPOINT, "token_endpoint_auth_methods_supported": ["client_secret_post"] });
    known(&mut asked, document(post));
    assert_eq!(asked.with_token("/x", OPAQUE, 0), Asks(ENDPOINT.to_owned()));
    let effect = asked.inquiry.take().unwrap().effect;
    assert!(effect.authorization.is_none());
    assert!(effect.form.contains("&client_id=gateway&client_secret=KEY_client-"), "{}", effect.form);
}

#[test]
fn a_token_that_is_bound_needs_its_proof() {
    let mut config = base();
    config["issuers"]["corp"]["binding"] = json!("if_present");
    let gate = gate(config);
    let mut asked = Asked::new(&gate);
    let mut bound = good();
    bound["cnf"] = json!({ "jkt": "x".repeat(43) });
    assert_eq!(asked.shown(OPAQUE, &bound), Refused(401, "token_bound"));
}

#[test]
fn what_is_wrong_with_it_is_said_at_its_field() {
    let introspection = "/issuers/corp/introspection";
    for (path, value, expected) in [
        ("endpoint", json!("http://corp.example.com/x"), "issuers.corp.introspection.endpoint"),
        ("endpoint", json!("https://elsewhere.example.com/x"), "does not name `elsewhere.example.com`"),
        ("endpoint", Value::Null, "name the `endpoint`"),
        ("client_id", json!(""), "issuers.corp.introspection.client_id"),
        ("client_secret", json!({ "env": "NONE" }), "issuers.corp.introspection.client_secret"),
        ("cache", json!("0s"), "issuers.corp.introspection.cache"),
        ("cache", json!("2h"), "issuers.corp.introspection.cache"),
        ("chache", json!("2m"), "unknown field `chache`"),
    ] {
        let mut config = base();
        config.pointer_mut(introspection).unwrap()[path] = value;
        let errors = build(config).unwrap_err();
        assert!(errors.iter().any(|error| error.to_string().contains(expected)), "{expected}: {errors:?}");
    }
    let mut config = base();
    config["limits"] = json!({ "cached_verdicts": 0 });
    assert!(build(config).unwrap_err()[0].to_string().contains("cannot be 0"));
    // whose a token is must be clear
    let mut config = base();
    config["issuers"]["other"]["introspection"] = config["issuers"]["corp"]["introspection"].clone();
    assert!(build(config).unwrap_err()[0].to_string().starts_with("rules[1]: two of its issuers"));
    let lenient = gate({
        let mut config = base();
        config["issuers"]["corp"]["introspection"]["require_audience"] = json!(false);
        config["issuers"]["corp"]["introspection"]["require_token_type"] = json!(false);
        config
    });
    let warnings: Vec<_> = lenient.warnings().iter().map(ToString::to_string).collect();
    for field in ["require_audience", "require_token_type"] {
        let path = format!("issuers.corp.introspection.{field}");
        assert!(warnings.iter().any(|warning| warning.starts_with(&path)), "{warnings:?}");
    }
}
