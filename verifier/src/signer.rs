//! Who signed a credential or a status list, and with which key: one of those whom the policy trusts for it, by the way
//! that the policy names.
//!
//! The ways: metadata of an `https` issuer (SD-JWT VC draft, "JWT VC Issuer Metadata"), the document of a DID (DID Core
//! section 4, keys for `assertionMethod`), a chain of certificates (`x5c`, RFC 7515 section 4.1.6) under a root. Nothing
//! is fetched before the name in the token has been found among those that are trusted.
use crate::algorithm::{Algorithm, KeyType};
use crate::checks::{Stop, deny, unavailable};
use crate::credential::{CredentialError, TrustedIssuer};
use crate::credential_issuer;
use crate::did::{Did, DidDocument, DidError, Relationship};
use crate::documents::{Documents, Found};
use crate::fetch::{DocumentKind, Fetch};
use crate::jwk::PublicKey;
use crate::jwks::{KeySet, Miss};
use crate::jwt::Token;
use crate::limits::Limits;
use crate::outcome::Code;
use crate::time::Timestamp;
use crate::trust::Trust;
use crate::url::UrlPolicy;
use crate::x509::Roots;
use serde_json::Value;
use std::borrow::Cow;

/// What every look-up needs.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) trust: &'a Trust,
    pub(crate) known: &'a Documents,
    pub(crate) now: Timestamp,
}

/// One who is trusted, with what is worked out ahead.
pub(crate) enum TrustedSigner {
    Https {
        iss: String,
        metadata: Fetch,
    },
    /// a document that the DID makes itself, or the fetch of it
    Did {
        did: Did,
        document: Result<Box<DidDocument>, Fetch>,
    },
    /// everyone whose chain of certificates leads to one of these
    Roots(Roots),
}

/// A key that is known for longer, or one that came with the token.
pub(crate) enum Key<'a> {
    Known(&'a PublicKey),
    Own(Box<PublicKey>),
}

impl Key<'_> {
    pub(crate) fn get(&self) -> &PublicKey {
        match self {
            Self::Known(key) => key,
            Self::Own(key) => key,
        }
    }
}

/// Who signed, if the signature holds by this key.
pub(crate) struct Signer<'a> {
    /// `iss`, the DID, or the subject of the certificate
    pub(crate) name: Cow<'a, str>,
    pub(crate) key: Key<'a>,
    /// until when the document that names the key is fresh
    pub(crate) until: Option<Timestamp>,
    /// of the certificates of its chain
    pub(crate) authority_key_ids: Vec<Vec<u8>>,
}

impl TrustedSigner {
    pub(crate) fn new(issuer: &TrustedIssuer, limits: &Limits) -> Result<Self, CredentialError> {
        match issuer {
            TrustedIssuer::Https(id) => {
                let iss = id.as_str();
                let url = credential_issuer::url_of(iss, limits.url_policy).map_err(CredentialError::Url)?;
                let metadata = Fetch::named(DocumentKind::CredentialIssuer, iss, url, true);
                Ok(Self::Https { iss: iss.to_owned(), metadata })
            }
            TrustedIssuer::Did(did) => {
                let document = match DidDocument::of(did) {
                    Some(document) => Ok(Box::new(document)),
                    None => Err(did_fetch(did, limits, true).map_err(CredentialError::Did)?),
                };
                Ok(Self::Did { did: did.clone(), document })
            }
            TrustedIssuer::Root { certificate } => Self::roots([certificate.as_slice()]),
        }
    }

    /// All issuers of a list, its roots taken together: which of them a chain leads to is found by checking it.
    pub(crate) fn all(issuers: &[TrustedIssuer], limits: &Limits) -> Result<Vec<Self>, CredentialError> {
        let mut signers = Vec::new();
        let mut certificates = Vec::new();
        for issuer in issuers {
            match issuer {
                TrustedIssuer::Root { certificate } => certificates.push(certificate.as_slice()),
                named => signers.push(Self::new(named, limits)?),
            }
        }
        if !certificates.is_empty() {
            signers.push(Self::roots(certificates)?);
        }
        Ok(signers)
    }

