//! A world to show credentials in: a DMV that issues them, a person who holds them, a shop that asks.
use crate::support::*;
use carded_verifier::dcql::{ClaimsQuery, ConcretePathElement, CredentialQuery, Format, Meta, PathElement};
use carded_verifier::sd_jwt::SdHash;
use carded_verifier::sd_jwt::issue::Issue;
use carded_verifier::sd_jwt::present::HeldSdJwt;
use carded_verifier::sign::{SigningKey, prepare};
use carded_verifier::status_list::StatusListClaims;
use carded_verifier::{
    Algorithm, Code, CredentialIndex, CredentialPolicy, Denied, DocumentKind, Documents, Fetch, Limits, Outcome,
    Presentation, RustCrypto, Timestamp, Trust, TrustedIssuer, UrlPolicy, VerifiedCredential, base64url, verify_issued,
    verify_presentation,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const DMV: &str = "https://dmv.example";
pub(crate) const VCT: &str = "https://dmv.example/credentials/id";
pub(crate) const LIST: &str = "https://dmv.example/status/1";
pub(crate) const SHOP: &str = "redirect_uri:https://shop.example/.carded/response";
pub(crate) const NONCE: &str = "n-0S6_WzA2Mj";

pub(crate) fn dmv_key() -> SigningKey {
    SigningKey::generate(algorithm("ES256"), "dmv-1", &[11; 32]).unwrap()
}

pub(crate) fn holder_key() -> SigningKey {
    SigningKey::generate(algorithm("ES256"), "holder", &[12; 32]).unwrap()
}

/// Somebody else's key of the same type.
pub(crate) fn thief_key() -> SigningKey {
    SigningKey::generate(algorithm("ES256"), "dmv-1", &[13; 32]).unwrap()
}

pub(crate) fn bare_jwk(key: &SigningKey) -> Value {
    let mut jwk = key.public_jwk();
    jwk.as_object_mut().unwrap().retain(|name, _| ["kty", "crv", "x", "y"].contains(&name.as_str()));
    jwk
}

/// What the DMV says of Ada, all of it.
pub(crate) fn ada() -> Map<String, Value> {
    object(json!({
        "iss": DMV, "vct": VCT, "iat": NOW - 86_400, "exp": NOW + 86_400,
        "cnf": { "jwk": bare_jwk(&holder_key()) },
        "status": { "status_list": { "idx": 5, "uri": LIST } },
        "given_name": "Ada", "family_name": "Lovelace", "birthdate": "1985-12-10",
        "address": { "street_address": "12 St James's Square", "locality": "London", "country": "GB" },
        "age_equal_or_over": { "18": true, "21": true, "65": false },
        "nationalities": ["GB", "IT"],
    }))
}

pub(crate) fn ada_with(name: &str, value: Value) -> Map<String, Value> {
    let mut claims = ada();
    claims.insert(name.to_owned(), value);
    claims
}

pub(crate) fn ada_without(name: &str) -> Map<String, Value> {
    let mut claims = ada();
    claims.remove(name);
    claims
}

pub(crate) fn name(name: &str) -> PathElement {
    PathElement::Name(name.to_owned())
}

/// Names the members of a path.
pub(crate) fn place(names: &[&str]) -> Vec<ConcretePathElement> {
    names.iter().map(|name| ConcretePathElement::Name((*name).to_owned())).collect()
}

/// What the DMV lets people withhold.
pub(crate) fn disclosable() -> Vec<Vec<PathElement>> {
    let mut paths: Vec<_> = ["given_name", "family_name", "birthdate", "address"].map(|n| vec![name(n)]).into();
    paths.extend(["18", "21", "65"].map(|age| vec![name("age_equal_or_over"), name(age)]));
    paths.push(vec![name("nationalities"), PathElement::All]);
    paths.push(vec![name("address"), name("street_address")]);
    paths
}

/// Bytes that look random and are the same every time.
pub(crate) fn random() -> impl FnMut(&mut [u8]) {
    let mut counter = 0_u64;
    move |target: &mut [u8]| {
        for chunk in target.chunks_mut(32) {
            counter += 1;
            chunk.copy_from_slice(&Sha256::digest(counter.to_be_bytes())[..chunk.len()]);
        }
    }
}

pub(crate) fn header(typ: &str, key: &SigningKey) -> Map<String, Value> {
    object(json!({ "alg": key.algorithm().name(), "typ": typ, "kid": key.kid() }))
}

pub(crate) fn issue_by(key: &SigningKey, header: Map<String, Value>, claims: Map<String, Value>) -> String {
    let issue = Issue { header, claims, disclosable: disclosable(), decoys: 2, hash: SdHash::SHA_256 };
    let prepared = issue.prepare(&mut random()).unwrap();
    let signature = key.signature(prepared.bytes()).unwrap();
    prepared.finish(&signature)
}

pub(crate) fn issue(claims: Map<String, Value>) -> String {
    issue_by(&dmv_key(), header("dc+sd-jwt", &dmv_key()), claims)
}

pub(crate) fn held(issued: &str) -> HeldSdJwt {
    HeldSdJwt::parse(issued, &Limits::default()).unwrap()
}

pub(crate) fn over_21() -> Vec<Vec<ConcretePathElement>> {
    vec![place(&["age_equal_or_over", "21"])]
}

/// Shows these claims of a credential, as a good wallet does.
pub(crate) fn present_paths(issued: &str, paths: &[Vec<ConcretePathElement>]) -> String {
    let key = holder_key();
    let prepared = held(issued).disclose(paths).prepare_key_binding(key.algorithm(), SHOP, NONCE, at(-2));
    let signature = key.signature(prepared.bytes()).unwrap();
    prepared.finish(&signature)
}

pub(crate) fn present(issued: &str) -> String {
    present_paths(issued, &over_21())
}

/// The claims of a good key-binding JWT over a presentation up to its last `~`.
pub(crate) fn kb_claims(shown: &str) -> Map<String, Value> {
    let sd_hash = base64url::encode(Sha256::digest(shown));
    object(json!({ "aud": SHOP, "nonce": NONCE, "iat": NOW - 2, "sd_hash": sd_hash }))
}

pub(crate) fn jws(key: &SigningKey, header: Value, claims: &Map<String, Value>) -> String {
    key.sign(prepare(&object(header), claims)).unwrap()
}

/// Puts a key-binding JWT with these claims under a presentation.
pub(crate) fn bind_claims(shown: &str, claims: &Map<String, Value>) -> String {
    format!("{shown}{}", jws(&holder_key(), json!({ "alg": "ES256", "typ": "kb+jwt" }), claims))
}

pub(crate) fn bind(shown: &str) -> String {
    bind_claims(shown, &kb_claims(shown))
}

/// A presentation of any payload and any disclosures, signed by the DMV, with a good key-binding JWT.
pub(crate) fn raw(payload: Value, disclosures: &[&str]) -> String {
    raw_bytes(payload.to_string().as_bytes(), disclosures)
}

pub(crate) fn raw_bytes(payload: &[u8], disclosures: &[&str]) -> String {
    let key = dmv_key();
    let header = Value::Object(header("dc+sd-jwt", &key)).to_string();
    let jwt = key.sign(carded_verifier::sign::prepare_bytes(header.as_bytes(), payload)).unwrap();
    let mut shown = format!("{jwt}~");
    for disclosure in disclosures {
        shown.push_str(disclosure);
        shown.push('~');
    }
    bind(&shown)
}

/// A payload with what every credential needs, and these members.
pub(crate) fn payload(members: Value) -> Value {
    let mut claims = object(json!({
        "iss": DMV, "vct": VCT, "iat": NOW - 10, "exp": NOW + 600, "cnf": { "jwk": bare_jwk(&holder_key()) },
        "age_equal_or_over": { "21": true }, "status": { "status_list": { "idx": 5, "uri": LIST } },
    }));
    claims.extend(object(members));
    Value::Object(claims)
}

pub(crate) fn disclosure(members: Value) -> String {
    base64url::encode(members.to_string())
}

pub(crate) fn digest(disclosure: &str) -> String {
    base64url::encode(Sha256::digest(disclosure))
}

pub(crate) fn query() -> CredentialQuery {
    CredentialQuery {
        id: "over21".to_owned(),
        format: Format::DcSdJwt,
        multiple: false,
        meta: Meta { vct_values: vec![VCT.to_owned()], ..Meta::default() },
        trusted_authorities: Vec::new(),
        require_cryptographic_holder_binding: true,
        claims: vec![ClaimsQuery {
            id: None,
            path: vec![name("age_equal_or_over"), name("21")],
            values: vec![json!(true)],
        }],
        claim_sets: Vec::new(),
    }
}

pub(crate) fn trusted(text: &str) -> TrustedIssuer {
    TrustedIssuer::parse(text, UrlPolicy::default()).unwrap()
}

pub(crate) fn policy() -> CredentialPolicy {
    CredentialPolicy::new(query(), vec![trusted(DMV)], vec![algorithm("ES256"), algorithm("EdDSA")])
}

/// A status list of 16 places, all good but those given.
pub(crate) fn status_list(bad: &[(usize, u8)]) -> String {
    status_list_by(&dmv_key(), bad, |_, _| {})
}

pub(crate) fn status_list_by(
    key: &SigningKey,
    bad: &[(usize, u8)],
    change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>),
) -> String {
    let mut statuses = [0; 16];
    for (place, status) in bad {
        statuses[*place] = *status;
    }
    let claims = StatusListClaims {
        sub: LIST,
        iss: None,
        iat: at(-60),
        lifetime: Some(Duration::from_secs(3600)),
        ttl: Some(Duration::from_secs(15)),
        bits: 2,
        statuses: &statuses,
    };
    let mut claims = claims.to_claims().unwrap();
    let mut header = header("statuslist+jwt", key);
    change(&mut header, &mut claims);
    key.sign(prepare(&header, &claims)).unwrap()
}

