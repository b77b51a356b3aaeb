//! The keys and tokens of the benchmarks: one issuer with a key for each algorithm, and access tokens (RFC 9068) of about ten
//! claims, as providers make them.

use anyhow::{Context, Result};
use carded_verifier::sign::SigningKey;
use carded_verifier::{Algorithm, PublicKey, base64url};
use serde_json::{Map, Value, json};

use crate::keys::now;

/// Who issues the tokens.
pub(super) const ISSUER: &str = "https://idp.example.com";
/// Who they are for.
pub(super) const AUDIENCE: &str = "api.example.com";
/// How long they hold, in seconds: longer than any run.
const LIFETIME: i64 = 6 * 3600;

/// The algorithms that are measured, in the order of the tables.
pub(super) const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];

/// The keys of the issuer.
pub(super) struct Keys(Vec<SigningKey>);

impl Keys {
    /// One for each of [`ALGORITHMS`], always the same, named after its algorithm.
    ///
    /// # Errors
    /// When an algorithm is not known to the verifier.
    pub(super) fn new() -> Result<Self> {
        let keys = ALGORITHMS.iter().zip(1..).map(|(name, seed)| key(name, name, seed));
        Ok(Self(keys.collect::<Result<_>>()?))
    }

    /// The key set (RFC 7517 section 5).
    pub(super) fn jwks(&self) -> Value {
        json!({ "keys": self.0.iter().map(SigningKey::public_jwk).collect::<Vec<_>>() })
    }

    /// A token of this algorithm for one of many subjects.
    ///
    /// # Errors
    /// When the algorithm is none of ours.
    pub(super) fn token(&self, algorithm: &str, subject: usize) -> Result<String> {
        let key = self.0.iter().find(|key| key.algorithm().name() == algorithm);
        Ok(key.with_context(|| format!("no key for {algorithm}"))?.sign_claims(&claims(ISSUER, subject))?)
    }

    /// What Envoy's `verify_signature` is asked for a token: `{ string hash_function = 1; bytes public_key = 2; bytes signature = 3;
    /// bytes text = 4; }` with SHA-256.
    ///
    /// # Errors
    /// When the algorithm is none of ours.
    pub(super) fn verify_signature(&self, algorithm: &str) -> Result<Vec<u8>> {
        let key = self.0.iter().find(|key| key.algorithm().name() == algorithm).context("no such key")?;
        let jwk = key.public_jwk();
        let (key, _) = PublicKey::from_jwk(jwk.as_object().context("a JWK is an object")?)?;
        let token = self.token(algorithm, 1)?;
        let (text, signature) = token.rsplit_once('.').context("a token")?;
        let signature = base64url::decode(signature)?;
        let signature = if algorithm.starts_with("ES") { ecdsa_sig_value(&signature) } else { signature };
        let mut arguments = Vec::new();
        let fields = [&b"sha256"[..], key.spki_der().context("a public key")?, &signature, text.as_bytes()];
        for (number, field) in (1_u8..).zip(fields) {
            // the number and the wire type 2, the length as a varint of two bytes, the bytes
            arguments.extend([number << 3 | 2, field.len() as u8 | 0x80, (field.len() >> 7) as u8]);
            arguments.extend_from_slice(field);
        }
        Ok(arguments)
    }

    /// So many tokens, each for another subject.
    ///
    /// # Errors
    /// When the algorithm is none of ours.
    pub(super) fn tokens(&self, algorithm: &str, number: usize) -> Result<Vec<String>> {
        (0..number).map(|subject| self.token(algorithm, subject)).collect()
    }
}

/// r and s of P-256 in DER (RFC 3279 section 2.2.3).
fn ecdsa_sig_value(signature: &[u8]) -> Vec<u8> {
    let mut numbers = Vec::new();
    for number in signature.chunks(signature.len() / 2) {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let number = &number[zeros..];
        let sign = number.first().is_none_or(|first| *first >= 0x80);
        numbers.extend([2, (number.len() + usize::from(sign)) as u8]);
        numbers.extend(sign.then_some(0));
        numbers.extend_from_slice(number);
    }
    [&[0x30, numbers.len() as u8], numbers.as_slice()].concat()
}

/// One key, always the same for the same seed.
///
/// # Errors
/// When the algorithm is not known to the verifier.
pub(super) fn key(algorithm: &str, kid: &str, seed: u8) -> Result<SigningKey> {
    let algorithm = Algorithm::parse(algorithm).with_context(|| format!("no algorithm {algorithm}"))?;
    Ok(SigningKey::generate(algorithm, kid, &[seed; 32])?)
}

/// The claims of an access token.
pub(super) fn claims(issuer: &str, subject: usize) -> Map<String, Value> {
    let claims = json!({
        "iss": issuer, "aud": AUDIENCE, "sub": format!("person-{subject:08}"), "client_id": "bench",
        "iat": now(), "nbf": now(), "exp": now() + LIFETIME, "jti": format!("{subject:016x}"),
        "name": "Ada Lovelace", "email": "ada@example.com", "role": "clerk", "roles": ["clerk"],
        "scope": "openid profile orders:read",
    });
    if let Value::Object(claims) = claims { claims } else { Map::new() }
}

/// The token with another subject under the old signature.
pub(super) fn tampered(token: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    if let (Some(payload), Ok(other)) = (parts.get_mut(1), serde_json::to_string(&claims(ISSUER, usize::MAX / 2))) {
        *payload = crate::keys::base64url(other);
    }
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tampered_token_differs_in_its_claims_only() {
        let key = key("EdDSA", "EdDSA", 5).expect("a key");
        let token = key.sign_claims(&claims(ISSUER, 1)).expect("a token");
        let other = tampered(&token);
        let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
        let (token, other) = (parts(&token), parts(&other));
        assert_eq!((&token[0], &token[2]), (&other[0], &other[2]));
        assert_ne!(token[1], other[1]);
    }
}
