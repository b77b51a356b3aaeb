//! DID documents (DID Core 1.0 sections 4 and 5, production `application/did+json`): keys, and what each may be used
//! for.
//!
//! Of a document only its `id`, `verificationMethod`, `assertionMethod` and `authentication` are used. Keys of other DIDs
//! are not followed, and keys that another DID controls are not used. What is doubtful refuses the document; what is only
//! not understood (a type of key) is passed over.
use super::multikey;
use super::{Did, DidError, Relationship};
use crate::algorithm::Algorithm;
use crate::json;
use crate::jwk::{KeyError, PublicKey, has_private_part, is_symmetric};
use crate::limits::Limits;
use serde_json::{Map, Value};

const MOST_KEYS: usize = 64;

/// A DID document: keys, and what each may be used for.
#[derive(Clone, Debug)]
pub struct DidDocument {
    did: Did,
    methods: Vec<VerificationMethod>,
    assertion: Vec<String>,
    authentication: Vec<String>,
}

/// A key of a DID document (section 5.2).
#[derive(Clone, Debug)]
pub struct VerificationMethod {
    id: String,
    /// why not, where it cannot be used
    key: Result<PublicKey, KeyError>,
    algorithm: Option<Algorithm>,
}

impl VerificationMethod {
    /// Its DID URL: the DID, `#`, and its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The one algorithm that its JWK names. Without one, its type decides.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// The key.
    ///
    /// # Errors
    /// [`DidError::Key`] where it cannot be used here.
    pub fn key(&self) -> Result<&PublicKey, DidError> {
        self.key.as_ref().map_err(|error| DidError::Key(*error))
    }
}

impl DidDocument {
    /// The document of a DID that holds its own key (did:key, did:jwk). `None` for one whose document is fetched, and
    /// for a key of no use here.
    pub fn of(did: &Did) -> Option<Self> {
        did.own_document()?.ok()
    }

    /// As [`of`](Self::of), with the reason. `Ok(None)` for one whose document is fetched.
    ///
    /// # Errors
    /// [`DidError`] for a key that cannot be used here.
    pub fn try_of(did: &Did) -> Result<Option<Self>, DidError> {
        did.own_document().transpose()
    }

    /// Takes a document that was fetched for `did`.
    ///
    /// # Errors
    /// [`DidError`] where it is not strict JSON, is that of another DID, holds a private key, or is not as section 5
    /// says.
    pub fn parse(bytes: &[u8], did: &Did, limits: &Limits) -> Result<Self, DidError> {
        let document = json::parse_object(bytes, limits.json_depth).map_err(DidError::Json)?;
        if document.get("id").and_then(Value::as_str) != Some(did.as_str()) {
            return Err(DidError::WrongId);
        }
        let mut parsed =
            Self { did: did.clone(), methods: Vec::new(), assertion: Vec::new(), authentication: Vec::new() };
        for method in array(&document, "verificationMethod")? {
            parsed.add(method.as_object().ok_or(DidError::Document)?)?;
        }
        parsed.assertion = parsed.relationship(&document, Relationship::AssertionMethod)?;
        parsed.authentication = parsed.relationship(&document, Relationship::Authentication)?;
        Ok(parsed)
    }

    /// A document of one key, for both uses.
    pub(super) fn of_one_key(did: &Did, fragment: &str, key: PublicKey, algorithm: Option<Algorithm>) -> Self {
        let id = format!("{did}#{fragment}");
        Self {
            did: did.clone(),
            assertion: vec![id.clone()],
            authentication: vec![id.clone()],
            methods: vec![VerificationMethod { id, key: Ok(key), algorithm }],
        }
    }

    /// Whose it is.
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// The key that a `kid` names for a use, as [`method`](Self::method).
    ///
    /// # Errors
    /// [`DidError`] where there is no such key, or several, or it is not for that use, or cannot be used here.
    pub fn key(&self, kid: Option<&str>, relationship: Relationship) -> Result<&PublicKey, DidError> {
        self.method(kid, relationship)?.key()
    }

