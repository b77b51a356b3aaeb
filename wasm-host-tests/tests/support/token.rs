//! Tokens and keys, made deterministically and independently of Carded: Ed25519 (RFC 8037) over compact JWS (RFC 7515).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Map, Value, json};

use super::START;

/// An issuer's signing key.
#[derive(Clone)]
pub(crate) struct Key {
    secret: SigningKey,
    kid: String,
}

impl Key {
    /// The key number `seed`, always the same.
    pub(crate) fn new(seed: u8, kid: &str) -> Self {
        Self { secret: SigningKey::from_bytes(&[seed; 32]), kid: kid.to_owned() }
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self) -> Value {
        let x = base64url(self.secret.verifying_key().as_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid, "use": "sig", "alg": "EdDSA" })
    }

    /// An access token with these claims.
    pub(crate) fn token(&self, claims: &Claims) -> String {
        self.token_with(&json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.kid }), claims)
    }

    /// A token with this header.
    pub(crate) fn token_with(&self, header: &Value, claims: &Claims) -> String {
        self.sign(header.to_string().as_bytes(), Value::Object(claims.0.clone()).to_string().as_bytes())
    }

    /// Signs these bytes as header and payload, whatever they are.
    pub(crate) fn sign(&self, header: &[u8], payload: &[u8]) -> String {
        let input = format!("{}.{}", base64url(header), base64url(payload));
        let signature = self.secret.sign(input.as_bytes());
        format!("{input}.{}", base64url(&signature.to_bytes()))
    }

    /// A token that holds, for alice.
    pub(crate) fn good(&self) -> String {
        self.token(&Claims::of("alice"))
    }
}

/// The claims of a token.
#[derive(Clone)]
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    /// Claims of the issuer `corp` that hold for ten minutes from the start of the clock.
    pub(crate) fn of(sub: &str) -> Self {
        Self::default().with("sub", sub)
    }

    /// The same with this claim.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The same without this claim.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Issued at this time, for ten minutes.
    pub(crate) fn at(self, now: u64) -> Self {
        self.with("iat", now).with("exp", now + 600)
    }
}

impl Default for Claims {
    fn default() -> Self {
        Self(Map::new())
            .with("iss", "https://idp.example.com")
            .with("aud", "api.example.com")
            .with("realm_access", json!({ "roles": ["clerk"] }))
            .at(START)
    }
}

/// Base64url without padding (RFC 7515, section 2).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
