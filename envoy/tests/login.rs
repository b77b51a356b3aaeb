//! Signing in at npm `oidc-provider`, a certified OpenID provider, through the real Envoy; the browser is a script that follows
//! redirects, keeps cookies and fills in the provider's own forms.

use anyhow::{Context, Result, bail, ensure};
use carded_envoy::client::{Reply, Request};
use carded_envoy::config::Bootstrap;
use carded_envoy::run::{Envoy, free_port};
use carded_envoy::upstream::Upstream;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

use crate::common::{Setup, eventually, in_each_envoy, packages};

in_each_envoy!(a_person_signs_in_and_out_at_a_certified_provider);

pub(crate) const SHOP: &str = "http://shop.localhost";
/// The same shop by its other name.
pub(crate) const ACCOUNT: &str = "http://account.localhost";
pub(crate) const ISSUER: &str = "http://idp.localhost";
pub(crate) const SECRET: &str = "a secret: of+the client";

/// The environment of the filter: the key of its sessions, and who it is at the provider.
pub(crate) fn environment(client: &str) -> Vec<(String, String)> {
    let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    [("CARDED_SESSION_KEY", key), ("OIDC_SECRET", client)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

pub(crate) fn config() -> Value {
    json!({
        "origins": [SHOP],
        "danger_allow_http_localhost": true,
        "issuers": { "corp": { "issuer": ISSUER, "audiences": ["api"], "keys": { "discovery": true } } },
        "login": { "corp": {
            "client_id": "shop", "client_secret": { "env": "OIDC_SECRET" }, "scopes": ["openid", "email"],
            "post_logout_path": "/open",
        } },
        "sessions": { "keys": [{ "env": "CARDED_SESSION_KEY" }] },
        "rules": [
            { "match": { "path": "/open" }, "allow": "anyone" },
            { "match": { "path": "/account/**" }, "require": { "login": "corp" }, "otherwise": "login" },
        ],
        "forward": { "headers": { "x-carded-subject": "corp.sub", "x-carded-email": "corp.email" } },
        "fetch": { "clusters": { "idp.localhost": "idp" }, "timeout": "5s" },
    })
}

/// Starts the provider; it ends when the child is dropped.
pub(crate) async fn provider(packages: &Path, directory: &Path, port: u16, more: Value) -> Result<Child> {
    provider_with(packages, directory, port, more, &[]).await
}

/// The same with more in its environment. It writes to `people.log`.
pub(crate) async fn provider_with(
    packages: &Path,
    directory: &Path,
    port: u16,
    more: Value,
    environment: &[(&str, &str)],
) -> Result<Child> {
    let redirect_uris = [SHOP, ACCOUNT].map(|origin| format!("{origin}/.carded/callback/corp"));
    let mut client = json!({
        "client_id": "shop", "client_secret": SECRET, "redirect_uris": redirect_uris,
        "post_logout_redirect_uris": [format!("{SHOP}/open")],
    });
    for (name, value) in more.as_object().context("more of the client")? {
        client[name] = value.clone();
    }
    let path = directory.join("people.log");
    let mut node = Command::new("node");
    node.arg(packages.join("people.mjs"))
        .envs([("ISSUER", ISSUER), ("PORT", &port.to_string()), ("CLIENT", &client.to_string())])
        .envs(environment.iter().copied());
    started(node, &path).await
}

/// Starts a program that writes "ready" when it answers, and whatever it writes into a file; it ends when the child is dropped.
pub(crate) async fn started(mut program: Command, log: &Path) -> Result<Child> {
    let file = File::create(log)?;
    let said = file.try_clone()?;
    let child = program.stdin(Stdio::null()).stdout(said).stderr(file).kill_on_drop(true).spawn()?;
    eventually("the provider is ready", || async { Ok(std::fs::read_to_string(log)?.contains("ready")) }).await?;
    Ok(child)
}

/// A browser: where its two hosts are, and their cookies.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) shop: SocketAddr,
    pub(crate) idp: SocketAddr,
    pub(crate) cookies: BTreeMap<(String, String), String>,
    /// How many forms of the provider it filled in.
    pub(crate) forms: usize,
}

impl Browser {
    pub(crate) async fn ask(&mut self, method: &str, url: &str, form: Option<&str>) -> Result<Reply> {
        let (origin, path) = url.match_indices('/').nth(2).map_or((url, "/"), |(at, _)| url.split_at(at));
        let to = match origin {
            // with whatever port
            of if [SHOP, ACCOUNT].iter().any(|ours| of.starts_with(ours)) => self.shop,
            of if of.starts_with(ISSUER) => self.idp,
            other => bail!("nobody goes to {other}"),
        };
        let own = self.cookies.iter().filter(|((host, _), _)| host == origin);
        let cookies: Vec<_> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        let host = origin.trim_start_matches("http://");
        let mut request = Request::new(method, path).header("host", host).header("accept", "text/html");
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        if let Some(form) = form {
            let from = request.header("origin", origin).header("content-type", "application/x-www-form-urlencoded");
            request = from.body(form);
        }
        let reply = request.header("connection", "close").send(to).await.with_context(|| url.to_owned())?;
        for set in reply.headers("set-cookie") {
            let (pair, attributes) = set.split_once(';').unwrap_or((&set, ""));
            let (name, value) = pair.split_once('=').context("a cookie")?;
            if !origin.starts_with(ISSUER) {
                // threat 66
                let is_ours = name.starts_with("__Host-carded")
                    && attributes.starts_with(" Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=");
                ensure!(is_ours && pair.len() + attributes.len() < 4096, "{set}");
            }
            let key = (origin.to_owned(), name.to_owned());
            if value.is_empty() || attributes.contains("Max-Age=0") || attributes.contains("01 Jan 1970") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        Ok(reply)
    }

    /// Goes somewhere as far as redirects and the provider's forms lead; where it ends, and what is there.
    pub(crate) async fn go(&mut self, url: &str) -> Result<(String, Reply)> {
        let (mut url, mut reply) = (url.to_owned(), self.ask("GET", url, None).await?);
        for _ in 0..20 {
            let form = between(&reply.text(), "action=\"", "\"").filter(|_| url.starts_with(ISSUER));
            let prompt = between(&reply.text(), "name=\"prompt\" value=\"", "\"");
            (url, reply) = match (reply.header("location"), form, prompt.as_deref()) {
                (Some(to), ..) => {
                    let to = absolute(&url, &to);
                    let reply = self.ask("GET", &to, None).await?;
                    (to, reply)
                }
                (None, Some(action), Some(prompt)) => {
                    let to = absolute(&url, &action);
                    self.forms += 1;
                    let form = format!("prompt={prompt}&login=alice&password=x");
                    let reply = self.ask("POST", &to, Some(&form)).await?;
                    (to, reply)
                }
                _ => return Ok((url, reply)),
            };
        }
        bail!("in a circle at {url}")
    }
}

pub(crate) fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found.to_owned())
}

