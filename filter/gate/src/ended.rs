//! What ended before its time: sessions that people left, and those that a provider ended (`backchannel.rs`). Every worker of
//! the process sees it at once, in bounded memory that never forgets (threat 98).
//!
//! One small value has the number of what was ended so far: while that is the same, a session that was looked at once needs no
//! second look, so that a request costs one read. What ended lies in buckets by its mark, until no session can be there that it
//! is about. Where a bucket is full, all sessions that began until then end, and it is emptied: a doubt refuses.
//!
//! Two clocks count. A session began by ours, which is compared with when it was ended here. A provider's token was issued by
//! the provider's, which is compared with its logout token alone: a login that is under way when it says so does not come in.

use std::cell::Cell;
use std::time::Duration;

use carded_verifier::revocation::{Kind, Mark};
use carded_verifier::{Timestamp, VerifiedIdToken, VerifiedLogoutToken};

use super::Gate;
use super::decide::{Around, Halt};
use super::reply::Refusal;
use super::seal::LEEWAY;
use super::session::{Opened, Session, Sessions};
use super::signed_in::SignedIn;

/// Values by name that the workers of a process share, each with a version.
pub trait Cells {
    /// A value, empty where there was none, and its version; nothing where none can be kept.
    fn read(&mut self, name: &str) -> Option<(Vec<u8>, u32)>;
    /// Sets it where it still has this version.
    fn write(&mut self, name: &str, value: &[u8], version: u32) -> bool;
}

/// Where the state lies; a bucket has its number behind it.
pub(super) const STATE: &str = "carded/ended";
/// How many buckets there are.
const BUCKETS: u8 = 128;
/// How many entries one holds: all of them together have 2.6 MB and 131,072 entries.
const LENGTH: usize = 1024;
/// A mark, and three times in seconds since 1970.
const ENTRY: usize = 8 + 3 * 4;
/// How often a write is tried again because another worker was faster.
const TRIES: usize = 16;
/// What a time says that is not there.
const NEVER: i64 = i64::MIN;

/// How much was ended.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Another number each time.
    version: i64,
    /// All sessions ended that began until then.
    before: i64,
    /// No ID token opens a session that was issued until then.
    said: i64,
}

impl State {
    fn read(cells: &mut dyn Cells) -> Option<(Self, u32)> {
        let (bytes, version) = cells.read(STATE)?;
        if bytes.is_empty() {
            return Some((Self { version: 0, before: NEVER, said: NEVER }, version));
        }
        let mut numbers = bytes.chunks_exact(8).map(|number| number.try_into().map_or(i64::MAX, i64::from_le_bytes));
        let state = Self { version: numbers.next()?, before: numbers.next()?, said: numbers.next()? };
        Some((state, version))
    }
}

/// Something that ended.
#[derive(Debug, Clone, Copy)]
struct Entry {
    mark: Mark,
    /// What began until then ended.
    before: u32,
    /// When the provider said so; 0 where it did not.
    said: u32,
    /// When nothing can be there any more that it is about.
    until: u32,
}

/// Before the year 2106 this loses nothing; after it a time stays at the end.
fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.unix().max(0)).unwrap_or(u32::MAX)
}

impl Entry {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (mark, rest) = bytes.split_first_chunk::<8>()?;
        let (before, rest) = rest.split_first_chunk::<4>()?;
        let (said, until) = rest.split_first_chunk::<4>()?;
        let [before, said, until] = [*before, *said, *until.first_chunk::<4>()?].map(u32::from_le_bytes);
        Some(Self { mark: Mark::from_bytes(*mark), before, said, until })
    }

    fn encode(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.mark.bytes());
        for time in [self.before, self.said, self.until] {
            bytes.extend(time.to_le_bytes());
        }
    }

    /// Both of them: whatever one of them ends.
    fn and(self, other: Self) -> Self {
        Self {
            mark: self.mark,
            before: self.before.max(other.before),
            said: self.said.max(other.said),
            until: self.until.max(other.until),
        }
    }
}

fn bucket(mark: Mark) -> String {
    let [first, ..] = mark.bytes();
    format!("{STATE}/{}", first % BUCKETS)
}

/// What is known of a mark: `Some(None)` where nothing is, `None` where it cannot be known.
fn find(cells: &mut dyn Cells, mark: Mark) -> Option<Option<Entry>> {
    let (bytes, _) = cells.read(&bucket(mark))?;
    Some(bytes.chunks_exact(ENTRY).filter_map(Entry::decode).find(|entry| entry.mark == mark))
}

