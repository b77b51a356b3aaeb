//! Logins at a provider that fails, lies or answers for somebody else, through the real Envoy: nobody is signed in, the person reads
//! plain words with a way back, and the next try works.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::Reply;
use carded_envoy::idp::Idp;
use carded_envoy::keys::{Key, base64url, now, with};
use carded_envoy::run::Envoy;
use carded_envoy::upstream::Upstream;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{Setup, in_each_envoy};
use crate::login::{Browser, ISSUER, SECRET, SHOP, environment, fit};

in_each_envoy!(a_provider_that_fails_or_lies_signs_nobody_in_and_says_why);

/// What a page says: the status, the code, and words that a person understands.
type Says = (u16, &'static str, &'static str);

/// What the token endpoint answers.
enum Answer {
    /// It is not asked.
    Nothing,
    /// This status and text, after this time.
    Reply(u16, &'static str, Duration),
    /// An ID token with these changes.
    IdToken(Value),
    /// An ID token of another form, of these claims.
    Made(fn(&Key, &Value) -> String),
    /// A good ID token, and this from the UserInfo endpoint.
    UserInfo(u16, &'static str),
}

fn at_once(status: u16, text: &'static str) -> Answer {
    Answer::Reply(status, text, Duration::ZERO)
}

/// Each with the login and the parameters of the callback but `state`.
fn cases() -> Vec<(&'static str, &'static str, &'static str, Answer, Says)> {
    let code = "code=c0de";
    let failed = |words| (403, "login_failed", words);
    let refused = |words| (403, "login_refused", words);
    let down = |words| (503, "login_unavailable", words);
    let token = Answer::IdToken;
    vec![
        // at the authorization endpoint
        ("no", "corp", "error=access_denied", Answer::Nothing, refused("you did not sign in, or may not")),
        ("busy", "corp", "error=temporarily_unavailable", Answer::Nothing, refused("cannot do it at the moment")),
        (
            "its own error",
            "corp",
            "error=E%3Cb%3E&error_description=Call%20us",
            Answer::Nothing,
            refused("adds: Call us"),
        ),
        (
            "another provider",
            "corp",
            "code=c0de&iss=https://evil.example",
            Answer::Nothing,
            failed("names another provider"),
        ),
        ("both", "corp", "code=c0de&error=x", Answer::Nothing, (400, "login_malformed", "no answer of a provider")),
        ("neither", "corp", "x=y", Answer::Nothing, (400, "login_malformed", "no answer of a provider")),
        // at the token endpoint
        (
            "a bad code",
            "corp",
            code,
            at_once(400, r#"{"error":"invalid_grant"}"#),
            failed("refused the code: invalid_grant"),
        ),
        ("we are unknown", "corp", code, at_once(401, r#"{"error":"invalid_client"}"#), failed("invalid_client")),
        ("broken", "corp", code, at_once(500, "<html>"), down("the provider failed")),
        ("late", "corp", code, Answer::Reply(200, "{}", Duration::from_secs(3)), down("the provider failed")),
        ("a redirect", "corp", code, at_once(302, ""), failed("refused the code")),
        ("no JSON", "corp", code, at_once(200, "<html>"), failed("cannot be read")),
        ("no tokens", "corp", code, at_once(200, r#"{"token_type":"Bearer"}"#), failed("cannot be read")),
        // the ID token
        ("of another sign-in", "corp", code, token(json!({ "nonce": "another" })), failed("nonce_mismatch")),
        ("without a nonce", "corp", code, token(json!({ "nonce": null })), failed("claim_missing")),
        ("for another client", "corp", code, token(json!({ "aud": "api" })), failed("audience_mismatch")),
        (
            "of another issuer",
            "corp",
            code,
            token(json!({ "iss": "https://evil.example" })),
            failed("issuer_untrusted"),
        ),
        ("expired", "corp", code, token(json!({ "exp": now() - 600 })), failed("token_expired")),
        ("of nobody", "corp", code, token(json!({ "sub": null })), failed("claim_missing")),
        (
            "of another access token",
            "corp",
            code,
            token(json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" })),
            failed("claim_invalid"),
        ),
        ("unsigned", "corp", code, Answer::Made(unsigned), failed("algorithm_not_allowed")),
        ("signed with our secret", "corp", code, Answer::Made(by_our_secret), failed("algorithm_not_allowed")),
        ("signed by another", "corp", code, Answer::Made(by_another), failed("signature_invalid")),
        ("an access token", "corp", code, Answer::Made(|key, claims| key.token(claims)), failed("type_not_allowed")),
        // the UserInfo endpoint
        (
            "of somebody else",
            "told",
            code,
            Answer::UserInfo(200, r#"{"sub":"mallory"}"#),
            failed("speaks of somebody else"),
        ),
        (
            "of nobody there",
            "told",
            code,
            Answer::UserInfo(200, r#"{"email":"alice@example.com"}"#),
            failed("somebody else"),
        ),
        ("not for us", "told", code, Answer::UserInfo(401, "{}"), failed("gave no claims")),
        ("broken there", "told", code, Answer::UserInfo(500, ""), down("did not answer")),
    ]
}

fn unsigned(_: &Key, claims: &Value) -> String {
    format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(claims.to_string()))
}

fn by_our_secret(_: &Key, claims: &Value) -> String {
    let input = format!("{}.{}", base64url(r#"{"alg":"HS256"}"#), base64url(claims.to_string()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{input}.{}", base64url(ring::hmac::sign(&key, input.as_bytes())))
}

fn by_another(key: &Key, claims: &Value) -> String {
    let other = Key::p256(key.kid()).expect("a key");
    other.token_with(&json!({ "alg": "ES256", "kid": key.kid() }), claims)
}

fn config() -> Value {
    let issuer = |path: &str| json!({ "issuer": format!("{ISSUER}{path}"), "audiences": ["api"], "keys": { "discovery": true } });
    let login = json!({ "client_id": "shop", "client_secret": { "env": "OIDC_SECRET" } });
    let rule = |name: &str| json!({ "match": { "path": format!("/{name}/**") }, "require": { "login": name }, "otherwise": "login" });
    let rules = ["corp", "told", "other", "down"].map(rule);
    json!({
        "origins": [SHOP],
        "danger_allow_http_localhost": true,
        "issuers": { "corp": issuer(""), "told": issuer("/told"), "other": issuer("/other"), "down": issuer("/down") },
        "login": { "corp": login, "told": with(login.clone(), json!({ "userinfo": true })), "other": login, "down": login },
        "sessions": { "keys": [{ "env": "CARDED_SESSION_KEY" }] },
        "rules": rules,
        "fetch": { "clusters": { "idp.localhost": "idp" }, "timeout": "1s", "cooldown": "1s" },
    })
}

struct World {
    idp: Idp,
    key: Key,
    upstream: Upstream,
    browser: Browser,
}

impl World {
    /// A sign-in on its way: the parameters that the provider was sent.
    async fn begins(&mut self, login: &str) -> Result<BTreeMap<String, String>> {
        let sent = self.browser.ask("GET", &format!("{SHOP}/{login}/x?y=1"), None).await?;
        let to = sent.header("location").with_context(|| format!("{login}: {} {}", sent.status, sent.text()))?;
        let query = to.split_once('?').context("a query")?.1;
        ensure!(sent.status == 303 && to.starts_with(ISSUER), "{} {to}", sent.status);
        Ok(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// What the provider answers from now on.
    fn answers(&self, login: &str, answer: &Answer, nonce: &str) {
        let base = if login == "corp" { "" } else { "/told" };
        let claims = json!({
            "iss": format!("{ISSUER}{base}"), "aud": "shop", "sub": "alice", "nonce": nonce, "iat": now(), "exp": now() + 300,
        });
        let signed = |claims: &Value| self.key.token_with(&json!({ "alg": "ES256", "kid": "k1" }), claims);
        let id_token = match answer {
            Answer::Nothing => None,
            Answer::Reply(status, text, delay) => {
                self.idp.put_reply(&format!("{base}/token"), *status, text, *delay);
                None
            }
            Answer::IdToken(changes) => Some(signed(&with(claims, changes.clone()))),
            Answer::Made(make) => Some(make(&self.key, &claims)),
            Answer::UserInfo(status, text) => {
                self.idp.put_reply(&format!("{base}/userinfo"), *status, text, Duration::ZERO);
                Some(signed(&claims))
            }
        };
        if let Some(id_token) = id_token {
            let tokens = json!({ "access_token": "opaque", "token_type": "Bearer", "id_token": id_token });
            self.idp.put(&format!("{base}/token"), tokens, None);
        }
    }

    /// A person reads a page that says so, with a way back; nobody is signed in.
    fn reads(&self, what: &str, reply: &Reply, (status, code, words): Says, way: &str) -> Result<()> {
        let text = reply.text();
        ensure!(reply.status == status && text.contains(&format!("Code: {code}<")), "{what}: {} {text}", reply.status);
        ensure!(
            text.to_lowercase().contains(&words.to_lowercase()) && text.contains(&format!("href=\"{way}\"")),
            "{what}: {text}"
        );
        ensure!(!text.contains("c0de") && !text.contains(SECRET) && !text.contains("<b>"), "{what}: {text}");
        for (name, value) in [("content-security-policy", "default-src 'none'"), ("cache-control", "no-store")] {
            ensure!(reply.header(name).is_some_and(|header| header.contains(value)), "{what}: {name}");
        }
        ensure!(reply.header("retry-after").is_some() == (status == 503), "{what}: retry-after");
        ensure!(self.browser.cookies.is_empty(), "{what}: {:?}", self.browser.cookies);
        ensure!(self.upstream.hits() == 0, "{what}: something was passed on");
        Ok(())
    }
}

async fn a_provider_that_fails_or_lies_signs_nobody_in_and_says_why(version: &'static str) -> Result<()> {
    let environment = environment(SECRET);
    let setup = Setup { config: config(), environment, silent_provider: true, ..Default::default() };
    let (bootstrap, upstream, _, options) = setup.prepare(version).await?;
    let (idp, key) = (Idp::start(None).await?, Key::p256("k1")?);
    for base in ["", "/told", "/other"] {
        let issuer = format!("{ISSUER}{base}");
        idp.publish(&issuer, &[&key]);
        let metadata = json!({
            "issuer": if base == "/other" { "https://evil.example" } else { &issuer },
            "jwks_uri": format!("{issuer}/jwks"),
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
        });
        idp.put(&format!("{base}/.well-known/openid-configuration"), metadata, None);
    }
    idp.put_reply("/down/.well-known/openid-configuration", 500, "", Duration::ZERO);
    let envoy = Envoy::start(&fit(bootstrap, idp.address), &options).await?;
    let shop = envoy.listener("edge").await?;
    let browser = Browser { shop, idp: idp.address, cookies: BTreeMap::new(), forms: 0 };
    let mut world = World { idp, key, upstream, browser };

    // nowhere to go to
    for login in ["other", "down"] {
        let reply = world.browser.ask("GET", &format!("{SHOP}/{login}/x?y=1"), None).await?;
        let says = (503, "login_unavailable", "metadata");
        world.reads(login, &reply, says, &format!("/{login}/x?y=1"))?;
    }
    // what one provider began, another does not end (mix-up, threat 63)
    let sent = world.begins("corp").await?;
    let asked = world.idp.requests("/token");
    let back = format!("{SHOP}/.carded/callback/told?code=c0de&state={}", sent["state"]);
    let reply = world.browser.ask("GET", &back, None).await?;
    world.browser.cookies.clear();
    world.reads("the answer of another", &reply, (400, "login_unknown", "nobody was signed in"), "/")?;
    ensure!(world.idp.requests("/token") == asked, "the code went to another");

    let mut wrong = Vec::new();
    for (what, login, parameters, answer, says) in cases() {
        let sent = world.begins(login).await?;
        world.answers(login, &answer, &sent["nonce"]);
        let before = world.idp.requests("/token");
        let back = format!("{SHOP}/.carded/callback/{login}?{parameters}&state={}", sent["state"]);
        let reply = world.browser.ask("GET", &back, None).await?;
        let way = if says.1 == "login_malformed" { "/".to_owned() } else { format!("/{login}/x?y=1") };
        if says.1 == "login_malformed" {
            // what is no answer ends nothing: the sign-in goes on
            ensure!(world.browser.cookies.len() == 1, "{what}: {:?}", world.browser.cookies);
            world.browser.cookies.clear();
        }
        if let Err(error) = world.reads(what, &reply, says, &way) {
            wrong.push(error.to_string());
        }
        let asked = usize::from(!matches!(answer, Answer::Nothing));
        ensure!(world.idp.requests("/token") == before + asked, "{what}: a code is sent once");
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // the same browser, and a provider that means well
    for login in ["corp", "told"] {
        let sent = world.begins(login).await?;
        world.answers(login, &Answer::UserInfo(200, r#"{"sub":"alice","email":"alice@example.com"}"#), &sent["nonce"]);
        let back = format!("{SHOP}/.carded/callback/{login}?code=c0de&state={}", sent["state"]);
        let kept = world.browser.clone();
        let (url, reply) = world.browser.go(&back).await?;
        ensure!(url == format!("{SHOP}/{login}/x?y=1") && reply.status == 200, "{url} {}", reply.text());
        // an answer that is brought again, by who has the cookie of that sign-in
        let again = kept.clone().ask("GET", &back, None).await?;
        ensure!(again.status == 400 && again.text().contains("Code: login_unknown<"), "{}", again.text());
    }
    ensure!(world.upstream.hits() == 2, "{}", world.upstream.hits());
    let log = envoy.log();
    ensure!(!log.contains("Wasm VM failed") && !log.contains(SECRET) && !log.contains("c0de"), "{log}");
    Ok(())
}
