//! The handful of WASI preview 1 functions that Envoy's Wasm runtime has (`proxy-wasm-cpp-host`, `exports.cc`): no files, no
//! sockets, no arguments; output goes to the log, the clock is the fake one, randomness comes from the test's seed.

use wasmtime::{Caller, Linker};

use crate::vm::{VmState, read, write};

type Guest<'a> = Caller<'a, VmState>;

const SUCCESS: i32 = 0;
const BAD_DESCRIPTOR: i32 = 8;
const FAULT: i32 = 21;
const NOT_IMPLEMENTED: i32 = 52;
const NOT_SUPPORTED: i32 = 58;
const MODULE: &str = "wasi_snapshot_preview1";

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "fd_write", |mut guest: Guest<'_>, fd: u32, iovs: u32, count: u32, written_at: u32| {
        fd_write(&mut guest, fd, iovs, count, written_at).unwrap_or(FAULT)
    })?;
    linker.func_wrap(MODULE, "fd_read", |_: Guest<'_>, _: u32, _: u32, _: u32, _: u32| NOT_IMPLEMENTED)?;
    linker.func_wrap(MODULE, "fd_seek", |_: Guest<'_>, _: u32, _: i64, _: u32, _: u32| SUCCESS)?;
    linker.func_wrap(MODULE, "fd_close", |_: Guest<'_>, _: u32| SUCCESS)?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |mut guest: Guest<'_>, fd: u32, at: u32| {
        if fd != 1 && fd != 2 {
            return BAD_DESCRIPTOR;
        }
        let mut stat = [0u8; 24];
        stat[8] = 64; // the right to write
        done(write(&mut guest, at, &stat).is_ok())
    })?;
    linker.func_wrap(MODULE, "environ_sizes_get", |mut guest: Guest<'_>, count_at: u32, size_at: u32| {
        let lines = environment(guest.data_mut());
        let size: usize = lines.iter().map(Vec::len).sum();
        done(
            write(&mut guest, count_at, &(lines.len() as u32).to_le_bytes()).is_ok()
                && write(&mut guest, size_at, &(size as u32).to_le_bytes()).is_ok(),
        )
    })?;
    linker.func_wrap(MODULE, "environ_get", |mut guest: Guest<'_>, mut array: u32, mut buffer: u32| {
        for line in environment(guest.data_mut()) {
            let placed = write(&mut guest, array, &buffer.to_le_bytes()).is_ok();
            if !placed || write(&mut guest, buffer, &line).is_err() {
                return FAULT;
            }
            array += 4;
            buffer += line.len() as u32;
        }
        SUCCESS
    })?;
    linker.func_wrap(MODULE, "args_sizes_get", |mut guest: Guest<'_>, count_at: u32, size_at: u32| {
        done(write(&mut guest, count_at, &[0; 4]).is_ok() && write(&mut guest, size_at, &[0; 4]).is_ok())
    })?;
    linker.func_wrap(MODULE, "args_get", |_: Guest<'_>, _: u32, _: u32| SUCCESS)?;
    linker.func_wrap(MODULE, "clock_time_get", |mut guest: Guest<'_>, clock: u32, _precision: u64, at: u32| {
        if clock > 1 {
            return NOT_SUPPORTED; // only realtime and monotonic
        }
        let now = guest.data_mut().process.borrow().now;
        done(write(&mut guest, at, &now.to_le_bytes()).is_ok())
    })?;
    linker.func_wrap(MODULE, "random_get", |mut guest: Guest<'_>, at: u32, len: u32| {
        let bytes: Vec<u8> = (0..len).map(|_| guest.data_mut().random_byte()).collect();
        done(write(&mut guest, at, &bytes).is_ok())
    })?;
    linker.func_wrap(MODULE, "sched_yield", |_: Guest<'_>| SUCCESS)?;
    linker.func_wrap(MODULE, "proc_exit", |_: Guest<'_>, code: u32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("the guest called proc_exit({code})")))
    })?;
    Ok(())
}

fn done(well: bool) -> i32 {
    if well { SUCCESS } else { FAULT }
}

fn environment(state: &mut VmState) -> Vec<Vec<u8>> {
    state.environment.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn fd_write(guest: &mut Guest<'_>, fd: u32, iovs: u32, count: u32, written_at: u32) -> Option<i32> {
    let level = match fd {
        1 => 2,
        2 => 4,
        _ => return Some(BAD_DESCRIPTOR),
    };
    let mut text = Vec::new();
    for index in 0..count {
        let iov = read(guest, iovs.checked_add(index.checked_mul(8)?)?, 8).ok()?;
        let at = u32::from_le_bytes(iov[..4].try_into().ok()?);
        let len = u32::from_le_bytes(iov[4..].try_into().ok()?);
        text.extend(read(guest, at, len).ok()?);
    }
    let state = guest.data_mut();
    state.process.borrow_mut().log(state.vm, level, text.strip_suffix(b"\n").unwrap_or(&text));
    write(guest, written_at, &(text.len() as u32).to_le_bytes()).ok()?;
    Some(SUCCESS)
}
