//! The requests that wait for documents: bounded in number, in bytes and in time.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::Nanos;
use super::effects::Done;
use carded_gate::{Request, Waiting};

/// All waiting requests of one worker together, in bytes of their headers.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// How far a request is. Shared between its stream and the root context, which answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No verdict stands: body and trailers wait too.
    Undecided,
    /// The whole body is needed, of at most so many bytes.
    Reading(usize),
    /// It may go on.
    Admitted,
    /// It was answered.
    Refused,
}

/// What a stream shares with the root context.
#[derive(Debug)]
pub(super) struct Progress {
    phase: Cell<Phase>,
    /// `set-cookie` of its response, whatever the service answers; most have none.
    cookies: RefCell<Option<Vec<String>>>,
}

impl Progress {
    /// Of a request on which nothing is decided.
    pub(super) fn begin() -> Rc<Self> {
        Rc::new(Self { phase: Cell::new(Phase::Undecided), cookies: RefCell::default() })
    }

    pub(super) fn get(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn set(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// Leaves cookies for the response.
    pub(super) fn leave(&self, cookies: Vec<String>) {
        self.cookies.replace(Some(cookies));
    }

    /// Takes the cookies for the response, where there are any.
    pub(super) fn take(&self) -> Option<Vec<String>> {
        self.cookies.take()
    }
}

/// One request that waits.
pub(super) struct Waiter {
    pub(super) request: Request,
    pub(super) phase: Rc<Progress>,
    pub(super) deadline: Nanos,
    /// How many documents it caused to be fetched or waited for.
    pub(super) fetches: u32,
}

/// Those who wait, and those whose document is there.
#[derive(Default)]
pub(super) struct Waiters {
    all: HashMap<u32, Waiter>,
    bytes: usize,
    ready: VecDeque<u32>,
}

impl Waiters {
    /// Takes a request in; gives it back where there are too many.
    #[expect(clippy::result_large_err, reason = "who cannot wait comes back as it came")]
    pub(super) fn add(&mut self, context: u32, waiter: Waiter, bounds: Waiting) -> Result<(), Waiter> {
        let bytes = self.bytes.saturating_add(waiter.request.memory());
        if self.all.len() >= bounds.requests || bytes > MAX_BYTES {
            return Err(waiter);
        }
        self.bytes = bytes;
        self.all.insert(context, waiter);
        Ok(())
    }

    /// Whether a request waits.
    pub(super) fn has(&self, context: u32) -> bool {
        self.all.contains_key(&context)
    }

    /// What came of the call that a request waits for: it goes on soon. Nothing where nobody waits any more.
    pub(super) fn effected(&mut self, (context, came): Done) {
        let Some(waiter) = self.remove(context) else { return };
        let waiter = Waiter { request: waiter.request.with_effected(came), ..waiter };
        self.bytes = self.bytes.saturating_add(waiter.request.memory());
        self.all.insert(context, waiter);
        self.ready.push_back(context);
    }

    /// Takes a request out: it is answered, or gone.
    pub(super) fn remove(&mut self, context: u32) -> Option<Waiter> {
        let waiter = self.all.remove(&context)?;
        self.bytes = self.bytes.saturating_sub(waiter.request.memory());
        Some(waiter)
    }

    /// Their document is there, or will not come.
    pub(super) fn wake(&mut self, contexts: impl IntoIterator<Item = u32>) {
        self.ready.extend(contexts);
    }

    /// The next whose document is there; skips those who left.
    pub(super) fn next_ready(&mut self) -> Option<(u32, Waiter)> {
        loop {
            let context = self.ready.pop_front()?;
            if let Some(waiter) = self.remove(context) {
                return Some((context, waiter));
            }
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// At most so many whose time is over.
    pub(super) fn overdue(&self, now: Nanos, most: usize) -> Vec<u32> {
        self.all.iter().filter(|(_, waiter)| waiter.deadline <= now).map(|(context, _)| *context).take(most).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
