//! What a request costs whose evidence was verified before, inside the built .wasm: a token and a session, beside a request
//! that needs no evidence, in interleaved rounds; a session where people sign in too, whose end is looked for each time; and what
//! a full cache takes of memory.

#[path = "../tests/support/agency.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod agency;
#[path = "../tests/support/token.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod token;

use std::time::Instant;

use carded_wasm_host::{GuestModule, Host, Outcome, Request, filter_path};
use serde_json::{Value, json};
use token::{Claims, Key};

/// Where the fake clock starts.
const START: u64 = 1_800_000_000;
const ROUNDS: usize = 400;
const REQUESTS: u32 = 20;
/// As many verdicts as are remembered unless the configuration says otherwise.
const CAPACITY: usize = 10_000;
/// The goal for the memory of a worker's VM with as many tokens.
const MEMORY: usize = 16 * 1024 * 1024;

fn main() -> Result<(), String> {
    let module = GuestModule::from_file(&filter_path()).map_err(|error| error.to_string())?;
    let key = Key::new(1, "k1");
    let mut host = world(&module, &key, false)?;
    let session = agency::enter(&mut host);
    let mut with_login = world(&module, &key, true)?;
    let elsewhere = agency::enter(&mut with_login);
    let token = token(&key, 0);
    println!("a token of {} bytes, a session's cookie of {}\n", token.len(), session.len());
    let requests = [
        ("no evidence", Request::get("/open")),
        ("a token, remembered", Request::get("/api/x").bearer(&token)),
        ("a session, remembered", Request::get("/wine/red").header("cookie", session.as_str())),
        ("no evidence, a session's cookie cut out", Request::get("/open").header("cookie", session.as_str())),
    ];
    let with_logout = Request::get("/wine/red").header("cookie", elsewhere.as_str());
    let names = requests.iter().map(|(name, _)| *name).chain(["a session, remembered, where people sign in"]);
    let mut times = vec![Vec::new(); requests.len() + 1];
    for round in 0..=ROUNDS {
        let all = requests.iter().map(|(_, request)| (request, false)).chain([(&with_logout, true)]);
        for ((request, signs_in), times) in all.zip(&mut times) {
            let host = if signs_in { &mut with_login } else { &mut host };
            let start = Instant::now();
            for _ in 0..REQUESTS {
                passed(&host.ask(request.clone()))?;
            }
            // The first round warms up.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(REQUESTS));
            }
        }
    }
    println!(
        "| request (median and least of {ROUNDS} rounds, in this host, which is not Envoy) | µs | least |\n|---|---|---|"
    );
    for (name, times) in names.zip(times) {
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        println!("| {name} | {:.1} | {least:.1} |", median(times));
    }
    memory(&module, &key)
}

/// What the VM of a worker takes with a full cache, and after as many tokens again.
fn memory(module: &GuestModule, key: &Key) -> Result<(), String> {
    let mut host = world(module, key, false)?;
    passed(&host.ask(Request::get("/open")))?;
    println!("\n| memory of the VM | KiB |\n|---|---|\n| no tokens | {} |", host.memory_bytes(0) / 1024);
    let mut full = 0;
    for number in 0..4 * CAPACITY {
        passed(&host.ask(Request::get("/api/x").bearer(&token(key, number))))?;
        if (number + 1) % CAPACITY == 0 {
            full = host.memory_bytes(0);
            println!("| {} tokens | {} |", number + 1, full / 1024);
        }
    }
    if full < MEMORY { Ok(()) } else { Err(format!("{full} bytes with a full cache")) }
}

fn world(module: &GuestModule, key: &Key, signs_in: bool) -> Result<Host, String> {
    let mut configuration = agency::config();
    configuration["issuers"] = json!({ "corp": {
        "issuer": "https://idp.example.com", "audiences": ["api.example.com"], "keys": { "jwks": { "keys": [key.jwk()] } },
    } });
    let Some(rules) = configuration["rules"].as_array_mut() else { return Err("no rules".to_owned()) };
    rules.push(json!({ "match": { "path": "/api/**" }, "require": { "token": "corp" }, "authorize": true }));
    configuration["policies"] = json!([{ "effect": "allow", "subjects": ["role:corp.clerk", "scope:corp.read"],
                                         "actions": ["*"], "resources": ["/api/**"] }]);
    configuration["issuers"]["corp"]["roles"] = json!("realm_access.roles");
    configuration["forward"]["headers"]["x-carded-subject"] = json!("corp.sub");
    configuration["forward"]["headers"]["x-carded-email"] = json!("corp.email");
    if signs_in {
        configuration["issuers"]["people"] = json!({
            "issuer": "https://idp.example.com/people", "audiences": ["none"], "keys": { "discovery": true },
        });
        let secret = json!({ "env": "CARDED_SESSION_KEY" });
        configuration["login"] = json!({ "people": { "client_id": "shop", "client_secret": secret } });
        configuration["fetch"]["clusters"]["idp.example.com"] = json!("idp");
    }
    Host::builder(module)
        .configuration(&configuration)
        .clock(START)
        .env("CARDED_SESSION_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
        .cluster("dmv", agency::answer)
        .cluster("idp", |_| carded_wasm_host::Answer::status(404, ""))
        .headers_stop_iteration(true)
        .start()
        .map_err(|refused| refused.why)
}

/// A token of ten claims, about 900 bytes long.
fn token(key: &Key, number: usize) -> String {
    let claims = Claims::of(&format!("6f2c4f0e-5b0a-4c53-9e5e-{number:012}"))
        .with("azp", "shop-frontend")
        .with("jti", format!("b3c1e7f0-2f6d-4d0c-8a55-{number:012}"))
        .with("scope", "openid profile email read write")
        .with("email", format!("person-{number}@mail.example.com"))
        .with("realm_access", json!({ "roles": ["clerk", "auditor", "staff", "offline_access"] }))
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
