//! Signing keys and compact JWTs (RFC 7515 §7.1, RFC 7519) made with `ring`: a second pair of eyes, since Carded verifies with
//! other crates. The pieces of a token can be anything, so that tests can build what no honest issuer would.

use anyhow::{Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// base64url without padding.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// A private key with its key id.
#[derive(Debug)]
pub struct Key {
    kid: String,
    secret: Secret,
}

#[derive(Debug)]
enum Secret {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// A fresh P-256 key for ES256.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn p256(kid: &str) -> Result<Self> {
        let random = SystemRandom::new();
        let refused = |_| anyhow!("cannot generate a P-256 key");
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(refused)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
            .map_err(|e| anyhow!("{e}"))?;
        Ok(Self { kid: kid.to_owned(), secret: Secret::P256(pair) })
    }

    /// A fresh Ed25519 key for EdDSA.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn ed25519(kid: &str) -> Result<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| anyhow!("cannot generate an Ed25519 key"))?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|e| anyhow!("{e}"))?;
        Ok(Self { kid: kid.to_owned(), secret: Secret::Ed25519(pair) })
    }

    /// The key id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The JOSE name of the algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self.secret {
            Secret::P256(_) => "ES256",
            Secret::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as a JWK (RFC 7517).
    pub fn jwk(&self) -> Value {
        match &self.secret {
            Secret::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y), "kid": self.kid, "use": "sig", "alg": "ES256" })
            }
            Secret::Ed25519(pair) => {
                let x = base64url(pair.public_key());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid, "use": "sig", "alg": "EdDSA" })
            }
        }
    }

    /// A signature over any bytes, in the form of JOSE (RFC 7518 §3.4, RFC 8037 §3.1).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::P256(pair) => {
                pair.sign(&SystemRandom::new(), message).map(|s| s.as_ref().to_vec()).unwrap_or_default()
            }
            Secret::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with these claims, typed `at+jwt` (RFC 9068).
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.algorithm(), "kid": self.kid, "typ": "at+jwt" }), claims)
    }

    /// A token with any header and any claims.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.token_of(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// A token of any bytes as header and payload, rightly signed.
    pub fn token_of(&self, header: &[u8], payload: &[u8]) -> String {
        let input = format!("{}.{}", base64url(header), base64url(payload));
        let signature = base64url(self.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }
}

/// A key set (RFC 7517 §5) of these keys.
pub fn key_set(keys: &[&Key]) -> Value {
    json!({ "keys": keys.iter().map(|k| k.jwk()).collect::<Vec<_>>() })
}

/// The claims of an honest access token: issued now, for five minutes.
pub fn claims(issuer: &str, audience: &str, subject: &str) -> Value {
    json!({ "iss": issuer, "aud": audience, "sub": subject, "iat": now(), "exp": now() + 300 })
}

/// `claims` with these members put over it; a null removes one.
pub fn with(mut claims: Value, changes: Value) -> Value {
    if let (Some(all), Value::Object(changes)) = (claims.as_object_mut(), changes) {
        for (name, value) in changes {
            if value.is_null() {
                all.remove(&name);
            } else {
                all.insert(name, value);
            }
        }
    }
    claims
}

/// The `exp` of a compact JWT, unverified.
pub fn expiry(token: &str) -> Option<i64> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Value>(&payload).ok()?["exp"].as_i64()
}
