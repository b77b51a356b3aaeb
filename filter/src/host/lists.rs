//! Lists of what is revoked, which are too long to be in memory twice: they are read in pages, from the reply of their
//! publisher or from the data that all VMs of a proxy share, and each page carries the time of the list that it is of.

use carded_verifier::revocation::MOST_JSON;
use carded_verifier::revocation::compact::{MOST_BYTES, PAGE, Taken};
use carded_verifier::{Documents, Fetch, FetchFailure};
use proxy_wasm::types::{BufferType, MapType};

use super::slot::{Head, Slot};
use super::{Nanos, abi};
use carded_gate::Request;

/// Takes the reply of the publisher. True where the list says something else than before.
pub(super) fn receive(
    fetch: &Fetch,
    headers: usize,
    body_size: usize,
    known: &mut Documents,
    now: Nanos,
) -> Result<bool, String> {
    let taken =
        if headers == 0 { Err(FetchFailure::Unreachable.to_string()) } else { read(fetch, body_size, known, now) };
    taken.inspect_err(|_| known.fail(fetch, FetchFailure::Unreachable, now.timestamp()))
}

fn read(fetch: &Fetch, body_size: usize, known: &mut Documents, now: Nanos) -> Result<bool, String> {
    let failed = |why: FetchFailure| why.to_string();
    let map = abi::header_map(MapType::HttpCallResponseHeaders).and_then(Request::from_header_map);
    let map = map.ok_or_else(|| failed(FetchFailure::Unreachable))?;
    let text = |name| map.values(name).next().and_then(|value| std::str::from_utf8(value).ok());
    match text(":status").and_then(|status| status.parse().ok()) {
        Some(304) if known.renew(fetch, now.timestamp()) => return Ok(false),
        Some(200) => {}
        Some(status) => return Err(failed(FetchFailure::Status(status))),
        None => return Err(failed(FetchFailure::Unreachable)),
    }
    let kind = BufferType::HttpCallResponseBody;
    // whatever the media type is: servers of files know theirs only
    let is_compact = body_size >= 6 && abi::buffer(kind, 0, 6).is_some_and(|start| start == b"carded");
    if body_size > if is_compact { MOST_BYTES } else { MOST_JSON } {
        return Err(failed(FetchFailure::TooLarge));
    }
    // the characters of an entity tag, quotes included (RFC 9110 section 8.8.3)
    let etag = text("etag").filter(|etag| etag.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    let taken = if is_compact {
        let mut page = |number: usize| abi::buffer(kind, number.saturating_mul(PAGE), PAGE);
        known.insert_pages(fetch, body_size, &mut page, etag, now.timestamp())
    } else {
        let body = if body_size == 0 { Some(Vec::new()) } else { abi::buffer(kind, 0, body_size) };
        let body = body.ok_or_else(|| failed(FetchFailure::Unreachable))?;
        known.insert_list(fetch, &body, etag, now.timestamp())
    };
    taken.map(|taken| taken == Taken::Changed).map_err(|error| error.to_string())
}

/// Lays down a list that this VM fetched, or that it is as it was. Returns when the list was laid down that is there now.
pub(super) fn publish(fetch: &Fetch, slot: &Slot, held: Nanos, changed: bool, known: &Documents, now: Nanos) -> Nanos {
    let laid = slot.head().map_or(Nanos(0), |head| Nanos(head.content));
    if !changed && laid == held && held != Nanos(0) {
        slot.update(|head| Head { leased_until: 0, fetched: now.0, ..head });
        return held;
    }
    if let Some((list, etag)) = known.revocation_list(fetch) {
        for (number, page) in list.pages().enumerate() {
            let bytes = [&now.0.to_le_bytes(), page].concat();
            abi::set_shared_data(&page_key(fetch, number), &bytes, 0);
        }
        let size = u64::try_from(list.size()).unwrap_or(u64::MAX);
        let about = [&now.0.to_le_bytes()[..], &size.to_le_bytes(), etag.unwrap_or_default().as_bytes()].concat();
        abi::set_shared_data(&about_key(fetch), &about, 0);
        slot.update(|head| Head { leased_until: 0, fetched: now.0, content: now.0, ..head });
    }
    now
}

/// Takes in what another VM laid down. Returns when the list was laid down that this VM has now; nothing where it could
/// not be read, as while it is being laid down.
pub(super) fn adopt(fetch: &Fetch, head: &Head, held: Nanos, known: &mut Documents) -> Option<Nanos> {
    let fetched = Nanos(head.fetched).timestamp();
    if head.content == held.0 && known.renew(fetch, fetched) {
        return Some(held);
    }
    let (about, _) = abi::shared_data(&about_key(fetch))?;
    let (content, rest) = about.split_first_chunk::<8>()?;
    let (size, etag) = rest.split_first_chunk::<8>()?;
    let content = *content;
    if u64::from_le_bytes(content) != head.content {
        return None;
    }
    let size = usize::try_from(u64::from_le_bytes(*size)).ok()?;
    let etag = std::str::from_utf8(etag).ok().filter(|etag| !etag.is_empty());
    let mut page = |number| {
        let (mut bytes, _) = abi::shared_data(&page_key(fetch, number))?;
        let of = bytes.split_first_chunk::<8>().is_some_and(|(of, _)| *of == content);
        of.then(|| bytes.split_off(8))
    };
    known.insert_pages(fetch, size, &mut page, etag, fetched).ok()?;
    Some(Nanos(head.content))
}

fn page_key(fetch: &Fetch, number: usize) -> String {
    format!("carded/page/{number}/{}", fetch.id())
}

fn about_key(fetch: &Fetch) -> String {
    format!("carded/list/{}", fetch.id())
}
