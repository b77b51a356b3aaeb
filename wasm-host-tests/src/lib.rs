//! A small host of the proxy-wasm ABI 0.2.1 on wasmtime, for tests that drive the built filter without an Envoy. It models
//! what real Envoy does to a filter and a naive mock does not:
//!
//! - both pause modes: with `allow_on_headers_stop_iteration` body and trailers come to the callbacks of a paused request,
//!   and a `Continue` from there sends it upstream; without it nothing comes until the filter continues;
//! - local replies and continuing take effect when the callback has returned; too many of them in one callback overflow the
//!   stack and kill the VM;
//! - calls made in a stream's context die with that stream, calls of the root context live on;
//! - one VM for the main thread and one per worker (and a canary that is thrown away), with shared data, whose
//!   compare-and-swap succeeds on an absent key, and shared queues, which belong to the VM that registered them last;
//! - a VM that traps answers nothing any more; `FAIL_RELOAD` brings a new one for the next request.
//!
//! Time is a fake clock that moves only by [`Host::advance`], randomness comes from a seed, and upstreams are scripts
//! ([`Answer`]): the same story always ends the same way.

mod abi;
mod builder;
mod flow;
mod headers;
mod host;
mod imports;
mod inspect;
pub mod lending;
mod module;
mod process;
mod protobuf;
mod reply;
mod stream;
mod upstream;
mod vm;

pub use abi::Status;
pub use builder::{FailurePolicy, HostBuilder, Refused};
pub use headers::HeaderMap;
pub use host::{Host, StreamId};
pub use module::{GuestModule, crash_filter_path, filter_path};
pub use process::{LogLine, Metric};
pub use protobuf::struct_bytes;
pub use reply::Reply;
pub use stream::{Outcome, Passed, Request};
pub use upstream::{Answer, Call};
pub use vm::Told;
