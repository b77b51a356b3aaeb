//! The agency's pages: home, the pretend check, the offer, and the operator's desk.

use qrcode::QrCode;
use qrcode::render::svg;
use std::fmt::Write;

use crate::demo::scene::http::Reply;
use crate::demo::scene::issuer::{Endpoints, Offer};
use crate::demo::scene::page::{House, escape, page};
use crate::demo::scene::people::{PEOPLE, Person};

const DMV: House = House {
    class: "dmv",
    name: "Department of Motor Vehicles",
    motto: "State of Arcadia",
    mark: r#"<g fill="none" stroke="currentColor" stroke-width="1.7" stroke-linejoin="round" stroke-linecap="round"><path d="M12 2.5 20 5.5v6c0 4.8-3.3 8.3-8 10-4.7-1.7-8-5.2-8-10v-6Z"/><path d="M7 14.5c3.4-.2 6.6-.2 10 0M8 14l1.2-3.4c.2-.6.6-.9 1.2-.9h3.2c.6 0 1 .3 1.2.9L16 14"/></g>"#,
    links: &[("/apply", "Get your digital ID"), ("/operator", "Operator")],
};

pub(super) fn home() -> Reply {
    let body = r#"
<h1>Your ID, on your own device</h1>
<p class="lead">The digital ID shows what somebody has to know about you, and nothing more. Over 21? Your name stays with you.</p>
<p class="actions"><a class="button" href="/apply">Get your digital ID</a></p>
<ul class="grid">
<li class="card"><h2>Only what is asked</h2><p>Name, address, birth date and ages are signed one by one. You choose which of them you show.</p></li>
<li class="card"><h2>Ten copies, no trail</h2><p>You get ten copies that have nothing in common. Two shops cannot find out that they met the same person.</p></li>
<li class="card"><h2>We do not look on</h2><p>A shop checks our signature by itself. We do not learn where you show your ID.</p></li>
</ul>"#;
    Reply::html(200, page(&DMV, "Digital ID", body))
}

pub(super) fn apply(short_lifetimes: bool) -> Reply {
    let mut choices = String::new();
    for (at, person) in PEOPLE.iter().enumerate() {
        let checked = if at == 0 { " checked" } else { "" };
        let _ = write!(
            choices,
            r#"<label class="choice"><input type="radio" name="person" value="{}"{checked}><span><b>{}</b><small>{} years old</small></span></label>"#,
            person.id,
            escape(&person.name()),
            person.age,
        );
    }
    let lifetime = if short_lifetimes {
        r#"<p><label>Valid for seconds (empty: 90 days) <input name="lifetime" inputmode="numeric" autocomplete="off"></label></p>"#
    } else {
        ""
    };
    let body = format!(
        r#"
<h1>Who are you?</h1>
<p class="lead">At a real agency somebody would look at your papers now. Here you may simply choose.</p>
<form method="post" action="/apply" class="card"><fieldset><legend>I am</legend>{choices}</fieldset>{lifetime}<button>Continue</button></form>"#
    );
    Reply::html(200, page(&DMV, "Who are you?", &body))
}

pub(super) fn offer(endpoints: &Endpoints, offer: &Offer, wallet: &str) -> Reply {
    let object = endpoints.offer_object(offer).to_string();
    let encoded: String = form_urlencoded::byte_serialize(object.as_bytes()).collect();
    let by_reference: String = form_urlencoded::byte_serialize(endpoints.offer_uri(offer).as_bytes()).collect();
    let code = QrCode::new(format!("openid-credential-offer://?credential_offer_uri={by_reference}"));
    let drawing = code.map(|code| code.render::<svg::Color<'_>>().quiet_zone(false).min_dimensions(180, 180).build());
    let drawing = drawing.unwrap_or_default();
    // without the XML declaration it can stand in the page
    let drawing = drawing.split_once("?>").map_or(drawing.as_str(), |(_, svg)| svg);
    let body = format!(
        r#"
<h1>Your digital ID is ready, {given}</h1>
<p class="lead">Take it into your wallet. The offer is good for ten minutes and works once.</p>
<div class="two">
<section class="card" aria-labelledby="h-code"><h2 id="h-code">1. Your code</h2>
<p>The wallet asks for this code, so that nobody else can take your ID.</p>
<p class="code" id="tx-code">{tx}</p></section>
<section class="card" aria-labelledby="h-wallet"><h2 id="h-wallet">2. Your wallet</h2>
<p>Your wallet gets ten copies. Each belongs to a key that it makes for it.</p>
<p class="actions"><a class="button" id="add" href="{wallet}/receive?credential_offer={encoded}">Add to my wallet</a></p></section>
<section class="card" aria-labelledby="h-qr"><h2 id="h-qr">Another device?</h2>
<p>Scan this with the wallet that is there.</p><div class="qr" role="img" aria-label="QR code of the offer">{drawing}</div></section>
</div>"#,
        given = escape(offer.person.given_name),
        tx = escape(&offer.tx_code),
        wallet = escape(wallet),
    );
    Reply::html(200, page(&DMV, "Your digital ID is ready", &body))
}

pub(super) fn operator(good: impl Fn(&str) -> usize, done: Option<(&Person, usize)>) -> Reply {
    let mut rows = String::new();
    for person in &PEOPLE {
        let count = good(person.id);
        let disabled = if count == 0 { " disabled" } else { "" };
        let _ = write!(
            rows,
            r#"<tr><th scope="row">{name}</th><td>{count}</td><td><form method="post" action="/operator"><input type="hidden" name="person" value="{id}"><button class="quiet" aria-label="Revoke all copies of {name}"{disabled}>Revoke</button></form></td></tr>"#,
            name = escape(&person.name()),
            id = person.id,
        );
    }
    let note = done.map_or_else(String::new, |(person, count)| {
        format!(
            r#"<div class="note" role="status"><p>Revoked: {count} copies of {}. Whoever checks them knows within 15 seconds.</p></div>"#,
            escape(&person.name())
        )
    });
    let body = format!(
        r#"
<h1>Operator's desk</h1>
<p class="lead">Take back the digital ID of somebody: every copy at once. In this demonstration anybody may sit here.</p>{note}
<div class="card"><table><thead><tr><th scope="col">Person</th><th scope="col">Copies in use</th><th scope="col">Take back</th></tr></thead><tbody>{rows}</tbody></table></div>"#
    );
    Reply::html(200, page(&DMV, "Operator's desk", &body))
}

pub(super) fn missing() -> Reply {
    let body = r#"<h1>Nothing here</h1><p class="lead">The page is unknown, or the offer has been used or has expired.</p>
<p class="actions"><a class="button" href="/apply">Get your digital ID</a></p>"#;
    Reply::html(404, page(&DMV, "Nothing here", body))
}
