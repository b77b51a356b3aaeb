//! What has been fetched: parsed documents with their age, and failures, so that a provider is asked no more than it
//! needs.
//!
//! A document is fresh for the lifetime that its reply asks for, within bounds (RFC 9111 section 4.2). Before that
//! ends it is [`due`](Documents::due) for a refresh in the background; an expired one serves for a bounded while as
//! long as refreshing fails. A failure never replaces a document. Only what parsed is ever kept.
use crate::api_token::{self, ApiToken};
use crate::credential_issuer::{self, IssuerKeys};
use crate::did::{Did, DidDocument};
use crate::discovery::{self, ProviderMetadata};
use crate::fetch::{DocumentKind, Fetch, Slot};
use crate::jwks::KeySet;
use crate::limits::Limits;
use crate::ordered::Ordered;
use crate::revocation::compact::{Pages, Taken, pages_of};
use crate::revocation::lists::Lists;
use crate::revocation::{self, MOST_JSON};
use crate::status_list::StatusListToken;
use crate::time::Timestamp;
use crate::trust::{IssuerIndex, Trust};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Duration;

/// A reply to a [`Fetch`], as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The HTTP status. Anything but 200 is a failure, redirects too.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// `max-age` of `Cache-Control`, where it has one (RFC 9111 section 5.2.2.1).
    pub max_age: Option<Duration>,
}

/// Why a document could not be had.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FetchFailure {
    /// No reply in time.
    Timeout,
    /// No connection, or it broke.
    Unreachable,
    /// Another status than 200.
    Status(u16),
    /// The body is over the limit.
    TooLarge,
    /// The body is not the document that was asked for; the text says why, without quoting it.
    Malformed(String),
    /// The configuration names no way to the host.
    HostNotConfigured,
    /// As many documents are kept as may be.
    NoRoom,
}

impl fmt::Display for FetchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no reply in time"),
            Self::Unreachable => f.write_str("no connection"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::TooLarge => f.write_str("too large"),
            Self::Malformed(why) => write!(f, "not the document: {why}"),
            Self::HostNotConfigured => f.write_str("the configuration does not name the host"),
            Self::NoRoom => f.write_str("no room for another document"),
        }
    }
}

/// A reply that was not taken. The failure is already noted; the document that was there is still there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocumentError(FetchFailure);

impl DocumentError {
    /// Why.
    pub fn failure(&self) -> &FetchFailure {
        &self.0
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for DocumentError {}

/// All documents that are known, within bounds.
#[derive(Debug)]
pub struct Documents {
    limits: Limits,
    /// boxed, so that little is moved where one is put in between
    entries: Ordered<Slot, Box<Entry>>,
    /// when a fetch for a made-up tenant last failed: one for the issuer, not one for each name
    unknown_failed: Ordered<IssuerIndex, Timestamp>,
    /// see [`version`](Self::version)
    version: u64,
    /// how many different documents there ever were
    revisions: u64,
    revocations: Lists,
}

#[derive(Debug)]
struct Entry {
    fetch: Fetch,
    document: Option<Stored>,
    failed: Option<Timestamp>,
}

#[derive(Debug)]
pub(crate) struct Stored {
    content: Content,
    fetched: Timestamp,
    refresh: Timestamp,
    expires: Timestamp,
    stale_until: Timestamp,
    bytes: usize,
    /// of the reply's body, to tell whether a newer one says anything else
    digest: [u8; 32],
    /// the same for as long as it says the same, and no other document's
    revision: u64,
}

#[derive(Debug)]
enum Content {
    /// the fetch of the key set that it names, and what logins need of it
    Discovery(Fetch, Option<Box<ProviderMetadata>>),
    Keys(KeySet),
    Did(Box<DidDocument>),
    StatusList(Box<StatusListToken>),
    ApiTokens(Vec<ApiToken>),
}

/// What is known of a document.
pub(crate) enum Found<'a> {
    Document(&'a Stored),
    /// It has to be fetched.
    Need,
    /// It could not be had a moment ago; ask again after this.
    Unavailable(Duration),
}

impl Stored {
    pub(crate) fn keys(&self) -> Option<&KeySet> {
        if let Content::Keys(keys) = &self.content { Some(keys) } else { None }
    }

    pub(crate) fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Which document it is: another number as soon as it says anything else.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn jwks_fetch(&self) -> Option<&Fetch> {
        if let Content::Discovery(fetch, _) = &self.content { Some(fetch) } else { None }
    }

    pub(crate) fn provider(&self) -> Option<&ProviderMetadata> {
        if let Content::Discovery(_, provider) = &self.content { provider.as_deref() } else { None }
    }

    pub(crate) fn did(&self) -> Option<&DidDocument> {
        if let Content::Did(document) = &self.content { Some(document) } else { None }
    }

    pub(crate) fn status_list(&self) -> Option<&StatusListToken> {
        if let Content::StatusList(token) = &self.content { Some(token) } else { None }
    }

    pub(crate) fn api_tokens(&self) -> Option<&[ApiToken]> {
        if let Content::ApiTokens(tokens) = &self.content { Some(tokens) } else { None }
    }

    /// An estimate, from what it was parsed from.
    fn memory(&self) -> usize {
        const KEY: usize = 2048;
        let inflated = self.status_list().map_or(0, StatusListToken::inflated_bytes);
        self.bytes + inflated + self.keys().map_or(0, |keys| keys.len() * KEY)
    }
}

impl Documents {
    /// None yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            entries: Ordered::new(),
            unknown_failed: Ordered::new(),
            version: 0,
            revisions: 0,
            revocations: Lists::default(),
        }
    }

