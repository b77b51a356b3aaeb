//! What comes from npm: exactly what a lock file pins, into `target/npm/`, so that the sources stay free of `node_modules`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, find_program, run, write_if_changed};

/// Copies a folder with a `package.json` and its lock to `target/npm/NAME/` and gets what it names there, unless it is there.
pub(crate) fn install(workspace: &Workspace, folder: &str, name: &str) -> Result<PathBuf> {
    if find_program("npm").is_none() || find_program("node").is_none() {
        bail!("{folder} needs Node.js and npm: install them (Debian: apt-get install nodejs npm)");
    }
    let (from, to) = (workspace.root.join(folder), copied(workspace, folder, name)?);
    let lock = std::fs::read(from.join("package-lock.json")).with_context(|| format!("{folder}/package-lock.json"))?;
    let stamp = to.join("node_modules/.carded-lock");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(to);
    }
    let quiet = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"];
    run(Command::new("npm").current_dir(&to).args(quiet))?;
    std::fs::write(stamp, lock)?;
    Ok(to)
}

/// Copies a folder to `target/npm/NAME/`.
pub(crate) fn copied(workspace: &Workspace, folder: &str, name: &str) -> Result<PathBuf> {
    let to = workspace.root.join("target/npm").join(name);
    copy(&workspace.root.join(folder), &to)?;
    Ok(to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
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
