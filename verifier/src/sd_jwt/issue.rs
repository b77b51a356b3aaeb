//! Issuing an SD-JWT in two phases (RFC 9901 section 4): which claims the holder may withhold, salts, decoys, the JWT to
//! sign.
//!
//! Nothing draws randomness: the caller gives a source of it, which salts and decoys come from.
//!
//! ```
//! use carded_verifier::dcql::{ConcretePathElement, PathElement};
//! use carded_verifier::sd_jwt::{SdHash, issue::Issue, present::HeldSdJwt};
//! use carded_verifier::sign::SigningKey;
//! use carded_verifier::{Algorithm, Limits, Timestamp};
//! use serde_json::{Value, json};
//!
//! let es256 = Algorithm::parse("ES256").unwrap();
//! let issuer = SigningKey::generate(es256, "key-1", &[1; 32]).unwrap();
//! let holder = SigningKey::generate(es256, "holder", &[2; 32]).unwrap();
//! let Value::Object(header) = json!({"alg": "ES256", "typ": "dc+sd-jwt", "kid": "key-1"}) else { unreachable!() };
//! let Value::Object(claims) = json!({
//!     "iss": "https://dmv.example", "vct": "https://dmv.example/credentials/id", "cnf": {"jwk": holder.public_jwk()},
//!     "given_name": "Ada", "age_equal_or_over": {"21": true},
//! }) else { unreachable!() };
//! let age = |name: &str| vec![PathElement::Name("age_equal_or_over".into()), PathElement::Name(name.into())];
//! let disclosable = vec![vec![PathElement::Name("given_name".into())], age("21")];
//!
//! // the issuer; the bytes come from a good source of randomness, which this is not
//! let mut random = |bytes: &mut [u8]| bytes.fill(7);
//! let prepared = Issue { header, claims, disclosable, decoys: 0, hash: SdHash::SHA_256 }.prepare(&mut random).unwrap();
//! let signature = issuer.signature(prepared.bytes()).unwrap();
//! let issued = prepared.finish(&signature);
//!
//! // the holder, who shows "over 21" and no name
//! let held = HeldSdJwt::parse(&issued, &Limits::default()).unwrap();
//! let names = ["age_equal_or_over", "21"].map(|name| ConcretePathElement::Name(name.into()));
//! let shown = held.disclose(&[names.to_vec()]);
//! let prepared = shown.prepare_key_binding(es256, "redirect_uri:https://shop.example", "nonce", Timestamp::from_unix(0));
//! let signature = holder.signature(prepared.bytes()).unwrap();
//! let presentation = prepared.finish(&signature);
//! assert_eq!(presentation.split('~').count(), 3);
//! ```
use super::SdHash;
use crate::base64url;
use crate::dcql::PathElement;
use crate::sd_jwt_vc::NEVER_WITHHELD;
use crate::sign::{Prepared, prepare};
use serde_json::{Map, Value, json};
use std::fmt;

/// 128 bits, as section 9.3 recommends.
const SALT_BYTES: usize = 16;

/// What is to be issued.
#[derive(Clone, Debug)]
pub struct Issue {
    /// The header of the JWT; it names `alg`, and `typ` as the profile asks (`dc+sd-jwt`).
    pub header: Map<String, Value>,
    /// All claims, those to be withheld among them.
    pub claims: Map<String, Value>,
    /// Which of them the holder may withhold, each by itself: of an object a member, of an array an element or (`null`)
    /// every element. Parts of one that is withheld itself may be named too.
    pub disclosable: Vec<Vec<PathElement>>,
    /// How many digests that stand for nothing are put beside each group of real ones, so that their number does not
    /// show (section 4.2.5).
    pub decoys: usize,
    /// The hash of the digests.
    pub hash: SdHash,
}

/// Why nothing is issued.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum IssueError {
    /// This path names no claim, or the whole.
    Path(Vec<PathElement>),
    /// This claim of an SD-JWT VC may not be withheld.
    NeverWithheld(&'static str),
    /// A claim has a name that SD-JWT keeps for itself.
    Reserved,
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "the path {path:?} names no claim"),
            Self::NeverWithheld(name) => write!(f, "`{name}` may not be withheld"),
            Self::Reserved => f.write_str("a claim is named `_sd`, `...` or `_sd_alg`"),
        }
    }
}

impl std::error::Error for IssueError {}

/// An SD-JWT that only lacks its signature.
#[derive(Clone, Debug)]
pub struct PreparedSdJwt {
    jwt: Prepared,
    disclosures: Vec<String>,
}

impl PreparedSdJwt {
    /// What is to be signed.
    pub fn bytes(&self) -> &[u8] {
        self.jwt.bytes()
    }

    /// Second phase: the whole, with every disclosure, for the holder. `signature` is as JOSE writes it (ECDSA as r‖s).
    pub fn finish(self, signature: &[u8]) -> String {
        let mut text = self.jwt.finish(signature);
        for disclosure in &self.disclosures {
            text.push('~');
            text.push_str(disclosure);
        }
        text.push('~');
        text
    }
}

