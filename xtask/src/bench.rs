//! `cargo xtask bench`: builds what is measured and what measures, and runs it.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::modules;
use crate::workspace::{Workspace, heading, run};

/// The option by which each part is short.
pub(crate) const QUICK: &str = "--quick";

/// Measures the filter in a real Envoy (all of it, or these parts), then what a presentation, remembered evidence, the policies and a
/// flood cost; every part runs, and an error at the end names those that missed a limit.
pub(crate) fn run_all(workspace: &Workspace, options: &[&str], json: Option<&Path>, parts: &[String]) -> Result<()> {
    if parts.iter().any(|part| ["crypto", "micro"].contains(&part.as_str())) {
        ensure!(
            parts.len() == 1 && json.is_none() && options.is_empty(),
            "`crypto` and `micro` are measured alone and only printed: name one of them, without options"
        );
        return if parts == ["crypto"] { crypto(workspace) } else { micro(workspace) };
    }
    modules::build_filter(workspace)?;
    modules::build_empty_filter(workspace)?;
    let mut missed = Vec::new();
    heading("Real Envoy");
    let mut command = workspace.cargo();
    // optimized: the load generator and the server of ext_authz are not to be what is slow
    command.args(["run", "--quiet", "--release", "-p", "carded-envoy", "--example", "bench", "--", "--empty"]);
    command.arg(workspace.carded().join("empty.wasm"));
    command.args(options);
    if let Some(file) = json {
        command.arg("--json").arg(std::path::absolute(file)?);
    }
    command.args(parts);
    let envoy = run(&mut command);
    missed.extend(envoy.err().map(|_| "real Envoy"));
    if !parts.is_empty() {
        return ensure_none(&missed);
    }
    for (package, example, what) in [
        ("carded-wasm-host", "policy_cost", "policies"),
        ("carded-wasm-host", "presentation_cost", "presentations"),
        ("carded-wasm-host", "instruction_cost", "instructions of a request"),
        ("carded-wasm-host", "cache_cost", "what is remembered"),
        ("carded-wasm-host", "revocation_cost", "a million revoked entries"),
        ("carded-envoy", "presentation_flood", "a flood of presentations"),
    ] {
        heading(&format!("Cost: {what}"));
        let part = run(workspace.cargo().args(["run", "--quiet", "-p", package, "--example", example]));
        missed.extend(part.err().map(|_| what));
    }
    missed.extend(crypto(workspace).err().map(|_| "signatures without the host"));
    if !options.contains(&QUICK) {
        missed.extend(micro(workspace).err().map(|_| "each kind of evidence"));
    }
    ensure_none(&missed)
}

/// What each kind of evidence costs, by criterion: natively, and as whole requests of the module in wasmtime. There is no limit here.
fn micro(workspace: &Workspace) -> Result<()> {
    modules::build_filter(workspace)?;
    for (package, bench, how) in
        [("carded-verifier", "verify", "natively"), ("carded-wasm-host", "module", "in wasmtime")]
    {
        heading(&format!("What each kind of evidence costs, {how}"));
        let mut measure = workspace.cargo();
        measure.args(["bench", "--quiet", "-p", package, "--bench", bench, "--"]);
        run(measure.args(["--warm-up-time", "1", "--measurement-time", "2"]))?;
    }
    Ok(())
}

/// What a signature costs where the host lends nothing, with the libraries that could be used: a crate of its own, outside of the
/// workspace, so that nothing else is built with versions that the filter does not carry.
fn crypto(workspace: &Workspace) -> Result<()> {
    const TARGET: &str = "wasm32-unknown-unknown";
    // where products have 128 bits, limbs of 64 bits are better for Ed25519; in Wasm of today they take twice as long as 32
    const WIDE: &str = r#"-Ctarget-feature=+wide-arithmetic --cfg curve25519_dalek_bits="64""#;
    heading("What signatures cost where the host lends nothing");
    modules::ensure_target(workspace, TARGET)?;
    let mut built = Vec::new();
    let build = |folder: &str, what: &[&str], flags: &str, made: &str| -> Result<PathBuf> {
        let target = workspace.cargo_target.join("crypto-cost").join(folder);
        let manifest = workspace.root.join("wasm-host-tests/crypto-cost/Cargo.toml");
        let mut build = workspace.cargo();
        build.args(["build", "--quiet", "--locked", "--release", "--manifest-path"]).arg(manifest).args(what);
        run(build.arg("--target-dir").arg(&target).env("RUSTFLAGS", flags))?;
        Ok(target.join(made))
    };
    let module = format!("{TARGET}/release/carded_crypto_cost.wasm");
    for (folder, flags) in [("plain", ""), ("wide", WIDE)] {
        built.push(build(folder, &["--lib", "--target", TARGET], flags, &module)?);
    }
    let native = format!("release/native{}", std::env::consts::EXE_SUFFIX);
    built.push(build("native", &["--bin", "native"], "", &native)?);
    let mut measure = workspace.cargo();
    measure.args(["run", "--quiet", "-p", "carded-wasm-host", "--example", "crypto_cost", "--"]);
    run(measure.args(built))
}

fn ensure_none(missed: &[&str]) -> Result<()> {
    ensure!(missed.is_empty(), "limits missed: {}", missed.join(", "));
    Ok(())
}
