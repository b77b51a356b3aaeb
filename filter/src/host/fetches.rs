//! The documents that are being fetched, and who waits for each. The root context owns every call: one that a stream
//! dispatched would die with it, and everyone who waits for it would hang.

use std::collections::HashMap;
use std::time::Duration;

use carded_verifier::{DocumentKind, Documents, Fetch, FetchFailure, Ordered, Reply};
use proxy_wasm::types::{BufferType, LogLevel, MapType};

use super::slot::{Found, Head, Slot};
use super::{Nanos, abi, lists, log};
use carded_gate::{Fetching, Request};

/// How long a lease or a call outlives the call's own timeout before it is taken for lost.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// How many documents are looked at in one turn for news from other VMs.
const MAX_ADOPTED: usize = 256;

/// The fetches of one VM.
#[derive(Default)]
pub(super) struct Fetches {
    pending: HashMap<String, Pending>,
    /// The document that each running call is for.
    calls: HashMap<u32, String>,
    /// Each shared document that this VM took in (or its failure).
    seen: Ordered<String, Seen>,
    /// Up to where `adopt` looked.
    adopted: String,
    results: Vec<bool>,
}

/// A shared document that this VM took in, or its failure.
#[derive(Clone)]
struct Seen {
    fetch: Fetch,
    /// When it was fetched.
    fetched: Nanos,
    /// For a list of what is revoked: since when it says the same.
    content: Nanos,
}

struct Pending {
    fetch: Fetch,
    state: State,
    waiters: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has begun.
    Queued,
    /// Another VM fetches it.
    Elsewhere,
    /// Our call runs; after this time it is lost.
    Running(Nanos),
}

impl Fetches {
    /// Wants a document, for a request or ahead of need. True where the root context must be woken to begin.
    pub(super) fn want(&mut self, fetch: Fetch, waiter: Option<u32>) -> bool {
        let is_new = !self.pending.contains_key(fetch.id());
        let pending = self.pending.entry(fetch.id().to_owned()).or_insert_with(|| Pending {
            fetch,
            state: State::Queued,
            waiters: Vec::new(),
        });
        pending.waiters.extend(waiter);
        is_new
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Begins what is queued and looks after what other VMs fetch. Called in the root context. Returns who may go on.
    pub(super) fn advance(&mut self, how: &Fetching, known: &mut Documents, now: Nanos) -> Vec<u32> {
        let mut woken = Vec::new();
        let lost = |pending: &Pending| matches!(pending.state, State::Running(until) if until <= now);
        let ids: Vec<String> = self
            .pending
            .iter()
            .filter(|(_, pending)| lost(pending) || !matches!(pending.state, State::Running(_)))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            let Some(pending) = self.pending.get(&id) else { continue };
            if lost(pending) {
                woken.extend(self.finish(&id, Err(FetchFailure::Timeout), known, now));
            } else if !self.must_queue(&pending.fetch) {
                woken.extend(self.begin(&id, how, known, now));
            }
        }
        woken
    }

    /// Tenants that a caller named are asked for one at a time for each issuer (threat 79).
    fn must_queue(&self, fetch: &Fetch) -> bool {
        fetch.unknown_tenant()
            && self.pending.values().any(|other| {
                matches!(other.state, State::Running(_))
                    && other.fetch.unknown_tenant()
                    && other.fetch.issuer() == fetch.issuer()
            })
    }

