//! SD-JWT: a JWT whose issuer lets the holder show or withhold parts of it (RFC 9901 sections 4 and 7.1).
//!
//! A presentation is the issuer's JWT, the disclosures and perhaps a key-binding JWT, with `~` between. What is shown is
//! put back where its digest stands; whatever is not exactly as the issuer signed it refuses the whole: a disclosure that
//! nothing references, a digest that stands twice, a name that is there already, another shape.
#[cfg(feature = "sign")]
pub mod issue;
pub(crate) mod key_binding;
#[cfg(feature = "sign")]
pub mod present;

use crate::algorithm::HashFunction;
use crate::base64url;
use crate::dcql::ConcretePathElement;
use crate::json;
use crate::limits::Limits;
use crate::ordered::Ordered;
use crate::outcome::Code;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};

type Refusal = (Code, String);

fn malformed(why: impl Into<String>) -> Refusal {
    (Code::PresentationMalformed, why.into())
}

fn invalid(why: impl Into<String>) -> Refusal {
    (Code::DisclosureInvalid, why.into())
}

/// The parts of a presentation as they came. Nothing in it is true yet.
pub(crate) struct Parts<'a> {
    pub(crate) jwt: &'a [u8],
    pub(crate) disclosures: Vec<&'a [u8]>,
    /// what `sd_hash` is over: everything up to the last `~`, with it
    pub(crate) hashed: &'a [u8],
    pub(crate) kb_jwt: Option<&'a [u8]>,
}

/// Splits a presentation that is within the size limit (section 4).
pub(crate) fn split<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Parts<'a>, Refusal> {
    let Some(last) = bytes.iter().rposition(|byte| *byte == b'~') else {
        return Err(malformed("no `~`: not an SD-JWT"));
    };
    if bytes.iter().filter(|byte| **byte == b'~').count() > limits.disclosures.saturating_add(1) {
        return Err(malformed(format!("over {} disclosures", limits.disclosures)));
    }
    let (hashed, rest) = bytes.split_at_checked(last + 1).unwrap_or_default();
    let mut parts = hashed.get(..last).unwrap_or_default().split(|byte| *byte == b'~');
    let jwt = parts.next().unwrap_or_default();
    let disclosures: Vec<_> = parts.collect();
    if disclosures.iter().any(|disclosure| disclosure.is_empty()) {
        return Err(malformed("an empty disclosure"));
    }
    Ok(Parts { jwt, disclosures, hashed, kb_jwt: (!rest.is_empty()).then_some(rest) })
}

/// A hash function for digests, by its name in the IANA registry "Named Information Hash Algorithm" (section 4.1.1):
/// only whole hashes that resist collisions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SdHash(HashFunction);

impl SdHash {
    /// `sha-256`: what counts where `_sd_alg` is absent.
    pub const SHA_256: Self = Self(HashFunction::Sha256);

    /// The hash function of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "sha-256" => Some(Self(HashFunction::Sha256)),
            "sha-384" => Some(Self(HashFunction::Sha384)),
            "sha-512" => Some(Self(HashFunction::Sha512)),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            HashFunction::Sha256 => "sha-256",
            HashFunction::Sha384 => "sha-384",
            HashFunction::Sha512 => "sha-512",
        }
    }

    /// The base64url hash over the text as it was sent: disclosures have many spellings, and only one was signed.
    pub(crate) fn digest(self, text: &[u8]) -> String {
        match self.0 {
            HashFunction::Sha256 => base64url::encode(Sha256::digest(text)),
            HashFunction::Sha384 => base64url::encode(Sha384::digest(text)),
            HashFunction::Sha512 => base64url::encode(Sha512::digest(text)),
        }
    }

    /// The one that the payload names.
    pub(crate) fn of_payload(payload: &Map<String, Value>) -> Result<Self, Refusal> {
        match payload.get("_sd_alg") {
            None => Ok(Self::SHA_256),
            Some(Value::String(name)) => {
                Self::parse(name).ok_or_else(|| invalid("`_sd_alg` is not a hash function that is accepted"))
            }
            Some(_) => Err(invalid("`_sd_alg` is no text")),
        }
    }
}

