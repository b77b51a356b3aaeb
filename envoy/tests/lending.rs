//! The crypto that Envoy lends (`verify_signature`): in use where the capability allows it, stood in for where not, and the same
//! verdicts either way, also on keys and signatures that an issuer or an attacker could make up.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::keys::base64url;
use carded_verifier::sign::SigningKey;
use carded_verifier::{Algorithm, base64url as base64};
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

use crate::common::{ISSUER, Setup, World, alice, config, in_each_envoy};

in_each_envoy!(envoys_crypto_is_used, without_the_capability_the_module_checks, odd_keys_and_forms_harm_nobody);

const ALL: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

fn key(name: &str) -> Result<SigningKey> {
    static RSA: OnceLock<SigningKey> = OnceLock::new();
    let algorithm = Algorithm::parse(name).context("an algorithm")?;
    if algorithm.key_type() != carded_verifier::algorithm::KeyType::Rsa {
        return Ok(SigningKey::generate(algorithm, name, &[7; 32])?);
    }
    if RSA.get().is_none() {
        let _ = RSA.set(SigningKey::generate(algorithm, name, &[7; 32])?);
    }
    Ok(RSA.get().context("a key")?.with_algorithm(algorithm)?.with_kid(Some(name)))
}

/// A world whose issuer signs with everything; `more` keys are published beside the honest ones.
async fn world(version: &str, more: Vec<Value>, edit: fn(&mut carded_envoy::config::Bootstrap)) -> Result<World> {
    let mut config = config();
    config["issuers"]["corp"]["algorithms"] = json!(ALL);
    let world = Setup { config, edit, silent_provider: true, ..Default::default() }.start(version).await?;
    let mut keys: Vec<Value> = ALL.iter().map(|name| Ok(key(name)?.public_jwk())).collect::<Result<_>>()?;
    keys.extend([world.key.jwk()]);
    keys.extend(more);
    world.idp.publish_set(ISSUER, json!({ "keys": keys }));
    // the first fetch found nothing
    crate::common::eventually("the keys", || async {
        Ok(world.send(Request::get("/api/orders").bearer(&world.token())).await?.status == 200)
    })
    .await?;
    Ok(world)
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value { members } else { Map::new() }
}

/// A token of that algorithm and key id whose signature is what `change` makes of the honest one.
fn token(name: &str, kid: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<String> {
    let key = key(name)?;
    let header = json!({ "alg": name, "kid": kid, "typ": "at+jwt" }).to_string();
    let signed = format!("{}.{}", base64url(header), base64url(Value::Object(object(alice())).to_string()));
    let signature = change(key.signature(signed.as_bytes())?);
    Ok(format!("{signed}.{}", base64url(signature)))
}

fn same(signature: Vec<u8>) -> Vec<u8> {
    signature
}

fn turned(mut signature: Vec<u8>) -> Vec<u8> {
    if let Some(last) = signature.last_mut() {
        *last ^= 1;
    }
    signature
}

async fn all_is_right(world: &World) -> Result<()> {
    for name in ALL {
        world.passes(name, Request::get("/api/orders").bearer(&token(name, name, same)?)).await?;
        let bad = Request::get("/api/orders").bearer(&token(name, name, turned)?);
        world.refused(name, bad, 401, "signature_invalid").await?;
    }
    world.alive().await
}

async fn envoys_crypto_is_used(version: &'static str) -> Result<()> {
    let world = world(version, Vec::new(), |_| {}).await?;
    let log = world.envoy.log();
    let line = "carded: signatures: RS256, RS384, RS512, ES256, ES384 by the host, the others by this module";
    ensure!(log.contains(line), "no line in\n{log}");
    all_is_right(&world).await?;
    ensure!(world.envoy.stat("wasmcustom.carded.lent.algorithms").await? == 5);
    ensure!(world.envoy.stat("wasmcustom.carded.lent.failed").await? == 0);
    Ok(())
}

async fn without_the_capability_the_module_checks(version: &'static str) -> Result<()> {
    let edit = |bootstrap: &mut carded_envoy::config::Bootstrap| {
        let allowed = bootstrap.plugin()["capability_restriction_config"]["allowed_capabilities"].as_object_mut();
        allowed.and_then(|a| a.remove("proxy_call_foreign_function"));
    };
    let world = world(version, Vec::new(), edit).await?;
    let log = world.envoy.log();
    ensure!(log.contains("carded: signatures: all by this module"), "no line in\n{log}");
    all_is_right(&world).await?;
    ensure!(world.envoy.stat("wasmcustom.carded.lent.algorithms").await? == 0);
    Ok(())
}

/// n - s, which holds where s does.
fn high(signature: &[u8]) -> Vec<u8> {
    const ORDER: &str = "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE";
    let order = base64::decode(ORDER).unwrap_or_default();
    let (r, s) = signature.split_at(32);
    let (mut result, mut borrow) = (vec![0; 32], 0_i16);
    for at in (0..32).rev() {
        let difference = i16::from(order[at]) - i16::from(s[at]) - borrow;
        borrow = i16::from(difference < 0);
        result[at] = (difference & 0xff) as u8;
    }
    [r, &result].concat()
}

fn der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let integer = |number: &[u8]| {
        let zero: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
        [&[2, (number.len() + zero.len()) as u8], zero, number].concat()
    };
    let numbers = [integer(r), integer(s)].concat();
    [&[0x30, numbers.len() as u8], &numbers[..]].concat()
}

