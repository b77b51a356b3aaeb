//! What the filter starts with, and what it refuses to start with, naming the field.

use carded_wasm_host::{Host, Refused, struct_bytes};
use serde_json::{Value, json};

use crate::support::{Claims, Key, Provider, START, ask_api, config, filter, host_with, ready, start};

#[track_caller]
fn refused(config: &Value, field: &str) -> Refused {
    let started = host_with(config, &Provider::new(&[])).start();
    started.err().unwrap_or_else(|| panic!("{field}: the configuration should be refused"))
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut config = config();
    *config.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    config
}

fn with_field(pointer: &str, field: &str, value: Value) -> Value {
    let mut config = config();
    config.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"))[field] = value;
    config
}

/// With two issuers a claim is named with the one it comes from.
fn two_issuers(claim: &str) -> Value {
    let mut config = changed("/forward/headers/x-carded-subject", json!(claim));
    config["issuers"]["other"] = crate::support::inline_issuer("https://other.example.com", &Key::new(2, "k2"));
    config
}

#[test]
fn a_bad_configuration_refuses_to_start_and_names_the_field() {
    for (config, field) in [
        (with_field("", "isuers", json!({})), "isuers"),
        (with_field("/rules/3", "requires", json!({})), "rules[3].requires"),
        (with_field("/issuers/corp", "audience", json!("x")), "issuers.corp.audience"),
        (with_field("/issuers/corp", "algorithms", json!(["RS256", "none"])), "issuers.corp.algorithms"),
        (with_field("/issuers/corp", "algorithms", json!([])), "issuers.corp.algorithms"),
        (with_field("/issuers/corp", "algorithms", json!(["HS256"])), "issuers.corp"),
        (changed("/issuers/corp/issuer", json!("http://idp.example.com")), "issuers.corp.issuer"),
        (changed("/issuers/corp/issuer", json!("https://{tenant}.example.com")), "issuers.corp.issuer"),
        (changed("/issuers/corp/audiences", json!([])), "issuers.corp.audiences"),
        (changed("/issuers/corp/keys", json!({})), "issuers.corp.keys"),
        (
            changed("/issuers/corp/keys", json!({ "jwks_uri": "http://idp.example.com/k" })),
            "issuers.corp.keys.jwks_uri",
        ),
        (with_field("/issuers/corp", "clock_skew", json!("6m")), "issuers.corp.clock_skew"),
        (with_field("/issuers/corp", "clock_skew", json!(60)), "issuers.corp.clock_skew"),
        (changed("/rules/3/require/token", json!("corpp")), "rules[3].require"),
        (changed("/rules/3/require", json!({ "any": [] })), "rules[3].require"),
        (changed("/rules/0/match/path", json!("health")), "rules[0].match.path"),
        (changed("/rules/0/match/path", json!("/a/../b")), "rules[0].match.path"),
        (two_issuers("sub"), "forward.headers.x-carded-subject"),
        (two_issuers("nobody.sub"), "forward.headers.x-carded-subject"),
        (two_issuers("corp"), "forward.headers.x-carded-subject"),
        (with_field("/forward/headers", "authorization", json!("corp.sub")), "forward.headers.authorization"),
        (with_field("/forward/headers", "x_carded", json!("corp.sub")), "forward.headers.x_carded"),
        (changed("/fetch/clusters", json!({})), "issuers.corp"),
        (changed("/origins", json!(["http://shop.example.com"])), "origins[0]"),
        (with_field("", "limits", json!({ "token_bytes": 16384 })), "limits.token_bytes"),
    ] {
        let refused = refused(&config, field);
        assert!(refused.mentions(field), "{field} should be named: {:#?}", refused.logs);
    }
}

#[test]
fn what_is_no_configuration_refuses_to_start() {
    for bytes in [&b""[..], b"null", b"[]", b"{", b"rules: []", b"\xff\xff", b"{\"rules\":[],\"rules\":[]}"] {
        let started = Host::builder(filter()).configuration_bytes(bytes).start();
        assert!(started.is_err(), "{bytes:?}");
    }
}

