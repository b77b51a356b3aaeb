//! Leaving: `/.carded/logout`. `GET` asks first, `POST` from our own pages does it: the session's cookie goes, and the browser
//! with it to the provider's own logout, where it has one (OpenID Connect RP-Initiated Logout 1.0 §2).

use super::Gate;
use super::at::At;
use super::cookie;
use super::decide::{Around, Halt};
use super::login::nobody;
use super::page::{Form, Page};
use super::presentation::redirect;
use super::reply::{Refusal, Reply};
use super::session::is_from_our_pages;
use super::slow::{Tried, failed};

impl Gate {
    /// Answers at `/.carded/logout`.
    pub(super) fn logout(&self, leaves: bool, at: At<'_>, around: &mut Around<'_>) -> Result<Reply, Halt> {
        let (sessions, origin) = (self.sessions.as_ref().ok_or_else(nobody)?, at.origin()?);
        let (session, _) = sessions.read(at.request, origin, around.now);
        // the login of last counts: browsers can be sent to one place only
        let login = session.logins.iter().rev().find_map(|held| self.logins.iter().find(|one| one.name == held.name));
        let end = match login.map(|login| (login, self.provider(login, at.known, around))) {
            Some((login, Ok(provider))) => provider.end_session_endpoint.as_ref().map(|endpoint| (login, endpoint)),
            Some((_, Err(Halt::Need(fetch)))) => return Err(Halt::Need(fetch)),
            // a provider that cannot be had keeps nobody here
            _ => None,
        };
        if !leaves {
            let end = end.map(|(_, endpoint)| format!("{}://{}", endpoint.scheme(), endpoint.authority()));
            let page = Page {
                title: "Sign out?",
                text: vec!["You will have to sign in, and show your credentials, again.".to_owned()],
                ways: vec![("Stay".to_owned(), "/".to_owned())],
                form: Some(Form { label: "Sign out", action: "/.carded/logout", leads_to: end.as_deref() }),
                ..Page::default()
            };
            return Ok(page.reply(200, "ok"));
        }
        if !is_from_our_pages(self, at.request, origin) {
            if !session.id.is_empty() {
                failed(Tried::With(&session.id), around)?;
            }
            return Err(Refusal::cross_site("signing out is asked for by our own pages only").into());
        }
        if !self.end_session(sessions, &session, around) {
            return Err(Refusal::internal_error("the logout could not be noted: try again").into());
        }
        let mut reply = match end {
            Some((login, endpoint)) => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("client_id", &login.client_id);
                if let Some(path) = &login.post_logout_path {
                    query.append_pair("post_logout_redirect_uri", &format!("{origin}{path}"));
                }
                let joint = if endpoint.as_str().contains('?') { '&' } else { '?' };
                redirect(format!("{}{joint}{}", endpoint.as_str(), query.finish()), "ok")
            }
            None => Page {
                title: "You are signed out",
                ways: vec![("Go to the start".to_owned(), "/".to_owned())],
                ..Page::default()
            }
            .reply(200, "ok"),
        };
        let brought = cookie::of_session(at.request);
        reply.set_cookies(brought.iter().map(|name| cookie::clear(name)));
        reply.headers.push(("set-cookie", cookie::clear(cookie::SESSION)));
        if self.logins.iter().any(|login| login.silent) {
            reply.headers.push(("set-cookie", cookie::set(cookie::QUIET, "1", sessions.lifetime)));
        }
        Ok(reply)
    }
}
