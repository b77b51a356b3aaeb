//! `cargo xtask bench`: what the filter costs in a real Envoy, beside no filter, an empty Wasm filter, Envoy's own `jwt_authn`
//! and an `ext_authz` server with the same verifier.

mod authz;
mod check;
mod filters;
mod histogram;
mod issuers;
mod listeners;
mod load;
mod machine;
mod many;
mod memory;
mod report;
mod rounds;
mod scene;
mod sessions;
mod tokens;
mod wrk;

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Duration;

use crate::keys::now;
use crate::{fetch, module};
pub use authz::serve;
use report::Report;
use rounds::Plan;

/// The parts of the whole, in their order.
pub const PARTS: [&str; 5] = ["filters", "sessions", "many", "memory", "issuers"];

/// How to measure.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A minute or two a part, with limits judged leniently.
    pub quick: bool,
    /// With the load generator in this tool, also where `wrk` is there.
    pub own_load: bool,
    /// Also the soak: five million requests with ever new tokens.
    pub long: bool,
    /// Only these of [`PARTS`]; all where it is empty.
    pub parts: Vec<String>,
    /// Where the JSON goes.
    pub json: Option<PathBuf>,
    /// The module of the empty filter.
    pub empty: PathBuf,
}

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
    let limits = report.missed().into_iter().map(|limit| limit.what.clone());
    let missed: Vec<String> = limits.chain(report.failed.iter().cloned()).collect();
    ensure!(missed.is_empty(), "limits missed:\n- {}", missed.join("\n- "));
    Ok(())
}

async fn measure(options: &Options) -> Result<Report> {
    let version = *fetch::ENVOY_VERSIONS.last().context("a version")?;
    let mut report = Report::new(options.quick);
    let module = module()?;
    let size = std::fs::metadata(&module)?.len();
    // a quick round is shorter than what wrk can measure
    let wrk = if options.quick || options.own_load { None } else { wrk::version().await };
    let own = "the one in this tool (one thread, closed loop, HTTP/1.1 without pipelining)";
    let load = wrk.as_ref().map_or_else(
        || own.to_owned(),
        |wrk| format!("{wrk} with one thread for the same request again and again; for changing ones {own}"),
    );
    report.about = vec![
        ("machine", machine::processor()),
        ("Envoy", format!("{version}, one worker, filters before a direct response")),
        ("module", format!("carded.wasm, {size} bytes")),
        ("load generator", load),
        ("date", machine::date(now())),
    ];
    let plan = if options.quick {
        Plan { rounds: 5, starts: 1, before: 0, time: Duration::from_millis(120), wrk: false }
    } else if wrk.is_some() {
        Plan { rounds: 12, starts: 12, before: 0, time: wrk::SHORTEST, wrk: true }
    } else {
        // short and many: what is compared is measured within seconds, before the machine changes its pace
        Plan { rounds: 32, starts: 16, before: 0, time: Duration::from_millis(320), wrk: false }
    };
    // a part that cannot be measured does not take the others with it
    for part in
        PARTS.into_iter().filter(|part| options.parts.is_empty() || options.parts.iter().any(|name| name == part))
    {
        eprintln!("measuring: {part}");
        let result = match part {
            "filters" => filters::measure(&mut report, &options.empty, version, plan).await,
            "sessions" => sessions::measure(&mut report, &options.empty, version, plan).await,
            "many" => many::measure(&mut report, version, plan).await,
            "memory" => memory::measure(&mut report, &options.empty, version, if options.quick { 1 } else { 5 }).await,
            _ => issuers::measure(&mut report, version, plan).await,
        };
        if let Err(error) = result {
            report.failed.push(format!("{part}: {error:#}"));
        }
    }
    if options.long
        && let Err(error) = memory::soak(&mut report, version).await
    {
        report.failed.push(format!("soak: {error:#}"));
    }
    Ok(report)
}
