//! Logout tokens: a provider says that it ended a session, or all sessions of a person (OpenID Connect Back-Channel Logout 1.0
//! sections 2.4 and 2.6). They are neither ID tokens nor access tokens, and neither of these is one of them.
use crate::checks::{Steps, Stop, deny};
use crate::documents::Documents;
use crate::evidence::Evidence;
use crate::id_token::{check_audience, has};
use crate::jwt::bare_type;
use crate::outcome::{Check, Code, Outcome, Verified};
use crate::time::Timestamp;
use crate::trust::{IssuerIndex, Trust};
use crate::verdict::{self, Signed};
use serde_json::Value;
use std::fmt;

/// The member of `events` that makes it one (section 2.4).
pub(crate) const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A logout token as it was posted, and who may have sent it.
#[derive(Clone, Copy)]
pub struct LogoutToken<'a> {
    /// The compact JWS.
    pub token: &'a [u8],
    /// Who must have signed it.
    pub issuer: IssuerIndex,
    /// Our name at that issuer: `aud`.
    pub client_id: &'a str,
}

impl fmt::Debug for LogoutToken<'_> {
    /// Never shows a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogoutToken")
            .field("bytes", &self.token.len())
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// A logout token that passed every check. It cannot be built outside this crate, and it is no [`Verified`] access token.
pub struct VerifiedLogoutToken {
    verified: Verified,
    issued: Timestamp,
}

impl VerifiedLogoutToken {
    /// `iss`.
    pub fn iss(&self) -> &str {
        self.verified.iss()
    }

    /// `sub`: whose sessions end. Where there is none, there is a [session](Self::session).
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// `sid`: the one session that ends; without it all of the subject's do (section 2.4).
    pub fn session(&self) -> Option<&str> {
        self.text("sid")
    }

    /// `jti`, by which one that comes again is known (section 2.6, step 8).
    pub fn id(&self) -> &str {
        self.text("jti").unwrap_or_default()
    }

    /// `iat`, by the provider's clock.
    pub fn issued(&self) -> Timestamp {
        self.issued
    }

    /// When it would not pass any more: `exp` and the issuer's clock skew.
    pub fn until(&self) -> Timestamp {
        self.verified.window.until
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.verified.claims.read().get(name).and_then(Value::as_str)
    }
}

impl fmt::Debug for VerifiedLogoutToken {
    /// Without any claim.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedLogoutToken").field("issued", &self.issued).finish_non_exhaustive()
    }
}

/// Runs every check on a logout token, at `now`, with what is known. As with [`crate::verify`], [`Outcome::Need`] names a
/// document that is needed first. That a `jti` comes once is for the caller to see.
pub fn verify_logout_token(
    logout_token: &LogoutToken<'_>,
    trust: &Trust,
    known: &Documents,
    now: Timestamp,
) -> Outcome<VerifiedLogoutToken> {
    let mut steps = Steps::begin();
    let result = run(logout_token, trust, known, now, &mut steps);
    steps.finish(result, |(verified, issued), passed| VerifiedLogoutToken {
        verified: Verified { passed, ..verified },
        issued,
    })
}

fn run(
    asked: &LogoutToken<'_>,
    trust: &Trust,
    known: &Documents,
    now: Timestamp,
    steps: &mut Steps,
) -> Result<(Verified, Timestamp), Stop> {
    let accepted = [asked.issuer];
    let evidence = Evidence::access_token(asked.token).accepted_issuers(&accepted);
    let signed = verdict::signed(&evidence, trust, known, now, steps)?;
    let Signed { compiled, token, .. } = &signed;
    let (issuer, claims) = (&compiled.issuer, &token.claims);

    steps.next(Check::Type);
    // explicit typing is recommended (section 2.4); without it the claims tell the kinds of token apart
    if token.typ.as_deref().is_some_and(|typ| !matches!(&*bare_type(typ), "jwt" | "logout+jwt")) {
        return deny(Code::TypeNotAllowed, "`typ` is not that of a logout token");
    }
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return deny(Code::TypeNotAllowed, "`events` does not say that this is a logout token");
    }
    if claims.contains_key("nonce") {
        return deny(Code::TypeNotAllowed, "a logout token has no `nonce`");
    }
    steps.next(Check::Audience);
    check_audience(claims, asked.client_id)?;
    steps.next(Check::Time);
    let times = verdict::check_times(issuer, None, claims, now)?;
    let issued = crate::checks::time(claims, "iat", f64::floor)?;
    let (true, Some(issued)) = (claims.contains_key("exp"), issued) else {
        return deny(Code::ClaimMissing, "`exp` and `iat` are needed");
    };
    steps.next(Check::Claims);
    let (subject, session) = (has(claims, "sub")?, has(claims, "sid")?);
    if !subject && !session {
        return deny(Code::ClaimMissing, "neither `sub` nor `sid` says whose session ended");
    }
    if !has(claims, "jti")? {
        return deny(Code::ClaimMissing, "`jti` is missing");
    }
    Ok((signed.verified(trust, times, None), issued))
}
