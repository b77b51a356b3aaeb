//! `jsonwebtoken`'s `CryptoProvider` on the same crates, so that its `encode` signs and its `decode` checks with what
//! the verifier uses. Its own `rust_crypto` feature pins the generation before, which is slower in Wasm and checks
//! Ed25519 less strictly.
use super::{Private, SigningKey};
use crate::algorithm::{Algorithm, KeyType};
use crate::jwk::PublicKey;
use crate::provider::{RustCrypto, SignatureProvider};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{EllipticCurve, ThumbprintHash};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use p256::pkcs8::DecodePrivateKey;
use rsa::RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The provider.
pub static JSONWEBTOKEN_PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |der| {
            let key = RsaPrivateKey::from_pkcs1_der(der).map_err(|_| bad_key())?;
            Ok((key.n().to_be_bytes_trimmed_vartime().into(), key.e().to_be_bytes_trimmed_vartime().into()))
        },
        rsa_pub_components_from_public_key: |der| {
            let key = rsa::RsaPublicKey::from_pkcs1_der(der).map_err(|_| bad_key())?;
            Ok((key.n().to_be_bytes_trimmed_vartime().into(), key.e().to_be_bytes_trimmed_vartime().into()))
        },
        ec_pub_components_from_private_key: ec_components,
        ed_pub_components_from_private_key: |der, _| {
            let key = ed25519_dalek::SigningKey::from_pkcs8_der(der).map_err(|_| bad_key())?;
            Ok(key.verifying_key().to_bytes().to_vec())
        },
        compute_digest: |data, hash| match hash {
            ThumbprintHash::SHA256 => Ok(Sha256::digest(data).to_vec()),
            ThumbprintHash::SHA384 => Ok(Sha384::digest(data).to_vec()),
            ThumbprintHash::SHA512 => Ok(Sha512::digest(data).to_vec()),
            _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
        },
    },
};

/// Makes it the provider of this process. Called again, or after another provider was installed, it changes nothing.
pub fn install_crypto_provider() {
    // an error means that one is installed already
    let _ = JSONWEBTOKEN_PROVIDER.install_default();
}

fn bad_key() -> Error {
    ErrorKind::InvalidKeyFormat.into()
}

fn row(id: &jsonwebtoken::Algorithm) -> Result<Algorithm, Error> {
    Algorithm::from_jsonwebtoken(*id).ok_or_else(|| ErrorKind::UnsupportedAlgorithm.into())
}

struct InProcess(SigningKey);

impl Signer<Vec<u8>> for InProcess {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.0.signature(message).map_err(SignatureError::from_source)
    }
}

impl JwtSigner for InProcess {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.0.algorithm().to_jsonwebtoken()
    }
}

fn signer(id: &jsonwebtoken::Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let algorithm = row(id)?;
    let der = key.as_bytes();
    let private = match algorithm.key_type() {
        KeyType::Rsa => RsaPrivateKey::from_pkcs1_der(der).ok().map(|key| Private::Rsa(Box::new(key))),
        KeyType::P256 => p256::ecdsa::SigningKey::from_pkcs8_der(der).ok().map(|key| Private::P256(Box::new(key))),
        KeyType::P384 => p384::ecdsa::SigningKey::from_pkcs8_der(der).ok().map(|key| Private::P384(Box::new(key))),
        KeyType::Ed25519 => {
            ed25519_dalek::SigningKey::from_pkcs8_der(der).ok().map(|key| Private::Ed25519(Box::new(key)))
        }
        KeyType::Secret => Some(Private::Secret(der.to_vec())),
    };
    if key.family() != id.family() {
        return Err(bad_key());
    }
    Ok(Box::new(InProcess(SigningKey { algorithm, kid: None, private: private.ok_or_else(bad_key)? })))
}

struct Checker {
    algorithm: Algorithm,
    key: PublicKey,
}

impl Verifier<Vec<u8>> for Checker {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        RustCrypto.verify(self.algorithm, &self.key, message, signature).map_err(SignatureError::from_source)
    }
}

impl JwtVerifier for Checker {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.algorithm.to_jsonwebtoken()
    }
}

fn verifier(id: &jsonwebtoken::Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let algorithm = row(id)?;
    if key.family() != id.family() {
        return Err(bad_key());
    }
    let public = match (key.kind(), key.family()) {
        (DecodingKeyKind::RsaModulusExponent { n, e }, _) => PublicKey::rsa(n, e),
        (DecodingKeyKind::SecretOrDer(der), AlgorithmFamily::Rsa) => {
            let key = rsa::RsaPublicKey::from_pkcs1_der(der).map_err(|_| bad_key())?;
            PublicKey::rsa(&key.n().to_be_bytes_trimmed_vartime(), &key.e().to_be_bytes_trimmed_vartime())
        }
        (DecodingKeyKind::SecretOrDer(point), AlgorithmFamily::Ec) => {
            let coordinates = point.strip_prefix(&[4]).ok_or_else(bad_key)?;
            let (x, y) = coordinates.split_at(coordinates.len() / 2);
            PublicKey::ec(algorithm.key_type(), x, y)
        }
        (DecodingKeyKind::SecretOrDer(bytes), AlgorithmFamily::Ed) => PublicKey::ed25519(bytes),
        (DecodingKeyKind::SecretOrDer(secret), AlgorithmFamily::Hmac) => PublicKey::secret(secret),
    };
    Ok(Box::new(Checker { algorithm, key: public.map_err(|_| bad_key())? }))
}

fn ec_components(der: &[u8], id: jsonwebtoken::Algorithm) -> Result<(EllipticCurve, Vec<u8>, Vec<u8>), Error> {
    let (curve, point) = match row(&id)?.key_type() {
        KeyType::P256 => {
            let key = p256::ecdsa::SigningKey::from_pkcs8_der(der).map_err(|_| bad_key())?;
            (EllipticCurve::P256, key.verifying_key().to_sec1_bytes())
        }
        KeyType::P384 => {
            let key = p384::ecdsa::SigningKey::from_pkcs8_der(der).map_err(|_| bad_key())?;
            (EllipticCurve::P384, key.verifying_key().to_sec1_bytes())
        }
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    let coordinates = point.strip_prefix(&[4]).ok_or_else(bad_key)?;
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    Ok((curve, x.to_vec(), y.to_vec()))
}
