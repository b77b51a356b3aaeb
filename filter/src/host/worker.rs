//! What one VM works with: the gate, the documents, the fetches and those who wait. It carries out the gate's steps.

use std::rc::Rc;
use std::time::Duration;

use carded_verifier::Documents;
use proxy_wasm::types::LogLevel;

use super::asks::{Asked, Asks};
use super::effects::{Done, Effects};
use super::fetches::Fetches;
use super::metrics::Metrics;
use super::once::SharedOnce;
use super::waiters::{Phase, Progress, Waiter, Waiters};
use super::{Nanos, abi, log};
use carded_gate::{Around, Budget, Changes, Effected, Gate, Reply, Request, Step, Verdicts};

/// How many waiters are answered in one callback: more than about 300 overflow the host's stack.
const BATCH: usize = 64;
/// The most documents that one request may cause to be fetched.
const MAX_FETCHES: u32 = 8;
/// Configurations with at most so many documents have them fetched ahead of need.
const MAX_AHEAD: usize = 64;
/// The root context's tick where nothing is under way, and while something is.
const SLOW: Duration = Duration::from_secs(1);
const FAST: Duration = Duration::from_millis(20);

/// One VM's state.
pub(super) struct Worker {
    gate: Gate,
    known: Documents,
    verdicts: Verdicts,
    once: SharedOnce,
    budget: Budget,
    fetches: Fetches,
    effects: Effects,
    asks: Asks,
    waiters: Waiters,
    /// Streams of which a part is held back until the root context lets it go.
    held: Vec<u32>,
    metrics: Metrics,
    /// The queue that wakes the root context.
    queue: Option<u32>,
    root: u32,
    /// Whether a request ever came: the VM of the proxy's main thread has none, and does not speak for the workers.
    serves: bool,
    tick: Duration,
    last_refresh: Nanos,
    debug: bool,
}

impl Worker {
    /// A worker for a compiled configuration. Called when the root context is configured.
    pub(super) fn new(gate: Gate, root: u32, queue: Option<u32>) -> Self {
        let mut worker = Self {
            known: Documents::new(gate.limits()),
            verdicts: Verdicts::new(gate.cached_verdicts(), &mut abi::random),
            once: SharedOnce,
            budget: Budget::default(),
            fetches: Fetches::default(),
            effects: Effects::default(),
            asks: Asks::default(),
            waiters: Waiters::default(),
            held: Vec::new(),
            metrics: Metrics::define(&gate),
            queue,
            root,
            serves: false,
            tick: Duration::ZERO,
            last_refresh: Nanos(0),
            debug: abi::log_level_is_debug(),
            gate,
        };
        // Calls cannot be made while the proxy is configured: what is fetched ahead of need begins with the first tick.
        let first = worker.gate.trust().first_fetches();
        if first.len() <= MAX_AHEAD {
            for fetch in first {
                worker.fetches.want(fetch, None);
            }
        }
        worker.set_tick(FAST);
        worker
    }

    /// A request arrives. Called in its stream's context. The phase afterwards says what the stream returns.
    pub(super) fn arrive(&mut self, context: u32, request: Request, phase: &Rc<Progress>) {
        self.serves = true;
        let now = Nanos::now();
        let waiter =
            Waiter { request, phase: Rc::clone(phase), deadline: now.after(self.gate.waiting().time), fetches: 0 };
        self.settle(context, waiter, now, false);
    }

    /// Whether replies of services are looked at for cookies of ours.
    pub(super) fn guards_cookies(&self) -> bool {
        self.gate.has_sessions()
    }

    /// The body that a request was asked for is here. Called in its stream's context.
    pub(super) fn body_came(&mut self, context: u32, body: Vec<u8>) {
        let Some(waiter) = self.waiters.remove(context) else { return };
        let waiter = Waiter { request: waiter.request.with_body(body), ..waiter };
        self.settle(context, waiter, Nanos::now(), true);
    }

    /// The body that a request was asked for is too large. Called in its stream's context.
    pub(super) fn body_too_large(&mut self, context: u32, limit: usize) {
        let Some(waiter) = self.waiters.remove(context) else { return };
        let reply = self.gate.body_too_large(&waiter.request, limit);
        self.refuse(&waiter, None, reply);
    }

    /// Part of an admitted request is held back: the root context lets it go.
    pub(super) fn let_go(&mut self, context: u32) {
        self.held.push(context);
        self.wake();
    }

    fn release(&mut self) {
        for context in std::mem::take(&mut self.held) {
            if abi::set_effective_context(context) {
                abi::continue_request();
            }
        }
        abi::set_effective_context(self.root);
    }

    /// The stream is gone.
    pub(super) fn leave(&mut self, context: u32) {
        if self.waiters.remove(context).is_some() {
            self.metrics.waiting(self.waiters.len());
        }
    }

