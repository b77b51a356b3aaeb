//! The shop's door, in real Envoys: `@openid4vc/openid4vp` as the wallet (OpenID4VP 1.0), honest and not.

use anyhow::{Context, Result, ensure};
use carded_envoy::demo::{Setup, World};
use carded_envoy::keys::now;
use carded_envoy::run::scratch;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use super::browser::{Browser, held, present, respond, world, world_with};
use super::support::{peer, post};
use crate::common::in_each_envoy;

in_each_envoy!(
    the_shop_opens_by_the_agencys_word_and_by_the_clerks,
    threat_46_answers_for_another_request_open_nothing,
    threat_49_an_answer_that_is_carried_to_another_browser_opens_nothing,
    a_second_envoy_finishes_what_the_first_began,
    threat_60_a_revoked_card_closes_the_shop_within_the_ttl,
    threat_51_cards_that_do_not_prove_it_open_nothing,
    a_program_shows_a_credential_and_every_use_is_signed_by_the_holder,
);

/// What nobody may learn from a proof of age.
const WITHHELD: [&str; 6] = ["Marlowe", "Quincewood", "Harrowgate", "AR-95443", "\"birthdate\"", "\"given_name\""];

/// The requests that reached the shop for a path.
fn shop_saw(world: &World, path: &str) -> Result<Vec<Value>> {
    let log = std::fs::read_to_string(world.scene.shop_log())?;
    let all: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(all.into_iter().filter(|seen| seen["path"] == path).collect())
}

fn refused(reply: &carded_envoy::client::Reply, code: &str) -> Result<()> {
    let text = reply.text();
    ensure!(reply.status == 403 && text.contains(code), "not {code}: {} {text}", reply.status);
    Ok(())
}

async fn the_shop_opens_by_the_agencys_word_and_by_the_clerks(version: &'static str) -> Result<()> {
    let setup = Setup { version: version.to_owned(), log_level: Some("debug".to_owned()), ..Setup::default() };
    let world = world_with(setup).await?;
    let mut shown = Vec::new();
    for house in ["dmv", "clerk"] {
        let cards = held(&world, house, "person=ada", 2).await?;
        let mut browser = Browser::new(&world);
        let url = browser.ask("/wine/?shelf=2").await?;
        let said = present(&url, &cards, json!({})).await?;
        ensure!(said["satisfied"] == true && said["status"] == 200, "{said:#}");
        shown.push(said["form"].clone());
        let page = browser.come_back(&said).await?;
        ensure!(
            page.status == 200 && page.text().contains("Welcome to the cellar"),
            "{house}: {} {}",
            page.status,
            page.text()
        );
        // remembered, and what the shop was told is one word
        ensure!(browser.go("/wine/").await?.status == 200, "{house}: not remembered");
        let seen = shop_saw(&world, "/wine/")?.pop().context("nothing reached the shop")?;
        let headers = seen["headers"].as_array().context("headers")?;
        let told: Vec<&Value> = headers
            .iter()
            .filter(|header| header[0].as_str().is_some_and(|name| name.starts_with("x-carded-")))
            .collect();
        ensure!(told == [&json!(["x-carded-over-21", "true"])], "{house}: the shop was told {told:?}");
        ensure!(!headers.iter().any(|header| header[0] == "cookie"), "{house}: a cookie reached the shop");
        // a stranger is not let in, and the open shelf needs nothing
        ensure!(Browser::new(&world).go("/wine/").await?.status == 303);
        ensure!(Browser::new(&world).go("/").await?.status == 200);
    }
    // nothing of it is anywhere: not in what was sent, not with the shop, not in Envoy's log at its most talkative
    let opened: String = shown
        .iter()
        .flat_map(|form| {
            form["vp_token"].as_object().into_iter().flat_map(|all| all.values()).cloned().collect::<Vec<_>>()
        })
        .map(|value| value.to_string())
        .collect::<String>()
        .split(['~', '.', '"'])
        .filter_map(|part| carded_verifier::base64url::decode(part).ok())
        .map(|part| String::from_utf8_lossy(&part).into_owned())
        .collect();
    ensure!(opened.contains("age_equal_or_over"), "the presentation was not read: {opened}");
    let directory = world.directory.clone();
    for (place, text) in [
        ("the presentation", opened),
        ("the shop's log", std::fs::read_to_string(world.scene.shop_log())?),
        ("the access log", std::fs::read_to_string(directory.join("access.log"))?),
        ("Envoy's debug log", world.envoy.log()),
    ] {
        for word in WITHHELD {
            // the agency's own pages pass through this Envoy too, in bodies, which it does not log
            ensure!(!text.contains(word), "{place} holds {word}");
        }
    }
    ensure!(world.envoy.log().contains("[debug]"), "the log is not at debug");
    Ok(())
}

