//! A world of credentials in JWTs: a clerk known by did:web signs "over 21" about a holder's DID, who shows it.
use crate::support::*;
use carded_verifier::age::AgePolicy;
use carded_verifier::dcql::CredentialQuery;
use carded_verifier::did::Did;
use carded_verifier::jwt_vc::{
    CredentialClaims, DataModel, PresentationClaims, prepare_credential, prepare_presentation,
};
use carded_verifier::sign::{SigningKey, prepare};
use carded_verifier::{
    Code, CredentialIndex, CredentialPolicy, Denied, Documents, Fetch, Limits, Outcome, Presentation, PublicKey,
    RustCrypto, StatusRule, Timestamp, Trust, TrustedIssuer, VerifiedCredential, verify_presentation,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const CLERK: &str = "did:web:clerk.example";
pub(crate) const AUDIENCE: &str = "redirect_uri:https://shop.example.com/.carded/response";
pub(crate) const NONCE: &str = "n-0S6_WzA2Mj";
pub(crate) const V1: &str = "https://www.w3.org/2018/credentials/v1";
pub(crate) const MODELS: [DataModel; 2] = [DataModel::V1, DataModel::V2];

pub(crate) fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_jwk(&object(key.public_jwk())).unwrap().0
}

/// The holder: an Ed25519 key, its DID and the DID URL of the key.
pub(crate) fn holder() -> (SigningKey, Did, String) {
    let key = key("EdDSA");
    let did = Did::key(&public(&key)).unwrap();
    let kid = format!("{did}#{}", did.as_str().rsplit(':').next().unwrap());
    (key, did, kid)
}

/// Somebody else, with did:jwk and P-256.
pub(crate) fn stranger() -> (SigningKey, Did, String) {
    let key = foreign_key("ES256");
    let did = Did::jwk(&public(&key)).unwrap();
    let kid = format!("{did}#0");
    (key, did, kid)
}

pub(crate) fn clerks_document() -> Value {
    let method = |id: &str, key: &SigningKey| {
        let mut jwk = object(key.public_jwk());
        jwk.remove("kid");
        json!({"id": format!("{CLERK}#{id}"), "type": "JsonWebKey2020", "controller": CLERK, "publicKeyJwk": jwk})
    };
    json!({
        "id": CLERK,
        "verificationMethod": [method("sign", &key("ES256")), method("login", &key("EdDSA"))],
        "assertionMethod": [format!("{CLERK}#sign")],
        "authentication": [format!("{CLERK}#login")]
    })
}

pub(crate) fn policy() -> CredentialPolicy {
    let age = AgePolicy { at_least: 21, higher: vec![], birth_date: false };
    let mut query = CredentialQuery::parse(&json!({
        "id": "clerk21", "format": "jwt_vc_json", "meta": {"type_values": [["AgeCredential"]]}
    }))
    .unwrap();
    (query.claims, query.claim_sets) = age.claims(&query.format);
    let algorithms = vec![algorithm("ES256"), algorithm("EdDSA")];
    let issuer = TrustedIssuer::Did(Did::parse(CLERK).unwrap());
    let mut policy = CredentialPolicy::new(query, vec![issuer], algorithms);
    policy.status = StatusRule::IfPresent;
    policy.age = Some(age);
    policy
}

pub(crate) fn about() -> Map<String, Value> {
    object(json!({"age_equal_or_over": {"21": true}}))
}

