//! A browser as far as the shop sees one: cookies, navigation, redirects; and a wallet of other hands that it is sent to.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::{Reply, Request};
use carded_envoy::demo::scene::Knobs;
use carded_envoy::demo::{Setup, World};
use carded_envoy::run::{free_port, scratch};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::support::{apply, copies, peer, receive};

/// The whole scene behind a real Envoy.
pub(crate) async fn world(version: &str) -> Result<World> {
    world_with(Setup { version: version.to_owned(), ..Setup::default() }).await
}

/// The same with another setup.
pub(crate) async fn world_with(setup: Setup) -> Result<World> {
    let knobs = Knobs { short_lifetimes: true, novelty: true };
    World::start(&scratch()?, free_port()?, &Setup { knobs, ..setup }).await
}

/// A browser at the shop.
#[derive(Clone)]
pub(crate) struct Browser {
    /// The Envoy that it talks to.
    pub(crate) edge: SocketAddr,
    /// The shop's authority.
    pub(crate) host: String,
    /// Its cookies for the shop.
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A fresh one.
    pub(crate) fn new(world: &World) -> Self {
        let host = format!("shop.localhost:{}", world.address.port());
        Self { edge: world.address, host, cookies: BTreeMap::new() }
    }

    /// Navigates to a path or address of the shop.
    pub(crate) async fn go(&mut self, to: &str) -> Result<Reply> {
        let origin = format!("http://{}", self.host);
        let path = to.strip_prefix(&origin).unwrap_or(to);
        ensure!(path.starts_with('/'), "not of the shop: {to}");
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::get(path)
            .header("host", self.host.clone())
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-site", "none");
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let reply = request.send(self.edge).await?;
        for set in reply.headers("set-cookie") {
            let (pair, attributes) = set.split_once(';').context("a cookie without attributes")?;
            let (name, value) = pair.split_once('=').context("a cookie without a value")?;
            for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
                ensure!(attributes.contains(attribute), "a cookie without {attribute}: {name}");
            }
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(reply)
    }

    /// Asks for a page that needs proof, and returns the address of the wallet that it is sent to.
    pub(crate) async fn ask(&mut self, path: &str) -> Result<String> {
        let reply = self.go(path).await?;
        ensure!(reply.status == 303, "{path}: {} {}", reply.status, reply.text());
        let location = reply.header("location").context("no location")?;
        ensure!(location.starts_with("http://wallet.localhost:"), "{location}");
        Ok(location)
    }

    /// Comes back from the wallet, and follows the way to the page.
    pub(crate) async fn come_back(&mut self, said: &Value) -> Result<Reply> {
        let back = said["reply"]["redirect_uri"].as_str().with_context(|| format!("no way back: {said:#}"))?;
        let reply = self.go(back).await?;
        match reply.header("location") {
            Some(location) if reply.status == 303 => self.go(&location).await,
            _ => Ok(reply),
        }
    }

    /// Goes the whole way with what a wallet holds.
    pub(crate) async fn show(&mut self, path: &str, held: &[Value]) -> Result<Reply> {
        let url = self.ask(path).await?;
        let said = present(&url, held, json!({})).await?;
        self.come_back(&said).await
    }
}

/// What a wallet of other hands holds after a visit at a house: copies with their keys.
pub(crate) async fn held(world: &World, house: &str, form: &str, count: usize) -> Result<Vec<Value>> {
    let offer = apply(world.address, house, form).await?;
    let received = receive(&offer, json!({ "copies": count })).await?;
    let keys = received["keys"].as_array().context("keys")?;
    Ok(copies(&received)?.iter().zip(keys).map(|(copy, key)| json!({ "credential": copy, "key": key })).collect())
}

/// Answers a request with a wallet by `@openid4vc/openid4vp`.
pub(crate) async fn present(url: &str, held: &[Value], changes: Value) -> Result<Value> {
    let mut task = json!({ "url": url, "copies": held });
    if let (Some(all), Value::Object(changes)) = (task.as_object_mut(), changes) {
        all.extend(changes);
    }
    peer("present.mjs", task).await
}

/// Posts a form to the shop's response endpoint, as anybody can.
pub(crate) async fn respond(edge: SocketAddr, host: &str, form: &Value) -> Result<Reply> {
    let fields = form.as_object().context("a form")?;
    let body: Vec<String> = fields
        .iter()
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
            format!("{}={}", encode(name), encode(&text))
        })
        .collect();
    Request::new("POST", "/.carded/response")
        .header("host", host)
        .header("origin", "http://wallet.localhost")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.join("&"))
        .send(edge)
        .await
}
