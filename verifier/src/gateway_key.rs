//! The key that a gateway signs its own tokens with (RFC 7515 section 5.1): Ed25519 (RFC 8037) or P-256 (RFC 7518 section
//! 3.4), made of a secret. Both signatures are deterministic (RFC 8032, RFC 6979): nothing here draws randomness.
//!
//! `sign` signs with every algorithm, for tests and the wallet; the filter carries these two alone.
use crate::algorithm::{Algorithm, KeyType};
use crate::base64url;
use crate::jwk::PublicKey;
use ed25519_dalek::Signer;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;

/// A private key for one algorithm, with the public JWK that checks its signatures.
pub struct GatewayKey {
    algorithm: Algorithm,
    private: Private,
    kid: String,
    jwk: Map<String, Value>,
    /// the header, encoded, with the dot behind it
    header: String,
}

enum Private {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
}

/// Why there is no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GatewayKeyError {
    /// The algorithm is neither EdDSA nor ES256.
    Algorithm,
    /// The secret has fewer than 32 bytes.
    Length,
    /// The secret makes no key, which is not to be expected.
    Key,
}

impl fmt::Display for GatewayKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Algorithm => "EdDSA and ES256 are the algorithms that are signed with",
            Self::Length => "32 bytes or more are needed",
            Self::Key => "it makes no key: draw another",
        })
    }
}

impl std::error::Error for GatewayKeyError {}

impl GatewayKey {
    /// The key that a secret of 32 random bytes or more makes for an algorithm, always the same. What else is made of that
    /// secret, for another algorithm or purpose, has nothing to do with it. Its `kid` is its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// [`GatewayKeyError`].
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, GatewayKeyError> {
        if secret.len() < 32 {
            return Err(GatewayKeyError::Length);
        }
        let mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| GatewayKeyError::Length)?;
        let mac = mac.chain_update(b"carded signing 1 ").chain_update(algorithm.name());
        Self::new(algorithm, &mac.finalize().into_bytes().into(), None, "at+jwt")
    }

    /// The key of a private JWK (RFC 7517): Ed25519, or P-256 for ES256. It signs JWTs of `typ: JWT`, as an assertion of a
    /// client is (RFC 7523 section 3), under the JWK's `kid` where it has one.
    ///
    /// # Errors
    /// [`GatewayKeyError`]; also where its public part is that of another key.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, GatewayKeyError> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let algorithm = match (text("kty"), text("crv")) {
            (Some("OKP"), Some("Ed25519")) => "EdDSA",
            (Some("EC"), Some("P-256")) => "ES256",
            _ => return Err(GatewayKeyError::Algorithm),
        };
        if text("alg").is_some_and(|alg| alg != algorithm && (alg, algorithm) != ("Ed25519", "EdDSA")) {
            return Err(GatewayKeyError::Algorithm);
        }
        let algorithm = Algorithm::parse(algorithm).ok_or(GatewayKeyError::Algorithm)?;
        let bytes = base64url::decode(text("d").unwrap_or_default()).map_err(|_| GatewayKeyError::Length)?;
        let bytes = bytes.try_into().map_err(|_| GatewayKeyError::Length)?;
        let kid = text("kid");
        // it is written into the header as it is
        if kid.is_some_and(|kid| !kid.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')) {
            return Err(GatewayKeyError::Key);
        }
        let key = Self::new(algorithm, &bytes, kid, "JWT")?;
        let same = |name: &str| jwk.get(name) == key.jwk.get(name);
        if same("x") && same("y") { Ok(key) } else { Err(GatewayKeyError::Key) }
    }

    /// A key from the `d` of its private JWK, for tokens of this type.
    fn new(algorithm: Algorithm, bytes: &[u8; 32], kid: Option<&str>, typ: &str) -> Result<Self, GatewayKeyError> {
        let (private, public) = match algorithm.key_type() {
            KeyType::Ed25519 => {
                let key = ed25519_dalek::SigningKey::from_bytes(bytes);
                let public = PublicKey::ed25519(key.verifying_key().as_bytes());
                (Private::Ed25519(Box::new(key)), public)
            }
            KeyType::P256 => {
                let key = p256::ecdsa::SigningKey::from_slice(bytes).map_err(|_| GatewayKeyError::Key)?;
                // uncompressed: 4, x, y (SEC 1 section 2.3.3)
                let point = key.verifying_key().to_sec1_bytes();
                let (x, y) = point.get(1..).and_then(|both| both.split_at_checked(32)).unwrap_or_default();
                (Private::P256(Box::new(key)), PublicKey::ec(KeyType::P256, x, y))
            }
            _ => return Err(GatewayKeyError::Algorithm),
        };
        let public = public.map_err(|_| GatewayKeyError::Key)?;
        let kid = kid.map(str::to_owned).or_else(|| public.thumbprint());
        let (Some(kid), Some(mut jwk)) = (kid, public.to_jwk()) else {
            return Err(GatewayKeyError::Key);
        };
        for (name, value) in [("kid", kid.as_str()), ("alg", algorithm.name()), ("use", "sig")] {
            jwk.insert(name.to_owned(), value.into());
        }
        let header = format!(r#"{{"alg":"{}","kid":"{kid}","typ":"{typ}"}}"#, algorithm.name());
        let header = format!("{}.", base64url::encode(header));
        Ok(Self { algorithm, private, kid, jwk, header })
    }

    /// Its one algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What names it: the thumbprint of its public key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public JWK, with `kid`, `alg` and `use`, to publish.
    pub fn jwk(&self) -> &Map<String, Value> {
        &self.jwk
    }

    /// A JWT with these claims: `typ: at+jwt` (RFC 9068 section 2.1), for the key of a JWK `typ: JWT`. Nothing where the crypto refuses, which is not to
    /// be expected.
    pub fn sign(&self, claims: &Map<String, Value>) -> Option<String> {
        let mut token = self.header.clone();
        token.push_str(&base64url::encode(serde_json::to_vec(claims).ok()?));
        let signature = match &self.private {
            Private::Ed25519(key) => key.sign(token.as_bytes()).to_bytes(),
            Private::P256(key) => {
                let digest = Sha256::digest(token.as_bytes());
                let signature: p256::ecdsa::Signature = key.sign_prehash(&digest).ok()?;
                signature.to_bytes().into()
            }
        };
        token.push('.');
        token.push_str(&base64url::encode(signature));
        Some(token)
    }
}

