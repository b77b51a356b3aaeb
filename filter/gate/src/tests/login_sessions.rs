//! The session of somebody who signed in: how long it lasts, and how large it is.

use super::provider::*;
use super::shop::SHOP;
use super::*;

#[test]
fn a_session_ends_after_its_lifetime_and_each_login_has_a_new_one() {
    let mut configured = config();
    configured["sessions"]["lifetime"] = json!("1h");
    let mut door = Door::new(configured);
    door.enter("/account");
    let first = door.cookies["__Host-carded"].clone();
    door.now = NOW + 3599;
    assert_eq!(door.browse("/account").status, 200);
    door.now = NOW + 3600;
    assert_eq!(door.browse("/account").status, 303);
    door.now = NOW;
    let id = |door: &Door| {
        let cookie = format!("__Host-carded={}", door.cookies["__Host-carded"]);
        let request = Request::from_pairs([(&b"cookie"[..], cookie.as_bytes())]);
        door.gate.sessions.as_ref().unwrap().read(&request, SHOP, Timestamp::from_unix(NOW)).0
    };
    let before = id(&door);
    door.enter("/.carded/login/corp?to=/account");
    let after = id(&door);
    assert_ne!(before.id, after.id, "threat 68");
    assert_eq!((before.id.len(), after.logins.len()), (22, 1));
    assert_ne!(first, door.cookies["__Host-carded"]);
    let claims = serde_json::to_string(&after.logins).unwrap();
    assert!(!claims.contains("secret"), "only what is asked for is kept: {claims}");
    // somebody else signs in: nothing of the one before stays
    let sent = door.begin("/.carded/login/corp?to=/account");
    door.grants(&id_token(&sent, json!({ "sub": "bob" })));
    door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
    assert_eq!(door.browse("/account").header("x-carded-subject"), Some("bob"));
}

#[test]
fn a_session_that_nobody_uses_ends_and_one_that_is_used_ends_after_its_lifetime() {
    let mut configured = config();
    configured["sessions"]["lifetime"] = json!("1h");
    configured["sessions"]["idle"] = json!("10m");
    let mut door = Door::new(configured.clone());
    door.enter("/account");
    door.now = NOW + 299;
    assert_eq!(is(&door.browse("/account?a=1")), (200, "forwarded"));
    // half of the time is over: the same address again, with a new cookie
    door.now = NOW + 300;
    let renewed = door.browse("/account?a=1");
    assert_eq!((renewed.status, renewed.header("location")), (303, Some("/account?a=1")));
    assert_eq!(is(&door.browse("/account?a=1")), (200, "forwarded"));
    // nobody else is sent anywhere
    door.now = NOW + 800;
    let cookie = format!("__Host-carded={}", door.cookies["__Host-carded"]);
    assert_eq!(is(&door.ask("GET", "/account", &[("cookie", &cookie)])), (200, "forwarded"));
    door.now = NOW + 900;
    assert_eq!(is(&door.browse("/account")), (303, "login_required"), "ten minutes without a page");
    // use does not make it longer than its lifetime
    door.now = NOW;
    door.enter("/account");
    for minute in 1..60 {
        door.now = NOW + minute * 60;
        let answered = door.browse("/account");
        assert!(answered.status == 200 || answered.header("location") == Some("/account"), "minute {minute}");
    }
    door.now = NOW + 3600;
    assert_eq!(is(&door.browse("/account")), (303, "login_required"));
    for (idle, good) in [("1m", true), ("59s", false), ("1h", true), ("61m", false)] {
        configured["sessions"]["idle"] = json!(idle);
        let environment = |name: &str| Some(if name == "KEY_session" { "A".repeat(43) } else { "x".repeat(40) });
        let built = Gate::new(&Config::from_value(configured.clone()).unwrap(), &environment, Arc::new(RustCrypto));
        assert_eq!(built.is_ok(), good, "{idle}");
    }
}

/// What a directory of a company says of somebody, forty claims of it.
fn forty() -> Vec<(String, Value)> {
    let texts = [
        ("name", "Aleksandra Wiśniewska-Kowalczyk"),
        ("email", "aleksandra.wisniewska-kowalczyk@subsidiary.example.com"),
        ("preferred_username", "awisniewska@corp.example.com"),
        ("department", "Research and Development, Platform Engineering"),
        ("employee_id", "0048-771-223-9918"),
        ("manager", "CN=Jan Nowak,OU=People,DC=corp,DC=example,DC=com"),
        ("locale", "pl-PL"),
        ("cost_center", "CC-4711-EMEA-WARSAW"),
    ];
    let mut all: Vec<_> = texts.map(|(name, value)| (name.to_owned(), json!(value))).to_vec();
    all.push(("groups".to_owned(), json!(["clerk", "warsaw-all", "platform-admins", "oncall", "vpn-users"])));
    for number in all.len()..40 {
        all.push((format!("attribute_{number}"), json!(format!("value number {number} of it"))));
    }
    all
}

