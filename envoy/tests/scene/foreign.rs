//! SD-JWT VCs issued and shown by npm `@sd-jwt/sd-jwt-vc` and PyPI `sd-jwt`, verified here; and what the agency issued, shown by
//! this project's own code, verified by them.

use anyhow::{Context, Result, ensure};
use carded_envoy::keys::now;
use carded_verifier::dcql::ConcretePathElement;
use carded_verifier::sd_jwt::present::HeldSdJwt;
use carded_verifier::sign::SigningKey;
use carded_verifier::{Limits, Timestamp};
use serde_json::{Value, json};

use super::ours::Ours;
use super::support::{Houses, apply, copies, peer, python, receive, run, to};

const AUDIENCE: &str = "redirect_uri:https://shop.example.com/.carded/response";
const NONCE: &str = "n-0S6_WzA2Mj";
const ISSUER: &str = "https://issuer.example.com";
const VCT: &str = "https://issuer.example.com/credentials/person";

fn query(vct: &str, claims: Value) -> Value {
    json!({ "id": "person", "format": "dc+sd-jwt", "meta": { "vct_values": [vct] }, "claims": claims })
}

/// A payload with what is hard: nested objects, arrays, and members of members.
fn payload(holder: &Value, now: i64) -> Value {
    json!({
        "iss": ISSUER, "vct": VCT, "iat": now - 60, "exp": now + 3600, "cnf": { "jwk": holder },
        "given_name": "Zoë", "family_name": "O'Neil",
        "address": { "locality": "Köln", "street_address": "Am Hof 1", "country": "DE" },
        "nationalities": ["DE", "IE"],
        "age_equal_or_over": { "18": true, "21": true },
    })
}

async fn keys() -> Result<[Value; 2]> {
    let made = peer("keys.mjs", json!({ "count": 2 })).await?;
    Ok([made["keys"][0].clone(), made["keys"][1].clone()])
}

/// A verifier that trusts the issuer of the payload, whose key is `issuer`.
fn ours(issuer: &Value, claims: Value) -> Result<Ours> {
    let mut jwk = issuer["publicJwk"].clone();
    jwk["kid"] = json!("k1");
    let metadata = json!({ "issuer": ISSUER, "jwks": { "keys": [jwk] } });
    Ok(Ours::new(&query(VCT, claims), &[ISSUER], None)?.with(&format!("{ISSUER}/.well-known/jwt-vc-issuer"), &metadata))
}

#[test]
fn what_npm_issues_and_shows_is_verified_here() {
    run(async {
        let [issuer, holder] = keys().await?;
        let frame = json!({
            "_sd": ["given_name", "family_name", "address", "nationalities"],
            "address": { "_sd": ["locality", "street_address"] },
            "nationalities": { "_sd": [0, 1] },
            "age_equal_or_over": { "_sd": ["18", "21"], "_sd_decoy": 2 },
            "_sd_decoy": 3,
        });
        let issued = peer(
            "sd-jwt.mjs",
            json!({ "do": "issue", "payload": payload(&holder["publicJwk"], now()), "frame": frame, "key": issuer, "kid": "k1" }),
        )
        .await?;
        let show = json!({ "age_equal_or_over": { "21": true }, "address": { "locality": true }, "nationalities": { "1": true } });
        let shown = peer(
            "sd-jwt.mjs",
            json!({ "do": "present", "credential": issued["credential"], "frame": show, "key": holder, "aud": AUDIENCE, "nonce": NONCE, "iat": now() }),
        )
        .await?;
        let shown = shown["presentation"].as_str().with_context(|| format!("{issued:#} {shown:#}"))?;
        let claims = json!([
            { "path": ["age_equal_or_over", "21"], "values": [true] },
            { "path": ["address", "locality"] },
            { "path": ["nationalities", null], "values": ["IE"] },
        ]);
        let verifier = ours(&issuer, claims)?;
        let verified = verifier.passes(shown, AUDIENCE, NONCE).await?;
        let claims = verified.claims();
        ensure!(claims["address"] == json!({ "locality": "Köln", "country": "DE" }), "{claims:?}");
        ensure!(claims["nationalities"] == json!(["IE"]) && !claims.contains_key("given_name"), "{claims:?}");
        verifier.refuses(shown, AUDIENCE, "another", "nonce_mismatch").await?;
        verifier.refuses(shown, "redirect_uri:https://evil.example", NONCE, "audience_mismatch").await?;
        // what is asked for and not shown is missed
        let more = ours(&issuer, json!([{ "path": ["family_name"] }]))?;
        more.refuses(shown, AUDIENCE, NONCE, "query_not_met").await
    });
}

