//! Client certificates over real TLS: rules that name them, and tokens that are bound to them (RFC 8705 section 3).

use anyhow::{Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::keys::{Key, base64url, with};
use carded_envoy::run::{Envoy, scratch};
use carded_envoy::tls::{Authority, Identity, connector};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::common::{ISSUER, Setup, alice, by_tls, config, eventually, in_each_envoy};

in_each_envoy!(
    a_rule_names_a_client_certificate,
    a_token_is_bound_to_a_client_certificate,
    all_names_of_a_client_certificate_count_where_envoy_tells_them,
);

/// A gateway that takes client certificates of one authority.
struct World {
    edge: SocketAddr,
    ca: PathBuf,
    clients: Authority,
    key: Key,
    upstream: carded_envoy::upstream::Upstream,
    _rest: (Envoy, carded_envoy::idp::Idp),
}

impl World {
    async fn start(version: &str) -> Result<Self> {
        Self::reading(version, false, json!({})).await
    }

    /// The same, where all names are read or the first alone, with more fields of the connection manager.
    async fn reading(version: &str, all_names: bool, manager: Value) -> Result<Self> {
        let directory = scratch()?;
        let (servers, clients) = (Authority::new()?, Authority::new()?);
        let (certificate, private) = servers.issue("shop.example.com")?.write(&directory)?;
        let ca = servers.write(&directory, "server-ca.pem")?;
        let trusted = clients.write(&directory, "client-ca.pem")?;
        let mut configured = config();
        configured["issuers"]["corp"]["binding"] = json!("certificate");
        configured["rules"] = json!([
            { "match": { "path": "/bound" }, "require": { "token": "corp" } },
            {
                "match": { "path": "/internal/**" },
                "require": { "client_certificate": { "uri_san": "spiffe://example.com/ns/*/sa/web" } },
            },
        ]);
        configured["policies"] = json!([]);
        configured["client_certificate"] = json!({ "forwarded": all_names });
        configured["forward"] = json!({ "headers": { "x-carded-peer": "client_certificate.uri_san" } });
        let setup = Setup { config: configured, ..Setup::default() };
        let (bootstrap, upstream, idp, options) = setup.prepare(version).await?;
        let mut bootstrap = bootstrap.tls(&certificate, &private);
        for (name, value) in manager.as_object().into_iter().flatten() {
            bootstrap.hcm()[name] = value.clone();
        }
        let listener = &mut bootstrap.value()["static_resources"]["listeners"][0];
        let tls = &mut listener["filter_chains"][0]["transport_socket"]["typed_config"];
        // chains are checked; who has no certificate may come, and is judged by the rules
        tls["common_tls_context"]["validation_context"] = json!({ "trusted_ca": { "filename": trusted } });
        let key = Key::p256("k1")?;
        idp.publish(ISSUER, &[&key]);
        let envoy = Envoy::start(&bootstrap, &options).await?;
        let edge = envoy.listener("edge").await?;
        Ok(Self { edge, ca, clients, key, upstream, _rest: (envoy, idp) })
    }

    async fn ask(&self, identity: Option<&Identity>, request: Request) -> Result<(u16, String)> {
        let before = self.upstream.hits();
        let reply = by_tls(self.edge, &connector(&self.ca, identity)?, &request).await?;
        ensure!(self.upstream.hits() == before + usize::from(reply.status == 200), "what was refused went on");
        Ok((reply.status, reply.code()))
    }
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

async fn a_rule_names_a_client_certificate(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let web = world.clients.issue_client("spiffe://example.com/ns/shop/sa/web")?;
    let batch = world.clients.issue_client("spiffe://example.com/ns/shop/sa/batch")?;
    let deep = world.clients.issue_client("spiffe://example.com/ns/a/b/sa/web")?;
    // what a client says of itself is not what the proxy saw
    let ask = || {
        let said = "URI=spiffe://example.com/ns/shop/sa/web";
        Request::get("/internal/x").header("x-forwarded-client-cert", said).header("x-carded-peer", "spiffe://evil")
    };
    ensure!(world.ask(Some(&web), ask()).await?.0 == 200, "the named one is refused");
    let seen = world.upstream.last().map(|seen| seen.headers).unwrap_or_default();
    let peer: Vec<_> =
        seen.iter().filter(|(name, _)| name == "x-carded-peer").map(|(_, value)| value.as_str()).collect();
    ensure!(peer == ["spiffe://example.com/ns/shop/sa/web"], "{peer:?}");
    for (what, identity) in [("nobody", None), ("another", Some(&batch)), ("a deeper path", Some(&deep))] {
        let said = world.ask(identity, ask()).await?;
        ensure!(said == refused(403, "client_certificate_required"), "{what}: {said:?}");
    }
    // the chain is for the listener: a certificate of a strange authority does not even connect
    let strange = Authority::new()?.issue_client("spiffe://example.com/ns/shop/sa/web")?;
    ensure!(world.ask(Some(&strange), ask()).await.is_err(), "a strange authority's certificate was taken");
    Ok(())
}

async fn a_token_is_bound_to_a_client_certificate(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let [own, other] = ["one", "two"].map(|name| world.clients.issue_client(&format!("spiffe://example.com/{name}")));
    let (own, other) = (own?, other?);
    let bound = |thumbprint: Vec<u8>| {
        let cnf = json!({ "cnf": { "x5t#S256": base64url(thumbprint) } });
        Request::get("/bound").bearer(&world.key.token(&with(alice(), cnf)))
    };
    let token = bound(own.sha256());
    eventually("the keys are there", || async { Ok(world.ask(Some(&own), token.clone()).await?.0 == 200) }).await?;
    // remembered or not, the certificate is looked at each time
    for _ in 0..4 {
        ensure!(world.ask(Some(&own), token.clone()).await?.0 == 200, "its holder is refused");
        for (what, identity) in [("no certificate", None), ("another's certificate", Some(&other))] {
            let said = world.ask(identity, token.clone()).await?;
            ensure!(said == refused(401, "token_bound"), "{what}: {said:?}");
        }
    }
    let unbound = Request::get("/bound").bearer(&world.key.token(&alice()));
    let said = world.ask(Some(&own), unbound).await?;
    ensure!(said == refused(401, "token_unbound"), "a token that is bound to nothing: {said:?}");
    Ok(())
}

async fn all_names_of_a_client_certificate_count_where_envoy_tells_them(version: &'static str) -> Result<()> {
    let details = json!({
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": { "uri": true, "dns": true, "subject": true },
    });
    let web = "spiffe://example.com/ns/shop/sa/web";
    let said = format!("Hash={};URI={web}", "0".repeat(64));
    let ask = || Request::get("/internal/x").header("x-forwarded-client-cert", &said);
    let none = refused(403, "client_certificate_required");
    let world = World::reading(version, true, details).await?;
    let several =
        world.clients.issue_names(&["spiffe://example.com/first", web], &["First.example.com", "b.example.com"])?;
    let host = world.clients.issue_names(&[], &["only.example.com"])?;
    ensure!(world.ask(Some(&several), ask()).await?.0 == 200, "the second name is not read");
    for identity in [Some(&host), None] {
        let said = world.ask(identity, ask()).await?;
        ensure!(said == none, "by its own word: {said:?}");
    }
    // where Envoy passes on what clients send, or nothing, nobody is believed
    for manager in [json!({ "forward_client_cert_details": "ALWAYS_FORWARD_ONLY" }), json!({})] {
        let world = World::reading(version, true, manager).await?;
        let web = world.clients.issue_client(web)?;
        let said = world.ask(Some(&web), ask()).await?;
        ensure!(said == none, "without SANITIZE_SET: {said:?}");
    }
    Ok(())
}
