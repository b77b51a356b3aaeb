//! Everything the demo starts: Envoy, a second one as sidecar of the account pages, the houses of the scene, the provider, the
//! tokens; and the lines it offers, each tried before it is shown.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

use super::scene::{Knobs, REVOKED, Scene, random};
use super::tokens::{Client, Provider, TOKENS};
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
    /// Where the sidecar of the account pages is.
    pub sidecar: SocketAddr,
    beside: Envoy,
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
/// That of the key that signs the gateway's own token.
const SIGNING_KEY: &str = "CARDED_SIGNING_KEY";
/// That of the shop's secret at the provider.
const CLIENT_SECRET: &str = "OIDC_SECRET";

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

/// Where a line of the demo goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The gateway, by its address.
    Gateway,
    /// The gateway, by the shop's name.
    Shop,
    /// The sidecar of the account pages, past the gateway.
    Sidecar,
}

/// What a line carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Carries {
    /// Nothing.
    Nothing,
    /// The token in this file under `tokens/`, after `Bearer`.
    Bearer(&'static str),
    /// The token in this file under `tokens/`, in the gateway's own header.
    Minted(&'static str),
    /// A header as anybody can write it.
    Header(&'static str, &'static str),
}

/// One line of the demo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// What it shows.
    pub caption: &'static str,
    /// Whom it asks.
    pub to: To,
    /// The path it asks for.
    pub path: &'static str,
    /// What it carries.
    pub carries: Carries,
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
    let carries = match token {
        Some(token) => Carries::Bearer(token),
        None => Carries::Nothing,
    };
    Line { caption, to: To::Gateway, path, carries, status, code }
}

const fn beside(caption: &'static str, carries: Carries, status: u16, code: &'static str) -> Line {
    Line { caption, to: To::Sidecar, path: "/account", carries, status, code }
}

