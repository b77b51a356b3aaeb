//! Sessions and tokens for programs: proofs that were shown, carried sealed by those who showed them, so that no state is
//! kept and any Envoy with the same key can read them. A session satisfies `{ credential: X }` and `{ login: X }`, never
//! `{ token: X }`.
//!
//! A damaged or ended cookie is none (threats 66 and 76). A method that changes something, and a WebSocket handshake, count
//! only where they come from our own pages (threat 86).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use carded_verifier::dpop::VerifiedDpop;
use carded_verifier::revocation::Marks;
use carded_verifier::{Documents, Fetch, Outcome, StatusReference, Timestamp, verify_status};
use serde::Serialize;

use super::at::At;
use super::cache::Key;
use super::config::tree::FromNode;
use super::cookie;
use super::decide::{Around, Halt};
use super::ended::Endings;
use super::possession::{SCHEME, spend_proof};
use super::presentation::{redirect, way_back};
use super::proof::{Proof, Shown, StatusSeen};
use super::reply::{Refusal, Reply};
use super::request::Request;
use super::requirement::Requirement;
use super::seal::{Binding, Purpose, Random, Sealer, claims_to_hold, is_in_time};
use super::signed_in::{KnownLogin, SignedIn};
use super::slow::{COOKIE, Tried, failed};
use super::verdicts::Verdicts;
use super::{Gate, place};

/// How long sessions and tokens last, and what seals them.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) sealer: Sealer,
    pub(super) lifetime: Duration,
    /// How long a session lasts that is not renewed.
    pub(super) idle: Option<Duration>,
    pub(super) token_lifetime: Duration,
}

/// What a session's cookie holds.
#[derive(Debug, Default, Serialize, FromNode)]
pub(super) struct Session {
    #[serde(rename = "p")]
    pub(super) proofs: Vec<Proof>,
    /// Its name, which is new with each login (threat 68).
    #[serde(rename = "d", default, skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) logins: Vec<SignedIn>,
}

/// What a token for programs holds.
#[derive(Debug, Serialize, FromNode)]
pub(super) struct Token {
    #[serde(rename = "p")]
    pub(super) proofs: Vec<Proof>,
    /// The thumbprint of the holder's key (RFC 7638), which each use must prove.
    #[serde(rename = "k")]
    pub(super) thumbprint: String,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "e")]
    pub(super) ends: i64,
    /// Its name.
    #[serde(rename = "d", default, skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
}

/// A session that is sealed for a browser.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) sealed: String,
    /// Each a `set-cookie`.
    pub(super) cookies: Vec<String>,
}

/// What a request brings that was shown before.
#[derive(Debug, Default)]
pub(super) struct Brought {
    pub(super) opened: Option<Rc<Opened>>,
    /// Which of what was opened holds now, one bit for each.
    pub(super) holds: u32,
    /// The same of the logins.
    logins_hold: u32,
    /// Whether it came by the session's cookie, which a browser sends unasked.
    pub(super) by_cookie: bool,
    /// Whether it came by a token for programs.
    pub(super) by_token: bool,
    /// Whether a provider is to be asked again about a login, by its refresh token.
    pub(super) due: bool,
    /// Why something that was brought no longer holds.
    pub(super) lapsed: Option<Refusal>,
}

/// A session or a token for programs once it is open: what a cookie or a header is remembered as.
#[derive(Debug)]
pub(super) struct Opened {
    shown: Vec<Shown>,
    pub(super) logins: Vec<KnownLogin>,
    /// When it was sealed.
    issued: Timestamp,
    /// When it ends, if not sooner by its age.
    ends: Timestamp,
    /// For a token: the thumbprint of the holder's key.
    thumbprint: String,
    /// Its name.
    id: String,
    /// By what it can be revoked, where anything can be.
    marks: Option<Marks>,
    /// By what a session can be ended; none of a token for programs.
    endings: Option<Endings>,
    /// Under which it is remembered.
    key: Option<Key>,
}

impl Opened {
    /// By what a session can be ended; none of a token for programs.
    pub(super) fn endings(&self) -> Option<&Endings> {
        self.endings.as_ref()
    }

    /// By what it can be revoked; none where nothing can be.
    pub(super) fn marks(&self) -> Option<&Marks> {
        self.marks.as_ref()
    }

    /// When it is worth nothing any more.
    pub(super) fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Under which it is remembered.
    pub(super) fn key(&self) -> Option<Key> {
        self.key
    }

