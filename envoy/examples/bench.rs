//! The benchmarks against real Envoy; `cargo xtask bench` builds what they need and runs them.

use anyhow::{Context, Result, bail};
use carded_envoy::bench::{Options, run};

fn main() -> Result<()> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--long" => options.long = true,
            "--json" => options.json = Some(arguments.next().context("--json needs a file")?.into()),
            "--empty" => options.empty = arguments.next().context("--empty needs a module")?.into(),
            other => bail!("what is {other}?"),
        }
    }
    run(&options)
}
