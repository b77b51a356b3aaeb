//! The benchmarks against real Envoy; `cargo xtask bench` builds what they need and runs them.

use anyhow::{Context, Result, bail};
use carded_envoy::bench::{Options, PARTS, run, serve};
use std::process::ExitCode;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // without a backtrace, also where the environment asks for one: these are messages for people
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<()> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // how the program starts the server beside Envoy
            "--authz" => return serve(false),
            "--authz-cached" => return serve(true),
            "--quick" => options.quick = true,
            "--own-load" => options.own_load = true,
            "--long" => options.long = true,
            "--json" => options.json = Some(arguments.next().context("--json needs a file")?.into()),
            "--empty" => options.empty = arguments.next().context("--empty needs a module")?.into(),
            part if PARTS.contains(&part) => options.parts.push(part.to_owned()),
            other => bail!("what is {other}? parts are {}", PARTS.join(", ")),
        }
    }
    run(&options)
}
