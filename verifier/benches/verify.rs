//! What verifying costs natively, for every kind of evidence: `cargo bench -p carded-verifier`.

// the worlds of the tests, of which a benchmark needs a part
#[allow(dead_code, unreachable_pub)]
#[path = "../tests/suite/shop.rs"]
mod shop;
#[allow(dead_code, unreachable_pub)]
#[path = "../tests/suite/support.rs"]
mod support;

use carded_verifier::dcql::CredentialQuery;
use carded_verifier::did::Did;
use carded_verifier::dpop::{self, DpopRequest};
use carded_verifier::jwt_vc::{
    CredentialClaims, DataModel, PresentationClaims, prepare_credential, prepare_presentation,
};
use carded_verifier::sign::{SigningKey, prepare};
use carded_verifier::{
    CredentialPolicy, Documents, Evidence, Issuer, KeySet, KeySource, Limits, Outcome, Presentation, PublicKey,
    RustCrypto, RustCryptoWithTables, SignatureProvider, StatusReference, StatusRule, Trust, TrustedIssuer, verify,
    verify_presentation, verify_status,
};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use support::*;

fn passes<V: std::fmt::Debug>(outcome: &Outcome<V>) {
    assert!(matches!(outcome, Outcome::Verified(_)), "{outcome:?}");
}

/// One access token, whole: parse, issuer, key, signature, claims.
fn tokens(c: &mut Criterion) {
    let mut group = c.benchmark_group("token");
    let mut bench = |name: &str, label: &str, issuer: Issuer, provider: Arc<dyn SignatureProvider>| {
        let limits = Limits::default();
        let known = Documents::new(&limits);
        let trust = Trust::new(vec![issuer], limits, provider).unwrap();
        let token = key(name).sign_claims(&claims()).unwrap();
        let once = || verify(&Evidence::access_token(black_box(token.as_bytes())), &trust, &known, at(0));
        // a table is made for a key that is used again
        (0..100).for_each(|_| passes(&once()));
        group.bench_function(label, |b| b.iter(once));
    };
    for name in ["RS256", "PS256", "ES256", "ES384", "EdDSA"] {
        bench(name, name, corp(), Arc::new(RustCrypto));
    }
    bench("EdDSA", "EdDSA with tables", corp(), Arc::new(RustCryptoWithTables::default()));
    let mut secret = corp();
    secret.algorithms = vec![algorithm("HS256")];
    let set = json!({ "keys": [key("HS256").public_jwk()] });
    secret.keys = KeySource::Inline(KeySet::parse(set.to_string().as_bytes(), &secret.algorithms).unwrap());
    bench("HS256", "HS256", secret, Arc::new(RustCrypto));
}

/// The signature alone.
fn signatures(c: &mut Criterion) {
    let mut group = c.benchmark_group("signature");
    for name in ["RS256", "PS256", "ES256", "ES384", "EdDSA"] {
        let public = PublicKey::from_jwk(&object(key(name).public_jwk())).unwrap().0;
        let (message, signature) = ([b'm'; 400], key(name).signature(&[b'm'; 400]).unwrap());
        group.bench_function(name, |b| {
            b.iter(|| RustCrypto.verify(algorithm(name), &public, black_box(&message), &signature).unwrap());
        });
    }
}

/// An SD-JWT VC with key binding and its status (ES256 twice), and the look-up of the status alone.
fn sd_jwt_vc(c: &mut Criterion) {
    let world = shop::Shop::new();
    let presentation = shop::present(&shop::issue(shop::ada()));
    passes(&world.verify_at(&presentation, 0));
    c.bench_function("SD-JWT VC with key binding", |b| b.iter(|| world.verify_at(black_box(&presentation), 0)));
    let status = StatusReference { idx: 5, uri: shop::LIST.to_owned() };
    let look = || verify_status(black_box(&status), shop::DMV, world.index(), &world.trust, &world.known, at(0));
    passes(&look());
    c.bench_function("status list, from memory", |b| b.iter(look));
}

