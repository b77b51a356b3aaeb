//! What the `carded` binary does, as a library: `cargo xtask` and the tests call the same code.

pub mod explain;
pub mod find;
pub mod lint;
pub mod revocations;
pub mod token;
mod upstream;
pub mod yaml;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// Checks a file and prints what there is to say, as `FILE:LINE: path: message`. False if there is an error among it.
///
/// # Errors
/// Where the file cannot be read, or the output not be written.
pub fn lint_file(file: &Path, out: &mut dyn Write) -> Result<bool> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let findings = lint::lint(&text);
    for finding in &findings {
        writeln!(out, "{}:{finding}", file.display())?;
    }
    let good = findings.iter().all(|finding| !finding.is_error);
    if findings.is_empty() {
        writeln!(out, "{}: nothing to say", file.display())?;
    }
    Ok(good)
}

/// The JSON Schema of the configuration, as it is published in `docs/config.schema.json`.
#[must_use]
pub fn schema() -> String {
    // serde_json's own order of keys is alphabetical: the file changes only where the types do
    format!("{:#}\n", carded_gate::config::schema())
}
