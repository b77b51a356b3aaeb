//! `cargo xtask test`: every test in the order in which a failure tells most, and one closing line that adds them up.
//!
//! All test programs are compiled by one cargo call (a call for each crate would resolve features anew and build the
//! dependencies again) and then run here, crate by crate.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::tally::Tally;
use crate::workspace::{Workspace, heading, show};
use crate::{browser, modules, package, pages};

const HOST: &str = "carded-wasm-host";
const ENVOY: &str = "carded-envoy";

/// One part of the run, for the summary.
struct Part {
    name: &'static str,
    tally: Tally,
    /// A program that ended badly although all the tests it counted held.
    broken: bool,
    took: Duration,
}

/// The parts in their order, by the words that select them.
const PARTS: [&str; 5] = ["units", "docs", "host", "envoy", "browser"];
/// How many of them are quick.
const FAST: usize = 3;

/// Builds the modules and runs the tests: every part, the named ones, or with `fast` only units, docs and the wasmtime host.
pub(crate) fn run(workspace: &Workspace, fast: bool, names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !PARTS.contains(&name.as_str())) {
        bail!("there is no part `{unknown}`: the parts are {}", PARTS.join(", "));
    }
    let quick = PARTS.get(..FAST).filter(|_| fast).unwrap_or(&PARTS);
    let wanted =
        |part: &str| if names.is_empty() { quick.contains(&part) } else { names.iter().any(|name| name == part) };

    heading("Modules");
    if wanted("host") || wanted("envoy") || wanted("browser") {
        modules::build_filter(workspace)?;
    }
    if wanted("host") || wanted("envoy") {
        modules::build_crash(workspace)?;
    }
    if wanted("browser") {
        modules::build_web(workspace)?;
        package::build(workspace)?;
        pages::build_wallet(workspace, pages::Build::Production)?;
        pages::build_wallet(workspace, pages::Build::Demo)?;
        pages::check_types(workspace)?;
    }
    let mut programs = Vec::new();
    if wanted("units") || wanted("host") || wanted("envoy") {
        heading("Test programs");
        programs = compile(workspace)?;
    }

    let mut parts = Vec::new();
    if wanted("units") {
        let units = programs.iter().filter(|program| program.package != HOST && program.package != ENVOY);
        parts.push(part("Units and vectors", units.map(|program| program.command(workspace)).collect())?);
    }
    if wanted("docs") {
        parts.push(part("Examples in the docs", vec![doc_tests(workspace)])?);
    }
    if wanted("host") {
        parts.push(part("The filter in the wasmtime host", of(&programs, HOST, workspace))?);
    }
    if wanted("envoy") {
        parts.push(part("The filter in a real Envoy", of(&programs, ENVOY, workspace))?);
    }
    if wanted("browser") {
        // the shop, the agency and two Envoys, for as long as the tests run
        let scene = browser::scene(workspace)?;
        parts.push(part("Verifier, wallet, package and scene", vec![browser::tests(workspace, &scene)?])?);
    }
    summary(&parts)
}

/// A compiled test program.
struct Program {
    package: String,
    executable: PathBuf,
    /// Where cargo runs the tests of that package.
    folder: PathBuf,
}

impl Program {
    fn command(&self, workspace: &Workspace) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .env("CARDED_WASM", workspace.carded().join("carded.wasm"))
            .env("CARDED_WASM_CRASH", workspace.carded().join("carded-crash.wasm"));
        command
    }
}

fn of(programs: &[Program], package: &str, workspace: &Workspace) -> Vec<Command> {
    programs.iter().filter(|program| program.package == package).map(|program| program.command(workspace)).collect()
}

/// Compiles all test programs and asks cargo where they are.
fn compile(workspace: &Workspace) -> Result<Vec<Program>> {
    let mut command = workspace.cargo();
    command.args(["test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"]);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut programs = Vec::new();
    for line in BufReader::new(child.stdout.take().context("cargo's output is piped")?).lines() {
        let message: Value = serde_json::from_str(&line?).context("cargo prints JSON")?;
        programs.extend(program(&message));
    }
    if !child.wait()?.success() {
        bail!("failed: {}", show(&command));
    }
    programs.sort_by(|a, b| (&a.package, &a.executable).cmp(&(&b.package, &b.executable)));
    Ok(programs)
}

/// The test program that a `compiler-artifact` message of cargo tells of.
fn program(message: &Value) -> Option<Program> {
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let folder = PathBuf::from(message["manifest_path"].as_str()?).parent()?.to_path_buf();
    // `path+file:///…/verifier#carded-verifier@0.1.0`, or `#0.1.0` where the folder is named like the package
    let id = message["package_id"].as_str()?;
    let (path, name) = id.rsplit_once('#')?;
    let package = name.split_once('@').map_or_else(|| path.rsplit('/').next().unwrap_or(path), |(name, _)| name);
    Some(Program { package: package.to_owned(), executable: message["executable"].as_str()?.into(), folder })
}

fn doc_tests(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["test", "--workspace", "--doc", "--no-fail-fast"]);
    command
}

/// Runs some programs, all of them even if one fails.
fn part(name: &'static str, commands: Vec<Command>) -> Result<Part> {
    heading(name);
    let start = Instant::now();
    let mut part = Part { name, tally: Tally::default(), broken: false, took: Duration::ZERO };
    for command in commands {
        let (tally, good) = stream(command)?;
        part.tally += tally;
        part.broken |= !good && tally.failed == 0;
    }
    part.took = start.elapsed();
    Ok(part)
}

/// Runs one program, passes on what it prints and counts along.
fn stream(mut command: Command) -> Result<(Tally, bool)> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", show(&command)))?;
    let mut output = BufReader::new(child.stdout.take().context("the output is piped")?);
    let mut tally = Tally::default();
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        tally.read_line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok((tally, child.wait()?.success()))
}

fn summary(parts: &[Part]) -> Result<()> {
    heading("Summary");
    let mut total = Tally::default();
    for part in parts {
        let note = if part.broken { "  (ended with an error)" } else { "" };
        println!("{:<36}{} in {:.1} s{note}", part.name, part.tally, part.took.as_secs_f64());
        total += part.tally;
        // a program that dies without a summary counts as one failure, so that the closing line never looks green
        total.failed += u64::from(part.broken);
    }
    println!("\n{total}");
    if total.failed > 0 {
        bail!("{} of the tests failed", total.failed);
    }
    if total.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cargo_tells_where_test_programs_are() {
        let named = json!({
            "reason": "compiler-artifact", "profile": { "test": true },
            "package_id": "path+file:///work/verifier#carded-verifier@0.1.0",
            "manifest_path": "/work/verifier/Cargo.toml", "executable": "/t/debug/deps/jwt-1",
        });
        let found = program(&named).expect("a test program");
        assert_eq!((found.package.as_str(), found.folder.to_str()), ("carded-verifier", Some("/work/verifier")));
        let mut unnamed = named.clone();
        unnamed["package_id"] = json!("path+file:///work/xtask#0.1.0");
        assert_eq!(program(&unnamed).expect("a test program").package, "xtask");
        let mut library = named;
        library["profile"]["test"] = json!(false);
        assert!(program(&library).is_none());
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let died =
            Part { name: "x", tally: Tally { passed: 3, ..Tally::default() }, broken: true, took: Duration::ZERO };
        assert!(summary(&[died]).is_err());
        assert!(summary(&[]).is_err(), "a run without tests is no success");
    }
}