#[test]
fn what_pypi_issues_and_shows_is_verified_here() {
    run(async {
        let [issuer, holder] = keys().await?;
        let frame = json!({
            "given_name": true, "family_name": true,
            "address": { "_self": true, "locality": true, "street_address": true },
            "nationalities": { "_items": true },
            "age_equal_or_over": { "18": true, "21": true },
        });
        let mut payload = payload(&holder["publicJwk"], now());
        if let Some(members) = payload.as_object_mut() {
            members.remove("cnf"); // the package puts it in
        }
        let issued = python(
            "sd_jwt_peer.py",
            json!({ "do": "issue", "payload": payload, "frame": frame, "key": issuer["privateJwk"], "holder": holder["publicJwk"], "kid": "k1" }),
        )
        .await?;
        let show = json!({ "age_equal_or_over": { "21": true }, "address": { "locality": true }, "nationalities": [false, true] });
        let shown = python(
            "sd_jwt_peer.py",
            json!({ "do": "present", "credential": issued["credential"], "frame": show, "key": holder["privateJwk"], "aud": AUDIENCE, "nonce": NONCE }),
        )
        .await?;
        let shown = shown["presentation"].as_str().with_context(|| format!("{issued:#} {shown:#}"))?;
        let claims = json!([
            { "path": ["age_equal_or_over", "21"], "values": [true] },
            { "path": ["address", "locality"], "values": ["Köln"] },
            { "path": ["nationalities", 0] },
        ]);
        let verifier = ours(&issuer, claims)?;
        let verified = verifier.passes(shown, AUDIENCE, NONCE).await?;
        let claims = verified.claims();
        ensure!(claims["address"] == json!({ "locality": "Köln", "country": "DE" }), "{claims:?}");
        ensure!(claims["nationalities"] == json!(["IE"]) && !claims.contains_key("family_name"), "{claims:?}");
        verifier.refuses(shown, AUDIENCE, "another", "nonce_mismatch").await
    });
}

#[test]
fn what_the_agency_issued_is_shown_here_and_verified_by_everybody() {
    run(async {
        let houses = Houses::start().await?;
        let edge = houses.edge();
        let received = receive(&apply(edge, "dmv", "person=ada").await?, json!({ "copies": 1 })).await?;
        let copy = copies(&received)?.remove(0);
        let key = SigningKey::from_jwk(received["keys"][0]["privateJwk"].to_string().as_bytes())?;
        let held = HeldSdJwt::parse(&copy, &Limits::default()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let path = ["age_equal_or_over", "21"].map(|name| ConcretePathElement::Name(name.to_owned()));
        let prepared = held.disclose(&[path.to_vec()]).prepare_key_binding(
            key.algorithm(),
            AUDIENCE,
            NONCE,
            Timestamp::from_unix(now()),
        );
        let signature = key.signature(prepared.bytes())?;
        let shown = prepared.finish(&signature);

        let issuer = to(edge, "dmv", "GET", "/jwks").send(edge).await?.json()["keys"][0].clone();
        let uri = format!("http://dmv.localhost:{}/status/1", houses.port);
        let status = to(edge, "dmv", "GET", "/status/1").send(edge).await?.text();
        let task = json!({
            "do": "verify", "credential": shown, "issuer": issuer, "nonce": NONCE, "aud": AUDIENCE, "statusTokens": { uri: status },
        });
        for said in [peer("sd-jwt.mjs", task.clone()).await?, python("sd_jwt_peer.py", task).await?] {
            ensure!(said["payload"]["age_equal_or_over"] == json!({ "21": true }), "{said:#}");
            ensure!(said["payload"].get("birthdate").is_none(), "{said:#}");
        }
        // and here, with the agency's documents fetched as the filter would
        let dmv = format!("http://dmv.localhost:{}", houses.port);
        let claims = json!([{ "path": ["age_equal_or_over", "21"], "values": [true] }]);
        let ours = Ours::new(&query("https://dmv.example/credentials/id", claims), &[&dmv], Some(edge))?;
        let verified = ours.passes(&shown, AUDIENCE, NONCE).await?;
        ensure!(verified.issuer() == dmv && verified.status().is_some() && verified.holder().is_some());
        // another agency with the same cards is another issuer
        let other = receive(&apply(edge, "novelty", "person=ada").await?, json!({ "copies": 1 })).await?;
        let copy = copies(&other)?.remove(0);
        let task = json!({
            "do": "present", "credential": copy, "frame": { "age_equal_or_over": { "21": true } }, "key": other["keys"][0],
            "aud": AUDIENCE, "nonce": NONCE, "iat": now(),
        });
        let shown = peer("sd-jwt.mjs", task).await?;
        ours.refuses(shown["presentation"].as_str().context("shown")?, AUDIENCE, NONCE, "issuer_untrusted").await
    });
}
