//! What a decision of the policies costs inside the built .wasm: the same request through filters that differ in their
//! statements only, in interleaved rounds. Run by `cargo xtask bench`, which asserts the limit.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carded_wasm_host::{GuestModule, Host, Outcome, Request, filter_path};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

const ROUNDS: usize = 400;
const REQUESTS: u32 = 20;
const NOW: u64 = 1_800_000_000;
/// The goal for 100 statements.
const LIMIT_US: f64 = 5.0;

fn main() -> Result<(), String> {
    let module = GuestModule::from_file(&filter_path()).map_err(|error| error.to_string())?;
    let key = SigningKey::from_bytes(&[7; 32]);
    let token = token(&key);
    let mut hosts = Vec::new();
    for statements in [0, 100, 1000] {
        let host = Host::builder(&module).configuration(&configuration(&key, statements)).clock(NOW).start();
        hosts.push((statements, host.map_err(|refused| refused.why)?, Vec::new()));
    }
    for round in 0..=ROUNDS {
        for (_, host, times) in &mut hosts {
            let start = Instant::now();
            for _ in 0..REQUESTS {
                let outcome = host.ask(Request::get("/api/orders/7").bearer(&token));
                if !matches!(outcome, Outcome::Passed(_)) {
                    return Err(format!("the request was not let through: {outcome:?}"));
                }
            }
            // The first round warms up.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(REQUESTS));
            }
        }
    }
    let without = hosts.first().map(|(_, _, times)| times.clone()).unwrap_or_default();
    println!("a request without policies takes {:.1} µs in this host, which is not Envoy\n", median(without.clone()));
    println!("| statements | µs a decision (median of {ROUNDS} rounds against the same request without policies) |");
    println!("|---|---|");
    let mut costs = Vec::new();
    for (statements, _, times) in hosts.iter().skip(1) {
        // Round against round, so that a slow moment of the machine weighs on both sides.
        let cost = median(times.iter().zip(&without).map(|(with, without)| with - without).collect());
        println!("| {statements} | {cost:.2} |");
        costs.push(cost);
    }
    match costs.first() {
        Some(cost) if *cost < LIMIT_US => Ok(()),
        _ => Err(format!("100 statements cost more than {LIMIT_US} µs")),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Statements about many paths and roles; a few of them are about the request. The last one allows.
fn configuration(key: &SigningKey, statements: usize) -> Value {
    let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
    let mut policies: Vec<Value> = (1..statements)
        .map(|n| {
            let effect = if n % 10 == 0 { "deny" } else { "allow" };
            let resource = if n % 4 == 0 { format!("/api/orders/**/{n}") } else { format!("/api/thing-{n}/**") };
            json!({ "effect": effect, "subjects": [format!("role:corp.role-{n}"), "role:corp.auditor"],
                    "actions": ["GET", "POST"], "resources": [resource] })
        })
        .collect();
    if statements > 0 {
        policies.push(json!({ "effect": "allow", "subjects": ["role:corp.clerk"], "actions": ["GET"],
                              "resources": ["/api/orders/**"] }));
    }
    json!({
        "issuers": { "corp": {
            "issuer": "https://idp.example.com", "audiences": ["api"], "algorithms": ["EdDSA"],
            "keys": { "jwks": { "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "kid": "1" }] } },
        } },
        "rules": [{ "match": { "path": "/api/**" }, "require": { "token": "corp" }, "authorize": statements > 0 }],
        "policies": policies,
    })
}

fn token(key: &SigningKey) -> String {
    let claims = json!({ "iss": "https://idp.example.com", "aud": "api", "sub": "alice", "iat": NOW, "exp": NOW + 3600,
                         "roles": ["clerk", "auditor", "staff", "role-1", "role-2"] });
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA","kid":"1"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).to_bytes());
    format!("{signed}.{signature}")
}
