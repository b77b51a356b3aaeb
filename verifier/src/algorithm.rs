//! The one table of signature algorithms (RFC 7518 section 3, RFC 8037 section 3.1); nothing below it lists them.
use std::fmt;
use std::hash::{Hash, Hasher};

/// What a key must be for an algorithm: its `kty`, and its `crv` where it has one (RFC 7517 section 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyType {
    /// `kty: RSA`
    Rsa,
    /// `kty: EC`, `crv: P-256`
    P256,
    /// `kty: EC`, `crv: P-384`
    P384,
    /// `kty: OKP`, `crv: Ed25519`
    Ed25519,
    /// `kty: oct`
    Secret,
}

/// The SHA-2 hash that an algorithm uses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HashFunction {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// The signature scheme of an algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 (RFC 7518 section 3.3)
    RsaPkcs1,
    /// RSASSA-PSS with MGF1 of the same hash (RFC 7518 section 3.5); `salt` in bytes
    RsaPss {
        /// the length of the salt in bytes: that of the hash
        salt: usize,
    },
    /// ECDSA, signature as r‖s (RFC 7518 section 3.4)
    Ecdsa,
    /// Ed25519 (RFC 8037 section 3.1)
    Ed25519,
    /// HMAC (RFC 7518 section 3.2)
    Hmac,
}

struct Row {
    name: &'static str,
    id: jsonwebtoken::Algorithm,
    key_type: KeyType,
    scheme: Scheme,
    hash: HashFunction,
    minimum_bits: usize,
}

const fn row(
    name: &'static str,
    id: jsonwebtoken::Algorithm,
    key_type: KeyType,
    scheme: Scheme,
    hash: HashFunction,
    minimum_bits: usize,
) -> Row {
    Row { name, id, key_type, scheme, hash, minimum_bits }
}

use HashFunction::{Sha256, Sha384, Sha512};
use jsonwebtoken::Algorithm as Id;

#[rustfmt::skip]
static TABLE: [Row; 12] = [
    //   name     id         key type           scheme                       hash    minimum bits of the key
    row("RS256", Id::RS256, KeyType::Rsa,     Scheme::RsaPkcs1,            Sha256, 2048),
    row("RS384", Id::RS384, KeyType::Rsa,     Scheme::RsaPkcs1,            Sha384, 2048),
    row("RS512", Id::RS512, KeyType::Rsa,     Scheme::RsaPkcs1,            Sha512, 2048),
    row("PS256", Id::PS256, KeyType::Rsa,     Scheme::RsaPss { salt: 32 }, Sha256, 2048),
    row("PS384", Id::PS384, KeyType::Rsa,     Scheme::RsaPss { salt: 48 }, Sha384, 2048),
    row("PS512", Id::PS512, KeyType::Rsa,     Scheme::RsaPss { salt: 64 }, Sha512, 2048),
    row("ES256", Id::ES256, KeyType::P256,    Scheme::Ecdsa,               Sha256, 256),
    row("ES384", Id::ES384, KeyType::P384,    Scheme::Ecdsa,               Sha384, 384),
    row("EdDSA", Id::EdDSA, KeyType::Ed25519, Scheme::Ed25519,             Sha512, 256),
    row("HS256", Id::HS256, KeyType::Secret,  Scheme::Hmac,                Sha256, 256),
    row("HS384", Id::HS384, KeyType::Secret,  Scheme::Hmac,                Sha384, 384),
    row("HS512", Id::HS512, KeyType::Secret,  Scheme::Hmac,                Sha512, 512),
];

/// A signature algorithm that is supported: a row of the table.
#[derive(Clone, Copy)]
pub struct Algorithm(&'static Row);

impl Algorithm {
    /// The algorithm of that `alg` value (RFC 7515 section 4.1.1): exact, with case. `none` is no algorithm.
    pub fn parse(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(Self)
    }

    /// Every supported algorithm, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// The `alg` value.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The type of key that it takes.
    pub fn key_type(self) -> KeyType {
        self.0.key_type
    }

    /// The scheme of its signatures.
    pub fn scheme(self) -> Scheme {
        self.0.scheme
    }

    /// Its hash.
    pub fn hash(self) -> HashFunction {
        self.0.hash
    }

    /// The fewest bits that a key for it may have (RFC 7518 sections 3.2 to 3.5).
    pub fn minimum_bits(self) -> usize {
        self.0.minimum_bits
    }

    /// Whether signer and checker share one secret (the HS* family).
    pub fn is_symmetric(self) -> bool {
        self.0.key_type == KeyType::Secret
    }

    /// The same algorithm in `jsonwebtoken`'s words.
    pub fn to_jsonwebtoken(self) -> jsonwebtoken::Algorithm {
        self.0.id
    }

    /// The algorithm that `jsonwebtoken` names so; `None` for one that the table does not have.
    pub fn from_jsonwebtoken(id: jsonwebtoken::Algorithm) -> Option<Self> {
        TABLE.iter().find(|row| row.id == id).map(Self)
    }
}

impl PartialEq for Algorithm {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Algorithm {}

impl Hash for Algorithm {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_and_none_is_none() {
        for algorithm in Algorithm::all() {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::parse(&algorithm.name().to_lowercase()), None);
            assert_eq!(Algorithm::from_jsonwebtoken(algorithm.to_jsonwebtoken()), Some(algorithm));
            assert_eq!(format!("{:?}", algorithm.to_jsonwebtoken()), algorithm.name());
        }
        for name in ["none", "None", "NONE", "nOnE", "", " RS256", "RS256 ", "ES512", "ES256K"] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
    }

    #[test]
    fn salts_are_as_long_as_the_hash() {
        for algorithm in Algorithm::all() {
            if let Scheme::RsaPss { salt } = algorithm.scheme() {
                let hash = match algorithm.hash() {
                    Sha256 => 32,
                    Sha384 => 48,
                    Sha512 => 64,
                };
                assert_eq!(salt, hash, "{algorithm}");
            }
        }
    }
}
