//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 sections 2.4 and 2.6): what they must have, and that they and the other
//! kinds of token exclude each other.
use crate::support::*;
use carded_verifier::{
    Code, IdToken, LogoutToken, Outcome, VerifiedLogoutToken, sign::prepare, verify_id_token, verify_logout_token,
};
use serde_json::{Map, Value, json};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn good() -> Map<String, Value> {
    let mut claims = with("events", json!({ EVENT: {} }));
    claims.insert("aud".to_owned(), json!("shop"));
    claims
}

/// Without explicit typing: the claims alone tell the kinds apart.
fn sign(claims: &Map<String, Value>) -> String {
    key("EdDSA").sign(prepare(&object(json!({ "alg": "EdDSA", "kid": "EdDSA" })), claims)).unwrap()
}

fn look(world: &World, token: &str) -> Outcome<VerifiedLogoutToken> {
    let issuer = world.trust.index_of("corp").unwrap();
    let asked = LogoutToken { token: token.as_bytes(), issuer, client_id: "shop" };
    verify_logout_token(&asked, &world.trust, &world.known, at(0))
}

#[track_caller]
fn refused(world: &World, token: &str) -> Code {
    match look(world, token) {
        Outcome::Denied(denied) => denied.code(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_logout_token_says_who_has_left_and_when() {
    let world = World::new();
    for (typ, passes) in [
        (None, true),
        (Some("JWT"), true),
        (Some("logout+jwt"), true),
        (Some("application/logout+JWT"), true),
        (Some("at+jwt"), false),
        (Some("secevent+jwt"), false),
        (Some(""), false),
    ] {
        let mut header = object(json!({ "alg": "EdDSA", "kid": "EdDSA" }));
        header.extend(typ.map(|typ| ("typ".to_owned(), json!(typ))));
        let token = key("EdDSA").sign(prepare(&header, &good())).unwrap();
        assert_eq!(matches!(look(&world, &token), Outcome::Verified(_)), passes, "{typ:?}");
    }
    let mut claims = good();
    claims.insert("sid".to_owned(), json!("s1"));
    let Outcome::Verified(verified) = look(&world, &sign(&claims)) else { panic!("refused") };
    assert_eq!((verified.iss(), verified.subject(), verified.session()), (ISS, Some("alice"), Some("s1")));
    assert_eq!((verified.id(), verified.issued(), verified.until()), ("1", at(-10), at(660)));
    assert!(!format!("{verified:?}").contains("alice"));
    claims.remove("sub");
    let Outcome::Verified(verified) = look(&world, &sign(&claims)) else { panic!("refused") };
    assert_eq!((verified.subject(), verified.session()), (None, Some("s1")));
}

#[test]
fn threat_26_a_logout_token_is_nothing_else_and_nothing_else_is_one() {
    let world = World::new();
    assert_eq!(refused(&world, &sign(&claims())), Code::TypeNotAllowed, "an access token");
    let mut id_token = with("nonce", json!("n"));
    id_token.insert("aud".to_owned(), json!("shop"));
    assert_eq!(refused(&world, &sign(&id_token)), Code::TypeNotAllowed);
    let mut both = good();
    both.insert("nonce".to_owned(), json!("n"));
    assert_eq!(refused(&world, &sign(&both)), Code::TypeNotAllowed);
    let issuer = world.trust.index_of("corp").unwrap();
    let token = sign(&both);
    let asked = IdToken {
        token: token.as_bytes(),
        issuer,
        client_id: "shop",
        nonce: "n",
        access_token: None,
        max_age: None,
        refreshed: false,
    };
    let outcome = verify_id_token(&asked, &world.trust, &world.known, at(0));
    assert!(matches!(&outcome, Outcome::Denied(denied) if denied.code() == Code::TypeNotAllowed), "{outcome:?}");
    let mut access = good();
    access.insert("aud".to_owned(), json!(AUD));
    assert_eq!(world.code(sign(&access)), Code::TypeNotAllowed);
    // another issuer's, though it is trusted for other things
    let other = World::with(|issuer| issuer.name = "other".to_owned());
    let asked = LogoutToken { token: b"", issuer: other.trust.index_of("other").unwrap(), client_id: "shop" };
    let token = sign(&with("iss", json!("https://else.example.com")));
    let asked = LogoutToken { token: token.as_bytes(), ..asked };
    let outcome = verify_logout_token(&asked, &other.trust, &other.known, at(0));
    assert!(matches!(&outcome, Outcome::Denied(denied) if denied.code() == Code::IssuerUntrusted), "{outcome:?}");
}
