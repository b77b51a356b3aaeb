//! `@openid4vc/openid4vci` as the wallet at the agency and at the clerk (OpenID4VCI 1.0), and what the copies of a batch share.

use anyhow::{Context, ensure};
use carded_verifier::base64url;
use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::support::{Houses, apply, copies, parts, post, receive, run, to};

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn a_wallet_by_other_hands_receives_ten_copies_from_the_agency() {
    run(async {
        let houses = Houses::start().await?;
        for (alg, binding) in [("ES256", "jwk"), ("EdDSA", "jwk"), ("ES256", "did")] {
            let offer = apply(houses.edge(), "dmv", "person=ada").await?;
            let received = receive(&offer, json!({ "alg": alg, "binding": binding })).await?;
            let copies = copies(&received)?;
            ensure!(copies.len() == 10, "{} copies", copies.len());
            for (copy, key) in copies.iter().zip(received["keys"].as_array().context("keys")?) {
                let [header, payload] = parts(copy.split('~').next().unwrap_or_default())?;
                ensure!(header["typ"] == "dc+sd-jwt" && payload["vct"] == "https://dmv.example/credentials/id");
                if binding == "jwk" {
                    ensure!(payload["cnf"]["jwk"]["x"] == key["publicJwk"]["x"], "bound to another key");
                } else {
                    ensure!(payload["cnf"]["kid"].as_str().is_some_and(|kid| kid.starts_with("did:jwk:")), "{payload}");
                }
                for withheld in ["given_name", "family_name", "birthdate", "address"] {
                    ensure!(payload.get(withheld).is_none(), "{withheld} is in sight");
                }
            }
            let metadata = &received["metadata"];
            ensure!(metadata["batch_credential_issuance"]["batch_size"] == 10, "{metadata:#}");
        }
        Ok(())
    });
}

#[test]
fn a_wallet_by_other_hands_receives_the_clerks_word() {
    run(async {
        let houses = Houses::start().await?;
        for binding in ["jwk", "did"] {
            let offer = apply(houses.edge(), "clerk", "person=ada").await?;
            let received = receive(&offer, json!({ "copies": 3, "binding": binding })).await?;
            for copy in copies(&received)? {
                let [header, payload] = parts(&copy)?;
                let subject = &payload["vc"]["credentialSubject"];
                ensure!(subject["age_over_21"] == true && subject["id"] == payload["sub"], "{payload:#}");
                ensure!(payload["sub"].as_str().is_some_and(|did| did.starts_with("did:jwk:")), "{payload:#}");
                let did = format!("did:web:clerk.localhost%3A{}", houses.port);
                ensure!(payload["iss"] == did && header["kid"] == format!("{did}#key-1"), "{header} {payload:#}");
            }
        }
        // the clerk says it of nobody who is younger
        let edge = houses.edge();
        ensure!(post(edge, "clerk", "/apply", FORM, "person=ben").await?.status == 403);
        let document = to(edge, "clerk", "GET", "/.well-known/did.json").send(edge).await?.json();
        ensure!(document["id"] == format!("did:web:clerk.localhost%3A{}", houses.port), "{document:#}");
        ensure!(document["verificationMethod"][0]["publicKeyJwk"].get("d").is_none());
        Ok(())
    });
}

