//! The gateway's own token between two real Envoys: the gateway signs, the sidecar beside the service believes that and nothing
//! else. Both run the ready files, with TLS between the sidecar and the keys.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::config::Bootstrap;
use carded_envoy::keys::{Key, claims, with};
use carded_envoy::module;
use carded_envoy::run::{Envoy, Options, free_port, scratch};
use carded_envoy::tls::{Authority, connector};
use serde_json::json;
use std::net::SocketAddr;

use crate::common::{ISSUER, Setup, alice, by_tls, config, eventually, in_each_envoy};

in_each_envoy!(behind_the_gateway_only_what_it_signed_passes);

const SECRET: (&str, &str) = ("CARDED_SIGNING_KEY", "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=");

async fn behind_the_gateway_only_what_it_signed_passes(version: &'static str) -> Result<()> {
    let authority = Authority::new()?;
    let directory = scratch()?;
    let (certificate, key) = authority.issue("shop.example.com")?.write(&directory)?;
    let ca = authority.write(&directory, "shop-ca.pem")?;
    let [edge, inbound] = [free_port()?, free_port()?].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));

    let mut gateway = config();
    gateway["forward"]["token"] = json!({ "audiences": ["orders"], "keys": [{ "env": SECRET.0 }] });
    let environment = vec![(SECRET.0.to_owned(), SECRET.1.to_owned())];
    let setup = Setup { config: gateway, environment, ..Setup::default() };
    let (mut bootstrap, upstream, idp, options) = setup.prepare(version).await?;
    bootstrap.plugin()["vm_config"]["environment_variables"] = json!({ "host_env_keys": [SECRET.0] });
    let bootstrap = bootstrap.tls(&certificate, &key).listen(edge).cluster_at("service", inbound);
    let corp = Key::p256("k1")?;
    idp.publish(ISSUER, &[&corp]);
    let _gateway = Envoy::start(&bootstrap, &options).await?;

    let beside = Bootstrap::ready("sidecar-behind-gateway.yaml")?
        .module(&module()?)
        .listen(inbound)
        .cluster_at("service", upstream.address)
        .cluster_at("gateway", edge)
        .cluster_ca("gateway", &ca);
    let sidecar = Envoy::start(&beside, &Options::version(version)).await?;

    // the whole way
    let tls = connector(&ca, None)?;
    let token = corp.token(&alice());
    let orders = Request::get("/api/orders").bearer(&token).header("x-carded-subject", "corp:eve");
    eventually("the keys are everywhere", || async {
        let reply = by_tls(edge, &tls, &orders).await?;
        ensure!(reply.status == 200 || reply.status == 503, "{} {}", reply.status, reply.text());
        Ok(reply.status == 200)
    })
    .await?;
    let seen = upstream.last().context("nothing was passed on")?;
    ensure!(seen.all("x-carded-subject") == ["corp:alice"], "{:?}", seen.headers);
    ensure!(seen.all("authorization").is_empty() && seen.all("x-carded-token").is_empty(), "a token went on");

    // past the gateway
    let hits = upstream.hits();
    let ours = claims("https://shop.example.com", "orders", "corp:alice");
    let forged = Key::ed25519("forged")?;
    let past = |token: &str| Request::get("/api/orders").header("x-carded-token", token);
    for (what, request, code) in [
        ("nothing", Request::get("/api/orders"), "token_missing"),
        ("a header", Request::get("/api/orders").header("x-carded-subject", "corp:alice"), "token_missing"),
        ("the caller's own token", Request::get("/api/orders").bearer(&token), "token_missing"),
        ("the caller's own token in our header", past(&token), "issuer_untrusted"),
        ("a token that somebody made up", past(&forged.token(&ours)), "key_not_found"),
        ("one that never ends", past(&forged.token(&with(ours.clone(), json!({ "exp": null })))), "key_not_found"),
    ] {
        let reply = request.send(inbound).await?;
        ensure!((reply.status, reply.code().as_str()) == (401, code), "{what}: {} {}", reply.status, reply.text());
    }
    ensure!(upstream.hits() == hits, "something reached the service past the gateway");
    ensure!(!sidecar.log().contains("Wasm VM failed"), "{}", sidecar.log());
    Ok(())
}
