//! Signing in without a question where a login is optional: `prompt=none` (OpenID Connect Core 1.0 §3.1.2.1). Who is known to the
//! provider comes back signed in, everyone else as they were. (Where a login is required, a person whom the provider knows is let in
//! without a question anyway.)
//!
//! It is tried once, which a cookie of the browser says, and with browsers alone that have shown that they keep cookies: others would
//! be sent around again and again.

use std::time::Duration;

use super::Gate;
use super::at::At;
use super::cookie;
use super::decide::{Around, Halt, is_navigation};
use super::facts::Facts;
use super::login::Begins;
use super::place;
use super::presentation::way_back;
use super::rule::{Asks, Rule};

/// After how long it is tried again where the provider could not be had.
const AGAIN: Duration = Duration::from_secs(60);

impl Gate {
    /// Sends a browser to the provider where that is to be tried; nothing where it goes on as it is, maybe with a cookie.
    pub(super) fn quiet_login(
        &self,
        rule: &Rule,
        facts: &Facts<'_>,
        at: At<'_>,
        around: &mut Around<'_>,
        cookies: &mut Vec<String>,
    ) -> Option<Halt> {
        let Asks::Optional(requirement) = &rule.asks else { return None };
        let named = |issuer| requirement.names_login(Some(issuer));
        let login = self.logins.iter().find(|login| login.silent && named(login.issuer))?;
        let (sessions, request) = (self.sessions.as_ref()?, at.request);
        let keeps = place::cookies(request).any(|(name, _)| !name.is_empty());
        if !keeps
            || !facts.is_empty()
            || !is_navigation(request)
            || cookie::values(request, cookie::QUIET).next().is_some()
        {
            return None;
        }
        let target = way_back(request.single(":path").ok().flatten()?).ok()?;
        match self.begin_login(login, target, &Begins { quiet: true, ..Begins::default() }, at, around) {
            Ok(mut reply) if reply.status == 303 => {
                reply.headers.push(("set-cookie", cookie::set(cookie::QUIET, "1", sessions.lifetime)));
                Some(Halt::Answer(reply))
            }
            Err(halt @ (Halt::Need(_) | Halt::Call(_))) => Some(halt),
            // a provider that cannot be had keeps nobody from a page that is open, and is not asked again with each of them
            _ => {
                cookies.push(cookie::set(cookie::QUIET, "1", AGAIN));
                None
            }
        }
    }
}
