//! The wallet's site: the module from cargo, its bindings, and the pages, bundled by esbuild.
//!
//! There are two builds. The one for people reaches `https` alone; the demo's also reaches `http://*.localhost` and never
//! lies where the other one is expected. Each module carries a mark that says which one it is, and that is looked at here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::modules::{BROWSER, ensure_target};
use crate::workspace::{Workspace, find_program, human_size, run, write_if_changed};

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
    let tools = install(workspace)?;
    let out = workspace.carded().join("web").join(build.folder());
    let mut bundle = Command::new("node");
    bundle.current_dir(&tools).arg("build.mjs").arg("--wasm").arg(&bindings).arg("--out").arg(&out);
    run(bundle.args((build == Build::Demo).then_some("--demo")))?;
    let size = std::fs::metadata(out.join("wallet.wasm"))?.len() as usize;
    println!("target/carded/web/{}/ (module {})", build.folder(), human_size(size));
    Ok(out)
}

/// Checks the types of the pages, after [`build_wallet`] has made the bindings that they import.
pub(crate) fn check_types(workspace: &Workspace) -> Result<()> {
    let tools = install(workspace)?;
    run(Command::new("node").current_dir(&tools).args(["node_modules/typescript/bin/tsc", "--noEmit"]))
}

/// Compiles the module and makes its bindings; answers the folder with both.
fn bindings(workspace: &Workspace, build: Build) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo
        .args(["build", "-p", "carded-wallet", "--lib", "--profile", "wasm", "--target", BROWSER])
        // wasm-bindgen reads which features the module uses from a section that a full strip would take away
        .args(["--config", "profile.wasm.strip=\"debuginfo\""])
        // a page is loaded, not run for hours: small before fast, but for the arithmetic of signatures
        .args(["--config", "profile.wasm.opt-level=\"s\""]);
    for fast in ["p256", "p384", "crypto-bigint", "primefield", "primeorder", "curve25519-dalek", "sha2"] {
        cargo.arg("--config").arg(format!("profile.wasm.package.{fast}.opt-level=3"));
    }
    // A folder of their own, for the other optimization. Cargo names the module of both builds alike: `check_mark` sees to
    // it that one is never taken for the other.
    let target = workspace.cargo_target.join("wallet");
    cargo.arg("--target-dir").arg(&target);
    run(cargo.args((build == Build::Demo).then_some(["--features", "demo"]).into_iter().flatten()))?;
    let module = target.join(BROWSER).join("wasm/carded_wallet.wasm");
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

/// Copies the pages' sources to `target/npm/wallet-pages/` and gets esbuild there: the sources stay free of `node_modules`.
fn install(workspace: &Workspace) -> Result<PathBuf> {
    if find_program("npm").is_none() || find_program("node").is_none() {
        bail!("the wallet's pages need Node.js and npm: install them (Debian: apt-get install nodejs npm)");
    }
    let (from, to) = (workspace.root.join("web/wallet/pages"), workspace.root.join("target/npm/wallet-pages"));
    copy(&from, &to)?;
    let lock = std::fs::read(from.join("package-lock.json")).context("web/wallet/pages/package-lock.json")?;
    let stamp = to.join("node_modules/.carded-lock");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(to);
    }
    let quiet = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"];
    run(Command::new("npm").current_dir(&to).args(quiet))?;
    std::fs::write(stamp, lock)?;
    Ok(to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("a file has a name")?);
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            write_if_changed(&target, &std::fs::read(&path)?)?;
        }
    }
    Ok(())
}
