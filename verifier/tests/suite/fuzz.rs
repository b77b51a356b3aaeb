//! Any bytes at all: nothing panics, and nothing but the token itself verifies.
use crate::support::*;
use carded_verifier::{Evidence, HttpsUrl, IssuerId, KeySet, Outcome, UrlPolicy, base64url, json, verify};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::LazyLock;

static WORLD: LazyLock<World> = LazyLock::new(World::new);
static TOKEN: LazyLock<String> = LazyLock::new(|| sign(&claims()));

fn verifies(token: &[u8]) -> bool {
    let outcome = verify(&Evidence::access_token(token), &WORLD.trust, &WORLD.known, at(0));
    matches!(outcome, Outcome::Verified(_))
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        prop_oneof!["EdDSA", "RS256", "none", "JWT", "https://idp\\.example\\.com", "api\\.example\\.com"]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

const MEMBERS: [&str; 19] = [
    "alg", "kid", "typ", "crit", "b64", "zip", "cty", "enc", "iss", "aud", "sub", "exp", "nbf", "iat", "nonce",
    "events", "jwk", "jti", "at_hash",
];

#[test]
fn every_single_byte_of_a_token_counts() {
    let token = TOKEN.as_bytes();
    assert!(verifies(token));
    for place in 0..token.len() {
        for byte in 0..=255 {
            if byte != token[place] {
                let mut other = token.to_vec();
                other[place] = byte;
                assert!(!verifies(&other), "byte {place} as {byte}");
            }
        }
        let mut shorter = token.to_vec();
        shorter.remove(place);
        assert!(!verifies(&shorter), "without byte {place}");
        assert!(!verifies(&token[..place]), "cut at {place}");
    }
}

#[test]
fn no_single_bit_of_any_signature_can_change() {
    for algorithm in asymmetric() {
        let token = key(algorithm.name()).sign_claims(&claims()).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = base64url::decode(signature).unwrap();
        // RSA is slow here, so not every bit of it
        for bit in (0..signature.len() * 8).step_by(if signature.len() > 100 { 61 } else { 7 }) {
            let mut other = signature.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!verifies(format!("{message}.{}", base64url::encode(other)).as_bytes()), "{algorithm} {bit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(!verifies(&bytes));
    }

    #[test]
    fn any_three_parts_are_refused(header in ".*", payload in ".*", signature in prop::collection::vec(any::<u8>(), 0..70)) {
        let token = format!("{}.{}.{}", base64url::encode(header), base64url::encode(payload), base64url::encode(signature));
        prop_assert!(!verifies(token.as_bytes()));
    }

    #[test]
    fn any_member_of_any_value_never_panics(
        in_header in prop::collection::btree_map(prop::sample::select(&MEMBERS[..]), json_value(), 0..4),
        in_claims in prop::collection::btree_map(prop::sample::select(&MEMBERS[..]), json_value(), 0..4),
        now in any::<i64>(),
    ) {
        let key = key("EdDSA");
        let mut header = key.header();
        let mut claims = claims();
        header.extend(in_header.into_iter().map(|(name, value)| (name.to_owned(), value)));
        claims.extend(in_claims.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let token = key.sign(carded_verifier::sign::prepare(&header, &claims)).unwrap();
        let evidence = Evidence::access_token(token.as_bytes());
        match verify(&evidence, &WORLD.trust, &WORLD.known, carded_verifier::Timestamp::from_unix(now)) {
            Outcome::Verified(verified) => {
                prop_assert_eq!(verified.iss(), ISS);
                prop_assert_eq!(verified.report().lines().count(), 10);
            }
            Outcome::Denied(denied) => prop_assert!(!denied.detail().is_empty()),
            Outcome::Need(_) => prop_assert!(false, "nothing can be needed"),
        }
    }

    #[test]
    fn base64url_is_one_to_one(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[A-Za-z0-9_=+/. \n-]{0,40}") {
        prop_assert_eq!(base64url::decode(base64url::encode(&bytes)).unwrap(), bytes);
        if let Ok(bytes) = base64url::decode(&text) {
            prop_assert_eq!(base64url::encode(bytes), text);
        }
    }

    #[test]
    fn json_agrees_with_serde_json_and_is_stricter(value in json_value(), noise in ".{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let text = value.to_string();
        prop_assert!(json::same(&json::parse_value(text.as_bytes(), 32).unwrap(), &serde_json::from_str(&text).unwrap()));
        for text in [noise.as_bytes(), &bytes] {
            if let Ok(value) = json::parse_value(text, 32) {
                prop_assert_eq!(serde_json::from_slice::<Value>(text).unwrap(), value);
            }
        }
    }

    #[test]
    fn any_document_never_panics(value in json_value(), text in ".*", members in prop::collection::vec(json_value(), 0..4)) {
        let _ = KeySet::parse(value.to_string().as_bytes(), &asymmetric());
        let _ = KeySet::parse(text.as_bytes(), &asymmetric());
        let _ = KeySet::parse(serde_json::json!({ "keys": members }).to_string().as_bytes(), &asymmetric());
    }

    #[test]
    fn a_url_that_is_taken_is_plain(text in "(https?://)?[a-zA-Z0-9.:@/?#%\\[\\]{}_~-]{0,40}", host in "[a-z0-9.-]{1,20}") {
        for text in [text, format!("https://{host}/x")] {
            if let Ok(url) = HttpsUrl::parse(&text, UrlPolicy::default()) {
                prop_assert!(url.as_str().starts_with("https://"));
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
                prop_assert!(url.authority().chars().all(plain), "{}", url);
                prop_assert!(url.path_and_query().starts_with('/'));
                prop_assert!(!url.as_str().contains(['#', '@', '\\']) || url.path_and_query().contains('@'));
                let again = HttpsUrl::parse(url.as_str(), UrlPolicy::default());
                prop_assert_eq!(again.as_ref(), Ok(&url));
            }
        }
    }

    #[test]
    fn a_tenant_is_one_whole_segment(iss in "https://login\\.example\\.com/[a-zA-Z0-9./%?#@:~_-]{0,30}/v2\\.0") {
        let pattern = IssuerId::parse("https://login.example.com/{tenant}/v2.0", UrlPolicy::default()).unwrap();
        if let Some(tenant) = pattern.tenant_of(&iss) {
            prop_assert!(!tenant.contains(['/', '%', '?', '#', '@', ':']));
            prop_assert_eq!(iss.split('/').nth(3), Some(tenant));
            prop_assert_eq!(iss.split('/').count(), 5);
            prop_assert_eq!(pattern.for_tenant(Some(tenant)), iss);
        }
    }
}
