//! Rules that take only tokens for some of an issuer's audiences.

use super::*;
use Became::*;

fn config() -> Value {
    let mut corp = issuer("corp");
    corp["audiences"] = json!(["api", "orders", "billing"]);
    json!({
        "issuers": { "corp": corp, "other": issuer("other") },
        "rules": [
            { "match": { "path": "/orders" }, "require": { "token": { "issuer": "corp", "audiences": ["orders", "api"] } } },
            { "match": { "path": "/billing" }, "require": { "any": [
                { "token": { "issuer": "corp", "audiences": ["billing"] } }, { "token": "other" } ] } },
            { "match": { "path": "/feed" }, "optional": { "token": { "issuer": "corp", "audiences": ["orders"] } } },
            { "match": { "path": "/all" }, "require": { "token": "corp" } },
        ],
    })
}

#[test]
fn a_rule_narrows_what_a_token_is_for_also_where_it_is_remembered() {
    let gate = gate(config());
    let mut asked = Asked::new(&gate);
    for (aud, orders, billing, feed) in [
        (json!("orders"), true, false, true),
        (json!("billing"), false, true, false),
        (json!("api"), true, false, false),
        (json!(["billing", "orders"]), true, true, true),
        (json!(["elsewhere", "billing"]), false, true, false),
    ] {
        let token = bearer(&token("corp", json!({ "aud": aud })));
        // in any order of the rules: the verdict is remembered from the first on
        for _ in 0..2 {
            for (path, passes) in [("/all", true), ("/orders", orders), ("/billing", billing), ("/feed", feed)] {
                let became = asked.at(NOW, "GET", path, &[("authorization", &token)]);
                match passes {
                    true => assert!(matches!(became, Forwarded { .. }), "{aud} {path}: {became:?}"),
                    false => assert_eq!(became, Refused(401, "audience_mismatch"), "{aud} {path}"),
                }
            }
        }
    }
    assert_eq!(asked.verified, 0);
    assert_eq!(asked.at(NOW, "GET", "/orders", &[]), Refused(401, "token_missing"));
    assert!(matches!(asked.at(NOW, "GET", "/feed", &[]), Forwarded { .. }));
    let other = bearer(&token("other", json!({})));
    assert!(matches!(asked.at(NOW, "GET", "/billing", &[("authorization", &other)]), Forwarded { .. }));
    let stranger = bearer(&token("corp", json!({ "aud": "elsewhere" })));
    assert_eq!(asked.at(NOW, "GET", "/orders", &[("authorization", &stranger)]), Refused(401, "audience_mismatch"));
}

#[test]
fn a_rule_never_widens_what_a_token_may_be_for() {
    for (requirement, expected) in [
        (json!({ "issuer": "corp", "audiences": ["elsewhere"] }), "rules[0].require.token.audiences"),
        (json!({ "issuer": "corp", "audiences": ["orders", "elsewhere"] }), "rules[0].require.token.audiences"),
        (json!({ "issuer": "corp", "audiences": [] }), "rules[0].require.token.audiences"),
        (json!({ "issuer": "nobody", "audiences": ["orders"] }), "rules[0].require.token.issuer"),
        (json!({ "issuer": "corp" }), "rules[0].require.token: missing field `audiences`"),
        (json!({ "issuer": "corp", "audience": ["orders"] }), "rules[0].require.token.audience: unknown field"),
        (json!(7), "rules[0].require.token: invalid type"),
    ] {
        let mut config = config();
        config["rules"][0]["require"]["token"] = requirement;
        let errors = build(config).unwrap_err();
        assert!(errors[0].to_string().starts_with(expected), "{expected}: {errors:?}");
    }
}
