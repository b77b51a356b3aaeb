//! What an authorization server says of a token that only it can read (RFC 7662 section 2.2), checked like the claims of a
//! JWT (RFC 7519 section 4.1): nothing is taken for true because it was left out, but that the answer's issuer is the one
//! that was asked.
use crate::checks::{Steps, Stop, deny, unavailable};
use crate::claim_path::ClaimPath;
use crate::condensed::{Basis, Condensed};
use crate::confirmation::Confirmation;
use crate::documents::{FetchFailure, Reply};
use crate::json;
use crate::outcome::{Check, Code, Outcome};
use crate::time::Timestamp;
use crate::trust::{IssuerIndex, Trust};
use crate::verdict::{check_audience, check_claims, check_times};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 16 * 1024;
/// After how long an endpoint that failed may be asked about the same token again.
const COOLDOWN: Duration = Duration::from_secs(2);

/// The answer about one token, and what is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Introspection<'a> {
    /// The issuer that was asked.
    pub issuer: IssuerIndex,
    /// What its endpoint answered, or why it did not.
    pub answer: &'a Result<Reply, FetchFailure>,
    /// Whether an answer without `aud` is refused.
    pub require_audience: bool,
    /// Whether an answer without `token_type` is refused. A refresh token may have none.
    pub require_token_type: bool,
    /// How long the answer may be believed; never beyond the token's end.
    pub keep: Duration,
    /// The claims to keep.
    pub paths: &'a Arc<[ClaimPath]>,
}

/// Runs every check on the answer, at `now`. It never needs a document.
///
/// Denied with `introspection_unavailable` where the endpoint did not answer as RFC 7662 says; with `token_inactive` where it
/// says so; else as the claims of a JWT would be.
pub fn verify_introspection(asked: &Introspection<'_>, trust: &Trust, now: Timestamp) -> Outcome<(Condensed, Basis)> {
    let mut steps = Steps::begin();
    let result = run(asked, trust, now, &mut steps);
    steps.finish(result, |verified, _| verified)
}

fn run(
    asked: &Introspection<'_>,
    trust: &Trust,
    now: Timestamp,
    steps: &mut Steps,
) -> Result<(Condensed, Basis), Stop> {
    let failed = |why: &str| unavailable(Code::IntrospectionUnavailable, why, COOLDOWN);
    let Some(compiled) = trust.compiled(asked.issuer) else { return failed("there is no such issuer") };
    let issuer = &compiled.issuer;
    let reply = match asked.answer {
        Ok(reply) if reply.status == 200 => reply,
        Ok(_) => return failed("the issuer did not say whether the token is active"),
        Err(FetchFailure::HostNotConfigured) => {
            return failed("`fetch.clusters` does not name the introspection endpoint");
        }
        Err(_) => return failed("the issuer could not be asked about the token"),
    };
    if reply.body.len() > LONGEST {
        return failed("the issuer's answer about the token is too long");
    }
    steps.next(Check::Parse);
    let Ok(claims) = json::parse_object(&reply.body, trust.limits().json_depth) else {
        return failed("the issuer's answer about the token cannot be read");
    };
    steps.next(Check::Status);
    match claims.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return deny(Code::TokenInactive, "its issuer says that it is not active"),
        _ => return failed("the issuer's answer does not say whether the token is active"),
    }
    steps.next(Check::Issuer);
    match claims.get("iss") {
        None => {}
        Some(Value::String(iss)) if **iss == *compiled.iss => {}
        Some(_) => return deny(Code::IssuerUntrusted, "it is a token of another issuer"),
    }
    let confirmation = Confirmation::of(&claims)?;
    steps.next(Check::Type);
    let is = |text: &str, kind: &str| text.eq_ignore_ascii_case(kind);
    match claims.get("token_type") {
        None if !asked.require_token_type => {}
        None => return deny(Code::ClaimMissing, "`token_type` is missing: it may be a refresh token"),
        Some(Value::String(kind)) if is(kind, "bearer") => {}
        Some(Value::String(kind)) if is(kind, "dpop") => {
            if confirmation.as_ref().is_none_or(|bound| bound.key().is_none()) {
                return deny(Code::ClaimMissing, "it is bound to a key by its type, and `cnf.jkt` is missing");
            }
        }
        Some(_) => return deny(Code::TypeNotAllowed, "`token_type` is not that of an access token"),
    }
    steps.next(Check::Audience);
    check_audience(issuer, &claims, asked.require_audience)?;
    steps.next(Check::Time);
    let (_, window) = check_times(issuer, issuer.max_lifetime, &claims, now)?;
    steps.next(Check::Claims);
    check_claims(issuer, &claims)?;
    let condensed = Condensed::of_introspection(compiled, window, &claims, confirmation, trust, asked.paths);
    Ok((condensed, Basis { revision: None, until: Some(now.saturating_add(asked.keep)), version: 0 }))
}
