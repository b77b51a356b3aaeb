//! An SD-JWT as its holder has it (RFC 9901 section 7.2): what it says in full, and a presentation that discloses no more
//! than some of it, bound to this use by a key-binding JWT (section 4.3).
//!
//! It was verified when it came, so nothing here is a check; what cannot be read is refused all the same.

use std::collections::HashMap;

use carded_verifier::dcql::ConcretePathElement as Step;
use carded_verifier::{base64url, json, sign};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::holder::HolderKey;
use crate::refusal::Refusal;

const DEPTH: usize = 32;
const LONGEST: usize = 64 * 1024;
const MOST_DISCLOSURES: usize = 512;

/// A place in the processed claims.
pub type Path = Vec<Step>;

/// An SD-JWT without key binding.
#[derive(Clone, Debug)]
pub struct HeldSdJwt {
    jwt: String,
    disclosures: Vec<Disclosure>,
    claims: Map<String, Value>,
    hash: Hash,
}

#[derive(Clone, Debug)]
struct Disclosure {
    text: String,
    /// Where its claim is; none where nothing refers to it.
    path: Option<Path>,
}

/// `_sd_alg` (section 4.1.1).
#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(self, text: &str) -> String {
        match self {
            Self::Sha256 => base64url::encode(Sha256::digest(text)),
            Self::Sha384 => base64url::encode(Sha384::digest(text)),
            Self::Sha512 => base64url::encode(Sha512::digest(text)),
        }
    }
}

impl HeldSdJwt {
    /// Reads an SD-JWT as it was issued.
    ///
    /// # Errors
    /// `credential_unreadable`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > LONGEST {
            return Err(unreadable());
        }
        let mut parts = text.split('~');
        let jwt = parts.next().unwrap_or_default().to_owned();
        let mut parts: Vec<&str> = parts.collect();
        if parts.pop() != Some("") || parts.len() > MOST_DISCLOSURES {
            return Err(unreadable());
        }
        let payload = payload(&jwt)?;
        let hash = match payload.get("_sd_alg").map(Value::as_str) {
            None | Some(Some("sha-256")) => Hash::Sha256,
            Some(Some("sha-384")) => Hash::Sha384,
            Some(Some("sha-512")) => Hash::Sha512,
            Some(_) => return Err(unreadable()),
        };
        let mut processing = Processing { by_digest: HashMap::new(), paths: vec![None; parts.len()] };
        for (index, part) in parts.iter().enumerate() {
            let content = base64url::decode(part).ok().and_then(|bytes| json::parse_value(&bytes, DEPTH).ok());
            let Some(Value::Array(content)) = content else { return Err(unreadable()) };
            processing.by_digest.insert(hash.of(part), (index, content));
        }
        let mut path = Path::new();
        let claims = processing.object(&payload, &mut path, DEPTH)?;
        let disclosures =
            parts.iter().zip(processing.paths).map(|(text, path)| Disclosure { text: (*text).to_owned(), path }).collect();
        Ok(Self { jwt, disclosures, claims, hash })
    }

    /// Everything it says, disclosures put in (section 7.1).
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The SD-JWT that discloses these claims, with what they lie in and what lies in them, and nothing else. It ends in
    /// `~`.
    pub fn disclose(&self, paths: &[Path]) -> String {
        let mut presentation = format!("{}~", self.jwt);
        for disclosure in &self.disclosures {
            let wanted = |at: &Path| paths.iter().any(|path| path.starts_with(at) || at.starts_with(path));
            if disclosure.path.as_ref().is_some_and(wanted) {
                presentation.push_str(&disclosure.text);
                presentation.push('~');
            }
        }
        presentation
    }

    /// The key-binding JWT of a presentation that [`disclose`](Self::disclose) made, still without its signature.
    pub fn key_binding(&self, key: &HolderKey, disclosed: &str, audience: &str, nonce: &str, now: i64) -> sign::Prepared {
        let header = json!({ "alg": key.algorithm().name(), "typ": "kb+jwt" });
        let claims = json!({ "iat": now, "aud": audience, "nonce": nonce, "sd_hash": self.hash.of(disclosed) });
        let empty = Map::new();
        sign::prepare(header.as_object().unwrap_or(&empty), claims.as_object().unwrap_or(&empty))
    }
}

/// The payload of a compact JWT, not verified.
///
/// # Errors
/// `credential_unreadable`.
pub fn payload(jwt: &str) -> Result<Map<String, Value>, Refusal> {
    let payload = jwt.split('.').nth(1).ok_or_else(unreadable)?;
    let bytes = base64url::decode(payload).map_err(|_| unreadable())?;
    json::parse_object(&bytes, DEPTH).map_err(|_| unreadable())
}

/// One walk through the payload that puts disclosures in and notes where each belongs.
struct Processing {
    by_digest: HashMap<String, (usize, Vec<Value>)>,
    paths: Vec<Option<Path>>,
}

