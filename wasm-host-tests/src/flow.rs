//! The way of one stream past the filter, as Envoy's filter manager walks it: headers, body, trailers, the response, local
//! replies, and the end.

use crate::host::{Finished, Host, NESTED_ACTIONS, Place, StreamId};
use crate::reply::{LocalReply, finish};
use crate::stream::{Iteration, Outcome, Passed, ResponseFrom, Stream};
use crate::upstream::How;
use crate::vm::Action;

const CONTINUE: u32 = 0;
const STOP_ITERATION: u32 = 1;
const STOP_NO_BUFFER: u32 = 3;

/// How a callback ended: the value it returned, unless the VM died of it.
enum Returned {
    Value(u32),
    Stopped,
    Crashed,
}

impl Host {
    /// Calls into the guest, then lets happen what it asked for.
    pub(crate) fn callback(&mut self, slot: usize, context: u32, name: &str, args: &[u32]) {
        let _ = self.run(slot, context, name, args);
        self.after_callback(slot);
    }

    fn run(&mut self, slot: usize, context: u32, name: &str, args: &[u32]) -> Returned {
        let vm = &mut self.slots[slot].vm;
        match vm.call(context, name, args) {
            Ok(value) if vm.state().stop_iteration => {
                let _ = value;
                Returned::Stopped
            }
            Ok(value) => Returned::Value(value.unwrap_or(CONTINUE)),
            Err(_) => Returned::Crashed,
        }
    }

    /// What the filter asked for takes effect. Each action that ends a stream calls into the guest again, and Envoy nests
    /// these calls: too many and its stack is full.
    fn after_callback(&mut self, slot: usize) {
        if std::mem::replace(&mut self.draining, true) {
            return; // the callback was nested: the loop below goes on with what it asked for
        }
        let mut nested = 0;
        while let Some(action) = self.slots[slot].vm.state().actions.pop_front() {
            nested += 1;
            if nested > NESTED_ACTIONS {
                self.slots[slot].vm.fail("stack overflow: too many streams answered in one callback");
                break;
            }
            let generation = self.slots[slot].generation;
            let place = Place { slot, generation, context: action.context() };
            self.act(place, action);
        }
        self.draining = false;
    }

    fn act(&mut self, place: Place, action: Action) {
        match action {
            Action::Reset(_) => self.end(place, Outcome::Reset),
            Action::Reply(_, reply) => self.local_reply(place, reply),
            Action::ContinueRequest(_) => {
                if self.with(place, |stream| stream.reply_sent).unwrap_or(true) {
                    self.process.borrow_mut().odd("continue_stream after a local reply or the end");
                    return;
                }
                // what was held back goes on, whether the headers did so before or not
                self.let_on(place);
                self.pump(place);
            }
            Action::ContinueResponse(_) => {
                if let Some(from) = self.with(place, |stream| stream.response_held.take()).flatten() {
                    self.respond(place, from);
                }
            }
        }
    }

    fn with<R>(&mut self, place: Place, look: impl FnOnce(&mut Stream) -> R) -> Option<R> {
        let slot = &mut self.slots[place.slot];
        if slot.generation != place.generation {
            return None;
        }
        slot.vm.state().stream(place.context).map(look)
    }

    /// A callback of a stream; if the VM dies in it, Envoy answers the stream itself.
    fn stream_callback(&mut self, place: Place, name: &str, args: &[u32]) -> Option<u32> {
        let mut full = vec![place.context];
        full.extend(args);
        let returned = self.run(place.slot, place.context, name, &full);
        match returned {
            Returned::Crashed => {
                self.end(place, Outcome::Crashed { status: 503, why: format!("the VM failed in {name}") });
                None
            }
            // the status counts before the actions take effect
            Returned::Stopped => Some(u32::MAX),
            Returned::Value(value) => Some(value),
        }
    }

