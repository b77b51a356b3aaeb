//! What is worth remembering of a token that was verified: who vouches, for whom, for how long, and of the claims (RFC
//! 7519 section 4) only those that somebody asks for. Everything else is dropped, so that ten thousand of them are small.
//!
//! It holds for as long as all that it rests on: the token's times, which are kept as numbers and compared each time,
//! and the issuer's key set. A key that is withdrawn withdraws it, and so does a key set that is too old to serve; what
//! becomes of the keys of another issuer does not concern it.
use crate::checks;
use crate::claim_path::ClaimPath;
use crate::confirmation::Confirmation;
use crate::documents::Documents;
use crate::json::Claims;
use crate::outcome::Verified;
use crate::revocation::{Kind, Mark, Marks};
use crate::time::Timestamp;
use crate::trust::{Compiled, IssuerIndex, Trust};
use crate::verdict;
use serde_json::{Map, Value};
use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

/// When a token holds: from the first (with it) to the second (without it), both with the issuer's clock skew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// The key set that a verdict rests on, as it was when somebody last looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Basis {
    /// of the key set; none for keys of the configuration, and for what an issuer was asked about
    pub(crate) revision: Option<u64>,
    /// until when it is fresh, and what names it; or until when an issuer's answer is believed
    pub(crate) until: Option<Timestamp>,
    /// [`Documents::version`] at that time
    pub(crate) version: u64,
}

/// A [`Verified`] token in short. It cannot be built outside this crate but from one.
pub struct Condensed {
    issuer: IssuerIndex,
    window: Window,
    iss: Arc<str>,
    tenant: Option<Box<str>>,
    subject: Option<Box<str>>,
    paths: Arc<[ClaimPath]>,
    confirmation: Option<Box<Confirmation>>,
    /// the claims at these paths
    values: Box<[Option<Value>]>,
    /// by what it can be revoked, where anything can be
    marks: Option<Box<Marks>>,
}

impl Verified {
    /// Keeps who vouches and for whom, and the claims at `paths`; and says on which key set that rests.
    pub fn condensed(self, trust: &Trust, paths: &Arc<[ClaimPath]>) -> (Condensed, Basis) {
        let iss = match trust.compiled(self.issuer) {
            Some(compiled) if *compiled.iss == *self.iss() => Arc::clone(&compiled.iss),
            _ => Arc::from(self.iss()),
        };
        let condensed = Condensed {
            issuer: self.issuer,
            window: self.window,
            iss,
            tenant: self.tenant.as_deref().map(Box::from),
            subject: self.subject().map(Box::from),
            confirmation: self.confirmation.clone(),
            paths: Arc::clone(paths),
            values: paths.iter().map(|path| self.claim(path).map(compact)).collect(),
            marks: trust.has_revocations().then(|| marks_of(self.claims.read(), self.iss(), self.key_id.as_deref())),
        };
        self.claims.discard();
        (condensed, self.basis)
    }
}

/// `sub`, `jti` and `sid`, and the key that signed.
fn marks_of(claims: &dyn Claims, iss: &str, key_id: Option<&str>) -> Box<Marks> {
    let text = |name: &str| claims.claim(name).and_then(Value::as_str);
    let all = [
        (Kind::Subject, text("sub")),
        (Kind::TokenId, text("jti")),
        (Kind::ProviderSession, text("sid")),
        (Kind::Key, key_id),
    ];
    let mut marks = Vec::with_capacity(all.len());
    marks.extend(all.into_iter().filter_map(|(kind, value)| Some(Mark::of(kind, iss, value?))));
    Box::new(Marks::new(marks, checks::time(claims, "iat", f64::floor).unwrap_or_default()))
}

impl Condensed {
    /// An API token that is known by this hash.
    pub(crate) fn of_api_token(
        compiled: &Compiled,
        window: Window,
        claims: &Map<String, Value>,
        hash: &str,
        trust: &Trust,
        paths: &Arc<[ClaimPath]>,
    ) -> Self {
        let subject = claims.get("sub").and_then(Value::as_str);
        let marks = || {
            let mut marks = vec![Mark::of(Kind::ApiToken, "", hash)];
            marks.extend(subject.map(|subject| Mark::of(Kind::Subject, &compiled.iss, subject)));
            Box::new(Marks::new(marks, None))
        };
        Self::of_claims(compiled, window, claims, None, trust.has_revocations().then(marks), paths)
    }

    /// A token that its issuer was asked about.
    pub(crate) fn of_introspection(
        compiled: &Compiled,
        window: Window,
        claims: &Map<String, Value>,
        confirmation: Option<Box<Confirmation>>,
        trust: &Trust,
        paths: &Arc<[ClaimPath]>,
    ) -> Self {
        let marks = trust.has_revocations().then(|| marks_of(claims, &compiled.iss, None));
        Self::of_claims(compiled, window, claims, confirmation, marks, paths)
    }

