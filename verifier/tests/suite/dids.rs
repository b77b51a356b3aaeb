//! DIDs and their documents: threats 44, 52 and 61, and the examples of the method specifications.
use crate::support::{asymmetric, key, object};
use Relationship::{AssertionMethod, Authentication};
use carded_verifier::did::{Did, DidDocument, DidError, Relationship};
use carded_verifier::jwk::KeyError;
use carded_verifier::{Limits, PublicKey, UrlError, UrlPolicy};
use proptest::prelude::*;
use serde_json::{Value, json};

const STRICT: UrlPolicy = UrlPolicy { allow_http_localhost: false, allow_port: false };
const DEVELOPMENT: UrlPolicy = UrlPolicy { allow_http_localhost: true, allow_port: false };
const CLERK: &str = "did:web:clerk.example";

fn did(text: &str) -> Did {
    Did::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn public(name: &str) -> PublicKey {
    PublicKey::from_jwk(&object(key(name).public_jwk())).unwrap().0
}

fn parse(document: &Value) -> Result<DidDocument, DidError> {
    DidDocument::parse(document.to_string().as_bytes(), &did(CLERK), &Limits::default())
}

/// A verification method with the key for an algorithm.
fn method(id: &str, alg: &str) -> Value {
    let mut jwk = object(key(alg).public_jwk());
    jwk.remove("kid");
    json!({"id": id, "type": "JsonWebKey2020", "controller": CLERK, "publicKeyJwk": jwk})
}

fn clerk() -> Value {
    json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": CLERK,
        "verificationMethod": [method("did:web:clerk.example#sign", "ES256"), method("#login", "EdDSA"), method("#idle", "ES384")],
        "assertionMethod": ["#sign", "did:web:other.example#sign"],
        "authentication": ["did:web:clerk.example#login", method("#only-here", "ES256")]
    })
}

/// Clerk's document with one member changed.
fn changed(pointer: &str, value: Value) -> Result<DidDocument, DidError> {
    let mut document = clerk();
    *document.pointer_mut(pointer).unwrap() = value;
    parse(&document)
}

#[test]
fn what_is_a_did() {
    for text in [
        "did:web:example.com",
        "did:web:example.com:user:alice",
        "did:web:clerk.localhost%3A8080",
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
        "did:jwk:eyJrdHkiOiJPS1AifQ",
    ] {
        assert_eq!(did(text).as_str(), text);
        assert_eq!(Did::of_url(&format!("{text}#key-1")), Did::parse(text));
    }
    assert_eq!((did("did:web:a.example").method(), did("did:web:a.example").is_fetched()), ("web", true));
    for (text, why) in [
        ("", DidError::Malformed),
        ("did:", DidError::Malformed),
        ("did:web", DidError::Malformed),
        ("did:web:", DidError::Malformed),
        ("did::example.com", DidError::Malformed),
        ("DID:web:example.com", DidError::Malformed),
        ("did:WEB:example.com", DidError::Malformed),
        ("did:web:example.com:", DidError::Malformed),
        ("did:web::example.com", DidError::Malformed),
        ("did:web:example.com#key", DidError::Malformed),
        ("did:web:example.com/path", DidError::Malformed),
        ("did:web:example.com?a=b", DidError::Malformed),
        ("did:web:exa mple.com", DidError::Malformed),
        ("did:web:ex\u{e4}mple.com", DidError::Malformed),
        ("did:web:a%2", DidError::Malformed),
        ("did:web:a%zz", DidError::Malformed),
        ("did:ion:abc", DidError::Method),
        ("did:ethr:0xabc", DidError::Method),
        ("did:key:x6Mk", DidError::Malformed),
        ("did:key:z", DidError::Malformed),
        ("did:key:z0OIl", DidError::Malformed),
        ("did:jwk:a=", DidError::Malformed),
        ("https://example.com", DidError::Malformed),
    ] {
        assert_eq!(Did::parse(text), Err(why), "{text}");
    }
    assert_eq!(Did::parse(&format!("did:web:{}", "a".repeat(3000))), Err(DidError::Malformed));
}