    /// The request arrives.
    pub(crate) fn open_stream(&mut self, place: Place) {
        let root = self.slots[place.slot].vm.root;
        if self.stream_callback(place, "proxy_on_context_create", &[root]).is_none() {
            return;
        }
        self.after_callback(place.slot);
        let Some((headers, ends)) =
            self.with(place, |stream| (stream.request.len() as u32, u32::from(stream.ends_with_headers())))
        else {
            return;
        };
        let Some(status) = self.stream_callback(place, "proxy_on_request_headers", &[headers, ends]) else { return };
        let held = match status {
            CONTINUE => None,
            STOP_ITERATION if self.headers_stop_iteration => Some(Iteration::HeadersHeld),
            _ => Some(Iteration::AllHeld),
        };
        self.with(place, |stream| match held {
            Some(held) => stream.iteration = held,
            None => stream.request_open = false,
        });
        self.after_callback(place.slot);
        if held.is_none() {
            self.release(place);
        }
        self.pump(place);
    }

    /// The headers, and what was buffered, go on to the service.
    fn release(&mut self, place: Place) {
        let illegal = self.with(place, |stream| {
            if stream.passed.is_some() || stream.reply_sent {
                return None;
            }
            stream.request_open = false;
            stream.iteration = Iteration::Running;
            let illegal = stream.request.illegal().map(str::to_owned);
            if illegal.is_none() {
                let body = std::mem::take(&mut stream.buffered);
                let trailers = stream.trailers.clone();
                stream.passed =
                    Some(Passed { headers: stream.request.clone(), body, trailers, ended: false, response: None });
            }
            illegal
        });
        if let Some(Some(name)) = illegal {
            let why = format!("illegal value in the header {name}");
            self.end(place, Outcome::Crashed { status: 503, why });
        }
    }

    /// Body and trailers go to the filter as far as it lets them.
    pub(crate) fn pump(&mut self, place: Place) {
        while let Some(piece) = self.with(place, next_piece).flatten() {
            match piece {
                Piece::Body { size, ends } => {
                    let Some(status) = self.stream_callback(place, "proxy_on_request_body", &[size, ends]) else {
                        return;
                    };
                    self.after_body(place, status);
                }
                Piece::Trailers { count } => {
                    let Some(status) = self.stream_callback(place, "proxy_on_request_trailers", &[count]) else {
                        return;
                    };
                    self.after_callback(place.slot);
                    if status == CONTINUE {
                        self.let_on(place);
                    } else {
                        self.with(place, |stream| stream.iteration = Iteration::AllHeld);
                    }
                }
                Piece::End => {
                    self.serve(place);
                    return;
                }
            }
        }
    }

    fn after_body(&mut self, place: Place, status: u32) {
        self.after_callback(place.slot);
        match status {
            CONTINUE => self.let_on(place),
            STOP_NO_BUFFER | u32::MAX => {
                self.with(place, |stream| stream.buffered.clear());
            }
            _ => {}
        }
    }

    /// A `Continue` from the body or trailer callback: a request that is still paused goes upstream.
    fn let_on(&mut self, place: Place) {
        let first = self.with(place, |stream| stream.passed.is_none()).unwrap_or(false);
        if first {
            self.release(place);
            return;
        }
        self.with(place, |stream| {
            let body = std::mem::take(&mut stream.buffered);
            let trailers = stream.trailers.clone();
            if let Some(passed) = &mut stream.passed {
                passed.body.extend(body);
                passed.trailers = trailers;
            }
        });
    }

    /// The service has the whole request and replies.
    fn serve(&mut self, place: Place) {
        let Some(Some(passed)) = self.with(place, |stream| {
            let passed = stream.passed.as_mut()?;
            passed.ended = true;
            Some(passed.clone())
        }) else {
            return;
        };
        let (headers, body) = match (self.service)(&passed).how {
            How::Reply(headers, body) => (headers, body),
            How::Never => return,
            How::Reset => (crate::HeaderMap::from_pairs([(":status", "503")]), Vec::new()),
        };
        self.with(place, |stream| (stream.response, stream.response_body) = (Some(headers), body));
        self.through_response_callbacks(place, ResponseFrom::Service);
    }

