//! `cargo xtask bench`: what the filter costs in a real Envoy, beside no filter, an empty Wasm filter, Envoy's own `jwt_authn`
//! and an `ext_authz` server with the same verifier.

mod histogram;
mod listeners;
mod load;
mod machine;
mod report;
mod rounds;
mod scene;
mod tokens;

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Duration;

use crate::client::Request;
use crate::keys::now;
use crate::run::{Envoy, Options as Run};
use crate::{fetch, module};
use listeners::{Listeners, PATH, configuration};
use load::Requests;
use report::{Limit, Report};
use rounds::{Cell, Plan, Sample};
use tokens::{ALGORITHMS, Keys};

/// How to measure.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// About a minute, with limits judged leniently.
    pub quick: bool,
    /// Also the soak: five million requests with ever new tokens.
    pub long: bool,
    /// Where the JSON goes.
    pub json: Option<PathBuf>,
    /// The module of the empty filter.
    pub empty: PathBuf,
}

/// How many connections the generator keeps busy.
const CONNECTIONS: usize = 16;

/// Measures, prints the tables, and fails with the list of limits that were missed.
///
/// # Errors
/// When something cannot be measured, or a limit is missed.
pub fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(measure(options))?;
    println!("{}", report.markdown());
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&report.json())?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let missed: Vec<String> = report.missed().iter().map(|limit| limit.what.clone()).collect();
    ensure!(missed.is_empty(), "limits missed: {}", missed.join("; "));
    Ok(())
}

async fn measure(options: &Options) -> Result<Report> {
    let version = *fetch::ENVOY_VERSIONS.last().context("a version")?;
    let mut report = Report::new(options.quick);
    let module = module()?;
    let size = std::fs::metadata(&module)?.len();
    report.about = vec![
        ("machine", machine::processor()),
        ("Envoy", format!("{version}, one worker, filters before a direct response")),
        ("module", format!("carded.wasm, {size} bytes")),
        ("load generator", "the one in this tool (one thread, closed loop, HTTP/1.1 without pipelining)".to_owned()),
        ("date", machine::date(now())),
    ];
    let plan = if options.quick {
        Plan { rounds: 3, time: Duration::from_millis(400) }
    } else {
        Plan { rounds: 7, time: Duration::from_millis(1500) }
    };
    tokens_table(&mut report, options, version, plan).await?;
    Ok(report)
}

/// The filters that look at a token, by name.
const CHECKING: [&str; 6] =
    ["jwt_authn", "jwt_authn, cached", "carded", "carded, cached", "carded, own crypto", "carded, own crypto, cached"];

async fn tokens_table(report: &mut Report, options: &Options, version: &str, plan: Plan) -> Result<()> {
    let keys = Keys::new()?;
    let jwks = keys.jwks();
    let mut listeners = Listeners::new(&module()?)?;
    listeners.none("none");
    listeners.empty("empty Wasm", &options.empty);
    listeners.jwt_authn("jwt_authn", &jwks, None);
    listeners.jwt_authn("jwt_authn, cached", &jwks, Some(10_000));
    listeners.carded("carded", &configuration(&jwks, 0), true);
    listeners.carded("carded, cached", &configuration(&jwks, 10_000), true);
    listeners.carded("carded, own crypto", &configuration(&jwks, 0), false);
    listeners.carded("carded, own crypto, cached", &configuration(&jwks, 10_000), false);
    let envoy = Envoy::start(&listeners.bootstrap(), &Run { concurrency: 1, ..Run::version(version) }).await?;
    let pid = envoy.pid().context("Envoy runs")?;

    let mut cells = Vec::new();
    for algorithm in ALGORITHMS {
        let token = keys.token(algorithm, 1)?;
        let request = Request::get(PATH).bearer(&token).bytes();
        for name in ["none", "empty Wasm"] {
            if algorithm == "RS256" {
                let requests = Requests::same(request.clone());
                let address = listeners::address(&envoy, name).await?;
                cells.push(Cell::new(name, "with an RS256 token", address, requests, CONNECTIONS));
            }
        }
        for name in CHECKING {
            let address = listeners::address(&envoy, name).await?;
            // twice, since the first may have filled a cache
            for _ in 0..2 {
                let good = Request::get(PATH).bearer(&token).send(address).await?;
                ensure!(good.status == 200, "{name} says {} to an {algorithm} token: {}", good.status, good.text());
                let bad = Request::get(PATH).bearer(&tokens::tampered(&token)).send(address).await?;
                ensure!(bad.status == 401, "{name} says {} to a tampered {algorithm} token", bad.status);
            }
            cells.push(Cell::new(name, algorithm, address, Requests::same(request.clone()), CONNECTIONS));
        }
    }
    rounds::measure(&mut cells, pid, plan).await?;
    report.table("One token again and again:", &cells);
    limits(report, &cells)
}

fn cell<'a>(cells: &'a [Cell], filter: &str, what: &str) -> Result<&'a Cell> {
    let found = cells.iter().find(|cell| cell.filter == filter && cell.what == what);
    found.with_context(|| format!("nothing measured of {filter}, {what}"))
}

fn limits(report: &mut Report, cells: &[Cell]) -> Result<()> {
    let rate = |sample: &Sample| sample.rate;
    for (algorithm, limit) in [("RS256", 1.0), ("ES256", 1.0), ("EdDSA", 0.95)] {
        let ratio = cell(cells, "carded", algorithm)?.ratio(cell(cells, "jwt_authn", algorithm)?, rate);
        report.limits.push(Limit::at_least(format!("not cached against jwt_authn, {algorithm}"), limit, ratio));
    }
    let empty = cell(cells, "empty Wasm", "with an RS256 token")?;
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let cached = cell(cells, "carded, cached", algorithm)?;
        report.limits.push(Limit::at_least(
            format!("cached against the empty filter, {algorithm}"),
            0.85,
            cached.ratio(empty, rate),
        ));
        let ratio = cached.ratio(cell(cells, "jwt_authn, cached", algorithm)?, rate);
        report.limits.push(Limit::at_least(
            format!("cached against jwt_authn with its cache, {algorithm}"),
            0.8,
            ratio,
        ));
    }
    Ok(())
}
