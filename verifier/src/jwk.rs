//! One key, parsed once (JWK: RFC 7517 section 4; RSA, EC and oct members: RFC 7518 section 6; OKP: RFC 8037 section
//! 2).
mod spki;

use crate::algorithm::{Algorithm, KeyType};
use crate::base64url;
use ed25519_dalek::VerifyingKey as Ed25519Key;
use p256::ecdsa::VerifyingKey as P256Key;
use p384::ecdsa::VerifyingKey as P384Key;
use rsa::{BoxedUint, RsaPublicKey};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt;

/// The largest RSA modulus that is taken: what a check costs grows with its square.
const RSA_LARGEST_BITS: usize = 8192;
const RSA_SMALLEST_BITS: usize = 2048;

/// What a signature is checked with: a public key that is valid for its type, or a shared secret.
///
/// Everything costly or doubtful about a key (point on the curve, small order, sizes) is settled when it is built.
#[derive(Clone)]
pub struct PublicKey {
    pub(crate) material: Material,
    /// SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7); empty for a secret
    spki: Vec<u8>,
    bits: usize,
    /// whether it is in a key set that an issuer publishes
    published: bool,
}

#[derive(Clone)]
pub(crate) enum Material {
    Rsa(Box<RsaPublicKey>),
    P256(Box<P256Key>),
    P384(Box<P384Key>),
    Ed25519(Box<Ed25519Key>),
    Secret(Vec<u8>),
}

/// Why a key is of no use here. A set goes on without it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// Its type, curve or algorithm is not supported.
    Unsupported,
    /// A member is missing, of a wrong type, or not canonical base64url.
    Malformed,
    /// Its values make no valid key: not on the curve, of small order, of a wrong length, a bad modulus or exponent.
    Invalid,
    /// It has fewer bits than its algorithm asks for.
    TooShort,
    /// Its `use` or `key_ops` is for something else than checking signatures.
    NotForSignatures,
    /// Its `alg` does not fit its type.
    WrongAlgorithm,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "type, curve or algorithm not supported",
            Self::Malformed => "a member is missing or malformed",
            Self::Invalid => "not a valid key",
            Self::TooShort => "too short for its algorithm",
            Self::NotForSignatures => "not meant for checking signatures",
            Self::WrongAlgorithm => "its `alg` does not fit its type",
        })
    }
}

impl std::error::Error for KeyError {}

