//! Signing compact JWS in two phases (RFC 7515 section 5.1): [`prepare`] gives the bytes to sign and
//! [`Prepared::finish`] takes the signature, so that a key can stay in WebCrypto or a KMS. [`SigningKey`] signs in
//! process, for tests, the demo and the wallet; the filter does not carry this module.
//!
//! Nothing draws randomness: keys come from a JWK or from a seed that the caller has drawn, and the one scheme that
//! needs a salt (RSASSA-PSS) derives it from key and message, as RFC 6979 does for ECDSA.
mod jsonwebtoken_provider;
mod stream;

pub use jsonwebtoken_provider::{JSONWEBTOKEN_PROVIDER, install_crypto_provider};

use crate::algorithm::{Algorithm, HashFunction, KeyType, Scheme};
use crate::base64url;
use crate::json;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::pkcs8::EncodePrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, RsaPrivateKey};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt;
use stream::Stream;

const RSA_BITS: usize = 2048;

/// A JWS that only lacks its signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    message: String,
}

/// First phase: encodes header and payload. The header must name its `alg`; nothing is added to it.
pub fn prepare(header: &Map<String, Value>, claims: &Map<String, Value>) -> Prepared {
    prepare_bytes(&json_text(header), &json_text(claims))
}

/// As [`prepare`], with header and payload as any bytes at all: how tests make what no library would.
pub fn prepare_bytes(header: &[u8], payload: &[u8]) -> Prepared {
    Prepared { message: format!("{}.{}", base64url::encode(header), base64url::encode(payload)) }
}

fn json_text(map: &Map<String, Value>) -> Vec<u8> {
    Value::Object(map.clone()).to_string().into_bytes()
}

impl Prepared {
    /// What is to be signed (RFC 7515 section 5.1, step 8).
    pub fn bytes(&self) -> &[u8] {
        self.message.as_bytes()
    }

    /// Second phase: the whole token. `signature` is as JOSE writes it (ECDSA as r‖s).
    pub fn finish(self, signature: &[u8]) -> String {
        format!("{}.{}", self.message, base64url::encode(signature))
    }
}

/// Why there is no key, or no signature.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SignError {
    /// The JWK is not one of a supported private key, or a part of it is malformed.
    Jwk(&'static str),
    /// The values make no valid key.
    Key,
    /// The crypto refused to sign.
    Sign,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jwk(what) => write!(f, "the JWK has no usable `{what}`"),
            Self::Key => f.write_str("not a valid key"),
            Self::Sign => f.write_str("could not sign"),
        }
    }
}

impl std::error::Error for SignError {}

/// A private key (or secret) for one algorithm.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    kid: Option<String>,
    private: Private,
}

#[derive(Clone)]
enum Private {
    Rsa(Box<RsaPrivateKey>),
    P256(Box<p256::ecdsa::SigningKey>),
    P384(Box<p384::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Secret(Vec<u8>),
}

impl SigningKey {
    /// A key made from 32 random bytes, always the same from the same. RSA has 2048 bits and takes about a second.
    ///
    /// # Errors
    /// [`SignError::Key`] where no key comes of it, which is not to be expected.
    pub fn generate(algorithm: Algorithm, kid: &str, seed: &[u8; 32]) -> Result<Self, SignError> {
        let mut stream = Stream::new(seed, algorithm.name().as_bytes());
        let private = match algorithm.key_type() {
            KeyType::Rsa => RsaPrivateKey::new(&mut stream, RSA_BITS).map(|key| Private::Rsa(Box::new(key))).ok(),
            // a scalar out of range is so rare that a few more tries always do
            KeyType::P256 => (0..8).find_map(|_| {
                p256::ecdsa::SigningKey::from_slice(&stream.bytes(32)).ok().map(|key| Private::P256(Box::new(key)))
            }),
            KeyType::P384 => (0..8).find_map(|_| {
                p384::ecdsa::SigningKey::from_slice(&stream.bytes(48)).ok().map(|key| Private::P384(Box::new(key)))
            }),
            KeyType::Ed25519 => Some(ed25519_from(&stream.bytes(32))?),
            KeyType::Secret => Some(Private::Secret(stream.bytes(64))),
        };
        Ok(Self { algorithm, kid: Some(kid.to_owned()), private: private.ok_or(SignError::Key)? })
    }

