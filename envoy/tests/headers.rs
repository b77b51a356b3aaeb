//! Threats 71, 75 and 76: copies of our headers, obs-text, repeated, empty and huge headers, requests without what a request
//! has, and several tokens at once.

use anyhow::{Result, ensure};
use carded_envoy::client::{Request, http2, http2_raw};
use serde_json::json;
use std::time::Duration;

use crate::common::{Setup, World, alice, in_each_envoy};

in_each_envoy!(
    threat_71_copies_are_removed_on_every_path,
    threat_71_underscores_where_envoy_lets_them_through,
    threat_75_odd_headers_never_panic_and_never_pass,
    threat_75_requests_that_lack_what_a_request_has,
    threat_76_all_tokens_that_are_presented_must_hold,
);

async fn threat_71_copies_are_removed_on_every_path(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    for (path, token) in
        [("/open/x", false), ("/feed/x", false), ("/health", false), ("/api/orders", true), ("/feed/x", true)]
    {
        let mut request = Request::get(path);
        for name in ["x-carded-subject", "X-Carded-Subject", "X-CARDED-ROLES", "x-carded-anything", "x-user", "X-User"]
        {
            request = request.header(name, "admin");
        }
        if token {
            request = request.bearer(&world.token_with(json!({ "name": "Alice" })));
        }
        let seen = world.passes(path, request).await?;
        let told = |name: &str| seen.all(name).join("|");
        if token {
            ensure!(
                told("x-carded-subject") == "alice" && told("x-carded-roles") == "clerk" && told("x-user") == "Alice",
                "{seen:?}"
            );
        } else {
            ensure!(
                told("x-carded-subject").is_empty() && told("x-carded-roles").is_empty() && told("x-user").is_empty(),
                "{seen:?}"
            );
        }
        ensure!(told("x-carded-anything").is_empty(), "{seen:?}");
        ensure!(!format!("{seen:?}").contains("admin"), "{seen:?}");
    }
    // a claim that is absent leaves no header behind
    let seen =
        world.passes("no name", Request::get("/api/orders").header("x-user", "admin").bearer(&world.token())).await?;
    ensure!(seen.all("x-user").is_empty(), "{seen:?}");
    // the ready configuration does not let underscores in at all
    world.refused("an underscore", Request::get("/open/x").header("x_carded_subject", "admin"), 400, "").await?;
    world.alive().await
}

async fn threat_71_underscores_where_envoy_lets_them_through(version: &'static str) -> Result<()> {
    let setup = Setup {
        edit: |bootstrap| {
            bootstrap.hcm()["common_http_protocol_options"]["headers_with_underscores_action"] = json!("ALLOW");
        },
        ..Default::default()
    };
    let world = setup.start(version).await?;
    let request = Request::get("/open/x")
        .header("x_carded_subject", "admin")
        .header("X_Carded-Roles", "admin")
        .header("x_user", "admin")
        .header("x_other", "stays");
    let seen = world.passes("underscores", request).await?;
    ensure!(!format!("{seen:?}").contains("admin") && seen.all("x_other") == ["stays"], "{seen:?}");
    world.alive().await
}

async fn threat_75_odd_headers_never_panic_and_never_pass(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let good = world.token();
    let bearer = |bytes: &[u8]| Request::get("/api/orders").header("authorization", [b"Bearer ", bytes].concat());
    for (what, request, code) in [
        ("obs-text as the token", bearer(b"\xff\xfe\x80"), "token_malformed"),
        ("obs-text inside the token", bearer(&[good.as_bytes(), b"\xe9"].concat()), "token_malformed"),
        (
            "an authorization of obs-text",
            Request::get("/api/orders").header("authorization", b"\xa0\xff"),
            "token_missing",
        ),
        ("an empty authorization", Request::get("/api/orders").header("authorization", ""), "token_missing"),
        ("a scheme alone", Request::get("/api/orders").header("authorization", "Bearer"), "token_missing"),
        ("another scheme", Request::get("/api/orders").header("authorization", "Basic YTpi"), "token_missing"),
        ("40 KB of token", bearer(&[b'a'; 40 * 1024]), "token_too_large"),
        ("40 KB of dots", bearer(&[b'.'; 40 * 1024]), "token_too_large"),
    ] {
        world.refused(what, request, 401, code).await?;
    }
    for (what, request) in [
        ("the same good token twice", Request::get("/api/orders").bearer(&good).bearer(&good)),
        ("two subjects", Request::get("/api/orders").bearer(&good).bearer(&world.token_with(json!({ "sub": "bob" })))),
        (
            "two in one line",
            Request::get("/api/orders").header("authorization", format!("Bearer {good}, Bearer {good}")),
        ),
    ] {
        let before = world.upstream.hits();
        let reply = world.send(request).await?;
        ensure!(
            (400..500).contains(&reply.status) && world.upstream.hits() == before,
            "{what}: {} {}",
            reply.status,
            reply.text()
        );
    }
    // an empty one presents nothing; neither goes on
    let beside = Request::get("/api/orders").bearer(&good).header("authorization", "");
    let seen = world.passes("a good and an empty one", beside).await?;
    ensure!(seen.all("authorization").is_empty(), "{seen:?}");
    // what is none of ours goes on, byte for byte
    let odd = Request::get("/api/orders")
        .bearer(&good)
        .header("x-odd", b"caf\xe9 \xff")
        .header("x-empty", "")
        .header("x-twice", "1")
        .header("x-twice", "2")
        .header("x-long", "z".repeat(40 * 1024));
    let seen = world.passes("odd headers", odd).await?;
    ensure!(seen.all("x-odd") == ["caf\u{e9} \u{ff}"] && seen.all("x-empty") == [""], "{seen:?}");
    ensure!(seen.all("x-twice").join(",") == "1,2" && seen.all("x-long")[0].len() == 40 * 1024, "{seen:?}");
    let seen = world.passes("obs-text in a copy", Request::get("/open/x").header("x-carded-subject", b"\xff")).await?;
    ensure!(seen.all("x-carded-subject").is_empty(), "{seen:?}");
    // more than Envoy takes
    let before = world.upstream.hits();
    let reply = world.send(Request::get("/api/orders").bearer(&good).header("x-huge", "z".repeat(70 * 1024))).await?;
    ensure!(reply.status == 431 && world.upstream.hits() == before, "{reply:?}");
    world.alive().await
}

