//! A JWT VC as its holder has it (`jwt_vc_json`, OpenID4VP 1.0 appendix B.1.3.1): VCDM 1.1 with the credential in `vc`, or
//! VCDM 2.0 with the credential as the payload. It is shown whole, in a `vp` JWT by the holder's DID.

use carded_verifier::{base64url, json as strict, sign};
use serde_json::{Map, Value, json};

use crate::holder::HolderKey;
use crate::refusal::Refusal;

const V1: &str = "https://www.w3.org/2018/credentials/v1";
const V2: &str = "https://www.w3.org/ns/credentials/v2";

const DEPTH: usize = 32;
const LONGEST: usize = 64 * 1024;

/// A JWT VC.
#[derive(Clone, Debug)]
pub(crate) struct HeldJwtVc {
    jwt: String,
    credential: Map<String, Value>,
    context: &'static str,
}

impl HeldJwtVc {
    /// Reads a JWT VC as it was issued.
    ///
    /// # Errors
    /// `credential_unreadable`.
    pub(crate) fn parse(jwt: &str) -> Result<Self, Refusal> {
        let mut payload = payload(jwt)?;
        let (credential, context) = match payload.remove("vc") {
            Some(Value::Object(mut vc)) => {
                // VCDM 1.1 section 6.3.1: `sub` stands for the subject's `id`
                if let (Some(sub), Some(Value::Object(subject))) =
                    (payload.remove("sub"), vc.get_mut("credentialSubject"))
                {
                    subject.entry("id").or_insert(sub);
                }
                (vc, V1)
            }
            _ => (payload, V2),
        };
        if !credential.contains_key("credentialSubject") {
            return Err(unreadable());
        }
        Ok(Self { jwt: jwt.to_owned(), credential, context })
    }

    /// The credential, as queries see it.
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.credential
    }

    /// The presentation of it, still without its signature.
    ///
    /// # Errors
    /// `key_unusable` where the credential is not about the key's DID.
    pub(crate) fn presentation(
        &self,
        key: &HolderKey,
        audience: &str,
        nonce: &str,
        now: i64,
    ) -> Result<sign::Prepared, Refusal> {
        let subject =
            self.credential.get("credentialSubject").and_then(|subject| subject.get("id")).and_then(Value::as_str);
        let (did, kid) = ["did:jwk", "did:key"]
            .iter()
            .map(|method| key.did(method))
            .find(|(did, _)| subject == Some(did))
            .ok_or_else(|| Refusal::new("key_unusable", "This card is not bound to a key of this wallet."))?;
        let header = json!({ "alg": key.algorithm().name(), "typ": "JWT", "kid": kid });
        let claims = json!({
            "iss": did,
            "aud": audience,
            "nonce": nonce,
            "iat": now,
            "nbf": now,
            "exp": now.saturating_add(300),
            "vp": {
                "@context": [self.context],
                "type": ["VerifiablePresentation"],
                "holder": did,
                "verifiableCredential": [self.jwt],
            },
        });
        let empty = Map::new();
        Ok(sign::prepare(header.as_object().unwrap_or(&empty), claims.as_object().unwrap_or(&empty)))
    }
}

/// The payload of a compact JWT, not verified: it was when it came.
fn payload(jwt: &str) -> Result<Map<String, Value>, Refusal> {
    let payload = jwt.split('.').nth(1).filter(|_| jwt.len() <= LONGEST).ok_or_else(unreadable)?;
    let bytes = base64url::decode(payload).map_err(|_| unreadable())?;
    strict::parse_object(&bytes, DEPTH).map_err(|_| unreadable())
}

fn unreadable() -> Refusal {
    Refusal::new("credential_unreadable", "This card cannot be read any more. Ask its issuer for a new one.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &Value) -> String {
        format!("e30.{}.c2ln", base64url::encode(payload.to_string()))
    }

    #[test]
    fn both_data_models() {
        let old = jwt(&json!({
            "iss": "did:web:clerk.example", "sub": "did:jwk:x",
            "vc": {"type": ["VerifiableCredential"], "credentialSubject": {"age_over_21": true}},
        }));
        assert_eq!(HeldJwtVc::parse(&old).unwrap().claims()["credentialSubject"]["id"], "did:jwk:x");
        let new = jwt(&json!({"type": ["VerifiableCredential"], "credentialSubject": {"id": "did:jwk:x"}}));
        assert_eq!(HeldJwtVc::parse(&new).unwrap().claims()["credentialSubject"]["id"], "did:jwk:x");
        assert!(HeldJwtVc::parse(&jwt(&json!({"a": 1}))).is_err());
    }

    #[test]
    fn is_shown_by_the_did_that_it_is_about_and_by_no_other() {
        let key = HolderKey::from_jwk(&json!({
            "kty": "EC", "crv": "P-256",
            "x": "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns", "y": "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM",
        }))
        .unwrap();
        for did in [key.did_jwk(), key.did_key()] {
            let held = HeldJwtVc::parse(&jwt(&json!({"credentialSubject": {"id": did}}))).unwrap();
            let shown = held.presentation(&key, "redirect_uri:https://a.example/", "n", 1).unwrap().finish(b"s");
            let claims = payload(&shown).unwrap();
            assert_eq!(claims["iss"], did.as_str());
            assert_eq!(claims["vp"]["verifiableCredential"].as_array().unwrap().len(), 1);
        }
        let other = HeldJwtVc::parse(&jwt(&json!({"credentialSubject": {"id": "did:jwk:x"}}))).unwrap();
        assert_eq!(other.presentation(&key, "a", "n", 1).unwrap_err().code, "key_unusable");
    }
}
