//! The main table: no filter, an empty one, `jwt_authn`, `ext_authz` and Carded side by side in one Envoy, with tokens of every
//! algorithm, many connections and one, and a sealed session.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;

use super::authz::Server;
use super::listeners::{Listeners, PATH, address, configuration};
use super::load::Requests;
use super::report::{Limit, Report};
use super::rounds::{self, Cell, Plan, Sample, Spread, find, unchecked};
use super::scene::{SESSION_KEY, Scene};
use super::tokens::{self, ALGORITHMS, Keys};
use crate::client::Request;
use crate::demo::session_key;
use crate::module;
use crate::run::{Envoy, Options as Run};

/// How many connections the generator keeps busy.
const CONNECTIONS: usize = 16;
/// The algorithms that most providers use; limits speak of these.
const USUAL: [&str; 3] = ["RS256", "ES256", "EdDSA"];

const NONE: &str = "none";
const EMPTY: &str = "empty Wasm";
/// What the proxy's side of admitting a remembered token costs.
const READS: &str = "its host calls that change nothing";
const CALLS: &str = "its host calls alone";
const SESSION_CALLS: &str = "a session's host calls alone";
/// With `verify_signature`; the key and the signature are of one algorithm.
const VERIFY: [(&str, &str); 2] = [
    ("RS256", "its host calls and `verify_signature` alone, RS256"),
    ("ES256", "its host calls and `verify_signature` alone, ES256"),
];
const JWT: &str = "jwt_authn";
const JWT_CACHED: &str = "jwt_authn, cached";
const GRPC: &str = "ext_authz, gRPC";
const GRPC_CACHED: &str = "ext_authz, gRPC, cached";
const HTTP: &str = "ext_authz, HTTP";
const HTTP_CACHED: &str = "ext_authz, HTTP, cached";
const CARDED: &str = "Carded";
const CACHED: &str = "Carded, cached";
/// With all that an access log can print of a request that goes on.
const LOGGED: &str = "Carded, cached, for access logs";
const OWN: &str = "Carded, own crypto";
const OWN_CACHED: &str = "Carded, own crypto, cached";
const SHOP: &str = "Carded, over-21 shop";
/// The filters that remember a token, and those that check it each time: what is compared is measured one after the other, before
/// the machine changes its pace.
const REMEMBERING: [&str; 6] = [JWT_CACHED, CACHED, LOGGED, OWN_CACHED, GRPC_CACHED, HTTP_CACHED];
const CHECKING: [&str; 5] = [JWT, CARDED, GRPC, HTTP, OWN];
const SESSION: &str = "sealed session";
const PRESENTATION: &str = "SD-JWT VC shown";

/// The processes under measurement.
struct World {
    envoy: Envoy,
    pid: u32,
    scene: Scene,
    servers: [Server; 2],
}

impl World {
    async fn start(keys: &Keys, empty: &Path, version: &str) -> Result<Self> {
        let jwks = keys.jwks();
        let scene = Scene::start().await?;
        let servers = [Server::start(false).await?, Server::start(true).await?];
        let mut listeners = Listeners::new(&module()?)?;
        listeners.none(NONE);
        listeners.empty(EMPTY, empty);
        listeners.calls(READS, empty, b"reads");
        listeners.calls(CALLS, empty, b"calls");
        listeners.calls(SESSION_CALLS, empty, b"session");
        for (algorithm, name) in VERIFY {
            listeners.calls(name, empty, &[b"verify", keys.verify_signature(algorithm)?.as_slice()].concat());
        }
        listeners.jwt_authn(JWT, &jwks, None);
        listeners.jwt_authn(JWT_CACHED, &jwks, Some(10_000));
        for (server, names) in servers.iter().zip([[GRPC, HTTP], [GRPC_CACHED, HTTP_CACHED]]) {
            for (name, grpc) in names.into_iter().zip([true, false]) {
                listeners.ext_authz(name, server.address, grpc);
            }
        }
        for (name, cached, lent) in
            [(CARDED, 0, true), (CACHED, 10_000, true), (OWN, 0, false), (OWN_CACHED, 10_000, false)]
        {
            listeners.carded(name, &configuration(&jwks, cached), lent);
        }
        let mut logged = configuration(&jwks, 10_000);
        logged["access_log"] = json!(["code", "rule", "issuer"]);
        listeners.carded(LOGGED, &logged, true);
        listeners.cluster("dmv", scene.address());
        listeners.carded(SHOP, &Scene::configuration(), true);
        let run =
            Run { concurrency: 1, environment: vec![(SESSION_KEY.to_owned(), session_key())], ..Run::version(version) };
        let envoy = Envoy::start(&listeners.bootstrap(), &run).await?;
        let pid = envoy.pid().context("Envoy runs")?;
        Ok(Self { envoy, pid, scene, servers })
    }

    async fn address(&self, name: &str) -> Result<SocketAddr> {
        address(&self.envoy, name).await
    }

