//! Opaque access tokens of npm `oidc-provider`, a certified provider, which the filter asks about through the real Envoy.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::{Reply, Request};
use carded_envoy::config::Bootstrap;
use carded_envoy::run::{Envoy, free_port};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::process::Command;

use crate::common::{Setup, in_each_envoy, packages};
use crate::login::started;

in_each_envoy!(opaque_tokens_of_a_certified_provider);

const ISSUER: &str = "http://idp.localhost";
const AUDIENCE: &str = "https://api.example.com";
const SECRET: &str = "a secret: of+the clients";

/// A form to the provider, from one of its clients.
pub(crate) async fn post(idp: SocketAddr, path: &str, form: String) -> Result<Reply> {
    let request = Request::new("POST", path).header("host", "idp.localhost").header("connection", "close");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    request.send(idp).await
}

fn credentials(client: &str) -> String {
    format!("client_id={client}&client_secret=a+secret%3A+of%2Bthe+clients")
}

/// The robot gets a token, for this audience or none.
async fn token(idp: SocketAddr, resource: &str) -> Result<String> {
    let form = format!("grant_type=client_credentials&{}{resource}", credentials("robot"));
    let reply = post(idp, "/token", form).await?;
    Ok(reply.json()["access_token"].as_str().with_context(|| reply.text())?.to_owned())
}

/// The provider speaks http here, as names that end in `.localhost` may.
fn fit(bootstrap: Bootstrap, idp: SocketAddr) -> Bootstrap {
    let mut bootstrap = bootstrap.cluster_at("idp", idp);
    if let Some(cluster) = bootstrap.cluster("idp").as_object_mut() {
        cluster.remove("transport_socket");
    }
    bootstrap.plugin()["vm_config"]["environment_variables"] = json!({ "host_env_keys": ["INTROSPECTION_SECRET"] });
    bootstrap
}

async fn opaque_tokens_of_a_certified_provider(version: &'static str) -> Result<()> {
    let Some(packages) = packages() else { return Ok(()) };
    let config = json!({
        "origins": ["http://shop.localhost"],
        "danger_allow_http_localhost": true,
        "issuers": { "corp": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "keys": { "discovery": true },
            "introspection": {
                "client_id": "gateway", "client_secret": { "env": "INTROSPECTION_SECRET" }, "cache": "3s",
            },
        } },
        "rules": [{ "match": { "path": "/api/**" }, "require": { "token": "corp" } }],
        "forward": { "headers": { "x-carded-client": "corp.client_id", "x-carded-scope": "corp.scope" } },
        "fetch": { "clusters": { "idp.localhost": "idp" }, "timeout": "5s" },
    });
    let environment = vec![("INTROSPECTION_SECRET".to_owned(), SECRET.to_owned())];
    let setup = Setup { config, environment, silent_provider: true, concurrency: 1, ..Default::default() };
    let (bootstrap, upstream, _, options) = setup.prepare(version).await?;
    let idp = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let path = options.directory.clone().context("a directory")?.join("opaque.log");
    let mut node = Command::new("node");
    node.arg(packages.join("opaque.mjs")).envs([
        ("ISSUER", ISSUER),
        ("PORT", &idp.port().to_string()),
        ("SECRET", SECRET),
    ]);
    let _provider = started(node, &path).await?;
    let written = || std::fs::read_to_string(&path);
    let envoy = Envoy::start(&fit(bootstrap, idp), &options).await?;
    let edge = envoy.listener("edge").await?;
    let asked = || Ok::<_, anyhow::Error>(written()?.matches("asked").count());
    let ask = |token: String| async move {
        Request::get("/api/orders").header("host", "shop.localhost").bearer(&token).send(edge).await
    };

    let good = token(idp, "&resource=https://api.example.com&scope=read").await?;
    ensure!(!good.contains('.'), "it is opaque: {good}");
    let all: Vec<_> = (0..20).map(|_| tokio::spawn(ask(good.clone()))).collect();
    for reply in all {
        let reply = reply.await??;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    }
    ensure!(asked()? == 1, "asked {} times", asked()?);
    let seen = upstream.last().context("nothing was passed on")?;
    ensure!(seen.all("x-carded-client") == ["robot"] && seen.all("x-carded-scope") == ["read"], "{seen:?}");
    ensure!(seen.all("authorization").is_empty(), "{seen:?}");

    // withdrawn at the provider: over here as soon as the answer is too old
    let form = format!("token={good}&{}", credentials("robot"));
    ensure!(post(idp, "/token/revocation", form).await?.status == 200);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let reply = ask(good).await?;
    ensure!((reply.status, reply.code().as_str()) == (401, "token_inactive"), "{}", reply.text());

    // for another audience, for none, and made up
    for (what, token, code) in [
        ("elsewhere", token(idp, "&resource=https://elsewhere.example.com").await?, "audience_mismatch"),
        ("for nobody", token(idp, "").await?, "claim_missing"),
        ("made up", "2YotnFZFEjr1zCsicMWpAA".to_owned(), "token_inactive"),
    ] {
        let hits = upstream.hits();
        let reply = ask(token).await?;
        ensure!((reply.status, reply.code().as_str()) == (401, code), "{what}: {}", reply.text());
        ensure!(upstream.hits() == hits, "{what}");
    }
    let log = envoy.log();
    ensure!(!log.contains("Wasm VM failed") && !log.contains(SECRET), "{log}");
    Ok(())
}
