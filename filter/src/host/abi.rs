//! The host calls of the proxy-wasm ABI 0.2.1 that the filter makes, as bytes and without panics.
//!
//! The SDK's own wrappers panic on header values that are no UTF-8 and on every status they do not expect; one request
//! could kill the worker's VM. Here a status is a number, and whatever is not "ok" is told apart or taken as "not there".
//! Only `http_call` goes through the SDK, whose dispatcher must know the call to route its reply.

use std::ptr::null_mut;
use std::time::Duration;

use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType};

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: LogLevel, data: *const u8, size: usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(kind: BufferType, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(kind: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        kind: MapType,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        kind: MapType,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        kind: MapType,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(kind: MapType, key: *const u8, key_size: usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, data: *const u8, size: usize, cas: u32) -> u32;
    fn proxy_register_shared_queue(name: *const u8, size: usize, queue: *mut u32) -> u32;
    fn proxy_enqueue_shared_queue(queue: u32, data: *const u8, size: usize) -> u32;
    fn proxy_dequeue_shared_queue(queue: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_define_metric(kind: MetricType, name: *const u8, size: usize, metric: *mut u32) -> u32;
    fn proxy_increment_metric(metric: u32, offset: i64) -> u32;
    fn proxy_record_metric(metric: u32, value: u64) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(data: *mut u8, size: usize) -> u32;
}

/// Takes over what the host allocated through `proxy_on_memory_allocate`.
fn take(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: the host allocated exactly `size` bytes with the SDK's allocator, which makes a boxed slice, and gave them up.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// Writes a line to the proxy's log.
pub(super) fn log(level: LogLevel, line: &str) {
    // SAFETY: the host reads `line` before it returns.
    unsafe { proxy_log(level, line.as_ptr(), line.len()) };
}

/// Whether the proxy's log shows debug lines.
pub(super) fn log_level_is_debug() -> bool {
    let mut level = 0;
    // SAFETY: the host writes one number.
    let status = unsafe { proxy_get_log_level(&raw mut level) };
    status == OK && level <= LogLevel::Debug as u32
}

/// Fills the buffer with random bytes of the host (WASI `random_get`).
pub(super) fn random(bytes: &mut [u8]) -> bool {
    // SAFETY: the host writes exactly the buffer's bytes.
    (unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) }) == OK
}

/// The host's time in nanoseconds since 1970; 0, which every token and document is from the future of, where it has none.
pub(super) fn now() -> u64 {
    let mut time = 0;
    // SAFETY: the host writes one u64.
    unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
    time
}

/// How often the root context's `on_tick` is called.
pub(super) fn set_tick_period(period: Duration) {
    let milliseconds = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: numbers only.
    unsafe { proxy_set_tick_period_milliseconds(milliseconds) };
}

/// A buffer from `start`, or at most `max` bytes of it.
pub(super) fn buffer(kind: BufferType, start: usize, max: usize) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host writes a pointer to memory that it gives up, and its size.
    let status = unsafe { proxy_get_buffer_bytes(kind, start, max, &raw mut data, &raw mut size) };
    (status == OK).then(|| take(data, size))
}

/// A header map in the ABI's encoding.
pub(super) fn header_map(kind: MapType) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: as in `buffer`.
    let status = unsafe { proxy_get_header_map_pairs(kind, &raw mut data, &raw mut size) };
    (status == OK).then(|| take(data, size))
}

/// Whether a response certainly has no header of this name: a look at one costs less than all of them.
pub(super) fn lacks_response_header(name: &[u8]) -> bool {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads the name before it returns, and writes a pointer as in `buffer`.
    let status = unsafe {
        proxy_get_header_map_value(
            MapType::HttpResponseHeaders,
            name.as_ptr(),
            name.len(),
            &raw mut data,
            &raw mut size,
        )
    };
    drop(take(data, size));
    status == NOT_FOUND
}