    /// A row to be; the server that counts beside Envoy follows from the filter.
    async fn cell(&self, filter: &str, what: &str, requests: Requests, connections: usize) -> Result<Cell> {
        let mut cell = Cell::new(filter, what, self.address(filter).await?, requests, connections);
        let [plain, cached] = &self.servers;
        cell.beside = match filter {
            GRPC | HTTP => Some(plain.pid),
            GRPC_CACHED | HTTP_CACHED => Some(cached.pid),
            _ => None,
        };
        Ok(cell)
    }
}

/// Measures the table, and the limits that speak of it.
///
/// # Errors
/// When something cannot be measured, or a filter does not do what it is for.
pub(super) async fn measure(report: &mut Report, empty: &Path, version: &str, plan: Plan) -> Result<()> {
    let keys = Keys::new()?;
    let (mut many, mut one) = (Vec::new(), Vec::new());
    let shares = plan.shares();
    for (start, share) in shares.iter().enumerate() {
        eprintln!("start {} of {}", start + 1, shares.len());
        let (more, alone) = start_and_measure(&keys, empty, version, *share).await?;
        rounds::join(&mut many, more);
        rounds::join(&mut one, alone);
    }
    limits(report, &many, &one)?;
    spent(report, &many)?;
    report.table("The same request again and again, on 16 connections:", &many);
    report.table("On one connection, where latency is the time of one check:", &one);
    Ok(())
}

/// Measures on many connections, and on one.
async fn start_and_measure(keys: &Keys, empty: &Path, version: &str, plan: Plan) -> Result<(Vec<Cell>, Vec<Cell>)> {
    let world = World::start(keys, empty, version).await?;
    let shop = world.address(SHOP).await?;
    let session = world.scene.session(shop).await?;
    world.scene.check(shop).await?;

    let (mut many, mut one) = (Vec::new(), Vec::new());
    for algorithm in ALGORITHMS {
        let token = keys.token(algorithm, 1)?;
        let requests = Requests::same(Request::get(PATH).bearer(&token).bytes());
        let usual = USUAL.contains(&algorithm);
        let (unchecked, first) = (unchecked(algorithm), algorithm == "RS256");
        let idle: &[&str] = if first { &[NONE, READS, CALLS, EMPTY] } else { &[EMPTY] };
        for name in idle.iter().filter(|_| usual) {
            many.push(world.cell(name, &unchecked, requests.clone(), CONNECTIONS).await?);
            if first {
                one.push(world.cell(name, &unchecked, requests.clone(), 1).await?);
            }
        }
        let calls = VERIFY.into_iter().filter(|(of, _)| *of == algorithm).map(|(_, name)| name);
        let rare = |name: &str| name.starts_with("ext_authz") || name == LOGGED;
        for name in REMEMBERING.into_iter().chain(calls).chain(CHECKING).filter(|name| usual || !rare(name)) {
            if VERIFY.iter().all(|(_, calls)| *calls != name) {
                check(name, world.address(name).await?, algorithm, &token).await?;
            }
            many.push(world.cell(name, algorithm, requests.clone(), CONNECTIONS).await?);
            if usual && [JWT, GRPC, HTTP, CARDED].contains(&name) {
                one.push(world.cell(name, algorithm, requests.clone(), 1).await?);
            }
        }
    }
    let requests = Requests::same(session.clone());
    for (name, what) in [(SESSION_CALLS, SESSION), (EMPTY, &unchecked(SESSION)), (SHOP, SESSION)] {
        many.push(world.cell(name, what, requests.clone(), CONNECTIONS).await?);
    }
    rounds::measure(&mut many, world.pid, plan).await?;
    rounds::measure(&mut one, world.pid, plan).await?;
    many.push(presentations(&world, plan).await?);
    Ok((many, one))
}

/// That a filter takes the token and refuses it with other claims, with a cold cache and with a warm one: what admits everything
/// is fast, and worth nothing.
async fn check(name: &str, at: SocketAddr, algorithm: &str, token: &str) -> Result<()> {
    for _ in 0..2 {
        let good = Request::get(PATH).bearer(token).send(at).await?;
        ensure!(good.status == 200, "{name} says {} to an {algorithm} token: {}", good.status, good.text());
        let bad = Request::get(PATH).bearer(&tokens::tampered(token)).send(at).await?;
        ensure!(bad.status == 401, "{name} says {} to a tampered {algorithm} token", bad.status);
        let none = Request::get(PATH).send(at).await?;
        ensure!(none.status == 401, "{name} says {} to no token", none.status);
    }
    Ok(())
}

/// Presentations, each with a nonce of its own, so that each round needs new ones.
async fn presentations(world: &World, plan: Plan) -> Result<Cell> {
    let mut cell = world.cell(SHOP, PRESENTATION, Requests::once(Vec::new()), CONNECTIONS).await?;
    // about as many as the time is enough for
    let number = (plan.time.as_millis() as usize).clamp(100, 1000);
    for _ in 0..plan.rounds {
        cell.requests = Requests::once(world.scene.presentations(cell.address, number).await?);
        let sample = cell.measure(world.pid, Plan { time: plan.time * 10, ..plan }).await?;
        cell.samples.push(sample);
    }
    Ok(cell)
}

