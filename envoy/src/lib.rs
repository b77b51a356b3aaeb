//! The real-Envoy harness of Carded: fetches the tools, starts Envoy with the ready configurations, and plays the services
//! and the identity providers around it. The demo (`cargo xtask demo`) and the tests in `tests/` are built on it.
//!
//! Nothing here is part of what runs in production; it is native code that may use the network and the file system.

pub mod bench;
pub mod client;
pub mod config;
pub mod demo;
pub mod fetch;
pub mod idp;
pub mod keys;
pub mod run;
pub mod tls;
pub mod upstream;

use std::path::PathBuf;

/// The root of the workspace, found from where this crate was compiled.
pub fn workspace() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// The directory that everything fetched and generated goes to (`target/` of the workspace, whatever `CARGO_TARGET_DIR` is, so
/// that tools are fetched once).
pub fn target() -> PathBuf {
    workspace().join("target")
}

/// The filter module: `CARDED_WASM`, else what `cargo xtask build` made.
///
/// # Errors
/// When the file is not there; the text names the command that makes it.
pub fn module() -> anyhow::Result<PathBuf> {
    module_at("CARDED_WASM", "carded.wasm", "cargo xtask build")
}

/// The module with the crash-test header (`x-carded-crash: panic`): `CARDED_WASM_CRASH`, else what `cargo xtask build --crash`
/// made.
///
/// # Errors
/// When the file is not there; the text names the command that makes it.
pub fn crash_module() -> anyhow::Result<PathBuf> {
    module_at("CARDED_WASM_CRASH", "carded-crash.wasm", "cargo xtask build --crash")
}

fn module_at(variable: &str, name: &str, command: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| target().join("carded").join(name), PathBuf::from);
    anyhow::ensure!(path.is_file(), "{} is missing: run `{command}` (or set {variable})", path.display());
    Ok(std::path::absolute(path)?)
}