    /// Takes the reply to a fetch, received at `now`. It replaces the document that was there, unless that one is
    /// newer.
    ///
    /// # Errors
    /// [`DocumentError`] where the reply is not the document; it counts as a failed fetch.
    pub fn insert(&mut self, fetch: &Fetch, reply: &Reply, now: Timestamp) -> Result<(), DocumentError> {
        if fetch.kind() == DocumentKind::Revocations {
            return match reply.status {
                304 if self.renew(fetch, now) => Ok(()),
                200 => self.insert_list(fetch, &reply.body, None, now).map(drop),
                status => {
                    self.revocations.fail(fetch, now);
                    Err(DocumentError(FetchFailure::Status(status)))
                }
            };
        }
        let taken = self.read(fetch, reply).and_then(|content| self.store(fetch, reply, content, now));
        taken.map_err(|why| {
            self.fail(fetch, why.clone(), now);
            DocumentError(why)
        })
    }

    /// Notes that a fetch failed at `now`. The document that was there stays.
    pub fn fail(&mut self, fetch: &Fetch, why: FetchFailure, now: Timestamp) {
        if fetch.kind() == DocumentKind::Revocations {
            self.revocations.fail(fetch, now);
            return;
        }
        let failure = || Box::new(Entry { fetch: fetch.clone(), document: None, failed: Some(now) });
        match self.entries.get_mut(fetch.slot()) {
            Some(entry) if entry.fetch == *fetch => entry.failed = Some(now),
            // the provider has moved its keys: those of the old address serve no more
            Some(entry) => {
                *entry = failure();
                self.changed();
            }
            // anyone can make up a tenant: one note for the issuer, none for the name
            None if !fetch.is_configured() && fetch.kind() == DocumentKind::Discovery => self.note_unknown(fetch, now),
            None => {
                if why != FetchFailure::NoRoom && self.make_room(fetch).is_ok() {
                    self.entries.insert(fetch.slot().clone(), failure());
                } else {
                    // without room for a note the tenant is forgotten, and as good as made up
                    self.forget(&Slot { kind: DocumentKind::Discovery, ..fetch.slot().clone() });
                    self.note_unknown(fetch, now);
                }
            }
        }
    }

    /// Takes a list of revocations, received at `now`: in JSON, or in the compact form in one piece. `etag` is that of the
    /// reply (RFC 9110 section 8.8.3).
    ///
    /// # Errors
    /// [`DocumentError`] where it is none; it counts as a failed fetch.
    pub fn insert_list(
        &mut self,
        fetch: &Fetch,
        body: &[u8],
        etag: Option<&str>,
        now: Timestamp,
    ) -> Result<Taken, DocumentError> {
        let built = match body.first() {
            // as no JSON begins
            Some(b'c') => return self.insert_pages(fetch, body.len(), &mut pages_of(body), etag, now),
            _ if body.len() > MOST_JSON => Err(FetchFailure::TooLarge),
            _ => revocation::from_json(body).map_err(FetchFailure::Malformed),
        };
        let list = built.map_err(|why| {
            self.revocations.fail(fetch, now);
            DocumentError(why)
        })?;
        let mut pages = |number| list.pages().nth(number).map(<[u8]>::to_vec);
        self.insert_pages(fetch, list.size(), &mut pages, etag, now)
    }