/// A JWT VC of an issuer by DID (ES256) in a presentation by an Ed25519 `did:key`.
fn jwt_vc(c: &mut Criterion) {
    const CLERK: &str = "did:web:clerk.example";
    const AUDIENCE: &str = "redirect_uri:https://shop.example.com/.carded/response";
    let query = json!({ "id": "clerk21", "format": "jwt_vc_json", "meta": { "type_values": [["AgeCredential"]] } });
    let issuer = TrustedIssuer::Did(Did::parse(CLERK).unwrap());
    let algorithms = vec![algorithm("ES256"), algorithm("EdDSA")];
    let mut policy = CredentialPolicy::new(CredentialQuery::parse(&query).unwrap(), vec![issuer], algorithms);
    policy.status = StatusRule::IfPresent;
    let holder = key("EdDSA");
    let did = Did::key(&PublicKey::from_jwk(&object(holder.public_jwk())).unwrap().0).unwrap();
    let kid = format!("{did}#{}", did.as_str().rsplit(':').next().unwrap());
    let claims = CredentialClaims {
        issuer: CLERK,
        kid: &format!("{CLERK}#sign"),
        types: &["AgeCredential"],
        id: None,
        subject: did.as_str(),
        about: object(json!({ "age_equal_or_over": { "21": true } })),
        valid_from: at(-1000),
        valid_until: Some(at(86_400)),
        status: None,
    };
    let clerk: SigningKey = key("ES256");
    let credential = clerk.sign(prepare_credential(DataModel::V1, algorithm("ES256"), &claims)).unwrap();
    let shown = PresentationClaims {
        holder: did.as_str(),
        kid: &kid,
        audience: AUDIENCE,
        nonce: shop::NONCE,
        issued_at: at(-10),
        lifetime: Duration::from_secs(300),
    };
    let presentation = prepare_presentation(DataModel::V1, algorithm("EdDSA"), &credential, &shown);
    let presentation = holder.sign(presentation).unwrap();
    let limits = Limits::default();
    let mut known = Documents::new(&limits);
    let trust = Trust::new(Vec::new(), limits, Arc::new(RustCrypto)).unwrap().with_credentials(vec![policy]).unwrap();
    let index = trust.credential_of("clerk21").unwrap();
    let evidence = Presentation::new(index, presentation.as_bytes(), AUDIENCE, shop::NONCE);
    if let Outcome::Need(fetch) = verify_presentation(&evidence, &trust, &known, at(0)) {
        let mut jwk = object(clerk.public_jwk());
        jwk.remove("kid");
        let id = format!("{CLERK}#sign");
        let method = json!({ "id": id, "type": "JsonWebKey2020", "controller": CLERK, "publicKeyJwk": jwk });
        let document = json!({ "id": CLERK, "verificationMethod": [method], "assertionMethod": [id] });
        known.insert(&fetch, &reply(document.to_string()), at(0)).unwrap();
    }
    passes(&verify_presentation(&evidence, &trust, &known, at(0)));
    c.bench_function("JWT VC in a presentation", |b| {
        b.iter(|| verify_presentation(black_box(&evidence), &trust, &known, at(0)));
    });
}

/// A DPoP proof, whose key comes with it.
fn proofs(c: &mut Criterion) {
    let mut group = c.benchmark_group("DPoP proof");
    for name in ["ES256", "EdDSA"] {
        let signer = key(name);
        let mut jwk = object(signer.public_jwk());
        jwk.retain(|name, _| ["kty", "crv", "x", "y"].contains(&name.as_str()));
        let header = object(json!({ "alg": name, "typ": "dpop+jwt", "jwk": jwk }));
        let claims = json!({ "htm": "GET", "htu": "https://api.example.com/x", "iat": NOW, "jti": "1" });
        let proof = signer.sign(prepare(&header, &object(claims))).unwrap();
        let request =
            DpopRequest { method: "GET", uri: "https://api.example.com/x", access_token: None, thumbprint: None };
        let limits = Limits::default();
        let once = || dpop::verify(black_box(proof.as_bytes()), &request, &RustCrypto, &limits, at(0));
        assert!(once().is_ok());
        group.bench_function(name, |b| b.iter(once));
    }
}

criterion_group!(benches, tokens, signatures, sd_jwt_vc, jwt_vc, proofs);
criterion_main!(benches);
