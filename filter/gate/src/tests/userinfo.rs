//! Claims of the UserInfo endpoint, and who it probably is (`login_hint`).

use carded_verifier::FetchFailure;

use super::provider::*;
use super::*;

/// A shop that asks for a department too, which no ID token has.
fn door() -> Door {
    let mut configured = config();
    configured["login"]["corp"]["userinfo"] = json!(true);
    configured["forward"]["headers"]["x-department"] = json!("corp.department");
    let mut door = Door::new(configured);
    door.metadata = json!({ "userinfo_endpoint": format!("{IDP}/me") });
    door
}

#[test]
fn claims_that_the_id_token_lacks_come_from_userinfo() {
    let mut door = door();
    let claims = json!({ "sub": "alice", "department": "wine", "email": "other@example.com", "photo": "x" });
    door.says(EffectKind::UserInfo, 200, &claims.to_string());
    assert_eq!(door.enter("/account").status, 303);
    let (kind, form, authorization) = door.others.pop().unwrap();
    assert_eq!((kind, form.as_str(), authorization.as_deref()), (EffectKind::UserInfo, "", Some("Bearer opaque")));
    assert!(door.others.is_empty() && door.calls.len() == 1);
    let answered = door.browse("/account");
    assert_eq!(answered.header("x-department"), Some("wine"));
    assert_eq!(answered.header("x-carded-email"), Some("alice@example.com"), "the ID token counts before it");
    assert!(door.others.is_empty(), "it is asked once");
}

#[test]
fn userinfo_of_somebody_else_or_of_nobody_signs_nobody_in() {
    for (status, body, expected) in [
        (200, r#"{"sub":"mallory"}"#, (403, "login_failed")),
        (200, r#"{"sub":["alice"]}"#, (403, "login_failed")),
        (200, r#"{"department":"wine"}"#, (403, "login_failed")),
        (200, r#"{"sub":"alice","sub":"alice"}"#, (403, "login_failed")),
        (200, "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.AAAA", (403, "login_failed")),
        (200, "", (403, "login_failed")),
        (201, r#"{"sub":"alice"}"#, (403, "login_failed")),
        (302, r#"{"sub":"alice"}"#, (403, "login_failed")),
        (401, r#"{"sub":"alice"}"#, (403, "login_failed")),
        (503, r#"{"sub":"alice"}"#, (503, "login_unavailable")),
    ] {
        let mut door = door();
        door.says(EffectKind::UserInfo, status, body);
        assert_eq!(is(&door.enter("/account")), expected, "{status} {body}");
        assert!(!door.cookies.contains_key("__Host-carded"), "{status} {body}");
    }
    let mut down = door();
    down.to_others = vec![(EffectKind::UserInfo, Err(FetchFailure::Timeout))];
    assert_eq!(is(&down.enter("/account")), (503, "login_unavailable"));
    let mut nowhere = door();
    nowhere.metadata = json!({});
    assert_eq!(is(&nowhere.enter("/account")), (503, "login_unavailable"));
    assert!(nowhere.others.is_empty());
}

#[test]
fn a_refresh_asks_userinfo_too_and_again_later_where_it_is_down() {
    let mut configured = config();
    configured["login"]["corp"]["userinfo"] = json!(true);
    configured["login"]["corp"]["refresh"] = json!(true);
    configured["forward"]["headers"]["x-department"] = json!("corp.department");
    let mut door = Door::new(configured);
    door.metadata = json!({ "userinfo_endpoint": format!("{IDP}/me") });
    let tokens = |door: &mut Door, nonce: Value, refresh_token: &str| {
        let id_token = id_token(
            &[("nonce".to_owned(), String::new())].into(),
            json!({ "nonce": nonce, "iat": door.now, "exp": door.now + 300 }),
        );
        let body = json!({ "access_token": "opaque", "token_type": "Bearer", "id_token": id_token, "expires_in": 600, "refresh_token": refresh_token });
        door.answers(200, &body);
    };
    let sent = door.begin("/account");
    tokens(&mut door, json!(sent["nonce"]), "first");
    door.says(EffectKind::UserInfo, 200, r#"{"sub":"alice","department":"wine"}"#);
    door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
    for (now, status, department, calls) in
        [(450, 503, "wine", 2), (479, 503, "wine", 2), (480, 200, "beer", 3), (481, 200, "beer", 3)]
    {
        door.now = NOW + now;
        tokens(&mut door, Value::Null, &format!("at {now}"));
        door.says(EffectKind::UserInfo, status, r#"{"sub":"alice","department":"beer"}"#);
        let answered = door.browse("/account");
        assert_eq!((is(&answered), answered.header("x-department")), ((200, "forwarded"), Some(department)), "{now}");
        assert_eq!(door.calls.len(), calls, "{now}");
    }
    assert!(
        door.calls[2].0.ends_with("refresh_token=at+450"),
        "the token of the first try is not lost: {}",
        door.calls[2].0
    );
    door.now = NOW + 480 + 450;
    tokens(&mut door, Value::Null, "last");
    door.says(EffectKind::UserInfo, 200, r#"{"sub":"mallory"}"#);
    assert_eq!(is(&door.browse("/account")), (303, "login_required"), "somebody else's claims end it");
}

#[test]
fn a_link_says_who_it_probably_is() {
    let mut door = Door::new(config());
    let sent = door.begin("/.carded/login/corp?to=/account&login_hint=alice%40example.com%26x");
    assert_eq!(sent["login_hint"], "alice@example.com&x");
    assert!(!door.begin("/.carded/login/corp?to=/account").contains_key("login_hint"));
    assert!(!door.begin("/account?login_hint=mallory").contains_key("login_hint"), "of our own link alone");
    for bad in ["a%0d%0ab", "%00", &"a".repeat(257)] {
        let answered = door.browse(&format!("/.carded/login/corp?to=/account&login_hint={bad}"));
        assert_eq!(is(&answered), (400, "request_malformed"), "{bad}");
    }
}