/// The lines that the demo offers, in the order it tells its story.
pub(super) const LINES: [Line; 15] = [
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
    Line {
        caption: "the account: a program is not sent to sign in",
        to: To::Shop,
        path: "/account",
        carries: Carries::Nothing,
        status: 401,
        code: "login_required",
    },
    beside("past the gateway, with nothing", Carries::Nothing, 401, "token_missing"),
    beside(
        "… with a header as the gateway writes it",
        Carries::Header("x-carded-subject", "corp:ada"),
        401,
        "token_missing",
    ),
    beside("… with a token that somebody made up", Carries::Minted("made-up"), 401, "key_not_found"),
    beside("… with the gateway's (good for 5 minutes)", Carries::Minted("gateway"), 200, ""),
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
        let scene = Scene::start(port, directory, &setup.wallet, setup.knobs).await?;
        let client_secret = random::token();
        let shop = Client {
            origin: format!("http://shop.localhost:{port}"),
            secret: client_secret.clone(),
            revoked: format!("http://{}{REVOKED}", scene.shop()),
        };
        let provider = Provider::start(&issuer, directory, &shop).await?;
        let beside = Self::beside(port, directory, &module, setup, &scene).await?;
        let sidecar = beside.listener("inbound").await?;

        let rules = configuration("carded.yaml", port, directory)?;
        let mut bootstrap = Bootstrap::ready("gateway.yaml")?
            .listen(SocketAddr::from(([127, 0, 0, 1], port)))
            .module(&module)
            .carded(&document(&rules)?)
            .copy_cluster("service", "houses")
            .copy_cluster("service", "account")
            .cluster_at("account", sidecar)
            .cluster_at("service", scene.shop())
            .cluster_at("houses", scene.houses())
            .cluster_at("idp", provider.address())
            .access_log(&directory.join("access.log"));
        if let Some(idp) = bootstrap.cluster("idp").as_object_mut() {
            idp.remove("transport_socket"); // the provider speaks http here, as .localhost names may
        }
        let hosts = bootstrap.hcm()["route_config"]["virtual_hosts"].as_array_mut().context("no virtual hosts")?;
        let account = json!({ "match": { "path_separated_prefix": "/account" }, "route": { "cluster": "account" } });
        hosts.first_mut().and_then(|all| all["routes"].as_array_mut()).context("no routes")?.insert(0, account);
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
        bootstrap.plugin()["vm_config"]["environment_variables"] =
            json!({ "host_env_keys": [SESSION_KEY, SIGNING_KEY, CLIENT_SECRET] });

        let options = Options {
            directory: Some(directory.to_owned()),
            environment: vec![
                (SESSION_KEY.to_owned(), setup.session_key.clone().unwrap_or_else(session_key)),
                (SIGNING_KEY.to_owned(), session_key()),
                (CLIENT_SECRET.to_owned(), client_secret),
            ],
            log_level: setup.log_level.clone(),
            ..Options::version(&setup.version)
        };
        let envoy = Envoy::start(&bootstrap, &options).await?;
        let address = envoy.listener("edge").await?;
        let directory = directory.to_owned();
        let world = Self { address, directory, provider, scene, envoy, sidecar, beside, bootstrap, options };
        world.make_tokens().await?;
        Ok(world)
    }

    /// Starts the sidecar of the account pages: an Envoy that lets nothing through but what the gateway signed.
    async fn beside(port: u16, directory: &Path, module: &Path, setup: &Setup, scene: &Scene) -> Result<Envoy> {
        let directory = directory.join("sidecar");
        fs::create_dir_all(&directory)?;
        let rules = configuration("sidecar.yaml", port, &directory)?;
        let mut bootstrap = Bootstrap::ready("sidecar-behind-gateway.yaml")?
            .module(module)
            .carded(&document(&rules)?)
            .cluster_at("service", scene.shop())
            .cluster_at("gateway", SocketAddr::from(([127, 0, 0, 1], port)))
            .access_log(&directory.join("access.log"));
        if let Some(gateway) = bootstrap.cluster("gateway").as_object_mut() {
            gateway.remove("transport_socket"); // http, as .localhost names may
        }
        let options = Options {
            directory: Some(directory),
            concurrency: 1,
            log_level: setup.log_level.clone(),
            ..Options::version(&setup.version)
        };
        Envoy::start(&bootstrap, &options).await
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
        let envoys = [(self.envoy.pid(), "envoy"), (self.beside.pid(), "sidecar"), (self.provider.pid(), "provider")];
        envoys.into_iter().filter_map(|(pid, name)| Some((pid?, name)))
    }

    /// Waits until Envoy or the provider has ended, and says which.
    pub async fn ended(&mut self) -> String {
        tokio::select! {
            _ = self.envoy.wait() => format!("Envoy has ended; its log is {}", self.directory.join("envoy.log").display()),
            _ = self.beside.wait() => format!("the sidecar has ended; its log is {}", self.directory.join("sidecar/envoy.log").display()),
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
        // what the gateway signs for alice, as the shop got it; and the same by somebody else
        let good = fs::read_to_string(directory.join("good"))?;
        let reply =
            Request::get("/whoami").header("host", self.address.to_string()).bearer(&good).send(self.address).await?;
        let minted = reply.json()["carded_told_me"]["x-carded-token"].as_str().map(str::to_owned);
        fs::write(
            directory.join("gateway"),
            minted.with_context(|| format!("no token was minted: {}", reply.text()))?,
        )?;
        let issuer = format!("http://shop.localhost:{}", self.address.port());
        let forged = keys::Key::ed25519("forged")?.token(&keys::claims(&issuer, "account", "corp:ada"));
        fs::write(directory.join("made-up"), forged)?;
        Ok(())
    }

    /// Sends a line's request.
    ///
    /// # Errors
    /// When nothing answers.
    pub(super) async fn send(&self, line: &Line) -> Result<Reply> {
        let (to, host) = match line.to {
            To::Gateway => (self.address, self.address.to_string()),
            To::Shop => (self.address, format!("shop.localhost:{}", self.address.port())),
            To::Sidecar => (self.sidecar, self.sidecar.to_string()),
        };
        let token = |name: &str| fs::read_to_string(self.directory.join("tokens").join(name));
        let request = Request::get(line.path).header("host", host).header("accept", "*/*");
        let request = match line.carries {
            Carries::Nothing => request,
            Carries::Bearer(name) => request.bearer(&token(name)?),
            Carries::Minted(name) => request.header("x-carded-token", token(name)?),
            Carries::Header(name, value) => request.header(name, value),
        };
        request.send(to).await
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
const HOUSES: [(&str, &str, u16); 12] = [
    ("dmv", "/", 200),
    ("dmv", "/.well-known/openid-credential-issuer", 200),
    ("dmv", "/.well-known/jwt-vc-issuer", 200),
    ("dmv", "/status/1", 200),
    ("clerk", "/.well-known/did.json", 200),
    ("wallet", "/", 200),
    ("shop", "/", 200),
    ("shop", "/wine/", 303),
    ("shop", "/operator", 200),
    ("shop", REVOKED, 200),
    ("shop", "/bye", 200),
    ("idp", "/.well-known/openid-configuration", 200),
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

/// A configuration of `envoy/demo/`, with the port in use; a copy of it is left in `directory`.
fn configuration(name: &str, port: u16, directory: &Path) -> Result<String> {
    let text = fs::read_to_string(workspace().join("envoy/demo").join(name))?
        .replace(":8080", &format!(":{port}"))
        .replace("%3A8080", &format!("%3A{port}"));
    fs::write(directory.join("carded.yaml"), &text)?;
    Ok(text)
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
