//! One request. Its verdict may come later, from the root context: until then headers, body and trailers all wait.

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use super::abi;
use super::root::Shared;
use super::waiters::Phase;
use crate::gate::{Refusal, Request};

pub(super) struct Stream {
    context: u32,
    worker: Shared,
    phase: Rc<Cell<Phase>>,
}

impl Stream {
    pub(super) fn new(context: u32, worker: Shared) -> Self {
        Self { context, worker, phase: Rc::new(Cell::new(Phase::Undecided)) }
    }

    /// Whatever is not admitted does not go on. A Continue from the body or the trailers would send a paused request
    /// to the service unverified (threat 87).
    fn action(&self) -> Action {
        match self.phase.get() {
            Phase::Admitted => Action::Continue,
            Phase::Undecided | Phase::Refused => Action::Pause,
        }
    }

    fn fail(&self) {
        self.phase.set(Phase::Refused);
        let reply = Refusal::internal_error("the request could not be read").reply(false);
        let headers: Vec<(&str, &str)> = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        abi::send_local_response(reply.status, &headers, "carded_internal_error", reply.body.as_bytes(), None);
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        let request = abi::header_map(MapType::HttpRequestHeaders).and_then(Request::from_header_map);
        #[cfg(feature = "crash-test")]
        #[expect(clippy::panic, reason = "a forced crash, in modules for crash tests only")]
        if request.as_ref().is_some_and(|request| request.has("x-carded-crash")) {
            panic!("a crash was asked for");
        }
        match (request, self.worker.try_borrow_mut()) {
            (Some(request), Ok(mut worker)) => match worker.as_mut() {
                Some(worker) => worker.arrive(self.context, request, &self.phase),
                None => self.fail(),
            },
            _ => self.fail(),
        }
        self.action()
    }

    fn on_http_request_body(&mut self, _size: usize, _end_of_stream: bool) -> Action {
        self.action()
    }

    fn on_http_request_trailers(&mut self, _trailers: usize) -> Action {
        self.action()
    }
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        if self.phase.get() == Phase::Undecided
            && let Ok(mut worker) = self.worker.try_borrow_mut()
            && let Some(worker) = worker.as_mut()
        {
            worker.leave(self.context);
        }
        true
    }
}
