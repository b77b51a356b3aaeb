//! What evidence costs in the built module, whole requests in wasmtime, with and without the host's crypto:
//! `cargo bench -p carded-wasm-host`. Subtract `nothing to check`, which is what this host and the module cost by themselves.

#[allow(dead_code)] // a benchmark needs a part
#[path = "../tests/support/agency.rs"]
mod agency;

use std::hint::black_box;

use carded_verifier::Algorithm;
use carded_verifier::sign::SigningKey;
use carded_wasm_host::{Answer, GuestModule, Host, Outcome, Request, filter_path, lending};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};

/// Where the fake clock starts.
const START: u64 = 1_800_000_000;
const ASYMMETRIC: [&str; 6] = ["RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA"];
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn keys() -> Vec<SigningKey> {
    let algorithm = |name: &str| Algorithm::parse(name).expect("an algorithm");
    let rsa = SigningKey::generate(algorithm("RS256"), "RS256", &[7; 32]).expect("a key");
    let make = |name: &str| match rsa.with_algorithm(algorithm(name)) {
        Ok(key) => key.with_kid(Some(name)),
        Err(_) => SigningKey::generate(algorithm(name), name, &[7; 32]).expect("a key"),
    };
    ASYMMETRIC.into_iter().map(make).collect()
}

fn token(key: &SigningKey, issuer: &str) -> String {
    let claims = json!({ "iss": issuer, "aud": "api", "sub": "alice", "iat": START, "exp": START + 36_000 });
    key.sign_claims(claims.as_object().expect("claims")).expect("signs")
}

/// A host whose module remembers so many verdicts; where it remembers none, each request is checked.
fn host(module: &GuestModule, keys: &[SigningKey], lends: bool, remembered: u32) -> Host {
    let mut configuration = agency::config();
    let set: Vec<Value> = keys.iter().map(SigningKey::public_jwk).collect();
    configuration["issuers"] = json!({
        "corp": { "issuer": "https://idp.example.com", "audiences": ["api"], "algorithms": ASYMMETRIC,
                  "keys": { "jwks": { "keys": set } } },
        "own": { "issuer": "https://own.example.com", "audiences": ["api"], "algorithms": ["HS256"],
                 "keys": { "secret": { "env": "SECRET" } } },
    });
    let any = json!({ "any": [{ "token": "corp" }, { "token": "own" }] });
    let rules = configuration["rules"].as_array_mut().expect("rules");
    rules.push(json!({ "match": { "path": "/api/**" }, "require": any }));
    configuration["limits"]["cached_verdicts"] = json!(remembered);
    let mut builder = Host::builder(module)
        .configuration(&configuration)
        .clock(START)
        .env("CARDED_SESSION_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
        .env("SECRET", SECRET)
        .cluster("dmv", agency::answer);
    if lends {
        builder = builder.foreign(lending::NAME, lending::verify_signature);
    }
    let mut host = builder.start().unwrap_or_else(|refused| panic!("{}: {:#?}", refused.why, refused.logs));
    host.set_cluster("none", |_| Answer::refused());
    host.advance(std::time::Duration::from_secs(2));
    host
}

fn passes(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Passed(_)), "{outcome:?}");
}

fn post(path: &str) -> Request {
    Request::new("POST", path).header("content-type", "application/x-www-form-urlencoded")
}

fn evidence(c: &mut Criterion) {
    let module = GuestModule::from_file(&filter_path()).unwrap_or_else(|error| panic!("{error}"));
    let keys = keys();
    let secret =
        Algorithm::parse("HS256").and_then(|hs256| SigningKey::from_secret(hs256, None, SECRET.as_bytes()).ok());
    let secret = token(&secret.expect("a key"), "https://own.example.com");
    let mut remembering = host(&module, &keys, true, 100);
    let same = token(keys.first().expect("a key"), "https://idp.example.com");
    c.bench_function("module/a token, remembered", |b| {
        b.iter(|| passes(&remembering.ask(Request::get("/api/x").bearer(black_box(&same)))));
    });
    for (lends, label) in [(false, "module"), (true, "module, host lends")] {
        let mut group = c.benchmark_group(label);
        let mut host = host(&module, &keys, lends, 0);
        group.bench_function("nothing to check", |b| b.iter(|| passes(&host.ask(Request::get("/open")))));
        let named = keys.iter().zip(ASYMMETRIC).map(|(key, name)| (name, token(key, "https://idp.example.com")));
        for (name, token) in named.chain([("HS256", secret.clone())]) {
            let mut once = || passes(&host.ask(Request::get("/api/x").bearer(black_box(&token))));
            // a table is made for a key that is used again
            (0..50).for_each(|_| once());
            group.bench_function(name, |b| b.iter(&mut once));
        }
        let mut first = true;
        let host = std::cell::RefCell::new(host);
        group.bench_function("SD-JWT VC with key binding and status", |b| {
            let challenge = || {
                let Outcome::Replied(reply) = host.borrow_mut().ask(post("/.carded/challenge")) else { panic!("none") };
                agency::form_for(&reply.json())
            };
            b.iter_batched(
                challenge,
                |form| {
                    let mut host = host.borrow_mut();
                    let id = host.send(0, post("/.carded/present").body(&[form.as_bytes()]));
                    if std::mem::take(&mut first) {
                        host.advance(std::time::Duration::from_secs(1));
                    }
                    let outcome = host.outcome(id);
                    assert!(matches!(&outcome, Outcome::Replied(reply) if reply.status == 200), "{outcome:?}");
                },
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, evidence);
criterion_main!(benches);
