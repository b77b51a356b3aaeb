//! The wallet's site: the module from cargo, its bindings, and the pages, bundled by esbuild.
//!
//! There are two builds. The one for people reaches `https` alone; the demo's also reaches `http://*.localhost` and never
//! lies where the other one is expected. Each module carries a mark that says which one it is, and that is looked at here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::modules::{BROWSER, ensure_target};
use crate::npm;
use crate::workspace::{Workspace, module_size, run};

/// Which wallet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// For people: `target/carded/web/wallet/`.
    Production,
    /// For the demo and the browser tests: `target/carded/web/wallet-demo/`.
    Demo,
}

impl Build {
    fn folder(self) -> &'static str {
        match self {
            Self::Production => "wallet",
            Self::Demo => "wallet-demo",
        }
    }

    /// `BUILD` in `web/wallet/src/link.rs`.
    fn mark(self) -> &'static [u8] {
        match self {
            Self::Production => b"carded-wallet-build:production",
            Self::Demo => b"carded-wallet-build:demo",
        }
    }
}

/// Builds the wallet's site; answers where it is.
pub(crate) fn build_wallet(workspace: &Workspace, build: Build) -> Result<PathBuf> {
    ensure_target(workspace, BROWSER)?;
    let bindings = bindings(workspace, build)?;
    let tools = npm::install(workspace, "web/wallet/pages", "wallet-pages")?;
    let out = workspace.carded().join("web").join(build.folder());
    let mut bundle = Command::new("node");
    bundle.current_dir(&tools).arg("build.mjs").arg("--wasm").arg(&bindings).arg("--out").arg(&out);
    run(bundle.args((build == Build::Demo).then_some("--demo")))?;
    println!("target/carded/web/{}/ ({})", build.folder(), module_size(&out.join("wallet.wasm"))?);
    Ok(out)
}

/// Checks the types of the pages, after [`build_wallet`] has made the bindings that they import.
pub(crate) fn check_types(workspace: &Workspace) -> Result<()> {
    let tools = npm::install(workspace, "web/wallet/pages", "wallet-pages")?;
    run(Command::new("node").current_dir(&tools).args(["node_modules/typescript/bin/tsc", "--noEmit"]))
}

/// Compiles the module and makes its bindings; answers the folder with both.
fn bindings(workspace: &Workspace, build: Build) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "-p", "carded-wallet", "--lib", "--profile", "wasm", "--target", BROWSER]);
    // Cargo names the module of both builds alike: `check_mark` sees to it that one is never taken for the other.
    run(cargo.args((build == Build::Demo).then_some(["--features", "demo"]).into_iter().flatten()))?;
    let module = workspace.cargo_target.join(BROWSER).join("wasm/carded_wallet.wasm");
    let out = workspace.root.join("target/npm").join(build.folder());
    Bindgen::new()
        .input_path(&module)
        .web(true)?
        .typescript(true)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .out_name("carded_wallet")
        .generate(&out)
        .context("wasm-bindgen cannot read the module")?;
    check_mark(&out.join("carded_wallet_bg.wasm"), build)?;
    Ok(out)
}

fn check_mark(module: &Path, build: Build) -> Result<()> {
    let bytes = std::fs::read(module)?;
    let has = |build: Build| bytes.windows(build.mark().len()).any(|window| window == build.mark());
    let other = if build == Build::Demo { Build::Production } else { Build::Demo };
    if !has(build) || has(other) {
        bail!("{} is not the build that it should be", module.display());
    }
    Ok(())
}
