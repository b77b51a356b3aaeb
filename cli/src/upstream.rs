//! The clusters that documents are fetched through: an Envoy cluster verifies no certificate unless it is told to, so that
//! "https" alone proves nothing about who sent a key set.

use crate::find::Remark;
use crate::yaml::{Content, Node};

/// What is wrong with the clusters that a configuration's `fetch.clusters` names, as far as the file has clusters.
pub(crate) fn remarks(documents: &[Node], configuration: &Node) -> Vec<Remark> {
    let mut clusters = Vec::new();
    documents.iter().for_each(|document| collect(document, &mut clusters));
    let named = configuration.get("fetch").and_then(|fetch| fetch.get("clusters"));
    let (Some(Node { content: Content::Map(named), .. }), false) = (named, clusters.is_empty()) else {
        return Vec::new();
    };
    let mut remarks = Vec::new();
    for (authority, line, name) in named {
        // these are reached by http, where that is allowed at all
        if authority.split(':').next().is_some_and(|host| host.ends_with(".localhost")) {
            continue;
        }
        let Some(name) = name.text() else { continue };
        let Some(cluster) = clusters.iter().find(|cluster| name_of(cluster) == Some(name)) else {
            let message = format!("this file has clusters, but none named {name}");
            remarks.push(Remark { line: *line, is_error: false, message });
            continue;
        };
        let missing: Vec<&str> = [
            ("trusted_ca", &["trusted_ca", "trustedCa", "system_root_certs", "systemRootCerts"][..]),
            ("a match of the certificate's names", &["match_typed_subject_alt_names", "matchTypedSubjectAltNames"]),
            ("sni", &["sni", "auto_host_sni", "autoHostSni", "auto_sni", "autoSni"]),
        ]
        .into_iter()
        .filter(|(_, keys)| !has(cluster, keys))
        .map(|(what, _)| what)
        .collect();
        if !missing.is_empty() {
            let message = format!(
                "cluster {name} fetches from https://{authority} without {}: anybody could answer for it",
                missing.join(" and ")
            );
            remarks.push(Remark { line: cluster.line, is_error: true, message });
        }
    }
    remarks
}

/// Everything that looks like a cluster: it has a name, and endpoints or a way to find them.
fn collect<'a>(node: &'a Node, clusters: &mut Vec<&'a Node>) {
    match &node.content {
        Content::List(items) => items.iter().for_each(|item| collect(item, clusters)),
        Content::Map(entries) => {
            let endpoints = ["load_assignment", "loadAssignment", "eds_cluster_config", "edsClusterConfig"];
            if name_of(node).is_some() && endpoints.iter().any(|key| node.get(key).is_some()) {
                clusters.push(node);
            } else {
                entries.iter().for_each(|(_, _, value)| collect(value, clusters));
            }
        }
        _ => {}
    }
}

fn name_of(node: &Node) -> Option<&str> {
    node.get("name").and_then(Node::text)
}

/// Whether one of the keys stands anywhere in it.
fn has(node: &Node, keys: &[&str]) -> bool {
    match &node.content {
        Content::List(items) => items.iter().any(|item| has(item, keys)),
        Content::Map(entries) => entries.iter().any(|(key, _, value)| keys.contains(&key.as_str()) || has(value, keys)),
        _ => false,
    }
}
