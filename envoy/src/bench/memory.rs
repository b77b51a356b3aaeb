//! Memory and start: the VM of a worker with a full cache of verdicts, flat or not over millions of ever new tokens, and the time
//! from the moment when a running Envoy is given the listener until it answers.

use anyhow::{Context, Result, bail, ensure};
use ring::hmac;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::issuers::MANY;
use super::listeners::{Listeners, PATH, address, configuration};
use super::load::{self, Requests};
use super::report::{Limit, Report};
use super::rounds::Spread;
use super::scene::SESSION_KEY;
use super::tokens::{ISSUER, Keys, claims};
use crate::client::Request;
use crate::demo::session_key;
use crate::keys::base64url;
use crate::module;
use crate::run::{Envoy, Options as Run, free_port, scratch};

const NAME: &str = "Carded";
/// The one that is there before.
const BEFORE: &str = "Carded before";
pub(super) const MIB: f64 = 1024.0 * 1024.0;
/// What Envoy calls the gauge of the VM's memory.
const GAUGE: &str = "wasmcustom.carded.vm_memory_bytes";
/// The longest that the gauge may take to say what is so: the filter's slow tick.
pub(super) const TICK: Duration = Duration::from_secs(15);
/// How many requests the soak sends, and how many between two looks at the memory.
const SOAK: usize = 5_000_000;
const STEP: usize = 250_000;
/// What counts as flat: the VM grows by whole steps of its allocator, and the process has caches of its own.
const FLAT: f64 = 1.05;

/// Measures memory with a full cache, and the start.
///
/// # Errors
/// When something cannot be measured.
pub(super) async fn measure(report: &mut Report, empty: &Path, version: &str, starts: usize) -> Result<()> {
    let keys = Keys::new()?;
    let configuration = configuration(&keys.jwks(), MANY as u32);
    let envoy = one_filter(version, &configuration, Vec::new()).await?;
    let at = address(&envoy, NAME).await?;
    // a VM speaks of its memory once it serves
    let first = keys.token("ES256", 0)?;
    load::run(at, &Requests::once(vec![get(&first)]), 1, Duration::from_secs(60), 200).await?;
    let before = (gauge(&envoy).await?, resident(&envoy)?);
    let requests: Vec<Vec<u8>> = keys.tokens("ES256", MANY)?.iter().map(|token| get(token)).collect();
    load::run(at, &Requests::once(requests), 16, Duration::from_secs(600), 200).await?;
    tokio::time::sleep(TICK).await;
    let after = (gauge(&envoy).await?, resident(&envoy)?);
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MIB);
    report.figures.push(("memory of the VM, before the first token".to_owned(), mib(before.0)));
    report.figures.push(("memory of the VM, after 10,000 tokens".to_owned(), mib(after.0)));
    report.figures.push(("resident memory of Envoy, before".to_owned(), mib(before.1)));
    report.figures.push(("resident memory of Envoy, after".to_owned(), mib(after.1)));
    let megabytes = Spread::of(vec![after.0 as f64 / 1e6]);
    report.limits.push(Limit::figure("memory of the VM with a full cache of 10,000 tokens", 16.0, " MB", megabytes));
    drop(envoy);

    let mut times = Vec::new();
    for _ in 0..starts {
        times.push(start(version, Started::Carded(&configuration), &keys.token("ES256", 1)?).await?);
    }
    report.limits.push(Limit::figure("a filter's start: load, compile, configure", 0.4, " s", Spread::of(times)));
    // V8 compiles the whole of a module before its first call, so that a start is as long as the module is large
    let again = "with a second Carded of its own VM, where V8 has compiled the module for another";
    for (what, started, token) in [
        ("without a filter", Started::None, ""),
        ("with the empty Wasm filter", Started::Empty(empty), ""),
        (again, Started::Again(&configuration), &keys.token("ES256", 1)?),
    ] {
        let seconds = start(version, started, token).await?;
        report.figures.push((format!("start of a listener {what}"), format!("{seconds:.3} s")));
    }
    Ok(())
}

/// Sends five million requests with ever new tokens through a cache of 10,000, and looks at the memory on the way.
///
/// # Errors
/// When something cannot be measured.
pub(super) async fn soak(report: &mut Report, version: &str) -> Result<()> {
    // which the tool makes as fast as the filter checks them; a shared key is read from the environment alone
    let secret = session_key();
    let mut configuration = configuration(&Value::Null, MANY as u32);
    configuration["issuers"]["corp"]["algorithms"] = json!(["HS256"]);
    configuration["issuers"]["corp"]["keys"] = json!({ "secret": { "env": SESSION_KEY } });
    let envoy = one_filter(version, &configuration, vec![(SESSION_KEY.to_owned(), secret.clone())]).await?;
    let at = address(&envoy, NAME).await?;
    let mut seen: Vec<(u64, u64)> = Vec::new();
    for step in 0..SOAK / STEP {
        let (send, receive) = sync_channel(8);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let maker = std::thread::spawn(move || {
            for batch in 0..STEP / 500 {
                let first = step * STEP + batch * 500;
                let tokens = (first..first + 500).map(|subject| get(&hs256(&key, subject)));
                if send.send(tokens.collect()).is_err() {
                    return; // the load ended early, with an error of its own
                }
            }
        });
        let measured = load::run(at, &Requests::made(receive), 16, Duration::from_secs(3600), 200).await?;
        ensure!(maker.join().is_ok(), "the thread that makes tokens panicked");
        tokio::time::sleep(TICK).await;
        seen.push((gauge(&envoy).await?, resident(&envoy)?));
        let (vm, all) = seen.last().copied().unwrap_or_default();
        let done = (step + 1) * STEP;
        eprintln!(
            "{done} tokens: VM {:.1} MiB, Envoy {:.1} MiB, {:.0}/s",
            vm as f64 / MIB,
            all as f64 / MIB,
            measured.rate()
        );
    }
    // what is full after the first tenth stays as it is
    let early = seen.get(SOAK / STEP / 10).context("the soak is too short")?;
    let late = seen.last().context("the soak is too short")?;
    let growth = |late: u64, early: u64| Spread::of(vec![late as f64 / early as f64]);
    let what = "five million new tokens: memory of the VM at the end, to that after a tenth";
    report.limits.push(Limit::at_most(what, FLAT, growth(late.0, early.0)));
    let what = "five million new tokens: resident memory of Envoy at the end, to that after a tenth";
    report.limits.push(Limit::at_most(what, FLAT, growth(late.1, early.1)));
    Ok(())
}