    /// About how many bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        let own = size_of::<Self>().saturating_add(self.thumbprint.capacity()).saturating_add(self.id.capacity());
        let own = own.saturating_add(self.marks.as_ref().map_or(0, Marks::memory));
        let own = own.saturating_add(self.endings.as_ref().map_or(0, Endings::memory));
        let own = self.shown.iter().map(Shown::memory).fold(own, usize::saturating_add);
        self.logins.iter().map(KnownLogin::memory).fold(own, usize::saturating_add)
    }
}

impl Brought {
    /// The name of the session or the token for programs, by which it can be revoked.
    #[inline]
    pub(super) fn id(&self) -> Option<&str> {
        self.opened.as_ref().map(|opened| &*opened.id).filter(|id| !id.is_empty())
    }

    /// The proofs that hold now.
    #[inline]
    pub(super) fn shown(&self) -> impl Iterator<Item = &Shown> {
        let all = self.opened.iter().flat_map(|opened| &opened.shown);
        all.zip(0_u32..).filter(|(_, at)| self.holds >> at & 1 == 1).map(|(shown, _)| shown)
    }

    /// The logins that hold now.
    #[inline]
    pub(super) fn logins(&self) -> impl Iterator<Item = &KnownLogin> {
        let all = self.opened.iter().flat_map(|opened| &opened.logins);
        all.zip(0_u32..).filter(|(_, at)| self.logins_hold >> at & 1 == 1).map(|(login, _)| login)
    }

    /// The same without what a rule does not name; nothing where it names all of it.
    pub(super) fn limited_to(&self, requirement: &Requirement) -> Option<Self> {
        let opened = self.opened.as_ref()?;
        let (mut holds, mut logins_hold) = (self.holds, self.logins_hold);
        for (shown, at) in opened.shown.iter().zip(0_u32..u32::BITS) {
            if !requirement.names_credential(Some(shown.credential)) {
                holds &= !(1 << at);
            }
        }
        for (login, at) in opened.logins.iter().zip(0_u32..u32::BITS) {
            if !requirement.names_login(Some(login.issuer)) {
                logins_hold &= !(1 << at);
            }
        }
        if (holds, logins_hold) == (self.holds, self.logins_hold) {
            return None;
        }
        let (opened, by_cookie, by_token) = (Some(Rc::clone(opened)), self.by_cookie, self.by_token);
        Some(Self { opened, holds, logins_hold, by_cookie, by_token, ..Self::default() })
    }

    /// What holds: proofs, then logins.
    pub(super) fn all_that_holds(&self) -> u64 {
        u64::from(self.holds) | u64::from(self.logins_hold) << 32
    }

    /// Whether anything holds.
    #[inline]
    pub(super) fn is_anything(&self) -> bool {
        (self.holds | self.logins_hold) != 0
    }
}

/// The most proofs in one session.
const MAX_PROOFS: usize = 8;
/// The most logins in one session.
const MAX_LOGINS: usize = 4;

impl Session {
    /// Adds proofs; a newer one of the same credential takes the place of the older.
    pub(super) fn add(&mut self, proofs: Vec<Proof>, now: Timestamp) {
        self.proofs.retain(|old| !old.has_ended(now) && proofs.iter().all(|new| new.name != old.name));
        self.proofs.extend(proofs);
        let surplus = self.proofs.len().saturating_sub(MAX_PROOFS);
        self.proofs.drain(..surplus);
    }

    /// Adds a login, under a new name of the session; a newer one of the same name takes the place of the older. Where it
    /// is of somebody else, nothing of whoever sat there before stays.
    pub(super) fn sign_in(&mut self, id: String, login: SignedIn, now: Timestamp) {
        if self.logins.iter().any(|old| old.name == login.name && (&old.iss, &old.sub) != (&login.iss, &login.sub)) {
            *self = Self::default();
        }
        self.id = id;
        self.logins.retain(|old| old.ends > now.unix() && old.name != login.name);
        self.logins.push(login);
        let surplus = self.logins.len().saturating_sub(MAX_LOGINS);
        self.logins.drain(..surplus);
    }

    /// When the last of what is in it ends.
    fn ends(&self) -> i64 {
        let proofs = self.proofs.iter().map(|proof| proof.ends);
        proofs.chain(self.logins.iter().map(|login| login.ends)).max().unwrap_or(0)
    }
}

impl Sessions {
    /// How long what was sealed for a session opens. What is in it ends by itself.
    #[inline]
    fn longest(&self) -> Duration {
        self.idle.unwrap_or(self.lifetime)
    }

