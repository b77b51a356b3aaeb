//! `cargo xtask check`: all that can be said about the sources without running them.

use std::process::Stdio;

use anyhow::{Result, bail};

use crate::workspace::{Workspace, heading, read, run};
use crate::{generated, threats, tools};

type Check = fn(&Workspace, bool) -> Result<()>;

/// The checks in their order: a word to name one by, a heading, and what it does.
const CHECKS: [(&str, &str, Check); 7] = [
    ("format", "Format", |workspace, fix| {
        run(workspace.cargo().arg("fmt").arg("--all").args((!fix).then_some("--check")))
    }),
    ("lints", "Lints", |workspace, _| lints(workspace)),
    ("docs", "Docs", |workspace, _| {
        run(workspace
            .cargo()
            .args(["doc", "--workspace", "--no-deps", "--quiet", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("dependencies", "Licences, bans and sources of dependencies", |workspace, _| {
        run(workspace.command(tools::cargo_deny(workspace)?).args([
            "--all-features",
            "check",
            "--hide-inclusion-graph",
            "licenses",
            "bans",
            "sources",
        ]))?;
        no_native_code(workspace)
    }),
    ("advisories", "Advisories", |workspace, _| advisories(workspace)),
    ("generated", "Generated files", generated::check),
    ("threats", "Threats", threats::check),
];

/// Runs the named checks, or every one; all of them even if one fails, and names those that failed.
pub(crate) fn run_named(workspace: &Workspace, fix: bool, names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| CHECKS.iter().all(|(word, ..)| word != name)) {
        let words: Vec<_> = CHECKS.iter().map(|(word, ..)| *word).collect();
        bail!("there is no check `{unknown}`: the checks are {}", words.join(", "));
    }
    let mut failed = Vec::new();
    for (word, name, check) in CHECKS {
        if !names.is_empty() && !names.iter().any(|named| named == word) {
            continue;
        }
        heading(name);
        if let Err(error) = check(workspace, fix) {
            println!("{error:#}");
            failed.push(word);
        }
    }
    heading("Summary");
    if failed.is_empty() {
        println!("all checks hold");
        return Ok(());
    }
    bail!("these checks failed: {}", failed.join(", "))
}

/// The lints of the workspace, and again for the targets that operators and browsers run.
fn lints(workspace: &Workspace) -> Result<()> {
    for arguments in [
        &["--workspace", "--all-targets"][..],
        &["-p", "carded-filter", "--target", crate::modules::WASI],
        &["-p", "carded-filter", "--target", crate::modules::WASI, "--features", "crash-test"],
        &["-p", "carded-web", "-p", "carded-wallet", "--target", "wasm32-unknown-unknown"],
        &["-p", "carded-wallet", "--all-targets", "--features", "demo"],
    ] {
        run(workspace.cargo().arg("clippy").arg("--quiet").args(arguments).args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// Whatever compiles to Wasm is Rust alone: a crate that builds C code brings one of these along.
fn no_native_code(workspace: &Workspace) -> Result<()> {
    for (package, target) in [
        ("carded-filter", crate::modules::WASI),
        ("carded-web", crate::modules::BROWSER),
        ("carded-wallet", crate::modules::BROWSER),
    ] {
        let tree = read(workspace.cargo().args(["tree", "--package", package, "--target", target]).args([
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]))?;
        for line in String::from_utf8(tree)?.lines() {
            let name = line.split(' ').next().unwrap_or(line);
            if ["cc", "cmake", "bindgen", "pkg-config"].contains(&name) || (name.ends_with("-sys") && name != "js-sys")
            {
                bail!("{package} would compile native code: it depends on {line}");
            }
        }
    }
    println!("what compiles to Wasm builds no native code");
    Ok(())
}

/// Known vulnerabilities, where their database can be had.
fn advisories(workspace: &Workspace) -> Result<()> {
    let deny = tools::cargo_deny(workspace)?;
    let fetched = workspace.command(&deny).args(["fetch", "db"]).stderr(Stdio::null()).status()?;
    if !fetched.success() {
        println!("not checked: the database https://github.com/RustSec/advisory-db cannot be reached from here");
        return Ok(());
    }
    run(workspace.command(&deny).args([
        "--all-features",
        "check",
        "--disable-fetch",
        "--hide-inclusion-graph",
        "advisories",
    ]))
}
