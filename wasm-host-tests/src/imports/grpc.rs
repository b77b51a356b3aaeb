//! gRPC calls (proxy-wasm ABI 0.2.1, "gRPC calls"). The SDK imports them whether a filter makes them or not; Carded makes
//! none, so each is answered with a failure and noted as odd.

use wasmtime::{Caller, Linker};

use crate::abi::Status;
use crate::vm::VmState;

type Guest<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        |mut guest: Guest<'_>,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32| { refuse(&mut guest, "proxy_grpc_call") },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        |mut guest: Guest<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| {
            refuse(&mut guest, "proxy_grpc_stream")
        },
    )?;
    linker.func_wrap("env", "proxy_grpc_send", |mut guest: Guest<'_>, _: u32, _: u32, _: u32, _: u32| {
        refuse(&mut guest, "proxy_grpc_send")
    })?;
    linker.func_wrap("env", "proxy_grpc_cancel", |mut guest: Guest<'_>, _: u32| {
        refuse(&mut guest, "proxy_grpc_cancel")
    })?;
    linker
        .func_wrap("env", "proxy_grpc_close", |mut guest: Guest<'_>, _: u32| refuse(&mut guest, "proxy_grpc_close"))?;
    linker.func_wrap("env", "proxy_get_status", |mut guest: Guest<'_>, _: u32, _: u32, _: u32| {
        refuse(&mut guest, "proxy_get_status")
    })?;
    Ok(())
}

fn refuse(guest: &mut Guest<'_>, name: &str) -> i32 {
    guest.data_mut().process.borrow_mut().odd(format!("{name} was called"));
    Status::InternalFailure as i32
}
