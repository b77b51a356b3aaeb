//! What is revoked before it ends: sessions, subjects, single tokens, keys. An operator publishes the list; every gateway
//! of a fleet fetches it again every few seconds and shares nothing else.
//!
//! An entry is known by its [`Mark`], 64 bits of SHA-256. What was verified keeps its own marks ([`Marks`]) and asks the
//! lists once for each version of them, so that a request with remembered evidence costs two comparisons.
//!
//! The list comes as JSON, `{"revoked": [{"sub": "alice", "iss": "https://…", "before": 1790000000}, …]}`, of at most
//! [`MOST_ENTRIES`], or in the compact form ([`compact`]).
pub mod compact;
pub(crate) mod lists;

use crate::documents::Documents;
use crate::fetch::{DocumentKind, Fetch};
use crate::json;
use crate::time::Timestamp;
use crate::trust::Trust;
use crate::url::HttpsUrl;
use compact::Compact;
use lists::State;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::fmt;
use std::time::Duration;

/// The most entries of a list in JSON. Longer ones come in the compact form.
pub const MOST_ENTRIES: usize = 10_000;
/// The longest list in JSON, in bytes.
pub const MOST_JSON: usize = 2 * 1024 * 1024;

/// What kind of thing an entry names, with its word in JSON. The numbers are part of the compact form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// `session`: a session or a token for programs, by the id that it was sealed with.
    Session = 1,
    /// `sub` of an `iss`: everything that was issued to this subject.
    Subject = 2,
    /// `jti` of an `iss`: one token (RFC 7519 section 4.1.7).
    TokenId = 3,
    /// `sid` of an `iss`: what belongs to this session at the provider (OpenID Connect Front-Channel Logout 1.0 section 3).
    ProviderSession = 4,
    /// `kid` of an `iss`: everything that this key signed (RFC 7517 section 4.5).
    Key = 5,
    /// `api_token`: an API token, by its SHA-256 in lower-case hex.
    ApiToken = 6,
}

const KINDS: [(&str, Kind); 6] = [
    ("session", Kind::Session),
    ("sub", Kind::Subject),
    ("jti", Kind::TokenId),
    ("sid", Kind::ProviderSession),
    ("kid", Kind::Key),
    ("api_token", Kind::ApiToken),
];

impl Kind {
    /// Whether the value means something at its issuer only.
    fn has_issuer(self) -> bool {
        !matches!(self, Self::Session | Self::ApiToken)
    }
}

/// What an entry is known by: the first 64 bits of SHA-256 over its kind (one byte), the length of `iss` (64 bits, big
/// endian), `iss` (empty where the kind has none) and the value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mark(pub(crate) [u8; 8]);

