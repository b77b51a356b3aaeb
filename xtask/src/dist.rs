//! `cargo xtask dist`: what operators take, in `target/dist/`, the same bytes from the same sources.

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::workspace::{Workspace, heading, human_size, run};
use crate::{modules, oci, sbom};

/// Builds everything anew into `target/dist/`.
pub(crate) fn run_all(workspace: &Workspace) -> Result<()> {
    let out = workspace.root.join("target/dist");
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    std::fs::create_dir_all(&out)?;

    heading("The filter");
    modules::build_filter(workspace)?;
    let module = std::fs::read(workspace.carded().join("carded.wasm"))?;
    let digest = sha256_hex(&module);
    std::fs::write(out.join("carded.wasm"), &module)?;
    std::fs::write(out.join("carded.wasm.sha256"), format!("{digest}  carded.wasm\n"))?;

    heading("The OCI image");
    let version = env!("CARGO_PKG_VERSION");
    oci::write(&out.join("oci"), &module, version)?;

    heading("The bill of materials");
    let bill = sbom::of_filter(workspace, version, &digest)?;
    std::fs::write(out.join("carded.cdx.json"), format!("{bill:#}\n"))?;

    heading("The carded binary");
    run(workspace.cargo().args(["build", "--release", "--package", "carded-cli"]))?;
    let name = format!("carded{}", std::env::consts::EXE_SUFFIX);
    let built = workspace.cargo_target.join("release").join(&name);
    std::fs::copy(&built, out.join(&name)).with_context(|| format!("cannot copy {}", built.display()))?;

    heading("target/dist/");
    list(&out, &out)
}

/// Lower-case hexadecimal, as `sha256sum` and OCI write it.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(folder: &Path, base: &Path) -> Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            list(&path, base)?;
        } else {
            println!("{:>10}  {}", human_size(entry.metadata()?.len() as usize), path.strip_prefix(base)?.display());
        }
    }
    Ok(())
}
