//! What operators see: replies that machines understand, metrics, filter state for access logs, and logs without secrets.

use carded_wasm_host::{Host, Metric, Request};
use serde_json::json;

use crate::support::{Claims, Key, Provider, SECOND, api, ask_api, config, host_with, ready, start};

#[test]
fn refusals_are_problems_that_are_never_stored() {
    let (mut host, _, key) = ready();
    let reply = host.ask(Request::get("/api/x")).refused(401, "token_missing").clone();
    assert_eq!(reply.headers.text("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(reply.headers.text("cache-control").as_deref(), Some("no-store"));
    assert!(reply.headers.text("www-authenticate").is_some_and(|text| text.starts_with("Bearer")));
    let problem = reply.json();
    assert_eq!(problem["status"], 401);
    assert!(problem["title"].is_string() && problem["type"].is_string() && problem["detail"].is_string());
    let expired = key.token(&Claims::of("alice").with("exp", 1));
    let reply = ask_api(&mut host, &expired).replied().clone();
    assert!(reply.headers.text("www-authenticate").is_some_and(|text| text.contains(r#"error="invalid_token""#)));
}

#[test]
fn grpc_callers_get_grpc_statuses() {
    let (mut host, _, key) = ready();
    let grpc =
        |path: &str| Request::new("POST", path).header("content-type", "application/grpc").header("te", "trailers");
    let reply = host.ask(grpc("/api/orders.Orders/List").body(&[b"\0\0\0\0\0"])).replied().clone();
    assert_eq!((reply.status, reply.grpc_status, reply.body.len()), (200, Some(16), 0));
    assert!(reply.headers.text("grpc-message").is_some_and(|text| text.contains("token_missing")), "{reply:?}");
    assert_eq!(reply.headers.text("content-type").as_deref(), Some("application/grpc"));
    assert_eq!(host.ask(grpc("/nowhere/X")).replied().grpc_status, Some(7));
    host.ask(grpc("/api/orders.Orders/List").bearer(&key.good()).body(&[b"\0\0\0\0\0"])).passed();
}

#[test]
fn a_stream_is_checked_at_its_start_and_then_flows() {
    let (mut host, _, key) = ready();
    let socket = Request::get("/api/socket").header("connection", "upgrade").header("upgrade", "websocket");
    host.ask(socket.clone().open()).refused(401, "token_missing");
    let id = host.send(0, socket.bearer(&key.good()).open());
    host.outcome(id).passed();
    for piece in [&b"a"[..], b"b", b"c"] {
        host.send_body(id, piece, false);
    }
    assert_eq!(host.outcome(id).passed().body, b"abc");
    host.leave(id);
    assert_eq!(host.open_streams(0), 0);
}

#[test]
fn metrics_count_rules_codes_and_fetches() {
    let (mut host, _, key) = ready();
    ask_api(&mut host, &key.good()).passed();
    ask_api(&mut host, &key.token(&Claims::of("bob"))).passed();
    ask_api(&mut host, "x");
    host.ask(Request::get("/api/x"));
    host.ask(Request::get("/health"));
    host.ask(Request::get("/nowhere"));
    host.advance(SECOND * 2);
    for (name, count) in [
        ("carded.rule.api.allowed", 2),
        ("carded.rule.api.denied", 2),
        ("carded.rule.health.allowed", 1),
        ("carded.rule.health.denied", 0),
        ("carded.denied.token_malformed", 1),
        ("carded.denied.token_missing", 1),
        ("carded.denied.no_rule", 1),
        ("carded.fetch.ok", 2),
        ("carded.fetch.failed", 0),
        ("carded.waiting", 0),
    ] {
        assert_eq!(host.count(name), count, "{name}");
    }
    let Some(Metric::Histogram(times)) = host.metric("carded.verify_us") else { panic!("no histogram") };
    assert!(times.len() >= 2);
    let memory = host.count("carded.vm_memory_bytes") as usize;
    assert_eq!(memory, host.memory_bytes(0), "of the worker, not of the VM of the main thread, which serves nobody");
}

/// To ask for the time once more, and to record, are two calls of the host.
#[test]
fn of_many_verifications_one_of_eight_is_timed() {
    let (mut host, _, key) = ready();
    let ask = |host: &mut Host, number: usize| {
        ask_api(host, &key.token(&Claims::of(&format!("person-{number}")))).passed();
        let Some(Metric::Histogram(times)) = host.metric("carded.verify_us") else { panic!("no histogram") };
        times.len()
    };
    let timed: Vec<_> = (0..300).map(|number| ask(&mut host, number)).collect();
    assert_eq!(timed[255], 256, "the first ones all");
    assert_eq!(timed[263], 257);
    assert_eq!(timed[264], 258);
    assert_eq!(timed[299], 256 + 6);
}

#[test]
fn failed_fetches_are_counted() {
    let idp = Provider::new(&[]);
    idp.broken(carded_wasm_host::Answer::refused());
    let host = start(host_with(&config(), &idp));
    assert!(host.count("carded.fetch.failed") >= 1);
    assert_eq!(host.count("carded.fetch.ok"), 0);
}

#[test]
fn metrics_do_not_grow_with_what_clients_send() {
    let (mut host, _, key) = ready();
    let before = host.metric_names().len();
    for number in 0..100 {
        host.ask(Request::new(&format!("M{number}"), &format!("/p{number}")).bearer(&key.good()));
    }
    assert!(host.metric_names().len() <= before + 1, "{:?}", host.metric_names());
}

#[test]
fn access_logs_can_say_what_was_decided() {
    let (mut host, _, key) = ready();
    let id = host.send(0, api(&key.good()));
    assert_eq!(host.filter_state(id, "carded.rule").as_deref(), Some("api"));
    assert_eq!(host.filter_state(id, "carded.issuer").as_deref(), Some("corp"));
    let id = host.send(0, api(&key.token(&Claims::of("alice").with("exp", 1))));
    assert_eq!(host.filter_state(id, "carded.code").as_deref(), Some("token_expired"));
    assert_eq!(host.filter_state(id, "carded.rule").as_deref(), Some("api"));
}

#[test]
fn what_no_access_log_prints_is_not_left() {
    let key = Key::new(1, "k1");
    let idp = Provider::new(&[&key]);
    for (named, code, rule, issuer) in [
        (json!([]), None, None, None),
        (json!(["code"]), Some("ok"), None, None),
        (json!(["issuer", "rule"]), None, Some("api"), Some("corp")),
    ] {
        let mut config = config();
        config["access_log"] = named.clone();
        let mut host = start(host_with(&config, &idp));
        host.ask(api(&key.good()));
        let id = host.send(0, api(&key.good()));
        assert_eq!(host.filter_state(id, "carded.code").as_deref(), code, "{named}");
        assert_eq!(host.filter_state(id, "carded.rule").as_deref(), rule, "{named}");
        assert_eq!(host.filter_state(id, "carded.issuer").as_deref(), issuer, "{named}");
        let id = host.send(0, api("x"));
        assert_eq!(host.filter_state(id, "carded.code").as_deref(), Some("token_malformed"), "{named}");
        assert_eq!(host.filter_state(id, "carded.rule").as_deref(), Some("api"), "{named}");
    }
}

#[test]
fn logs_hold_no_token_and_no_claim() {
    let (key, stranger) = (Key::new(1, "k1"), Key::new(9, "k-stranger"));
    let idp = Provider::new(&[&key]);
    let mut host = start(host_with(&config(), &idp).log_level(0));
    let claims = || Claims::of("subject-4711").with("email", "alice@example.com");
    let tokens = [
        key.token(&claims()),
        key.token(&claims().with("exp", 1)),
        key.token(&claims().with("aud", "audience-4711")),
        key.token(&claims().with("iss", "https://issuer-4711.example.com")),
        stranger.token(&claims()),
        key.sign(br#"{"alg":"EdDSA","kid":"k1","crit":["crit-4711"]}"#, b"{}"),
        "rubbish-4711".to_owned(),
    ];
    for token in &tokens {
        let request = api(token).header("cookie", "session=cookie-4711");
        let id = host.send(0, request);
        host.advance(SECOND);
        let reply = format!("{:?}", host.outcome(id));
        if !reply.starts_with("Passed") {
            assert!(!reply.contains(token.as_str()) && !reply.contains("4711"), "{reply}");
        }
        host.assert_never_logged(token);
    }
    host.assert_never_logged("4711");
    host.assert_never_logged("alice@example.com");
}
