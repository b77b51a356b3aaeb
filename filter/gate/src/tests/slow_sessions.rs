//! Who tries sessions, or ways to one, again and again waits; whoever has one does not.

use super::provider::*;
use super::shop::{self, Answered, SHOP, Shop};
use super::*;

const SLOWED: (u16, &str) = (429, "too_many_failures");
const ELSEWHERE: &str = "192.0.2.2:1";

/// How many of so many answers are not the 429.
fn met(answers: &[(u16, &'static str)], otherwise: (u16, &'static str)) -> usize {
    assert!(answers.iter().all(|answer| [SLOWED, otherwise].contains(answer)), "{answers:?}");
    answers.iter().filter(|answer| **answer == otherwise).count()
}

/// As many as are met as they come, then one in eight.
fn first_and_eighths(of: usize) -> usize {
    100 + (of - 100) / 8
}

fn jar(door: &Door) -> String {
    door.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// The same cookie with one letter of what is authenticated changed.
fn made_up(cookie: &str, number: usize) -> String {
    let mut text = cookie.as_bytes().to_vec();
    let at = text.len() - 2 - number % 40;
    text[at] = if text[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(text).unwrap()
}

#[test]
fn threat_83_cookies_that_nobody_sealed_are_slowed_and_whoever_has_a_session_is_not() {
    let mut door = Door::new(config());
    door.enter("/account");
    let good = jar(&door);
    let page = [("accept", "text/html")];
    let ask = |door: &mut Door, cookie: &str, headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", cookie)];
        all.extend(headers);
        door.ask("GET", "/quiet", &all)
    };
    let answers: Vec<_> = (0..300).map(|number| is(&ask(&mut door, &made_up(&good, number), &[]))).collect();
    assert_eq!(met(&answers, (401, "login_required")), first_and_eighths(300));
    assert!(answers[..100].iter().all(|answer| *answer != SLOWED));
    // who has the session passes, from there too, and where no worker remembers it
    for _ in 0..20 {
        assert_eq!(is(&ask(&mut door, &good, &[])), (200, "forwarded"));
        door.verdicts = Verdicts::new(10, &mut secret);
        assert_eq!(is(&ask(&mut door, &good, &[])), (200, "forwarded"));
        assert_eq!(is(&ask(&mut door, "a=1", &[])), (401, "login_required"), "and so does who has none");
    }
    // a browser whose cookie does not open for another reason loses it, and signs in
    let slowed =
        (0..8).map(|number| ask(&mut door, &made_up(&good, number), &page)).find(|answer| answer.status == 429);
    let slowed = slowed.expect("seven of eight");
    assert!(slowed.header("set-cookie").unwrap().starts_with("__Host-carded=; "), "{:?}", slowed.headers);
    assert_eq!(slowed.header("retry-after"), Some("1"));
    // tokens from there are another thing, and elsewhere nobody knows of it
    let token = door.ask("GET", "/api", &[("authorization", "Bearer a.b.c")]);
    assert_eq!(token.status, 401);
    door.address = ELSEWHERE;
    assert_eq!(is(&ask(&mut door, &made_up(&good, 1), &[])), (401, "login_required"));
    // one that ended was good once
    door.now = NOW + 24 * 3600;
    assert!((0..300).all(|number| is(&ask(&mut door, &made_up(&good, number), &[])) == (401, "login_required")));
}

#[test]
fn threat_83_what_other_sites_do_with_a_session_slows_them_and_not_its_holder() {
    let mut door = Door::new(config());
    door.enter("/account");
    let first = jar(&door);
    let post = |door: &mut Door, path: &str, cookie: &str, from: &str| {
        is(&door.ask("POST", path, &[("cookie", cookie), ("origin", from)]))
    };
    const EVIL: &str = "https://evil.example";
    let answers: Vec<_> = (0..300)
        .map(|number| {
            // wherever the session is used
            door.address = ["192.0.2.1:1", ELSEWHERE, "192.0.2.3:1"][number % 3];
            post(&mut door, ["/account", "/.carded/logout"][number % 2], &first, EVIL)
        })
        .collect();
    assert_eq!(met(&answers, (403, "cross_site")), first_and_eighths(300));
    for _ in 0..20 {
        assert_eq!(post(&mut door, "/account", &first, SHOP), (200, "forwarded"));
        assert_eq!(is(&door.ask("GET", "/account", &[("cookie", &first)])), (200, "forwarded"));
    }
    // another session of the same person is not meant
    door.cookies.clear();
    door.enter("/account");
    let second = jar(&door);
    assert_eq!(post(&mut door, "/account", &second, EVIL), (403, "cross_site"));
    assert_eq!(post(&mut door, "/.carded/logout", &first, SHOP), (303, "ok"), "and its holder can leave");
}

#[test]
fn threat_83_codes_that_are_made_up_do_not_flood_the_provider() {
    let mut door = Door::new(config());
    door.answers(400, &json!({ "error": "invalid_grant" }));
    let attempt = |door: &mut Door| -> (Answered, String) {
        door.cookies.clear();
        let state = door.begin("/account")["state"].clone();
        let path = format!("/.carded/callback/corp?code=guess&state={state}");
        (door.browse(&path), path)
    };
    let mut last = None;
    for _ in 0..300 {
        let (answered, path) = attempt(&mut door);
        assert!([(403, "login_failed"), SLOWED].contains(&is(&answered)), "{}", answered.code);
        last = (answered.status == 429).then_some((answered, path)).or(last);
    }
    assert_eq!(door.calls.len(), 101 + (300 - 101) / 8, "each is a call");
    let (slowed, path) = last.unwrap();
    assert_eq!(slowed.header("retry-after"), Some("1"));
    assert!(slowed.body.contains(&path.replace('&', "&amp;")), "{}", slowed.body);
    // a person at the same address comes through with the same answer of the provider, in the midst of it
    door.cookies.clear();
    let sent = door.begin("/account");
    door.grants(&id_token(&sent, json!({})));
    let back = format!("/.carded/callback/corp?code=c0de&state={}", sent["state"]);
    let tries = (0..8).position(|_| door.browse(&back).status == 303);
    assert!(tries.is_some(), "nothing was spent by the tries before");
    assert_eq!(door.browse("/account").status, 200);
    door.address = ELSEWHERE;
    door.cookies.clear();
    assert_eq!(door.enter("/account").status, 303);
}

#[test]
fn threat_83_a_second_factor_that_fails_again_and_again_is_slowed() {
    let mut configured = config();
    configured["rules"][1]["acr_values"] = json!(["mfa"]);
    let mut door = Door::new(configured);
    door.enter("/account");
    let mut answers = Vec::new();
    for _ in 0..200 {
        let sent = door.begin("/account");
        assert_eq!(sent["acr_values"], "mfa");
        door.grants(&id_token(&sent, json!({ "acr": "pwd" })));
        answers.push(is(&door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]))));
    }
    assert_eq!(met(&answers, (403, "login_failed")), 101 + (200 - 101) / 8);
    assert_eq!(door.browse("/quiet").status, 200, "the session is what it was");
}

