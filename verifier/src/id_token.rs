//! ID tokens: who signed in at a provider, for this client and this login alone (OpenID Connect Core 1.0 sections 2 and
//! 3.1.3.7). They are no access tokens, and an access token is none of them.
use crate::algorithm::{Algorithm, HashFunction};
use crate::base64url;
use crate::checks::{Steps, Stop, deny, time};
use crate::discovery::ProviderMetadata;
use crate::documents::Documents;
use crate::evidence::Evidence;
use crate::json::Members;
use crate::jwt::bare_type;
use crate::outcome::{Check, Code, Outcome, Verified};
use crate::time::Timestamp;
use crate::trust::{IssuerIndex, Trust};
use crate::verdict::{self, Signed};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt;
use std::time::Duration;

/// The longest `sub` (section 2).
const LONGEST_SUBJECT: usize = 255;

/// An ID token as it came from the token endpoint, and what it must answer.
#[derive(Clone, Copy)]
pub struct IdToken<'a> {
    /// The compact JWS.
    pub token: &'a [u8],
    /// Who must have signed it.
    pub issuer: IssuerIndex,
    /// Our name at that issuer: `aud`.
    pub client_id: &'a str,
    /// What was sent with the authentication request.
    pub nonce: &'a str,
    /// Whether it came for a refresh token: it may then say no `nonce` (section 12.2).
    pub refreshed: bool,
    /// The access token that came with it, which `at_hash` binds (section 3.1.3.8).
    pub access_token: Option<&'a str>,
    /// How long ago the person may have signed in at most; `auth_time` is then required (section 3.1.2.1).
    pub max_age: Option<Duration>,
}

impl fmt::Debug for IdToken<'_> {
    /// Never shows a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdToken")
            .field("bytes", &self.token.len())
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// An ID token that passed every check. It cannot be built outside this crate, and it is no [`Verified`] access token.
#[derive(Clone)]
pub struct VerifiedIdToken {
    verified: Verified,
    auth_time: Option<Timestamp>,
}

impl VerifiedIdToken {
    /// The issuer that vouches.
    pub fn issuer_index(&self) -> IssuerIndex {
        self.verified.issuer_index()
    }

    /// `iss`.
    pub fn iss(&self) -> &str {
        self.verified.iss()
    }

    /// `sub`, which is always there.
    pub fn subject(&self) -> &str {
        self.verified.subject().unwrap_or_default()
    }

    /// `auth_time`: when the person signed in, where the provider says so.
    pub fn auth_time(&self) -> Option<Timestamp> {
        self.auth_time
    }

    /// `iat`, by the provider's clock.
    pub fn issued(&self) -> Timestamp {
        time(self.claims(), "iat", f64::floor).ok().flatten().unwrap_or(Timestamp::from_unix(0))
    }

    /// All claims.
    pub fn claims(&self) -> &Map<String, Value> {
        self.verified.claims()
    }
}

impl fmt::Debug for VerifiedIdToken {
    /// Whose it is, without any claim.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedIdToken").field("issuer", &self.issuer_index()).finish_non_exhaustive()
    }
}

/// What an issuer's discovery document says for logins.
///
/// Denied with `keys_unavailable` where it cannot be had, or names no endpoints that may be used.
pub fn provider_metadata<'k>(
    issuer: IssuerIndex,
    trust: &Trust,
    known: &'k Documents,
    now: Timestamp,
) -> Outcome<&'k ProviderMetadata> {
    let mut steps = Steps::begin();
    steps.next(Check::Issuer);
    let lacking = || {
        crate::checks::unavailable(
            Code::KeysUnavailable,
            "the issuer's metadata names no endpoints to sign in at",
            trust.limits().cooldown,
        )
    };
    let found = match trust.compiled(issuer).filter(|compiled| !compiled.issuer.issuer.is_pattern()) {
        None => lacking(),
        Some(compiled) => verdict::discover(trust, compiled, None, known, now)
            .and_then(|document| document.provider().map_or_else(lacking, Ok)),
    };
    steps.finish(found, |provider, _| provider)
}

/// Runs every check on an ID token, at `now`, with what is known. As with [`crate::verify`], [`Outcome::Need`] names a
/// document that is needed first.
pub fn verify_id_token(
    id_token: &IdToken<'_>,
    trust: &Trust,
    known: &Documents,
    now: Timestamp,
) -> Outcome<VerifiedIdToken> {
    let mut steps = Steps::begin();
    let result = run(id_token, trust, known, now, &mut steps);
    steps.finish(result, |(verified, auth_time), passed| VerifiedIdToken {
        verified: Verified { passed, ..verified },
        auth_time,
    })
}