    /// The key that a `kid` names for a use: a DID URL of this DID with a fragment, or `#` and the fragment alone.
    /// Without one, the only key for that use.
    ///
    /// # Errors
    /// [`DidError`] where there is no such key, or several, or it is not for that use.
    pub fn method(&self, kid: Option<&str>, relationship: Relationship) -> Result<&VerificationMethod, DidError> {
        let listed = match relationship {
            Relationship::AssertionMethod => &self.assertion,
            Relationship::Authentication => &self.authentication,
        };
        let Some(kid) = kid else {
            let mut keys = self.methods.iter().filter(|method| listed.contains(&method.id));
            return match (keys.next(), keys.next()) {
                (Some(method), None) => Ok(method),
                (None, _) => Err(DidError::KeyNotFound),
                (Some(_), Some(_)) => Err(DidError::KeyAmbiguous),
            };
        };
        let id = self.absolute(kid).ok_or(DidError::KeyNotFound)?;
        let method = self.methods.iter().find(|method| method.id == id).ok_or(DidError::KeyNotFound)?;
        if listed.contains(&id) { Ok(method) } else { Err(DidError::Purpose) }
    }

    /// A DID URL of this DID from one that may be relative to it (section 3.2.2).
    fn absolute(&self, url: &str) -> Option<String> {
        let fragment = url.strip_prefix(self.did.as_str()).unwrap_or(url).strip_prefix('#')?;
        (!fragment.is_empty() && !fragment.contains('#')).then(|| format!("{}#{fragment}", self.did))
    }

    /// Adds a key, and gives its absolute `id`.
    fn add(&mut self, method: &Map<String, Value>) -> Result<Option<String>, DidError> {
        let (id, controller) = (text(method, "id")?, text(method, "controller")?);
        text(method, "type")?;
        let key = key_of(method)?;
        let Some(id) = self.absolute(id) else {
            return Ok(None);
        };
        if self.methods.iter().any(|other| other.id == id) {
            return Err(DidError::DuplicateKey);
        }
        if self.methods.len() >= MOST_KEYS {
            return Err(DidError::TooMany);
        }
        // When a key expires or was revoked (Controlled Identifiers 1.0 section 2.2) would have to be looked at whenever
        // it is used: such a key is not used at all.
        let withdrawn =
            controller != self.did.as_str() || method.contains_key("revoked") || method.contains_key("expires");
        let (key, algorithm) = match key {
            _ if withdrawn => (Err(KeyError::NotForSignatures), None),
            Ok((key, algorithm)) => (Ok(key), algorithm),
            Err(error) => (Err(error), None),
        };
        self.methods.push(VerificationMethod { id: id.clone(), key, algorithm });
        Ok(Some(id))
    }

    /// The absolute `id`s that a relationship lists, with the keys that stand in it adopted (section 5.3).
    fn relationship(
        &mut self,
        document: &Map<String, Value>,
        relationship: Relationship,
    ) -> Result<Vec<String>, DidError> {
        let mut ids = Vec::new();
        let members = array(document, relationship.as_str())?;
        if members.len() > MOST_KEYS {
            return Err(DidError::TooMany);
        }
        for member in members {
            match member {
                Value::String(url) => ids.extend(self.absolute(url)),
                Value::Object(method) => ids.extend(self.add(method)?),
                _ => return Err(DidError::Document),
            }
        }
        Ok(ids)
    }
}

/// The array of that name; empty where there is none.
fn array<'a>(of: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], DidError> {
    match of.get(name) {
        None => Ok(&[]),
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(DidError::Document),
    }
}

fn text<'a>(of: &'a Map<String, Value>, name: &str) -> Result<&'a str, DidError> {
    of.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or(DidError::Document)
}

type KeyOf = Result<(PublicKey, Option<Algorithm>), KeyError>;

/// The key of a verification method, or why it is of no use (section 5.2.1).
fn key_of(method: &Map<String, Value>) -> Result<KeyOf, DidError> {
    // `privateKeyJwk`, `privateKeyMultibase`, `secretKeyMultibase`, …
    if method.keys().any(|name| name.starts_with("privateKey") || name.starts_with("secretKey")) {
        return Err(DidError::PrivateKey);
    }
    match (method.get("publicKeyJwk"), method.get("publicKeyMultibase")) {
        (Some(Value::Object(jwk)), None) if has_private_part(jwk) || is_symmetric(jwk) => Err(DidError::PrivateKey),
        (Some(Value::Object(jwk)), None) => Ok(PublicKey::from_jwk(jwk)),
        (None, Some(Value::String(text))) => match multikey::decode(text) {
            Ok(key) => Ok(Ok((key, None))),
            Err(DidError::Key(error)) => Ok(Err(error)),
            // another multibase, or a length that no key here has
            Err(_) => Ok(Err(KeyError::Unsupported)),
        },
        (None, None) => Ok(Err(KeyError::Unsupported)),
        // both, which section 5.2.1 forbids, or of a wrong type
        _ => Err(DidError::Document),
    }
}