    /// Takes a list of revocations in the compact form from its pages, so that there are never two copies of it; else as
    /// [`insert_list`](Self::insert_list).
    ///
    /// # Errors
    /// [`DocumentError`] where it is none; it counts as a failed fetch.
    pub fn insert_pages(
        &mut self,
        fetch: &Fetch,
        bytes: usize,
        pages: Pages<'_>,
        etag: Option<&str>,
        now: Timestamp,
    ) -> Result<Taken, DocumentError> {
        self.revocations.take(fetch, bytes, pages, etag, now).map_err(DocumentError)
    }

    /// A list of revocations is unchanged, as its publisher said at `now` (304). False where there is none.
    pub fn renew(&mut self, fetch: &Fetch, now: Timestamp) -> bool {
        self.revocations.renew(fetch, now)
    }

    /// The lists of what is revoked.
    pub(crate) fn revocations(&self) -> &Lists {
        &self.revocations
    }

    /// A list of revocations in the compact form, and the `etag` that it came with.
    pub fn revocation_list(&self, fetch: &Fetch) -> Option<(&revocation::compact::Compact, Option<&str>)> {
        Some((self.revocations.list(fetch)?, self.revocations.etag(fetch)))
    }

    /// What was decided on the documents of before has to be looked at again.
    fn changed(&mut self) {
        self.version = self.version.wrapping_add(1);
    }

    /// Forgets a document. One that is fetched anew later may say anything, so nothing rests on this one any more.
    fn forget(&mut self, slot: &Slot) {
        if self.entries.remove(slot).is_some_and(|entry| entry.document.is_some()) {
            self.changed();
        }
    }

    fn note_unknown(&mut self, fetch: &Fetch, now: Timestamp) {
        if let Some(issuer) = fetch.issuer() {
            self.unknown_failed.insert(issuer, now);
        }
    }

    fn read(&self, fetch: &Fetch, reply: &Reply) -> Result<Content, FetchFailure> {
        if reply.status != 200 {
            return Err(FetchFailure::Status(reply.status));
        }
        if reply.body.len() > self.limits.document_bytes {
            return Err(FetchFailure::TooLarge);
        }
        let malformed = |why: String| FetchFailure::Malformed(why);
        // nothing symmetric is ever taken from the network
        let keys = |bytes: &[u8]| KeySet::parse(bytes, &[]).map(Content::Keys).map_err(|error| error.to_string());
        match fetch.kind() {
            DocumentKind::Discovery => {
                let (depth, policy) = (self.limits.json_depth, self.limits.url_policy);
                discovery::parse(&reply.body, fetch.iss(), depth, policy)
                    .map(|found| Content::Discovery(fetch.jwks_of(found.jwks_uri), found.provider.map(Box::new)))
                    .map_err(malformed)
            }
            DocumentKind::CredentialIssuer => {
                match credential_issuer::parse(&reply.body, fetch.iss(), &self.limits).map_err(malformed)? {
                    IssuerKeys::At(url) => Ok(Content::Discovery(fetch.jwks_of(url), None)),
                    IssuerKeys::Here(keys) => Ok(Content::Keys(keys)),
                }
            }
            DocumentKind::Jwks | DocumentKind::CredentialKeys => keys(&reply.body).map_err(malformed),
            DocumentKind::DidDocument => Did::parse(fetch.iss())
                .and_then(|did| DidDocument::parse(&reply.body, &did, &self.limits))
                .map(|document| Content::Did(Box::new(document)))
                .map_err(|error| malformed(error.to_string())),
            DocumentKind::StatusList => StatusListToken::parse(&reply.body, &self.limits)
                .map(|token| Content::StatusList(Box::new(token)))
                .map_err(malformed),
            DocumentKind::ApiTokens => {
                api_token::parse(&reply.body, &self.limits).map(Content::ApiTokens).map_err(malformed)
            }
            DocumentKind::Revocations => Err(FetchFailure::NoRoom),
        }
    }