#[test]
fn threat_70_a_session_with_forty_claims_stays_under_four_kilobytes() {
    let mut configured = config();
    let mut claims = json!({ "acr": "urn:mace:incommon:iap:silver", "sid": "7c9c5b1e-0c69-4a64-8d60-6f5ad7e7b2f1" });
    for (name, value) in forty() {
        configured["forward"]["headers"][format!("x-{}", name.replace('_', "-"))] = json!(format!("corp.{name}"));
        claims[name] = value;
    }
    // what nothing asks for is not kept, however large
    claims["photo"] = json!("x".repeat(4000));
    let mut door = Door::new(configured);
    let sent = door.begin("/account");
    door.grants(&id_token(&sent, claims));
    let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
    let sets: Vec<_> =
        back.headers.iter().filter(|(name, set)| name == "set-cookie" && !set.contains("-tx-")).collect();
    let [(_, set)] = sets.as_slice() else { panic!("{} cookies", sets.len()) };
    assert!((2500..4096).contains(&set.len()), "{} bytes", set.len());
    let answered = door.browse("/account");
    assert_eq!(answered.header("x-attribute-39"), Some("value number 39 of it"));
    assert_eq!(answered.header("x-manager"), Some("CN=Jan Nowak,OU=People,DC=corp,DC=example,DC=com"));
}

#[test]
fn threat_70_a_session_in_parts_is_one_session_and_parts_of_two_are_none() {
    let mut configured = config();
    configured["forward"]["headers"]["x-note"] = json!("corp.note");
    let enter = |door: &mut Door, size: usize| {
        let sent = door.begin("/.carded/login/corp?to=/account");
        door.grants(&id_token(&sent, json!({ "note": "n".repeat(size) })));
        door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]))
    };
    let mut door = Door::new(configured);
    assert_eq!(enter(&mut door, 7000).status, 303);
    let names: Vec<_> = door.cookies.keys().cloned().collect();
    assert_eq!(names, ["__Host-carded", "__Host-carded-part-1", "__Host-carded-part-2"]);
    for _ in 0..2 {
        let answered = door.browse("/account");
        assert_eq!(is(&answered), (200, "forwarded"));
        assert_eq!(answered.header("x-note").map(str::len), Some(7000));
        assert!(answered.header("cookie").is_none(), "no service sees any part (threat 85)");
    }
    // parts of another session of the same person
    let first = door.cookies.clone();
    enter(&mut door, 7000);
    let second = door.cookies.clone();
    for name in &names {
        door.cookies.clone_from(&second);
        door.cookies.insert(name.clone(), first[name].clone());
        assert_eq!(is(&door.browse("/account")), (303, "login_required"), "{name} of another");
        door.cookies.clone_from(&second);
        door.cookies.remove(name);
        assert_eq!(is(&door.browse("/account")), (303, "login_required"), "without {name}");
    }
    door.cookies.clone_from(&second);
    door.cookies.insert(names[1].clone(), second[&names[2]].clone());
    assert_eq!(is(&door.browse("/account")), (303, "login_required"), "in another order");
    // a shorter one leaves no part behind, and a longer one than there can be is refused in its own words
    door.cookies.clone_from(&second);
    assert_eq!(enter(&mut door, 10).status, 303);
    assert_eq!(door.cookies.keys().collect::<Vec<_>>(), ["__Host-carded"]);
    let refused = enter(&mut door, 9000);
    assert_eq!(is(&refused), (500, "session_too_large"));
    // leaving takes all of them
    door.cookies.clone_from(&second);
    let cookies: Vec<String> = door.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let left = door.ask("POST", "/.carded/logout", &[("cookie", &cookies.join("; ")), ("origin", SHOP)]);
    for name in &names {
        assert!(
            left.headers.iter().any(|(of, set)| of == "set-cookie" && set.starts_with(&format!("{name}=; "))),
            "{name}"
        );
    }
}

#[test]
fn threat_91_a_claim_of_who_signed_in_that_is_illegal_in_a_header_refuses() {
    for (claims, good) in [
        (json!({ "email": "alice@example.com" }), true),
        (json!({ "email": "a\r\nx-admin: 1" }), false),
        (json!({ "email": "a\u{0}" }), false),
        (json!({ "sub": "a\nb" }), false),
    ] {
        let mut door = Door::new(config());
        let sent = door.begin("/account");
        door.grants(&id_token(&sent, claims.clone()));
        let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
        assert_eq!(back.status, 303, "{}", back.body);
        for _ in 0..2 {
            let expected = if good { (200, "forwarded") } else { (403, "claim_not_forwardable") };
            assert_eq!(is(&door.browse("/account")), expected, "{claims}");
        }
    }
}