pub(crate) fn absolute(base: &str, to: &str) -> String {
    let origin = base.match_indices('/').nth(2).map_or(base, |(at, _)| base.split_at(at).0);
    if to.starts_with('/') { format!("{origin}{to}") } else { to.to_owned() }
}

async fn a_person_signs_in_and_out_at_a_certified_provider(version: &'static str) -> Result<()> {
    let Some(packages) = packages() else { return Ok(()) };
    let environment = environment(SECRET);
    let setup = Setup { config: config(), environment, silent_provider: true, ..Default::default() };
    let (bootstrap, upstream, _, options) = setup.prepare(version).await?;
    let idp = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let directory = options.directory.clone().context("a directory")?;
    let _provider = provider(&packages, &directory, idp.port(), json!({})).await?;
    let envoy = Envoy::start(&fit(bootstrap, idp), &options).await?;
    let mut browser = Browser { shop: envoy.listener("edge").await?, idp, cookies: BTreeMap::new(), forms: 0 };
    let session = story(&mut browser, &upstream).await?;
    let log = envoy.log();
    ensure!(!log.contains("Wasm VM failed"), "{log}");
    // threat 80: who she is, what lets her in, and what the provider sent are in no log
    let access = std::fs::read_to_string(directory.join("access.log"))?;
    ensure!(access.contains("/.carded/callback/corp"), "{access}");
    for text in [SECRET, "alice", "code=", "state=", &session] {
        ensure!(!log.contains(text) && !access.contains(text), "{text} in a log: {log}\n{access}");
    }
    Ok(())
}

