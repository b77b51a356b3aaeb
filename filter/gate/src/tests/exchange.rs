//! A provider's token is exchanged for an opaque one.

use carded_verifier::base64url;
use carded_verifier::sign::{SigningKey, prepare};
use sha2::Digest;

use super::provider::is;
use super::shop::{self, Answered, SHOP, Shop, config as config_of_shop, key};
use super::*;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const LIST: &str = "https://ops.example.com/revoked.json";
const OTHER: &str = "https://other.example.com";

fn config() -> Value {
    let mut config = config_of_shop();
    config["origins"] = json!([SHOP, OTHER]);
    config["issuers"]["partner"] = issuer("partner");
    config["issuers"]["corp"]["binding"] = json!("if_present");
    config["exchange"] = json!({ "issuers": ["corp"], "lifetime": "5m" });
    let rules = config["rules"].as_array_mut().unwrap();
    rules.push(json!({ "match": { "path": "/api/**" }, "require": { "token": "corp" } }));
    rules.push(json!({ "match": { "path": "/partner" }, "require": { "token": "partner" } }));
    config
}

fn form(token: &str) -> Vec<(&str, &str)> {
    vec![("grant_type", GRANT), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)]
}

fn post(shop: &mut Shop, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Answered {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
    all.extend(headers);
    shop.ask("POST", "/.carded/exchange", &all, Some(&body))
}

fn exchange(shop: &mut Shop, token: &str) -> Value {
    let answered = post(shop, &form(token), &[]);
    assert_eq!(answered.status, 200, "{}", answered.body);
    assert_eq!(answered.header("cache-control"), Some("no-store"));
    serde_json::from_str(&answered.body).unwrap()
}

fn api(shop: &mut Shop, token: &str) -> (u16, &'static str) {
    let answered = shop.ask("GET", "/api/x", &[("authorization", &bearer(token))], None);
    if answered.status == 200 {
        assert_eq!(answered.header("x-carded-subject"), Some("alice"));
        assert!(answered.header("-authorization").is_some());
    }
    (answered.status, answered.code)
}

const GOOD: (u16, &str) = (200, "forwarded");
const ENDED: (u16, &str) = (401, "access_token_invalid");

#[test]
fn an_opaque_token_serves_as_the_original_and_ends_with_it() {
    let mut shop = Shop::new(config());
    let theirs = token("corp", json!({}));
    let answer = exchange(&mut shop, &theirs);
    assert_eq!((answer["token_type"].as_str(), answer["expires_in"].as_u64()), (Some("Bearer"), Some(300)));
    assert_eq!(answer["issued_token_type"], ACCESS_TOKEN);
    let ours = answer["access_token"].as_str().unwrap().to_owned();
    assert!(ours.starts_with("carded.") && !ours.contains(theirs.split('.').nth(1).unwrap()), "{ours}");
    for _ in 0..2 {
        assert_eq!(api(&mut shop, &ours), GOOD);
    }
    assert_eq!(shop.ask("GET", "/partner", &[("authorization", &bearer(&ours))], None).status, 401);
    shop.now = NOW + 299;
    assert_eq!(api(&mut shop, &ours), GOOD);
    shop.now = NOW + 300;
    assert_eq!(api(&mut shop, &ours), ENDED, "remembered as it is");
    let late = exchange(&mut shop, &theirs);
    let late_token = late["access_token"].as_str().unwrap();
    shop.now = NOW + 500;
    let short = exchange(&mut shop, &theirs);
    assert_eq!(short["expires_in"].as_u64(), Some(100), "it ends with the original");
    assert_eq!(api(&mut shop, late_token), GOOD);
    shop.now = NOW + 660;
    assert_eq!(api(&mut shop, short["access_token"].as_str().unwrap()), (401, "token_expired"));
}

#[test]
fn threat_100_an_exchanged_token_is_for_one_origin_and_one_purpose() {
    let mut shop = Shop::new(config());
    let ours = exchange(&mut shop, &token("corp", json!({})))["access_token"].as_str().unwrap().to_owned();
    let auth = bearer(&ours);
    for _ in 0..2 {
        assert_eq!(api(&mut shop, &ours), GOOD);
        let elsewhere = shop.ask_at("other.example.com", "GET", "/api/x", &[("authorization", &auth)], None);
        assert_eq!((elsewhere.status, elsewhere.code), ENDED);
        let nowhere = shop.ask_at("evil.example.com", "GET", "/api/x", &[("authorization", &auth)], None);
        assert_eq!(nowhere.code, "misdirected");
    }
    let sealed = ours.strip_prefix("carded.").unwrap();
    let cookie = format!("__Host-carded={sealed}");
    assert_eq!(shop.browse("/wine/red", &cookie).status, 303, "it is no session");
    let as_dpop = format!("DPoP {sealed}");
    assert_eq!(shop.ask("GET", "/wine/red", &[("authorization", &as_dpop)], None).code, "access_token_invalid");
    for at in (0..ours.len()).step_by(7) {
        let mut damaged = ours.clone().into_bytes();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(api(&mut shop, &String::from_utf8(damaged).unwrap()).0, 401, "{at}");
        assert_eq!(api(&mut shop, &ours[..at]).0, 401, "{at}");
    }
    let mut without = config();
    without.as_object_mut().unwrap().remove("exchange");
    assert_eq!(api(&mut Shop::new(without), &ours), (401, "token_malformed"), "switched off");
}

#[test]
fn what_is_no_token_of_a_named_issuer_is_not_exchanged() {
    let mut shop = Shop::new(config());
    let good = token("corp", json!({}));
    let ours = exchange(&mut shop, &good)["access_token"].as_str().unwrap().to_owned();
    for (refused, code) in [
        (token("partner", json!({})), "issuer_untrusted"),
        (token("corp", json!({ "exp": NOW - 100 })), "token_expired"),
        (token("corp", json!({ "aud": "x" })), "audience_mismatch"),
        (ours, "token_malformed"),
    ] {
        assert_eq!(post(&mut shop, &form(&refused), &[]).code, code);
    }
    for change in [
        vec![("grant_type", "authorization_code"), ("subject_token", &*good), ("subject_token_type", ACCESS_TOKEN)],
        vec![("grant_type", GRANT), ("subject_token", &*good), ("subject_token_type", "urn:x")],
        vec![("grant_type", GRANT), ("subject_token_type", ACCESS_TOKEN)],
        [form(&good), vec![("subject_token", "x")]].concat(),
        [form(&good), vec![("actor_token", "x")]].concat(),
    ] {
        assert_eq!(post(&mut shop, &change, &[]).code, "response_malformed", "{change:?}");
    }
    assert_eq!(shop.ask("GET", "/.carded/exchange", &[], None).code, "method_not_allowed");
    let errors = |change: &dyn Fn(&mut Value)| {
        let mut config = config();
        change(&mut config);
        let gate =
            Gate::new(&Config::from_value(config).unwrap(), &super::shop::environment_of_shop, Arc::new(RustCrypto));
        gate.unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(errors(&|config| config["exchange"]["issuers"] = json!(["x"])).contains("exchange.issuers[0]: "));
    assert!(errors(&|config| config["exchange"]["issuers"] = json!([])).contains("exchange.issuers: "));
    assert!(errors(&|config| config["exchange"]["lifetime"] = json!("2d")).contains("exchange.lifetime: "));
    assert!(errors(&|config| config["issuers"]["corp"]["forward"] = json!(true)).contains("exchange.issuers[0]: "));
}

#[test]
fn what_is_bound_stays_bound() {
    let proof = |by: &SigningKey, method: &str, path: &str, token: Option<&str>| {
        let mut header = by.header();
        header.remove("kid");
        header.insert("typ".to_owned(), json!("dpop+jwt"));
        header.insert("jwk".to_owned(), by.public_jwk());
        let mut claims =
            json!({ "jti": format!("{method}{path}"), "htm": method, "htu": format!("{SHOP}{path}"), "iat": NOW });
        if let Some(token) = token {
            claims["ath"] = json!(base64url::encode(sha2::Sha256::digest(token)));
        }
        by.sign(prepare(&header, claims.as_object().unwrap())).unwrap()
    };
    let (holder, thief) = (key("holder"), key("thief"));
    let Value::Object(jwk) = holder.public_jwk() else { panic!() };
    let jkt = carded_verifier::PublicKey::from_jwk(&jwk).unwrap().0.thumbprint().unwrap();
    let bound = token("corp", json!({ "cnf": { "jkt": jkt } }));
    let mut shop = Shop::new(config());
    assert_eq!(post(&mut shop, &form(&bound), &[]).code, "token_bound");
    let stolen = proof(&thief, "POST", "/.carded/exchange", None);
    assert_eq!(post(&mut shop, &form(&bound), &[("dpop", &stolen)]).code, "dpop_proof_invalid");
    let own = proof(&holder, "POST", "/.carded/exchange", None);
    let answered = post(&mut shop, &form(&bound), &[("dpop", &own)]);
    assert_eq!(answered.status, 200, "{}", answered.body);
    assert_eq!(post(&mut shop, &form(&bound), &[("dpop", &own)]).code, "dpop_proof_invalid", "once");
    let answer: Value = serde_json::from_str(&answered.body).unwrap();
    assert_eq!(answer["token_type"], "DPoP");
    let ours = answer["access_token"].as_str().unwrap();
    assert_eq!(api(&mut shop, ours), (401, "token_bound"));
    let authorization = format!("DPoP {ours}");
    for (by, name, expected) in
        [(&thief, ours, 401), (&holder, &*bound, 401), (&holder, ours, 200), (&holder, ours, 401)]
    {
        let proof = proof(by, "GET", "/api/x", Some(name));
        let answered = shop.ask("GET", "/api/x", &[("authorization", &authorization), ("dpop", &proof)], None);
        assert_eq!(answered.status, expected, "{}", answered.body);
    }
}

#[test]
fn what_is_revoked_is_revoked_in_its_other_form_too() {
    let mut config = config();
    config["revocation"] = json!({ "uri": LIST, "refresh": "5s" });
    config["fetch"]["clusters"]["ops.example.com"] = json!("ops");
    let mut shop = Shop::new(config);
    revoke(&mut shop, json!([]));
    let theirs = token("corp", json!({}));
    let ours = exchange(&mut shop, &theirs)["access_token"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        assert_eq!(api(&mut shop, &ours), GOOD, "verified, and then remembered");
    }
    revoke(&mut shop, json!([{ "sub": "alice", "iss": "https://corp.example.com" }]));
    for _ in 0..2 {
        assert_eq!(api(&mut shop, &ours), (401, "revoked"));
    }
    let again = post(&mut shop, &form(&theirs), &[]);
    assert_eq!((again.status, again.code), (401, "revoked"), "nor is it exchanged again");
}

#[test]
fn threat_83_who_exchanges_what_somebody_made_up_is_slowed_down() {
    let mut shop = Shop::new(config());
    let good = token("corp", json!({}));
    let bad = format!("{}AAAA", &good[..good.len() - 4]);
    let codes: Vec<_> = (0..200).map(|_| post(&mut shop, &form(&bad), &[]).code).collect();
    assert!(codes[..100].iter().all(|code| *code == "signature_invalid"), "{codes:?}");
    assert!(codes[110..].iter().filter(|code| **code == "too_many_failures").count() > 70, "{codes:?}");
}

#[test]
fn threat_83_made_up_tokens_of_ours_slow_down_who_brings_them() {
    let mut shop = Shop::new(config());
    let answer = exchange(&mut shop, &token("corp", json!({})));
    let good = answer["access_token"].as_str().unwrap().to_owned();
    assert_eq!(api(&mut shop, &good), GOOD);
    let made_up = |number: usize| {
        let mut text = good.clone().into_bytes();
        let at = text.len() - 1 - number % 40;
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(text).unwrap()
    };
    let answers: Vec<_> = (0..300).map(|number| api(&mut shop, &made_up(number))).collect();
    assert_eq!(answers.iter().filter(|answer| **answer == ENDED).count(), 101 + (300 - 101) / 8);
    assert_eq!(api(&mut shop, &good), GOOD, "what was let in before is not slowed");
    // one that ended was good once
    let mut shop = Shop::new(config());
    shop.now = NOW + 301;
    assert!((0..300).all(|_| api(&mut shop, &good) == ENDED));
}

/// The shop, where tokens of `asked` can be read by their issuer alone.
fn with_introspection() -> Shop {
    let mut configured = config();
    configured["issuers"]["asked"] = json!({
        "issuer": "https://asked.example.com", "audiences": ["api"],
        "introspection": {
            "endpoint": "https://asked.example.com/introspect", "client_id": "gateway",
            "client_secret": { "env": "KEY_client" },
        },
    });
    configured["fetch"]["clusters"]["asked.example.com"] = json!("asked");
    configured["exchange"]["issuers"] = json!(["corp", "asked"]);
    configured["revocation"] = json!({ "uri": LIST, "refresh": "5s" });
    configured["fetch"]["clusters"]["ops.example.com"] = json!("ops");
    configured["forward"]["headers"]["x-asked"] = json!("asked.sub");
    let rules = configured["rules"].as_array_mut().unwrap();
    rules.push(json!({ "match": { "path": "/asked" }, "require": { "token": "asked" } }));
    let mut shop = Shop::new(configured);
    revoke(&mut shop, json!([]));
    shop
}

fn revoke(shop: &mut Shop, entries: Value) {
    let fetch = shop.gate.trust().first_fetches().into_iter().find(|fetch| fetch.url().as_str() == LIST).unwrap();
    let body = json!({ "revoked": entries }).to_string().into_bytes();
    let reply = carded_verifier::Reply { status: 200, body, max_age: None };
    shop.known.insert(&fetch, &reply, Timestamp::from_unix(shop.now)).unwrap();
}

#[test]
fn a_token_that_only_its_issuer_can_read_is_asked_about_and_exchanged() {
    let mut shop = with_introspection();
    let says = |ends: i64| json!({ "active": true, "sub": "bob", "aud": "api", "exp": ends, "jti": "t1", "token_type": "Bearer" });
    shop.introspection = says(NOW + 200);
    let answer = exchange(&mut shop, "2YotnFZFEjr1zCsicMWpAA");
    assert_eq!(answer["expires_in"].as_u64(), Some(200), "by the issuer's word");
    assert_eq!(shop.inquiries, ["token=2YotnFZFEjr1zCsicMWpAA&token_type_hint=access_token"]);
    let ours = answer["access_token"].as_str().unwrap().to_owned();
    assert!(ours.starts_with("carded.") && !ours.contains("2YotnFZFEjr1zCsicMWpAA"));
    let ask = |shop: &mut Shop, token: &str| {
        let answered = shop.ask("GET", "/asked", &[("authorization", &bearer(token))], None);
        (is(&answered), answered.header("x-asked").map(str::to_owned))
    };
    for _ in 0..2 {
        assert_eq!(ask(&mut shop, &ours), (GOOD, Some("bob".to_owned())));
    }
    assert_eq!(shop.inquiries.len(), 2, "asked once, and remembered under its own name");
    assert_eq!(api(&mut shop, &ours).0, 401, "for another issuer's rules it is none");
    // the issuer takes it back: what we made of it ends with the next question
    shop.now = NOW + 60;
    revoke(&mut shop, json!([]));
    shop.introspection = json!({ "active": false });
    assert_eq!(ask(&mut shop, &ours).0, (401, "token_inactive"));
    let again = post(&mut shop, &form("2YotnFZFEjr1zCsicMWpAA"), &[]);
    assert_eq!((again.status, again.code), (401, "token_inactive"));
    // it ends with the original
    let mut shop = with_introspection();
    shop.introspection = says(NOW + 200);
    let ours = exchange(&mut shop, "opaque")["access_token"].as_str().unwrap().to_owned();
    shop.now = NOW + 260;
    revoke(&mut shop, json!([]));
    assert_eq!(ask(&mut shop, &ours).0, (401, "token_expired"));
}

#[test]
fn threat_98_what_was_made_of_an_opaque_token_is_revoked_with_it() {
    let mut shop = with_introspection();
    shop.introspection =
        json!({ "active": true, "sub": "bob", "aud": "api", "exp": NOW + 200, "jti": "t1", "token_type": "Bearer" });
    let ours = exchange(&mut shop, "opaque")["access_token"].as_str().unwrap().to_owned();
    let ask = |shop: &mut Shop| is(&shop.ask("GET", "/asked", &[("authorization", &bearer(&ours))], None));
    for entry in [
        json!({ "jti": "t1", "iss": "https://asked.example.com" }),
        json!({ "sub": "bob", "iss": "https://asked.example.com" }),
    ] {
        assert_eq!(ask(&mut shop), GOOD);
        revoke(&mut shop, json!([entry]));
        assert_eq!(ask(&mut shop), (401, "revoked"), "remembered as it is");
        let again = post(&mut shop, &form("opaque"), &[]);
        assert_eq!((again.status, again.code), (401, "revoked"));
        revoke(&mut shop, json!([]));
    }
}

#[test]
fn one_issuer_alone_is_asked_about_tokens_that_are_exchanged() {
    let refused = |change: fn(&mut Value), expected: &str| {
        let mut configured = config();
        change(&mut configured);
        let built =
            Gate::new(&Config::from_value(configured).unwrap(), &shop::environment_of_shop, Arc::new(RustCrypto));
        let errors: Vec<_> = built.unwrap_err().iter().map(ToString::to_string).collect();
        assert!(errors.iter().any(|error| error.starts_with(expected)), "{errors:?}");
    };
    refused(
        |all| {
            for name in ["corp", "partner"] {
                all["issuers"][name]["introspection"] = json!({
                    "endpoint": "https://dmv.example/introspect", "client_id": "gateway",
                    "client_secret": { "env": "KEY_client" },
                });
            }
            all["exchange"]["issuers"] = json!(["corp", "partner"]);
        },
        "exchange.issuers[1]: two of them",
    );
    refused(
        |all| {
            all["api_tokens"] = json!({ "ci": { "tokens": [] } });
            all["exchange"]["issuers"] = json!(["ci"]);
        },
        "exchange.issuers[0]: there is no issuer `ci`",
    );
}
