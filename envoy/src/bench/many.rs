//! Where there is much: 10,000 tokens in rotation, hundreds of policies. One Envoy, as in the main table.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::time::Duration;

use super::listeners::{Listeners, PATH, address, configuration};
use super::load::{self, Requests};
use super::report::Report;
use super::rounds::{self, Cell, Plan};
use super::tokens::Keys;
use crate::client::Request;
use crate::module;
use crate::run::{Envoy, Options as Run};

/// How many verdicts the caches hold.
const MANY: usize = 10_000;
const CONNECTIONS: usize = 16;
const JWT_CACHED: &str = "jwt_authn, cached";
const CACHED: &str = "Carded, cached";

/// Measures; there is no limit here.
///
/// # Errors
/// When something cannot be measured.
pub(super) async fn measure(report: &mut Report, version: &str, plan: Plan) -> Result<()> {
    let keys = Keys::new()?;
    let jwks = keys.jwks();
    let mut listeners = Listeners::new(&module()?)?;
    listeners.jwt_authn(JWT_CACHED, &jwks, Some(MANY as u32));
    listeners.carded(CACHED, &configuration(&jwks, MANY as u32), true);
    for statements in [100, 1000] {
        let name = format!("Carded, cached, {statements} statements");
        listeners.carded(&name, &with_policies(configuration(&jwks, MANY as u32), statements), true);
    }
    let envoy = Envoy::start(&listeners.bootstrap(), &Run { concurrency: 1, ..Run::version(version) }).await?;
    let pid = envoy.pid().context("Envoy runs")?;

    let request = |token: &str| Request::get(PATH).bearer(token).bytes();
    let mut cells = Vec::new();
    let all: Vec<Vec<u8>> = keys.tokens("ES256", 2 * MANY)?.iter().map(|token| request(token)).collect();
    for (number, what) in [(MANY, "10,000 ES256 tokens in rotation"), (2 * MANY, "20,000 ES256 tokens in rotation")] {
        let some: Vec<Vec<u8>> = all.iter().take(number).cloned().collect();
        for name in [JWT_CACHED, CACHED] {
            let at = address(&envoy, name).await?;
            // each was seen once, so that the rounds find the cache as full as it gets
            let patience = Duration::from_secs(300);
            load::run(at, &Requests::once(some.clone()), CONNECTIONS, patience, 200).await?;
            cells.push(Cell::new(name, what, at, Requests::rotation(some.clone()), CONNECTIONS));
        }
    }
    let same = Requests::same(request(&keys.token("ES256", 1)?));
    for name in [CACHED, "Carded, cached, 100 statements", "Carded, cached, 1000 statements"] {
        cells.push(Cell::new(name, "ES256", address(&envoy, name).await?, same.clone(), CONNECTIONS));
    }
    rounds::measure(&mut cells, pid, plan).await?;
    report.table("Many tokens in caches of 10,000, and many policies:", &cells);
    Ok(())
}

/// Statements about many paths and roles; a few of them are about the request, and the last one allows.
fn with_policies(mut configuration: Value, statements: usize) -> Value {
    let mut policies: Vec<Value> = (1..statements)
        .map(|number| {
            let effect = if number % 10 == 0 { "deny" } else { "allow" };
            let resource =
                if number % 4 == 0 { format!("/api/orders/**/{number}") } else { format!("/api/thing-{number}/**") };
            json!({ "effect": effect, "subjects": [format!("role:corp.role-{number}"), "role:corp.auditor"],
                    "actions": ["GET", "POST"], "resources": [resource] })
        })
        .collect();
    policies.push(json!({ "effect": "allow", "subjects": ["role:corp.clerk"], "actions": ["GET"],
                          "resources": ["/api/orders/**"] }));
    configuration["policies"] = json!(policies);
    configuration["rules"][0]["authorize"] = json!(true);
    configuration
}
