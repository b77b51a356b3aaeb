//! Key rotation under load: the provider publishes a new key beside the old one, then drops the old one.

use anyhow::{Result, ensure};
use carded_envoy::client::{Connection, Request};
use carded_envoy::keys::Key;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{ISSUER, Setup, alice, config, eventually, in_each_envoy};

in_each_envoy!(keys_rotate_under_load);

async fn keys_rotate_under_load(version: &'static str) -> Result<()> {
    let mut config = config();
    config["fetch"]["lifetime"] = json!({ "default": "2s", "min": "1s", "max": "1h" });
    let world = Arc::new(Setup { config, ..Default::default() }.start(version).await?);
    // a token whose verdict is remembered must not outlive its key either
    let remembered = world.token();
    world.passes("at first", Request::get("/api/orders").bearer(&remembered)).await?;
    let new = Arc::new(Key::ed25519("k2")?);
    let use_new = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (world, new, use_new, stop, sent) =
            (world.clone(), new.clone(), use_new.clone(), stop.clone(), sent.clone());
        load.spawn(async move {
            let mut connection = Connection::open(world.edge).await?;
            while !stop.load(Ordering::Relaxed) {
                let token = if use_new.load(Ordering::Relaxed) { new.token(&alice()) } else { world.token() };
                let reply = connection.exchange(&Request::get("/api/orders").bearer(&token).bytes()).await?;
                ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
                sent.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(())
        });
    }
    let requests = |more: usize| {
        let (sent, already) = (sent.clone(), sent.load(Ordering::Relaxed));
        eventually("requests pass", move || {
            let now = sent.load(Ordering::Relaxed);
            async move { Ok(now >= already + more) }
        })
    };
    requests(100).await?;
    let before = world.idp.requests("/jwks");
    world.idp.publish(ISSUER, &[&world.key, &new]);
    // as providers do: published first, used when it is known, which takes no request with it
    eventually("the keys are refreshed", || async { Ok(world.idp.requests("/jwks") >= before + 2) }).await?;
    let probe = new.token(&alice());
    eventually("every worker has them", || async {
        for _ in 0..8 {
            if world.send(Request::get("/api/orders").bearer(&probe)).await?.status != 200 {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await?;
    use_new.store(true, Ordering::Relaxed);
    requests(100).await?;
    world.idp.publish(ISSUER, &[&new]);
    eventually("the old key is refused by every worker", || async {
        for token in [&remembered, &world.token()].repeat(4) {
            let reply = world.send(Request::get("/api/orders").bearer(token)).await?;
            if reply.status == 200 {
                return Ok(false);
            }
            ensure!(reply.code() == "key_not_found", "the old key: {} {}", reply.status, reply.text());
        }
        Ok(true)
    })
    .await?;
    stop.store(true, Ordering::Relaxed);
    while let Some(done) = load.join_next().await {
        done??;
    }
    ensure!(sent.load(Ordering::Relaxed) > 200, "only {} requests", sent.load(Ordering::Relaxed));
    // background refreshes, one for all workers, and none for each request
    let fetches = world.idp.requests("/jwks");
    ensure!((4..60).contains(&fetches), "{fetches} fetches");
    let log = world.envoy.log();
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}
