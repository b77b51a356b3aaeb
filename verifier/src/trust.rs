//! Whose word is taken, compiled once from the configuration: issuers found by one look-up, and the limits.
use crate::algorithm::{Algorithm, KeyType};
use crate::api_token::{self, ApiTokenSource, ApiTokens};
use crate::credential::{CompiledCredential, CredentialError, CredentialIndex, CredentialPolicy};
use crate::discovery;
use crate::fetch::{DocumentKind, Fetch, Owner, Slot};
use crate::issuer::{Issuer, IssuerId, KeySource, is_tenant, origin_of};
use crate::jwks::KeySet;
use crate::jwt::{Heads, bare_type};
use crate::limits::Limits;
use crate::ordered::Ordered;
use crate::provider::SignatureProvider;
use crate::revocation::{CompiledSource, RevocationSource};
use crate::url::UrlPolicy;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

/// A hash map without random state: what is looked up comes from outside, but what is in it from the configuration
/// only, so nobody can fill it with colliding keys.
type Lookup<V> = HashMap<String, V, BuildHasherDefault<DefaultHasher>>;

pub(crate) const MOST_SKEW: Duration = Duration::from_secs(300);

/// `typ`s of tokens that are something else, and never an access token (RFC 8725 section 3.11).
const OTHER_KINDS: [&str; 11] = [
    "kb+jwt",
    "vc+jwt",
    "dc+sd-jwt",
    "vc+sd-jwt",
    "vp+jwt",
    "dpop+jwt",
    "logout+jwt",
    "statuslist+jwt",
    "oauth-authz-req+jwt",
    "openid4vci-proof+jwt",
    "entity-statement+jwt",
];

/// One issuer of a [`Trust`], by its place in the list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IssuerIndex(u32);

impl IssuerIndex {
    /// The place, to look up what a caller keeps beside the list.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// Why a list of issuers is refused. Each names the issuer in the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TrustError {
    /// The name is not `[a-z0-9_-]+`.
    Name(String),
    /// Two issuers have this name.
    DuplicateName(String),
    /// Two issuers have the same `issuer`, or patterns that one `iss` could both match.
    DuplicateIssuer(String, String),
    /// It has no audience, or an empty one.
    NoAudience(String),
    /// It allows no algorithm.
    NoAlgorithm(String),
    /// It allows both HS* and public-key algorithms, so that a public key could be taken for a secret.
    MixedAlgorithms(String),
    /// It allows HS*, but its keys come from the network: a secret is never published.
    SecretFromNetwork(String),
    /// Discovery needs an `issuer` that is a URL.
    DiscoveryWithoutUrl(String),
    /// Its inline key set has no usable key.
    NoKey(String),
    /// Its inline key set has a key without `alg`, and the algorithms allow several for its type.
    KeyWithoutAlgorithm(String),
    /// `tenants` is given for an issuer that is no pattern, is empty, or has a tenant that cannot be one.
    Tenants(String),
    /// `clock_skew` is over five minutes.
    Skew(String),
    /// `typ` is empty or names another kind of token.
    Type(String),
    /// A bound of the limits is out of order or zero.
    Limits(&'static str),
    /// The policy of the credential with this `id` is unsafe or ambiguous.
    Credential(String, CredentialError),
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "issuer `{name}`: a name is made of a-z, 0-9, `_` and `-`"),
            Self::DuplicateName(name) => write!(f, "issuer `{name}`: the name is taken"),
            Self::DuplicateIssuer(a, b) => write!(f, "issuers `{a}` and `{b}` could vouch for the same `iss`"),
            Self::NoAudience(name) => write!(f, "issuer `{name}`: needs at least one audience"),
            Self::NoAlgorithm(name) => write!(f, "issuer `{name}`: needs at least one algorithm"),
            Self::MixedAlgorithms(name) => {
                write!(f, "issuer `{name}`: HS* algorithms cannot stand beside those of public keys")
            }
            Self::SecretFromNetwork(name) => {
                write!(f, "issuer `{name}`: HS* algorithms need their secret in the configuration")
            }
            Self::DiscoveryWithoutUrl(name) => write!(f, "issuer `{name}`: discovery needs a URL as issuer"),
            Self::NoKey(name) => write!(f, "issuer `{name}`: none of its keys can be used"),
            Self::KeyWithoutAlgorithm(name) => {
                write!(f, "issuer `{name}`: a key without `alg` needs exactly one algorithm of its type allowed")
            }
            Self::Tenants(name) => {
                write!(f, "issuer `{name}`: `tenants` lists path segments for an issuer with `{{tenant}}`")
            }
            Self::Skew(name) => write!(f, "issuer `{name}`: a clock skew is at most five minutes"),
            Self::Type(name) => write!(f, "issuer `{name}`: `typ` is empty or names another kind of token"),
            Self::Limits(which) => write!(f, "limits: {which}"),
            Self::Credential(id, why) => write!(f, "credential `{id}`: {why}"),
        }
    }
}

