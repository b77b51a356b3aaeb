//! The host itself, driven with a small guest written in WAT: does it do to a filter what Envoy does?

use std::sync::OnceLock;
use std::time::Duration;

use carded_wasm_host::{Answer, FailurePolicy, GuestModule, HeaderMap, Host, HostBuilder, Metric, Outcome, Request};

fn guest() -> HostBuilder {
    static MODULE: OnceLock<GuestModule> = OnceLock::new();
    let module = MODULE.get_or_init(|| GuestModule::from_bytes(include_bytes!("../guest.wat")).expect("the guest"));
    Host::builder(module).cluster("idp", |_| Answer::status(200, "keys").after(Duration::from_millis(50)))
}

fn started() -> Host {
    guest().start().expect("starts")
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_request_passes_with_the_header_that_the_guest_set() {
    let mut host = started();
    let request =
        Request::get("/c").header("x-guest", "forged").header("X-Raw", vec![0xe4, 0xf6]).body(&[b"he", b"llo"]);
    let outcome = host.ask(request);
    let passed = outcome.passed();
    assert_eq!(passed.headers.all("x-guest"), [b"yes"]);
    assert_eq!(passed.headers.get("x-raw"), Some(&[0xe4, 0xf6][..]));
    assert_eq!((passed.body.as_slice(), passed.ended), (&b"hello"[..], true));
    assert_eq!(passed.response.as_ref().expect("a response").body, b"ok");
    assert_eq!(host.open_streams(0), 0);
}

#[test]
fn a_reply_stops_the_request_whatever_the_callback_returns() {
    let mut host = started();
    let id = host.send(0, Request::get("/r"));
    let reply = host.outcome(id).replied().clone();
    assert_eq!((reply.status, reply.body.as_slice()), (403, &b"no"[..]));
    assert_eq!(reply.headers.text("content-type").as_deref(), Some("text/plain"));
    assert_eq!(host.filter_state(id, "carded.code").as_deref(), Some("no"));
    assert!(host.all_passed().is_empty());
    assert!(host.oddities().is_empty());
}

#[test]
fn a_second_reply_is_noticed() {
    let mut host = started();
    assert_eq!(host.ask(Request::get("/d")).replied().status, 403);
    assert_eq!(host.oddities().len(), 1);
}

#[test]
fn a_grpc_caller_gets_trailers_only() {
    let mut host = started();
    let reply = host.ask(Request::new("POST", "/r").header("content-type", "application/grpc+proto")).replied().clone();
    assert_eq!((reply.status, reply.grpc_status, reply.body.len()), (200, Some(7), 0));
}

#[test]
fn a_continue_from_the_body_lets_a_paused_request_slip() {
    let mut host = started();
    let passed = host.ask(Request::new("POST", "/b").body(&[b"x"])).passed().clone();
    assert_eq!(passed.body, b"x");
}

#[test]
fn without_headers_stop_iteration_the_body_never_comes() {
    let mut host = guest().headers_stop_iteration(false).start().expect("starts");
    assert!(host.ask(Request::new("POST", "/b").body(&[b"x"])).is_waiting());
}

#[test]
fn a_held_body_goes_on_with_the_request() {
    for allow in [true, false] {
        let mut host = guest().headers_stop_iteration(allow).start().expect("starts");
        let trailers = HeaderMap::from_pairs([("t", "1")]);
        let id = host.send(0, Request::new("POST", "/s").body(&[b"a", b"b"]).trailers(trailers.clone()));
        assert!(host.outcome(id).is_waiting());
        host.advance(SECOND);
        let passed = host.outcome(id).passed().clone();
        assert_eq!((passed.body.as_slice(), passed.ended), (&b"ab"[..], true), "allow: {allow}");
        assert_eq!(passed.trailers, Some(trailers), "allow: {allow}");
    }
}

#[test]
fn a_body_that_comes_later_is_held_too() {
    let mut host = started();
    let id = host.send(0, Request::new("POST", "/s").open());
    host.send_body(id, b"a", false);
    assert!(host.outcome(id).is_waiting());
    host.advance(SECOND);
    host.send_body(id, b"b", true);
    let passed = host.outcome(id).passed().clone();
    assert_eq!((passed.body.as_slice(), passed.ended), (&b"ab"[..], true));
}

#[test]
fn a_call_of_a_stream_dies_with_it_and_one_of_the_root_does_not() {
    let mut host = started();
    let first = host.send(0, Request::get("/s"));
    let second = host.send(0, Request::get("/w"));
    host.leave(first);
    host.advance(SECOND);
    assert!(matches!(host.outcome(first), Outcome::Left));
    assert!(host.outcome(second).is_waiting(), "nobody wakes it");

    let first = host.send(0, Request::get("/k"));
    host.advance(Duration::from_millis(120)); // the tick makes the call
    host.leave(first);
    host.advance(SECOND);
    host.outcome(second).passed();
}

#[test]
fn too_many_answers_in_one_callback_kill_the_vm() {
    for (waiters, survives) in [(250, true), (400, false)] {
        let mut host = started();
        let ids: Vec<_> = (0..waiters).map(|_| host.send(0, Request::get("/W"))).collect();
        host.send(0, Request::get("/s"));
        host.advance(SECOND);
        assert_eq!(host.is_alive(0), survives, "{waiters}");
        assert_eq!(host.outcome(ids[0]).replied().status, 403);
        assert_eq!(host.outcome(ids[waiters - 1]).is_waiting(), !survives);
    }
}

#[test]
fn a_trap_is_a_503_and_the_next_request_brings_a_new_vm() {
    let mut host = started();
    let waiting = host.send(0, Request::get("/w"));
    host.advance(SECOND * 2);
    assert!(matches!(host.ask(Request::get("/t")), Outcome::Crashed { status: 503, .. }));
    assert!(!host.is_alive(0));
    host.ask(Request::get("/c")).passed();
    assert!(host.is_alive(0));
    // too soon after the reload
    assert!(matches!(host.ask(Request::get("/t")), Outcome::Crashed { .. }));
    assert!(matches!(host.ask(Request::get("/c")), Outcome::Crashed { .. }));
    host.advance(SECOND);
    host.ask(Request::get("/c")).passed();
    assert!(host.outcome(waiting).is_waiting(), "what a dead VM had paused is never answered");
}

#[test]
fn without_reload_a_dead_vm_stays_dead() {
    let mut host = guest().failure_policy(FailurePolicy::FailClosed).start().expect("starts");
    host.kill(0);
    host.advance(SECOND * 60);
    assert!(matches!(host.ask(Request::get("/c")), Outcome::Crashed { status: 503, .. }));
}

#[test]
fn a_queue_event_comes_to_the_vm_that_registered_last() {
    // all VMs register the queue "queue"; the last one is that of the last worker
    let mut host = guest().workers(2).start().expect("starts");
    let here = host.send(0, Request::get("/w"));
    let there = host.send(1, Request::get("/w"));
    host.send(0, Request::get("/q"));
    assert!(host.outcome(there).is_waiting(), "events come later");
    host.settle();
    assert!(host.outcome(here).is_waiting());
    host.outcome(there).passed();
}

#[test]
fn every_vm_ticks() {
    let mut host = guest().workers(3).start().expect("starts");
    host.advance(SECOND);
    // four VMs, ten ticks each; the canary does not live to tick
    assert_eq!(host.metric("ticks"), Some(Metric::Counter(40)));
}

#[test]
fn calls_time_out_and_unknown_clusters_fail_at_once() {
    let mut host = started();
    host.set_cluster("idp", |_| Answer::never());
    let id = host.send(0, Request::get("/s"));
    host.advance(Duration::from_millis(1900));
    assert!(host.outcome(id).is_waiting());
    host.advance(Duration::from_millis(100));
    host.outcome(id).passed();
    let calls = host.calls();
    assert_eq!((calls.len(), calls[0].path().as_str(), calls[0].vm), (1, "/keys", 1));
}

#[test]
fn an_illegal_header_is_envoys_own_503() {
    let mut host = started();
    assert!(matches!(host.ask(Request::get("/m")), Outcome::Crashed { status: 503, .. }));
    assert!(host.all_passed().is_empty());
}

#[test]
fn a_refused_configuration_does_not_start() {
    let refused = guest().configuration_bytes("bad").start().err().expect("refused");
    assert!(refused.why.contains("on_configure"));
}

#[test]
fn a_module_with_foreign_imports_does_not_start() {
    let module = GuestModule::from_bytes(b"(module (import \"env\" \"open_socket\" (func)))").expect("compiles");
    assert_eq!(module.imports(), ["env open_socket"]);
    assert!(Host::builder(&module).start().err().expect("refused").why.contains("open_socket"));
}
