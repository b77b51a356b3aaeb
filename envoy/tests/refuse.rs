//! Policies and identities: who may do what, whose token it is (threat 53), and what a configuration must not be (99, 102).

use anyhow::{Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::keys::{base64url, claims, with};
use carded_envoy::run::Envoy;
use serde_json::{Value, json};

use crate::common::{AUDIENCE, PARTNER, Setup, World, config, in_each_envoy};

in_each_envoy!(
    policies_decide,
    threat_53_two_issuers_with_the_same_sub,
    threat_99_secrets,
    bad_configurations_refuse_to_start,
    json_text_and_struct_are_the_same,
    tokens_from_other_places,
);

async fn policies_decide(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let bob = world.token_with(json!({ "sub": "bob", "roles": ["visitor"] }));
    let get = |path: &str, token: &str| Request::get(path).bearer(token);
    world.passes("a clerk", get("/api/orders/7", &world.token())).await?;
    world.passes("a clerk writes", Request::new("POST", "/api/orders").bearer(&world.token()).body("{}")).await?;
    world.passes("one's own data", get("/api/users/bob/profile", &bob)).await?;
    for (what, request) in [
        ("a clerk deletes", Request::new("DELETE", "/api/orders").bearer(&world.token())),
        ("no clerk", get("/api/orders", &bob)),
        ("someone else's data", get("/api/users/alice/profile", &bob)),
        ("someone else's data in other case", get("/api/users/Bob/profile", &bob)),
        ("what no statement speaks of", get("/api/else", &world.token())),
        (
            "a role that is a part of another",
            get("/api/orders", &world.token_with(json!({ "roles": ["clerks", "cler"] }))),
        ),
        ("roles of a wrong type", get("/api/orders", &world.token_with(json!({ "roles": { "clerk": true } })))),
        ("no roles", get("/api/orders", &world.token_with(json!({ "roles": null })))),
        ("a subject that is a path", get("/api/users/x/y", &world.token_with(json!({ "sub": "x/y" })))),
        ("a subject that is a pattern", get("/api/users/alice/x", &world.token_with(json!({ "sub": "*" })))),
        ("an empty subject", get("/api/users/", &world.token_with(json!({ "sub": "", "roles": [] })))),
    ] {
        world.refused(what, request, 403, "policy_denied").await?;
    }
    world.alive().await
}

async fn threat_53_two_issuers_with_the_same_sub(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let partner = world.partner.token(&with(claims(PARTNER, AUDIENCE, "alice"), json!({ "roles": ["clerk"] })));
    world.passes("corp's alice", Request::get("/shared").bearer(&world.token())).await?;
    world.refused("the partner's alice", Request::get("/shared").bearer(&partner), 403, "policy_denied").await?;
    world
        .refused(
            "the partner's alice where corp is asked for",
            Request::get("/api/orders").bearer(&partner),
            401,
            "issuer_untrusted",
        )
        .await?;
    let seen =
        world.passes("the partner's alice is not told as corp's", Request::get("/either/x").bearer(&partner)).await?;
    ensure!(seen.all("x-carded-subject").is_empty() && seen.all("x-carded-roles").is_empty(), "{seen:?}");
    Ok(())
}

fn with_secret() -> Value {
    let mut config = config();
    config["issuers"]["internal"] = json!({
        "issuer": "https://internal.example.com",
        "audiences": [AUDIENCE],
        "algorithms": ["HS256"],
        "keys": { "secret": { "env": "CARDED_TEST_SECRET" } },
    });
    config["rules"] = json!([{ "match": { "path": "/**" }, "require": { "token": "internal" } }]);
    config["policies"] = json!([]);
    config["forward"] = json!({ "headers": { "x-carded-subject": "internal.sub" } });
    config
}

async fn threat_99_secrets(version: &'static str) -> Result<()> {
    let secret = "a secret of enough bytes for HS256!!";
    let setup = |environment: Vec<(String, String)>| Setup {
        config: with_secret(),
        environment,
        edit: |bootstrap| {
            bootstrap.plugin()["vm_config"]["environment_variables"] =
                json!({ "host_env_keys": ["CARDED_TEST_SECRET"] });
        },
        ..Default::default()
    };
    for (what, environment) in [
        ("missing", vec![]),
        ("empty", vec![("CARDED_TEST_SECRET".to_owned(), String::new())]),
        ("short", vec![("CARDED_TEST_SECRET".to_owned(), "hunter2".to_owned())]),
    ] {
        let (bootstrap, _upstream, _idp, options) = setup(environment).prepare(version).await?;
        let Err(error) = Envoy::start(&bootstrap, &options).await else {
            anyhow::bail!("a secret that is {what} was taken")
        };
        let said = format!("{error:#}");
        ensure!(said.contains("issuers.internal.keys.secret"), "{what}: the log does not name the field:\n{said}");
        ensure!(!said.contains("hunter2"), "the secret is in the log");
    }
    // the key of sessions
    let environment = vec![("CARDED_SESSION_KEY".to_owned(), "aHVudGVyMg==".to_owned())];
    let login = Setup { config: crate::login::config(), environment, ..Default::default() };
    let (bootstrap, _upstream, idp, options) = login.prepare(version).await?;
    let Err(error) = Envoy::start(&crate::login::fit(bootstrap, idp.address), &options).await else {
        anyhow::bail!("a short key of sessions was taken")
    };
    let said = format!("{error:#}");
    ensure!(said.contains("sessions.keys[0]: CARDED_SESSION_KEY has 7 bytes"), "{said}");
    ensure!(!said.contains("aHVudGVyMg") && !said.contains("hunter2"), "the key is in the log");

    let world = setup(vec![("CARDED_TEST_SECRET".to_owned(), secret.to_owned())]).start(version).await?;
    let token = |alg: &str, secret: &str| {
        let header = json!({ "alg": alg, "typ": "at+jwt" });
        let claims = claims("https://internal.example.com", AUDIENCE, "service-a");
        let input = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        format!("{input}.{}", base64url(ring::hmac::sign(&key, input.as_bytes())))
    };
    let seen = world.passes("HS256", Request::get("/x").bearer(&token("HS256", secret))).await?;
    ensure!(seen.all("x-carded-subject") == ["service-a"], "{seen:?}");
    world
        .refused(
            "another secret",
            Request::get("/x").bearer(&token("HS256", "another secret, also long enough!!!!")),
            401,
            "signature_invalid",
        )
        .await?;
    world
        .refused("another algorithm", Request::get("/x").bearer(&token("HS512", secret)), 401, "algorithm_not_allowed")
        .await?;
    Ok(())
}

async fn bad_configurations_refuse_to_start(version: &'static str) -> Result<()> {
    let changed = |change: fn(&mut Value)| {
        let mut config = config();
        change(&mut config);
        config
    };
    for (config, named) in [
        (changed(|c| c["isuers"] = json!({})), "isuers"),
        (changed(|c| c["issuers"]["corp"]["audience"] = json!("x")), "issuers.corp.audience"),
        (changed(|c| c["rules"][4]["require"] = json!({ "token": "nobody" })), "rules[4].require.token"),
        (changed(|c| c["issuers"]["corp"]["algorithms"] = json!(["none"])), "issuers.corp.algorithms"),
        (changed(|c| c["issuers"]["corp"]["issuer"] = json!("http://idp.example.com")), "issuers.corp.issuer"),
        (changed(|c| c["forward"]["headers"]["host"] = json!("corp.sub")), "forward.headers.host"),
    ] {
        let (bootstrap, _upstream, _idp, options) = Setup { config, ..Default::default() }.prepare(version).await?;
        let Err(error) = Envoy::start(&bootstrap, &options).await else { anyhow::bail!("{named} was taken") };
        ensure!(format!("{error:#}").contains(named), "the log does not name {named}:\n{error:#}");
    }
    Ok(())
}

async fn json_text_and_struct_are_the_same(version: &'static str) -> Result<()> {
    let setup = Setup {
        edit: |bootstrap| {
            *bootstrap = bootstrap.clone().carded_text(&config().to_string());
        },
        ..Default::default()
    };
    let world = setup.start(version).await?;
    let seen = world.passes("by text", Request::get("/api/orders").bearer(&world.token())).await?;
    ensure!(seen.all("x-carded-subject") == ["alice"], "{seen:?}");
    world.refused("no token", Request::get("/api/orders"), 401, "token_missing").await?;
    world.alive().await
}

/// A cookie, a parameter and a named header, each by configuration alone; the token is taken out unless it is to be kept.
async fn tokens_from_other_places(version: &'static str) -> Result<()> {
    let mut config = config();
    config["issuers"]["corp"]["from_headers"] = json!([{ "name": "x-token", "value_prefix": "T " }]);
    config["issuers"]["corp"]["from_cookies"] = json!(["access_token"]);
    config["issuers"]["corp"]["from_params"] = json!(["access_token"]);
    let world = Setup { config: config.clone(), ..Default::default() }.start(version).await?;
    let good = world.token();
    let seen = world.passes("a header", Request::get("/plain/x").header("x-token", format!("T {good}"))).await?;
    ensure!(seen.all("x-token").is_empty(), "the header stayed: {seen:?}");
    let seen = world
        .passes("a cookie", Request::get("/plain/x").header("cookie", format!("a=1; access_token={good}; b=2")))
        .await?;
    let cookie = seen.all("cookie").join("; ");
    ensure!(cookie.contains("a=1") && cookie.contains("b=2") && !cookie.contains(&good), "{cookie}");
    let seen = world.passes("a parameter", Request::get(format!("/plain/x?a=1&access_token={good}&b=2"))).await?;
    ensure!(seen.path == "/plain/x?a=1&b=2", "{}", seen.path);
    world.refused("authorization is not read", Request::get("/plain/x").bearer(&good), 401, "token_missing").await?;
    world
        .refused(
            "a bad one beside a good one",
            Request::get("/plain/x?access_token=a.b.c").header("x-token", format!("T {good}")),
            401,
            "token_malformed",
        )
        .await?;
    config["issuers"]["corp"]["forward"] = json!(true);
    let world = Setup { config, ..Default::default() }.start(version).await?;
    let good = world.token();
    let seen = world.passes("kept", Request::get("/plain/x").header("x-token", format!("T {good}"))).await?;
    ensure!(seen.all("x-token") == [format!("T {good}").as_str()], "{seen:?}");
    Ok(())
}
