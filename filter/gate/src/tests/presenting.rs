//! Credentials that are shown in a browser, from the request to the wallet until the answer is opened.

use carded_verifier::base64url;

use super::shop::*;
use super::*;

#[test]
fn a_person_shows_an_age_and_is_remembered() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    let answered = shop.browse("/wine/white", &format!("a=1; {session}"));
    assert_eq!((answered.status, answered.code), (200, "forwarded"));
    assert_eq!(answered.header("x-carded-over-21"), Some("true"));
    assert_eq!(answered.header("cookie"), Some("a=1"), "our cookies are cut out");
    assert_eq!(answered.headers.iter().filter(|(name, _)| name.starts_with("x-carded")).count(), 1, "and nothing more");
    assert_eq!(shop.browse("/open", &session).header("-cookie"), Some(""), "on every path");
    assert_eq!(shop.browse("/wine/white", "").status, 303, "another browser");
}

#[test]
fn the_request_is_what_openid4vp_asks_for() {
    let mut shop = Shop::new(config());
    let (parameters, _) = shop.begin("/wine/red");
    assert_eq!(parameters["response_type"], "vp_token");
    assert_eq!(parameters["response_mode"], "direct_post");
    assert_eq!(parameters["client_id"], format!("redirect_uri:{SHOP}/.carded/response"));
    assert_eq!(parameters["response_uri"], format!("{SHOP}/.carded/response"));
    let query: Value = serde_json::from_str(&parameters["dcql_query"]).unwrap();
    assert_eq!(query["credentials"][0]["id"], "over21");
    assert_eq!(query["credentials"][0]["claims"][0]["path"], json!(["age_equal_or_over", "21"]));
    assert_eq!(query["credentials"][0]["claims"][0]["values"], json!([true]));
    let metadata: Value = serde_json::from_str(&parameters["client_metadata"]).unwrap();
    assert!(metadata["vp_formats_supported"]["dc+sd-jwt"]["kb-jwt_alg_values"].is_array());
    assert!(!parameters.values().any(|value| value.contains("/wine/red")), "the wallet does not learn where to");
}

#[test]
fn threat_49_an_answer_opens_in_the_browser_that_asked_and_in_no_other() {
    let mut shop = Shop::new(config());
    let (parameters, ours) = shop.begin("/wine/red");
    let (_, theirs) = shop.begin("/wine/white");
    let presentation = show(&card(true), &parameters, NOW);
    let answered = shop.respond(&[("vp_token", &vp_token(&presentation)), ("state", &parameters["state"])]);
    let back = redirect_uri(&answered);
    for cookies in ["", &theirs, &theirs.replace(theirs.split('=').next().unwrap(), ours.split('=').next().unwrap())] {
        let done = shop.browse(&back, cookies);
        assert_eq!((done.status, done.header("location")), (400, None), "{cookies}");
        assert!(!done.headers.iter().any(|(name, value)| name == "set-cookie" && value.starts_with("__Host-carded=")));
    }
    assert_eq!(shop.browse(&back, &format!("{theirs}; {ours}")).status, 303);
}

#[test]
fn threat_47_a_presentation_works_once() {
    let mut shop = Shop::new(config());
    let (parameters, transaction) = shop.begin("/wine/red");
    let presentation = vp_token(&show(&card(true), &parameters, NOW));
    let form = [("vp_token", presentation.as_str()), ("state", &parameters["state"])];
    assert_eq!(shop.respond(&form).status, 200);
    let again = shop.respond(&form);
    let done = shop.browse(&redirect_uri(&again), &transaction);
    assert_eq!((done.status, done.code), (403, "nonce_used"));
}