#[test]
fn threat_61_did_web_leads_to_https_and_named_hosts_only() {
    for (text, url) in [
        ("did:web:example.com", "https://example.com/.well-known/did.json"),
        ("did:web:EXAMPLE.com", "https://example.com/.well-known/did.json"),
        ("did:web:example.com:user:alice", "https://example.com/user/alice/did.json"),
        ("did:web:example.com:a%20b", "https://example.com/a%20b/did.json"),
    ] {
        assert_eq!(did(text).web_url(STRICT).unwrap().as_str(), url);
    }
    for (text, why) in [
        ("did:web:example.com%3A8443", UrlError::Port),
        ("did:web:example.com%3a443", UrlError::Port),
        ("did:web:127.0.0.1", UrlError::Address),
        ("did:web:2130706433", UrlError::Address),
        ("did:web:0x7f000001", UrlError::Address),
        ("did:web:169.254.169.254", UrlError::Address),
        ("did:web:clerk.localhost%3A8080", UrlError::Port),
        ("did:web:example.com.", UrlError::Host),
        ("did:web:ex_ample.com", UrlError::Host),
    ] {
        assert_eq!(did(text).web_url(STRICT), Err(DidError::Url(why)), "{text}");
    }
    // an operator's leave to write ports down is none for DIDs
    let ports = UrlPolicy { allow_port: true, ..STRICT };
    assert_eq!(did("did:web:example.com%3A8443").web_url(ports), Err(DidError::Url(UrlError::Port)));
    // what would hide another host or another path is no did:web
    for text in [
        "did:web:user%40example.com",
        "did:web:example.com%2Fa",
        "did:web:example.com%3A80%3A80",
        "did:web:%5B%3A%3A1%5D",
        "did:web:example%2ecom",
        "did:web:example.com:..",
        "did:web:example.com:.",
        "did:web:example.com:%2e%2e",
        "did:web:example.com:a%2Fb",
        "did:web:example.com:a%5cb",
        "did:web:example.com:a%00b",
        "did:web:%3A80",
        "did:web:example.com%3A",
    ] {
        assert_eq!(Did::parse(text), Err(DidError::Malformed), "{text}");
    }
    // for development: http and ports, for `.localhost` alone
    for (text, url) in [
        ("did:web:clerk.localhost%3A8080", "http://clerk.localhost:8080/.well-known/did.json"),
        ("did:web:clerk.localhost", "http://clerk.localhost/.well-known/did.json"),
        ("did:web:example.com", "https://example.com/.well-known/did.json"),
    ] {
        assert_eq!(did(text).web_url(DEVELOPMENT).unwrap().as_str(), url);
    }
    for text in ["did:web:example.com%3A8080", "did:web:localhost%3A8080", "did:web:clerklocalhost%3A8080"] {
        assert_eq!(did(text).web_url(DEVELOPMENT), Err(DidError::Url(UrlError::Port)), "{text}");
    }
    // and the others are not fetched at all
    assert_eq!(
        did("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK").web_url(STRICT),
        Err(DidError::NotFetched)
    );
}

/// did:key method specification: appendix B (Ed25519, P-256, P-384).
#[test]
fn did_key_examples() {
    let keys = [
        ("z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", "Ed25519"),
        ("z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", "Ed25519"),
        ("zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169", "P-256"),
        ("zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv", "P-256"),
        ("z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9", "P-384"),
        ("z82LkvCwHNreneWpsgPEbV3gu1C6NFJEBg4srfJ5gdxEsMGRJUz2sG9FE42shbn2xkZJh54", "P-384"),
    ];
    for (id, crv) in keys {
        let did = did(&format!("did:key:{id}"));
        let document = DidDocument::of(&did).unwrap();
        let key = document.key(None, AssertionMethod).unwrap();
        assert_eq!(format!("{:?}", key.key_type()), crv.replace('-', ""));
        for kid in [format!("{did}#{id}"), format!("#{id}")] {
            assert_eq!(document.key(Some(&kid), Authentication).unwrap().spki_der(), key.spki_der());
        }
        assert_eq!(document.key(Some(&format!("{did}#other")), Authentication).unwrap_err(), DidError::KeyNotFound);
        assert_eq!(document.key(Some(did.as_str()), Authentication).unwrap_err(), DidError::KeyNotFound);
        // and back
        assert_eq!(Did::key(key), Some(did));
    }
}

