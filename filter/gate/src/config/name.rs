//! Names of claims: `corp.realm_access.roles`, or a list of names where one of them has a dot.

use std::fmt;

use super::tree::{FromNode, Node};

/// A claim's name as its members, outermost first. Never empty, and no member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub Vec<String>);

impl Name {
    /// Reads names joined by dots; nothing where one of them is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let members: Vec<String> = text.split('.').map(str::to_owned).collect();
        members.iter().all(|member| !member.is_empty()).then_some(Self(members))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl FromNode for Name {
    fn from_node(node: &Node<'_>) -> Self {
        if let Some(text) = node.as_text() {
            return Self::parse(text).unwrap_or_else(|| {
                node.note(format!("`{text}` has an empty name"));
                Self(Vec::new())
            });
        }
        let members = one_or_many(node, "a claim: names joined by dots, or a list of names");
        if members.is_empty() || members.iter().any(String::is_empty) {
            node.note("a claim needs at least one name, and none may be empty".to_owned());
        }
        Self(members)
    }
}

/// Reads one text or a list of texts.
pub(super) fn one_or_many(node: &Node<'_>, expected: &str) -> Vec<String> {
    if let Some(text) = node.as_text() {
        return vec![text.to_owned()];
    }
    if node.as_array().is_none() {
        node.misfit(expected);
    }
    Vec::from_node(node)
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Name {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClaimName".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A claim: names joined by dots, or a list of names where one of them has a dot.",
            "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 }
            ]
        })
    }
}
