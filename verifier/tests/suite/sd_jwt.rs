//! Threats 28 to 37 and 51: what an SD-JWT VC must be like, and what no disclosure may do.
use crate::shop::*;
use crate::support::*;
use crate::vector_files;
use carded_verifier::age::AgePolicy;
use carded_verifier::dcql::ConcretePathElement;
use carded_verifier::sd_jwt::SdHash;
use carded_verifier::sd_jwt::issue::{Issue, IssueError};
use carded_verifier::sd_jwt::present::HeldSdJwt;
use carded_verifier::sign::SigningKey;
use carded_verifier::{Code, Limits, Outcome, StatusRule, Timestamp, base64url};
use serde_json::{Value, json};

/// The issuer's key of the examples in RFC 9901 (appendix A.5).
fn rfc_key() -> SigningKey {
    let jwk = json!({"kty": "EC", "crv": "P-256", "d": "Ur2bNKuBPOrAaxsRnbSH6hIhmNTxSGXshDSUD1a1y7g",
        "x": "b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ", "y": "Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8"});
    SigningKey::from_jwk(jwk.to_string().as_bytes()).unwrap().with_kid(None)
}

fn example(text: &str) -> String {
    text.split_whitespace().collect()
}

/// RFC 9901 appendix A.3: a credential as issued, with recursive disclosures, through the whole pipeline.
#[test]
fn rfc_9901_appendix_a_3() {
    let issued = example(include_str!("../examples/rfc_9901_a_3.sd-jwt"));
    let mut policy = policy();
    policy.query.meta.vct_values = vec!["https://bmi.bund.example/credential/pid/1.0".to_owned()];
    policy.trusted_issuers = vec![trusted("https://issuer.example.com")];
    policy.status = StatusRule::IfPresent;
    policy.legacy_vc_sd_jwt = true;
    let mut shop = Shop::empty(vec![policy.clone()]);
    let Outcome::Need(fetch) = shop.issued(&issued) else { panic!() };
    assert_eq!(fetch.url().as_str(), "https://issuer.example.com/.well-known/jwt-vc-issuer");
    shop.put(&fetch, metadata("https://issuer.example.com", &[&rfc_key()]), 0);
    let credential = verified(shop.issued(&issued));
    let claims = credential.claims();
    assert_eq!(
        claims["age_equal_or_over"],
        json!({"12": true, "14": true, "16": true, "18": true, "21": true, "65": false})
    );
    assert_eq!(
        claims["address"],
        json!({"street_address": "Heidestraße 17", "locality": "Köln", "postal_code": "51147", "country": "DE"})
    );
    assert_eq!(claims["place_of_birth"], json!({"locality": "Berlin", "country": "DE"}));
    assert_eq!((&claims["nationalities"], &claims["given_name"]), (&json!(["DE"]), &json!("Erika")));
    assert!(!claims.contains_key("_sd") && !claims.contains_key("_sd_alg"));
    // the old `typ` only where the policy says so
    policy.legacy_vc_sd_jwt = false;
    let mut strict = Shop::empty(vec![policy]);
    strict.put(&fetch, metadata("https://issuer.example.com", &[&rfc_key()]), 0);
    assert_eq!(denied(strict.issued(&issued)).code(), Code::TypeNotAllowed);
}

/// RFC 9901 appendix A.2: elements of arrays, disclosures within disclosures, some withheld.
#[test]
fn rfc_9901_appendix_a_2() {
    let held = held(&example(include_str!("../examples/rfc_9901_a_2.sd-jwt")));
    let expected = json!({
        "iss": "https://issuer.example.com", "iat": 1_683_000_000, "exp": 1_883_000_000,
        "verified_claims": {
            "verification": {
                "trust_framework": "de_aml", "evidence": [{"method": "pipp"}], "time": "2012-04-23T18:25Z"
            },
            "claims": {
                "given_name": "Max", "family_name": "Müller",
                "address": {"locality": "Maxstadt", "postal_code": "12344", "country": "DE", "street_address": "Weidenstraße 22"}
            }
        }
    });
    assert_eq!(Value::Object(held.claims().clone()), expected);
    // an element within a disclosed element needs both
    let mut path = place(&["verified_claims", "verification", "evidence"]);
    path.push(ConcretePathElement::Index(0));
    path.push(ConcretePathElement::Name("method".to_owned()));
    let shown = held.disclose(&[path]);
    let again = HeldSdJwt::parse(shown.without_key_binding(), &Limits::default()).unwrap();
    assert_eq!(
        again.claims()["verified_claims"],
        json!({"verification": {"trust_framework": "de_aml", "evidence": [{"method": "pipp"}]}, "claims": {}})
    );
}

