//! A small proxy-wasm host.