    fn begin(&mut self, id: &str, how: &Fetching, known: &mut Documents, now: Nanos) -> Vec<u32> {
        let Some(pending) = self.pending.get_mut(id) else { return Vec::new() };
        let fetch = pending.fetch.clone();
        if let Some(slot) = Slot::of(&fetch) {
            let seen = self.seen.get(id).map_or(Nanos(0), |seen| seen.fetched);
            let mut content = self.seen.get(id).map_or(Nanos(0), |seen| seen.content);
            let mut take = |slot: &Slot, head: &Head| take_in(&fetch, slot, head, &mut content, known);
            let found = slot.look(seen, now, how.timeout.saturating_add(GRACE), &mut take);
            match found {
                Found::Taken(fetched) => {
                    self.seen.insert(id.to_owned(), Seen { fetch, fetched, content });
                    return self.take_waiters(id);
                }
                Found::Failure(failed) => {
                    self.seen.insert(id.to_owned(), Seen { fetch: fetch.clone(), fetched: failed, content });
                    known.fail(&fetch, FetchFailure::Unreachable, failed.timestamp());
                    return self.take_waiters(id);
                }
                Found::Leased => {
                    pending.state = State::Elsewhere;
                    return Vec::new();
                }
                Found::Ours => {}
            }
        }
        let etag = known.revocation_list(&fetch).and_then(|(_, etag)| etag);
        match call(&fetch, how, etag) {
            Ok(token) => {
                pending.state = State::Running(now.after(how.timeout.saturating_add(GRACE)));
                self.calls.insert(token, id.to_owned());
                Vec::new()
            }
            Err(why) => self.finish(id, Err(why), known, now),
        }
    }

    /// The reply to a call has come, or its failure. Returns who may go on.
    pub(super) fn replied(
        &mut self,
        token: u32,
        headers: usize,
        body_size: usize,
        how: &Fetching,
        known: &mut Documents,
        now: Nanos,
    ) -> Vec<u32> {
        // A call that was given up is not known any more: its reply is dropped, nothing is entered twice (threat 77).
        let Some(id) = self.calls.remove(&token) else { return Vec::new() };
        if let Some(fetch) = self.pending.get(&id).map(|pending| pending.fetch.clone())
            && fetch.kind() == DocumentKind::Revocations
        {
            let result = lists::receive(&fetch, headers, body_size, known, now);
            let held = self.seen.get(&id).map_or(Nanos(0), |seen| seen.content);
            let content = match (&result, Slot::of(&fetch)) {
                (Ok(changed), Some(slot)) => lists::publish(&fetch, &slot, held, *changed, known, now),
                (Err(_), Some(slot)) => {
                    slot.give_up(now);
                    held
                }
                (_, None) => held,
            };
            return self.conclude(&id, Seen { fetch, fetched: now, content }, result.map(drop));
        }
        self.finish(&id, read_reply(headers, body_size, how), known, now)
    }

    /// Takes in what other VMs fetched since: a key that its provider withdrew is withdrawn in every worker soon after the
    /// first learns of it. Looks at a bounded number of documents each time, in turn.
    pub(super) fn adopt(&mut self, known: &mut Documents) {
        let from = std::mem::take(&mut self.adopted);
        let turn: Vec<_> = self.seen.after(&from).take(MAX_ADOPTED).cloned().collect();
        if turn.len() == MAX_ADOPTED {
            self.adopted = turn.last().map(|(id, _)| id.clone()).unwrap_or_default();
        }
        for (id, mut seen) in turn {
            let Some(slot) = Slot::of(&seen.fetch) else { continue };
            let Some(head) = slot.head().filter(|head| head.fetched > seen.fetched.0) else { continue };
            if take_in(&seen.fetch, &slot, &head, &mut seen.content, known) {
                self.seen.insert(id, Seen { fetched: Nanos(head.fetched), ..seen });
            }
        }
    }

    /// How the fetches ended since this was asked last, for metrics.
    pub(super) fn take_results(&mut self) -> Vec<bool> {
        std::mem::take(&mut self.results)
    }

    fn finish(&mut self, id: &str, reply: Result<Reply, FetchFailure>, known: &mut Documents, now: Nanos) -> Vec<u32> {
        let Some(pending) = self.pending.get(id) else { return Vec::new() };
        let fetch = pending.fetch.clone();
        let slot = Slot::of(&fetch);
        let result = match reply {
            Ok(reply) => {
                known.insert(&fetch, &reply, now.timestamp()).map(|()| reply).map_err(|error| error.to_string())
            }
            Err(why) => {
                let text = why.to_string();
                known.fail(&fetch, why, now.timestamp());
                Err(text)
            }
        };
        match (&result, &slot) {
            (Ok(reply), Some(slot)) => slot.publish(reply, now),
            (Err(_), Some(slot)) => slot.give_up(now),
            _ => {}
        }
        // what a list says is unchanged by a failure
        let content = self.seen.get(id).map_or(Nanos(0), |seen| seen.content);
        self.conclude(id, Seen { fetch, fetched: now, content }, result.map(drop))
    }

