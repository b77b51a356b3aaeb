//! What JavaScript meets before any wallet: descriptions, requests, and that the package's types name what Rust says.

use carded_verifier::{Check, Code};
use serde_json::{Value, json};

use crate::Verifier;

const RESULTS: &str = include_str!("../package/src/results.ts");
const NONCE: &str = "n-0S6_WzA2Mjn-0S6_WzA2Mj";

fn over21() -> Value {
    json!({
        "query": { "format": "dc+sd-jwt", "meta": { "vct_values": ["https://dmv.example/id"] } },
        "age": { "at_least": 21 },
        "trusted_issuers": ["https://dmv.example"],
    })
}

fn clerk() -> Value {
    json!({
        "query": { "format": "jwt_vc_json", "meta": { "type_values": [["Over21Credential"]] } },
        "age": { "at_least": 21 },
        "trusted_issuers": ["did:web:clerk.example"],
        "status": "if_present",
    })
}

fn verifier(credentials: &Value) -> Result<Verifier, String> {
    Verifier::new(&json!({ "credentials": credentials }).to_string())
}

fn request(verifier: &Verifier, asked: &Value) -> Result<Value, String> {
    verifier.request(&asked.to_string()).map(|text| serde_json::from_str(&text).unwrap())
}

/// The texts of a union type in TypeScript.
fn union(name: &str) -> Vec<&'static str> {
    let (_, rest) = RESULTS.split_once(&format!("export type {name} =\n")).unwrap();
    let (union, _) = rest.split_once(';').unwrap();
    union.split('\'').skip(1).step_by(2).collect()
}

#[test]
fn the_types_of_the_package_name_every_code_and_check() {
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let own = [
        "too_many_documents",
        "response_malformed",
        "presentation_incomplete",
        "presentation_unrequested",
        "nonce_used",
    ];
    codes.extend(own);
    assert_eq!(union("Code"), codes);
    let checks = [
        Check::Size,
        Check::Parse,
        Check::Issuer,
        Check::Algorithm,
        Check::Key,
        Check::Signature,
        Check::Type,
        Check::Disclosures,
        Check::Audience,
        Check::Time,
        Check::Claims,
        Check::Binding,
        Check::Status,
    ];
    assert_eq!(union("Check"), checks.map(Check::as_str));
}

#[test]
fn a_credential_with_alternatives_is_asked_for_by_sets() {
    let mut either = over21();
    either["alternatives"] = json!([clerk()]);
    let member = json!({
        "query": { "format": "dc+sd-jwt", "meta": { "vct_values": ["https://club.example/m"] }, "claims": [{ "path": ["level"] }] },
        "trusted_issuers": ["https://club.example"],
    });
    let verifier = verifier(&json!({ "over21": either, "member": member })).unwrap();
    let ask = |names: Value| {
        let asked =
            json!({ "credentials": names, "response_uri": "https://shop.example/r", "nonce": NONCE, "state": "s" });
        request(&verifier, &asked).unwrap()
    };
    let one = ask(json!(["member"]));
    assert_eq!(one["client_id"], "redirect_uri:https://shop.example/r");
    assert_eq!(one["dcql_query"].get("credential_sets"), None);
    let both = ask(json!(["over21", "member"]));
    let ids: Vec<&Value> = both["dcql_query"]["credentials"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, ["over21", "over21-2", "member"]);
    let options: Vec<&Value> =
        both["dcql_query"]["credential_sets"].as_array().unwrap().iter().map(|set| &set["options"]).collect();
    assert_eq!(options, [&json!([["over21"], ["over21-2"]]), &json!([["member"]])]);
    let query = both["query"].as_str().unwrap();
    assert!(query.contains(&format!("nonce={NONCE}")) && query.contains("response_mode=direct_post"), "{query}");
}

#[test]
fn what_is_wrong_is_said_with_its_path() {
    let with = |field: &str, value: Value| {
        let mut changed = over21();
        changed[field] = value;
        verifier(&json!({ "a": changed })).err()
    };
    for (field, value, why) in [
        ("status_list", json!(1), "credentials.a: unknown field"),
        ("status", json!("never"), "credentials.a: unknown variant"),
        ("age", json!({ "at_least": 21, "higher": [18] }), "credentials.a.age: "),
        ("age", json!({ "at_least": 0 }), "credentials.a.age: "),
        ("trusted_issuers", json!(["http://dmv.example"]), "credentials.a.trusted_issuers[0]: "),
        ("trusted_issuers", json!([{ "certificate": "?" }]), "credentials.a.trusted_issuers[0]: "),
        ("trusted_issuers", json!([7]), "credentials.a: "),
        ("algorithms", json!(["HS256"]), "credentials.a.algorithms: "),
        ("algorithms", json!([]), "credential `a`: "),
        ("max_presentation_age", json!("2h"), "credentials.a.max_presentation_age: "),
        ("clock_skew", json!("1h"), "credential `a`: "),
        ("max_credential_age", json!("99999999999999999999d"), "credentials.a.max_credential_age: "),
        ("alternatives", json!([{}]), "credentials.a.alternatives[0]: "),
        ("query", json!({ "format": "mso_mdoc", "meta": {} }), "credentials.a.query: "),
    ] {
        let said = with(field, value).unwrap_or_else(|| panic!("{field} was taken"));
        assert!(said.starts_with(why), "{said}");
    }
    assert!(verifier(&json!({ "A b": over21() })).is_err());
    assert!(verifier(&json!({ "a": over21() })).is_ok());
}

#[test]
fn threat_46_a_request_has_a_nonce_that_nobody_guesses() {
    let verifier = verifier(&json!({ "over21": over21() })).unwrap();
    for nonce in ["", "short", &"n".repeat(21), &"n".repeat(513), "with spaces in it, and a comma"] {
        let asked = json!({ "credentials": ["over21"], "response_uri": "https://shop.example/r", "nonce": nonce });
        assert!(request(&verifier, &asked).is_err(), "{nonce}");
    }
}

#[test]
fn threat_61_only_hosts_of_the_description_are_named() {
    let text =
        json!({ "credentials": { "a": over21(), "b": clerk() }, "fetch_hosts": ["lists.example:8443"] }).to_string();
    let verifier = Verifier::new(&text).unwrap();
    let hosts: Vec<&str> = verifier.hosts.iter().map(String::as_str).collect();
    assert_eq!(hosts, ["clerk.example", "dmv.example", "lists.example:8443"]);
    for host in ["*", "", "A.example", "a.example/x", "127.0.0.1", "user@a.example", "a.example:0"] {
        let text = json!({ "credentials": { "a": over21() }, "fetch_hosts": [host] }).to_string();
        assert!(Verifier::new(&text).is_err(), "{host}");
    }
}
