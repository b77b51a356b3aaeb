//! Threat 91 and the encoding of claims in headers, as a service behind a real Envoy sees them.

use anyhow::{Result, ensure};
use carded_envoy::client::Request;
use serde_json::json;

use crate::common::{World, in_each_envoy};

in_each_envoy!(threat_91_claims_that_are_illegal_in_a_header_refuse, claims_arrive_as_documented);

async fn threat_91_claims_that_are_illegal_in_a_header_refuse(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    for value in [
        json!("a\r\nx-admin: 1"),
        json!("a\nb"),
        json!("a\rb"),
        json!("a\u{0}b"),
        json!("a\u{7f}"),
        json!("x".repeat(9000)),
        json!(["ok", "a\nb"]),
    ] {
        let token = world.token_with(json!({ "name": value }));
        world
            .refused("an illegal claim", Request::get("/plain/x").bearer(&token), 403, "claim_not_forwardable")
            .await?;
    }
    world.alive().await
}

async fn claims_arrive_as_documented(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    for (value, header) in [
        (json!("Alice B"), "Alice B"),
        (json!("Zoë"), "Zo%C3%AB"),
        (json!("100%"), "100%25"),
        (json!(["clerk", "a,b", 7]), "clerk,a%2Cb,7"),
        (json!(42), "42"),
        (json!({ "a": "ë" }), "{\"a\":\"\\u00eb\"}"),
    ] {
        let token = world.token_with(json!({ "name": value }));
        let seen = world.passes("a claim", Request::get("/plain/x").bearer(&token)).await?;
        ensure!(seen.all("x-user") == [header], "{value} became {:?}", seen.all("x-user"));
        ensure!(seen.all("authorization").is_empty(), "the token was passed on");
    }
    world.alive().await
}
