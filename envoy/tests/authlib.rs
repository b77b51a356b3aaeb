//! A provider of another make, PyPI `authlib`, through the real Envoy: its access tokens, those that only it can read, and a
//! person who signs in there. What it does otherwise than npm `oidc-provider`: no `kid` in access tokens and no `alg` in keys, `aud`
//! as an array, an `aud` of access tokens that is the client by default, claims of scopes at the UserInfo endpoint alone,
//! percent-decoding instead of form-decoding of a client's secret, and a new `auth_time` with each refresh.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::{Reply, Request};
use carded_envoy::run::{Envoy, free_port};
use carded_envoy::upstream::Upstream;
use carded_envoy::{fetch, workspace};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::common::{Setup, in_each_envoy, missing};
use crate::introspection::post;
use crate::login::{Browser, ISSUER, SECRET, SHOP, config, environment, fit, started};

in_each_envoy!(
    access_tokens_of_authlib_are_verified_or_asked_about,
    a_person_signs_in_at_authlib_and_is_refreshed,
    a_person_signs_in_at_authlib_with_the_secret_in_the_form_or_is_turned_away,
);

const AUDIENCE: &str = "https://api.example.com";
/// How long tokens last that are to be refreshed, in seconds. They are due after three quarters of it.
const LAST: u64 = 10;

/// The client of the login.
fn shop(method: &str) -> Value {
    json!({
        "client_id": "shop", "client_secret": SECRET, "token_endpoint_auth_method": method, "scope": "openid email",
        "redirect_uris": [format!("{SHOP}/.carded/callback/corp")], "response_types": ["code"],
        "grant_types": ["authorization_code", "refresh_token"], "audience": AUDIENCE, "ttl": LAST,
    })
}