    /// The queue woke the root context: begin what is wanted, answer those whose document is there.
    pub(super) fn woken(&mut self) {
        let now = Nanos::now();
        self.release();
        self.advance(now);
        self.answer(now);
    }

    /// Time passed.
    pub(super) fn ticked(&mut self) {
        let now = Nanos::now();
        self.release();
        if now >= self.last_refresh.after(SLOW) {
            self.last_refresh = now;
            self.fetches.adopt(&mut self.known);
            for fetch in self.known.due(self.gate.trust(), now.timestamp()) {
                self.fetches.want(fetch, None);
            }
            if self.serves {
                self.metrics.memory();
            }
        }
        self.advance(now);
        for context in self.waiters.overdue(now, BATCH) {
            if let Some(waiter) = self.waiters.remove(context)
                && abi::set_effective_context(context)
            {
                let reply = match waiter.phase.get() {
                    Phase::Reading(_) => self.gate.body_missing(&waiter.request),
                    _ => self.gate.waited_in_vain(&waiter.request),
                };
                self.refuse(&waiter, None, reply);
            }
        }
        abi::set_effective_context(self.root);
        self.answer(now);
    }

    /// A call was answered.
    pub(super) fn replied(&mut self, token: u32, headers: usize, body_size: usize) {
        let now = Nanos::now();
        match self.effects.replied(token, headers, body_size, self.gate.fetching()) {
            Some(done) => self.effected(done),
            None => match self.asks.replied(token, headers, body_size, self.gate.fetching()) {
                Some((asked, answer)) => self.answered(asked, &answer, now),
                None => {
                    let how = self.gate.fetching();
                    let woken = self.fetches.replied(token, headers, body_size, how, &mut self.known, now);
                    self.waiters.wake(woken);
                }
            },
        }
        self.advance(now);
        self.answer(now);
    }

    fn advance(&mut self, now: Nanos) {
        let woken = self.fetches.advance(self.gate.fetching(), &mut self.known, now);
        self.waiters.wake(woken);
        for ok in self.fetches.take_results() {
            self.metrics.fetched(ok);
        }
        let waiters = &self.waiters;
        for done in self.effects.advance(self.gate.fetching(), now, |context| waiters.has(context)) {
            self.effected(done);
        }
        for (asked, answer) in self.asks.advance(self.gate.fetching(), now) {
            self.answered(asked, &answer, now);
        }
    }

    /// A question about a token came to its end: all who brought it go on.
    fn answered(&mut self, asked: Asked, answer: &Effected, now: Nanos) {
        self.metrics.fetched(answer.is_ok());
        if let Err(why) = answer {
            log(LogLevel::Warn, &format!("carded: an issuer could not be asked about a token: {why}"));
        }
        self.gate.answered(&asked.question, answer, &mut self.verdicts, now.timestamp());
        self.waiters.wake(asked.waiters);
    }

    /// A call with an effect came to its end: the request that it was for goes on.
    fn effected(&mut self, done: Done) {
        self.metrics.fetched(done.1.effected.is_ok());
        if let Err(why) = &done.1.effected {
            log(LogLevel::Warn, &format!("carded: a call to a provider failed: {why}"));
        }
        self.waiters.effected(done);
    }

    /// Answers a batch of those whose document is there; the queue brings the next batch.
    fn answer(&mut self, now: Nanos) {
        for _ in 0..BATCH {
            let Some((context, waiter)) = self.waiters.next_ready() else { break };
            // A stream that is gone has no context any more.
            if abi::set_effective_context(context) {
                self.settle(context, waiter, now, true);
            }
        }
        abi::set_effective_context(self.root);
        self.metrics.waiting(self.waiters.len());
        if self.waiters.has_ready() {
            self.wake();
        }
        let busy = !self.fetches.is_idle() || self.waiters.len() > 0;
        self.set_tick(if busy { FAST } else { SLOW });
    }

