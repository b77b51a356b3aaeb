//! Threat 83 in a real Envoy: who brings made-up tokens again and again is slowed by the address that Envoy sees, and nobody else.

use anyhow::{Result, ensure};
use carded_envoy::client::{Connection, Reply, Request};
use serde_json::json;
use std::net::Ipv4Addr;

use crate::common::{Setup, in_each_envoy};

in_each_envoy!(threat_83_a_source_of_made_up_tokens_is_slowed_and_nobody_else);

async fn ask(connection: &mut Connection, token: &str) -> Result<Reply> {
    // the address is Envoy's word, not the client's
    let request = Request::get("/api/orders").bearer(token).header("x-forwarded-for", "203.0.113.9");
    connection.exchange(&request.bytes()).await
}

async fn threat_83_a_source_of_made_up_tokens_is_slowed_and_nobody_else(version: &'static str) -> Result<()> {
    // failures are counted by each worker
    let world = Setup { concurrency: 1, ..Setup::default() }.start(version).await?;
    world.recovers().await?;
    let known = world.token();
    let mut attacker = Connection::open_from(Ipv4Addr::new(127, 0, 0, 9), world.edge).await?;
    ensure!(ask(&mut attacker, &known).await?.status == 200);
    let mut slowed = 0;
    for n in 0..400 {
        let honest = world.token_with(json!({ "jti": n.to_string() }));
        let (rest, signature) = honest.rsplit_once('.').unwrap_or_default();
        let reply = ask(&mut attacker, &format!("{rest}.AAAA{}", signature.get(4..).unwrap_or_default())).await?;
        match (reply.status, reply.code().as_str()) {
            (401, "signature_invalid") => {}
            (429, code) => {
                ensure!(reply.header("retry-after").is_some() && !code.is_empty(), "{}", reply.text());
                slowed += 1;
            }
            other => anyhow::bail!("{other:?}"),
        }
    }
    ensure!(slowed > 150, "only {slowed} of 400 were slowed");
    // what is remembered passes at once, and who is new from there comes through with a few tries
    for _ in 0..20 {
        let reply = ask(&mut attacker, &known).await?;
        ensure!(reply.status == 200, "a remembered token: {} {}", reply.status, reply.text());
    }
    let fresh = world.token_with(json!({ "jti": "fresh" }));
    let mut tries = 0;
    while ask(&mut attacker, &fresh).await?.status != 200 {
        tries += 1;
        ensure!(tries <= 8, "an honest neighbour is locked out");
    }
    // somebody else is not slowed at all
    let mut neighbour = Connection::open_from(Ipv4Addr::new(127, 0, 0, 10), world.edge).await?;
    for n in 0..20 {
        let reply = ask(&mut neighbour, &world.token_with(json!({ "jti": format!("n{n}") }))).await?;
        ensure!(reply.status == 200, "a neighbour: {} {}", reply.status, reply.text());
    }
    world.alive().await
}