/// Sets a request header to one value.
pub(super) fn set_request_header(name: &[u8], value: &[u8]) -> bool {
    // SAFETY: the host reads both before it returns.
    let status = unsafe {
        proxy_replace_header_map_value(
            MapType::HttpRequestHeaders,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    };
    status == OK
}

/// Removes every copy of a request header.
pub(super) fn remove_request_header(name: &[u8]) -> bool {
    // SAFETY: the host reads the name before it returns.
    let status = unsafe { proxy_remove_header_map_value(MapType::HttpRequestHeaders, name.as_ptr(), name.len()) };
    status == OK
}

/// Removes every copy of a response header.
pub(super) fn remove_response_header(name: &[u8]) {
    // SAFETY: the host reads the name before it returns.
    unsafe { proxy_remove_header_map_value(MapType::HttpResponseHeaders, name.as_ptr(), name.len()) };
}

/// Adds one value of a response header.
pub(super) fn add_response_header(name: &[u8], value: &[u8]) {
    // SAFETY: the host reads both before it returns.
    unsafe {
        proxy_add_header_map_value(MapType::HttpResponseHeaders, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
}

/// Answers the request of the effective context. It takes effect when the callback returns.
pub(super) fn send_local_response(
    status: u16,
    headers: &[(&str, &str)],
    details: &str,
    body: &[u8],
    grpc_status: Option<u8>,
) -> bool {
    let headers = encode_map(headers);
    // SAFETY: the host reads all of it before it returns.
    let result = unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status.map_or(NO_GRPC_STATUS, i32::from),
        )
    };
    result == OK
}

/// The ABI's encoding of a header map.
fn encode_map(pairs: &[(&str, &str)]) -> Vec<u8> {
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = size(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend(size(name.len()));
        bytes.extend(size(value.len()));
    }
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Lets the paused request of the effective context go on.
pub(super) fn continue_request() -> bool {
    const REQUEST: u32 = 0;
    // SAFETY: numbers only.
    (unsafe { proxy_continue_stream(REQUEST) }) == OK
}

/// Makes the following host calls those of another context; false where that one is gone.
pub(super) fn set_effective_context(context: u32) -> bool {
    // SAFETY: numbers only.
    (unsafe { proxy_set_effective_context(context) }) == OK
}

/// A value of the data shared by all VMs of our `vm_id`, and its version.
pub(super) fn shared_data(key: &str) -> Option<(Vec<u8>, u32)> {
    let (mut data, mut size, mut cas) = (null_mut(), 0, 0);
    // SAFETY: as in `buffer`.
    let status = unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), &raw mut data, &raw mut size, &raw mut cas) };
    (status == OK).then(|| (take(data, size), cas))
}

/// Sets a shared value; with a version above 0 only where it still has that one. False where it has another.
pub(super) fn set_shared_data(key: &str, value: &[u8], cas: u32) -> bool {
    // SAFETY: the host reads both before it returns.
    (unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) }) == OK
}

/// Registers a shared queue, whose `on_queue_ready` comes to this VM's root context.
pub(super) fn register_queue(name: &str) -> Option<u32> {
    let mut queue = 0;
    // SAFETY: the host reads the name and writes one u32.
    let status = unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut queue) };
    (status == OK).then_some(queue)
}

/// Wakes the root context that registered the queue.
pub(super) fn enqueue(queue: u32) -> bool {
    let message = [1_u8];
    // SAFETY: the host reads the message before it returns.
    (unsafe { proxy_enqueue_shared_queue(queue, message.as_ptr(), message.len()) }) == OK
}

/// Takes one message off a queue; false where it is empty.
pub(super) fn dequeue(queue: u32) -> bool {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: as in `buffer`.
    let status = unsafe { proxy_dequeue_shared_queue(queue, &raw mut data, &raw mut size) };
    if status == OK {
        drop(take(data, size));
    }
    status == OK
}

/// Defines a metric.
pub(super) fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    let mut metric = 0;
    // SAFETY: the host reads the name and writes one u32.
    let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut metric) };
    (status == OK).then_some(metric)
}

/// Adds to a counter or a gauge.
pub(super) fn increment_metric(metric: u32, by: i64) {
    // SAFETY: numbers only.
    unsafe { proxy_increment_metric(metric, by) };
}

/// Sets a gauge, or adds a value to a histogram.
pub(super) fn record_metric(metric: u32, value: u64) {
    // SAFETY: numbers only.
    unsafe { proxy_record_metric(metric, value) };
}

/// Sets a property of the effective context's stream, which access logs read as `%FILTER_STATE(wasm.NAME:PLAIN)%`.
pub(super) fn set_property(name: &str, value: &[u8]) {
    // SAFETY: the host reads both before it returns.
    unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

/// A property of the connection of the effective context's stream (Envoy's attributes `connection.*`). The parts of its
/// path are parted by a zero byte.
pub(super) fn connection_property(name: &str) -> Option<Vec<u8>> {
    let path = match name.split_once('.') {
        Some((first, rest)) => [first, "\0", rest].concat(),
        None => ["connection\0", name].concat(),
    };
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads the path before it returns, and writes a pointer as in `buffer`.
    let status = unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size) };
    (status == OK).then(|| take(data, size))
}

/// Calls a function that the host lends by name. Nothing where it has none of that name, or the call fails.
pub(super) fn foreign(name: &str, argument: &[u8]) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads name and argument before it returns, and writes a pointer as in `buffer`.
    let status = unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            argument.as_ptr(),
            argument.len(),
            &raw mut data,
            &raw mut size,
        )
    };
    (status == OK).then(|| take(data, size))
}

/// Starts an HTTP call of the current context. Nothing where the host refuses it (no such cluster).
pub(super) fn http_call(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    body: Option<&[u8]>,
    timeout: Duration,
) -> Option<u32> {
    proxy_wasm::hostcalls::dispatch_http_call(cluster, headers, body, Vec::new(), timeout).ok()
}

/// The bytes of memory that this VM has.
pub(super) fn memory() -> u64 {
    const PAGE: u64 = 65_536;
    u64::try_from(core::arch::wasm32::memory_size(0)).unwrap_or(0).saturating_mul(PAGE)
}
