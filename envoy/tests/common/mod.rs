//! The world of a test: an Envoy on the ready gateway configuration, a service behind it that counts, a provider with TLS.

#![allow(dead_code, reason = "not every module of tests uses every helper")]

use anyhow::{Context, Result, ensure};
use carded_envoy::client::{Connection, Reply, Request};
use carded_envoy::config::Bootstrap;
use carded_envoy::idp::Idp;
use carded_envoy::keys::{Key, claims, with};
use carded_envoy::run::{Envoy, Options, runs, scratch};
use carded_envoy::tls::Authority;
use carded_envoy::upstream::Upstream;
use carded_envoy::{fetch, module};
use serde_json::{Value, json};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

pub(crate) const ISSUER: &str = "https://idp.example.com";
pub(crate) const PARTNER: &str = "https://idp.example.com/partner";
pub(crate) const AUDIENCE: &str = "api.example.com";

/// Makes a test for each version of Envoy from an `async fn(version: &'static str) -> Result<()>`.
macro_rules! in_each_envoy {
    ($($name:ident),* $(,)?) => {
        mod envoy_1_36_3 { $(#[test] fn $name() { $crate::common::run("1.36.3", super::$name); })* }
        mod envoy_1_40_0 { $(#[test] fn $name() { $crate::common::run("1.40.0", super::$name); })* }
    };
}
pub(crate) use in_each_envoy;

/// Runs one test on a runtime of its own, or skips it where a tool is missing (never with `CI=true`).
pub(crate) fn run<F, T>(version: &'static str, test: T)
where
    T: FnOnce(&'static str) -> F,
    F: Future<Output = Result<()>>,
{
    assert!(fetch::ENVOY_VERSIONS.contains(&version), "the tests know an Envoy {version} that is not fetched");
    if missing(module().map(drop)) || missing(fetch::envoy(version).map(drop)) {
        return;
    }
    finish(test(version));
}

/// Runs a test to its end. What its Envoys wrote is kept where it fails.
pub(crate) fn finish(test: impl Future<Output = Result<()>>) {
    let _ = std::fs::remove_dir_all(runs());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    if let Err(error) = runtime.expect("a runtime").block_on(test) {
        panic!("{error:?}\n\nThe files of this test are in {}", runs().display());
    }
    let _ = std::fs::remove_dir_all(runs());
}

/// Whether a tool is missing: an error is printed, or fails the test where `CI=true`.
pub(crate) fn missing(tool: Result<()>) -> bool {
    match tool {
        Ok(()) => false,
        Err(error) if std::env::var("CI").is_ok_and(|v| v == "true") => panic!("{error:#}"),
        Err(error) => {
            eprintln!("skipped: {error:#}");
            true
        }
    }
}

/// The npm packages that tests use; nothing where they are missing, which is said.
pub(crate) fn packages() -> Option<PathBuf> {
    let mut packages = None;
    missing(fetch::npm().map(|found| packages = Some(found)));
    packages
}

/// Carded's configuration in most tests.
pub(crate) fn config() -> Value {
    json!({
        "origins": ["https://shop.example.com"],
        "issuers": {
            "corp": {
                "issuer": ISSUER,
                "audiences": [AUDIENCE],
                "algorithms": ["RS256", "ES256", "EdDSA"],
                "keys": { "discovery": true },
            },
            "partner": {
                "issuer": PARTNER,
                "audiences": [AUDIENCE],
                "algorithms": ["ES256"],
                "keys": { "discovery": true },
                "from_headers": [{ "name": "authorization", "value_prefix": "Bearer " }, { "name": "x-partner-token" }],
            },
        },
        "rules": [
            { "name": "health", "match": { "path": "/health" }, "allow": "anyone" },
            { "name": "open", "match": { "path": "/open/**" }, "allow": "anyone" },
            { "name": "feed", "match": { "path": "/feed/**" }, "optional": { "token": "corp" } },
            { "name": "preflight", "match": { "path": "/api/**", "preflight": true }, "allow": "anyone" },
            { "name": "api", "match": { "path": "/api/**" }, "require": { "token": "corp" }, "authorize": true },
            { "name": "both", "match": { "path": "/both" }, "require": { "all": [{ "token": "corp" }, { "token": "partner" }] } },
            { "name": "either", "match": { "path": "/either/**" }, "require": { "any": [{ "token": "corp" }, { "token": "partner" }] } },
            { "name": "shared", "match": { "path": "/shared" }, "require": { "any": [{ "token": "corp" }, { "token": "partner" }] }, "authorize": true },
            { "name": "plain", "match": { "path": ["/plain/**", "/sse", "/ws", "/grpc.Service/*"] }, "require": { "token": "corp" } },
        ],
        "policies": [
            { "effect": "allow", "subjects": ["role:corp.clerk"], "actions": ["GET", "POST"], "resources": ["/api/orders/**"] },
            { "effect": "allow", "subjects": ["*"], "actions": ["GET"], "resources": ["/api/users/{corp.sub}/**"] },
            { "effect": "allow", "subjects": ["sub:corp.alice"], "actions": ["GET"], "resources": ["/shared"] },
        ],
        "forward": { "headers": { "x-carded-subject": "corp.sub", "x-carded-roles": "corp.roles", "x-user": "corp.name" } },
        "fetch": { "clusters": { "idp.example.com": "idp" }, "cooldown": "1s", "timeout": "5s" },
    })
}

/// A world to be started.
pub(crate) struct Setup {
    pub(crate) config: Value,
    pub(crate) concurrency: u32,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) edit: fn(&mut Bootstrap),
    /// Without keys at the provider: they are published by the test.
    pub(crate) silent_provider: bool,
    /// The provider holds its replies back until the test releases them.
    pub(crate) held_provider: bool,
    /// The name in the provider's certificate.
    pub(crate) certificate_name: &'static str,
    /// Whether Envoy trusts the authority of the provider's certificate.
    pub(crate) authority_is_trusted: bool,
    pub(crate) module: Option<PathBuf>,
    pub(crate) ready: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: config(),
            concurrency: 2,
            environment: Vec::new(),
            edit: |_| {},
            silent_provider: false,
            held_provider: false,
            certificate_name: "idp.example.com",
            authority_is_trusted: true,
            module: None,
            ready: "gateway.yaml",
        }
    }
}

/// A started world.
pub(crate) struct World {
    pub(crate) envoy: Envoy,
    pub(crate) edge: SocketAddr,
    pub(crate) upstream: Upstream,
    pub(crate) idp: Idp,
    /// The key of `corp`.
    pub(crate) key: Key,
    /// The key of `partner`, with the same key id.
    pub(crate) partner: Key,
    pub(crate) directory: PathBuf,
}

impl Setup {
    /// What is needed before Envoy starts: the bootstrap, the services and the options.
    pub(crate) async fn prepare(&self, version: &str) -> Result<(Bootstrap, Upstream, Idp, Options)> {
        let directory = scratch()?;
        let authority = Authority::new()?;
        let identity = authority.issue(self.certificate_name)?;
        let ca = if self.authority_is_trusted {
            authority.write(&directory, "ca.pem")?
        } else {
            Authority::new()?.write(&directory, "ca.pem")?
        };
        let upstream = Upstream::start().await?;
        let idp = Idp::start(Some(identity.acceptor()?)).await?;
        let wasm = match &self.module {
            Some(module) => module.clone(),
            None => module()?,
        };
        let mut bootstrap = Bootstrap::ready(self.ready)?
            .module(&wasm)
            .carded(&self.config)
            .cluster_at("service", upstream.address)
            .cluster_at("idp", idp.address)
            .cluster_ca("idp", &ca)
            .access_log(&directory.join("access.log"));
        (self.edit)(&mut bootstrap);
        let options = Options {
            concurrency: self.concurrency,
            environment: self.environment.clone(),
            directory: Some(directory),
            ..Options::version(version)
        };
        Ok((bootstrap, upstream, idp, options))
    }

    /// Starts everything.
    pub(crate) async fn start(self, version: &str) -> Result<World> {
        let (bootstrap, upstream, idp, options) = self.prepare(version).await?;
        let (key, partner) = (Key::p256("k1")?, Key::p256("k1")?);
        if !self.silent_provider {
            idp.publish(ISSUER, &[&key]);
            idp.publish(PARTNER, &[&partner]);
        }
        if self.held_provider {
            idp.hold();
        }
        let envoy = Envoy::start(&bootstrap, &options).await?;
        let edge = envoy.listener(if self.ready == "sidecar.yaml" { "inbound" } else { "edge" }).await?;
        let directory = options.directory.context("a directory")?;
        Ok(World { envoy, edge, upstream, idp, key, partner, directory })
    }
}

impl World {
    /// The world of most tests.
    pub(crate) async fn start(version: &str) -> Result<Self> {
        Setup::default().start(version).await
    }

    /// An honest token of alice, who is a clerk.
    pub(crate) fn token(&self) -> String {
        self.key.token(&alice())
    }

    /// A token with changed claims; a null removes one.
    pub(crate) fn token_with(&self, changes: Value) -> String {
        self.key.token(&with(alice(), changes))
    }

    /// Sends a request to the edge.
    pub(crate) async fn send(&self, request: Request) -> Result<Reply> {
        request.send(self.edge).await
    }

    /// Sends a request that must be refused so, with nothing passed on.
    pub(crate) async fn refused(&self, what: &str, request: Request, status: u16, code: &str) -> Result<Reply> {
        let before = self.upstream.hits();
        let reply = self.send(request).await.with_context(|| what.to_owned())?;
        ensure!(
            (reply.status, reply.code().as_str()) == (status, code),
            "{what}: {} {} instead of {status} {code}\n{}",
            reply.status,
            reply.code(),
            reply.text()
        );
        ensure!(self.upstream.hits() == before, "{what}: it was passed on");
        if !code.is_empty() {
            ensure!(reply.header("cache-control").as_deref() == Some("no-store"), "{what}: no cache-control");
            ensure!(reply.header("content-type").as_deref() == Some("application/problem+json"), "{what}: no problem");
            ensure!(
                reply.header("www-authenticate").is_some() == (status == 401 || code == "policy_denied"),
                "{what}: www-authenticate"
            );
            ensure!(reply.header("retry-after").is_some() == (status == 503), "{what}: retry-after");
        }
        Ok(reply)
    }

    /// Sends a request that must pass, and returns what the service saw.
    pub(crate) async fn passes(&self, what: &str, request: Request) -> Result<carded_envoy::upstream::Seen> {
        let before = self.upstream.hits();
        let reply = self.send(request).await.with_context(|| what.to_owned())?;
        ensure!(reply.status == 200, "{what}: {} {}", reply.status, reply.text());
        ensure!(self.upstream.hits() == before + 1, "{what}: it did not reach the service once");
        self.upstream.last().context("nothing seen")
    }

    /// Waits until the issuer's keys are there. Before that this request is refused for want of them, and for nothing else.
    pub(crate) async fn has_keys(&self, request: impl Fn() -> Request) -> Result<()> {
        eventually("the keys are there", || async {
            let reply = self.send(request()).await?;
            ensure!(reply.status != 503 || reply.code() == "keys_unavailable", "{}", reply.text());
            Ok(reply.status != 503)
        })
        .await
    }

    /// Waits until every worker has the right keys again, after a failure. Before that it refuses for want of them, and for
    /// nothing else.
    pub(crate) async fn recovers(&self) -> Result<()> {
        eventually("the right keys are there", || async {
            for _ in 0..8 {
                let reply = self.send(Request::get("/api/orders").bearer(&self.token())).await?;
                let waits = ["keys_unavailable", "key_not_found"].contains(&reply.code().as_str());
                ensure!(reply.status == 200 || waits, "{}", reply.text());
                if waits {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await?;
        self.alive().await
    }

    /// Every worker is alive: good requests pass on many connections, and no VM has failed.
    pub(crate) async fn alive(&self) -> Result<()> {
        for _ in 0..8 {
            self.passes("the worker is alive", Request::get("/api/orders").bearer(&self.token())).await?;
        }
        let log = self.envoy.log();
        for sign in ["Function: proxy_on", "panicked", "Wasm VM failed", "Plugin fail"] {
            ensure!(!log.contains(sign), "a VM has failed ({sign}):\n{log}");
        }
        Ok(())
    }
}

/// Alice's claims.
pub(crate) fn alice() -> Value {
    with(claims(ISSUER, AUDIENCE, "alice"), json!({ "roles": ["clerk"] }))
}

/// Sends a request by TLS to shop.example.com, which listens at `edge`.
pub(crate) async fn by_tls(edge: SocketAddr, tls: &TlsConnector, request: &Request) -> Result<Reply> {
    let stream = tokio::net::TcpStream::connect(edge).await?;
    let stream = tls.connect(ServerName::try_from("shop.example.com")?, stream).await?;
    Connection::over(stream).exchange(&request.bytes()).await
}

/// Waits until something is so, at most a minute: machines of CI are slow at times.
pub(crate) async fn eventually<F, T>(what: &str, mut is: F) -> Result<()>
where
    F: FnMut() -> T,
    T: Future<Output = Result<bool>>,
{
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is().await? {
        ensure!(Instant::now() < deadline, "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