async fn threat_46_answers_for_another_request_open_nothing(version: &'static str) -> Result<()> {
    let world = world(version).await?;
    let cards = held(&world, "dmv", "person=ada", 3).await?;
    for (what, changes, code) in [
        ("another nonce", json!({ "nonce": "another" }), "nonce_mismatch"),
        ("another audience", json!({ "audience": "redirect_uri:https://evil.example/response" }), "audience_mismatch"),
        (
            "an audience without its prefix",
            json!({ "audience": format!("http://shop.localhost:{}/.carded/response", world.address.port()) }),
            "audience_mismatch",
        ),
        ("stale", json!({ "iat": now() - 3600 }), "presentation_stale"),
        ("of the future", json!({ "iat": now() + 3600 }), "presentation_stale"),
        ("refused", json!({ "refuse": true }), "presentation_declined"),
    ] {
        let mut browser = Browser::new(&world);
        let url = browser.ask("/wine/").await?;
        let said = present(&url, &cards, changes).await?;
        ensure!(said["status"] == 200, "{what}: {said:#}");
        refused(&browser.come_back(&said).await?, code).with_context(|| what.to_owned())?;
        ensure!(browser.go("/wine/").await?.status == 303, "{what}: it opened the shop");
    }
    let mut browser = Browser::new(&world);
    let url = browser.ask("/wine/").await?;
    let kept = present(&url, &cards, json!({ "keep": true })).await?;
    // without key binding, and with another credential's
    let token = kept["form"]["vp_token"].clone();
    let id = kept["chosen"].as_str().context("an id")?;
    let form = |presentation: &str, state: Value| json!({ "vp_token": json!({ id: [presentation] }).to_string(), "state": state });
    let presentation = token[id][0].as_str().context("a presentation")?.to_owned();
    let state = kept["form"]["state"].clone();
    let bare = format!("{}~", presentation.rsplit_once('~').context("key binding")?.0);
    let reply = respond(world.address, &browser.host, &form(&bare, state.clone())).await?;
    refused(&browser.come_back(&json!({ "reply": reply.json() })).await?, "key_binding_missing")
        .context("threat 29")?;
    // an unknown or damaged state (threat 50)
    for state in [json!("x"), Value::Null, json!(format!("{}A", state.as_str().unwrap_or_default()))] {
        let reply = respond(world.address, &browser.host, &form(&presentation, state)).await?;
        ensure!(reply.status == 400 && reply.code() == "state_unknown", "{} {}", reply.status, reply.text());
        ensure!(
            reply.header("access-control-allow-origin").as_deref() == Some("*"),
            "a reply that the wallet cannot read"
        );
    }
    // tampered: a bit of the presentation
    let mut browser = Browser::new(&world);
    let url = browser.ask("/wine/").await?;
    let kept = present(&url, &cards, json!({ "keep": true })).await?;
    let honest = kept["form"]["vp_token"][id][0].as_str().context("a presentation")?.to_owned();
    let state = kept["form"]["state"].clone();
    for at in [honest.len() / 7, honest.len() / 2, honest.len() - 10] {
        let mut bytes = honest.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let reply = respond(world.address, &browser.host, &form(&String::from_utf8(bytes)?, state.clone())).await?;
        let back = Browser { cookies: browser.cookies.clone(), ..browser.clone() }
            .come_back(&json!({ "reply": reply.json() }))
            .await?;
        ensure!(back.status == 403, "a changed presentation: {} {}", back.status, back.text());
    }
    // and the honest one still works, once (threat 47: a nonce is used up only by what verified)
    let first = respond(world.address, &browser.host, &form(&honest, state.clone())).await?;
    let again = respond(world.address, &browser.host, &form(&honest, state)).await?;
    let page = browser.clone().come_back(&json!({ "reply": again.json() })).await?;
    refused(&page, "nonce_used").context("threat 47")?;
    ensure!(browser.come_back(&json!({ "reply": first.json() })).await?.status == 200);
    Ok(())
}

