//! `cargo xtask …`: everything a contributor or a newcomer runs, so that no command has to be remembered but this one.
//!
//! Each subcommand is one module. What is built for people lands in `target/carded/` and `target/dist/`; what is fetched
//! (cargo-deny, npm packages) lands in `target/` too, so that deleting that folder undoes everything.

mod bench;
mod browser;
mod check;
mod copies;
mod dist;
mod generated;
mod modules;
mod npm;
mod oci;
mod order;
mod package;
mod pages;
mod sbom;
mod tally;
mod test;
mod threats;
mod tools;
mod wasm;
mod weigh;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The commands of the Carded repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The main job, to be seen: a real Envoy with the filter, a site behind it and a real identity provider
    Demo {
        /// Return when it is up, and leave it running
        #[arg(long)]
        detach: bool,
        /// Stop the one that is running
        #[arg(long, conflicts_with = "detach")]
        stop: bool,
    },
    /// Build the filter into target/carded/carded.wasm, the browser verifier into target/carded/web/ and the wallet into
    /// target/carded/web/wallet/, and the npm package into target/carded/npm/
    Build {
        /// Build only the module that the crash tests load (target/carded/carded-crash.wasm)
        #[arg(long)]
        crash: bool,
        /// Build only the filter
        #[arg(long, conflicts_with = "crash")]
        filter: bool,
        /// Build only the browser verifier, the wallet and the npm package
        #[arg(long, conflicts_with_all = ["crash", "filter"])]
        web: bool,
        /// Build only the demo's wallet, which also reaches http://*.localhost, into target/carded/web/wallet-demo/
        #[arg(long, conflicts_with_all = ["crash", "filter", "web"])]
        demo: bool,
        /// Also print what each part of the filter weighs
        #[arg(long, conflicts_with_all = ["crash", "web", "demo"])]
        weights: bool,
        /// Also find anew which functions of the filter stand first and which way their branches go (filter/order.txt)
        #[arg(long, conflicts_with_all = ["crash", "web", "demo"])]
        order: bool,
    },
    /// Run every test: units, vectors, the wasmtime host, real Envoy, a real browser
    Test {
        /// Units and the wasmtime host only
        #[arg(long)]
        fast: bool,
        /// Only these parts: units, docs, host, envoy, browser
        #[arg(conflicts_with = "fast")]
        parts: Vec<String>,
    },
    /// Format, lints, licences, bans and sources of dependencies, docs: what CI runs before the tests
    Check {
        /// Put right what a machine can: formatting and generated files
        #[arg(long)]
        fix: bool,
        /// Only these: format, lints, docs, dependencies, advisories, generated, threats
        names: Vec<String>,
    },
    /// Check a filter configuration without a proxy: a bare one, or every one in a file of Envoy, Istio or Envoy Gateway
    LintConfig {
        /// The file
        file: PathBuf,
    },
    /// Measure the filter in a real Envoy beside jwt_authn, ext_authz and an empty filter, print the tables, and fail where a
    /// limit is missed
    Bench {
        /// A minute or two a part, with limits judged leniently
        #[arg(long)]
        quick: bool,
        /// Also the soak: five million requests with ever new tokens
        #[arg(long, conflicts_with = "quick")]
        long: bool,
        /// With the load generator in this tool, also where `wrk` is there
        #[arg(long)]
        own_load: bool,
        /// Write the same for machines
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Only the wallet in a real browser: how long a person waits for the consent page and for a presentation
        #[arg(long, conflicts_with_all = ["quick", "long", "own_load", "json"])]
        browser: bool,
        /// Only these parts, in the real Envoy: filters, sessions, many, memory, issuers; or `crypto` or `micro` alone
        parts: Vec<String>,
    },
    /// What operators take, in target/dist/: the module with its hash, an OCI image, a bill of materials, the carded binary
    Dist,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // without a backtrace, also where the environment asks for one: these are messages for people
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Build { crash: true, .. } => modules::build_crash(&workspace),
        Command::Build { order: true, .. } => {
            order::write(&workspace)?;
            modules::build_filter(&workspace)
        }
        Command::Build { weights: true, .. } => {
            modules::build_filter(&workspace)?;
            modules::weigh(&workspace)
        }
        Command::Build { filter: true, .. } => modules::build_filter(&workspace),
        Command::Build { demo: true, .. } => pages::build_wallet(&workspace, pages::Build::Demo).map(drop),
        Command::Build { web: true, .. } => {
            modules::build_web(&workspace)?;
            package::build(&workspace)?;
            pages::build_wallet(&workspace, pages::Build::Production).map(drop)
        }
        Command::Build { .. } => {
            modules::build_filter(&workspace)?;
            modules::build_web(&workspace)?;
            package::build(&workspace)?;
            pages::build_wallet(&workspace, pages::Build::Production).map(drop)
        }
        Command::Test { fast, parts } => test::run(&workspace, fast, &parts),
        Command::Check { fix, names } => check::run_named(&workspace, fix, &names),
        Command::Demo { detach, stop } => {
            if !stop {
                modules::build_filter(&workspace)?;
                pages::build_wallet(&workspace, pages::Build::Demo)?;
            }
            carded_envoy::demo::run(carded_envoy::demo::Options { detach, stop })
        }
        Command::LintConfig { file } => {
            let file = if file.is_absolute() { file } else { std::env::current_dir()?.join(file) };
            anyhow::ensure!(carded_cli::lint_file(&file, &mut std::io::stdout())?, "the configuration has errors");
            Ok(())
        }
        Command::Bench { browser: true, .. } => {
            pages::build_wallet(&workspace, pages::Build::Demo)?;
            browser::bench(&workspace)
        }
        Command::Bench { quick, long, own_load, json, parts, .. } => {
            let options = [(quick, bench::QUICK), (long, "--long"), (own_load, "--own-load")];
            let options: Vec<_> = options.into_iter().filter_map(|(set, option)| set.then_some(option)).collect();
            bench::run_all(&workspace, &options, json.as_deref(), &parts)
        }
        Command::Dist => dist::run_all(&workspace),
    }
}
