//! The root context: configuration, ticks, the queue, and the replies to calls.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};

use super::stream::Stream;
use super::worker::Worker;
use super::{abi, lent, log};
use carded_gate::{Gate, config};

/// The largest configuration that is read, in bytes.
const MAX_CONFIGURATION: usize = 64 * 1024 * 1024;

/// A worker that streams and their root context share. Nothing until the configuration stands.
pub(super) type Shared = Rc<RefCell<Option<Worker>>>;

pub(super) struct Root {
    context: u32,
    worker: Shared,
    queue: Option<u32>,
}

impl Root {
    pub(super) fn new(context: u32) -> Self {
        Self { context, worker: Rc::default(), queue: None }
    }

    fn with_worker(&self, act: impl FnOnce(&mut Worker)) {
        if let Ok(mut worker) = self.worker.try_borrow_mut()
            && let Some(worker) = worker.as_mut()
        {
            act(worker);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = if size == 0 || size > MAX_CONFIGURATION {
            Vec::new()
        } else {
            abi::buffer(BufferType::PluginConfiguration, 0, size).unwrap_or_default()
        };
        let environment = |name: &str| std::env::var(name).ok();
        let gate = config::parse(&bytes).and_then(|config| Gate::new(&config, &environment, lent::provider()));
        let gate = match gate {
            Ok(gate) => gate,
            Err(errors) => {
                for error in errors {
                    log(LogLevel::Critical, &format!("carded: configuration refused: {error}"));
                }
                return false;
            }
        };
        for warning in gate.warnings() {
            log(LogLevel::Warn, &format!("carded: {warning}"));
        }
        // A queue belongs to the VM that registered it last, so each has one under a name of its own.
        self.queue = queue_name().and_then(|name| abi::register_queue(&name));
        *self.worker.borrow_mut() = Some(Worker::new(gate, self.context, self.queue));
        true
    }

    fn on_tick(&mut self) {
        self.with_worker(Worker::ticked);
    }

    fn on_queue_ready(&mut self, queue: u32) {
        while abi::dequeue(queue) {}
        self.with_worker(Worker::woken);
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(context, Rc::clone(&self.worker))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _trailers: usize) {
        self.with_worker(|worker| worker.replied(token, headers, body_size));
    }
}

/// A name that no other VM has.
fn queue_name() -> Option<String> {
    let mut bytes = [0_u8; 16];
    abi::random(&mut bytes).then(|| format!("carded/{}", carded_verifier::base64url::encode(bytes)))
}
