//! Asking the provider again before its tokens end: once, and never more than the session was given.

use carded_verifier::FetchFailure;

use super::provider::*;
use super::*;

/// Tokens that last ten minutes: the provider is asked after seven and a half.
const LASTS: i64 = 600;
const DUE: i64 = 450;

fn refreshing() -> Value {
    let mut configured = config();
    configured["login"]["corp"]["refresh"] = json!(true);
    configured["login"]["corp"]["scopes"] = json!(["openid", "offline_access"]);
    configured
}

/// Alice is signed in, and the provider gave a refresh token.
fn entered(configured: Value) -> Door {
    entered_with(configured, json!({}))
}

fn entered_with(configured: Value, claims: Value) -> Door {
    let mut door = Door::new(configured);
    let sent = door.begin("/account");
    grants(&mut door, Some(&id_token(&sent, claims)), Some("first"));
    let back = door.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
    assert_eq!(back.status, 303, "{}", back.body);
    door.metadata = json!({ "nonce": sent["nonce"] });
    door.calls.clear();
    door
}

/// What the token endpoint answers next.
fn grants(door: &mut Door, id_token: Option<&str>, refresh_token: Option<&str>) {
    let mut body = json!({ "access_token": "opaque", "token_type": "Bearer", "expires_in": LASTS });
    for (name, value) in [("id_token", id_token), ("refresh_token", refresh_token)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    door.answers(200, &body);
}

/// An ID token of later, without a nonce.
fn later(door: &Door, claims: Value) -> String {
    let mut all = json!({ "nonce": null, "iat": door.now, "exp": door.now + 300 });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    id_token(&[("nonce".to_owned(), String::new())].into(), all)
}

/// The refresh tokens that were sent.
fn sent(door: &Door) -> Vec<String> {
    let form = |form: &String| -> std::collections::BTreeMap<String, String> {
        form_urlencoded::parse(form.as_bytes()).into_owned().collect()
    };
    let forms = door.calls.iter().map(|(text, _)| form(text));
    forms
        .inspect(|form| assert_eq!(form["grant_type"], "refresh_token"))
        .map(|form| form["refresh_token"].clone())
        .collect()
}

#[test]
fn a_session_is_refreshed_ahead_of_its_end_and_not_before() {
    let mut door = entered(refreshing());
    let names: Vec<_> = door.cookies.keys().cloned().collect();
    assert_eq!(names, ["__Host-carded", "__Host-carded-rt-corp"]);
    door.now = NOW + DUE - 1;
    assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
    assert!(door.calls.is_empty());

    door.now = NOW + DUE;
    let old = door.cookies.clone();
    let new = later(&door, json!({ "email": "new@example.com" }));
    grants(&mut door, Some(&new), Some("second"));
    let answered = door.browse("/account?x=1");
    assert_eq!(is(&answered), (200, "forwarded"), "it goes on, {}", answered.body);
    assert_eq!(answered.header("x-carded-email"), Some("new@example.com"), "with what was learnt");
    assert_eq!(sent(&door), ["first"]);
    assert!(door.cookies.iter().all(|(name, value)| old[name] != *value), "both cookies are new");

    // the next one goes on from there
    door.now = NOW + DUE + DUE;
    grants(&mut door, None, None);
    assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
    assert_eq!(sent(&door), ["first", "second"]);
    // neither a new ID token nor a new refresh token came: what was known stays
    door.now = NOW + DUE * 3;
    let answered = door.browse("/account");
    assert_eq!((answered.status, answered.header("x-carded-email")), (200, Some("new@example.com")));
    assert_eq!(sent(&door), ["first", "second", "second"]);
    let names: Vec<_> = door.cookies.keys().cloned().collect();
    assert_eq!(names, ["__Host-carded", "__Host-carded-rt-corp"]);
}

#[test]
fn followers_with_the_old_cookie_go_on_and_never_send_its_token_again() {
    let mut door = entered(refreshing());
    let old = door.cookies.clone();
    door.now = NOW + DUE;
    let new = later(&door, json!({}));
    grants(&mut door, Some(&new), Some("second"));
    assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
    let new = door.cookies.clone();
    for now in [DUE, DUE + 31, LASTS - 1] {
        door.now = NOW + now;
        door.cookies.clone_from(&old);
        let answered = door.browse("/account");
        assert_eq!((is(&answered), answered.header("set-cookie")), ((200, "forwarded"), None), "{now}");
    }
    door.now = NOW + LASTS;
    let answered = door.browse("/account");
    assert_eq!(is(&answered), (503, "login_unavailable"), "its session is over, and a new one is there");
    assert_eq!(answered.header("retry-after"), Some("1"));
    assert_eq!(sent(&door), ["first"]);
    door.cookies = new;
    assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
    assert_eq!(door.calls.len(), 1);
}

#[test]
fn a_session_that_slept_is_refreshed_late_until_its_lifetime_is_over() {
    let mut configured = refreshing();
    configured["sessions"]["lifetime"] = json!("1h");
    let mut door = entered(configured);
    door.now = NOW + 3000;
    let new = later(&door, json!({}));
    grants(&mut door, Some(&new), Some("second"));
    assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
    for now in [3450, 3599] {
        door.now = NOW + now;
        let new = later(&door, json!({}));
        grants(&mut door, Some(&new), Some("more"));
        assert_eq!(is(&door.browse("/account")), (200, "forwarded"), "{now}");
    }
    door.now = NOW + 3600;
    assert_eq!(is(&door.browse("/account")), (303, "login_required"), "no refresh makes it longer");
    assert!(sent(&door).len() <= 3);
}

#[test]
fn a_provider_that_says_no_ends_the_session() {
    let mut door = entered(refreshing());
    door.now = NOW + DUE;
    door.answers(400, &json!({ "error": "invalid_grant" }));
    let kept = door.cookies.clone();
    let cookies: Vec<String> = kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let program = door.ask("GET", "/account", &[("cookie", &cookies.join("; "))]);
    assert_eq!(is(&program), (401, "login_required"));
    let cleared = program.headers.iter().filter(|(name, value)| name == "set-cookie" && value.contains("=; Path=/"));
    assert_eq!(cleared.count(), 2, "{:?}", program.headers);

    let mut door = entered(refreshing());
    door.now = NOW + DUE;
    door.answers(400, &json!({ "error": "invalid_grant" }));
    assert_eq!(is(&door.browse("/account")), (303, "login_required"));
    assert!(door.cookies.keys().all(|name| name.starts_with("__Host-carded-tx-")), "{:?}", door.cookies.keys());
    // where nobody has to be signed in the request goes on as nobody's
    let mut configured = refreshing();
    let rule = json!({ "match": { "path": "/maybe" }, "optional": { "login": "corp" } });
    configured["rules"].as_array_mut().unwrap().push(rule);
    let mut door = entered(configured);
    door.now = NOW + DUE;
    door.answers(400, &json!({ "error": "invalid_grant" }));
    let answered = door.browse("/maybe");
    assert_eq!((is(&answered), answered.header("x-carded-subject")), ((200, "forwarded"), None));
    assert!(door.cookies.is_empty());
}

#[test]
fn a_provider_that_is_down_ends_nothing_and_is_asked_again_after_a_while() {
    let gone = [
        Err(FetchFailure::Unreachable),
        Err(FetchFailure::Timeout),
        Ok(carded_verifier::Reply { status: 503, body: b"oops".to_vec(), max_age: None }),
        Ok(carded_verifier::Reply { status: 200, body: b"{}".to_vec(), max_age: None }),
        Ok(carded_verifier::Reply { status: 401, body: br#"{"error":"invalid_client"}"#.to_vec(), max_age: None }),
    ];
    for effected in gone {
        let mut door = entered(refreshing());
        let kept = door.cookies.clone();
        door.effected = effected;
        for (now, calls) in [(DUE, 1), (DUE + 1, 1), (DUE + 29, 1), (DUE + 30, 2), (DUE + 59, 2), (DUE + 60, 3)] {
            door.now = NOW + now;
            assert_eq!((is(&door.browse("/account")), door.calls.len()), ((200, "forwarded"), calls), "{now}");
        }
        assert_eq!(kept, door.cookies);
        door.now = NOW + DUE + 90;
        let new = later(&door, json!({}));
        grants(&mut door, Some(&new), Some("second"));
        assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
        assert_ne!(kept, door.cookies);
        // and to its end it does not come back
        let mut door = entered(refreshing());
        door.effected = Err(FetchFailure::Unreachable);
        door.now = NOW + LASTS;
        assert_eq!(door.browse("/account").status, 303);
    }
}

#[test]
fn a_refreshed_id_token_is_of_the_same_person_and_login() {
    for (claims, good) in [
        (json!({}), true),
        (json!({ "nonce": "the same" }), true),
        (json!({ "nonce": "another" }), false),
        (json!({ "sub": "mallory" }), false),
        (json!({ "aud": "another" }), false),
        (json!({ "iss": "https://evil.example" }), false),
        (json!({ "auth_time": NOW - 50 }), true),
        (json!({ "auth_time": NOW + 10 }), true),
        (json!({ "acr": "1" }), true),
        (json!({ "acr": "0" }), false),
        (json!({ "sid": "s1" }), true),
        (json!({ "sid": "s2" }), false),
        (json!({ "exp": NOW }), false),
    ] {
        let first = json!({ "auth_time": NOW - 50, "acr": "1", "sid": "s1" });
        let mut door = entered_with(refreshing(), first);
        door.now = NOW + DUE;
        let mut all = claims.clone();
        if all["nonce"] == "the same" {
            all["nonce"] = door.metadata["nonce"].clone();
        }
        let new = later(&door, all);
        grants(&mut door, Some(&new), Some("second"));
        let expected = if good { (200, "forwarded") } else { (303, "login_required") };
        assert_eq!(is(&door.browse("/account")), expected, "{claims}");
        assert_eq!(door.cookies.contains_key("__Host-carded"), good, "{claims}");
    }
}

#[test]
fn a_refresh_is_no_proof_of_who_the_person_is() {
    let mut configured = refreshing();
    configured["rules"].as_array_mut().unwrap().insert(
        0,
        json!({ "match": { "path": "/fresh" }, "require": { "login": "corp" }, "otherwise": "login", "max_age": "5m" }),
    );
    let mut door = entered_with(configured, json!({ "auth_time": NOW }));
    assert_eq!(is(&door.browse("/fresh")), (200, "forwarded"));
    door.now = NOW + DUE;
    // PyPI authlib says so of each refresh
    let new = later(&door, json!({ "auth_time": NOW + DUE }));
    grants(&mut door, Some(&new), Some("second"));
    assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
    assert_eq!(sent(&door), ["first"]);
    let asks = door.browse("/fresh");
    assert_eq!(asks.status, 303, "{}", asks.body);
    assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
}

#[test]
fn a_refresh_token_is_of_use_to_its_own_session_alone() {
    let mut door = entered(refreshing());
    let token = door.cookies["__Host-carded-rt-corp"].clone();
    let mut other = Door::new(refreshing());
    let sent = other.begin("/account");
    grants(&mut other, Some(&id_token(&sent, json!({ "sub": "mallory" }))), Some("of mallory"));
    other.browse(&format!("/.carded/callback/corp?code=c&state={}", sent["state"]));
    other.calls.clear();
    other.now = NOW + DUE;
    for stolen in [token.as_str(), door.cookies["__Host-carded"].as_str(), "damaged"] {
        other.cookies.insert("__Host-carded-rt-corp".to_owned(), stolen.to_owned());
        assert_eq!(is(&other.browse("/account")), (200, "forwarded"), "it goes on to its end");
        assert!(other.calls.is_empty());
    }
    // and without a session it is nothing
    door.cookies.remove("__Host-carded");
    door.now = NOW + DUE;
    assert_eq!(door.browse("/account").status, 303);
    assert!(door.calls.is_empty());
}

#[test]
fn nothing_is_refreshed_where_nothing_says_so() {
    let mut door = entered(config());
    assert_eq!(door.cookies.keys().collect::<Vec<_>>(), ["__Host-carded"]);
    door.now = NOW + LASTS * 4;
    assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
    assert!(door.calls.is_empty());
    // and where the provider gives no refresh token, the session is as long as ever
    let mut door = Door::new(refreshing());
    door.enter("/account");
    assert_eq!(door.cookies.keys().collect::<Vec<_>>(), ["__Host-carded"]);
    door.now = NOW + LASTS * 4;
    assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
}

#[test]
fn logging_out_takes_the_refresh_token_too() {
    let mut door = entered(refreshing());
    let cookies: Vec<String> = door.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers = [("cookie", cookies.join("; ")), ("origin", "https://shop.example.com".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let left = door.ask("POST", "/.carded/logout", &headers);
    let cleared: Vec<_> =
        left.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, set)| set.as_str()).collect();
    assert!(cleared.iter().any(|set| set.starts_with("__Host-carded-rt-corp=; ")), "{cleared:?}");
    assert!(cleared.iter().any(|set| set.starts_with("__Host-carded=; ")), "{cleared:?}");
}

#[test]
fn a_login_that_is_refreshed_has_a_name_that_a_cookie_can_have() {
    let text = refreshing().to_string();
    let environment = |name: &str| Some(if name == "KEY_session" { "A".repeat(43) } else { "x".repeat(40) });
    for (length, good) in [(32, true), (33, false)] {
        let name = "a".repeat(length);
        let text = text.replace("\"corp\"", &format!("\"{name}\"")).replace("corp.", &format!("{name}."));
        let configured = Config::from_value(serde_json::from_str(&text).unwrap()).unwrap();
        let built = Gate::new(&configured, &environment, Arc::new(RustCrypto));
        let said = built.err().map(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(said.is_none(), good, "{said:?}");
        assert!(good || said.unwrap()[0].starts_with(&format!("login.{name}.refresh: ")));
    }
}

#[test]
fn a_client_with_a_key_signs_who_it_is_each_time_anew() {
    let mut configured = refreshing();
    let login = configured["login"]["corp"].as_object_mut().unwrap();
    login.remove("client_secret");
    login.insert("private_key_jwt".to_owned(), json!({ "env": "KEY_private" }));
    let mut door = Door::new(configured.clone());
    let begun = door.begin("/account");
    grants(&mut door, Some(&id_token(&begun, json!({}))), Some("first"));
    assert_eq!(door.browse(&format!("/.carded/callback/corp?code=c&state={}", begun["state"])).status, 303);
    door.now = NOW + DUE;
    let new = later(&door, json!({}));
    grants(&mut door, Some(&new), Some("second"));
    assert_eq!(is(&door.browse("/account")), (200, "forwarded"));
    let mut public = private_key();
    public.as_object_mut().unwrap().remove("d");
    let (public, _) = carded_verifier::jwk::PublicKey::from_jwk(public.as_object().unwrap()).unwrap();
    let mut seen = Vec::new();
    for ((text, authorization), now) in door.calls.iter().zip([NOW, NOW + DUE]) {
        let form: std::collections::BTreeMap<String, String> =
            form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        assert!(authorization.is_none() && !form.contains_key("client_secret"));
        assert_eq!(form["client_id"], "shop");
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let (message, signature) = form["client_assertion"].rsplit_once('.').unwrap();
        let decode = |text: &str| carded_verifier::base64url::decode(text).unwrap();
        let algorithm = carded_verifier::Algorithm::parse("EdDSA").unwrap();
        let provider: &dyn carded_verifier::SignatureProvider = &RustCrypto;
        assert!(provider.verify(algorithm, &public, message.as_bytes(), &decode(signature)).is_ok());
        let (header, claims) = message.split_once('.').unwrap();
        let read = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
        assert_eq!(read(header), json!({ "alg": "EdDSA", "kid": "ours", "typ": "JWT" }));
        let mut claims = read(claims);
        seen.push(claims["jti"].take());
        let expected = json!({ "iss": "shop", "sub": "shop", "aud": IDP, "jti": null, "iat": now, "exp": now + 60 });
        assert_eq!(claims, expected);
    }
    assert!(seen.len() == 2 && seen[0] != seen[1] && seen[0].is_string());

    let said = |configured: &Value, key: Option<&str>| {
        let key = key.map(str::to_owned);
        let environment = |name: &str| match name {
            "KEY_session" => Some("A".repeat(43)),
            "KEY_private" => key.clone(),
            _ => Some("x".repeat(40)),
        };
        let built = Gate::new(&Config::from_value(configured.clone()).unwrap(), &environment, Arc::new(RustCrypto));
        built.err().map_or_else(String::new, |errors| errors[0].to_string())
    };
    let good = private_key().to_string();
    assert_eq!(said(&configured, Some(&good)), "");
    let mut other = private_key();
    other["x"] = json!("AAAA");
    for bad in [None, Some("secret"), Some("{}"), Some(other.to_string().as_str())] {
        let said = said(&configured, bad);
        assert!(said.starts_with("login.corp.private_key_jwt: ") && !said.contains("nWGxne"), "{said}");
    }
    let mut both = configured.clone();
    both["login"]["corp"]["client_secret"] = json!({ "env": "KEY_client" });
    assert!(said(&both, Some(&good)).starts_with("login.corp: it needs either"), "{}", said(&both, Some(&good)));
    let mut neither = configured.clone();
    neither["login"]["corp"].as_object_mut().unwrap().remove("private_key_jwt");
    assert!(said(&neither, Some(&good)).starts_with("login.corp: it needs either"));
    let mut method = configured;
    method["login"]["corp"]["auth_method"] = json!("client_secret_post");
    assert!(said(&method, Some(&good)).starts_with("login.corp.auth_method: "));
}