impl std::error::Error for TrustError {}

/// The issuers that are trusted, ready to be looked up.
pub struct Trust {
    issuers: Vec<Compiled>,
    names: Lookup<IssuerIndex>,
    exact: Lookup<IssuerIndex>,
    /// patterns by scheme and authority
    patterns: Lookup<Vec<IssuerIndex>>,
    credentials: Vec<CompiledCredential>,
    credential_ids: Lookup<CredentialIndex>,
    revocations: Vec<CompiledSource>,
    limits: Limits,
    provider: Arc<dyn SignatureProvider>,
    heads: Heads,
}

/// An issuer with what is worked out ahead of tokens.
pub(crate) struct Compiled {
    pub(crate) issuer: Issuer,
    pub(crate) index: IssuerIndex,
    pub(crate) name: Arc<str>,
    /// `iss` of its tokens, where it is no pattern
    pub(crate) iss: Arc<str>,
    /// `typ`s in lower case, without `application/`
    pub(crate) types: Option<Vec<String>>,
    /// the first document; none for inline keys, and for the tenants of a pattern made when one is met
    pub(crate) first: Option<Fetch>,
    /// for a set of API tokens, which is kept among the issuers: no `iss` leads here
    pub(crate) api_tokens: Option<ApiTokenSource>,
}

impl Compiled {
    /// The issuer's only algorithm for keys of a type: what a key without `alg` is for.
    pub(crate) fn sole_algorithm(&self, key_type: KeyType) -> Option<Algorithm> {
        sole_algorithm(&self.issuer, key_type)
    }

    /// Whether the policy names the tenant itself. True where there is none.
    pub(crate) fn names_tenant(&self, tenant: Option<&str>) -> bool {
        match tenant {
            None => true,
            Some(tenant) => self.issuer.tenants.as_ref().is_some_and(|tenants| tenants.contains_key(tenant)),
        }
    }

    /// The discovery fetch of a tenant. `None` where its URL would not be one to fetch, which a tenant cannot bring
    /// about.
    pub(crate) fn discovery(&self, tenant: Option<&str>, policy: UrlPolicy) -> Option<Fetch> {
        let iss = self.issuer.issuer.for_tenant(tenant);
        let url = discovery::url_of(&iss, policy).ok()?;
        let slot = self.slot(tenant, DocumentKind::Discovery);
        Some(Fetch::new(&self.name, iss, slot, url, self.names_tenant(tenant)))
    }

    /// The same, made ahead where there is no tenant.
    pub(crate) fn discovery_fetch(&self, tenant: Option<&str>, trust: &Trust) -> Option<Fetch> {
        match &self.first {
            Some(fetch) => Some(fetch.clone()),
            None => self.discovery(tenant, trust.limits().url_policy),
        }
    }

    pub(crate) fn slot(&self, tenant: Option<&str>, kind: DocumentKind) -> Slot {
        Slot { owner: Owner::Issuer(self.index, tenant.map(Box::from)), kind }
    }
}

fn sole_algorithm(issuer: &Issuer, key_type: KeyType) -> Option<Algorithm> {
    crate::signer::sole_algorithm(&issuer.algorithms, key_type)
}