    fn of_claims(
        compiled: &Compiled,
        window: Window,
        claims: &Map<String, Value>,
        confirmation: Option<Box<Confirmation>>,
        marks: Option<Box<Marks>>,
        paths: &Arc<[ClaimPath]>,
    ) -> Self {
        Self {
            issuer: compiled.index,
            window,
            iss: Arc::clone(&compiled.iss),
            tenant: None,
            subject: claims.get("sub").and_then(Value::as_str).map(Box::from),
            confirmation,
            paths: Arc::clone(paths),
            values: paths.iter().map(|path| path.get(claims).map(compact)).collect(),
            marks,
        }
    }

    /// The issuer that vouches.
    #[inline]
    pub fn issuer_index(&self) -> IssuerIndex {
        self.issuer
    }

    /// `iss`, as in the token. Who someone is, is this together with [`subject`](Self::subject).
    #[inline]
    pub fn iss(&self) -> &str {
        &self.iss
    }

    /// For an issuer pattern: the tenant.
    #[inline]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// `sub`.
    #[inline]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// What it is bound to (`cnf`): to be proven each time, however well the verdict is remembered.
    #[inline]
    pub fn confirmation(&self) -> Option<&Confirmation> {
        self.confirmation.as_deref()
    }

    /// From when on it holds no more.
    #[inline]
    pub fn ends(&self) -> Timestamp {
        self.window.until
    }

    /// By what it can be revoked; none where nothing can be.
    #[inline]
    pub fn marks(&self) -> Option<&Marks> {
        self.marks.as_deref()
    }

    /// The claim at a path, one of those that were kept; `None` for any other.
    #[inline]
    pub fn claim(&self, path: &ClaimPath) -> Option<&Value> {
        let at = self.paths.iter().position(|kept| kept == path)?;
        self.values.get(at)?.as_ref()
    }

    /// Whether it still holds at `now`: its times are compared again, and its key set must be the same and fit to serve.
    ///
    /// `basis` is what [`Verified::condensed`] gave, and is brought up to date. While no document changed nothing is
    /// looked up.
    #[inline]
    pub fn still_holds(&self, basis: &mut Basis, trust: &Trust, known: &Documents, now: Timestamp) -> bool {
        if now < self.window.from || now >= self.window.until {
            return false;
        }
        if basis.revision.is_none() {
            return basis.until.is_none_or(|until| now < until);
        }
        if basis.version == known.version() && basis.until.is_some_and(|until| now < until) {
            return true;
        }
        match verdict::basis(trust, self.issuer, self.tenant(), known, now) {
            Some(current) if current.revision == basis.revision => {
                *basis = current;
                true
            }
            _ => false,
        }
    }

    /// How many bytes of memory it takes, about; what it shares is not counted.
    pub fn memory(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_deref().map_or(0, |text| ALLOCATION + text.len());
        let own = if Arc::strong_count(&self.iss) > 1 { 0 } else { ALLOCATION + self.iss.len() };
        let values: usize = self.values.iter().map(|value| value.as_ref().map_or(0, memory_of)).sum();
        let list = if self.values.is_empty() { 0 } else { ALLOCATION + size_of::<Option<Value>>() * self.values.len() };
        let bound = self.confirmation.as_ref().map_or(0, |bound| ALLOCATION * 3 + bound.memory());
        let marks = self.marks.as_ref().map_or(0, |marks| ALLOCATION + marks.memory());
        size_of::<Self>() + bound + own + text(&self.tenant) + text(&self.subject) + list + values + marks
    }
}

impl fmt::Debug for Condensed {
    /// Whose token it is, without any claim.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condensed").field("issuer", &self.issuer).field("window", &self.window).finish_non_exhaustive()
    }
}

/// What an allocation takes beside its bytes.
const ALLOCATION: usize = 16;
/// What a member of an object takes beside its texts and values: its share of a node of the tree.
const MEMBER: usize = size_of::<String>() + size_of::<Value>() + ALLOCATION;

/// About how many bytes of memory a value takes beside itself.
pub fn memory_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => ALLOCATION + text.capacity(),
        Value::Array(members) => {
            ALLOCATION + size_of::<Value>() * members.capacity() + members.iter().map(memory_of).sum::<usize>()
        }
        Value::Object(members) => memory_of_members(members),
    }
}

/// The same of an object's members. A tree's nodes have room for eleven (a node with few is as large).
pub fn memory_of_members(members: &Map<String, Value>) -> usize {
    const NODE: usize = 11;
    let inside: usize = members.iter().map(|(name, value)| ALLOCATION + name.capacity() + memory_of(value)).sum();
    // nodes are at least about half full
    let nodes = members.len().div_ceil(NODE / 2);
    nodes * NODE * MEMBER + inside
}

/// A copy without room to grow.
fn compact(value: &Value) -> Value {
    match value {
        Value::Array(members) => Value::Array(members.iter().map(compact).collect()),
        other => other.clone(),
    }
}
