//! The provider of signatures of this VM: the host's crypto where it lends some that proves itself, else the module's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use carded_verifier::{RustCryptoWithTables, SignatureProvider};
use proxy_wasm::types::{LogLevel, MetricType};

use super::{abi, log};
use carded_gate::Lent;

/// The counter of calls that failed; none while the host is put to the test, where a call may fail.
static FAILED: AtomicU32 = AtomicU32::new(NONE);
const NONE: u32 = u32::MAX;

/// Puts the host to the test, and says in a log line and a gauge how many algorithms it may check.
pub(super) fn provider() -> Arc<dyn SignatureProvider> {
    FAILED.store(NONE, Ordering::Relaxed);
    let lent = Lent::new(call, RustCryptoWithTables::default());
    let names: Vec<&str> = lent.proven().iter().map(|algorithm| algorithm.name()).collect();
    if names.is_empty() {
        log(LogLevel::Info, "carded: signatures: all by this module");
    } else {
        log(
            LogLevel::Info,
            &["carded: signatures: ", &names.join(", "), " by the host, the others by this module"].concat(),
        );
    }
    if let Some(gauge) = abi::define_metric(MetricType::Gauge, "carded.lent.algorithms") {
        abi::record_metric(gauge, u64::try_from(names.len()).unwrap_or_default());
    }
    let failed = abi::define_metric(MetricType::Counter, "carded.lent.failed");
    FAILED.store(failed.unwrap_or(NONE), Ordering::Relaxed);
    Arc::new(lent)
}

fn call(argument: &[u8]) -> Option<Vec<u8>> {
    let reply = abi::foreign("verify_signature", argument);
    let failed = FAILED.load(Ordering::Relaxed);
    if reply.is_none() && failed != NONE {
        abi::increment_metric(failed, 1);
    }
    reply
}
