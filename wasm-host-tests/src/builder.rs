//! Sets a host up: the plugin's configuration, the upstreams, the settings of Envoy that a filter feels.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::host::Host;
use crate::module::GuestModule;
use crate::process::{LogLine, Process};
use crate::upstream::{Answer, Call};

/// What Envoy does when the VM has failed (`failure_policy` of the plugin).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailurePolicy {
    /// Every request is answered with a 503 from then on.
    FailClosed,
    /// The next request brings a new VM, at most once a second.
    FailReload,
}

/// The filter did not accept its configuration, or did not start at all.
#[derive(Debug)]
pub struct Refused {
    /// Why, in the host's words.
    pub why: String,
    /// What the filter logged.
    pub logs: Vec<LogLine>,
}

impl Refused {
    /// Whether some log line of warning or above contains this text.
    pub fn mentions(&self, text: &str) -> bool {
        self.logs.iter().any(|line| line.level >= 3 && line.text.contains(text))
    }
}

/// Settings of a [`Host`]; the defaults are those of the ready configurations.
pub struct HostBuilder {
    pub(crate) module: GuestModule,
    pub(crate) configuration: Vec<u8>,
    pub(crate) workers: usize,
    pub(crate) headers_stop_iteration: bool,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) seed: u64,
    pub(crate) process: Process,
}

impl HostBuilder {
    pub(crate) fn new(module: &GuestModule) -> Self {
        Self {
            module: module.clone(),
            configuration: Vec::new(),
            workers: 1,
            headers_stop_iteration: true,
            failure_policy: FailurePolicy::FailReload,
            environment: Vec::new(),
            seed: 1,
            process: Process::new(1_800_000_000_000_000_000, "carded", 2),
        }
    }

    /// The plugin's configuration as JSON text, as from a `StringValue`.
    pub fn configuration(mut self, value: &Value) -> Self {
        self.configuration = value.to_string().into_bytes();
        self
    }

    /// The plugin's configuration as these bytes.
    pub fn configuration_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.configuration = bytes.into();
        self
    }

    /// How many workers there are (default 1); each has a VM, and so has the main thread.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// `allow_on_headers_stop_iteration` of the plugin (default true here, false in Envoy).
    pub fn headers_stop_iteration(mut self, allow: bool) -> Self {
        self.headers_stop_iteration = allow;
        self
    }

    /// What happens when a VM fails (default [`FailurePolicy::FailReload`]).
    pub fn failure_policy(mut self, policy: FailurePolicy) -> Self {
        self.failure_policy = policy;
        self
    }

    /// An environment variable that reaches the VM (`host_env_keys`).
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The seed of all randomness (default 1).
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The log level that the filter is told: 0 trace to 5 critical (default 2, info). Every line is kept in any case.
    pub fn log_level(mut self, level: u32) -> Self {
        self.process.log_level = level;
        self
    }

    /// Where the fake clock starts, in seconds since 1970 (default 1800000000).
    pub fn clock(mut self, unix: u64) -> Self {
        self.process.now = unix * 1_000_000_000;
        self
    }

    /// A cluster and who answers for it. Calls to any other cluster fail at once, as in Envoy.
    pub fn cluster(mut self, name: &str, answers: impl FnMut(&Call) -> Answer + 'static) -> Self {
        self.process.clusters.insert(name.to_owned(), Box::new(answers));
        self
    }

    /// A foreign function that the host lends. Any other is `NotFound`.
    pub fn foreign(mut self, name: &str, function: impl FnMut(&[u8]) -> Option<Vec<u8>> + 'static) -> Self {
        self.process.foreign.insert(name.to_owned(), Box::new(function));
        self
    }

    /// Starts the process: a canary VM that is thrown away again, then the main thread's and the workers'. What was asked
    /// for at time zero happens at once.
    ///
    /// # Errors
    /// Where the filter refuses its configuration, as Envoy would refuse to start.
    pub fn start(self) -> Result<Host, Refused> {
        let process = Rc::new(RefCell::new(self.process));
        let mut host = Host {
            module: self.module,
            process: Rc::clone(&process),
            configuration: self.configuration,
            headers_stop_iteration: self.headers_stop_iteration,
            failure_policy: self.failure_policy,
            environment: self.environment,
            seed: self.seed,
            slots: Vec::new(),
            places: std::collections::BTreeMap::new(),
            finished: std::collections::BTreeMap::new(),
            next_stream: 0,
            draining: false,
            service: Box::new(|_| Answer::status(200, "ok")),
        };
        let refused = |why: String| Refused { why, logs: process.borrow().logs.clone() };
        host.canary().map_err(refused)?;
        for slot in 0..=self.workers {
            host.bring_up(slot).map_err(refused)?;
        }
        host.advance(Duration::ZERO);
        Ok(host)
    }
}