impl Trust {
    /// Compiles the issuers.
    ///
    /// # Errors
    /// [`TrustError`] for the first that is unsafe or ambiguous.
    pub fn new(issuers: Vec<Issuer>, limits: Limits, provider: Arc<dyn SignatureProvider>) -> Result<Self, TrustError> {
        limits.check().map_err(TrustError::Limits)?;
        let mut trust = Self {
            issuers: Vec::with_capacity(issuers.len()),
            names: Lookup::default(),
            exact: Lookup::default(),
            patterns: Lookup::default(),
            credentials: Vec::new(),
            credential_ids: Lookup::default(),
            revocations: Vec::new(),
            limits,
            provider,
            heads: Heads::default(),
        };
        for issuer in issuers {
            trust.add(issuer)?;
        }
        Ok(trust)
    }

    /// The same with policies of credentials, which people may be asked to show.
    ///
    /// # Errors
    /// [`TrustError::Credential`] for the first that is unsafe or ambiguous.
    pub fn with_credentials(mut self, policies: Vec<CredentialPolicy>) -> Result<Self, TrustError> {
        for policy in policies {
            let id = policy.query.id.clone();
            let index = CredentialIndex::new(self.credentials.len());
            if self.credential_ids.insert(id.clone(), index).is_some() {
                return Err(TrustError::Credential(id, CredentialError::DuplicateId));
            }
            let compiled =
                CompiledCredential::new(index, policy, &self.limits).map_err(|why| TrustError::Credential(id, why))?;
            self.credentials.push(compiled);
        }
        Ok(self)
    }

    /// The same with sets of API tokens, each of which is like an issuer of that name; but no JWT can be of it.
    ///
    /// # Errors
    /// [`TrustError`] where a name is taken or is none.
    pub fn with_api_tokens(mut self, sets: Vec<ApiTokens>) -> Result<Self, TrustError> {
        for ApiTokens { name, source } in sets {
            let iss = api_token::iss(&name);
            let id = IssuerId::parse(&iss, self.limits.url_policy).map_err(|_| TrustError::Name(name.clone()))?;
            let index = IssuerIndex(u32::try_from(self.issuers.len()).unwrap_or(u32::MAX));
            if self.names.insert(name.clone(), index).is_some() {
                return Err(TrustError::DuplicateName(name));
            }
            let issuer = Issuer::new(&name, id, Vec::new(), Vec::new(), KeySource::Inline(KeySet::default()));
            let (shared, iss) = (Arc::from(name.as_str()), Arc::from(iss));
            let api_tokens = Some(source.clone());
            let mut compiled = Compiled { name: shared, iss, issuer, index, types: None, first: None, api_tokens };
            if let ApiTokenSource::Uri(url) = source {
                let slot = compiled.slot(None, DocumentKind::ApiTokens);
                compiled.first = Some(Fetch::new(&name, compiled.iss.as_ref().to_owned(), slot, url, true));
            }
            self.issuers.push(compiled);
        }
        Ok(self)
    }

    /// Whether an issuer is a set of API tokens.
    pub fn is_api_tokens(&self, index: IssuerIndex) -> bool {
        self.compiled(index).is_some_and(|compiled| compiled.api_tokens.is_some())
    }

    /// The same with lists of what is revoked, all of which must be known and fresh before anything that they could revoke
    /// counts.
    #[must_use]
    pub fn with_revocations(mut self, sources: Vec<RevocationSource>) -> Self {
        self.revocations = sources.into_iter().map(CompiledSource::new).collect();
        self
    }

    /// Whether anything can be revoked.
    pub fn has_revocations(&self) -> bool {
        !self.revocations.is_empty()
    }

    pub(crate) fn revocations(&self) -> &[CompiledSource] {
        &self.revocations
    }

    /// The policy at an index; `None` for an index of another, longer list.
    pub fn credential(&self, index: CredentialIndex) -> Option<&CredentialPolicy> {
        self.compiled_credential(index).map(|compiled| &compiled.policy)
    }

    /// The policy whose query has that `id`.
    pub fn credential_of(&self, id: &str) -> Option<CredentialIndex> {
        self.credential_ids.get(id).copied()
    }