#[test]
fn threat_83_presentations_that_do_not_hold_leave_the_checks_to_others() {
    let mut shop = Shop::new(shop::config());
    let (asked, transaction) = shop.begin("/wine/red");
    let (other, _) = shop.begin("/wine/red");
    // for another nonce
    let bad = shop::vp_token(&shop::show(&shop::card(true), &other, NOW));
    let codes: Vec<_> = (0..40)
        .flat_map(|second| {
            shop.now = NOW + second / 10;
            (0..10).map(|_| shop.respond(&[("vp_token", &bad), ("state", &asked["state"])]).status).collect::<Vec<_>>()
        })
        .collect();
    assert!(codes.iter().filter(|status| **status == 429).count() > 150, "{codes:?}");
    // what was not looked at was not spent either: the same works with a few tries
    let good = shop::vp_token(&shop::show(&shop::card(true), &asked, NOW));
    let form = [("vp_token", good.as_str()), ("state", &asked["state"])];
    let came = (0..64).map(|_| shop.respond(&form)).find(|answered| answered.status == 200).unwrap();
    assert_eq!(shop.browse(&shop::redirect_uri(&came), &transaction).status, 303);
}

#[test]
fn threat_83_proofs_for_a_token_of_ours_are_slowed_for_that_token_alone() {
    let mut shop = Shop::new(shop::config());
    let form = shop::programs_form(&mut shop);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let presented = shop.ask("POST", "/.carded/present", &headers, Some(&form));
    let presented: Value = serde_json::from_str(&presented.body).unwrap();
    let stolen = presented["access_token"].as_str().unwrap().to_owned();
    let ask = |shop: &mut Shop, token: &str, by: &str, number: usize| {
        let proof = shop::proof_of_program(&shop::key(by), token, json!({ "jti": number.to_string() }));
        let answered =
            shop.ask("GET", "/wine/red", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)], None);
        is(&answered)
    };
    let answers: Vec<_> = (0..300).map(|number| ask(&mut shop, &stolen, "thief", number)).collect();
    assert_eq!(met(&answers, (401, "dpop_proof_invalid")), 101 + (300 - 101) / 8);
    // tokens that were never given out
    let made: Vec<_> =
        (0..300).map(|number| ask(&mut shop, &made_up(&stolen, number), "thief", 300 + number)).collect();
    assert_eq!(met(&made, (401, "access_token_invalid")), first_and_eighths(300));
}
