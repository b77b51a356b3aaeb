//! Leaving: what asks, what does it, and where it leads.

use super::provider::*;
use super::shop::{Answered, SHOP};
use super::*;

fn leave(door: &mut Door, headers: &[(&str, &str)]) -> Answered {
    let cookie = door.cookies.get("__Host-carded").map(|value| format!("__Host-carded={value}")).unwrap_or_default();
    let mut all = vec![("cookie", cookie.as_str())];
    all.extend(headers);
    door.ask("POST", "/.carded/logout", &all)
}

fn clears(answered: &Answered) -> bool {
    let cleared = |(name, value): &(String, String)| name == "set-cookie" && value.starts_with("__Host-carded=; ");
    answered.headers.iter().any(cleared)
}

#[test]
fn a_person_leaves_here_and_at_the_provider() {
    let mut configured = config();
    configured["login"]["corp"]["post_logout_path"] = json!("/bye?now=1");
    let mut door = Door::new(configured);
    door.enter("/account");
    let asked = door.browse("/.carded/logout");
    assert_eq!(asked.status, 200);
    assert!(asked.body.contains("<form method=\"post\" action=\"/.carded/logout\">"), "{}", asked.body);
    let policy = asked.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self' https://idp.example.com;"), "{policy}");
    assert_eq!(asked.header("referrer-policy"), Some("same-origin"), "else the form comes from the origin null");
    assert!(!clears(&asked) && door.browse("/account").status == 200, "to ask is not to leave");

    let left = leave(&mut door, &[("origin", SHOP)]);
    assert!(left.status == 303 && clears(&left), "{}", left.body);
    let to = left.header("location").unwrap();
    let expected = "https://idp.example.com/end?client_id=shop&post_logout_redirect_uri=";
    assert_eq!(to, format!("{expected}https%3A%2F%2Fshop.example.com%2Fbye%3Fnow%3D1"));
}

#[test]
fn threat_86_other_sites_sign_nobody_out() {
    let mut door = Door::new(config());
    door.enter("/account");
    for headers in [
        &[][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "cross-site")],
    ] {
        let answered = leave(&mut door, headers);
        assert_eq!((answered.status, answered.code), (403, "cross_site"), "{headers:?}");
        assert!(!clears(&answered));
    }
    assert!(clears(&leave(&mut door, &[("sec-fetch-site", "same-origin")])));
    assert_eq!(door.ask("DELETE", "/.carded/logout", &[]).status, 405);
}

#[test]
fn where_the_provider_has_no_logout_or_nobody_signed_in_the_page_says_so() {
    let mut door = Door::new(config());
    let answered = leave(&mut door, &[("origin", SHOP)]);
    assert!(answered.status == 200 && clears(&answered) && answered.body.contains("signed out"));
    let policy = door.browse("/.carded/logout");
    assert!(policy.header("content-security-policy").unwrap().contains("form-action 'self' ;"));

    let mut door = Door::new(config());
    door.metadata = json!({ "end_session_endpoint": "http://idp.example.com/end" });
    door.enter("/account");
    let answered = leave(&mut door, &[("origin", SHOP)]);
    assert_eq!((answered.status, answered.header("location")), (200, None), "{}", answered.body);
    assert!(clears(&answered));

    let mut other = config();
    other.as_object_mut().unwrap().remove("sessions");
    other["rules"] = json!([{ "match": { "path": "/**" }, "allow": "anyone" }]);
    assert_eq!(Door::new(other).browse("/.carded/logout").status, 404);
}