    /// Asks the gate, and carries its step out in the effective context.
    fn settle(&mut self, context: u32, mut waiter: Waiter, now: Nanos, paused: bool) {
        let mut random = abi::random;
        let mut connection = abi::connection_property;
        let mut around = Around {
            verdicts: &mut self.verdicts,
            once: &mut self.once,
            budget: &mut self.budget,
            random: &mut random,
            connection: &mut connection,
            now: now.timestamp(),
        };
        let decision = carded_fast::decide(&self.gate, &waiter.request, &self.known, &mut around);
        if decision.verified > 0 {
            self.metrics.verified(|| Duration::from_nanos(Nanos::now().0.saturating_sub(now.0)));
        }
        match decision.step {
            Step::Forward(changes) => {
                if !apply(&changes) {
                    let reply = carded_gate::Refusal::internal_error("the headers could not be set")
                        .reply(waiter.request.is_grpc());
                    self.refuse(&waiter, decision.rule, reply);
                    return;
                }
                waiter.phase.set(Phase::Admitted);
                let mut cookies = decision.cookies;
                if !cookies.is_empty() {
                    waiter.phase.leave(std::mem::take(&mut cookies));
                }
                self.metrics.allowed(decision.rule);
                let left = self.gate.left();
                self.mark(decision.rule.filter(|_| left.rule), left.code.then_some("ok"));
                if let Some(issuer) = decision.issuer.filter(|_| left.issuer) {
                    abi::set_property("carded.issuer", self.gate.issuer_name(issuer).as_bytes());
                }
                if paused && !abi::continue_request() {
                    log(LogLevel::Error, "carded: a request that may go on could not be resumed");
                }
                carded_fast::discard((waiter.request, changes, cookies));
            }
            Step::Reply(reply) => self.refuse(&waiter, decision.rule, reply),
            Step::Body(limit) => {
                waiter.phase.set(Phase::Reading(limit));
                if let Err(waiter) = self.waiters.add(context, waiter, self.gate.waiting()) {
                    let reply = self.gate.too_many_waiting(&waiter.request);
                    self.refuse(&waiter, decision.rule, reply);
                }
            }
            Step::Call(effect) => {
                waiter.phase.set(Phase::Undecided);
                // once for a request: what was called before is not called again
                if waiter.request.effected(effect.kind).is_some() || waiter.deadline <= now {
                    let reply = self.gate.waited_in_vain(&waiter.request);
                    self.refuse(&waiter, decision.rule, reply);
                    return;
                }
                if let Err(waiter) = self.waiters.add(context, waiter, self.gate.waiting()) {
                    let reply = self.gate.too_many_waiting(&waiter.request);
                    self.refuse(&waiter, decision.rule, reply);
                    return;
                }
                self.effects.want(context, effect);
                self.wake();
            }
            step @ (Step::Need(_) | Step::Ask(_)) => {
                waiter.phase.set(Phase::Undecided);
                waiter.fetches = waiter.fetches.saturating_add(1);
                if waiter.fetches > MAX_FETCHES || waiter.deadline <= now {
                    let reply = self.gate.waited_in_vain(&waiter.request);
                    self.refuse(&waiter, decision.rule, reply);
                    return;
                }
                if let Err(waiter) = self.waiters.add(context, waiter, self.gate.waiting()) {
                    let reply = self.gate.too_many_waiting(&waiter.request);
                    self.refuse(&waiter, decision.rule, reply);
                    return;
                }
                self.metrics.waiting(self.waiters.len());
                let begins = match step {
                    Step::Ask(question) => {
                        let is_new = self.asks.want(question, context);
                        if !is_new {
                            self.budget.give_back_call();
                        }
                        is_new
                    }
                    Step::Need(fetch) => self.fetches.want(fetch, Some(context)),
                    _ => false,
                };
                if begins {
                    self.wake();
                }
            }
        }
    }

    fn refuse(&mut self, waiter: &Waiter, rule: Option<usize>, reply: Reply) {
        waiter.phase.set(Phase::Refused);
        match reply.code {
            "ok" => self.metrics.answered(),
            code => self.metrics.denied(rule, code),
        }
        self.mark(rule, Some(reply.code));
        if self.debug {
            log(LogLevel::Debug, &format!("carded: answered with {} {}", reply.status, reply.code));
        }
        let headers: Vec<(&str, &str)> = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let details = format!("carded_{}", reply.code);
        if !abi::send_local_response(reply.status, &headers, &details, reply.body.as_bytes(), reply.grpc_status) {
            log(LogLevel::Error, "carded: a refusal could not be sent; the request stays paused");
        }
    }

    /// Leaves in the filter state what access logs may say.
    fn mark(&self, rule: Option<usize>, code: Option<&'static str>) {
        if let Some(name) = rule.and_then(|rule| self.gate.rule_name(rule)) {
            abi::set_property("carded.rule", name.as_bytes());
        }
        if let Some(code) = code {
            abi::set_property("carded.code", code.as_bytes());
        }
    }

    /// Has the root context called soon; the tick stands in where there is no queue.
    fn wake(&mut self) {
        if !self.queue.is_some_and(abi::enqueue) {
            self.set_tick(FAST);
        }
    }

    fn set_tick(&mut self, period: Duration) {
        if self.tick != period {
            self.tick = period;
            abi::set_tick_period(period);
        }
    }
}

/// First remove, then set: what a client sent under our names is gone on every path.
fn apply(changes: &Changes) -> bool {
    // A header that is not there counts as removed; hosts differ in what they answer then.
    for name in changes.removed() {
        abi::remove_request_header(name);
    }
    changes.set.iter().all(|(name, value)| abi::set_request_header(name.as_bytes(), value))
}
