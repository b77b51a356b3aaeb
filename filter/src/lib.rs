//! The Carded filter: verifies who is asking before a request reaches any service.
//!
//! The gate (`filter/gate`) is pure and decides; `host` makes the host calls of proxy-wasm and nothing else. See
//! `ARCHITECTURE.md`.

// Nothing that a client, a provider or a wallet sends may panic: a panic kills the worker's VM.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable,
        clippy::arithmetic_side_effects,
        clippy::string_slice
    )
)]

#[cfg(target_os = "wasi")]
mod host;
