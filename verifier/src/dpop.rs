//! DPoP proofs: that whoever uses a token holds the key it is bound to (RFC 9449 section 4.3).
use crate::algorithm::Algorithm;
use crate::base64url;
use crate::jwk::PublicKey;
use crate::jwt;
use crate::limits::Limits;
use crate::provider::SignatureProvider;
use crate::time::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Duration;

/// How long before or after its `iat` a proof is accepted (section 11.1: "a relatively brief period").
pub const WINDOW: Duration = Duration::from_secs(60);

/// The request that a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct DpopRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The URI without query and fragment.
    pub uri: &'a str,
    /// The token that is used, for `ath`.
    pub access_token: Option<&'a [u8]>,
    /// The thumbprint that the token is bound to.
    pub thumbprint: Option<&'a str>,
}

/// A proof that holds. Whoever must not accept it twice notes [`identity`](Self::identity) until [`until`](Self::until).
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct VerifiedDpop {
    identity: Vec<u8>,
    until: Timestamp,
    thumbprint: String,
    nonce: Option<String>,
}

impl VerifiedDpop {
    /// What the proof is known by: its key and its `jti`.
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// When it can no longer be used.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// The `nonce` in it (section 9). Whether it is one that was given out is for the caller to see.
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// The thumbprint of its key (RFC 7638, SHA-256, base64url).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }
}

/// Why a proof does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DpopError {
    /// It is no compact JWS.
    Malformed,
    /// `typ` is not `dpop+jwt`.
    Type,
    /// `alg` is no asymmetric algorithm that is known here.
    Algorithm,
    /// `jwk` is missing, unusable or has a private part.
    Key,
    /// The key is not the one that the token is bound to.
    WrongKey,
    /// The signature does not hold.
    Signature,
    /// `htm` is not the request's method.
    Method,
    /// `htu` is not the request's URI.
    Uri,
    /// `iat` is missing, or too far from now.
    Time,
    /// `jti` is missing or too long.
    Identity,
    /// `ath` is not the hash of the token.
    TokenHash,
}

impl fmt::Display for DpopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the proof is no compact JWS",
            Self::Type => "the proof's `typ` is not dpop+jwt",
            Self::Algorithm => "the proof's `alg` is not accepted",
            Self::Key => "the proof's `jwk` is missing or unusable",
            Self::WrongKey => "the proof is by another key than the one that the token is bound to",
            Self::Signature => "the proof's signature does not hold",
            Self::Method => "the proof's `htm` is not the method of this request",
            Self::Uri => "the proof's `htu` is not the address of this request",
            Self::Time => "the proof's `iat` is missing or not of this minute",
            Self::Identity => "the proof's `jti` is missing or too long",
            Self::TokenHash => "the proof's `ath` is not the hash of this token",
        })
    }
}

impl std::error::Error for DpopError {}

/// Checks a proof, at `now`.
///
/// # Errors
/// [`DpopError`]: the first check that fails.
pub fn verify(
    proof: &[u8],
    request: &DpopRequest<'_>,
    provider: &dyn SignatureProvider,
    limits: &Limits,
    now: Timestamp,
) -> Result<VerifiedDpop, DpopError> {
    if proof.len() > limits.token_bytes {
        return Err(DpopError::Malformed);
    }
    let token = jwt::parse(proof, limits).map_err(|_| DpopError::Malformed)?;
    if token.typ.as_deref().is_none_or(|typ| jwt::bare_type(typ) != "dpop+jwt") {
        return Err(DpopError::Type);
    }
    let algorithm = Algorithm::parse(&token.alg).filter(|algorithm| !algorithm.is_symmetric());
    let algorithm = algorithm.ok_or(DpopError::Algorithm)?;
    let Some(Value::Object(jwk)) = token.header.get("jwk") else { return Err(DpopError::Key) };
    if crate::jwk::has_private_part(jwk) {
        return Err(DpopError::Key);
    }
    let (key, named) = PublicKey::from_jwk(jwk).map_err(|_| DpopError::Key)?;
    if named.is_some_and(|named| named != algorithm) || !key.fits(algorithm) {
        return Err(DpopError::Key);
    }
    let thumbprint = key.thumbprint().ok_or(DpopError::Key)?;
    if request.thumbprint.is_some_and(|bound| bound != thumbprint) {
        return Err(DpopError::WrongKey);
    }
    let claims = &token.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("htm") != Some(request.method) {
        return Err(DpopError::Method);
    }
    // compared without query and fragment; nothing else is normalised, so that nothing else is equal
    let htu = text("htu").and_then(|htu| htu.split(['?', '#']).next());
    if htu != Some(request.uri) {
        return Err(DpopError::Uri);
    }
    let iat = Timestamp::from_unix(claims.get("iat").and_then(Value::as_i64).ok_or(DpopError::Time)?);
    if iat > now.saturating_add(WINDOW) || iat.saturating_add(WINDOW) <= now {
        return Err(DpopError::Time);
    }
    let jti = text("jti").filter(|jti| !jti.is_empty() && jti.len() <= 256).ok_or(DpopError::Identity)?;
    if let Some(access_token) = request.access_token {
        let hash = base64url::encode(Sha256::digest(access_token));
        if text("ath") != Some(hash.as_str()) {
            return Err(DpopError::TokenHash);
        }
    }
    provider.verify(algorithm, &key, token.message, &token.signature).map_err(|_| DpopError::Signature)?;
    // the key first, at its fixed length: no two pairs read the same
    let identity = [thumbprint.as_bytes(), jti.as_bytes()].concat();
    let nonce = text("nonce").map(str::to_owned);
    Ok(VerifiedDpop { identity, until: iat.saturating_add(WINDOW), thumbprint, nonce })
}