impl Issue {
    /// First phase. `random` fills what it is given with random bytes, fresh for every credential.
    ///
    /// # Errors
    /// [`IssueError`] where something cannot be withheld as asked.
    pub fn prepare(self, random: &mut dyn FnMut(&mut [u8])) -> Result<PreparedSdJwt, IssueError> {
        let mut claims = Value::Object(self.claims);
        if is_reserved(&claims) {
            return Err(IssueError::Reserved);
        }
        for path in &self.disclosable {
            let protected = |name: &&&str| matches!(path.first(), Some(PathElement::Name(first)) if first == **name);
            if let Some(name) = NEVER_WITHHELD.iter().find(protected) {
                return Err(IssueError::NeverWithheld(name));
            }
        }
        let mut work = Work { hash: self.hash, decoys: self.decoys, random, disclosures: Vec::new() };
        // what is inside goes first, so that a withheld claim can have withheld parts
        let mut paths: Vec<&[PathElement]> = self.disclosable.iter().map(Vec::as_slice).collect();
        paths.sort_by_key(|path| std::cmp::Reverse(path.len()));
        paths.dedup();
        for path in &paths {
            work.check(&claims, path).then_some(()).ok_or_else(|| IssueError::Path(path.to_vec()))?;
        }
        work.conceal(&mut claims, &paths);
        let Value::Object(mut claims) = claims else { return Err(IssueError::Reserved) };
        if !work.disclosures.is_empty() {
            claims.insert("_sd_alg".to_owned(), self.hash.name().into());
        }
        Ok(PreparedSdJwt { jwt: prepare(&self.header, &claims), disclosures: work.disclosures })
    }
}

fn is_reserved(value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            ["_sd", "...", "_sd_alg"].iter().any(|name| map.contains_key(*name)) || map.values().any(is_reserved)
        }
        Value::Array(values) => values.iter().any(is_reserved),
        _ => false,
    }
}

struct Work<'a> {
    hash: SdHash,
    decoys: usize,
    random: &'a mut dyn FnMut(&mut [u8]),
    disclosures: Vec<String>,
}

impl Work<'_> {
    /// Whether a path leads to something, and not to the whole.
    fn check(&self, value: &Value, path: &[PathElement]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        let on = |value: &Value| rest.is_empty() || self.check(value, rest);
        match (value, first) {
            (Value::Object(map), PathElement::Name(name)) => map.get(name).is_some_and(on),
            (Value::Array(values), PathElement::Index(at)) => {
                usize::try_from(*at).ok().and_then(|at| values.get(at)).is_some_and(on)
            }
            (Value::Array(values), PathElement::All) => values.iter().all(on),
            _ => false,
        }
    }

    /// Replaces what the paths name, from the inside out. Every path leads somewhere.
    fn conceal(&mut self, value: &mut Value, paths: &[&[PathElement]]) {
        let below = |wanted: &PathElement| -> Vec<&[PathElement]> {
            let of = |path: &&[PathElement]| path.first().is_some_and(|first| covers(first, wanted));
            paths.iter().copied().filter(|path| of(path)).filter_map(|path| path.get(1..)).collect()
        };
        match value {
            Value::Object(map) => {
                let mut digests = Vec::new();
                let names: Vec<String> = map.keys().cloned().collect();
                for name in names {
                    let paths = below(&PathElement::Name(name.clone()));
                    let Some(child) = map.get_mut(&name) else { continue };
                    let deeper: Vec<_> = paths.iter().copied().filter(|path| !path.is_empty()).collect();
                    self.conceal(child, &deeper);
                    if deeper.len() < paths.len() {
                        let value = map.remove(&name).unwrap_or_default();
                        let salt = self.salt();
                        digests.push(self.disclose(json!([salt, name, value])));
                    }
                }
                if !digests.is_empty() {
                    for _ in 0..self.decoys {
                        digests.push(self.decoy());
                    }
                    // the order of digests tells nothing of the order of claims (section 4.2.4.1)
                    digests.sort();
                    map.insert("_sd".to_owned(), digests.into());
                }
            }
            Value::Array(values) => {
                let mut concealed = false;
                for (at, child) in values.iter_mut().enumerate() {
                    let paths = below(&PathElement::Index(at as u64));
                    let deeper: Vec<_> = paths.iter().copied().filter(|path| !path.is_empty()).collect();
                    self.conceal(child, &deeper);
                    if deeper.len() < paths.len() {
                        let value = std::mem::take(child);
                        let salt = self.salt();
                        *child = json!({"...": self.disclose(json!([salt, value]))});
                        concealed = true;
                    }
                }
                for _ in 0..if concealed { self.decoys } else { 0 } {
                    // anywhere among the others: at the end they would be known for what they are
                    let at = self.number(values.len());
                    values.insert(at, json!({"...": self.decoy()}));
                }
            }
            _ => {}
        }
    }

    fn disclose(&mut self, members: Value) -> String {
        let text = base64url::encode(members.to_string());
        let digest = self.hash.digest(text.as_bytes());
        self.disclosures.push(text);
        digest
    }

    fn salt(&mut self) -> String {
        let mut salt = [0; SALT_BYTES];
        (self.random)(&mut salt);
        base64url::encode(salt)
    }

    /// From 0 to `most`, about evenly.
    fn number(&mut self, most: usize) -> usize {
        let mut bytes = [0; 8];
        (self.random)(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % (most as u64 + 1)).unwrap_or(0)
    }

    fn decoy(&mut self) -> String {
        let mut bytes = [0; 32];
        (self.random)(&mut bytes);
        self.hash.digest(&bytes)
    }
}

fn covers(pattern: &PathElement, wanted: &PathElement) -> bool {
    pattern == wanted || matches!((pattern, wanted), (PathElement::All, PathElement::Index(_)))
}
