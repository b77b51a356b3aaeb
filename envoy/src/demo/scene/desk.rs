//! The operator's desk: who is signed in at the shop, a button for each session, and the list of what was revoked, which the gateway
//! asks for every two seconds (README, "Taking back what was given"). The provider reads it too.

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::account::Visitor;
use super::http::{Reply, Request};
use super::page::{House, escape, page};
use crate::keys::base64url;

/// Where the list is.
pub(crate) const REVOKED: &str = "/operator/revoked.json";
/// The most sessions that are remembered; the oldest go first.
const MOST: usize = 100;

/// The desk.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The provider whose sessions these are.
    issuer: String,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    seen: Vec<Visitor>,
    revoked: Vec<String>,
}

impl Desk {
    /// A desk for people who sign in at `issuer`.
    pub(super) fn new(issuer: &str) -> Self {
        Self { issuer: issuer.to_owned(), book: Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes who came to the account.
    pub(super) fn saw(&self, visitor: &Visitor) {
        if visitor.session.is_empty() {
            return;
        }
        let mut book = self.book();
        book.seen.retain(|known| known.session != visitor.session);
        book.seen.push(visitor.clone());
        let surplus = book.seen.len().saturating_sub(MOST);
        book.seen.drain(..surplus);
    }

    /// Answers below `/operator`.
    pub(super) fn answer(&self, house: &House, request: &Request) -> Reply {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", REVOKED) => self.list(request),
            ("GET", "/operator") => self.page(house, None),
            ("POST", "/operator") => {
                let sid = request.field("sid").unwrap_or_default();
                let thrown_out = self.throw_out(&sid);
                self.page(house, thrown_out.as_ref())
            }
            _ => Reply::html(404, page(house, "Nothing here", "<h1>Nothing here</h1>")),
        }
    }

    /// Puts a session on the list; one that nobody saw is none.
    fn throw_out(&self, sid: &str) -> Option<Visitor> {
        let mut book = self.book();
        let at = book.seen.iter().position(|visitor| visitor.session == sid)?;
        let visitor = book.seen.remove(at);
        book.revoked.push(visitor.session.clone());
        let surplus = book.revoked.len().saturating_sub(MOST);
        book.revoked.drain(..surplus);
        Some(visitor)
    }

    fn document(&self) -> Value {
        let book = self.book();
        let entries: Vec<Value> = book.revoked.iter().map(|sid| json!({ "sid": sid, "iss": self.issuer })).collect();
        json!({ "revoked": entries })
    }

    /// The list, or that it is still the one that the gateway has (RFC 9110 section 13.1.2).
    fn list(&self, request: &Request) -> Reply {
        let document = self.document();
        let tag = format!("\"{}\"", base64url(&digest(&SHA256, document.to_string().as_bytes()).as_ref()[..12]));
        if request.header("if-none-match") == tag {
            return Reply::status(304).header("etag", tag);
        }
        Reply::json(200, &document).header("etag", tag)
    }

    fn page(&self, house: &House, thrown_out: Option<&Visitor>) -> Reply {
        let mut rows = String::new();
        for visitor in self.book().seen.iter().rev() {
            let short: String = visitor.session.chars().take(8).collect();
            let _ = write!(
                rows,
                r#"<tr><th scope="row">{name}</th><td><code>{short}…</code></td><td>{factor}</td><td><form method="post" action="/operator"><input type="hidden" name="sid" value="{sid}"><button class="quiet" aria-label="Throw out {name}, session {short}">Throw out</button></form></td></tr>"#,
                name = escape(&visitor.name),
                short = escape(&short),
                factor = if visitor.second_factor { "yes" } else { "no" },
                sid = escape(&visitor.session),
            );
        }
        if rows.is_empty() {
            rows.push_str(r#"<tr><td colspan="4">Nobody is signed in.</td></tr>"#);
        }
        let note = thrown_out.map_or_else(String::new, |visitor| {
            format!(
                r#"<div class="note" role="status"><p>Thrown out: a session of {name}. Within four seconds it opens nothing any more, at any gateway that reads the list.</p>
<p class="actions"><a class="button" href="/account">To the account</a></p></div>"#,
                name = escape(&visitor.name)
            )
        });
        let body = format!(
            r#"<h1>Operator’s desk</h1>
<p class="lead">Who is signed in, and a button for each session. In this demonstration anybody may sit here.</p>{note}
<div class="card"><table><thead><tr><th scope="col">Person</th><th scope="col">Session</th><th scope="col">Second factor</th><th scope="col">End it</th></tr></thead><tbody>{rows}</tbody></table></div>
<p class="soft">What is thrown out stands in <a href="{REVOKED}">a list</a> that every gateway asks for every two seconds. Nothing else is shared.</p>"#
        );
        Reply::html(200, page(house, "Operator’s desk", &body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::HeaderMap;

    fn request(method: &str, path: &str, headers: &[(&'static str, &str)], body: &str) -> Request {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect();
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            host: String::new(),
            headers,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn who_is_thrown_out_is_on_the_list_and_the_list_has_a_new_tag() {
        let house = House { class: "shop", name: "x", motto: "y", mark: "", links: &[] };
        let desk = Desk::new("http://idp.localhost");
        desk.saw(&Visitor { session: "s1".to_owned(), name: "Ada".to_owned(), ..Visitor::default() });
        let list = |tag: &str| desk.answer(&house, &request("GET", REVOKED, &[("if-none-match", tag)], ""));
        let tag = |reply: &Reply| reply.header_value("etag").expect("a tag").to_owned();
        let before = tag(&list("none"));
        assert_eq!(list(&before).code(), 304);
        // what nobody saw changes nothing
        desk.answer(&house, &request("POST", "/operator", &[], "sid=made-up"));
        assert_eq!(list(&before).code(), 304);
        let said = desk.answer(&house, &request("POST", "/operator", &[], "sid=s1"));
        assert_eq!(said.code(), 200);
        let after = list(&before);
        assert_eq!(after.code(), 200);
        assert_ne!(tag(&after), before);
        assert_eq!(desk.document(), json!({ "revoked": [{ "sid": "s1", "iss": "http://idp.localhost" }] }));
    }
}