pub(crate) fn metadata(iss: &str, keys: &[&SigningKey]) -> Vec<u8> {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    json!({ "issuer": iss, "jwks": { "keys": keys } }).to_string().into_bytes()
}

pub(crate) struct Shop {
    pub(crate) trust: Trust,
    pub(crate) known: Documents,
}

impl Shop {
    /// With a policy, and nothing fetched yet.
    pub(crate) fn empty(policies: Vec<CredentialPolicy>) -> Self {
        Self::limited(policies, Limits::default())
    }

    pub(crate) fn limited(policies: Vec<CredentialPolicy>, limits: Limits) -> Self {
        let known = Documents::new(&limits);
        let trust = Trust::new(Vec::new(), limits, Arc::new(RustCrypto)).unwrap();
        Self { trust: trust.with_credentials(policies).unwrap(), known }
    }

    /// With the policy, changed, and everything fetched.
    pub(crate) fn with(change: impl FnOnce(&mut CredentialPolicy)) -> Self {
        let mut policy = policy();
        change(&mut policy);
        let mut shop = Self::empty(vec![policy]);
        shop.learn(&status_list(&[]), 0);
        shop
    }

    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// Fetches what a good presentation needs: the DMV's keys and this status list.
    pub(crate) fn learn(&mut self, list: &str, offset: i64) -> Vec<DocumentKind> {
        let presentation = present(&issue(ada()));
        let mut kinds = Vec::new();
        while let Outcome::Need(fetch) = self.verify_at(&presentation, offset) {
            let body = match fetch.kind() {
                DocumentKind::CredentialIssuer => metadata(DMV, &[&dmv_key()]),
                DocumentKind::StatusList => list.as_bytes().to_vec(),
                other => panic!("{other:?}"),
            };
            kinds.push(fetch.kind());
            assert!(kinds.len() < 4, "{kinds:?}");
            self.put(&fetch, body, offset);
        }
        kinds
    }

