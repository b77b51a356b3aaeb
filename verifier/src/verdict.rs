//! The verdict: every check in its order, from the start each time (RFC 7519 section 7.2, RFC 9068 section 4, RFC
//! 8725).
//!
//! size → parse → issuer → algorithm → key (may need a document) → signature → type → audience → time → claims.
//! Nothing is fetched for an issuer that the policy does not name, and no claim counts before the signature holds.
use crate::algorithm::Algorithm;
use crate::api_token;
use crate::checks::{self, Steps, Stop, deny, time};
use crate::condensed::{Basis, Window};
use crate::confirmation::Confirmation;
use crate::documents::{Documents, Found, Stored};
use crate::evidence::Evidence;
use crate::fetch::{DocumentKind, Fetch};
use crate::issuer::{Issuer, KeySource};
use crate::json::{Claims, Members};
use crate::jwk::PublicKey;
use crate::jwks::KeySet;
use crate::jwt::{self, Token, bare_type};
use crate::logout_token;
use crate::outcome::{Check, Code, Outcome, TokenClaims, Verified};
use crate::signer;
use crate::time::Timestamp;
use crate::trust::{Compiled, IssuerIndex, Trust};
use serde_json::Value;
use std::slice;
use std::time::Duration;

fn unavailable<T>(detail: &str, retry_after: Duration) -> Result<T, Stop> {
    checks::unavailable(Code::KeysUnavailable, detail, retry_after)
}

/// Runs every check on the evidence, at `now`, with what is known.
///
/// The same arguments always give the same outcome. After [`Outcome::Need`] the caller fetches, puts the reply or the
/// failure into its [`Documents`] and calls again with the same evidence.
#[inline]
pub fn verify(evidence: &Evidence<'_>, trust: &Trust, known: &Documents, now: Timestamp) -> Outcome {
    let mut steps = Steps::begin();
    let result = run(evidence, trust, known, now, &mut steps);
    steps.finish(result, |verified, passed| Verified { passed, ..verified })
}

/// The key set that a verification of an issuer's token would rest on now; `None` where it cannot be had without a fetch.
pub(crate) fn basis(
    trust: &Trust,
    issuer: IssuerIndex,
    tenant: Option<&str>,
    known: &Documents,
    now: Timestamp,
) -> Option<Basis> {
    let compiled = trust.compiled(issuer)?;
    if compiled.api_tokens.is_some() {
        return api_token::basis(compiled, known, now);
    }
    let keys = find_keys(trust, compiled, tenant, known, now).ok()?;
    Some(Basis { revision: keys.revision, until: keys.until, version: known.version() })
}

#[inline]
fn run(
    evidence: &Evidence<'_>,
    trust: &Trust,
    known: &Documents,
    now: Timestamp,
    steps: &mut Steps,
) -> Result<Verified, Stop> {
    let signed = signed(evidence, trust, known, now, steps)?;
    let Signed { compiled, token, .. } = &signed;
    let issuer = &compiled.issuer;

    steps.next(Check::Type);
    check_type(compiled, token)?;
    steps.next(Check::Audience);
    check_audience(issuer, &token.claims, true)?;
    steps.next(Check::Time);
    let times = check_times(issuer, issuer.max_lifetime, &token.claims, now)?;
    steps.next(Check::Claims);
    check_claims(issuer, &token.claims)?;
    let confirmation = Confirmation::of(&token.claims)?;
    if confirmation.is_some() && !evidence.proven {
        return deny(Code::TokenBound, "`cnf` asks for a proof, and there is none");
    }

    Ok(signed.verified(trust, times, confirmation))
}

/// A token whose signature is its issuer's. Nothing is said yet of what it is for.
pub(crate) struct Signed<'t, 'e> {
    pub(crate) compiled: &'t Compiled,
    pub(crate) token: Token<'e, Members>,
    pub(crate) algorithm: Algorithm,
    tenant: Option<String>,
    basis: Basis,
    key_id: Option<String>,
}

