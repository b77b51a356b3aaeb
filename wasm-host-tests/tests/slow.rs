//! Who brings bad tokens again and again from one address is told to wait; others are not.

use carded_wasm_host::{Host, Request};

use crate::support::{Claims, api, ready};

#[test]
fn threat_83_bad_tokens_from_one_address_are_slowed_down_in_the_built_module() {
    let (mut host, _, key) = ready();
    let from = |request: Request, address: &str| request.property(&["source", "address"], address);
    let bad = |number: u64| {
        let good = key.token(&Claims::of("mallory").with("jti", number));
        format!("{}AAAA", &good[..good.len() - 4])
    };
    let known = key.good();
    host.ask(from(api(&known), "192.0.2.1:4")).passed();
    let status = |host: &mut Host, address: &str, number| host.ask(from(api(&bad(number)), address)).replied().status;
    let statuses: Vec<u16> = (0..142).map(|number| status(&mut host, "192.0.2.1:4", number)).collect();
    assert!(statuses[..101].iter().all(|status| *status == 401), "{statuses:?}");
    assert!(statuses[101..].iter().filter(|status| **status == 429).count() > 30, "{statuses:?}");
    let outcome = host.ask(from(api(&bad(200)), "192.0.2.1:5"));
    let reply = outcome.refused(429, "too_many_failures");
    assert_eq!(reply.headers.text("retry-after").as_deref(), Some("1"));
    assert_eq!(status(&mut host, "192.0.2.2:4", 201), 401);
    host.ask(from(api(&known), "192.0.2.1:6")).passed();
}