async fn threat_49_an_answer_that_is_carried_to_another_browser_opens_nothing(version: &'static str) -> Result<()> {
    let world = world(version).await?;
    let cards = held(&world, "dmv", "person=ada", 2).await?;
    let (mut mine, mut other) = (Browser::new(&world), Browser::new(&world));
    let url = mine.ask("/wine/").await?;
    other.ask("/wine/").await?;
    let said = present(&url, &cards, json!({})).await?;
    for stranger in [&mut other, &mut Browser::new(&world)] {
        let reply = stranger.come_back(&said).await?;
        ensure!(
            reply.status == 400 && reply.text().contains("transaction_unknown"),
            "{} {}",
            reply.status,
            reply.text()
        );
        ensure!(stranger.go("/wine/").await?.status == 303, "another browser is in");
    }
    // the cookie of another transaction, under the name of this one
    let mine_tx = mine.cookies.keys().find(|name| name.starts_with("__Host-carded-tx-")).context("a cookie")?.clone();
    let other_tx = other.cookies.values().next().context("a cookie")?.clone();
    let mut forged = Browser::new(&world);
    forged.cookies.insert(mine_tx, other_tx);
    ensure!(forged.come_back(&said).await?.status == 400);
    // two tabs of one browser do not disturb each other
    let (first, second) = (mine.ask("/wine/").await?, mine.ask("/wine/").await?);
    for url in [second, first] {
        let said = present(&url, &cards, json!({})).await?;
        ensure!(mine.come_back(&said).await?.status == 200);
    }
    Ok(())
}

async fn a_second_envoy_finishes_what_the_first_began(version: &'static str) -> Result<()> {
    let world = world(version).await?;
    let (_twin, address) = world.twin(&scratch()?).await?;
    let cards = held(&world, "dmv", "person=ada", 1).await?;
    let mut browser = Browser::new(&world);
    let url = browser.ask("/wine/").await?;
    let kept = present(&url, &cards, json!({ "keep": true })).await?;
    let mut form = kept["form"].clone();
    form["vp_token"] = json!(form["vp_token"].to_string());
    let reply = respond(address, &browser.host, &form).await?;
    browser.edge = address;
    let page = browser.come_back(&json!({ "reply": reply.json() })).await?;
    ensure!(page.status == 200, "{} {}", page.status, page.text());
    // and the first knows the session that the second made
    browser.edge = world.address;
    ensure!(browser.go("/wine/").await?.status == 200);
    Ok(())
}

