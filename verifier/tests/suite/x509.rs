//! Threat 43: certificates that come with a credential count only under a root that the policy names for its type.
use crate::shop::*;
use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use carded_verifier::dcql::TrustedAuthority;
use carded_verifier::sign::SigningKey;
use carded_verifier::{
    Algorithm, Code, CredentialError, CredentialPolicy, Limits, RustCrypto, StatusRule, Trust, TrustError,
    TrustedIssuer,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use time::OffsetDateTime;

/// An authority: what others are signed by, and its certificate.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

fn when(offset: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW + offset).unwrap()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = when(-86_400);
    params.not_after = when(86_400);
    params.use_authority_key_identifier_extension = true;
    params
}

fn authority_params(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn root_with(params: CertificateParams, algorithm: &'static rcgen::SignatureAlgorithm) -> Authority {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    Authority { issuer: Issuer::new(params, key), der }
}

fn root() -> Authority {
    root_with(authority_params("Root", BasicConstraints::Unconstrained), &rcgen::PKCS_ECDSA_P384_SHA384)
}

impl Authority {
    fn authority(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }

    fn leaf(&self, params: CertificateParams) -> Leaf {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Leaf { der: params.signed_by(&key, &self.issuer).unwrap().der().to_vec(), key: signing_key(&key) }
    }
}

struct Leaf {
    der: Vec<u8>,
    key: SigningKey,
}

/// The same key in our words: PKCS#8 has the scalar as the octet string of 32 bytes after `privateKey`'s version 1.
fn signing_key(pair: &KeyPair) -> SigningKey {
    let der = pair.serialize_der();
    let at = der.windows(5).position(|window| window == [2, 1, 1, 4, 32]).unwrap() + 5;
    let d = carded_verifier::base64url::encode(&der[at..at + 32]);
    let jwk = json!({"kty": "EC", "crv": "P-256", "d": d, "kid": "leaf"});
    SigningKey::from_jwk(jwk.to_string().as_bytes()).unwrap()
}

/// The params of a good leaf that speaks for the DMV.
fn dmv() -> CertificateParams {
    let mut params = params("Motor Vehicles");
    params.distinguished_name.push(DnType::OrganizationName, "State, of \"X\"");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = vec![SanType::DnsName("dmv.example".try_into().unwrap())];
    params
}

fn x5c(chain: &[&[u8]]) -> Value {
    chain.iter().map(|der| STANDARD.encode(der)).collect()
}

fn issue_with(key: &SigningKey, x5c: Value, claims: Map<String, Value>) -> String {
    let mut header = header("dc+sd-jwt", key);
    header.insert("x5c".to_owned(), x5c);
    issue_by(key, header, claims)
}

/// A presentation of Ada's credential under that chain.
fn shown(leaf: &Leaf, others: &[&Authority]) -> String {
    let chain: Vec<&[u8]> =
        std::iter::once(leaf.der.as_slice()).chain(others.iter().map(|ca| ca.der.as_slice())).collect();
    present(&issue_with(&leaf.key, x5c(&chain), claims()))
}

fn claims() -> Map<String, Value> {
    ada_without("status")
}

fn trusting(roots: &[&[u8]]) -> CredentialPolicy {
    let mut policy = policy();
    policy.trusted_issuers = roots.iter().map(|der| TrustedIssuer::Root { certificate: der.to_vec() }).collect();
    policy.status = StatusRule::IfPresent;
    policy
}

fn shop(root: &Authority) -> Shop {
    Shop::empty(vec![trusting(&[&root.der])])
}

#[track_caller]
fn refused(shop: &Shop, presentation: &str, why: &str) {
    let refusal = denied(shop.verify_at(presentation, 0));
    assert_eq!((refusal.code(), refusal.detail()), (Code::CertificateUntrusted, why));
}

const NO_PATH: &str = "no chain leads to a root that is trusted for this";

#[test]
fn a_chain_under_the_root_of_the_policy() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let root = root_with(authority_params("Root", BasicConstraints::Unconstrained), algorithm);
        let shop = shop(&root);
        let direct = shown(&root.leaf(dmv()), &[]);
        assert_eq!(shop.ok(&direct).issuer(), DMV);
        let between = root.authority(authority_params("Between", BasicConstraints::Constrained(0)));
        let leaf = between.leaf(dmv());
        assert_eq!(shop.ok(shown(&leaf, &[&between])).issuer(), DMV);
        // the root may come along, and more than is needed
        let _ = shop.ok(shown(&leaf, &[&between, &root]));
        refused(&shop, &shown(&leaf, &[]), NO_PATH);
        refused(&shop, &shown(&leaf, &[&root]), NO_PATH);
    }
}

