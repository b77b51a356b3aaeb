//! The process: its VMs, its clock, and the order in which things happen to the filter.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::builder::{FailurePolicy, HostBuilder};
use crate::module::GuestModule;
use crate::process::{Due, Process, Timer};
use crate::stream::{Outcome, Passed, Request, Stream};
use crate::upstream::Answer;
use crate::vm::{Context, Vm, VmSeed};

/// Envoy answers this many streams of one callback before its stack is full (measured: about 300).
pub(crate) const NESTED_ACTIONS: usize = 300;
/// Envoy reloads a failed VM at most this often (`reload_config.backoff.base_interval`, default).
const RELOAD_BACKOFF: Duration = Duration::from_secs(1);

/// A request that was sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StreamId(pub(crate) u64);

/// Where a stream lives.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) slot: usize,
    pub(crate) generation: u32,
    pub(crate) context: u32,
}

/// What is left of a stream that has ended.
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    pub(crate) filter_state: std::collections::HashMap<String, Vec<u8>>,
}

/// A thread's VM.
pub(crate) struct Slot {
    pub(crate) vm: Vm,
    pub(crate) generation: u32,
    loaded_at: u64,
}

/// An Envoy process as far as a filter can see it.
pub struct Host {
    pub(crate) module: GuestModule,
    pub(crate) process: Rc<RefCell<Process>>,
    pub(crate) configuration: Vec<u8>,
    pub(crate) headers_stop_iteration: bool,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) seed: u64,
    /// 0 is the main thread's, the workers follow.
    pub(crate) slots: Vec<Slot>,
    pub(crate) places: BTreeMap<StreamId, Place>,
    pub(crate) finished: BTreeMap<StreamId, Finished>,
    pub(crate) next_stream: u64,
    /// Whether the actions of a callback are taking effect now.
    pub(crate) draining: bool,
    pub(crate) service: Box<dyn FnMut(&Passed) -> Answer>,
}

impl Host {
    /// Settings for a host of this module.
    pub fn builder(module: &GuestModule) -> HostBuilder {
        HostBuilder::new(module)
    }

    /// Checks the configuration in a VM that is thrown away, as Envoy does before it starts the real ones. What it put into
    /// shared data and queues stays; its calls and ticks are gone.
    pub(crate) fn canary(&mut self) -> Result<(), String> {
        self.make_vm(0, 0).map(drop)
    }

    /// Starts the VM of a thread, in place of the one that was there.
    pub(crate) fn bring_up(&mut self, slot: usize) -> Result<(), String> {
        let generation = self.slots.get(slot).map_or(1, |old| old.generation + 1);
        let vm = self.make_vm(slot, generation)?;
        let loaded_at = self.process.borrow().now;
        let fresh = Slot { vm, generation, loaded_at };
        match self.slots.get_mut(slot) {
            Some(old) => *old = fresh,
            None => self.slots.push(fresh),
        }
        Ok(())
    }

    fn make_vm(&self, slot: usize, generation: u32) -> Result<Vm, String> {
        let random = self.seed.wrapping_mul(1_000_003).wrapping_add((slot as u64) << 32 | u64::from(generation));
        let seed = VmSeed {
            process: Rc::clone(&self.process),
            vm: slot,
            generation,
            random,
            environment: self.environment.clone(),
        };
        let mut vm = Vm::new(&self.module, seed)?;
        let root = vm.root;
        vm.call(root, "proxy_on_context_create", &[root, 0])?;
        if vm.call(root, "proxy_on_vm_start", &[root, 0])? == Some(0) {
            return Err("on_vm_start refused".to_owned());
        }
        vm.state().plugin_configuration = Some(self.configuration.clone());
        let configured = vm.call(root, "proxy_on_configure", &[root, self.configuration.len() as u32])?;
        vm.state().plugin_configuration = None;
        if configured == Some(0) {
            return Err("on_configure refused the configuration".to_owned());
        }
        Ok(vm)
    }

    /// Sends a request to a worker (the first is 0) and returns as soon as its callbacks have. Queue events and replies to
    /// calls come later: with [`Host::settle`] or [`Host::advance`].
    pub fn send(&mut self, worker: usize, request: Request) -> StreamId {
        let slot = worker + 1;
        self.next_stream += 1;
        let id = StreamId(self.next_stream);
        let stream = Stream::new(id.0, request);
        if self.slots[slot].vm.failed && !self.reload(slot) {
            let why = "the VM has failed".to_owned();
            let filter_state = stream.filter_state;
            self.finished.insert(id, Finished { outcome: Outcome::Crashed { status: 503, why }, filter_state });
            return id;
        }
        let place = {
            let slot_ref = &mut self.slots[slot];
            let context = slot_ref.vm.state().add_context(Context::Stream(Box::new(stream)));
            Place { slot, generation: slot_ref.generation, context }
        };
        self.places.insert(id, place);
        self.open_stream(place);
        id
    }