#[test]
fn threat_46_a_presentation_for_another_nonce_or_client_is_refused() {
    let mut shop = Shop::new(config());
    let (ours, transaction) = shop.begin("/wine/red");
    let (other, _) = shop.begin("/wine/red");
    let mut elsewhere = ours.clone();
    elsewhere.insert("client_id".to_owned(), "redirect_uri:https://evil.example/.carded/response".to_owned());
    let mut bare = ours.clone();
    bare.insert("client_id".to_owned(), format!("{SHOP}/.carded/response"));
    for (parameters, code) in
        [(&other, "nonce_mismatch"), (&elsewhere, "audience_mismatch"), (&bare, "audience_mismatch")]
    {
        let presentation = vp_token(&show(&card(true), parameters, NOW));
        let answered = shop.respond(&[("vp_token", &presentation), ("state", &ours["state"])]);
        assert_eq!(answered.status, 200, "the person reads why in the shop");
        let done = shop.browse(&redirect_uri(&answered), &transaction);
        assert_eq!((done.status, done.code), (403, code), "{}", done.body);
    }
}

#[test]
fn threat_50_a_state_that_was_not_made_here_a_moment_ago_is_refused() {
    let mut shop = Shop::new(config());
    let (parameters, _) = shop.begin("/wine/red");
    let presentation = vp_token(&show(&card(true), &parameters, NOW));
    for state in ["", "x", &parameters["state"][..40], &"A".repeat(600)] {
        let answered = shop.respond(&[("vp_token", &presentation), ("state", state)]);
        assert_eq!((answered.status, answered.code), (400, "state_unknown"), "{state}");
    }
    assert_eq!(shop.respond(&[("vp_token", &presentation)]).status, 400);
    shop.now += 301;
    let answered = shop.respond(&[("vp_token", &presentation), ("state", &parameters["state"])]);
    assert_eq!((answered.status, answered.code), (400, "state_unknown"));
}

#[test]
fn threat_51_what_was_not_asked_for_or_does_not_fit_is_refused() {
    let mut shop = Shop::new(config());
    for (token, code) in [
        (json!({ "over18": ["x"] }), "presentation_unrequested"),
        (json!({ "over21": [show(&card(false), &shop.begin("/wine/red").0, NOW)] }), ""),
    ] {
        let (parameters, transaction) = shop.begin("/wine/red");
        let token = if code.is_empty() { json!({ "over21": [show(&card(false), &parameters, NOW)] }) } else { token };
        let answered = shop.respond(&[("vp_token", &token.to_string()), ("state", &parameters["state"])]);
        let done = shop.browse(&redirect_uri(&answered), &transaction);
        assert_eq!(done.status, 403, "{}", done.body);
        assert!(code.is_empty() || done.code == code, "{}", done.code);
        assert!(done.body.contains("Try again") && done.header("content-security-policy").is_some());
    }
}

#[test]
fn a_wallet_that_says_no_is_explained_in_the_shop() {
    let mut shop = Shop::new(config());
    for (error, code) in [("access_denied", "presentation_declined"), ("<b>", "wallet_failed")] {
        let (parameters, transaction) = shop.begin("/wine/red");
        let form =
            [("error", error), ("error_description", "<script>alert(1)</script>"), ("state", &*parameters["state"])];
        let done = redirect_uri(&shop.respond(&form));
        let done = shop.browse(&done, &transaction);
        assert_eq!((done.status, done.code), (403, code));
        assert!(!done.body.contains("<script") && !done.body.contains("<b>"), "threat 101: {}", done.body);
    }
}

