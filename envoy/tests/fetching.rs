//! Threats 52, 77, 79 and 84: a provider that is slow, down, or answers garbage; that redirects; whose certificate is wrong;
//! and floods that must not become fetches.

use anyhow::{Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::idp::Behaviour;
use carded_envoy::keys::{claims, with};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{AUDIENCE, ISSUER, Setup, World, alice, config, eventually, in_each_envoy};

in_each_envoy!(
    threat_77_a_provider_that_fails_refuses_and_recovers,
    threat_52_a_discovery_document_that_points_elsewhere,
    stale_keys_serve_while_the_provider_is_down,
    threat_79_unknown_kids_and_issuers_fetch_once_per_cooldown,
    threat_84_a_wrong_name_in_the_certificate_refuses,
    threat_84_an_unknown_authority_refuses,
    tenants_are_fetched_one_by_one,
);

const COOLDOWN: Duration = Duration::from_millis(1200);

async fn threat_77_a_provider_that_fails_refuses_and_recovers(version: &'static str) -> Result<()> {
    let mut config = config();
    config["fetch"]["timeout"] = json!("500ms");
    config["limits"] = json!({ "document_bytes": "64KiB", "waiting_time": "3s" });
    let world = Setup { config, silent_provider: true, ..Default::default() }.start(version).await?;
    world.idp.publish(ISSUER, &[&world.key]);
    let other = json!({ "issuer": "https://evil.example.com", "jwks_uri": format!("{ISSUER}/jwks") });
    for (what, behaviour) in [
        ("down", Behaviour::Down),
        ("slow", Behaviour::Slow(Duration::from_millis(1500))),
        ("500", Behaviour::Status(500)),
        ("404", Behaviour::Status(404)),
        ("garbage", Behaviour::Says(b"\x00\xff garbage {".to_vec())),
        ("nothing", Behaviour::Says(Vec::new())),
        ("too large", Behaviour::Says(format!("{{\"keys\":[],\"x\":\"{}\"}}", "a".repeat(100_000)).into_bytes())),
        ("deep", Behaviour::Says("[".repeat(50_000).into_bytes())),
        ("a redirect", Behaviour::Redirect("https://idp.example.com/.well-known/openid-configuration".into())),
        ("half a reply", Behaviour::Half),
        ("the document of another issuer", Behaviour::Says(other.to_string().into_bytes())),
    ] {
        world.idp.behave(behaviour);
        tokio::time::sleep(COOLDOWN).await;
        world.refused(what, Request::get("/api/orders").bearer(&world.token()), 503, "keys_unavailable").await?;
        world.passes("what needs no keys", Request::get("/open/x")).await?;
    }
    world.idp.behave(Behaviour::Well);
    world.recovers().await
}

/// Threat 52: keys are fetched from configured hosts by https only, whatever a discovery document says.
async fn threat_52_a_discovery_document_that_points_elsewhere(version: &'static str) -> Result<()> {
    for (what, jwks_uri) in [
        ("a host that is not configured", "https://evil.example.com/jwks"),
        ("no TLS", "http://idp.example.com/jwks"),
        ("a name before the host", "https://idp.example.com@evil.example.com/jwks"),
        ("another port", "https://idp.example.com:8443/jwks"),
        ("no URL", "/jwks"),
    ] {
        let world = Setup { silent_provider: true, ..Default::default() }.start(version).await?;
        world.idp.publish(ISSUER, &[&world.key]);
        let discovery = json!({ "issuer": ISSUER, "jwks_uri": jwks_uri });
        world.idp.put("/.well-known/openid-configuration", discovery, None);
        tokio::time::sleep(COOLDOWN).await;
        world.refused(what, Request::get("/api/orders").bearer(&world.token()), 503, "keys_unavailable").await?;
        ensure!(world.idp.requests("/jwks") == 0, "{what}: keys were fetched");
    }
    Ok(())
}

async fn stale_keys_serve_while_the_provider_is_down(version: &'static str) -> Result<()> {
    let mut config = config();
    // fresh for a second; stale for so long that also a slow machine asks in that time
    const STALE: Duration = Duration::from_secs(8);
    config["fetch"]["lifetime"] = json!({ "default": "1s", "min": "1s", "max": "1s" });
    config["fetch"]["stale"] = json!("8s");
    let world = Setup { config, ..Default::default() }.start(version).await?;
    world.passes("fresh", Request::get("/api/orders").bearer(&world.token())).await?;
    world.idp.behave(Behaviour::Down);
    let (down, stale) = (Instant::now(), AtomicUsize::new(0));
    eventually("too old", || {
        let asked = down.elapsed();
        let reply = world.send(Request::get("/api/orders").bearer(&world.token()));
        let (world, stale) = (&world, &stale);
        async move {
            let reply = reply.await?;
            if reply.status == 200 {
                // over two seconds nobody has fetched, and what was fetched before is no longer fresh
                stale.fetch_add(usize::from(asked > Duration::from_secs(2)), Ordering::Relaxed);
                ensure!(asked < STALE + Duration::from_secs(4), "keys served {asked:?} after they were fetched");
                return Ok(false);
            }
            ensure!((reply.status, reply.code().as_str()) == (503, "keys_unavailable"), "{}", reply.text());
            // a machine that was too slow to refresh them before has the older ones
            ensure!(down.elapsed() > STALE / 2, "stale keys did not serve for {:?}", down.elapsed());
            world.passes("what needs no keys", Request::get("/open/x")).await?;
            Ok(true)
        }
    })
    .await?;
    ensure!(stale.into_inner() > 0, "nothing was asked while the keys were stale");
    world.idp.behave(Behaviour::Well);
    world.recovers().await
}

async fn threat_79_unknown_kids_and_issuers_fetch_once_per_cooldown(version: &'static str) -> Result<()> {
    let mut config = config();
    config["fetch"]["cooldown"] = json!("20s");
    let world = Setup { config, ..Default::default() }.start(version).await?;
    world.alive().await?;
    let before = (world.idp.requests("/jwks"), world.idp.requests("/.well-known/openid-configuration"));
    for n in 0..200 {
        let header = json!({ "alg": "ES256", "kid": format!("k{}", n + 1000), "typ": "at+jwt" });
        let token = world.key.token_with(&header, &alice());
        world.refused("an unknown kid", Request::get("/api/orders").bearer(&token), 401, "key_not_found").await?;
        let stranger = world.key.token(&claims(&format!("https://evil{n}.example.com"), AUDIENCE, "x"));
        world
            .refused("an unknown issuer", Request::get("/api/orders").bearer(&stranger), 401, "issuer_untrusted")
            .await?;
    }
    let after = (world.idp.requests("/jwks"), world.idp.requests("/.well-known/openid-configuration"));
    ensure!(after.0 - before.0 <= 1 && after.1 - before.1 <= 1, "{before:?} became {after:?}");
    world.alive().await
}

async fn wrong_certificate(version: &'static str, setup: Setup) -> Result<()> {
    let world = setup.start(version).await?;
    world
        .refused("a wrong certificate", Request::get("/api/orders").bearer(&world.token()), 503, "keys_unavailable")
        .await?;
    ensure!(
        world.idp.requests("/jwks") + world.idp.requests("/openid-configuration") == 0,
        "something was asked of a stranger"
    );
    let failures =
        world.envoy.stats().await?.into_iter().filter(|(n, v)| n.starts_with("cluster.idp.ssl.fail_verify") && *v > 0);
    ensure!(failures.count() > 0, "Envoy counts no failed verification");
    world.passes("what needs no keys", Request::get("/open/x")).await?;
    Ok(())
}

async fn threat_84_a_wrong_name_in_the_certificate_refuses(version: &'static str) -> Result<()> {
    wrong_certificate(version, Setup { certificate_name: "other.example.com", ..Default::default() }).await
}

async fn threat_84_an_unknown_authority_refuses(version: &'static str) -> Result<()> {
    wrong_certificate(version, Setup { authority_is_trusted: false, ..Default::default() }).await
}

/// An issuer pattern: each tenant has keys of its own, fetched at first use; one that is not on the list is never fetched.
async fn tenants_are_fetched_one_by_one(version: &'static str) -> Result<()> {
    let mut config = config();
    config["issuers"] = json!({ "corp": {
        "issuer": "https://idp.example.com/{tenant}/v2.0",
        "tenants": ["a", "b"],
        "audiences": [AUDIENCE],
        "algorithms": ["ES256"],
        "keys": { "discovery": true },
    } });
    config["rules"] = json!([{ "match": { "path": "/**" }, "require": { "token": "corp" } }]);
    config["policies"] = json!([]);
    let world = Setup { config, silent_provider: true, ..Default::default() }.start(version).await?;
    let issuer = |tenant: &str| format!("{ISSUER}/{tenant}/v2.0");
    world.idp.publish(&issuer("a"), &[&world.key]);
    world.idp.publish(&issuer("b"), &[&world.partner]);
    world.idp.publish(&issuer("c"), &[&world.key]);
    let token = |world: &World, key: bool, tenant: &str| {
        let claims = with(alice(), json!({ "iss": issuer(tenant) }));
        if key { world.key.token(&claims) } else { world.partner.token(&claims) }
    };
    world.has_keys(|| Request::get("/x").bearer(&token(&world, true, "a"))).await?;
    world.has_keys(|| Request::get("/x").bearer(&token(&world, false, "b"))).await?;
    world.passes("a", Request::get("/x").bearer(&token(&world, true, "a"))).await?;
    world.passes("b", Request::get("/x").bearer(&token(&world, false, "b"))).await?;
    world
        .refused("a's key for b", Request::get("/x").bearer(&token(&world, true, "b")), 401, "signature_invalid")
        .await?;
    for tenant in ["c", "a/b", "..", "", "a%2f", "A"] {
        let token = token(&world, true, tenant);
        world.refused(tenant, Request::get("/x").bearer(&token), 401, "issuer_untrusted").await?;
    }
    ensure!(world.idp.requests("/c/v2.0/jwks") == 0, "a tenant that is not on the list was fetched");
    Ok(())
}