pub(crate) fn credential_of(model: DataModel, change: impl FnOnce(&mut CredentialClaims<'_>)) -> String {
    let (_, did, _) = holder();
    let kid = format!("{CLERK}#sign");
    let mut claims = CredentialClaims {
        issuer: CLERK,
        kid: &kid,
        types: &["AgeCredential"],
        id: Some("urn:uuid:1"),
        subject: did.as_str(),
        about: about(),
        valid_from: at(-1000),
        valid_until: Some(at(86_400)),
        status: None,
    };
    change(&mut claims);
    key("ES256").sign(prepare_credential(model, algorithm("ES256"), &claims)).unwrap()
}

pub(crate) fn credential(model: DataModel) -> String {
    credential_of(model, |_| {})
}

/// A credential of any claims, signed by the clerk.
pub(crate) fn signed(claims: Value) -> String {
    let header = object(json!({"alg": "ES256", "kid": format!("{CLERK}#sign"), "typ": "JWT"}));
    key("ES256").sign(prepare(&header, &object(claims))).unwrap()
}

/// The claims of a good credential of VCDM 1.1 with a change.
pub(crate) fn changed(change: impl FnOnce(&mut Value)) -> String {
    let (_, did, _) = holder();
    let mut claims = json!({
        "iss": CLERK, "sub": did.as_str(), "nbf": NOW - 1000, "exp": NOW + 86_400, "jti": "urn:uuid:1",
        "vc": {"@context": [V1], "type": ["VerifiableCredential", "AgeCredential"], "credentialSubject": about()}
    });
    change(&mut claims);
    signed(claims)
}

pub(crate) fn present_by((key, did, kid): &(SigningKey, Did, String), model: DataModel, credential: &str) -> String {
    let claims = PresentationClaims {
        holder: did.as_str(),
        kid,
        audience: AUDIENCE,
        nonce: NONCE,
        issued_at: at(-10),
        lifetime: Duration::from_secs(300),
    };
    key.sign(prepare_presentation(model, key.algorithm(), credential, &claims)).unwrap()
}

pub(crate) fn present(credential: &str) -> String {
    present_by(&holder(), DataModel::V1, credential)
}

/// A presentation of a good credential with a change to its header and claims.
pub(crate) fn presented(
    model: DataModel,
    change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>),
) -> String {
    let (key, did, kid) = holder();
    let whole = present_by(&(key.clone(), did, kid), model, &credential(DataModel::V2));
    let part = |n: usize| {
        let bytes = carded_verifier::base64url::decode(whole.split('.').nth(n).unwrap()).unwrap();
        object(serde_json::from_slice(&bytes).unwrap())
    };
    let (mut header, mut claims) = (part(0), part(1));
    change(&mut header, &mut claims);
    key.sign(prepare(&header, &claims)).unwrap()
}

pub(crate) struct Clerk {
    pub(crate) trust: Trust,
    pub(crate) known: Documents,
}

impl Clerk {
    pub(crate) fn empty(policy: CredentialPolicy) -> Self {
        let limits = Limits::default();
        let known = Documents::new(&limits);
        let trust = Trust::new(vec![], limits, Arc::new(RustCrypto)).unwrap();
        Self { trust: trust.with_credentials(vec![policy]).unwrap(), known }
    }

    pub(crate) fn with(change: impl FnOnce(&mut CredentialPolicy)) -> Self {
        let mut policy = policy();
        change(&mut policy);
        let mut clerk = Self::empty(policy);
        let Outcome::Need(fetch) = clerk.verify(&present(&credential(DataModel::V1))) else { panic!() };
        clerk.put(&fetch, &clerks_document());
        clerk
    }

    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn put(&mut self, fetch: &Fetch, document: &Value) {
        self.known.insert(fetch, &reply(document.to_string()), at(0)).unwrap();
    }

    pub(crate) fn index(&self) -> CredentialIndex {
        self.trust.credential_of("clerk21").unwrap()
    }

    pub(crate) fn verify_at(&self, presentation: &str, now: Timestamp) -> Outcome<VerifiedCredential> {
        let presentation = Presentation::new(self.index(), presentation.as_bytes(), AUDIENCE, NONCE);
        verify_presentation(&presentation, &self.trust, &self.known, now)
    }

    pub(crate) fn verify(&self, presentation: &str) -> Outcome<VerifiedCredential> {
        self.verify_at(presentation, at(0))
    }

    #[track_caller]
    pub(crate) fn ok(&self, presentation: &str) -> VerifiedCredential {
        match self.verify(presentation) {
            Outcome::Verified(verified) => verified,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn denied(&self, presentation: &str) -> Denied {
        match self.verify(presentation) {
            Outcome::Denied(denied) => denied,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn code(&self, presentation: &str) -> Code {
        self.denied(presentation).code()
    }
}