    /// All policies of credentials, in their order.
    pub fn credentials(&self) -> impl Iterator<Item = (CredentialIndex, &CredentialPolicy)> {
        self.credentials.iter().map(|compiled| (compiled.index, &compiled.policy))
    }

    pub(crate) fn compiled_credential(&self, index: CredentialIndex) -> Option<&CompiledCredential> {
        self.credentials.get(index.as_usize())
    }

    /// Whether the policies name who the document is of.
    pub(crate) fn names(&self, fetch: &Fetch) -> bool {
        match &fetch.slot().owner {
            Owner::Issuer(index, _) => self.issuer(*index).is_some(),
            Owner::Named(name) => self.credentials.iter().any(|compiled| compiled.trusts(fetch.kind(), name)),
        }
    }

    fn add(&mut self, mut issuer: Issuer) -> Result<(), TrustError> {
        // named twice is named once
        let mut seen = Vec::new();
        issuer.algorithms.retain(|algorithm| {
            !seen.contains(algorithm) && {
                seen.push(*algorithm);
                true
            }
        });
        check_issuer(&issuer)?;
        let name = issuer.name.clone();
        let index = IssuerIndex(u32::try_from(self.issuers.len()).unwrap_or(u32::MAX));
        if self.names.insert(name.clone(), index).is_some() {
            return Err(TrustError::DuplicateName(name));
        }
        if issuer.issuer.is_pattern() {
            let origin = issuer.issuer.origin().to_owned();
            for other in self.patterns.get(&origin).into_iter().flatten() {
                if let Some(other) = self.issuer(*other).filter(|o| o.issuer.overlaps(&issuer.issuer)) {
                    return Err(TrustError::DuplicateIssuer(other.name.clone(), name));
                }
            }
            self.patterns.entry(origin).or_default().push(index);
        } else if let Some(other) = self.exact.insert(issuer.issuer.as_str().to_owned(), index) {
            let other = self.issuer(other).map(|other| other.name.clone()).unwrap_or_default();
            return Err(TrustError::DuplicateIssuer(other, name));
        }
        let types = issuer.typ.as_ref().map(|types| types.iter().map(|typ| bare_type(typ).into_owned()).collect());
        let (shared, iss) = (Arc::from(issuer.name.as_str()), Arc::from(issuer.issuer.as_str()));
        let mut compiled = Compiled { name: shared, iss, issuer, index, types, first: None, api_tokens: None };
        compiled.first = match &compiled.issuer.keys {
            KeySource::Inline(_) => None,
            KeySource::JwksUri(url) => {
                let iss = compiled.issuer.issuer.as_str().to_owned();
                let slot = compiled.slot(None, DocumentKind::Jwks);
                Some(Fetch::new(&compiled.name, iss, slot, url.clone(), true))
            }
            KeySource::Discovery if compiled.issuer.issuer.is_pattern() => None,
            KeySource::Discovery => {
                Some(compiled.discovery(None, self.limits.url_policy).ok_or(TrustError::DiscoveryWithoutUrl(name))?)
            }
        };
        self.issuers.push(compiled);
        Ok(())
    }

    /// The issuer at an index; `None` for an index of another, longer list.
    pub fn issuer(&self, index: IssuerIndex) -> Option<&Issuer> {
        self.compiled(index).map(|compiled| &compiled.issuer)
    }

    /// The issuer of that name in the configuration.
    pub fn index_of(&self, name: &str) -> Option<IssuerIndex> {
        self.names.get(name).copied()
    }

