//! Credentials that are shown, from the request to the wallet until the session and its end; and by programs.

use carded_verifier::dcql::{ConcretePathElement, PathElement};
use carded_verifier::sd_jwt::SdHash;
use carded_verifier::sd_jwt::issue::Issue;
use carded_verifier::sd_jwt::present::HeldSdJwt;
use carded_verifier::sign::{SigningKey, prepare};
use carded_verifier::status_list::StatusListClaims;
use carded_verifier::{Algorithm, Limits, base64url};
use sha2::Digest;

use super::*;

const SHOP: &str = "https://shop.example.com";
const DMV: &str = "https://dmv.example";
const STATUS: &str = "https://dmv.example/status/1";

fn key(name: &str) -> SigningKey {
    let mut seed = [7; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SigningKey::generate(Algorithm::parse("ES256").unwrap(), name, &seed).unwrap()
}

/// A configuration in which `/wine` needs an age, and `/both` a token too.
fn config() -> Value {
    json!({
        "origins": [SHOP],
        "issuers": { "corp": issuer("corp") },
        "credentials": { "over21": {
            "query": { "format": "dc+sd-jwt", "meta": { "vct_values": ["https://dmv.example/id"] } },
            "age": { "at_least": 21 },
            "trusted_issuers": [DMV],
        } },
        "presentation": { "wallets": [{ "name": "Carded", "authorization_endpoint": "https://wallet.example.com/present" }] },
        "sessions": { "keys": [{ "env": "KEY_session" }] },
        "rules": [
            { "match": { "path": "/open" }, "allow": "anyone" },
            { "match": { "path": "/wine/**" }, "require": { "credential": "over21" }, "otherwise": "present" },
            { "match": { "path": "/both" }, "require": { "all": [{ "token": "corp" }, { "credential": "over21" }] }, "otherwise": "present" },
        ],
        "forward": { "headers": { "x-carded-over-21": "over21.satisfied", "x-carded-subject": "corp.sub" } },
        "fetch": { "clusters": { "dmv.example": "dmv" } },
    })
}

/// A shop, its browser's cookies, and what the network would answer.
struct Shop {
    gate: Gate,
    known: Documents,
    verdicts: Verdicts,
    once: InMemory,
    budget: Budget,
    counter: u64,
    now: i64,
    revoked: bool,
}

struct Answered {
    status: u16,
    code: &'static str,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answered {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The cookie that is set, as the browser sends it back.
    fn cookie(&self, prefix: &str) -> String {
        let set = self.headers.iter().filter(|(name, _)| name == "set-cookie");
        let mut values = set.map(|(_, value)| value.split(';').next().unwrap().to_owned());
        values.find(|value| value.starts_with(prefix) && !value.ends_with('=')).unwrap()
    }
}

impl Shop {
    fn new(config: Value) -> Self {
        let environment = |name: &str| match name {
            "KEY_session" => Some(base64url::encode([5; 32])),
            name => environment(name),
        };
        let gate = Gate::new(&Config::from_value(config).unwrap(), &environment, Arc::new(RustCrypto));
        let gate = gate.unwrap_or_else(|errors| panic!("{errors:?}"));
        Self {
            known: Documents::new(gate.limits()),
            verdicts: Verdicts::new(10, &mut secret),
            once: InMemory::default(),
            budget: Budget::default(),
            counter: 0,
            now: NOW,
            revoked: false,
            gate,
        }
    }

    fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answered {
        let pseudo = [(":method", method), (":path", path), (":authority", "shop.example.com"), (":scheme", "https")];
        let pairs = pseudo.iter().chain(headers).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut request = Request::from_pairs(pairs);
        for _ in 0..8 {
            let mut random = |bytes: &mut [u8]| {
                for chunk in bytes.chunks_mut(8) {
                    self.counter += 1;
                    let block = sha2::Sha256::digest(self.counter.to_be_bytes());
                    chunk.copy_from_slice(&block[..chunk.len()]);
                }
                true
            };
            let now = Timestamp::from_unix(self.now);
            let mut around = Around {
                verdicts: &mut self.verdicts,
                once: &mut self.once,
                budget: &mut self.budget,
                random: &mut random,
                now,
            };
            let decision = self.gate.decide(&request, &self.known, &mut around, &mut Silent);
            let owned = |pairs: Vec<(&str, String)>| pairs.into_iter().map(|(a, b)| (a.to_owned(), b)).collect();
            match decision.step {
                Step::Forward(changes) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let mut headers: Vec<_> = changes.set.iter().map(|(n, v)| (n.to_string(), text(v))).collect();
                    headers.extend(changes.remove.iter().map(|name| (format!("-{}", text(name)), String::new())));
                    return Answered { status: 200, code: "forwarded", headers, body: String::new() };
                }
                Step::Reply(reply) => {
                    let headers = owned(reply.headers);
                    return Answered { status: reply.status, code: reply.code, headers, body: reply.body };
                }
                Step::Body(limit) => {
                    let body = body.unwrap_or_default();
                    assert!(body.len() <= limit);
                    request = request.with_body(body.as_bytes().to_vec());
                }
                Step::Need(fetch) => {
                    let reply = self.network(fetch.url().as_str());
                    self.known.insert(&fetch, &reply, now).unwrap();
                }
            }
        }
        panic!("too many documents are asked for");
    }

    fn network(&self, url: &str) -> carded_verifier::Reply {
        let body = match url {
            "https://dmv.example/.well-known/jwt-vc-issuer" => {
                json!({ "issuer": DMV, "jwks": { "keys": [key("dmv").public_jwk()] } }).to_string()
            }
            STATUS => {
                let statuses = vec![u8::from(self.revoked); 64];
                let claims = StatusListClaims {
                    sub: STATUS,
                    iss: Some(DMV),
                    iat: Timestamp::from_unix(self.now),
                    lifetime: None,
                    ttl: Some(std::time::Duration::from_secs(15)),
                    bits: 1,
                    statuses: &statuses,
                };
                let mut header = key("dmv").header();
                header.insert("typ".to_owned(), json!("statuslist+jwt"));
                key("dmv").sign(prepare(&header, &claims.to_claims().unwrap())).unwrap()
            }
            other => panic!("nobody is asked for {other}"),
        };
        carded_verifier::Reply { status: 200, body: body.into_bytes(), max_age: None }
    }

    fn browse(&mut self, path: &str, cookie: &str) -> Answered {
        self.ask("GET", path, &[("accept", "text/html,*/*;q=0.8"), ("cookie", cookie)], None)
    }

    /// The request that a wallet gets: its parameters, and the cookie of the transaction.
    fn begin(&mut self, path: &str) -> (BTreeMap<String, String>, String) {
        let answered = self.browse(path, "");
        assert_eq!(answered.status, 303, "{}", answered.body);
        let location = answered.header("location").unwrap();
        let (endpoint, query) = location.split_once('?').unwrap();
        assert_eq!(endpoint, "https://wallet.example.com/present");
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        (parameters, answered.cookie("__Host-carded-tx-"))
    }

    fn respond(&mut self, form: &[(&str, &str)]) -> Answered {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://wallet.example.com")];
        let answered = self.ask("POST", "/.carded/response", &headers, Some(&body));
        assert_eq!(answered.header("access-control-allow-origin"), Some("*"));
        answered
    }
}

