//! `carded lint-config` on whole files: each finding on its line, in every kind of file that operators have.

use carded_cli::lint::lint;

/// A configuration without anything to say about it.
const BARE: &str = "\
origins: [https://shop.example.com]
issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [api.example.com]
    keys: { discovery: true }
rules:
  - { match: { path: /health }, allow: anyone }
  - { match: { path: /api/** }, require: { token: corp } }
fetch:
  clusters: { idp.example.com: idp }
";

fn findings(text: &str) -> Vec<String> {
    lint(text).iter().map(ToString::to_string).collect()
}

/// Exactly one finding, that begins and goes on like this.
#[track_caller]
fn one(text: &str, start: &str, part: &str) {
    let found = findings(text);
    assert!(found.len() == 1 && found[0].starts_with(start) && found[0].contains(part), "{found:#?}");
}

/// Puts text behind spaces, line by line.
fn indent(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

fn envoy(configuration: &str) -> String {
    format!(
        "\
static_resources:
  listeners:
  - name: edge
    http_filters:
    - name: anything
      typed_config:
        config:
          name: carded
          failure_policy: FAIL_RELOAD
          allow_on_headers_stop_iteration: false
          vm_config: {{ vm_id: own, code: {{ local: {{ filename: /x.wasm }} }} }}
          configuration:
{configuration}"
    )
}

fn envoy_struct(configuration: &str) -> String {
    envoy(&format!(
        "            \"@type\": type.googleapis.com/google.protobuf.Struct\n            value:\n{}",
        indent(configuration, 14)
    ))
}

#[test]
fn a_good_configuration_has_no_findings() {
    assert_eq!(findings(BARE), [""; 0]);
    assert_eq!(findings(&envoy_struct(BARE)), [""; 0]);
}

#[test]
fn an_unknown_field_is_named_with_its_line() {
    one(&BARE.replace("audiences:", "audience:"), "5: issuers.corp.audience", "unknown field");
    one(&envoy_struct(&BARE.replace("audiences:", "audience:")), "19: issuers.corp.audience", "unknown field");
}

#[test]
fn a_dangling_name_is_found_where_it_stands() {
    one(&BARE.replace("token: corp", "token: cord"), "9: rules[1].require.token", "cord");
}

#[test]
fn all_errors_come_at_once_in_the_order_of_lines() {
    let text = BARE
        .replace("discovery: true", "jwks_uri: \"http://idp.example.com/jwks\"")
        .replace("[https://shop", "[ftp://shop");
    let found = findings(&text);
    assert!(
        found.len() == 2 && found[0].starts_with("1: origins[0]") && found[1].starts_with("6: issuers.corp.keys"),
        "{found:#?}"
    );
}

#[test]
fn a_key_that_is_given_twice_is_an_error() {
    one(&format!("{BARE}rules: []\n"), "12: the key `rules` is given twice (first on line 7)", "");
}

#[test]
fn a_rule_that_can_never_match_is_a_warning() {
    let text = BARE.replace("path: /health }, allow: anyone", "path: /** }, allow: anyone");
    let found = lint(&text);
    assert!(found.iter().any(|finding| finding.line == 9 && finding.message.contains("never match")), "{found:#?}");
    assert!(found.iter().all(|finding| !finding.is_error), "{found:#?}");
}

#[test]
fn json_files_are_read_too() {
    let text = "{\n  \"rules\": [\n    {\"match\": {\"path\": \"/a\"}, \"allow\": \"anyone\"},\n    {\"match\": {\"path\": \"/b\"}, \"allow\": \"everyone\"}\n  ]\n}\n";
    one(text, "4: rules[1].allow", "everyone");
}

#[test]
fn json_text_in_a_string_value_keeps_the_lines_of_the_file() {
    let json = r#"{
  "rules": [
    {"match": {"path": "/a"}, "allow": "nobody"}
  ]
}"#;
    let string = |text: &str| {
        envoy(&format!(
            "            \"@type\": type.googleapis.com/google.protobuf.StringValue\n            value: |\n{}",
            indent(text, 14)
        ))
    };
    one(&string(json), "17: rules[0].allow", "nobody");
    one(&string(&json.replace("nobody\"", "anyone\",")), "17: no valid JSON", "");
    one(&string("rules: []"), "15: no valid JSON", "");
}

#[test]
fn unsafe_plugin_settings_are_errors() {
    let good = envoy_struct(BARE);
    one(
        &good.replace("FAIL_RELOAD", "FAIL_OPEN"),
        "9: failure_policy: FAIL_OPEN lets every request pass",
        "FAIL_RELOAD",
    );
    one(&good.replace("vm_id: own, ", ""), "11: vm_config has no vm_id", "");
    let found = findings(&good.replace("failure_policy: FAIL_RELOAD", "fail_open: true"));
    assert!(found.len() == 2 && found[1].starts_with("9: fail_open lets every request pass"), "{found:#?}");
}

#[test]
fn settings_that_are_missing_are_warnings() {
    let good = envoy_struct(BARE);
    one(
        &good.replace("stop_iteration: false", "stop_iteration: true"),
        "10: warning: allow_on_headers_stop_iteration: true",
        "say false",
    );
    one(&good.replace("          failure_policy: FAIL_RELOAD\n", ""), "8: warning: without failure_policy", "");
}

#[test]
fn where_forms_are_read_the_plugin_must_hand_bodies_over() {
    let about = |text: &str| -> Vec<String> {
        findings(text).into_iter().filter(|finding| finding.contains("allow_on_headers_stop_iteration")).collect()
    };
    for (section, start) in [
        ("credentials: {}", "10: `credentials`: a wallet's answer"),
        ("exchange: { issuers: [corp] }", "10: `exchange`: a token"),
        ("login: { corp: { client_id: x } }", "10: warning: `login`: a provider that tells of logouts"),
    ] {
        let text = envoy_struct(&format!("{BARE}{section}\n"));
        let found = about(&text);
        assert!(found.len() == 1 && found[0].starts_with(start) && found[0].contains("408"), "{found:#?}");
        assert_eq!(about(&text.replace("stop_iteration: false", "stop_iteration: true")), [""; 0]);
        // without the setting it is false
        let missing = about(&text.replace("          allow_on_headers_stop_iteration: false\n", ""));
        assert!(missing.len() == 1 && missing[0].contains(&start[4..]), "{missing:#?}");
        let istio = format!(
            "kind: WasmPlugin\nspec:\n  url: oci://x/carded\n  pluginConfig:\n{}",
            indent(&format!("{BARE}{section}\n"), 4)
        );
        let found = about(&istio);
        assert!(found.len() == 1 && found[0].contains("use an EnvoyFilter"), "{found:#?}");
    }
}

#[test]
fn a_secret_that_the_host_does_not_lend_is_an_error() {
    let text = BARE
        .replace("keys: { discovery: true }", "keys: { secret: { env: CARDED_LINT_SECRET } }\n    algorithms: [HS256]");
    let lent = "vm_id: own, environment_variables: { host_env_keys: [CARDED_LINT_SECRET] },";
    let errors = |text: &str| -> Vec<String> {
        lint(text).iter().filter(|finding| finding.is_error).map(ToString::to_string).collect()
    };
    assert_eq!(errors(&envoy_struct(&text).replace("vm_id: own,", lent)), [""; 0]);
    let found = errors(&envoy_struct(&text));
    assert!(found.len() == 1 && found[0].starts_with("20: ") && found[0].contains("host_env_keys"), "{found:#?}");
}

#[test]
fn a_cluster_that_verifies_nothing_is_an_error() {
    let cluster = |tls: &str| {
        format!("{}  clusters:\n  - name: idp\n    load_assignment: {{ cluster_name: idp }}\n{tls}", envoy_struct(BARE))
    };
    one(&cluster(""), "27: cluster idp fetches from https://idp.example.com without trusted_ca and", "anybody");
    let tls = "    transport_socket: { typed_config: { sni: idp.example.com, common_tls_context: { validation_context: { trusted_ca: { filename: x }, match_typed_subject_alt_names: [] } } } }\n";
    assert_eq!(findings(&cluster(tls)), [""; 0]);
    one(&cluster(&tls.replace("sni: idp.example.com, ", "")), "27: ", "without sni:");
    one(&cluster(tls).replace("- name: idp", "- name: other"), "25: warning: ", "none named idp");
}

#[test]
fn istio_and_envoy_gateway_files_are_read() {
    let broken = BARE.replace("token: corp", "token: nobody");
    let wasm_plugin = format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  url: oci://r/carded\n  failStrategy: FAIL_OPEN\n  pluginConfig:\n{}",
        indent(&broken, 4)
    );
    let found = findings(&wasm_plugin);
    assert!(
        found.len() == 2 && found[0].starts_with("5: failStrategy") && found[1].starts_with("15: rules[1]"),
        "{found:#?}"
    );
    let policy = format!(
        "kind: EnvoyExtensionPolicy\nspec:\n  wasm:\n  - name: carded\n    code: {{ type: Image }}\n    config:\n{}",
        indent(&broken, 6)
    );
    one(&policy, "15: rules[1].require.token", "nobody");
}

#[test]
fn other_plugins_are_none_of_ours() {
    let other = envoy_struct("log_level: debug\n").replace("carded", "other");
    one(&other, "1: there is no configuration of Carded in this file", "");
    let both = format!("{}---\n{}", other, envoy_struct(&BARE.replace("audiences", "audience")));
    let found = findings(&both);
    assert!(found.len() == 1 && found[0].contains("issuers.corp.audience"), "{found:#?}");
}

#[test]
fn the_ready_configurations_have_no_findings() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/config");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            assert_eq!(findings(&std::fs::read_to_string(&path).unwrap()), [""; 0], "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 4, "the ready configurations were not found");
}
