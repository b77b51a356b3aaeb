//! Pushed authorization requests (RFC 9126): what is asked of a provider goes there first, and the browser carries a reference.

use std::collections::BTreeMap;

use super::super::EffectKind;
use super::provider::{Door, IDP, config, id_token};
use super::*;

const REFERENCE: &str = r#"{"request_uri":"urn:ietf:params:oauth:request_uri:6esc&x=1","expires_in":90}"#;

fn door(change: impl Fn(&mut Value)) -> Door {
    let mut configured = config();
    change(&mut configured);
    let mut door = Door::new(configured);
    door.metadata = json!({ "pushed_authorization_request_endpoint": format!("{IDP}/par") });
    door
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

#[test]
fn the_request_is_left_at_the_provider_and_the_browser_carries_a_reference() {
    let mut door = door(|configured| configured["login"]["corp"]["prompt"] = json!("login"));
    door.says(EffectKind::Pushed, 201, REFERENCE);
    let carried = door.begin("/account/orders?year=1990");
    let expected = [("client_id", "shop"), ("request_uri", "urn:ietf:params:oauth:request_uri:6esc&x=1")];
    assert_eq!(carried, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let [(EffectKind::Pushed, form, authorization)] = door.others.as_slice() else { panic!("{:?}", door.others) };
    let asked = pairs(form);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "shop"),
        ("redirect_uri", "https://shop.example.com/.carded/callback/corp"),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
    ] {
        assert_eq!(asked[name], value);
    }
    assert_eq!(form.matches("client_id=").count(), 1);
    assert!(authorization.as_ref().is_some_and(|value| value.starts_with("Basic ")) && !form.contains("secret"));
    // what was asked there is what comes back here
    door.grants(&id_token(&asked, json!({})));
    let back = door.browse(&format!("/.carded/callback/corp?code=c0de&state={}", asked["state"]));
    assert_eq!((back.status, back.header("location")), (303, Some("/account/orders?year=1990")), "{}", back.body);
    assert_eq!(door.browse("/account").status, 200);
}

#[test]
fn who_we_are_is_told_once() {
    let mut door = door(|configured| configured["login"]["corp"]["auth_method"] = json!("client_secret_post"));
    door.says(EffectKind::Pushed, 201, REFERENCE);
    door.begin("/account");
    let (_, form, authorization) = door.others.pop().unwrap();
    assert!(authorization.is_none() && form.contains("client_secret=a+secret"));
    assert_eq!(form.matches("client_id=").count(), 1);
}

#[test]
fn a_provider_that_gives_no_reference_is_a_page_with_a_way_on() {
    let long = format!(r#"{{"request_uri":"{}"}}"#, "x".repeat(2000));
    for (status, body, code) in [
        (500, "", "login_unavailable"),
        (400, r#"{"error":"invalid_request","error_description":"<b>"}"#, "login_failed"),
        (400, "<html>", "login_failed"),
        (200, REFERENCE, "login_failed"),
        (201, "", "login_failed"),
        (201, r#"{"request_uri":7}"#, "login_failed"),
        (201, r#"{"request_uri":""}"#, "login_failed"),
        (201, r#"{"request_uri":"a b\r\n"}"#, "login_failed"),
        (201, long.as_str(), "login_failed"),
    ] {
        let mut door = door(|_| {});
        door.says(EffectKind::Pushed, status, body);
        let answered = door.browse("/account");
        assert_eq!(answered.code, code, "{status} {body}");
        assert!(answered.status >= 400 && answered.body.contains("href=\"/account\""), "{}", answered.body);
        assert!(door.cookies.is_empty());
    }
    let mut door = door(|_| {});
    assert_eq!(door.browse("/account").code, "login_unavailable", "nobody is there");
}

#[test]
fn where_the_endpoint_cannot_be_reached_it_is_used_only_if_it_must_be() {
    let elsewhere = json!({ "pushed_authorization_request_endpoint": "https://par.example.com/par" });
    let mut door = Door::new(config());
    door.metadata = elsewhere.clone();
    assert!(door.begin("/account").contains_key("state"), "the plain way");
    let mut door = Door::new(config());
    door.metadata = elsewhere;
    door.metadata["require_pushed_authorization_requests"] = json!(true);
    assert_eq!(door.browse("/account").code, "login_unavailable");
}

#[test]
fn threat_79_who_begins_to_sign_in_again_and_again_makes_so_many_calls_in_a_second() {
    for required in [false, true] {
        let mut door = door(|_| {});
        door.metadata["require_pushed_authorization_requests"] = json!(required);
        door.says(EffectKind::Pushed, 201, REFERENCE);
        for number in 0..80 {
            let answered = door.browse("/account");
            door.cookies.clear();
            let to = answered.header("location").unwrap_or_default();
            match (number < 50, required) {
                (true, _) => assert!(answered.status == 303 && to.contains("request_uri="), "{number}: {to}"),
                // the others go the plain way, or wait a moment
                (false, false) => assert!(answered.status == 303 && to.contains("code_challenge="), "{number}: {to}"),
                (false, true) => {
                    assert_eq!((answered.status, answered.code), (503, "login_unavailable"));
                    assert_eq!(answered.header("retry-after"), Some("1"));
                    assert!(answered.body.contains("href=\"/account\""), "{}", answered.body);
                }
            }
        }
        assert_eq!(door.others.len(), 50);
        door.now += 1;
        assert!(door.begin("/account").contains_key("request_uri"), "another second");
    }
}