/// Counts the state on. `all`: every session that began until now ends too, and what was said until then.
fn count(cells: &mut dyn Cells, all: Option<(Timestamp, u32)>) -> bool {
    for _ in 0..TRIES {
        let Some((mut state, version)) = State::read(cells) else { return false };
        state.version = state.version.wrapping_add(1);
        if let Some((now, said)) = all {
            state.before = state.before.max(now.unix());
            state.said = state.said.max(i64::from(said));
        }
        let bytes = [state.version, state.before, state.said].map(i64::to_le_bytes).concat();
        if cells.write(STATE, &bytes, version) {
            return true;
        }
    }
    false
}

/// Notes one. True where it is noted, or all sessions have ended for want of room.
fn put(cells: &mut dyn Cells, new: Entry, now: Timestamp) -> bool {
    let name = bucket(new.mark);
    for _ in 0..TRIES {
        let Some((bytes, version)) = cells.read(&name) else { return false };
        let (mut entry, mut said) = (new, new.said);
        let mut kept = Vec::with_capacity(bytes.len().saturating_add(ENTRY));
        for old in bytes.chunks_exact(ENTRY).filter_map(Entry::decode) {
            if old.mark == entry.mark {
                entry = entry.and(old);
            } else if old.until > seconds(now) {
                said = said.max(old.said);
                old.encode(&mut kept);
            }
        }
        if kept.len() >= LENGTH.saturating_mul(ENTRY) {
            // first this, so that nothing is forgotten in between
            if !count(cells, Some((now, said))) {
                return false;
            }
            kept.clear();
        }
        entry.encode(&mut kept);
        if cells.write(&name, &kept, version) {
            return true;
        }
    }
    count(cells, Some((now, new.said)))
}

/// By what a session can be ended.
#[derive(Debug)]
pub(super) struct Endings {
    /// Each with the time since when that is in the session.
    marks: Vec<(Mark, i64)>,
    /// When the oldest part of the session began.
    oldest: i64,
    /// The number of what was ended when nothing of it was about this session.
    seen: Cell<i64>,
}

impl Endings {
    /// Of a session that was sealed then.
    pub(super) fn of(id: &str, logins: &[SignedIn], sealed: Timestamp) -> Self {
        let mut marks = Vec::with_capacity(logins.len().saturating_mul(2).saturating_add(1));
        if !id.is_empty() {
            marks.push((Mark::of(Kind::Session, "", id), 0));
        }
        for login in logins {
            marks.extend(login.marks().into_iter().flatten().map(|mark| (mark, login.at)));
        }
        let oldest = logins.iter().map(|login| login.at).fold(sealed.unix(), i64::min);
        Self { marks, oldest, seen: Cell::new(0) }
    }

    /// Whether the session has ended; it has where that cannot be known.
    pub(super) fn have_come(&self, cells: &mut dyn Cells) -> bool {
        let Some((state, _)) = State::read(cells) else { return true };
        if state.version == self.seen.get() {
            return false;
        }
        let ended = self.oldest <= state.before
            || self.marks.iter().any(|(mark, since)| {
                find(cells, *mark).is_none_or(|found| found.is_some_and(|entry| *since <= i64::from(entry.before)))
            });
        if !ended {
            self.seen.set(state.version);
        }
        ended
    }

    /// About how many bytes of memory they take.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>().saturating_add(16).saturating_add(self.marks.capacity().saturating_mul(16))
    }
}

impl SignedIn {
    /// By what a provider can end it: whose it is, and its own session.
    fn marks(&self) -> [Option<Mark>; 2] {
        let session = self.sid.as_ref().map(|sid| Mark::of(Kind::ProviderSession, &self.iss, sid));
        [Some(Mark::of(Kind::Subject, &self.iss, &self.sub)), session]
    }
}

impl Gate {
    /// Why a session that was opened is none any more.
    pub(super) fn unless_ended(&self, opened: &Opened, around: &mut Around<'_>) -> Option<Refusal> {
        let ended = opened.endings().is_some_and(|endings| endings.have_come(around.once.cells()));
        ended.then(|| Refusal::revoked("this session was ended: begin again"))
    }

    /// Whether a login may begin now.
    ///
    /// # Errors
    /// Where the provider has ended it since it issued its token; where something of the kind ended in this very second, so that nobody
    /// could tell this session from those; where it cannot be known.
    pub(super) fn may_begin(
        &self,
        token: &VerifiedIdToken,
        login: &SignedIn,
        around: &mut Around<'_>,
    ) -> Result<(), Refusal> {
        let cells = around.once.cells();
        let unknown = || Refusal::login_unavailable("whether this sign-in was ended cannot be known here");
        let (State { mut before, mut said, .. }, _) = State::read(cells).ok_or_else(unknown)?;
        for mark in login.marks().into_iter().flatten() {
            if let Some(entry) = find(cells, mark).ok_or_else(unknown)? {
                before = before.max(i64::from(entry.before));
                said = said.max(i64::from(entry.said));
            }
        }
        if token.issued().unix() <= said {
            return Err(Refusal::revoked("the provider ended this sign-in before it was finished here: sign in again"));
        }
        if login.at <= before {
            return Err(Refusal::login_unavailable("somebody has just signed out: try again in a second"));
        }
        Ok(())
    }

