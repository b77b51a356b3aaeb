//! Client certificates as evidence of their own.

use super::*;
use Became::*;

const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn config() -> Value {
    json!({
        "issuers": { "corp": issuer("corp") },
        "rules": [
            { "match": { "path": "/web" }, "require": { "client_certificate": { "uri_san": "spiffe://a.example/ns/*/sa/web" } } },
            { "match": { "path": "/both" }, "require": { "client_certificate": { "uri_san": ["urn:x", "spiffe://a.example/**"], "sha256": DIGEST } } },
            { "match": { "path": "/host" }, "require": { "client_certificate": { "dns_san": "*.a.example" } } },
            { "match": { "path": "/any" }, "require": { "any": [
                { "token": "corp" }, { "client_certificate": { "uri_san": "spiffe://a.example/**" } } ] } },
            { "match": { "path": "/maybe" }, "optional": { "client_certificate": { "dns_san": "web.a.example" } } },
            { "match": { "path": "/token" }, "require": { "token": "corp" } },
        ],
        "forward": { "headers": {
            "x-peer": "client_certificate.uri_san", "x-host": "client_certificate.dns_san",
            "x-digest": "client_certificate.sha256", "x-user": "corp.sub",
        } },
    })
}

fn connection(uri: &str, dns: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("mtls", vec![1]),
        ("uri_san_peer_certificate", uri.into()),
        ("dns_san_peer_certificate", dns.into()),
        ("sha256_peer_certificate_digest", DIGEST.into()),
    ]
}

