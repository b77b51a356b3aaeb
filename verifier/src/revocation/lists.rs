//! The lists that were fetched, with how fresh they are.
use crate::documents::FetchFailure;
use crate::fetch::Fetch;
use crate::revocation::compact::{Compact, NotTaken, Pages, Taken};
use crate::revocation::{CompiledSource, Mark};
use crate::time::Timestamp;
use std::time::Duration;

/// After a failure it is tried again so soon, or after `refresh` where that is sooner.
const RETRY: Duration = Duration::from_secs(5);

/// All lists.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    held: Vec<Held>,
    /// another number as soon as any of them says something else
    version: u64,
}

#[derive(Debug)]
struct Held {
    fetch: Fetch,
    list: Option<Compact>,
    /// when its publisher was last asked with success
    checked: Timestamp,
    failed: Option<Timestamp>,
    etag: Option<Box<str>>,
}

/// Whether a list counts now.
pub(crate) enum State {
    Serves,
    Need,
    Unavailable(Duration),
}

impl Lists {
    fn held(&mut self, fetch: &Fetch) -> &mut Held {
        let at = self.held.iter().position(|held| held.fetch == *fetch).unwrap_or_else(|| {
            let never = Timestamp::from_unix(0);
            self.held.push(Held { fetch: fetch.clone(), list: None, checked: never, failed: None, etag: None });
            self.held.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "it was found or pushed just now")]
        &mut self.held[at]
    }

    fn get(&self, fetch: &Fetch) -> Option<&Held> {
        self.held.iter().find(|held| held.fetch == *fetch)
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn list(&self, fetch: &Fetch) -> Option<&Compact> {
        self.get(fetch)?.list.as_ref()
    }

    pub(crate) fn etag(&self, fetch: &Fetch) -> Option<&str> {
        let held = self.get(fetch)?;
        held.list.as_ref().and(held.etag.as_deref())
    }

    pub(crate) fn memory(&self) -> usize {
        self.held.iter().filter_map(|held| held.list.as_ref()).map(Compact::size).sum()
    }

    /// The publisher was asked at `now`, and the list is as it was. False where there is none.
    pub(crate) fn renew(&mut self, fetch: &Fetch, now: Timestamp) -> bool {
        let held = self.held(fetch);
        if held.list.is_some() {
            held.checked = held.checked.max(now);
            held.failed = None;
        }
        held.list.is_some()
    }

    pub(crate) fn fail(&mut self, fetch: &Fetch, now: Timestamp) {
        self.held(fetch).failed = Some(now);
    }

    /// Takes a list that was fetched at `now`, from its pages. True where it says something else than the one before.
    pub(crate) fn take(
        &mut self,
        fetch: &Fetch,
        bytes: usize,
        pages: Pages<'_>,
        etag: Option<&str>,
        now: Timestamp,
    ) -> Result<Taken, FetchFailure> {
        let held = self.held(fetch);
        let taken = match &mut held.list {
            Some(list) => list.replace(bytes, pages),
            None => Compact::read(bytes, pages).map(|list| {
                held.list = Some(list);
                Taken::Changed
            }),
        };
        match taken {
            Ok(taken) => {
                (held.checked, held.failed) = (now, None);
                held.etag = etag.filter(|etag| etag.len() <= 256).map(Box::from);
                if taken == Taken::Changed {
                    self.version += 1;
                }
                Ok(taken)
            }
            Err(why) => {
                held.failed = Some(now);
                if why == NotTaken::Torn {
                    held.list = None;
                }
                Err(FetchFailure::Malformed("not the compact form of revocations".to_owned()))
            }
        }
    }

    /// Whether a list counts at `now`.
    pub(crate) fn state(&self, source: &CompiledSource, now: Timestamp) -> State {
        let Some(held) = self.get(&source.fetch) else { return State::Need };
        if held.list.is_some() && now < held.checked.saturating_add(source.serves) {
            return State::Serves;
        }
        match held.cooling(source, now) {
            Some(left) => State::Unavailable(left),
            None => State::Need,
        }
    }

    /// Whether a list should be fetched at `now`.
    pub(crate) fn is_due(&self, source: &CompiledSource, now: Timestamp) -> bool {
        let Some(held) = self.get(&source.fetch) else { return true };
        let wanted = held.list.is_none() || held.checked.saturating_add(source.refresh) <= now;
        wanted && held.cooling(source, now).is_none()
    }

    /// Whether one of the marks is on a list. One that is not there has everything.
    pub(crate) fn covers(&self, fetch: &Fetch, marks: &[Mark], issued: Option<Timestamp>) -> bool {
        self.list(fetch).is_none_or(|list| marks.iter().any(|mark| list.covers(*mark, issued)))
    }
}

impl Held {
    fn cooling(&self, source: &CompiledSource, now: Timestamp) -> Option<Duration> {
        let longest = source.refresh.min(RETRY);
        let left = self.failed?.saturating_add(longest).saturating_since(now);
        (!left.is_zero()).then_some(left.min(longest))
    }
}