async fn threat_75_requests_that_lack_what_a_request_has(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let good = format!("Bearer {}", world.token());
    let before = world.upstream.hits();
    let edge = world.edge;
    for request in [
        Request::get("/open/x").without_host(),
        Request::get("").header("authorization", &good),
        Request::new("CONNECT", "shop.example.com:443").header("authorization", &good),
        Request::new("OPTIONS", "*").header("authorization", &good),
        Request::get("http://shop.example.com").header("authorization", &good),
        Request::get("open/x").header("authorization", &good),
        Request::get("/open/\u{e9}"),
        Request::get(b"/open/\xff"),
    ] {
        // a connection that is closed without a word is a refusal too
        if let Ok(reply) = world.send(request.clone()).await {
            ensure!(
                (400..500).contains(&reply.status),
                "{:?}: {}",
                String::from_utf8_lossy(&request.bytes()),
                reply.status
            );
        }
    }
    let (method, path, scheme, authority) = (
        (&b":method"[..], &b"GET"[..]),
        (&b":path"[..], &b"/api/orders"[..]),
        (&b":scheme"[..], &b"http"[..]),
        (&b":authority"[..], &b"shop.example.com"[..]),
    );
    let token = (&b"authorization"[..], good.as_bytes());
    for fields in [
        vec![method, scheme, authority, token],
        vec![method, path, scheme, token],
        vec![path, scheme, authority, token],
        vec![method, (b":path", b""), scheme, authority, token],
        vec![(b":method", b"CONNECT"), authority, token],
        vec![(b":method", b""), path, scheme, authority, token],
        vec![method, path, path, scheme, authority, token],
        vec![method, (b":path", b"/api/orders\xff"), scheme, authority, token],
        vec![method, path, scheme, authority, (b"authorization", b"Bearer \xff\xff")],
        vec![method, path, scheme, authority, (b"authorization", b"a\r\nb")],
        vec![method, path, scheme, authority, (b"Authorization", good.as_bytes())],
    ] {
        http2_raw(edge, &fields, Duration::from_millis(150)).await?;
    }
    ensure!(world.upstream.hits() == before, "a request without its parts passed: {:?}", world.upstream.last());
    let reply = http2(edge, "GET", "/api/orders", &[("authorization", &good)], b"").await?.reply;
    ensure!(reply.status == 200, "a whole request by HTTP/2: {reply:?}");
    world.alive().await
}

async fn threat_76_all_tokens_that_are_presented_must_hold(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let good = world.token();
    let partner = world.partner.token(&carded_envoy::keys::with(alice(), json!({ "iss": crate::common::PARTNER })));
    let both = || Request::get("/both").bearer(&good);
    world.passes("both", both().header("x-partner-token", &partner)).await?;
    world.refused("one of two", both(), 401, "token_missing").await?;
    world
        .refused(
            "the other one of two",
            Request::get("/both").header("x-partner-token", &partner),
            401,
            "token_missing",
        )
        .await?;
    world.refused("a bad second", both().header("x-partner-token", "a.b.c"), 401, "token_malformed").await?;
    let expired =
        world.partner.token(&carded_envoy::keys::with(alice(), json!({ "iss": crate::common::PARTNER, "exp": 1 })));
    world
        .refused(
            "an expired second where one is enough",
            Request::get("/either/x").bearer(&good).header("x-partner-token", &expired),
            401,
            "token_expired",
        )
        .await?;
    world.passes("one where one is enough", Request::get("/either/x").header("x-partner-token", &partner)).await?;
    // optional: absent passes, bad refuses, good is told
    world.passes("absent where optional", Request::get("/feed/x")).await?;
    world
        .refused(
            "bad where optional",
            Request::get("/feed/x").bearer(&world.token_with(json!({ "exp": 1 }))),
            401,
            "token_expired",
        )
        .await?;
    let seen = world.passes("good where optional", Request::get("/feed/x").bearer(&good)).await?;
    ensure!(seen.all("x-carded-subject") == ["alice"], "{seen:?}");
    // where nothing is read, nothing is refused
    world.passes("a bad token where anyone may come", Request::get("/open/x").bearer("a.b.c")).await?;
    world.alive().await
}
