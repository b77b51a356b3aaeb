//! `jwt_vc_json`: a W3C credential in a JWT, shown in a JWT of its holder (OpenID4VP 1.0 appendix B.1.3.1). VCDM 1.1
//! section 6.3.1 (claims `vc` and `vp`) and VCDM 2.0 as vc-jose-cose section 3.1 secures it (the payload is the credential
//! or presentation itself).
//!
//! Such a credential shows all that it says. Its holder is its subject, by DID: the presentation is signed by a key that
//! the DID has for authentication, and the credential speaks of the same DID.
mod credential;
mod presentation;
#[cfg(feature = "sign")]
mod sign;

#[cfg(feature = "sign")]
pub use sign::{CredentialClaims, DataModel, HeldJwtVc, PresentationClaims, prepare_credential, prepare_presentation};

use crate::checks::{Steps, Stop, deny, time};
use crate::credential::{CredentialPolicy, StatusUnavailable};
use crate::did::{Did, DidDocument, Relationship};
use crate::holder::Holder;
use crate::jwt::{self, bare_type};
use crate::outcome::{Check, Code};
use crate::presentation::{Context, Established, Manner};
use crate::sd_jwt::key_binding;
use crate::sd_jwt_vc::check_validity;
use crate::signer;
use presentation::Envelope;
use serde_json::{Map, Value};

/// What the holder's proof is about.
pub(crate) struct Shown<'a> {
    /// the presentation around the credential, if there is one
    envelope: Option<Envelope<'a>>,
    /// `credentialSubject.id`
    subject: Option<String>,
}

/// From the size on to the times: who issued it, and what it says.
pub(crate) fn establish<'a>(
    context: &Context<'a>,
    bytes: &'a [u8],
    steps: &mut Steps,
) -> Result<(Established, Shown<'a>), Stop> {
    let Context { compiled, world, .. } = *context;
    let (policy, limits) = (&compiled.policy, world.trust.limits());
    steps.next(Check::Parse);
    let outer = jwt::parse(bytes, limits)?;
    let envelope = match context.manner {
        Manner::Presented { .. } if presentation::is_one(&outer) => Some(Envelope::open(outer)?),
        // one that nobody holds: whether that does is the policy's word, and said when binding is looked at
        _ => None,
    };
    let inner = envelope.as_ref().map_or(bytes, |envelope| envelope.credential.as_bytes());
    let mut token = jwt::parse(inner, limits)?;
    let vc = credential::take(std::mem::take(&mut token.claims))?;

    let mut iss = Map::new();
    iss.insert("iss".to_owned(), vc.issuer.into());
    token.claims = iss;
    let vouched = context.vouched(&token, steps)?;

    steps.next(Check::Type);
    if !matches!(token.typ.as_deref().map(bare_type).as_deref(), None | Some("jwt" | "vc+jwt")) {
        return deny(Code::TypeNotAllowed, "`typ` is not that of a credential");
    }
    if !policy.query.meta.admits(&vc.types) {
        return deny(Code::CredentialTypeMismatch, "its types are not those that were asked for");
    }
    steps.next(Check::Time);
    check_validity(policy, [vc.end, vc.begin, vc.issued], world.now)?;
    let established = vouched.establish(vc.types, vc.claims, vc.end);
    Ok((established, Shown { envelope, subject: vc.subject }))
}

/// `credentialStatus` (VCDM section 4.9) names a way of telling the status. None is understood; a Token Status List
/// stands in `status`. What says that it can be revoked is not taken as if it could not.
pub(crate) fn check_status_kind(established: &Established, policy: &CredentialPolicy) -> Result<(), Stop> {
    let told = established.claims.contains_key("status") || !established.claims.contains_key("credentialStatus");
    if told || policy.status_unavailable == StatusUnavailable::Accept {
        return Ok(());
    }
    deny(Code::StatusInvalid, "its `credentialStatus` is of a kind that is not supported")
}

/// Whether its holder shows it. That it must is the policy's word, never read off what came.
pub(crate) fn bind(context: &Context<'_>, established: &Established, shown: Shown<'_>) -> Result<Option<Holder>, Stop> {
    let policy = &context.compiled.policy;
    match (context.manner, shown.envelope) {
        (Manner::Issued, _) => issued_to(context, shown.subject.as_deref()),
        (Manner::Presented { .. }, None) if policy.holder_binding => {
            deny(Code::KeyBindingMissing, "it is no presentation of its holder")
        }
        (Manner::Presented { .. }, None) => Ok(None),
        // one that was not asked for must hold as well
        (Manner::Presented { audience, nonce }, Some(envelope)) => {
            let subject = shown.subject.as_deref();
            let holder = check_holder(context, &envelope, subject, established)?;
            check_purpose(&envelope.token.claims, audience, nonce, context)?;
            Ok(Some(holder))
        }
    }
}

