//! A proxy-wasm filter that does nothing to a request: the least that any Wasm filter costs, which the benchmarks
//! (`cargo xtask bench`) take as their measure. It is never shipped.
//!
//! With the configuration `calls` it makes the host calls that admitting a remembered token needs (all headers read, the
//! time, the token removed, two headers set, a counter), and nothing else: what they cost in the proxy whatever a filter does.
//! With `session` it makes those of a remembered session; with `reads` those of a token that change no header; with `verify`
//! and the arguments of Envoy's `verify_signature` it makes all of a token's and has that signature checked: what a new token takes.
#![allow(missing_docs, reason = "what the SDK's macro exports")]

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MapType, MetricType, Status};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
}}

#[derive(Default)]
struct Root {
    calls: Option<Calls>,
}

/// The host calls that are made.
#[derive(Clone)]
struct Calls {
    /// The counter to add to.
    counter: u32,
    /// What the request brings.
    brings: Brings,
    /// What is to be verified.
    verify: Option<Rc<[u8]>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Brings {
    Token,
    /// A token, of which nothing is taken or told.
    Unchanged,
    /// A session: whether it was ended elsewhere is in shared data, and the response sets no cookie of its name.
    Session,
}

/// A value in shared data, as long as the one that is looked at for a session.
const SHARED: &str = "empty.shared";

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        let (brings, verify) = match configuration.as_slice() {
            b"calls" => (Brings::Token, None),
            b"reads" => (Brings::Unchanged, None),
            b"session" => (Brings::Session, None),
            other => match other.strip_prefix(b"verify") {
                Some(arguments) => (Brings::Token, Some(arguments.into())),
                None => return true,
            },
        };
        if brings == Brings::Session && hostcalls::set_shared_data(SHARED, Some(&[0; 24]), None).is_err() {
            return false;
        }
        let counter = hostcalls::define_metric(MetricType::Counter, "empty.calls").ok();
        self.calls = counter.map(|counter| Calls { counter, brings, verify });
        self.calls.is_some()
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { calls: self.calls.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    calls: Option<Calls>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        match &self.calls {
            Some(calls) if calls.make().is_err() => Action::Pause,
            _ => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        match &self.calls {
            Some(Calls { brings: Brings::Session, .. })
                if hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, "set-cookie").is_err() =>
            {
                Action::Pause
            }
            _ => Action::Continue,
        }
    }
}

impl Calls {
    fn make(&self) -> Result<(), Status> {
        let map = MapType::HttpRequestHeaders;
        all_headers(map)?;
        hostcalls::get_current_time()?;
        if let Some(arguments) = &self.verify {
            // `{ bool result = 1; }`
            let result = hostcalls::call_foreign_function("verify_signature", Some(arguments))?;
            if result.as_deref() != Some(&[0x08, 1]) {
                return Err(Status::BadArgument);
            }
        }
        match self.brings {
            Brings::Token => {
                hostcalls::remove_map_value(map, "authorization")?;
                hostcalls::set_map_value_bytes(map, "x-carded-subject", Some(b"person-00000001"))?;
                hostcalls::set_map_value_bytes(map, "x-carded-role", Some(b"clerk"))?;
            }
            Brings::Unchanged => {}
            Brings::Session => {
                hostcalls::get_shared_data(SHARED)?;
                hostcalls::remove_map_value(map, "cookie")?;
                hostcalls::set_map_value_bytes(map, "x-carded-over-21", Some(b"true"))?;
            }
        }
        hostcalls::increment_metric(self.counter, 1)
    }
}

/// Has the proxy write all headers into this module's memory, and looks at none of them.
#[expect(unsafe_code, reason = "the SDK's own call would take them apart, which is no host call any more")]
fn all_headers(map: MapType) -> Result<(), Status> {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_header_map_pairs(kind: MapType, data: *mut *mut u8, size: *mut usize) -> Status;
    }
    let (mut data, mut size) = (std::ptr::null_mut::<u8>(), 0);
    // SAFETY: the host writes a pointer to memory that it gives up, and its size.
    match unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) } {
        Status::Ok if !data.is_null() => {
            // SAFETY: the host allocated exactly `size` bytes with the SDK's allocator, which makes a boxed slice.
            drop(unsafe { Vec::from_raw_parts(data, size, size) });
            Ok(())
        }
        Status::Ok => Ok(()),
        other => Err(other),
    }
}
