//! Finds Carded's configurations inside the files that operators have: Envoy's own, Istio's `EnvoyFilter` and
//! `WasmPlugin`, Envoy Gateway's `EnvoyExtensionPolicy` and `EnvoyPatchPolicy`, or a bare one.
//!
//! Field names are read in both of protobuf's JSON spellings (`vm_config`, `vmConfig`).

use crate::yaml::{Content, Dialect, Node, SyntaxError, parse};

/// A configuration that was found, and the plugin around it.
#[derive(Debug)]
pub struct Found {
    /// The configuration, with lines of the file.
    pub node: Node,
    /// Remarks on the plugin configuration around it: line, whether the filter would be unsafe, and what to do.
    pub around: Vec<Remark>,
    /// The environment variables that the host lends, where the file says so.
    pub environment: Option<Vec<String>>,
}

/// Something to say about a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Remark {
    /// The line, from 1.
    pub line: usize,
    /// Whether it must be changed.
    pub is_error: bool,
    /// What it is and what to do.
    pub message: String,
}

/// All configurations of Carded in a document, in order.
///
/// # Errors
/// A configuration that cannot be read: JSON text that is none, or a `value` that is missing.
pub fn find(document: &Node) -> Result<Vec<Found>, SyntaxError> {
    // a bare configuration is the whole document; everything else belongs to a proxy or to Kubernetes
    if document.get("rules").is_some() || document.get("issuers").is_some() {
        return Ok(vec![Found { node: document.clone(), around: Vec::new(), environment: None }]);
    }
    let mut found = Vec::new();
    walk(document, &mut found)?;
    Ok(found)
}

fn walk(node: &Node, found: &mut Vec<Found>) -> Result<(), SyntaxError> {
    if let Some(plugin) = plugin(node)? {
        found.push(plugin);
        return Ok(());
    }
    match &node.content {
        Content::List(items) => items.iter().try_for_each(|item| walk(item, found)),
        Content::Map(entries) => entries.iter().try_for_each(|(_, _, value)| walk(value, found)),
        _ => Ok(()),
    }
}

/// The plugin that a map configures, where that plugin is Carded.
fn plugin(node: &Node) -> Result<Option<Found>, SyntaxError> {
    if let (Some(vm), Some(configuration)) = (either(node, "vm_config", "vmConfig"), node.get("configuration")) {
        // Envoy's own (envoy.extensions.wasm.v3.PluginConfig), also inside EnvoyFilter and EnvoyPatchPolicy
        let inner = any(configuration)?;
        if !is_ours(node, &inner) {
            return Ok(None);
        }
        return Ok(Some(Found { around: around(node, vm, &inner), node: inner, environment: environment(vm) }));
    }
    // Istio's WasmPlugin; Envoy Gateway's EnvoyExtensionPolicy
    let inner = match (node.get("pluginConfig"), node.get("config"), node.get("code")) {
        (Some(inner), _, _) | (None, Some(inner), Some(_)) => inner,
        _ => return Ok(None),
    };
    if !is_ours(node, inner) {
        return Ok(None);
    }
    let mut around = Vec::new();
    let open = [("failStrategy", "FAIL_OPEN"), ("failOpen", "true")];
    for (name, value) in open {
        around.extend(node.get(name).filter(|node| is(node, value)).map(|node| fails_open(node, name)));
    }
    if let Some((section, is_error, what)) = reads_forms(inner) {
        let message = format!(
            "`{section}`: {what} only where the plugin says allow_on_headers_stop_iteration: true, which this resource cannot: use an EnvoyFilter or an EnvoyPatchPolicy"
        );
        around.push(Remark { line: node.line, is_error, message });
    }
    Ok(Some(Found { node: inner.clone(), around, environment: None }))
}

/// What an `Any` holds: a Struct's `value`, or the JSON text of a StringValue.
fn any(configuration: &Node) -> Result<Node, SyntaxError> {
    let kind = configuration.get("@type").and_then(Node::text).unwrap_or_default();
    let fail = |line, message: String| Err(SyntaxError { line, message });
    let Some(value) = configuration.get("value") else {
        return fail(configuration.line, "the configuration has no `value`".to_owned());
    };
    match (kind.rsplit('/').next().unwrap_or_default(), &value.content) {
        ("google.protobuf.Struct", Content::Map(_)) => Ok(value.clone()),
        ("google.protobuf.StringValue", Content::Text(text, begins)) => json(text, *begins),
        _ => fail(
            value.line,
            "the filter reads a google.protobuf.Struct, or a google.protobuf.StringValue with JSON text".to_owned(),
        ),
    }
}

/// JSON text inside another file, with that file's lines.
fn json(text: &str, begins: usize) -> Result<Node, SyntaxError> {
    let shift = |line: usize| line + begins - 1;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return Err(SyntaxError { line: shift(error.line().max(1)), message: format!("no valid JSON: {error}") });
    }
    let documents =
        parse(text, Dialect::Json).map_err(|error| SyntaxError { line: shift(error.line), message: error.message })?;
    let mut node = documents
        .into_iter()
        .next()
        .ok_or_else(|| SyntaxError { line: begins, message: "the configuration is empty".to_owned() })?;
    move_down(&mut node, begins - 1);
    Ok(node)
}

