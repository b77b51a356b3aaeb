//! Random values of the demo's issuers, from the system.

use ring::rand::{SecureRandom, SystemRandom};

/// Random bytes.
///
/// # Panics
/// When the system has no randomness: nothing that is issued then could be trusted.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills `bytes` at random.
///
/// # Panics
/// As [`bytes`].
pub(crate) fn fill(bytes: &mut [u8]) {
    SystemRandom::new().fill(bytes).expect("the system has randomness");
}

/// A text that cannot be guessed: 128 random bits as base64url.
pub(crate) fn token() -> String {
    carded_verifier::base64url::encode(bytes::<16>())
}

/// A number below `limit`, which must not be 0. The bias of the remainder is below 2^-32 for limits below 2^32.
pub(crate) fn below(limit: u64) -> u64 {
    u64::from_be_bytes(bytes()) % limit
}