use std::collections::BTreeMap;

/// A card of the DMV for a holder.
fn card(over21: bool) -> String {
    let mut header = key("dmv").header();
    header.insert("typ".to_owned(), json!("dc+sd-jwt"));
    let claims = json!({
        "iss": DMV, "vct": "https://dmv.example/id", "iat": NOW - 100, "exp": NOW + 10_000,
        "cnf": { "jwk": key("holder").public_jwk() },
        "status": { "status_list": { "uri": STATUS, "idx": 3 } },
        "given_name": "Ada", "birthdate": "1990-01-01",
        "age_equal_or_over": { "18": true, "21": over21 },
    });
    let name = |text: &str| PathElement::Name(text.to_owned());
    let issue = Issue {
        header,
        claims: claims.as_object().unwrap().clone(),
        disclosable: vec![
            vec![name("given_name")],
            vec![name("birthdate")],
            vec![name("age_equal_or_over"), name("18")],
            vec![name("age_equal_or_over"), name("21")],
        ],
        decoys: 2,
        hash: SdHash::SHA_256,
    };
    let mut counter = 0_u8;
    let mut random = |bytes: &mut [u8]| {
        counter += 1;
        bytes.fill(counter);
    };
    let prepared = issue.prepare(&mut random).unwrap();
    let signature = key("dmv").signature(prepared.bytes()).unwrap();
    prepared.finish(&signature)
}