    /// The session that a request brings, whatever is in it, and when it was sealed; an empty one where there is none that
    /// opens.
    pub(super) fn read(&self, request: &Request, origin: &str, now: Timestamp) -> (Session, Timestamp) {
        let binding = Binding { purpose: Purpose::Session, origin, to: b"" };
        let open = |value| {
            let value = cookie::whole(request, value)?;
            self.sealer.open_long::<Session>(binding, &value, now, self.longest(), cookie::LONGEST_SESSION)
        };
        let opened = cookie::values(request, cookie::SESSION).take(4).find_map(open);
        opened.unwrap_or_else(|| (Session::default(), now))
    }

    /// Seals a session.
    ///
    /// # Errors
    /// Where it would outgrow what browsers carry (threat 70).
    pub(super) fn seal(
        &self,
        session: &Session,
        request: &Request,
        origin: &str,
        now: Timestamp,
        random: Random<'_>,
    ) -> Result<Carried, Refusal> {
        let binding = Binding { purpose: Purpose::Session, origin, to: b"" };
        let sealed = self.sealer.seal(binding, session, now, random);
        let sealed = sealed.ok_or_else(|| Refusal::internal_error("there are no random bytes to be had"))?;
        let left = Timestamp::from_unix(session.ends()).saturating_since(now).min(self.longest());
        let cookies = cookie::set_session(request, &sealed, left).ok_or_else(|| {
            Refusal::session_too_large("three cookies do not hold it: the proxy has to forward fewer claims")
        })?;
        Ok(Carried { sealed, cookies })
    }
}

impl Gate {
    /// The proofs that a request brings and that hold now: by the session's cookie, or by a token that is bound to the
    /// holder's key. `cookies`: those to set with the answer.
    #[inline]
    pub(super) fn brought(
        &self,
        at: At<'_>,
        around: &mut Around<'_>,
        cookies: &mut Vec<String>,
    ) -> Result<Brought, Halt> {
        let (now, request, known) = (around.now, at.request, at.known);
        let (Some(sessions), Some(origin)) = (&self.sessions, at.origin) else { return Ok(Brought::default()) };
        let mut brought = Brought::default();
        let mut use_ = None;
        match dpop_token(request)? {
            Some(token) => {
                brought.by_token = true;
                let (opened, dpop) = self.token_proofs(sessions, token, at, origin, around)?;
                use_ = Some(dpop);
                brought.opened = Some(opened);
            }
            None => {
                let mut made_up = false;
                brought.opened = cookie::values(request, cookie::SESSION).take(4).find_map(|value| {
                    let value = cookie::whole(request, value)?;
                    let opened = self.opened(sessions, Purpose::Session, origin, &value, around.verdicts, now);
                    made_up |= opened.is_none() && claims_to_hold(&value, now, sessions.longest());
                    opened
                });
                brought.by_cookie = true;
                if made_up && brought.opened.is_none() {
                    // a browser that cannot know better comes without it the next time
                    failed(COOKIE, around).inspect_err(|_| cookies.push(cookie::clear(cookie::SESSION)))?;
                }
            }
        }
        self.weigh(&mut brought, known, around)?;
        // Last, when no document is needed any more: a decision that starts again must not find its own proof used.
        if let Some(dpop) = use_ {
            spend_proof(&dpop, around)?;
        }
        if brought.by_cookie && brought.is_anything() && !is_from_our_pages(self, request, origin) {
            failed(Tried::With(brought.id().unwrap_or_default()), around)?;
            return Err(
                Refusal::cross_site("this request changes something and does not come from our own pages").into()
            );
        }
        Ok(brought)
    }

    /// What of that which was brought holds now, and whether a provider is to be asked again.
    #[inline]
    pub(super) fn weigh(&self, brought: &mut Brought, known: &Documents, around: &mut Around<'_>) -> Result<(), Halt> {
        let now = around.now;
        if let Some(opened) = &brought.opened
            && let Some(why) = self
                .unless_ended(opened, around)
                .map_or_else(|| self.unless_revoked(opened, known, now), |why| Ok(Some(why)))?
        {
            if brought.by_token {
                return Err(why.into());
            }
            brought.opened = None;
            brought.lapsed = Some(why);
        }
        let mut holds = 0_u32;
        for (shown, at) in brought.opened.iter().flat_map(|opened| &opened.shown).zip(0_u32..u32::BITS) {
            match self.still_holds(shown, known, now) {
                Ok(true) => holds |= 1 << at,
                Ok(false) => {}
                Err(Lapse::Need(fetch)) => return Err(Halt::Need(fetch)),
                Err(Lapse::Refused(refusal)) => brought.lapsed = Some(refusal),
            }
        }
        brought.holds = holds;
        (brought.logins_hold, brought.due) = (0, false);
        for (login, at) in brought.opened.iter().flat_map(|opened| &opened.logins).zip(0_u32..u32::BITS) {
            if !login.signed_in.has_ended(now) {
                brought.logins_hold |= 1 << at;
            }
            brought.due |= login.signed_in.is_due(now);
        }
        Ok(())
    }

