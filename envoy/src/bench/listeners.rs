//! The Envoy under measurement: one process with one worker, and a listener for each filter, alike but for the filter. The base
//! is the ready `gateway.yaml` without TLS and access log; behind the filter is a `direct_response`, so that what is measured
//! is Envoy and the filter, not a service.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

use super::tokens::{ALGORITHMS, AUDIENCE, ISSUER};
use crate::config::Bootstrap;

/// The path of every request that is measured.
pub(super) const PATH: &str = "/api/orders/7";

/// Builds a bootstrap, listener by listener.
pub(super) struct Listeners {
    bootstrap: Bootstrap,
    hcm: Value,
    plugin: Value,
    all: Vec<Value>,
}

impl Listeners {
    /// Starts from the ready configuration.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn new(module: &Path) -> Result<Self> {
        let mut bootstrap = Bootstrap::ready("gateway.yaml")?.module(module);
        let plugin = bootstrap.plugin().clone();
        let mut hcm = bootstrap.hcm().clone();
        if let Some(hcm) = hcm.as_object_mut() {
            hcm.remove("access_log");
        }
        hcm["route_config"]["virtual_hosts"][0]["routes"] =
            json!([{ "match": { "prefix": "/" }, "direct_response": { "status": 200 } }]);
        // a connection is kept for the whole of a long run
        hcm["common_http_protocol_options"]["max_requests_per_connection"] = json!(4_000_000_000_u32);
        bootstrap.value()["static_resources"]["clusters"] = json!([]);
        Ok(Self { bootstrap, hcm, plugin, all: Vec::new() })
    }

    /// Adds a listener with these filters before the router.
    fn add(&mut self, name: &str, filter: Option<Value>) {
        let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
        let mut filters: Vec<Value> = filter.into_iter().collect();
        filters.push(json!({ "name": "envoy.filters.http.router", "typed_config": { "@type": router } }));
        let mut hcm = self.hcm.clone();
        hcm["stat_prefix"] = json!(name);
        hcm["http_filters"] = json!(filters);
        self.all.push(json!({
            "name": name,
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
            "filter_chains": [{ "filters": [
                { "name": "envoy.filters.network.http_connection_manager", "typed_config": hcm },
            ] }],
        }));
    }

    /// No filter.
    pub(super) fn none(&mut self, name: &str) {
        self.add(name, None);
    }

    /// A Wasm filter that does nothing.
    pub(super) fn empty(&mut self, name: &str, module: &Path) {
        let code = json!({ "local": { "filename": module } });
        let vm = json!({ "vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": code });
        self.add(name, Some(wasm(name, &json!({ "name": name, "vm_config": vm }))));
    }

    /// A Wasm filter that makes host calls and does nothing else: those that a remembered token needs (`calls`), those of them that
    /// change nothing (`reads`), those of a remembered session (`session`), or those that a new token needs (`verify` and the arguments of `verify_signature`).
    pub(super) fn calls(&mut self, name: &str, module: &Path, which: &[u8]) {
        let code = json!({ "local": { "filename": module } });
        let vm = json!({ "vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": code });
        let which = STANDARD.encode(which);
        let configuration = json!({ "@type": "type.googleapis.com/google.protobuf.BytesValue", "value": which });
        self.add(name, Some(wasm(name, &json!({ "name": name, "vm_config": vm, "configuration": configuration }))));
    }

    /// Carded with this configuration, in a VM of its own. Without `lent` the module may not call foreign functions, so that it
    /// checks every signature itself.
    pub(super) fn carded(&mut self, name: &str, configuration: &Value, lent: bool) {
        let mut plugin = self.plugin.clone();
        plugin["name"] = json!(name);
        plugin["vm_config"]["vm_id"] = json!(name);
        plugin["allow_on_headers_stop_iteration"] = json!(true);
        plugin["vm_config"]["environment_variables"] =
            json!({ "host_env_keys": [super::scene::SESSION_KEY, super::sessions::SIGNING_KEY] });
        plugin["configuration"] =
            json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": configuration });
        if !lent && let Some(allowed) = plugin["capability_restriction_config"]["allowed_capabilities"].as_object_mut()
        {
            allowed.remove("proxy_call_foreign_function");
        }
        self.add(name, Some(wasm(name, &plugin)));
    }

    /// Envoy's own `jwt_authn`, with a cache of so many tokens.
    pub(super) fn jwt_authn(&mut self, name: &str, jwks: &Value, cache: Option<u32>) {
        let mut provider = json!({
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "local_jwks": { "inline_string": jwks.to_string() },
            "claim_to_headers": [
                { "header_name": "x-carded-subject", "claim_name": "sub" },
                { "header_name": "x-carded-role", "claim_name": "role" },
            ],
        });
        if let Some(size) = cache {
            provider["jwt_cache_config"] = json!({ "jwt_cache_size": size });
        }
        let filter = json!({
            "name": "envoy.filters.http.jwt_authn",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
                "providers": { "corp": provider },
                "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "corp" } }],
            },
        });
        self.add(name, Some(filter));
    }

    /// Envoy's `ext_authz` that asks the server at this address, by gRPC or by HTTP.
    pub(super) fn ext_authz(&mut self, name: &str, server: SocketAddr, grpc: bool) {
        // the cluster's name becomes the authority of the gRPC calls
        let cluster = name.replace(", ", "-");
        self.cluster(&cluster, server);
        let mut config = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
        });
        if grpc {
            config["grpc_service"] = json!({ "envoy_grpc": { "cluster_name": cluster }, "timeout": "5s" });
            let protocol = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http2_protocol_options": {} },
            } });
            if let Some(cluster) = self.clusters().and_then(|all| all.last_mut()) {
                cluster["typed_extension_protocol_options"] = protocol;
            }
        } else {
            let names = json!([{ "exact": "x-carded-subject" }, { "exact": "x-carded-role" }]);
            config["http_service"] = json!({
                "server_uri": { "uri": format!("http://{server}"), "cluster": cluster, "timeout": "5s" },
                "authorization_response": { "allowed_upstream_headers": { "patterns": names } },
            });
        }
        self.add(name, Some(json!({ "name": "envoy.filters.http.ext_authz", "typed_config": config })));
    }

    fn clusters(&mut self) -> Option<&mut Vec<Value>> {
        self.bootstrap.value()["static_resources"]["clusters"].as_array_mut()
    }

    /// A cluster at a fixed address.
    pub(super) fn cluster(&mut self, name: &str, at: SocketAddr) {
        let address = json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } });
        let cluster = json!({
            "name": name, "type": "STATIC", "connect_timeout": "2s",
            "load_assignment": { "cluster_name": name,
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }] },
        });
        if let Some(clusters) = self.clusters() {
            clusters.push(cluster);
        }
    }

    /// The bootstrap with every listener.
    pub(super) fn bootstrap(mut self) -> Bootstrap {
        self.bootstrap.value()["static_resources"]["listeners"] = json!(self.all);
        self.bootstrap
    }
}

fn wasm(name: &str, plugin: &Value) -> Value {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    json!({ "name": name, "typed_config": { "@type": kind, "config": plugin } })
}

/// Carded's configuration that does what the `jwt_authn` above does: one issuer, its tokens on every path below `/api/`, the same
/// two headers. `cached` is the number of verdicts that are remembered.
pub(super) fn configuration(jwks: &Value, cached: u32) -> Value {
    json!({
        "origins": ["https://shop.example.com"],
        "issuers": { "corp": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ALGORITHMS, "keys": { "jwks": jwks },
        } },
        "rules": [{ "match": { "path": "/api/**" }, "require": { "token": "corp" } }],
        "forward": { "headers": { "x-carded-subject": "corp.sub", "x-carded-role": "corp.role" } },
        "limits": { "cached_verdicts": cached },
        "access_log": [],
    })
}

/// Where each of these listeners listens.
///
/// # Errors
/// When Envoy does not know one.
pub(super) async fn address(envoy: &crate::run::Envoy, name: &str) -> Result<SocketAddr> {
    envoy.listener(name).await.with_context(|| format!("the listener {name}"))
}
