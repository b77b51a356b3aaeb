//! Tokens that are bound to a key or to a client certificate.

use carded_verifier::base64url;
use carded_verifier::sign::{SigningKey, prepare};
use sha2::Digest;

use super::shop::{self, key};
use super::*;
use Became::*;

const ORIGIN: &str = "https://api.example.com";
const BOUND: Became = Refused(401, "token_bound");
const UNBOUND: Became = Refused(401, "token_unbound");
const NO_PROOF: Became = Refused(401, "dpop_proof_invalid");

fn config(binding: Option<&str>) -> Value {
    let mut corp = issuer("corp");
    if let Some(binding) = binding {
        corp["binding"] = json!(binding);
    }
    json!({
        "origins": [ORIGIN],
        "issuers": { "corp": corp },
        "rules": [{ "match": { "path": "/**" }, "require": { "token": "corp" } }],
        "forward": { "headers": { "x-user": "corp.sub" } },
    })
}

fn thumbprint(key: &SigningKey) -> String {
    let Value::Object(jwk) = key.public_jwk() else { panic!() };
    carded_verifier::PublicKey::from_jwk(&jwk).unwrap().0.thumbprint().unwrap()
}

fn to_key(name: &str) -> String {
    token("corp", json!({ "cnf": { "jkt": thumbprint(&key(name)) } }))
}