impl PublicKey {
    /// An RSA key from modulus and exponent, big-endian: 2048 to 8192 bits, an odd exponent from 3 to 2³³ - 1.
    ///
    /// # Errors
    /// [`KeyError::TooShort`] or [`KeyError::Invalid`].
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        // Some producers put one zero octet in front (RFC 7518 section 6.3.1.1 says not to); the number is the same.
        let modulus = strip_zeros(modulus);
        let exponent = strip_zeros(exponent);
        // before any number is made of them
        if modulus.len() * 8 > RSA_LARGEST_BITS || exponent.len() > 8 {
            return Err(KeyError::Invalid);
        }
        let number = BoxedUint::from_be_slice_vartime(modulus);
        let bits = number.bits_vartime() as usize;
        let key = RsaPublicKey::new_with_size_limits(
            number,
            BoxedUint::from_be_slice_vartime(exponent),
            RSA_SMALLEST_BITS..=RSA_LARGEST_BITS,
        )
        .map_err(|error| match error {
            rsa::Error::ModulusTooSmall => KeyError::TooShort,
            _ => KeyError::Invalid,
        })?;
        let spki = spki::rsa(modulus, exponent);
        Ok(Self { material: Material::Rsa(Box::new(key)), spki, bits, published: false })
    }

    /// A key on a NIST curve from its coordinates, each exactly as long as the field (RFC 7518 section 6.2.1.2).
    ///
    /// # Errors
    /// [`KeyError::Invalid`] for a point off the curve or a wrong length, [`KeyError::Unsupported`] for another type.
    pub fn ec(key_type: KeyType, x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        let (prefix, length) = match key_type {
            KeyType::P256 => (spki::P256, 32),
            KeyType::P384 => (spki::P384, 48),
            _ => return Err(KeyError::Unsupported),
        };
        if x.len() != length || y.len() != length {
            return Err(KeyError::Invalid);
        }
        let point = [&[4], x, y].concat();
        let material = match key_type {
            KeyType::P256 => Material::P256(Box::new(P256Key::from_sec1_bytes(&point).map_err(|_| KeyError::Invalid)?)),
            _ => Material::P384(Box::new(P384Key::from_sec1_bytes(&point).map_err(|_| KeyError::Invalid)?)),
        };
        Ok(Self { material, spki: [prefix, &point].concat(), bits: length * 8, published: false })
    }

    /// A key on a NIST curve from its compressed point (SEC 1 section 2.3.4).
    ///
    /// # Errors
    /// As [`ec`](Self::ec).
    pub fn ec_compressed(key_type: KeyType, point: &[u8]) -> Result<Self, KeyError> {
        if !matches!(point.first(), Some(2 | 3)) {
            return Err(KeyError::Invalid);
        }
        let whole = match key_type {
            KeyType::P256 => P256Key::from_sec1_bytes(point).map(|key| key.to_sec1_bytes()).ok(),
            KeyType::P384 => P384Key::from_sec1_bytes(point).map(|key| key.to_sec1_bytes()).ok(),
            _ => return Err(KeyError::Unsupported),
        };
        // 4, x, y
        let whole = whole.ok_or(KeyError::Invalid)?;
        let (x, y) = whole.get(1..).and_then(|both| both.split_at_checked(both.len() / 2)).ok_or(KeyError::Invalid)?;
        Self::ec(key_type, x, y)
    }

    /// An Ed25519 key from its 32 bytes (RFC 8032 section 5.1.5): canonical, and not of small order.
    ///
    /// # Errors
    /// [`KeyError::Invalid`].
    pub fn ed25519(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::Invalid)?;
        let key = Ed25519Key::from_bytes(bytes).map_err(|_| KeyError::Invalid)?;
        let canonical = key.to_edwards().compress().as_bytes() == bytes;
        if key.is_weak() || !canonical {
            return Err(KeyError::Invalid);
        }
        let spki = [spki::ED25519, bytes.as_slice()].concat();
        Ok(Self { material: Material::Ed25519(Box::new(key)), spki, bits: 256, published: false })
    }

    /// A shared secret of at least 256 bits; the algorithm may ask for more (RFC 7518 section 3.2).
    ///
    /// # Errors
    /// [`KeyError::TooShort`].
    pub fn secret(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() < 32 {
            return Err(KeyError::TooShort);
        }
        let bits = bytes.len() * 8;
        Ok(Self { material: Material::Secret(bytes.to_vec()), spki: Vec::new(), bits, published: false })
    }

    /// Its type.
    pub fn key_type(&self) -> KeyType {
        match self.material {
            Material::Rsa(_) => KeyType::Rsa,
            Material::P256(_) => KeyType::P256,
            Material::P384(_) => KeyType::P384,
            Material::Ed25519(_) => KeyType::Ed25519,
            Material::Secret(_) => KeyType::Secret,
        }
    }

    /// Its size in bits: of the modulus, the field or the secret.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Whether the algorithm may be used with it: the type it takes, and bits enough.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.key_type() == algorithm.key_type() && self.bits() >= algorithm.minimum_bits()
    }

    /// The key as one of an issuer's set, which will be used again and again: what may be worked out ahead for it is worth it.
    pub(crate) fn published(self) -> Self {
        Self { published: true, ..self }
    }

    pub(crate) fn is_published(&self) -> bool {
        self.published
    }

    /// SubjectPublicKeyInfo in DER, as native crypto takes it (RFC 5280, RFC 5480, RFC 8410). `None` for a secret.
    pub fn spki_der(&self) -> Option<&[u8]> {
        (!self.spki.is_empty()).then_some(self.spki.as_slice())
    }

    /// The public JWK with the members that make the key and no others (RFC 7518 section 6, RFC 8037 section 2). `None`
    /// for a secret.
    pub fn to_jwk(&self) -> Option<Map<String, Value>> {
        use rsa::traits::PublicKeyParts;
        let point = |crv: &str, point: &[u8]| {
            // uncompressed: 4, x, y (SEC 1 section 2.3.3)
            let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(point.len() / 2).unwrap_or_default();
            json!({"kty": "EC", "crv": crv, "x": base64url::encode(x), "y": base64url::encode(y)})
        };
        let jwk = match &self.material {
            Material::Rsa(key) => json!({
                "kty": "RSA",
                "n": base64url::encode(key.n().to_be_bytes_trimmed_vartime()),
                "e": base64url::encode(key.e().to_be_bytes_trimmed_vartime()),
            }),
            Material::P256(key) => point("P-256", &key.to_sec1_bytes()),
            Material::P384(key) => point("P-384", &key.to_sec1_bytes()),
            Material::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url::encode(key.as_bytes())})
            }
            Material::Secret(_) => return None,
        };
        if let Value::Object(members) = jwk { Some(members) } else { None }
    }

    /// What names the key whatever its form: the base64url SHA-256 of its JWK (RFC 7638 section 3). `None` for a
    /// secret, whose thumbprint would tell of it (section 7).
    pub fn thumbprint(&self) -> Option<String> {
        let members = self.to_jwk()?;
        // in the order of their names, without white space; the values are plain ASCII
        let member = |name: &&str| members.get(*name).map(|value| format!("\"{name}\":{value}"));
        let text: Vec<String> = ["crv", "e", "kty", "n", "x", "y"].iter().filter_map(member).collect();
        Some(base64url::encode(Sha256::digest(format!("{{{}}}", text.join(",")))))
    }

    /// The key and, where the JWK names it, its one algorithm. Members that are not understood are ignored (RFC 7517
    /// section 4). Private members are the caller's to refuse: see [`has_private_part`].
    ///
    /// # Errors
    /// [`KeyError`] where the key cannot be used here.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<(Self, Option<Algorithm>), KeyError> {
        check_common(jwk)?;
        let (text, octets) = (|name| needed(jwk, name), |name| decode(needed(jwk, name)?));
        let key = match text("kty")? {
            "RSA" => Self::rsa(&octets("n")?, &octets("e")?),
            "EC" => {
                let key_type = match text("crv")? {
                    "P-256" => KeyType::P256,
                    "P-384" => KeyType::P384,
                    _ => return Err(KeyError::Unsupported),
                };
                Self::ec(key_type, &octets("x")?, &octets("y")?)
            }
            "OKP" if text("crv")? == "Ed25519" => Self::ed25519(&octets("x")?),
            "oct" => Self::secret(&octets("k")?),
            _ => Err(KeyError::Unsupported),
        }?;
        let algorithm = match optional(jwk, "alg")? {
            None => None,
            Some(named) => Some(Algorithm::parse(named).ok_or(KeyError::Unsupported)?),
        };
        match algorithm {
            Some(algorithm) if algorithm.key_type() != key.key_type() => Err(KeyError::WrongAlgorithm),
            Some(algorithm) if key.bits() < algorithm.minimum_bits() => Err(KeyError::TooShort),
            _ => Ok((key, algorithm)),
        }
    }
}