    fn store(&mut self, fetch: &Fetch, reply: &Reply, content: Content, now: Timestamp) -> Result<(), FetchFailure> {
        match self.entries.get(fetch.slot()) {
            None => self.make_room(fetch)?,
            Some(entry) if entry.fetch == *fetch => {
                // a reply that was overtaken by a later one
                if entry.document.as_ref().is_some_and(|document| document.fetched > now) {
                    return Ok(());
                }
            }
            Some(_) => {}
        }
        let (bounds, asked, stale) = match &content {
            // "how long a copy serves before a fresh one is fetched" is the list's own word (`ttl`); an old one tells
            // nothing of what was revoked since
            Content::StatusList(token) => (self.limits.status_lifetime, token.ttl().or(reply.max_age), Duration::ZERO),
            _ => (self.limits.lifetime, reply.max_age, self.limits.stale),
        };
        let lifetime = asked.unwrap_or(bounds.default).clamp(bounds.min, bounds.max);
        let expires = now.saturating_add(lifetime);
        let digest = Sha256::digest(&reply.body).into();
        let before = self.entries.get(fetch.slot()).and_then(|entry| Some((&entry.fetch, entry.document.as_ref()?)));
        let same = before.filter(|(of, before)| *of == fetch && before.digest == digest);
        let revision = same.map_or(self.revisions.wrapping_add(1), |(_, before)| before.revision);
        // also after a failure: who did without it looks again
        let changed = self.entries.contains_key(fetch.slot()) && same.is_none();
        let document = Stored {
            content,
            fetched: now,
            // the last quarter is the margin, so that a few failures can be made up for
            refresh: now.saturating_add(lifetime.saturating_sub(lifetime / 4)),
            expires,
            stale_until: expires.saturating_add(stale),
            bytes: reply.body.len(),
            digest,
            revision,
        };
        self.revisions = self.revisions.max(revision);
        if changed {
            self.changed();
        }
        let entry = Entry { fetch: fetch.clone(), document: Some(document), failed: None };
        self.entries.insert(fetch.slot().clone(), Box::new(entry));
        if fetch.kind() == DocumentKind::StatusList {
            self.bound_status_lists(fetch);
        }
        Ok(())
    }

    /// Forgets the oldest status lists while all of them together take more than they may; never the newest.
    fn bound_status_lists(&mut self, newest: &Fetch) {
        loop {
            let (mut memory, mut oldest) = (0_usize, None);
            for (slot, entry) in self.entries.iter().filter(|(slot, _)| slot.kind == DocumentKind::StatusList) {
                let Some(document) = &entry.document else { continue };
                memory = memory.saturating_add(document.memory());
                if slot != newest.slot() && oldest.is_none_or(|(fetched, _)| document.fetched < fetched) {
                    oldest = Some((document.fetched, slot));
                }
            }
            match oldest.map(|(_, slot)| slot.clone()) {
                Some(slot) if memory > self.limits.status_memory => self.forget(&slot),
                _ => return,
            }
        }
    }

    /// Makes room for one more: tenants that no policy names go first, the oldest first. They never push out anything
    /// that a policy names.
    fn make_room(&mut self, fetch: &Fetch) -> Result<(), FetchFailure> {
        if self.entries.len() < self.limits.max_documents {
            return Ok(());
        }
        let new = fetch.slot();
        let age = |entry: &Entry| entry.document.as_ref().map(|document| document.fetched);
        let victim = self
            .entries
            .iter()
            .filter(|(slot, _)| slot.owner != new.owner)
            .filter(|(_, entry)| fetch.is_configured() || !entry.fetch.is_configured())
            .min_by_key(|(_, entry)| (entry.fetch.is_configured(), age(entry)))
            .map(|(slot, _)| slot.clone());
        let Some(slot) = victim else { return Err(FetchFailure::NoRoom) };
        self.forget(&slot);
        Ok(())
    }

