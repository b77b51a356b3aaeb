//! The holder of a credential: whoever has the key that its issuer named (`cnf`, RFC 7800).
use crate::algorithm::Algorithm;
use crate::checks::{Stop, deny};
use crate::did::Did;
use crate::jwk::{self, PublicKey};
use crate::outcome::Code;
use crate::signer::{self, World};
use serde_json::{Map, Value};

/// A holder's key, and the names that it goes by.
#[derive(Clone, Debug)]
pub struct Holder {
    key: PublicKey,
    /// the one algorithm that the key names
    algorithm: Option<Algorithm>,
    thumbprint: String,
    did: Option<String>,
}

impl Holder {
    pub(crate) fn new(key: PublicKey, algorithm: Option<Algorithm>, did: Option<String>) -> Result<Self, Stop> {
        match key.thumbprint() {
            Some(thumbprint) => Ok(Self { key, algorithm, thumbprint, did }),
            None => deny(Code::HolderKeyInvalid, "a secret is no holder's key"),
        }
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The base64url SHA-256 of its JWK (RFC 7638), as `jkt` has it (RFC 9449 section 6.1).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The holder's DID, where the credential names one.
    pub fn did(&self) -> Option<&str> {
        self.did.as_deref()
    }

    /// Whether a signature by that algorithm can be this holder's.
    pub(crate) fn signs_with(&self, algorithm: Algorithm) -> bool {
        self.key.fits(algorithm) && self.algorithm.is_none_or(|named| named == algorithm)
    }

    /// The holder that a credential names by `cnf`: its key itself (`jwk`), or a key of its DID (`kid`).
    pub(crate) fn of_claims(claims: &Map<String, Value>, world: World<'_>) -> Result<Option<Self>, Stop> {
        let cnf = match claims.get("cnf") {
            None => return Ok(None),
            Some(Value::Object(cnf)) => cnf,
            Some(_) => return deny(Code::ClaimInvalid, "`cnf` is no object"),
        };
        if let Some(member) = ["jwe", "jku", "x5u"].iter().find(|member| cnf.contains_key(**member)) {
            return deny(Code::HolderKeyInvalid, format!("`cnf` has `{member}`, which is not supported"));
        }
        match (cnf.get("jwk"), cnf.get("kid")) {
            (Some(Value::Object(jwk)), _) => {
                if jwk::has_private_part(jwk) || jwk::is_symmetric(jwk) {
                    return deny(Code::HolderKeyInvalid, "`cnf` holds a private or symmetric key");
                }
                match PublicKey::from_jwk(jwk) {
                    Ok((key, algorithm)) => Self::new(key, algorithm, None).map(Some),
                    Err(why) => deny(Code::HolderKeyInvalid, format!("the key of `cnf`: {why}")),
                }
            }
            (None, Some(Value::String(kid))) => {
                let name = kid.split('#').next().unwrap_or_default();
                match Did::parse(name) {
                    Ok(did) => {
                        let key = signer::holder_key(&did, kid, world)?;
                        Self::new(key, None, Some(name.to_owned())).map(Some)
                    }
                    Err(why) => deny(Code::HolderKeyInvalid, format!("the `kid` of `cnf`: {why}")),
                }
            }
            _ => deny(Code::HolderKeyInvalid, "`cnf` has neither a `jwk` nor a `kid`"),
        }
    }
}