fn certificate() -> (Vec<(&'static str, Vec<u8>)>, String) {
    let digest = [0xab; 32];
    let connection = vec![("mtls", vec![1]), ("sha256_peer_certificate_digest", "ab".repeat(32).into_bytes())];
    (connection, base64url::encode(digest))
}

/// A proof by a key for a token, with claims of its own.
fn proof(by: &str, token: &str, claims: Value) -> String {
    let by = key(by);
    let mut header = by.header();
    header.remove("kid");
    header.insert("typ".to_owned(), json!("dpop+jwt"));
    header.insert("jwk".to_owned(), by.public_jwk());
    let mut all = json!({
        "jti": format!("{claims}{}", token.len()), "htm": "GET", "htu": format!("{ORIGIN}/x"), "iat": NOW,
        "ath": base64url::encode(sha2::Sha256::digest(token)),
    });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    by.sign(prepare(&header, all.as_object().unwrap())).unwrap()
}

fn goes_on(became: &Became) -> bool {
    matches!(became, Forwarded { set, .. } if set == &[("x-user".to_owned(), "alice".to_owned())])
}

#[test]
fn a_bound_token_is_never_taken_without_its_proof() {
    let (connection, x5t) = certificate();
    let to_certificate = token("corp", json!({ "cnf": { "x5t#S256": x5t } }));
    for binding in [None, Some("none"), Some("if_present"), Some("dpop"), Some("certificate"), Some("any")] {
        let gate = gate(config(binding));
        let mut asked = Asked::new(&gate);
        for (bound, alone) in [(to_key("holder"), None), (to_certificate.clone(), Some("dpop"))] {
            for _ in 0..2 {
                let became = asked.at(NOW, "GET", "/x", &[("authorization", &bearer(&bound))]);
                let unbound = binding == alone && alone.is_some() || alone.is_none() && binding == Some("certificate");
                assert_eq!(became, if unbound { UNBOUND } else { BOUND }, "{binding:?}");
            }
        }
        if matches!(binding, None | Some("none")) {
            asked.connection = connection.clone();
            assert_eq!(asked.at(NOW, "GET", "/x", &[("authorization", &bearer(&to_certificate))]), BOUND);
        }
    }
}

#[test]
fn a_token_that_is_bound_to_nothing_is_taken_where_nothing_is_asked() {
    let plain = token("corp", json!({}));
    for (binding, taken) in
        [("none", true), ("if_present", true), ("dpop", false), ("certificate", false), ("any", false)]
    {
        let became = ask(&gate(config(Some(binding))), "GET", "/x", &[("authorization", &bearer(&plain))]);
        if taken {
            assert!(goes_on(&became), "{binding}: {became:?}")
        } else {
            assert_eq!(became, UNBOUND, "{binding}")
        }
    }
    let as_dpop = format!("DPoP {plain}");
    let proof = proof("holder", &plain, json!({}));
    let headers = [("authorization", &*as_dpop), ("dpop", &*proof)];
    assert_eq!(ask(&gate(config(Some("if_present"))), "GET", "/x", &headers), UNBOUND, "a proof of nothing");
}

#[test]
fn a_key_is_proven_with_each_use_though_the_verdict_is_remembered() {
    for binding in ["if_present", "dpop", "any"] {
        let gate = gate(config(Some(binding)));
        let mut asked = Asked::new(&gate);
        let token = to_key("holder");
        let authorization = format!("DPoP {token}");
        let mut ask = |proof: Option<String>| {
            let mut headers = vec![("authorization", authorization.as_str())];
            headers.extend(proof.as_deref().map(|proof| ("dpop", proof)));
            let became = asked.at(NOW, "GET", "/x?y=1", &headers);
            (became, asked.verified)
        };
        let good = proof("holder", &token, json!({}));
        let (became, verified) = ask(Some(good.clone()));
        assert!(goes_on(&became) && verified == 1, "{became:?}");
        let Forwarded { removed, .. } = became else { panic!() };
        assert!(removed.contains(&"authorization".to_owned()) && removed.contains(&"dpop".to_owned()), "{removed:?}");
        assert_eq!(ask(Some(good)), (NO_PROOF, 0), "once");
        let (became, verified) = ask(Some(proof("holder", &token, json!({ "jti": "another" }))));
        assert!(goes_on(&became) && verified == 0);
        assert_eq!(ask(None), (NO_PROOF, 0));
        for claims in [
            json!({ "htm": "POST" }),
            json!({ "htu": format!("{ORIGIN}/y") }),
            json!({ "htu": "https://other.example.com/x" }),
            json!({ "iat": NOW - 61 }),
            json!({ "iat": NOW + 61 }),
            json!({ "ath": base64url::encode(sha2::Sha256::digest("another")) }),
            json!({ "ath": null }),
            json!({ "jti": "" }),
        ] {
            assert_eq!(ask(Some(proof("holder", &token, claims.clone()))), (NO_PROOF, 0), "{claims}");
        }
        assert_eq!(ask(Some(proof("thief", &token, json!({})))), (NO_PROOF, 0), "another's key");
    }
}

#[test]
fn a_certificate_is_that_of_the_connection() {
    let (connection, x5t) = certificate();
    let auth = bearer(&token("corp", json!({ "cnf": { "x5t#S256": x5t } })));
    let other = bearer(&token("corp", json!({ "cnf": { "x5t#S256": base64url::encode([1; 32]) } })));
    for binding in ["if_present", "certificate", "any"] {
        let gate = gate(config(Some(binding)));
        let mut asked = Asked::new(&gate);
        asked.connection = connection.clone();
        for _ in 0..2 {
            assert!(goes_on(&asked.at(NOW, "GET", "/x", &[("authorization", &auth)])), "{binding}");
        }
        assert_eq!(asked.at(NOW, "GET", "/x", &[("authorization", &other)]), BOUND);
        asked.connection = vec![];
        assert_eq!(asked.at(NOW, "GET", "/x", &[("authorization", &auth)]), BOUND, "another connection");
    }
}

#[test]
fn what_is_bound_to_both_needs_both() {
    let (connection, x5t) = certificate();
    let both = token("corp", json!({ "cnf": { "x5t#S256": x5t, "jkt": thumbprint(&key("holder")) } }));
    let gate = gate(config(Some("any")));
    let mut asked = Asked::new(&gate);
    let authorization = format!("DPoP {both}");
    let proof = proof("holder", &both, json!({}));
    let headers = [("authorization", &*authorization), ("dpop", &*proof)];
    assert_eq!(asked.at(NOW, "GET", "/x", &headers), BOUND);
    asked.connection = connection;
    assert_eq!(asked.at(NOW, "GET", "/x", &[("authorization", &bearer(&both))]), BOUND);
    assert!(goes_on(&asked.at(NOW, "GET", "/x", &headers)));
}

#[test]
fn proofs_that_nobody_knows_are_refused_whatever_is_asked() {
    for (cnf, code) in [
        (json!({ "jwk": key("holder").public_jwk() }), "token_bound"),
        (json!({ "kid": "x" }), "token_bound"),
        (json!({ "jkt": thumbprint(&key("holder")), "osc": {} }), "token_bound"),
        (json!({}), "claim_invalid"),
        (json!("x"), "claim_invalid"),
        (json!({ "jkt": "short" }), "claim_invalid"),
        (json!({ "x5t#S256": 7 }), "claim_invalid"),
    ] {
        for binding in ["none", "any"] {
            let auth = bearer(&token("corp", json!({ "cnf": cnf })));
            let became = ask(&gate(config(Some(binding))), "GET", "/x", &[("authorization", &auth)]);
            assert_eq!(became, Refused(401, code), "{cnf} {binding}");
        }
    }
}

#[test]
fn a_proof_is_for_one_of_our_origins() {
    let mut without = config(Some("dpop"));
    without["origins"] = json!([]);
    assert!(build(without).unwrap_err()[0].to_string().starts_with("issuers.corp.binding: "));
    let mut elsewhere = config(Some("dpop"));
    elsewhere["origins"] = json!(["https://elsewhere.example.com"]);
    let token = to_key("holder");
    let authorization = format!("DPoP {token}");
    let proof = proof("holder", &token, json!({}));
    let headers = [("authorization", &*authorization), ("dpop", &*proof)];
    assert_eq!(ask(&gate(elsewhere), "GET", "/x", &headers), Refused(421, "misdirected"));
}

#[test]
fn bound_tokens_of_issuers_and_our_own_for_programs_share_a_scheme() {
    let mut configured = shop::config();
    configured["issuers"]["corp"]["binding"] = json!("dpop");
    let mut shop = shop::Shop::new(configured);
    let refused = shop.ask("GET", "/both", &[("authorization", "DPoP sealed")], None);
    assert_eq!(refused.code, "access_token_invalid");
    let bound = to_key("holder");
    let proof = proof("holder", &bound, json!({ "htu": format!("{}/both", shop::SHOP) }));
    let authorization = format!("DPoP {bound}");
    let refused = shop.ask("GET", "/both", &[("authorization", &authorization), ("dpop", &proof)], None);
    assert_eq!(refused.code, "presentation_required", "the token holds; the credential is missing: {}", refused.body);
}

#[test]
fn a_proof_carries_a_nonce_that_was_given_out_here_a_moment_ago() {
    let mut configured = shop::config();
    configured["origins"] = json!([shop::SHOP, "https://other.example.com"]);
    configured["issuers"]["corp"]["binding"] = json!("dpop");
    configured["issuers"]["corp"]["dpop_nonce"] = json!(true);
    configured["rules"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "match": { "path": "/api" }, "require": { "token": "corp" } }));
    let mut shop = shop::Shop::new(configured.clone());
    let token = to_key("holder");
    let authorization = format!("DPoP {token}");
    let mut number = 0;
    let mut ask = |shop: &mut shop::Shop, nonce: Option<&str>| {
        number += 1;
        let htu = format!("{}/api", shop::SHOP);
        let claims = json!({ "htu": htu, "nonce": nonce, "jti": format!("{number}"), "iat": shop.now });
        let proof = proof("holder", &token, claims);
        shop.ask("GET", "/api", &[("authorization", &authorization), ("dpop", &proof)], None)
    };
    let refused = ask(&mut shop, None);
    assert_eq!((refused.status, refused.code), (401, "use_dpop_nonce"));
    let challenge = r#"DPoP realm="carded", error="use_dpop_nonce", algs="ES256 ES384 EdDSA""#;
    assert_eq!(refused.header("www-authenticate"), Some(challenge));
    let nonce = refused.header("dpop-nonce").unwrap().to_owned();
    for _ in 0..2 {
        let answered = ask(&mut shop, Some(&nonce));
        assert_eq!(answered.code, "forwarded", "{}", answered.body);
    }
    let damaged = format!("{}A{}", &nonce[..20], &nonce[21..]);
    let long = "A".repeat(10_000);
    for bad in ["", "made-up", damaged.as_str(), &nonce[1..], long.as_str()] {
        let refused = ask(&mut shop, Some(bad));
        assert_eq!(refused.code, "use_dpop_nonce", "{bad}");
        assert!(refused.header("dpop-nonce").is_some_and(|new| new != nonce));
    }
    shop.now = NOW + 299;
    assert_eq!(ask(&mut shop, Some(&nonce)).code, "forwarded");
    shop.now = NOW + 300;
    assert_eq!(ask(&mut shop, Some(&nonce)).code, "use_dpop_nonce", "it is over");
    // one of a process that shares the keys is good, of others not
    let mut same = shop::Shop::new(configured.clone());
    same.now = NOW;
    assert_eq!(ask(&mut same, Some(&nonce)).code, "forwarded");
    configured["issuers"]["corp"]["audiences"] = json!(["api", "more"]);
    let mut other = shop::Shop::new(configured);
    assert_eq!(ask(&mut other, Some(&nonce)).code, "use_dpop_nonce");
}