impl Processing {
    fn value(&mut self, value: &Value, path: &mut Path, depth: usize) -> Result<Value, Refusal> {
        // disclosures can refer to one another: the cap bounds the walk
        let depth = depth.checked_sub(1).ok_or_else(unreadable)?;
        match value {
            Value::Object(object) => Ok(Value::Object(self.object(object, path, depth)?)),
            Value::Array(array) => {
                let mut elements = Vec::new();
                for element in array {
                    path.push(Step::Index(elements.len()));
                    let digest = element.as_object().filter(|object| object.len() == 1).and_then(|object| object.get("..."));
                    match digest {
                        None => elements.push(self.value(element, path, depth)?),
                        Some(digest) => {
                            if let Some(content) = self.take(digest, path)
                                && let [_, value] = content.as_slice()
                            {
                                elements.push(self.value(value, path, depth)?);
                            }
                        }
                    }
                    path.pop();
                }
                Ok(Value::Array(elements))
            }
            plain => Ok(plain.clone()),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, path: &mut Path, depth: usize) -> Result<Map<String, Value>, Refusal> {
        let mut claims = Map::new();
        for (name, value) in object.iter().filter(|(name, _)| *name != "_sd" && *name != "_sd_alg") {
            path.push(Step::Name(name.clone()));
            let value = self.value(value, path, depth)?;
            path.pop();
            claims.insert(name.clone(), value);
        }
        for digest in object.get("_sd").and_then(Value::as_array).into_iter().flatten() {
            let Some((index, content)) = digest.as_str().and_then(|digest| self.by_digest.remove(digest)) else { continue };
            let [_, Value::String(name), value] = content.as_slice() else { return Err(unreadable()) };
            path.push(Step::Name(name.clone()));
            self.note(index, path);
            let value = self.value(value, path, depth)?;
            path.pop();
            claims.insert(name.clone(), value);
        }
        Ok(claims)
    }

    fn take(&mut self, digest: &Value, path: &Path) -> Option<Vec<Value>> {
        let (index, content) = self.by_digest.remove(digest.as_str()?)?;
        self.note(index, path);
        Some(content)
    }

    fn note(&mut self, index: usize, path: &Path) {
        if let Some(place) = self.paths.get_mut(index) {
            *place = Some(path.clone());
        }
    }
}

fn unreadable() -> Refusal {
    Refusal::new("credential_unreadable", "This card cannot be read any more. Ask its issuer for a new one.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disclosure(content: &Value) -> (String, String) {
        let text = base64url::encode(content.to_string());
        let digest = Hash::Sha256.of(&text);
        (text, digest)
    }

    fn name(name: &str) -> Step {
        Step::Name(name.to_owned())
    }

    /// given_name; age_equal_or_over with 18 and 21 inside; nationalities as an array; a decoy
    fn example() -> String {
        let (given, given_digest) = disclosure(&json!(["s1", "given_name", "Ada"]));
        let (a18, a18_digest) = disclosure(&json!(["s2", "18", true]));
        let (a21, a21_digest) = disclosure(&json!(["s3", "21", true]));
        let (ages, ages_digest) = disclosure(&json!(["s4", "age_equal_or_over", {"_sd": [a18_digest, a21_digest]}]));
        let (french, french_digest) = disclosure(&json!(["s5", "FR"]));
        let payload = json!({
            "iss": "https://dmv.example",
            "_sd": [given_digest, ages_digest, "decoy"],
            "nationalities": [{"...": "decoy"}, {"...": french_digest}],
            "_sd_alg": "sha-256",
        });
        let jwt = format!("e30.{}.c2ln", base64url::encode(payload.to_string()));
        format!("{jwt}~{given}~{a18}~{a21}~{ages}~{french}~")
    }

    #[test]
    fn says_everything_in_full() {
        let held = HeldSdJwt::parse(&example()).unwrap();
        let expected = json!({
            "iss": "https://dmv.example",
            "given_name": "Ada",
            "age_equal_or_over": {"18": true, "21": true},
            "nationalities": ["FR"],
        });
        assert_eq!(Value::Object(held.claims().clone()), expected);
    }

    #[test]
    fn discloses_what_is_asked_for_and_what_it_lies_in() {
        let held = HeldSdJwt::parse(&example()).unwrap();
        let shown = held.disclose(&[vec![name("age_equal_or_over"), name("21")]]);
        let claims = HeldSdJwt::parse(&shown).unwrap().claims().clone();
        let expected = json!({"iss": "https://dmv.example", "age_equal_or_over": {"21": true}, "nationalities": []});
        assert_eq!(Value::Object(claims), expected);
        assert_eq!(held.disclose(&[]).matches('~').count(), 1);
        let whole = held.disclose(&[vec![name("age_equal_or_over")]]);
        assert_eq!(HeldSdJwt::parse(&whole).unwrap().claims()["age_equal_or_over"], json!({"18": true, "21": true}));
        let element = held.disclose(&[vec![name("nationalities"), Step::Index(0)]]);
        assert_eq!(HeldSdJwt::parse(&element).unwrap().claims()["nationalities"], json!(["FR"]));
    }

    #[test]
    fn binds_a_presentation_to_its_use() {
        let held = HeldSdJwt::parse(&example()).unwrap();
        let key = HolderKey::from_jwk(&json!({
            "kty": "EC", "crv": "P-256",
            "x": "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns", "y": "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM",
        }))
        .unwrap();
        let disclosed = held.disclose(&[]);
        let prepared = held.key_binding(&key, &disclosed, "redirect_uri:https://shop.example/r", "n", 7);
        let claims = payload(&prepared.finish(b"sig")).unwrap();
        assert_eq!(claims["aud"], "redirect_uri:https://shop.example/r");
        assert_eq!((claims["nonce"].as_str(), claims["iat"].as_i64()), (Some("n"), Some(7)));
        assert_eq!(claims["sd_hash"], base64url::encode(Sha256::digest(&disclosed)));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in ["", "a.b.c", "e30.e30.c2ln", "e30.e30.c2ln~x~", "e30.e30.c2ln~e30~", "e30.e30.c2ln~WyJzIl0~x"] {
            assert_eq!(HeldSdJwt::parse(bad).unwrap_err().code, "credential_unreadable", "{bad}");
        }
        // a disclosure that refers to itself cannot exist; one that is nested very deep is refused, not walked
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        let text = base64url::encode(format!("[\"s\",\"a\",{deep}]"));
        assert!(HeldSdJwt::parse(&format!("e30.e30.c2ln~{text}~")).is_err());
    }
}
