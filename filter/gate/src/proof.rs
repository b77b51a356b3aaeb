//! What remains of a presentation once it was verified: which credential it proved, who vouched, when it ends, and of its
//! claims only those that the configuration passes on. Not the presentation, not the rest of its claims.

use std::cell::Cell;

use carded_verifier::condensed::memory_of_members;
use carded_verifier::{ClaimPath, CredentialIndex, StatusReference, Timestamp, VerifiedCredential};
use serde::Serialize;
use serde_json::{Map, Value};

use super::config::tree::{FromNode, Node};

/// One proof. Its members have short names because browsers carry it.
#[derive(Debug, Clone, PartialEq, Serialize, FromNode)]
pub(super) struct Proof {
    /// The credential's name.
    #[serde(rename = "n")]
    pub(super) name: String,
    /// The DCQL id of the way in which it was shown.
    #[serde(rename = "w")]
    pub(super) way: String,
    /// Who vouched.
    #[serde(rename = "i")]
    pub(super) issuer: String,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "e")]
    pub(super) ends: i64,
    /// The claims that are passed on.
    #[serde(rename = "c", default, skip_serializing_if = "Map::is_empty")]
    pub(super) claims: Map<String, Value>,
    /// Where its status is looked up again.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<StatusReference>,
}

impl FromNode for StatusReference {
    fn from_node(node: &Node<'_>) -> Self {
        node.object(None);
        Self { uri: node.field("uri"), idx: node.field("idx") }
    }
}

impl Proof {
    /// What is kept of a presentation that holds: no longer than the credential does, and no longer than `latest`.
    pub(super) fn of(verified: &VerifiedCredential, name: &str, keep: &[ClaimPath], latest: Timestamp) -> Self {
        let mut claims = Map::new();
        for path in keep {
            if let Some(value) = verified.claim(path) {
                put(&mut claims, path.names(), value);
            }
        }
        Self {
            name: name.to_owned(),
            way: verified.id().to_owned(),
            issuer: verified.issuer().to_owned(),
            ends: verified.expires().map_or(latest, |expires| expires.min(latest)).unix(),
            claims,
            status: verified.status().cloned(),
        }
    }

    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        Timestamp::from_unix(self.ends) <= now
    }
}

/// A proof of a credential that this configuration knows.
#[derive(Debug)]
pub(super) struct Shown {
    /// The credential, by its place in the configuration.
    pub(super) credential: usize,
    /// The way in which it was shown.
    pub(super) way: CredentialIndex,
    pub(super) proof: Proof,
    /// When its status was looked up, if it was good.
    pub(super) status: Cell<Option<StatusSeen>>,
}

/// A status that was good: until then, while all documents say the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusSeen {
    pub(super) until: Timestamp,
    /// Of the documents.
    pub(super) version: u64,
}

impl Shown {
    /// About how many bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        let proof = &self.proof;
        let texts = [&proof.name, &proof.way, &proof.issuer].map(String::capacity);
        let uri = proof.status.as_ref().map_or(0, |status| status.uri.capacity());
        let texts = texts.into_iter().fold(uri, usize::saturating_add);
        // four texts with what the allocator takes for each
        let inside = memory_of_members(&proof.claims).saturating_add(texts).saturating_add(64);
        size_of::<Self>().saturating_add(inside)
    }
}

/// Puts a value at a path, inside objects that are made for it.
pub(super) fn put(claims: &mut Map<String, Value>, path: &[String], value: &Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        claims.insert(first.clone(), value.clone());
        return;
    }
    let inner = claims.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_named_claims_are_kept() {
        let mut kept = Map::new();
        let all = json!({ "a": { "b": 1, "c": 2 }, "d": "secret", "e": [1] });
        for path in [vec!["a".to_owned(), "b".to_owned()], vec!["e".to_owned()], vec!["a".to_owned(), "x".to_owned()]] {
            let path = ClaimPath::from_names(path).unwrap();
            if let Some(value) = path.get(all.as_object().unwrap()) {
                put(&mut kept, path.names(), value);
            }
        }
        assert_eq!(Value::Object(kept), json!({ "a": { "b": 1 }, "e": [1] }));
    }
}
