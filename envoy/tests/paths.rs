//! Threats 72 to 74: no rule denies; a path has one reading; headers that claim another path are never consulted.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::Request;
use serde_json::json;
use std::time::{Duration, Instant};

use crate::common::{Setup, World, config, in_each_envoy};

in_each_envoy!(
    threat_72_no_rule_denies,
    threat_73_paths_have_one_reading,
    threat_73_the_filter_holds_alone_where_envoy_does_not_normalise,
    threat_74_forwarding_headers_are_not_consulted,
    preflights_pass_by_rule,
    threat_92_patterns_have_a_bounded_cost,
    threat_93_no_name_of_the_client_is_in_a_reply,
);

async fn threat_72_no_rule_denies(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    for path in ["/", "/nowhere", "/API/orders", "/Open/x", "/openx", "/apis/x", "/health/", "/healthx", "/plain%20x"] {
        world.refused(path, Request::get(path).bearer(&world.token()), 403, "no_rule").await?;
    }
    for path in ["/.carded", "/.carded/", "/.carded/callback/corp", "/.carded/anything"] {
        world.refused(path, Request::get(path).bearer(&world.token()), 404, "not_found").await?;
    }
    world.alive().await
}

async fn threat_73_paths_have_one_reading(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    // Envoy makes these normal, and then they are what they are: the api, which wants a token
    for path in [
        "/open/../api/orders",
        "/open/%2e%2e/api/orders",
        "/open/./../api/orders",
        "//api/orders",
        "/open/..//api/orders",
        "/%61pi/orders",
        "/api/./orders",
        "/open/\\../../api/orders",
        // some Envoys resolve these, others leave them to the filter
        "/open/..;x/api/orders",
        "/open/..;/api/orders",
    ] {
        let before = world.upstream.hits();
        let reply = world.send(Request::get(path)).await?;
        ensure!(
            (reply.status == 401 && reply.code() == "token_missing") || reply.status == 400,
            "{path}: {} {}",
            reply.status,
            reply.text()
        );
        ensure!(world.upstream.hits() == before, "{path} passed");
    }
    for path in ["/open/%2e%2e%2fapi/orders", "/open/..%2fapi", "/open/%5c..%5capi", "/open%2F..%2Fapi", "/open/%00"] {
        world.refused(path, Request::get(path).bearer(&world.token()), 400, "").await.or_else(|error| {
            // the filter's own refusal has a code
            if format!("{error:#}").contains("400 path_ambiguous") { Ok(json_reply()) } else { Err(error) }
        })?;
    }
    for path in [
        "/open/..%3bx",
        "/open/%252e%252e/api",
        "/open/%252fapi",
        "/open/%25%32%66x",
        "/open/%",
        "/open/%zz",
        "/open/%ff",
        "/open/%c0%af",
    ] {
        world.refused(path, Request::get(path).bearer(&world.token()), 400, "path_ambiguous").await?;
    }
    // what the rules saw is what the service gets; the query stays as it came
    let seen = world.passes("a spelling", Request::get("/open/%7ex/caf%c3%a9?q=%2f../&a=//")).await?;
    ensure!(seen.path == "/open/~x/caf%C3%A9?q=%2f../&a=//", "{}", seen.path);
    world.passes("the prefix itself", Request::get("/open")).await?;
    world.passes("the prefix with a slash", Request::get("/open/")).await?;
    world.refused("a path in the query", Request::get("/nowhere?/open/x"), 403, "no_rule").await?;
    world.alive().await
}

/// A reply that stands for “refused as it should be”.
fn json_reply() -> carded_envoy::client::Reply {
    carded_envoy::client::Reply { status: 400, headers: Vec::new(), body: Vec::new() }
}

