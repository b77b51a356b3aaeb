//! `carded explain` as an operator runs it: the built binary, files, exit codes, and the story that it prints.

use std::path::PathBuf;
use std::process::{Command, Output};

use carded_verifier::Algorithm;
use carded_verifier::sign::SigningKey;
use serde_json::{Map, Value, json};

const NOW: i64 = 1_795_300_000;

const CONFIGURATION: &str = "\
origins: [https://shop.example.com]
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [api.example.com]
    keys: { discovery: true }
rules:
  - { match: { path: /health }, allow: anyone }
  - { name: api, match: { path: /api/** }, require: { token: corp }, authorize: true }
policies:
  - { name: clerks, effect: allow, subjects: [\"role:corp.clerk\"], actions: [GET], resources: [\"/api/orders/**\"] }
forward:
  headers: { x-carded-subject: corp.sub }
fetch:
  clusters: { idp.example.com: idp }
";

/// A folder of files that goes away with the test.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("carded-explain-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = Self(folder);
        files.write("carded.yaml", CONFIGURATION);
        files.write("jwks.json", &json!({ "keys": [key().public_jwk()] }).to_string());
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// Writes a token whose claims are changed in this way.
    fn token(&self, change: impl FnOnce(&mut Map<String, Value>)) {
        let claims = json!({
            "iss": "https://idp.example.com", "sub": "alice", "aud": "api.example.com", "roles": ["clerk"],
            "iat": NOW - 60, "exp": NOW + 600,
        });
        let Value::Object(mut claims) = claims else { unreachable!() };
        change(&mut claims);
        self.write("token", &format!("{}\n", key().sign_claims(&claims).unwrap()));
    }

    fn explain(&self, arguments: &[&str]) -> (i32, String, String) {
        let output: Output = Command::new(env!("CARGO_BIN_EXE_carded"))
            .current_dir(&self.0)
            .args(["explain", "--config", "carded.yaml", "--now", &NOW.to_string()])
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::parse("ES256").unwrap(), "k1", &[7; 32]).unwrap()
}

const WITH_TOKEN: [&str; 6] = ["GET", "/api/orders/7", "--token", "token", "--jwks", "jwks.json"];

#[test]
fn a_request_that_passes_is_told_step_by_step() {
    let files = Files::new("passes");
    files.token(|_| ());
    let (code, story, _) = files.explain(&WITH_TOKEN);
    assert_eq!(code, 0, "{story}");
    let mut at = 0;
    for part in [
        "needed    https://idp.example.com/.well-known/openid-configuration",
        "path      /api/orders/7",
        "rule      rules[1] (api)",
        "token     found in",
        "checks    ok    size",
        "          ok    signature",
        "          ok    audience",
        "met       ",
        "policy    statement clerks allows GET",
        "remove    authorization",
        "set       x-carded-subject: alice",
        "verdict   the request goes on",
    ] {
        let found = story[at..].find(part);
        at += found.unwrap_or_else(|| panic!("`{part}` does not come (in this order) in\n{story}"));
    }
}

#[test]
fn each_refusal_names_the_check_that_failed() {
    let files = Files::new("refusals");
    for (change, lines) in [
        (("exp", json!(NOW - 300)), ["FAIL  time", "verdict   401 token_expired"]),
        (("aud", json!("elsewhere")), ["FAIL  audience", "verdict   401 audience_mismatch"]),
        (("iss", json!("https://evil.example.com")), ["FAIL  issuer", "verdict   401 issuer_untrusted"]),
        (("roles", json!(["guest"])), ["policy    no statement allows GET", "verdict   403 policy_denied"]),
    ] {
        files.token(|claims| {
            claims.insert(change.0.to_owned(), change.1);
        });
        let (code, story, _) = files.explain(&WITH_TOKEN);
        assert_eq!(code, 1, "{story}");
        for line in lines {
            assert!(story.contains(line), "`{line}` is not in\n{story}");
        }
        assert!(!story.contains("eyJ"), "the token is not printed:\n{story}");
    }
}

#[test]
fn a_request_without_a_token_needs_no_keys() {
    let files = Files::new("without");
    let (code, story, _) = files.explain(&["GET", "/api/orders"]);
    assert!(code == 1 && story.contains("verdict   401 token_missing"), "{story}");
    let (code, story, _) = files.explain(&["GET", "/health"]);
    assert!(code == 0 && story.contains("rule      rules[0]"), "{story}");
    let (code, story, _) = files.explain(&["GET", "/nowhere"]);
    assert!(code == 1 && story.contains("verdict   403 no_rule"), "{story}");
    let (code, story, _) = files.explain(&["GET", "/api/..%2fhealth"]);
    assert!(code == 1 && story.contains("verdict   400 path_ambiguous"), "{story}");
}

#[test]
fn missing_keys_are_asked_for_by_their_address() {
    let files = Files::new("keys");
    files.token(|_| ());
    let (code, _, complaint) = files.explain(&["GET", "/api/orders", "--token", "token"]);
    assert_eq!(code, 2);
    assert!(complaint.contains("https://idp.example.com/.well-known/openid-configuration is needed"), "{complaint}");
    files.write("jwks.json", "{}");
    let (code, _, complaint) = files.explain(&WITH_TOKEN);
    assert!(code == 2 && complaint.contains("jwks.json"), "{complaint}");
}

#[test]
fn headers_are_part_of_the_request() {
    let files = Files::new("headers");
    files.token(|_| ());
    let token = std::fs::read_to_string(files.0.join("token")).unwrap();
    let header = format!("Authorization: Bearer {}", token.trim());
    let arguments =
        ["GET", "/api/orders", "--jwks", "jwks.json", "--header", &header, "--header", "X-Carded-Subject: mallory"];
    let (code, story, _) = files.explain(&arguments);
    assert!(
        code == 0 && story.contains("remove    x-carded-subject") && story.contains("x-carded-subject: alice"),
        "{story}"
    );
    assert!(!story.contains("mallory"), "{story}");
}

#[test]
fn a_broken_configuration_is_refused_with_its_line() {
    let files = Files::new("broken");
    files.write("carded.yaml", &CONFIGURATION.replace("token: corp", "token: cord"));
    let (code, _, complaint) = files.explain(&["GET", "/health"]);
    assert!(code == 2 && complaint.contains("carded.yaml:9: rules[1].require.token"), "{complaint}");
}

#[test]
fn lint_and_schema_answer_by_exit_code() {
    let files = Files::new("others");
    files.write("bad.yaml", &CONFIGURATION.replace("token: corp", "token: cord"));
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_carded")).current_dir(&files.0).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&["lint-config", "carded.yaml"]), (Some(0), "carded.yaml: nothing to say\n".to_owned()));
    let (code, text) = run(&["lint-config", "bad.yaml"]);
    assert!(code == Some(1) && text.starts_with("bad.yaml:9: rules[1].require.token: "), "{text}");
    assert_eq!(run(&["lint-config", "none.yaml"]).0, Some(2));
    let (code, schema) = run(&["schema"]);
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert!(code == Some(0) && schema["properties"]["issuers"].is_object() && schema["additionalProperties"] == false);
}