#[test]
fn a_nonce_needs_proofs_and_keys() {
    for (binding, sessions) in [("none", true), ("certificate", true), ("dpop", false)] {
        let mut config = config(Some(binding));
        config["issuers"]["corp"]["dpop_nonce"] = json!(true);
        if sessions {
            config["sessions"] = json!({ "keys": [{ "env": "KEY_session" }] });
        }
        let errors = build(config).unwrap_err();
        assert!(errors.iter().any(|error| error.to_string().starts_with("issuers.corp.dpop_nonce: ")), "{errors:?}");
    }
}

#[test]
fn who_brings_nothing_reads_each_way_to_bring_it() {
    let mut configured = shop::config();
    configured["issuers"]["corp"]["binding"] = json!("if_present");
    configured["api_tokens"] = json!({ "ci": { "tokens": [], "basic": true } });
    let any = json!({ "any": [{ "token": "corp" }, { "api_token": "ci" }] });
    configured["rules"].as_array_mut().unwrap().push(json!({ "match": { "path": "/api" }, "require": any }));
    let mut shop = shop::Shop::new(configured);
    let refused = shop.ask("GET", "/api", &[], None);
    assert_eq!(refused.code, "token_missing");
    let challenges: Vec<_> = refused
        .headers
        .iter()
        .filter(|(name, _)| name == "www-authenticate")
        .map(|(_, value)| value.as_str())
        .collect();
    let expected = [
        r#"Bearer realm="carded""#,
        r#"DPoP realm="carded", algs="ES256 ES384 EdDSA""#,
        r#"Basic realm="carded", charset="UTF-8""#,
    ];
    assert_eq!(challenges, expected);
}