    /// A person leaves: their session ends, and what else began with the same session at their provider. False where that cannot
    /// be noted.
    pub(super) fn end_session(&self, sessions: &Sessions, session: &Session, around: &mut Around<'_>) -> bool {
        let own = session.logins.iter().filter_map(|login| login.marks().into_iter().nth(1).flatten());
        let own = own.map(|mark| (mark, seconds(around.now)));
        let name = (!session.id.is_empty()).then(|| (Mark::of(Kind::Session, "", &session.id), u32::MAX));
        let marks: Vec<_> = name.into_iter().chain(own).collect();
        end(around.once.cells(), sessions.lifetime, &marks, 0, around.now)
    }

    /// A session gets another name: copies under the old one end (threat 68).
    pub(super) fn end_name(&self, sessions: &Sessions, id: String, around: &mut Around<'_>) {
        self.end_session(sessions, &Session { id, ..Session::default() }, around);
    }

    /// A provider ends one session, or all of a person (Back-Channel Logout 1.0 section 2.7).
    pub(super) fn end_at_provider(
        &self,
        sessions: &Sessions,
        token: &VerifiedLogoutToken,
        around: &mut Around<'_>,
    ) -> Result<(), Halt> {
        let mark = match (token.session(), token.subject()) {
            (Some(sid), _) => Mark::of(Kind::ProviderSession, token.iss(), sid),
            (None, subject) => Mark::of(Kind::Subject, token.iss(), subject.unwrap_or_default()),
        };
        let (now, said) = (around.now, seconds(token.issued()));
        if end(around.once.cells(), sessions.lifetime, &[(mark, seconds(now))], said, now) {
            return Ok(());
        }
        Err(Refusal::internal_error("the logout could not be noted: try again").into())
    }
}

/// Ends what began until the time beside each mark. `lifetime`: how long any session lasts.
fn end(cells: &mut dyn Cells, lifetime: Duration, marks: &[(Mark, u32)], said: u32, now: Timestamp) -> bool {
    let until = seconds(now.saturating_add(lifetime).saturating_add(LEEWAY));
    marks.iter().all(|(mark, before)| put(cells, Entry { mark: *mark, before: *before, said, until }, now))
        && (marks.is_empty() || count(cells, None))
}

#[cfg(test)]
mod tests {
    use super::super::once::InMemory;
    use super::*;

    const NOW: i64 = 1_790_000_000;
    const LIFETIME: Duration = Duration::from_secs(3600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(NOW + seconds)
    }

    /// Marks of one bucket.
    fn mark(number: usize) -> Mark {
        let mut bytes = [0; 8];
        bytes[4..].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        Mark::from_bytes(bytes)
    }

    /// A session that began then, of these marks.
    fn session(marks: &[Mark], began: i64) -> Endings {
        let marks = marks.iter().map(|mark| (*mark, NOW + began)).collect();
        Endings { marks, oldest: NOW + began, seen: Cell::new(0) }
    }

    fn leave(cells: &mut dyn Cells, number: usize, then: i64) -> bool {
        end(cells, LIFETIME, &[(mark(number), u32::MAX)], 0, at(then))
    }

    #[test]
    fn threat_98_a_full_store_of_logouts_ends_more_rather_than_forgets() {
        let mut cells = InMemory::default();
        for number in 0..LENGTH {
            assert!(leave(&mut cells, number, 10));
        }
        let ended = |cells: &mut InMemory, number| session(&[mark(number)], 5).have_come(cells);
        let other = session(&[Mark::from_bytes([9; 8])], 5);
        assert!((0..LENGTH).all(|number| ended(&mut cells, number)));
        assert!(!other.have_come(&mut cells) && !ended(&mut cells, LENGTH));
        // the same again takes no room
        assert!(leave(&mut cells, 7, 11));
        assert!(!other.have_come(&mut cells));
        assert!(leave(&mut cells, LENGTH, 12));
        assert!((0..=LENGTH).all(|number| ended(&mut cells, number)), "none is forgotten");
        assert!(other.have_come(&mut cells), "and who has nothing to do with it signs in again");
        let (State { before, .. }, _) = State::read(&mut cells).unwrap();
        assert_eq!(before, NOW + 12);
        assert!(!session(&[mark(3)], 13).have_come(&mut cells), "what begins later is another session");
        assert!(cells.read(&bucket(mark(0))).unwrap().0.len() <= LENGTH * ENTRY);
    }