#[test]
fn threat_55_a_root_for_credentials_makes_no_issuer_the_judge_of_another() {
    let root = root();
    let mut passports = dmv();
    passports.distinguished_name.push(DnType::CommonName, "Passports");
    passports.subject_alt_names = vec![SanType::DnsName("passports.example".try_into().unwrap())];
    let (own, other) = (root.leaf(dmv()), root.leaf(passports));
    // a renewed certificate of the same issuer is as good
    let renewed = root.leaf(dmv());
    for iss in [Some(DMV), None] {
        let mut claims = ada();
        match iss {
            Some(iss) => claims.insert("iss".to_owned(), iss.into()),
            None => claims.remove("iss"),
        };
        let presentation = present(&issue_with(&own.key, x5c(&[&own.der]), claims));
        for (leaf, named, good) in [
            (&own, None, true),
            (&own, iss, true),
            (&renewed, None, true),
            (&other, None, false),
            (&other, Some(DMV), false),
            (&other, Some("https://passports.example"), false),
        ] {
            let list = status_list_by(&leaf.key, &[], |header, claims| {
                header.insert("x5c".to_owned(), x5c(&[&leaf.der]));
                if let Some(iss) = named {
                    claims.insert("iss".to_owned(), iss.into());
                }
            });
            let mut shop = shop(&root);
            let fetch = shop.need_at(&presentation, 0);
            shop.put(&fetch, list, 0);
            match good {
                true => shop.accepts(&presentation),
                false => assert_eq!(shop.code(&presentation), Code::StatusInvalid, "{iss:?} {named:?}"),
            }
        }
    }
}

#[test]
fn who_the_issuer_is() {
    let root = root();
    let shop = shop(&root);
    let with_iss = |params: CertificateParams, iss: Option<&str>| {
        let leaf = root.leaf(params);
        let claims = match iss {
            Some(iss) => {
                let mut claims = claims();
                claims.insert("iss".to_owned(), iss.into());
                claims
            }
            None => {
                let mut claims = claims();
                claims.remove("iss");
                claims
            }
        };
        shop.verify_at(present(&issue_with(&leaf.key, x5c(&[&leaf.der]), claims)), 0)
    };
    // without `iss` the subject, the last attribute first
    assert_eq!(verified(with_iss(dmv(), None)).issuer(), "O=State\\, of \\\"X\\\",CN=Motor Vehicles");
    // a DNS name is the host of any path; a URI is the issuer exactly
    assert_eq!(verified(with_iss(dmv(), Some("https://dmv.example/issuer"))).issuer(), "https://dmv.example/issuer");
    let uri = || {
        let mut params = dmv();
        params.subject_alt_names = vec![SanType::URI("https://dmv.example/a".try_into().unwrap())];
        params
    };
    assert_eq!(verified(with_iss(uri(), Some("https://dmv.example/a"))).issuer(), "https://dmv.example/a");
    let may_not = "the certificate may not speak as `iss`";
    for (params, iss) in [
        (uri(), "https://dmv.example/b"),
        (uri(), "https://dmv.example/a/"),
        (dmv(), "https://evil.example"),
        (dmv(), "https://sub.dmv.example"),
        (dmv(), "http://dmv.example"),
        (dmv(), "did:web:dmv.example"),
        (dmv(), "dmv.example"),
        (dmv(), ""),
        (params("No names"), "https://dmv.example"),
    ] {
        let denied = denied(with_iss(params, Some(iss)));
        assert_eq!((denied.code(), denied.detail()), (Code::CertificateUntrusted, may_not), "{iss}");
    }
    // a wildcard names no issuer
    let mut wild = dmv();
    wild.subject_alt_names = vec![SanType::DnsName("*.example".try_into().unwrap())];
    assert_eq!(denied(with_iss(wild, Some("https://dmv.example"))).detail(), may_not);
    let mut nobody = dmv();
    nobody.distinguished_name = rcgen::DistinguishedName::new();
    assert_eq!(denied(with_iss(nobody, None)).detail(), "the certificate has no subject");
}