async fn threat_73_the_filter_holds_alone_where_envoy_does_not_normalise(version: &'static str) -> Result<()> {
    let setup = Setup {
        edit: |bootstrap| {
            let hcm = bootstrap.hcm();
            hcm["normalize_path"] = json!(false);
            hcm["merge_slashes"] = json!(false);
            hcm["path_with_escaped_slashes_action"] = json!("KEEP_UNCHANGED");
        },
        ..Default::default()
    };
    let world = setup.start(version).await?;
    for path in [
        "/open/../api/orders",
        "/open/%2e%2e/api/orders",
        "//api/orders",
        "/open//x",
        "/open/..%2fapi",
        "/open/%5c..",
        "/open/..\\api",
        "/open/..;x/api",
        "/open/.",
        "/open/%2e",
    ] {
        let before = world.upstream.hits();
        let reply = world.send(Request::get(path).bearer(&world.token())).await?;
        ensure!(reply.status == 400 && world.upstream.hits() == before, "{path}: {} {}", reply.status, reply.text());
    }
    let reply = world.send(Request::get("/open/../api/orders")).await?;
    ensure!(reply.code() == "path_ambiguous", "{}", reply.text());
    world.alive().await
}

async fn threat_74_forwarding_headers_are_not_consulted(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let names = [
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-uri",
        "x-envoy-original-path",
        "x-forwarded-prefix",
        "x-original-uri",
        "x-envoy-original-url",
    ];
    for name in names {
        world.refused(name, Request::get("/api/orders").header(name, "/open/x"), 401, "token_missing").await?;
        world.refused(name, Request::get("/nowhere").header(name, "/open/x"), 403, "no_rule").await?;
    }
    for (name, value) in [("x-http-method-override", "GET"), ("x-http-method", "GET"), ("x-method-override", "GET")] {
        let request = Request::new("DELETE", "/api/orders").header(name, value).bearer(&world.token());
        world.refused(name, request, 403, "policy_denied").await?;
    }
    world
        .refused(
            "x-forwarded-host",
            Request::get("/api/orders")
                .header("x-forwarded-host", "idp.example.com")
                .header("x-forwarded-proto", "https"),
            401,
            "token_missing",
        )
        .await?;
    world.alive().await
}

async fn preflights_pass_by_rule(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let preflight = Request::new("OPTIONS", "/api/orders")
        .header("origin", "https://shop.example.com")
        .header("access-control-request-method", "POST");
    world.passes("a preflight", preflight).await?;
    world.refused("OPTIONS alone", Request::new("OPTIONS", "/api/orders"), 401, "token_missing").await?;
    world
        .refused(
            "a GET dressed as one",
            Request::get("/api/orders")
                .header("origin", "https://shop.example.com")
                .header("access-control-request-method", "POST"),
            401,
            "token_missing",
        )
        .await?;
    Ok(())
}

async fn threat_92_patterns_have_a_bounded_cost(version: &'static str) -> Result<()> {
    // the longest that are taken: two `**` are none (`what_cannot_match_or_costs_too_much_is_refused`), and one is one pass
    let (wild, last) = ("*/".repeat(500), "a/".repeat(500));
    let mut config = config();
    let rule = |pattern: String| json!({ "match": { "path": pattern }, "allow": "anyone" });
    config["rules"] = (0..200).map(|n| rule(format!("/{wild}**/{last}end{n}"))).collect();
    config["rules"].as_array_mut().context("rules")?.push(rule("/b/**/c".to_owned()));
    config["policies"] = json!([]);
    config["forward"] = json!({});
    let world = Setup { config, ..Default::default() }.start(version).await?;
    let start = Instant::now();
    for end in ["x", "end", "end200"] {
        let path = format!("/{}{end}", "a/".repeat(8000));
        world.refused("16 KB of segments", Request::get(path), 403, "no_rule").await?;
    }
    ensure!(start.elapsed() < Duration::from_secs(5), "three paths took {:?}", start.elapsed());
    world.passes("it matches, too", Request::get(format!("/{}end199", "a/".repeat(8000)))).await?;
    world.passes("and so does another", Request::get("/b/x/y/c")).await?;
    Ok(())
}

async fn threat_93_no_name_of_the_client_is_in_a_reply(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    for path in ["/api/orders", "/nowhere", "/.carded/x", "/open/%zz"] {
        let request = Request::get(path).header("host", "evil.example").header("x-forwarded-host", "evil.example");
        let reply =
            world.send(request.header("x-forwarded-proto", "https").header("forwarded", "host=evil.example")).await?;
        let headers = reply.headers.iter().map(|(n, v)| format!("{n}: {}\n", String::from_utf8_lossy(v)));
        let text = headers.collect::<String>() + &reply.text();
        ensure!(reply.status >= 400 && !text.contains("evil"), "{text}");
    }
    Ok(())
}