impl Signed<'_, '_> {
    /// The outcome, once all other checks passed.
    #[inline]
    pub(crate) fn verified(
        self,
        trust: &Trust,
        (expires, window): (Option<Timestamp>, Window),
        confirmation: Option<Box<Confirmation>>,
    ) -> Verified {
        Verified {
            issuer: self.compiled.index,
            name: self.compiled.name.clone(),
            tenant: self.tenant,
            expires,
            algorithm: self.algorithm,
            kid: self.token.kid,
            key_id: self.key_id,
            provider: trust.provider().name(),
            window,
            basis: self.basis,
            confirmation,
            passed: Vec::new(),
            claims: TokenClaims::new(self.token.claims),
        }
    }
}

/// The checks that every kind of token begins with: size, parse, issuer, algorithm, key, signature.
#[inline]
pub(crate) fn signed<'t, 'e>(
    evidence: &Evidence<'e>,
    trust: &'t Trust,
    known: &Documents,
    now: Timestamp,
    steps: &mut Steps,
) -> Result<Signed<'t, 'e>, Stop> {
    let limits = trust.limits();
    if evidence.token.len() > limits.token_bytes {
        return deny(Code::TokenTooLarge, format!("over {} bytes", limits.token_bytes));
    }
    steps.next(Check::Parse);
    let token = jwt::parse_among(evidence.token, limits, trust.heads())?;

    steps.next(Check::Issuer);
    let (compiled, tenant) = find_issuer(evidence, trust, &token)?;
    let issuer = &compiled.issuer;

    steps.next(Check::Algorithm);
    let algorithm = Algorithm::parse(&token.alg).filter(|algorithm| issuer.algorithms.contains(algorithm));
    let Some(algorithm) = algorithm else {
        return deny(Code::AlgorithmNotAllowed, "`alg` is not on the issuer's list");
    };

    steps.next(Check::Key);
    let (key, basis, key_id) = find_key(trust, compiled, tenant, &token, algorithm, known, now)?;

    steps.next(Check::Signature);
    if trust.provider().verify(algorithm, key, token.message, &token.signature).is_err() {
        return deny(Code::SignatureInvalid, "the signature does not hold");
    }
    trust.heads().keep(&token);
    let tenant = tenant.map(str::to_owned);
    Ok(Signed { compiled, tenant, token, algorithm, basis, key_id })
}

fn find_issuer<'t, 'c>(
    evidence: &Evidence<'_>,
    trust: &'t Trust,
    token: &'c Token<'_, Members>,
) -> Result<(&'t Compiled, Option<&'c str>), Stop> {
    let iss = match token.claims.get("iss") {
        Some(Value::String(iss)) => iss,
        Some(_) => return deny(Code::ClaimInvalid, "`iss` is no text"),
        None => return deny(Code::ClaimMissing, "`iss` is missing"),
    };
    let found = trust
        .find(iss)
        .filter(|(compiled, _)| evidence.accepted.is_none_or(|accepted| accepted.contains(&compiled.index)));
    match found {
        Some(found) => Ok(found),
        None => deny(Code::IssuerUntrusted, "`iss` is not an issuer that is trusted here"),
    }
}

/// The key set with the fetch that would renew it; inline keys have none.
struct Keys<'a> {
    set: &'a KeySet,
    fetch: Option<Fetch>,
    /// until when it is fresh, and the document that names it
    until: Option<Timestamp>,
    /// which document it is
    revision: Option<u64>,
}

fn find_key<'a>(
    trust: &'a Trust,
    compiled: &'a Compiled,
    tenant: Option<&str>,
    token: &Token<'_, Members>,
    algorithm: Algorithm,
    known: &'a Documents,
    now: Timestamp,
) -> Result<(&'a PublicKey, Basis, Option<String>), Stop> {
    let keys = find_keys(trust, compiled, tenant, known, now)?;
    let sole = |key_type| compiled.sole_algorithm(key_type);
    let key = signer::pick(keys.set, keys.fetch.as_ref(), token.kid.as_deref(), algorithm, sole, known, now)?;
    // not what the token calls it: one that leaves it out is of that key all the same
    let key_id = if trust.has_revocations() { keys.set.kid_of(key).map(str::to_owned) } else { None };
    Ok((key, Basis { revision: keys.revision, until: keys.until, version: known.version() }, key_id))
}