fn get(token: &str) -> Vec<u8> {
    Request::get(PATH).bearer(token).bytes()
}

fn hs256(key: &hmac::Key, subject: usize) -> String {
    let header = base64url(br#"{"alg":"HS256","typ":"at+jwt"}"#);
    let input = format!("{header}.{}", base64url(Value::Object(claims(ISSUER, subject)).to_string()));
    let tag = base64url(hmac::sign(key, input.as_bytes()));
    format!("{input}.{tag}")
}

async fn one_filter(version: &str, configuration: &Value, environment: Vec<(String, String)>) -> Result<Envoy> {
    let mut listeners = Listeners::new(&module()?)?;
    listeners.carded(NAME, configuration, true);
    Envoy::start(&listeners.bootstrap(), &Run { concurrency: 1, environment, ..Run::version(version) }).await
}

/// The gauge, once the filter has set it.
pub(super) async fn gauge(envoy: &Envoy) -> Result<u64> {
    let end = Instant::now() + TICK * 2;
    loop {
        let value = envoy.stat(GAUGE).await?;
        if value > 0 {
            return Ok(value);
        }
        ensure!(Instant::now() < end, "the filter says nothing of its memory");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn resident(envoy: &Envoy) -> Result<u64> {
    envoy.resident_bytes().context("/proc says nothing of Envoy's memory")
}

/// What is started.
#[derive(Clone, Copy)]
pub(super) enum Started<'a> {
    /// Carded with this configuration.
    Carded(&'a Value),
    /// The same, beside another Carded that has started before.
    Again(&'a Value),
    /// The filter that does nothing, in this module: what Envoy and V8 take for any filter.
    Empty(&'a Path),
    /// A listener without a filter.
    None,
}

/// How long a start may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// Gives a running Envoy the listener by a file that it watches, and returns the seconds until it answers 200. The Envoy is a
/// fresh one, because V8 keeps what it compiled: only [`Started::Again`] finds it there.
///
/// # Errors
/// When it does not start, or refuses the token.
pub(super) async fn start(version: &str, filter: Started<'_>, token: &str) -> Result<f64> {
    let (mut before, mut listeners) = (Listeners::new(&module()?)?, Listeners::new(&module()?)?);
    match filter {
        Started::Carded(configuration) => listeners.carded(NAME, configuration, true),
        Started::Again(configuration) => {
            before.carded(BEFORE, configuration, true);
            listeners.carded(NAME, configuration, true);
            listeners.carded(BEFORE, configuration, true);
        }
        Started::Empty(module) => listeners.empty(NAME, module),
        Started::None => listeners.none(NAME),
    }
    let directory = scratch()?;
    let (file, next) = (directory.join("listeners.json"), directory.join("listeners.next.json"));
    let at = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let (bootstrap, text) = listeners.bootstrap().listen(at).listeners_from_file(&file);
    std::fs::write(&file, before.bootstrap().listeners_text())?;
    std::fs::write(&next, text)?;
    let run = Run { concurrency: 1, directory: Some(directory), ..Run::version(version) };
    let envoy = Envoy::start(&bootstrap, &run).await?;
    let begin = Instant::now();
    std::fs::rename(&next, &file)?;
    while begin.elapsed() < PATIENCE {
        // until then nobody listens
        if let Ok(reply) = Request::get(PATH).bearer(token).send(at).await {
            let time = begin.elapsed().as_secs_f64();
            ensure!(reply.status == 200, "it says {}: {}", reply.status, reply.text());
            return Ok(time);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bail!("the filter did not start within {PATIENCE:?}; see {}", envoy.directory().display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_the_soak_are_each_another_and_signed() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[0x2a; 32]);
        let (one, two) = (hs256(&key, 1), hs256(&key, 2));
        assert_ne!(one, two);
        let (input, tag) = one.rsplit_once('.').expect("a token");
        let tag = carded_verifier::base64url::decode(tag).expect("base64url");
        assert!(hmac::verify(&key, input.as_bytes(), &tag).is_ok());
        assert!(one.contains(&base64url(br#"{"alg":"HS256","typ":"at+jwt"}"#)));
    }
}
