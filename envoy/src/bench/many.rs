//! Where there is much: 10,000 tokens in rotation, 10,000 issuers, hundreds of policies. One Envoy, as in the main table.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::listeners::{Listeners, PATH, address, configuration};
use super::load::Requests;
use super::report::{Limit, Report};
use super::rounds::{self, Cell, Plan};
use super::tokens::{self, AUDIENCE, Keys, claims};
use crate::client::Request;
use crate::module;
use crate::run::{Envoy, Options as Run};
use carded_verifier::sign::SigningKey;

/// How many tokens, and how many issuers.
pub(super) const MANY: usize = 10_000;
const CONNECTIONS: usize = 16;
const JWT_CACHED: &str = "jwt_authn, cached";
const CACHED: &str = "Carded, cached";

/// Measures, and asserts that the number of issuers does not matter.
///
/// # Errors
/// When something cannot be measured.
pub(super) async fn measure(report: &mut Report, version: &str, plan: Plan) -> Result<()> {
    let keys = Keys::new()?;
    let jwks = keys.jwks();
    let issuers = Issuers::new()?;
    let mut listeners = Listeners::new(&module()?)?;
    listeners.jwt_authn(JWT_CACHED, &jwks, Some(MANY as u32));
    listeners.carded(CACHED, &configuration(&jwks, MANY as u32), true);
    for statements in [100, 1000] {
        let name = format!("Carded, cached, {statements} statements");
        listeners.carded(&name, &with_policies(configuration(&jwks, MANY as u32), statements), true);
    }
    let mut by_number = Vec::new();
    for (number, cached) in [(1, 0), (MANY, 0), (1, 1000), (MANY, 1000)] {
        let name = format!("Carded{}, {number} issuers", if cached > 0 { ", cached" } else { "" });
        listeners.carded(&name, &issuers.configuration(number, cached), true);
        by_number.push((number, name));
    }
    let envoy = Envoy::start(&listeners.bootstrap(), &Run { concurrency: 1, ..Run::version(version) }).await?;
    let pid = envoy.pid().context("Envoy runs")?;

    let request = |token: &str| Request::get(PATH).bearer(token).bytes();
    let mut cells = Vec::new();
    let all = keys.tokens("ES256", MANY)?;
    for name in [JWT_CACHED, CACHED] {
        let requests = Requests::rotation(all.iter().map(|token| request(token)).collect());
        let what = format!("{MANY} ES256 tokens in rotation");
        cells.push(Cell::new(name, &what, address(&envoy, name).await?, requests, CONNECTIONS));
    }
    let same = Requests::same(request(&keys.token("ES256", 1)?));
    for name in [CACHED, "Carded, cached, 100 statements", "Carded, cached, 1000 statements"] {
        cells.push(Cell::new(name, "ES256", address(&envoy, name).await?, same.clone(), CONNECTIONS));
    }
    for (number, name) in &by_number {
        let at = address(&envoy, name).await?;
        // one from the middle, and the last
        let tokens = [issuers.token(number / 2)?, issuers.token(number - 1)?];
        for token in &tokens {
            let good = Request::get(PATH).bearer(token).send(at).await?;
            ensure!(good.status == 200, "{name} says {}: {}", good.status, good.text());
            let bad = Request::get(PATH).bearer(&tokens::tampered(token)).send(at).await?;
            ensure!(bad.status == 401, "{name} says {} to a tampered token", bad.status);
        }
        let requests = Requests::rotation(tokens.iter().map(|token| request(token)).collect());
        cells.push(Cell::new(name, "ES256", at, requests, CONNECTIONS));
    }
    rounds::measure(&mut cells, pid, plan).await?;
    if let [.., one, many, one_cached, many_cached] = cells.as_slice() {
        let ratio = |many: &Cell, one: &Cell| many.ratio(one, |sample| sample.rate);
        let what = "10,000 issuers: throughput of one issuer, ES256";
        report.limits.push(Limit::at_least(what, 0.95, ratio(many, one)).processor(many, one));
        let what = "10,000 issuers, cached: throughput of one issuer, ES256";
        report
            .limits
            .push(Limit::at_least(what, 0.95, ratio(many_cached, one_cached)).processor(many_cached, one_cached));
    }
    report.table("Many tokens, policies, issuers:", &cells);
    Ok(())
}

/// Issuers, each with a key of its own.
pub(super) struct Issuers(Vec<SigningKey>);

impl Issuers {
    /// Makes [`MANY`].
    ///
    /// # Errors
    /// When a key cannot be made.
    pub(super) fn new() -> Result<Self> {
        let algorithm = carded_verifier::Algorithm::parse("ES256").context("ES256")?;
        let key = |number: usize| {
            let mut seed = [11; 32];
            seed.iter_mut().zip(number.to_le_bytes()).for_each(|(byte, value)| *byte = value);
            Ok(SigningKey::generate(algorithm, "1", &seed)?)
        };
        Ok(Self((0..MANY).map(key).collect::<Result<_>>()?))
    }

    fn id(number: usize) -> String {
        format!("https://idp-{number}.example.com")
    }

    /// A rule that takes a token of any of the first `number` of them.
    pub(super) fn configuration(&self, number: usize, cached: u32) -> Value {
        let mut issuers = serde_json::Map::new();
        for (index, key) in self.0.iter().enumerate().take(number) {
            issuers.insert(
                format!("idp-{index}"),
                json!({ "issuer": Self::id(index), "audiences": [AUDIENCE], "algorithms": ["ES256"],
                        "keys": { "jwks": { "keys": [key.public_jwk()] } } }),
            );
        }
        let any: Vec<Value> = issuers.keys().map(|name| json!({ "token": name })).collect();
        json!({
            "origins": ["https://shop.example.com"],
            "issuers": issuers,
            "rules": [{ "match": { "path": "/api/**" }, "require": { "any": any } }],
            "limits": { "cached_verdicts": cached },
        })
    }

    /// A token of one of them.
    ///
    /// # Errors
    /// When there is none of this number.
    pub(super) fn token(&self, number: usize) -> Result<String> {
        let key = self.0.get(number).context("an issuer")?;
        Ok(key.sign_claims(&claims(&Self::id(number), number))?)
    }
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
