//! The ready configurations: Envoy takes them, they run, and the capabilities they allow are exactly those of the module.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::config::{Bootstrap, documents};
use carded_envoy::run::{Envoy, scratch};
use carded_envoy::tls::{Authority, connector};
use carded_envoy::{fetch, module, workspace};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

use crate::common::{ISSUER, Setup, by_tls, in_each_envoy, missing};

const READY: [&str; 5] =
    ["gateway.yaml", "sidecar.yaml", "sidecar-behind-gateway.yaml", "istio-envoyfilter.yaml", "envoy-gateway.yaml"];

in_each_envoy!(
    envoy_takes_every_ready_configuration,
    threat_81_what_is_not_allowed_is_out_of_reach,
    the_gateway_ends_tls,
    the_sidecar_checks,
);

fn read(name: &str) -> Result<Vec<Value>> {
    let path = workspace().join("envoy/config").join(name);
    documents(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())
}

/// Every object of a document, in order.
fn objects<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|v| objects(v, found)),
        Value::Object(map) => {
            found.push(value);
            map.values().for_each(|v| objects(v, found));
        }
        _ => {}
    }
}

fn plugins(documents: &[Value]) -> Vec<Value> {
    let mut all = Vec::new();
    documents.iter().for_each(|d| objects(d, &mut all));
    let wasm =
        all.into_iter().filter(|o| o["@type"] == "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm");
    wasm.map(|o| o["config"].clone()).collect()
}

/// The Envoy configuration that a mesh file embeds, put where the mesh would put it: into the listener of the gateway file.
fn embedded(name: &str) -> Result<Bootstrap> {
    let documents = read(name)?;
    let mut bootstrap = Bootstrap::ready("gateway.yaml")?;
    let (mut filter, mut cluster, mut settings) = (None, None, Vec::new());
    for patch in documents[0]["spec"]["configPatches"].as_array().into_iter().flatten() {
        let value = patch["patch"]["value"].clone();
        match patch["applyTo"].as_str() {
            Some("HTTP_FILTER") => filter = Some(value),
            Some("CLUSTER") => cluster = Some(value),
            Some("NETWORK_FILTER") => settings.extend(value["typed_config"].as_object().cloned().into_iter().flatten()),
            other => anyhow::bail!("{name}: a patch of {other:?} is not understood here"),
        }
    }
    for patch in documents[0]["spec"]["jsonPatches"].as_array().into_iter().flatten() {
        let (operation, path) = (&patch["operation"], patch["operation"]["path"].as_str().unwrap_or_default());
        ensure!(operation["op"] == "add", "{name}: {operation}");
        let value = operation["value"].clone();
        match path.strip_prefix("/filter_chains/0/filters/0/typed_config/") {
            Some("http_filters/0") => filter = Some(value),
            Some(setting) => settings.push((setting.to_owned(), value)),
            None => cluster = Some(value),
        }
    }
    let hcm = bootstrap.hcm();
    // without what the gateway file itself sets, so that the embedded part stands alone
    for setting in [
        "normalize_path",
        "merge_slashes",
        "path_with_escaped_slashes_action",
        "common_http_protocol_options",
        "request_timeout",
        "stream_idle_timeout",
    ] {
        hcm.as_object_mut().and_then(|h| h.remove(setting));
    }
    for (name, value) in settings {
        hcm[name] = value;
    }
    hcm["http_filters"][0] = filter.context("no filter")?;
    *bootstrap.cluster("idp") = cluster.context("no cluster")?;
    Ok(bootstrap)
}

fn bootstrap(name: &str) -> Result<Bootstrap> {
    if name.starts_with("istio") || name.starts_with("envoy-gateway") { embedded(name) } else { Bootstrap::ready(name) }
}

async fn envoy_takes_every_ready_configuration(version: &'static str) -> Result<()> {
    for name in READY {
        // the file with its own settings of Carded: only the module's place is this machine's
        let bootstrap = bootstrap(name)?.module(&module()?);
        Envoy::validate(&bootstrap, version).await.with_context(|| name.to_owned())?;
        if version == "1.40.0" {
            // where newer Envoys want it
            let mut moved = bootstrap.clone();
            let plugin = moved.plugin();
            let capabilities = plugin.as_object_mut().and_then(|p| p.remove("capability_restriction_config"));
            plugin["vm_config"]["capability_restriction_config"] = capabilities.context("no capabilities")?;
            Envoy::validate(&moved, version).await.with_context(|| name.to_owned())?;
        }
        // and a mistake in it is seen
        let mut wrong = bootstrap.clone();
        wrong.hcm()["normalise_path"] = json!(true);
        ensure!(Envoy::validate(&wrong, version).await.is_err(), "{name}: an unknown field was taken");
    }
    Ok(())
}

