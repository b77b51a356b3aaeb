//! The presentation around a credential: a JWT of the holder (VCDM 1.1 section 6.3.1 with `vp`; vc-jose-cose section
//! 3.1.2, where the payload is the presentation).
use super::{base_context, id_of, malformed, types};
use crate::checks::{Stop, deny};
use crate::jwt::{Token, bare_type};
use crate::outcome::Code;
use serde_json::{Map, Value};

/// A presentation whose shape is sound, with the one credential in it. Nothing in it is true yet.
pub(super) struct Envelope<'a> {
    pub(super) token: Token<'a>,
    /// who says to be its holder
    pub(super) holder: String,
    /// the JWT of the credential
    pub(super) credential: String,
}

/// Whether a JWT is meant as a presentation.
pub(super) fn is_one(token: &Token<'_>) -> bool {
    token.claims.contains_key("vp")
        || token.typ.as_deref().map(bare_type).as_deref() == Some("vp+jwt")
        || types(&token.claims).is_some_and(|types| types.iter().any(|one| one == "VerifiablePresentation"))
}

impl<'a> Envelope<'a> {
    pub(super) fn open(token: Token<'a>) -> Result<Self, Stop> {
        if !matches!(token.typ.as_deref().map(bare_type).as_deref(), None | Some("jwt" | "vp+jwt")) {
            return deny(Code::KeyBindingInvalid, "its `typ` is not that of a presentation");
        }
        let (v1, vp) = match token.claims.get("vp") {
            Some(Value::Object(vp)) => (true, vp),
            Some(_) => return malformed("`vp` is no object"),
            None => (false, &token.claims),
        };
        if token.claims.contains_key("vc") {
            return malformed("a presentation with `vc`");
        }
        let known = ["https://www.w3.org/2018/credentials/v1", "https://www.w3.org/ns/credentials/v2"];
        if !base_context(vp).is_some_and(|context| known.contains(&context)) {
            return malformed("`@context` is not that of a presentation");
        }
        if !types(vp).is_some_and(|types| types.iter().any(|one| one == "VerifiablePresentation")) {
            return malformed("`type` is not that of a presentation");
        }
        let holder = holder(&token.claims, vp, v1)?;
        let credential = match vp.get("verifiableCredential") {
            Some(Value::Array(several)) => match several.as_slice() {
                [one] => compact(one),
                _ => return malformed("it does not hold exactly one credential"),
            },
            Some(one) => compact(one),
            None => return malformed("it holds no credential"),
        };
        match credential.map(str::to_owned) {
            Some(credential) => Ok(Self { holder, credential, token }),
            None => malformed("the credential in it is no JWT"),
        }
    }
}

/// `iss`, and `holder` where it is there: both the same.
fn holder(jwt: &Map<String, Value>, vp: &Map<String, Value>, v1: bool) -> Result<String, Stop> {
    let iss = match jwt.get("iss") {
        None => None,
        Some(Value::String(iss)) => Some(iss.as_str()),
        Some(_) => return deny(Code::ClaimInvalid, "`iss` is no text"),
    };
    let holder = match vp.get("holder") {
        None => None,
        Some(value) => match id_of(value) {
            Some(holder) => Some(holder),
            None => return deny(Code::ClaimInvalid, "`holder` is no identifier"),
        },
    };
    match (iss, holder) {
        (Some(iss), Some(holder)) if iss != holder => malformed("the JWT and its presentation say different things"),
        (Some(iss), _) => Ok(iss.to_owned()),
        // only with `vp` is `iss` what names the holder
        (None, Some(holder)) if !v1 => Ok(holder.to_owned()),
        _ => deny(Code::KeyBindingInvalid, "it does not say who its holder is"),
    }
}

/// The JWT of a credential: itself, or as an enveloped credential (VCDM 2.0 section 4.13).
fn compact(credential: &Value) -> Option<&str> {
    match credential {
        Value::String(jwt) => Some(jwt),
        Value::Object(enveloped) => {
            let named = types(enveloped)?.iter().any(|one| one == "EnvelopedVerifiableCredential");
            let data = enveloped.get("id")?.as_str()?;
            let jwt = data.strip_prefix("data:application/vc+jwt,")?;
            named.then_some(jwt)
        }
        _ => None,
    }
}
