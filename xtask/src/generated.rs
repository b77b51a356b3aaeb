//! Files, and parts of files, that are printed by code: the JSON Schema of the configuration, and in Markdown whatever
//! stands between `<!-- generated:NAME -->` and `<!-- /generated -->`. A number or a table in the docs thus cannot go stale.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use carded_gate::Refusal;
use carded_verifier::Code;

use crate::workspace::Workspace;

const SCHEMA: &str = "docs/config.schema.json";
const DOCS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "envoy/README.md"];
const OPEN: &str = "<!-- generated:";
const CLOSE: &str = "<!-- /generated -->";

/// Compares what is committed with what the code prints; with `fix`, writes it.
pub(crate) fn check(workspace: &Workspace, fix: bool) -> Result<()> {
    let mut stale = Vec::new();
    let mut settle = |name: &str, committed: String, printed: String| -> Result<()> {
        if committed == printed {
            println!("{name} is current");
        } else if fix {
            std::fs::create_dir_all(workspace.root.join("docs"))?;
            std::fs::write(workspace.root.join(name), printed)?;
            println!("{name} was written");
        } else {
            stale.push(name.to_owned());
        }
        Ok(())
    };
    let committed = std::fs::read_to_string(workspace.root.join(SCHEMA)).unwrap_or_default();
    settle(SCHEMA, committed, carded_cli::schema())?;
    for name in DOCS {
        let Ok(text) = std::fs::read_to_string(workspace.root.join(name)) else { continue };
        if text.contains(OPEN) {
            let printed = fill(&text).with_context(|| name.to_owned())?;
            settle(name, text, printed)?;
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    bail!("no longer what the code prints (cargo xtask check --fix writes it): {}", stale.join(", "))
}

/// Fills every generated part of a Markdown text.
fn fill(text: &str) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (name, after) = after.split_once(" -->").context("a generated part has a name")?;
        let (_, after) = after.split_once(CLOSE).with_context(|| format!("generated:{name} has no end"))?;
        write!(filled, "{before}{OPEN}{name} -->\n{}{CLOSE}", part(name)?)?;
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn part(name: &str) -> Result<String> {
    match name {
        "denial-codes" => Ok(denial_codes()),
        _ => bail!("nothing prints generated:{name}"),
    }
}

/// What each code means: those of the verifier and those of the gate, by status.
fn denial_codes() -> String {
    let mut rows: Vec<(u16, &str, String)> =
        Code::ALL.iter().map(|code| (code.class().status(), code.as_str(), code.description().to_owned())).collect();
    for (code, status, title) in Refusal::OWN {
        if rows.iter().all(|(_, known, _)| known != code) {
            rows.push((*status, code, format!("{title}.")));
        }
    }
    rows.sort_by_key(|(status, ..)| *status);
    let mut table = "| status | code | meaning |\n|---|---|---|\n".to_owned();
    for (status, code, meaning) in rows {
        table.push_str(&format!("| {status} | `{code}` | {meaning} |\n"));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_filled_and_the_rest_is_left() {
        let text = "a\n<!-- generated:denial-codes -->\nold\n<!-- /generated -->\nb\n";
        let filled = fill(text).expect("filled");
        assert!(filled.starts_with("a\n<!-- generated:denial-codes -->\n| status |"), "{filled}");
        assert!(filled.ends_with("|\n<!-- /generated -->\nb\n") && !filled.contains("\nold\n"), "{filled}");
        assert!(
            filled.contains("| 401 | `token_expired` |") && filled.contains("| 403 | `policy_denied` |"),
            "{filled}"
        );
        assert_eq!(fill(&filled).expect("filled"), filled, "filling is stable");
        assert!(fill("<!-- generated:nothing -->\n<!-- /generated -->").is_err());
        assert!(fill("<!-- generated:denial-codes -->").is_err());
    }
}
