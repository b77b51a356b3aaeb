//! Reads the ready configurations of `config/` and fits them to a machine: real files, real ports, another configuration of
//! Carded. What is run in the tests and in the demo is the file that operators get, changed only where a place must be named.

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::Path;

use crate::workspace;

/// The type URL of the Wasm HTTP filter's configuration.
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
/// The type URL of the HTTP connection manager's configuration.
const HCM: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// Reads every document of a YAML text.
///
/// # Errors
/// When it is not YAML, or has a key that is not a string.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    Yaml::load_from_str(text).context("not YAML")?.iter().map(to_json).collect()
}

/// Reads a YAML text of one document.
///
/// # Errors
/// As [`documents`], and when there is not exactly one document.
pub fn document(text: &str) -> Result<Value> {
    let mut all = documents(text)?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => bail!("not exactly one YAML document"),
    }
}

fn to_json(yaml: &Yaml) -> Result<Value> {
    Ok(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(b)) => json!(b),
        Yaml::Value(Scalar::Integer(i)) => json!(i),
        Yaml::Value(Scalar::FloatingPoint(f)) => json!(f.into_inner()),
        Yaml::Value(Scalar::String(s)) => json!(s),
        Yaml::Sequence(items) => Value::Array(items.iter().map(to_json).collect::<Result<_>>()?),
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let key = key.as_str().context("a YAML key is not a string")?;
                map.insert(key.to_owned(), to_json(value)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(_, inner) => to_json(inner)?,
        Yaml::Alias(_) | Yaml::BadValue | Yaml::Representation(..) => bail!("an unresolved YAML value"),
    })
}

/// A bootstrap configuration of Envoy on its way from a ready file to a machine.
///
/// The setters panic where the ready file lacks what they set: that is a bug of the file, found at once.
#[derive(Clone, Debug)]
pub struct Bootstrap(Value);

impl Bootstrap {
    /// Reads `config/<name>` of this crate, with every port set to 0 (Envoy picks one) and without TLS towards the client.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ready(name: &str) -> Result<Self> {
        let path = workspace().join("envoy/config").join(name);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut this = Self(document(&text).with_context(|| path.display().to_string())?);
        for listener in this.listeners() {
            set_address(&mut listener["address"], SocketAddr::from(([127, 0, 0, 1], 0)));
        }
        set_address(&mut this.0["admin"]["address"], SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(this.plain())
    }

    /// A bootstrap made of any value.
    pub fn from_value(value: Value) -> Self {
        Self(value)
    }

    /// The configuration, to read or to change.
    pub fn value(&mut self) -> &mut Value {
        &mut self.0
    }

    fn listeners(&mut self) -> impl Iterator<Item = &mut Value> {
        self.0["static_resources"]["listeners"].as_array_mut().into_iter().flatten()
    }

    /// Takes TLS away from every filter chain, so that tests can send any bytes.
    fn plain(mut self) -> Self {
        for listener in self.listeners() {
            for chain in listener["filter_chains"].as_array_mut().into_iter().flatten() {
                if let Some(chain) = chain.as_object_mut() {
                    chain.remove("transport_socket");
                }
            }
        }
        self
    }

