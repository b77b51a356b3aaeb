//! Two Envoys that share nothing but the keys and the list of what is revoked: a session from one works on the other, and a
//! revocation reaches both within the refresh time. The scene is the demo's, with npm `oidc-provider` as the provider.

use anyhow::{Context, Result, bail, ensure};
use carded_envoy::client::{Reply, Request};
use carded_envoy::demo::{Setup, World};
use carded_envoy::fetch;
use carded_envoy::run::{free_port, scratch};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::common::{eventually, in_each_envoy, missing};

in_each_envoy!(a_session_works_at_every_gateway_and_ends_at_every_gateway);

/// A browser whose hosts are all behind one Envoy.
struct Browser {
    edge: SocketAddr,
    /// Cookies by host and name.
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    /// One request, as a navigation or a form of the page's own origin.
    async fn ask(&mut self, url: &str, form: Option<&str>) -> Result<Reply> {
        let rest = url.strip_prefix("http://").context("http")?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let own = self.cookies.iter().filter(|((of, _), _)| of == host);
        let cookies: Vec<String> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        let method = if form.is_some() { "POST" } else { "GET" };
        let mut request = Request::new(method, path).header("host", host).header("accept", "text/html");
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        if let Some(form) = form {
            let kind = "application/x-www-form-urlencoded";
            request = request.header("origin", format!("http://{host}")).header("content-type", kind).body(form);
        }
        let reply = request.send(self.edge).await.with_context(|| url.to_owned())?;
        for set in reply.headers("set-cookie") {
            let (pair, attributes) = set.split_once(';').unwrap_or((&set, ""));
            let (name, value) = pair.split_once('=').context("a cookie")?;
            let key = (host.to_owned(), name.to_owned());
            let ended = value.is_empty() || attributes.contains("Max-Age=0") || attributes.contains("01 Jan 1970");
            if ended {
                self.cookies.remove(&key)
            } else {
                self.cookies.insert(key, value.to_owned())
            };
        }
        Ok(reply)
    }

    /// As far as redirects lead.
    async fn go(&mut self, url: &str, form: Option<&str>) -> Result<(String, Reply)> {
        let (mut url, mut reply) = (url.to_owned(), self.ask(url, form).await?);
        for _ in 0..12 {
            let Some(to) = reply.header("location") else { return Ok((url, reply)) };
            if to.starts_with('/') {
                let origin: Vec<&str> = url.splitn(4, '/').take(3).collect();
                url = format!("{}{to}", origin.join("/"));
            } else {
                url = to;
            }
            reply = self.ask(&url, None).await?;
        }
        bail!("in a circle at {url}")
    }
}

/// Whether every worker turns away who brings these cookies: a copy each time, since who stole one keeps it.
async fn nobody_gets_in(edge: SocketAddr, cookies: &BTreeMap<(String, String), String>, url: &str) -> Result<bool> {
    for _ in 0..12 {
        let mut thief = Browser { edge, cookies: cookies.clone() };
        if thief.ask(url, None).await?.status != 303 {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn a_session_works_at_every_gateway_and_ends_at_every_gateway(version: &'static str) -> Result<()> {
    if missing(fetch::npm().map(drop)) {
        return Ok(());
    }
    let directory = scratch()?;
    let setup = Setup { version: version.to_owned(), ..Setup::default() };
    let world = World::start(&directory, free_port()?, &setup).await?;
    let (twin, second) = world.twin(&directory.join("twin")).await?;
    let port = world.address.port();
    let account = format!("http://shop.localhost:{port}/account");
    let mut browser = Browser { edge: world.address, cookies: BTreeMap::new() };
    let (asked, _) = browser.go(&account, None).await?;
    ensure!(asked.contains("/interaction/"), "not sent to sign in: {asked}");

    // what one gateway began, the other finishes
    browser.edge = second;
    let (at, reply) = browser.go(&format!("{asked}/login"), Some("person=ada")).await?;
    ensure!(at == account && reply.status == 200, "{at}: {}", reply.text());
    ensure!(reply.text().contains("Hello, Ada"), "{}", reply.text());
    for edge in [world.address, second] {
        browser.edge = edge;
        let reply = browser.ask(&account, None).await?;
        ensure!(reply.status == 200, "{edge}: {} {}", reply.status, reply.text());
    }

    // an operator throws the session out
    let page = reply.text();
    let sid = page.split_once("name=\"sid\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
    let (sid, _) = sid.context("no button for the session")?;
    let done = browser.ask(&format!("http://shop.localhost:{port}/operator"), Some(&format!("sid={sid}"))).await?;
    ensure!(done.text().contains("Thrown out: a session of Ada Marlowe"), "{}", done.text());
    let (start, kept) = (Instant::now(), browser.cookies.clone());
    for edge in [world.address, second] {
        eventually("thrown out", || nobody_gets_in(edge, &kept, &account)).await?;
    }
    let took = start.elapsed();
    ensure!(took < Duration::from_millis(5500), "it took {took:?}");
    // the provider knows of it too: the next sign-in is a new one, and counts
    let (asked, _) = browser.go(&account, None).await?;
    ensure!(asked.contains("/interaction/"), "signed in without being asked: {asked}");
    let (at, _) = browser.go(&format!("{asked}/login"), Some("person=ada")).await?;
    ensure!(at == account, "{at}");
    for log in [world.envoy.log(), twin.log()] {
        ensure!(!log.contains("Wasm VM failed"), "{log}");
    }
    Ok(())
}
