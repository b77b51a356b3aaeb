//! Threats 1 to 27 and 90 through the real Envoy: tokens that no honest issuer makes, each refused with its code.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carded_envoy::client::Request;
use carded_envoy::keys::{Key, base64url, key_set, now, with};
use serde_json::{Value, json};

use crate::common::{AUDIENCE, ISSUER, PARTNER, Setup, World, alice, config, eventually, in_each_envoy};

in_each_envoy!(
    threats_01_to_06_form,
    threats_07_to_18_algorithms_and_keys,
    threats_19_to_21_issuer_and_audience,
    threats_22_to_27_claims_and_types,
    key_sets_that_are_refused,
    a_remembered_verdict_ends_with_its_token,
    an_issuer_can_ask_for_more,
);

/// Sends each token and expects its code, 401.
async fn refuse_all(world: &World, cases: Vec<(&str, String, &str)>) -> Result<()> {
    let mut wrong = Vec::new();
    for (what, token, code) in cases {
        if let Err(error) = world.refused(what, Request::get("/api/orders").bearer(&token), 401, code).await {
            wrong.push(format!("{error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.alive().await
}

fn header(world: &World, changes: Value) -> Value {
    with(json!({ "alg": "ES256", "kid": world.key.kid(), "typ": "at+jwt" }), changes)
}

async fn threats_01_to_06_form(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let good = world.token();
    let [head, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { anyhow::bail!("no token") };
    let key = &world.key;
    let honest = header(&world, json!({})).to_string();
    let claims = alice().to_string();
    let mut last = signature.to_owned();
    // 64 bytes leave four stray bits in the last character, which are 0 in the canonical form
    let stray = last.pop().map(|c| if c == 'A' { 'B' } else { char::from(c as u8 + 1) }).unwrap_or('B');
    last.push(stray);
    let deep = format!("{{\"iss\":\"{ISSUER}\",\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
    let duplicate = claims.replacen('{', "{\"sub\":\"bob\",", 1);
    let nested = claims.replacen('{', "{\"x\":[{\"y\":{\"a\":1,\"a\":2}}],", 1);
    let cases = vec![
        ("1: one segment", "abc".into(), "token_malformed"),
        ("1: two segments", format!("{head}.{payload}"), "token_malformed"),
        ("1: four segments", format!("{good}.{signature}"), "token_malformed"),
        ("1: an empty header", format!(".{payload}.{signature}"), "token_malformed"),
        ("1: an empty payload", format!("{head}..{signature}"), "token_malformed"),
        ("1: an empty signature", format!("{head}.{payload}."), "token_malformed"),
        ("1: a space inside", format!("{head}. {payload}.{signature}"), "token_malformed"),
        ("1: standard base64", format!("{head}.{payload}.{}+", &signature[..signature.len() - 1]), "token_malformed"),
        ("2: too large", format!("{head}.{}.{signature}", "A".repeat(17 * 1024)), "token_too_large"),
        ("3: padding", format!("{head}.{payload}.{signature}=="), "token_malformed"),
        ("3: stray bits", format!("{head}.{payload}.{last}"), "token_malformed"),
        ("4: a header that is no JSON", key.token_of(b"alg=ES256", claims.as_bytes()), "token_malformed"),
        ("4: a header that is an array", key.token_of(b"[\"ES256\"]", claims.as_bytes()), "token_malformed"),
        ("4: a payload that is an array", key.token_of(honest.as_bytes(), b"[1]"), "token_malformed"),
        ("4: a payload that is a text", key.token_of(honest.as_bytes(), b"\"alice\""), "token_malformed"),
        ("4: a payload that is not UTF-8", key.token_of(honest.as_bytes(), b"{\"sub\":\"\xff\"}"), "token_malformed"),
        (
            "4: something after the payload",
            key.token_of(honest.as_bytes(), format!("{claims}{{}}").as_bytes()),
            "token_malformed",
        ),
        ("5: a duplicate claim", key.token_of(honest.as_bytes(), duplicate.as_bytes()), "token_malformed"),
        ("5: a duplicate deep inside", key.token_of(honest.as_bytes(), nested.as_bytes()), "token_malformed"),
        (
            "5: a duplicate in the header",
            key.token_of(honest.replacen('{', "{\"alg\":\"none\",", 1).as_bytes(), claims.as_bytes()),
            "token_malformed",
        ),
        ("6: 4,000 brackets", key.token_of(honest.as_bytes(), deep.as_bytes()), "token_malformed"),
    ];
    refuse_all(&world, cases).await
}

async fn threats_07_to_18_algorithms_and_keys(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let edwards = Key::ed25519("ed")?;
    let mut encryption = Key::p256("enc")?.jwk();
    encryption["use"] = json!("enc");
    let signing_only = Key::p256("ops")?;
    let mut not_for_verifying = signing_only.jwk();
    not_for_verifying["key_ops"] = json!(["sign"]);
    if let Some(jwk) = not_for_verifying.as_object_mut() {
        jwk.remove("use");
    }
    let mut set = key_set(&[&world.key, &edwards]);
    if let Some(keys) = set["keys"].as_array_mut() {
        keys.extend([encryption, not_for_verifying]);
    }
    world.idp.publish_set(ISSUER, set);
    // unknown to the first set, so this fetches the second
    world.passes("the new key is fetched", Request::get("/api/orders").bearer(&edwards.token(&alice()))).await?;

    let attacker = Key::p256("k1")?;
    let good = world.token();
    // 27: a remembered verdict is for the whole token, so that none of the changed ones below finds it
    world.passes("a good token", Request::get("/api/orders").bearer(&good)).await?;
    let [head, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { anyhow::bail!("no token") };
    let with_header = |changes: Value| world.key.token_with(&header(&world, changes), &alice());
    let unsigned =
        |alg: &str| format!("{}.{payload}.{signature}", base64url(header(&world, json!({ "alg": alg })).to_string()));
    let hmac = {
        let text = world.key.jwk().to_string();
        let input = format!("{}.{payload}", base64url(header(&world, json!({ "alg": "HS256" })).to_string()));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, text.as_bytes());
        format!("{input}.{}", base64url(ring::hmac::sign(&key, input.as_bytes())))
    };
    let bytes = URL_SAFE_NO_PAD.decode(signature)?;
    let resigned = |bytes: &[u8]| format!("{head}.{payload}.{}", base64url(bytes));
    let mut flipped = bytes.clone();
    flipped[10] ^= 1;
    let cases = vec![
        ("7: none", unsigned("none"), "algorithm_not_allowed"),
        ("7: None", unsigned("None"), "algorithm_not_allowed"),
        ("7: nOnE", unsigned("nOnE"), "algorithm_not_allowed"),
        ("7: an empty alg", unsigned(""), "algorithm_not_allowed"),
        ("7: an alg that is not allowed", unsigned("ES384"), "algorithm_not_allowed"),
        ("7: no alg", with_header(json!({ "alg": null })), "token_malformed"),
        ("7: an alg that is a number", with_header(json!({ "alg": 256 })), "token_malformed"),
        ("8: EdDSA by an ES256 key", with_header(json!({ "alg": "EdDSA" })), "key_mismatch"),
        ("8: RS256 by an ES256 key", with_header(json!({ "alg": "RS256" })), "key_mismatch"),
        ("9: HS256 with the public key as the secret", hmac, "algorithm_not_allowed"),
        (
            "10: jwk of an attacker",
            attacker.token_with(&header(&world, json!({ "jwk": attacker.jwk() })), &alice()),
            "signature_invalid",
        ),
        (
            "10: jku of an attacker",
            attacker.token_with(&header(&world, json!({ "jku": "https://idp.example.com/attacker" })), &alice()),
            "signature_invalid",
        ),
        (
            "10: x5u of an attacker",
            attacker.token_with(&header(&world, json!({ "x5u": "https://idp.example.com/attacker" })), &alice()),
            "signature_invalid",
        ),
        ("11: a kid that is a path", with_header(json!({ "kid": "../../etc/passwd" })), "key_not_found"),
        ("11: a kid in other case", with_header(json!({ "kid": "K1" })), "key_not_found"),
        ("11: a kid that is a number", with_header(json!({ "kid": 1 })), "token_malformed"),
        ("13: a key for encryption", with_header(json!({ "kid": "enc" })), "key_not_found"),
        ("13: a key with other key_ops", signing_only.token(&alice()), "key_not_found"),
        ("14: crit", with_header(json!({ "crit": ["exp"], "exp": 1 })), "critical_header"),
        ("14: an empty crit", with_header(json!({ "crit": [] })), "critical_header"),
        ("14: b64", with_header(json!({ "b64": false, "crit": ["b64"] })), "critical_header"),
        ("15: r and s are 0", resigned(&[0; 64]), "signature_invalid"),
        ("15: too short", resigned(&bytes[..63]), "signature_invalid"),
        ("15: too long", resigned(&[&bytes[..], &[0]].concat()), "signature_invalid"),
        ("15: one bit changed", resigned(&flipped), "signature_invalid"),
        (
            "16: all ones",
            {
                let t = edwards.token(&alice());
                let cut = t.rfind('.').unwrap_or(0);
                format!("{}.{}", &t[..cut], base64url([0xff; 64]))
            },
            "signature_invalid",
        ),
        ("18: encrypted", format!("{good}.{payload}.{signature}"), "encrypted_token"),
        ("18: nested", with_header(json!({ "cty": "JWT" })), "encrypted_token"),
        ("18: deflated", with_header(json!({ "zip": "DEF" })), "critical_header"),
    ];
    refuse_all(&world, cases).await?;
    ensure!(world.idp.requests("/attacker") == 0, "10: a URL of the token was fetched");
    Ok(())
}

async fn threats_19_to_21_issuer_and_audience(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let with_claims = |changes: Value| world.token_with(changes);
    world.alive().await?; // and so the fetches at the start are over
    let partner = world.partner.token(&with(alice(), json!({ "iss": PARTNER })));
    world.passes("the partner", Request::get("/either/x").bearer(&partner)).await?;
    let discoveries = world.idp.requests("/.well-known/openid-configuration");
    let cases = vec![
        // both issuers have a key "k1"
        ("19: the partner's key for corp's token", world.partner.token(&alice()), "signature_invalid"),
        ("19: corp's key for the partner's token", with_claims(json!({ "iss": PARTNER })), "issuer_untrusted"),
        ("20: a slash more", with_claims(json!({ "iss": format!("{ISSUER}/") })), "issuer_untrusted"),
        ("20: other case", with_claims(json!({ "iss": ISSUER.to_uppercase() })), "issuer_untrusted"),
        ("20: a stranger", with_claims(json!({ "iss": "https://evil.example" })), "issuer_untrusted"),
        ("20: no iss", with_claims(json!({ "iss": null })), "claim_missing"),
        ("20: an array", with_claims(json!({ "iss": [ISSUER] })), "claim_invalid"),
        ("21: no aud", with_claims(json!({ "aud": null })), "claim_missing"),
        ("21: another", with_claims(json!({ "aud": "other.example.com" })), "audience_mismatch"),
        ("21: an empty list", with_claims(json!({ "aud": [] })), "audience_mismatch"),
        ("21: a list of others", with_claims(json!({ "aud": ["a", "b"] })), "audience_mismatch"),
        ("21: an object", with_claims(json!({ "aud": { AUDIENCE: true } })), "claim_invalid"),
        ("21: a list with a number", with_claims(json!({ "aud": [AUDIENCE, 1] })), "claim_invalid"),
        ("21: a prefix", with_claims(json!({ "aud": format!("{AUDIENCE}.evil.example") })), "audience_mismatch"),
    ];
    refuse_all(&world, cases).await?;
    ensure!(
        world.idp.requests("/.well-known/openid-configuration") == discoveries,
        "something was fetched for an issuer that is not trusted"
    );
    world
        .passes(
            "a list of audiences",
            Request::get("/api/orders").bearer(&with_claims(json!({ "aud": ["x", AUDIENCE] }))),
        )
        .await?;
    Ok(())
}

async fn threats_22_to_27_claims_and_types(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let with_claims = |changes: Value| world.token_with(changes);
    let typed = |typ: Value| world.key.token_with(&header(&world, json!({ "typ": typ })), &alice());
    let raw = |name: &str, value: &str| {
        let claims =
            with(alice(), json!({ name: null })).to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1);
        world.key.token_of(header(&world, json!({})).to_string().as_bytes(), claims.as_bytes())
    };
    let mut cases = vec![
        ("23: no exp", with_claims(json!({ "exp": null })), "claim_missing"),
        ("24: a negative exp", raw("exp", "-1"), "token_expired"),
        ("24: a fraction in the past", raw("exp", "1.5"), "token_expired"),
        ("24: the smallest exp", raw("exp", "-9223372036854775808"), "token_expired"),
        ("24: an nbf far away", raw("nbf", "18446744073709551615"), "token_not_yet_valid"),
        ("24: an nbf that is huge", raw("nbf", "1e300"), "token_not_yet_valid"),
        ("24: expired", with_claims(json!({ "exp": now() - 120 })), "token_expired"),
        ("24: not yet", with_claims(json!({ "nbf": now() + 120 })), "token_not_yet_valid"),
        ("24: issued in the future", with_claims(json!({ "iat": now() + 120 })), "token_not_yet_valid"),
        ("25: a logout token", typed(json!("logout+jwt")), "type_not_allowed"),
        ("25: a DPoP proof", typed(json!("dpop+jwt")), "type_not_allowed"),
        ("25: a credential", typed(json!("dc+sd-jwt")), "type_not_allowed"),
        ("25: the long name of another", typed(json!("application/logout+jwt")), "type_not_allowed"),
        ("26: a key-binding JWT", typed(json!("kb+jwt")), "type_not_allowed"),
        ("26: a presentation", format!("{}~", world.token()), "token_malformed"),
        ("90: a nonce", with_claims(json!({ "nonce": "n" })), "id_token_not_accepted"),
        ("90: an at_hash", with_claims(json!({ "at_hash": "h" })), "id_token_not_accepted"),
    ];
    for (name, value) in [
        ("exp", json!("1")),
        ("exp", json!(true)),
        ("exp", json!([1])),
        ("nbf", json!("0")),
        ("iat", json!("0")),
        ("iat", json!({})),
    ] {
        cases.push(("22: a time of a wrong type", with_claims(json!({ name: value })), "claim_invalid"));
    }
    // a null is removed by `with`, so it is written by hand
    cases.push(("22: an exp that is null", raw("exp", "null"), "claim_invalid"));
    refuse_all(&world, cases).await?;
    for (what, typ) in
        [("JWT", "JWT"), ("lower case", "jwt"), ("the long name", "application/at+jwt"), ("upper case", "AT+JWT")]
    {
        world.passes(what, Request::get("/api/orders").bearer(&typed(json!(typ)))).await?;
    }
    world.passes("no typ", Request::get("/api/orders").bearer(&typed(Value::Null))).await?;
    world
        .passes("a fraction ahead", Request::get("/api/orders").bearer(&raw("exp", &format!("{}.5", now() + 60))))
        .await?;
    Ok(())
}

/// Threats 12 and 16: a key set with duplicate key ids, or with a private key, is refused whole; a small-order point is no key.
async fn key_sets_that_are_refused(version: &'static str) -> Result<()> {
    let world = Setup { silent_provider: true, ..Default::default() }.start(version).await?;
    let mut private = world.key.jwk();
    private["d"] = json!(base64url([7; 32]));
    let small_order = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url([0; 32]), "kid": "k1", "alg": "EdDSA" });
    let request = || Request::get("/api/orders").bearer(&world.token());
    for (what, set, status, code) in [
        ("12: two keys of one id", key_set(&[&world.key, &world.partner]), 503, "keys_unavailable"),
        ("12: a private key", json!({ "keys": [private] }), 503, "keys_unavailable"),
        (
            "12: a shared secret",
            json!({ "keys": [{ "kty": "oct", "k": base64url([1; 32]), "kid": "k1" }] }),
            503,
            "keys_unavailable",
        ),
    ] {
        world.idp.publish_set(ISSUER, set);
        // the cooldown after the last failure is a second
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        world.refused(what, request(), status, code).await?;
    }
    world.idp.publish_set(ISSUER, json!({ "keys": [small_order] }));
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let forged = format!(
        "{}.{}.{}",
        base64url(json!({ "alg": "EdDSA", "kid": "k1", "typ": "at+jwt" }).to_string()),
        base64url(alice().to_string()),
        base64url([[1; 1].as_slice(), &[0; 63]].concat())
    );
    let before = world.upstream.hits();
    let reply = world.send(Request::get("/api/orders").bearer(&forged)).await?;
    ensure!((400..600).contains(&reply.status) && world.upstream.hits() == before, "16: a small-order key: {reply:?}");
    world.idp.publish(ISSUER, &[&world.key]);
    world.recovers().await
}

/// Threat 27: what is remembered of a token ends when the token does.
async fn a_remembered_verdict_ends_with_its_token(version: &'static str) -> Result<()> {
    let mut config = config();
    config["issuers"]["corp"]["clock_skew"] = json!("0s");
    let world = Setup { config, concurrency: 1, ..Default::default() }.start(version).await?;
    let ends = now() + 8;
    let short = world.token_with(json!({ "exp": ends }));
    world.passes("at first", Request::get("/api/orders").bearer(&short)).await?;
    world.passes("remembered", Request::get("/api/orders").bearer(&short)).await?;
    eventually("it expires", || async {
        Ok(world.send(Request::get("/api/orders").bearer(&short)).await?.status != 200)
    })
    .await?;
    ensure!(now() >= ends, "refused before its end");
    world.refused("expired", Request::get("/api/orders").bearer(&short), 401, "token_expired").await?;
    world.alive().await
}

/// `required_claims`, `max_lifetime`, `typ` and a path of `roles`.
async fn an_issuer_can_ask_for_more(version: &'static str) -> Result<()> {
    let mut config = config();
    let corp = &mut config["issuers"]["corp"];
    corp["required_claims"] = json!([
        { "claim": "hd", "equals": "example.com" },
        { "claim": "groups", "contains": "staff" },
        { "claim": "tier", "one_of": ["gold", "silver"] },
    ]);
    corp["max_lifetime"] = json!("1h");
    corp["typ"] = json!(["at+jwt"]);
    corp["roles"] = json!("realm_access.roles");
    let world = Setup { config, ..Default::default() }.start(version).await?;
    let more = json!({
        "hd": "example.com", "groups": ["x", "staff"], "tier": "silver", "roles": null,
        "realm_access": { "roles": ["clerk"] },
    });
    let token = |changes: Value| world.key.token(&with(with(alice(), more.clone()), changes));
    world.passes("everything", Request::get("/api/orders").bearer(&token(json!({})))).await?;
    for (what, token, status, code) in [
        ("another domain", token(json!({ "hd": "evil.example" })), 403, "claim_mismatch"),
        ("no group", token(json!({ "groups": ["staffs"] })), 403, "claim_mismatch"),
        ("another tier", token(json!({ "tier": "bronze" })), 403, "claim_mismatch"),
        ("no tier", token(json!({ "tier": null })), 403, "claim_mismatch"),
        ("too long a life", token(json!({ "exp": now() + 7200 })), 401, "lifetime_too_long"),
        ("no iat", token(json!({ "iat": null })), 401, "claim_missing"),
        (
            "another type",
            world.key.token_with(&header(&world, json!({ "typ": "JWT" })), &alice()),
            401,
            "type_not_allowed",
        ),
    ] {
        world.refused(what, Request::get("/api/orders").bearer(&token), status, code).await?;
    }
    let elsewhere = token(json!({ "realm_access": null, "realm_access.roles": ["clerk"] }));
    world
        .refused("roles in a name with a dot", Request::get("/api/orders").bearer(&elsewhere), 403, "policy_denied")
        .await
        .map(drop)
}