/// The provider speaks http here, as names that end in `.localhost` may.
pub(crate) fn fit(bootstrap: Bootstrap, idp: SocketAddr) -> Bootstrap {
    let mut bootstrap = bootstrap.cluster_at("idp", idp);
    if let Some(cluster) = bootstrap.cluster("idp").as_object_mut() {
        cluster.remove("transport_socket");
    }
    let names = json!({ "host_env_keys": ["CARDED_SESSION_KEY", "OIDC_SECRET"] });
    bootstrap.plugin()["vm_config"]["environment_variables"] = names;
    bootstrap
}

/// Goes in, and out on both sides; the session that it had.
async fn story(browser: &mut Browser, upstream: &Upstream) -> Result<String> {
    // a deep link survives the login
    let (url, reply) = browser.go(&format!("{SHOP}/account/orders?x=1&y=%20")).await?;
    ensure!(url == format!("{SHOP}/account/orders?x=1&y=%20") && reply.status == 200, "{url}: {}", reply.text());
    let seen = upstream.last().context("nothing was passed on")?;
    ensure!(seen.all("x-carded-subject") == ["alice"] && seen.all("x-carded-email") == ["alice@example.com"]);
    ensure!(seen.all("cookie").is_empty(), "no service sees a cookie of ours: {:?}", seen.all("cookie"));
    // the provider knows her now: another browser cookie jar of the shop, no form
    browser.cookies.retain(|(host, _), _| host == ISSUER);
    let (url, reply) = browser.go(&format!("{SHOP}/account/again")).await?;
    ensure!(url == format!("{SHOP}/account/again") && reply.status == 200, "{url}: {}", reply.text());
    // what other sites send with her session reaches nobody (threat 86)
    let session = browser.cookies.get(&(SHOP.to_owned(), "__Host-carded".to_owned())).context("a session")?.clone();
    let hits = upstream.hits();
    for (method, name, value, passes) in [
        ("POST", "origin", "https://evil.example", false),
        ("POST", "sec-fetch-site", "cross-site", false),
        ("DELETE", "x-nothing", "x", false),
        ("POST", "origin", SHOP, true),
    ] {
        let request = Request::new(method, "/account").header("host", "shop.localhost").header(name, value);
        let reply = request.header("cookie", format!("__Host-carded={session}")).send(browser.shop).await?;
        let code = reply.code();
        ensure!((reply.status == 200) == passes && (passes || code == "cross_site"), "{name}: {}", reply.text());
    }
    let socket = Request::get("/account").header("host", "shop.localhost").header("origin", "https://evil.example");
    let socket = socket.header("connection", "upgrade").header("upgrade", "websocket");
    let reply = socket.header("cookie", format!("__Host-carded={session}")).send(browser.shop).await?;
    ensure!(reply.status == 403 && reply.code() == "cross_site", "{} {}", reply.status, reply.text());
    ensure!(upstream.hits() == hits + 1, "{}", upstream.hits());
    // and out again, on both sides
    let asks = browser.ask("GET", &format!("{SHOP}/.carded/logout"), None).await?;
    ensure!(asks.status == 200 && asks.text().contains("<form method=\"post\""), "{}", asks.text());
    let left = browser.ask("POST", &format!("{SHOP}/.carded/logout"), Some("")).await?;
    let to = left.header("location").with_context(|| left.text())?;
    ensure!(to.starts_with(&format!("{ISSUER}/session/end?client_id=shop")), "{to}");
    let confirm = browser.ask("GET", &to, None).await?;
    let xsrf = between(&confirm.text(), "name=\"xsrf\" value=\"", "\"").with_context(|| confirm.text())?;
    let form = format!("xsrf={xsrf}&logout=yes");
    let done = browser.ask("POST", &format!("{ISSUER}/session/end/confirm"), Some(&form)).await?;
    ensure!(done.header("location").as_deref() == Some(&format!("{SHOP}/open")), "{}", done.text());
    let sent = browser.ask("GET", &format!("{SHOP}/account"), None).await?;
    ensure!(sent.status == 303, "{}", sent.status);
    let to_provider = sent.header("location").context("a location")?;
    // what is asked of this provider was left there (RFC 9126): the browser carries a reference
    ensure!(to_provider.contains("request_uri=urn") && !to_provider.contains("scope="), "{to_provider}");
    let form = browser.ask("GET", &to_provider, None).await?;
    ensure!(
        form.header("location").is_some_and(|to| to.contains("/interaction/")),
        "the provider asks again who she is"
    );
    Ok(session)
}
