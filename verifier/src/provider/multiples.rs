//! Multiples of a point of edwards25519, made once, so that its product with any number is the sum of a few of them, and the check
//! of a signature that is two such products. Everything here is public (signatures and issuers' keys), so nothing has to take the
//! same time for every number.
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::traits::Identity;
use curve25519_dalek::{EdwardsPoint, Scalar};
use sha2::{Digest, Sha512};
use std::sync::LazyLock;

/// The points of small order, each in its one encoding. To look here costs less than to multiply by eight.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> = LazyLock::new(|| EIGHT_TORSION.map(|point| point.compress().to_bytes()));

/// What a scalar's digits have to hold: it is below 2^253, and what the last digit is carried up to.
const SCALAR_BITS: usize = 254;

/// The bits of a digit where a key is multiplied: 51 additions, and 128 KiB for each key.
pub(super) const KEY_BITS: usize = 5;
/// The same of the base point, which is there once, and of the few keys that are used most: 32 additions, and 640 KiB.
pub(super) const MOST_BITS: usize = 8;

/// The multiples that a digit can stand for, 1 to half the base, for each place of a digit.
pub(super) struct Multiples {
    /// bits of a digit, at most 8
    pub(super) bits: usize,
    points: Vec<EdwardsPoint>,
}

impl Multiples {
    /// Multiples for digits of so many bits, from 1 to 8: one addition for each digit, in 160 bytes for each half of the base.
    pub(super) fn new(point: &EdwardsPoint, bits: usize) -> Self {
        let (half, places) = (1 << (bits - 1), SCALAR_BITS.div_ceil(bits));
        let mut points = Vec::with_capacity(places * half);
        let mut first = *point;
        for _ in 0..places {
            let mut multiple = first;
            for _ in 1..half {
                points.push(multiple);
                multiple += first;
            }
            // half the base, twice of which is the next place's first
            points.push(multiple);
            first = multiple + multiple;
        }
        Self { bits, points }
    }

    /// `sum` and the product of the point and `scalar`.
    ///
    /// A digit above half the base is taken from the next one: its multiple is subtracted then (Knuth, The Art of Computer
    /// Programming, volume 2, section 4.1), so that only half of the multiples are kept.
    pub(super) fn add_product(&self, sum: EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        let half = 1 << (self.bits - 1);
        let (mut sum, mut carry) = (sum, 0);
        for (place, multiples) in self.points.chunks_exact(half).enumerate() {
            let digit = digit(scalar.as_bytes(), place * self.bits, self.bits) + carry;
            carry = usize::from(digit > half);
            let magnitude = if digit > half { 2 * half - digit } else { digit };
            let Some(multiple) = magnitude.checked_sub(1).and_then(|index| multiples.get(index)) else { continue };
            sum = if digit > half { sum - multiple } else { sum + multiple };
        }
        sum
    }

    /// The product of the point and `scalar`.
    pub(super) fn product(&self, scalar: &Scalar) -> EdwardsPoint {
        self.add_product(EdwardsPoint::identity(), scalar)
    }
}

/// So many bits of a number, the lowest of which is at `from`.
fn digit(number: &[u8; 32], from: usize, bits: usize) -> usize {
    let byte = |at: usize| number.get(at).copied().map_or(0, usize::from);
    let both = byte(from / 8) | byte(from / 8 + 1) << 8;
    both >> (from % 8) & ((1 << bits) - 1)
}

/// Whether a signature holds (RFC 8032 section 5.1.7, without the cofactor), with the multiples of the base point and of the
/// negative of a key that is not of small order. The verdict is that of `verify_strict`.
pub(super) fn verify(base: &Multiples, negative: &Multiples, key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let Some((r, s)) = signature.split_first_chunk::<32>() else { return false };
    // below L
    let s = <[u8; 32]>::try_from(s).ok().and_then(|s| Option::<Scalar>::from(Scalar::from_canonical_bytes(s)));
    let Some(s) = s else { return false };
    let k = Sha512::new().chain_update(r).chain_update(key).chain_update(message).finalize();
    let expected = negative.add_product(base.product(&s), &Scalar::from_bytes_mod_order_wide(&k.into()));
    // the bytes are compared, so that R is a point, in the one encoding
    expected.compress().as_bytes() == r && !SMALL_ORDER.contains(r)
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
    use proptest::prelude::*;

    /// As the library multiplies.
    #[track_caller]
    fn right(point: &EdwardsPoint, scalar: &Scalar) {
        for bits in 1..=8 {
            assert_eq!(Multiples::new(point, bits).product(scalar), point * scalar, "{bits} {scalar:?}");
        }
    }

    #[test]
    fn the_least_the_largest_and_those_around_each_carry() {
        let point = ED25519_BASEPOINT_POINT + EIGHT_TORSION[1];
        right(&point, &Scalar::ZERO);
        right(&point, &-Scalar::ONE);
        for bits in 1..=8 {
            let multiples = Multiples::new(&point, bits);
            // digits that are half, one above and one below it, and the largest, at every place
            let mut unit = Scalar::ONE;
            for _ in 0..SCALAR_BITS {
                for scalar in [unit, unit + Scalar::ONE, unit - Scalar::ONE, -unit] {
                    assert_eq!(multiples.product(&scalar), point * scalar, "{bits} {scalar:?}");
                }
                unit += unit;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn as_the_library_multiplies(point: [u8; 32], scalar: [u8; 32], torsion in 0..8_usize) {
            let point = ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(point) + EIGHT_TORSION[torsion];
            right(&point, &Scalar::from_bytes_mod_order(scalar));
        }
    }
}