    /// Sends a request to the first worker, lets everything happen that happens at this time, and says what became of it.
    pub fn ask(&mut self, request: Request) -> Outcome {
        let id = self.send(0, request);
        self.settle();
        self.outcome(id)
    }

    fn reload(&mut self, slot: usize) -> bool {
        let now = self.process.borrow().now;
        let waited = Duration::from_nanos(now - self.slots[slot].loaded_at);
        if self.failure_policy != FailurePolicy::FailReload || waited < RELOAD_BACKOFF {
            return false;
        }
        match self.bring_up(slot) {
            Ok(()) => true,
            Err(why) => {
                self.process.borrow_mut().odd(format!("reload of VM {slot} failed: {why}"));
                false
            }
        }
    }

    /// More of the body of a request that was sent open.
    pub fn send_body(&mut self, id: StreamId, piece: &[u8], end: bool) {
        self.feed(id, |stream| {
            stream.incoming.pieces.push_back(piece.to_vec());
            stream.incoming.open = !end;
        });
    }

    /// The trailers of a request that was sent open; they end it.
    pub fn send_trailers(&mut self, id: StreamId, trailers: crate::HeaderMap) {
        self.feed(id, |stream| {
            stream.incoming.trailers = Some(trailers);
            stream.incoming.open = false;
        });
    }

    fn feed(&mut self, id: StreamId, change: impl FnOnce(&mut Stream)) {
        let Some(&place) = self.places.get(&id) else { return };
        let slot = &mut self.slots[place.slot];
        if slot.generation != place.generation || slot.vm.failed {
            return;
        }
        if let Some(stream) = slot.vm.state().stream(place.context) {
            change(stream);
            self.pump(place);
        }
    }

    /// The client goes away.
    pub fn leave(&mut self, id: StreamId) {
        if let Some(&place) = self.places.get(&id) {
            self.end(place, Outcome::Left);
        }
    }

    /// Lets everything happen that needs no time to pass: queue events, and replies that are due.
    pub fn settle(&mut self) {
        self.advance(Duration::ZERO);
    }

    /// Lets time pass: ticks, replies to calls and queue events happen in their order.
    pub fn advance(&mut self, time: Duration) {
        let until = self.process.borrow().now + time.as_nanos() as u64;
        loop {
            self.deliver_ready();
            let due = self.process.borrow_mut().next_due(until);
            match due {
                Some(due) => self.fire(due),
                None => break,
            }
        }
        self.process.borrow_mut().now = until;
    }

    fn deliver_ready(&mut self) {
        loop {
            let ready = self.process.borrow_mut().ready.pop_front();
            let Some(ready) = ready else { return };
            // as in Envoy the event goes to whatever VM the thread has now
            let Some(slot) = self.slots.get_mut(ready.vm) else { continue };
            if !slot.vm.failed && slot.vm.state().contexts.contains_key(&ready.context) {
                self.callback(ready.vm, ready.context, "proxy_on_queue_ready", &[ready.context, ready.queue]);
            }
        }
    }

    fn fire(&mut self, due: Due) {
        let Some(slot) = self.slots.get_mut(due.vm) else { return };
        if slot.generation != due.generation || slot.vm.failed {
            return;
        }
        let root = slot.vm.root;
        match due.timer {
            Timer::Tick { serial } => {
                if slot.vm.state().tick_serial.is_none_or(|(current, _)| current != serial) {
                    return;
                }
                self.callback(due.vm, root, "proxy_on_tick", &[root]);
                self.tick_again(due.vm, serial);
            }
            Timer::CallDone { token, reply } => {
                let state = slot.vm.state();
                let Some(from) = state.calls.remove(&token) else { return };
                if !state.contexts.contains_key(&from) {
                    return; // the stream that asked is gone, and so is its call
                }
                let sizes = (reply.headers.len() as u32, reply.body.len() as u32);
                state.call_reply = Some(reply);
                self.callback(due.vm, root, "proxy_on_http_call_response", &[root, token, sizes.0, sizes.1, 0]);
                self.slots[due.vm].vm.state().call_reply = None;
            }
        }
    }

    fn tick_again(&mut self, slot: usize, fired: u64) {
        let vm = &mut self.slots[slot].vm;
        if vm.failed {
            return;
        }
        let state = vm.state();
        let Some((serial, period)) = state.tick_serial else { return };
        if serial == fired {
            let mut process = state.process.borrow_mut();
            let serial = process.next_serial();
            process.later(period, state.vm, state.generation, Timer::Tick { serial });
            drop(process);
            state.tick_serial = Some((serial, period));
        }
    }
}
