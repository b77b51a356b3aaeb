//! Keys and signatures of certificates (RFC 3279, RFC 5480, RFC 5758, RFC 8410) in the words of the one table of
//! algorithms. A curve goes with the hash that JOSE pairs it with, and no other.
use super::der::{BIT_STRING, INTEGER, Reader, SEQUENCE};
use crate::algorithm::{Algorithm, HashFunction, KeyType, Scheme};
use crate::jwk::PublicKey;
use crate::provider::SignatureProvider;
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use std::fmt;

/// An algorithm of the table, as certificates name it.
pub(super) struct CertificateAlgorithm<'a> {
    algorithm: Algorithm,
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    provider: &'a dyn SignatureProvider,
}

/// All of the table that certificates can name.
pub(super) fn algorithms(provider: &dyn SignatureProvider) -> Vec<CertificateAlgorithm<'_>> {
    Algorithm::all()
        .filter_map(|algorithm| {
            let (key, signature) = identifiers(algorithm)?;
            Some(CertificateAlgorithm { algorithm, key, signature, provider })
        })
        .collect()
}

fn identifiers(algorithm: Algorithm) -> Option<(AlgorithmIdentifier, AlgorithmIdentifier)> {
    use HashFunction::{Sha256, Sha384, Sha512};
    let key = key_identifier(algorithm.key_type())?;
    let signature = match (algorithm.scheme(), algorithm.hash()) {
        (Scheme::RsaPkcs1, Sha256) => alg_id::RSA_PKCS1_SHA256,
        (Scheme::RsaPkcs1, Sha384) => alg_id::RSA_PKCS1_SHA384,
        (Scheme::RsaPkcs1, Sha512) => alg_id::RSA_PKCS1_SHA512,
        (Scheme::RsaPss { .. }, Sha256) => alg_id::RSA_PSS_SHA256,
        (Scheme::RsaPss { .. }, Sha384) => alg_id::RSA_PSS_SHA384,
        (Scheme::RsaPss { .. }, Sha512) => alg_id::RSA_PSS_SHA512,
        (Scheme::Ecdsa, Sha256) => alg_id::ECDSA_SHA256,
        (Scheme::Ecdsa, Sha384) => alg_id::ECDSA_SHA384,
        (Scheme::Ed25519, _) => alg_id::ED25519,
        (Scheme::Ecdsa, Sha512) | (Scheme::Hmac, _) => return None,
    };
    Some((key, signature))
}

fn key_identifier(key_type: KeyType) -> Option<AlgorithmIdentifier> {
    match key_type {
        KeyType::Rsa => Some(alg_id::RSA_ENCRYPTION),
        KeyType::P256 => Some(alg_id::ECDSA_P256),
        KeyType::P384 => Some(alg_id::ECDSA_P384),
        KeyType::Ed25519 => Some(alg_id::ED25519),
        KeyType::Secret => None,
    }
}

impl CertificateAlgorithm<'_> {
    pub(super) fn as_dyn(&self) -> &dyn SignatureVerificationAlgorithm {
        self
    }
}

impl SignatureVerificationAlgorithm for CertificateAlgorithm<'_> {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = of_bits(self.algorithm.key_type(), public_key).ok_or(InvalidSignature)?;
        let raw = match (self.algorithm.scheme(), self.algorithm.key_type()) {
            (Scheme::Ecdsa, KeyType::P384) => Some(raw_ecdsa(signature, 48).ok_or(InvalidSignature)?),
            (Scheme::Ecdsa, _) => Some(raw_ecdsa(signature, 32).ok_or(InvalidSignature)?),
            _ => None,
        };
        let signature = raw.as_deref().unwrap_or(signature);
        self.provider.verify(self.algorithm, &key, message, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

impl fmt::Debug for CertificateAlgorithm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.algorithm, f)
    }
}

