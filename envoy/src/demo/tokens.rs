//! The demo's tokens: from npm `oidc-provider` by client credentials, or, where Node is missing, made here.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

use super::scene::people::{PEOPLE, Person};
use crate::client::Request;
use crate::idp::Idp;
use crate::keys::{Key, base64url, claims, now, with};
use crate::run::free_port;
use crate::{fetch, workspace};

/// The names of the tokens, in the order that [`Provider::tokens`] gives them.
pub(super) const TOKENS: [&str; 6] = ["good", "wrong-role", "expired", "wrong-audience", "tampered", "alg-none"];

const AUDIENCE: &str = "https://api.shop.localhost";
const OTHER_AUDIENCE: &str = "https://payroll.localhost";

/// The shop as the provider knows it.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its origin.
    pub origin: String,
    /// Its secret.
    pub secret: String,
    /// Where the operator's list is.
    pub revoked: String,
}

/// What gives the tokens, and where people sign in.
#[derive(Debug)]
pub struct Provider {
    issuer: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// npm `oidc-provider` in a Node of its own.
    Node { child: Child, address: SocketAddr },
    /// A stand-in: documents served here, tokens signed here.
    Own { idp: Idp, key: Key },
}

impl Provider {
    /// Starts the provider. Without Node a stand-in is started, except with `CI=true`, where that is an error.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(issuer: &str, directory: &Path, shop: &Client) -> Result<Self> {
        let kind = match fetch::npm() {
            Ok(packages) => Self::node(&packages, issuer, directory, shop).await?,
            Err(error) if std::env::var("CI").is_ok_and(|v| v == "true") => return Err(error),
            Err(error) => {
                eprintln!("{error:#}: the demo issues its tokens itself instead of running a real OpenID provider");
                let (idp, key) = (Idp::start(None).await?, Key::p256("demo-1")?);
                idp.publish(issuer, &[&key]);
                Kind::Own { idp, key }
            }
        };
        Ok(Self { issuer: issuer.to_owned(), kind })
    }

    async fn node(packages: &Path, issuer: &str, directory: &Path, shop: &Client) -> Result<Kind> {
        let port = free_port()?;
        let path = directory.join("provider.log");
        let log = File::create(&path)?;
        let mut child = Command::new("node")
            .arg(packages.join("provider.mjs"))
            .env("ISSUER", issuer)
            .env("PORT", port.to_string())
            .env("SHOP", &shop.origin)
            .env("CLIENT_SECRET", &shop.secret)
            .env("REVOKED", &shop.revoked)
            .env("PEOPLE", people().to_string())
            .env("STYLE", workspace().join("envoy/src/demo/scene/house.css"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("could not start Node")?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while !std::fs::read_to_string(&path)?.contains("ready") {
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("the OpenID provider did not start:\n{}", std::fs::read_to_string(&path)?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Kind::Node { child, address: SocketAddr::from(([127, 0, 0, 1], port)) })
    }

    /// Where it listens, behind Envoy.
    pub fn address(&self) -> SocketAddr {
        match &self.kind {
            Kind::Node { address, .. } => *address,
            Kind::Own { idp, .. } => idp.address,
        }
    }

    /// Whether people can sign in: the stand-in has no pages.
    pub fn has_pages(&self) -> bool {
        matches!(self.kind, Kind::Node { .. })
    }

    /// What it is, for people.
    pub fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Node { .. } => "npm oidc-provider, a certified OpenID provider",
            Kind::Own { .. } => "a stand-in of the demo's own, because Node is missing",
        }
    }

    /// Its process, where it has one.
    pub fn pid(&self) -> Option<u32> {
        match &self.kind {
            Kind::Node { child, .. } => child.id(),
            Kind::Own { .. } => None,
        }
    }

    /// Waits until it has ended; a stand-in never does.
    pub async fn ended(&mut self) {
        match &mut self.kind {
            Kind::Node { child, .. } => drop(child.wait().await),
            Kind::Own { .. } => std::future::pending().await,
        }
    }

    /// The tokens of [`TOKENS`].
    ///
    /// # Errors
    /// When the provider gives none.
    pub async fn tokens(&self) -> Result<[String; 6]> {
        let good = self.token("alice", AUDIENCE, false).await?;
        let wrong_role = self.token("bob", AUDIENCE, false).await?;
        let expired = self.token("alice", AUDIENCE, true).await?;
        let wrong_audience = self.token("alice", OTHER_AUDIENCE, false).await?;
        let tampered = tampered(&wrong_role)?;
        let none = unsigned(&good)?;
        Ok([good, wrong_role, expired, wrong_audience, tampered, none])
    }

    async fn token(&self, client: &str, audience: &str, short: bool) -> Result<String> {
        match &self.kind {
            Kind::Own { key, .. } => {
                let roles = if client == "alice" { "clerk" } else { "visitor" };
                let lifetime = if short { 1 } else { 3600 };
                let changes = json!({ "roles": [roles], "exp": now() + lifetime, "client_id": client });
                Ok(key.token(&with(claims(&self.issuer, audience, client), changes)))
            }
            Kind::Node { address, .. } => {
                let resource = if short { format!("{audience}/short-lived") } else { audience.to_owned() };
                let host = self.issuer.trim_start_matches("http://");
                let basic = STANDARD.encode(format!("{client}:{client}-secret"));
                let form = format!(
                    "grant_type=client_credentials&resource={}",
                    resource.replace(':', "%3A").replace('/', "%2F")
                );
                let reply = Request::new("POST", "/token")
                    .header("host", host)
                    .header("authorization", format!("Basic {basic}"))
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form)
                    .send(*address)
                    .await?;
                let token = reply.json()["access_token"].as_str().map(str::to_owned);
                token.with_context(|| format!("the provider gave no token: {} {}", reply.status, reply.text()))
            }
        }
    }
}

/// Who can sign in, as the provider reads it.
fn people() -> Value {
    let one = |person: &Person| json!({ "id": person.id, "name": person.name(), "email": person.email() });
    PEOPLE.iter().map(one).collect()
}

/// The token with `clerk` written into its roles, and the signature it had.
fn tampered(token: &str) -> Result<String> {
    let [header, payload, signature] = pieces(token)?;
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
    claims["roles"] = json!(["clerk"]);
    Ok(format!("{header}.{}.{signature}", base64url(claims.to_string())))
}

/// The token with `alg: none` in its header. The old signature stays on it, so that it is not refused for its form alone.
fn unsigned(token: &str) -> Result<String> {
    let [header, payload, signature] = pieces(token)?;
    let mut header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    header["alg"] = json!("none");
    Ok(format!("{}.{payload}.{signature}", base64url(header.to_string())))
}

fn pieces(token: &str) -> Result<[&str; 3]> {
    let pieces: Vec<&str> = token.split('.').collect();
    ensure!(pieces.len() == 3, "not a compact JWS");
    Ok([pieces[0], pieces[1], pieces[2]])
}
