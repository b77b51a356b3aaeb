//! What a person may be asked to show: the policy of one credential query, and whose word counts for it.
//!
//! The query itself is OpenID4VP 1.0 section 6.1 ([`crate::dcql`]). What a query cannot say is here: which issuers are
//! trusted for this type of credential, by which way to their keys, whose status lists, which algorithms, how fresh.
use crate::age::AgePolicy;
use crate::algorithm::Algorithm;
use crate::dcql::{CredentialQuery, Format};
use crate::did::{Did, DidError};
use crate::fetch::{DocumentKind, Fetch};
use crate::issuer::{IssuerId, IssuerIdError};
use crate::limits::Limits;
use crate::signer::TrustedSigner;
use crate::trust::MOST_SKEW;
use crate::url::{UrlError, UrlPolicy};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::time::Duration;

/// One way to show a credential, and what is asked of it.
#[derive(Clone, Debug)]
pub struct CredentialPolicy {
    /// What is asked for. Its `id` names the policy too: `[A-Za-z0-9_-]+`.
    pub query: CredentialQuery,
    /// Whose word counts for this type; at least one.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// The only algorithms that issuer, holder and status list may use; at least one, none of them HS*.
    pub algorithms: Vec<Algorithm>,
    /// Whether a credential without a status is refused.
    pub status: StatusRule,
    /// Whose status lists are believed. Empty: those of the credential's own issuer alone.
    pub status_issuers: Vec<TrustedIssuer>,
    /// What happens while a status cannot be had.
    pub status_unavailable: StatusUnavailable,
    /// Whether its holder must prove to hold it.
    pub holder_binding: bool,
    /// How long ago that proof may have been made (`iat` of the key-binding JWT or presentation).
    pub max_presentation_age: Duration,
    /// How long ago the credential may have been issued (`iat`). `None`: until it expires.
    pub max_credential_age: Option<Duration>,
    /// How far the clocks of issuers and holders may be off, at most five minutes.
    pub clock_skew: Duration,
    /// Whether `typ` may be `vc+sd-jwt`, as SD-JWT VC drafts before November 2024 had it.
    pub legacy_vc_sd_jwt: bool,
    /// "At least so old": then the query's claims were made from it.
    pub age: Option<AgePolicy>,
}

impl CredentialPolicy {
    /// A policy with the defaults: a status is required and must be had, the holder proves to hold the credential, by a
    /// proof not older than five minutes, and clocks may be off by a minute.
    pub fn new(query: CredentialQuery, trusted_issuers: Vec<TrustedIssuer>, algorithms: Vec<Algorithm>) -> Self {
        Self {
            query,
            trusted_issuers,
            algorithms,
            status: StatusRule::Require,
            status_issuers: Vec::new(),
            status_unavailable: StatusUnavailable::Refuse,
            holder_binding: true,
            max_presentation_age: Duration::from_secs(300),
            max_credential_age: None,
            clock_skew: Duration::from_secs(60),
            legacy_vc_sd_jwt: false,
            age: None,
        }
    }
}

/// Whether a credential must have a status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusRule {
    /// One without is refused.
    Require,
    /// One without passes; where there is one it is looked up.
    IfPresent,
}

/// What happens while a status cannot be had. A status list that is there but not sound refuses either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusUnavailable {
    /// Refuse.
    Refuse,
    /// Take the credential as not revoked. Who can keep a list away from us can then undo a revocation.
    Accept,
}

/// Who is trusted, and so how the keys are found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrustedIssuer {
    /// An `https` issuer: `iss` is exactly this text, the keys are in its metadata.
    Https(IssuerId),
    /// A DID: `iss` is exactly this, the keys are in its document.
    Did(Did),
    /// Everyone whose chain of certificates (`x5c`) leads to this root.
    Root {
        /// the root's certificate in DER
        certificate: Vec<u8>,
    },
}

/// Why a text names no issuer of credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TrustedIssuerError {
    /// It starts with `did:`, but is no DID of a method that is known.
    Did(DidError),
    /// It is no `https` URL to trust.
    Url(IssuerIdError),
    /// It has no `https` URL where metadata could be.
    NotHttps,
}

impl fmt::Display for TrustedIssuerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Did(error) => write!(f, "{error}"),
            Self::Url(error) => write!(f, "{error}"),
            Self::NotHttps => f.write_str("neither an https URL nor a DID"),
        }
    }
}

impl std::error::Error for TrustedIssuerError {}

impl TrustedIssuer {
    /// Takes an `https` URL or a DID, as a configuration names an issuer.
    ///
    /// # Errors
    /// [`TrustedIssuerError`] for anything else.
    pub fn parse(text: &str, policy: UrlPolicy) -> Result<Self, TrustedIssuerError> {
        if text.starts_with("did:") {
            return Did::parse(text).map(Self::Did).map_err(TrustedIssuerError::Did);
        }
        let id = IssuerId::parse(text, policy).map_err(TrustedIssuerError::Url)?;
        if id.is_url() && !id.is_pattern() { Ok(Self::Https(id)) } else { Err(TrustedIssuerError::NotHttps) }
    }
}