fn show(card: &str, parameters: &BTreeMap<String, String>, now: i64) -> String {
    let held = HeldSdJwt::parse(card, &Limits::default()).unwrap();
    let name = |text: &str| ConcretePathElement::Name(text.to_owned());
    let shown = held.disclose(&[vec![name("age_equal_or_over"), name("21")]]);
    let prepared = shown.prepare_key_binding(
        Algorithm::parse("ES256").unwrap(),
        &parameters["client_id"],
        &parameters["nonce"],
        Timestamp::from_unix(now),
    );
    let signature = key("holder").signature(prepared.bytes()).unwrap();
    prepared.finish(&signature)
}

fn vp_token(presentation: &str) -> String {
    json!({ "over21": [presentation] }).to_string()
}

/// A person goes through all of it; the cookies of the session at the end.
fn enter(shop: &mut Shop) -> String {
    let (parameters, transaction) = shop.begin("/wine/red?year=1990");
    let presentation = show(&card(true), &parameters, shop.now);
    let answered = shop.respond(&[("vp_token", &vp_token(&presentation)), ("state", &parameters["state"])]);
    assert_eq!(answered.status, 200, "{}", answered.body);
    let back = redirect_uri(&answered);
    let done = shop.browse(&back, &format!("other=1; {transaction}"));
    assert_eq!((done.status, done.header("location")), (303, Some("/wine/red?year=1990")), "{}", done.body);
    done.cookie("__Host-carded=")
}

/// The address that the wallet is told to go back to, without the origin.
fn redirect_uri(answered: &Answered) -> String {
    let body: Value = serde_json::from_str(&answered.body).unwrap();
    body["redirect_uri"].as_str().unwrap().strip_prefix(SHOP).unwrap().to_owned()
}

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
fn a_credential_that_is_taken_back_closes_the_session_after_the_ttl() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    shop.revoked = true;
    shop.now += 5;
    assert_eq!(shop.browse("/wine/white", &session).status, 200, "the list counts for its ttl");
    shop.now += 15;
    let answered = shop.browse("/wine/white", &session);
    assert_eq!((answered.status, answered.code), (401, "credential_revoked"), "{}", answered.body);
    assert!(answered.body.contains("Show with Carded"));
    let program = shop.ask("GET", "/wine/white", &[("cookie", &session)], None);
    assert_eq!((program.status, program.code), (401, "credential_revoked"));
}

#[test]
fn a_session_ends_with_the_credential() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    shop.now = NOW + 9_990;
    assert_eq!(shop.browse("/wine/white", &session).status, 200);
    shop.now = NOW + 10_000;
    assert_eq!(shop.browse("/wine/white", &session).status, 303);
}

