//! Two Envoys that share nothing but the keys and the list of what is revoked: a session from one works on the other, and a
//! revocation reaches both within the refresh time. The scene is the demo's, with npm `oidc-provider` as the provider.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::Reply;
use carded_envoy::demo::{Setup, World};
use carded_envoy::fetch;
use carded_envoy::run::{free_port, scratch};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::common::{eventually, in_each_envoy, missing};
use crate::login::{Browser, absolute, between};

/// By origin and name.
type Cookies = BTreeMap<(String, String), String>;

in_each_envoy!(a_session_works_at_every_gateway_and_ends_at_every_gateway);

/// A browser at one Envoy, behind which both the shop and the provider are.
fn browser(edge: SocketAddr, cookies: Cookies) -> Browser {
    Browser { shop: edge, idp: edge, cookies, forms: 0 }
}

/// Sends a form and goes as far as redirects lead.
async fn submit(browser: &mut Browser, url: &str, form: &str) -> Result<(String, Reply)> {
    let reply = browser.ask("POST", url, Some(form)).await?;
    let to = reply.header("location").with_context(|| reply.text())?;
    browser.go(&absolute(url, &to)).await
}

/// Whether every worker turns away who brings these cookies: a copy each time, since who stole one keeps it.
async fn nobody_gets_in(edge: SocketAddr, cookies: &Cookies, url: &str) -> Result<bool> {
    for _ in 0..12 {
        let mut thief = browser(edge, cookies.clone());
        if thief.ask("GET", url, None).await?.status != 303 {
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
    let mut person = browser(world.address, Cookies::new());
    let (asked, _) = person.go(&account).await?;
    ensure!(asked.contains("/interaction/"), "not sent to sign in: {asked}");

    // what one gateway began, the other finishes
    (person.shop, person.idp) = (second, second);
    let (at, reply) = submit(&mut person, &format!("{asked}/login"), "person=ada").await?;
    ensure!(at == account && reply.status == 200, "{at}: {}", reply.text());
    ensure!(reply.text().contains("Hello, Ada"), "{}", reply.text());
    for edge in [world.address, second] {
        let reply = browser(edge, person.cookies.clone()).ask("GET", &account, None).await?;
        ensure!(reply.status == 200, "{edge}: {} {}", reply.status, reply.text());
    }

    // an operator throws the session out
    let sid = between(&reply.text(), "name=\"sid\" value=\"", "\"").context("no button for the session")?;
    let done =
        person.ask("POST", &format!("http://shop.localhost:{port}/operator"), Some(&format!("sid={sid}"))).await?;
    ensure!(done.text().contains("Thrown out: a session of Ada Marlowe"), "{}", done.text());
    let (start, kept) = (Instant::now(), person.cookies.clone());
    for edge in [world.address, second] {
        eventually("thrown out", || nobody_gets_in(edge, &kept, &account)).await?;
    }
    let took = start.elapsed();
    // two refreshes, and what a busy machine needs
    ensure!(took < Duration::from_secs(10), "it took {took:?}");
    // the provider knows of it too: the next sign-in is a new one, and counts
    let (asked, _) = person.go(&account).await?;
    ensure!(asked.contains("/interaction/"), "signed in without being asked: {asked}");
    let (at, _) = submit(&mut person, &format!("{asked}/login"), "person=ada").await?;
    ensure!(at == account, "{at}");
    for log in [world.envoy.log(), twin.log()] {
        ensure!(!log.contains("Wasm VM failed"), "{log}");
    }
    Ok(())
}