    fn local_reply(&mut self, place: Place, reply: LocalReply) {
        if let Some(Some(number)) = self.with(place, |stream| stream.passed.as_ref().map(|_| stream.number)) {
            self.process.borrow_mut().odd(format!("stream {number} was answered after it had gone on"));
        }
        let composed = self.with(place, |stream| {
            let (headers, body) = reply.compose(stream.is_grpc, stream.method_is_head);
            (stream.response, stream.response_body) = (Some(headers), body);
            // a reply ends the request, wherever it stands
            stream.incoming = crate::stream::Incoming { open: true, ..Default::default() };
        });
        if composed.is_some() {
            self.through_response_callbacks(place, ResponseFrom::Filter);
        }
    }

    fn through_response_callbacks(&mut self, place: Place, from: ResponseFrom) {
        let Some((headers, size)) = self.with(place, |stream| {
            (stream.response.as_ref().map_or(0, |map| map.len() as u32), stream.response_body.len() as u32)
        }) else {
            return;
        };
        let ends = u32::from(size == 0);
        let Some(status) = self.stream_callback(place, "proxy_on_response_headers", &[headers, ends]) else { return };
        if status != CONTINUE && status != u32::MAX {
            self.with(place, |stream| stream.response_held = Some(from));
            return;
        }
        if size > 0 && self.stream_callback(place, "proxy_on_response_body", &[size, 1]).is_none() {
            return;
        }
        self.respond(place, from);
    }

    /// The response goes to the client, and the stream ends.
    fn respond(&mut self, place: Place, from: ResponseFrom) {
        let Some(outcome) = self.with(place, |stream| {
            let headers = stream.response.clone().unwrap_or_default();
            let reply = finish(headers, stream.response_body.clone());
            match from {
                ResponseFrom::Filter => Outcome::Replied(reply),
                ResponseFrom::Service => {
                    let passed = stream.passed.clone().unwrap_or_default();
                    Outcome::Passed(Passed { response: Some(reply), ..passed })
                }
            }
        }) else {
            return;
        };
        self.end(place, outcome);
    }

    /// Ends a stream: the filter sees log, done and delete, in Envoy's order.
    pub(crate) fn end(&mut self, place: Place, outcome: Outcome) {
        let Some(number) = self.with(place, |stream| {
            stream.logging = true;
            stream.number
        }) else {
            return;
        };
        if !self.slots[place.slot].vm.failed {
            for name in ["proxy_on_log", "proxy_on_done", "proxy_on_delete"] {
                let _ = self.run(place.slot, place.context, name, &[place.context]);
            }
        }
        let filter_state = self.with(place, |stream| std::mem::take(&mut stream.filter_state)).unwrap_or_default();
        self.slots[place.slot].vm.state().contexts.remove(&place.context);
        self.after_callback(place.slot);
        self.places.remove(&StreamId(number));
        self.finished.insert(StreamId(number), Finished { outcome, filter_state });
    }
}

/// What the filter is shown next.
enum Piece {
    Body { size: u32, ends: u32 },
    Trailers { count: u32 },
    End,
}

fn next_piece(stream: &mut Stream) -> Option<Piece> {
    if stream.iteration == Iteration::AllHeld || stream.reply_sent {
        return None;
    }
    if let Some(piece) = stream.incoming.pieces.pop_front() {
        stream.buffered.extend(piece);
        let ends = stream.incoming.pieces.is_empty() && stream.incoming.trailers.is_none() && !stream.incoming.open;
        return Some(Piece::Body { size: stream.buffered.len() as u32, ends: u32::from(ends) });
    }
    if let Some(trailers) = stream.incoming.trailers.take() {
        let count = trailers.len() as u32;
        stream.trailers = Some(trailers);
        return Some(Piece::Trailers { count });
    }
    // the end waits behind a part that the filter holds back
    let at_service = stream.passed.as_ref().is_some_and(|passed| !passed.ended) && stream.buffered.is_empty();
    (at_service && !stream.incoming.open).then_some(Piece::End)
}
