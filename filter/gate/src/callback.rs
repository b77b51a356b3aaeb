//! The way back from a provider: `GET /.carded/callback/{login}` (OpenID Connect Core 1.0 §3.1.2.5 to §3.1.3.7). The code is
//! exchanged once, the ID token verified, and the session begins.

use std::time::Duration;

use carded_verifier::{IdToken, Outcome, verify_id_token};
use serde_json::Value;

use super::Gate;
use super::at::At;
use super::cookie;
use super::decide::{Around, Halt};
use super::effect::EffectKind;
use super::login::{Begun, LIFETIME, Login, nobody, page};
use super::once::{self, NotSpent};
use super::presentation::redirect;
use super::reply::{Refusal, Reply};
use super::seal::{Binding, LEEWAY, Purpose, random_text};
use super::signed_in::SignedIn;
use super::slow::{LOGIN, not_slowed};
use super::token_endpoint::{NoTokens, read_tokens};

/// The parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207 §2), each there once at most.
#[derive(Debug, Default)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    description: Option<String>,
}

impl Answer {
    fn parse(query: &[u8]) -> Result<Self, Refusal> {
        let mut answer = Self::default();
        for (name, value) in form_urlencoded::parse(query) {
            let place = match &*name {
                "state" => &mut answer.state,
                "code" => &mut answer.code,
                "iss" => &mut answer.iss,
                "error" => &mut answer.error,
                "error_description" => &mut answer.description,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(Refusal::login_malformed("a parameter comes twice"));
            }
        }
        Ok(answer)
    }
}

impl Gate {
    /// The provider sends a browser back.
    pub(super) fn callback(&self, login: &Login, at: At<'_>, around: &mut Around<'_>) -> Result<Reply, Halt> {
        let origin = at.origin()?;
        let sessions = self.sessions.as_ref().ok_or_else(nobody)?;
        let start = || ("Go to the start", "/".to_owned());
        // Threat 69: without `state`, and one of `code` and `error`, it is no answer at all.
        let answer = match Answer::parse(at.query()) {
            Ok(answer) => answer,
            Err(refusal) => return Ok(page(&refusal, start())),
        };
        let Some(state) = answer.state.as_deref().filter(|_| answer.code.is_some() != answer.error.is_some()) else {
            let refusal = Refusal::login_malformed("this address has no answer of a provider in it");
            return Ok(page(&refusal, start()));
        };
        // Only the browser that began has the cookie of that name, and it opens under that name alone (threat 62).
        let name = cookie::transaction(state);
        let opened = name.as_ref().and_then(|name| {
            let binding = Binding { purpose: Purpose::Login, origin, to: state.as_bytes() };
            cookie::values(at.request, name)
                .take(2)
                .find_map(|value| sessions.sealer.open::<Begun>(binding, value, around.now, LIFETIME))
        });
        let begun = opened.filter(|begun| begun.login == login.name);
        let (Some(begun), Some(name)) = (begun, name) else {
            let refusal = Refusal::login_unknown(
                "it belongs to another browser, is already done, or took too long: nobody was signed in by it",
            );
            return Ok(page(&refusal, start()));
        };
        let mut reply = match self.finish_login(login, &begun, &answer, state, at, around) {
            Ok(reply) => reply,
            // nobody asked to sign in: they go on without
            Err(Halt::Refuse(refusal)) if begun.quiet => redirect(begun.target, refusal.code),
            // nothing was spent: the same address works again
            Err(Halt::Refuse(refusal)) if refusal.status == 429 => {
                let same = at.request.single(":path").ok().flatten().unwrap_or_default();
                let mut reply = page(&refusal, ("Try again", String::from_utf8_lossy(same).into_owned()));
                reply.headers.push(("retry-after", "1".to_owned()));
                return Ok(reply);
            }
            Err(Halt::Refuse(refusal)) => {
                if refusal.code == "login_failed" {
                    around.budget.failures.count(LOGIN, around.connection, around.now);
                }
                page(&refusal, ("Try again", begun.target))
            }
            Err(halt) => return Err(halt),
        };
        reply.headers.push(("set-cookie", cookie::clear(&name)));
        Ok(reply)
    }