/// A client that is a program, by its own name.
fn robot(name: &str, more: &Value) -> Value {
    let mut client = json!({
        "client_id": name, "client_secret": "of the robot", "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["client_credentials"], "scope": "read",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        client[name] = value.clone();
    }
    client
}

async fn robots_token(idp: SocketAddr, name: &str) -> Result<String> {
    let form = format!("grant_type=client_credentials&client_id={name}&client_secret=of+the+robot&scope=read");
    let reply = post(idp, "/token", form).await?;
    Ok(reply.json()["access_token"].as_str().with_context(|| reply.text())?.to_owned())
}

/// Envoy with the provider beside it.
struct World {
    envoy: Envoy,
    edge: SocketAddr,
    upstream: Upstream,
    idp: SocketAddr,
    log: PathBuf,
    _provider: Child,
}

impl World {
    async fn start(python: &Path, version: &str, config: Value, clients: Value) -> Result<Self> {
        let environment = environment(SECRET);
        let setup = Setup { config, environment, silent_provider: true, ..Default::default() };
        let (bootstrap, upstream, _, options) = setup.prepare(version).await?;
        let idp = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = options.directory.clone().context("a directory")?.join("authlib.log");
        let mut program = Command::new(python);
        program.arg(workspace().join("envoy/idp/authlib_provider.py")).envs([
            ("ISSUER", ISSUER),
            ("PORT", &idp.port().to_string()),
            ("CLIENTS", &clients.to_string()),
        ]);
        let provider = started(program, &log).await?;
        let envoy = Envoy::start(&fit(bootstrap, idp), &options).await?;
        let edge = envoy.listener("edge").await?;
        Ok(Self { envoy, edge, upstream, idp, log, _provider: provider })
    }

    fn browser(&self) -> Browser {
        Browser { shop: self.edge, idp: self.idp, cookies: BTreeMap::new(), forms: 0 }
    }

    fn said(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    async fn api(&self, token: &str) -> Result<Reply> {
        Request::get("/api/orders").header("host", "shop.localhost").bearer(token).send(self.edge).await
    }

    /// A token that is refused so by every worker that answers.
    async fn refuses(&self, what: &str, token: &str, code: &str) -> Result<()> {
        let hits = self.upstream.hits();
        for _ in 0..4 {
            let reply = self.api(token).await?;
            ensure!((reply.status, reply.code().as_str()) == (401, code), "{what}: {}", reply.text());
        }
        ensure!(self.upstream.hits() == hits, "{what}: it was passed on");
        Ok(())
    }

    fn ended_well(&self) -> Result<()> {
        let log = self.envoy.log();
        ensure!(!log.contains("Wasm VM failed") && !log.contains(SECRET), "{log}");
        Ok(())
    }
}

/// A login with refresh and UserInfo, and an API whose tokens may be opaque.
fn both() -> Value {
    let mut config = config();
    config["issuers"]["corp"]["audiences"] = json!([AUDIENCE]);
    config["issuers"]["corp"]["introspection"] =
        json!({ "client_id": "gateway", "client_secret": { "env": "OIDC_SECRET" }, "cache": "1s" });
    config["login"]["corp"]["refresh"] = json!(true);
    config["login"]["corp"]["userinfo"] = json!(true);
    let rules = config["rules"].as_array_mut().expect("rules");
    rules.push(json!({ "match": { "path": "/api/**" }, "require": { "token": "corp" } }));
    config["forward"]["headers"]["x-carded-scope"] = json!("corp.scope");
    config
}

/// The Python with authlib, where it can be had.
fn python() -> Option<PathBuf> {
    let mut python = None;
    missing(fetch::python_with_authlib().map(|found| python = Some(found)));
    python
}

async fn access_tokens_of_authlib_are_verified_or_asked_about(version: &'static str) -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let gateway = json!({ "client_secret": SECRET, "token_endpoint_auth_method": "client_secret_basic" });
    let clients = json!([
        shop("client_secret_basic"),
        robot("gateway", &gateway),
        robot("jwt", &json!({ "audience": [AUDIENCE] })),
        robot("several", &json!({ "audience": ["several", AUDIENCE] })),
        robot("default", &json!({})),
        robot("of the login", &json!({ "audience": ["shop", AUDIENCE] })),
        robot("opaque", &json!({ "opaque": true, "audience": AUDIENCE })),
        robot("opaque default", &json!({ "opaque": true })),
    ]);
    let world = World::start(&python, version, both(), clients).await?;
    for name in ["jwt", "several"] {
        let token = robots_token(world.idp, name).await?;
        ensure!(token.matches('.').count() == 2, "{name}: a JWT");
        let reply = world.api(&token).await?;
        ensure!(reply.status == 200, "{name}: {}", reply.text());
        let seen = world.upstream.last().context("nothing was passed on")?;
        ensure!(seen.all("x-carded-subject") == [name] && seen.all("x-carded-scope") == ["read"], "{seen:?}");
    }
    // its default is the client: then the token is for nobody else
    world.refuses("default", &robots_token(world.idp, "default").await?, "audience_mismatch").await?;
    world.refuses("of the login", &robots_token(world.idp, "of the login").await?, "id_token_not_accepted").await?;
    ensure!(!world.said()?.contains("asked"), "nobody is asked about a JWT");

    let opaque = robots_token(world.idp, "opaque").await?;
    ensure!(!opaque.contains('.'), "opaque");
    for _ in 0..4 {
        let reply = world.api(&opaque).await?;
        ensure!(reply.status == 200, "{}\n{}", reply.text(), world.said()?);
    }
    let seen = world.upstream.last().context("nothing was passed on")?;
    ensure!(seen.all("x-carded-subject") == ["opaque"] && seen.all("x-carded-scope") == ["read"], "{seen:?}");
    let other = robots_token(world.idp, "opaque default").await?;
    world.refuses("opaque default", &other, "audience_mismatch").await?;
    // RFC 7009
    let basic = ["opaque", "of the robot"].map(|text| text.replace(' ', "%20")).join(":");
    let request = Request::new("POST", "/revoke").header("host", "idp.localhost").header("connection", "close");
    let request = request.header("authorization", format!("Basic {}", base64(&basic)));
    let form = format!("token={opaque}");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let revoked = request.send(world.idp).await?;
    ensure!(revoked.status == 200, "{}", revoked.text());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    world.refuses("revoked", &opaque, "token_inactive").await?;
    world.ended_well()
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

async fn a_person_signs_in_at_authlib_and_is_refreshed(version: &'static str) -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let world = World::start(&python, version, both(), json!([shop("client_secret_basic")])).await?;
    let mut browser = world.browser();
    let link = format!("{SHOP}/account/orders?x=1&y=%20");
    let (url, reply) = browser.go(&link).await?;
    let entered = Instant::now();
    ensure!(url == link && reply.status == 200, "{url} {}: {}\n{}", reply.status, reply.text(), world.said()?);
    let is_alice = || {
        let seen = world.upstream.last().context("nothing was passed on")?;
        let is_hers = seen.all("x-carded-subject") == ["alice"] && seen.all("x-carded-email") == ["alice@example.com"];
        ensure!(is_hers && seen.all("cookie").is_empty(), "{seen:?}");
        Ok(())
    };
    is_alice()?;

    // threat 90, with tokens of one sign-in: what is for services passes, what is for the client does not, and no refresh token
    let issued = Request::get("/.test/last").header("host", "idp.localhost").send(world.idp).await?.json();
    let token = |name: &str| issued[name].as_str().map(str::to_owned).with_context(|| name.to_owned());
    let reply = world.api(&token("access_token")?).await?;
    ensure!(reply.status == 200, "{}", reply.text());
    world.refuses("an ID token", &token("id_token")?, "id_token_not_accepted").await?;

    tokio::time::sleep_until(entered + Duration::from_secs(LAST * 3 / 4) + Duration::from_millis(1000)).await;
    let old = browser.cookies.clone();
    let reply = browser.ask("GET", &format!("{SHOP}/account"), None).await?;
    ensure!(reply.status == 200, "{} {}\n{}", reply.status, reply.text(), world.said()?);
    ensure!(reply.headers("set-cookie").len() == 2 && browser.cookies.len() == old.len(), "{:?}", browser.cookies);
    is_alice()?;
    let again = browser.ask("GET", &format!("{SHOP}/account"), None).await?;
    ensure!(again.status == 200 && again.header("set-cookie").is_none(), "{} {}", again.status, again.text());
    let said = world.said()?;
    ensure!(said.matches("granted refresh_token").count() == 1 && !said.contains("refused"), "{said}");
    world.ended_well()
}

async fn a_person_signs_in_at_authlib_with_the_secret_in_the_form_or_is_turned_away(
    version: &'static str,
) -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let world = World::start(&python, version, config(), json!([shop("client_secret_post")])).await?;
    // mallory may not, and is told so in words, with a way to try again
    let mut browser = world.browser();
    let sent = browser.ask("GET", &format!("{SHOP}/account"), None).await?;
    let to = sent.header("location").context("a location")?;
    let back = browser.ask("POST", &to, Some("prompt=login&login=mallory&password=x")).await?;
    let back = back.header("location").with_context(|| back.text())?;
    ensure!(back.contains("error=access_denied") && back.contains("&iss="), "{back}");
    let page = browser.ask("GET", &back, None).await?;
    let text = page.text();
    ensure!(page.status == 403 && text.contains("did not sign in") && text.contains("href=\"/account\""), "{text}");
    ensure!(browser.cookies.keys().all(|(host, _)| host != SHOP), "{:?}", browser.cookies);
    // alice may
    let mut browser = world.browser();
    let (url, reply) = browser.go(&format!("{SHOP}/account")).await?;
    ensure!(reply.status == 200 && url == format!("{SHOP}/account"), "{url} {}\n{}", reply.text(), world.said()?);
    world.ended_well()
}