#[test]
fn threat_83_proofs_that_do_not_hold_slow_down_that_token_from_that_address_alone() {
    let gate = gate(config(Some("dpop")));
    let mut asked = Asked::new(&gate);
    let (stolen, own) = (to_key("holder"), to_key("thief"));
    let mut number = 0;
    let mut ask = |asked: &mut Asked<'_>, address: &str, token: &str, by: &str| {
        number += 1;
        asked.connection = vec![("source.address", address.as_bytes().to_vec())];
        let proof = proof(by, token, json!({ "jti": format!("{number}") }));
        asked.at(NOW, "GET", "/x", &[("authorization", &format!("DPoP {token}")), ("dpop", &proof)])
    };
    assert!(goes_on(&ask(&mut asked, "192.0.2.9:1", &stolen, "holder")));
    let answers: Vec<_> = (0..300).map(|_| ask(&mut asked, "192.0.2.1:1", &stolen, "thief")).collect();
    let looked_at = answers.iter().filter(|became| **became == NO_PROOF).count();
    assert_eq!(looked_at, 101 + (300 - 101) / 8);
    assert_eq!(answers.iter().filter(|became| **became == Refused(429, "too_many_failures")).count(), 300 - looked_at);
    for _ in 0..20 {
        assert!(goes_on(&ask(&mut asked, "192.0.2.9:1", &stolen, "holder")), "its holder, from elsewhere");
        assert!(goes_on(&ask(&mut asked, "192.0.2.1:2", &own, "thief")), "another token, from there");
    }
}