#[test]
fn threat_96_the_copies_of_a_batch_share_nothing_that_links_them() {
    run(async {
        let houses = Houses::start().await?;
        let offer = apply(houses.edge(), "dmv", "person=ada").await?;
        let batch = copies(&receive(&offer, json!({})).await?)?;
        let mut seen = BTreeSet::new();
        let mut indexes = Vec::new();
        let mut digest_counts = BTreeSet::new();
        for copy in &batch {
            let mut pieces = copy.split('~');
            let [_, payload] = parts(pieces.next().context("a JWT")?)?;
            for disclosure in pieces.filter(|piece| !piece.is_empty()) {
                let disclosure: Value = serde_json::from_slice(&base64url::decode(disclosure)?)?;
                let salt = disclosure[0].as_str().context("a salt")?;
                ensure!(base64url::decode(salt)?.len() >= 16, "a short salt");
                ensure!(seen.insert(salt.to_owned()), "a salt twice");
            }
            let digests = digests(&payload);
            digest_counts.insert(digests.len());
            for digest in digests {
                ensure!(seen.insert(digest), "a digest twice");
            }
            ensure!(seen.insert(payload["cnf"].to_string()), "a key twice");
            ensure!(payload.get("jti").is_none() && payload.get("sub").is_none(), "a name of its own");
            for time in ["iat", "nbf", "exp"] {
                let time = payload[time].as_i64().context("a time")?;
                ensure!(time % 86_400 == 0, "an exact time");
            }
            indexes.push(payload["status"]["status_list"]["idx"].as_u64().context("an index")?);
        }
        for (at, one) in indexes.iter().enumerate() {
            ensure!(indexes.iter().skip(at + 1).all(|other| one.abs_diff(*other) > 1), "indexes side by side");
        }
        ensure!(!indexes.is_sorted(), "the indexes are in the order of the batch");
        ensure!(digest_counts.len() > 1, "every copy has the same number of digests: there are no decoys");
        // the clerk's copies have a name each, and another each
        let offer = apply(houses.edge(), "clerk", "person=ada").await?;
        let batch = copies(&receive(&offer, json!({})).await?)?;
        for copy in &batch {
            let [_, payload] = parts(copy)?;
            ensure!(seen.insert(payload["jti"].to_string()) && seen.insert(payload["sub"].to_string()), "named twice");
            ensure!(payload["nbf"].as_i64().is_some_and(|time| time % 86_400 == 0), "an exact time");
        }
        Ok(())
    });
}

/// Every digest of a payload, at any depth.
fn digests(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(digests).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("_sd", Value::Array(list)) => list.iter().filter_map(|d| d.as_str().map(str::to_owned)).collect(),
                (_, value) => digests(value),
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn offers_codes_and_nonces_work_once() {
    run(async {
        let houses = Houses::start().await?;
        let edge = houses.edge();
        let offer = apply(edge, "dmv", "person=ada").await?;
        let wrong = receive(&offer, json!({ "txCode": "no" })).await?;
        ensure!(wrong["error"] == "invalid_grant", "{wrong:#}");
        let first = receive(&offer, json!({ "copies": 1 })).await?;
        ensure!(copies(&first)?.len() == 1);
        let again = receive(&offer, json!({ "copies": 1 })).await?;
        ensure!(again["error"] == "invalid_grant", "{again:#}");
        // eleven are more than a batch
        let offer = apply(edge, "dmv", "person=ada").await?;
        let many = receive(&offer, json!({ "copies": 11, "batch": 11 })).await?;
        ensure!(many["error"] == "invalid_proof", "{many:#}");
        // without a token there is nothing, and scripts of other origins may read that
        let reply = post(edge, "dmv", "/credential", "application/json", "{}").await?;
        ensure!(reply.status == 401 && reply.header("www-authenticate").is_some());
        ensure!(reply.header("access-control-allow-origin").as_deref() == Some("*"));
        let preflight = to(edge, "dmv", "OPTIONS", "/credential").send(edge).await?;
        ensure!(preflight.header("access-control-allow-headers").is_some_and(|all| all.contains("authorization")));
        // parameters that come twice, or that are missing
        let twice = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Apre-authorized_code&pre-authorized_code=a&pre-authorized_code=b&tx_code=1";
        ensure!(post(edge, "dmv", "/token", FORM, twice).await?.json()["error"] == "invalid_request");
        ensure!(
            post(edge, "dmv", "/token", FORM, "grant_type=password").await?.json()["error"] == "unsupported_grant_type"
        );
        let nonce = post(edge, "dmv", "/nonce", FORM, "").await?;
        ensure!(nonce.json()["c_nonce"].is_string() && nonce.header("cache-control").as_deref() == Some("no-store"));
        Ok(())
    });
}

#[test]
fn an_offer_by_reference_is_read_by_other_hands() {
    run(async {
        let houses = Houses::start().await?;
        let edge = houses.edge();
        let reply = post(edge, "dmv", "/apply", FORM, "person=grace").await?;
        let at = reply.header("location").context("no location")?;
        let page = to(edge, "dmv", "GET", &at).send(edge).await?.text();
        let tx_code = page.split("id=\"tx-code\">").nth(1).and_then(|rest| rest.split('<').next()).context("a code")?;
        let uri = format!("http%3A%2F%2Fdmv.localhost%3A{}{}.json", houses.port, at.replace('/', "%2F"));
        let offer = super::support::Offer {
            link: format!("openid-credential-offer://?credential_offer_uri={uri}"),
            tx_code: tx_code.to_owned(),
        };
        ensure!(copies(&receive(&offer, json!({ "copies": 2 })).await?)?.len() == 2);
        Ok(())
    });
}
