//! The frame of the demo's pages: one style for all, with a colour for each house. Nothing is loaded from elsewhere.

/// Whose page it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct House {
    /// The class of the page's colours.
    pub(crate) class: &'static str,
    /// The name in the head.
    pub(crate) name: &'static str,
    /// The line below it.
    pub(crate) motto: &'static str,
    /// A drawing of 24 by 24, as SVG paths.
    pub(crate) mark: &'static str,
    /// Links in the head: address and text.
    pub(crate) links: &'static [(&'static str, &'static str)],
}

/// A whole page. `body` is HTML; the title is escaped here.
pub(crate) fn page(house: &House, title: &str, body: &str) -> String {
    let links: String = house.links.iter().map(|(to, text)| format!("<a href=\"{to}\">{text}</a>")).collect();
    let nav = if links.is_empty() { links } else { format!("<nav aria-label=\"Main\">{links}</nav>") };
    format!(
        r#"<!doctype html>
<html lang="en" class="{class}">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>{title} · {name}</title><link rel="stylesheet" href="/house.css"><link rel="icon" href="data:,">
<header><div><a class="home" href="/"><svg viewBox="0 0 24 24" width="34" height="34" aria-hidden="true">{mark}</svg>
<span><b>{name}</b><small>{motto}</small></span></a>{nav}</div></header>
<main>{body}</main>
<footer><div>A demonstration. The people, the agencies and the wines are invented.</div></footer>
</html>
"#,
        class = house.class,
        name = house.name,
        motto = house.motto,
        mark = house.mark,
        title = escape(title),
    )
}

/// Text as HTML, also inside attributes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// The style sheet, served as `/house.css`.
pub(crate) const STYLE: &str = include_str!("house.css");
