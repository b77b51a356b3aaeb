//! What refuses to start, with the path of the field; and what is only warned of.

use super::*;

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut config = json!({
        "origins": ["https://api.example.com"],
        "issuers": { "corp": issuer("corp") },
        "rules": [{ "match": { "path": "/**" }, "require": { "token": "corp" } }],
    });
    change(&mut config);
    config
}

fn errors(change: impl FnOnce(&mut Value)) -> Vec<String> {
    build(with(change)).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn warnings(change: impl FnOnce(&mut Value)) -> Vec<String> {
    gate(with(change)).warnings().iter().map(ToString::to_string).collect()
}

#[track_caller]
fn refused(path: &str, change: impl FnOnce(&mut Value)) {
    let errors = errors(change);
    assert!(errors.iter().any(|error| error.starts_with(&format!("{path}:"))), "wanted {path}, got {errors:?}");
}

#[test]
fn the_usual_configuration_is_fine() {
    assert_eq!(errors(|_| {}), [""; 0]);
}

#[test]
fn dangling_names_are_refused_with_their_path() {
    refused("rules[0].require.token", |c| c["rules"][0]["require"] = json!({ "token": "nobody" }));
    refused("rules[0].require.any[1].token", |c| {
        c["rules"][0]["require"] = json!({ "any": [{ "token": "corp" }, { "token": "nobody" }] });
    });
    refused("rules[0].require.all", |c| c["rules"][0]["require"] = json!({ "all": [] }));
}

#[test]
fn unsafe_combinations_are_refused() {
    refused("issuers.corp.audiences", |c| c["issuers"]["corp"]["audiences"] = json!([]));
    refused("issuers.corp.algorithms[0]", |c| c["issuers"]["corp"]["algorithms"] = json!(["none"]));
    refused("issuers.corp.algorithms", |c| c["issuers"]["corp"]["algorithms"] = json!(["HS256", "RS256"]));
    refused("issuers.corp.keys", |c| c["issuers"]["corp"]["algorithms"] = json!(["RS256"]));
    refused("issuers.corp.keys", |c| c["issuers"]["corp"]["keys"] = json!({ "discovery": false }));
    refused("issuers.corp.keys.discovery", |c| {
        c["issuers"]["corp"]["algorithms"] = json!(["RS256"]);
        c["issuers"]["corp"]["keys"] = json!({ "discovery": true });
    });
    refused("issuers.corp.issuer", |c| {
        c["issuers"]["corp"]["issuer"] = json!("https://x.example.com/{tenant}/{tenant}")
    });
    refused("issuers.corp.clock_skew", |c| c["issuers"]["corp"]["clock_skew"] = json!("6m"));
    refused("issuers.corp.tenants", |c| c["issuers"]["corp"]["tenants"] = json!(["a"]));
    refused("rules[0]", |c| c["rules"][0]["allow"] = json!("anyone"));
    refused("rules[0].authorize", |c| {
        c["rules"][0] = json!({ "match": { "path": "/" }, "allow": "anyone", "authorize": true });
    });
    refused("origins[0]", |c| c["origins"] = json!(["http://api.example.com"]));
    refused("origins[0]", |c| c["origins"] = json!(["https://api.example.com/path"]));
    refused("forward.headers.host", |c| c["forward"] = json!({ "headers": { "host": "corp.sub" } }));
    refused("forward.headers.x-issuer", |c| c["forward"] = json!({ "headers": { "x-issuer": "corp" } }));
    refused("policies[0].subjects[0]", |c| {
        c["policies"] = json!([{ "effect": "allow", "subjects": ["clerk"], "actions": ["*"], "resources": ["/**"] }]);
    });
    refused("policies[0].resources[0]", |c| {
        c["policies"] = json!([{ "effect": "allow", "subjects": ["*"], "actions": ["*"], "resources": ["/{a..b}"] }]);
    });
    refused("rules", |c| c["rules"] = json!([]));
}

#[test]
fn threat_99_secrets_that_are_missing_or_short_refuse_to_start() {
    refused("issuers.corp.keys.secret", |c| c["issuers"]["corp"]["keys"]["secret"]["env"] = json!("MISSING"));
    refused("issuers.corp.keys.secret", |c| {
        c["issuers"]["corp"]["keys"]["secret"] = json!({ "env": "KEY_corp", "encoding": "base64url" });
        c["issuers"]["corp"]["algorithms"] = json!(["HS512"]);
    });
}

#[test]
fn bare_names_need_a_single_issuer_that_can_supply_them() {
    let forward = json!({ "headers": { "x-sub": "sub" } });
    assert_eq!(errors(|c| c["forward"] = forward.clone()), [""; 0]);
    refused("forward.headers.x-sub", |c| {
        c["forward"] = forward.clone();
        c["issuers"]["other"] = issuer("other");
    });
    refused("forward.headers.x-sub", |c| {
        c["forward"] = forward;
        c["issuers"]["corp"]["issuer"] = json!("https://login.example.com/{tenant}/v2.0");
    });
    refused("policies[0].subjects[0]", |c| {
        c["issuers"]["other"] = issuer("other");
        c["policies"] =
            json!([{ "effect": "allow", "subjects": ["role:clerk"], "actions": ["*"], "resources": ["/**"] }]);
    });
}

#[test]
fn threat_53_subjects_of_a_multi_tenant_issuer_name_their_tenant() {
    let with_policy = |subject: &'static str, resource: &'static str| {
        move |c: &mut Value| {
            c["issuers"]["corp"]["issuer"] = json!("https://login.example.com/{tenant}/v2.0");
            c["policies"] =
                json!([{ "effect": "allow", "subjects": [subject], "actions": ["*"], "resources": [resource] }]);
        }
    };
    refused("policies[0].subjects[0]", with_policy("sub:corp.alice", "/**"));
    refused("policies[0].resources[0]", with_policy("*", "/users/{corp.sub}/**"));
    assert_eq!(errors(with_policy("sub:corp[a.example].alice", "/**")), [""; 0]);
    assert_eq!(errors(with_policy("role:corp[*].reader", "/{corp.tenant}/{corp.sub}")), [""; 0]);
}

#[test]
fn all_errors_are_told_at_once() {
    let errors = errors(|c| {
        c["origins"] = json!(["x"]);
        c["issuers"]["corp"]["audiences"] = json!([]);
        c["fetch"] = json!({ "clusters": { "a b": "x" }, "cooldown": "0s" });
    });
    assert_eq!(errors.len(), 4, "{errors:?}");
}

#[test]
fn rules_that_can_never_match_are_warned_of() {
    let found = warnings(|c| {
        c["rules"] = json!([
            { "match": { "path": "/a/**" }, "require": { "token": "corp" } },
            { "match": { "path": ["/a", "/a/b/*"], "methods": ["GET"] }, "allow": "anyone" },
            { "match": { "path": "/b", "methods": ["GET"] }, "allow": "anyone" },
            { "match": { "path": "/b" }, "allow": "anyone" },
        ]);
    });
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().any(|warning| warning.starts_with("rules[1]: this rule can never match: rules[0]")),
        "{found:?}"
    );
}

#[test]
fn relaxed_policies_are_reported() {
    let found = warnings(|c| {
        c["danger_allow_http_localhost"] = json!(true);
        c["issuers"]["corp"]["require_exp"] = json!(false);
        c["issuers"]["corp"]["from_params"] = json!(["access_token"]);
        c["forward"] = json!({ "headers": { "x-sub": "crop.sub" } });
    });
    for path in
        ["danger_allow_http_localhost", "issuers.corp.require_exp", "issuers.corp.from_params", "forward.headers.x-sub"]
    {
        assert!(found.iter().any(|warning| warning.starts_with(path)), "{path}: {found:?}");
    }
}

#[test]
fn the_readme_names_every_code() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let own = Refusal::OWN.iter().map(|(code, ..)| *code);
    let verifiers = carded_verifier::Code::ALL.iter().map(|code| code.as_str());
    let missing: Vec<_> = own.chain(verifiers).filter(|code| !readme.contains(&format!("`{code}`"))).collect();
    assert_eq!(missing, [""; 0]);
}
