//! A session that is refreshed at npm `oidc-provider` with refresh tokens that work once, through the real Envoy with four workers:
//! exactly one refresh each time, whatever comes at once.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::{Reply, Request};
use carded_envoy::run::{Envoy, free_port};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::common::{Setup, in_each_envoy, packages};
use crate::login::{Browser, SECRET, SHOP, config, environment, fit, provider_with};

in_each_envoy!(six_connections_at_four_workers_refresh_once, a_client_with_a_key_reads_claims_at_userinfo);

/// How long the provider's tokens last, in seconds. They are due after three quarters of it.
const LAST: u64 = 16;

/// The same request on six connections at once.
async fn six(shop: SocketAddr, cookies: &str) -> Result<Vec<Reply>> {
    let mut all = JoinSet::new();
    for _ in 0..6 {
        let request = Request::get("/account").header("host", "shop.localhost").header("cookie", cookies);
        let request = request.header("connection", "close");
        all.spawn(async move { request.send(shop).await });
    }
    let mut replies = Vec::new();
    while let Some(reply) = all.join_next().await {
        replies.push(reply??);
    }
    Ok(replies)
}

fn cookies(browser: &Browser) -> String {
    let own = browser.cookies.iter().filter(|((host, _), _)| host == SHOP);
    own.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

async fn six_connections_at_four_workers_refresh_once(version: &'static str) -> Result<()> {
    let Some(packages) = packages() else { return Ok(()) };
    let mut config = config();
    config["login"]["corp"]["scopes"] = json!(["openid", "email", "offline_access"]);
    config["login"]["corp"]["prompt"] = json!("consent");
    config["login"]["corp"]["refresh"] = json!(true);
    let environment = environment(SECRET);
    let setup = Setup { config, environment, silent_provider: true, concurrency: 4, ..Default::default() };
    let (bootstrap, upstream, _, options) = setup.prepare(version).await?;
    let idp = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let directory = options.directory.clone().context("a directory")?;
    let client = json!({ "grant_types": ["authorization_code", "refresh_token"] });
    let more = [("TTL", LAST.to_string()), ("ROTATE", "1".to_owned())];
    let more = more.each_ref().map(|(name, value)| (*name, value.as_str()));
    let _provider = provider_with(&packages, &directory, idp.port(), client, &more).await?;
    let envoy = Envoy::start(&fit(bootstrap, idp), &options).await?;
    let shop = envoy.listener("edge").await?;
    let mut browser = Browser { shop, idp, cookies: BTreeMap::new(), forms: 0 };
    let log = || std::fs::read_to_string(directory.join("people.log"));

    let (_, reply) = browser.go(&format!("{SHOP}/account")).await?;
    let mut entered = Instant::now();
    ensure!(reply.status == 200, "{}: {}\n{}", reply.status, reply.text(), log()?);
    let mut kept = cookies(&browser);
    ensure!(kept.contains("__Host-carded-rt-corp="), "{kept}");
    for round in 1..=2 {
        sleep_until(entered + Duration::from_secs(LAST * 3 / 4) + Duration::from_millis(500)).await;
        let before = upstream.hits();
        let replies = six(shop, &kept).await?;
        entered = Instant::now();
        let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        ensure!(statuses == [200; 6] && upstream.hits() == before + 6, "{statuses:?}\n{}", log()?);
        let renewed: Vec<&Reply> = replies.iter().filter(|reply| reply.header("set-cookie").is_some()).collect();
        let [renewed] = renewed.as_slice() else { anyhow::bail!("{} were renewed", renewed.len()) };
        ensure!(renewed.header("cache-control").as_deref() == Some("no-store"));
        let new: Vec<String> = renewed.headers("set-cookie");
        let new: Vec<&str> = new.iter().filter_map(|set| set.split(';').next()).collect();
        ensure!(new.len() == 2, "{}", new.len());
        // who still has the old cookies goes on, and does not send the old token again
        for reply in six(shop, &kept).await? {
            ensure!(reply.status == 200 && reply.header("set-cookie").is_none(), "{}", reply.status);
        }
        kept = new.join("; ");
        for reply in six(shop, &kept).await? {
            ensure!(reply.status == 200 && reply.header("set-cookie").is_none(), "{}", reply.status);
        }
        let log = log()?;
        ensure!(log.matches("granted refresh_token").count() == round, "{log}");
        ensure!(!log.contains("refused") && !log.contains("revoked"), "{log}");
    }
    ensure!(!envoy.log().contains("Wasm VM failed"), "{}", envoy.log());
    Ok(())
}

/// The private key of RFC 7517, appendix A.2.
const PRIVATE: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","kid":"ours"}"#;

async fn a_client_with_a_key_reads_claims_at_userinfo(version: &'static str) -> Result<()> {
    let Some(packages) = packages() else { return Ok(()) };
    let mut config = config();
    let login = config["login"]["corp"].as_object_mut().context("a login")?;
    login.remove("client_secret");
    login.insert("private_key_jwt".to_owned(), json!({ "env": "OIDC_SECRET" }));
    login.insert("userinfo".to_owned(), json!(true));
    let environment = environment(PRIVATE);
    let setup = Setup { config, environment, silent_provider: true, ..Default::default() };
    let (bootstrap, upstream, _, options) = setup.prepare(version).await?;
    let idp = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let directory = options.directory.clone().context("a directory")?;
    let mut public: serde_json::Value = serde_json::from_str(PRIVATE)?;
    public.as_object_mut().context("a JWK")?.remove("d");
    let client = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [public] } });
    let _provider = provider_with(&packages, &directory, idp.port(), client, &[("CONFORM", "1")]).await?;
    let envoy = Envoy::start(&fit(bootstrap, idp), &options).await?;
    let mut browser = Browser { shop: envoy.listener("edge").await?, idp, cookies: BTreeMap::new(), forms: 0 };
    let (url, reply) = browser.go(&format!("{SHOP}/account")).await?;
    let log = std::fs::read_to_string(directory.join("people.log"))?;
    ensure!(reply.status == 200, "{url} {}: {}\n{log}", reply.status, reply.text());
    let seen = upstream.last().context("nothing was passed on")?;
    ensure!(seen.all("x-carded-subject") == ["alice"] && seen.all("x-carded-email") == ["alice@example.com"]);
    ensure!(log.contains("granted authorization_code") && !envoy.log().contains("870MB6gf"), "{log}");
    Ok(())
}