#[test]
fn threat_86_what_changes_something_must_come_from_our_own_pages() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    let ask = |shop: &mut Shop, method: &str, headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", session.as_str())];
        all.extend(headers);
        let answered = shop.ask(method, "/wine/order", &all, None);
        (answered.status, answered.code)
    };
    let ours = (200, "forwarded");
    let refused = (403, "cross_site");
    assert_eq!(ask(&mut shop, "POST", &[("origin", SHOP)]), ours);
    assert_eq!(ask(&mut shop, "POST", &[("sec-fetch-site", "same-origin")]), ours);
    assert_eq!(ask(&mut shop, "POST", &[]), refused);
    assert_eq!(ask(&mut shop, "POST", &[("origin", "https://evil.example")]), refused);
    assert_eq!(ask(&mut shop, "POST", &[("origin", "null"), ("sec-fetch-site", "same-origin")]), refused);
    assert_eq!(ask(&mut shop, "DELETE", &[("sec-fetch-site", "same-site")]), refused);
    assert_eq!(ask(&mut shop, "GET", &[("upgrade", "websocket"), ("origin", "https://evil.example")]), refused);
    assert_eq!(ask(&mut shop, "GET", &[("upgrade", "websocket"), ("origin", SHOP)]), ours);
    assert_eq!(ask(&mut shop, "GET", &[("origin", "https://evil.example")]), ours, "it only reads");
}

#[test]
fn rules_mix_a_token_and_a_credential() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    let token = bearer(&token("corp", json!({})));
    let answered = shop.ask("GET", "/both", &[("authorization", &token), ("cookie", &session)], None);
    assert_eq!((answered.status, answered.header("x-carded-subject")), (200, Some("alice")));
    let page = [("accept", "text/html"), ("authorization", &*token)];
    assert_eq!(shop.ask("GET", "/both", &page, None).status, 303, "the credential alone is missing");
    let answered = shop.ask("GET", "/both", &[("cookie", &session), ("accept", "text/html")], None);
    assert_eq!((answered.status, answered.code), (401, "token_missing"), "no wallet has the token");
}