fn run(
    asked: &IdToken<'_>,
    trust: &Trust,
    known: &Documents,
    now: Timestamp,
    steps: &mut Steps,
) -> Result<(Verified, Option<Timestamp>), Stop> {
    let accepted = [asked.issuer];
    let evidence = Evidence::access_token(asked.token).accepted_issuers(&accepted);
    let signed = verdict::signed(&evidence, trust, known, now, steps)?;
    let Signed { compiled, token, algorithm, .. } = &signed;
    let (issuer, claims) = (&compiled.issuer, &token.claims);

    steps.next(Check::Type);
    if token.typ.as_deref().is_some_and(|typ| bare_type(typ) != "jwt") {
        return deny(Code::TypeNotAllowed, "`typ` is not that of an ID token");
    }
    if claims.contains_key("events") {
        return deny(Code::TypeNotAllowed, "a token about events is no ID token");
    }
    steps.next(Check::Audience);
    check_audience(claims, asked.client_id)?;
    steps.next(Check::Time);
    let times = verdict::check_times(issuer, None, claims, now)?;
    if times.0.is_none() || !claims.contains_key("iat") {
        return deny(Code::ClaimMissing, "`exp` and `iat` are needed");
    }
    let auth_time = time(claims, "auth_time", f64::floor)?;
    if let Some(max_age) = asked.max_age {
        match auth_time {
            None => return deny(Code::ClaimMissing, "`auth_time` is missing, and `max_age` was asked for"),
            Some(then) if then.saturating_add(max_age).saturating_add(issuer.clock_skew) < now => {
                return deny(Code::PresentationStale, "the person signed in longer ago than was asked for");
            }
            Some(_) => {}
        }
    }
    steps.next(Check::Claims);
    if !has(claims, "sub")? {
        return deny(Code::ClaimMissing, "`sub` is missing");
    }
    steps.next(Check::Binding);
    match claims.get("nonce") {
        Some(Value::String(nonce)) if nonce == asked.nonce => {}
        Some(_) => return deny(Code::NonceMismatch, "`nonce` is that of another login"),
        None if asked.refreshed => {}
        None => return deny(Code::ClaimMissing, "`nonce` is missing"),
    }
    if let (Some(at_hash), Some(access_token)) = (claims.get("at_hash"), asked.access_token)
        && at_hash.as_str() != Some(half_hash(*algorithm, access_token).as_str())
    {
        return deny(Code::ClaimInvalid, "`at_hash` is not that of the access token");
    }
    Ok((signed.verified(trust, times, None), auth_time))
}

/// Whether a claim is there, which then is a text of a sensible length.
pub(crate) fn has(claims: &Members, name: &str) -> Result<bool, Stop> {
    match claims.get(name) {
        None => Ok(false),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= LONGEST_SUBJECT => Ok(true),
        Some(_) => deny(Code::ClaimInvalid, format!("`{name}` is no text of 1 to 255 bytes")),
    }
}

/// `aud` names the client, and no other unless `azp` says that it is ours (section 3.1.3.7, items 3 to 5).
pub(crate) fn check_audience(claims: &Members, client_id: &str) -> Result<(), Stop> {
    let (ours, others) = match claims.get("aud") {
        None => return deny(Code::ClaimMissing, "`aud` is missing"),
        Some(Value::String(aud)) => (aud == client_id, false),
        Some(Value::Array(members)) => {
            let is_ours = |member: &Value| member.as_str() == Some(client_id);
            (members.iter().any(is_ours), !members.iter().all(is_ours))
        }
        Some(_) => return deny(Code::ClaimInvalid, "`aud` is neither text nor array"),
    };
    if !ours {
        return deny(Code::AudienceMismatch, "`aud` does not name this client");
    }
    match claims.get("azp") {
        None if others => deny(Code::AudienceMismatch, "`aud` names others too, and `azp` is missing"),
        Some(azp) if azp.as_str() != Some(client_id) => deny(Code::AudienceMismatch, "`azp` is another client"),
        _ => Ok(()),
    }
}

/// The left half of the hash of an access token, by the hash of the signature's algorithm (section 3.1.3.6); Ed25519
/// hashes with SHA-512.
fn half_hash(algorithm: Algorithm, access_token: &str) -> String {
    let half = |hash: &[u8]| base64url::encode(hash.get(..hash.len() / 2).unwrap_or_default());
    match algorithm.hash() {
        HashFunction::Sha256 => half(&Sha256::digest(access_token)),
        HashFunction::Sha384 => half(&Sha384::digest(access_token)),
        HashFunction::Sha512 => half(&Sha512::digest(access_token)),
    }
}