    fn roots<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, CredentialError> {
        Roots::new(certificates).map(Self::Roots).map_err(|why| CredentialError::Certificate(why.to_owned()))
    }

    /// The document to fetch ahead of need.
    pub(crate) fn fetch(&self) -> Option<&Fetch> {
        match self {
            Self::Https { metadata, .. } => Some(metadata),
            Self::Did { document, .. } => document.as_ref().err(),
            Self::Roots(_) => None,
        }
    }

    /// Whether an `iss`, or a DID, is this one's.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        match self {
            Self::Https { iss, .. } => iss == name,
            Self::Did { did, .. } => did.as_str() == name,
            Self::Roots(_) => false,
        }
    }
}

impl TrustedSigner {
    /// Whether a credential that this name signed may be this one's.
    pub(crate) fn may_be(&self, name: &str) -> bool {
        // what a certificate calls its subject is seen when its chain is checked
        self.is_called(name) || matches!(self, Self::Roots(_))
    }
}

/// The fetch of a DID document. A DID never chooses a port, whatever an operator may (SSRF).
fn did_fetch(did: &Did, limits: &Limits, configured: bool) -> Result<Fetch, DidError> {
    let url = did.web_url(UrlPolicy { allow_port: false, ..limits.url_policy })?;
    Ok(Fetch::named(DocumentKind::DidDocument, did.as_str(), url, configured))
}

/// Who of those that are trusted signed the token. Where it does not say so by `iss`, by a DID in its `kid` or by its
/// certificates, it can only be the one who is trusted, if there is one.
pub(crate) fn choose<'a>(
    trusted: &[&'a TrustedSigner],
    token: &Token<'_>,
    one_is_enough: bool,
) -> Result<&'a TrustedSigner, Stop> {
    let certified = token.header.contains_key("x5c");
    let roots = || trusted.iter().copied().find(|signer| certified && matches!(signer, TrustedSigner::Roots(_)));
    // who is trusted by name is looked up by name, whatever certificates come along
    let called = |name: &str| trusted.iter().copied().find(|signer| signer.is_called(name)).or_else(roots);
    let found = match token.claims.get("iss") {
        Some(Value::String(iss)) => called(iss),
        Some(_) => return deny(Code::ClaimInvalid, "`iss` is no text"),
        None => match token.kid.as_deref().filter(|kid| kid.starts_with("did:")) {
            Some(kid) => called(kid.split('#').next().unwrap_or_default()),
            None if certified => roots(),
            None if one_is_enough && trusted.len() == 1 => trusted.first().copied(),
            None => None,
        },
    };
    match found {
        Some(signer) => Ok(signer),
        None => deny(Code::IssuerUntrusted, "its issuer is not trusted here for this type of credential"),
    }
}

/// The key of a trusted signer for the token. `instead` is who a token without `iss` is by, if its certificate may speak
/// as that.
pub(crate) fn find<'a>(
    signer: &'a TrustedSigner,
    token: &Token<'_>,
    instead: Option<&str>,
    algorithm: Algorithm,
    allowed: &[Algorithm],
    world: World<'a>,
) -> Result<Signer<'a>, Stop> {
    let World { known, now, .. } = world;
    match signer {
        TrustedSigner::Https { iss, metadata } => {
            let keys = published_keys(metadata, world)?;
            let sole = |key_type| sole_algorithm(allowed, key_type);
            let key = pick(keys.set, Some(keys.renew), token.kid.as_deref(), algorithm, sole, known, now)?;
            let name = Cow::Borrowed(iss.as_str());
            Ok(Signer { name, key: Key::Known(key), until: Some(keys.until), authority_key_ids: Vec::new() })
        }
        TrustedSigner::Did { did, document } => {
            let (document, renew, until) = match document {
                Ok(document) => (document.as_ref(), None, None),
                Err(fetch) => {
                    let (document, until) = fetched_document(fetch, world)?;
                    (document, Some(fetch), Some(until))
                }
            };
            let key = match document.key(token.kid.as_deref(), Relationship::AssertionMethod) {
                Ok(key) => key,
                Err(why) => return no_such_key(&why, renew, world),
            };
            if sole_algorithm(allowed, key.key_type()) != Some(algorithm) || !key.fits(algorithm) {
                return deny(Code::KeyMismatch, "the key with this `kid` is not for this `alg`");
            }
            let name = Cow::Borrowed(did.as_str());
            Ok(Signer { name, key: Key::Known(key), until, authority_key_ids: Vec::new() })
        }
        TrustedSigner::Roots(roots) => certified(roots, token, instead, algorithm, allowed, world),
    }
}

