//! Header maps and buffers (proxy-wasm ABI 0.2.1, "HTTP fields", "Buffers"). As in Envoy, request headers are out of reach
//! once they were let go, and a map that is out of reach is a `BadArgument` for every call but the whole-map getter.

use wasmtime::{Caller, Linker};

use crate::abi::{self, Status, decode_pairs, encode_pairs};
use crate::headers::HeaderMap;
use crate::vm::{Fault, Served, VmState, give, read, status_of, write};

type Guest<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut guest: Guest<'_>, map: u32, name: u32, name_len: u32, at: u32, len_at: u32| {
            status_of(get_value(&mut guest, map, (name, name_len), at, len_at))
        },
    )?;
    linker.func_wrap("env", "proxy_get_header_map_pairs", |mut guest: Guest<'_>, map: u32, at: u32, len_at: u32| {
        let pairs = readable(guest.data_mut(), map).map(|map| encode_pairs(&map.to_pairs())).unwrap_or_default();
        status_of(give(&mut guest, &pairs, at, len_at))
    })?;
    linker.func_wrap("env", "proxy_get_header_map_size", |mut guest: Guest<'_>, map: u32, at: u32| {
        let size = readable(guest.data_mut(), map).map(|map| map.byte_size() as u32);
        status_of(match size {
            Some(size) => write(&mut guest, at, &size.to_le_bytes()),
            None => Err(Status::BadArgument.into()),
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_add_header_map_value",
        |mut guest: Guest<'_>, map: u32, name: u32, name_len: u32, value: u32, value_len: u32| {
            status_of(change(&mut guest, map, (name, name_len), Some((value, value_len)), HeaderMap::add))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |mut guest: Guest<'_>, map: u32, name: u32, name_len: u32, value: u32, value_len: u32| {
            status_of(change(&mut guest, map, (name, name_len), Some((value, value_len)), HeaderMap::set))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |mut guest: Guest<'_>, map: u32, name: u32, name_len: u32| {
            status_of(change(&mut guest, map, (name, name_len), None, |map: &mut HeaderMap, name, _: Vec<u8>| {
                map.remove(name);
            }))
        },
    )?;
    linker.func_wrap("env", "proxy_set_header_map_pairs", |mut guest: Guest<'_>, map: u32, at: u32, len: u32| {
        status_of(set_pairs(&mut guest, map, at, len))
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut guest: Guest<'_>, buffer: u32, start: u32, max: u32, at: u32, len_at: u32| {
            status_of(get_buffer(&mut guest, buffer, (start, max), at, len_at))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_status",
        |mut guest: Guest<'_>, buffer: u32, len_at: u32, flags_at: u32| {
            status_of(match buffer_bytes(guest.data_mut(), buffer) {
                None => Err(Status::NotFound.into()),
                Some(bytes) => write(&mut guest, len_at, &(bytes.len() as u32).to_le_bytes())
                    .and_then(|()| write(&mut guest, flags_at, &0u32.to_le_bytes())),
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |mut guest: Guest<'_>, buffer: u32, start: u32, len: u32, at: u32, size: u32| {
            status_of(set_buffer(&mut guest, buffer, (start, len), at, size))
        },
    )?;
    Ok(())
}

/// A map that can be read now.
fn readable(state: &mut VmState, map: u32) -> Option<&HeaderMap> {
    match map {
        abi::MAP_CALL_HEADERS => return state.call_reply.as_ref().map(|reply| &reply.headers),
        abi::MAP_CALL_TRAILERS => return None,
        _ => {}
    }
    let stream = state.acting_stream()?;
    match map {
        abi::MAP_REQUEST_HEADERS if stream.request_open || stream.logging => Some(&stream.request),
        abi::MAP_REQUEST_TRAILERS => stream.trailers.as_ref(),
        abi::MAP_RESPONSE_HEADERS => stream.response.as_ref(),
        _ => None,
    }
}

/// A map that can be changed now.
fn writable(state: &mut VmState, map: u32) -> Option<&mut HeaderMap> {
    let stream = state.acting_stream()?;
    match map {
        abi::MAP_REQUEST_HEADERS if stream.request_open => Some(&mut stream.request),
        abi::MAP_REQUEST_TRAILERS if stream.request_open => stream.trailers.as_mut(),
        abi::MAP_RESPONSE_HEADERS if !stream.logging => stream.response.as_mut(),
        abi::MAP_RESPONSE_TRAILERS => None,
        _ => None,
    }
}

fn get_value(guest: &mut Guest<'_>, map: u32, name: (u32, u32), at: u32, len_at: u32) -> Served {
    let name = String::from_utf8_lossy(&read(guest, name.0, name.1)?).into_owned();
    let headers = readable(guest.data_mut(), map).ok_or(Status::BadArgument)?;
    let value = headers.get(&name).ok_or(Status::NotFound)?.to_vec();
    give(guest, &value, at, len_at)
}

fn change(
    guest: &mut Guest<'_>,
    map: u32,
    name: (u32, u32),
    value: Option<(u32, u32)>,
    how: fn(&mut HeaderMap, &str, Vec<u8>),
) -> Served {
    let name = String::from_utf8_lossy(&read(guest, name.0, name.1)?).into_owned();
    let value = value.map(|(at, len)| read(guest, at, len)).transpose()?.unwrap_or_default();
    let headers = writable(guest.data_mut(), map).ok_or(Status::BadArgument)?;
    how(headers, &name, value);
    Ok(())
}

fn set_pairs(guest: &mut Guest<'_>, map: u32, at: u32, len: u32) -> Served {
    let pairs = decode_pairs(&read(guest, at, len)?);
    *writable(guest.data_mut(), map).ok_or(Status::BadArgument)? = HeaderMap::from_raw(pairs);
    Ok(())
}

fn buffer_bytes(state: &mut VmState, buffer: u32) -> Option<Vec<u8>> {
    match buffer {
        abi::BUFFER_CALL_BODY => state.call_reply.as_ref().map(|reply| reply.body.clone()),
        abi::BUFFER_PLUGIN_CONFIGURATION => state.plugin_configuration.clone(),
        abi::BUFFER_VM_CONFIGURATION => Some(Vec::new()),
        abi::BUFFER_REQUEST_BODY => state.acting_stream().map(|stream| stream.buffered.clone()),
        abi::BUFFER_RESPONSE_BODY => state.acting_stream().map(|stream| stream.response_body.clone()),
        _ => None,
    }
}

fn get_buffer(guest: &mut Guest<'_>, buffer: u32, range: (u32, u32), at: u32, len_at: u32) -> Served {
    let bytes = buffer_bytes(guest.data_mut(), buffer).ok_or(Status::NotFound)?;
    let (start, max) = (range.0 as usize, range.1 as usize);
    if range.0.checked_add(range.1).is_none() {
        return Err(Status::BadArgument.into());
    }
    let end = bytes.len().min(start + max);
    match bytes.get(start..end) {
        // Envoy leaves the out pointers alone where there is nothing to give
        None | Some([]) => Ok(()),
        Some(part) => {
            let part = part.to_vec();
            give(guest, &part, at, len_at)
        }
    }
}

fn set_buffer(guest: &mut Guest<'_>, buffer: u32, range: (u32, u32), at: u32, size: u32) -> Served {
    let data = read(guest, at, size)?;
    let stream = guest.data_mut().acting_stream().ok_or(Status::NotFound)?;
    let target = match buffer {
        abi::BUFFER_REQUEST_BODY => &mut stream.buffered,
        abi::BUFFER_RESPONSE_BODY => &mut stream.response_body,
        _ => return Err(Fault::Status(Status::BadArgument)),
    };
    match (range.0 as usize, range.1 as usize) {
        (0, 0) => target.splice(0..0, data).for_each(drop),
        (0, len) if len >= target.len() => *target = data,
        (start, _) if start >= target.len() => target.extend(data),
        _ => return Err(Fault::Status(Status::BadArgument)),
    }
    Ok(())
}