    /// What to fetch in the background now: documents near their end or that failed a cooldown ago, and the key sets
    /// that discovery documents name. Only what a policy names; tenants met by an open pattern are fetched when they
    /// are needed.
    ///
    /// The same fetch is named until its reply or failure is put in: the caller knows what it has under way.
    pub fn due(&self, trust: &Trust, now: Timestamp) -> Vec<Fetch> {
        let sources = trust.revocations().iter();
        let mut fetches: Vec<Fetch> =
            sources.filter(|source| self.revocations.is_due(source, now)).map(|source| source.fetch.clone()).collect();
        for entry in self.entries.values().filter(|entry| entry.fetch.is_configured()) {
            if !trust.names(&entry.fetch) {
                continue;
            }
            let jwks = entry.document.as_ref().and_then(Stored::jwks_fetch);
            if let Some(jwks) = jwks {
                let known = self.entries.get(jwks.slot()).filter(|known| known.fetch == *jwks);
                if known.is_none_or(|known| self.is_due(known, now)) {
                    fetches.push(jwks.clone());
                }
            }
            // a key set that discovery names is looked at with its discovery document
            if !self.has_metadata(entry) && self.is_due(entry, now) {
                fetches.push(entry.fetch.clone());
            }
        }
        fetches
    }

    /// Whether it is a key set whose metadata document is known.
    fn has_metadata(&self, entry: &Entry) -> bool {
        let metadata = |kind| Slot { kind, ..entry.fetch.slot().clone() };
        entry.fetch.kind().named_by().is_some_and(|kind| self.entries.contains_key(&metadata(kind)))
    }

    fn is_due(&self, entry: &Entry, now: Timestamp) -> bool {
        let wanted = entry.document.as_ref().is_none_or(|document| document.refresh <= now);
        wanted && self.cooling(entry.failed, now).is_none()
    }

    /// Changes whenever any document is replaced by one that says something else, or forgotten, so that whoever remembers
    /// what was decided looks again whether its own documents still say the same
    /// ([`Condensed::still_holds`](crate::Condensed::still_holds), [`crate::verify_status`]). A document of which
    /// nothing was known, or that is renewed unchanged, takes nothing back.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many documents and failures are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// About how many bytes they take: an estimate from what they were parsed from.
    pub fn memory(&self) -> usize {
        const ENTRY: usize = 1024;
        let memory = |entry: &Entry| ENTRY + entry.document.as_ref().map_or(0, Stored::memory);
        self.entries.values().map(|entry| memory(entry)).sum::<usize>() + self.revocations.memory()
    }

    /// What is known of a slot. `id` asks for the document of that fetch only.
    pub(crate) fn find(&self, slot: &Slot, id: Option<&Fetch>, now: Timestamp) -> Found<'_> {
        let entry = self.entries.get(slot).filter(|entry| id.is_none_or(|id| entry.fetch == *id));
        let Some(entry) = entry else { return Found::Need };
        let cooling = self.cooling(entry.failed, now);
        match (&entry.document, cooling) {
            (Some(document), _) if now < document.expires => Found::Document(document),
            // twice the cooldown, so that a refresh in the background comes before a request has to wait
            (Some(document), _)
                if now < document.stale_until && self.failed_within(entry, self.limits.cooldown * 2, now) =>
            {
                Found::Document(document)
            }
            (_, Some(left)) => Found::Unavailable(left),
            (_, None) => Found::Need,
        }
    }

    /// Whether anything was ever heard of the slot.
    pub(crate) fn has(&self, slot: &Slot) -> bool {
        self.entries.contains_key(slot)
    }

    /// Whether a document may be fetched again because it lacks a `kid`: a cooldown after the last time.
    pub(crate) fn may_refetch(&self, slot: &Slot, now: Timestamp) -> bool {
        self.entries.get(slot).is_some_and(|entry| {
            let fetched = entry.document.as_ref().map(|document| document.fetched);
            self.cooling(fetched, now).is_none() && self.cooling(entry.failed, now).is_none()
        })
    }

    /// How long made-up tenants of an issuer are still refused.
    pub(crate) fn unknown_tenants_refused(&self, issuer: IssuerIndex, now: Timestamp) -> Option<Duration> {
        self.cooling(self.unknown_failed.get(&issuer).copied(), now)
    }

    fn failed_within(&self, entry: &Entry, span: Duration, now: Timestamp) -> bool {
        entry.failed.is_some_and(|failed| now < failed.saturating_add(span))
    }

    /// What is left of the cooldown that began at `since`.
    fn cooling(&self, since: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
        let left = since?.saturating_add(self.limits.cooldown).saturating_since(now);
        // never longer than the cooldown, also after a clock was set back
        (!left.is_zero()).then_some(left.min(self.limits.cooldown))
    }
}