    pub(crate) fn put(&mut self, fetch: &Fetch, body: impl Into<Vec<u8>>, offset: i64) {
        self.known.insert(fetch, &reply(body), at(offset)).unwrap();
    }

    pub(crate) fn index(&self) -> CredentialIndex {
        self.trust.credential_of("over21").unwrap()
    }

    pub(crate) fn verify_for(
        &self,
        bytes: impl AsRef<[u8]>,
        audience: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Outcome<VerifiedCredential> {
        let presentation = Presentation::new(self.index(), bytes.as_ref(), audience, nonce);
        verify_presentation(&presentation, &self.trust, &self.known, now)
    }

    pub(crate) fn verify_at(&self, bytes: impl AsRef<[u8]>, offset: i64) -> Outcome<VerifiedCredential> {
        self.verify_for(bytes, SHOP, NONCE, at(offset))
    }

    pub(crate) fn issued(&self, bytes: impl AsRef<[u8]>) -> Outcome<VerifiedCredential> {
        verify_issued(self.index(), bytes.as_ref(), &self.trust, &self.known, at(0))
    }

    #[track_caller]
    pub(crate) fn ok(&self, bytes: impl AsRef<[u8]>) -> VerifiedCredential {
        verified(self.verify_at(bytes, 0))
    }

    #[track_caller]
    pub(crate) fn accepts(&self, bytes: impl AsRef<[u8]>) {
        drop(self.ok(bytes));
    }

    #[track_caller]
    pub(crate) fn denied(&self, bytes: impl AsRef<[u8]>) -> Denied {
        denied(self.verify_at(bytes, 0))
    }

    #[track_caller]
    pub(crate) fn code(&self, bytes: impl AsRef<[u8]>) -> Code {
        self.denied(bytes).code()
    }

    #[track_caller]
    pub(crate) fn need_at(&self, bytes: impl AsRef<[u8]>, offset: i64) -> Fetch {
        match self.verify_at(bytes, offset) {
            Outcome::Need(fetch) => fetch,
            other => panic!("{other:?}"),
        }
    }
}

#[track_caller]
pub(crate) fn verified<V: std::fmt::Debug>(outcome: Outcome<V>) -> V {
    match outcome {
        Outcome::Verified(verified) => verified,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn denied<V: std::fmt::Debug>(outcome: Outcome<V>) -> Denied {
    match outcome {
        Outcome::Denied(denied) => denied,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn es256() -> Algorithm {
    algorithm("ES256")
}
