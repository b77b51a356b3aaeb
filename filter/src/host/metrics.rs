//! Counters, the histogram and the gauges. Envoy prefixes their names with `wasmcustom.`.

use std::collections::HashMap;
use std::time::Duration;

use proxy_wasm::types::MetricType;

use super::abi;
use carded_gate::Gate;

/// Of so many verifications, the first of a VM, each is timed, and then one of [`ONE_OF`]: to ask for the time and to record it
/// are two calls of the host, where a token whose signature the host checks has nine.
const ALL: u64 = 256;
const ONE_OF: u64 = 8;

/// The metrics of one VM. A metric that the host does not want to define is not counted.
pub(super) struct Metrics {
    rules: Vec<(Option<u32>, Option<u32>)>,
    denied: HashMap<&'static str, Option<u32>>,
    answered: Option<u32>,
    fetch_ok: Option<u32>,
    fetch_failed: Option<u32>,
    verify: Option<u32>,
    memory: Option<u32>,
    waiting: Option<u32>,
    /// How many requests had evidence that was verified anew.
    verified: u64,
    /// How many waiters of this VM the gauge, which all VMs share, counts now.
    counted: usize,
}

impl Metrics {
    pub(super) fn define(gate: &Gate) -> Self {
        let counter = |name: &str| abi::define_metric(MetricType::Counter, name);
        let rules = gate.rule_names().map(|name| {
            (counter(&format!("carded.rule.{name}.allowed")), counter(&format!("carded.rule.{name}.denied")))
        });
        Self {
            rules: rules.collect(),
            denied: HashMap::new(),
            answered: counter("carded.answered"),
            fetch_ok: counter("carded.fetch.ok"),
            fetch_failed: counter("carded.fetch.failed"),
            verify: abi::define_metric(MetricType::Histogram, "carded.verify_us"),
            memory: abi::define_metric(MetricType::Gauge, "carded.vm_memory_bytes"),
            waiting: abi::define_metric(MetricType::Gauge, "carded.waiting"),
            verified: 0,
            counted: 0,
        }
    }

    pub(super) fn allowed(&self, rule: Option<usize>) {
        increment(self.rule(rule).and_then(|(allowed, _)| allowed));
    }

    /// An address of our own did what it is for.
    pub(super) fn answered(&self) {
        increment(self.answered);
    }

    /// The codes are a fixed set, so that what clients send cannot make metrics.
    pub(super) fn denied(&mut self, rule: Option<usize>, code: &'static str) {
        increment(self.rule(rule).and_then(|(_, denied)| denied));
        let define = || abi::define_metric(MetricType::Counter, &format!("carded.denied.{code}"));
        increment(*self.denied.entry(code).or_insert_with(define));
    }

    pub(super) fn fetched(&self, ok: bool) {
        increment(if ok { self.fetch_ok } else { self.fetch_failed });
    }

    /// Evidence of a request was verified anew, in this time, which is asked for only where it is recorded.
    pub(super) fn verified(&mut self, span: impl FnOnce() -> Duration) {
        let before = self.verified;
        self.verified = before.wrapping_add(1);
        if before < ALL || before.is_multiple_of(ONE_OF) {
            record(self.verify, u64::try_from(span().as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// All workers count into one gauge, so each adds only what changed.
    pub(super) fn waiting(&mut self, number: usize) {
        let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let change = signed(number).saturating_sub(signed(self.counted));
        if let Some(metric) = self.waiting.filter(|_| change != 0) {
            abi::increment_metric(metric, change);
        }
        self.counted = number;
    }

    /// The memory of one worker: the one that reported last.
    pub(super) fn memory(&self) {
        record(self.memory, abi::memory());
    }

    fn rule(&self, rule: Option<usize>) -> Option<(Option<u32>, Option<u32>)> {
        rule.and_then(|index| self.rules.get(index)).copied()
    }
}

fn increment(metric: Option<u32>) {
    if let Some(metric) = metric {
        abi::increment_metric(metric, 1);
    }
}

fn record(metric: Option<u32>, value: u64) {
    if let Some(metric) = metric {
        abi::record_metric(metric, value);
    }
}
