//! The host lends its crypto, or none, or lies about it: what is accepted never depends on that, and operators see which is in
//! use.

use std::cell::Cell;
use std::rc::Rc;

use carded_wasm_host::{Answer, Host, HostBuilder, lending};
use serde_json::json;

use crate::algorithms::{ASYMMETRIC, claims, key};
use crate::support::{START, ask_api, config, filter, start};

const LENT: [&str; 5] = ["RS256", "RS384", "RS512", "ES256", "ES384"];

/// A host of the built filter whose provider publishes a key for every algorithm; lends nothing yet.
fn world() -> HostBuilder {
    let mut config = config();
    config["issuers"]["corp"]["algorithms"] = json!(ASYMMETRIC);
    config["issuers"]["corp"]["keys"] = json!({ "jwks_uri": "https://idp.example.com/keys" });
    let set = json!({ "keys": ASYMMETRIC.map(|name| key(name).public_jwk()) });
    Host::builder(filter()).configuration(&config).clock(START).cluster("idp", move |_| Answer::json(&set))
}

fn token(name: &str) -> String {
    key(name).sign_claims(&claims()).expect("signs")
}

/// A token whose signature has one bit turned, in the middle of its s where it has one.
fn tampered(name: &str) -> String {
    let token = token(name);
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let mut signature = carded_verifier::base64url::decode(signature).expect("base64url");
    let at = signature.len() * 3 / 4;
    signature[at] ^= 4;
    format!("{signed}.{}", carded_verifier::base64url::encode(signature))
}

/// Every algorithm's good token passes, and its bad one does not.
#[track_caller]
fn all_is_right(host: &mut Host) {
    for name in ASYMMETRIC {
        ask_api(host, &token(name)).passed();
        ask_api(host, &tampered(name)).refused(401, "signature_invalid");
    }
}

/// What the log says is checked by the host, as every VM's line has it.
#[track_caller]
fn said(host: &Host) -> String {
    let logs = host.logs();
    let mut lines: Vec<_> = logs.iter().filter(|line| line.text.starts_with("carded: signatures: ")).collect();
    lines.dedup_by_key(|line| line.text.clone());
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].text["carded: signatures: ".len()..].to_owned()
}

#[test]
fn what_the_host_lends_is_used_where_it_proves_itself() {
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    let lend = move |argument: &[u8]| {
        counted.set(counted.get() + 1);
        lending::verify_signature(argument)
    };
    let mut host = start(world().foreign(lending::NAME, lend));
    assert_eq!(host.count("carded.lent.algorithms"), 5);
    assert_eq!(said(&host), "RS256, RS384, RS512, ES256, ES384 by the host, the others by this module");
    for name in ASYMMETRIC {
        for (token, holds) in [(token(name), true), (tampered(name), false)] {
            calls.set(0);
            let outcome = ask_api(&mut host, &token);
            if holds {
                outcome.passed();
            } else {
                outcome.refused(401, "signature_invalid");
            }
            assert_eq!(calls.get(), u32::from(LENT.contains(&name)), "{name}: one call where the host is asked");
        }
    }
    assert_eq!(host.count("carded.lent.failed"), 0);
}

#[test]
fn a_host_that_lends_nothing_is_not_asked_again() {
    let mut host = start(world());
    assert_eq!((host.count("carded.lent.algorithms"), host.count("carded.lent.failed")), (0, 0));
    assert_eq!(said(&host), "all by this module");
    all_is_right(&mut host);
}

#[test]
fn a_host_that_lies_or_talks_rubbish_is_found_out() {
    type Lie = fn(&[u8]) -> Option<Vec<u8>>;
    let lies: [(&str, Lie); 9] = [
        ("always true", |_| Some(lending::HOLDS.to_vec())),
        ("always false", |_| Some(lending::refusal("no"))),
        ("the wrong way round", |argument| {
            let holds = lending::verify_signature(argument)? == lending::HOLDS;
            Some(if holds { lending::refusal("no") } else { lending::HOLDS.to_vec() })
        }),
        ("true with an error", |_| Some(vec![0x08, 1, 0x12, 1, b'x'])),
        ("nothing", |_| Some(Vec::new())),
        ("garbage", |_| Some(vec![0xff; 300])),
        ("a varint that is true to some", |_| Some(vec![0x08, 0x81, 0])),
        ("failure", |_| None),
        // a host that fails on what does not hold refuses nothing clearly
        ("true or failure", |argument| lending::verify_signature(argument).filter(|reply| *reply == lending::HOLDS)),
    ];
    for (what, lie) in lies {
        let mut host = start(world().foreign(lending::NAME, lie));
        assert_eq!(host.count("carded.lent.algorithms"), 0, "{what}");
        assert_eq!(said(&host), "all by this module", "{what}");
        ask_api(&mut host, &token("ES256")).passed();
        ask_api(&mut host, &tampered("ES256")).refused(401, "signature_invalid");
    }
}

#[test]
fn a_host_is_trusted_with_what_it_does_right_only() {
    // without RSA's SHA-384, and taking any signature by P-384
    let lend = |argument: &[u8]| match argument {
        [0x0a, 6, b's', b'h', b'a', b'3', b'8', b'4', 0x12, 120, ..] => Some(lending::HOLDS.to_vec()),
        [0x0a, 6, b's', b'h', b'a', b'3', b'8', b'4', ..] => Some(lending::refusal("sha384 is not supported.")),
        _ => lending::verify_signature(argument),
    };
    let mut host = start(world().foreign(lending::NAME, lend));
    assert_eq!(host.count("carded.lent.algorithms"), 3);
    assert_eq!(said(&host), "RS256, RS512, ES256 by the host, the others by this module");
    all_is_right(&mut host);
}

#[test]
fn a_host_that_stops_answering_is_stood_in_for() {
    for rubbish in [None, Some(vec![0x0a, 1, 1]), Some(vec![0x08, 2])] {
        let works = Rc::new(Cell::new(true));
        let (switch, answer) = (Rc::clone(&works), rubbish.clone());
        let lend =
            move |argument: &[u8]| if switch.get() { lending::verify_signature(argument) } else { answer.clone() };
        let mut host = start(world().foreign(lending::NAME, lend));
        assert_eq!(host.count("carded.lent.algorithms"), 5);
        works.set(false);
        all_is_right(&mut host);
        assert_eq!(host.count("carded.lent.failed"), if rubbish.is_none() { 10 } else { 0 });
    }
}