    /// Opens what was sealed for a purpose, or remembers what was in it: found by the whole of it, for the same purpose and
    /// origin. Its age is compared each time.
    #[inline]
    pub(super) fn opened(
        &self,
        sessions: &Sessions,
        purpose: Purpose,
        origin: &str,
        sealed: &[u8],
        verdicts: &mut Verdicts,
        now: Timestamp,
    ) -> Option<Rc<Opened>> {
        let is_token = purpose == Purpose::Token;
        let longest = if is_token { sessions.token_lifetime } else { sessions.longest() };
        let key = verdicts.key_of_sealed(is_token, origin, sealed);
        if let Some(opened) = key.and_then(|key| verdicts.sealed(&key, is_token, origin, sealed)) {
            return is_in_time(opened.issued, now, longest).then_some(opened);
        }
        self.open(sessions, purpose, origin, sealed, verdicts, now, key)
    }

    /// The same for what is not remembered.
    #[expect(clippy::too_many_arguments, reason = "what was sealed, and all that it is bound to")]
    fn open(
        &self,
        sessions: &Sessions,
        purpose: Purpose,
        origin: &str,
        sealed: &[u8],
        verdicts: &mut Verdicts,
        now: Timestamp,
        key: Option<Key>,
    ) -> Option<Rc<Opened>> {
        let is_token = purpose == Purpose::Token;
        let longest = if is_token { sessions.token_lifetime } else { sessions.longest() };
        let binding = Binding { purpose, origin, to: b"" };
        let mut logins = Vec::new();
        let mut endings = None;
        let (content, issued, marks) = if is_token {
            let (token, issued) = sessions.sealer.open_dated::<Token>(binding, sealed, now, longest)?;
            let marks = self.marks_of(&token.id, &[], issued);
            (token, issued, marks)
        } else {
            let most = cookie::LONGEST_SESSION;
            let (session, issued) = sessions.sealer.open_long::<Session>(binding, sealed, now, longest, most)?;
            let ends = session.ends();
            let marks = self.marks_of(&session.id, &session.logins, issued);
            endings = Some(Endings::of(&session.id, &session.logins, issued));
            logins = session.logins.into_iter().filter_map(|login| self.known_login(login)).collect();
            let token = Token { proofs: session.proofs, thumbprint: String::new(), ends, id: session.id };
            (token, issued, marks)
        };
        let shown = content.proofs.into_iter().filter_map(|proof| self.shown(proof)).collect();
        let ends = Timestamp::from_unix(content.ends);
        let (thumbprint, id) = (content.thumbprint, content.id);
        let opened = Rc::new(Opened { shown, logins, issued, ends, thumbprint, id, marks, endings, key });
        if let Some(key) = key {
            verdicts.put_sealed(key, &opened, now);
        }
        Some(opened)
    }

    /// When what was brought ends by its age; never where nothing was.
    pub(super) fn brought_ends(&self, brought: &Brought) -> Timestamp {
        match (&brought.opened, &self.sessions) {
            (Some(opened), Some(sessions)) => {
                let longest = if brought.by_token { sessions.token_lifetime } else { sessions.longest() };
                opened.issued.saturating_add(longest).min(opened.ends)
            }
            _ => Timestamp::from_unix(i64::MAX),
        }
    }

    /// Where sessions end by not being used and half of that time is over: sends the browser to the same address again, with
    /// its session renewed. (A service's reply with our cookie in it could end up in a cache.) What is in it ends as before.
    pub(super) fn renewed(&self, brought: &Brought, at: At<'_>, around: &mut Around<'_>) -> Option<Reply> {
        let (sessions, request, origin) = (self.sessions.as_ref()?, at.request, at.origin?);
        let (idle, opened) = (sessions.idle?, brought.opened.as_ref()?);
        let age = around.now.saturating_since(opened.issued);
        if !brought.by_cookie || !brought.is_anything() || age.saturating_mul(2) < idle {
            return None;
        }
        let target = way_back(request.single(":path").ok().flatten()?).ok()?;
        let (session, _) = sessions.read(request, origin, around.now);
        let sealed = sessions.seal(&session, request, origin, around.now, around.random).ok()?;
        let mut reply = redirect(target.to_owned(), "ok");
        reply.set_cookies(sealed.cookies);
        Some(reply)
    }

