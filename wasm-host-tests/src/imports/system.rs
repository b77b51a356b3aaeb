//! Logs, clock, ticks, properties, shared data and queues, metrics and foreign functions (proxy-wasm ABI 0.2.1).

use std::time::Duration;

use wasmtime::{Caller, Linker};

use crate::abi::Status;
use crate::process::{Metric, Timer};
use crate::vm::{Context, MetricKind, Served, VmState, give, read, status_of, write};

type Guest<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_log", |mut guest: Guest<'_>, level: u32, at: u32, len: u32| {
        status_of(read(&mut guest, at, len).map(|text| {
            let state = guest.data_mut();
            state.process.borrow_mut().log(state.vm, level, &text);
        }))
    })?;
    linker.func_wrap("env", "proxy_get_log_level", |mut guest: Guest<'_>, at: u32| {
        let level = guest.data_mut().process.borrow().log_level;
        status_of(write(&mut guest, at, &level.to_le_bytes()))
    })?;
    linker.func_wrap("env", "proxy_get_current_time_nanoseconds", |mut guest: Guest<'_>, at: u32| {
        let now = guest.data_mut().process.borrow().now;
        status_of(write(&mut guest, at, &now.to_le_bytes()))
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut guest: Guest<'_>, period: u32| {
        set_tick(guest.data_mut(), period);
        Status::Ok as i32
    })?;
    define_properties(linker)?;
    define_shared(linker)?;
    define_metrics(linker)
}

fn set_tick(state: &mut VmState, period: u32) {
    if period == 0 {
        state.tick_serial = None;
        return;
    }
    let period = Duration::from_millis(period.into());
    let mut process = state.process.borrow_mut();
    let serial = process.next_serial();
    process.later(period, state.vm, state.generation, Timer::Tick { serial });
    state.tick_serial = Some((serial, period));
}

fn define_properties(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut guest: Guest<'_>, path: u32, path_len: u32, at: u32, len_at: u32| {
            status_of(get_property(&mut guest, (path, path_len), at, len_at))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |mut guest: Guest<'_>, path: u32, path_len: u32, value: u32, value_len: u32| {
            status_of(set_property(&mut guest, (path, path_len), (value, value_len)))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut guest: Guest<'_>, name: u32, name_len: u32, argument: u32, argument_len: u32, at: u32, len_at: u32| {
            status_of(foreign(&mut guest, (name, name_len), (argument, argument_len), at, len_at))
        },
    )?;
    Ok(())
}

fn get_property(guest: &mut Guest<'_>, path: (u32, u32), at: u32, len_at: u32) -> Served {
    let path = read(guest, path.0, path.1)?;
    let state = guest.data_mut();
    let of_plugin = match path.as_slice() {
        b"plugin_root_id" => Some(Vec::new()),
        b"plugin_name" => Some(b"carded".to_vec()),
        b"plugin_vm_id" => Some(state.process.borrow().vm_id.clone().into_bytes()),
        _ => None,
    };
    let value = match of_plugin {
        Some(value) => value,
        None => {
            let stream = state.acting_stream().ok_or(Status::NotFound)?;
            let known = stream.properties.get(&path);
            let set = || stream.filter_state.get(&*String::from_utf8_lossy(&path));
            known.or_else(set).ok_or(Status::NotFound)?.clone()
        }
    };
    give(guest, &value, at, len_at)
}

fn set_property(guest: &mut Guest<'_>, path: (u32, u32), value: (u32, u32)) -> Served {
    let path = String::from_utf8_lossy(&read(guest, path.0, path.1)?).into_owned();
    let value = read(guest, value.0, value.1)?;
    let stream = guest.data_mut().acting_stream().ok_or(Status::NotFound)?;
    stream.filter_state.insert(path, value);
    Ok(())
}

fn foreign(guest: &mut Guest<'_>, name: (u32, u32), argument: (u32, u32), at: u32, len_at: u32) -> Served {
    let name = String::from_utf8_lossy(&read(guest, name.0, name.1)?).into_owned();
    let argument = read(guest, argument.0, argument.1)?;
    let result = {
        let mut process = guest.data_mut().process.borrow_mut();
        let function = process.foreign.get_mut(&name).ok_or(Status::NotFound)?;
        function(&argument).ok_or(Status::InternalFailure)?
    };
    give(guest, &result, at, len_at)
}

fn define_shared(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut guest: Guest<'_>, key: u32, key_len: u32, at: u32, len_at: u32, cas_at: u32| {
            status_of(get_shared(&mut guest, (key, key_len), at, len_at, cas_at))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |mut guest: Guest<'_>, key: u32, key_len: u32, value: u32, value_len: u32, cas: u32| {
            status_of(set_shared(&mut guest, (key, key_len), (value, value_len), cas))
        },
    )?;
    linker.func_wrap("env", "proxy_register_shared_queue", |mut guest: Guest<'_>, name: u32, len: u32, at: u32| {
        status_of(read(&mut guest, name, len).and_then(|name| {
            let state = guest.data_mut();
            let owner = match state.contexts.get(&state.acting()) {
                Some(Context::Root) => state.acting(),
                _ => 1,
            };
            let token = state.process.borrow_mut().queue_register(&name, state.vm, owner);
            write(&mut guest, at, &token.to_le_bytes())
        }))
    })?;
    linker.func_wrap(
        "env",
        "proxy_resolve_shared_queue",
        |mut guest: Guest<'_>, vm_id: u32, vm_id_len: u32, name: u32, name_len: u32, at: u32| {
            status_of(resolve_queue(&mut guest, (vm_id, vm_id_len), (name, name_len), at))
        },
    )?;
    linker.func_wrap("env", "proxy_enqueue_shared_queue", |mut guest: Guest<'_>, queue: u32, at: u32, len: u32| {
        status_of(read(&mut guest, at, len).and_then(|item| {
            match guest.data_mut().process.borrow_mut().enqueue(queue, item) {
                Status::Ok => Ok(()),
                other => Err(other.into()),
            }
        }))
    })?;
    linker.func_wrap(
        "env",
        "proxy_dequeue_shared_queue",
        |mut guest: Guest<'_>, queue: u32, at: u32, len_at: u32| {
            let item = guest.data_mut().process.borrow_mut().dequeue(queue);
            status_of(item.map_err(Into::into).and_then(|item| give(&mut guest, &item, at, len_at)))
        },
    )?;
    Ok(())
}

