//! HTTP calls, local replies, continuing and resetting (proxy-wasm ABI 0.2.1, "HTTP calls", "HTTP streams"). As in Envoy,
//! what changes a stream takes effect when the callback has returned.

use std::time::Duration;

use wasmtime::{Caller, Linker};

use crate::abi::{self, Status, decode_pairs};
use crate::headers::HeaderMap;
use crate::process::Timer;
use crate::reply::LocalReply;
use crate::upstream::Call;
use crate::vm::{Action, Served, VmState, read, status_of, write};

type Guest<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_continue_stream", |mut guest: Guest<'_>, kind: u32| {
        status_of(continue_stream(guest.data_mut(), kind))
    })?;
    linker.func_wrap("env", "proxy_close_stream", |mut guest: Guest<'_>, kind: u32| {
        let state = guest.data_mut();
        let id = state.acting();
        status_of(match kind {
            abi::STREAM_REQUEST | abi::STREAM_RESPONSE => {
                if state.stream(id).is_some() {
                    state.actions.push_back(Action::Reset(id));
                }
                Ok(())
            }
            _ => Err(Status::BadArgument.into()),
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |mut guest: Guest<'_>,
         status: u32,
         _details: u32,
         _details_len: u32,
         body: u32,
         body_len: u32,
         headers: u32,
         headers_len: u32,
         grpc_status: i32| {
            status_of(send_local_response(&mut guest, status, (body, body_len), (headers, headers_len), grpc_status))
        },
    )?;
    linker.func_wrap("env", "proxy_set_effective_context", |mut guest: Guest<'_>, context: u32| {
        let state = guest.data_mut();
        status_of(if state.contexts.contains_key(&context) {
            state.effective = context;
            Ok(())
        } else {
            Err(Status::BadArgument.into())
        })
    })?;
    linker.func_wrap("env", "proxy_done", |_: Guest<'_>| Status::Ok as i32)?;
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut guest: Guest<'_>,
         cluster: u32,
         cluster_len: u32,
         headers: u32,
         headers_len: u32,
         body: u32,
         body_len: u32,
         _trailers: u32,
         _trailers_len: u32,
         timeout: u32,
         token_at: u32| {
            let parts = [(cluster, cluster_len), (headers, headers_len), (body, body_len)];
            status_of(http_call(&mut guest, parts, timeout, token_at))
        },
    )?;
    Ok(())
}

fn continue_stream(state: &mut VmState, kind: u32) -> Served {
    let id = state.acting();
    let action = match kind {
        abi::STREAM_REQUEST => Action::ContinueRequest(id),
        abi::STREAM_RESPONSE => Action::ContinueResponse(id),
        _ => return Err(Status::BadArgument.into()),
    };
    let Some(stream) = state.stream(id) else {
        let note = format!("continue_stream in context {id}, which is no stream");
        state.process.borrow_mut().odd(note);
        return Ok(());
    };
    if kind == abi::STREAM_REQUEST {
        stream.request_open = false;
    }
    state.actions.push_back(action);
    Ok(())
}

fn send_local_response(
    guest: &mut Guest<'_>,
    status: u32,
    body: (u32, u32),
    headers: (u32, u32),
    grpc_status: i32,
) -> Served {
    let body = read(guest, body.0, body.1)?;
    let headers = HeaderMap::from_raw(decode_pairs(&read(guest, headers.0, headers.1)?));
    let state = guest.data_mut();
    let id = state.acting();
    state.stop_iteration = true;
    let Some(stream) = state.stream(id) else {
        let note = format!("send_local_response in context {id}, which is no stream");
        state.process.borrow_mut().odd(note);
        return Ok(());
    };
    if std::mem::replace(&mut stream.reply_sent, true) {
        let note = format!("stream {} was answered twice", stream.number);
        state.process.borrow_mut().odd(note);
        return Err(Status::BadArgument.into());
    }
    let grpc_status = u32::try_from(grpc_status).ok();
    state.actions.push_back(Action::Reply(id, LocalReply { status, headers, body, grpc_status }));
    Ok(())
}

fn http_call(guest: &mut Guest<'_>, parts: [(u32, u32); 3], timeout: u32, token_at: u32) -> Served {
    let [cluster, headers, body] = parts;
    let cluster = String::from_utf8_lossy(&read(guest, cluster.0, cluster.1)?).into_owned();
    let headers = HeaderMap::from_raw(decode_pairs(&read(guest, headers.0, headers.1)?));
    let body = read(guest, body.0, body.1)?;
    write(guest, token_at, &0u32.to_le_bytes())?;
    let timeout = (timeout > 0).then(|| Duration::from_millis(timeout.into()));
    let state = guest.data_mut();
    let (vm, generation, from) = (state.vm, state.generation, state.current);
    let mut process = state.process.borrow_mut();
    let call = Call { at: process.now, vm, cluster, headers, body, timeout };
    let arrival = process.call(call)?;
    state.last_call += 1;
    let token = state.last_call;
    if let Some((delay, reply)) = arrival {
        process.later(delay, vm, generation, Timer::CallDone { token, reply });
    }
    drop(process);
    state.calls.insert(token, from);
    write(guest, token_at, &token.to_le_bytes())
}