    /// A login that is there, at the issuer that it was at.
    fn known_login(&self, signed_in: SignedIn) -> Option<KnownLogin> {
        let login = self.logins.iter().find(|login| login.name == signed_in.name)?;
        let same = self.trust.issuer(login.issuer).is_some_and(|issuer| issuer.issuer.as_str() == signed_in.iss);
        same.then_some(KnownLogin { issuer: login.issuer, signed_in })
    }

    /// A proof of a credential and way that are there.
    fn shown(&self, proof: Proof) -> Option<Shown> {
        let credential = self.credentials.iter().position(|credential| credential.name == proof.name)?;
        let way = self.trust.credential_of(&proof.way)?;
        let belongs = self.credentials.get(credential).is_some_and(|credential| credential.ways.contains(&way));
        belongs.then(|| Shown { credential, way, proof, status: Cell::new(None) })
    }

    /// Whether a proof that was shown before holds now; false where it ended. Its status counts until its list ends, while
    /// all documents say the same.
    #[inline]
    fn still_holds(&self, shown: &Shown, known: &Documents, now: Timestamp) -> Result<bool, Lapse> {
        let proof = &shown.proof;
        if proof.has_ended(now) {
            return Ok(false);
        }
        let Some(status) = &proof.status else { return Ok(true) };
        if shown.status.get().is_some_and(|seen| seen.version == known.version() && now < seen.until) {
            return Ok(true);
        }
        self.status_holds(shown, status, known, now)
    }

    /// Whether a proof's status is good, by its list.
    fn status_holds(
        &self,
        shown: &Shown,
        status: &StatusReference,
        known: &Documents,
        now: Timestamp,
    ) -> Result<bool, Lapse> {
        let proof = &shown.proof;
        match verify_status(status, &proof.issuer, shown.way, &self.trust, known, now) {
            Outcome::Verified(checked) => {
                shown.status.set(Some(StatusSeen { until: checked.until(), version: known.version() }));
                Ok(true)
            }
            Outcome::Need(fetch) => Err(Lapse::Need(fetch)),
            Outcome::Denied(denied) => Err(Lapse::Refused(Refusal::from_denied(&denied))),
        }
    }

    /// The proofs in a token for programs, each use of which proves the holder's key (RFC 9449 §4.3 and §7.1).
    fn token_proofs(
        &self,
        sessions: &Sessions,
        token: &[u8],
        at: At<'_>,
        origin: &str,
        around: &mut Around<'_>,
    ) -> Result<(Rc<Opened>, VerifiedDpop), Halt> {
        let now = around.now;
        let opened = self.opened(sessions, Purpose::Token, origin, token, around.verdicts, now);
        if opened.is_none() && claims_to_hold(token, now, sessions.token_lifetime) {
            failed(Tried::Tokens, around)?;
        }
        let Some(opened) = opened.filter(|token| token.ends > now) else {
            return Err(
                Refusal::access_token_invalid("the token has ended or is not ours: show the credential again").into()
            );
        };
        let verified =
            self.proof_of_key(at.request, at.path.as_str(), origin, Some(token), &opened.thumbprint, around)?;
        Ok((opened, verified))
    }
}

/// Why a proof does not hold now.
enum Lapse {
    Need(Fetch),
    Refused(Refusal),
}

/// The token of `Authorization: DPoP`, there once.
pub(super) fn dpop_token(request: &Request) -> Result<Option<&[u8]>, Refusal> {
    let tokens = request.values("authorization").filter_map(|value| place::strip_prefix(value, SCHEME));
    // what is sealed has no dot; what has one is an issuer's
    let mut tokens = tokens.filter(|token| !token.contains(&b'.'));
    match (tokens.next(), tokens.next()) {
        (_, Some(_)) => Err(Refusal::request_malformed("there is more than one token of the scheme DPoP")),
        (first, None) => Ok(first),
    }
}

/// Whether a request that a session carries may act: it only reads, or it comes from our own pages.
#[inline]
pub(super) fn is_from_our_pages(gate: &Gate, request: &Request, origin: &str) -> bool {
    let method = request.single(":method").ok().flatten().unwrap_or_default();
    let reads = matches!(method, b"GET" | b"HEAD" | b"OPTIONS");
    if reads && !request.has("upgrade") {
        return true;
    }
    match (request.single("origin"), request.single("sec-fetch-site")) {
        (Ok(Some(from)), _) => gate.origins.same(from, origin),
        (Ok(None), Ok(Some(site))) => site == b"same-origin",
        _ => false,
    }
}
