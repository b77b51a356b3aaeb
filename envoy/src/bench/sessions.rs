//! Who signed in, what the gateway signs, and what was revoked: a login's sealed session and the minted token beside the empty
//! filter and a remembered token, and a list of a million revoked entries beside none.

use anyhow::{Context, Result, bail, ensure};
use carded_verifier::revocation::Entry;
use carded_verifier::revocation::compact::build;
use carded_verifier::sign::{SigningKey, prepare};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::issuers::MANY;
use super::listeners::{Listeners, PATH, address, configuration};
use super::load::{self, Requests};
use super::memory::{MIB, TICK, gauge};
use super::report::{Limit, Report};
use super::rounds::{self, Cell, Plan, Sample, Spread, unchecked};
use super::scene::{HOST, SESSION_KEY, cookie};
use super::tokens::{ISSUER, Keys, key};
use crate::client::Request;
use crate::demo::session_key;
use crate::idp::Idp;
use crate::keys::now;
use crate::module;
use crate::run::{Envoy, Options as Run};

const CONNECTIONS: usize = 16;
/// How many entries the list has.
const REVOKED: usize = 1_000_000;
/// The longest that a list may take to count: two refreshes, and what a busy machine needs to read it.
const PATIENCE: Duration = Duration::from_secs(30);

const EMPTY: &str = "empty Wasm";
const CACHED: &str = "Carded, cached";
const MINTING: &str = "Carded, cached, its own token";
const NOTHING: &str = "Carded, cached, nothing revoked";
const MILLION: &str = "Carded, cached, a million revoked";
const LOGIN: &str = "Carded, signed in";
const LOGIN_MINTING: &str = "Carded, signed in, its own token";
const SESSION: &str = "a login's sealed session";
const TOKEN: &str = "ES256";

/// Measures, and the limits that speak of it.
///
/// # Errors
/// When something cannot be measured, or a filter does not do what it is for.
pub(super) async fn measure(report: &mut Report, empty: &Path, version: &str, plan: Plan) -> Result<()> {
    let (keys, provider) = (Keys::new()?, Provider::start().await?);
    let mut cells = Vec::new();
    for share in plan.shares() {
        rounds::join(&mut cells, start_and_measure(&keys, &provider, empty, version, share).await?);
    }
    limits(report, &cells)?;
    report.table("Who signed in, what the gateway signs, what was revoked:", &cells);
    memory(report, version, &provider, &keys).await
}

async fn start_and_measure(
    keys: &Keys,
    provider: &Provider,
    empty: &Path,
    version: &str,
    plan: Plan,
) -> Result<Vec<Cell>> {
    let jwks = keys.jwks();
    let remembered = |revoked: Option<&str>| {
        let mut configured = configuration(&jwks, MANY as u32);
        if let Some(path) = revoked {
            revoking(&mut configured, path);
        }
        configured
    };
    let mut listeners = Listeners::new(&module()?)?;
    listeners.cluster("idp", provider.server.address);
    listeners.empty(EMPTY, empty);
    listeners.carded(CACHED, &remembered(None), true);
    listeners.carded(MINTING, &minting(remembered(None)), true);
    listeners.carded(NOTHING, &remembered(Some("/none")), true);
    listeners.carded(MILLION, &remembered(Some("/million")), true);
    listeners.carded(LOGIN, &signing_in(), true);
    listeners.carded(LOGIN_MINTING, &minting(signing_in()), true);
    let envoy = Envoy::start(&listeners.bootstrap(), &run(version)).await?;
    let pid = envoy.pid().context("Envoy runs")?;

    let token = Request::get(PATH).bearer(&keys.token(TOKEN, 1)?);
    let revoked = Request::get(PATH).bearer(&keys.token(TOKEN, 0)?);
    refuses(address(&envoy, MILLION).await?, &revoked).await?;
    let mut cells = Vec::new();
    for name in [EMPTY, CACHED, MINTING, NOTHING, MILLION] {
        let at = address(&envoy, name).await?;
        let reply = token.send(at).await?;
        ensure!(reply.status == 200, "{name} says {}: {}", reply.status, reply.text());
        let what = if name == EMPTY { unchecked(TOKEN) } else { TOKEN.to_owned() };
        cells.push(Cell::new(name, &what, at, Requests::same(token.bytes()), CONNECTIONS));
    }
    for name in [LOGIN, LOGIN_MINTING] {
        let at = address(&envoy, name).await?;
        let requests = Requests::same(provider.session(at).await?);
        if name == LOGIN {
            let empty = address(&envoy, EMPTY).await?;
            cells.push(Cell::new(EMPTY, &unchecked(SESSION), empty, requests.clone(), CONNECTIONS));
        }
        cells.push(Cell::new(name, SESSION, at, requests, CONNECTIONS));
    }
    rounds::measure(&mut cells, pid, plan).await?;
    Ok(cells)
}

