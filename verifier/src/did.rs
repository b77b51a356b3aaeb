//! Decentralized identifiers (DID Core 1.0): the identifier (section 3.1) and the table of methods.
//!
//! A method is one file and one line of `METHODS`.
mod document;
mod jwk;
mod key;
mod multikey;
mod web;

pub use document::{DidDocument, VerificationMethod};

use crate::json::JsonError;
use crate::jwk::KeyError;
use crate::url::{HttpsUrl, UrlError, UrlPolicy};
use std::fmt;

const LONGEST: usize = 2048;

/// How the DIDs of one method are read.
trait Method: Sync {
    /// The name of the method: what stands between the first two colons.
    fn name(&self) -> &'static str;

    /// Whether the method-specific identifier is one.
    fn check(&self, id: &str) -> Result<(), DidError>;

    /// Where the document of a DID is, for a method whose documents are fetched.
    fn url(&self, _id: &str, _policy: UrlPolicy) -> Result<HttpsUrl, DidError> {
        Err(DidError::NotFetched)
    }

    /// The document, for a method whose DIDs hold their own key.
    fn document(&self, _did: &Did, _id: &str) -> Option<Result<DidDocument, DidError>> {
        None
    }
}

/// The methods that are known.
static METHODS: [&dyn Method; 3] = [&jwk::Jwk, &key::Key, &web::Web];

/// A DID (section 3.1) of a method that is known here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Did {
    text: String,
}

/// What a key of a DID document may be used for (section 5.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Relationship {
    /// To make claims: the keys of issuers (section 5.3.2).
    AssertionMethod,
    /// To prove who one is: the keys of holders (section 5.3.1).
    Authentication,
}

impl Relationship {
    /// Its name in a document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssertionMethod => "assertionMethod",
            Self::Authentication => "authentication",
        }
    }
}

/// Why a DID, its document or a key of it is refused. It tells nothing of their values.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DidError {
    /// It is no DID, or it has a path, a query or a fragment, or is longer than 2048 bytes.
    Malformed,
    /// Its method is not known.
    Method,
    /// The DIDs of its method hold their own key: there is nothing to fetch.
    NotFetched,
    /// It leads to no URL that may be fetched.
    Url(UrlError),
    /// The key that it holds cannot be used here.
    Key(KeyError),
    /// Its document is not strict JSON.
    Json(JsonError),
    /// Its document is not shaped as section 5 says.
    Document,
    /// Its document is that of another DID.
    WrongId,
    /// Its document has more than 64 keys.
    TooMany,
    /// Two keys of its document have the same `id`.
    DuplicateKey,
    /// It publishes a private or symmetric key: its holder is not the only one who can sign.
    PrivateKey,
    /// Its document has no key of that name, or none for that use.
    KeyNotFound,
    /// No key is named, and the document has several for that use.
    KeyAmbiguous,
    /// The key is not for that use.
    Purpose,
}

impl fmt::Display for DidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a DID"),
            Self::Method => f.write_str("a DID of a method that is not known here"),
            Self::NotFetched => f.write_str("a DID that holds its own key"),
            Self::Url(error) => write!(f, "its document cannot be fetched: {error}"),
            Self::Key(error) => write!(f, "its key cannot be used: {error}"),
            Self::Json(error) => write!(f, "its document: {error}"),
            Self::Document => f.write_str("its document is malformed"),
            Self::WrongId => f.write_str("its document is that of another DID"),
            Self::TooMany => f.write_str("its document has too many keys"),
            Self::DuplicateKey => f.write_str("two keys of its document have the same id"),
            Self::PrivateKey => f.write_str("it publishes a private or symmetric key"),
            Self::KeyNotFound => f.write_str("its document has no such key"),
            Self::KeyAmbiguous => f.write_str("no key is named, and its document has several"),
            Self::Purpose => f.write_str("the key is not for this use"),
        }
    }
}

impl std::error::Error for DidError {}

impl Did {
    /// Takes a DID of a method that is known, without path, query or fragment.
    ///
    /// # Errors
    /// [`DidError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, DidError> {
        if text.len() > LONGEST {
            return Err(DidError::Malformed);
        }
        let (name, id) = text.strip_prefix("did:").and_then(|rest| rest.split_once(':')).ok_or(DidError::Malformed)?;
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !named || !is_specific_id(id) {
            return Err(DidError::Malformed);
        }
        method(name).ok_or(DidError::Method)?.check(id)?;
        Ok(Self { text: text.to_owned() })
    }

    /// The DID that a DID URL (section 3.2: with a fragment, as a `kid` has it) belongs to.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), for what stands before the fragment.
    pub fn of_url(url: &str) -> Result<Self, DidError> {
        Self::parse(url.split('#').next().unwrap_or_default())
    }

    /// The DID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of its method: `web`, `key`, `jwk`.
    pub fn method(&self) -> &str {
        self.text.split(':').nth(1).unwrap_or_default()
    }

    /// Whether its document is fetched, rather than made of the DID itself.
    pub fn is_fetched(&self) -> bool {
        self.method() == web::Web.name()
    }

    /// For a method whose documents are fetched (did:web): where. Ports are taken for `.localhost` only, and only where
    /// the policy admits those; its `allow_port` is for addresses that an operator wrote down, which a DID is not.
    ///
    /// # Errors
    /// [`DidError`] where there is no such URL, or none that the policy admits.
    pub fn web_url(&self, policy: UrlPolicy) -> Result<HttpsUrl, DidError> {
        let policy = UrlPolicy { allow_port: false, ..policy };
        method(self.method()).ok_or(DidError::Method)?.url(self.specific_id(), policy)
    }

    /// What stands after the method.
    fn specific_id(&self) -> &str {
        self.text.splitn(3, ':').nth(2).unwrap_or_default()
    }

    /// The document that the DID itself holds.
    fn own_document(&self) -> Option<Result<DidDocument, DidError>> {
        method(self.method())?.document(self, self.specific_id())
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn method(name: &str) -> Option<&'static dyn Method> {
    METHODS.iter().copied().find(|method| method.name() == name)
}

/// `*( *idchar ":" ) 1*idchar` of section 3.1; empty parts in between are for no method that is known here.
fn is_specific_id(id: &str) -> bool {
    let part = |part: &str| {
        let bytes = part.as_bytes();
        !bytes.is_empty()
            && bytes.iter().enumerate().all(|(n, byte)| match byte {
                b'%' => bytes.get(n + 1..n + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
                b'.' | b'-' | b'_' => true,
                other => other.is_ascii_alphanumeric(),
            })
    };
    id.split(':').all(part)
}
