//! Who brings bad evidence again and again waits; nobody else does.

use super::*;
use Became::*;

fn config() -> Value {
    json!({
        "issuers": { "corp": issuer("corp") },
        "rules": [{ "match": { "path": "/**" }, "require": { "token": "corp" } }],
    })
}

fn from(asked: &mut Asked<'_>, address: &str, token: &str, now: i64) -> Became {
    asked.connection = vec![("source.address", address.as_bytes().to_vec())];
    asked.at(NOW + now, "GET", "/x", &[("authorization", &bearer(token))])
}

fn bad(number: usize) -> String {
    let good = token("corp", json!({ "jti": number }));
    format!("{}AAAA", &good[..good.len() - 4])
}

const SLOWED: Became = Refused(429, "too_many_failures");

#[test]
fn threat_83_a_source_that_fails_again_and_again_is_slowed_and_nobody_with_it_locked_out() {
    for (attacker, same, other) in [
        ("192.0.2.1:1", "192.0.2.1:65535", "192.0.2.2:1"),
        ("[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::9]:2", "[2001:db8:1:3::1]:1"),
        ("[::ffff:192.0.2.1]:1", "192.0.2.1:2", "192.0.2.3:2"),
    ] {
        let gate = gate(config());
        let mut asked = Asked::new(&gate);
        let known = token("corp", json!({}));
        assert!(matches!(from(&mut asked, same, &known, 0), Forwarded { .. }));
        // as many as are met as they come, then one in eight
        let answers: Vec<_> = (0..500).map(|number| from(&mut asked, attacker, &bad(number), 0)).collect();
        let looked_at = answers.iter().filter(|became| **became == Refused(401, "signature_invalid")).count();
        assert_eq!(looked_at, 101 + (500 - 101) / 8, "{attacker}");
        assert!(answers[..101].iter().all(|became| *became != SLOWED));
        assert_eq!(answers.iter().filter(|became| **became == SLOWED).count(), 500 - looked_at);
        // who was let in before passes, and so does everyone from elsewhere
        assert!(matches!(from(&mut asked, same, &known, 0), Forwarded { .. }));
        assert!(matches!(from(&mut asked, other, &token("corp", json!({ "jti": "o" })), 0), Forwarded { .. }));
        assert_eq!(from(&mut asked, other, &bad(1), 0), Refused(401, "signature_invalid"));
        // who is new at that address comes through with a few tries, in the midst of it
        let new = token("corp", json!({ "jti": "new" }));
        let tries = (0..64).find(|number| {
            from(&mut asked, attacker, &bad(*number), 0);
            from(&mut asked, attacker, &bad(*number), 0);
            matches!(from(&mut asked, same, &new, 0), Forwarded { .. })
        });
        assert!(tries.is_some_and(|tries| tries <= 16), "{tries:?}");
        assert!(matches!(from(&mut asked, same, &new, 0), Forwarded { .. }), "and is remembered");
        // it is over a minute after the last
        let fresh = |number: usize| token("corp", json!({ "jti": number }));
        let slowed = (0..8).filter(|n| from(&mut asked, attacker, &fresh(100 + n), 2) == SLOWED).count();
        assert_eq!(slowed, 7);
        assert!((0..8).all(|n| matches!(from(&mut asked, attacker, &fresh(200 + n), 61), Forwarded { .. })));
    }
}

#[test]
fn threat_83_what_is_watched_is_bounded() {
    let gate = gate(config());
    let mut asked = Asked::new(&gate);
    for number in 0..10_000_usize {
        let address = format!("10.{}.{}.1:7", number / 256, number % 256);
        assert_eq!(from(&mut asked, &address, &bad(number), 0), Refused(401, "signature_invalid"));
    }
    // what ended, what is missing, and what comes from nowhere is not counted
    let ended = token("corp", json!({ "exp": NOW - 600 }));
    let stranger = token("corp", json!({ "iss": "https://stranger.example.com" }));
    for _ in 0..200 {
        assert_eq!(from(&mut asked, "192.0.2.7:1", &ended, 1), Refused(401, "token_expired"));
        assert_eq!(from(&mut asked, "192.0.2.7:1", &stranger, 1), Refused(401, "issuer_untrusted"));
        assert_eq!(from(&mut asked, "/run/socket", &bad(1), 1), Refused(401, "signature_invalid"));
        assert_eq!(asked.at(NOW + 1, "GET", "/x", &[]), Refused(401, "token_missing"));
    }
    assert_eq!(from(&mut asked, "192.0.2.7:1", &bad(1), 1), Refused(401, "signature_invalid"));
    // where the host tells no address nobody is slowed
    asked.connection.clear();
    for number in 0..200 {
        let became = asked.at(NOW, "GET", "/x", &[("authorization", &bearer(&bad(number)))]);
        assert_eq!(became, Refused(401, "signature_invalid"));
    }
}
