//! What a test can look at: outcomes, filter state, logs, metrics, calls, memory, and what no request may ever do.

use crate::host::{Host, StreamId};
use crate::process::{LogLine, Metric};
use crate::stream::{Outcome, Passed};
use crate::upstream::{Answer, Call};
use crate::vm::Told;

impl Host {
    /// What became of a request so far.
    ///
    /// # Panics
    /// For a stream of another host.
    pub fn outcome(&mut self, id: StreamId) -> Outcome {
        if let Some(finished) = self.finished.get(&id) {
            return finished.outcome.clone();
        }
        let place = self.places[&id];
        let slot = &mut self.slots[place.slot];
        if slot.generation != place.generation {
            return Outcome::Waiting; // its VM is gone and nobody answers: Envoy's own timeouts must
        }
        slot.vm.state().stream(place.context).map_or(Outcome::Waiting, |stream| stream.outcome())
    }

    /// What the filter noted for access logs, as `%FILTER_STATE(wasm.NAME:PLAIN)%` shows it.
    pub fn filter_state(&mut self, id: StreamId, name: &str) -> Option<String> {
        let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
        if let Some(finished) = self.finished.get(&id) {
            return finished.filter_state.get(name).map(text);
        }
        let place = *self.places.get(&id)?;
        self.slots[place.slot].vm.state().stream(place.context)?.filter_state.get(name).map(text)
    }

    /// Every log line of every VM.
    pub fn logs(&self) -> Vec<LogLine> {
        self.process.borrow().logs.clone()
    }

    /// Seconds since 1970 on the fake clock.
    pub fn now(&self) -> u64 {
        self.process.borrow().now / 1_000_000_000
    }

    /// Every call that filters made, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.process.borrow().calls.clone()
    }

    /// A metric by the name that the filter gave it.
    pub fn metric(&self, name: &str) -> Option<Metric> {
        self.process.borrow().metrics.get(name).cloned()
    }

    /// The value of a counter or gauge; 0 where there is none.
    pub fn count(&self, name: &str) -> u64 {
        match self.metric(name) {
            Some(Metric::Counter(value) | Metric::Gauge(value)) => value,
            _ => 0,
        }
    }

    /// Names of all metrics.
    pub fn metric_names(&self) -> Vec<String> {
        self.process.borrow().metrics.keys().cloned().collect()
    }

    /// How much memory the VM of a worker (the first is 0) has.
    pub fn memory_bytes(&mut self, worker: usize) -> usize {
        self.slots[worker + 1].vm.memory_bytes()
    }

    /// How many instructions the VM of a worker (the first is 0) has run; 0 where they are not counted
    /// ([`crate::GuestModule::counting`]).
    pub fn instructions(&self, worker: usize) -> u64 {
        self.slots[worker + 1].vm.instructions().unwrap_or(0)
    }

    /// What the VM of a worker (the first is 0) told since this was asked last; nothing where it does not tell
    /// ([`crate::GuestModule::telling`]).
    pub fn told(&mut self, worker: usize) -> Told {
        self.slots[worker + 1].vm.told()
    }

    /// How many keys and bytes shared data holds.
    pub fn shared_data_size(&self) -> (usize, usize) {
        self.process.borrow().shared_size()
    }

    /// Whether the VM of a worker (the first is 0) is alive.
    pub fn is_alive(&self, worker: usize) -> bool {
        !self.slots[worker + 1].vm.failed
    }

    /// Kills the VM of a worker (the first is 0), as a trap would.
    pub fn kill(&mut self, worker: usize) {
        self.slots[worker + 1].vm.fail("killed by the test");
    }

    /// Kills the VM of the main thread.
    pub fn kill_main(&mut self) {
        self.slots[0].vm.fail("killed by the test");
    }

    /// How many streams a worker (the first is 0) still has.
    pub fn open_streams(&mut self, worker: usize) -> usize {
        self.slots[worker + 1].vm.state().contexts.len() - 1
    }

    /// What a well-behaved filter does not do, such as answering a stream twice.
    pub fn oddities(&self) -> Vec<String> {
        self.process.borrow().oddities.clone()
    }

    /// Replaces or adds a cluster while the process runs.
    pub fn set_cluster(&mut self, name: &str, answers: impl FnMut(&Call) -> Answer + 'static) {
        self.process.borrow_mut().clusters.insert(name.to_owned(), Box::new(answers));
    }

    /// What the service behind answers to a request that passed (default 200 "ok").
    pub fn set_service(&mut self, answers: impl FnMut(&Passed) -> Answer + 'static) {
        self.service = Box::new(answers);
    }

    /// Every request that reached the service behind, also those that are not finished.
    pub fn all_passed(&mut self) -> Vec<Passed> {
        let mut all: Vec<Passed> = Vec::new();
        for finished in self.finished.values() {
            if let Outcome::Passed(passed) = &finished.outcome {
                all.push(passed.clone());
            }
        }
        let open: Vec<_> = self.places.keys().copied().collect();
        for id in open {
            if let Outcome::Passed(passed) = self.outcome(id) {
                all.push(passed);
            }
        }
        all
    }

    /// Asserts that no request ever reached the service with a header that `forbidden` names.
    ///
    /// # Panics
    /// With the first one that did.
    #[track_caller]
    pub fn assert_none_passed_with(&mut self, forbidden: impl Fn(&str, &[u8]) -> bool) {
        for passed in self.all_passed() {
            for (name, value) in passed.headers.iter() {
                let shown = String::from_utf8_lossy(value);
                assert!(!forbidden(name, value), "a request passed with {name}: {shown}");
            }
        }
    }

    /// Asserts that no log line contains this text.
    ///
    /// # Panics
    /// With the first line that does.
    #[track_caller]
    pub fn assert_never_logged(&self, secret: &str) {
        for line in &self.process.borrow().logs {
            assert!(!line.text.contains(secret), "logged: {}", line.text);
        }
    }
}
