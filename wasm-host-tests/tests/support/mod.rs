//! What the stories share: the modules under test, a configuration, a signer and a scripted provider. The signer knows
//! nothing of Carded's own code, so that the two cannot be wrong in the same way.

pub(crate) mod agency;
pub(crate) mod provider;
pub(crate) mod token;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use carded_wasm_host::{GuestModule, Host, HostBuilder, Outcome, Request, crash_filter_path, filter_path};
use serde_json::{Value, json};

pub(crate) use provider::Provider;
pub(crate) use token::{Claims, Key};

/// Where the fake clock starts.
pub(crate) const START: u64 = 1_800_000_000;
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// The built filter, compiled once for all stories.
pub(crate) fn filter() -> &'static GuestModule {
    static MODULE: OnceLock<GuestModule> = OnceLock::new();
    MODULE.get_or_init(|| load(&filter_path()))
}

/// The filter that panics when a request says so.
pub(crate) fn crash_filter() -> &'static GuestModule {
    static MODULE: OnceLock<GuestModule> = OnceLock::new();
    MODULE.get_or_init(|| load(&crash_filter_path()))
}

fn load(path: &Path) -> GuestModule {
    GuestModule::from_file(path).unwrap_or_else(|error| panic!("{error}"))
}

/// A configuration that most stories start from: one provider with discovery, a public path, an optional one, an API.
pub(crate) fn config() -> Value {
    json!({
        "origins": ["https://shop.example.com"],
        "issuers": { "corp": corp() },
        "rules": [
            { "name": "health", "match": { "path": "/health" }, "allow": "anyone" },
            { "name": "preflight", "match": { "path": "/api/**", "preflight": true }, "allow": "anyone" },
            { "name": "feed", "match": { "path": "/feed/**" }, "optional": { "token": "corp" } },
            { "name": "api", "match": { "path": "/api/**" }, "require": { "token": "corp" } }
        ],
        "forward": { "headers": { "x-carded-subject": "corp.sub", "x-carded-roles": "corp.realm_access.roles" } },
        "fetch": { "clusters": { "idp.example.com": "idp" } }
    })
}

/// The issuer `corp`.
pub(crate) fn corp() -> Value {
    json!({
        "issuer": "https://idp.example.com",
        "audiences": ["api.example.com"],
        "keys": { "discovery": true }
    })
}

/// A second issuer whose keys lie in the configuration.
pub(crate) fn inline_issuer(issuer: &str, key: &Key) -> Value {
    json!({
        "issuer": issuer,
        "audiences": ["api.example.com"],
        "keys": { "jwks": { "keys": [key.jwk()] } }
    })
}

/// A host of the built filter with this configuration and provider; not started yet.
pub(crate) fn host_with(config: &Value, idp: &Provider) -> HostBuilder {
    Host::builder(filter()).configuration(config).clock(START).cluster("idp", idp.answers())
}

/// One worker, the usual configuration, a provider that answers at once and has answered.
pub(crate) fn ready() -> (Host, Provider, Key) {
    ready_with(&config())
}

/// The same with another configuration.
pub(crate) fn ready_with(config: &Value) -> (Host, Provider, Key) {
    let key = Key::new(1, "k1");
    let idp = Provider::new(&[&key]);
    let host = start(host_with(config, &idp));
    (host, idp, key)
}

/// Starts a host and gives background fetches the time to happen.
#[track_caller]
pub(crate) fn start(builder: HostBuilder) -> Host {
    let mut host = builder.start().unwrap_or_else(|refused| panic!("{}: {:#?}", refused.why, refused.logs));
    host.advance(SECOND * 2);
    host
}

/// `GET /api/orders` with this token.
pub(crate) fn api(token: &str) -> Request {
    Request::get("/api/orders").bearer(token)
}

/// Asks for `/api/orders` with this token.
pub(crate) fn ask_api(host: &mut Host, token: &str) -> Outcome {
    host.ask(api(token))
}
