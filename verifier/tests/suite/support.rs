//! A small world to try tokens in: an issuer `corp` with one key of each type, and the time.
use carded_verifier::sign::{SigningKey, prepare, prepare_bytes};
use carded_verifier::{
    Algorithm, Code, Denied, Documents, Evidence, Fetch, HttpsUrl, Issuer, IssuerId, KeySet, KeySource, Limits,
    Outcome, Reply, RustCrypto, Timestamp, Trust, TrustError, UrlPolicy, Verified, verify,
};
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};

pub(crate) const NOW: i64 = 1_790_000_000;
pub(crate) const ISS: &str = "https://idp.example.com";
pub(crate) const AUD: &str = "api.example.com";

pub(crate) fn at(offset: i64) -> Timestamp {
    Timestamp::from_unix(NOW + offset)
}

pub(crate) fn algorithm(name: &str) -> Algorithm {
    Algorithm::parse(name).unwrap()
}

pub(crate) fn asymmetric() -> Vec<Algorithm> {
    Algorithm::all().filter(|algorithm| !algorithm.is_symmetric()).collect()
}

/// A key for the algorithm, always the same. Its `kid` is the algorithm's name.
pub(crate) fn key(name: &str) -> SigningKey {
    static KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| make_keys(include_bytes!("../keys/rsa_a.json"), 7));
    KEYS.iter().find(|key| key.algorithm().name() == name).unwrap().clone()
}

/// Another key for the algorithm, under the same `kid`: an attacker's.
pub(crate) fn foreign_key(name: &str) -> SigningKey {
    static KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| make_keys(include_bytes!("../keys/rsa_b.json"), 8));
    KEYS.iter().find(|key| key.algorithm().name() == name).unwrap().clone()
}

fn make_keys(rsa: &[u8], seed: u8) -> Vec<SigningKey> {
    let rsa = SigningKey::from_jwk(rsa).unwrap();
    let make = |algorithm: Algorithm| match rsa.with_algorithm(algorithm) {
        Ok(key) => key.with_kid(Some(algorithm.name())),
        Err(_) => SigningKey::generate(algorithm, algorithm.name(), &[seed; 32]).unwrap(),
    };
    Algorithm::all().map(make).collect()
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => panic!("not an object"),
    }
}

pub(crate) fn jwks(keys: &[&SigningKey]) -> Vec<u8> {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

pub(crate) fn set(keys: &[&SigningKey], allowed: &[Algorithm]) -> KeySet {
    KeySet::parse(&jwks(keys), allowed).unwrap()
}

pub(crate) fn id(text: &str) -> IssuerId {
    IssuerId::parse(text, UrlPolicy::default()).unwrap()
}

pub(crate) fn url(text: &str) -> HttpsUrl {
    HttpsUrl::parse(text, UrlPolicy::default()).unwrap()
}

/// Every asymmetric algorithm with its own key, inline.
pub(crate) fn corp() -> Issuer {
    static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
        let all: Vec<SigningKey> = asymmetric().iter().map(|algorithm| key(algorithm.name())).collect();
        set(&all.iter().collect::<Vec<_>>(), &asymmetric())
    });
    Issuer::new("corp", id(ISS), vec![AUD.to_owned()], asymmetric(), KeySource::Inline(KEYS.clone()))
}

/// The claims of a good token.
pub(crate) fn claims() -> Map<String, Value> {
    object(json!({"iss": ISS, "aud": AUD, "sub": "alice", "iat": NOW - 10, "exp": NOW + 600, "jti": "1"}))
}

/// Good claims with one of them set.
pub(crate) fn with(name: &str, value: Value) -> Map<String, Value> {
    let mut claims = claims();
    claims.insert(name.to_owned(), value);
    claims
}

/// Good claims without one of them.
pub(crate) fn without(name: &str) -> Map<String, Value> {
    let mut claims = claims();
    claims.remove(name);
    claims
}

pub(crate) fn sign(claims: &Map<String, Value>) -> String {
    key("EdDSA").sign_claims(claims).unwrap()
}

/// A token with this header over good claims, signed by the key that the header's `alg` names (EdDSA where none).
pub(crate) fn sign_header(header: Value) -> String {
    let name = header.get("alg").and_then(Value::as_str).filter(|name| Algorithm::parse(name).is_some());
    let key = key(name.unwrap_or("EdDSA"));
    key.sign(prepare(&object(header), &claims())).unwrap()
}

/// A token of any header and payload bytes, with a signature that holds.
pub(crate) fn sign_raw(header: &str, payload: &str) -> String {
    key("EdDSA").sign(prepare_bytes(header.as_bytes(), payload.as_bytes())).unwrap()
}

pub(crate) struct World {
    pub(crate) trust: Trust,
    pub(crate) known: Documents,
}

impl World {
    pub(crate) fn of(issuers: Vec<Issuer>) -> Self {
        Self::limited(issuers, Limits::default()).unwrap()
    }

    pub(crate) fn limited(issuers: Vec<Issuer>, limits: Limits) -> Result<Self, TrustError> {
        let known = Documents::new(&limits);
        Ok(Self { trust: Trust::new(issuers, limits, Arc::new(RustCrypto))?, known })
    }

    /// The issuer `corp`, changed.
    pub(crate) fn with(change: impl FnOnce(&mut Issuer)) -> Self {
        let mut issuer = corp();
        change(&mut issuer);
        Self::of(vec![issuer])
    }

    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn verify_at(&self, token: impl AsRef<[u8]>, offset: i64) -> Outcome {
        verify(&Evidence::access_token(token.as_ref()), &self.trust, &self.known, at(offset))
    }

    #[track_caller]
    pub(crate) fn ok(&self, token: impl AsRef<[u8]>) -> Verified {
        match self.verify_at(token, 0) {
            Outcome::Verified(verified) => verified,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn denied_at(&self, token: impl AsRef<[u8]>, offset: i64) -> Denied {
        match self.verify_at(token, offset) {
            Outcome::Denied(denied) => denied,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn code(&self, token: impl AsRef<[u8]>) -> Code {
        self.denied_at(token, 0).code()
    }

    #[track_caller]
    pub(crate) fn need_at(&self, token: impl AsRef<[u8]>, offset: i64) -> Fetch {
        match self.verify_at(token, offset) {
            Outcome::Need(fetch) => fetch,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn put(&mut self, fetch: &Fetch, body: impl Into<Vec<u8>>, offset: i64) {
        self.known.insert(fetch, &reply(body), at(offset)).unwrap();
    }
}

pub(crate) fn reply(body: impl Into<Vec<u8>>) -> Reply {
    Reply { status: 200, body: body.into(), max_age: None }
}

pub(crate) fn discovery(iss: &str, jwks_uri: &str) -> String {
    json!({"issuer": iss, "jwks_uri": jwks_uri}).to_string()
}
