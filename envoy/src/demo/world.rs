//! Everything the demo starts: Envoy, the houses of the scene, the provider, the tokens; and the lines it offers, each tried before it is shown.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

use super::scene::{Knobs, Scene, random};
use super::tokens::{Provider, TOKENS};
use crate::client::{Reply, Request};
use crate::config::{Bootstrap, document};
use crate::run::{Envoy, Options};
use crate::{fetch, keys, module, target, workspace};

/// The running demo; everything in it stops when it is dropped.
#[derive(Debug)]
pub struct World {
    /// Where the one port is.
    pub address: SocketAddr,
    /// The demo's files.
    pub directory: PathBuf,
    /// What gives the tokens.
    pub provider: Provider,
    /// The shop, the agency, the clerk and the wallet.
    pub scene: Scene,
    /// The proxy.
    pub envoy: Envoy,
    bootstrap: Bootstrap,
    options: Options,
}

/// How a world differs from the demo's; tests use it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What the scene has beyond the demo's.
    pub knobs: Knobs,
    /// The folder of the wallet's pages.
    pub wallet: PathBuf,
    /// The version of Envoy.
    pub version: String,
    /// The key that sessions are sealed with, where it is not a fresh one: 32 bytes as base64.
    pub session_key: Option<String>,
    /// The level of Envoy's log, where it is not the usual one.
    pub log_level: Option<String>,
}

/// The environment variable of the key that sessions are sealed with.
const SESSION_KEY: &str = "CARDED_SESSION_KEY";

/// A fresh key for sessions: 32 random bytes as base64.
pub fn session_key() -> String {
    STANDARD.encode(random::bytes::<32>())
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            knobs: Knobs::default(),
            wallet: target().join("carded/web/wallet-demo"),
            version: fetch::ENVOY_VERSIONS[fetch::ENVOY_VERSIONS.len() - 1].to_owned(),
            session_key: None,
            log_level: None,
        }
    }
}

/// One line of the demo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// What it shows.
    pub caption: &'static str,
    /// The path it asks for.
    pub path: &'static str,
    /// The file of the token it carries, under `tokens/`.
    pub token: Option<&'static str>,
    /// The status that must come back.
    pub status: u16,
    /// The stable code that must come back; empty where the request passes.
    pub code: &'static str,
}

const fn line(
    caption: &'static str,
    path: &'static str,
    token: Option<&'static str>,
    status: u16,
    code: &'static str,
) -> Line {
    Line { caption, path, token, status, code }
}

/// The lines that the demo offers, in the order it tells its story.
pub(super) const LINES: [Line; 10] = [
    line("a public page", "/", None, 200, ""),
    line("no token", "/api/orders", None, 401, "token_missing"),
    line("a good token: alice is a clerk", "/api/orders", Some("good"), 200, ""),
    line("her own data", "/api/users/alice/profile", Some("good"), 200, ""),
    line("someone else's data", "/api/users/bob/profile", Some("good"), 403, "policy_denied"),
    line("wrong role: bob is no clerk", "/api/orders", Some("wrong-role"), 403, "policy_denied"),
    line("expired", "/api/orders", Some("expired"), 401, "token_expired"),
    line("wrong audience", "/api/orders", Some("wrong-audience"), 401, "audience_mismatch"),
    line("tampered: bob made himself a clerk", "/api/orders", Some("tampered"), 401, "signature_invalid"),
    line("alg: none", "/api/orders", Some("alg-none"), 401, "algorithm_not_allowed"),
];

