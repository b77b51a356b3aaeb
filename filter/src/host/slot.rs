//! One document in the data that all VMs of a proxy share: who fetches it now (a lease), and what came of it.
//!
//! Every worker and the main thread have a VM of their own; without the lease each would fetch. Shared data never
//! expires and is never removed, so a slot exists only for documents that the configuration names (not for tenants that
//! a caller names, nor for status lists and DIDs that credentials name), and its size is bounded by the documents'.
//! Another plugin under the same `vm_id` could write here: the ready configurations give the filter a `vm_id` of its own.

use std::time::Duration;

use carded_verifier::{Fetch, Reply};

use super::{Nanos, abi};

/// A version that no value has: set with it, an absent key is created and a present one is left alone.
const ONLY_IF_ABSENT: u32 = u32::MAX;

/// The state of a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Until when somebody fetches.
    pub(super) leased_until: u64,
    /// When the document that lies here was fetched; 0 for never.
    pub(super) fetched: u64,
    /// When a fetch failed last; 0 for never.
    pub(super) failed: u64,
    /// For a list of what is revoked: since when it says the same.
    pub(super) content: u64,
}

/// What a VM that wants a document finds.
#[derive(Debug)]
pub(super) enum Found {
    /// Somebody fetched it, at this time, and it was taken in.
    Taken(Nanos),
    /// Somebody tried in vain, at this time.
    Failure(Nanos),
    /// Somebody fetches it now.
    Leased,
    /// Nobody does: it is ours to fetch.
    Ours,
}

/// A document's place in shared data.
pub(super) struct Slot {
    head: String,
    body: String,
}

impl Slot {
    /// The slot of a document; nothing for those that are not shared.
    pub(super) fn of(fetch: &Fetch) -> Option<Self> {
        (fetch.is_configured() && !fetch.unknown_tenant())
            .then(|| Self { head: format!("carded/head/{}", fetch.id()), body: format!("carded/body/{}", fetch.id()) })
    }

    /// Looks for news since `seen`, which `take` takes in if it can, and takes the lease where there are none and nobody
    /// holds it.
    pub(super) fn look(
        &self,
        seen: Nanos,
        now: Nanos,
        lease: Duration,
        take: &mut dyn FnMut(&Self, &Head) -> bool,
    ) -> Found {
        let Some((head, cas)) = self.read() else { return Found::Ours };
        if head.fetched > seen.0 && take(self, &head) {
            return Found::Taken(Nanos(head.fetched));
        }
        if head.failed > seen.0 {
            return Found::Failure(Nanos(head.failed));
        }
        if head.leased_until > now.0 {
            return Found::Leased;
        }
        let ours = Head { leased_until: now.after(lease).0, ..head };
        if abi::set_shared_data(&self.head, &ours.encode(), cas) { Found::Ours } else { Found::Leased }
    }

    /// What lies here, if anything was ever looked for.
    pub(super) fn head(&self) -> Option<Head> {
        let (bytes, _) = abi::shared_data(&self.head)?;
        Head::decode(&bytes)
    }

    /// Lays a document down for the others, and gives the lease back.
    pub(super) fn publish(&self, reply: &Reply, now: Nanos) {
        let max_age = reply.max_age.map_or(-1, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        let mut bytes = now.0.to_le_bytes().to_vec();
        bytes.extend(reply.status.to_le_bytes());
        bytes.extend(max_age.to_le_bytes());
        bytes.extend_from_slice(&reply.body);
        abi::set_shared_data(&self.body, &bytes, 0);
        self.update(|head| Head { leased_until: 0, fetched: now.0, ..head });
    }

    /// Tells the others that it failed, and gives the lease back.
    pub(super) fn give_up(&self, now: Nanos) {
        self.update(|head| Head { leased_until: 0, failed: now.0, ..head });
    }

    fn read(&self) -> Option<(Head, u32)> {
        let decode = |(bytes, cas): (Vec<u8>, u32)| Head::decode(&bytes).map(|head| (head, cas));
        abi::shared_data(&self.head).and_then(decode).or_else(|| {
            abi::set_shared_data(&self.head, &Head::default().encode(), ONLY_IF_ABSENT);
            abi::shared_data(&self.head).and_then(decode)
        })
    }

    /// The document that lies here, and when it was fetched.
    pub(super) fn read_body(&self) -> Option<(Nanos, Reply)> {
        let (bytes, _) = abi::shared_data(&self.body)?;
        let (fetched, rest) = bytes.split_first_chunk::<8>()?;
        let (status, rest) = rest.split_first_chunk::<2>()?;
        let (max_age, body) = rest.split_first_chunk::<8>()?;
        let max_age = u64::try_from(i64::from_le_bytes(*max_age)).ok().map(Duration::from_secs);
        let reply = Reply { status: u16::from_le_bytes(*status), body: body.to_vec(), max_age };
        Some((Nanos(u64::from_le_bytes(*fetched)), reply))
    }

    /// Changes the head; a few tries, since others may change it at the same time.
    pub(super) fn update(&self, change: impl Fn(Head) -> Head) {
        for _ in 0..8 {
            let Some((head, cas)) = self.read() else { return };
            if abi::set_shared_data(&self.head, &change(head).encode(), cas) {
                return;
            }
        }
    }
}

impl Head {
    fn encode(self) -> Vec<u8> {
        [self.leased_until, self.fetched, self.failed, self.content].map(u64::to_le_bytes).concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (leased_until, rest) = bytes.split_first_chunk::<8>()?;
        let (fetched, rest) = rest.split_first_chunk::<8>()?;
        let (failed, rest) = rest.split_first_chunk::<8>()?;
        // an older module left it out
        let content = rest.first_chunk::<8>().copied().unwrap_or_default();
        let [leased_until, fetched, failed, content] =
            [*leased_until, *fetched, *failed, content].map(u64::from_le_bytes);
        Some(Self { leased_until, fetched, failed, content })
    }
}