/// The subject of a credential that nobody shows yet.
fn issued_to(context: &Context<'_>, subject: Option<&str>) -> Result<Option<Holder>, Stop> {
    let did = match subject.map(Did::parse) {
        Some(Ok(did)) => did,
        _ if !context.compiled.policy.holder_binding => return Ok(None),
        _ => return deny(Code::HolderKeyInvalid, "its subject is no DID that is known here"),
    };
    match DidDocument::try_of(&did) {
        Ok(None) => Ok(None),
        Ok(Some(document)) => match document.key(None, Relationship::Authentication) {
            Ok(key) => Holder::new(key.clone(), None, Some(did.as_str().to_owned())).map(Some),
            Err(why) => deny(Code::HolderKeyInvalid, format!("the subject's DID: {why}")),
        },
        Err(why) => deny(Code::HolderKeyInvalid, format!("the subject's DID: {why}")),
    }
}

/// The presentation is signed by a key of its holder's DID, and the credential speaks of that DID.
fn check_holder(
    context: &Context<'_>,
    envelope: &Envelope<'_>,
    subject: Option<&str>,
    established: &Established,
) -> Result<Holder, Stop> {
    let (policy, world) = (&context.compiled.policy, context.world);
    let token = &envelope.token;
    if subject != Some(envelope.holder.as_str()) {
        return deny(Code::KeyBindingInvalid, "who presents it is not its subject");
    }
    let Some(kid) = token.kid.as_deref() else {
        return deny(Code::KeyBindingInvalid, "the presentation names no key (`kid`)");
    };
    let did = match Did::parse(&envelope.holder) {
        Ok(did) => did,
        Err(why) => return deny(Code::HolderKeyInvalid, format!("the holder: {why}")),
    };
    let algorithm = signer::algorithm(token, &policy.algorithms)?;
    let key = signer::holder_key(&did, kid, world)?;
    let holder = Holder::new(key, None, Some(envelope.holder.clone()))?;
    if !holder.signs_with(algorithm) {
        return deny(Code::KeyBindingInvalid, "its `alg` is not that of the holder's key");
    }
    if world.trust.provider().verify(algorithm, holder.key(), token.message, &token.signature).is_err() {
        return deny(Code::KeyBindingInvalid, "it is not signed by the holder's key");
    }
    // a credential may name the one key of its holder besides (RFC 7800); then it is that one
    match Holder::of_claims(&established.claims, world)? {
        Some(named) if named.thumbprint() != holder.thumbprint() => {
            deny(Code::KeyBindingInvalid, "the holder's key is not the one in `cnf`")
        }
        _ => Ok(holder),
    }
}

/// The presentation is made for us, for this transaction, and now.
fn check_purpose(claims: &Map<String, Value>, audience: &str, nonce: &str, context: &Context<'_>) -> Result<(), Stop> {
    match claims.get("nonce") {
        Some(Value::String(named)) if named == nonce => {}
        Some(Value::String(_)) => return deny(Code::NonceMismatch, "its `nonce` is that of another request"),
        Some(_) => return deny(Code::KeyBindingInvalid, "its `nonce` is no text"),
        None => return deny(Code::KeyBindingInvalid, "its `nonce` is missing"),
    }
    match claims.get("aud") {
        Some(Value::String(aud)) if aud == audience => {}
        // to this verifier alone: one that is meant for several could be shown to the next
        Some(Value::Array(several)) if matches!(several.as_slice(), [Value::String(aud)] if aud == audience) => {}
        Some(Value::String(_) | Value::Array(_)) => {
            return deny(Code::AudienceMismatch, "its `aud` is not this verifier");
        }
        Some(_) => return deny(Code::KeyBindingInvalid, "its `aud` is no text"),
        None => return deny(Code::KeyBindingInvalid, "its `aud` is missing"),
    }
    // VCDM 1.1 knows `nbf` for the time at which it was made
    let (policy, now) = (&context.compiled.policy, context.world.now);
    match (claims.contains_key("iat"), claims.get("nbf")) {
        (false, Some(nbf)) => {
            time(claims, "nbf", f64::floor)?;
            let mut claims = claims.clone();
            claims.insert("iat".to_owned(), nbf.clone());
            key_binding::check_times(&claims, policy, now)
        }
        _ => key_binding::check_times(claims, policy, now),
    }
}

/// The first of `@context`: which data model it is of (VCDM 1.1 section 4.1, VCDM 2.0 section 4.3).
fn base_context(object: &Map<String, Value>) -> Option<&str> {
    match object.get("@context")? {
        Value::String(context) => Some(context),
        Value::Array(contexts) => contexts.first()?.as_str(),
        _ => None,
    }
}

/// `type`: one text, or a list of them.
fn types(object: &Map<String, Value>) -> Option<Vec<String>> {
    const MOST: usize = 32;
    match object.get("type")? {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(several) if several.len() <= MOST => {
            several.iter().map(|one| one.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}

/// An identifier that stands alone or as the `id` of an object (`issuer`, `holder`, `credentialSubject`).
fn id_of(value: &Value) -> Option<&str> {
    match value {
        Value::String(id) => Some(id),
        Value::Object(object) => object.get("id")?.as_str(),
        _ => None,
    }
}

fn malformed<T>(why: &str) -> Result<T, Stop> {
    deny(Code::PresentationMalformed, why)
}
