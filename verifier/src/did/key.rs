//! did:key: the DID is a public key, as a multikey (did:key method specification, sections 2 and 3.1).
use super::multikey;
use super::{Did, DidDocument, DidError, Method};
#[cfg(feature = "sign")]
use crate::jwk::PublicKey;

pub(super) struct Key;

impl Method for Key {
    fn name(&self) -> &'static str {
        "key"
    }

    fn check(&self, id: &str) -> Result<(), DidError> {
        multikey::check(id)
    }

    fn document(&self, did: &Did, id: &str) -> Option<Result<DidDocument, DidError>> {
        Some(multikey::decode(id).map(|key| DidDocument::of_one_key(did, id, key, None)))
    }
}

#[cfg(feature = "sign")]
impl Did {
    /// The did:key of a public key (Ed25519, P-256, P-384). `None` for another.
    pub fn key(key: &PublicKey) -> Option<Self> {
        Some(Self { text: format!("did:key:{}", multikey::encode(key)?) })
    }
}