impl fmt::Debug for GatewayKey {
    /// Algorithm and `kid`; never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayKey").field("algorithm", &self.algorithm).field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{RustCrypto, SignatureProvider};

    fn algorithm(name: &str) -> Algorithm {
        Algorithm::parse(name).unwrap()
    }

    #[test]
    fn a_private_jwk_is_a_key_where_all_of_it_fits() {
        for name in ["EdDSA", "ES256"] {
            let made = GatewayKey::new(algorithm(name), &[7; 32], None, "JWT").unwrap();
            let mut jwk = made.jwk().clone();
            jwk.insert("d".to_owned(), base64url::encode([7; 32]).into());
            jwk.insert("kid".to_owned(), "ours".into());
            let key = GatewayKey::from_jwk(&jwk).unwrap();
            let token = key.sign(&Map::new()).unwrap();
            let header = base64url::decode(token.split('.').next().unwrap()).unwrap();
            let header: Value = serde_json::from_slice(&header).unwrap();
            assert_eq!(header, serde_json::json!({ "alg": name, "kid": "ours", "typ": "JWT" }));
            let other = GatewayKey::new(algorithm(name), &[8; 32], None, "JWT").unwrap();
            for (member, value) in [
                ("kty", Value::from("RSA")),
                ("crv", "P-384".into()),
                ("alg", "RS256".into()),
                ("d", base64url::encode([7; 31]).into()),
                ("d", "!".into()),
                ("d", Value::Null),
                ("x", other.jwk()["x"].clone()),
                ("x", Value::Null),
                ("y", "AAAA".into()),
                ("kid", "a\"b".into()),
            ] {
                let mut bad = jwk.clone();
                bad.insert(member.to_owned(), value.clone());
                assert!(GatewayKey::from_jwk(&bad).is_err(), "{name} {member} {value}");
            }
        }
    }

    #[test]
    fn what_it_signs_its_published_key_checks() {
        for name in ["EdDSA", "ES256"] {
            let key = GatewayKey::from_secret(algorithm(name), &[7; 32]).unwrap();
            let claims = serde_json::json!({ "sub": "alice" });
            let token = key.sign(claims.as_object().unwrap()).unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let (public, named) = PublicKey::from_jwk(key.jwk()).unwrap();
            assert_eq!((named, public.thumbprint().as_deref()), (Some(algorithm(name)), Some(key.kid())));
            let signature = base64url::decode(signature).unwrap();
            let check = |message: &str| RustCrypto.verify(algorithm(name), &public, message.as_bytes(), &signature);
            assert!(check(message).is_ok());
            assert!(check(&message.replace('e', "f")).is_err());
            assert!(!crate::jwk::has_private_part(key.jwk()), "the published JWK has no private part");
        }
    }

    #[test]
    fn an_ed25519_key_is_that_of_rfc_8037() {
        // appendix A.1 to A.3
        let secret = base64url::decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = GatewayKey::new(algorithm("EdDSA"), &secret.try_into().unwrap(), None, "at+jwt").unwrap();
        assert_eq!(key.jwk()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn threat_99_what_makes_no_key_is_refused() {
        let from = |name, secret: &[u8]| GatewayKey::from_secret(algorithm(name), secret).err();
        assert_eq!(from("EdDSA", &[7; 31]), Some(GatewayKeyError::Length));
        assert_eq!(from("RS256", &[7; 32]), Some(GatewayKeyError::Algorithm));
        assert_eq!(from("HS256", &[7; 32]), Some(GatewayKeyError::Algorithm));
        let new = |bytes: [u8; 32]| GatewayKey::new(algorithm("ES256"), &bytes, None, "at+jwt").err();
        assert_eq!((new([0; 32]), new([0xff; 32])), (Some(GatewayKeyError::Key), Some(GatewayKeyError::Key)));
        let kid = |name| GatewayKey::from_secret(algorithm(name), &[7; 40]).unwrap().kid;
        assert_ne!(kid("EdDSA"), kid("ES256"));
    }
}