fn asked(gate: &Gate, connection: Vec<(&'static str, Vec<u8>)>, path: &str, headers: &[(&str, &str)]) -> Became {
    let mut asked = Asked::new(gate);
    asked.connection = connection;
    asked.at(NOW, "GET", path, headers)
}

const WEB: &str = "spiffe://a.example/ns/shop/sa/web";
const REFUSED: Became = Refused(403, "client_certificate_required");

fn set(pairs: &[(&str, &str)]) -> Became {
    let set = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Forwarded { set, removed: vec![] }
}

#[test]
fn a_rule_names_whose_certificate_it_admits() {
    let gate = gate(config());
    let ours = || connection(WEB, "web.a.example");
    let all = [("x-digest", DIGEST), ("x-host", "web.a.example"), ("x-peer", WEB)];
    for path in ["/web", "/both", "/host", "/any", "/maybe"] {
        assert_eq!(asked(&gate, ours(), path, &[]), set(&all), "{path}");
    }
    let other = || connection("spiffe://b.example/ns/shop/sa/web", "web.b.example");
    for path in ["/web", "/both", "/host"] {
        assert_eq!(asked(&gate, other(), path, &[]), REFUSED, "{path}");
    }
    assert_eq!(asked(&gate, other(), "/any", &[]), Refused(401, "token_missing"));
    assert_eq!(asked(&gate, other(), "/maybe", &[]), set(&[]), "what no rule names is no evidence");
    let auth = bearer(&token("corp", json!({})));
    let Forwarded { set, .. } = asked(&gate, other(), "/any", &[("authorization", &auth)]) else { panic!() };
    assert_eq!(set, [("x-user".to_owned(), "alice".to_owned())], "and services are told nothing of it");
}

#[test]
fn without_a_certificate_or_its_digest_there_is_none() {
    let gate = gate(config());
    let without =
        |name: &str| connection(WEB, "web.a.example").into_iter().filter(|(known, _)| *known != name).collect();
    assert_eq!(asked(&gate, vec![], "/web", &[]), REFUSED);
    assert_eq!(asked(&gate, without("mtls"), "/web", &[]), REFUSED);
    assert_eq!(asked(&gate, without("sha256_peer_certificate_digest"), "/web", &[]), REFUSED);
    assert_eq!(asked(&gate, without("uri_san_peer_certificate"), "/web", &[]), REFUSED);
    let mut plain = connection(WEB, "web.a.example");
    plain[0].1 = vec![0];
    assert_eq!(asked(&gate, plain, "/web", &[]), REFUSED);
    let mut garbage = connection(WEB, "web.a.example");
    garbage[1].1 = vec![0xff];
    assert_eq!(asked(&gate, garbage, "/web", &[]), REFUSED);
}

#[test]
fn the_host_is_asked_only_where_a_rule_needs_it() {
    let gate = gate(config());
    let asked = std::cell::Cell::new(0);
    let ask = |path: &str| {
        let auth = bearer(&token("corp", json!({})));
        let pairs = [(":method", "GET"), (":path", path), (":authority", "a"), ("authorization", &*auth)];
        let request = Request::from_pairs(pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let mut around = Around {
            verdicts: &mut Verdicts::new(0, &mut secret),
            once: &mut InMemory::default(),
            budget: &mut Budget::default(),
            random: &mut secret,
            connection: &mut |_| {
                asked.set(asked.get() + 1);
                None
            },
            now: Timestamp::from_unix(NOW),
        };
        gate.decide(&request, &Documents::new(gate.limits()), &mut around, &mut Silent);
        asked.replace(0)
    };
    assert_eq!((ask("/token"), ask("/web")), (0, 1));
}

#[test]
fn unclear_certificates_are_refused_at_the_start() {
    let error = |requirement: Value| {
        let rules = json!([{ "match": { "path": "/" }, "require": { "client_certificate": requirement } }]);
        build(json!({ "rules": rules })).unwrap_err()[0].to_string()
    };
    let start = "rules[0].require.client_certificate";
    assert!(error(json!({})).starts_with(&format!("{start}: say which")));
    assert!(error(json!({ "uri_san": [] })).starts_with(&format!("{start}.uri_san: an empty list")));
    assert!(error(json!({ "uri_san": "spiffe://*/x" })).starts_with(&format!("{start}.uri_san: `spiffe://*/x`")));
    assert!(error(json!({ "dns_san": "*" })).starts_with(&format!("{start}.dns_san: `*`")));
    assert!(error(json!({ "sha256": "00" })).starts_with(&format!("{start}.sha256: `00`")));
    assert!(error(json!({ "subject": "CN=x" })).contains("subject"));
    let mut named = config();
    named["issuers"]["client_certificate"] = issuer("corp");
    assert!(build(named).unwrap_err()[0].to_string().starts_with("issuers.client_certificate: "));
}

/// What becomes of a request with this certificate and this header, where all names are read.
fn forwarded(path: &str, connection: Vec<(&'static str, Vec<u8>)>, header: &[&str]) -> Became {
    let mut config = config();
    config["client_certificate"] = json!({ "forwarded": true });
    let gate = gate(config);
    let headers: Vec<_> = header.iter().map(|value| ("x-forwarded-client-cert", *value)).collect();
    asked(&gate, connection, path, &headers)
}

#[test]
fn all_names_count_where_the_proxy_tells_them() {
    let first = || connection("spiffe://b.example/first", "First.b.example");
    let says = format!(
        r#"By=spiffe://edge.example/a;By=urn:b;Hash={DIGEST};Subject="CN=\"a;b,c=d\\;URI=x\"";URI=spiffe://b.example/first;URI={WEB};DNS=first.b.example;DNS=Web.a.example"#
    );
    let all = [("x-digest", DIGEST), ("x-host", "first.b.example"), ("x-peer", "spiffe://b.example/first")];
    for path in ["/web", "/both", "/host", "/any", "/maybe"] {
        assert_eq!(forwarded(path, first(), &[&says]), set(&all), "{path}");
        let gate = gate(config());
        let headers = [("x-forwarded-client-cert", says.as_str())];
        let became = asked(&gate, first(), path, &headers);
        assert!(!matches!(&became, Forwarded { set, .. } if !set.is_empty()), "{path}: not switched on: {became:?}");
    }
    let upper = says.replace(DIGEST, &DIGEST.to_ascii_uppercase());
    assert_eq!(forwarded("/web", first(), &[&upper]), set(&all));
    let host = format!("Hash={DIGEST};Subject=\"\";URI=;DNS=web.a.example");
    let pairs = [("x-digest", DIGEST), ("x-host", "web.a.example")];
    assert_eq!(forwarded("/host", connection("", "web.a.example"), &[&host]), set(&pairs), "no URI");
    let bare = format!("Hash={DIGEST}");
    assert_eq!(forwarded("/web", connection("", ""), &[&bare]), REFUSED, "a certificate without names has none");
    // a client's own header is of no use without a certificate
    assert_eq!(forwarded("/web", vec![], &[&says]), REFUSED);
    assert_eq!(forwarded("/any", vec![], &[&says]), Refused(401, "token_missing"));
}

#[test]
fn threat_74_a_header_of_another_certificate_or_that_reads_in_two_ways_counts_for_nothing() {
    let ours = || connection(WEB, "web.a.example");
    let good = format!("Hash={DIGEST};URI={WEB};DNS=web.a.example");
    assert!(matches!(forwarded("/web", ours(), &[&good]), Forwarded { .. }));
    let other = DIGEST.replace("00", "11");
    let many = format!("{good}{}", ";DNS=x.example".repeat(64));
    for bad in [
        format!("Hash={other};URI={WEB};DNS=web.a.example"),
        format!("URI={WEB};DNS=web.a.example"),
        format!("{good},{good}"),
        format!("{good};Hash={DIGEST}"),
        format!("{good};"),
        format!(";{good}"),
        format!("{good};X=y"),
        format!("{good};uri=y"),
        format!("{good};URI=\"spiffe://a.example/x\""),
        format!("{good};URI=a\"b"),
        format!("{good};Subject=CN"),
        format!("{good};Subject=\"CN"),
        format!("{good};Subject=\"CN\\\""),
        format!("{good};Subject=\"CN\"x"),
        format!("{good};URI"),
        format!("Hash={DIGEST};URI=spiffe://a.example/ns/x/sa/web;URI={WEB};DNS=web.a.example"),
        format!("Hash={DIGEST};URI={WEB};DNS=other.a.example;DNS=web.a.example"),
        format!("Hash={DIGEST};URI={WEB}"),
        many,
        String::new(),
        "=".to_owned(),
        "\u{e9}".to_owned(),
    ] {
        assert_eq!(forwarded("/web", ours(), &[&bad]), REFUSED, "{bad}");
        assert_eq!(forwarded("/maybe", ours(), &[&bad]), REFUSED, "{bad}");
    }
    assert_eq!(forwarded("/web", ours(), &[]), REFUSED);
    assert_eq!(forwarded("/web", ours(), &[&good, &good]), REFUSED);
    // a rule that names no certificate does not look
    assert_eq!(forwarded("/token", ours(), &["x"]), Refused(401, "token_missing"));
}