impl Mark {
    /// The mark of a value.
    pub fn of(kind: Kind, iss: &str, value: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update([kind as u8]);
        hash.update(u64::try_from(iss.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(iss.as_bytes());
        hash.update(value.as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        Self(hash.first_chunk().copied().unwrap_or_default())
    }

    /// The mark of these bytes.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

/// One entry of a list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// What is revoked.
    pub mark: Mark,
    /// Only what was issued before this; whatever it was without.
    pub before: Option<Timestamp>,
}

impl Entry {
    /// Reads an entry: exactly one of the kinds' words, `iss` where the kind has one, and `before` in Unix seconds if only
    /// what was issued before is meant.
    ///
    /// # Errors
    /// What is wrong with it, without its values. A list with an entry that cannot be read is refused as a whole: it might
    /// be the one that matters.
    pub fn from_json(entry: &Map<String, Value>) -> Result<Self, &'static str> {
        let mut found = None;
        for (word, kind) in KINDS {
            match (entry.get(word), found) {
                (None, _) => {}
                (Some(Value::String(value)), None) if !value.is_empty() => found = Some((kind, value)),
                (Some(_), None) => return Err("what it revokes is no text"),
                (Some(_), Some(_)) => return Err("it revokes two things at once"),
            }
        }
        let (kind, value) = found.ok_or("it has none of session, sub, jti, sid, kid and api_token")?;
        let iss = match (entry.get("iss"), kind.has_issuer()) {
            (Some(Value::String(iss)), true) if !iss.is_empty() => iss.as_str(),
            (None, false) => "",
            (_, true) => return Err("`iss` is missing"),
            (Some(_), false) => return Err("`iss` has no meaning here"),
        };
        let before = match entry.get("before") {
            None => None,
            Some(before) => {
                let seconds = before.as_u64().and_then(|seconds| i64::try_from(seconds).ok());
                let seconds = seconds.filter(|seconds| *seconds < compact::END_OF_TIME);
                Some(Timestamp::from_unix(seconds.ok_or("`before` is no time in whole seconds")?))
            }
        };
        let known = 1 + usize::from(kind.has_issuer()) + usize::from(before.is_some());
        if entry.len() != known {
            return Err("it has a member that is not known");
        }
        Ok(Self { mark: Mark::of(kind, iss, value), before })
    }
}

/// Reads a list in JSON into the compact form. Entries are read one by one, since a tree of all of them would take a
/// multiple of the list.
pub(crate) fn from_json(bytes: &[u8]) -> Result<Compact, String> {
    let mut entries = Vec::new();
    json::each_of(bytes, "revoked", &mut |entry| {
        if entries.len() >= MOST_ENTRIES {
            return Err("over 10000 entries: publish the compact form");
        }
        let Value::Object(entry) = entry else { return Err("an entry is no object") };
        entries.push(Entry::from_json(&entry)?);
        Ok(())
    })?;
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let salt = digest.first_chunk().copied().unwrap_or_default();
    let built = compact::build(&entries, salt).ok_or("too many entries that are alike")?;
    Compact::of_slice(&built).ok_or_else(|| "not the compact form".to_owned())
}

/// Where a list is published, and how it counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevocationSource {
    /// Its address.
    pub url: HttpsUrl,
    /// How often it is asked for.
    pub refresh: Duration,
    /// How long after it was last asked for with success it counts. After that everything that it could revoke is refused.
    pub serves: Duration,
}

/// A source with its fetch.
pub(crate) struct CompiledSource {
    pub(crate) fetch: Fetch,
    pub(crate) refresh: Duration,
    pub(crate) serves: Duration,
}

impl CompiledSource {
    pub(crate) fn new(source: RevocationSource) -> Self {
        let name = source.url.as_str().to_owned();
        let fetch = Fetch::named(DocumentKind::Revocations, &name, source.url, true);
        Self { fetch, refresh: source.refresh, serves: source.serves }
    }
}

/// By what a piece of evidence can be revoked, and when it was issued.
pub struct Marks {
    marks: Vec<Mark>,
    issued: Option<Timestamp>,
    /// The version of the lists that was asked last and had none of them; 0 for never.
    seen: Cell<u64>,
}

/// How evidence stands with the lists.
#[derive(Debug)]
pub enum Standing {
    /// None of them has it.
    Good,
    /// One has it.
    Revoked,
    /// A list has to be fetched first.
    Need(Fetch),
    /// A list could not be had; ask again after this.
    Unavailable(Duration),
}

impl Marks {
    /// Of evidence that was issued then. Without a time it counts as issued before any.
    pub fn new(marks: Vec<Mark>, issued: Option<Timestamp>) -> Self {
        Self { marks, issued, seen: Cell::new(0) }
    }

    /// How the evidence stands. While no list changed nothing is looked up, but every list must be fresh enough.
    pub fn standing(&self, trust: &Trust, known: &Documents, now: Timestamp) -> Standing {
        let lists = known.revocations();
        for source in trust.revocations() {
            match lists.state(source, now) {
                State::Serves => {}
                State::Need => return Standing::Need(source.fetch.clone()),
                State::Unavailable(left) => return Standing::Unavailable(left),
            }
        }
        if self.seen.get() == lists.version() {
            return Standing::Good;
        }
        let covered = |source: &CompiledSource| lists.covers(&source.fetch, &self.marks, self.issued);
        if trust.revocations().iter().any(covered) {
            return Standing::Revoked;
        }
        self.seen.set(lists.version());
        Standing::Good
    }

    /// About how many bytes of memory they take.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + 16 + self.marks.capacity() * size_of::<Mark>()
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marks").field("marks", &self.marks.len()).finish_non_exhaustive()
    }
}