/// What a payload says with the disclosures put in.
#[derive(Debug)]
pub(crate) struct Processed {
    /// for a verifier with the digests of elements that are withheld in their places, until [`drop_withheld`]
    pub(crate) claims: Map<String, Value>,
    pub(crate) hash: SdHash,
    /// for a holder: where each disclosure went, in their order
    #[cfg_attr(not(feature = "sign"), expect(dead_code))]
    pub(crate) places: Vec<Vec<ConcretePathElement>>,
}

/// Who looks at an SD-JWT.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Whoever has all disclosures: a digest without one is a decoy.
    #[cfg_attr(not(feature = "sign"), allow(dead_code, reason = "verifiers hold nothing"))]
    Holder,
    /// Whoever has some: a digest without one may be an element that is withheld.
    Verifier,
}

/// A disclosure (section 4.2): a claim of an object, or an element of an array.
struct Disclosure {
    name: Option<String>,
    value: Value,
}

/// Puts the disclosures into the payload of an issuer's JWT whose signature holds (section 7.1, steps 2 and 3). Claims
/// named in `never` may not be withheld, not even in part.
pub(crate) fn process(
    mut payload: Map<String, Value>,
    disclosures: &[&[u8]],
    never: &[&str],
    limits: &Limits,
    view: View,
) -> Result<Processed, Refusal> {
    let hash = SdHash::of_payload(&payload)?;
    let mut by_digest = Ordered::new();
    for (index, text) in disclosures.iter().enumerate() {
        let disclosure = parse_disclosure(text, limits)?;
        if by_digest.insert(hash.digest(text), (index, disclosure)).is_some() {
            return Err(invalid("a disclosure is there twice"));
        }
    }
    if let Some(name) = never.iter().find(|name| payload.get(**name).is_some_and(withholds)) {
        return Err(invalid(format!("`{name}` may not be withheld, not even in part")));
    }
    let places = if view == View::Holder { vec![Vec::new(); disclosures.len()] } else { Vec::new() };
    let (seen, path, depth) = (Ordered::new(), Vec::new(), limits.json_depth);
    let mut work = Work { by_digest, seen, depth, never, view, path, places };
    work.object(&mut payload, 1)?;
    payload.remove("_sd_alg");
    if !work.by_digest.is_empty() {
        return Err(invalid("a disclosure that nothing references"));
    }
    Ok(Processed { claims: payload, hash, places: work.places })
}

fn parse_disclosure(text: &[u8], limits: &Limits) -> Result<Disclosure, Refusal> {
    let bytes = base64url::decode(text).map_err(|error| invalid(format!("a disclosure is {error}")))?;
    let value =
        json::parse_value(&bytes, limits.json_depth).map_err(|error| invalid(format!("a disclosure: {error}")))?;
    let Value::Array(members) = value else { return Err(invalid("a disclosure is no array")) };
    let mut members = members.into_iter();
    match (members.next(), members.next(), members.next(), members.next()) {
        (Some(Value::String(_)), Some(Value::String(name)), Some(value), None) => {
            if matches!(name.as_str(), "_sd" | "..." | "_sd_alg") {
                return Err(invalid(format!("a disclosure of a claim named `{name}`")));
            }
            Ok(Disclosure { name: Some(name), value })
        }
        (Some(Value::String(_)), Some(value), None, None) => Ok(Disclosure { name: None, value }),
        _ => Err(invalid("a disclosure is neither [salt, name, value] nor [salt, value]")),
    }
}

/// Whether an element of an array is withheld, or a decoy: its digest stands there alone (section 4.2.4.2). Nothing that
/// is shown looks so, because [`process`] takes no claim of that name.
pub(crate) fn is_withheld(element: &Value) -> bool {
    element.as_object().is_some_and(|object| object.len() == 1 && object.contains_key("..."))
}

/// Takes the digests of withheld elements out (section 7.1, step 3.d): what a verifier acts on.
pub(crate) fn drop_withheld<'a>(values: impl Iterator<Item = &'a mut Value>) {
    for value in values {
        match value {
            Value::Object(object) => drop_withheld(object.values_mut()),
            Value::Array(elements) => {
                elements.retain(|element| !is_withheld(element));
                drop_withheld(elements.iter_mut());
            }
            _ => {}
        }
    }
}

/// Whether anything in a value is replaced by a digest.
fn withholds(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.contains_key("_sd") || map.contains_key("...") || map.values().any(withholds),
        Value::Array(values) => values.iter().any(withholds),
        _ => false,
    }
}