fn get_shared(guest: &mut Guest<'_>, key: (u32, u32), at: u32, len_at: u32, cas_at: u32) -> Served {
    let key = read(guest, key.0, key.1)?;
    let (value, version) = guest.data_mut().process.borrow().shared_get(&key).ok_or(Status::NotFound)?;
    give(guest, &value, at, len_at)?;
    write(guest, cas_at, &version.to_le_bytes())
}

fn set_shared(guest: &mut Guest<'_>, key: (u32, u32), value: (u32, u32), cas: u32) -> Served {
    let key = read(guest, key.0, key.1)?;
    let value = read(guest, value.0, value.1)?;
    match guest.data_mut().process.borrow_mut().shared_set(&key, value, cas) {
        Status::Ok => Ok(()),
        other => Err(other.into()),
    }
}

fn resolve_queue(guest: &mut Guest<'_>, vm_id: (u32, u32), name: (u32, u32), at: u32) -> Served {
    let vm_id = read(guest, vm_id.0, vm_id.1)?;
    let name = read(guest, name.0, name.1)?;
    let token = {
        let process = guest.data_mut().process.borrow();
        // only one vm_id lives in this process
        if !vm_id.is_empty() && vm_id != process.vm_id.as_bytes() {
            return Err(Status::NotFound.into());
        }
        process.queue_resolve(&name).ok_or(Status::NotFound)?
    };
    write(guest, at, &token.to_le_bytes())
}

fn define_metrics(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut guest: Guest<'_>, kind: u32, name: u32, name_len: u32, at: u32| {
            status_of(define_metric(&mut guest, kind, (name, name_len), at))
        },
    )?;
    linker.func_wrap("env", "proxy_increment_metric", |mut guest: Guest<'_>, id: u32, by: i64| {
        status_of(increment(guest.data_mut(), id, by))
    })?;
    linker.func_wrap("env", "proxy_record_metric", |mut guest: Guest<'_>, id: u32, value: u64| {
        status_of(with_metric(guest.data_mut(), id, |metric| match metric {
            Metric::Counter(count) => *count += value,
            Metric::Gauge(level) => *level = value,
            Metric::Histogram(values) => values.push(value),
        }))
    })?;
    linker.func_wrap("env", "proxy_get_metric", |mut guest: Guest<'_>, id: u32, at: u32| {
        let mut value = 0;
        let found = with_metric(guest.data_mut(), id, |metric| match metric {
            Metric::Counter(count) => value = *count,
            Metric::Gauge(level) => value = *level,
            Metric::Histogram(_) => {}
        });
        status_of(found.and_then(|()| write(&mut guest, at, &value.to_le_bytes())))
    })?;
    Ok(())
}

fn define_metric(guest: &mut Guest<'_>, kind: u32, name: (u32, u32), at: u32) -> Served {
    let name = String::from_utf8_lossy(&read(guest, name.0, name.1)?).into_owned();
    let (kind, fresh) = match kind {
        0 => (MetricKind::Counter, Metric::Counter(0)),
        1 => (MetricKind::Gauge, Metric::Gauge(0)),
        2 => (MetricKind::Histogram, Metric::Histogram(Vec::new())),
        _ => return Err(Status::BadArgument.into()),
    };
    let state = guest.data_mut();
    state.process.borrow_mut().metrics.entry(name.clone()).or_insert(fresh);
    state.metrics.push((kind, name));
    let id = state.metrics.len() as u32;
    write(guest, at, &id.to_le_bytes())
}

fn with_metric(state: &mut VmState, id: u32, change: impl FnOnce(&mut Metric)) -> Served {
    let (_, name) = (id as usize).checked_sub(1).and_then(|index| state.metrics.get(index)).ok_or(Status::NotFound)?;
    let mut process = state.process.borrow_mut();
    change(process.metrics.get_mut(name).ok_or(Status::NotFound)?);
    Ok(())
}

fn increment(state: &mut VmState, id: u32, by: i64) -> Served {
    let kind = (id as usize).checked_sub(1).and_then(|index| state.metrics.get(index)).map(|(kind, _)| *kind);
    match kind {
        None => Err(Status::NotFound.into()),
        Some(MetricKind::Counter) if by < 0 => Err(Status::BadArgument.into()),
        Some(MetricKind::Histogram) => Err(Status::BadArgument.into()),
        Some(_) => with_metric(state, id, |metric| match metric {
            Metric::Counter(value) | Metric::Gauge(value) => *value = value.saturating_add_signed(by),
            Metric::Histogram(_) => {}
        }),
    }
}
