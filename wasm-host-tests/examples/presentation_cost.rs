//! What it costs to verify an SD-JWT VC with key binding inside the built .wasm, beside one ES256 token: the same filter, in
//! interleaved rounds. Run by `cargo xtask bench`, which asserts the limit.

#[path = "../tests/support/agency.rs"]
#[allow(dead_code, reason = "the stories use more of it")]
mod agency;

use std::time::Instant;

use carded_verifier::Algorithm;
use carded_verifier::sign::SigningKey;
use carded_wasm_host::{GuestModule, Host, Outcome, Request, StreamId, filter_path};
use serde_json::{Value, json};

/// Where the fake clock starts.
const START: u64 = 1_800_000_000;
const ROUNDS: usize = 200;
/// The goal for a presentation, in ES256 checks.
const LIMIT: f64 = 2.3;

fn main() -> Result<(), String> {
    let module = GuestModule::from_file(&filter_path()).map_err(|error| error.to_string())?;
    let es256 = Algorithm::parse("ES256").ok_or("no ES256")?;
    let key = SigningKey::generate(es256, "idp", &[9; 32]).map_err(|error| error.to_string())?;
    let mut configuration = agency::config();
    configuration["issuers"] = json!({ "corp": {
        "issuer": "https://idp.example.com", "audiences": ["api"], "algorithms": ["ES256"],
        "keys": { "jwks": { "keys": [key.public_jwk()] } },
    } });
    let Some(rules) = configuration["rules"].as_array_mut() else { return Err("no rules".to_owned()) };
    rules.push(json!({ "match": { "path": "/api/**" }, "require": { "token": "corp" } }));
    configuration["limits"]["cached_verdicts"] = json!(0);
    let mut host = Host::builder(&module)
        .configuration(&configuration)
        .clock(START)
        .env("CARDED_SESSION_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
        .cluster("dmv", agency::answer)
        .headers_stop_iteration(true)
        .start()
        .map_err(|refused| refused.why)?;
    let claims =
        json!({ "iss": "https://idp.example.com", "aud": "api", "sub": "alice", "iat": START, "exp": START + 3600 });
    let Value::Object(claims) = claims else { return Err("no claims".to_owned()) };
    let token = key.sign_claims(&claims).map_err(|error| error.to_string())?;
    let (mut idle, mut tokens, mut presentations) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let form = agency::form_for(&challenge(&mut host)?);
        let start = Instant::now();
        passed(&host.ask(Request::get("/open")))?;
        let after_idle = start.elapsed();
        passed(&host.ask(Request::get("/api/x").bearer(&token)))?;
        let after_token = start.elapsed();
        let id = host.send(0, post("/.carded/present").body(&[form.as_bytes()]));
        let after_presentation = start.elapsed();
        granted(&mut host, id, round == 0)?;
        // The first round warms up, and fetches what is needed.
        if round > 0 {
            idle.push(after_idle.as_secs_f64() * 1e6);
            tokens.push((after_token - after_idle).as_secs_f64() * 1e6);
            presentations.push((after_presentation - after_token).as_secs_f64() * 1e6);
        }
    }
    let ratios = presentations.iter().zip(&tokens).map(|(presentation, token)| presentation / token).collect();
    let ratio = median(ratios);
    println!("| request (median of {ROUNDS} rounds, in this host, which is not Envoy) | µs |");
    println!("|---|---|");
    println!("| none of our evidence | {:.0} |", median(idle));
    println!("| one ES256 token, verified each time | {:.0} |", median(tokens));
    println!(
        "| an SD-JWT VC with key binding, its status looked up, a token sealed for it | {:.0} |",
        median(presentations)
    );
    println!("\na presentation costs {ratio:.2} times one ES256 token, whole requests compared");
    if ratio < LIMIT { Ok(()) } else { Err(format!("a presentation costs more than {LIMIT} times one ES256 token")) }
}

fn post(path: &str) -> Request {
    Request::new("POST", path).header("content-type", "application/x-www-form-urlencoded")
}

fn challenge(host: &mut Host) -> Result<Value, String> {
    match host.ask(post("/.carded/challenge")) {
        Outcome::Replied(reply) if reply.status == 200 => Ok(reply.json()),
        other => Err(format!("no challenge: {other:?}")),
    }
}

fn passed(outcome: &Outcome) -> Result<(), String> {
    if matches!(outcome, Outcome::Passed(_)) { Ok(()) } else { Err(format!("it was not let through: {outcome:?}")) }
}

fn granted(host: &mut Host, id: StreamId, first: bool) -> Result<(), String> {
    if first {
        host.advance(std::time::Duration::from_secs(1));
    }
    match host.outcome(id) {
        Outcome::Replied(reply) if reply.status == 200 => Ok(()),
        other => Err(format!("it was not accepted: {other:?}")),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