#[test]
fn did_key_refuses_what_is_no_key() {
    let of = |bytes: &[u8]| {
        let did = Did::parse(&format!("did:key:z{}", bs58::encode(bytes).into_string())).unwrap();
        DidDocument::try_of(&did).map(|document| document.unwrap()).unwrap_err()
    };
    let good = [&[0xed, 0x01], &[7u8; 32][..]].concat();
    for (bytes, why) in [
        (good[..33].to_vec(), DidError::Malformed),
        ([&good[..], &[0]].concat(), DidError::Malformed),
        // small order, not canonical
        ([&[0xed, 0x01], &[0u8; 32][..]].concat(), DidError::Key(KeyError::Invalid)),
        ([&[0xed, 0x01], &[0xff; 32][..]].concat(), DidError::Key(KeyError::Invalid)),
        // uncompressed, hybrid, off the curve
        ([&[0x80, 0x24, 0x04], &[1u8; 64][..]].concat(), DidError::Malformed),
        ([&[0x80, 0x24, 0x06], &[1u8; 32][..]].concat(), DidError::Key(KeyError::Invalid)),
        ([&[0x80, 0x24, 0x02], &[0xff; 32][..]].concat(), DidError::Key(KeyError::Invalid)),
        // secp256k1, X25519, an Ed25519 private key
        ([&[0xe7, 0x01, 0x02], &[1u8; 32][..]].concat(), DidError::Key(KeyError::Unsupported)),
        ([&[0xec, 0x01], &[7u8; 32][..]].concat(), DidError::Key(KeyError::Unsupported)),
        ([&[0x80, 0x26], &[7u8; 32][..]].concat(), DidError::Key(KeyError::Unsupported)),
        // a varint that is not the shortest, or does not end
        ([&[0xed, 0x81, 0x00], &[7u8; 32][..]].concat(), DidError::Malformed),
        (vec![0xff; 34], DidError::Malformed),
    ] {
        assert_eq!(of(&bytes), why, "{bytes:?}");
    }
    assert_eq!(Did::parse(&format!("did:key:z{}", "1".repeat(200))), Err(DidError::Malformed));
}