/// The key of the leaf of a token's `x5c`. The issuer is `iss` where the leaf may speak as that, and its subject where
/// there is none.
fn certified<'a>(
    roots: &Roots,
    token: &Token<'_>,
    instead: Option<&str>,
    algorithm: Algorithm,
    allowed: &[Algorithm],
    World { trust, now, .. }: World<'a>,
) -> Result<Signer<'a>, Stop> {
    let Some(x5c) = token.header.get("x5c") else {
        return deny(Code::CertificateUntrusted, "it has no `x5c`");
    };
    let leaf = match roots.check(x5c, trust.provider(), now) {
        Ok(leaf) => leaf,
        Err(why) => return deny(Code::CertificateUntrusted, why),
    };
    let may_speak_as = |iss: &str| leaf.speaks_as(iss, trust.limits().url_policy);
    let name = match token.claims.get("iss") {
        Some(Value::String(iss)) if may_speak_as(iss) => iss.clone(),
        None if instead.is_some_and(may_speak_as) => instead.unwrap_or_default().to_owned(),
        Some(_) => return deny(Code::CertificateUntrusted, "the certificate may not speak as `iss`"),
        None if leaf.subject.is_empty() => return deny(Code::CertificateUntrusted, "the certificate has no subject"),
        None => leaf.subject,
    };
    if sole_algorithm(allowed, leaf.key.key_type()) != Some(algorithm) || !leaf.key.fits(algorithm) {
        return deny(Code::KeyMismatch, "the key of the certificate is not for this `alg`");
    }
    let key = Key::Own(Box::new(leaf.key));
    Ok(Signer { name: Cow::Owned(name), key, until: None, authority_key_ids: leaf.authority_key_ids })
}

/// The key by which a holder who is known by a DID proves to be the one.
pub(crate) fn holder_key(did: &Did, kid: &str, world: World<'_>) -> Result<PublicKey, Stop> {
    if let Some(document) = DidDocument::of(did) {
        return match document.key(Some(kid), Relationship::Authentication) {
            Ok(key) => Ok(key.clone()),
            Err(why) => deny(Code::HolderKeyInvalid, format!("the holder's DID: {why}")),
        };
    }
    let fetch = match did_fetch(did, world.trust.limits(), false) {
        Ok(fetch) => fetch,
        Err(why) => return deny(Code::HolderKeyInvalid, format!("the holder's DID: {why}")),
    };
    let (document, _) = fetched_document(&fetch, world)?;
    match document.key(Some(kid), Relationship::Authentication) {
        Ok(key) => Ok(key.clone()),
        Err(why) => no_such_key(&why, Some(&fetch), world),
    }
}

/// The key set of an issuer, how to renew it, and how long it is fresh.
struct PublishedKeys<'a> {
    set: &'a KeySet,
    renew: &'a Fetch,
    until: Timestamp,
}

