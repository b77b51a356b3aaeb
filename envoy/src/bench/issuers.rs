//! 10,000 issuers, each with a key of its own, beside one: a token must be answered as fast. An Envoy of its own, since reading
//! so much configuration takes its time.

use anyhow::{Context, Result, ensure};
use carded_verifier::Algorithm;
use carded_verifier::sign::SigningKey;
use serde_json::{Map, Value, json};

use super::listeners::{Listeners, PATH, address};
use super::load::Requests;
use super::memory::{Started, start};
use super::report::{Limit, Report};
use super::rounds::{self, Cell, Plan};
use super::tokens::{self, AUDIENCE, claims};
use crate::client::Request;
use crate::module;
use crate::run::{Envoy, Options as Run};

/// How many.
pub(super) const MANY: usize = 10_000;
const CONNECTIONS: usize = 16;

/// Measures, and asserts that the number of issuers does not matter.
///
/// # Errors
/// When something cannot be measured.
pub(super) async fn measure(report: &mut Report, version: &str, plan: Plan) -> Result<()> {
    let issuers = Issuers::new()?;
    let started = start(version, Started::Carded(&issuers.configuration(MANY)), &issuers.token(MANY / 2)?).await?;
    report.figures.push(("start with 10,000 issuers".to_owned(), format!("{started:.2} s")));
    let numbers = [(1, "Carded, 1 issuer"), (MANY, "Carded, 10,000 issuers")];
    let mut listeners = Listeners::new(&module()?)?;
    for (number, name) in numbers {
        listeners.carded(name, &issuers.configuration(number), true);
    }
    let envoy = Envoy::start(&listeners.bootstrap(), &Run { concurrency: 1, ..Run::version(version) }).await?;
    let pid = envoy.pid().context("Envoy runs")?;
    let mut cells = Vec::new();
    for (number, name) in numbers {
        let at = address(&envoy, name).await?;
        let token = issuers.token(number / 2)?;
        let good = Request::get(PATH).bearer(&token).send(at).await?;
        ensure!(good.status == 200, "{name} says {}: {}", good.status, good.text());
        let bad = Request::get(PATH).bearer(&tokens::tampered(&token)).send(at).await?;
        ensure!(bad.status == 401, "{name} says {} to a tampered token", bad.status);
        let requests = Requests::same(Request::get(PATH).bearer(&token).bytes());
        cells.push(Cell::new(name, "ES256", at, requests, CONNECTIONS));
    }
    rounds::measure(&mut cells, pid, plan).await?;
    if let [one, many] = cells.as_slice() {
        let what = "10,000 issuers: throughput of one issuer, ES256, not cached";
        report.limits.push(Limit::at_least(what, 0.95, many.ratio(one, |sample| sample.rate)).processor(many, one));
    }
    report.table("Many issuers:", &cells);
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
        let algorithm = Algorithm::parse("ES256").context("ES256")?;
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

    /// The first `number` of them, and a rule that takes a token of any of them.
    pub(super) fn configuration(&self, number: usize) -> Value {
        let mut issuers = Map::new();
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
            "access_log": [],
            "limits": { "cached_verdicts": 0 },
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