impl fmt::Debug for PublicKey {
    /// Type and size; never the bytes of a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("key_type", &self.key_type())
            .field("bits", &self.bits())
            .finish_non_exhaustive()
    }
}

/// Whether a JWK carries the private part of an asymmetric key (RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037 section 2,
/// RFC 9964 section 3), whatever its type.
pub fn has_private_part(jwk: &Map<String, Value>) -> bool {
    ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"].iter().any(|member| jwk.contains_key(*member))
}

/// Whether a JWK is or carries a symmetric key (RFC 7518 section 6.4).
pub fn is_symmetric(jwk: &Map<String, Value>) -> bool {
    jwk.contains_key("k") || jwk.get("kty").and_then(Value::as_str) == Some("oct")
}

/// Members that every key may have must be what they are (RFC 7517 section 4). `use` must be `sig` and `key_ops` have
/// `verify`, where they are there (sections 4.2 and 4.3).
fn check_common(jwk: &Map<String, Value>) -> Result<(), KeyError> {
    for name in ["alg", "kid", "x5u", "x5t", "x5t#S256"] {
        optional(jwk, name)?;
    }
    texts(jwk, "x5c")?;
    let used = optional(jwk, "use")?.is_none_or(|purpose| purpose == "sig");
    let verifies = texts(jwk, "key_ops")?
        .is_none_or(|operations| operations.iter().any(|operation| operation.as_str() == Some("verify")));
    if used && verifies { Ok(()) } else { Err(KeyError::NotForSignatures) }
}

