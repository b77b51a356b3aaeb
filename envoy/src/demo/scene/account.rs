//! The shop's account pages. They stand behind a sidecar that lets nothing through but what the gateway signed, and have no code
//! for identity: they read headers.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::fmt::Write as _;

use super::desk::Desk;
use super::http::{Reply, Request};
use super::page::{House, escape, page};
use crate::upstream::latin1;

/// The context of authentication that a second factor gives (`envoy/demo/carded.yaml`).
const SECOND_FACTOR: &str = "urn:demo:second-factor";

/// Answers below `/account`. Who comes is noted for the operator's desk.
pub(super) fn answer(house: &House, request: &Request, desk: &Desk) -> Reply {
    let visitor = Visitor::of(request);
    desk.saw(&visitor);
    let (title, body) = match request.path.trim_end_matches('/') {
        "/account" => ("Your account", home(&visitor, request)),
        "/account/payment" => ("Payment", payment(&visitor)),
        _ => return Reply::html(404, page(house, "Nothing here", "<h1>Nothing here</h1>")),
    };
    if !request.wants_html() {
        let told: serde_json::Map<String, Value> =
            told(request).map(|(name, value)| (name, Value::from(value))).collect();
        return Reply::json(200, &serde_json::json!({ "page": title, "carded_told_me": told }));
    }
    Reply::html(200, page(house, title, &body))
}

/// Who came, as the sidecar says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Visitor {
    /// `issuer:sub`.
    pub(super) subject: String,
    pub(super) name: String,
    pub(super) email: String,
    /// The provider's name for its session; empty for a program.
    pub(super) session: String,
    /// Whether a second factor was shown.
    pub(super) second_factor: bool,
}

impl Visitor {
    fn of(request: &Request) -> Self {
        let header = |name: &str| percent_decoded(&request.header(name));
        Self {
            subject: header("x-carded-subject"),
            name: header("x-carded-name"),
            email: header("x-carded-email"),
            session: header("x-carded-session"),
            second_factor: header("x-carded-acr") == SECOND_FACTOR,
        }
    }

    fn given_name(&self) -> &str {
        let name = if self.name.is_empty() { &self.subject } else { &self.name };
        name.split(' ').next().unwrap_or_default()
    }
}

/// As the filter writes claims into headers: what is not visible ASCII is percent-encoded UTF-8. In a form's encoding that is all
/// there is, but for `+`, which it leaves as it is.
fn percent_decoded(value: &str) -> String {
    let value = value.replace('+', "%2B");
    form_urlencoded::parse(format!("v={value}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn told(request: &Request) -> impl Iterator<Item = (String, String)> {
    let all = request.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-carded-"));
    all.map(|(name, value)| (name.to_string(), latin1(value.as_bytes())))
}

fn home(visitor: &Visitor, request: &Request) -> String {
    let factor = if visitor.second_factor { "yes" } else { "not yet: the payment page asks for it" };
    let throw_out = if visitor.session.is_empty() {
        String::new()
    } else {
        format!(
            r#"<section class="card" aria-labelledby="h-out"><h2 id="h-out">Throw this session out</h2>
<p>An operator can end a session before its time: lost phone, stolen cookie. In this demonstration the operator may be you.</p>
<form method="post" action="/operator"><input type="hidden" name="sid" value="{}"><button class="quiet">Throw this session out</button></form></section>"#,
            escape(&visitor.session)
        )
    };
    format!(
        r#"<h1>Hello, {given}</h1>
<p class="lead">You signed in at Arcadia Accounts. This page did not see how: the gateway sent you there, and says who you are.</p>
<div class="two"><section class="card" aria-labelledby="h-who"><h2 id="h-who">Your account</h2>
<dl class="facts"><div><dt>Name</dt><dd id="name">{name}</dd></div><div><dt>Email</dt><dd>{email}</dd></div><div><dt>Second factor</dt><dd id="factor">{factor}</dd></div></dl>
<p class="actions"><a class="button" href="/account/payment">Payment</a><a class="button quiet" href="/.carded/logout">Sign out</a></p></section>
{throw_out}</div>
<section class="note" aria-labelledby="h-told"><h2 id="h-told">What this page was told</h2><ul class="told" id="told">{lines}</ul>
<details><summary>The gateway’s token, opened</summary><pre tabindex="0">{token}</pre></details>
<p class="soft">The headers come from a sidecar, which believes the gateway’s signature and nothing else: whoever gets past the gateway is refused.</p></section>"#,
        given = escape(visitor.given_name()),
        name = escape(&visitor.name),
        email = escape(&visitor.email),
        lines = lines(request),
        token = escape(&opened(&request.header("x-carded-token"))),
    )
}

/// The headers, a line each; a token is cut short.
fn lines(request: &Request) -> String {
    let mut lines = String::new();
    for (name, value) in told(request) {
        let short: String = value.chars().take(48).collect();
        let more = if short.len() < value.len() { "…" } else { "" };
        let _ = write!(lines, "<li><code>{}: {}{more}</code></li>", escape(&name), escape(&short));
    }
    lines
}

/// The claims of a token, to be read by people; it was verified before it came here.
fn opened(token: &str) -> String {
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Value> = payload.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    claims.map_or_else(|| "none came".to_owned(), |claims| format!("{claims:#}"))
}

fn payment(visitor: &Visitor) -> String {
    format!(
        r#"<h1>Payment, {given}</h1>
<p class="lead">Here one can spend money, so a login alone is not enough: you showed a second factor.</p>
<ul class="grid"><li class="card"><h2>Arcadia Bank card</h2><p>ends in 4471, until 08/29</p></li>
<li class="card"><h2>Store credit</h2><p>$12.50, from the olives that never came</p></li></ul>
<section class="note" aria-labelledby="h-acr"><h2 id="h-acr">How the gateway knows</h2>
<p>The rule of this page names <code>{SECOND_FACTOR}</code>; the provider says so in its ID token (<code>acr</code>), or nobody gets here.</p></section>
<p class="actions"><a class="button quiet" href="/account">Back to your account</a></p>"#,
        given = escape(visitor.given_name()),
    )
}

/// Where people are who signed out everywhere.
pub(super) fn bye(house: &House) -> Reply {
    let body = r#"<h1>You are signed out</h1>
<p class="lead">The shop knows you no more. If you left Arcadia Accounts too, it will ask who you are when you come back.</p>
<p class="actions"><a class="button" href="/">To the pantry</a><a class="button quiet" href="/account">Sign in again</a></p>"#;
    Reply::html(200, page(house, "Signed out", body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_alphabets_come_through_headers() {
        assert_eq!(percent_decoded("Ada%20Marlowe"), "Ada Marlowe");
        assert_eq!(percent_decoded("Ada Marlowe"), "Ada Marlowe");
        assert_eq!(percent_decoded("Zo%C3%AB+x%25&y=1"), "Zoë+x%");
    }

    #[test]
    fn a_token_is_opened_for_people_only() {
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(r#"{"sub":"corp:ada"}"#));
        assert!(opened(&token).contains("\"corp:ada\""));
        assert_eq!(opened("junk"), "none came");
    }
}