#[test]
fn a_good_presentation_says_what_was_shown_and_no_more() {
    let shop = Shop::new();
    let presentation = present(&issue(ada()));
    let credential = shop.ok(&presentation);
    assert_eq!((credential.id(), credential.issuer()), ("over21", DMV));
    assert_eq!(credential.types(), [VCT]);
    assert_eq!(credential.claims()["age_equal_or_over"], json!({"21": true}));
    for withheld in ["given_name", "family_name", "birthdate", "address", "_sd", "_sd_alg"] {
        assert!(!credential.claims().contains_key(withheld), "{withheld}");
    }
    assert!(credential.satisfied());
    assert_eq!(credential.expires(), Some(at(86_400)));
    assert_eq!(credential.status().unwrap().idx, 5);
    assert_eq!(credential.status_until(), Some(at(15)));
    let holder = credential.holder().unwrap();
    assert_eq!(Some(holder.thumbprint().to_owned()), holder.key().thumbprint());
    let report = credential.report().to_string();
    for check in ["size", "parse", "issuer", "signature", "disclosures", "time", "claims", "binding", "status"] {
        assert!(report.contains(check), "{report}");
    }
    assert!(!format!("{credential:?}").contains("true"), "{credential:?}");
}

#[test]
fn withheld_values_are_not_in_the_presentation() {
    let presentation = present(&issue(ada()));
    let texts: Vec<String> = presentation
        .split(['~', '.'])
        .filter_map(|part| base64url::decode(part).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect();
    for value in ["Ada", "Lovelace", "1985-12-10", "St James", "London", "given_name", "birthdate", "IT"] {
        assert!(!texts.iter().any(|text| text.contains(value)), "{value}");
    }
    assert!(texts.iter().any(|text| text.contains("\"21\",true")));
}

/// The thumbprint of RFC 7638 section 3.1.
#[test]
fn rfc_7638_section_3_1() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let jwk = object(json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}));
    let (key, _) = carded_verifier::PublicKey::from_jwk(&jwk).unwrap();
    assert_eq!(key.thumbprint().unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    for name in ["ES256", "ES384", "EdDSA", "RS256"] {
        let jwk = object(key_of(name).public_jwk());
        let (key, _) = carded_verifier::PublicKey::from_jwk(&jwk).unwrap();
        let own = key.to_jwk().unwrap();
        assert!(own.iter().all(|(member, value)| jwk[member] == *value), "{name}");
        assert!(carded_verifier::PublicKey::from_jwk(&own).is_ok());
    }
    assert_eq!(carded_verifier::PublicKey::secret(&[1; 32]).unwrap().thumbprint(), None);
}

fn key_of(name: &str) -> SigningKey {
    key(name)
}

#[test]
fn threat_02_the_size_and_the_number_of_disclosures_are_capped() {
    let limits = Limits { presentation_bytes: 6_000, disclosures: 3, ..Limits::default() };
    let shop = {
        let mut shop = Shop::limited(vec![policy()], limits);
        shop.learn(&status_list(&[]), 0);
        shop
    };
    shop.accepts(present(&issue(ada())));
    assert_eq!(shop.code(vec![b'~'; 6_001]), Code::PresentationTooLarge);
    let many = present_paths(&issue(ada()), &[place(&["age_equal_or_over"]), place(&["family_name"])]);
    let denied = shop.denied(&many);
    assert_eq!((denied.code(), denied.detail()), (Code::PresentationMalformed, "over 3 disclosures"));
}

