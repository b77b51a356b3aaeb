//! Threat 78: a forced panic gives a 5xx, never reaches the service, and the VM comes back.

use anyhow::{Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::crash_module;

use crate::common::{Setup, eventually, in_each_envoy, missing};

in_each_envoy!(threat_78_a_panic_is_a_5xx_and_the_vm_comes_back);

async fn threat_78_a_panic_is_a_5xx_and_the_vm_comes_back(version: &'static str) -> Result<()> {
    let module = match crash_module() {
        Ok(module) => module,
        Err(error) => {
            missing(Err(error));
            return Ok(());
        }
    };
    let world = Setup { module: Some(module), concurrency: 1, ..Default::default() }.start(version).await?;
    let good = world.token();
    world.passes("before", Request::get("/api/orders").bearer(&good)).await?;
    for round in 0..3 {
        let before = world.upstream.hits();
        for path in ["/api/orders", "/open/x"] {
            let reply = world.send(Request::get(path).bearer(&good).header("x-carded-crash", "panic")).await?;
            ensure!((500..600).contains(&reply.status), "round {round}: {} {}", reply.status, reply.text());
        }
        ensure!(world.upstream.hits() == before, "a crashed request passed");
        // while the VM is dead everything is denied; after the backoff it is back
        let back = || async {
            let reply = world.send(Request::get("/api/orders").bearer(&good)).await?;
            ensure!(reply.status == 200 || (500..600).contains(&reply.status), "{} {}", reply.status, reply.text());
            Ok(reply.status == 200)
        };
        eventually("the VM comes back", back).await?;
    }
    world.refused("and checks", Request::get("/api/orders"), 401, "token_missing").await?;
    Ok(())
}
