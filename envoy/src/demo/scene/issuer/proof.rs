//! The key proofs of a credential request: `jwt` proofs of OpenID4VCI 1.0 appendix F.1, with the key in `jwk` or as a DID that
//! holds its own key (`did:jwk`, `did:key`) in `kid`.

use carded_verifier::did::{Did, DidDocument, Relationship};
use carded_verifier::{Algorithm, PublicKey, RustCrypto, SignatureProvider, base64url, json, jwk};
use serde_json::{Map, Value, json};

/// The algorithms that proofs may be signed with.
pub(super) const ALGORITHMS: [&str; 2] = ["ES256", "EdDSA"];

/// How far a proof's `iat` may lie from our clock, in seconds. It is freshness in words only: the nonce is what counts.
const WINDOW: i64 = 300;

/// A holder's key, its possession proved.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// The confirmation for `cnf` (RFC 7800): the public members of the `jwk`, or the `kid` that is a DID URL.
    pub(crate) cnf: Value,
    /// The DID: as named in `kid`, or the `did:jwk` of the key.
    pub(crate) did: String,
    /// The key itself, by which two holders are told apart.
    pub(crate) jwk: Vec<u8>,
}

/// Checks one proof for the issuer `audience`: the key that it proves, and the nonce that it carries (which is not checked here).
///
/// # Errors
/// Why it is refused, in ASCII.
pub(super) fn check(jwt: &str, audience: &str, now: i64) -> Result<(Holder, String), &'static str> {
    let mut parts = jwt.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("the proof is no compact JWS");
    };
    let message = &jwt[..header.len() + 1 + payload.len()];
    let header = object(header).ok_or("the header of the proof is malformed")?;
    let claims = object(payload).ok_or("the payload of the proof is malformed")?;
    let signature = base64url::decode(signature).map_err(|_| "the signature of the proof is malformed")?;

    if text(&header, "typ") != Some("openid4vci-proof+jwt") {
        return Err("the typ of the proof is not openid4vci-proof+jwt");
    }
    if header.contains_key("crit") || header.contains_key("x5c") {
        return Err("the proof has a header parameter that is not understood");
    }
    let algorithm = text(&header, "alg").filter(|alg| ALGORITHMS.contains(alg)).and_then(Algorithm::parse);
    let algorithm = algorithm.ok_or("the alg of the proof is not supported")?;
    let (key, holder) = key(&header)?;
    if !key.fits(algorithm) {
        return Err("the key of the proof does not fit its alg");
    }
    RustCrypto
        .verify(algorithm, &key, message.as_bytes(), &signature)
        .map_err(|_| "the signature of the proof does not hold")?;

    // one string: an array would let one proof serve several issuers
    if text(&claims, "aud") != Some(audience) {
        return Err("the aud of the proof is not this issuer");
    }
    if claims.contains_key("iss") {
        return Err("the proof names an iss although the token request was anonymous");
    }
    let iat = claims.get("iat").and_then(Value::as_i64).ok_or("the proof has no iat")?;
    if iat < now - WINDOW || iat > now + WINDOW {
        return Err("the iat of the proof is not of now");
    }
    let nonce = text(&claims, "nonce").ok_or("the proof has no nonce")?;
    Ok((holder, nonce.to_owned()))
}

/// The key that the header names, by exactly one of `jwk` and `kid`.
fn key(header: &Map<String, Value>) -> Result<(PublicKey, Holder), &'static str> {
    match (header.get("jwk"), header.get("kid")) {
        (Some(Value::Object(members)), None) => {
            if jwk::has_private_part(members) {
                return Err("the jwk of the proof is a private key");
            }
            let (key, _) = PublicKey::from_jwk(members).map_err(|_| "the jwk of the proof is no usable key")?;
            let public: Map<String, Value> = ["crv", "kty", "x", "y"]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), members.get(name)?.clone())))
                .collect();
            let public = Value::Object(public);
            let did = format!("did:jwk:{}", base64url::encode(public.to_string()));
            let jwk = key.spki_der().unwrap_or_default().to_vec();
            Ok((key, Holder { cnf: json!({ "jwk": public }), did, jwk }))
        }
        (None, Some(Value::String(kid))) => {
            let text = kid.split('#').next().unwrap_or_default();
            let did = Did::parse(text).map_err(|_| "the kid of the proof is no DID that is known here")?;
            let document = DidDocument::of(&did).ok_or("the DID of the proof does not hold its key")?;
            let key = document
                .key(Some(kid), Relationship::Authentication)
                .map_err(|_| "the DID of the proof has no such key")?
                .clone();
            let jwk = key.spki_der().unwrap_or_default().to_vec();
            Ok((key, Holder { cnf: json!({ "kid": kid }), did: text.to_owned(), jwk }))
        }
        _ => Err("the proof must name its key by jwk or kid, one of them"),
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    json::parse_object(&base64url::decode(part).ok()?, 8).ok()
}

fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    map.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Key, with};

    const ISSUER: &str = "http://dmv.localhost:8080";
    const NOW: i64 = 1_795_305_600;

    fn bare(key: &Key) -> Value {
        with(key.jwk(), json!({ "kid": null, "use": null, "alg": null }))
    }

    fn proof(key: &Key, header: Value, claims: Value) -> String {
        let header = with(json!({ "typ": "openid4vci-proof+jwt", "alg": key.algorithm(), "jwk": bare(key) }), header);
        key.token_with(&header, &with(json!({ "aud": ISSUER, "iat": NOW, "nonce": "n" }), claims))
    }

    #[test]
    fn proofs_by_both_kinds_of_keys_hold() {
        for key in [Key::p256("a").expect("a key"), Key::ed25519("a").expect("a key")] {
            let (holder, nonce) = check(&proof(&key, json!({}), json!({})), ISSUER, NOW).expect("a sound proof");
            assert_eq!((&holder.cnf["jwk"], nonce.as_str()), (&bare(&key), "n"));
            assert!(holder.did.starts_with("did:jwk:"));
            // and by a DID that holds the same key
            let kid = format!("{}#0", holder.did);
            let by_did = proof(&key, json!({ "jwk": null, "kid": kid }), json!({}));
            let (again, _) = check(&by_did, ISSUER, NOW).expect("a sound proof by DID");
            assert_eq!((again.did, again.jwk, &again.cnf["kid"]), (holder.did, holder.jwk, &json!(kid)));
        }
    }

    #[test]
    fn each_part_of_a_proof_is_checked() {
        let (key, other) = (Key::p256("a").expect("a key"), Key::p256("b").expect("a key"));
        let none = json!({});
        for (what, jwt) in [
            ("typ", proof(&key, json!({ "typ": "JWT" }), none.clone())),
            ("no typ", proof(&key, json!({ "typ": null }), none.clone())),
            ("none", proof(&key, json!({ "alg": "none" }), none.clone())),
            ("another alg", proof(&key, json!({ "alg": "EdDSA" }), none.clone())),
            ("another key", proof(&key, json!({ "jwk": bare(&other) }), none.clone())),
            ("no key", proof(&key, json!({ "jwk": null }), none.clone())),
            ("two keys", proof(&key, json!({ "kid": "did:jwk:e30#0" }), none.clone())),
            ("crit", proof(&key, json!({ "crit": ["x"] }), none.clone())),
            ("another audience", proof(&key, none.clone(), json!({ "aud": "http://clerk.localhost:8080" }))),
            ("an array of audiences", proof(&key, none.clone(), json!({ "aud": [ISSUER] }))),
            ("old", proof(&key, none.clone(), json!({ "iat": NOW - WINDOW - 1 }))),
            ("of the future", proof(&key, none.clone(), json!({ "iat": NOW + WINDOW + 1 }))),
            ("no iat", proof(&key, none.clone(), json!({ "iat": null }))),
            ("no nonce", proof(&key, none.clone(), json!({ "nonce": null }))),
            ("iss", proof(&key, none.clone(), json!({ "iss": "wallet" }))),
            ("two parts", "a.b".to_owned()),
        ] {
            assert!(check(&jwt, ISSUER, NOW).is_err(), "{what}");
        }
    }
}
