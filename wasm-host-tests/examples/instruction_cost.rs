//! How many instructions of the .wasm a request takes, counted by wasmtime: the same on every machine and in every run, where times are
//! not. Host calls count for nothing here, nor does what the host lends: Envoy's `verify_signature` answers for RS256 and ES256.

#[path = "../tests/support/agency.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod agency;

use std::collections::BTreeMap;

use carded_verifier::Algorithm;
use carded_verifier::sign::SigningKey;
use carded_wasm_host::{GuestModule, Host, Outcome, Request, filter_path, lending};
use serde_json::{Map, Value, json};

/// Where the fake clock starts.
const START: u64 = 1_800_000_000;
/// Requests before those that are counted, so that tables are there.
const WARM: usize = 320;
/// Requests that are counted.
const COUNTED: usize = 64;
const ISSUER: &str = "https://idp.example.com";

fn main() -> Result<(), String> {
    let path = std::env::args_os().nth(1).map_or_else(filter_path, Into::into);
    if std::env::args().nth(2).as_deref() == Some("--told") {
        return told(&GuestModule::telling(&path)?);
    }
    println!("| request (mean of {COUNTED}) | instructions |\n|---|---:|");
    each(&GuestModule::counting(&path)?, |what, host, request| {
        let mut start = 0;
        for number in 0..WARM + COUNTED {
            if number == WARM {
                start = host.instructions(0);
            }
            pass(what, host, request(number)?)?;
        }
        println!("| {what} | {} |", (host.instructions(0) - start) / COUNTED as u64);
        Ok(())
    })
}

/// Prints the numbers of the functions that requests run through, in the order of their first call, a line each; then the
/// numbers of the branches, and with each how often its condition was false and how often true.
fn told(module: &GuestModule) -> Result<(), String> {
    let (mut entered, mut branches) = (Vec::new(), BTreeMap::<u32, [u64; 2]>::new());
    each(module, |what, host, request| {
        for number in 0..WARM {
            pass(what, host, request(number)?)?;
        }
        host.told(0);
        for number in WARM..WARM + COUNTED {
            pass(what, host, request(number)?)?;
        }
        let told = host.told(0);
        for function in told.entered {
            if !entered.contains(&function) {
                entered.push(function);
            }
        }
        for (branch, [untrue, true_]) in told.branches {
            let sum = branches.entry(branch).or_default();
            *sum = [sum[0] + untrue, sum[1] + true_];
        }
        Ok(())
    })?;
    entered.iter().for_each(|function| println!("{function}"));
    branches.iter().for_each(|(branch, [untrue, true_])| println!("{branch} {untrue} {true_}"));
    Ok(())
}

/// The request of this number.
type Requests<'r> = &'r dyn Fn(usize) -> Result<Request, String>;

/// Does this with the requests of each kind.
fn each(
    module: &GuestModule,
    mut measure: impl FnMut(&str, &mut Host, Requests<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let keys: Vec<_> = ["RS256", "ES256", "EdDSA"].into_iter().zip(1..).map(key).collect::<Result<_, _>>()?;
    let mut host = world(module, &keys, 10_000)?;
    let session = agency::enter(&mut host);
    let request =
        |path: &str| Request::get(path).header("user-agent", "wrk").header("x-request-id", "b3a8c7a2-6f0e-4a5b");
    let remembered = token(keys.first().ok_or("no key")?, 0)?;
    for (what, request) in [
        ("nothing asked for", request("/open")),
        ("a token, remembered", request("/api/orders/7").bearer(&remembered)),
        ("a session, remembered", request("/wine/red").header("cookie", session.as_str())),
    ] {
        measure(what, &mut host, &|_| Ok(request.clone()))?;
    }
    for key in &keys {
        let mut host = world(module, &keys, 0)?;
        let what = format!("a new token, {}", key.algorithm().name());
        measure(&what, &mut host, &|number| Ok(request("/api/orders/7").bearer(&token(key, number)?)))?;
    }
    Ok(())
}

fn pass(what: &str, host: &mut Host, request: Request) -> Result<(), String> {
    match host.ask(request) {
        Outcome::Passed(_) => Ok(()),
        other => Err(format!("{what} was not let through: {other:?}")),
    }
}

fn key((algorithm, seed): (&str, u8)) -> Result<SigningKey, String> {
    let known = Algorithm::parse(algorithm).ok_or("an unknown algorithm")?;
    SigningKey::generate(known, algorithm, &[seed; 32]).map_err(|error| error.to_string())
}

/// What one worker has: an issuer with a key for each algorithm, two claims that become headers, and the wine shop.
fn world(module: &GuestModule, keys: &[SigningKey], cached: u32) -> Result<Host, String> {
    let mut configuration = agency::config();
    let jwks: Vec<_> = keys.iter().map(SigningKey::public_jwk).collect();
    configuration["issuers"] = json!({ "corp": {
        "issuer": ISSUER, "audiences": ["api.example.com"], "algorithms": ["RS256", "ES256", "EdDSA"],
        "keys": { "jwks": { "keys": jwks } },
    } });
    let Some(rules) = configuration["rules"].as_array_mut() else { return Err("no rules".to_owned()) };
    rules.push(json!({ "match": { "path": "/api/**" }, "require": { "token": "corp" } }));
    configuration["forward"]["headers"]["x-carded-subject"] = json!("corp.sub");
    configuration["forward"]["headers"]["x-carded-role"] = json!("corp.role");
    configuration["limits"] = json!({ "cached_verdicts": cached });
    configuration["access_log"] = json!([]);
    Host::builder(module)
        .configuration(&configuration)
        .clock(START)
        .env("CARDED_SESSION_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
        .cluster("dmv", agency::answer)
        .foreign("verify_signature", lending::verify_signature)
        .headers_stop_iteration(true)
        .start()
        .map_err(|refused| refused.why)
}

/// An access token of about ten claims (RFC 9068), as in the benchmarks in Envoy.
fn token(key: &SigningKey, subject: usize) -> Result<String, String> {
    let claims = json!({
        "iss": ISSUER, "aud": "api.example.com", "sub": format!("person-{subject:08}"), "client_id": "bench",
        "iat": START, "nbf": START, "exp": START + 6 * 3600, "jti": format!("{subject:016x}"),
        "name": "Ada Lovelace", "email": "ada@example.com", "role": "clerk", "roles": ["clerk"],
        "scope": "openid profile orders:read",
    });
    let claims = if let Value::Object(claims) = claims { claims } else { Map::new() };
    key.sign_claims(&claims).map_err(|error| error.to_string())
}
