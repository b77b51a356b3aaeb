//! Decentralized identifiers (DID Core 1.0): the identifier, its document, and the keys in it.
use crate::jwk::PublicKey;
use crate::limits::Limits;
use crate::url::{HttpsUrl, UrlError, UrlPolicy};
use std::fmt;

/// A DID (DID Core section 3.1) of a method that is known here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Did {
    text: String,
}

/// What a key of a DID document may be used for (DID Core section 5.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Relationship {
    /// To make claims: the keys of issuers (section 5.3.2).
    AssertionMethod,
    /// To prove who one is: the keys of holders (section 5.3.1).
    Authentication,
}

/// Why a DID, its document or a key of it is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DidError {
    /// It is no DID.
    Malformed,
    /// A did:web that leads to no URL that may be fetched.
    Url(UrlError),
}

impl fmt::Display for DidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a DID"),
            Self::Url(error) => write!(f, "its document cannot be fetched: {error}"),
        }
    }
}

impl std::error::Error for DidError {}

/// A DID document (DID Core section 4): keys, and what each may be used for.
#[derive(Clone, Debug)]
pub struct DidDocument {
    did: Did,
}

impl Did {
    /// Takes a DID of a method that is known, without path, query or fragment.
    ///
    /// # Errors
    /// [`DidError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, DidError> {
        let _ = text;
        Err(DidError::Malformed)
    }

    /// The DID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of its method: `web`, `key`, `jwk`.
    pub fn method(&self) -> &str {
        self.text.split(':').nth(1).unwrap_or_default()
    }

    /// For a method whose documents are fetched (did:web): where.
    ///
    /// # Errors
    /// [`DidError`] where there is no such URL, or none that the policy admits.
    pub fn web_url(&self, policy: UrlPolicy) -> Result<HttpsUrl, DidError> {
        let _ = policy;
        Err(DidError::Malformed)
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl DidDocument {
    /// The document of a DID that holds its own key (did:key, did:jwk). `None` for one whose document is fetched, and
    /// for a key of no use here.
    pub fn of(did: &Did) -> Option<Self> {
        let _ = did;
        None
    }

    /// Takes a document that was fetched for `did`.
    ///
    /// # Errors
    /// [`DidError`] where it is not strict JSON, is that of another DID, or holds a private key.
    pub fn parse(bytes: &[u8], did: &Did, limits: &Limits) -> Result<Self, DidError> {
        let _ = (bytes, did, limits);
        Err(DidError::Malformed)
    }

    /// Whose it is.
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// The key that a `kid` names for a use; without one, the only key for that use.
    ///
    /// # Errors
    /// [`DidError`] where there is no such key, or several, or it is not for that use.
    pub fn key(&self, kid: Option<&str>, relationship: Relationship) -> Result<&PublicKey, DidError> {
        let _ = (kid, relationship);
        Err(DidError::Malformed)
    }
}