#[test]
fn a_request_that_is_for_none_of_our_origins_is_misdirected() {
    let mut shop = Shop::new(config());
    let request = |authority: &str, path: &str| {
        let pairs = [
            (":method", "GET"),
            (":path", path),
            (":authority", authority),
            (":scheme", "https"),
            ("accept", "text/html"),
        ];
        Request::from_pairs(pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    };
    for path in ["/wine/red", "/.carded/done?response_code=a.b"] {
        let mut random = |_: &mut [u8]| true;
        let mut around = Around {
            verdicts: &mut shop.verdicts,
            once: &mut shop.once,
            budget: &mut shop.budget,
            random: &mut random,
            connection: &mut |_| None,
            now: Timestamp::from_unix(NOW),
        };
        let decision = shop.gate.decide(&request("evil.example", path), &shop.known, &mut around, &mut Silent);
        let Step::Reply(reply) = decision.step else { panic!("{path}") };
        assert_eq!((reply.status, reply.code), (421, "misdirected"), "{path}");
    }
}

#[test]
fn unsafe_configurations_are_refused() {
    let refused = |change: fn(&mut Value), expected: &str| {
        let mut config = config();
        change(&mut config);
        let environment = |name: &str| (name != "KEY_none").then(|| base64url::encode([5; 32]));
        let errors: Vec<String> = match Config::from_value(config) {
            Ok(config) => Gate::new(&config, &environment, Arc::new(RustCrypto))
                .unwrap_err()
                .iter()
                .map(ToString::to_string)
                .collect(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        };
        assert!(errors.iter().any(|error| error.contains(expected)), "{expected}: {errors:?}");
    };
    refused(
        |c| c["sessions"]["keys"][0]["env"] = json!("KEY_none"),
        "sessions.keys[0]: the environment variable KEY_none",
    );
    refused(|c| c["sessions"] = Value::Null, "`sessions`, which remember");
    refused(|c| c["origins"] = json!([]), "`origins`, to which answers come");
    refused(|c| c["presentation"] = Value::Null, "rules[1].otherwise");
    refused(|c| c["credentials"]["over21"]["trusted_issuers"] = json!([]), "credentials.over21.trusted_issuers");
    refused(|c| c["credentials"]["over21"]["trusted_issuers"] = json!(["http://dmv.example"]), "trusted_issuers[0]");
    refused(|c| c["credentials"]["over21"]["trusted_issuers"] = json!(["https://other.example"]), "does not name");
    refused(|c| c["credentials"]["over21"]["algorithms"] = json!(["HS256"]), "algorithms[0]");
    refused(|c| c["credentials"]["over21"]["query"]["meta"] = json!({}), "credentials.over21.query");
    refused(|c| c["credentials"]["over21"]["query"]["format"] = json!("mso_mdoc"), "credentials.over21.query");
    refused(
        |c| c["credentials"]["over21"]["query"]["claim"] = json!([]),
        "credentials.over21.query: `claim` is not known",
    );
    refused(
        |c| c["credentials"]["over21"]["query"]["claims"] = json!([]),
        "credentials.over21.query.claims: with `age`",
    );
    refused(
        |c| c["credentials"]["over21"]["query"]["id"] = json!("x"),
        "credentials.over21.query.id: the credential's",
    );
    refused(|c| c["credentials"]["over21"]["age"]["at_least"] = json!(0), "credentials.over21.age: ");
    refused(
        |c| c["credentials"]["over21"]["age"]["higher"] = json!([30, 31, 32, 33, 34, 35, 36, 37, 38]),
        "age.higher: 8",
    );
    refused(
        |c| c["credentials"]["over21"]["trusted_issuers"] = json!([{ "certificate": "!" }]),
        "trusted_issuers[0]: the certificate is neither PEM nor base64",
    );
    refused(|c| c["credentials"]["corp"] = c["credentials"]["over21"].clone(), "an issuer has this name too");
    refused(|c| c["rules"][1]["require"]["credential"] = json!("over18"), "rules[1].require.credential");
    refused(|c| c["rules"][0]["otherwise"] = json!("present"), "rules[0].otherwise");
    refused(
        |c| c["presentation"]["wallets"][0]["authorization_endpoint"] = json!("javascript:alert(1)"),
        "authorization_endpoint",
    );
    refused(|c| c["credentials"]["over21"]["verify"] = json!(false), "credentials.over21.verify: unknown field");
}

#[test]
fn threat_64_the_way_back_stays_here() {
    let mut shop = Shop::new(config());
    for path in ["//evil.example/wine/x", "/\\evil.example", "/wine/%5c%5cevil", "https://evil.example/wine/x"] {
        let answered = shop.browse(path, "");
        assert_ne!(answered.status, 303, "{path}");
    }
    let (parameters, transaction) = shop.begin("/wine/red?to=//evil.example%0d%0a");
    let presentation = show(&card(true), &parameters, NOW);
    let answered = shop.respond(&[("vp_token", &vp_token(&presentation)), ("state", &parameters["state"])]);
    let done = shop.browse(&redirect_uri(&answered), &transaction);
    assert_eq!(done.header("location"), Some("/wine/red?to=//evil.example%0d%0a"));
    assert_eq!(done.status, 303, "threat 65: the browser asks with GET");
}