fn find_keys<'a>(
    trust: &'a Trust,
    compiled: &'a Compiled,
    tenant: Option<&str>,
    known: &'a Documents,
    now: Timestamp,
) -> Result<Keys<'a>, Stop> {
    let (jwks, named_until) = match &compiled.issuer.keys {
        KeySource::Inline(set) => return Ok(Keys { set, fetch: None, until: None, revision: None }),
        KeySource::JwksUri(_) => (compiled.first.as_ref(), None),
        KeySource::Discovery => {
            let metadata = discover(trust, compiled, tenant, known, now)?;
            (metadata.jwks_fetch(), Some(metadata.expires()))
        }
    };
    let Some(jwks) = jwks else {
        return unavailable("the issuer's keys have no address", trust.limits().cooldown);
    };
    let discovery = compiled.slot(tenant, DocumentKind::Discovery);
    match known.find(jwks.slot(), Some(jwks), now) {
        Found::Need => Err(Stop::Need(jwks.clone())),
        // the provider may have moved its keys, or put right what it said about them
        Found::Unavailable(_) if known.may_refetch(&discovery, now) => match compiled.discovery_fetch(tenant, trust) {
            Some(fetch) => Err(Stop::Need(fetch)),
            None => unavailable("the issuer's keys have no address", trust.limits().cooldown),
        },
        Found::Unavailable(left) => unavailable("the issuer's keys could not be fetched", left),
        Found::Document(document) => match document.keys() {
            Some(set) => {
                let until = document.expires();
                let until = Some(named_until.map_or(until, |named| until.min(named)));
                Ok(Keys { set, fetch: Some(jwks.clone()), until, revision: Some(document.revision()) })
            }
            None => Err(Stop::Need(jwks.clone())),
        },
    }
}

/// The discovery document of an issuer and tenant.
pub(crate) fn discover<'a>(
    trust: &Trust,
    compiled: &Compiled,
    tenant: Option<&str>,
    known: &'a Documents,
    now: Timestamp,
) -> Result<&'a Stored, Stop> {
    let slot = compiled.slot(tenant, DocumentKind::Discovery);
    let unknown = !compiled.names_tenant(tenant) && !known.has(&slot);
    if unknown && let Some(left) = known.unknown_tenants_refused(compiled.index, now) {
        return unavailable("the tenant is not known, and another could not be found a moment ago", left);
    }
    match known.find(&slot, None, now) {
        Found::Document(document) => Ok(document),
        Found::Unavailable(left) => unavailable("the issuer's metadata could not be fetched", left),
        Found::Need => match compiled.discovery_fetch(tenant, trust) {
            Some(fetch) if unknown => Err(Stop::Need(fetch.for_unknown_tenant())),
            Some(fetch) => Err(Stop::Need(fetch)),
            None => deny(Code::IssuerUntrusted, "`iss` makes no address to fetch from"),
        },
    }
}

/// The kinds of token exclude each other (RFC 8725 sections 3.11 and 3.12): an ID token, a logout token, a key-binding
/// JWT or a presentation is no access token, whoever signed it.
fn check_type(compiled: &Compiled, token: &Token<'_, Members>) -> Result<(), Stop> {
    let accepted = match (&token.typ, &compiled.types) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some(typ), None) => matches!(&*bare_type(typ), "jwt" | "at+jwt"),
        (Some(typ), Some(types)) => types.iter().any(|accepted| *accepted == bare_type(typ)),
    };
    if !accepted {
        return deny(Code::TypeNotAllowed, "`typ` is not that of an access token");
    }
    let claims = &token.claims;
    // claims that only ID tokens have (OpenID Connect Core 1.0 sections 2, 3.1.3.6 and 3.3.2.11)
    if let Some(name) = ["nonce", "at_hash", "c_hash"].iter().find(|name| claims.get(name).is_some()) {
        return deny(Code::IdTokenNotAccepted, format!("`{name}` is a claim of ID tokens"));
    }
    // OpenID Connect Back-Channel Logout 1.0 section 2.4
    if let Some(Value::Object(events)) = claims.get("events")
        && events.contains_key(logout_token::EVENT)
    {
        return deny(Code::TypeNotAllowed, "a logout token is no access token");
    }
    Ok(())
}

