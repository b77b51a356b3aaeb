//! What operators see: counters, the histogram, the gauges, filter state in access logs; and what nobody must see (threat 80).

use anyhow::{Context, Result, ensure};
use carded_envoy::client::Request;
use serde_json::{Value, json};
use std::fs;

use crate::common::{Setup, World, alice, config, eventually, in_each_envoy};

in_each_envoy!(counters_and_access_logs, threat_80_no_token_and_no_claim_in_any_log);

async fn counters_and_access_logs(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    for _ in 0..3 {
        world.passes("good", Request::get("/api/orders").bearer(&world.token())).await?;
    }
    world.passes("open", Request::get("/open/x?secret=1")).await?;
    world
        .refused(
            "expired",
            Request::get("/api/orders").bearer(&world.token_with(json!({ "exp": 1 }))),
            401,
            "token_expired",
        )
        .await?;
    world.refused("no rule", Request::get("/nowhere"), 403, "no_rule").await?;
    let stats = world.envoy.stats().await?;
    let value = |name: &str| stats.get(&format!("wasmcustom.carded.{name}")).copied();
    for (name, expected) in [
        ("rule.api.allowed", 3),
        ("rule.api.denied", 1),
        ("rule.open.allowed", 1),
        ("denied.token_expired", 1),
        ("denied.no_rule", 1),
        ("waiting", 0),
    ] {
        ensure!(value(name) == Some(expected), "{name} is {:?} instead of {expected}", value(name));
    }
    ensure!(value("fetch.ok").is_some_and(|n| n >= 2), "fetch.ok is {:?}", value("fetch.ok"));
    eventually("the memory of a worker that has served", || async {
        Ok(world.envoy.stat("wasmcustom.carded.vm_memory_bytes").await? > 1_000_000)
    })
    .await?;
    eventually("the histogram", || async {
        let (_, text) = world.envoy.admin_get("/stats?histogram_buckets=cumulative").await?;
        Ok(text.lines().any(|l| l.starts_with("wasmcustom.carded.verify_us:") && !l.contains("No recorded values")))
    })
    .await?;
    let path = world.directory.join("access.log");
    eventually("six lines", || async { Ok(fs::read_to_string(&path)?.lines().count() >= 6) }).await?;
    let lines: Vec<Value> = fs::read_to_string(&path)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let line = |status: u64, path: &str| {
        let found = lines.iter().find(|l| l["status"].as_u64() == Some(status) && l["path"] == path);
        found.with_context(|| format!("no line for {status} {path} in {lines:?}"))
    };
    let good = line(200, "/api/orders")?;
    ensure!(good["rule"] == "api" && good["issuer"] == "corp" && good["code"] == "ok", "{good}");
    let expired = line(401, "/api/orders")?;
    ensure!(expired["rule"] == "api" && expired["code"] == "token_expired", "{expired}");
    let nowhere = line(403, "/nowhere")?;
    ensure!(nowhere["code"] == "no_rule", "{nowhere}");
    line(200, "/open/x")?;
    Ok(())
}

async fn threat_80_no_token_and_no_claim_in_any_log(version: &'static str) -> Result<()> {
    let mut config = config();
    config["issuers"]["corp"]["from_params"] = json!(["access_token"]);
    config["issuers"]["corp"]["from_cookies"] = json!(["session"]);
    config["issuers"]["corp"]["from_headers"] = json!([{ "name": "authorization", "value_prefix": "Bearer " }]);
    let world = Setup { config, ..Default::default() }.start(version).await?;
    let mark = "MARKEDSUBJECT";
    let marked = |changes: Value| {
        world.key.token(&carded_envoy::keys::with(
            alice(),
            carded_envoy::keys::with(json!({ "sub": mark, "roles": ["MARKEDROLE"], "name": "MARKEDNAME" }), changes),
        ))
    };
    let tokens = [
        marked(json!({})),
        marked(json!({ "exp": 1 })),
        marked(json!({ "aud": "MARKEDAUDIENCE" })),
        marked(json!({ "iss": "https://MARKEDISSUER.example" })),
        marked(json!({ "name": "MARKEDNAME\r\nx: y" })),
        world.key.token_with(&json!({ "alg": "ES256", "kid": "MARKEDKID\u{1b}[31m\n" }), &alice()),
    ];
    let mut replies = String::new();
    for token in &tokens {
        for request in [
            Request::get("/api/orders").bearer(token),
            Request::get("/plain/x").bearer(token),
            Request::get(format!("/plain/x?access_token={token}")),
            Request::get("/plain/x").header("cookie", format!("session={token}")),
        ] {
            let reply = world.send(request).await?;
            if reply.status != 200 {
                replies.push_str(&format!("{} {:?}\n", reply.text(), reply.header("www-authenticate")));
            }
        }
    }
    world.send(Request::get("/plain/x").bearer("a.b.c").header("x-evil", b"\x80\xff")).await?;
    let path = world.directory.join("access.log");
    eventually("every line", || async { Ok(fs::read_to_string(&path)?.lines().count() >= tokens.len() * 4) }).await?;
    for (what, text) in
        [("the log", world.envoy.log()), ("the access log", fs::read_to_string(&path)?), ("a reply", replies)]
    {
        ensure!(!text.contains("MARKED"), "a claim is in {what}:\n{text}");
        for token in &tokens {
            for piece in token.split('.') {
                ensure!(!text.contains(piece), "a piece of a token is in {what}:\n{text}");
            }
        }
        ensure!(!text.contains('\u{1b}'), "a control character is in {what}");
    }
    Ok(())
}