struct Work<'a> {
    /// the disclosures that have no place yet
    by_digest: Ordered<String, (usize, Disclosure)>,
    /// every digest of the structure, with those of decoys and of what is withheld
    seen: Ordered<String>,
    /// how deep the whole may be
    depth: usize,
    never: &'a [&'a str],
    view: View,
    /// where the work is; kept only where places are asked for
    path: Vec<ConcretePathElement>,
    places: Vec<Vec<ConcretePathElement>>,
}

impl Work<'_> {
    fn value(&mut self, value: &mut Value, depth: usize) -> Result<(), Refusal> {
        match value {
            Value::Object(map) => self.object(map, depth + 1),
            Value::Array(values) => self.array(values, depth + 1),
            _ => Ok(()),
        }
    }

    fn enter(&self, depth: usize) -> Result<(), Refusal> {
        if depth > self.depth { Err(invalid("nested too deep")) } else { Ok(()) }
    }

    fn object(&mut self, map: &mut Map<String, Value>, depth: usize) -> Result<(), Refusal> {
        self.enter(depth)?;
        if map.contains_key("...") {
            return Err(invalid("a claim named `...`"));
        }
        if depth > 1 && map.contains_key("_sd_alg") {
            return Err(invalid("`_sd_alg` below the top"));
        }
        let digests = match map.remove("_sd") {
            None => Vec::new(),
            Some(Value::Array(digests)) => digests,
            Some(_) => return Err(invalid("`_sd` is no array")),
        };
        for (name, value) in map.iter_mut() {
            self.step(|| ConcretePathElement::Name(name.clone()));
            self.value(value, depth)?;
            self.back();
        }
        for digest in digests {
            let Value::String(digest) = digest else { return Err(invalid("a digest is no text")) };
            let Some((index, disclosure)) = self.take(digest)? else { continue };
            let Some(name) = disclosure.name else {
                return Err(invalid("a disclosure of an array element stands for a claim"));
            };
            if depth == 1 && self.never.contains(&name.as_str()) {
                return Err(invalid(format!("`{name}` may not be withheld")));
            }
            if map.contains_key(&name) {
                return Err(invalid("a disclosure of a claim that is there already"));
            }
            self.step(|| ConcretePathElement::Name(name.clone()));
            let mut value = disclosure.value;
            self.note(index);
            self.value(&mut value, depth)?;
            self.back();
            map.insert(name, value);
        }
        Ok(())
    }

    fn array(&mut self, values: &mut Vec<Value>, depth: usize) -> Result<(), Refusal> {
        self.enter(depth)?;
        let mut kept = Vec::with_capacity(values.len());
        for value in std::mem::take(values) {
            let (mut value, index) = match value {
                Value::Object(mut map) if map.contains_key("...") => {
                    let (digest, alone) = (map.remove("..."), map.is_empty());
                    let Some(Value::String(digest)) = digest.filter(|_| alone) else {
                        return Err(invalid("an array element with `...` that is not one digest"));
                    };
                    let Some((index, disclosure)) = self.take(digest)? else {
                        if self.view == View::Verifier {
                            map.insert("...".to_owned(), Value::Null);
                            kept.push(Value::Object(map));
                        }
                        continue;
                    };
                    if disclosure.name.is_some() {
                        return Err(invalid("a disclosure of a claim stands for an array element"));
                    }
                    (disclosure.value, Some(index))
                }
                value => (value, None),
            };
            self.step(|| ConcretePathElement::Index(kept.len()));
            if let Some(index) = index {
                self.note(index);
            }
            self.value(&mut value, depth)?;
            self.back();
            kept.push(value);
        }
        *values = kept;
        Ok(())
    }

    /// The disclosure of a digest, which may stand nowhere else (section 7.1, step 4).
    fn take(&mut self, digest: String) -> Result<Option<(usize, Disclosure)>, Refusal> {
        let found = self.by_digest.remove(&digest);
        if self.seen.insert(digest, ()).is_none() { Ok(found) } else { Err(invalid("a digest is there twice")) }
    }

    fn step(&mut self, element: impl FnOnce() -> ConcretePathElement) {
        if !self.places.is_empty() {
            self.path.push(element());
        }
    }

    fn back(&mut self) {
        self.path.pop();
    }

    fn note(&mut self, index: usize) {
        if let Some(place) = self.places.get_mut(index) {
            place.clone_from(&self.path);
        }
    }
}
