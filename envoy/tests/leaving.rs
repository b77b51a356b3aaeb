//! Leaving, at npm `oidc-provider` behind the real Envoy: one logout ends the sessions of two hosts, and what the provider ends
//! by back-channel logout has ended in every worker at once. And entering the second host without a question.

use anyhow::{Context, Result, ensure};
use carded_envoy::run::{Envoy, free_port};
use carded_envoy::upstream::Upstream;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

use crate::common::{Setup, in_each_envoy, packages};
use crate::login::{ACCOUNT, Browser, ISSUER, SECRET, SHOP, between, config, environment, fit, provider};

in_each_envoy!(both_hosts_are_entered_without_a_second_question_and_left_at_once_here_and_at_the_provider);

async fn both_hosts_are_entered_without_a_second_question_and_left_at_once_here_and_at_the_provider(
    version: &'static str,
) -> Result<()> {
    let Some(packages) = packages() else { return Ok(()) };
    let environment = environment(SECRET);
    let mut config = config();
    config["origins"] = json!([SHOP, ACCOUNT]);
    config["forward"]["headers"]["x-session"] = json!("session.id");
    config["login"]["corp"]["silent"] = json!(true);
    let rules = config["rules"].as_array_mut().context("rules")?;
    rules.push(json!({ "match": { "path": "/front" }, "optional": { "login": "corp" } }));
    let setup = Setup { config, environment, silent_provider: true, concurrency: 3, ..Default::default() };
    let (bootstrap, upstream, _, options) = setup.prepare(version).await?;
    let idp = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let directory = options.directory.clone().context("a directory")?;
    // the provider knows the gateway by an inner address, which is there before the gateway is
    let inner = TcpListener::bind("127.0.0.1:0").await?;
    let client = json!({
        "backchannel_logout_uri": format!("http://{}/.carded/backchannel-logout/corp", inner.local_addr()?),
        "backchannel_logout_session_required": true,
    });
    let _provider = provider(&packages, &directory, idp.port(), client).await?;
    let mut bootstrap = fit(bootstrap, idp);
    // a logout token comes in a body
    bootstrap.plugin()["allow_on_headers_stop_iteration"] = json!(true);
    let envoy = Envoy::start(&bootstrap, &options).await?;
    let edge = envoy.listener("edge").await?;
    let forwarding = tokio::spawn(async move {
        while let Ok((mut from, _)) = inner.accept().await {
            tokio::spawn(async move {
                let mut to = TcpStream::connect(edge).await?;
                tokio::io::copy_bidirectional(&mut from, &mut to).await
            });
        }
    });
    let mut browser = Browser { shop: edge, idp, cookies: BTreeMap::new(), forms: 0 };
    here(&mut browser).await?;
    let seen = upstream.last().context("something was passed on")?;
    let session = seen.all("x-session");
    ensure!(session.len() == 1 && session[0].len() == 22, "{session:?}");
    at_the_provider(&mut browser).await?;
    quietly(&mut Browser { cookies: BTreeMap::new(), ..browser }, &upstream).await?;
    forwarding.abort();
    let log = envoy.log();
    ensure!(!log.contains("Wasm VM failed") && !log.contains("logout_token"), "{log}");
    Ok(())
}

/// Whether its cookies open both hosts (true) or neither (false), whichever worker answers.
async fn is_in(browser: &Browser, expected: bool) -> Result<()> {
    for _ in 0..6 {
        for origin in [SHOP, ACCOUNT] {
            let reply = browser.clone().ask("GET", &format!("{origin}/account"), None).await?;
            let status = if expected { 200 } else { 303 };
            ensure!(reply.status == status, "{origin}: {} instead of {status}: {}", reply.status, reply.text());
        }
    }
    Ok(())
}

async fn enter(browser: &mut Browser) -> Result<()> {
    for origin in [SHOP, ACCOUNT] {
        let (url, reply) = browser.go(&format!("{origin}/account")).await?;
        ensure!(url == format!("{origin}/account") && reply.status == 200, "{url}: {}", reply.text());
    }
    is_in(browser, true).await
}

