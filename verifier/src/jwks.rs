//! A set of keys of one issuer (JWK Set: RFC 7517 section 5).
use crate::algorithm::{Algorithm, KeyType};
use crate::json::{self, JsonError};
use crate::jwk::{KeyError, PublicKey, has_private_part, is_symmetric};
use crate::ordered::Ordered;
use serde_json::{Map, Value};
use std::fmt;

const DEPTH: usize = 16;
/// More keys than any provider has; it bounds what parsing a set costs.
const MOST_KEYS: usize = 512;

/// The usable keys of an issuer, parsed once.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    by_kid: Ordered<String, usize>,
    skipped: Vec<KeyError>,
    /// the one key has no `kid` and serves whatever `kid` a token names: a secret that the configuration gives
    ignores_kid: bool,
}

#[derive(Clone, Debug)]
struct Key {
    key: PublicKey,
    /// the one algorithm that the JWK names; without one, the issuer's allow-list decides
    algorithm: Option<Algorithm>,
}

/// Why a set is refused as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeySetError {
    /// It is not strict JSON.
    Json(JsonError),
    /// It has no array `keys` of objects, each with a text `kty` and, if any, a text `kid`.
    Malformed,
    /// It has more than 512 keys.
    TooMany,
    /// Two keys have one `kid`.
    DuplicateKid,
    /// It publishes the private part of a key: its holder is not the only one who can sign.
    PrivateKey,
    /// It has a symmetric key where none is allowed.
    SymmetricKey,
    /// The algorithm does not take a secret.
    NotSymmetric,
    /// The key cannot be used.
    Key(KeyError),
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "{error}"),
            Self::Malformed => f.write_str("not a set of keys"),
            Self::TooMany => write!(f, "more than {MOST_KEYS} keys"),
            Self::DuplicateKid => f.write_str("two keys have the same kid"),
            Self::PrivateKey => f.write_str("it holds a private key"),
            Self::SymmetricKey => f.write_str("it holds a symmetric key"),
            Self::NotSymmetric => f.write_str("the algorithm takes no secret"),
            Self::Key(error) => write!(f, "the key cannot be used: {error}"),
        }
    }
}

impl std::error::Error for KeySetError {}

/// Why no key of the set serves a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Miss {
    NotFound,
    Ambiguous,
    Mismatch,
}

impl KeySet {
    /// Parses a JWK Set. Keys of no use here (unknown types, `use: enc`, too short, off the curve) are skipped, as RFC
    /// 7517 section 5 asks; `allowed` is the issuer's allow-list, and a symmetric key is taken only where it names an
    /// HS* algorithm.
    ///
    /// # Errors
    /// [`KeySetError`] where the whole set is in doubt: not strict JSON, duplicate `kid`s, private or symmetric keys.
    pub fn parse(bytes: &[u8], allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        Self::from_object(&json::parse_object(bytes, DEPTH).map_err(KeySetError::Json)?, allowed)
    }

    /// The same from strict JSON that is parsed already.
    pub(crate) fn from_object(document: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        let Some(Value::Array(members)) = document.get("keys") else {
            return Err(KeySetError::Malformed);
        };
        if members.len() > MOST_KEYS {
            return Err(KeySetError::TooMany);
        }
        let symmetric_allowed = allowed.iter().any(|algorithm| algorithm.is_symmetric());
        let mut set = Self { keys: Vec::new(), by_kid: Ordered::new(), skipped: Vec::new(), ignores_kid: false };
        let mut kids = Ordered::new();
        for member in members {
            let jwk = member.as_object().ok_or(KeySetError::Malformed)?;
            if !jwk.get("kty").is_some_and(Value::is_string) {
                return Err(KeySetError::Malformed);
            }
            let kid = match jwk.get("kid") {
                None => None,
                Some(Value::String(kid)) => Some(kid.as_str()),
                Some(_) => return Err(KeySetError::Malformed),
            };
            if kid.is_some_and(|kid| kids.insert(kid, ()).is_some()) {
                return Err(KeySetError::DuplicateKid);
            }
            if has_private_part(jwk) {
                return Err(KeySetError::PrivateKey);
            }
            if is_symmetric(jwk) && !symmetric_allowed {
                return Err(KeySetError::SymmetricKey);
            }
            match PublicKey::from_jwk(jwk) {
                Err(why) => set.skipped.push(why),
                Ok((key, algorithm)) => {
                    if let Some(kid) = kid {
                        set.by_kid.insert(kid.to_owned(), set.keys.len());
                    }
                    set.keys.push(Key { key: key.published(), algorithm });
                }
            }
        }
        Ok(set)
    }

    /// A set of one secret without a `kid`: it serves tokens whatever `kid` they name.
    ///
    /// # Errors
    /// [`KeySetError::NotSymmetric`], or [`KeySetError::Key`] for a secret shorter than the algorithm's hash (RFC 7518
    /// section 3.2).
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeySetError> {
        if !algorithm.is_symmetric() {
            return Err(KeySetError::NotSymmetric);
        }
        let key = PublicKey::secret(secret).map_err(KeySetError::Key)?;
        if !key.fits(algorithm) {
            return Err(KeySetError::Key(KeyError::TooShort));
        }
        Ok(Self {
            keys: vec![Key { key, algorithm: Some(algorithm) }],
            by_kid: Ordered::new(),
            skipped: Vec::new(),
            ignores_kid: true,
        })
    }

    /// How many usable keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is usable.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Why the other keys of the document were skipped, in their order.
    pub fn skipped(&self) -> &[KeyError] {
        &self.skipped
    }

    /// The types of the keys that do not name their algorithm.
    pub(crate) fn unnamed(&self) -> impl Iterator<Item = KeyType> {
        self.keys.iter().filter(|key| key.algorithm.is_none()).map(|key| key.key.key_type())
    }

    /// Whether some key is a secret.
    pub(crate) fn has_secret(&self) -> bool {
        self.keys.iter().any(|key| key.key.key_type() == KeyType::Secret)
    }

    /// What the set calls one of its keys.
    pub(crate) fn kid_of(&self, key: &PublicKey) -> Option<&str> {
        let at = self.keys.iter().position(|ours| std::ptr::eq(&raw const ours.key, key))?;
        self.by_kid.iter().find(|(_, place)| *place == at).map(|(kid, _)| kid.as_str())
    }

    /// The one key for a token: by `kid` where it names one, else the only key of its algorithm. A key serves one
    /// algorithm: the one that it names, else `sole(type)`, the issuer's only algorithm for keys of its type.
    pub(crate) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        sole: impl Fn(KeyType) -> Option<Algorithm>,
    ) -> Result<&PublicKey, Miss> {
        let serves = |key: &Key| {
            key.algorithm.or_else(|| sole(key.key.key_type())) == Some(algorithm) && key.key.fits(algorithm)
        };
        if let (Some(kid), false) = (kid, self.ignores_kid) {
            let key = self.by_kid.get(kid).and_then(|at| self.keys.get(*at)).ok_or(Miss::NotFound)?;
            return if serves(key) { Ok(&key.key) } else { Err(Miss::Mismatch) };
        }
        let mut candidates = self.keys.iter().filter(|key| serves(key));
        match (candidates.next(), candidates.next()) {
            (Some(key), None) => Ok(&key.key),
            (None, _) => Err(Miss::NotFound),
            (Some(_), Some(_)) => Err(Miss::Ambiguous),
        }
    }
}