fn run(version: &str) -> Run {
    let environment = [SESSION_KEY, SIGNING_KEY].map(|name| (name.to_owned(), session_key())).to_vec();
    Run { concurrency: 1, environment, ..Run::version(version) }
}

/// The environment variable of the key that signs; the listeners hand it to the module.
pub(super) const SIGNING_KEY: &str = "CARDED_SIGNING_KEY";

fn minting(mut configured: Value) -> Value {
    configured["forward"]["token"] =
        json!({ "audiences": ["orders"], "keys": [{ "env": SIGNING_KEY }], "claims": ["corp.email"] });
    configured
}

fn revoking(configured: &mut Value, path: &str) {
    configured["revocation"] = json!({ "uri": format!("{ISSUER}{path}"), "refresh": "5s" });
    configured["fetch"] = json!({ "clusters": { "idp.example.com": "idp" } });
}

/// A site that people sign in to; of the ID token it forwards two claims, as the others do of their tokens.
fn signing_in() -> Value {
    json!({
        "origins": [format!("http://{HOST}")],
        "danger_allow_http_localhost": true,
        "issuers": { "corp": { "issuer": ISSUER, "audiences": ["api"], "keys": { "discovery": true } } },
        "login": { "corp": { "client_id": "shop", "client_secret": { "env": SESSION_KEY }, "scopes": ["openid"] } },
        "sessions": { "keys": [{ "env": SESSION_KEY }] },
        "rules": [{ "match": { "path": "/api/**" }, "require": { "login": "corp" }, "otherwise": "login" }],
        "forward": { "headers": { "x-carded-subject": "corp.sub", "x-carded-role": "corp.role" } },
        "access_log": [],
        "fetch": { "clusters": { "idp.example.com": "idp" } },
    })
}

/// A provider whose people are signed in already.
struct Provider {
    server: Idp,
    key: SigningKey,
}

impl Provider {
    async fn start() -> Result<Self> {
        let (server, key) = (Idp::start(None).await?, key("ES256", "people", 31)?);
        let metadata = json!({
            "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks"), "authorization_endpoint": format!("{ISSUER}/auth"),
            "token_endpoint": format!("{ISSUER}/token"),
        });
        server.put("/.well-known/openid-configuration", metadata, None);
        server.put("/jwks", json!({ "keys": [key.public_jwk()] }), None);
        server.put_tagged("/none", json!({ "revoked": [] }).to_string());
        server.put_tagged("/million", list(REVOKED, 7)?);
        Ok(Self { server, key })
    }

    /// Goes the way of a browser, and returns the request that it sends from then on.
    async fn session(&self, site: SocketAddr) -> Result<Vec<u8>> {
        let page = || Request::get(PATH).header("host", HOST).header("accept", "text/html");
        let asked = page().send(site).await?;
        let location =
            asked.header("location").with_context(|| format!("nobody is sent to sign in: {}", asked.text()))?;
        let query = location.split_once('?').context("a request has parameters")?.1;
        let parameter = |wanted: &str| {
            let mut all = form_urlencoded::parse(query.as_bytes());
            all.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()).context("a parameter is missing")
        };
        let claims = json!({
            "iss": ISSUER, "aud": "shop", "sub": "person-00000001", "iat": now(), "exp": now() + 600,
            "nonce": parameter("nonce")?, "role": "clerk", "email": "ada@example.com", "sid": "9f27c1",
        });
        let Value::Object(claims) = claims else { bail!("claims are an object") };
        let mut header = self.key.header();
        header.insert("typ".to_owned(), json!("JWT"));
        let id_token = self.key.sign(prepare(&header, &claims))?;
        let tokens = json!({ "access_token": "a", "token_type": "Bearer", "id_token": id_token });
        self.server.put("/token", tokens, None);
        let back = format!("/.carded/callback/corp?code=c&state={}", parameter("state")?);
        let done = Request::get(back)
            .header("host", HOST)
            .header("accept", "text/html")
            .header("cookie", cookie(&asked, "__Host-carded-tx-")?)
            .send(site)
            .await?;
        let request = page().header("cookie", cookie(&done, "__Host-carded=")?);
        let reply = request.send(site).await?;
        ensure!(reply.status == 200, "with a session the site says {} {}", reply.status, reply.text());
        Ok(request.bytes())
    }
}