#[test]
fn threat_43_a_chain_is_trusted_through_the_root_of_the_policy_alone() {
    let (ours, theirs) = (root(), root());
    let shop = shop(&ours);
    // another root of the same name; its own root sent along
    let foreign = theirs.leaf(dmv());
    refused(&shop, &shown(&foreign, &[]), "a signature of the chain does not hold");
    refused(&shop, &shown(&foreign, &[&theirs]), "a signature of the chain does not hold");
    let stranger =
        root_with(authority_params("Stranger", BasicConstraints::Unconstrained), &rcgen::PKCS_ECDSA_P256_SHA256);
    refused(&shop, &shown(&stranger.leaf(dmv()), &[&stranger]), NO_PATH);
    // a leaf signed by itself, and an authority as a leaf
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let alone = Leaf { der: dmv().self_signed(&key).unwrap().der().to_vec(), key: signing_key(&key) };
    refused(&shop, &shown(&alone, &[]), NO_PATH);
    let authority = ours.leaf(authority_params("Between", BasicConstraints::Unconstrained));
    refused(&shop, &shown(&authority, &[]), "the certificate is that of an authority");
    // the key of the leaf did not sign
    let mut posing = ours.leaf(dmv());
    posing.key = thief_key();
    assert_eq!(denied(shop.verify_at(shown(&posing, &[]), 0)).code(), Code::SignatureInvalid);
    // two roots: either will do; and a policy without roots looks at no certificate (threat 10)
    let both = Shop::empty(vec![trusting(&[&ours.der, &theirs.der])]);
    let _ = (both.ok(shown(&foreign, &[])), both.ok(shown(&ours.leaf(dmv()), &[])));
    let named = Shop::new();
    assert_eq!(denied(named.verify_at(shown(&ours.leaf(dmv()), &[]), 0)).code(), Code::KeyNotFound);
}

#[test]
fn threat_43_what_is_no_chain() {
    let root = root();
    let shop = shop(&root);
    let leaf_with = |change: fn(&mut CertificateParams)| {
        let mut params = dmv();
        change(&mut params);
        shown(&root.leaf(params), &[])
    };
    refused(&shop, &leaf_with(|params| params.not_after = when(-1)), "a certificate of the chain has expired");
    refused(&shop, &leaf_with(|params| params.not_before = when(1)), "a certificate of the chain is not valid yet");
    let no_signatures = "the certificate is not for signatures";
    refused(&shop, &leaf_with(|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement]), no_signatures);
    let critical = "a certificate has a critical extension that is not supported";
    refused(
        &shop,
        &leaf_with(|params| {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions = vec![extension];
        }),
        critical,
    );
    let _ = shop.ok(leaf_with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]));
    let _ = shop.ok(leaf_with(|params| params.key_usages = vec![]));

    let through = |change: fn(&mut CertificateParams)| {
        let mut params = authority_params("Between", BasicConstraints::Unconstrained);
        change(&mut params);
        let between = root.authority(params);
        shown(&between.leaf(dmv()), &[&between])
    };
    let _ = shop.ok(through(|_| {}));
    refused(&shop, &through(|params| params.not_after = when(-1)), "a certificate of the chain has expired");
    refused(
        &shop,
        &through(|params| params.is_ca = IsCa::ExplicitNoCa),
        "a certificate of the chain is not that of an authority",
    );
    refused(
        &shop,
        &through(|params| params.is_ca = IsCa::NoCa),
        "a certificate of the chain is not that of an authority",
    );
    refused(
        &shop,
        &through(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        "a certificate of the chain may not issue others",
    );
    let other_names = |params: &mut CertificateParams| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("other.example".to_owned())];
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
    };
    refused(&shop, &through(other_names), "an authority may not speak for that name");
    // longer than an authority allows
    let short = root.authority(authority_params("Short", BasicConstraints::Constrained(0)));
    let below = short.authority(authority_params("Below", BasicConstraints::Unconstrained));
    refused(&shop, &shown(&below.leaf(dmv()), &[&below, &short]), "the chain is longer than an authority allows");
}