/// A text; `null` is as good as absent.
fn optional<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyError> {
    match jwk.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyError::Malformed),
    }
}

fn needed<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<&'a str, KeyError> {
    optional(jwk, name)?.ok_or(KeyError::Malformed)
}

/// A list of texts; `null` is as good as absent.
fn texts<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a [Value]>, KeyError> {
    match jwk.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(texts)) if texts.iter().all(Value::is_string) => Ok(Some(texts)),
        Some(_) => Err(KeyError::Malformed),
    }
}

fn decode(text: &str) -> Result<Vec<u8>, KeyError> {
    base64url::decode(text).map_err(|_| KeyError::Malformed)
}

fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is no JWK for `jsonwebtoken` is none here. (It takes `null` for a type, and looks into no number.)
    #[test]
    fn every_member_must_be_of_its_type() {
        let bytes = |length: usize| base64url::encode(vec![0xc5; length]);
        let ed25519 = base64url::encode(curve25519_dalek::constants::ED25519_BASEPOINT_COMPRESSED.as_bytes());
        let keys = [
            json!({ "kty": "RSA", "n": bytes(256), "e": "AQAB" }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": ed25519 }),
            json!({ "kty": "oct", "k": bytes(64) }),
        ];
        let values = [
            json!(null),
            json!(1),
            json!("x"),
            json!(["x"]),
            json!(["verify", 1]),
            json!({}),
            json!(["verify"]),
            json!("sig"),
        ];
        let (mut taken, mut refused) = (0, 0);
        for key in keys {
            let key = key.as_object().unwrap();
            assert!(PublicKey::from_jwk(key).is_ok(), "{key:?}");
            for name in [
                "kty", "crv", "n", "e", "x", "y", "k", "use", "key_ops", "alg", "kid", "x5u", "x5c", "x5t", "x5t#S256",
                "other",
            ] {
                for value in &values {
                    let mut changed = key.clone();
                    changed.insert(name.to_owned(), value.clone());
                    let theirs = serde_json::from_value::<jsonwebtoken::jwk::Jwk>(Value::Object(changed.clone()));
                    match PublicKey::from_jwk(&changed) {
                        Ok(_) => {
                            taken += 1;
                            assert!(theirs.is_ok(), "{changed:?}");
                        }
                        Err(why) => {
                            refused += 1;
                            assert!(
                                theirs.is_err()
                                    || why != KeyError::Malformed
                                    || matches!(name, "kty" | "crv" | "n" | "e" | "x" | "k"),
                                "{changed:?}: {why}"
                            );
                        }
                    }
                }
            }
        }
        assert!(taken > 100 && refused > 100, "{taken} {refused}");
    }
}