    /// Lets clients come by TLS, with this certificate and key (PEM files).
    #[must_use]
    pub fn tls(mut self, certificate: &Path, key: &Path) -> Self {
        let socket = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_certificates": [{ "certificate_chain": { "filename": certificate }, "private_key": { "filename": key } }],
                },
            },
        });
        for listener in self.listeners() {
            listener["filter_chains"][0]["transport_socket"] = socket.clone();
        }
        self
    }

    /// Lets the first listener listen at `address`.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        set_address(&mut self.0["static_resources"]["listeners"][0]["address"], address);
        self
    }

    /// Sends a cluster's requests to `address`, which is taken as it is (no name is looked up).
    #[must_use]
    pub fn cluster_at(mut self, name: &str, address: SocketAddr) -> Self {
        let cluster = self.cluster(name);
        cluster["type"] = json!("STATIC");
        if let Some(cluster) = cluster.as_object_mut() {
            cluster.remove("dns_lookup_family");
        }
        let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"];
        set_address(endpoint, address);
        self
    }

    /// The CA file that a cluster's peer must be certified by.
    #[must_use]
    pub fn cluster_ca(mut self, name: &str, ca: &Path) -> Self {
        let context =
            &mut self.cluster(name)["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"];
        context["trusted_ca"]["filename"] = json!(ca);
        self
    }

    /// One cluster by name.
    pub fn cluster(&mut self, name: &str) -> &mut Value {
        let clusters = self.0["static_resources"]["clusters"].as_array_mut().into_iter().flatten();
        clusters
            .into_iter()
            .find(|c| c["name"] == name)
            .unwrap_or_else(|| panic!("the ready configuration has no cluster {name}"))
    }

    /// Adds a copy of a cluster under another name, to be fitted by the other setters.
    #[must_use]
    pub fn copy_cluster(mut self, from: &str, to: &str) -> Self {
        let mut copy = self.cluster(from).clone();
        copy["name"] = json!(to);
        copy["load_assignment"]["cluster_name"] = json!(to);
        if let Some(all) = self.0["static_resources"]["clusters"].as_array_mut() {
            all.push(copy);
        }
        self
    }

    /// The Wasm plugin's configuration (`envoy.extensions.wasm.v3.PluginConfig`) of the first Carded filter.
    pub fn plugin(&mut self) -> &mut Value {
        let filter = find(&mut self.0, WASM).unwrap_or_else(|| panic!("no Wasm filter in the configuration"));
        &mut filter["config"]
    }

    /// The first HTTP connection manager.
    pub fn hcm(&mut self) -> &mut Value {
        find(&mut self.0, HCM).unwrap_or_else(|| panic!("no HTTP connection manager in the configuration"))
    }

    /// The file of the filter module.
    #[must_use]
    pub fn module(mut self, wasm: &Path) -> Self {
        self.plugin()["vm_config"]["code"] = json!({ "local": { "filename": wasm } });
        self
    }

    /// Carded's own configuration, as a protobuf Struct.
    #[must_use]
    pub fn carded(mut self, configuration: &Value) -> Self {
        self.plugin()["configuration"] =
            json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": configuration });
        self
    }

    /// Carded's own configuration, as JSON text.
    #[must_use]
    pub fn carded_text(mut self, configuration: &str) -> Self {
        self.plugin()["configuration"] =
            json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration });
        self
    }

    /// The file that the access log goes to.
    #[must_use]
    pub fn access_log(mut self, file: &Path) -> Self {
        let format = self.hcm()["access_log"][0]["typed_config"]["log_format"].clone();
        self.hcm()["access_log"] = json!([{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": file,
                "log_format": format,
            },
        }]);
        self
    }

    /// Moves the listeners out of the bootstrap into a file that Envoy watches (LDS), and returns the new bootstrap with the
    /// text of that file. Replace the file by a rename: Envoy looks for moves only.
    #[must_use]
    pub fn listeners_from_file(mut self, file: &Path) -> (Self, String) {
        let text = self.listeners_text();
        if let Some(resources) = self.0["static_resources"].as_object_mut() {
            resources.remove("listeners");
        }
        self.0["dynamic_resources"] =
            json!({ "lds_config": { "resource_api_version": "V3", "path_config_source": { "path": file } } });
        self.0["node"] = json!({ "id": "test", "cluster": "test" });
        (self, text)
    }

    /// The listeners as a text for a watched file.
    pub fn listeners_text(&mut self) -> String {
        let resources: Vec<Value> = self
            .listeners()
            .map(|listener| {
                let mut listener = listener.clone();
                listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
                listener
            })
            .collect();
        json!({ "resources": resources }).to_string()
    }

    /// The configuration as JSON text, which Envoy reads from a file named `*.json`.
    pub fn text(&self) -> String {
        self.0.to_string()
    }
}

fn set_address(address: &mut Value, to: SocketAddr) {
    address["socket_address"] = json!({ "address": to.ip().to_string(), "port_value": to.port() });
}

/// The first object with this `@type`, in the order of the document.
fn find<'a>(value: &'a mut Value, type_url: &str) -> Option<&'a mut Value> {
    if value.get("@type").is_some_and(|t| t == type_url) {
        return Some(value);
    }
    match value {
        Value::Array(items) => items.iter_mut().find_map(|v| find(v, type_url)),
        Value::Object(map) => map.values_mut().find_map(|v| find(v, type_url)),
        _ => None,
    }
}