    fn finish_login(
        &self,
        login: &Login,
        begun: &Begun,
        answer: &Answer,
        state: &str,
        at: At<'_>,
        around: &mut Around<'_>,
    ) -> Result<Reply, Halt> {
        let origin = at.origin()?;
        let sessions = self.sessions.as_ref().ok_or_else(nobody)?;
        // before the code is spent, since it may need a document
        let mut session = self.session_to_add_to(sessions, at, around)?;
        let provider = self.provider(login, at.known, around)?;
        // Mix-up (threat 63): who answers is who was asked.
        let iss = self.trust.issuer(login.issuer).map(|issuer| issuer.issuer.as_str());
        match &answer.iss {
            Some(named) if Some(named.as_str()) != iss => {
                return Err(Refusal::login_failed("the answer names another provider").into());
            }
            None if provider.names_itself => {
                return Err(Refusal::login_failed("the answer does not name its provider").into());
            }
            _ => {}
        }
        let code = match (&answer.code, &answer.error) {
            (Some(code), None) => code,
            (_, error) => return Err(refused(error.as_deref(), answer.description.as_deref()).into()),
        };
        let Some(effected) = at.request.effected(EffectKind::Code) else {
            // each costs a call to the provider, and a second factor is tried so
            not_slowed(LOGIN, around)?;
            let until = around.now.saturating_add(LIFETIME).saturating_add(LEEWAY);
            return Err(match once::spend(around.once, "login", state.as_bytes(), until, around.now) {
                // the code for tokens (§3.1.3.1), once
                Ok(()) => {
                    let parameters = [
                        ("grant_type", "authorization_code"),
                        ("code", code),
                        ("redirect_uri", &login.redirect_uri(origin)),
                        ("code_verifier", &begun.verifier),
                    ];
                    self.token_request(login, EffectKind::Code, provider, &parameters, around)
                }
                Err(NotSpent::Again) => Refusal::login_unknown("this sign-in was finished before").into(),
                Err(NotSpent::Full) => Refusal::login_unavailable("too many people sign in at once").into(),
            });
        };
        let tokens = read_tokens(effected, self.limits().json_depth).map_err(NoTokens::refusal)?;
        let id_token = tokens.id_token.as_deref().ok_or_else(|| NoTokens::Malformed.refusal())?;
        let id_token = IdToken {
            token: id_token.as_bytes(),
            issuer: login.issuer,
            client_id: &login.client_id,
            nonce: &begun.nonce,
            refreshed: false,
            access_token: Some(&tokens.access_token),
            max_age: begun.max_age.map(Duration::from_secs),
        };
        let verified = match verify_id_token(&id_token, &self.trust, at.known, around.now) {
            Outcome::Verified(verified) => verified,
            Outcome::Need(fetch) => return Err(Halt::Need(fetch)),
            Outcome::Denied(denied) if denied.retry_after().is_some() => {
                return Err(Refusal::login_unavailable(denied.detail()).into());
            }
            Outcome::Denied(denied) => {
                let why =
                    format!("the provider's ID token is refused, {}: {}", denied.code().as_str(), denied.detail());
                return Err(Refusal::login_failed(why).into());
            }
        };
        let acr = verified.claims().get("acr").and_then(Value::as_str);
        if !begun.acr_values.is_empty() && !begun.acr_values.iter().any(|asked| Some(asked.as_str()) == acr) {
            return Err(
                Refusal::login_failed("the provider signed you in, but not in the way that is needed here").into()
            );
        }
        let more = self.userinfo(login, provider, &tokens.access_token, verified.subject(), at.request)?;
        let keep = self.asked_claims(login.issuer).map_or(&[][..], |asked| asked);
        let ends = around.now.saturating_add(sessions.lifetime);
        let mut signed_in = SignedIn::of(&verified, more.as_ref(), &login.name, keep, around.now, ends);
        let refresh =
            self.keep_refresh_token(login, &mut signed_in, &tokens, Some(&verified), &begun.nonce, origin, around)?;
        let no_random = || Refusal::internal_error("there are no random bytes to be had");
        let id = random_text::<16>(around.random).ok_or_else(no_random)?;
        // who is not to come in is told so here, and not sent to the provider again
        let marks = self.marks_of("", std::slice::from_ref(&signed_in), around.now);
        self.not_revoked(marks.as_ref(), at.known, around.now)?;
        self.may_begin(&verified, &signed_in, around)?;
        let old = std::mem::take(&mut session.id);
        session.sign_in(id, signed_in, around.now);
        let sealed = sessions.seal(&session, at.request, origin, around.now, around.random)?;
        self.end_name(sessions, old, around);
        let mut reply = redirect(begun.target.clone(), "ok");
        reply.set_cookies(sealed.cookies);
        reply.set_cookies(refresh);
        Ok(reply)
    }
}

/// What the provider says instead of a code (RFC 6749 §4.1.2.1, §3.1.2.6).
fn refused(error: Option<&str>, description: Option<&str>) -> Refusal {
    let plain = |text: &str, most: usize| -> String {
        text.chars().filter(|character| !character.is_control()).take(most).collect()
    };
    let error = plain(error.unwrap_or_default(), 64);
    // what its errors mean to a person (RFC 6749 §4.1.2.1, §3.1.2.6)
    let detail = match error.as_str() {
        "access_denied" => "you did not sign in, or may not".to_owned(),
        "login_required" | "interaction_required" | "consent_required" | "account_selection_required" => {
            "the provider has to ask you something first".to_owned()
        }
        "server_error" | "temporarily_unavailable" => "the provider cannot do it at the moment".to_owned(),
        error => format!("the provider says `{error}`"),
    };
    let detail = match description.map(|text| plain(text, 200)).filter(|text| !text.is_empty()) {
        Some(description) => format!("{detail}. The provider adds: {description}"),
        None => detail,
    };
    Refusal::login_refused(detail)
}