async fn odd_keys_and_forms_harm_nobody(version: &'static str) -> Result<()> {
    let odd = |bytes: usize| [vec![0xd1; bytes - 1], vec![0x0f]].concat();
    let rsa = |kid: &str, n: Vec<u8>, e: &[u8]| json!({ "kty": "RSA", "alg": "RS256", "kid": kid, "n": base64url(n), "e": base64url(e) });
    let more = vec![
        rsa("8192 bits", odd(1024), &[3]),
        rsa("large exponent", odd(256), &[1, 0xff, 0xff, 0xff, 0xff]),
        rsa("one byte more", [vec![1], odd(256)].concat(), &[1, 0, 1]),
        rsa("all ones", vec![0xff; 256], &[1, 0, 1]),
        rsa("even", [vec![0xd1; 255], vec![0x0e]].concat(), &[1, 0, 1]),
    ];
    let world = world(version, more, |_| {}).await?;
    for (kid, length, code) in [
        ("8192 bits", 1024, "signature_invalid"),
        ("large exponent", 256, "signature_invalid"),
        ("one byte more", 257, "signature_invalid"),
        ("all ones", 256, "signature_invalid"),
        ("even", 256, "key_not_found"),
    ] {
        for fill in [0, 1, 0x42, 0xff] {
            let made_up = token("RS256", kid, |_| vec![fill; length])?;
            world.refused(kid, Request::get("/api/orders").bearer(&made_up), 401, code).await?;
        }
    }
    let passes = Request::get("/api/orders").bearer(&token("ES256", "ES256", |s| high(&s))?);
    world.passes("both s are good in JOSE", passes).await?;
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let changes: [(&str, &str, Change); 12] = [
        ("DER in JOSE", "ES256", |s| der(&s)),
        ("DER cut to length", "ES256", |s| der(&s)[..64].to_vec()),
        ("a byte less", "ES256", |s| s[1..].to_vec()),
        ("a byte more", "ES256", |s| [&s[..], &[0]].concat()),
        ("zeros in front", "ES256", |s| [&[0], &s[..32], &[0], &s[32..]].concat()),
        ("s and r", "ES256", |s| [&s[32..], &s[..32]].concat()),
        ("nothing but zeros", "ES256", |s| vec![0; s.len()]),
        ("nothing but ones", "ES256", |s| vec![0xff; s.len()]),
        ("nothing but zeros", "ES384", |s| vec![0; s.len()]),
        ("nothing but zeros", "RS256", |s| vec![0; s.len()]),
        ("a zero in front", "RS256", |s| [&[0], &s[..]].concat()),
        ("a byte less", "RS256", |s| s[1..].to_vec()),
    ];
    for (what, name, change) in changes {
        let request = Request::get("/api/orders").bearer(&token(name, name, change)?);
        world.refused(what, request, 401, "signature_invalid").await?;
    }
    ensure!(world.envoy.stat("wasmcustom.carded.lent.algorithms").await? == 5);
    world.alive().await
}
