//! Every algorithm that an issuer can sign with, through the built module, with keys of Carded's own signer.

use std::sync::OnceLock;

use carded_verifier::Algorithm;
use carded_verifier::sign::SigningKey;
use carded_wasm_host::{Answer, Host};
use serde_json::{Map, Value, json};

use crate::support::{SECOND, START, ask_api, config, filter, start};

pub(crate) fn key(name: &str) -> SigningKey {
    static RSA: OnceLock<SigningKey> = OnceLock::new();
    let algorithm = Algorithm::parse(name).expect("an algorithm");
    if name.starts_with("RS") || name.starts_with("PS") {
        // making one takes a second or more
        let rsa = RSA.get_or_init(|| {
            let rs256 = Algorithm::parse("RS256").expect("an algorithm");
            SigningKey::generate(rs256, "rsa", &[7; 32]).expect("a key")
        });
        return rsa.with_algorithm(algorithm).expect("an RSA algorithm").with_kid(Some(name));
    }
    SigningKey::generate(algorithm, name, &[7; 32]).expect("a key")
}

pub(crate) fn claims() -> Map<String, Value> {
    let claims = json!({
        "iss": "https://idp.example.com", "aud": "api.example.com", "sub": "alice", "iat": START, "exp": START + 600
    });
    claims.as_object().expect("an object").clone()
}

fn host_of(keys: &[SigningKey], algorithms: &[&str]) -> Host {
    let mut config = config();
    config["issuers"]["corp"]["algorithms"] = json!(algorithms);
    config["issuers"]["corp"]["keys"] = json!({ "jwks_uri": "https://idp.example.com/keys" });
    let set = json!({ "keys": keys.iter().map(SigningKey::public_jwk).collect::<Vec<_>>() });
    let answers = move |_: &carded_wasm_host::Call| Answer::json(&set);
    let mut host = start(Host::builder(filter()).configuration(&config).clock(START).cluster("idp", answers));
    host.advance(SECOND);
    host
}

pub(crate) const ASYMMETRIC: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

#[test]
fn every_algorithm_passes_where_it_is_named_and_only_there() {
    let keys: Vec<_> = ASYMMETRIC.into_iter().map(key).collect();
    let tokens: Vec<_> = keys.iter().map(|key| key.sign_claims(&claims()).expect("signs")).collect();
    let mut host = host_of(&keys, &ASYMMETRIC);
    for (name, token) in ASYMMETRIC.iter().zip(&tokens) {
        let outcome = ask_api(&mut host, token);
        let id = outcome.passed().headers.text("x-carded-subject");
        assert_eq!(id.as_deref(), Some("alice"), "{name}");
    }
    for named in ["RS256", "ES256"] {
        let mut host = host_of(&keys, &[named]);
        for (name, token) in ASYMMETRIC.iter().zip(&tokens) {
            let outcome = ask_api(&mut host, token);
            if *name == named {
                outcome.passed();
            } else {
                outcome.refused(401, "algorithm_not_allowed");
            }
        }
    }
}

#[test]
fn a_shared_secret_works_where_it_is_named() {
    let secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for name in ["HS256", "HS384", "HS512"] {
        let algorithm = Algorithm::parse(name).expect("an algorithm");
        let key = SigningKey::from_secret(algorithm, None, secret.as_bytes()).expect("a key");
        let mut config = config();
        config["issuers"]["corp"]["algorithms"] = json!([name]);
        config["issuers"]["corp"]["keys"] = json!({ "secret": { "env": "CORP_SECRET" } });
        let mut host = start(Host::builder(filter()).configuration(&config).clock(START).env("CORP_SECRET", secret));
        ask_api(&mut host, &key.sign_claims(&claims()).expect("signs")).passed();
        let other = SigningKey::from_secret(algorithm, None, &[b'x'; 64]).expect("a key");
        ask_api(&mut host, &other.sign_claims(&claims()).expect("signs")).refused(401, "signature_invalid");
        host.assert_never_logged(secret);
    }
}

#[test]
fn a_public_key_never_serves_as_a_secret() {
    // threat 9: HS256 with the text of the public key
    let rsa = key("RS256");
    let mut host = host_of(std::slice::from_ref(&rsa), &["RS256"]);
    let hs256 = Algorithm::parse("HS256").expect("an algorithm");
    let text = rsa.public_jwk().to_string();
    let forged = SigningKey::from_secret(hs256, Some("RS256"), text.as_bytes()).expect("a key");
    ask_api(&mut host, &forged.sign_claims(&claims()).expect("signs")).refused(401, "algorithm_not_allowed");
}
