//! API tokens: where they count, what they say, and that nothing that merely looks like one does.

use base64::engine::general_purpose::STANDARD;
use carded_verifier::Fetch;
use carded_verifier::api_token::generate;

use super::*;
use Became::*;

const LIST: &str = "https://ops.example.com/tokens.json";

/// A token and its hash, each number another.
fn made(number: u8) -> (String, String) {
    let mut next = number;
    let mut random = |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_mul(31).wrapping_add(17);
            *byte = next;
        }
        true
    };
    generate(&mut random).unwrap()
}

fn entry(number: u8, owner: &str, more: Value) -> Value {
    let mut entry = json!({ "sha256": made(number).1, "owner": owner });
    for (name, value) in more.as_object().unwrap() {
        entry[name] = value.clone();
    }
    entry
}

fn config() -> Value {
    json!({
        "issuers": { "corp": issuer("corp") },
        "api_tokens": {
            "ci": { "tokens": [
                entry(1, "alice", json!({ "scopes": ["deploy", "read"] })),
                entry(2, "bob", json!({ "expires": "2026-09-21T15:00:00Z" })),
            ] },
            "bots": { "uri": LIST, "basic": false, "forward": true },
        },
        "rules": [
            { "match": { "path": "/ci/**" }, "require": { "api_token": "ci" } },
            { "match": { "path": "/deploy" }, "require": { "api_token": "ci" }, "authorize": true },
            { "match": { "path": "/of/**" }, "require": { "api_token": "ci" }, "authorize": true },
            { "match": { "path": "/bots" }, "require": { "api_token": "bots" } },
            { "match": { "path": "/any" }, "require": { "any": [{ "token": "corp" }, { "api_token": "ci" }] } },
            { "match": { "path": "/corp" }, "require": { "token": "corp" } },
        ],
        "policies": [
            { "effect": "allow", "subjects": ["scope:ci.deploy"], "actions": ["*"], "resources": ["/deploy"] },
            { "effect": "allow", "subjects": ["*"], "actions": ["*"], "resources": ["/of/{ci.owner}"] },
        ],
        "forward": { "headers": { "x-owner": "ci.owner", "x-scope": "ci.scope", "x-sub": "ci.sub" } },
        "fetch": { "clusters": { "ops.example.com": "ops" } },
    })
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[test]
fn a_token_says_whose_it_is_and_what_it_is_for() {
    let gate = gate(config());
    let token = made(1).0;
    assert!(token.starts_with("carded_") && token.len() == 43);
    let mut asked = Asked::new(&gate);
    for auth in [bearer(&token), basic("git", &token), basic("", &token), basic("a", &token)] {
        let Forwarded { set, removed } = asked.at(NOW, "GET", "/ci/x", &[("authorization", &auth)]) else {
            panic!("{auth}")
        };
        let said = [("x-owner", "alice"), ("x-scope", "deploy,read"), ("x-sub", "alice")];
        assert_eq!(set, said.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(removed.contains(&"authorization".to_owned()), "no service sees it");
    }
    assert_eq!((asked.verified, asked.verdicts.len()), (0, 1), "found again, however it is carried");
    let ask = |path, number| ask(&gate, "GET", path, &[("authorization", &bearer(&made(number).0))]);
    assert!(matches!(ask("/deploy", 1), Forwarded { .. }));
    assert_eq!(ask("/deploy", 2), Refused(403, "policy_denied"));
    assert!(matches!(ask("/of/bob", 2), Forwarded { .. }));
    assert_eq!(ask("/of/alice", 2), Refused(403, "policy_denied"));
    assert!(matches!(ask("/any", 1), Forwarded { .. }));
    // it is no JWT of an issuer, and a JWT is none
    assert_eq!(ask("/corp", 1), Refused(401, "token_malformed"));
    let jwt = bearer(&super::token("corp", json!({})));
    assert_eq!(super::ask(&gate, "GET", "/ci/x", &[("authorization", &jwt)]), Refused(401, "issuer_untrusted"));
    assert!(matches!(super::ask(&gate, "GET", "/any", &[("authorization", &jwt)]), Forwarded { .. }));
    let forged = bearer(&super::token("corp", json!({ "iss": "urn:carded:api_tokens:ci" })));
    assert_eq!(super::ask(&gate, "GET", "/any", &[("authorization", &forged)]), Refused(401, "issuer_untrusted"));
}

#[test]
fn what_is_not_known_or_not_well_formed_is_refused() {
    let gate = gate(config());
    let mut asked = Asked::new(&gate);
    let good = made(1).0;
    let mut code = |auth: &str| asked.at(NOW, "GET", "/ci/x", &[("authorization", auth)]);
    assert_eq!(code(&bearer(&made(9).0)), Refused(401, "api_token_unknown"));
    for at in 0..good.len() {
        let mut other = good.clone().into_bytes();
        other[at] = if other[at] == b'x' { b'y' } else { b'x' };
        let became = code(&bearer(std::str::from_utf8(&other).unwrap()));
        assert_eq!(became, Refused(401, "token_malformed"), "{at}");
    }
    for text in [&good[..42], &format!("{good}0"), "carded_", &format!("{}é", &good[..41])] {
        assert_eq!(code(&bearer(text)), Refused(401, "token_malformed"), "{text}");
    }
    // a password that is none of ours is not for us
    for auth in [basic("a", "secret"), "Basic !!".to_owned(), "Basic ".to_owned(), basic(&good, "")] {
        assert_eq!(code(&auth), Refused(401, "token_missing"), "{auth}");
    }
    assert_eq!(code(&basic("a", &good[..42])), Refused(401, "token_malformed"));
    // it is verified each time that it comes, and nothing of it is remembered
    assert!(asked.verdicts.is_empty());
    let bots = [("authorization", basic("a", &good))].map(|(name, value)| (name, value));
    let bots: Vec<_> = bots.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(ask(&gate, "GET", "/bots", &bots), Refused(401, "token_missing"), "Basic is switched off there");
}

#[test]
fn a_token_ends_also_where_it_is_remembered() {
    let gate = gate(config());
    let mut asked = Asked::new(&gate);
    let auth = bearer(&made(2).0);
    // NOW is 2026-09-21T14:13:20Z
    for (offset, passes) in [(0, true), (2_799, true), (2_800, false), (2_801, false)] {
        let became = asked.at(NOW + offset, "GET", "/ci/x", &[("authorization", &auth)]);
        assert_eq!(became == Refused(401, "token_expired"), !passes, "{offset}: {became:?}");
    }
}

#[test]
fn tokens_in_a_document_come_and_go_with_it() {
    let gate = gate(config());
    let fetch: Fetch = gate.trust().first_fetches().remove(0);
    let mut asked = Asked::new(&gate);
    let auth = bearer(&made(3).0);
    let get = |asked: &mut Asked<'_>, now| asked.at(NOW + now, "GET", "/bots", &[("authorization", &auth)]);
    let publish = |asked: &mut Asked<'_>, body: Value, now| {
        let reply = carded_verifier::Reply { status: 200, body: body.to_string().into_bytes(), max_age: None };
        asked.known.insert(&fetch, &reply, Timestamp::from_unix(NOW + now))
    };
    assert_eq!(get(&mut asked, 0), Needs(LIST.to_owned()));
    publish(&mut asked, json!({ "tokens": [entry(3, "carol", json!({}))] }), 0).unwrap();
    let Forwarded { removed, .. } = get(&mut asked, 0) else { panic!("refused") };
    assert!(!removed.contains(&"authorization".to_owned()), "this set is passed on");
    assert!(matches!(get(&mut asked, 1), Forwarded { .. }) && asked.verified == 0);
    for bad in [
        json!({}),
        json!({ "tokens": {} }),
        json!({ "tokens": [{ "sha256": "00", "owner": "a" }] }),
        json!({ "tokens": [{ "sha256": made(3).1 }] }),
        json!({ "tokens": [entry(3, "a", json!({ "scopes": "read" }))] }),
        json!({ "tokens": [entry(3, "a", json!({ "scopes": ["a b"] }))] }),
        json!({ "tokens": [entry(3, "a", json!({ "expires": 7 }))] }),
        json!({ "tokens": [entry(3, "a", json!({ "expires": "tomorrow" }))] }),
        json!({ "tokens": [entry(3, "a", json!({ "expire": "2030-01-01T00:00:00Z" }))] }),
        json!({ "tokens": ["a"] }),
    ] {
        assert!(publish(&mut asked, bad.clone(), 2).is_err(), "{bad}");
    }
    publish(&mut asked, json!({ "tokens": [] }), 3).unwrap();
    assert_eq!(get(&mut asked, 3), Refused(401, "api_token_unknown"));
}

#[test]
fn threat_98_an_api_token_is_revoked_by_its_hash_or_with_its_owner() {
    let mut config = config();
    config["revocation"] = json!({ "uri": "https://ops.example.com/revoked.json" });
    let gate = gate(config);
    let fetch = gate.trust().first_fetches().remove(0);
    let auth = bearer(&made(1).0);
    let mut asked = Asked::new(&gate);
    for entry in [
        json!({ "api_token": made(1).1 }),
        json!({ "sub": "alice", "iss": "urn:carded:api_tokens:ci" }),
        json!({ "api_token": made(2).1 }),
    ] {
        let body = json!({ "revoked": [entry] }).to_string().into_bytes();
        let reply = carded_verifier::Reply { status: 200, body, max_age: None };
        asked.known.insert(&fetch, &reply, Timestamp::from_unix(NOW)).unwrap();
        let became = asked.at(NOW, "GET", "/ci/x", &[("authorization", &auth)]);
        let other = entry["api_token"] == json!(made(2).1);
        assert_eq!(became == Refused(401, "revoked"), !other, "{entry}: {became:?}");
    }
}

#[test]
fn a_program_is_asked_for_a_password_and_a_browser_is_not() {
    let gate = gate(config());
    let challenges = |path: &str, headers: &[(&str, &str)]| {
        let all = [(":method", "GET"), (":path", path), (":authority", "api.example.com"), (":scheme", "https")];
        let pairs = all.iter().chain(headers).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let request = Request::from_pairs(pairs);
        let mut around = Around {
            verdicts: &mut Verdicts::new(10, &mut secret),
            once: &mut InMemory::default(),
            budget: &mut Budget::default(),
            random: &mut |_: &mut [u8]| false,
            connection: &mut |_| None,
            now: Timestamp::from_unix(NOW),
        };
        let decision = gate.decide(&request, &Documents::new(gate.limits()), &mut around, &mut Silent);
        let Step::Reply(reply) = decision.step else { panic!("not refused") };
        let challenges = reply.headers.iter().filter(|(name, _)| *name == "www-authenticate");
        challenges.map(|(_, value)| value.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(challenges("/ci/x", &[]), ["Bearer", "Basic"]);
    assert_eq!(challenges("/ci/x", &[("accept", "text/html")]), ["Bearer"]);
    assert_eq!(challenges("/ci/x", &[("sec-fetch-mode", "cors")]), ["Bearer"]);
    assert_eq!(challenges("/bots", &[("authorization", "Bearer x")]), ["Bearer"]);
    assert_eq!(challenges("/corp", &[]), ["Bearer"]);
}

#[test]
fn what_is_wrong_with_the_configuration_is_named() {
    let good = || entry(1, "alice", json!({}));
    for (sets, field) in [
        (json!({ "ci": {} }), "api_tokens.ci"),
        (json!({ "ci": { "tokens": [], "uri": LIST } }), "api_tokens.ci"),
        (json!({ "ci": { "uri": "https://elsewhere.example.com/x" } }), "api_tokens.ci.uri"),
        (json!({ "ci": { "uri": "http://ops.example.com/x" } }), "api_tokens.ci.uri"),
        (json!({ "ci": { "tokens": [{ "sha256": "x", "owner": "a" }] } }), "api_tokens.ci.tokens[0]"),
        (json!({ "ci": { "tokens": [good(), { "sha256": made(1).1, "owner": "" }] } }), "api_tokens.ci.tokens[1]"),
        (json!({ "ci": { "tokens": [{ "sha256": made(1).1 }] } }), "api_tokens.ci.tokens[0]"),
        (json!({ "ci": { "tokens": [entry(1, "a", json!({ "token": "x" }))] } }), "api_tokens.ci.tokens[0].token"),
        (json!({ "ci": { "tokens": [] }, "Ci": { "tokens": [] } }), "api_tokens.Ci"),
        (json!({ "ci": { "tokens": [] }, "corp": { "tokens": [] } }), "api_tokens.corp"),
    ] {
        let mut config = config();
        config["api_tokens"] = sets.clone();
        config["api_tokens"]["bots"] = json!({ "tokens": [] });
        let errors = build(config).unwrap_err();
        assert!(errors.iter().any(|error| error.path.starts_with(field)), "{sets}: {errors:?}");
    }
    for (requirement, field) in [
        (json!({ "api_token": "corp" }), "rules[0].require.api_token"),
        (json!({ "token": "ci" }), "rules[0].require.token"),
        (json!({ "api_token": "none" }), "rules[0].require.api_token"),
    ] {
        let mut config = config();
        config["rules"][0]["require"] = requirement.clone();
        let errors = build(config).unwrap_err();
        assert!(errors.iter().any(|error| error.path.starts_with(field)), "{requirement}: {errors:?}");
    }
}

#[test]
fn what_weakens_something_is_warned_of() {
    let mut config = config();
    config["revocation"] = json!({ "uri": "https://ops.example.com/x", "on_failure": { "stale": "10m" } });
    config["api_tokens"]["idle"] = json!({ "tokens": [] });
    let gate = gate(config);
    let paths: Vec<&str> = gate.warnings().iter().map(|warning| warning.path.as_str()).collect();
    let ours = ["issuers.corp.algorithms", "revocation.on_failure", "api_tokens.ci.tokens[0]", "api_tokens.idle"];
    assert_eq!(paths, ours);
}