    /// A key from a private JWK (RFC 7518 section 6, RFC 8037 section 2). Without `alg` the algorithm is the one that
    /// its curve implies, and RS256 for RSA.
    ///
    /// # Errors
    /// [`SignError`] where it is not the JWK of a supported private key.
    pub fn from_jwk(jwk: &[u8]) -> Result<Self, SignError> {
        let jwk = json::parse_object(jwk, 8).map_err(|_| SignError::Jwk("object"))?;
        let text = |name: &'static str| jwk.get(name).and_then(Value::as_str).ok_or(SignError::Jwk(name));
        let bytes = |name: &'static str| base64url::decode(text(name)?).map_err(|_| SignError::Jwk(name));
        let uint = |name: &'static str| bytes(name).map(|bytes| BoxedUint::from_be_slice_vartime(&bytes));
        let (private, implied) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let primes = vec![uint("p")?, uint("q")?];
                let key = RsaPrivateKey::from_components(uint("n")?, uint("e")?, uint("d")?, primes)
                    .map_err(|_| SignError::Key)?;
                (Private::Rsa(Box::new(key)), "RS256")
            }
            ("EC", Ok("P-256")) => {
                let key = p256::ecdsa::SigningKey::from_slice(&bytes("d")?).map_err(|_| SignError::Key)?;
                (Private::P256(Box::new(key)), "ES256")
            }
            ("EC", Ok("P-384")) => {
                let key = p384::ecdsa::SigningKey::from_slice(&bytes("d")?).map_err(|_| SignError::Key)?;
                (Private::P384(Box::new(key)), "ES384")
            }
            ("OKP", Ok("Ed25519")) => (ed25519_from(&bytes("d")?)?, "EdDSA"),
            ("oct", _) => (Private::Secret(bytes("k")?), "HS256"),
            _ => return Err(SignError::Jwk("kty")),
        };
        let algorithm = Algorithm::parse(text("alg").unwrap_or(implied)).ok_or(SignError::Jwk("alg"))?;
        let kid = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
        let key = Self { algorithm, kid, private };
        if key.key_type() == algorithm.key_type() { Ok(key) } else { Err(SignError::Jwk("alg")) }
    }

    /// A secret for an HS* algorithm.
    ///
    /// # Errors
    /// [`SignError::Key`] where the algorithm takes none.
    pub fn from_secret(algorithm: Algorithm, kid: Option<&str>, secret: &[u8]) -> Result<Self, SignError> {
        if !algorithm.is_symmetric() {
            return Err(SignError::Key);
        }
        Ok(Self { algorithm, kid: kid.map(str::to_owned), private: Private::Secret(secret.to_vec()) })
    }

    /// The same key for another algorithm of its type: RS256 and PS256 share their keys.
    ///
    /// # Errors
    /// [`SignError::Key`] where the algorithm takes another type.
    pub fn with_algorithm(&self, algorithm: Algorithm) -> Result<Self, SignError> {
        if self.key_type() != algorithm.key_type() {
            return Err(SignError::Key);
        }
        Ok(Self { algorithm, ..self.clone() })
    }

    /// The same key under another `kid`, or none.
    #[must_use]
    pub fn with_kid(&self, kid: Option<&str>) -> Self {
        Self { kid: kid.map(str::to_owned), ..self.clone() }
    }

    /// Its one algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its `kid`.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    fn key_type(&self) -> KeyType {
        match self.private {
            Private::Rsa(_) => KeyType::Rsa,
            Private::P256(_) => KeyType::P256,
            Private::P384(_) => KeyType::P384,
            Private::Ed25519(_) => KeyType::Ed25519,
            Private::Secret(_) => KeyType::Secret,
        }
    }

    /// The JWK to publish: `kty`, the public members, `alg`, `use: sig` and `kid`. For a secret there is nothing to
    /// publish; its JWK has `k`.
    pub fn public_jwk(&self) -> Value {
        let encode = |bytes: &[u8]| Value::from(base64url::encode(bytes));
        let mut jwk = match &self.private {
            Private::Rsa(key) => json!({
                "kty": "RSA",
                "n": encode(&key.n().to_be_bytes_trimmed_vartime()),
                "e": encode(&key.e().to_be_bytes_trimmed_vartime()),
            }),
            Private::P256(key) => ec_jwk("P-256", &key.verifying_key().to_sec1_bytes()),
            Private::P384(key) => ec_jwk("P-384", &key.verifying_key().to_sec1_bytes()),
            Private::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.verifying_key().as_bytes())})
            }
            Private::Secret(secret) => json!({"kty": "oct", "k": encode(secret)}),
        };
        if let Value::Object(members) = &mut jwk {
            members.insert("alg".to_owned(), self.algorithm.name().into());
            members.insert("use".to_owned(), "sig".into());
            if let Some(kid) = &self.kid {
                members.insert("kid".to_owned(), kid.as_str().into());
            }
        }
        jwk
    }

    /// The header that this key signs under: `alg`, `kid` and `typ: at+jwt` (RFC 9068 section 2.1).
    pub fn header(&self) -> Map<String, Value> {
        let mut header = Map::new();
        header.insert("alg".to_owned(), self.algorithm.name().into());
        if let Some(kid) = &self.kid {
            header.insert("kid".to_owned(), kid.as_str().into());
        }
        header.insert("typ".to_owned(), "at+jwt".into());
        header
    }

    /// Signs claims under [`header`](Self::header).
    ///
    /// # Errors
    /// [`SignError::Sign`] where the crypto refuses.
    pub fn sign_claims(&self, claims: &Map<String, Value>) -> Result<String, SignError> {
        self.sign(prepare(&self.header(), claims))
    }

    /// Signs what is prepared.
    ///
    /// # Errors
    /// [`SignError::Sign`] where the crypto refuses.
    pub fn sign(&self, prepared: Prepared) -> Result<String, SignError> {
        let signature = self.signature(prepared.bytes())?;
        Ok(prepared.finish(&signature))
    }

    /// The signature over bytes, as JOSE writes it.
    ///
    /// # Errors
    /// [`SignError::Sign`] where the crypto refuses.
    pub fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self.algorithm.hash() {
            HashFunction::Sha256 => {
                self.signature_over(message, &Sha256::digest(message), Pkcs1v15Sign::new::<Sha256>(), |salt| {
                    Pss::<Sha256>::new_with_salt(salt)
                })
            }
            HashFunction::Sha384 => {
                self.signature_over(message, &Sha384::digest(message), Pkcs1v15Sign::new::<Sha384>(), |salt| {
                    Pss::<Sha384>::new_with_salt(salt)
                })
            }
            HashFunction::Sha512 => {
                self.signature_over(message, &Sha512::digest(message), Pkcs1v15Sign::new::<Sha512>(), |salt| {
                    Pss::<Sha512>::new_with_salt(salt)
                })
            }
        }
    }

    fn signature_over<P: rsa::traits::SignatureScheme>(
        &self,
        message: &[u8],
        digest: &[u8],
        pkcs1: Pkcs1v15Sign,
        pss: impl Fn(usize) -> P,
    ) -> Result<Vec<u8>, SignError> {
        let signature = match (&self.private, self.algorithm.scheme()) {
            (Private::Rsa(key), Scheme::RsaPkcs1) => key.sign(pkcs1, digest).ok(),
            (Private::Rsa(key), Scheme::RsaPss { salt }) => {
                use rsa::traits::PrivateKeyParts;
                let mut stream = Stream::new(&key.d().to_be_bytes(), digest);
                key.sign_with_rng(&mut stream, pss(salt), digest).ok()
            }
            (Private::P256(key), Scheme::Ecdsa) => {
                PrehashSigner::<p256::ecdsa::Signature>::sign_prehash(key.as_ref(), digest)
                    .ok()
                    .map(|signature| signature.to_bytes().to_vec())
            }
            (Private::P384(key), Scheme::Ecdsa) => {
                PrehashSigner::<p384::ecdsa::Signature>::sign_prehash(key.as_ref(), digest)
                    .ok()
                    .map(|signature| signature.to_bytes().to_vec())
            }
            (Private::Ed25519(key), Scheme::Ed25519) => {
                use ed25519_dalek::Signer;
                Some(key.sign(message).to_bytes().to_vec())
            }
            (Private::Secret(secret), Scheme::Hmac) => hmac_tag(self.algorithm.hash(), secret, message),
            _ => None,
        };
        signature.ok_or(SignError::Sign)
    }

    /// The same key for `jsonwebtoken::encode`: PKCS#1 for RSA, PKCS#8 for curves, the bytes for a secret.
    ///
    /// # Errors
    /// [`SignError::Key`] where it cannot be encoded.
    pub fn encoding_key(&self) -> Result<jsonwebtoken::EncodingKey, SignError> {
        use jsonwebtoken::EncodingKey;
        match &self.private {
            Private::Rsa(key) => key.to_pkcs1_der().ok().map(|der| EncodingKey::from_rsa_der(der.as_bytes())),
            Private::P256(key) => key.to_pkcs8_der().ok().map(|der| EncodingKey::from_ec_der(der.as_bytes())),
            Private::P384(key) => key.to_pkcs8_der().ok().map(|der| EncodingKey::from_ec_der(der.as_bytes())),
            Private::Ed25519(key) => {
                // without the public key: the form that `jsonwebtoken` knows by its length
                let pair = ed25519_dalek::pkcs8::KeypairBytes { secret_key: key.to_bytes(), public_key: None };
                pair.to_pkcs8_der().ok().map(|der| EncodingKey::from_ed_der(der.as_bytes()))
            }
            Private::Secret(secret) => Some(EncodingKey::from_secret(secret)),
        }
        .ok_or(SignError::Key)
    }
}

impl fmt::Debug for SigningKey {
    /// Algorithm and `kid`; never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).field("kid", &self.kid).finish_non_exhaustive()
    }
}

fn ed25519_from(bytes: &[u8]) -> Result<Private, SignError> {
    let bytes: &[u8; 32] = bytes.try_into().map_err(|_| SignError::Key)?;
    Ok(Private::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(bytes))))
}

/// `point` is uncompressed: 4, x, y (SEC 1 section 2.3.3).
fn ec_jwk(crv: &str, point: &[u8]) -> Value {
    let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
    json!({"kty": "EC", "crv": crv, "x": base64url::encode(x), "y": base64url::encode(y)})
}

fn hmac_tag(hash: HashFunction, secret: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    fn tag<M: Mac + KeyInit>(secret: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        let mac = <M as KeyInit>::new_from_slice(secret).ok()?;
        Some(mac.chain_update(message).finalize().into_bytes().to_vec())
    }
    match hash {
        HashFunction::Sha256 => tag::<Hmac<Sha256>>(secret, message),
        HashFunction::Sha384 => tag::<Hmac<Sha384>>(secret, message),
        HashFunction::Sha512 => tag::<Hmac<Sha512>>(secret, message),
    }
}
