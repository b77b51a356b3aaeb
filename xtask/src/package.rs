//! The npm package `@carded/verifier`: the module and bindings of `web/`, with the types and the loop of `web/package/`, into
//! `target/carded/npm/`, ready for `npm pack`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::npm;
use crate::workspace::{Workspace, module_size, run, write_if_changed};

const MANIFEST: &str = "web/package/package.json";

/// Builds the package; `build_web` has made the module and its bindings. Answers where it is.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(workspace.root.join(MANIFEST))?)
        .with_context(|| format!("{MANIFEST} is no JSON"))?;
    let version = env!("CARGO_PKG_VERSION");
    ensure!(manifest["version"] == version, "{MANIFEST}: its version is not the workspace's, {version}");
    // the compiler is the one that the wallet's lock file pins
    let tools = npm::install(workspace, "web/wallet/pages", "wallet-pages")?;
    let made = npm::copied(workspace, "web/package", "verifier")?;
    let (web, out) = (workspace.carded().join("web"), workspace.carded().join("npm"));
    for binding in ["carded.js", "carded.d.ts"] {
        write_if_changed(&made.join("src").join(binding), &std::fs::read(web.join(binding))?)?;
    }
    // from nothing, so that no file of before is packed
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    run(Command::new("node")
        .current_dir(&made)
        .arg(tools.join("node_modules/typescript/bin/tsc"))
        .arg("--outDir")
        .arg(&out))?;
    let copies = [
        (web.join("carded.js"), "carded.js"),
        (web.join("carded_bg.wasm"), "carded_bg.wasm"),
        (workspace.root.join(MANIFEST), "package.json"),
        (workspace.root.join("web/package/README.md"), "README.md"),
        (workspace.root.join("LICENSE"), "LICENSE"),
    ];
    for (from, name) in copies {
        let bytes = std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        write_if_changed(&out.join(name), &bytes)?;
    }
    println!("target/carded/npm/ (@carded/verifier, {})", module_size(&out.join("carded_bg.wasm"))?);
    Ok(out)
}

/// Where else the package is tried: pinned versions from npm, `target/npm/runtimes/`. Without a lock file, because one that
/// names the programs for every platform cannot be had from registries that mirror some of them.
pub(crate) fn runtimes(workspace: &Workspace) -> Result<PathBuf> {
    const PACKAGES: [&str; 2] = ["deno@2.9.6", "workerd@1.20261117.1"];
    let folder = workspace.root.join("target/npm/runtimes");
    let (stamp, wanted) = (folder.join("installed"), PACKAGES.join("\n"));
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder)?;
    let quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"];
    run(Command::new("npm").arg("install").arg("--prefix").arg(&folder).args(quiet).args(PACKAGES))?;
    std::fs::write(stamp, wanted)?;
    Ok(folder)
}