/// A list of so many in the compact form: the first subject of the benchmarks' tokens, and people whom nobody knows.
fn list(number: usize, salt: u8) -> Result<Vec<u8>> {
    let entry = |subject: String| {
        let entry = json!({ "sub": subject, "iss": ISSUER });
        Entry::from_json(entry.as_object().context("an entry is an object")?).map_err(anyhow::Error::msg)
    };
    let strangers = (1..number).map(|number| entry(format!("stranger-{number}")));
    let mut entries =
        std::iter::once(entry("person-00000000".to_owned())).chain(strangers).collect::<Result<Vec<_>>>()?;
    entries.sort_unstable();
    build(&entries, [salt; 16]).context("so many fit")
}

/// Waits until the list counts: who is on it is refused for that.
async fn refuses(at: SocketAddr, revoked: &Request) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let reply = revoked.send(at).await?;
        if reply.code() == "revoked" {
            return Ok(());
        }
        ensure!(Instant::now() < end, "who is on the list gets {} {}", reply.status, reply.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn limits(report: &mut Report, cells: &[Cell]) -> Result<()> {
    let find = |name: &str, what: &str| rounds::find(cells, name, what);
    let (cached, login) = (find(CACHED, TOKEN)?, find(LOGIN, SESSION)?);
    let (minting, million) = (find(MINTING, TOKEN)?, find(MILLION, TOKEN)?);
    for (what, ours, theirs, limit) in [
        ("a login's session: throughput of the empty filter", login, find(EMPTY, &unchecked(SESSION))?, 0.8),
        ("a login's session: throughput of a remembered token", login, cached, 0.9),
        ("the minted token: throughput of the empty filter", minting, find(EMPTY, &unchecked(TOKEN))?, 0.8),
        ("the minted token: throughput without it", minting, cached, 0.9),
        ("the minted token of a login: throughput without it", find(LOGIN_MINTING, SESSION)?, login, 0.9),
        ("a list of a million: throughput with an empty one", million, find(NOTHING, TOKEN)?, 0.95),
        ("a list of a million: throughput without a list", million, cached, 0.95),
    ] {
        let ratio = ours.ratio(theirs, |sample: &Sample| sample.rate);
        report.limits.push(Limit::at_least(what, limit, ratio).processor(ours, theirs));
    }
    Ok(())
}

/// The memory of a worker that has read the list, by itself, and with a full cache of verdicts. An Envoy of its own: the gauge
/// speaks of the VM that reported last.
async fn memory(report: &mut Report, version: &str, provider: &Provider, keys: &Keys) -> Result<()> {
    let mut configured = configuration(&keys.jwks(), MANY as u32);
    revoking(&mut configured, "/million");
    let mut listeners = Listeners::new(&module()?)?;
    listeners.cluster("idp", provider.server.address);
    listeners.carded(MILLION, &configured, true);
    let envoy = Envoy::start(&listeners.bootstrap(), &run(version)).await?;
    let at = address(&envoy, MILLION).await?;
    let get = |token: &str| Request::get(PATH).bearer(token);
    refuses(at, &get(&keys.token(TOKEN, 0)?)).await?;
    tokio::time::sleep(TICK).await;
    let alone = gauge(&envoy).await?;
    report.limits.push(Limit::figure(
        "memory of the VM with a million revoked entries",
        16.0,
        " MB",
        Spread::of(vec![alone as f64 / 1e6]),
    ));
    // without the first, who is on the list
    let tokens = keys.tokens(TOKEN, MANY + 1)?;
    let requests: Vec<Vec<u8>> = tokens.iter().skip(1).map(|token| get(token).bytes()).collect();
    load::run(at, &Requests::once(requests), CONNECTIONS, Duration::from_secs(600), 200).await?;
    // another list, read while the first one serves
    provider.server.put_tagged("/million", list(REVOKED, 8)?);
    tokio::time::sleep(TICK).await;
    let full = format!("{:.1} MiB", gauge(&envoy).await? as f64 / MIB);
    report.figures.push(("memory of the VM, with that list and after 10,000 tokens".to_owned(), full));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use carded_verifier::revocation::compact::Compact;
    use carded_verifier::revocation::{Kind, Mark};

    #[test]
    fn the_list_covers_one_of_the_tokens() {
        let list = Compact::of_slice(&list(1000, 7).expect("a list")).expect("it can be read");
        assert_eq!(list.len(), 1000);
        assert!(list.covers(Mark::of(Kind::Subject, ISSUER, "person-00000000"), None));
        assert!(!list.covers(Mark::of(Kind::Subject, ISSUER, "person-00000001"), None));
    }
}
