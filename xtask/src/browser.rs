//! The real browser: which one is used, and the tests that drive it (`web/tests/`, Node and `playwright-core`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use carded_envoy::demo::Background;

use crate::package;
use crate::workspace::{Workspace, find_program, run, write_if_changed};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Starts the scene that `scene.test.mjs` drives: the modules and the demo's wallet must have been built.
pub(crate) fn scene(workspace: &Workspace) -> Result<Background> {
    Background::start(&workspace.root.join("target/scene"), &workspace.carded().join("web/wallet-demo"))
}

/// The command that runs the browser's tests, with everything it needs fetched. Pictures of the scene land in
/// `target/screenshots/`; those in `docs/screenshots/` are copies.
pub(crate) fn tests(workspace: &Workspace, scene: &Background) -> Result<Command> {
    let folder = install(workspace)?;
    let browser = find(&folder)?;
    let mut command = Command::new("node");
    command
        .current_dir(&folder)
        .args(["--test", "--test-reporter", "tap"])
        .env("CARDED_WEB", workspace.carded().join("web"))
        .env("CARDED_PACKAGE", workspace.carded().join("npm"))
        .env("CARDED_RUNTIMES", package::runtimes(workspace)?)
        .env("CARDED_EXAMPLE_NODE", workspace.root.join("web/example-node"))
        .env("CARDED_SCENE", scene.said())
        .env("CARDED_SCREENSHOTS", workspace.root.join("target/screenshots"))
        .env("CARDED_BROWSER", browser);
    Ok(command)
}

/// How long a person waits for the wallet; fails where it is over a limit. The demo's wallet must have been built.
pub(crate) fn bench(workspace: &Workspace) -> Result<()> {
    let folder = install(workspace)?;
    run(Command::new("node")
        .current_dir(&folder)
        .arg("speed.mjs")
        .env("CARDED_WEB", workspace.carded().join("web"))
        .env("CARDED_BROWSER", find(&folder)?))
}

/// Copies the tests to `target/npm/web/` and gets their packages there: the sources stay free of `node_modules`.
fn install(workspace: &Workspace) -> Result<PathBuf> {
    let (from, to) = (workspace.root.join("web/tests"), workspace.root.join("target/npm/web"));
    if find_program("npm").is_none() {
        bail!("the browser tests need Node.js and npm: install them (Debian: apt-get install nodejs npm)");
    }
    let lock = std::fs::read(from.join("package-lock.json")).context("web/tests/package-lock.json")?;
    for entry in std::fs::read_dir(&from)? {
        let path = entry?.path();
        if path.is_file() {
            write_if_changed(&to.join(path.file_name().context("a file has a name")?), &std::fs::read(&path)?)?;
        }
    }
    let stamp = to.join("node_modules/.carded-lock");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(to);
    }
    run(Command::new("npm").current_dir(&to).args([
        "ci",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--loglevel",
        "error",
    ]))?;
    std::fs::write(stamp, lock)?;
    Ok(to)
}

/// The system's Chromium or Chrome, else Playwright's own, else the distribution's package.
fn find(tests: &Path) -> Result<PathBuf> {
    if let Some(found) = NAMES.iter().find_map(|name| find_program(name)) {
        return Ok(found);
    }
    println!("no Chromium or Chrome in PATH: asking Playwright for its own");
    let fetched = Command::new("npx").current_dir(tests).args(["playwright-core", "install", "chromium"]).status();
    if fetched.is_ok_and(|status| status.success()) {
        let asked = Command::new("node")
            .current_dir(tests)
            .args(["--input-type=module", "-e"])
            .arg("import { chromium } from 'playwright-core'; console.log(chromium.executablePath())")
            .output()?;
        let path = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
        if path.is_file() {
            return Ok(path);
        }
    }
    if find_program("apt-get").is_some() && is_root() {
        println!("Playwright has none for us: installing Debian's package chromium");
        run(Command::new("apt-get").arg("update").arg("-qq"))?;
        run(Command::new("apt-get")
            .args(["install", "-y", "-qq", "chromium"])
            .env("DEBIAN_FRONTEND", "noninteractive"))?;
        if let Some(found) = NAMES.iter().find_map(|name| find_program(name)) {
            return Ok(found);
        }
    }
    bail!("no browser: install Chromium or Chrome (Debian: apt-get install chromium)")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