fn move_down(node: &mut Node, lines: usize) {
    node.line += lines;
    match &mut node.content {
        Content::Text(_, begins) => *begins += lines,
        Content::List(items) => items.iter_mut().for_each(|item| move_down(item, lines)),
        Content::Map(entries) => entries.iter_mut().for_each(|(_, line, value)| {
            *line += lines;
            move_down(value, lines);
        }),
        Content::Plain(_) => {}
    }
}

/// Whether a plugin is Carded: by what it is called and where its code comes from, or by its configuration's words.
fn is_ours(plugin: &Node, configuration: &Node) -> bool {
    fn says_carded(node: &Node) -> bool {
        match &node.content {
            Content::Text(text, _) => text.to_ascii_lowercase().contains("carded"),
            Content::List(items) => items.iter().any(says_carded),
            Content::Map(entries) => entries.iter().any(|(_, _, value)| says_carded(value)),
            Content::Plain(_) => false,
        }
    }
    let named = ["name", "root_id", "rootId", "rootID", "vm_config", "vmConfig", "url", "code", "pluginName"];
    (configuration.get("rules").is_some() && configuration.get("issuers").is_some())
        || named.iter().filter_map(|name| plugin.get(name)).any(says_carded)
}

/// What must stand in Envoy's own configuration of the plugin, so that the filter can do what it promises.
fn around(plugin: &Node, vm: &Node, configuration: &Node) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut say = |line, is_error, message: &str| remarks.push(Remark { line, is_error, message: message.to_owned() });
    if either(vm, "vm_id", "vmId").and_then(Node::text).is_none_or(str::is_empty) {
        say(vm.line, true, "vm_config has no vm_id: give one of its own, else other plugins share its memory");
    }
    let policy = either(plugin, "failure_policy", "failurePolicy");
    match policy.and_then(Node::text) {
        Some("FAIL_RELOAD") => {}
        Some("FAIL_OPEN") => {
            let line = policy.map_or(plugin.line, |node| node.line);
            say(line, true, "failure_policy: FAIL_OPEN lets every request pass when the filter fails: use FAIL_RELOAD");
        }
        _ => say(plugin.line, false, "without failure_policy: FAIL_RELOAD a filter that failed stays down"),
    }
    if let Some(open) = either(plugin, "fail_open", "failOpen").filter(|node| is(node, "true")) {
        say(
            open.line,
            true,
            "fail_open lets every request pass when the filter fails: use failure_policy: FAIL_RELOAD",
        );
    }
    let stop_iteration = either(plugin, "allow_on_headers_stop_iteration", "allowOnHeadersStopIteration");
    let hands_bodies_over = stop_iteration.is_some_and(|node| is(node, "true"));
    let line = stop_iteration.map_or(plugin.line, |node| node.line);
    match reads_forms(configuration) {
        Some((section, is_error, what)) if !hands_bodies_over => say(
            line,
            is_error,
            &format!("`{section}`: {what} only with allow_on_headers_stop_iteration: true; else the answer is a 408"),
        ),
        None if hands_bodies_over => say(
            line,
            false,
            "allow_on_headers_stop_iteration: true holds uploads that wait for keys in memory, and refuses large ones: say false, since nothing here reads a form",
        ),
        _ => {}
    }
    remarks
}

/// What of a configuration reads forms, whether it is of no use without them, and what comes as one. Envoy hands bodies over only
/// where the plugin says so.
fn reads_forms(configuration: &Node) -> Option<(&'static str, bool, &'static str)> {
    let reading = [
        ("credentials", true, "a wallet's answer is read"),
        ("exchange", true, "a token that is to be exchanged is read"),
        ("login", false, "a provider that tells of logouts (back-channel) is heard"),
    ];
    reading.into_iter().find(|(section, ..)| configuration.get(section).is_some())
}

fn fails_open(node: &Node, name: &str) -> Remark {
    let message = format!("{name} lets every request pass when the filter fails");
    Remark { line: node.line, is_error: true, message }
}

/// The names that `environment_variables` gives to the filter.
fn environment(vm: &Node) -> Option<Vec<String>> {
    let variables = either(vm, "environment_variables", "environmentVariables");
    let mut names = Vec::new();
    if let Some(Content::List(keys)) =
        variables.and_then(|node| either(node, "host_env_keys", "hostEnvKeys")).map(|node| &node.content)
    {
        names.extend(keys.iter().filter_map(Node::text).map(str::to_owned));
    }
    if let Some(Content::Map(pairs)) =
        variables.and_then(|node| either(node, "key_values", "keyValues")).map(|node| &node.content)
    {
        names.extend(pairs.iter().map(|(name, _, _)| name.clone()));
    }
    Some(names)
}

fn either<'a>(node: &'a Node, snake: &str, camel: &str) -> Option<&'a Node> {
    node.get(snake).or_else(|| node.get(camel))
}

fn is(node: &Node, word: &str) -> bool {
    match &node.content {
        Content::Plain(value) => value.as_bool().is_some_and(|truth| word == if truth { "true" } else { "false" }),
        Content::Text(text, _) => text == word,
        _ => false,
    }
}