    /// Notes how a fetch ended. Returns who may go on.
    fn conclude(&mut self, id: &str, seen: Seen, result: Result<(), String>) -> Vec<u32> {
        let fetch = seen.fetch.clone();
        if Slot::of(&fetch).is_some() {
            self.seen.insert(id.to_owned(), seen);
        }
        self.results.push(result.is_ok());
        if let Err(why) = &result {
            log(LogLevel::Warn, &format!("carded: {} could not be had: {why}", fetch.url()));
        }
        self.calls.retain(|_, other| other != id);
        let mut woken = self.take_waiters(id);
        if fetch.unknown_tenant() {
            // Those who wait for other tenants of this issuer ask again: after a failure they are refused at once.
            let queued: Vec<String> = self
                .pending
                .iter()
                .filter(|(_, other)| other.fetch.unknown_tenant() && other.fetch.issuer() == fetch.issuer())
                .map(|(id, _)| id.clone())
                .collect();
            for id in queued {
                woken.extend(self.take_waiters(&id));
            }
        }
        woken
    }

    fn take_waiters(&mut self, id: &str) -> Vec<u32> {
        self.pending.remove(id).map(|pending| pending.waiters).unwrap_or_default()
    }
}

/// Takes in what another VM fetched; `content` is since when the list says the same that this VM has.
fn take_in(fetch: &Fetch, slot: &Slot, head: &Head, content: &mut Nanos, known: &mut Documents) -> bool {
    if fetch.kind() == DocumentKind::Revocations {
        let adopted = lists::adopt(fetch, head, *content, known);
        *content = adopted.unwrap_or(*content);
        return adopted.is_some();
    }
    let Some((fetched, reply)) = slot.read_body() else { return false };
    let _ = known.insert(fetch, &reply, fetched.timestamp());
    true
}

/// With the tag of what is known, where it has one: then the answer may be that nothing changed (RFC 9110 section 13.1.2).
fn call(fetch: &Fetch, how: &Fetching, etag: Option<&str>) -> Result<u32, FetchFailure> {
    let url = fetch.url();
    let authority = url.authority().to_ascii_lowercase();
    let cluster = how.clusters.get(&authority).ok_or(FetchFailure::HostNotConfigured)?;
    let mut headers = vec![
        (":method", "GET"),
        (":scheme", url.scheme()),
        (":authority", authority.as_str()),
        (":path", url.path_and_query()),
        ("accept", fetch.kind().accept()),
        ("user-agent", "carded"),
    ];
    headers.extend(etag.map(|etag| ("if-none-match", etag)));
    abi::http_call(cluster, headers, None, how.timeout).ok_or(FetchFailure::Unreachable)
}

pub(super) fn read_reply(headers: usize, body_size: usize, how: &Fetching) -> Result<Reply, FetchFailure> {
    if headers == 0 {
        return Err(FetchFailure::Unreachable);
    }
    if body_size > how.document_bytes {
        return Err(FetchFailure::TooLarge);
    }
    let map = abi::header_map(MapType::HttpCallResponseHeaders)
        .and_then(Request::from_header_map)
        .ok_or(FetchFailure::Unreachable)?;
    let text =
        |name: &str| map.values(name).next().and_then(|value| std::str::from_utf8(value).ok().map(str::to_owned));
    let status = text(":status").and_then(|status| status.parse().ok()).ok_or(FetchFailure::Unreachable)?;
    let body = if body_size == 0 {
        Vec::new()
    } else {
        abi::buffer(BufferType::HttpCallResponseBody, 0, body_size).ok_or(FetchFailure::Unreachable)?
    };
    Ok(Reply { status, body, max_age: text("cache-control").as_deref().and_then(max_age) })
}

/// RFC 9111 §5.2.2: how long a reply is fresh, where it says so.
fn max_age(cache_control: &str) -> Option<Duration> {
    let mut age = None;
    for directive in cache_control.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            "max-age" => age = value.trim().trim_matches('"').parse().ok().map(Duration::from_secs),
            _ => {}
        }
    }
    age
}