#[test]
fn json_and_struct_are_the_same_configuration() {
    let mut config = config();
    config["limits"] = json!({ "waiting_requests": 7, "cached_verdicts": 100 });
    config["issuers"]["corp"]["required_claims"] = json!([{ "claim": "level", "equals": 3 }]);
    let key = Key::new(1, "k1");
    let token = key.token(&Claims::of("alice").with("level", 3));
    let wrong = key.token(&Claims::of("alice").with("level", 4));
    for bytes in [config.to_string().into_bytes(), struct_bytes(&config)] {
        let idp = Provider::new(&[&key]);
        let mut host = start(host_with(&config, &idp).configuration_bytes(bytes));
        let passed = ask_api(&mut host, &token).passed().clone();
        assert_eq!(passed.headers.text("x-carded-subject").as_deref(), Some("alice"));
        ask_api(&mut host, &wrong).refused(403, "claim_mismatch");
        ask_api(&mut host, "x").refused(401, "token_malformed");
    }
}

fn shared_secret() -> Value {
    let mut config = config();
    config["issuers"]["corp"]["algorithms"] = json!(["HS256"]);
    config["issuers"]["corp"]["keys"] = json!({ "secret": { "env": "CORP_SECRET" } });
    config
}

#[test]
fn a_secret_that_is_missing_or_short_refuses_to_start() {
    let idp = Provider::new(&[]);
    let missing = host_with(&shared_secret(), &idp).start().err().expect("refused");
    assert!(missing.mentions("CORP_SECRET"), "{:#?}", missing.logs);
    for short in ["", "hunter2", "0123456789012345678901234567890"] {
        let refused = host_with(&shared_secret(), &idp).env("CORP_SECRET", short).start().err().expect("refused");
        assert!(refused.mentions("issuers.corp.keys.secret"), "{:#?}", refused.logs);
        assert!(short.is_empty() || !refused.mentions(short), "the secret is not shown");
    }
    let good = "01234567890123456789012345678901";
    host_with(&shared_secret(), &idp).env("CORP_SECRET", good).start().expect("starts");
    let mut encoded = shared_secret();
    encoded["issuers"]["corp"]["keys"]["secret"]["encoding"] = json!("base64url");
    let refused = host_with(&encoded, &idp).env("CORP_SECRET", "not*base64url").start().err().expect("refused");
    assert!(refused.mentions("issuers.corp.keys.secret"));
}

#[test]
fn development_mode_is_only_for_localhost() {
    let mut config = config();
    config["danger_allow_http_localhost"] = json!(true);
    config["origins"] = json!(["http://shop.localhost:8080"]);
    config["issuers"]["corp"]["issuer"] = json!("http://idp.localhost:9000");
    config["fetch"]["clusters"] = json!({ "idp.localhost:9000": "idp" });
    host_with(&config, &Provider::new(&[])).start().expect("starts");
    config["issuers"]["corp"]["issuer"] = json!("http://idp.example.com");
    assert!(host_with(&config, &Provider::new(&[])).start().is_err());
}

#[test]
fn ten_thousand_issuers_are_one_look_up() {
    let key = Key::new(1, "k1");
    let mut config = config();
    for number in 0..10_000 {
        config["issuers"][format!("i{number}")] = json!({
            "issuer": format!("https://idp.example.com/{number}"),
            "audiences": ["api.example.com"],
            "keys": { "discovery": true }
        });
    }
    let idp = Provider::new(&[&key]);
    let mut host = host_with(&config, &idp).start().expect("starts");
    host.advance(std::time::Duration::from_secs(3));
    assert_eq!(host.calls().len(), 0, "with very many issuers nothing is fetched ahead of need");
    let id = host.send(0, crate::support::api(&key.good()));
    host.advance(std::time::Duration::from_secs(1));
    host.outcome(id).passed();
    assert_eq!(host.calls().len(), 2);
}

#[test]
fn the_clock_is_the_hosts() {
    let (host, _, _) = ready();
    assert!(host.now() >= START);
}
