//! SD-JWT VCs and status lists (RFC 9901, SD-JWT VC draft 19, Token Status List): what the agency issues, in the hands of npm
//! `@sd-jwt/sd-jwt-vc` and PyPI `sd-jwt`.

use anyhow::{Context, Result, ensure};
use carded_envoy::keys::now;
use serde_json::{Value, json};

use super::support::{Houses, apply, copies, parts, peer, post, python, receive, run, to};

const AUDIENCE: &str = "redirect_uri:http://shop.localhost:8080/.carded/response";
const NONCE: &str = "a-nonce-of-the-shop";

/// What a person of the demo would not want to be known.
const WITHHELD: [&str; 6] = ["Marlowe", "\"Ada\"", "Quincewood", "Harrowgate", "AR-95443", "birthdate"];

/// The agency's public key.
async fn issuer_key(houses: &Houses) -> Result<Value> {
    let set = to(houses.edge(), "dmv", "GET", "/jwks").send(houses.edge()).await?.json();
    Ok(set["keys"][0].clone())
}

async fn status_token(houses: &Houses) -> Result<String> {
    let reply = to(houses.edge(), "dmv", "GET", "/status/1").send(houses.edge()).await?;
    ensure!(reply.header("content-type").as_deref() == Some("application/statuslist+jwt"));
    Ok(reply.text())
}

#[test]
fn ours_is_presented_and_verified_by_others() {
    run(async {
        let houses = Houses::start().await?;
        let issuer = issuer_key(&houses).await?;
        let offer = apply(houses.edge(), "dmv", "person=ada").await?;
        let received = receive(&offer, json!({ "copies": 2 })).await?;
        let copies = copies(&received)?;
        let uri = format!("http://dmv.localhost:{}/status/1", houses.port);
        let status = json!({ uri: status_token(&houses).await? });
        for (at, hand) in ["npm", "PyPI"].into_iter().enumerate() {
            let key = &received["keys"][at];
            // as issued, everything is there
            let whole = json!({ "do": "verify", "credential": copies[at], "issuer": issuer, "statusTokens": status });
            let whole = verify(hand, whole).await?;
            let claims = &whole["payload"];
            ensure!(
                claims["family_name"] == "Marlowe" && claims["address"]["postal_code"] == "AR-95443",
                "{hand}: {whole:#}"
            );
            ensure!(claims["age_equal_or_over"] == json!({ "18": true, "21": true, "65": false }), "{hand}: {whole:#}");
            // shown: one age
            let frame = json!({ "age_equal_or_over": { "21": true } });
            let show = json!({
                "do": "present", "credential": copies[at], "frame": frame, "aud": AUDIENCE, "nonce": NONCE, "iat": now(),
                "key": if hand == "npm" { key.clone() } else { key["privateJwk"].clone() },
            });
            let shown = call(hand, show).await?;
            let presentation = shown["presentation"].as_str().with_context(|| format!("{hand}: {shown:#}"))?;
            let opened: String = presentation
                .split(['~', '.'])
                .filter_map(|part| carded_verifier::base64url::decode(part).ok())
                .map(|part| String::from_utf8_lossy(&part).into_owned())
                .collect();
            for word in WITHHELD {
                ensure!(!opened.contains(word), "{hand}: the presentation holds {word}");
            }
            let checked = json!({
                "do": "verify", "credential": presentation, "issuer": issuer, "nonce": NONCE, "aud": AUDIENCE, "statusTokens": status,
            });
            let checked = verify(hand, checked).await?;
            ensure!(checked["payload"]["age_equal_or_over"] == json!({ "21": true }), "{hand}: {checked:#}");
            ensure!(checked["payload"].get("family_name").is_none(), "{hand}: {checked:#}");
        }
        Ok(())
    });
}

#[test]
fn the_status_list_is_read_by_others_and_shows_a_revocation() {
    run(async {
        let houses = Houses::start().await?;
        let edge = houses.edge();
        let issuer = issuer_key(&houses).await?;
        let mut indexes = Vec::new();
        for person in ["ada", "grace"] {
            let offer = apply(edge, "dmv", &format!("person={person}")).await?;
            for copy in copies(&receive(&offer, json!({ "copies": 4 })).await?)? {
                let [_, payload] = parts(copy.split('~').next().unwrap_or_default())?;
                indexes.push(payload["status"]["status_list"]["idx"].clone());
            }
        }
        let read = async || {
            let token = status_token(&houses).await?;
            let [header, payload] = parts(&token)?;
            ensure!(
                header["typ"] == "statuslist+jwt" && payload["ttl"] == 15 && payload["exp"].is_i64(),
                "{payload:#}"
            );
            let task = json!({ "do": "status", "token": token, "issuer": issuer, "indexes": indexes });
            peer("sd-jwt.mjs", task).await
        };
        let before = read().await?;
        ensure!(before["bits"] == 1 && before["states"] == json!([0, 0, 0, 0, 0, 0, 0, 0]), "{before:#}");
        let form = "application/x-www-form-urlencoded";
        ensure!(post(edge, "dmv", "/operator", form, "person=ada").await?.text().contains("Revoked: 4 copies"));
        let after = read().await?;
        ensure!(after["states"] == json!([1, 1, 1, 1, 0, 0, 0, 0]), "{after:#}");
        Ok(())
    });
}

async fn call(hand: &str, task: Value) -> Result<Value> {
    if hand == "npm" { peer("sd-jwt.mjs", task).await } else { python("sd_jwt_peer.py", task).await }
}

async fn verify(hand: &str, task: Value) -> Result<Value> {
    let said = call(hand, task).await?;
    ensure!(said["payload"].is_object(), "{hand} refuses: {said:#}");
    Ok(said)
}