/// `aud`: a text or an array of texts (RFC 7519 section 4.1.3), one of them ours.
pub(crate) fn check_audience(issuer: &Issuer, claims: &dyn Claims, required: bool) -> Result<(), Stop> {
    let audiences = match claims.claim("aud") {
        None if !required => return Ok(()),
        None => return deny(Code::ClaimMissing, "`aud` is missing"),
        Some(aud @ Value::String(_)) => slice::from_ref(aud),
        Some(Value::Array(members)) if members.iter().all(Value::is_string) => members,
        Some(Value::Array(_)) => return deny(Code::ClaimInvalid, "`aud` has a member that is no text"),
        Some(_) => return deny(Code::ClaimInvalid, "`aud` is neither text nor array"),
    };
    let names = |one: &String| audiences.iter().any(|aud| aud.as_str() == Some(one));
    if issuer.login_client_ids.iter().any(names) {
        return deny(Code::IdTokenNotAccepted, "`aud` is the client of a login");
    }
    if issuer.audiences.iter().any(names) {
        Ok(())
    } else {
        deny(Code::AudienceMismatch, "`aud` names none of the accepted audiences")
    }
}

/// `exp`, `nbf` and `iat` (RFC 7519 sections 4.1.4 to 4.1.6). Answers with `exp`, and with the times between which all
/// of this holds.
pub(crate) fn check_times(
    issuer: &Issuer,
    max_lifetime: Option<Duration>,
    claims: &dyn Claims,
    now: Timestamp,
) -> Result<(Option<Timestamp>, Window), Stop> {
    let exp = time(claims, "exp", f64::floor)?;
    let nbf = time(claims, "nbf", f64::ceil)?;
    let iat = time(claims, "iat", f64::floor)?;
    match exp {
        None if issuer.require_exp => return deny(Code::ClaimMissing, "`exp` is missing"),
        Some(exp) if exp.saturating_add(issuer.clock_skew) <= now => {
            let ago = now.saturating_since(exp).as_secs();
            return deny(Code::TokenExpired, format!("`exp` passed {ago} seconds ago"));
        }
        _ => {}
    }
    let latest = now.saturating_add(issuer.clock_skew);
    if nbf.is_some_and(|nbf| nbf > latest) {
        return deny(Code::TokenNotYetValid, "`nbf` is in the future");
    }
    if iat.is_some_and(|iat| iat > latest) {
        return deny(Code::TokenNotYetValid, "`iat` is in the future");
    }
    if let Some(max) = max_lifetime {
        let (Some(exp), Some(iat)) = (exp, iat) else {
            return deny(Code::ClaimMissing, "`iat` and `exp` are needed to know the lifetime");
        };
        if exp.saturating_since(iat) > max {
            return deny(Code::LifetimeTooLong, format!("issued for more than {} seconds", max.as_secs()));
        }
    }
    let forever = Timestamp::from_unix(i64::MAX);
    let until = exp.map_or(forever, |exp| exp.saturating_add(issuer.clock_skew));
    let from = nbf.max(iat).map_or(Timestamp::from_unix(i64::MIN), |from| from.saturating_sub(issuer.clock_skew));
    Ok((exp, Window { from, until }))
}

pub(crate) fn check_claims(issuer: &Issuer, claims: &dyn Claims) -> Result<(), Stop> {
    if claims.claim("sub").is_some_and(|sub| !sub.is_string()) {
        return deny(Code::ClaimInvalid, "`sub` is no text");
    }
    match issuer.required_claims.iter().find(|required| !required.is_met(claims)) {
        None => Ok(()),
        Some(required) => {
            let state = if required.path.find(claims).is_some() { "not as required" } else { "missing" };
            deny(Code::ClaimMismatch, format!("`{}` is {state}", required.path))
        }
    }
}
