//! The list of what is revoked, in a real Envoy with four workers: it reaches all of them within the refresh time, on what they
//! remember too, by one conditional request for the whole process.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::idp::Behaviour;
use carded_envoy::run::Envoy;
use carded_verifier::api_token::generate;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::common::{ISSUER, Setup, World, config, eventually, in_each_envoy};

in_each_envoy!(
    a_list_reaches_all_workers_within_the_refresh_time,
    one_conditional_request_for_a_process,
    without_the_list_nothing_passes_unless_it_may_be_stale,
);

const LIST: &str = "/ops/revoked";
const REFRESH: Duration = Duration::from_secs(2);
/// What a busy machine may need beyond that.
const BUSY: Duration = Duration::from_secs(8);

fn revoking(on_failure: Value) -> Value {
    let mut configured = config();
    configured["revocation"] =
        json!({ "uri": format!("https://idp.example.com{LIST}"), "refresh": "2s", "on_failure": on_failure });
    configured
}

async fn start(version: &str, configured: Value) -> Result<World> {
    let setup = Setup { config: configured, concurrency: 4, silent_provider: true, ..Setup::default() };
    let (bootstrap, upstream, idp, options) = setup.prepare(version).await?;
    let (key, partner) = (carded_envoy::keys::Key::p256("k1")?, carded_envoy::keys::Key::p256("k1")?);
    idp.publish(ISSUER, &[&key]);
    idp.put_tagged(LIST, json!({ "revoked": [] }).to_string());
    let envoy = Envoy::start(&bootstrap, &options).await?;
    let edge = envoy.listener("edge").await?;
    let directory = options.directory.unwrap_or_default();
    let world = World { envoy, edge, upstream, idp, key, partner, directory };
    world.recovers().await?;
    Ok(world)
}

/// What a reply says: its status, and its code where it is refused.
type Said = (u16, &'static str);
const ADMITTED: Said = (200, "");
const REVOKED: Said = (401, "revoked");
const UNAVAILABLE: Said = (503, "revocation_unavailable");

/// Every worker says `wanted`, and none anything but that and `before`: connections are spread over the workers, so that a run of
/// replies stands for all.
async fn everywhere(world: &World, request: &Request, wanted: Said, before: Said) -> Result<bool> {
    for _ in 0..24 {
        let reply = world.send(request.clone()).await?;
        let said = (reply.status, reply.code());
        let is = |one: Said| said.0 == one.0 && said.1 == one.1;
        ensure!(is(wanted) || is(before), "{} {}", reply.status, reply.text());
        if !is(wanted) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts an entry on the list and waits until all workers refuse; how long that took.
async fn revoked(world: &World, entry: Value, request: &Request) -> Result<Duration> {
    ensure!(everywhere(world, request, ADMITTED, ADMITTED).await?, "not admitted before");
    world.idp.put_tagged(LIST, json!({ "revoked": [entry] }).to_string());
    let start = Instant::now();
    eventually("everybody refuses", || everywhere(world, request, REVOKED, ADMITTED)).await?;
    Ok(start.elapsed())
}

async fn a_list_reaches_all_workers_within_the_refresh_time(version: &'static str) -> Result<()> {
    let mut configured = revoking(json!("refuse"));
    let mut random = |bytes: &mut [u8]| SystemRandom::new().fill(bytes).is_ok();
    let (api_token, hash) = generate(&mut random).context("an API token")?;
    configured["api_tokens"] = json!({ "ci": { "tokens": [{ "sha256": hash, "owner": "robot" }] } });
    configured["rules"].as_array_mut().into_iter().for_each(|rules| {
        rules.push(json!({ "match": { "path": "/deploy" }, "require": { "api_token": "ci" } }));
    });
    let world = start(version, configured).await?;
    let now = carded_envoy::keys::now();
    let orders = |changes: Value| Request::get("/api/orders").bearer(&world.token_with(changes));
    let deploy = Request::get("/deploy").bearer(&api_token);
    for (what, entry, request) in [
        ("a JWT by its `jti`", json!({ "jti": "j1", "iss": ISSUER }), orders(json!({ "jti": "j1" }))),
        ("a subject", json!({ "sub": "bob", "iss": ISSUER, "before": now + 60 }), orders(json!({ "sub": "bob" }))),
        ("an API token", json!({ "api_token": hash }), deploy),
    ] {
        let took = revoked(&world, entry, &request).await?;
        ensure!(took < REFRESH + BUSY, "{what}: it took {took:?}");
        // and nothing else is concerned
        world.alive().await?;
    }
    // what is taken from the list again counts again
    world.idp.put_tagged(LIST, json!({ "revoked": [] }).to_string());
    let request = orders(json!({ "jti": "j1" }));
    eventually("it is admitted again", || async { Ok(world.send(request.clone()).await?.status == 200) }).await
}

async fn one_conditional_request_for_a_process(version: &'static str) -> Result<()> {
    let world = start(version, revoking(json!("refuse"))).await?;
    let (asked, unchanged, start) = (world.idp.requests(LIST), world.idp.unchanged(), Instant::now());
    while start.elapsed() < Duration::from_secs(9) {
        world.passes("under load", Request::get("/api/orders").bearer(&world.token())).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (asked, unchanged) = (world.idp.requests(LIST) - asked, world.idp.unchanged() - unchanged);
    // four workers and the main thread, and one of them asks: nine seconds are four or five refreshes
    ensure!((3..=6).contains(&asked), "{asked} requests in nine seconds");
    ensure!(asked == unchanged, "{asked} requests, but only {unchanged} by `if-none-match`");
    Ok(())
}

async fn without_the_list_nothing_passes_unless_it_may_be_stale(version: &'static str) -> Result<()> {
    let request = |world: &World| Request::get("/api/orders").bearer(&world.token());
    let world = start(version, revoking(json!("refuse"))).await?;
    let good = request(&world);
    world.idp.behave(Behaviour::Down);
    eventually("it refuses", || everywhere(&world, &good, UNAVAILABLE, ADMITTED)).await?;
    world.idp.behave(Behaviour::Well);
    eventually("it is back", || everywhere(&world, &good, ADMITTED, UNAVAILABLE)).await?;

    let world = start(version, revoking(json!({ "stale": "10m" }))).await?;
    let good = request(&world);
    world.idp.behave(Behaviour::Status(500));
    let start = Instant::now();
    // longer than `refuse` would have waited
    while start.elapsed() < Duration::from_secs(16) {
        ensure!(everywhere(&world, &good, ADMITTED, ADMITTED).await?, "the last list does not serve");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