fn published_keys<'a>(metadata: &'a Fetch, world: World<'a>) -> Result<PublishedKeys<'a>, Stop> {
    let World { known, now, .. } = world;
    let document = match known.find(metadata.slot(), Some(metadata), now) {
        Found::Document(document) => document,
        Found::Need => return Err(Stop::Need(metadata.clone())),
        Found::Unavailable(left) => {
            return unavailable(Code::KeysUnavailable, "the issuer's metadata could not be fetched", left);
        }
    };
    if let Some(set) = document.keys() {
        return Ok(PublishedKeys { set, renew: metadata, until: document.expires() });
    }
    let Some(jwks) = document.jwks_fetch() else { return Err(Stop::Need(metadata.clone())) };
    match known.find(jwks.slot(), Some(jwks), now) {
        Found::Need => Err(Stop::Need(jwks.clone())),
        // the issuer may have moved its keys, or put right what it said about them
        Found::Unavailable(_) if known.may_refetch(metadata.slot(), now) => Err(Stop::Need(metadata.clone())),
        Found::Unavailable(left) => unavailable(Code::KeysUnavailable, "the issuer's keys could not be fetched", left),
        Found::Document(document) => match document.keys() {
            Some(set) => Ok(PublishedKeys { set, renew: jwks, until: document.expires() }),
            None => Err(Stop::Need(jwks.clone())),
        },
    }
}

fn fetched_document<'a>(fetch: &Fetch, world: World<'a>) -> Result<(&'a DidDocument, Timestamp), Stop> {
    match world.known.find(fetch.slot(), Some(fetch), world.now) {
        Found::Document(document) => match document.did() {
            Some(did) => Ok((did, document.expires())),
            None => Err(Stop::Need(fetch.clone())),
        },
        Found::Need => Err(Stop::Need(fetch.clone())),
        Found::Unavailable(left) => unavailable(Code::DidUnresolvable, "the DID document could not be fetched", left),
    }
}

/// A document without the key may be an old one.
fn no_such_key<T>(why: &DidError, renew: Option<&Fetch>, world: World<'_>) -> Result<T, Stop> {
    match renew {
        Some(fetch) if world.known.may_refetch(fetch.slot(), world.now) => Err(Stop::Need(fetch.clone())),
        _ => deny(Code::KeyNotFound, format!("the DID document: {why}")),
    }
}

/// The only one of the algorithms for keys of a type: what a key that does not name its algorithm is for.
pub(crate) fn sole_algorithm(algorithms: &[Algorithm], key_type: KeyType) -> Option<Algorithm> {
    let mut of_type = algorithms.iter().filter(|algorithm| algorithm.key_type() == key_type);
    match (of_type.next(), of_type.next()) {
        (Some(algorithm), None) => Some(*algorithm),
        _ => None,
    }
}

/// The one key of a set for the token. A set without it may be an old one: `renew` is asked for a cooldown after the
/// last time.
pub(crate) fn pick<'a>(
    set: &'a KeySet,
    renew: Option<&Fetch>,
    kid: Option<&str>,
    algorithm: Algorithm,
    sole: impl Fn(KeyType) -> Option<Algorithm>,
    known: &Documents,
    now: Timestamp,
) -> Result<&'a PublicKey, Stop> {
    match (set.find(kid, algorithm, sole), renew) {
        (Ok(key), _) => Ok(key),
        (Err(Miss::NotFound), Some(fetch)) if known.may_refetch(fetch.slot(), now) => Err(Stop::Need(fetch.clone())),
        (Err(Miss::NotFound), _) if kid.is_some() => deny(Code::KeyNotFound, "the issuer has no key with this `kid`"),
        (Err(Miss::NotFound), _) => deny(Code::KeyNotFound, "the issuer has no key for this `alg`"),
        (Err(Miss::Ambiguous), _) => {
            deny(Code::KeyAmbiguous, "no `kid`, and the issuer has several keys for this `alg`")
        }
        (Err(Miss::Mismatch), _) => deny(Code::KeyMismatch, "the key with this `kid` is not for this `alg`"),
    }
}

/// The algorithm of a token, where the policy allows it.
pub(crate) fn algorithm(token: &Token<'_>, allowed: &[Algorithm]) -> Result<Algorithm, Stop> {
    match Algorithm::parse(&token.alg).filter(|algorithm| allowed.contains(algorithm)) {
        Some(algorithm) => Ok(algorithm),
        None => deny(Code::AlgorithmNotAllowed, "`alg` is not on the policy's list"),
    }
}
