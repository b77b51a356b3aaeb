//! Tokens that are bound to a key (RFC 9449), with nonces of ours, at rules that take some of an issuer's audiences alone: by a client of
//! another hand, npm `@openid4vc/oauth2`, through the real Envoy with four workers. The proof, the nonce and the audience are judged with
//! each request, also where the verdict on the token is remembered.

use anyhow::{Context, Result, ensure};
use carded_envoy::fetch::peer;
use carded_envoy::keys::{claims, with};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::common::{ISSUER, Setup, in_each_envoy, packages};
use crate::login::{SECRET, SHOP, environment};

in_each_envoy!(every_use_of_a_bound_token_is_proven_with_a_nonce_of_ours_and_for_the_audience_of_the_rule);

/// How many requests come at once.
const TIMES: usize = 8;

fn config() -> Value {
    let token = |audience: &str| json!({ "token": { "issuer": "corp", "audiences": [audience] } });
    json!({
        "origins": [SHOP],
        "danger_allow_http_localhost": true,
        "issuers": { "corp": {
            "issuer": ISSUER, "audiences": ["orders", "billing"], "algorithms": ["ES256"], "keys": { "discovery": true },
            "binding": "dpop", "dpop_nonce": true,
        } },
        "sessions": { "keys": [{ "env": "CARDED_SESSION_KEY" }] },
        "rules": [
            { "match": { "path": "/orders" }, "require": token("orders") },
            { "match": { "path": "/billing" }, "require": token("billing") },
            { "match": { "path": "/all" }, "require": { "token": "corp" } },
        ],
        "forward": { "headers": { "x-carded-subject": "corp.sub" } },
        "fetch": { "clusters": { "idp.example.com": "idp" }, "timeout": "5s" },
    })
}

async fn every_use_of_a_bound_token_is_proven_with_a_nonce_of_ours_and_for_the_audience_of_the_rule(
    version: &'static str,
) -> Result<()> {
    if packages().is_none() {
        return Ok(());
    }
    let world = Setup {
        config: config(),
        concurrency: 4,
        environment: environment(SECRET),
        edit: |bootstrap| {
            let names = json!({ "host_env_keys": ["CARDED_SESSION_KEY"] });
            bootstrap.plugin()["vm_config"]["environment_variables"] = names;
        },
        ..Default::default()
    }
    .start(version)
    .await?;
    let keys = spawn_blocking(|| peer("keys.mjs", &json!({ "count": 2 }))).await??;
    let bound = |audience: Value| {
        let cnf = json!({ "cnf": { "jkt": keys["keys"][0]["thumbprint"] }, "aud": audience });
        world.key.token(&with(claims(ISSUER, "orders", "alice"), cnf))
    };
    let task = json!({
        "origin": SHOP, "port": world.edge.port(), "key": keys["keys"][0], "thief": keys["keys"][1], "times": TIMES,
        "paths": ["/orders", "/billing", "/all"],
        "tokens": { "orders": bound(json!("orders")), "billing": bound(json!("billing")), "both": bound(json!(["billing", "orders"])) },
    });
    let said = spawn_blocking(move || peer("dpop.mjs", &task)).await??;

    // the library is refused once, for want of the nonce, and passes with it; what is for another rule never passes
    let uses = said["uses"].as_array().context("uses")?;
    ensure!(uses.len() == 9, "{said:#}");
    let mut passed = 0;
    for used in uses {
        let (name, path) = (used["name"].as_str().unwrap_or_default(), used["path"].as_str().unwrap_or_default());
        let fits = path == "/all" || name == "both" || path.strip_prefix('/') == Some(name);
        let outcomes = used["outcomes"].as_array().context("outcomes")?;
        ensure!(outcomes.len() == TIMES, "{used}");
        for outcome in outcomes {
            // whether the proof or the audience is looked at first is not of interest to who has neither
            let expected: &[&str] =
                if fits { &["200 ok 2"] } else { &["401 audience_mismatch 1", "401 audience_mismatch 2"] };
            ensure!(outcome.as_str().is_some_and(|outcome| expected.contains(&outcome)), "{name} at {path}: {used}");
        }
        passed += if fits { TIMES } else { 0 };
    }
    let challenge = said["challenge"].as_str().unwrap_or_default();
    ensure!(challenge.starts_with("DPoP ") && challenge.contains("error=\"use_dpop_nonce\""), "{challenge}");
    // one proof is worth one request, whichever worker it comes to
    let twice = said["twice"].as_array().context("twice")?;
    let good = twice.iter().filter(|outcome| *outcome == "200 ok").count();
    ensure!(good == 1 && twice.len() == TIMES, "{twice:?}");
    ensure!(twice.iter().all(|one| *one == "200 ok" || *one == "401 dpop_proof_invalid"), "{twice:?}");
    for (what, code) in [
        ("made without a nonce", "use_dpop_nonce"),
        ("a nonce made up", "use_dpop_nonce"),
        ("a nonce changed", "use_dpop_nonce"),
        ("no proof", "dpop_proof_invalid"),
        ("as a bearer token", "token_bound"),
        ("by a thief", "dpop_proof_invalid"),
        ("for another path", "dpop_proof_invalid"),
        ("for another method", "dpop_proof_invalid"),
        ("for another token", "dpop_proof_invalid"),
        ("too old", "dpop_proof_invalid"),
    ] {
        ensure!(said["bad"][what] == format!("401 {code}"), "{what}: {}", said["bad"]);
    }
    ensure!(said["good"] == "200 ok", "{}", said["good"]);
    ensure!(world.upstream.hits() == passed + 2, "{} reached the service", world.upstream.hits());
    let seen = world.upstream.last().context("nothing was passed on")?;
    ensure!(seen.all("x-carded-subject") == ["alice"] && seen.all("dpop").is_empty(), "{seen:?}");
    ensure!(!world.envoy.log().contains("Wasm VM failed"), "{}", world.envoy.log());
    Ok(())
}
