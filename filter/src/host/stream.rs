//! One request. Its verdict may come later, from the root context: until then headers, body and trailers all wait.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};

use super::abi;
use super::root::Shared;
use super::waiters::{Phase, Progress};
use carded_gate::{Refusal, Request, sets_our_cookie};

pub(super) struct Stream {
    context: u32,
    worker: Shared,
    phase: Rc<Progress>,
    /// How much of the body came.
    size: usize,
    /// Whether some of the body was held back while the verdict was out.
    held: bool,
    /// Whether the upstream's replies are looked at for cookies of ours. Not those that we make ourselves.
    guards_cookies: bool,
}

impl Stream {
    pub(super) fn new(context: u32, worker: Shared) -> Self {
        Self { context, worker, phase: Progress::begin(), size: 0, held: false, guards_cookies: false }
    }

    /// Holds this part of the body back too, and has the root context let it go.
    ///
    /// Envoy up to 1.36 loses the part that follows one that was held back where it is let go in this callback: its Wasm
    /// context still takes itself for buffering and moves the part where nobody looks for it.
    fn pass_through_root(&self) -> Action {
        match self.worker.try_borrow_mut() {
            Ok(mut worker) => match worker.as_mut() {
                Some(worker) => {
                    worker.let_go(self.context);
                    Action::Pause
                }
                None => Action::Continue,
            },
            Err(_) => Action::Continue,
        }
    }

    /// The body of a request that is decided on with it.
    fn read(&mut self, size: usize, whole: bool) {
        let Phase::Reading(limit) = self.phase.get() else { return };
        let Ok(mut worker) = self.worker.try_borrow_mut() else { return };
        let Some(worker) = worker.as_mut() else { return };
        if size > limit {
            worker.body_too_large(self.context, limit);
        } else if whole {
            let body = if size == 0 { Some(Vec::new()) } else { abi::buffer(BufferType::HttpRequestBody, 0, size) };
            worker.body_came(self.context, body.unwrap_or_default());
        }
    }

    /// Whatever is not admitted does not go on. A Continue from the body or the trailers would send a paused request
    /// to the service unverified (threat 87).
    fn action(&self) -> Action {
        match self.phase.get() {
            Phase::Admitted => Action::Continue,
            Phase::Undecided | Phase::Reading(_) | Phase::Refused => Action::Pause,
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
    fn on_http_request_headers(&mut self, _headers: usize, end_of_stream: bool) -> Action {
        let request = abi::header_map(MapType::HttpRequestHeaders).and_then(carded_fast::request);
        #[cfg(feature = "crash-test")]
        #[expect(clippy::panic, reason = "a forced crash, in modules for crash tests only")]
        if request.as_ref().is_some_and(|request| request.has("x-carded-crash")) {
            panic!("a crash was asked for");
        }
        match (request, self.worker.try_borrow_mut()) {
            (Some(request), Ok(mut worker)) => match worker.as_mut() {
                Some(worker) => {
                    worker.arrive(self.context, request, &self.phase);
                    self.guards_cookies = worker.guards_cookies();
                }
                None => self.fail(),
            },
            _ => self.fail(),
        }
        if end_of_stream {
            self.read(0, true);
        }
        self.action()
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.held && self.phase.get() == Phase::Admitted {
            return self.pass_through_root();
        }
        self.size = size;
        self.read(size, end_of_stream);
        let action = self.action();
        self.held |= action == Action::Pause;
        action
    }

    fn on_http_request_trailers(&mut self, _trailers: usize) -> Action {
        if self.held && self.phase.get() == Phase::Admitted {
            return self.pass_through_root();
        }
        self.read(self.size, true);
        self.action()
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        // our own replies come by here too, and they do set them
        if self.guards_cookies && self.phase.get() == Phase::Admitted {
            drop_our_cookies();
            if let Some(cookies) = self.phase.take() {
                set_our_cookies(cookies);
            }
        }
        Action::Continue
    }
}

/// An upstream cannot set a cookie of ours (threat 85).
fn drop_our_cookies() {
    if abi::lacks_response_header(b"set-cookie") {
        return;
    }
    let Some(response) = abi::header_map(MapType::HttpResponseHeaders).and_then(Request::from_header_map) else {
        return;
    };
    if !response.values("set-cookie").any(sets_our_cookie) {
        return;
    }
    abi::remove_response_header(b"set-cookie");
    for value in response.values("set-cookie").filter(|value| !sets_our_cookie(value)) {
        abi::add_response_header(b"set-cookie", value);
    }
}

/// A session that was renewed on the way. No cache may keep the response, which was for nobody else.
fn set_our_cookies(cookies: Vec<String>) {
    abi::remove_response_header(b"cache-control");
    abi::add_response_header(b"cache-control", b"no-store");
    for cookie in cookies {
        abi::add_response_header(b"set-cookie", cookie.as_bytes());
    }
}

impl Context for Stream {}

impl Drop for Stream {
    /// The proxy forgets the stream. It is told by this alone: `proxy_on_done` is not exported, to spare a call for each
    /// request (see `xtask/src/modules.rs`).
    fn drop(&mut self) {
        if matches!(self.phase.get(), Phase::Undecided | Phase::Reading(_))
            && let Ok(mut worker) = self.worker.try_borrow_mut()
            && let Some(worker) = worker.as_mut()
        {
            worker.leave(self.context);
        }
    }
}