    /// All issuers, in their order.
    pub fn issuers(&self) -> impl Iterator<Item = (IssuerIndex, &Issuer)> {
        self.issuers.iter().map(|compiled| (compiled.index, &compiled.issuer))
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What checks the signatures.
    pub fn provider(&self) -> &dyn SignatureProvider {
        self.provider.as_ref()
    }

    /// The headers of tokens that held.
    pub(crate) fn heads(&self) -> &Heads {
        &self.heads
    }

    /// What can be fetched ahead of need: the first document of every issuer and tenant that the policy names.
    pub fn first_fetches(&self) -> Vec<Fetch> {
        let mut fetches: Vec<Fetch> = self.revocations.iter().map(|source| source.fetch.clone()).collect();
        for compiled in &self.issuers {
            fetches.extend(compiled.first.clone());
            if compiled.first.is_none() && matches!(compiled.issuer.keys, KeySource::Discovery) {
                let tenants = compiled.issuer.tenants.iter().flat_map(Ordered::keys);
                fetches.extend(tenants.filter_map(|tenant| compiled.discovery(Some(tenant), self.limits.url_policy)));
            }
        }
        for fetch in self.credentials.iter().flat_map(CompiledCredential::first_fetches) {
            if !fetches.contains(fetch) {
                fetches.push(fetch.clone());
            }
        }
        fetches
    }

    pub(crate) fn compiled(&self, index: IssuerIndex) -> Option<&Compiled> {
        self.issuers.get(index.0 as usize)
    }

    /// The issuer of an `iss`, and its tenant: an exact one by one look-up; a pattern by one more, of its host.
    pub(crate) fn find<'a>(&self, iss: &'a str) -> Option<(&Compiled, Option<&'a str>)> {
        if let Some(index) = self.exact.get(iss) {
            return self.compiled(*index).map(|compiled| (compiled, None));
        }
        self.patterns.get(origin_of(iss))?.iter().find_map(|index| {
            let compiled = self.compiled(*index)?;
            let tenant = compiled.issuer.issuer.tenant_of(iss)?;
            let trusted = compiled.issuer.tenants.as_ref().is_none_or(|tenants| tenants.contains_key(tenant));
            trusted.then_some((compiled, Some(tenant)))
        })
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("issuers", &self.issuers.len())
            .field("credentials", &self.credentials.len())
            .field("provider", &self.provider.name())
            .finish_non_exhaustive()
    }
}

fn check_issuer(issuer: &Issuer) -> Result<(), TrustError> {
    let name = || issuer.name.clone();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if issuer.name.is_empty() || !issuer.name.bytes().all(plain) {
        return Err(TrustError::Name(name()));
    }
    if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
        return Err(TrustError::NoAudience(name()));
    }
    let symmetric = issuer.algorithms.iter().filter(|algorithm| algorithm.is_symmetric()).count();
    if issuer.algorithms.is_empty() {
        return Err(TrustError::NoAlgorithm(name()));
    }
    if symmetric != 0 && symmetric != issuer.algorithms.len() {
        return Err(TrustError::MixedAlgorithms(name()));
    }
    match &issuer.keys {
        KeySource::Inline(set) => check_inline(issuer, set)?,
        _ if symmetric != 0 => return Err(TrustError::SecretFromNetwork(name())),
        KeySource::Discovery if !issuer.issuer.is_url() => {
            return Err(TrustError::DiscoveryWithoutUrl(name()));
        }
        _ => {}
    }
    if let Some(tenants) = &issuer.tenants
        && (!issuer.issuer.is_pattern() || tenants.is_empty() || !tenants.keys().all(|t| is_tenant(t)))
    {
        return Err(TrustError::Tenants(name()));
    }
    if issuer.clock_skew > MOST_SKEW {
        return Err(TrustError::Skew(name()));
    }
    if let Some(types) = &issuer.typ {
        let bad = |typ: &String| typ.is_empty() || OTHER_KINDS.contains(&&*bare_type(typ));
        if types.is_empty() || types.iter().any(bad) {
            return Err(TrustError::Type(name()));
        }
    }
    Ok(())
}

fn check_inline(issuer: &Issuer, set: &crate::jwks::KeySet) -> Result<(), TrustError> {
    if set.is_empty() && issuer.introspects {
        return Ok(());
    }
    if set.is_empty() {
        return Err(TrustError::NoKey(issuer.name.clone()));
    }
    // A secret is no use to an issuer of public keys, and could only be one by mistake.
    if set.has_secret() != issuer.algorithms.iter().any(|algorithm| algorithm.is_symmetric()) {
        return Err(TrustError::MixedAlgorithms(issuer.name.clone()));
    }
    if set.unnamed().any(|key_type| sole_algorithm(issuer, key_type).is_none()) {
        return Err(TrustError::KeyWithoutAlgorithm(issuer.name.clone()));
    }
    Ok(())
}
