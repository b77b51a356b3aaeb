//! The host functions of proxy-wasm ABI 0.2.1 and of WASI preview 1 that this host has. A module that imports anything else
//! does not start, as in an Envoy with restricted capabilities.

mod grpc;
mod headers;
mod http;
mod system;
mod wasi;

use wasmtime::Linker;

use crate::vm::VmState;

/// Adds every host function to the linker.
pub(crate) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    grpc::define(linker)?;
    headers::define(linker)?;
    http::define(linker)?;
    system::define(linker)?;
    wasi::define(linker)
}