#[test]
fn every_ready_configuration_keeps_its_promises() -> Result<()> {
    for name in READY {
        let documents = read(name)?;
        let mut bootstrap = bootstrap(name)?;
        let plugins = plugins(&documents);
        ensure!(plugins.len() == 1, "{name}: {} plugins", plugins.len());
        let plugin = &plugins[0];
        ensure!(plugin["failure_policy"] == "FAIL_RELOAD", "{name}");
        ensure!(plugin["allow_on_headers_stop_iteration"] == false, "{name}");
        ensure!(plugin["vm_config"]["vm_id"] == "carded", "{name}");
        let hcm = bootstrap.hcm().clone();
        if !name.starts_with("envoy-gateway") {
            // Envoy Gateway sets these by its own resource
            ensure!(hcm["normalize_path"] == true && hcm["merge_slashes"] == true, "{name}");
            ensure!(hcm["path_with_escaped_slashes_action"] == "REJECT_REQUEST", "{name}");
            ensure!(
                hcm["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST",
                "{name}"
            );
            ensure!(hcm["request_timeout"].is_string(), "{name}");
        } else {
            let policy =
                documents.iter().find(|d| d["kind"] == "ClientTrafficPolicy").context("no ClientTrafficPolicy")?;
            ensure!(policy["spec"]["path"]["escapedSlashesAction"] == "RejectRequest", "{name}");
            ensure!(policy["spec"]["headers"]["withUnderscoresAction"] == "RejectRequest", "{name}");
        }
        ensure!(hcm["stream_idle_timeout"].is_string(), "{name}");
        // where the keys come from
        let keys = if name == "sidecar-behind-gateway.yaml" { "gateway" } else { "idp" };
        let tls = bootstrap.cluster(keys)["transport_socket"]["typed_config"].clone();
        let host = tls["sni"].as_str().context("no sni")?;
        let validation = &tls["common_tls_context"]["validation_context"];
        ensure!(validation["trusted_ca"]["filename"].is_string(), "{name}");
        ensure!(
            validation["match_typed_subject_alt_names"] == json!([{ "san_type": "DNS", "matcher": { "exact": host } }]),
            "{name}"
        );
        let address = bootstrap.value()["admin"]["address"]["socket_address"]["address"].clone();
        ensure!(address == "127.0.0.1", "{name}: the admin interface listens at {address}");
    }
    Ok(())
}

/// What the SDK's dispatcher links but Carded never calls: it stays forbidden.
const NEVER_CALLED: [&str; 5] =
    ["proxy_grpc_call", "proxy_grpc_cancel", "proxy_grpc_close", "proxy_grpc_send", "proxy_grpc_stream"];

/// The callbacks that Carded lives on. Without those for bodies and trailers a paused request would slip on (threat 87).
const CALLBACKS: [&str; 14] = [
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_done",
    "proxy_on_http_call_response",
    "proxy_on_log",
    "proxy_on_memory_allocate",
    "proxy_on_queue_ready",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

/// Threat 81, the host's half: each file allows exactly what `wasm-host-tests/imports.txt` says the module imports (without what
/// it never calls), and the callbacks that Carded lives on.
#[test]
fn threat_81_capabilities_are_those_of_the_module() -> Result<()> {
    let list = fs::read_to_string(workspace().join("wasm-host-tests/imports.txt"))?;
    // a line is "<module> <name>"; comments start with #
    let imports = list.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_whitespace().nth(1));
    let calls: BTreeSet<&str> = imports.filter(|n| !NEVER_CALLED.contains(n)).collect();
    ensure!(calls.contains("proxy_log"), "imports.txt is not understood: {calls:?}");
    let wanted: BTreeSet<&str> = calls.into_iter().chain(CALLBACKS).collect();
    for file in READY {
        let plugins = plugins(&read(file)?);
        let allowed =
            plugins[0]["capability_restriction_config"]["allowed_capabilities"].as_object().context("no list")?;
        let allowed: BTreeSet<&str> = allowed.keys().map(String::as_str).collect();
        ensure!(allowed == wanted, "{file} allows {:?} too many, {:?} too few", &allowed - &wanted, &wanted - &allowed);
    }
    Ok(())
}

/// Threat 81, in force: what is not allowed is out of the module's reach, and that never lets a request pass.
async fn threat_81_what_is_not_allowed_is_out_of_reach(version: &'static str) -> Result<()> {
    let setup = Setup {
        edit: |bootstrap| {
            let allowed = bootstrap.plugin()["capability_restriction_config"]["allowed_capabilities"].as_object_mut();
            allowed.and_then(|a| a.remove("proxy_http_call"));
        },
        ..Default::default()
    };
    let world = setup.start(version).await?;
    let reply = world.send(Request::get("/api/orders").bearer(&world.token())).await?;
    ensure!((500..600).contains(&reply.status), "{} {}", reply.status, reply.text());
    ensure!(world.idp.requests("/openid-configuration") == 0, "a call went out");
    ensure!(world.upstream.hits() == 0, "the request passed");
    Ok(())
}

async fn the_gateway_ends_tls(version: &'static str) -> Result<()> {
    let directory = scratch()?;
    let authority = Authority::new()?;
    let (certificate, key) = authority.issue("shop.example.com")?.write(&directory)?;
    let ca = authority.write(&directory, "server-ca.pem")?;
    let setup = Setup::default();
    let (bootstrap, upstream, idp, options) = setup.prepare(version).await?;
    let signing = carded_envoy::keys::Key::p256("k1")?;
    idp.publish(ISSUER, &[&signing]);
    let envoy = Envoy::start(&bootstrap.tls(&certificate, &key), &options).await?;
    let edge = envoy.listener("edge").await?;
    let token = signing.token(&crate::common::alice());
    let reply = by_tls(edge, &connector(&ca, None)?, &Request::get("/api/orders").bearer(&token)).await?;
    ensure!(reply.status == 200 && upstream.hits() == 1, "{} {}", reply.status, reply.text());
    let reply = by_tls(edge, &connector(&ca, None)?, &Request::get("/api/orders")).await?;
    ensure!(reply.status == 401 && reply.code() == "token_missing", "{} {}", reply.status, reply.text());
    Ok(())
}

async fn the_sidecar_checks(version: &'static str) -> Result<()> {
    let world = Setup { ready: "sidecar.yaml", ..Default::default() }.start(version).await?;
    world.refused("no token", Request::get("/api/orders"), 401, "token_missing").await?;
    world.refused("an underscore", Request::get("/open/x").header("x_carded_subject", "a"), 400, "").await?;
    world.alive().await
}

#[test]
fn both_versions_can_be_fetched() {
    for version in fetch::ENVOY_VERSIONS {
        missing(fetch::envoy(version).map(drop));
    }
}
