//! What a list of a million revoked entries costs inside the built .wasm: a request with a token that is remembered, with and
//! without the list, in interleaved rounds; what a newer list costs, and what the VM takes of memory with it and a full cache.

#[path = "../tests/support/token.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod token;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use carded_verifier::revocation::compact::build;
use carded_verifier::revocation::{Entry, Kind, Mark};
use carded_wasm_host::{Answer, GuestModule, Host, Outcome, Request, filter_path};
use serde_json::{Value, json};
use token::{Claims, Key};

/// Where the fake clock starts.
const START: u64 = 1_800_000_000;
const ENTRIES: u32 = 1_000_000;
const ROUNDS: usize = 200;
const REQUESTS: u32 = 20;
/// As many verdicts as are remembered unless the configuration says otherwise.
const CAPACITY: usize = 10_000;
/// The goal for the memory of a worker's VM.
const MEMORY: usize = 16 * 1024 * 1024;

type Published = Rc<RefCell<(u32, Vec<u8>)>>;

fn main() -> Result<(), String> {
    let module = GuestModule::from_file(&filter_path()).map_err(|error| error.to_string())?;
    let key = Key::new(1, "k1");
    let published: Published = Rc::new(RefCell::new((0, list(0))));
    let bytes = published.borrow().1.len();
    println!("a list of {ENTRIES} entries, {bytes} bytes in the compact form\n");
    let mut without = host(&module, &key, None)?;
    let mut with = host(&module, &key, Some(&published))?;
    let token = token(&key, 0);
    let request = || Request::get("/api/x").bearer(&token);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (host, times) in [&mut without, &mut with].into_iter().zip(&mut times) {
            let start = Instant::now();
            for _ in 0..REQUESTS {
                passed(&host.ask(request()))?;
            }
            // The first round warms up.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(REQUESTS));
            }
        }
    }
    println!("| a token, remembered (median and least of {ROUNDS} rounds) | µs | least |\n|---|---|---|");
    for (name, times) in ["nothing can be revoked", "a million entries"].iter().zip(times) {
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        println!("| {name} | {:.1} | {least:.1} |", median(times));
    }
    let mut memory = vec![("with the list", with.memory_bytes(0))];
    for number in 0..2 * CAPACITY {
        passed(&with.ask(Request::get("/api/x").bearer(&self::token(&key, number))))?;
    }
    memory.push(("with the list and a full cache", with.memory_bytes(0)));
    for version in 1..=3 {
        *published.borrow_mut() = (version, list(version));
        let start = Instant::now();
        with.advance(Duration::from_secs(7));
        println!("a newer list in all VMs: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        passed(&with.ask(request()))?;
        println!("a remembered token, asked once more: {:.1} µs", start.elapsed().as_secs_f64() * 1e6);
    }
    let full = with.memory_bytes(0);
    memory.push(("after three newer lists", full));
    println!("\n| memory of the VM | KiB |\n|---|---|");
    for (name, bytes) in memory {
        println!("| {name} | {} |", bytes / 1024);
    }
    if full < MEMORY { Ok(()) } else { Err(format!("{full} bytes with a list and a full cache")) }
}

fn list(version: u32) -> Vec<u8> {
    let mark = |number| Mark::of(Kind::Subject, "https://idp.example.com", &format!("revoked-{number}"));
    let entries: Vec<Entry> =
        (version..ENTRIES + version).map(|number| Entry { mark: mark(number), before: None }).collect();
    build(&entries, [1; 16]).unwrap_or_default()
}

fn host(module: &GuestModule, key: &Key, published: Option<&Published>) -> Result<Host, String> {
    let mut configuration = json!({
        "issuers": { "corp": { "issuer": "https://idp.example.com", "audiences": ["api.example.com"],
                               "keys": { "jwks": { "keys": [key.jwk()] } } } },
        "rules": [{ "match": { "path": "/api/**" }, "require": { "token": "corp" } }],
        "forward": { "headers": { "x-carded-subject": "corp.sub" } },
    });
    if published.is_some() {
        configuration["revocation"] = json!({ "uri": "https://ops.example.com/revoked", "refresh": "5s" });
        configuration["fetch"] = json!({ "clusters": { "ops.example.com": "ops" } });
    }
    let published = published.cloned().unwrap_or_default();
    let answer = move |call: &carded_wasm_host::Call| {
        let (version, body) = &*published.borrow();
        let etag = format!("\"{version}\"");
        let same = call.headers.text("if-none-match").as_ref() == Some(&etag);
        let answer = if same { Answer::status(304, "") } else { Answer::status(200, body.clone()) };
        answer.header("etag", etag)
    };
    let builder = Host::builder(module).configuration(&configuration).clock(START).cluster("ops", answer);
    let mut host = builder.start().map_err(|refused| refused.why)?;
    host.advance(Duration::from_secs(2));
    Ok(host)
}

/// A token of ten claims, about 900 bytes long.
fn token(key: &Key, number: usize) -> String {
    let claims = Claims::of(&format!("6f2c4f0e-5b0a-4c53-9e5e-{number:012}"))
        .with("jti", format!("b3c1e7f0-2f6d-4d0c-8a55-{number:012}"))
        .with("sid", format!("0d1c1e70-2f6d-4d0c-8a55-{number:012}"))
        .with("scope", "openid profile email read write")
        .with("email", format!("person-{number}@mail.example.com"))
        .with("address", json!({ "street": "1 Long Street", "city": "Springfield", "note": "x".repeat(200) }))
        .with("exp", Value::from(START + 100_000));
    key.token(&claims)
}

fn passed(outcome: &Outcome) -> Result<(), String> {
    if matches!(outcome, Outcome::Passed(_)) { Ok(()) } else { Err(format!("it was not let through: {outcome:?}")) }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
