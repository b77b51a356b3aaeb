//! The way of a request through the gate, built for speed.
//!
//! Most of the module is built for size, and this crate for speed: what is generic or `#[inline]` in the gate and the verifier is
//! compiled here, where it is called, so that marking a function there puts it on this way. Nothing is decided here.

use carded_gate::{Around, Changes, Decision, Gate, Request, Silent};
use carded_verifier::Documents;

/// Decides on a request: [`Gate::decide`] without a trace.
#[inline(never)]
pub fn decide(gate: &Gate, request: &Request, known: &Documents, around: &mut Around<'_>) -> Decision {
    gate.decide(request, known, around, &mut Silent)
}

/// The request of a header map of the ABI: [`Request::from_header_map`].
#[inline(never)]
#[must_use]
pub fn request(header_map: Vec<u8>) -> Option<Request> {
    Request::from_header_map(header_map)
}

/// Drops what a request leaves that went on. Built for size, each of its texts would take four calls to be given back.
#[inline(never)]
pub fn discard(left: (Request, Changes, Vec<String>)) {
    drop(left);
}
