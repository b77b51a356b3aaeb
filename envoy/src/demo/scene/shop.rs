//! The wine shop. It has no code for identity: it reads one header that Envoy sets, and says what it knows. Every request is
//! written down whole, so that everybody can see what a shop learns.

use anyhow::{Context, Result};
use serde_json::json;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::account;
use super::desk::{Desk, REVOKED};
use super::http::{Reply, Request, Service};
use super::page::{House, STYLE, escape, page};
use crate::demo::site;
use crate::upstream::latin1;

const HOUSE: House = House {
    class: "shop",
    name: "Corkwood & Daughters",
    motto: "Wine and other good things",
    mark: r#"<g fill="none" stroke="currentColor" stroke-width="1.7" stroke-linejoin="round" stroke-linecap="round"><path d="M7.5 3h9c.6 4.8-.6 9-4.5 9S6.9 7.8 7.5 3ZM12 12v8.5M8.5 20.500h7M7.300 7h9.400"/></g>"#,
    links: &[("/", "Pantry"), ("/wine/", "Wine"), ("/account", "Account")],
};

/// The shop.
#[derive(Debug)]
pub(crate) struct Shop {
    log: Mutex<File>,
    desk: Desk,
}

/// Something on a shelf.
struct Item {
    name: &'static str,
    text: &'static str,
    price: &'static str,
    colour: &'static str,
}

const PANTRY: [Item; 4] = [
    Item { name: "Grape juice", text: "Pressed in September, cloudy, cold", price: "4.20", colour: "#6d3f7d" },
    Item { name: "Olives from the Quarry", text: "Green, in brine with lemon", price: "6.90", colour: "#6f7d3a" },
    Item { name: "Oat crackers", text: "For cheese, and for waiting", price: "3.50", colour: "#a8762f" },
    Item { name: "Blackthorn vinegar", text: "Aged three winters in oak", price: "8.80", colour: "#86323f" },
];

const WINE: [Item; 4] = [
    Item { name: "Corkwood Red 2021", text: "Plum, cedar, a little smoke", price: "18.00", colour: "#7b1e3a" },
    Item { name: "Saltmarsh White 2024", text: "Green apple, wet stone, sea", price: "14.50", colour: "#b39b3c" },
    Item { name: "Rosé of the Lower Field", text: "Strawberry and a dry end", price: "12.00", colour: "#cf6f7c" },
    Item { name: "Old Juniper", text: "Fortified, for the late hours", price: "26.00", colour: "#5d2b17" },
];

impl Shop {
    /// The shop, which writes its log to `log` and whose people sign in at `issuer`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn new(log: &Path, issuer: &str) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        Ok(Self { log: Mutex::new(file), desk: Desk::new(issuer) })
    }

    fn write_down(&self, request: &Request) {
        let headers: Vec<(String, String)> =
            request.headers.iter().map(|(name, value)| (name.to_string(), latin1(value.as_bytes()))).collect();
        let line =
            json!({ "method": request.method, "path": request.path, "query": request.query, "headers": headers });
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(log, "{line}").and_then(|()| log.flush());
    }
}

impl Service for Shop {
    fn answer(&self, request: &Request) -> Reply {
        // the gateway asks for this every other second
        if request.path != REVOKED {
            self.write_down(request);
        }
        match request.path.as_str() {
            "/house.css" => Reply::text("text/css; charset=utf-8", STYLE),
            "/" if request.wants_html() => Reply::html(200, page(&HOUSE, "Pantry", &pantry())),
            "/wine" | "/wine/" => Reply::html(200, page(&HOUSE, "Wine", &wine(request))),
            path if path.starts_with("/wine/") => Reply::html(404, page(&HOUSE, "Sold out", "<h1>Sold out</h1>")),
            "/bye" => account::bye(&HOUSE),
            path if path.starts_with("/account") => account::answer(&HOUSE, request, &self.desk),
            path if path.starts_with("/operator") => self.desk.answer(&HOUSE, request),
            _ => site::answer(request),
        }
    }
}

fn pantry() -> String {
    format!(
        r#"<h1>Good things, for everybody</h1>
<p class="lead">The pantry is open to all. The wine is behind a door for those who are over 21; the door asks for that, and for nothing else.</p>
<p class="actions"><a class="button" href="/wine/">To the wine</a></p>{}"#,
        shelf(&PANTRY, JAR)
    )
}

fn wine(request: &Request) -> String {
    format!(
        r#"<h1>Welcome to the cellar</h1>
<p class="lead">Four bottles from this side of the river.</p>
<section class="note" aria-labelledby="h-told"><h2 id="h-told">What this shop knows about you</h2>{}</section>{}"#,
        told(request),
        shelf(&WINE, BOTTLE)
    )
}

/// What Envoy told the shop, word for word.
fn told(request: &Request) -> String {
    let mut lines = String::new();
    for (name, value) in &request.headers {
        if name.as_str().starts_with("x-carded-") {
            let value = latin1(value.as_bytes());
            let _ = write!(lines, "<li><code>{}: {}</code></li>", escape(name.as_str()), escape(&value));
        }
    }
    if lines.is_empty() {
        return "<p>Nothing at all.</p>".to_owned();
    }
    let all = if request.headers.contains_key("x-carded-subject") {
        "You signed in at this shop, which is why it knows your account. Your card told it the age, and nothing else."
    } else {
        "That is all. No name, no birth date, no address, no number that could be found again elsewhere."
    };
    format!(r#"<ul class="told" id="told">{lines}</ul><p class="soft">{all}</p>"#)
}

const BOTTLE: &str = "M94 12h12v34c0 10 14 14 14 30v58c0 4-3 6-6 6H86c-3 0-6-2-6-6V76c0-16 14-20 14-30Z";
const JAR: &str = "M78 34h44v10c6 3 10 8 10 16v70c0 6-4 10-10 10H78c-6 0-10-4-10-10V60c0-8 4-13 10-16Z";

fn shelf(items: &[Item], drawing: &str) -> String {
    let mut out = String::from("<ul class=\"grid shelf\">");
    for item in items {
        let _ = write!(
            out,
            r##"<li class="card bottle"><svg viewBox="0 0 200 152" aria-hidden="true"><path d="{drawing}" fill="{colour}"/><rect x="80" y="88" width="40" height="30" rx="2" fill="#fff" opacity=".88"/><path d="M88 98h24M88 106h16" stroke="{colour}" stroke-width="3"/></svg><h2>{name}</h2><p>{text}</p><p class="price">${price}</p></li>"##,
            colour = item.colour,
            name = escape(item.name),
            text = escape(item.text),
            price = item.price,
        );
    }
    out.push_str("</ul>");
    out
}
