//! SD-JWT VC: a credential as an SD-JWT (draft-ietf-oauth-sd-jwt-vc-19 section 2), and who shows it (section 3).
use crate::checks::{Steps, Stop, deny, time};
use crate::credential::CredentialPolicy;
use crate::holder::Holder;
use crate::jwt::{self, Token, bare_type};
use crate::outcome::{Check, Code};
use crate::presentation::{Context, Established, Manner};
use crate::sd_jwt::{self, SdHash, View, key_binding};
use crate::time::Timestamp;
use serde_json::{Map, Value};

/// Claims that are always shown (section 2.2.2.3).
pub(crate) const NEVER_WITHHELD: [&str; 7] = ["iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "status"];

/// What of a presentation the holder's proof is about.
pub(crate) struct Shown<'a> {
    hashed: &'a [u8],
    kb_jwt: Option<&'a [u8]>,
    hash: SdHash,
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
    let parts = sd_jwt::split(bytes, limits)?;
    let token = jwt::parse(parts.jwt, limits)?;

    let vouched = context.vouched(&token, steps)?;

    steps.next(Check::Type);
    check_type(policy, &token)?;
    steps.next(Check::Disclosures);
    let processed = sd_jwt::process(token.claims, &parts.disclosures, &NEVER_WITHHELD, limits, View::Verifier)?;
    steps.next(Check::Time);
    let claims = processed.claims;
    let expires = check_times(policy, &claims, world.now)?;

    let types = match claims.get("vct") {
        Some(Value::String(vct)) => vec![vct.clone()],
        // looked at already; it cannot be withheld
        _ => return deny(Code::ClaimMissing, "`vct` is missing"),
    };
    let established = vouched.establish(types, claims, expires);
    Ok((established, Shown { hashed: parts.hashed, kb_jwt: parts.kb_jwt, hash: processed.hash }))
}

/// `typ` (section 2.2.1) and `vct` (section 2.2.2.2).
fn check_type(policy: &CredentialPolicy, token: &Token<'_>) -> Result<(), Stop> {
    match token.typ.as_deref().map(bare_type).as_deref() {
        Some("dc+sd-jwt") => {}
        Some("vc+sd-jwt") if policy.legacy_vc_sd_jwt => {}
        _ => return deny(Code::TypeNotAllowed, "`typ` is not `dc+sd-jwt`"),
    }
    match token.claims.get("vct") {
        Some(Value::String(vct)) if policy.query.meta.vct_values.contains(vct) => Ok(()),
        Some(Value::String(_)) => deny(Code::CredentialTypeMismatch, "its `vct` is not one that was asked for"),
        Some(_) => deny(Code::ClaimInvalid, "`vct` is no text"),
        None => deny(Code::ClaimMissing, "`vct` is missing"),
    }
}

/// `exp`, `nbf` and `iat`, with everything shown put in. Answers with `exp`.
pub(crate) fn check_times(
    policy: &CredentialPolicy,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Stop> {
    let exp = time(claims, "exp", f64::floor)?;
    let nbf = time(claims, "nbf", f64::ceil)?;
    let iat = time(claims, "iat", f64::floor)?;
    check_validity(policy, [exp, nbf, iat], now)?;
    Ok(exp)
}

/// Whether a credential with these times (end, begin, issue) is valid now.
pub(crate) fn check_validity(
    policy: &CredentialPolicy,
    [end, begin, issued]: [Option<Timestamp>; 3],
    now: Timestamp,
) -> Result<(), Stop> {
    let skew = policy.clock_skew;
    if let Some(end) = end.filter(|end| end.saturating_add(skew) <= now) {
        return deny(Code::CredentialExpired, format!("expired {} seconds ago", now.saturating_since(end).as_secs()));
    }
    let latest = now.saturating_add(skew);
    if begin.is_some_and(|begin| begin > latest) {
        return deny(Code::CredentialNotYetValid, "it is valid in the future only");
    }
    if issued.is_some_and(|issued| issued > latest) {
        return deny(Code::CredentialNotYetValid, "it was issued in the future");
    }
    match (policy.max_credential_age, issued) {
        (None, _) => Ok(()),
        (Some(_), None) => deny(Code::ClaimMissing, "when it was issued is needed to know its age"),
        (Some(max), Some(issued)) if issued.saturating_add(max).saturating_add(skew) <= now => {
            deny(Code::CredentialTooOld, format!("issued more than {} seconds ago", max.as_secs()))
        }
        _ => Ok(()),
    }
}

/// Whether its holder shows it. That it must is the policy's word, never read off what came.
pub(crate) fn bind(
    context: &Context<'_>,
    established: &Established,
    shown: &Shown<'_>,
) -> Result<Option<Holder>, Stop> {
    let (policy, world) = (&context.compiled.policy, context.world);
    let Manner::Presented { audience, nonce } = context.manner else {
        if shown.kb_jwt.is_some() {
            return deny(Code::PresentationMalformed, "a credential as issued has no key-binding JWT");
        }
        let holder = Holder::of_claims(&established.claims, world)?;
        return match holder {
            None if policy.holder_binding => deny(Code::HolderKeyInvalid, "`cnf` is missing"),
            holder => Ok(holder),
        };
    };
    let Some(kb_jwt) = shown.kb_jwt else {
        return if policy.holder_binding {
            deny(Code::KeyBindingMissing, "the key-binding JWT is missing")
        } else {
            Ok(None)
        };
    };
    // one that was not asked for must hold as well
    let Some(holder) = Holder::of_claims(&established.claims, world)? else {
        return deny(Code::HolderKeyInvalid, "`cnf` is missing");
    };
    let expected = key_binding::Expected { audience, nonce, hashed: shown.hashed, hash: shown.hash };
    key_binding::check(kb_jwt, &holder, &expected, policy, world)?;
    Ok(Some(holder))
}
