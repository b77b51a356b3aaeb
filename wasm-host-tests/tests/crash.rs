//! The VM dies: the request gets a 5xx and never reaches the service, and the VM comes back.

use carded_wasm_host::{FailurePolicy, Host, HostBuilder, Outcome, Request};

use crate::support::{Key, Provider, SECOND, START, api, config, crash_filter, start};

fn crashing() -> (HostBuilder, Key) {
    let key = Key::new(1, "k1");
    let idp = Provider::new(&[&key]);
    (Host::builder(crash_filter()).configuration(&config()).clock(START).cluster("idp", idp.answers()), key)
}

#[test]
fn a_forced_panic_is_a_5xx_and_the_vm_comes_back() {
    let (builder, key) = crashing();
    let mut host = start(builder);
    host.ask(api(&key.good())).passed();
    for _ in 0..3 {
        let outcome = host.ask(Request::get("/health").header("x-carded-crash", "panic"));
        assert!(matches!(outcome, Outcome::Crashed { status: 503, .. }), "{outcome:?}");
        host.advance(SECOND * 2);
        host.ask(Request::get("/health")).passed();
        let id = host.send(0, api(&key.good()));
        host.advance(SECOND);
        host.outcome(id).passed();
    }
    host.assert_none_passed_with(|name, _| name == "x-carded-crash");
}

#[test]
fn a_crash_in_one_worker_leaves_the_others_alone() {
    let (builder, key) = crashing();
    let mut host = start(builder.workers(2).failure_policy(FailurePolicy::FailClosed));
    host.ask(Request::get("/health").header("x-carded-crash", "panic"));
    assert!(!host.is_alive(0) && host.is_alive(1));
    assert!(matches!(host.ask(api(&key.good())), Outcome::Crashed { status: 503, .. }));
    let id = host.send(1, api(&key.good()));
    host.settle();
    host.outcome(id).passed();
}

#[test]
fn the_shipped_module_has_no_such_switch() {
    let (mut host, _, _) = crate::support::ready();
    host.ask(Request::get("/health").header("x-carded-crash", "panic")).passed();
    assert!(host.is_alive(0));
}
