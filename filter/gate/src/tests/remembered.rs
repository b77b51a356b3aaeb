//! What is remembered of evidence: it decides as the evidence itself would, and for no longer.

use super::shop::{self, Shop, enter};
use super::*;
use Became::*;

fn config() -> Value {
    let claimed = json!({ "x-sub": "corp.sub", "x-mail": "corp.email", "x-deep": "corp.a.b", "x-iss": "corp.iss" });
    json!({
        "issuers": { "corp": issuer("corp"), "other": issuer("other") },
        "rules": [
            { "match": { "path": "/corp/**" }, "require": { "token": "corp" }, "authorize": true },
            { "match": { "path": "/other/**" }, "require": { "token": "other" } },
            { "match": { "path": "/any/**" }, "require": { "any": [{ "token": "corp" }, { "token": "other" }] } },
        ],
        "policies": [
            { "effect": "allow", "subjects": ["role:corp.clerk"], "actions": ["GET"], "resources": ["/corp/role"] },
            { "effect": "allow", "subjects": ["scope:corp.read"], "actions": ["GET"], "resources": ["/corp/scope"] },
            { "effect": "allow", "subjects": ["client:corp.app"], "actions": ["GET"], "resources": ["/corp/client"] },
            { "effect": "allow", "subjects": ["sub:corp.alice"], "actions": ["GET"], "resources": ["/corp/sub"] },
            { "effect": "allow", "subjects": ["*"], "actions": ["GET"], "resources": ["/corp/of/{corp.dept}"] },
        ],
        "forward": { "headers": claimed },
    })
}

#[test]
fn what_is_remembered_decides_as_what_was_verified() {
    let gate = gate(config());
    let all = json!({ "roles": ["clerk"], "scope": "write read", "azp": "app", "dept": "wine", "email": "a@b.example",
                      "a": { "b": [1, 2], "c": "dropped" }, "more": "dropped" });
    let scp = json!({ "roles": "clerk", "scp": ["read"], "client_id": "app", "azp": "another" });
    let none = json!({ "sub": "bob", "client_id": 7, "azp": "app", "scope": "reading", "roles": [] });
    let mut seen = Vec::new();
    for claims in [all, scp, none] {
        let auth = bearer(&token("corp", claims));
        for path in ["/corp/role", "/corp/scope", "/corp/client", "/corp/sub", "/corp/of/wine", "/corp/of/x", "/any/x"]
        {
            // remembered by nobody, by a gate that just verified it, and by one that did so for other paths
            let mut asked = Asked::new(&gate);
            let first = asked.at(NOW, "GET", path, &[("authorization", &auth)]);
            assert_eq!(asked.verified, 1);
            let again = asked.at(NOW, "GET", path, &[("authorization", &auth)]);
            assert_eq!((asked.verified, &again), (0, &first), "{path}");
            asked.at(NOW, "GET", "/any/y", &[("authorization", &auth)]);
            assert_eq!((asked.at(NOW, "GET", path, &[("authorization", &auth)]), asked.verified), (first, 0), "{path}");
            let Forwarded { set, .. } = again else { continue };
            seen.push((path, set));
        }
    }
    let passed: Vec<_> = seen.iter().map(|(path, _)| *path).collect();
    let first = ["/corp/role", "/corp/scope", "/corp/client", "/corp/sub", "/corp/of/wine", "/any/x"];
    let second = ["/corp/role", "/corp/scope", "/corp/client", "/corp/sub", "/any/x"];
    assert_eq!(passed, [&first[..], &second[..], &["/any/x"][..]].concat());
    let headers =
        [("x-deep", "1,2"), ("x-iss", "https://corp.example.com"), ("x-mail", "a@b.example"), ("x-sub", "alice")];
    assert_eq!(seen[0].1, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn threat_27_a_verdict_serves_only_places_that_admit_its_issuer() {
    let gate = gate(config());
    let auth = bearer(&token("corp", json!({ "roles": ["clerk"] })));
    let mut asked = Asked::new(&gate);
    for _ in 0..3 {
        assert!(matches!(asked.at(NOW, "GET", "/any/x", &[("authorization", &auth)]), Forwarded { .. }));
        let elsewhere = asked.at(NOW, "GET", "/other/x", &[("authorization", &auth)]);
        assert_eq!(elsewhere, Refused(401, "issuer_untrusted"));
        assert!(matches!(asked.at(NOW, "GET", "/corp/role", &[("authorization", &auth)]), Forwarded { .. }));
        assert_eq!(asked.verified, 0, "what was refused elsewhere is still known here");
    }
    assert_eq!(asked.verdicts.len(), 1);
}

#[test]
fn threat_27_a_token_that_differs_in_one_byte_anywhere_is_not_known() {
    let gate = gate(config());
    let good = token("corp", json!({}));
    let mut asked = Asked::new(&gate);
    assert!(matches!(asked.at(NOW, "GET", "/any/x", &[("authorization", &bearer(&good))]), Forwarded { .. }));
    let ours = asked.verdicts.key_of_token(good.as_bytes(), None);
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert_ne!(asked.verdicts.key_of_token(&bytes, None), ours, "{at} {bit}");
            bytes[at] ^= 1 << bit;
        }
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let other = bearer(std::str::from_utf8(&bytes).unwrap());
        assert!(matches!(asked.at(NOW, "GET", "/any/x", &[("authorization", &other)]), Refused(401, _)), "{at}");
    }
    for other in [&good[..good.len() - 1], &format!("{good}="), &format!("{good}\0"), ""] {
        assert_ne!(asked.verdicts.key_of_token(other.as_bytes(), None), ours, "{other}");
    }
    assert_eq!(asked.verdicts.len(), 1, "what refused evidence is not remembered");
}

