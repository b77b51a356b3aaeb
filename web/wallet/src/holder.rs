//! The wallet's own keys: as DIDs (did:jwk; did:key, W3C CCG), and the proofs that it holds them (OpenID4VCI 1.0 appendix
//! F.1). The private key stays in WebCrypto: [`proof`] gives what is to be signed.

use carded_verifier::{Algorithm, base64url, sign};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::issuer::Configuration;
use crate::refusal::Refusal;

/// A public key of the wallet, as WebCrypto exports it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct HolderKey {
    /// The members that are the key itself (RFC 7638 section 3.2), in their order there; nothing else.
    jwk: Map<String, Value>,
    /// Its algorithm.
    algorithm: Algorithm,
}

impl HolderKey {
    /// Takes a JWK; whatever is not the public key itself is left behind.
    ///
    /// # Errors
    /// `key_unusable`.
    pub(crate) fn from_jwk(jwk: &Value) -> Result<Self, Refusal> {
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        let (names, algorithm): (&[&str], _) = match (member("kty"), member("crv")) {
            (Some("EC"), Some("P-256")) => (&["crv", "kty", "x", "y"], "ES256"),
            (Some("OKP"), Some("Ed25519")) => (&["crv", "kty", "x"], "EdDSA"),
            _ => return Err(unusable()),
        };
        let mut own = Map::new();
        for name in names {
            let value = member(name).ok_or_else(unusable)?;
            if *name == "x" || *name == "y" {
                base64url::decode(value).ok().filter(|bytes| bytes.len() == 32).ok_or_else(unusable)?;
            }
            own.insert((*name).to_owned(), value.into());
        }
        Ok(Self { jwk: own, algorithm: Algorithm::parse(algorithm).ok_or_else(unusable)? })
    }

    /// Its algorithm.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key alone.
    pub(crate) fn jwk(&self) -> &Map<String, Value> {
        &self.jwk
    }

    /// Its thumbprint (RFC 7638): the members that are the key, in their order, hashed with SHA-256.
    pub(crate) fn thumbprint(&self) -> String {
        base64url::encode(Sha256::digest(Value::Object(self.jwk.clone()).to_string()))
    }

    /// As did:jwk: the JWK in base64url.
    pub(crate) fn did_jwk(&self) -> String {
        format!("did:jwk:{}", base64url::encode(Value::Object(self.jwk.clone()).to_string()))
    }

    /// As did:key: multicodec prefix and (compressed) key in base58btc.
    pub(crate) fn did_key(&self) -> String {
        let bytes = |name| self.jwk.get(name).and_then(Value::as_str).and_then(|text| base64url::decode(text).ok());
        let (x, y) = (bytes("x").unwrap_or_default(), bytes("y"));
        let multicodec = match y.as_deref().and_then(<[u8]>::last) {
            // p256-pub 0x1200 as varint, then the compressed point (SEC 1 section 2.3.3)
            Some(last) => [&[0x80, 0x24, 2 + (last & 1)], x.as_slice()].concat(),
            // ed25519-pub 0xed as varint
            None => [&[0xed, 0x01], x.as_slice()].concat(),
        };
        format!("did:key:z{}", base58(&multicodec))
    }

    /// The DID of the method that an issuer takes, and the DID URL of its one key.
    pub(crate) fn did(&self, method: &str) -> (String, String) {
        if method == "did:key" {
            let did = self.did_key();
            let fragment = did.trim_start_matches("did:key:").to_owned();
            (did.clone(), format!("{did}#{fragment}"))
        } else {
            let did = self.did_jwk();
            (did.clone(), format!("{did}#0"))
        }
    }
}

/// A proof that lacks its signature. `nonce` where the issuer has a nonce endpoint; no `iss`, as the wallet has no name at
/// the issuer.
pub(crate) fn proof(
    key: &HolderKey,
    configuration: &Configuration,
    issuer: &str,
    nonce: Option<&str>,
    now: i64,
) -> sign::Prepared {
    let mut header = Map::new();
    // the issuer's own spelling of Ed25519 (RFC 9864) where it knows no other
    let spelled = configuration.algorithms.iter().find(|name| {
        name.as_str() == key.algorithm().name() || (name.as_str() == "Ed25519" && key.algorithm().name() == "EdDSA")
    });
    header.insert("alg".to_owned(), spelled.map_or(key.algorithm().name(), String::as_str).into());
    header.insert("typ".to_owned(), "openid4vci-proof+jwt".into());
    match configuration.binding.as_str() {
        "jwk" => header.insert("jwk".to_owned(), Value::Object(key.jwk().clone())),
        method => header.insert("kid".to_owned(), key.did(method).1.into()),
    };
    let mut claims = json!({ "aud": issuer, "iat": now });
    if let (Some(nonce), Some(claims)) = (nonce, claims.as_object_mut()) {
        claims.insert("nonce".to_owned(), nonce.into());
    }
    sign::prepare(&header, claims.as_object().unwrap_or(&Map::new()))
}

/// Base58 with Bitcoin's alphabet, as multibase `z` has it (draft-msporny-base58). For keys: the cost is quadratic.
fn base58(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut digits: Vec<u8> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = u8::try_from(carry % 58).unwrap_or_default();
            carry /= 58;
        }
        while carry > 0 {
            digits.push(u8::try_from(carry % 58).unwrap_or_default());
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let letters = digits.iter().rev().filter_map(|digit| ALPHABET.get(usize::from(*digit)));
    "1".repeat(zeros).chars().chain(letters.map(|letter| char::from(*letter))).collect()
}

fn unusable() -> Refusal {
    Refusal::new("key_unusable", "The browser made a key of a kind that this wallet does not know.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base58_as_in_its_draft() {
        assert_eq!(base58(b"Hello World!"), "2NEpo7TZRRrLZSi2U");
        assert_eq!(base58(b"\0\0\x28\x7f\xb4\xcd"), "11233QC4");
    }

    #[test]
    fn dids_of_published_keys() {
        // did:key of the did:key specification (Ed25519, P-256)
        let ed25519 =
            json!({"kty": "OKP", "crv": "Ed25519", "x": "Lm_M42cB3HkUiODQsXRcweM6TByfzEHGO9ND274JcOY", "d": "secret"});
        let key = HolderKey::from_jwk(&ed25519).unwrap();
        assert_eq!(key.did_key(), "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK");
        assert!(!key.jwk().contains_key("d"), "only the public members are kept");
        let p256 = json!({
            "kty": "EC", "crv": "P-256",
            "x": "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns", "y": "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM",
        });
        let key = HolderKey::from_jwk(&p256).unwrap();
        assert_eq!(key.did_key(), "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv");
        assert!(key.did_jwk().starts_with("did:jwk:eyJ"));
        assert!(key.did("did:jwk").1.ends_with("#0"));
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        for bad in [
            json!({}),
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
            json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        ] {
            assert_eq!(HolderKey::from_jwk(&bad).unwrap_err().code, "key_unusable");
        }
    }
}
