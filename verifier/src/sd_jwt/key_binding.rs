//! The key-binding JWT: the holder shows this SD-JWT, with these disclosures, to us and now (RFC 9901 sections 4.3 and
//! 7.3).
use crate::checks::{Stop, deny, time};
use crate::credential::CredentialPolicy;
use crate::holder::Holder;
use crate::jwt::{self, bare_type};
use crate::outcome::Code;
use crate::sd_jwt::SdHash;
use crate::signer::{self, World};
use crate::time::Timestamp;
use serde_json::{Map, Value};

/// The `typ` of a key-binding JWT.
pub(crate) const TYPE: &str = "kb+jwt";

/// What a key-binding JWT must be made for.
pub(crate) struct Expected<'a> {
    pub(crate) audience: &'a str,
    pub(crate) nonce: &'a str,
    /// the presentation up to its last `~`
    pub(crate) hashed: &'a [u8],
    pub(crate) hash: SdHash,
}

/// Checks a key-binding JWT against the holder that the credential names.
pub(crate) fn check(
    kb_jwt: &[u8],
    holder: &Holder,
    expected: &Expected<'_>,
    policy: &CredentialPolicy,
    world: World<'_>,
) -> Result<(), Stop> {
    let token = jwt::parse(kb_jwt, world.trust.limits())
        .map_err(|(_, why)| (Code::PresentationMalformed, format!("the key-binding JWT: {why}")))?;
    if token.typ.as_deref().map(bare_type).as_deref() != Some(TYPE) {
        return deny(Code::KeyBindingInvalid, "its `typ` is not `kb+jwt`");
    }
    let algorithm = signer::algorithm(&token, &policy.algorithms)?;
    if !holder.signs_with(algorithm) {
        return deny(Code::KeyBindingInvalid, "its `alg` is not that of the holder's key");
    }
    if world.trust.provider().verify(algorithm, holder.key(), token.message, &token.signature).is_err() {
        return deny(Code::KeyBindingInvalid, "it is not signed by the holder's key");
    }
    let claims = &token.claims;
    match text(claims, "nonce")? {
        nonce if nonce == expected.nonce => {}
        _ => return deny(Code::NonceMismatch, "its `nonce` is that of another request"),
    }
    if text(claims, "aud")? != expected.audience {
        return deny(Code::AudienceMismatch, "its `aud` is not this verifier");
    }
    if text(claims, "sd_hash")? != expected.hash.digest(expected.hashed) {
        return deny(Code::KeyBindingInvalid, "its `sd_hash` is that of another presentation");
    }
    check_times(claims, policy, world.now)
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Stop> {
    match claims.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => deny(Code::KeyBindingInvalid, format!("its `{name}` is no text")),
        None => deny(Code::KeyBindingInvalid, format!("its `{name}` is missing")),
    }
}

/// `iat` within the window, and `exp` and `nbf` where they are there.
pub(crate) fn check_times(claims: &Map<String, Value>, policy: &CredentialPolicy, now: Timestamp) -> Result<(), Stop> {
    let skew = policy.clock_skew;
    let Some(iat) = time(claims, "iat", f64::floor)? else {
        return deny(Code::KeyBindingInvalid, "its `iat` is missing");
    };
    let latest = now.saturating_add(skew);
    if iat > latest {
        return deny(Code::PresentationStale, "made in the future");
    }
    if iat.saturating_add(policy.max_presentation_age).saturating_add(skew) <= now {
        let ago = now.saturating_since(iat).as_secs();
        return deny(Code::PresentationStale, format!("made {ago} seconds ago"));
    }
    if time(claims, "exp", f64::floor)?.is_some_and(|exp| exp.saturating_add(skew) <= now) {
        return deny(Code::PresentationStale, "its `exp` has passed");
    }
    if time(claims, "nbf", f64::ceil)?.is_some_and(|nbf| nbf > latest) {
        return deny(Code::PresentationStale, "its `nbf` is in the future");
    }
    Ok(())
}
