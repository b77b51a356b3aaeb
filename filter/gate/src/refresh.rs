//! Asking a provider again before its tokens end: OpenID Connect Core 1.0 §12, RFC 6749 §6.
//!
//! The refresh token lies sealed in a cookie of its own, which is opened only when it is needed. One request of a session
//! asks, under a lease that all workers see; the others go on with what still holds. What it learns goes into the response.
//! A token that was sent once is not sent again by those who still have the old cookie: providers that give a new one each
//! time take that for theft (RFC 9700 §4.14.2). How long a session lasts at most does not change by any of it.

use std::time::Duration;

use carded_verifier::{IdToken, Outcome, Timestamp, VerifiedIdToken, verify_id_token};
use serde::Serialize;
use serde_json::Value;

use super::Gate;
use super::at::At;
use super::config::tree::FromNode;
use super::cookie;
use super::decide::{Around, Halt};
use super::effect::EffectKind;
use super::login::{Login, nobody};
use super::once::{self, NotSpent};
use super::reply::Refusal;
use super::request::Request;
use super::seal::{Binding, LONGEST, Purpose};
use super::session::Brought;
use super::signed_in::SignedIn;
use super::token_endpoint::{INVALID_GRANT, NoTokens, Tokens, read_tokens};

/// How long nobody else asks while somebody does, and after a provider did not answer.
const LEASE: Duration = Duration::from_secs(30);
/// How long before their end tokens are refreshed at the most: a quarter of their time, at most this.
const AHEAD: u64 = 300;
/// How long a token that was used is remembered after the end of the session that it was used for.
const OVERLAP: Duration = Duration::from_secs(60);
/// How long tokens last where the provider does not say, and at the least, in seconds.
const ASSUMED: u64 = 3600;
const SHORTEST: u64 = 10;
/// What the lease is noted under.
const KIND: &str = "refresh";

/// What the browser keeps for a refresh.
#[derive(Serialize, FromNode)]
struct Kept {
    /// The refresh token.
    #[serde(rename = "t")]
    token: String,
    /// The nonce of the login, which a new ID token may repeat (OpenID Connect Core 1.0 §12.2).
    #[serde(rename = "n")]
    nonce: String,
    /// Whose it is: a session of somebody else does not use it.
    #[serde(rename = "i")]
    iss: String,
    #[serde(rename = "u")]
    sub: String,
}

impl Gate {
    /// Where a login is to be refreshed and the provider gave a token for it: notes when, and gives the `set-cookie` that
    /// keeps the token.
    #[expect(clippy::too_many_arguments, reason = "the parts of one login, each of another owner")]
    pub(super) fn keep_refresh_token(
        &self,
        login: &Login,
        signed_in: &mut SignedIn,
        tokens: &Tokens,
        id_token: Option<&VerifiedIdToken>,
        nonce: &str,
        origin: &str,
        around: &mut Around<'_>,
    ) -> Result<Option<String>, Refusal> {
        let (Some(sessions), Some(token), true) = (&self.sessions, &tokens.refresh_token, login.refresh) else {
            return Ok(None);
        };
        let now = around.now;
        let exp = id_token.and_then(|token| token.claims().get("exp")).and_then(Value::as_i64);
        let exp = exp.map(|exp| Timestamp::from_unix(exp).saturating_since(now).as_secs());
        let period = tokens.expires_in.or(exp).unwrap_or(ASSUMED).max(SHORTEST);
        let until = now.saturating_add(Duration::from_secs(period));
        let ahead = Duration::from_secs((period / 4).min(AHEAD));
        (signed_in.until, signed_in.due) = (Some(until.unix()), Some(until.saturating_sub(ahead).unix()));
        let kept = Kept {
            token: token.clone(),
            nonce: nonce.to_owned(),
            iss: signed_in.iss.clone(),
            sub: signed_in.sub.clone(),
        };
        let binding = Binding { purpose: Purpose::Refresh, origin, to: login.name.as_bytes() };
        let left = Timestamp::from_unix(signed_in.ends).saturating_since(now);
        let sealed = sessions.sealer.seal(binding, &kept, now, around.random);
        let set = sealed.zip(cookie::refresh(&login.name)).map(|(sealed, name)| cookie::set(&name, &sealed, left));
        match set.filter(|set| set.len() <= LONGEST) {
            Some(set) => Ok(Some(set)),
            None => Err(Refusal::session_too_large("the provider's refresh token outgrows a cookie")),
        }
    }

