//! A document that a verdict needs, and where it is. Only this crate builds one, and only for an issuer of the policy.
use crate::trust::IssuerIndex;
use crate::url::HttpsUrl;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What kind of document is fetched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DocumentKind {
    /// A provider's metadata (OpenID Connect Discovery 1.0 section 4).
    Discovery,
    /// A JWK Set (RFC 7517 section 5).
    Jwks,
    /// The metadata of an issuer of credentials (SD-JWT VC, "JWT VC Issuer Metadata").
    CredentialIssuer,
    /// The JWK Set that such metadata names by `jwks_uri`.
    CredentialKeys,
    /// A DID document (DID Core section 4).
    DidDocument,
    /// A Status List Token (Token Status List, "Status List Token in JWT Format").
    StatusList,
    /// A list of what is revoked ([`crate::revocation`]).
    Revocations,
    /// A list of API tokens, by their hashes ([`crate::api_token`]).
    ApiTokens,
}

impl DocumentKind {
    /// A short name, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::CredentialIssuer => "credential_issuer",
            Self::CredentialKeys => "credential_keys",
            Self::DidDocument => "did_document",
            Self::StatusList => "status_list",
            Self::Revocations => "revocations",
            Self::ApiTokens => "api_tokens",
        }
    }

    /// What the caller asks for with `Accept`.
    pub fn accept(self) -> &'static str {
        match self {
            Self::Discovery | Self::CredentialIssuer | Self::ApiTokens => "application/json",
            Self::Jwks | Self::CredentialKeys => "application/jwk-set+json, application/json",
            Self::DidDocument => "application/did+json, application/did+ld+json, application/json",
            Self::StatusList => "application/statuslist+jwt",
            Self::Revocations => "application/vnd.carded.revocations, application/json;q=0.9",
        }
    }

    /// For a key set that metadata names: the kind of that metadata.
    pub(crate) fn named_by(self) -> Option<Self> {
        match self {
            Self::Jwks => Some(Self::Discovery),
            Self::CredentialKeys => Some(Self::CredentialIssuer),
            _ => None,
        }
    }
}

/// One `GET` that would help. Two are equal where [`Fetch::id`] is.
///
/// The caller sends no credentials with it, takes a redirect for a failure (as any status but 200) and reads at most
/// [`crate::Limits::document_bytes`].
#[derive(Clone)]
pub struct Fetch {
    inner: Arc<Inner>,
    unknown_tenant: bool,
}

struct Inner {
    id: String,
    slot: Slot,
    issuer_name: String,
    /// what the document must call itself: `issuer` of metadata, `id` of a DID document, `sub` of a status list
    iss: String,
    url: HttpsUrl,
    configured: bool,
}

/// The place of a document: one of each kind for its owner.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Slot {
    pub(crate) owner: Owner,
    pub(crate) kind: DocumentKind,
}

/// Whose document it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Owner {
    /// An issuer of JWTs, and its tenant.
    Issuer(IssuerIndex, Option<Box<str>>),
    /// Who or what bears this name, the same for every policy: an issuer of credentials, a DID, a status list.
    Named(Box<str>),
}

impl Slot {
    pub(crate) fn named(kind: DocumentKind, name: &str) -> Self {
        Self { owner: Owner::Named(name.into()), kind }
    }
}

impl Fetch {
    /// `configured`: the policy names this issuer (and tenant) itself, rather than by an open pattern.
    pub(crate) fn new(issuer_name: &str, iss: String, slot: Slot, url: HttpsUrl, configured: bool) -> Self {
        // `|` is in none of the parts: names are [a-z0-9_-]+, tenants unreserved characters, and no URL has one
        let tenant = match &slot.owner {
            Owner::Issuer(_, tenant) => tenant.as_deref().unwrap_or_default(),
            Owner::Named(_) => "",
        };
        let id = format!("{}|{issuer_name}|{tenant}|{url}", slot.kind.as_str());
        let inner = Inner { id, slot, issuer_name: issuer_name.to_owned(), iss, url, configured };
        Self { inner: Arc::new(inner), unknown_tenant: false }
    }

    /// The document of that name, which no issuer of JWTs owns. Neither `https` URLs nor DIDs have a `|`.
    pub(crate) fn named(kind: DocumentKind, name: &str, url: HttpsUrl, configured: bool) -> Self {
        Self::new(name, name.to_owned(), Slot::named(kind, name), url, configured)
    }

    /// The key set that a metadata document names, for the same issuer and tenant.
    pub(crate) fn jwks_of(&self, url: HttpsUrl) -> Self {
        let kind = match self.kind() {
            DocumentKind::CredentialIssuer => DocumentKind::CredentialKeys,
            _ => DocumentKind::Jwks,
        };
        let slot = Slot { kind, ..self.inner.slot.clone() };
        Self::new(&self.inner.issuer_name, self.inner.iss.clone(), slot, url, self.inner.configured)
    }

    pub(crate) fn for_unknown_tenant(self) -> Self {
        Self { unknown_tenant: true, ..self }
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.inner.slot
    }

    pub(crate) fn iss(&self) -> &str {
        &self.inner.iss
    }

    /// Whether the policy itself names whose document it is. If not, its address came with a token: that of a tenant, a
    /// holder's DID, a status list.
    pub fn is_configured(&self) -> bool {
        self.inner.configured
    }

    /// Where the document is.
    pub fn url(&self) -> &HttpsUrl {
        &self.inner.url
    }

    /// What it is.
    pub fn kind(&self) -> DocumentKind {
        self.inner.slot.kind
    }

    /// A text that names this fetch and no other, the same in every process with the same configuration.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The issuer of JWTs that it is for; `None` for the documents of credentials.
    pub fn issuer(&self) -> Option<IssuerIndex> {
        match self.inner.slot.owner {
            Owner::Issuer(index, _) => Some(index),
            Owner::Named(_) => None,
        }
    }

    /// Whether it is for a tenant that no policy names and of which nothing is known yet: anyone can make up such a
    /// name, so the caller runs at most one such fetch for an issuer at a time.
    pub fn unknown_tenant(&self) -> bool {
        self.unknown_tenant
    }
}

impl PartialEq for Fetch {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner) || self.inner.id == other.inner.id
    }
}

impl Eq for Fetch {}

impl Hash for Fetch {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.id.hash(state);
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fetch").field(&self.inner.id).finish()
    }
}
