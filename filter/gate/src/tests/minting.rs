//! The gateway's own token: what it says, how long it serves, and that a sidecar takes it.

use carded_verifier::{Algorithm, GatewayKey};

use super::shop::{self, Shop, enter};
use super::*;
use Became::*;

fn config() -> Value {
    json!({
        "origins": ["https://api.example.com", "https://www.example.com"],
        "issuers": { "corp": issuer("corp"), "partner": issuer("partner") },
        "rules": [
            { "match": { "path": "/open" }, "allow": "anyone" },
            { "match": { "path": "/maybe" }, "optional": { "token": "corp" } },
            { "match": { "path": "/**" }, "require": { "any": [{ "token": "corp" }, { "token": "partner" }] } },
        ],
        "forward": { "token": {
            "audiences": ["orders"],
            "keys": [{ "env": "SIGN_ONE" }, { "env": "SIGN_TWO", "algorithm": "ES256" }],
            "claims": ["corp.email", "corp.a.b"],
        } },
    })
}

fn environment(name: &str) -> Option<String> {
    let byte = match name {
        "SIGN_ONE" => 1,
        "SIGN_TWO" => 2,
        "SALT" => 3,
        other => return shop::environment_of_shop(other),
    };
    Some(URL_SAFE_NO_PAD.encode([byte; 32]))
}

fn build(config: Value) -> Result<Gate, Vec<ConfigError>> {
    Gate::new(&Config::from_value(config)?, &environment, Arc::new(RustCrypto))
}