#[test]
fn a_program_shows_a_credential_and_proves_its_key_with_each_use() {
    let mut shop = Shop::new(config());
    let refused = shop.ask("GET", "/wine/red", &[], None);
    assert_eq!((refused.status, refused.code), (401, "presentation_required"));
    assert!(refused.header("www-authenticate").unwrap().starts_with("DPoP "), "{:?}", refused.headers);
    let challenge = shop.ask("POST", "/.carded/challenge", &[], None);
    assert_eq!(challenge.status, 200, "{}", challenge.body);
    let challenge: Value = serde_json::from_str(&challenge.body).unwrap();
    let text = |name: &str| challenge[name].as_str().unwrap().to_owned();
    let parameters = BTreeMap::from([("client_id".to_owned(), text("client_id")), ("nonce".to_owned(), text("nonce"))]);
    let presentation = vp_token(&show(&card(true), &parameters, NOW));
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("vp_token", &*presentation), ("nonce", &*parameters["nonce"])])
        .finish();
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let presented = shop.ask("POST", "/.carded/present", &headers, Some(&form));
    assert_eq!(presented.status, 200, "{}", presented.body);
    assert_eq!(shop.ask("POST", "/.carded/present", &headers, Some(&form)).code, "nonce_used", "once");
    let presented: Value = serde_json::from_str(&presented.body).unwrap();
    assert_eq!((presented["token_type"].as_str(), presented["expires_in"].as_u64()), (Some("DPoP"), Some(600)));
    let token = presented["access_token"].as_str().unwrap();
    let authorization = format!("DPoP {token}");

    let proof = |by: &SigningKey, claims: Value| {
        let mut header = by.header();
        header.remove("kid");
        header.insert("typ".to_owned(), json!("dpop+jwt"));
        header.insert("jwk".to_owned(), by.public_jwk());
        let mut all = json!({
            "jti": format!("j{claims}"), "htm": "GET", "htu": format!("{SHOP}/wine/red"), "iat": NOW,
            "ath": base64url::encode(sha2::Sha256::digest(token)),
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        by.sign(prepare(&header, all.as_object().unwrap())).unwrap()
    };
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
fn another_envoy_with_the_same_key_finishes_what_one_began() {
    let (mut one, mut two) = (Shop::new(config()), Shop::new(config()));
    let (parameters, transaction) = one.begin("/wine/red");
    let presentation = vp_token(&show(&card(true), &parameters, NOW));
    let answered = two.respond(&[("vp_token", &presentation), ("state", &parameters["state"])]);
    let done = one.browse(&redirect_uri(&answered), &transaction);
    let session = done.cookie("__Host-carded=");
    assert_eq!(two.browse("/wine/red", &session).status, 200);
    let mut other = config();
    other["credentials"]["over21"]["age"]["at_least"] = json!(18);
    assert_eq!(Shop::new(other).browse("/wine/red", &session).status, 303, "where it means something else, it is none");
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
            now: Timestamp::from_unix(NOW),
        };
        let decision = shop.gate.decide(&request("evil.example", path), &shop.known, &mut around, &mut Silent);
        let Step::Reply(reply) = decision.step else { panic!("{path}") };
        assert_eq!((reply.status, reply.code), (421, "misdirected"), "{path}");
    }
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
    refused(|c| c["origins"] = json!([]), "`origins`, to which wallets answer");
    refused(|c| c["presentation"] = Value::Null, "rules[1].otherwise");
    refused(|c| c["credentials"]["over21"]["trusted_issuers"] = json!([]), "credentials.over21.trusted_issuers");
    refused(|c| c["credentials"]["over21"]["trusted_issuers"] = json!(["http://dmv.example"]), "trusted_issuers[0]");
    refused(|c| c["credentials"]["over21"]["trusted_issuers"] = json!(["https://other.example"]), "does not name");
    refused(|c| c["credentials"]["over21"]["algorithms"] = json!(["HS256"]), "algorithms[0]");
    refused(|c| c["credentials"]["over21"]["query"]["meta"] = json!({}), "credentials.over21.query");
    refused(|c| c["credentials"]["over21"]["query"]["format"] = json!("mso_mdoc"), "credentials.over21.query");
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
fn threat_76_a_damaged_or_ended_session_counts_as_none() {
    let mut shop = Shop::new(config());
    let session = enter(&mut shop);
    let damaged = format!("{}x", &session[..session.len() - 1]);
    for cookie in [&*damaged, "__Host-carded=", "__Host-carded=\u{e9}", &format!("__Host-carded={}", "A".repeat(9000))]
    {
        assert_eq!(shop.browse("/wine/red", cookie).status, 303, "{}", cookie.len());
    }
    assert_eq!(shop.browse("/wine/red", &format!("{damaged}; {session}")).status, 200, "the one that holds counts");
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

#[test]
fn threat_70_a_session_that_would_outgrow_a_cookie_is_refused() {
    let mut configured = config();
    configured["forward"]["headers"]["x-name"] = json!("over21.given_name");
    let shop = Shop::new(configured);
    let proof = |size: usize| super::super::proof::Proof {
        name: "over21".to_owned(),
        way: "over21".to_owned(),
        issuer: DMV.to_owned(),
        ends: NOW + 100,
        claims: [("given_name".to_owned(), json!("x".repeat(size)))].into_iter().collect(),
        status: None,
    };
    let sessions = shop.gate.sessions.as_ref().unwrap();
    let cookie = |size: usize| {
        let mut session = super::super::session::Session::default();
        session.add(vec![proof(size)], Timestamp::from_unix(NOW));
        sessions.cookie(&session, SHOP, Timestamp::from_unix(NOW), &mut |_| true)
    };
    assert!(cookie(1000).is_some_and(|cookie| cookie.len() <= 4096));
    assert!(cookie(3500).is_none());
}

#[test]
fn threat_68_each_session_is_sealed_anew() {
    let mut shop = Shop::new(config());
    let (one, two) = (enter(&mut shop), enter(&mut shop));
    assert_ne!(one, two);
}
