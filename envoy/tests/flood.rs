//! Threat 82: a flood of distinct tokens does not grow the VM.

use anyhow::{Result, ensure};
use carded_envoy::client::{Connection, Request};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Setup, World, config, eventually, in_each_envoy};

in_each_envoy!(threat_82_a_flood_of_distinct_tokens_does_not_grow_the_vm);

/// Sends `number` requests with tokens of distinct subjects over eight connections; all must pass.
async fn flood(world: &Arc<World>, number: usize) -> Result<()> {
    let mut all = tokio::task::JoinSet::new();
    for lane in 0..8 {
        let world = world.clone();
        all.spawn(async move {
            let mut connection = Connection::open(world.edge).await?;
            for n in 0..number / 8 {
                let token =
                    world.token_with(json!({ "jti": format!("{lane}-{n}-{number}"), "padding": "p".repeat(500) }));
                let reply = connection.exchange(&Request::get("/api/orders").bearer(&token).bytes()).await?;
                ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
            }
            Ok(())
        });
    }
    while let Some(done) = all.join_next().await {
        done??;
    }
    Ok(())
}

/// The memory of the worker's VM, as it reports it every two seconds at the latest.
async fn memory(world: &World) -> Result<u64> {
    tokio::time::sleep(Duration::from_secs(4)).await;
    let reported = || async { Ok(world.envoy.stat("wasmcustom.carded.vm_memory_bytes").await? > 0) };
    eventually("the VM tells its memory", reported).await?;
    world.envoy.stat("wasmcustom.carded.vm_memory_bytes").await
}

async fn threat_82_a_flood_of_distinct_tokens_does_not_grow_the_vm(version: &'static str) -> Result<()> {
    let mut config = config();
    config["limits"] = json!({ "cached_verdicts": 200 });
    let world = Arc::new(Setup { config, concurrency: 1, ..Default::default() }.start(version).await?);
    // the first ones fill every cache
    flood(&world, 800).await?;
    let before = memory(&world).await?;
    flood(&world, 4000).await?;
    let after = memory(&world).await?;
    ensure!(after <= before + 256 * 1024, "the VM grew from {before} to {after} bytes");
    ensure!(after < 64 * 1024 * 1024, "the VM has {after} bytes");
    world.alive().await
}
