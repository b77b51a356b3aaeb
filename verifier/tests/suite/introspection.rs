//! What an authorization server says of opaque tokens (RFC 7662 section 2.2).
use crate::support::*;
use carded_verifier::{
    Basis, ClaimPath, Code, Condensed, Denied, FetchFailure, Introspection, KeySet, KeySource, Outcome, Reply,
    verify_introspection,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A good answer, with members of its own or in place of the usual ones (null takes one out).
fn answer(change: Value) -> Map<String, Value> {
    let mut all = claims();
    all.insert("active".to_owned(), json!(true));
    all.insert("token_type".to_owned(), json!("Bearer"));
    for (name, value) in object(change) {
        match value {
            Value::Null => all.remove(&name),
            value => all.insert(name, value),
        };
    }
    all
}

struct Asked {
    world: World,
    require_audience: bool,
    require_token_type: bool,
}

impl Asked {
    fn new() -> Self {
        Self { world: World::new(), require_audience: true, require_token_type: true }
    }

    fn of(&self, answer: &Result<Reply, FetchFailure>) -> Outcome<(Condensed, Basis)> {
        let asked = Introspection {
            issuer: self.world.trust.index_of("corp").unwrap(),
            answer,
            require_audience: self.require_audience,
            require_token_type: self.require_token_type,
            keep: Duration::from_secs(60),
            paths: &Arc::from([ClaimPath::parse_dotted("scope").unwrap()]),
        };
        verify_introspection(&asked, &self.world.trust, at(0))
    }

    fn says(&self, change: Value) -> Outcome<(Condensed, Basis)> {
        self.of(&Ok(reply(Value::Object(answer(change)).to_string())))
    }

    #[track_caller]
    fn ok(&self, change: Value) -> (Condensed, Basis) {
        match self.says(change) {
            Outcome::Verified(verified) => verified,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn denied(&self, answer: &Result<Reply, FetchFailure>) -> Denied {
        match self.of(answer) {
            Outcome::Denied(denied) => denied,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn code(&self, change: Value) -> Code {
        self.denied(&Ok(reply(Value::Object(answer(change)).to_string()))).code()
    }
}

#[test]
fn an_active_token_is_its_issuers_and_is_believed_for_a_while() {
    let asked = Asked::new();
    for change in [json!({}), json!({ "iss": null }), json!({ "token_type": "bearer", "aud": ["x", AUD] })] {
        let (condensed, mut basis) = asked.ok(change);
        assert_eq!((condensed.iss(), condensed.subject()), (ISS, Some("alice")));
        let holds = |basis: &mut Basis, offset: i64| {
            condensed.still_holds(basis, &asked.world.trust, &asked.world.known, at(offset))
        };
        assert!(holds(&mut basis, 0) && holds(&mut basis, 59) && !holds(&mut basis, 60));
        assert_eq!(condensed.ends(), at(660), "by its own word, and the skew");
    }
    let (condensed, mut basis) = asked.ok(json!({ "exp": NOW + 5, "scope": "a b" }));
    assert!(condensed.still_holds(&mut basis, &asked.world.trust, &asked.world.known, at(59)));
    assert_eq!(condensed.claim(&ClaimPath::parse_dotted("scope").unwrap()), Some(&json!("a b")));
    let (condensed, mut basis) = asked.ok(json!({ "exp": NOW - 50 }));
    assert!(!condensed.still_holds(&mut basis, &asked.world.trust, &asked.world.known, at(10)), "never beyond its end");
}

#[test]
fn threat_77_active_is_true_and_nothing_else() {
    let asked = Asked::new();
    assert_eq!(asked.code(json!({ "active": false })), Code::TokenInactive);
    for active in [Value::Null, json!("true"), json!(1), json!({}), json!([true])] {
        assert_eq!(asked.code(json!({ "active": active })), Code::IntrospectionUnavailable, "{active}");
    }
    for body in ["", "{", "true", "[]", r#"{"active":true,"active":true}"#, r#"{"active":false,"active":true}"#] {
        assert_eq!(asked.denied(&Ok(reply(body))).code(), Code::IntrospectionUnavailable, "{body}");
    }
    let long = json!({ "x": "x".repeat(16 * 1024) });
    assert_eq!(asked.code(long), Code::IntrospectionUnavailable);
    let good = Value::Object(answer(json!({}))).to_string().into_bytes();
    for status in [201, 204, 302, 400, 401, 403, 404, 500, 503] {
        let reply = Reply { status, body: good.clone(), max_age: None };
        let denied = asked.denied(&Ok(reply));
        assert_eq!(denied.code(), Code::IntrospectionUnavailable, "{status}");
        assert!(denied.retry_after().is_some());
    }
    for failure in [FetchFailure::Timeout, FetchFailure::TooLarge, FetchFailure::HostNotConfigured] {
        assert_eq!(asked.denied(&Err(failure)).code(), Code::IntrospectionUnavailable);
    }
}

#[test]
fn threat_21_what_an_answer_says_is_checked_like_claims() {
    let mut asked = Asked::new();
    for (change, code) in [
        (json!({ "iss": "https://other.example.com" }), Code::IssuerUntrusted),
        (json!({ "iss": 7 }), Code::IssuerUntrusted),
        (json!({ "aud": null }), Code::ClaimMissing),
        (json!({ "aud": "other" }), Code::AudienceMismatch),
        (json!({ "aud": [] }), Code::AudienceMismatch),
        (json!({ "aud": { "a": 1 } }), Code::ClaimInvalid),
        (json!({ "exp": null }), Code::ClaimMissing),
        (json!({ "exp": NOW - 600 }), Code::TokenExpired),
        (json!({ "exp": "soon" }), Code::ClaimInvalid),
        (json!({ "nbf": NOW + 600 }), Code::TokenNotYetValid),
        (json!({ "nbf": true }), Code::ClaimInvalid),
        (json!({ "sub": 7 }), Code::ClaimInvalid),
        (json!({ "token_type": null }), Code::ClaimMissing),
        (json!({ "token_type": "refresh_token" }), Code::TypeNotAllowed),
        (json!({ "token_type": ["Bearer"] }), Code::TypeNotAllowed),
        (json!({ "token_type": "DPoP" }), Code::ClaimMissing),
        (json!({ "cnf": "x" }), Code::ClaimInvalid),
        (json!({ "cnf": { "jwk": {} } }), Code::TokenBound),
    ] {
        assert_eq!(asked.code(change.clone()), code, "{change}");
    }
    let jkt = "x".repeat(43);
    let (condensed, _) = asked.ok(json!({ "token_type": "DPoP", "cnf": { "jkt": jkt } }));
    assert_eq!(condensed.confirmation().and_then(|bound| bound.key()), Some(jkt.as_str()));
    // what the policy takes without is still checked where it is there
    (asked.require_audience, asked.require_token_type) = (false, false);
    asked.ok(json!({ "aud": null, "token_type": null }));
    assert_eq!(asked.code(json!({ "aud": "other" })), Code::AudienceMismatch);
    assert_eq!(asked.code(json!({ "token_type": "refresh_token" })), Code::TypeNotAllowed);
    // the client of a login: what people's browsers bring back is no token for programs
    asked.world = World::with(|corp| corp.login_client_ids = vec!["shop".to_owned()]);
    assert_eq!(asked.code(json!({ "aud": [AUD, "shop"] })), Code::IdTokenNotAccepted);
}

#[test]
fn an_issuer_that_is_asked_needs_no_keys() {
    let world = World::with(|corp| {
        corp.keys = KeySource::Inline(KeySet::default());
        corp.introspects = true;
    });
    assert_eq!(world.code(sign(&claims())), Code::KeyNotFound);
}