#[test]
fn threat_01_what_is_no_sd_jwt_is_malformed() {
    let shop = Shop::new();
    let good = present(&issue(ada()));
    let jwt = good.split('~').next().unwrap();
    for bad in [
        String::new(),
        "~".to_owned(),
        "~~".to_owned(),
        jwt.to_owned(),
        good.replacen('~', "~~", 1),
        good.replacen('~', "~\n", 1),
        format!(" {good}"),
        format!("{good}~"),
        format!("{good}~{}", good.rsplit('~').next().unwrap()),
        good.replacen('.', "", 1),
        good.replacen('.', "..", 1),
    ] {
        let code = shop.code(&bad);
        let shape = [
            Code::PresentationMalformed,
            Code::TokenMalformed,
            Code::DisclosureInvalid,
            Code::KeyBindingMissing,
            Code::EncryptedToken,
        ];
        assert!(shape.contains(&code), "{code} for {bad:.40}");
    }
}

#[test]
fn threat_05_duplicate_names_are_refused_in_payload_and_disclosures() {
    let shop = Shop::new();
    let twice = payload(json!({"x": 1})).to_string().replacen("\"x\":1", "\"x\":1,\"x\":2", 1);
    assert_eq!(shop.code(raw_bytes(twice.as_bytes(), &[])), Code::TokenMalformed);
    let inside = base64url::encode(r#"["salt","x",{"a":1,"a":2}]"#);
    assert_eq!(shop.code(raw(payload(json!({"_sd": [digest(&inside)]})), &[&inside])), Code::DisclosureInvalid);
}

#[test]
fn threat_06_disclosures_within_disclosures_go_no_deeper_than_the_cap() {
    let shop = Shop::new();
    let chain = |length: usize| {
        let mut disclosures = vec![disclosure(json!(["salt", "x", 1]))];
        for _ in 1..length {
            let inner = digest(disclosures.last().unwrap());
            disclosures.push(disclosure(json!(["salt", "x", {"_sd": [inner]}])));
        }
        let outer = digest(disclosures.last().unwrap());
        let texts: Vec<&str> = disclosures.iter().map(String::as_str).collect();
        raw(payload(json!({"_sd": [outer]})), &texts)
    };
    shop.accepts(chain(30));
    assert_eq!(shop.code(chain(40)), Code::DisclosureInvalid);
    assert_eq!(shop.code(chain(250)), Code::DisclosureInvalid);
}

#[test]
fn threat_30_only_whole_hashes_that_are_known() {
    let shop = Shop::new();
    for name in ["sha-256", "sha-384", "sha-512"] {
        let issue = Issue {
            header: header("dc+sd-jwt", &dmv_key()),
            claims: ada(),
            disclosable: disclosable(),
            decoys: 1,
            hash: SdHash::parse(name).unwrap(),
        };
        let prepared = issue.prepare(&mut random()).unwrap();
        let signature = dmv_key().signature(prepared.bytes()).unwrap();
        shop.accepts(present(&prepared.finish(&signature)));
    }
    for bad in [
        json!("sha-256-128"),
        json!("sha-256-64"),
        json!("SHA-256"),
        json!("md5"),
        json!("sha-1"),
        json!(""),
        json!(1),
        json!(null),
    ] {
        assert_eq!(shop.code(raw(payload(json!({"_sd_alg": bad})), &[])), Code::DisclosureInvalid, "{bad}");
    }
    // a digest that is cut references nothing
    let text = disclosure(json!(["salt", "x", 1]));
    let cut = &digest(&text)[..22];
    assert_eq!(shop.code(raw(payload(json!({"_sd": [cut]})), &[&text])), Code::DisclosureInvalid);
    // below the top it would be for a part only
    assert_eq!(shop.code(raw(payload(json!({"x": {"_sd_alg": "sha-512"}})), &[])), Code::DisclosureInvalid);
}

#[test]
fn threat_31_a_digest_is_there_once() {
    let shop = Shop::new();
    let text = disclosure(json!(["salt", "x", 1]));
    let one = digest(&text);
    shop.accepts(raw(payload(json!({"_sd": [one]})), &[&text]));
    let element = json!({"...": one});
    for twice in [
        json!({"_sd": [one, one]}),
        json!({"_sd": [one], "y": {"_sd": [one]}}),
        json!({"_sd": [one], "y": [element]}),
        json!({"y": [element, element]}),
    ] {
        for disclosures in [vec![], vec![text.as_str()]] {
            assert_eq!(shop.code(raw(payload(twice.clone()), &disclosures)), Code::DisclosureInvalid, "{twice}");
        }
    }
    // one of the two within a disclosure
    let outer = disclosure(json!(["salt", "z", {"_sd": [one]}]));
    let both = payload(json!({"_sd": [one, digest(&outer)]}));
    assert_eq!(shop.code(raw(both, &[&outer])), Code::DisclosureInvalid);
}

#[test]
fn threat_32_a_disclosure_that_nothing_references_refuses_the_whole() {
    let shop = Shop::new();
    let stray = disclosure(json!(["salt", "role", "admin"]));
    assert_eq!(shop.code(raw(payload(json!({})), &[&stray])), Code::DisclosureInvalid);
    let issued = issue(ada());
    let shown = held(&issued).disclose(&over_21());
    assert_eq!(shop.code(bind(&format!("{}{stray}~", shown.without_key_binding()))), Code::DisclosureInvalid);
    // nor one shown twice
    let one = shown.without_key_binding().split('~').nth(1).unwrap().to_owned();
    assert_eq!(shop.code(bind(&format!("{}{one}~", shown.without_key_binding()))), Code::DisclosureInvalid);
    // nor one within a withheld one
    let inner = disclosure(json!(["salt", "x", 1]));
    let outer = disclosure(json!(["salt", "y", {"_sd": [digest(&inner)]}]));
    let withheld = payload(json!({"_sd": [digest(&outer)]}));
    assert_eq!(shop.code(raw(withheld, &[&inner])), Code::DisclosureInvalid);
}

#[test]
fn threat_33_three_members_for_a_claim_two_for_an_element() {
    let shop = Shop::new();
    let claim = |members: Value| {
        let text = disclosure(members);
        raw(payload(json!({"_sd": [digest(&text)]})), &[&text])
    };
    let element = |members: Value| {
        let text = disclosure(members);
        raw(payload(json!({"x": [{"...": digest(&text)}]})), &[&text])
    };
    shop.accepts(claim(json!(["salt", "x", 1])));
    shop.accepts(element(json!(["salt", 1])));
    for bad in [
        json!([]),
        json!(["salt"]),
        json!(["salt", 1]),
        json!(["salt", "x"]),
        json!(["salt", "x", 1, 2]),
        json!([1, "x", 1]),
        json!(["salt", 1, 1]),
        json!(["salt", null, 1]),
        json!({"x": 1}),
        json!("x"),
        json!(null),
    ] {
        assert_eq!(shop.code(claim(bad.clone())), Code::DisclosureInvalid, "{bad}");
    }
    for bad in [json!(["salt", "x", 1]), json!(["salt"]), json!([1, 1]), json!([])] {
        assert_eq!(shop.code(element(bad.clone())), Code::DisclosureInvalid, "{bad}");
    }
}

#[test]
fn threat_34_no_claim_is_named_as_the_format_names_its_own() {
    let shop = Shop::new();
    for name in ["_sd", "...", "_sd_alg"] {
        let text = disclosure(json!(["salt", name, []]));
        assert_eq!(
            shop.code(raw(payload(json!({"_sd": [digest(&text)]})), &[&text])),
            Code::DisclosureInvalid,
            "{name}"
        );
    }
    let one = digest("x");
    for bad in [
        json!({"...": one}),
        json!({"x": {"...": one}}),
        json!({"x": [{"...": one, "y": 1}]}),
        json!({"x": [{"...": 1}]}),
        json!({"x": [{"...": [one]}]}),
        json!({"_sd": one}),
        json!({"_sd": {"a": one}}),
        json!({"_sd": [1]}),
        json!({"_sd": [null]}),
        json!({"x": {"_sd": 1}}),
    ] {
        assert_eq!(shop.code(raw(payload(bad.clone()), &[])), Code::DisclosureInvalid, "{bad}");
    }
}

#[test]
fn threat_35_a_disclosed_name_that_is_there_already_is_refused() {
    let shop = Shop::new();
    let text = disclosure(json!(["salt", "x", 2]));
    assert_eq!(shop.code(raw(payload(json!({"x": 1, "_sd": [digest(&text)]})), &[&text])), Code::DisclosureInvalid);
    let other = disclosure(json!(["other", "x", 3]));
    let both = payload(json!({"_sd": [digest(&text), digest(&other)]}));
    assert_eq!(shop.code(raw(both.clone(), &[&text, &other])), Code::DisclosureInvalid);
    // one of them alone says one thing
    assert_eq!(shop.ok(raw(both, &[&other])).claims()["x"], 3);
}

#[test]
fn threat_36_a_disclosure_that_cannot_be_read_refuses() {
    let shop = Shop::new();
    let mut not_utf8 = br#"["salt","x",""#.to_vec();
    not_utf8.extend([0xff, b'"', b']']);
    for bytes in
        [not_utf8, b"".to_vec(), b"[".to_vec(), b"[\"salt\",\"x\",1] x".to_vec(), br#"["salt","x","\ud800"]"#.to_vec()]
    {
        let text = base64url::encode(&bytes);
        let expected = if text.is_empty() { Code::PresentationMalformed } else { Code::DisclosureInvalid };
        assert_eq!(shop.code(raw(payload(json!({"_sd": [digest(&text)]})), &[&text])), expected, "{bytes:?}");
    }
    // base64 of another kind is another text, whatever it decodes to
    let text = disclosure(json!(["salt?>", "x", "~~~"]));
    for other in [format!("{text}="), text.replace(['-', '_'], "+"), format!("{text} ")] {
        if other != text {
            assert_eq!(shop.code(raw(payload(json!({"_sd": [digest(&other)]})), &[&other])), Code::DisclosureInvalid);
        }
    }
}

#[test]
fn the_hash_is_over_the_text_as_it_came() {
    let shop = Shop::new();
    // white space and escapes are the issuer's to choose
    let text = base64url::encode("[ \"salt\" ,\t\"x\", \"K\\u00f6ln\" ]\n");
    let credential = shop.ok(raw(payload(json!({"_sd": [digest(&text)]})), &[&text]));
    assert_eq!(credential.claims()["x"], "Köln");
    let same = disclosure(json!(["salt", "x", "Köln"]));
    assert_eq!(shop.code(raw(payload(json!({"_sd": [digest(&text)]})), &[&same])), Code::DisclosureInvalid);
}

#[test]
fn threat_37_validity_is_checked_with_everything_put_in_and_cannot_be_withheld() {
    let shop = Shop::new();
    for (name, value, code) in [
        ("exp", json!(NOW - 100), Code::CredentialExpired),
        ("nbf", json!(NOW + 100), Code::CredentialNotYetValid),
        ("iat", json!(NOW + 100), Code::CredentialNotYetValid),
        ("exp", json!("never"), Code::ClaimInvalid),
        ("nbf", json!(null), Code::ClaimInvalid),
        ("iat", json!([1]), Code::ClaimInvalid),
    ] {
        assert_eq!(shop.code(raw(payload(json!({name: value})), &[])), code, "{name} {value}");
    }
    // `iat` may be withheld, and counts when it is shown
    let shown = |value: Value| {
        let text = disclosure(json!(["salt", "iat", value]));
        let Value::Object(mut claims) = payload(json!({"_sd": [digest(&text)]})) else { panic!() };
        claims.remove("iat");
        (raw(Value::Object(claims.clone()), &[&text]), raw(Value::Object(claims), &[]))
    };
    let (future, withheld) = shown(json!(NOW + 100));
    assert_eq!(shop.code(&future), Code::CredentialNotYetValid);
    shop.accepts(&withheld);
    let fresh = Shop::with(|policy| policy.max_credential_age = Some(std::time::Duration::from_secs(3600)));
    let (old, withheld) = shown(json!(NOW - 4000));
    assert_eq!(fresh.code(&old), Code::CredentialTooOld);
    assert_eq!(fresh.code(&withheld), Code::ClaimMissing);
    // the others may not, not even in part
    for name in ["iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "status"] {
        let text = disclosure(json!(["salt", name, NOW + 600]));
        let Value::Object(mut claims) = payload(json!({"_sd": [digest(&text)]})) else { panic!() };
        if !matches!(name, "iss" | "vct") {
            claims.remove(name);
        }
        assert_eq!(shop.code(raw(Value::Object(claims), &[&text])), Code::DisclosureInvalid, "{name}");
    }
    let part = disclosure(json!(["salt", "status_list", {"idx": 1, "uri": LIST}]));
    for shown in [vec![], vec![part.as_str()]] {
        let claims = payload(json!({"status": {"_sd": [digest(&part)]}}));
        assert_eq!(shop.code(raw(claims, &shown)), Code::DisclosureInvalid);
    }
}

#[test]
fn threat_51_what_was_asked_is_checked_on_what_came() {
    let shop = Shop::new();
    let issued = issue(ada());
    assert_eq!(shop.code(present_paths(&issued, &[])), Code::QueryNotMet);
    assert_eq!(shop.code(present_paths(&issued, &[place(&["age_equal_or_over", "18"])])), Code::QueryNotMet);
    // another value than the one asked for
    let young = issue(ada_with("age_equal_or_over", json!({"18": true, "21": false, "65": false})));
    assert_eq!(shop.code(present(&young)), Code::QueryNotMet);
    let text = issue(ada_with("age_equal_or_over", json!({"18": true, "21": "true", "65": false})));
    assert_eq!(shop.code(present(&text)), Code::QueryNotMet);
    // another type of credential
    let other = issue(ada_with("vct", json!("https://dmv.example/credentials/library")));
    assert_eq!(shop.code(present(&other)), Code::CredentialTypeMismatch);
    // more than was asked for is not refused: the wallet may be generous
    let all: Vec<_> = ["age_equal_or_over", "given_name"].map(|n| place(&[n])).into();
    assert_eq!(shop.ok(present_paths(&issued, &all)).claims()["given_name"], "Ada");
}

#[test]
fn threat_25_another_kind_of_token_is_no_credential() {
    let shop = Shop::new();
    for typ in ["JWT", "at+jwt", "kb+jwt", "vc+sd-jwt", "vc+jwt", "statuslist+jwt", "sd-jwt", "example+sd-jwt"] {
        let issued = issue_by(&dmv_key(), header(typ, &dmv_key()), ada());
        assert_eq!(shop.code(present(&issued)), Code::TypeNotAllowed, "{typ}");
    }
    for typ in ["application/dc+sd-jwt", "DC+SD-JWT"] {
        shop.accepts(present(&issue_by(&dmv_key(), header(typ, &dmv_key()), ada())));
    }
    let mut without = header("", &dmv_key());
    without.remove("typ");
    assert_eq!(shop.code(present(&issue_by(&dmv_key(), without, ada()))), Code::TypeNotAllowed);
}

#[test]
fn the_issuer_withholds_what_it_may_and_nothing_else() {
    let prepare = |claims: Value, disclosable: Vec<Vec<carded_verifier::dcql::PathElement>>| {
        let issue = Issue {
            header: header("dc+sd-jwt", &dmv_key()),
            claims: object(claims),
            disclosable,
            decoys: 0,
            hash: SdHash::SHA_256,
        };
        issue.prepare(&mut random()).map(|_| ())
    };
    assert_eq!(prepare(json!({"iss": DMV}), vec![vec![name("iss")]]), Err(IssueError::NeverWithheld("iss")));
    assert_eq!(prepare(json!({"a": 1}), vec![vec![name("b")]]), Err(IssueError::Path(vec![name("b")])));
    assert_eq!(prepare(json!({"a": 1}), vec![vec![]]), Err(IssueError::Path(vec![])));
    assert_eq!(prepare(json!({"a": {"_sd": []}}), vec![]), Err(IssueError::Reserved));
    assert_eq!(prepare(json!({"a": {"b": [1]}}), vec![vec![name("a"), name("b")], vec![name("a")]]), Ok(()));
}

#[test]
fn threat_96_no_two_copies_share_a_salt_or_a_digest() {
    let mut random = random();
    let mut issued = Vec::new();
    for _ in 0..10 {
        let issue = Issue {
            header: header("dc+sd-jwt", &dmv_key()),
            claims: ada(),
            disclosable: disclosable(),
            decoys: 3,
            hash: SdHash::SHA_256,
        };
        let prepared = issue.prepare(&mut random).unwrap();
        issued.push(prepared.finish(&[0; 64]));
    }
    let mut seen = std::collections::BTreeSet::new();
    for text in &issued {
        for part in text.split('~').skip(1).filter(|part| !part.is_empty()) {
            let members: Value = serde_json::from_slice(&base64url::decode(part).unwrap()).unwrap();
            assert!(seen.insert(members[0].as_str().unwrap().to_owned()), "a salt");
            assert!(seen.insert(digest(part)), "a digest");
        }
    }
}

/// The example of OpenID4VP 1.0 (appendix B.3) as it was presented, with its key-binding JWT.
#[test]
fn the_presentation_of_openid4vp_1_0() {
    let Some(folder) = vector_files::folder("openid4vp-1.0") else { return };
    let read = |name: &str| std::fs::read_to_string(folder.join("sd_jwt_vcld/01").join(name)).unwrap();
    let mut policy = policy();
    policy.query.meta.vct_values = vec!["https://credentials.example.com/example_credential".to_owned()];
    policy.query.claims.clear();
    policy.trusted_issuers = vec![trusted("https://issuer.example.com")];
    policy.status = StatusRule::IfPresent;
    let mut shop = Shop::empty(vec![policy]);
    let presentation = example(&read("sd_jwt_presentation.txt"));
    let (made, verifier, nonce) = (1_744_743_394, "https://verifier.example.org", "1234567890");
    let verify =
        |shop: &Shop, audience, nonce, now| shop.verify_for(&presentation, audience, nonce, Timestamp::from_unix(now));
    let Outcome::Need(fetch) = verify(&shop, verifier, nonce, made) else { panic!() };
    let reply = reply(metadata("https://issuer.example.com", &[&rfc_key()]));
    shop.known.insert(&fetch, &reply, Timestamp::from_unix(made)).unwrap();
    let credential = verified(verify(&shop, verifier, nonce, made + 10));
    let expected: Value = serde_json::from_str(&read("verified_contents.json")).unwrap();
    assert_eq!(Value::Object(credential.claims().clone()), expected);
    let code = |audience, nonce, offset| denied(verify(&shop, audience, nonce, made + offset)).code();
    assert_eq!(code("https://evil.example.org", nonce, 10), Code::AudienceMismatch);
    assert_eq!(code(verifier, "0987654321", 10), Code::NonceMismatch);
    assert_eq!(code(verifier, nonce, 500), Code::PresentationStale);
    // and the holder's side finds the same disclosures
    let held = held(&example(&read("sd_jwt_issuance.txt")));
    assert_eq!(held.vct(), Some("https://credentials.example.com/example_credential"));
}

#[test]
fn an_age_is_shown_by_whichever_claim_the_policy_takes() {
    let age = AgePolicy { at_least: 21, higher: vec![65], birth_date: false };
    let shop = Shop::with(|policy| {
        (policy.query.claims, policy.query.claim_sets) = age.claims(&policy.query.format);
        policy.age = Some(age);
    });
    let shown = |claims: Value| {
        let Value::Object(mut all) = payload(json!({})) else { panic!() };
        all.remove("age_equal_or_over");
        all.extend(object(claims));
        raw(Value::Object(all), &[])
    };
    for good in [
        json!({"age_equal_or_over": {"21": true}}),
        json!({"age_over_21": true}),
        json!({"age_equal_or_over": {"65": true}}),
    ] {
        assert!(shop.ok(shown(good.clone())).satisfied(), "{good}");
    }
    for bad in [
        json!({}),
        json!({"age_equal_or_over": {"18": true}}),
        json!({"age_equal_or_over": {"21": false}}),
        json!({"age_over_18": true}),
        json!({"birthdate": "1950-01-01"}),
    ] {
        assert_eq!(shop.code(shown(bad.clone())), Code::QueryNotMet, "{bad}");
    }
}
