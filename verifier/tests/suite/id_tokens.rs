//! ID tokens: the hash of the access token that came with one (OpenID Connect Core 1.0 section 3.1.3.6).
use crate::support::*;
use carded_verifier::{Code, IdToken, Outcome, sign::prepare, verify_id_token};
use serde_json::json;

/// The access token of the examples in OpenID Connect Core 1.0, appendix A, of which A.3 gives the hash.
const ACCESS_TOKEN: &str = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
const SHA_256: &str = "77QmUPtjPfzWtF2AnpK9RQ";
const SHA_384: &str = "jtAeDp945y1dDqU3nkIVGNZP1HjH_MFs";
const SHA_512: &str = "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM";

#[test]
fn the_hash_of_the_access_token_is_of_the_signatures_algorithm() {
    let world = World::new();
    let issuer = world.trust.index_of("corp").unwrap();
    for (algorithm, right) in [
        ("RS256", SHA_256),
        ("ES256", SHA_256),
        ("PS256", SHA_256),
        ("RS384", SHA_384),
        ("ES384", SHA_384),
        ("RS512", SHA_512),
        ("PS512", SHA_512),
        ("EdDSA", SHA_512),
    ] {
        for at_hash in [SHA_256, SHA_384, SHA_512] {
            let mut claims = with("nonce", json!("n"));
            claims.insert("aud".to_owned(), json!("shop"));
            claims.insert("at_hash".to_owned(), json!(at_hash));
            let token = key(algorithm)
                .sign(prepare(&object(json!({ "alg": algorithm, "kid": key(algorithm).kid() })), &claims))
                .unwrap();
            let asked = IdToken {
                token: token.as_bytes(),
                issuer,
                client_id: "shop",
                nonce: "n",
                refreshed: false,
                access_token: Some(ACCESS_TOKEN),
                max_age: None,
            };
            match verify_id_token(&asked, &world.trust, &world.known, at(0)) {
                Outcome::Verified(_) => assert_eq!(at_hash, right, "{algorithm}"),
                Outcome::Denied(denied) => {
                    assert_eq!(denied.code(), Code::ClaimInvalid, "{algorithm}: {}", denied.detail());
                    assert_ne!(at_hash, right, "{algorithm}: {}", denied.detail());
                }
                Outcome::Need(fetch) => panic!("{fetch:?}"),
            }
        }
    }
}
