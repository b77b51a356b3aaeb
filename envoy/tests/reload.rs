//! Threat 102: a configuration that is reloaded under load (file-based LDS). A bad one leaves the old one in place; a good one
//! takes over; no old verdict survives, and no request passes unchecked in between.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::run::Envoy;
use serde_json::json;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{ISSUER, Setup, alice, config, eventually, in_each_envoy};
use carded_envoy::keys::{Key, with};

in_each_envoy!(threat_102_a_reload_under_load);

/// Puts a file in place as Envoy wants it: by a rename.
fn put(path: &Path, text: &str) -> Result<()> {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, text)?;
    fs::rename(fresh, path)?;
    Ok(())
}

async fn threat_102_a_reload_under_load(version: &'static str) -> Result<()> {
    let (bootstrap, upstream, idp, options) = Setup::default().prepare(version).await?;
    let key = Key::p256("k1")?;
    idp.publish(ISSUER, &[&key]);
    let directory = options.directory.clone().context("a directory")?;
    let file = directory.join("lds.json");
    // a listener that is replaced keeps its port, so the port must be a known one
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let edge = SocketAddr::from(([127, 0, 0, 1], port));
    let (bootstrap, text) = { bootstrap.clone().listen(edge).listeners_from_file(&file) };
    put(&file, &text)?;
    let envoy = Envoy::start(&bootstrap, &options).await?;
    let good = Arc::new(key.token(&alice()));
    let orders = |token: &str| Request::get("/api/orders").bearer(token);
    eventually("the first configuration", || async {
        Ok(orders(&good).send(edge).await.is_ok_and(|r| r.status == 200))
    })
    .await?;

    // under load all the while: without a token never 200, whichever configuration answers
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (stop, good) = (stop.clone(), good.clone());
        load.spawn(async move {
            let (mut checked, mut passed) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let reply = Request::get("/api/orders").send(edge).await?;
                ensure!(reply.status == 401, "without a token: {} {}", reply.status, reply.text());
                checked += 1;
                let reply = Request::get("/api/orders").bearer(&good).send(edge).await?;
                ensure!(matches!(reply.status, 200 | 401 | 403 | 503), "{} {}", reply.status, reply.text());
                passed += usize::from(reply.status == 200);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok((checked, passed))
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;

    // a bad one: refused, and the old one stays
    let mut bad = config();
    bad["isuers"] = json!({});
    let fit = |config: &serde_json::Value| -> Result<String> {
        let mut listeners = carded_envoy::config::Bootstrap::from_value(serde_json::from_str(&format!(
            "{{\"static_resources\":{{\"listeners\":{}}}}}",
            serde_json::from_str::<serde_json::Value>(&text)?["resources"]
        ))?)
        .carded(config);
        Ok(listeners.listeners_text())
    };
    put(&file, &fit(&bad)?)?;
    eventually("the bad one is refused", || async {
        Ok(envoy.stat("listener_manager.lds.update_rejected").await? >= 1)
    })
    .await?;
    for _ in 0..20 {
        ensure!(orders(&good).send(edge).await?.status == 200, "the old configuration is gone");
    }

    // a good one: another audience, so that a verdict of the old one must not survive
    let mut new = config();
    new["issuers"]["corp"]["audiences"] = json!(["new.example.com"]);
    put(&file, &fit(&new)?)?;
    let renewed = key.token(&with(alice(), json!({ "aud": "new.example.com" })));
    eventually("the good one takes over", || async { Ok(orders(&renewed).send(edge).await?.status == 200) }).await?;
    let drained = || async {
        // several: a connection of its own may come to any worker
        for _ in 0..8 {
            if orders(&good).send(edge).await?.status != 401 {
                return Ok(false);
            }
        }
        Ok(true)
    };
    eventually("the old one is gone for new connections", drained).await?;
    for _ in 0..20 {
        let reply = orders(&good).send(edge).await?;
        ensure!(
            reply.status == 401 && reply.code() == "audience_mismatch",
            "an old verdict: {} {}",
            reply.status,
            reply.text()
        );
        ensure!(orders(&renewed).send(edge).await?.status == 200, "the new configuration");
    }
    stop.store(true, Ordering::Relaxed);
    let mut sums = (0, 0);
    while let Some(done) = load.join_next().await {
        let (checked, passed) = done??;
        sums = (sums.0 + checked, sums.1 + passed);
    }
    ensure!(sums.0 > 50 && sums.1 > 20, "too little load: {sums:?}");
    ensure!(upstream.hits() > 0 && !envoy.log().contains("panicked"), "{}", envoy.log());
    Ok(())
}