async fn here(browser: &mut Browser) -> Result<()> {
    enter(browser).await?;
    let forms = browser.forms;
    ensure!(forms > 0, "she was asked who she is");
    // a session of one host is none at the other (threat 100)
    let mut swapped = browser.clone();
    let session = |origin: &str| (origin.to_owned(), "__Host-carded".to_owned());
    swapped.cookies = [(SHOP, ACCOUNT), (ACCOUNT, SHOP)]
        .into_iter()
        .filter_map(|(of, at)| Some((session(at), browser.cookies.get(&session(of))?.clone())))
        .collect();
    ensure!(swapped.cookies.len() == 2);
    is_in(&swapped, false).await.context("with the session of the other host")?;
    let copy = browser.clone();
    let left = browser.ask("POST", &format!("{ACCOUNT}/.carded/logout"), Some("")).await?;
    ensure!(left.status == 303, "{}", left.text());
    is_in(&copy, false).await.context("after a logout here")?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // she did not go on to the provider, which still knows her: she is let in without a question, by the same session there
    enter(browser).await?;
    ensure!(browser.forms == forms, "nobody asked her again, at neither host");
    Ok(())
}

async fn at_the_provider(browser: &mut Browser) -> Result<()> {
    let mut other = Browser { cookies: BTreeMap::new(), ..browser.clone() };
    enter(&mut other).await?;
    is_in(browser, true).await?;
    let confirm = browser.ask("GET", &format!("{ISSUER}/session/end"), None).await?;
    let xsrf = between(&confirm.text(), "name=\"xsrf\" value=\"", "\"").with_context(|| confirm.text())?;
    let form = format!("xsrf={xsrf}&logout=yes");
    let done = browser.ask("POST", &format!("{ISSUER}/session/end/confirm"), Some(&form)).await?;
    ensure!(done.status < 400, "{}", done.text());
    is_in(browser, false).await.context("after a logout at the provider")?;
    is_in(&other, true).await.context("another browser of hers")?;
    // who signs in again is in
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let forms = browser.forms;
    enter(browser).await?;
    ensure!(browser.forms > forms, "the provider asked her who she is");
    Ok(())
}

/// Where a login is optional, at the second host: who is known to the provider is known there, and nobody is asked.
async fn quietly(browser: &mut Browser, upstream: &Upstream) -> Result<()> {
    let front = format!("{ACCOUNT}/front?x=1");
    let who = || upstream.last().map(|seen| seen.all("x-carded-subject").join(" ")).context("nothing was passed on");
    let theme =
        |browser: &mut Browser| browser.cookies.insert((ACCOUNT.to_owned(), "theme".to_owned()), "dark".to_owned());
    let forms = browser.forms;
    // the provider knows nobody: tried once, and the page is as it was
    theme(browser);
    let sent = browser.ask("GET", &front, None).await?;
    ensure!(sent.status == 303 && sent.header("location").is_some_and(|to| to.starts_with(ISSUER)), "{}", sent.status);
    let (url, reply) = browser.go(&sent.header("location").context("a location")?).await?;
    ensure!(url == front && reply.status == 200 && who()?.is_empty(), "{url} {}: {}", reply.status, who()?);
    ensure!(browser.ask("GET", &front, None).await?.status == 200, "once");
    // she signs in at the first host
    browser.cookies.clear();
    let (_, reply) = browser.go(&format!("{SHOP}/account")).await?;
    ensure!(reply.status == 200 && browser.forms > forms, "{}", reply.text());
    let forms = browser.forms;
    ensure!(browser.ask("GET", &front, None).await?.status == 200 && who()?.is_empty(), "not shown to keep cookies");
    theme(browser);
    let (url, reply) = browser.go(&front).await?;
    ensure!(url == front && reply.status == 200 && who()? == "alice", "{url} {}: {}", reply.status, who()?);
    ensure!(browser.forms == forms, "nobody asked her");
    is_in(browser, true).await?;
    // one logout, at the first host, and the second knows her no more, and asks nobody
    let left = browser.ask("POST", &format!("{SHOP}/.carded/logout"), Some("")).await?;
    ensure!(left.status == 303, "{}", left.text());
    for _ in 0..6 {
        let reply = browser.ask("GET", &front, None).await?;
        ensure!(reply.status == 200 && who()?.is_empty(), "{}: {}", reply.status, who()?);
    }
    is_in(browser, false).await
}
