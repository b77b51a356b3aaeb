//! Credentials that are shown by programs.

use carded_verifier::sign::SigningKey;

use super::shop::*;
use super::*;

#[test]
fn a_program_shows_a_credential_and_proves_its_key_with_each_use() {
    let mut shop = Shop::new(config());
    let refused = shop.ask("GET", "/wine/red", &[], None);
    assert_eq!((refused.status, refused.code), (401, "presentation_required"));
    assert!(refused.header("www-authenticate").unwrap().starts_with("DPoP "), "{:?}", refused.headers);
    let form = programs_form(&mut shop);
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let presented = shop.ask("POST", "/.carded/present", &headers, Some(&form));
    assert_eq!(presented.status, 200, "{}", presented.body);
    assert_eq!(shop.ask("POST", "/.carded/present", &headers, Some(&form)).code, "nonce_used", "once");
    let presented: Value = serde_json::from_str(&presented.body).unwrap();
    assert_eq!((presented["token_type"].as_str(), presented["expires_in"].as_u64()), (Some("DPoP"), Some(600)));
    let token = presented["access_token"].as_str().unwrap();
    let authorization = format!("DPoP {token}");

    let proof = |by: &SigningKey, claims: Value| proof_of_program(by, token, claims);
    // a worker that has to fetch the status list first decides twice, and the proof is used once
    shop.known = Documents::new(shop.gate.limits());
    let first = proof(&key("holder"), json!({ "jti": "first" }));
    let headers = [("authorization", authorization.as_str()), ("dpop", first.as_str())];
    assert_eq!(shop.ask("GET", "/wine/red", &headers, None).status, 200);
    assert_eq!(shop.ask("GET", "/wine/red", &headers, None).code, "dpop_proof_invalid", "and no more");

    let good = proof(&key("holder"), json!({}));
    let refused = (401, "dpop_proof_invalid");
    let mut ask = |proof: Option<&str>| {
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(proof.map(|proof| ("dpop", proof)));
        let answered = shop.ask("GET", "/wine/red?x=1", &headers, None);
        if answered.status == 200 {
            assert_eq!(answered.header("x-carded-over-21"), Some("true"));
            assert!(answered.header("-authorization").is_some() && answered.header("-dpop").is_some());
        }
        (answered.status, answered.code)
    };
    assert_eq!(ask(Some(&good)), (200, "forwarded"));
    assert_eq!(ask(Some(&good)), refused, "each proof once");
    assert_eq!(ask(None), refused);
    for claims in [
        json!({ "htm": "POST" }),
        json!({ "htu": format!("{SHOP}/wine/white") }),
        json!({ "iat": NOW - 61 }),
        json!({ "iat": NOW + 61 }),
        json!({ "ath": "x" }),
        json!({ "jti": "" }),
    ] {
        assert_eq!(ask(Some(&proof(&key("holder"), claims.clone()))), refused, "{claims}");
    }
    assert_eq!(ask(Some(&proof(&key("thief"), json!({})))), refused, "another's key");
    assert_eq!(
        shop.ask("GET", "/wine/red", &[("authorization", "DPoP x"), ("dpop", &good)], None).code,
        "access_token_invalid"
    );
    let as_bearer = format!("Bearer {token}");
    assert_eq!(shop.ask("GET", "/wine/red", &[("authorization", &as_bearer)], None).status, 401);
}

#[test]
fn scripts_and_programs_are_not_sent_to_a_wallet() {
    let mut shop = Shop::new(config());
    for headers in [
        vec![("accept", "application/json")],
        vec![("accept", "text/html"), ("sec-fetch-mode", "cors")],
        vec![("accept", "text/html"), ("upgrade", "websocket")],
    ] {
        assert_eq!(shop.ask("GET", "/wine/red", &headers, None).status, 401, "{headers:?}");
    }
    assert_eq!(shop.ask("POST", "/wine/red", &[("accept", "text/html")], None).status, 401);
}
