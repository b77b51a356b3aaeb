//! The few pages that people see from the filter itself: why something was refused, and which ways there are. Everything
//! that comes from outside is escaped; nothing is loaded or run (threat 101).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::reply::Reply;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1b1f;--quiet:#5c5c66;--ground:#f6f5f2;--card:#fff;--line:#dcdad3;--act:#1f4fd8;--on:#fff}\
@media(prefers-color-scheme:dark){:root{--ink:#ececf1;--quiet:#a9a9b5;--ground:#15151a;--card:#1f1f26;--line:#34343e;--act:#8fb0ff;--on:#10121a}}\
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--ground);color:var(--ink);font:1.0625rem/1.55 system-ui,sans-serif}\
main{width:100%;max-width:30rem;background:var(--card);border:1px solid var(--line);border-radius:1rem;padding:2rem}\
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25}p{margin:.5rem 0}.quiet{color:var(--quiet);font-size:.9375rem}\
ul{list-style:none;margin:1.5rem 0 0;padding:0;display:grid;gap:.75rem}\
.act{display:block;width:100%;padding:.8rem 1rem;border-radius:.6rem;text-align:center;text-decoration:none;font-weight:600;border:1px solid var(--act);color:var(--act)}button.act{margin-top:1.5rem;font:inherit;font-weight:600;cursor:pointer;background:var(--act);color:var(--on)}\
li:first-child a.act{background:var(--act);color:var(--on)}.act:focus-visible{outline:3px solid var(--act);outline-offset:3px}code{font-size:.9em}";

/// A page.
#[derive(Debug, Default)]
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    /// Sentences, one paragraph each.
    pub(super) text: Vec<String>,
    /// Small print: for those who ask for help.
    pub(super) small: Option<String>,
    /// Where one can go on from here: what it says, and the address.
    pub(super) ways: Vec<(String, String)>,
    /// A button that does something.
    pub(super) form: Option<Form<'a>>,
}

/// A button that posts an empty form.
#[derive(Debug)]
pub(super) struct Form<'a> {
    pub(super) label: &'a str,
    /// A path of ours.
    pub(super) action: &'a str,
    /// The origin that the answer sends the browser on to.
    pub(super) leads_to: Option<&'a str>,
}

impl Page<'_> {
    /// The reply that shows it.
    pub(super) fn reply(&self, status: u16, code: &'static str) -> Reply {
        let mut body = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
        body.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
        escape(&mut body, self.title);
        let _ = write!(body, "</title><style>{STYLE}</style></head><body><main><h1>");
        escape(&mut body, self.title);
        body.push_str("</h1>");
        for text in &self.text {
            body.push_str("<p>");
            escape(&mut body, text);
            body.push_str("</p>");
        }
        if let Some(form) = &self.form {
            body.push_str("<form method=\"post\" action=\"");
            escape(&mut body, form.action);
            body.push_str("\"><button class=\"act\">");
            escape(&mut body, form.label);
            body.push_str("</button></form>");
        }
        if !self.ways.is_empty() {
            body.push_str("<ul>");
            for (label, address) in &self.ways {
                body.push_str("<li><a class=\"act\" href=\"");
                escape(&mut body, address);
                body.push_str("\">");
                escape(&mut body, label);
                body.push_str("</a></li>");
            }
            body.push_str("</ul>");
        }
        if let Some(small) = &self.small {
            body.push_str("<p class=\"quiet\">");
            escape(&mut body, small);
            body.push_str("</p>");
        }
        body.push_str("</main></body></html>\n");
        let style = STANDARD.encode(Sha256::digest(STYLE));
        let forms = match &self.form {
            None => "'none'".to_owned(),
            Some(form) => format!("'self' {}", form.leads_to.unwrap_or_default()),
        };
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action {forms}; frame-ancestors 'none'"
        );
        // a form of a page without a referrer would come from the origin `null`
        let referrer = if self.form.is_some() { "same-origin" } else { "no-referrer" };
        let headers = vec![
            ("cache-control", "no-store".to_owned()),
            ("content-type", "text/html; charset=utf-8".to_owned()),
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff".to_owned()),
            ("referrer-policy", referrer.to_owned()),
        ];
        Reply { status, code, headers, body, grpc_status: None }
    }
}

/// Text as HTML text or as an attribute's value in double quotes. Control characters are left out.
fn escape(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            control if control.is_control() => html.push(' '),
            plain => html.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_101_pages_escape_what_comes_from_outside_and_load_nothing() {
        let evil = "<script>alert(1)</script>\"'&\u{0}";
        let page = Page {
            title: evil,
            text: vec![evil.to_owned()],
            small: Some(evil.to_owned()),
            ways: vec![(evil.to_owned(), format!("https://w.example/?{evil}"))],
            form: Some(Form { label: evil, action: "/x", leads_to: None }),
        };
        let reply = page.reply(403, "test");
        assert!(!reply.body.contains("<script"), "{}", reply.body);
        assert!(!reply.body.contains("\"'&"), "{}", reply.body);
        assert_eq!(reply.body.matches("&lt;script&gt;").count(), 7);
        let header =
            |name: &str| reply.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone()).unwrap();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && policy.ends_with("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"));
        assert_eq!(header("x-content-type-options"), "nosniff");
    }
}