/// did:jwk method specification: the example of P-256, and its fragment `#0`.
#[test]
fn did_jwk_examples() {
    let text = "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3l6OTFQSDZDZEgyVjAiLCJ5IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9";
    let document = DidDocument::of(&did(text)).unwrap();
    let expected = json!({"crv": "P-256", "kty": "EC", "x": "acbIQiuMs3i8_uszEjJ2tpTtRM4EU3yz91PH6CdH2V0", "y": "_KcyLj9vWMptnmKtm46GqDz8wf74I5LKgrl2GzH3nSE"});
    let expected = PublicKey::from_jwk(&object(expected)).unwrap().0;
    for kid in [None, Some("#0".to_owned()), Some(format!("{text}#0"))] {
        assert_eq!(document.key(kid.as_deref(), AssertionMethod).unwrap().spki_der(), expected.spki_der());
    }
    assert_eq!(document.key(Some("#1"), AssertionMethod).unwrap_err(), DidError::KeyNotFound);

    let of = |jwk: &str| {
        let did = Did::parse(&format!("did:jwk:{}", carded_verifier::base64url::encode(jwk))).unwrap();
        DidDocument::try_of(&did).map(|_| ()).unwrap_err()
    };
    let mut private =
        object(json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}));
    private.insert("d".to_owned(), "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A".into());
    assert_eq!(of(&Value::Object(private).to_string()), DidError::PrivateKey);
    assert_eq!(of(r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr8"}"#), DidError::PrivateKey);
    assert!(matches!(of(r#"{"kty":"OKP","kty":"OKP"}"#), DidError::Json(_)));
    assert!(matches!(of("[]"), DidError::Json(_)));
    let encryption = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"enc"}"#;
    assert_eq!(of(encryption), DidError::Key(KeyError::NotForSignatures));
}

#[test]
fn keys_of_a_document_by_name_and_use() {
    let document = parse(&clerk()).unwrap();
    assert_eq!(document.did().as_str(), CLERK);
    let spki = |alg: &str| public(alg).spki_der().unwrap().to_vec();
    for kid in [None, Some("#sign"), Some("did:web:clerk.example#sign")] {
        assert_eq!(document.key(kid, AssertionMethod).unwrap().spki_der().unwrap(), spki("ES256"), "{kid:?}");
    }
    assert_eq!(document.key(Some("#login"), Authentication).unwrap().spki_der().unwrap(), spki("EdDSA"));
    assert_eq!(document.key(Some("#only-here"), Authentication).unwrap().spki_der().unwrap(), spki("ES256"));
    assert_eq!(document.method(Some("#sign"), AssertionMethod).unwrap().algorithm().unwrap().name(), "ES256");
    // two keys for logins: one has to be named
    assert_eq!(document.key(None, Authentication).unwrap_err(), DidError::KeyAmbiguous);
    for unknown in [
        "",
        "#",
        "sign",
        "#Sign",
        "did:web:clerk.example",
        "did:web:other.example#sign",
        "##sign",
        "did:web:clerk.example##sign",
    ] {
        assert_eq!(document.key(Some(unknown), AssertionMethod).unwrap_err(), DidError::KeyNotFound, "{unknown:?}");
    }
}

#[test]
fn threat_44_a_document_is_its_dids_and_a_key_serves_its_purpose() {
    let document = parse(&clerk()).unwrap();
    assert_eq!(document.key(Some("#login"), AssertionMethod).unwrap_err(), DidError::Purpose);
    assert_eq!(document.key(Some("#sign"), Authentication).unwrap_err(), DidError::Purpose);
    assert_eq!(document.key(Some("#idle"), AssertionMethod).unwrap_err(), DidError::Purpose);
    assert_eq!(document.key(Some("#only-here"), AssertionMethod).unwrap_err(), DidError::Purpose);

    for id in [
        json!("did:web:clerk.example.evil"),
        json!("did:web:CLERK.example"),
        json!("did:web:clerk.example#"),
        json!(1),
        json!(null),
    ] {
        assert_eq!(changed("/id", id.clone()).unwrap_err(), DidError::WrongId, "{id}");
    }
    // a key that another controls, or that was withdrawn, is not used
    let foreign = changed("/verificationMethod/0/controller", json!("did:web:other.example")).unwrap();
    assert_eq!(foreign.key(Some("#sign"), AssertionMethod).unwrap_err(), DidError::Key(KeyError::NotForSignatures));
    for name in ["revoked", "expires"] {
        let mut document = clerk();
        document["verificationMethod"][0][name] = json!("2020-01-01T00:00:00Z");
        let document = parse(&document).unwrap();
        assert_eq!(
            document.key(Some("#sign"), AssertionMethod).unwrap_err(),
            DidError::Key(KeyError::NotForSignatures)
        );
    }
    // a key of another DID in this document is none of its keys
    let planted = changed("/verificationMethod/0/id", json!("did:web:other.example#sign")).unwrap();
    assert_eq!(planted.key(Some("did:web:other.example#sign"), AssertionMethod).unwrap_err(), DidError::KeyNotFound);
    assert_eq!(planted.key(Some("#sign"), AssertionMethod).unwrap_err(), DidError::KeyNotFound);
}

#[test]
fn documents_that_are_refused() {
    let mut private = object(key("ES256").public_jwk());
    private.insert("d".to_owned(), "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE".into());
    for (pointer, value, why) in [
        ("/verificationMethod", json!({}), DidError::Document),
        ("/verificationMethod/0", json!("#sign"), DidError::Document),
        ("/verificationMethod/0/id", json!(null), DidError::Document),
        ("/verificationMethod/0/type", json!([]), DidError::Document),
        ("/verificationMethod/0/controller", json!(null), DidError::Document),
        ("/verificationMethod/0/publicKeyJwk", json!("text"), DidError::Document),
        ("/verificationMethod/0/publicKeyJwk", private.into(), DidError::PrivateKey),
        ("/verificationMethod/0/publicKeyJwk", json!({"kty": "oct", "k": "AAAA"}), DidError::PrivateKey),
        ("/verificationMethod/1/id", json!("#sign"), DidError::DuplicateKey),
        ("/authentication/1/id", json!("#sign"), DidError::DuplicateKey),
        ("/assertionMethod", json!("#sign"), DidError::Document),
        ("/assertionMethod/0", json!(1), DidError::Document),
        ("/assertionMethod", (0..65).map(|n| format!("#{n}")).collect(), DidError::TooMany),
        ("/verificationMethod", (0..65).map(|n| method(&format!("#{n}"), "ES256")).collect(), DidError::TooMany),
    ] {
        assert_eq!(changed(pointer, value).map(|_| ()), Err(why), "{pointer}");
    }
    for name in ["privateKeyJwk", "privateKeyMultibase", "secretKeyMultibase", "privateKeyBase58"] {
        let mut document = clerk();
        document["verificationMethod"][2][name] = json!("x");
        assert_eq!(parse(&document).map(|_| ()), Err(DidError::PrivateKey), "{name}");
    }
    // two forms of key material at once
    let mut both = clerk();
    both["verificationMethod"][0]["publicKeyMultibase"] = json!("z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK");
    assert_eq!(parse(&both).map(|_| ()), Err(DidError::Document));
    // strict JSON
    let text = clerk().to_string();
    for bad in
        [format!("{text} {{}}"), text.replacen("{\"", "{\"id\":\"did:web:clerk.example\",\"", 1), "[".repeat(500)]
    {
        let refused = DidDocument::parse(bad.as_bytes(), &did(CLERK), &Limits::default());
        assert!(matches!(refused, Err(DidError::Json(_))), "{bad:.60}");
    }
}

#[test]
fn keys_as_multikeys_and_keys_of_no_use() {
    let id = "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
    let mut document = clerk();
    let methods = document["verificationMethod"].as_array_mut().unwrap();
    methods.push(json!({"id": "#multi", "type": "Multikey", "controller": CLERK, "publicKeyMultibase": id}));
    methods
        .push(json!({"id": "#old", "type": "Ed25519VerificationKey2018", "controller": CLERK, "publicKeyBase58": "x"}));
    methods.push(json!({"id": "#k1", "type": "JsonWebKey2020", "controller": CLERK, "publicKeyJwk": {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}}));
    methods.push(json!({"id": "#base64", "type": "Multikey", "controller": CLERK, "publicKeyMultibase": "uAAAA"}));
    document["assertionMethod"] = json!(["#multi", "#old", "#k1", "#base64"]);
    let document = parse(&document).unwrap();
    let known = DidDocument::of(&did(&format!("did:key:{id}"))).unwrap();
    assert_eq!(
        document.key(Some("#multi"), AssertionMethod).unwrap().spki_der(),
        known.key(None, AssertionMethod).unwrap().spki_der()
    );
    for of_no_use in ["#old", "#k1", "#base64"] {
        let refused = document.key(Some(of_no_use), AssertionMethod).unwrap_err();
        assert!(
            matches!(refused, DidError::Key(KeyError::Unsupported | KeyError::Malformed)),
            "{of_no_use} {refused:?}"
        );
    }
}

#[test]
fn every_key_has_a_did() {
    for algorithm in asymmetric() {
        let key = public(algorithm.name());
        let made: Vec<Did> = [Did::key(&key)].into_iter().flatten().collect();
        let expected = if algorithm.name().starts_with(['R', 'P']) { 0 } else { 1 };
        assert_eq!(made.len(), expected, "{algorithm}");
        for did in made {
            assert_eq!(Did::parse(did.as_str()), Ok(did.clone()));
            let document = DidDocument::of(&did).unwrap();
            assert_eq!(document.key(None, Authentication).unwrap().spki_der(), key.spki_der());
        }
    }
}

/// DIDs, their JWKs and documents as other hands made them: did-method-key 0.5.0 and did-jwk 0.4.0 of the `ssi` family.
#[test]
fn dids_that_ssi_made() {
    let made: Vec<Value> = serde_json::from_str(include_str!("../examples/ssi_dids.json")).unwrap();
    assert_eq!(made.len(), 18);
    for example in &made {
        let did = did(example["did"].as_str().unwrap());
        let key = PublicKey::from_jwk(&object(example["jwk"].clone())).unwrap().0;
        let document = DidDocument::of(&did).unwrap();
        for relationship in [AssertionMethod, Authentication] {
            assert_eq!(document.key(None, relationship).unwrap().spki_der(), key.spki_der(), "{did}");
        }
        // a did:key is its key alone; of a did:jwk there are as many as ways to write a JWK
        match did.method() {
            "key" => assert_eq!(Did::key(&key), Some(did.clone())),
            _ => assert_eq!(
                DidDocument::of(&Did::jwk(&key).unwrap()).unwrap().key(None, Authentication).unwrap().spki_der(),
                key.spki_der()
            ),
        }
        // the document says the same, read as one that was fetched
        let theirs = DidDocument::parse(example["document"].to_string().as_bytes(), &did, &Limits::default()).unwrap();
        let (ours, theirs) =
            (document.method(None, AssertionMethod).unwrap(), theirs.method(None, AssertionMethod).unwrap());
        assert_eq!(ours.id(), theirs.id());
        assert_eq!(ours.key().unwrap().spki_der(), theirs.key().unwrap().spki_der());
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(did:)?(web|key|jwk)?:?\\PC{0,60}", policy: bool) {
        if let Ok(did) = Did::parse(&text) {
            let _ = did.web_url(UrlPolicy { allow_http_localhost: policy, ..STRICT });
            let _ = DidDocument::try_of(&did);
        }
    }

    /// Any one member of a good document replaced or left out: refused, or read, and never a key that it did not have.
    #[test]
    fn a_changed_document_has_no_new_keys(at in 0usize..60, with in 0usize..5) {
        fn change(value: &mut Value, at: &mut usize, with: &Value) {
            if *at == 0 { *value = with.clone(); *at = usize::MAX; return; }
            *at = at.saturating_sub(1);
            match value {
                Value::Array(values) => for value in values { if *at < usize::MAX / 2 { change(value, at, with) } },
                Value::Object(map) => for (_, value) in map.iter_mut() { if *at < usize::MAX / 2 { change(value, at, with) } },
                _ => {}
            }
        }
        let mut document = clerk();
        change(&mut document, &mut (at + 1), &[json!(null), json!("#sign"), json!([]), json!({}), json!(CLERK)][with]);
        if let Ok(document) = parse(&document) {
            let known: Vec<Vec<u8>> = ["ES256", "EdDSA", "ES384"].iter().map(|alg| public(alg).spki_der().unwrap().to_vec()).collect();
            for kid in [None, Some("#sign"), Some("#login"), Some("#only-here")] {
                for relationship in [AssertionMethod, Authentication] {
                    if let Ok(key) = document.key(kid, relationship) {
                        prop_assert!(known.contains(&key.spki_der().unwrap().to_vec()));
                    }
                }
            }
        }
    }
}
