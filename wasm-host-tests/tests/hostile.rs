//! Requests that no friendly client sends: they are refused, nothing panics, nothing passes, and memory stays bounded.

use carded_wasm_host::{HeaderMap, Request};
use serde_json::json;

use crate::support::{Claims, Key, api, ask_api, config, filter, ready, ready_with};

#[test]
fn broken_pseudo_headers_are_malformed() {
    let (mut host, _, _) = ready();
    let pairs = |skip: &str| {
        let all = [(":method", "GET"), (":scheme", "https"), (":authority", "shop.example.com"), (":path", "/health")];
        HeaderMap::from_pairs(all.into_iter().filter(|(name, _)| *name != skip))
    };
    for missing in [":path", ":method"] {
        host.ask(Request::raw(pairs(missing))).refused(400, "request_malformed");
    }
    for doubled in [":path", ":method", ":authority"] {
        let mut headers = pairs("");
        headers.add(doubled, "/health");
        host.ask(Request::raw(headers)).refused(400, "request_malformed");
    }
    for (name, value) in [(":path", ""), (":method", ""), (":method", "\u{e4}")] {
        let mut headers = pairs(name);
        headers.add(name, value);
        let reply = host.ask(Request::raw(headers)).replied().clone();
        assert!([400, 403].contains(&reply.status), "{name}={value}: {reply:?}");
    }
    let reply = host.ask(Request::raw(HeaderMap::default())).replied().clone();
    assert_eq!(reply.status, 400);
    assert!(host.is_alive(0) && host.all_passed().is_empty());
}

#[test]
fn connect_is_never_let_through() {
    let mut config = config();
    config["rules"] = json!([{ "match": { "path": "/**" }, "allow": "anyone" }]);
    let (mut host, _, _) = ready_with(&config);
    let bare = HeaderMap::from_pairs([(":method", "CONNECT"), (":authority", "shop.example.com:443")]);
    assert_eq!(host.ask(Request::raw(bare)).replied().status, 400);
    host.ask(Request::new("CONNECT", "/health")).refused(400, "request_malformed");
    host.ask(Request::new("CONNECT", "/health").header(":protocol", "websocket")).refused(400, "request_malformed");
}

#[test]
fn obs_text_in_any_header_does_no_harm() {
    let (mut host, _, key) = ready();
    let obs: Vec<u8> = (0x80..=0xff).collect();
    let with_obs = |request: Request| request.header("x-name", obs.clone()).header("cookie", obs.clone());
    let passed = host.ask(with_obs(api(&key.good()))).passed().clone();
    assert_eq!(passed.headers.get("x-name"), Some(obs.as_slice()), "it goes on as it came");
    host.ask(with_obs(Request::get("/health"))).passed();
    let mut token = b"Bearer ".to_vec();
    token.extend(&obs);
    host.ask(Request::get("/api/x").header("authorization", token)).refused(401, "token_malformed");
    let mut path = Request::get("/");
    path = Request::raw({
        let _ = path;
        let mut headers =
            HeaderMap::from_pairs([(":method", "GET"), (":scheme", "https"), (":authority", "shop.example.com")]);
        headers.add(":path", b"/health\xff".to_vec());
        headers
    });
    host.ask(path).refused(400, "path_ambiguous");
    assert!(host.is_alive(0));
}

#[test]
fn repeated_and_empty_headers_do_no_harm() {
    let (mut host, _, key) = ready();
    let mut request = api(&key.good());
    for _ in 0..200 {
        request = request.header("x-same", "").header("", "nameless").header("cookie", "");
    }
    host.ask(request).passed();
    for value in ["", " ", "Bearer", "Bearer ", "bearer", "Basic", "\t"] {
        let reply = host.ask(Request::get("/api/x").header("authorization", value)).replied().clone();
        assert_eq!(reply.status, 401, "{value:?}");
    }
    assert!(host.is_alive(0));
}

#[test]
fn forty_kilobytes_of_header_do_no_harm() {
    let (mut host, _, key) = ready();
    let long = "x".repeat(40 * 1024);
    host.ask(api(&key.good()).header("x-long", long.as_str())).passed();
    host.ask(Request::get("/api/x").bearer(&long)).refused(401, "token_too_large");
    host.ask(Request::get(&format!("/{long}"))).refused(403, "no_rule");
    host.ask(Request::get(&format!("/api/x?{long}"))).refused(401, "token_missing");
    host.ask(api(&key.good()).header("cookie", "a=b; ".repeat(8 * 1024))).passed();
    assert!(host.is_alive(0));
}

#[test]
fn many_tokens_in_one_request_are_refused() {
    let (mut host, _, key) = ready();
    let good = key.good();
    let mut request = Request::get("/api/x");
    for _ in 0..100 {
        request = request.bearer(&good);
    }
    assert_eq!(host.ask(request).replied().status, 400);
}

#[test]
fn a_flood_of_distinct_tokens_does_not_grow_the_vm() {
    let mut config = config();
    config["limits"] = json!({ "cached_verdicts": 500 });
    let (mut host, _, key) = ready_with(&config);
    let flood = |host: &mut carded_wasm_host::Host, round: usize| {
        for number in 0..1500 {
            let padding = "p".repeat(number % 700);
            let claims = Claims::of("alice").with("jti", format!("{round}-{number}")).with("padding", padding);
            assert!(!ask_api(host, &key.token(&claims)).is_waiting());
        }
    };
    flood(&mut host, 0);
    let before = host.memory_bytes(0);
    flood(&mut host, 1);
    flood(&mut host, 2);
    let after = host.memory_bytes(0);
    assert!(after <= before + 256 * 1024, "{before} bytes became {after}");
}

#[test]
fn a_flood_of_bad_tokens_does_not_grow_the_vm() {
    let (mut host, _, _) = ready();
    let stranger = Key::new(9, "k1");
    let flood = |host: &mut carded_wasm_host::Host, round: usize| {
        for number in 0..1500 {
            let claims = Claims::of("x").with("jti", format!("{round}-{number}"));
            ask_api(host, &stranger.token(&claims)).refused(401, "signature_invalid");
            host.ask(Request::get(&format!("/api/{round}/{number}")).bearer(&"a".repeat(number * 10)));
        }
    };
    flood(&mut host, 0);
    let before = host.memory_bytes(0);
    flood(&mut host, 1);
    let after = host.memory_bytes(0);
    assert!(after <= before + 128 * 1024, "{before} bytes became {after}");
}

#[test]
fn the_module_is_small() {
    let bytes = std::fs::metadata(carded_wasm_host::filter_path()).unwrap().len();
    assert!(bytes < 1_200_000, "carded.wasm has {bytes} bytes: `cargo xtask build --weights` says what they are");
}

#[test]
fn the_module_imports_exactly_what_is_allowed() {
    let allowed: Vec<String> = include_str!("../imports.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(str::to_owned)
        .collect();
    let mut sorted = allowed.clone();
    sorted.sort();
    assert_eq!(allowed, sorted, "imports.txt is sorted");
    assert_eq!(filter().imports(), allowed, "what the filter can do to its host has changed: is that meant?");
}
