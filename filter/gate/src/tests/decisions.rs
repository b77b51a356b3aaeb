//! What becomes of requests.

use super::*;
use Became::*;

fn corp_gate(more: Value) -> Gate {
    let mut config = json!({
        "issuers": { "corp": issuer("corp"), "other": issuer("other") },
        "rules": [
            { "name": "health", "match": { "path": "/health" }, "allow": "anyone" },
            { "match": { "path": "/api/**", "preflight": true }, "allow": "anyone" },
            { "match": { "path": "/feed/**" }, "optional": { "token": "corp" } },
            { "match": { "path": "/either" }, "require": { "any": [{ "token": "corp" }, { "token": "other" }] } },
            { "match": { "path": "/both" }, "require": { "all": [{ "token": "corp" }, { "token": "other" }] } },
            { "match": { "path": "/api/**", "methods": ["GET", "POST"] }, "require": { "token": "corp" }, "authorize": true },
            { "match": { "path": "/plain/**" }, "require": { "token": "corp" } },
        ],
        "policies": [
            { "effect": "allow", "subjects": ["role:corp.clerk"], "actions": ["GET"], "resources": ["/api/orders/**"] },
            { "effect": "allow", "subjects": ["*"], "actions": ["GET"], "resources": ["/api/users/{corp.sub}/**"] },
            { "effect": "deny", "subjects": ["sub:corp.mallory"], "actions": ["*"], "resources": ["/**"] },
        ],
        "forward": { "headers": { "x-user": "corp.sub", "x-roles": "corp.roles" } },
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    gate(config)
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn first_match_decides_and_none_denies() {
    let gate = corp_gate(json!({}));
    assert_eq!(ask(&gate, "GET", "/health", &[]), Forwarded { set: vec![], removed: vec![] });
    assert_eq!(ask(&gate, "GET", "/health/", &[]), Refused(403, "no_rule"));
    assert_eq!(ask(&gate, "GET", "/HEALTH", &[]), Refused(403, "no_rule"));
    assert_eq!(ask(&gate, "DELETE", "/api/x", &[]), Refused(403, "no_rule"));
    assert_eq!(ask(&gate, "GET", "/.carded/callback", &[]), Refused(404, "not_found"));
    assert_eq!(ask(&gate, "GET", "/%2ecarded/x", &[]), Refused(404, "not_found"));
}

#[test]
fn a_good_token_passes_and_its_claims_are_told() {
    let gate = corp_gate(json!({}));
    let auth = bearer(&token("corp", json!({ "roles": ["clerk", "staff"] })));
    let became = ask(
        &gate,
        "GET",
        "/api/orders/1",
        &[("authorization", &auth), ("X-User", "root"), ("x_roles", "admin"), ("x-carded-x", "y")],
    );
    assert_eq!(
        became,
        Forwarded {
            set: headers(&[("x-roles", "clerk,staff"), ("x-user", "alice")]),
            removed: ["X-User", "x_roles", "x-carded-x", "authorization"].map(str::to_owned).to_vec(),
        }
    );
}

#[test]
fn threat_71_copies_are_removed_where_no_evidence_is_read_too() {
    let gate = corp_gate(json!({}));
    for path in ["/health", "/feed/x"] {
        let became = ask(&gate, "GET", path, &[("x-user", "root"), ("X_USER", "root")]);
        assert_eq!(became, Forwarded { set: vec![], removed: vec!["x-user".into(), "X_USER".into()] }, "{path}");
    }
}

#[test]
fn what_is_missing_or_bad_is_refused() {
    let gate = corp_gate(json!({}));
    assert_eq!(ask(&gate, "GET", "/plain/x", &[]), Refused(401, "token_missing"));
    let expired = bearer(&token("corp", json!({ "exp": NOW - 100 })));
    assert_eq!(ask(&gate, "GET", "/plain/x", &[("authorization", &expired)]), Refused(401, "token_expired"));
    assert_eq!(ask(&gate, "GET", "/plain/x", &[("authorization", "Bearer ")]), Refused(401, "token_malformed"));
    assert_eq!(ask(&gate, "GET", "/plain/x", &[("authorization", "Basic eDp5")]), Refused(401, "token_missing"));
}

#[test]
fn optional_evidence_may_be_absent_but_not_bad() {
    let gate = corp_gate(json!({}));
    assert!(matches!(ask(&gate, "GET", "/feed/x", &[]), Forwarded { .. }));
    assert_eq!(ask(&gate, "GET", "/feed/x", &[("authorization", "Bearer x")]), Refused(401, "token_malformed"));
    let good = bearer(&token("corp", json!({})));
    let became = ask(&gate, "GET", "/feed/x", &[("authorization", &good)]);
    assert!(matches!(became, Forwarded { set, .. } if set == headers(&[("x-user", "alice")])));
}

#[test]
fn requirements_nest() {
    let gate = corp_gate(json!({}));
    let (corp, other) = (bearer(&token("corp", json!({}))), bearer(&token("other", json!({}))));
    for auth in [&corp, &other] {
        assert!(matches!(ask(&gate, "GET", "/either", &[("authorization", auth)]), Forwarded { .. }));
        assert_eq!(ask(&gate, "GET", "/both", &[("authorization", auth)]), Refused(401, "token_missing"));
    }
    assert!(matches!(
        ask(&gate, "GET", "/both", &[("authorization", &corp), ("authorization", &other)]),
        Forwarded { .. }
    ));
}

#[test]
fn threat_76_every_token_that_is_presented_must_hold() {
    let gate = corp_gate(json!({}));
    let good = bearer(&token("corp", json!({})));
    let expired = bearer(&token("corp", json!({ "exp": NOW - 100 })));
    let other = bearer(&token("other", json!({})));
    for pair in [[&good, &expired], [&expired, &good]] {
        let both = [("authorization", pair[0].as_str()), ("authorization", pair[1].as_str())];
        assert_eq!(ask(&gate, "GET", "/plain/x", &both), Refused(401, "token_expired"));
    }
    let both = [("authorization", good.as_str()), ("authorization", other.as_str())];
    assert_eq!(ask(&gate, "GET", "/plain/x", &both), Refused(401, "issuer_untrusted"));
    let bob = bearer(&token("corp", json!({ "sub": "bob" })));
    let both = [("authorization", good.as_str()), ("authorization", bob.as_str())];
    assert_eq!(ask(&gate, "GET", "/plain/x", &both), Refused(401, "token_ambiguous"));
    let many = [("authorization", good.as_str()); 9];
    assert_eq!(ask(&gate, "GET", "/plain/x", &many), Refused(400, "request_malformed"));
}

#[test]
fn threat_53_two_issuers_with_the_same_sub_are_two_people() {
    let gate = corp_gate(json!({}));
    let other = bearer(&token("other", json!({})));
    let became = ask(&gate, "GET", "/either", &[("authorization", &other)]);
    assert!(matches!(became, Forwarded { set, .. } if set.is_empty()), "x-user is corp's alice, nobody else's");
}

#[test]
fn policies_decide_who_may_do_what() {
    let gate = corp_gate(json!({}));
    let with = |claims: Value, method: &str, path: &str| {
        let auth = bearer(&token("corp", claims));
        match ask(&gate, method, path, &[("authorization", &auth)]) {
            Forwarded { .. } => 200,
            Refused(status, _) => status,
            Needs(_) | Asks(_) => 0,
        }
    };
    let clerk = json!({ "roles": ["clerk"] });
    assert_eq!(with(clerk.clone(), "GET", "/api/orders/1"), 200);
    assert_eq!(with(clerk.clone(), "POST", "/api/orders/1"), 403);
    assert_eq!(with(json!({ "roles": ["guest"] }), "GET", "/api/orders/1"), 403);
    assert_eq!(with(json!({}), "GET", "/api/orders/1"), 403);
    assert_eq!(with(json!({}), "GET", "/api/users/alice/cart"), 200);
    assert_eq!(with(json!({}), "GET", "/api/users/%61lice/cart"), 200);
    assert_eq!(with(json!({}), "GET", "/api/users/bob/cart"), 403);
    assert_eq!(with(json!({ "sub": "" }), "GET", "/api/users//cart"), 400);
    let mallory = json!({ "sub": "mallory", "roles": ["clerk"] });
    assert_eq!(with(mallory.clone(), "GET", "/api/orders/1"), 403, "deny wins");
    assert_eq!(with(mallory, "GET", "/plain/x"), 403, "deny wins on every rule");
}

#[test]
fn a_rule_names_actions_and_a_deny_still_sees_the_method() {
    let gate = corp_gate(json!({
        "rules": [{
            "match": { "path": "/api/**" }, "require": { "token": "corp" }, "authorize": true,
            "actions": { "GET": "orders.read", "DELETE": "orders.remove" }
        }],
        "policies": [
            { "effect": "allow", "subjects": ["scope:corp.orders"], "actions": ["orders.read", "orders.remove"], "resources": ["/**"] },
            { "effect": "allow", "subjects": ["*"], "actions": ["GET"], "resources": ["/**"] },
            { "effect": "deny", "subjects": ["*"], "actions": ["DELETE"], "resources": ["/**"] },
        ],
    }));
    let scoped = bearer(&token("corp", json!({ "scope": "openid orders" })));
    let plain = bearer(&token("corp", json!({})));
    assert!(matches!(ask(&gate, "GET", "/api/x", &[("authorization", &scoped)]), Forwarded { .. }));
    assert_eq!(ask(&gate, "GET", "/api/x", &[("authorization", &plain)]), Refused(403, "policy_denied"));
    assert_eq!(ask(&gate, "DELETE", "/api/x", &[("authorization", &scoped)]), Refused(403, "policy_denied"));
}

#[test]
fn a_preflight_is_let_through_by_rule_only() {
    let gate = corp_gate(json!({}));
    let preflight = [("origin", "https://shop.example.com"), ("access-control-request-method", "GET")];
    assert!(matches!(ask(&gate, "OPTIONS", "/api/x", &preflight), Forwarded { .. }));
    assert_eq!(ask(&gate, "OPTIONS", "/api/x", &preflight[..1]), Refused(403, "no_rule"));
    assert_eq!(ask(&gate, "GET", "/api/x", &preflight), Refused(401, "token_missing"));
}

#[test]
fn tokens_are_read_where_the_issuer_says_and_kept_back() {
    let mut corp = issuer("corp");
    corp["from_headers"] = json!([{ "name": "X-Token" }]);
    corp["from_cookies"] = json!(["t"]);
    corp["from_params"] = json!(["access_token"]);
    let gate = corp_gate(json!({ "issuers": { "corp": corp.clone(), "other": issuer("other") }, "forward": {} }));
    let token = token("corp", json!({}));
    assert_eq!(ask(&gate, "GET", "/plain/x", &[("authorization", &bearer(&token))]), Refused(401, "token_missing"));
    let became = ask(&gate, "GET", "/plain/x", &[("x-token", &token)]);
    assert_eq!(became, Forwarded { set: vec![], removed: vec!["x-token".into()] });
    let became = ask(&gate, "GET", "/plain/x", &[("cookie", &format!("a=1; t={token}; b=2"))]);
    assert_eq!(became, Forwarded { set: headers(&[("cookie", "a=1; b=2")]), removed: vec!["cookie".into()] });
    let became = ask(&gate, "GET", &format!("/plain/%78?a=%2f&access_token={token}&b"), &[]);
    assert_eq!(became, Forwarded { set: headers(&[(":path", "/plain/x?a=%2f&b")]), removed: vec![] });
    corp["forward"] = json!(true);
    let gate = corp_gate(json!({ "issuers": { "corp": corp, "other": issuer("other") }, "forward": {} }));
    assert_eq!(ask(&gate, "GET", "/plain/x", &[("x-token", &token)]), Forwarded { set: vec![], removed: vec![] });
}

#[test]
fn threat_75_odd_requests_are_refused_not_passed() {
    let gate = corp_gate(json!({}));
    let decide = |pairs: &[(&[u8], &[u8])]| {
        let request = Request::from_pairs(pairs.iter().copied());
        let known = Documents::new(gate.limits());
        let mut around = Around {
            verdicts: &mut Verdicts::new(10, &mut secret),
            once: &mut InMemory::default(),
            budget: &mut Budget::default(),
            random: &mut |_| false,
            connection: &mut |_| None,
            now: Timestamp::from_unix(NOW),
        };
        let decision = gate.decide(&request, &known, &mut around, &mut Silent);
        match decision.step {
            Step::Reply(reply) => reply.status,
            _ => 200,
        }
    };
    assert_eq!(decide(&[]), 400);
    assert_eq!(decide(&[(b":method", b"GET")]), 400);
    assert_eq!(decide(&[(b":path", b"/health")]), 400);
    assert_eq!(decide(&[(b":method", b"CONNECT"), (b":path", b"/health")]), 400);
    assert_eq!(decide(&[(b":method", b"GET"), (b":path", b"/health"), (b":path", b"/plain")]), 400);
    assert_eq!(decide(&[(b":method", b"\xff"), (b":path", b"/health")]), 400);
    assert_eq!(decide(&[(b":method", "ä".as_bytes()), (b":path", b"/health")]), 400);
    assert_eq!(decide(&[(b":method", b"GET x"), (b":path", b"/health")]), 400);
    assert_eq!(decide(&[(b":method", b"GET"), (b":path", b"/health"), (b"x-user", b"\xff\x80")]), 200);
    assert_eq!(decide(&[(b":method", b"GET"), (b":path", b"/plain"), (b"authorization", b"Bearer \xff")]), 401);
    assert_eq!(decide(&[(b":method", b"GET"), (b":path", b"/plain"), (b"authorization", &[b'a'; 40_000])]), 401);
    let long: Vec<u8> = [&b"Bearer "[..], &[b'a'; 40_000]].concat();
    assert_eq!(decide(&[(b":method", b"GET"), (b":path", b"/plain"), (b"authorization", &long)]), 401);
}

#[test]
fn threat_91_a_claim_that_is_illegal_in_a_header_refuses() {
    let gate = corp_gate(json!({}));
    let auth = bearer(&token("corp", json!({ "sub": "a\r\nx-admin: 1" })));
    assert_eq!(ask(&gate, "GET", "/plain/x", &[("authorization", &auth)]), Refused(403, "claim_not_forwardable"));
}

#[test]
fn a_remembered_verdict_ends_with_its_token() {
    let gate = corp_gate(json!({}));
    let auth = bearer(&token("corp", json!({ "exp": NOW + 5 })));
    let mut asked = Asked::new(&gate);
    for (now, passes) in [(NOW, true), (NOW + 1, true), (NOW + 64, true), (NOW + 65, false), (NOW + 66, false)] {
        let became = asked.at(now, "GET", "/plain/x", &[("authorization", &auth)]);
        assert_eq!(matches!(became, Forwarded { .. }), passes, "at {now}: {became:?}");
    }
}

#[test]
fn threat_79_nothing_is_fetched_for_issuers_that_the_rule_does_not_name() {
    let mut third = issuer("third");
    third["algorithms"] = json!(["RS256"]);
    third["keys"] = json!({ "discovery": true });
    let gate = corp_gate(json!({
        "issuers": { "corp": issuer("corp"), "other": issuer("other"), "third": third },
        "fetch": { "clusters": { "third.example.com": "third" } },
    }));
    let auth = bearer(&format!(
        "{}.{}.AA",
        URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256"}"#),
        URL_SAFE_NO_PAD.encode(br#"{"iss":"https://third.example.com"}"#)
    ));
    assert_eq!(ask(&gate, "GET", "/plain/x", &[("authorization", &auth)]), Refused(401, "issuer_untrusted"));
}

#[test]
fn prefixes_that_differ_in_case_only_are_one_place() {
    let mut other = issuer("other");
    other["from_headers"] = json!([{ "name": "Authorization", "value_prefix": "bearer " }]);
    let gate = corp_gate(json!({ "issuers": { "corp": issuer("corp"), "other": other } }));
    for name in ["corp", "other"] {
        let auth = bearer(&token(name, json!({})));
        assert!(matches!(ask(&gate, "GET", "/either", &[("authorization", &auth)]), Forwarded { .. }), "{name}");
    }
}

#[test]
fn any_of_many_issuers_is_one_look() {
    let names: Vec<String> = (0..40).map(|number| format!("i{number}")).collect();
    let issuers: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), issuer(name))).collect();
    let tokens: Vec<Value> = names.iter().take(39).map(|name| json!({ "token": name })).collect();
    let gate = gate(json!({
        "issuers": issuers,
        "rules": [
            { "match": { "path": "/any" }, "require": { "any": tokens } },
            { "match": { "path": "/both" }, "require": { "all": [{ "any": tokens }, { "token": "i39" }] } },
        ],
    }));
    let ask = |path: &str, names: &[&str]| {
        let headers: Vec<String> = names.iter().map(|name| format!("Bearer {}", token(name, json!({})))).collect();
        let headers: Vec<_> = headers.iter().map(|value| ("authorization", value.as_str())).collect();
        Asked::new(&gate).at(NOW, "GET", path, &headers)
    };
    for name in &names[..39] {
        assert!(matches!(ask("/any", &[name]), Became::Forwarded { .. }), "{name}");
    }
    assert_eq!(ask("/any", &["i39"]), Became::Refused(401, "issuer_untrusted"));
    assert_eq!(ask("/any", &[]), Became::Refused(401, "token_missing"));
    assert_eq!(ask("/both", &["i7"]), Became::Refused(401, "token_missing"));
    assert_eq!(ask("/both", &["i39"]), Became::Refused(401, "token_missing"));
    assert!(matches!(ask("/both", &["i7", "i39"]), Became::Forwarded { .. }));
}

#[test]
fn a_refusal_names_no_more_issuers_than_a_person_reads() {
    let issuers: serde_json::Map<_, _> =
        (0..3000).map(|number| (format!("i{number}"), issuer(&format!("i{number}")))).collect();
    let tokens: Vec<Value> = (0..3000).map(|number| json!({ "token": format!("i{number}") })).collect();
    let gate =
        gate(json!({ "issuers": issuers, "rules": [{ "match": { "path": "/**" }, "require": { "any": tokens } }] }));
    let request = Request::from_pairs([(&b":method"[..], &b"GET"[..]), (b":path", b"/x"), (b":authority", b"a")]);
    let mut asked = Asked::new(&gate);
    let mut random = |_: &mut [u8]| false;
    let mut around = Around {
        verdicts: &mut asked.verdicts,
        once: &mut asked.once,
        budget: &mut asked.budget,
        random: &mut random,
        connection: &mut |_| None,
        now: Timestamp::from_unix(NOW),
    };
    let Step::Reply(reply) = gate.decide(&request, &asked.known, &mut around, &mut Silent).step else { panic!() };
    assert!(reply.body.len() < 1000, "{}", reply.body);
    assert!(reply.body.contains("2992 more issuers"), "{}", reply.body);
}