    #[test]
    fn threat_98_what_ended_stays_so_until_no_session_can_be_left_and_then_makes_room() {
        let mut cells = InMemory::default();
        for number in 0..LENGTH {
            assert!(leave(&mut cells, number, 0));
        }
        // the last that was sealed before it, with a clock that is behind
        let last = i64::try_from((LIFETIME + LEEWAY).as_secs()).unwrap() - 1;
        let other = session(&[Mark::from_bytes([9; 8])], last);
        let mut full = InMemory::default();
        for number in 0..LENGTH {
            assert!(leave(&mut full, number, 0));
        }
        assert!(leave(&mut full, LENGTH, last) && other.have_come(&mut full));
        assert!(leave(&mut cells, LENGTH, last + 1));
        assert!(!other.have_come(&mut cells));
        assert_eq!(cells.read(&bucket(mark(0))).unwrap().0.len(), ENTRY);
    }

    #[test]
    fn a_login_ends_by_what_came_after_it_alone() {
        let login = |name: &str, sub: &str, began: i64| SignedIn {
            until: None,
            due: None,
            name: name.to_owned(),
            iss: format!("https://{name}.example.com"),
            sub: sub.to_owned(),
            ends: NOW + 3600,
            since: NOW + began,
            at: NOW + began,
            sid: Some(format!("{name}-{began}")),
            acr: None,
            claims: serde_json::Map::new(),
        };
        let logins = [login("a", "alice", 0), login("b", "bob", 20)];
        let endings = || Endings::of("name", &logins, at(20));
        for (kind, iss, value, then, ends) in [
            (Kind::Subject, "https://b.example.com", "bob", 10, false),
            (Kind::Subject, "https://b.example.com", "bob", 20, true),
            (Kind::Subject, "https://a.example.com", "alice", 10, true),
            (Kind::Subject, "https://a.example.com", "bob", 30, false),
            (Kind::ProviderSession, "https://b.example.com", "b-20", 30, true),
            (Kind::ProviderSession, "https://a.example.com", "b-20", 30, false),
            (Kind::Session, "", "name", 30, true),
        ] {
            let mut cells = InMemory::default();
            let known = endings();
            assert!(!known.have_come(&mut cells));
            assert!(end(&mut cells, LIFETIME, &[(Mark::of(kind, iss, value), seconds(at(then)))], 0, at(30)));
            assert_eq!(endings().have_come(&mut cells), ends, "{value} {then}");
            assert_eq!(known.have_come(&mut cells), ends, "{value} {then}: it was looked at before");
        }
    }

    /// Another worker that is faster for so many writes, and then leaves itself.
    struct Contended {
        cells: InMemory,
        faster: usize,
    }

    impl Cells for Contended {
        fn read(&mut self, name: &str) -> Option<(Vec<u8>, u32)> {
            self.cells.read(name)
        }

        fn write(&mut self, name: &str, value: &[u8], version: u32) -> bool {
            if self.faster > 0 {
                self.faster -= 1;
                let other = 100 + self.faster;
                assert!(leave(&mut self.cells, other, 1));
            }
            self.cells.write(name, value, version)
        }
    }

    #[test]
    fn workers_that_write_at_once_lose_nothing() {
        for faster in [1, 3, TRIES - 1, TRIES + 1] {
            let mut cells = Contended { cells: InMemory::default(), faster };
            assert!(leave(&mut cells, 1, 1));
            for number in (100..100 + faster).chain([1]) {
                assert!(session(&[mark(number)], 0).have_come(&mut cells), "{number} of {faster}");
            }
            let all = session(&[mark(5)], 0).have_come(&mut cells);
            assert_eq!(all, faster > TRIES, "who never gets a turn ends all of them");
        }
    }

    /// A host that keeps nothing.
    struct Nowhere;

    impl Cells for Nowhere {
        fn read(&mut self, _: &str) -> Option<(Vec<u8>, u32)> {
            None
        }

        fn write(&mut self, _: &str, _: &[u8], _: u32) -> bool {
            false
        }
    }

    #[test]
    fn where_it_cannot_be_known_a_session_has_ended() {
        assert!(session(&[], 0).have_come(&mut Nowhere));
        assert!(!leave(&mut Nowhere, 1, 1));
        let mut cells = InMemory::default();
        let (_, version) = cells.read(STATE).unwrap();
        assert!(cells.write(STATE, b"of another", version));
        assert!(session(&[], 0).have_come(&mut cells));
    }
}
