//! `POST /.carded/backchannel-logout/{login}`: a provider says that a session ended, or all sessions of a person (OpenID Connect
//! Back-Channel Logout 1.0 §2.5 to §2.8). What ends, and who sees it, is in `ended.rs`.

use std::time::Duration;

use carded_verifier::{Documents, LogoutToken, Outcome, verify_logout_token};
use serde_json::json;

use super::Gate;
use super::decide::{Around, Halt};
use super::login::{Login, nobody};
use super::once::{self, NotSpent};
use super::reply::{Refusal, Reply};
use super::slow::{Tried, not_slowed};

/// What is used up: the names of logout tokens.
const KIND: &str = "logout";
/// How long one is taken by a worker that may be gone before it is done.
const LEASE: Duration = Duration::from_secs(5);

impl Gate {
    /// The answer to a form with a logout token: 200 where all of it holds and what it names has ended in this process, 400
    /// where it does not hold, 503 where that cannot be said now, 500 where it could not be noted.
    pub(super) fn backchannel_logout(
        &self,
        login: &Login,
        form: &[u8],
        known: &Documents,
        around: &mut Around<'_>,
    ) -> Result<Reply, Halt> {
        let sessions = self.sessions.as_ref().ok_or_else(nobody)?;
        let mut tokens = form_urlencoded::parse(form).filter(|(name, _)| name == "logout_token");
        let (Some((_, token)), None) = (tokens.next(), tokens.next()) else {
            return Ok(refused("response_malformed", "`logout_token` is there once"));
        };
        not_slowed(Tried::Tokens, around)?;
        let asked = LogoutToken { token: token.as_bytes(), issuer: login.issuer, client_id: &login.client_id };
        let verified = match verify_logout_token(&asked, &self.trust, known, around.now) {
            Outcome::Verified(verified) => verified,
            Outcome::Need(fetch) => return Err(Halt::Need(fetch)),
            Outcome::Denied(denied) if denied.retry_after().is_some() => {
                return Err(Refusal::from_denied(&denied).into());
            }
            Outcome::Denied(denied) => {
                around.budget.failures.note(Tried::Tokens, &denied, around.connection, around.now);
                return Ok(refused(denied.code().as_str(), denied.detail()));
            }
        };
        let id = [verified.iss().as_bytes(), b"\n", verified.id().as_bytes()].concat();
        // for a moment until it has come of it: a provider that was told that it failed tries the same token again
        match once::spend(around.once, KIND, &id, around.now.saturating_add(LEASE), around.now) {
            Ok(()) => {}
            Err(NotSpent::Again) => return Ok(refused("response_malformed", "this logout token came before")),
            Err(NotSpent::Full) => return Err(Refusal::login_unavailable("too many logouts at once").into()),
        }
        let ended = self.end_at_provider(sessions, &verified, around);
        let until = if ended.is_ok() { verified.until() } else { around.now };
        around.once.hold(KIND, &once::hash_of(KIND, &id), until, around.now);
        ended?;
        let headers = vec![("cache-control", "no-store".to_owned())];
        Ok(Reply { status: 200, code: "ok", headers, body: String::new(), grpc_status: None })
    }
}

/// §2.8: an error as OAuth 2.0 writes it. Details never have a part of the token in them.
fn refused(code: &'static str, why: &str) -> Reply {
    Reply::json(400, code, &json!({ "error": "invalid_request", "error_description": why }))
}
