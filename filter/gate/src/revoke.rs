//! What was revoked counts no more: sessions, tokens for programs, JWTs and API tokens, however well they are remembered.

use std::time::Duration;

use carded_verifier::revocation::{Kind, Mark, Marks, RevocationSource, Standing};
use carded_verifier::{Documents, HttpsUrl, Timestamp};

use super::Gate;
use super::at::At;
use super::compile::{Fetching, url_policy};
use super::config::{Config, ConfigError, Field, OnFailure};
use super::decide::{Around, Halt};
use super::ended::Endings;
use super::reply::Refusal;
use super::session::{Opened, Session, Sessions};
use super::signed_in::SignedIn;

/// Where the lists are, from the configuration.
pub(super) fn compile(config: &Config, fetching: &Fetching, errors: &mut Vec<ConfigError>) -> Vec<RevocationSource> {
    let Some(configured) = &config.revocation else { return Vec::new() };
    let field = Field::top("revocation");
    let refresh = configured.refresh.map_or(Duration::from_secs(5), |span| span.duration());
    if refresh < Duration::from_secs(1) || refresh > Duration::from_secs(3600) {
        errors.push(field.key("refresh").error("between 1s and 1h"));
    }
    let serves = match configured.on_failure {
        OnFailure::Refuse => refresh.saturating_add(fetching.timeout).saturating_mul(2),
        OnFailure::Stale(span) => {
            if span.duration() > Duration::from_secs(24 * 3600) {
                errors.push(field.key("on_failure").key("stale").error("at most 24h"));
            }
            refresh.saturating_add(span.duration())
        }
    };
    let field = field.key("uri");
    match HttpsUrl::parse(&configured.uri, url_policy(config)) {
        Ok(url) if !fetching.clusters.contains_key(&url.authority().to_ascii_lowercase()) => {
            errors.push(field.error(format!(
                "it would be fetched from `{}`, which `fetch.clusters` does not name",
                url.authority()
            )));
            Vec::new()
        }
        Ok(url) => vec![RevocationSource { url, refresh, serves }],
        Err(why) => {
            errors.push(field.error(why.to_string()));
            Vec::new()
        }
    }
}

impl Gate {
    /// Whether evidence may count, as far as the lists of what is revoked know.
    #[inline]
    pub(super) fn not_revoked(&self, marks: Option<&Marks>, known: &Documents, now: Timestamp) -> Result<(), Halt> {
        let Some(marks) = marks else { return Ok(()) };
        match marks.standing(&self.trust, known, now) {
            Standing::Good => Ok(()),
            Standing::Revoked => Err(revoked().into()),
            Standing::Need(fetch) => Err(Halt::Need(fetch)),
            Standing::Unavailable(left) => Err(Refusal::revocation_unavailable(
                "what is revoked could not be fetched, and without it nothing is let through: try again",
            )
            .retry_after(left)
            .into()),
        }
    }

    /// By what a session or a token for programs can be revoked, that was sealed then; nothing where nothing can be.
    pub(super) fn marks_of(&self, id: &str, logins: &[SignedIn], issued: Timestamp) -> Option<Marks> {
        if !self.trust.has_revocations() {
            return None;
        }
        let mut marks = Vec::new();
        if !id.is_empty() {
            marks.push(Mark::of(Kind::Session, "", id));
        }
        let mut issued = issued;
        for login in logins {
            marks.push(Mark::of(Kind::Subject, &login.iss, &login.sub));
            marks.extend(login.sid.as_ref().map(|sid| Mark::of(Kind::ProviderSession, &login.iss, sid)));
            // a session is sealed again with each login and credential: the oldest of them counts
            issued = issued.min(Timestamp::from_unix(login.at));
        }
        Some(Marks::new(marks, Some(issued)))
    }

    /// A session to add to, which may be an empty one. One that was revoked or has ended is left behind with its name: nothing of
    /// it goes into another.
    pub(super) fn session_to_add_to(
        &self,
        sessions: &Sessions,
        at: At<'_>,
        around: &mut Around<'_>,
    ) -> Result<Session, Halt> {
        let (session, sealed) = sessions.read(at.request, at.origin()?, around.now);
        if Endings::of(&session.id, &session.logins, sealed).have_come(around.once.cells()) {
            return Ok(Session::default());
        }
        let marks = self.marks_of(&session.id, &session.logins, sealed);
        match self.not_revoked(marks.as_ref(), at.known, around.now) {
            Ok(()) => Ok(session),
            Err(Halt::Refuse(why)) if why.code == REVOKED => Ok(Session::default()),
            Err(other) => Err(other),
        }
    }

    /// What was opened, unless it was revoked: then a session is none, and the person can begin anew.
    pub(super) fn unless_revoked(
        &self,
        opened: &Opened,
        known: &Documents,
        now: Timestamp,
    ) -> Result<Option<Refusal>, Halt> {
        match self.not_revoked(opened.marks(), known, now) {
            Ok(()) => Ok(None),
            Err(Halt::Refuse(why)) if why.code == REVOKED => Ok(Some(why)),
            Err(other) => Err(other),
        }
    }
}

const REVOKED: &str = "revoked";

fn revoked() -> Refusal {
    Refusal::revoked("this was revoked: sign in again, or get a new token")
}
