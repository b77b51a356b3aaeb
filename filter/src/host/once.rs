//! What works once, in the data that all VMs of a process share: the worker that sees a nonce first tells the others.
//!
//! A fixed number of buckets, by the hash of what was used; each holds the hashes with the time when they can no longer be
//! used. Shared data never expires, so ended ones make room when their bucket is written again; a full bucket refuses
//! (threat 47). All of it together is bounded by the number of buckets and their length.

use carded_verifier::Timestamp;

use super::abi;
use carded_gate::{Cells, Once, Spent};

/// How many buckets there are: a power of two below 256.
const BUCKETS: u8 = 128;
/// How many one holds.
const LENGTH: usize = 512;
/// Half of the hash, and the time in seconds.
const ENTRY: usize = 16 + 8;
/// How often a write is tried again because another worker was faster.
const TRIES: usize = 16;
/// A version that no value has: set with it, an absent key is created and a present one is left alone.
const ONLY_IF_ABSENT: u32 = u32::MAX;

/// The store that the workers of this process share.
pub(super) struct SharedOnce;

impl Once for SharedOnce {
    fn spend(&mut self, kind: &'static str, id: &[u8; 32], until: Timestamp, now: Timestamp) -> Spent {
        note(kind, id, until, now, false)
    }

    fn hold(&mut self, kind: &'static str, id: &[u8; 32], until: Timestamp, now: Timestamp) {
        note(kind, id, until, now, true);
    }

    fn cells(&mut self) -> &mut dyn Cells {
        self
    }
}

/// Notes what was not used before; what was, only where it is to be held, with its new time.
fn note(kind: &'static str, id: &[u8; 32], until: Timestamp, now: Timestamp, held: bool) -> Spent {
    let [first, ..] = id;
    let key = format!("carded/once/{kind}/{}", first % BUCKETS);
    // the first byte chose the bucket; the half that is compared begins after it
    let Some(mark) = id.get(1..17) else { return Spent::Full };
    for _ in 0..TRIES {
        let Some((bucket, version)) = read(&key) else { return Spent::Full };
        let mut kept = Vec::with_capacity(bucket.len().saturating_add(ENTRY));
        for entry in bucket.chunks_exact(ENTRY) {
            let (other, time) = entry.split_at_checked(16).unwrap_or_default();
            let ends = time.try_into().map_or(i64::MAX, i64::from_le_bytes);
            // what ended counts no more, whether or not its bucket was written since: a lease can be taken again
            if Timestamp::from_unix(ends) <= now || (held && other == mark) {
                continue;
            }
            if other == mark {
                return Spent::Again;
            }
            kept.extend_from_slice(entry);
        }
        if kept.len() >= LENGTH.saturating_mul(ENTRY) {
            return Spent::Full;
        }
        kept.extend_from_slice(mark);
        kept.extend(until.unix().to_le_bytes());
        if abi::set_shared_data(&key, &kept, version) {
            return Spent::First;
        }
    }
    Spent::Full
}

impl Cells for SharedOnce {
    fn read(&mut self, name: &str) -> Option<(Vec<u8>, u32)> {
        read(name)
    }

    fn write(&mut self, name: &str, value: &[u8], version: u32) -> bool {
        abi::set_shared_data(name, value, version)
    }
}

fn read(key: &str) -> Option<(Vec<u8>, u32)> {
    abi::shared_data(key).or_else(|| {
        abi::set_shared_data(key, &[], ONLY_IF_ABSENT);
        abi::shared_data(key)
    })
}
