//! A bill of materials in CycloneDX 1.6 (ECMA-424) for the filter's module: every crate that is compiled into it, with
//! version, licence, hash and what it depends on. Made from what cargo resolved, so it cannot drift from the build.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::workspace::{Workspace, read};

/// The bill for the module with this SHA-256.
pub(crate) fn of_filter(workspace: &Workspace, version: &str, module_sha256: &str) -> Result<Value> {
    let metadata = read(workspace.cargo().args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        "wasm32-wasip1",
    ]))?;
    let metadata: Value = serde_json::from_slice(&metadata).context("cargo prints JSON")?;
    // metadata knows the features of the whole workspace together; the tree knows those of the module alone
    let tree = read(workspace.cargo().args([
        "tree",
        "--locked",
        "--package",
        "carded-filter",
        "--target",
        "wasm32-wasip1",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let linked = linked(&String::from_utf8(tree)?);
    let lock = std::fs::read_to_string(workspace.root.join("Cargo.lock"))?;
    let bill = bill(&metadata, &linked, &checksums(&lock), version, module_sha256)?;
    println!("{} crates", bill["components"].as_array().map_or(0, Vec::len));
    Ok(bill)
}

fn bill(
    metadata: &Value,
    linked: &BTreeSet<String>,
    checksums: &BTreeMap<String, String>,
    version: &str,
    sha256: &str,
) -> Result<Value> {
    let packages: BTreeMap<&str, &Value> =
        entries(&metadata["packages"]).map(|package| (text(&package["id"]), package)).collect();
    let nodes: BTreeMap<&str, &Value> =
        entries(&metadata["resolve"]["nodes"]).map(|node| (text(&node["id"]), node)).collect();
    let root = packages
        .values()
        .find(|package| package["name"] == "carded-filter")
        .map(|package| text(&package["id"]))
        .context("cargo metadata knows carded-filter")?;

    // everything that is linked in: normal edges only, neither build scripts nor tests; procedural macros run at build time
    let mut reached = BTreeSet::new();
    let mut edges = BTreeMap::new();
    let mut next = vec![root];
    while let Some(id) = next.pop() {
        if !reached.insert(id) {
            continue;
        }
        let used: BTreeSet<&str> = entries(&nodes.get(id).context("a resolved crate")?["deps"])
            .filter(|dependency| entries(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()))
            .map(|dependency| text(&dependency["pkg"]))
            .filter(|id| packages.get(id).is_some_and(|package| !is_macro(package) && linked.contains(&key(package))))
            .collect();
        next.extend(&used);
        edges.insert(id, used);
    }

    let reference = |id: &str| packages.get(id).map_or_else(String::new, |package| purl(package));
    let components: Vec<Value> = reached
        .iter()
        .filter(|id| **id != root)
        .filter_map(|id| packages.get(id))
        .map(|package| component(package, checksums))
        .collect();
    let dependencies: Vec<Value> = edges
        .iter()
        .map(|(id, used)| json!({ "ref": reference(id), "dependsOn": used.iter().map(|id| reference(id)).collect::<Vec<_>>() }))
        .collect();
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": reference(root),
                "name": "carded.wasm",
                "version": version,
                "hashes": [{ "alg": "SHA-256", "content": sha256 }],
                "licenses": [{ "expression": "Apache-2.0" }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(package: &Value, checksums: &BTreeMap<String, String>) -> Value {
    let (name, version) = (text(&package["name"]), text(&package["version"]));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": name,
        "version": version,
        "purl": purl(package),
        "scope": "required",
    });
    if let Some(licence) = package["license"].as_str() {
        // the old way of saying OR, which SPDX does not know
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some(sha256) = checksums.get(&key(package)) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
    }
    component
}

/// Package URL (ECMA-427) of a crate. None of their names and versions has a character to escape but `+`.
fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(&package["name"]), text(&package["version"]).replace('+', "%2B"))
}

/// `name version`, as the lock file and the tree know a crate.
fn key(package: &Value) -> String {
    format!("{} {}", text(&package["name"]), text(&package["version"]))
}

/// `name version` of every line of `cargo tree` (`name vVERSION (where from)`).
fn linked(tree: &str) -> BTreeSet<String> {
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
    });
    crates.collect()
}

fn is_macro(package: &Value) -> bool {
    entries(&package["targets"]).any(|target| entries(&target["kind"]).any(|kind| kind == "proc-macro"))
}

/// `name version` → the SHA-256 of the crate's archive, from `Cargo.lock`.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let field = |name: &str| {
            package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        if let (Some(name), Some(version), Some(sum)) = (field("name"), field("version"), field("checksum")) {
            found.insert(format!("{name} {version}"), sum.to_owned());
        }
    }
    found
}

fn entries(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_in_is_listed_and_nothing_else() {
        let package = |name: &str, kind: &str| json!({ "id": name, "name": name, "version": "1.0.0+x", "license": "MIT/Apache-2.0", "targets": [{ "kind": [kind] }] });
        let uses = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                package("carded-filter", "cdylib"), package("linked", "lib"), package("deep", "lib"),
                package("derive", "proc-macro"), package("tester", "lib"), package("elsewhere", "lib"), package("off", "lib"),
            ],
            "resolve": { "nodes": [
                { "id": "carded-filter", "deps": [uses("linked", Value::Null), uses("derive", Value::Null), uses("tester", json!("dev"))] },
                { "id": "linked", "deps": [uses("deep", Value::Null), uses("off", Value::Null)] }, { "id": "off", "deps": [] },
                { "id": "deep", "deps": [] }, { "id": "derive", "deps": [] }, { "id": "tester", "deps": [] }, { "id": "elsewhere", "deps": [] },
            ] },
        });
        let lock = "[[package]]\nname = \"deep\"\nversion = \"1.0.0+x\"\nsource = \"registry\"\nchecksum = \"abc\"\n";
        let tree = "carded-filter v1.0.0+x (/f)\nlinked v1.0.0+x\ndeep v1.0.0+x (*)\nderive v1.0.0+x (proc-macro)\n";
        let bill = bill(&metadata, &linked(tree), &checksums(lock), "0.1.0", "00ff").expect("a bill");
        let names: Vec<_> = entries(&bill["components"]).map(|component| text(&component["name"])).collect();
        assert_eq!(names, ["deep", "linked"]);
        assert_eq!(bill["components"][0]["hashes"][0]["content"], "abc");
        assert_eq!(bill["components"][0]["purl"], "pkg:cargo/deep@1.0.0%2Bx");
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["metadata"]["component"]["hashes"][0]["content"], "00ff");
        let filter = entries(&bill["dependencies"]).find(|entry| text(&entry["ref"]).contains("carded-filter"));
        assert_eq!(filter.expect("the root's edges")["dependsOn"], json!(["pkg:cargo/linked@1.0.0%2Bx"]));
    }
}