/// The key of a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
pub(super) fn of_spki(spki: &[u8]) -> Option<PublicKey> {
    let mut parts = Reader::new(Reader::new(spki).required(SEQUENCE)?);
    let identifier = parts.required(SEQUENCE)?;
    // no bit of the last byte is unused
    let bits = parts.required(BIT_STRING)?.strip_prefix(&[0])?;
    let types = [KeyType::P256, KeyType::P384, KeyType::Ed25519, KeyType::Rsa];
    let named = |key_type: &KeyType| key_identifier(*key_type).is_some_and(|known| known.as_ref() == identifier);
    of_bits(types.into_iter().find(named)?, bits)
}

fn of_bits(key_type: KeyType, bits: &[u8]) -> Option<PublicKey> {
    match key_type {
        KeyType::P256 | KeyType::P384 => match bits.split_first()? {
            (4, point) => {
                let (x, y) = point.split_at_checked(point.len() / 2)?;
                PublicKey::ec(key_type, x, y).ok()
            }
            _ => PublicKey::ec_compressed(key_type, bits).ok(),
        },
        KeyType::Ed25519 => PublicKey::ed25519(bits).ok(),
        // RSAPublicKey (RFC 8017 appendix A.1.1)
        KeyType::Rsa => {
            let mut numbers = Reader::new(Reader::new(bits).required(SEQUENCE)?);
            let (n, e) = (numbers.required(INTEGER)?, numbers.required(INTEGER)?);
            numbers.is_empty().then(|| PublicKey::rsa(n, e).ok())?
        }
        KeyType::Secret => None,
    }
}

/// r‖s of an ECDSA signature in DER (RFC 3279 section 2.2.3).
fn raw_ecdsa(signature: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut outer = Reader::new(signature);
    let mut numbers = Reader::new(outer.required(SEQUENCE)?);
    let mut raw = Vec::with_capacity(2 * length);
    for _ in 0..2 {
        let number = positive(numbers.required(INTEGER)?)?;
        raw.resize(raw.len() + length.checked_sub(number.len())?, 0);
        raw.extend_from_slice(number);
    }
    (outer.is_empty() && numbers.is_empty()).then_some(raw)
}

/// The bytes of a positive integer without the zero that marks it as such.
fn positive(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        [0, rest @ ..] => rest.first().filter(|first| **first >= 0x80).map(|_| rest),
        [first, ..] if *first < 0x80 => Some(integer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecdsa_in_der_has_one_form() {
        let der = [SEQUENCE, 9, INTEGER, 2, 0, 0x80, INTEGER, 3, 1, 2, 3];
        assert_eq!(raw_ecdsa(&der, 4), Some(vec![0, 0, 0, 0x80, 0, 1, 2, 3]));
        for bad in [
            &[SEQUENCE, 9, INTEGER, 2, 0, 0x80, INTEGER, 3, 1, 2, 3, 0][..],
            &[SEQUENCE, 6, INTEGER, 1, 0x80, INTEGER, 1, 1],
            &[SEQUENCE, 7, INTEGER, 2, 0, 1, INTEGER, 1, 1],
            &[SEQUENCE, 6, INTEGER, 1, 0, INTEGER, 1, 1],
            &[SEQUENCE, 5, INTEGER, 0, INTEGER, 1, 1],
            &[SEQUENCE, 9, INTEGER, 1, 1, INTEGER, 1, 1, INTEGER, 1, 1],
            &[SEQUENCE, 10, INTEGER, 5, 1, 1, 1, 1, 1, INTEGER, 1, 1],
        ] {
            assert_eq!(raw_ecdsa(bad, 4), None, "{bad:?}");
        }
    }

    #[test]
    fn keys_come_back_from_their_spki() {
        use crate::sign::SigningKey;
        for algorithm in Algorithm::all()
            .filter(|algorithm| matches!(algorithm.key_type(), KeyType::P256 | KeyType::P384 | KeyType::Ed25519))
        {
            let key = SigningKey::generate(algorithm, "k", &[5; 32]).unwrap().public_jwk();
            let key = PublicKey::from_jwk(key.as_object().unwrap()).unwrap().0;
            let spki = key.spki_der().unwrap();
            assert_eq!(of_spki(spki).unwrap().spki_der(), Some(spki));
            assert!(of_spki(&spki[1..]).is_none() && of_spki(&spki[..spki.len() - 1]).is_none());
        }
    }
}
