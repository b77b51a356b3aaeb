//! Holding and showing an SD-JWT (RFC 9901 sections 4.3 and 7.2): which disclosures a set of claims needs, and the
//! key-binding JWT over them, in two phases.
use super::key_binding::TYPE;
use super::{SdHash, View, process, split};
use crate::algorithm::Algorithm;
use crate::dcql::ConcretePathElement;
use crate::jwt;
use crate::limits::Limits;
use crate::outcome::Code;
use crate::sd_jwt_vc::NEVER_WITHHELD;
use crate::sign::{Prepared, prepare};
use crate::time::Timestamp;
use crate::x509;
use serde_json::{Map, Value, json};
use std::fmt;

/// A credential as its issuer handed it out, with all its disclosures. That its signature holds is for
/// [`crate::verify_issued`] to say.
#[derive(Clone, Debug)]
pub struct HeldSdJwt {
    jwt: String,
    disclosures: Vec<Held>,
    claims: Map<String, Value>,
    hash: SdHash,
    authority_key_ids: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Held {
    text: String,
    place: Vec<ConcretePathElement>,
}

/// Why a text is no SD-JWT to hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldError {
    code: Code,
    detail: String,
}

impl HeldError {
    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for HeldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for HeldError {}

impl From<(Code, String)> for HeldError {
    fn from((code, detail): (Code, String)) -> Self {
        Self { code, detail }
    }
}

impl HeldSdJwt {
    /// Takes an SD-JWT apart, as strictly as a verifier would.
    ///
    /// # Errors
    /// [`HeldError`] where a verifier would refuse its shape, and where it has a key-binding JWT.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, HeldError> {
        if text.len() > limits.presentation_bytes {
            return Err((Code::PresentationTooLarge, format!("over {} bytes", limits.presentation_bytes)).into());
        }
        let parts = split(text.as_bytes(), limits)?;
        if parts.kb_jwt.is_some() {
            return Err((Code::PresentationMalformed, "it has a key-binding JWT".to_owned()).into());
        }
        let token = jwt::parse(parts.jwt, limits)?;
        let authority_key_ids = x509::authority_key_ids(&token.header);
        let processed = process(token.claims, &parts.disclosures, &NEVER_WITHHELD, limits, View::Holder)?;
        let mut texts = text.split('~');
        let jwt = texts.next().unwrap_or_default().to_owned();
        let disclosures =
            texts.zip(processed.places).map(|(text, place)| Held { text: text.to_owned(), place }).collect();
        Ok(Self { jwt, disclosures, claims: processed.claims, hash: processed.hash, authority_key_ids })
    }

    /// All claims, with everything put in.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The authority key identifiers of the certificates in it, for [`crate::dcql::Candidate`].
    pub fn authority_key_ids(&self) -> &[Vec<u8>] {
        &self.authority_key_ids
    }

    /// Its type.
    pub fn vct(&self) -> Option<&str> {
        self.claims.get("vct").and_then(Value::as_str)
    }

    /// The whole, as it was issued.
    pub fn as_issued(&self) -> String {
        self.with(|_| true)
    }

    /// What of it shows these claims and nothing else that could be withheld: each claim whole, and of what is around it
    /// no more than where it stands.
    #[must_use]
    pub fn disclose(&self, paths: &[Vec<ConcretePathElement>]) -> ShownSdJwt {
        let needed =
            |place: &[ConcretePathElement]| paths.iter().any(|path| path.starts_with(place) || place.starts_with(path));
        let withheld =
            self.disclosures.iter().filter(|held| !needed(&held.place)).map(|held| held.place.clone()).collect();
        ShownSdJwt { text: self.with(|held| needed(&held.place)), hash: self.hash, withheld }
    }

    fn with(&self, shown: impl Fn(&Held) -> bool) -> String {
        let mut text = self.jwt.clone();
        for held in self.disclosures.iter().filter(|held| shown(held)) {
            text.push('~');
            text.push_str(&held.text);
        }
        text.push('~');
        text
    }
}

/// An SD-JWT with the disclosures that are to be shown.
#[derive(Clone, Debug)]
pub struct ShownSdJwt {
    text: String,
    hash: SdHash,
    withheld: Vec<Vec<ConcretePathElement>>,
}

/// A presentation that only lacks the holder's signature.
#[derive(Clone, Debug)]
pub struct PreparedPresentation {
    text: String,
    kb_jwt: Prepared,
}

impl ShownSdJwt {
    /// The presentation without a proof of its holder.
    pub fn without_key_binding(&self) -> &str {
        &self.text
    }

    /// Whether the claim at a path of the whole credential is withheld.
    pub fn withholds(&self, path: &[ConcretePathElement]) -> bool {
        self.withheld.iter().any(|place| path.starts_with(place))
    }

    /// Whether something that belongs to the claim at a path of the whole credential is withheld.
    pub fn withholds_within(&self, path: &[ConcretePathElement]) -> bool {
        self.withheld.iter().any(|place| place.len() > path.len() && place.starts_with(path))
    }

    /// First phase: the key-binding JWT to sign, for this verifier (`audience`: its whole client id) and this `nonce`,
    /// made at `iat`.
    pub fn prepare_key_binding(
        self,
        algorithm: Algorithm,
        audience: &str,
        nonce: &str,
        iat: Timestamp,
    ) -> PreparedPresentation {
        let object = |value: Value| if let Value::Object(map) = value { map } else { Map::new() };
        let header = object(json!({"alg": algorithm.name(), "typ": TYPE}));
        let claims = object(json!({
            "aud": audience,
            "nonce": nonce,
            "iat": iat.unix(),
            "sd_hash": self.hash.digest(self.text.as_bytes()),
        }));
        PreparedPresentation { kb_jwt: prepare(&header, &claims), text: self.text }
    }
}

impl PreparedPresentation {
    /// What is to be signed by the holder's key.
    pub fn bytes(&self) -> &[u8] {
        self.kb_jwt.bytes()
    }

    /// Second phase: the presentation. `signature` is as JOSE writes it (ECDSA as r‖s).
    pub fn finish(self, signature: &[u8]) -> String {
        self.text + &self.kb_jwt.finish(signature)
    }
}