async fn threat_60_a_revoked_card_closes_the_shop_within_the_ttl(version: &'static str) -> Result<()> {
    let world = world(version).await?;
    let cards = held(&world, "dmv", "person=ada", 2).await?;
    let mut browser = Browser::new(&world);
    ensure!(browser.show("/wine/", &cards).await?.status == 200);
    post(world.address, "dmv", "/operator", "application/x-www-form-urlencoded", "person=ada").await?;
    let start = Instant::now();
    // each worker has a list of its own, and a connection of its own may come to any of them
    let mut closed = 0;
    while closed < 16 {
        let status = browser.go("/wine/").await?.status;
        closed = if status == 200 { 0 } else { closed + 1 };
        // the ttl is 15 s; fetching takes a moment, on a slow machine some more
        ensure!(status != 200 || start.elapsed() < Duration::from_secs(30), "open after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    eprintln!("closed for {:?}", start.elapsed());
    // by then no worker has a list from before: nor does another copy open it again
    tokio::time::sleep(Duration::from_secs(16).saturating_sub(start.elapsed())).await;
    let page = Browser::new(&world).show("/wine/", &cards[1..]).await?;
    refused(&page, "credential_revoked")
}

async fn threat_51_cards_that_do_not_prove_it_open_nothing(version: &'static str) -> Result<()> {
    let world = world(version).await?;
    // under 21: the wallet finds nothing to show
    let young = held(&world, "dmv", "person=ben", 1).await?;
    let mut browser = Browser::new(&world);
    let url = browser.ask("/wine/").await?;
    let said = present(&url, &young, json!({})).await?;
    ensure!(said["satisfied"] == false, "{said:#}");
    refused(&browser.come_back(&said).await?, "presentation_declined")?;
    // one that shows what it has all the same is found out
    for frame in
        [json!({ "age_equal_or_over": { "21": true } }), json!({ "age_equal_or_over": { "18": true } }), json!({})]
    {
        let mut browser = Browser::new(&world);
        let url = browser.ask("/wine/").await?;
        let said = present(&url, &young, json!({ "show": "over21", "frame": frame })).await?;
        refused(&browser.come_back(&said).await?, "query_not_met").with_context(|| frame.to_string())?;
    }
    // the same card by somebody else
    let novelty = held(&world, "novelty", "person=ada", 1).await?;
    let mut browser = Browser::new(&world);
    refused(&browser.show("/wine/", &novelty).await?, "issuer_untrusted")?;
    // shown by one who does not hold its key
    let mut stolen = held(&world, "dmv", "person=ada", 1).await?;
    stolen[0]["key"] = young[0]["key"].clone();
    refused(&Browser::new(&world).show("/wine/", &stolen).await?, "key_binding_invalid").context("a stolen card")?;
    // expired while it was watched
    let short = held(&world, "dmv", "person=ada&lifetime=-120", 1).await?;
    refused(&Browser::new(&world).show("/wine/", &short).await?, "credential_expired").context("expired")
}

async fn a_program_shows_a_credential_and_every_use_is_signed_by_the_holder(version: &'static str) -> Result<()> {
    let world = world(version).await?;
    let card = held(&world, "dmv", "person=ada", 1).await?.remove(0);
    let origin = format!("http://shop.localhost:{}", world.address.port());
    let task = json!({ "origin": origin, "path": "/wine/", "credential": card["credential"], "key": card["key"] });
    let said = peer("program.mjs", task).await?;
    ensure!(said["granted"]["status"] == 200 && said["granted"]["token_type"] == "DPoP", "{said:#}");
    ensure!(said["replayed"] == "nonce_used", "threat 47: {said:#}");
    for use_ in ["good", "again"] {
        ensure!(said[use_]["status"] == 200, "{use_}: {said:#}");
    }
    let bad = ["without", "bearer", "stolen", "sameProof", "otherPath", "otherMethod", "otherToken", "stale"];
    for use_ in bad {
        ensure!(said[use_]["status"] == 401, "{use_}: {said:#}");
    }
    let seen = shop_saw(&world, "/wine/")?;
    ensure!(seen.len() == 2, "{} requests reached the shop", seen.len());
    let headers = seen[0]["headers"].to_string();
    ensure!(
        headers.contains("x-carded-over-21") && !headers.contains("dpop") && !headers.contains("DPoP"),
        "{headers}"
    );
    Ok(())
}