impl World {
    /// Starts everything, on `port` of 127.0.0.1 or, where that is taken, on the next free one.
    ///
    /// # Errors
    /// When something is missing or does not start.
    pub async fn start(directory: &Path, port: u16, setup: &Setup) -> Result<Self> {
        let module = module()?;
        fs::create_dir_all(directory)?;
        let port = free_from(port).await?;
        let issuer = format!("http://idp.localhost:{port}");
        let provider = Provider::start(&issuer, directory).await?;
        let scene = Scene::start(port, directory, &setup.wallet, setup.knobs).await?;

        let rules = fs::read_to_string(workspace().join("envoy/demo/carded.yaml"))?
            .replace(":8080", &format!(":{port}"))
            .replace("%3A8080", &format!("%3A{port}"));
        fs::write(directory.join("carded.yaml"), &rules)?;
        let mut bootstrap = Bootstrap::ready("gateway.yaml")?
            .listen(SocketAddr::from(([127, 0, 0, 1], port)))
            .module(&module)
            .carded(&document(&rules)?)
            .copy_cluster("service", "houses")
            .cluster_at("service", scene.shop())
            .cluster_at("houses", scene.houses())
            .cluster_at("idp", provider.address())
            .access_log(&directory.join("access.log"));
        if let Some(idp) = bootstrap.cluster("idp").as_object_mut() {
            idp.remove("transport_socket"); // the provider speaks http here, as .localhost names may
        }
        let hosts = bootstrap.hcm()["route_config"]["virtual_hosts"].as_array_mut().context("no virtual hosts")?;
        for (name, cluster) in
            [("idp", "idp"), ("dmv", "houses"), ("clerk", "houses"), ("wallet", "houses"), ("novelty", "houses")]
        {
            hosts.push(json!({
                "name": name,
                "domains": [format!("{name}.localhost"), format!("{name}.localhost:*")],
                "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": cluster } }],
            }));
        }

        // bodies are read only where this is on
        bootstrap.plugin()["allow_on_headers_stop_iteration"] = json!(true);
        bootstrap.plugin()["vm_config"]["environment_variables"] = json!({ "host_env_keys": [SESSION_KEY] });

        let options = Options {
            directory: Some(directory.to_owned()),
            environment: vec![(SESSION_KEY.to_owned(), setup.session_key.clone().unwrap_or_else(session_key))],
            log_level: setup.log_level.clone(),
            ..Options::version(&setup.version)
        };
        let envoy = Envoy::start(&bootstrap, &options).await?;
        let address = envoy.listener("edge").await?;
        let world = Self { address, directory: directory.to_owned(), provider, scene, envoy, bootstrap, options };
        world.make_tokens().await?;
        Ok(world)
    }

    /// Starts a second Envoy with the same configuration and the same secret beside the first, on a port of its own: one more
    /// member of a fleet. Requests for the first's names are sent to the address that comes back.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn twin(&self, directory: &Path) -> Result<(Envoy, SocketAddr)> {
        let bootstrap = self.bootstrap.clone().listen(SocketAddr::from(([127, 0, 0, 1], 0)));
        let options = Options { directory: Some(directory.to_owned()), ..self.options.clone() };
        let envoy = Envoy::start(&bootstrap, &options).await?;
        let address = envoy.listener("edge").await?;
        Ok((envoy, address))
    }

    /// The processes that were started, with their names.
    pub fn processes(&self) -> impl Iterator<Item = (u32, &'static str)> {
        self.envoy.pid().map(|p| (p, "envoy")).into_iter().chain(self.provider.pid().map(|p| (p, "provider")))
    }

    /// Waits until Envoy or the provider has ended, and says which.
    pub async fn ended(&mut self) -> String {
        tokio::select! {
            _ = self.envoy.wait() => format!("Envoy has ended; its log is {}", self.directory.join("envoy.log").display()),
            () = self.provider.ended() => "the provider has ended".to_owned(),
        }
    }

    async fn make_tokens(&self) -> Result<()> {
        let tokens = self.provider.tokens().await?;
        let directory = self.directory.join("tokens");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        for (name, token) in TOKENS.iter().zip(tokens) {
            fs::write(directory.join(name), token)?;
        }
        Ok(())
    }

    /// Sends a line's request.
    ///
    /// # Errors
    /// When nothing answers.
    pub(super) async fn send(&self, line: &Line) -> Result<Reply> {
        let mut request = Request::get(line.path).header("host", self.address.to_string()).header("accept", "*/*");
        if let Some(name) = line.token {
            request = request.bearer(&fs::read_to_string(self.directory.join("tokens").join(name))?);
        }
        request.send(self.address).await
    }

    /// Tries every line, so that what is shown is what happens.
    ///
    /// # Errors
    /// When one gives another answer than its caption says.
    pub async fn check(&self) -> Result<()> {
        // the expired token lives for a second
        let expired = fs::read_to_string(self.directory.join("tokens/expired"))?;
        let end = keys::expiry(&expired).context("the short-lived token has no exp")?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while keys::now() <= end && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for line in &LINES {
            let reply = self.send(line).await?;
            ensure!(
                reply.status == line.status && reply.code() == line.code,
                "“{}” should give {} {} and gave {} {}",
                line.caption,
                line.status,
                line.code,
                reply.status,
                reply.text(),
            );
        }
        Ok(())
    }
}

/// What must answer before anybody is asked to open it: house, path, status.
const HOUSES: [(&str, &str, u16); 8] = [
    ("dmv", "/", 200),
    ("dmv", "/.well-known/openid-credential-issuer", 200),
    ("dmv", "/.well-known/jwt-vc-issuer", 200),
    ("dmv", "/status/1", 200),
    ("clerk", "/.well-known/did.json", 200),
    ("wallet", "/", 200),
    ("shop", "/", 200),
    ("shop", "/wine/", 303),
];

impl World {
    /// Tries the addresses of the scene as a browser would: everything is there, and the wine is behind the door.
    ///
    /// # Errors
    /// When one answers otherwise.
    pub async fn check_scene(&self) -> Result<()> {
        for (house, path, status) in HOUSES {
            let reply = Request::get(path)
                .header("host", format!("{house}.localhost:{}", self.address.port()))
                .header("accept", "text/html")
                .send(self.address)
                .await?;
            ensure!(
                reply.status == status,
                "http://{house}.localhost:{}{path} should give {status} and gave {} {}",
                self.address.port(),
                reply.status,
                reply.text()
            );
        }
        Ok(())
    }
}

/// The first free port from `port` on.
async fn free_from(port: u16) -> Result<u16> {
    for port in port..port.saturating_add(50) {
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port from {port} on")
}