#[test]
fn threat_43_what_is_no_x5c() {
    let root = root();
    let shop = shop(&root);
    let leaf = root.leaf(dmv());
    let with = |x5c: Value| present(&issue_with(&leaf.key, x5c, claims()));
    let _ = shop.ok(with(x5c(&[&leaf.der])));
    let text = STANDARD.encode(&leaf.der);
    for (bad, why) in [
        (json!([]), "`x5c` is empty"),
        (json!(text), "`x5c` is no list"),
        (json!(null), "`x5c` is no list"),
        (json!([1]), "`x5c` has what is no certificate in base64"),
        (json!([text.trim_end_matches('=').to_owned() + "!"]), "`x5c` has what is no certificate in base64"),
        (json!([carded_verifier::base64url::encode([0xff, 0xef, 0xbf])]), "`x5c` has what is no certificate in base64"),
        (json!(["A".repeat(20_000)]), "`x5c` has what is no certificate in base64"),
        (json!(vec![text.clone(); 9]), "`x5c` has too many certificates"),
        (json!([STANDARD.encode(b"no certificate")]), "the certificate is malformed"),
        (json!([STANDARD.encode(&leaf.der[..leaf.der.len() - 1])]), "the certificate is malformed"),
        (json!([STANDARD.encode([&leaf.der[..], &[0]].concat())]), "the certificate is malformed"),
    ] {
        refused(&shop, &with(bad), why);
    }
    // without certificates nobody under the root is named
    assert_eq!(
        denied(shop.verify_at(present(&issue_by(&leaf.key, header("dc+sd-jwt", &leaf.key), claims())), 0)).code(),
        Code::IssuerUntrusted
    );
    // no change of any byte of the leaf is taken
    for at in (0..leaf.der.len()).step_by(11) {
        let mut der = leaf.der.clone();
        der[at] ^= 1;
        assert!(matches!(shop.verify_at(with(x5c(&[&der])), 0), carded_verifier::Outcome::Denied(_)), "{at}");
    }
}

#[test]
fn what_is_no_root() {
    let root = root();
    let leaf = root.leaf(dmv());
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let alone = dmv().self_signed(&key).unwrap().der().to_vec();
    for (der, why) in [
        (leaf.der.clone(), "not the certificate of an authority"),
        (alone, "not the certificate of an authority"),
        (b"text".to_vec(), "not a certificate in DER"),
        (vec![], "not a certificate in DER"),
        (root.der[1..].to_vec(), "not a certificate in DER"),
    ] {
        let trust = Trust::new(vec![], Limits::default(), Arc::new(RustCrypto)).unwrap();
        match trust.with_credentials(vec![trusting(&[&root.der, &der])]).map(|_| ()) {
            Err(TrustError::Credential(_, CredentialError::Certificate(said))) => assert_eq!(said, why),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_query_names_authorities_by_their_keys() {
    let root = root();
    let between = root.authority(authority_params("Between", BasicConstraints::Unconstrained));
    let leaf = between.leaf(dmv());
    // the identifiers as the certificates have them: 2.5.29.35, a sequence with [0]
    let key_id = |der: &[u8]| {
        let at = der.windows(3).position(|window| window == [0x55, 0x1d, 0x23]).unwrap();
        let inner = &der[at..][der[at..].windows(2).position(|window| window == [0x80, 0x14]).unwrap() + 2..];
        inner[..20].to_vec()
    };
    let asked = |id: Vec<u8>| {
        let mut policy = trusting(&[&root.der]);
        policy.query.trusted_authorities = vec![TrustedAuthority::AuthorityKeyId(vec![id])];
        Shop::empty(vec![policy])
    };
    let presentation = shown(&leaf, &[&between]);
    let _ = (asked(key_id(&leaf.der)).ok(&presentation), asked(key_id(&between.der)).ok(&presentation));
    assert_ne!(key_id(&leaf.der), key_id(&between.der));
    // a wallet chooses by the same
    let issued = issue_with(&leaf.key, x5c(&[&leaf.der, &between.der]), claims());
    assert_eq!(held(&issued).authority_key_ids(), [key_id(&leaf.der), key_id(&between.der)]);
    assert_eq!(held(&issue(claims())).authority_key_ids(), [[0_u8; 0]; 0]);
    for no_chain in [json!([]), json!("x"), json!([1]), json!(["AAAA"])] {
        assert_eq!(held(&issue_with(&leaf.key, no_chain, claims())).authority_key_ids(), [[0_u8; 0]; 0]);
    }
    assert_eq!(denied(asked(vec![1; 20]).verify_at(&presentation, 0)).code(), Code::QueryNotMet);
}

#[test]
fn the_key_of_the_leaf_serves_its_algorithm() {
    let root = root();
    let leaf = root.leaf(dmv());
    let mut policy = trusting(&[&root.der]);
    policy.algorithms = vec![algorithm("ES384"), algorithm("ES256")];
    let shop = Shop::empty(vec![policy]);
    let _ = shop.ok(shown(&leaf, &[]));
    let other = SigningKey::generate(Algorithm::parse("ES384").unwrap(), "x", &[3; 32]).unwrap();
    let mixed = present(&issue_with(&other, x5c(&[&leaf.der]), claims()));
    assert_eq!(denied(shop.verify_at(&mixed, 0)).code(), Code::KeyMismatch);
}