impl TrustedIssuer {
    /// Takes a root's certificate, as PEM or as the base64 of its DER.
    pub fn root(text: &str) -> Option<Self> {
        let inner: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let inner: String = inner.split_ascii_whitespace().collect();
        STANDARD.decode(inner).ok().map(|certificate| Self::Root { certificate })
    }
}

/// Why the policy of a credential is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CredentialError {
    /// The `id` is not `[A-Za-z0-9_-]+`.
    Id,
    /// Two policies have this `id`.
    DuplicateId,
    /// The format is not one that can be verified.
    Format,
    /// `meta` names no type.
    NoType,
    /// Nobody is trusted for it.
    NoIssuer,
    /// It allows no algorithm.
    NoAlgorithm,
    /// It allows an HS* algorithm: whoever checks such a signature can make it.
    SymmetricAlgorithm,
    /// `clock_skew` is over five minutes.
    Skew,
    /// A presentation may be no time old.
    PresentationAge,
    /// The metadata of an issuer cannot be fetched.
    Url(UrlError),
    /// The DID of an issuer makes no document, neither of itself nor by a URL.
    Did(DidError),
    /// A root is no certificate that can be trusted.
    Certificate(String),
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("an id is made of A-Z, a-z, 0-9, `_` and `-`"),
            Self::DuplicateId => f.write_str("the id is taken"),
            Self::Format => f.write_str("its format cannot be verified"),
            Self::NoType => f.write_str("`meta` names no type of credential"),
            Self::NoIssuer => f.write_str("needs at least one trusted issuer"),
            Self::NoAlgorithm => f.write_str("needs at least one algorithm"),
            Self::SymmetricAlgorithm => f.write_str("HS* algorithms cannot sign credentials"),
            Self::Skew => f.write_str("a clock skew is at most five minutes"),
            Self::PresentationAge => f.write_str("a presentation needs some time to arrive"),
            Self::Url(error) => write!(f, "the metadata of an issuer cannot be fetched: {error}"),
            Self::Did(error) => write!(f, "the DID of an issuer: {error}"),
            Self::Certificate(why) => write!(f, "a root certificate: {why}"),
        }
    }
}

impl std::error::Error for CredentialError {}

/// One credential policy of a [`crate::Trust`], by its place in the list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CredentialIndex(u32);

impl CredentialIndex {
    pub(crate) fn new(place: usize) -> Self {
        Self(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// The place, to look up what a caller keeps beside the list.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// A policy with what is worked out ahead of presentations.
pub(crate) struct CompiledCredential {
    pub(crate) index: CredentialIndex,
    pub(crate) policy: CredentialPolicy,
    pub(crate) issuers: Vec<TrustedSigner>,
    /// empty: the credential's own issuer
    pub(crate) status_issuers: Vec<TrustedSigner>,
}

impl CompiledCredential {
    pub(crate) fn new(
        index: CredentialIndex,
        policy: CredentialPolicy,
        limits: &Limits,
    ) -> Result<Self, CredentialError> {
        check(&policy)?;
        let (issuers, status_issuers) =
            (TrustedSigner::all(&policy.trusted_issuers, limits)?, TrustedSigner::all(&policy.status_issuers, limits)?);
        Ok(Self { index, policy, issuers, status_issuers })
    }

    /// What can be fetched ahead of need.
    pub(crate) fn first_fetches(&self) -> impl Iterator<Item = &Fetch> {
        self.issuers.iter().chain(&self.status_issuers).filter_map(TrustedSigner::fetch)
    }

    /// Whether the policy itself names who the document is of.
    pub(crate) fn trusts(&self, kind: DocumentKind, name: &str) -> bool {
        let kind = kind.named_by().unwrap_or(kind);
        self.first_fetches().any(|fetch| fetch.kind() == kind && fetch.iss() == name)
    }
}

fn check(policy: &CredentialPolicy) -> Result<(), CredentialError> {
    let id = &policy.query.id;
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return Err(CredentialError::Id);
    }
    let typed = match policy.query.format {
        Format::DcSdJwt => !policy.query.meta.vct_values.is_empty(),
        Format::JwtVcJson => !policy.query.meta.type_values.is_empty(),
        _ => return Err(CredentialError::Format),
    };
    let checks = [
        (typed, CredentialError::NoType),
        (!policy.trusted_issuers.is_empty(), CredentialError::NoIssuer),
        (!policy.algorithms.is_empty(), CredentialError::NoAlgorithm),
        (!policy.algorithms.iter().any(|alg| alg.is_symmetric()), CredentialError::SymmetricAlgorithm),
        (policy.clock_skew <= MOST_SKEW, CredentialError::Skew),
        (policy.max_presentation_age >= Duration::from_secs(1), CredentialError::PresentationAge),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, why)) => Err(why),
        None => Ok(()),
    }
}