/// What is to be reached.
fn limits(report: &mut Report, many: &[Cell], one: &[Cell]) -> Result<()> {
    let rate = |sample: &Sample| sample.rate;
    let mut throughput = |what: String, limit, ours: &Cell, theirs: &Cell| {
        report.limits.push(Limit::at_least(what, limit, ours.ratio(theirs, rate)).processor(ours, theirs));
    };
    for (algorithm, limit) in USUAL.into_iter().zip([1.0, 1.0, 0.95]) {
        let (ours, theirs) = (find(many, CARDED, algorithm)?, find(many, JWT, algorithm)?);
        throughput(format!("not cached: throughput of `jwt_authn`, {algorithm}"), limit, ours, theirs);
    }
    for algorithm in USUAL {
        let (empty, cached) = (find(many, EMPTY, &unchecked(algorithm))?, find(many, CACHED, algorithm)?);
        throughput(format!("cached: throughput of the empty filter, {algorithm}"), 0.85, cached, empty);
        let theirs = find(many, JWT_CACHED, algorithm)?;
        throughput(format!("cached: throughput of `jwt_authn` with its cache, {algorithm}"), 0.8, cached, theirs);
    }
    let (empty, session) = (find(many, EMPTY, &unchecked(SESSION))?, find(many, SHOP, SESSION)?);
    throughput("a sealed session: throughput of the empty filter".to_owned(), 0.8, session, empty);
    for algorithm in USUAL {
        let carded = find(many, CARDED, algorithm)?;
        let (grpc, http) = (find(many, GRPC, algorithm)?, find(many, HTTP, algorithm)?);
        // against the way of asking that is better in each respect
        let ratio = smaller(carded.ratio(grpc, rate), carded.ratio(http, rate));
        report.limits.push(Limit::at_least(format!("not cached: throughput of `ext_authz`, {algorithm}"), 1.0, ratio));
        let ratio = larger(carded.ratio(grpc, Sample::processor), carded.ratio(http, Sample::processor));
        let what = format!("not cached: processor time of `ext_authz` and its server, {algorithm}");
        report.limits.push(Limit::at_most(what, 0.6, ratio));
        let (alone, p50) = (find(one, CARDED, algorithm)?, |sample: &Sample| sample.p50);
        let (grpc, http) = (find(one, GRPC, algorithm)?, find(one, HTTP, algorithm)?);
        let ratio = larger(alone.ratio(grpc, p50), alone.ratio(http, p50));
        let what = format!("not cached: median latency of `ext_authz` on one connection, {algorithm}");
        report.limits.push(Limit::at_most(what, 0.65, ratio));
        let cached = find(many, CACHED, algorithm)?;
        let (grpc, http) = (find(many, GRPC_CACHED, algorithm)?, find(many, HTTP_CACHED, algorithm)?);
        let ratio = smaller(cached.ratio(grpc, rate), cached.ratio(http, rate));
        let what = format!("cached: throughput of `ext_authz` with a cache in its server, {algorithm}");
        report.limits.push(Limit::at_least(what, 1.7, ratio));
    }
    Ok(())
}

/// What the processor time is spent on: of a request with a remembered token or session beyond the empty filter's, and of one with a
/// new token as a share of `jwt_authn`'s.
fn spent(report: &mut Report, many: &[Cell]) -> Result<()> {
    let (all, token) = ("all that Carded does", unchecked("RS256"));
    for (evidence, empty, what, cell) in [
        ("token", &token, READS, find(many, READS, &token)?),
        ("token", &token, CALLS, find(many, CALLS, &token)?),
        ("token", &token, all, find(many, CACHED, "RS256")?),
        ("session", &unchecked(SESSION), SESSION_CALLS, find(many, SESSION_CALLS, SESSION)?),
        ("session", &unchecked(SESSION), all, find(many, SHOP, SESSION)?),
    ] {
        let ratio = cell.ratio(find(many, EMPTY, empty)?, Sample::processor).median;
        let percent = (ratio - 1.0) * 100.0;
        let what = format!("a remembered {evidence}, processor time above the empty filter's: {what}");
        report.figures.push((what, format!("{percent:.0} %")));
    }
    for (algorithm, name) in VERIFY {
        let theirs = find(many, JWT, algorithm)?;
        for (what, cell) in [(name, find(many, name, algorithm)?), (CARDED, find(many, CARDED, algorithm)?)] {
            let percent = cell.ratio(theirs, Sample::processor).median * 100.0;
            let what = format!("a new {algorithm} token, processor time of `jwt_authn`'s: {what}");
            report.figures.push((what, format!("{percent:.0} %")));
        }
    }
    Ok(())
}

fn smaller(one: Spread, other: Spread) -> Spread {
    if one.median < other.median { one } else { other }
}

fn larger(one: Spread, other: Spread) -> Spread {
    if one.median > other.median { one } else { other }
}
