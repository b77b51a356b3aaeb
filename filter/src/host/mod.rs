//! The only code that makes host calls: bytes only, never panics. It carries requests to the gate and steps back, owns
//! the fetches, and keeps who waits for what.

// The ABI is made of raw pointers; `abi` is the only file that touches them, beside the allocator in `pools`.
#[expect(unsafe_code, reason = "the proxy-wasm ABI is made of raw pointers")]
mod abi;
mod asks;
mod effects;
mod fetches;
mod lent;
mod lists;
mod metrics;
mod once;
#[expect(unsafe_code, reason = "an allocator is made of raw pointers")]
mod pools;
mod root;
mod slot;
mod stream;
mod waiters;
mod worker;

use proxy_wasm::types::LogLevel;

mod entry {
    use super::root::Root;

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
        proxy_wasm::set_root_context(|context_id| Box::new(Root::new(context_id)));
    }}
}

/// Writes a log line. Control characters, which a line's parts could bring from outside, are escaped (threat 80).
fn log(level: LogLevel, line: &str) {
    if line.chars().any(char::is_control) {
        abi::log(level, &line.escape_debug().to_string());
    } else {
        abi::log(level, line);
    }
}

/// A time of the host in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Nanos(u64);

impl Nanos {
    fn now() -> Self {
        Self(abi::now())
    }

    fn after(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    fn timestamp(self) -> carded_verifier::Timestamp {
        carded_verifier::Timestamp::from_unix(i64::try_from(self.0 / 1_000_000_000).unwrap_or(i64::MAX))
    }
}
