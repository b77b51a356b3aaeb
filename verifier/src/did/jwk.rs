//! did:jwk: the DID is a public JWK in base64url (did:jwk method specification, sections "DID Format" and "Read").
use super::{Did, DidDocument, DidError, Method};
use crate::base64url;
use crate::json;
use crate::jwk::{PublicKey, has_private_part, is_symmetric};

const DEPTH: usize = 8;

pub(super) struct Jwk;

impl Method for Jwk {
    fn name(&self) -> &'static str {
        "jwk"
    }

    fn check(&self, id: &str) -> Result<(), DidError> {
        // the encoding only: what key it is, is looked at when it is used
        base64url::decode(id).map(|_| ()).map_err(|_| DidError::Malformed)
    }

    fn document(&self, did: &Did, id: &str) -> Option<Result<DidDocument, DidError>> {
        Some(document(did, id))
    }
}

fn document(did: &Did, id: &str) -> Result<DidDocument, DidError> {
    let bytes = base64url::decode(id).map_err(|_| DidError::Malformed)?;
    let jwk = json::parse_object(&bytes, DEPTH).map_err(DidError::Json)?;
    if has_private_part(&jwk) || is_symmetric(&jwk) {
        return Err(DidError::PrivateKey);
    }
    let (key, algorithm) = PublicKey::from_jwk(&jwk).map_err(DidError::Key)?;
    Ok(DidDocument::of_one_key(did, "0", key, algorithm))
}

#[cfg(feature = "sign")]
impl Did {
    /// The did:jwk of a public key. `None` for a secret.
    pub fn jwk(key: &PublicKey) -> Option<Self> {
        let jwk = serde_json::Value::Object(key.to_jwk()?);
        Some(Self { text: format!("did:jwk:{}", base64url::encode(jwk.to_string())) })
    }
}