#[test]
fn threat_27_kinds_of_evidence_and_origins_share_nothing_and_the_secret_counts() {
    let verdicts = Verdicts::new(10, &mut secret);
    let keys = [
        verdicts.key_of_token(b"text", None),
        verdicts.key_of_sealed(true, "", b"text"),
        verdicts.key_of_sealed(false, "", b"text"),
        verdicts.key_of_sealed(false, "t", b"ext"),
        verdicts.key_of_sealed(false, "te", b"xt"),
        verdicts.key_of_sealed(false, "text", b""),
        Verdicts::new(10, &mut |bytes| {
            bytes.fill(8);
            true
        })
        .key_of_token(b"text", None),
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(key.is_some() && !keys[..at].contains(key), "{at}");
    }
    // without a secret, and where nothing is to be remembered, nothing is
    assert_eq!(Verdicts::new(10, &mut |_| false).key_of_token(b"text", None), None);
    assert_eq!(Verdicts::new(0, &mut secret).key_of_token(b"text", None), None);
}

#[test]
fn without_a_memory_every_token_is_verified_each_time() {
    let mut config = config();
    config["limits"] = json!({ "cached_verdicts": 0 });
    let gate = gate(config);
    let auth = bearer(&token("corp", json!({})));
    let mut asked = Asked::new(&gate);
    for _ in 0..3 {
        assert!(matches!(asked.at(NOW, "GET", "/any/x", &[("authorization", &auth)]), Forwarded { .. }));
        assert_eq!((asked.verified, asked.verdicts.len(), asked.verdicts.bytes()), (1, 0, 0));
    }
}

#[test]
fn threat_82_verdicts_are_bounded_in_number_and_in_bytes() {
    let mut config = config();
    config["limits"] = json!({ "cached_verdicts": 50 });
    let gate = gate(config);
    let mut asked = Asked::new(&gate);
    for number in 0..200 {
        let auth = bearer(&token("corp", json!({ "jti": number, "email": "x".repeat(40 * number) })));
        assert!(matches!(asked.at(NOW, "GET", "/any/x", &[("authorization", &auth)]), Forwarded { .. }));
        assert!(asked.verdicts.len() <= 50 && asked.verdicts.bytes() <= 512 * 1024);
    }
    assert!(!asked.verdicts.is_empty());
}

#[test]
fn a_session_is_remembered_and_ends_with_its_age() {
    let mut config = shop::config();
    config["sessions"]["lifetime"] = json!("1h");
    let mut shop = Shop::new(config);
    let session = enter(&mut shop);
    let fetched = shop.fetched;
    for (offset, passes) in
        [(0, true), (1, true), (3_599, true), (3_600, false), (3_601, false), (5, true), (-61, false)]
    {
        shop.now = NOW + offset;
        assert_eq!(shop.browse("/wine/white", &session).status == 200, passes, "at {offset}");
    }
    assert_eq!(shop.verdicts.len(), 1);
    assert!(shop.fetched > fetched, "its status was asked for again");
    let damaged = format!("{}A", &session[..session.len() - 1]);
    assert_eq!(shop.browse("/wine/white", &damaged).status, 303);
}

#[test]
fn threat_60_a_remembered_session_ends_with_its_status() {
    let mut shop = Shop::new(shop::config());
    let session = enter(&mut shop);
    assert_eq!(shop.browse("/wine/white", &session).status, 200);
    shop.revoked = true;
    let fetched = shop.fetched;
    shop.now = NOW + 14;
    assert_eq!((shop.browse("/wine/white", &session).status, shop.fetched), (200, fetched), "within the list's ttl");
    shop.now = NOW + 15;
    assert_eq!((shop.browse("/wine/white", &session).code, shop.fetched), ("credential_revoked", fetched + 1));
}

#[test]
fn threat_60_what_a_newer_list_says_counts_at_once() {
    let mut shop = Shop::new(shop::config());
    let session = enter(&mut shop);
    assert_eq!(shop.browse("/wine/white", &session).status, 200);
    // another worker fetched it, for someone else
    shop.revoked = true;
    shop.now = NOW + 3;
    let reply = shop.network(shop::STATUS);
    let list = shop.status_fetch();
    shop.known.insert(&list, &reply, Timestamp::from_unix(shop.now)).unwrap();
    assert_eq!(shop.browse("/wine/white", &session).code, "credential_revoked");
}

#[test]
fn threat_27_a_session_of_one_origin_opens_at_no_other_though_it_is_remembered() {
    let mut config = shop::config();
    config["origins"] = json!([shop::SHOP, "https://other.example.com"]);
    let mut shop = Shop::new(config);
    let session = enter(&mut shop);
    let headers = [("cookie", session.as_str())];
    for _ in 0..2 {
        assert_eq!(shop.ask("GET", "/wine/white", &headers, None).status, 200);
        let elsewhere = shop.ask_at("other.example.com", "GET", "/wine/white", &headers, None);
        assert_eq!((elsewhere.status, elsewhere.code), (401, "presentation_required"));
    }
}
