//! What others notice of a flood of presentations that do not hold: the same requests to the open shelf, through a real Envoy,
//! alone, beside as many ordinary requests, and beside the flood, in turns. The clients are on the same machine, so that any
//! requests beside them slow them down: the second says how much of that is the machine's. The flood comes from many addresses, each
//! of which is slowed only after many more tries. Run by `cargo xtask bench`, which asserts the limit.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carded_envoy::client::{Connection, Request};
use carded_envoy::demo::{Setup, World};
use carded_envoy::target;
use serde_json::json;

/// How many turns, and how long each.
const TURNS: usize = 6;
const TURN: Duration = Duration::from_secs(4);
/// How many connections flood at once, and how often each sends.
const ATTACKERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(5);
/// How many come from one address.
const TRIES: usize = 40;
/// How often one of the others asks.
const EVERY: Duration = Duration::from_millis(2);
/// The goal: the slowest hundredth of the others, against the same alone.
const LIMIT: f64 = 2.0;

#[tokio::main]
async fn main() -> Result<()> {
    let world = Arc::new(World::start(&target().join("bench/flood"), 18_080, &Setup::default()).await?);
    let (ordinary, garbage) = (open_shelf(&world), garbage(&world).await?);
    let (mut calm, mut busy, mut flooded) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sent, mut looked_at, mut beside) = (0, 0, 0);
    others(&world, Duration::from_secs(1)).await?; // warms up
    for _ in 0..TURNS {
        calm.extend(others(&world, TURN).await?);
        let (times, ordinary) = others_beside(&world, &ordinary).await?;
        busy.extend(times);
        beside += ordinary.sent.load(Ordering::Relaxed);
        let (times, flood) = others_beside(&world, &garbage).await?;
        flooded.extend(times);
        sent += flood.sent.load(Ordering::Relaxed);
        looked_at += flood.answered.load(Ordering::Relaxed);
    }
    let each_second = |number: u64| number as f64 / (TURN.as_secs_f64() * TURNS as f64);
    println!("| the others' requests to the open shelf | median, ms | slowest hundredth, ms |");
    println!("|---|---|---|");
    let row = |what: &str, times: &mut [f64]| println!("| {what} | {:.2} | {:.2} |", at(times, 0.5), at(times, 0.99));
    row("alone", &mut calm);
    row(&format!("beside {:.0} ordinary requests a second", each_second(beside)), &mut busy);
    let (sent, looked_at_each) = (each_second(sent), each_second(looked_at));
    row(
        &format!("beside {sent:.0} bad presentations a second, {looked_at_each:.0} of which are looked at"),
        &mut flooded,
    );
    let [calm, busy, flooded] = [&mut calm, &mut busy, &mut flooded].map(|times| at(times, 0.99));
    let (ratio, beyond) = (flooded / calm, flooded / busy);
    println!(
        "\nthe slowest hundredth takes {ratio:.2} times as long during the flood, {beyond:.2} times as long as beside ordinary requests"
    );
    ensure!(looked_at > 100, "there was no flood");
    ensure!(ratio < LIMIT, "a flood makes the others' slowest hundredth {ratio:.2} times as slow");
    Ok(())
}

/// The times of the others' requests while many send this request, and what came of it.
async fn others_beside(world: &Arc<World>, request: &[u8]) -> Result<(Vec<f64>, Arc<Flood>)> {
    let flood = Arc::new(Flood::default());
    let senders: Vec<_> =
        (0..ATTACKERS).map(|_| tokio::spawn(send(world.address, request.to_vec(), Arc::clone(&flood)))).collect();
    let times = others(world, TURN).await?;
    flood.stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await??;
    }
    Ok((times, flood))
}

/// A request that has nothing to do with credentials.
fn open_shelf(world: &World) -> Vec<u8> {
    Request::get("/").header("host", format!("shop.localhost:{}", world.address.port())).bytes()
}

/// The times of requests that have nothing to do with credentials, in milliseconds.
async fn others(world: &World, time: Duration) -> Result<Vec<f64>> {
    let request = open_shelf(world);
    let mut connection = Connection::open(world.address).await?;
    let (mut times, start) = (Vec::new(), Instant::now());
    while start.elapsed() < time {
        let sent = Instant::now();
        let reply = connection.exchange(&request).await?;
        ensure!(reply.status == 200, "the open shelf says {}", reply.status);
        times.push(sent.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(EVERY).await;
    }
    Ok(times)
}

/// What those who send beside the others share.
#[derive(Default)]
struct Flood {
    stop: AtomicBool,
    sent: AtomicU64,
    /// What was answered by more than "later": a presentation was verified and did not hold.
    answered: AtomicU64,
}

/// A connection from an address of this machine that none had before.
async fn from_elsewhere(to: SocketAddr) -> Result<Connection> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let from = u32::from(Ipv4Addr::new(127, 1, 0, 1)) + NEXT.fetch_add(1, Ordering::Relaxed);
    Connection::open_from(Ipv4Addr::from(from), to).await
}

/// A presentation with a state that is good, and a signature that is not: the most expensive kind to refuse.
async fn garbage(world: &World) -> Result<Vec<u8>> {
    let port = world.address.port();
    let host = format!("shop.localhost:{port}");
    let ask = Request::get("/wine/").header("host", &host).header("accept", "text/html");
    let location = ask.send(world.address).await?.header("location").context("nobody is sent to the wallet")?;
    let query = location.split_once('?').context("a request has parameters")?.1;
    let state =
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "state").context("a state")?.1.into_owned();
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(json!({ "alg": "ES256", "typ": "dc+sd-jwt" }));
    let claims =
        encode(json!({ "iss": format!("http://dmv.localhost:{port}"), "vct": "https://dmv.example/credentials/id" }));
    let signature = URL_SAFE_NO_PAD.encode([0x41; 64]);
    let vp_token =
        json!({ "over21": [format!("{header}.{claims}.{signature}~{header}.{claims}.{signature}")] }).to_string();
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("vp_token", vp_token.as_str()), ("state", state.as_str())])
        .finish();
    let post = Request::new("POST", "/.carded/response")
        .header("host", &host)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(&body);
    Ok(post.bytes())
}

/// Sends it again and again, from an address of this machine that none had before for each few.
async fn send(to: SocketAddr, request: Vec<u8>, flood: Arc<Flood>) -> Result<()> {
    while !flood.stop.load(Ordering::Relaxed) {
        let mut connection = from_elsewhere(to).await?;
        for _ in 0..TRIES {
            let reply = connection.exchange(&request).await?;
            match reply.status {
                200 => flood.answered.fetch_add(1, Ordering::Relaxed),
                503 => 0,
                other => bail!("the endpoint says {other} {}", reply.text()),
            };
            flood.sent.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

fn at(times: &mut [f64], part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let place = (times.len() as f64 * part) as usize;
    times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