    /// Asks a provider again about a login of the session, where it is time and nobody else does. What comes of it is in
    /// `brought`, and in the cookies of the response.
    pub(super) fn refresh(
        &self,
        brought: &mut Brought,
        at: At<'_>,
        around: &mut Around<'_>,
        cookies: &mut Vec<String>,
    ) -> Result<(), Halt> {
        let At { request, known, .. } = at;
        let (Some(sessions), Some(origin), Some(opened)) = (&self.sessions, at.origin, &brought.opened) else {
            return Ok(());
        };
        let now = around.now;
        let mut due = opened.logins.iter().map(|known| &known.signed_in).filter(|one| one.is_due(now));
        let found = due.find_map(|one| {
            let login = self.logins.iter().find(|login| login.name == one.name && login.refresh)?;
            Some((login, one.clone(), self.kept(login, one, request, origin, now)?))
        });
        let Some((login, signed_in, kept)) = found else { return Ok(()) };
        // for each time that it is due: a provider may give the same token for ever
        let lease = format!("{} {}", signed_in.due.unwrap_or(0), kept.token).into_bytes();
        let Some(effected) = request.effected(EffectKind::Refresh) else {
            let provider = match self.provider(login, known, around) {
                Ok(provider) => provider,
                Err(Halt::Need(fetch)) => return Err(Halt::Need(fetch)),
                Err(_) => return Ok(()),
            };
            return match once::spend(around.once, KIND, &lease, now.saturating_add(LEASE), now) {
                Ok(()) => {
                    let parameters = [("grant_type", "refresh_token"), ("refresh_token", kept.token.as_str())];
                    Err(self.token_request(login, EffectKind::Refresh, provider, &parameters, around))
                }
                Err(NotSpent::Again) if signed_in.has_ended(now) => {
                    let refusal = Refusal::login_unavailable("the session is being renewed by another request");
                    Err(refusal.retry_after(Duration::from_secs(1)).into())
                }
                Err(_) => Ok(()),
            };
        };
        let new = match read_tokens(effected, self.limits().json_depth) {
            Ok(tokens) => self.confirmed(login, &signed_in, &kept, tokens, at, around)?,
            Err(NoTokens::Refused(INVALID_GRANT)) => None,
            // what still holds does so until its end; somebody tries again when the lease is over
            Err(_) => return Ok(()),
        };
        let (mut session, _) = sessions.read(request, origin, now);
        match new {
            Some((new, set)) => {
                let until = signed_in.until().saturating_add(OVERLAP);
                around.once.hold(KIND, &once::hash_of(KIND, &lease), until, now);
                for old in session.logins.iter_mut().filter(|one| one.name == login.name) {
                    old.clone_from(&new);
                }
                cookies.push(set);
            }
            None => {
                session.logins.retain(|one| one.name != login.name);
                brought.lapsed = Some(Refusal::login_required("the provider ended this session: sign in again"));
                cookies.extend(cookie::refresh(&login.name).map(|name| cookie::clear(&name)));
            }
        }
        if session.logins.is_empty() && session.proofs.is_empty() {
            cookies.push(cookie::clear(cookie::SESSION));
            brought.opened = None;
            return self.weigh(brought, known, around);
        }
        let sealed = sessions.seal(&session, request, origin, now, around.random)?;
        cookies.extend(sealed.cookies);
        let sealed = sealed.sealed.as_bytes();
        brought.opened = self.opened(sessions, Purpose::Session, origin, sealed, around.verdicts, now);
        self.weigh(brought, known, around)
    }

    /// The refresh token of a login, which the request brings beside its session.
    fn kept(&self, login: &Login, one: &SignedIn, request: &Request, origin: &str, now: Timestamp) -> Option<Kept> {
        let sessions = self.sessions.as_ref()?;
        let binding = Binding { purpose: Purpose::Refresh, origin, to: login.name.as_bytes() };
        let name = cookie::refresh(&login.name)?;
        let open = |value| sessions.sealer.open::<Kept>(binding, value, now, sessions.lifetime);
        let kept = cookie::values(request, &name).take(2).find_map(open)?;
        ((&kept.iss, &kept.sub) == (&one.iss, &one.sub)).then_some(kept)
    }

    /// The login as the provider confirms it, and the `set-cookie` of its refresh token; nothing where it does not.
    fn confirmed(
        &self,
        login: &Login,
        signed_in: &SignedIn,
        kept: &Kept,
        mut tokens: Tokens,
        at: At<'_>,
        around: &mut Around<'_>,
    ) -> Result<Option<(SignedIn, String)>, Halt> {
        let origin = at.origin()?;
        // what cannot be asked now is asked again after a while: until then nothing changes but the refresh token
        let mut later = false;
        let verified = match &tokens.id_token {
            None => None,
            Some(id_token) => {
                let id_token = IdToken {
                    token: id_token.as_bytes(),
                    issuer: login.issuer,
                    client_id: &login.client_id,
                    nonce: &kept.nonce,
                    refreshed: true,
                    access_token: Some(&tokens.access_token),
                    max_age: None,
                };
                match verify_id_token(&id_token, &self.trust, at.known, around.now) {
                    Outcome::Verified(verified) => Some(verified),
                    Outcome::Need(fetch) => return Err(Halt::Need(fetch)),
                    Outcome::Denied(denied) if denied.retry_after().is_some() => {
                        later = true;
                        None
                    }
                    Outcome::Denied(_) => return Ok(None),
                }
            }
        };
        let more = match &verified {
            Some(verified) if login.userinfo => {
                let provider = self.provider(login, at.known, around);
                let sub = verified.subject();
                provider.and_then(|provider| self.userinfo(login, provider, &tokens.access_token, sub, at.request))
            }
            _ => Ok(None),
        };
        let more = match more {
            Ok(more) => more,
            Err(Halt::Refuse(why)) if why.status >= 500 => {
                later = true;
                None
            }
            Err(Halt::Refuse(_)) => return Ok(None),
            Err(halt) => return Err(halt),
        };
        let keep = self.asked_claims(login.issuer).map_or(&[][..], |asked| asked);
        let new = match &verified {
            Some(verified) if !later => signed_in.refreshed(verified, more.as_ref(), keep),
            _ => Some(signed_in.clone()),
        };
        let Some(mut new) = new else { return Ok(None) };
        // one that gives no new token leaves the old one good (RFC 6749 §6)
        tokens.refresh_token.get_or_insert_with(|| kept.token.clone());
        let id_token = verified.as_ref();
        let set = self.keep_refresh_token(login, &mut new, &tokens, id_token, &kept.nonce, origin, around)?;
        if later {
            let again = around.now.saturating_add(LEASE).unix();
            (new.until, new.due) = (signed_in.until, Some(again));
        }
        Ok(Some((new, set.ok_or_else(nobody)?)))
    }
}
