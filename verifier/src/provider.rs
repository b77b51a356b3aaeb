//! The seam to the code that checks signatures, and the pure-Rust provider behind it (RFC 7518 section 3, RFC 8037).
use crate::algorithm::{Algorithm, HashFunction, Scheme};
use crate::jwk::{Material, PublicKey};
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::{Pkcs1v15Sign, Pss};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt;

mod multiples;
mod tables;

pub use tables::RustCryptoWithTables;

/// A signature does not hold. There is one reason only, so that none can be told from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignatureError;

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature does not hold")
    }
}

impl std::error::Error for SignatureError {}

/// Checks signatures. A host may lend its native crypto through it; [`RustCrypto`] is always there.
pub trait SignatureProvider: Send + Sync {
    /// Checks `signature` (as JOSE writes it: ECDSA as r‖s) over `message` with `key`.
    ///
    /// # Errors
    /// [`SignatureError`] for anything but a signature that holds, also where the key does not fit the algorithm.
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError>;

    /// Its name, for reports.
    fn name(&self) -> &'static str;
}

/// Signatures checked by the RustCrypto crates and ed25519-dalek, in pure Rust.
#[derive(Clone, Copy, Default, Debug)]
pub struct RustCrypto;

/// Calls `$body` with `$hash` as the hash function of the table's row.
macro_rules! with_hash {
    ($function:expr, $hash:ident => $body:expr) => {
        match $function {
            HashFunction::Sha256 => {
                type $hash = Sha256;
                $body
            }
            HashFunction::Sha384 => {
                type $hash = Sha384;
                $body
            }
            HashFunction::Sha512 => {
                type $hash = Sha512;
                $body
            }
        }
    };
}

impl SignatureProvider for RustCrypto {
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if !key.fits(algorithm) {
            return Err(SignatureError);
        }
        let hash = algorithm.hash();
        let holds = match (algorithm.scheme(), &key.material) {
            (Scheme::RsaPkcs1, Material::Rsa(key)) => with_hash!(hash, H => {
                key.verify(Pkcs1v15Sign::new::<H>(), &H::digest(message), signature).is_ok()
            }),
            (Scheme::RsaPss { salt }, Material::Rsa(key)) => with_hash!(hash, H => {
                key.verify(Pss::<H>::new_with_salt(salt), &H::digest(message), signature).is_ok()
            }),
            // `from_slice` takes exactly r‖s, both in 1..n
            (Scheme::Ecdsa, Material::P256(key)) => with_hash!(hash, H => {
                p256::ecdsa::Signature::from_slice(signature)
                    .and_then(|signature| key.verify_prehash(&H::digest(message), &signature))
                    .is_ok()
            }),
            (Scheme::Ecdsa, Material::P384(key)) => with_hash!(hash, H => {
                p384::ecdsa::Signature::from_slice(signature)
                    .and_then(|signature| key.verify_prehash(&H::digest(message), &signature))
                    .is_ok()
            }),
            // strict: S below L, neither R nor the key of small order
            (Scheme::Ed25519, Material::Ed25519(key)) => ed25519_dalek::Signature::from_slice(signature)
                .and_then(|signature| key.verify_strict(message, &signature))
                .is_ok(),
            // `verify_slice` compares in constant time, and takes the whole tag only
            (Scheme::Hmac, Material::Secret(secret)) => with_hash!(hash, H => {
                Hmac::<H>::new_from_slice(secret)
                    .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
            }),
            _ => false,
        };
        if holds { Ok(()) } else { Err(SignatureError) }
    }

    fn name(&self) -> &'static str {
        "RustCrypto"
    }
}