fn gate(config: Value) -> Gate {
    build(config).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// The header with the token, of a request that went on.
fn header(became: &Became) -> Option<&str> {
    let Forwarded { set, .. } = became else { panic!("{became:?}") };
    set.iter().find(|(name, _)| name == "x-carded-token").map(|(_, value)| value.as_str())
}

fn payload(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// What is answered under the address of the keys.
fn published(gate: &Gate, method: &str) -> Reply {
    let pairs = [(":method", method), (":path", "/.carded/jwks.json"), (":authority", "10.0.0.7"), (":scheme", "http")];
    let request = Request::from_pairs(pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let (known, mut verdicts) = (Documents::new(gate.limits()), Verdicts::new(0, &mut secret));
    let mut around = Around {
        verdicts: &mut verdicts,
        once: &mut InMemory::default(),
        budget: &mut Budget::default(),
        random: &mut secret,
        connection: &mut |_| None,
        now: Timestamp::from_unix(NOW),
    };
    match gate.decide(&request, &known, &mut around, &mut Silent).step {
        Step::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// A gate that reads the tokens of another, as the filter beside a service does.
fn sidecar(of: &Gate) -> Gate {
    let jwks = published(of, "GET").body;
    gate(json!({
        "issuers": { "gateway": {
            "issuer": "https://api.example.com", "audiences": ["orders"], "algorithms": ["EdDSA", "ES256"],
            "keys": { "jwks": serde_json::from_str::<Value>(&jwks).unwrap() },
            "from_headers": [{ "name": "x-carded-token" }],
        } },
        "rules": [{ "match": { "path": "/**" }, "require": { "token": "gateway" } }],
        "forward": { "headers": { "x-user": "gateway.sub", "x-mail": "gateway.evidence.corp.claims.email" } },
    }))
}

#[test]
fn a_sidecar_takes_the_gateways_token_and_not_the_callers() {
    let gateway = gate(config());
    let sidecar = sidecar(&gateway);
    let theirs = token("corp", json!({ "email": "a@example.com", "a": { "b": 7 }, "more": "no" }));
    let became = ask(&gateway, "GET", "/x", &[("authorization", &bearer(&theirs)), ("x_carded_token", "forged")]);
    let Forwarded { removed, .. } = &became else { panic!("{became:?}") };
    assert_eq!(removed, &["x_carded_token", "authorization"]);
    let ours = header(&became).unwrap();
    let passed = ask(&sidecar, "GET", "/x", &[("x-carded-token", ours)]);
    let Forwarded { set, removed } = &passed else { panic!("{passed:?}") };
    assert_eq!(
        set,
        &[("x-mail".to_owned(), "a@example.com".to_owned()), ("x-user".to_owned(), "corp:alice".to_owned())]
    );
    assert_eq!(removed.first().unwrap(), "x-carded-token", "it ends here");
    assert_eq!(ask(&sidecar, "GET", "/x", &[("x-carded-token", &theirs)]), Refused(401, "issuer_untrusted"));
    assert_eq!(ask(&sidecar, "GET", "/x", &[]), Refused(401, "token_missing"));
}

#[test]
fn it_says_who_calls_who_vouched_and_how() {
    let gateway = gate(config());
    let theirs =
        token("corp", json!({ "azp": "app", "acr": "mfa", "amr": ["hwk"], "auth_time": NOW - 20, "a": {"b": 7} }));
    let became = ask(&gateway, "GET", "/x", &[("authorization", &bearer(&theirs))]);
    let ours = header(&became).unwrap();
    let head: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(ours.split('.').next().unwrap()).unwrap()).unwrap();
    let key = GatewayKey::from_secret(Algorithm::parse("EdDSA").unwrap(), &[1; 32]).unwrap();
    assert_eq!(head, json!({ "alg": "EdDSA", "kid": key.kid(), "typ": "at+jwt" }));
    let mut said = payload(ours);
    assert_eq!(said["jti"].as_str().unwrap().len(), 22);
    said.as_object_mut().unwrap().remove("jti");
    assert_eq!(
        said,
        json!({
            "iss": "https://api.example.com", "sub": "corp:alice", "aud": "orders", "iat": NOW, "exp": NOW + 300,
            "client_id": "app", "acr": "mfa", "amr": ["hwk"], "auth_time": NOW - 20,
            "evidence": { "corp": {
                "kind": "token", "iss": "https://corp.example.com", "sub": "alice", "claims": { "a": { "b": 7 } },
            } },
        })
    );
}

#[test]
fn threat_53_two_issuers_do_not_make_one_subject() {
    let gateway = gate(config());
    let subject = |name: &str| {
        let became = ask(&gateway, "GET", "/x", &[("authorization", &bearer(&token(name, json!({}))))]);
        payload(header(&became).unwrap())["sub"].as_str().unwrap().to_owned()
    };
    assert_eq!((subject("corp"), subject("partner")), ("corp:alice".to_owned(), "partner:alice".to_owned()));
}

#[test]
fn it_is_minted_once_for_a_caller_and_half_a_lifetime() {
    let gateway = gate(config());
    let mut asked = Asked::new(&gateway);
    let mut at = |now: i64, claims: Value| {
        let became = asked.at(now, "GET", "/x", &[("authorization", &bearer(&token("corp", claims)))]);
        header(&became).unwrap().to_owned()
    };
    let first = at(NOW, json!({}));
    assert_eq!(at(NOW + 149, json!({})), first);
    assert_ne!(at(NOW, json!({ "sub": "bob" })), first, "another caller");
    let second = at(NOW + 150, json!({}));
    assert_ne!(second, first);
    assert_eq!(payload(&second)["exp"], json!(NOW + 450));
    let last = at(NOW + 500, json!({}));
    assert_eq!(payload(&last)["exp"], json!(NOW + 600), "it ends with the caller's token");
    assert_eq!(payload(&at(NOW + 630, json!({})))["exp"], json!(NOW + 630), "and promises nothing for the clock skew");
}

#[test]
fn threat_71_a_clients_own_copy_is_removed_on_every_path() {
    for name in ["x-carded-token", "authorization", "x-user-token"] {
        let mut config = config();
        config["forward"]["token"]["header"] = json!(name);
        let gateway = gate(config);
        for path in ["/open", "/maybe"] {
            let Forwarded { set, removed } = ask(&gateway, "GET", path, &[(name, "Basic forged")]) else { panic!() };
            assert_eq!((set, removed), (vec![], vec![name.to_owned()]), "{name} {path}");
        }
        let auth = bearer(&token("corp", json!({})));
        let Forwarded { set, .. } = ask(&gateway, "GET", "/x", &[("authorization", &auth)]) else { panic!() };
        let [(set_name, value)] = set.as_slice() else { panic!("{set:?}") };
        assert_eq!(set_name, name);
        assert_eq!(value.starts_with("Bearer ey"), name == "authorization");
    }
}

#[test]
fn a_rule_may_keep_the_token_from_its_services() {
    let mut config = config();
    config["rules"][2]["gateway_token"] = json!(false);
    let gateway = gate(config.clone());
    let auth = bearer(&token("corp", json!({})));
    let forged = [("authorization", auth.as_str()), ("x-carded-token", "forged")];
    let Forwarded { set, removed } = ask(&gateway, "GET", "/x", &forged) else { panic!() };
    assert!(set.is_empty() && removed.contains(&"x-carded-token".to_owned()), "{set:?} {removed:?}");
    let Forwarded { set, .. } = ask(&gateway, "GET", "/maybe", &[("authorization", &auth)]) else { panic!() };
    assert_eq!(set.len(), 1, "other rules go on as before");
    config["rules"][0]["gateway_token"] = json!(true);
    let errors = format!("{:?}", build(config).unwrap_err());
    assert!(errors.contains("rules[0].gateway_token"), "{errors}");
}

#[test]
fn a_pairwise_subject_differs_by_audience_and_issuer_and_hides_the_real_one() {
    let subject = |audience: &str, issuer: &str| {
        let mut config = config();
        config["forward"]["token"]["pairwise"] = json!({ "env": "SALT" });
        config["forward"]["token"]["audiences"] = json!([audience]);
        let gateway = gate(config);
        let became = ask(&gateway, "GET", "/x", &[("authorization", &bearer(&token(issuer, json!({}))))]);
        let said = payload(header(&became).unwrap());
        assert!(!said.to_string().contains("alice"), "{said}");
        said["sub"].as_str().unwrap().to_owned()
    };
    let all = [subject("a", "corp"), subject("b", "corp"), subject("a", "partner")];
    assert_eq!(all[0], subject("a", "corp"), "the same each time");
    assert!(all[0] != all[1] && all[0] != all[2] && all[0].len() == 43);
}

#[test]
fn keys_are_published_without_their_private_part() {
    let gateway = gate(config());
    let Reply { headers, body, .. } = published(&gateway, "GET");
    assert!(headers.contains(&("cache-control", "public, max-age=300".to_owned())), "{headers:?}");
    let set: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((set["keys"][0]["crv"].as_str(), set["keys"][1]["crv"].as_str()), (Some("Ed25519"), Some("P-256")));
    assert!(set["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none() && key["use"] == "sig"));
    assert_eq!(published(&gateway, "POST").code, "method_not_allowed");
    let mut none = config();
    none["forward"] = json!({});
    assert_eq!(published(&gate(none), "GET").code, "not_found");
}

#[test]
fn threat_99_keys_that_are_missing_short_or_used_elsewhere_refuse_to_start() {
    let errors = |change: &dyn Fn(&mut Value)| {
        let mut config = config();
        change(&mut config);
        build(config).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let token =
        |name: &'static str, value: Value| errors(&move |config| config["forward"]["token"][name] = value.clone());
    assert!(token("keys", json!([{ "env": "NOWHERE" }])).contains("forward.token.keys[0]: the environment variable"));
    assert!(token("keys", json!([])).contains("forward.token.keys: name between one and 8"));
    assert!(
        token("keys", json!([{ "env": "SIGN_ONE" }, { "env": "SIGN_ONE" }])).contains("keys[1]: the same key twice")
    );
    assert!(token("keys", json!([{ "env": "SIGN_ONE", "algorithm": "RS256" }])).contains("EdDSA and ES256"));
    assert!(token("pairwise", json!({ "env": "NOWHERE" })).contains("forward.token.pairwise: "));
    assert!(token("issuer", json!("https://elsewhere.example")).contains("forward.token.issuer: "));
    assert!(token("audiences", json!([])).contains("forward.token.audiences: "));
    assert!(token("lifetime", json!("59s")).contains("forward.token.lifetime: "));
    assert!(token("lifetime", json!("61m")).contains("forward.token.lifetime: "));
    assert!(token("claims", json!(["email"])).contains("forward.token.claims[0]: "));
    assert!(token("header", json!("host")).contains("forward.token.header: "));
    let both = errors(&|config| {
        config["forward"]["token"]["header"] = json!("authorization");
        config["issuers"]["corp"]["forward"] = json!(true);
    });
    assert!(both.contains("issuers.corp.forward: "), "{both}");
    let shared = errors(&|config| config["sessions"] = json!({ "keys": [{ "env": "SIGN_ONE" }] }));
    assert!(shared.contains("forward.token.keys[0].env: this key seals sessions"), "{shared}");
}

#[test]
fn a_person_who_showed_a_credential_is_nobody_to_the_service() {
    let mut configured = shop::config();
    configured["forward"]["token"] = json!({
        "audiences": ["wine"], "keys": [{ "env": "SIGN_ONE" }], "claims": ["over21.age_equal_or_over.21"],
    });
    let gate = gate(configured);
    let mut shop = Shop::of(gate);
    let session = enter(&mut shop);
    let answered = shop.browse("/wine/white", &session);
    let first = answered.header("x-carded-token").unwrap().to_owned();
    let said = payload(&first);
    assert_eq!(said.get("sub"), None);
    assert_eq!(
        said["evidence"],
        json!({ "over21": {
            "kind": "credential", "iss": shop::DMV, "types": ["https://dmv.example/id"],
            "claims": { "age_equal_or_over": { "21": true } },
        } })
    );
    assert_eq!(shop.browse("/wine/red", &session).header("x-carded-token"), Some(&*first));
    shop.revoked = true;
    shop.now += 20;
    assert_eq!(shop.browse("/wine/white", &session).status, 401, "and a status that is withdrawn withdraws it");
}
