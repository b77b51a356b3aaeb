//! The key under which a verdict on evidence is remembered.
//!
//! SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012) over the kind of evidence, what it is bound to and
//! all of it, keyed with a secret that the VM draws when it starts (threat 27): a pseudo-random function, of whose
//! outputs nobody outside sees one, so that nobody can make two pieces of evidence meet. In Wasm it is faster than BLAKE3 and
//! SHA-256; SipHash-1-3 would save little more and leave no margin.
//!
//! The keys of evidence that was found a moment ago are at hand without hashing: by the whole evidence.

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher as _;

use super::cache::Key;
use super::request::is_same;
use super::seal::Random;

/// How many keys are at hand.
const RECENT: usize = 128;
/// The longest evidence whose key is at hand, in bytes.
const LONGEST_RECENT: usize = 2048;

/// What evidence is of, as the first byte of what is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Token = 1,
    Session = 2,
    ProgramsToken = 3,
    Minted = 4,
    Exchanged = 5,
}

/// Makes keys.
#[derive(Debug)]
pub(super) struct Keys {
    /// With the secret in it.
    hasher: SipHasher24,
    /// Each at the place that its evidence leads to; the last one there stays.
    recent: Vec<Option<Recent>>,
}

#[derive(Debug)]
struct Recent {
    kind: Kind,
    bound: Box<[u8]>,
    evidence: Box<[u8]>,
    key: Key,
}

impl Keys {
    /// Nothing where there is no random secret.
    pub(super) fn new(random: Random<'_>) -> Option<Self> {
        let mut secret = [0; 16];
        random(&mut secret).then(|| Self {
            hasher: SipHasher24::new_with_key(&secret),
            recent: std::iter::repeat_with(|| None).take(RECENT).collect(),
        })
    }

    /// The key of evidence that is bound to something of ours.
    #[inline]
    pub(super) fn key(&self, kind: Kind, bound: &[u8], evidence: &[u8]) -> Key {
        let recent = self.recent.get(place(evidence)).and_then(Option::as_ref);
        if let Some(recent) = recent
            .filter(|recent| recent.kind == kind && is_same(&recent.bound, bound) && same(&recent.evidence, evidence))
        {
            return recent.key;
        }
        self.hashed(kind, bound, evidence)
    }

    fn hashed(&self, kind: Kind, bound: &[u8], evidence: &[u8]) -> Key {
        let mut hasher = self.hasher;
        // the length of what is of any length, but for the last: no two inputs read the same
        let length = u64::try_from(bound.len()).unwrap_or(u64::MAX);
        hasher.write_u64(length << 8 | kind as u64);
        hasher.write(bound);
        hasher.write(evidence);
        let hash = hasher.finish128();
        Key(hash.h1, hash.h2)
    }

    /// Something is remembered under this key: it is kept at hand. Never for what was not verified, so that a flood of it
    /// displaces nothing.
    #[inline]
    pub(super) fn found(&mut self, key: Key, kind: Kind, bound: &[u8], evidence: &[u8]) {
        let Some(slot) = self.recent.get_mut(place(evidence)) else { return };
        if evidence.len() <= LONGEST_RECENT && slot.as_ref().is_none_or(|recent| recent.key != key) {
            *slot = Some(Recent { kind, bound: bound.into(), evidence: evidence.into(), key });
        }
    }
}

/// Where evidence belongs: its end is a signature or a tag, so that any two differ there.
#[inline]
fn place(evidence: &[u8]) -> usize {
    let end = evidence.last_chunk::<8>().map_or(0, |end| u64::from_le_bytes(*end));
    // Fibonacci hashing (Knuth, TAOCP 6.4): the upper bits
    usize::try_from(end.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57).unwrap_or(0)
}

/// Whether both are the same, in a time that does not tell where they differ.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    let ((words_a, rest_a), (words_b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let words =
        words_a.iter().zip(words_b).fold(0, |all, (a, b)| all | u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b));
    let rest = rest_a.iter().zip(rest_b).fold(0, |all, (a, b)| all | a ^ b);
    a.len() == b.len() && words == 0 && rest == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(&mut |bytes| {
            bytes.fill(7);
            true
        })
        .unwrap()
    }

    #[test]
    fn what_is_at_hand_has_the_key_that_its_hash_would_have() {
        let mut keys = keys();
        for length in (0..100).chain([LONGEST_RECENT, LONGEST_RECENT + 1]) {
            let evidence: Vec<u8> = (0_u8..=255).cycle().take(length).collect();
            let key = keys.key(Kind::Token, b"", &evidence);
            keys.found(key, Kind::Token, b"", &evidence);
            assert_eq!(keys.key(Kind::Token, b"", &evidence), key, "{length}");
            assert_ne!(keys.key(Kind::Session, b"", &evidence), key, "{length}");
            assert_ne!(keys.key(Kind::Token, b"https://a.example", &evidence), key, "{length}");
            for at in 0..length {
                let mut other = evidence.clone();
                other[at] ^= 1;
                assert_ne!(keys.key(Kind::Token, b"", &other), key, "{length} {at}");
            }
        }
    }

    #[test]
    fn long_evidence_is_not_kept_at_hand_and_there_are_only_so_many_places() {
        let mut keys = keys();
        keys.found(Key(1, 1), Kind::Token, b"", &[1; LONGEST_RECENT + 1]);
        assert!(keys.recent.iter().all(Option::is_none));
        for number in 0..10_000_u64 {
            keys.found(Key(number, 1), Kind::Token, b"", &number.to_be_bytes());
        }
        assert_eq!(keys.recent.len(), RECENT);
        assert!(keys.recent.iter().filter(|recent| recent.is_some()).count() > RECENT / 2);
    }

    #[test]
    fn evidence_of_another_length_is_another() {
        assert!(same(b"", b"") && same(b"12345678", b"12345678") && same(b"123456789", b"123456789"));
        for (a, b) in [
            (&b"1"[..], &b""[..]),
            (b"12345678", b"123456789"),
            (b"12345678", b"1234567"),
            (b"123456781", b"123456782"),
        ] {
            assert!(!same(a, b) && !same(b, a), "{a:?} {b:?}");
        }
    }
}
