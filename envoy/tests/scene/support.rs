//! A started scene, and what a person does at the agency's desk.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::{Reply, Request};
use carded_envoy::demo::scene::{Knobs, Scene};
use carded_envoy::fetch;
use carded_envoy::run::scratch;
use carded_verifier::base64url;
use serde_json::{Value, json};
use std::net::SocketAddr;

use crate::common::{finish, missing};

/// Runs a test of the scene, or skips it where Node is missing (never with `CI=true`).
pub(crate) fn run(test: impl Future<Output = Result<()>>) {
    if !missing(fetch::npm().map(drop)) {
        finish(test);
    }
}

/// The houses alone, without Envoy: enough for issuance.
pub(crate) struct Houses {
    _scene: Scene,
    pub(crate) port: u16,
}

impl Houses {
    /// Starts them. Their public port is a front of our own, because a server knows its port only when it listens.
    pub(crate) async fn start() -> Result<Self> {
        let port = carded_envoy::run::free_port()?;
        let scene =
            Scene::start(port, &scratch()?, &scratch()?, Knobs { short_lifetimes: true, novelty: true }).await?;
        let (front, houses) = (tokio::net::TcpListener::bind(("127.0.0.1", port)).await?, scene.houses());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = front.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut server) = tokio::net::TcpStream::connect(houses).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Ok(Self { _scene: scene, port })
    }

    /// Where everything is.
    pub(crate) fn edge(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

/// An offer as the agency's page shows it.
pub(crate) struct Offer {
    /// The link for a wallet.
    pub(crate) link: String,
    /// The transaction code.
    pub(crate) tx_code: String,
}

/// A request to one house.
pub(crate) fn to(edge: SocketAddr, house: &str, method: &str, path: &str) -> Request {
    Request::new(method, path)
        .header("host", format!("{house}.localhost:{}", edge.port()))
        .header("accept", "text/html")
}

/// Passes the pretend check of a house and reads the offer from its page.
pub(crate) async fn apply(edge: SocketAddr, house: &str, form: &str) -> Result<Offer> {
    let reply = to(edge, house, "POST", "/apply")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send(edge)
        .await?;
    ensure!(reply.status == 303, "{} {}", reply.status, reply.text());
    let page = to(edge, house, "GET", &reply.header("location").context("no location")?).send(edge).await?.text();
    let between = |from: &str, to: &str| {
        let rest = page.split_once(from)?.1;
        Some(rest.split_once(to)?.0.to_owned())
    };
    let tx_code = between("id=\"tx-code\">", "<").with_context(|| format!("no transaction code: {page}"))?;
    let encoded = between("/receive?credential_offer=", "\"").context("no offer")?;
    Ok(Offer { link: format!("openid-credential-offer://?credential_offer={encoded}"), tx_code })
}

/// What a wallet by @openid4vc/openid4vci gets for an offer.
pub(crate) async fn receive(offer: &Offer, changes: Value) -> Result<Value> {
    let mut task = json!({ "offer": offer.link, "txCode": offer.tx_code, "copies": 10 });
    if let (Some(all), Value::Object(changes)) = (task.as_object_mut(), changes) {
        all.extend(changes);
    }
    peer("receive.mjs", task).await
}

/// Runs a script of `peers/`.
pub(crate) async fn peer(script: &'static str, task: Value) -> Result<Value> {
    tokio::task::spawn_blocking(move || fetch::peer(script, &task)).await?
}

/// Runs a Python script of `peers/`.
pub(crate) async fn python(script: &'static str, task: Value) -> Result<Value> {
    tokio::task::spawn_blocking(move || fetch::python_peer(script, &task)).await?
}

/// The copies in a wallet's result.
pub(crate) fn copies(received: &Value) -> Result<Vec<String>> {
    let copies = received["credentials"].as_array().with_context(|| format!("nothing received: {received:#}"))?;
    copies.iter().map(|copy| Ok(copy.as_str().context("a copy is no text")?.to_owned())).collect()
}

/// Header and payload of a compact JWS, unverified.
pub(crate) fn parts(jws: &str) -> Result<[Value; 2]> {
    let mut parts = jws.split('.').map(|part| anyhow::Ok(serde_json::from_slice(&base64url::decode(part)?)?));
    Ok([parts.next().context("no header")??, parts.next().context("no payload")??])
}

/// Sends any request to a house.
pub(crate) async fn post(edge: SocketAddr, house: &str, path: &str, kind: &str, body: &str) -> Result<Reply> {
    to(edge, house, "POST", path).header("content-type", kind).body(body).send(edge).await
}
