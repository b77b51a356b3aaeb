//! `carded lint-config`: what the filter itself would say of a configuration when it starts, with the file's lines, and
//! what the proxy's configuration around it lacks. No proxy is needed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use carded_gate::{Config, ConfigError, Gate};
use carded_verifier::RustCrypto;

use crate::find::{Found, find};
use crate::upstream;
use crate::yaml::{Content, Dialect, Node, SyntaxError, parse};

/// One thing to say about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// The field (`rules[2].require.token`); empty where it is about more than one.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether the filter would refuse to start, or be unsafe.
    pub is_error: bool,
}

impl Finding {
    fn error(line: usize, message: impl Into<String>) -> Self {
        Self { line, path: String::new(), message: message.into(), is_error: true }
    }
}

/// `LINE: path: message`, to be put behind a file's name.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.line)?;
        if !self.is_error {
            f.write_str("warning: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Checks the text of a file (YAML or JSON), in the order of its lines.
#[must_use]
pub fn lint(text: &str) -> Vec<Finding> {
    let found = match configurations(text) {
        Ok(found) => found,
        Err(error) => return vec![Finding::error(error.line, error.message)],
    };
    if found.is_empty() {
        return vec![Finding::error(1, "there is no configuration of Carded in this file")];
    }
    let mut findings: Vec<Finding> = found.iter().flat_map(check).collect();
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// The configurations of Carded in the text of a file.
///
/// # Errors
/// The first thing that cannot be read.
pub fn configurations(text: &str) -> Result<Vec<Found>, SyntaxError> {
    let dialect = if text.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        Dialect::Json
    } else {
        Dialect::Envoy
    };
    let mut found = Vec::new();
    let documents = parse(text, dialect)?;
    for document in &documents {
        found.extend(find(document)?);
    }
    for found in &mut found {
        found.around.extend(upstream::remarks(&documents, &found.node));
    }
    Ok(found)
}

/// Builds the gate, as the filter does when it starts.
///
/// # Errors
/// All that the filter would refuse to start for.
pub fn build(node: &Node, environment: &dyn Fn(&str) -> Option<String>) -> Result<Gate, Vec<ConfigError>> {
    Gate::new(&Config::from_value(node.to_value())?, environment, Arc::new(RustCrypto))
}

fn check(found: &Found) -> Vec<Finding> {
    let node = &found.node;
    let mut findings: Vec<Finding> = found
        .around
        .iter()
        .map(|remark| Finding { is_error: remark.is_error, ..Finding::error(remark.line, remark.message.clone()) })
        .collect();
    let at = |error: &ConfigError, is_error| Finding {
        line: node.line_of(&error.path),
        path: error.path.clone(),
        message: error.message.clone(),
        is_error,
    };
    let asked = RefCell::new(BTreeSet::new());
    match build(node, &|name| secret(name, &asked)) {
        Ok(gate) => findings.extend(gate.warnings().iter().map(|warning| at(warning, false))),
        Err(errors) => findings.extend(errors.iter().map(|error| at(error, true))),
    }
    if let Some(lent) = &found.environment {
        for name in asked.into_inner() {
            if !lent.contains(&name) {
                let message = format!(
                    "vm_config.environment_variables.host_env_keys does not name {name}: the filter would not see it"
                );
                findings.push(Finding::error(line_of_text(node, &name).unwrap_or(node.line), message));
            }
        }
    }
    findings
}

/// The host's variable where it is set here; else one that is long enough, as a linter need not know secrets.
fn secret(name: &str, asked: &RefCell<BTreeSet<String>>) -> Option<String> {
    asked.borrow_mut().insert(name.to_owned());
    std::env::var(name).ok().or_else(|| {
        // each another, since one secret is not to be named twice
        let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        Some(format!("{letters:A<128}"))
    })
}

/// The line on which some text stands as a value.
fn line_of_text(node: &Node, wanted: &str) -> Option<usize> {
    match &node.content {
        Content::Text(text, line) if text == wanted => Some(*line),
        Content::List(items) => items.iter().find_map(|item| line_of_text(item, wanted)),
        Content::Map(entries) => entries.iter().find_map(|(_, _, value)| line_of_text(value, wanted)),
        _ => None,
    }
}
