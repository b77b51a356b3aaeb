//! What is remembered of evidence, bounded in number and in bytes, such that a flood of evidence that is shown once or
//! twice does not push out what is used again and again (threat 82).
//!
//! W-TinyLFU (Einziger, Friedman, Manes: "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017): what is
//! new comes into a small window; what falls out of it takes the place of the least recently used of the main part only
//! if it was asked for more often. How often, a sketch of four-bit counters knows, also of what is not kept; it is halved
//! from time to time. Nobody can aim at counters or buckets: keys are made with a secret of the VM.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use carded_verifier::Timestamp;

/// A key: 128 bits that nobody outside can foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub(super) u64, pub(super) u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Nowhere in a list.
const NONE: u32 = u32::MAX;
/// The window's share of everything: one part in so many.
const WINDOW: usize = 16;

/// Remembered values.
#[derive(Debug)]
pub(super) struct Cache<V> {
    places: HashMap<Key, u32, BuildHasherDefault<FirstWord>>,
    nodes: Vec<Node<V>>,
    /// The first of the nodes that are not in use, linked by `after`.
    free: u32,
    lists: [List; 2],
    sketch: Sketch,
}

#[derive(Debug)]
struct Node<V> {
    key: Key,
    /// None where the node is not in use.
    value: Option<V>,
    bytes: usize,
    /// From then on it is worth nothing.
    ends: Timestamp,
    part: Part,
    before: u32,
    after: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Window,
    Main,
}

/// A part: the most recently used first.
#[derive(Debug)]
struct List {
    first: u32,
    last: u32,
    len: usize,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

impl List {
    #[inline]
    fn has_room(&self, bytes: usize) -> bool {
        self.len < self.most && self.bytes.saturating_add(bytes) <= self.most_bytes
    }
}

impl<V> Cache<V> {
    /// Remembers at most `capacity` values that take at most `bytes` bytes together.
    pub(super) fn new(capacity: usize, bytes: usize) -> Self {
        // places are numbers of 32 bits
        let capacity = capacity.min(1 << 24);
        let window = (capacity / WINDOW).max(1);
        let list =
            |most: usize, most_bytes: usize| List { first: NONE, last: NONE, len: 0, bytes: 0, most, most_bytes };
        let main = list(capacity.saturating_sub(window), bytes.saturating_sub(bytes / WINDOW));
        Self {
            places: HashMap::default(),
            nodes: Vec::new(),
            free: NONE,
            lists: [list(window, bytes / WINDOW), main],
            sketch: Sketch::new(capacity),
        }
    }

    /// How many values are remembered.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// How many bytes they are counted for.
    pub(super) fn bytes(&self) -> usize {
        self.lists.iter().map(|list| list.bytes).fold(0, usize::saturating_add)
    }

    /// What one value takes beside what it points to.
    pub(super) const fn overhead() -> usize {
        // a bucket of the map with its byte of control, the map being half full at the least after it grew
        size_of::<Node<V>>().saturating_add(size_of::<(Key, u32)>().saturating_add(1).saturating_mul(2))
    }

    /// The value of a key. Asking counts, also where there is none.
    #[inline]
    pub(super) fn get(&mut self, key: &Key) -> Option<&mut V> {
        self.sketch.count(key);
        let at = *self.places.get(key)?;
        let part = self.node(at)?.part;
        if self.list(part).first != at {
            self.unlink(at);
            self.link(at, part);
        }
        self.node(at)?.value.as_mut()
    }

    /// Forgets a value.
    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(at) = self.places.get(key) {
            self.discard(*at);
        }
    }

    /// Remembers a value of so many `bytes` that is worth nothing any more when it `ends`.
    pub(super) fn put(&mut self, key: Key, value: V, bytes: usize, ends: Timestamp, now: Timestamp) {
        self.remove(&key);
        let bytes = bytes.saturating_add(Self::overhead());
        // what takes more than its share is not worth the room of many
        if bytes > self.list(Part::Window).most_bytes {
            return;
        }
        while !self.list(Part::Window).has_room(bytes) {
            let last = self.list(Part::Window).last;
            if last == NONE {
                return;
            }
            self.promote(last, now);
        }
        let node = Node { key, value: Some(value), bytes, ends, part: Part::Window, before: NONE, after: NONE };
        let at = match self.nodes.get_mut(self.free as usize) {
            Some(free) => {
                let at = std::mem::replace(&mut self.free, free.after);
                *free = node;
                at
            }
            None => {
                let at = u32::try_from(self.nodes.len()).unwrap_or(NONE);
                self.nodes.push(node);
                at
            }
        };
        self.places.insert(key, at);
        self.link(at, Part::Window);
    }

    /// What falls out of the window stands against the least recently used of the main part, until there is room for one
    /// of them or it is lost.
    fn promote(&mut self, at: u32, now: Timestamp) {
        let Some(node) = self.node(at) else { return };
        let (key, bytes) = (node.key, node.bytes);
        let often = self.sketch.estimate(&key);
        while !self.list(Part::Main).has_room(bytes) {
            let last = self.list(Part::Main).last;
            let Some(other) = self.nodes.get(last as usize) else { break };
            if other.ends > now && self.sketch.estimate(&other.key) >= often {
                self.discard(at);
                return;
            }
            self.discard(last);
        }
        if self.list(Part::Main).has_room(bytes) {
            self.unlink(at);
            self.link(at, Part::Main);
        } else {
            self.discard(at);
        }
    }

    #[inline]
    fn node(&mut self, at: u32) -> Option<&mut Node<V>> {
        self.nodes.get_mut(at as usize)
    }

    #[inline]
    fn list(&mut self, part: Part) -> &mut List {
        let [window, main] = &mut self.lists;
        match part {
            Part::Window => window,
            Part::Main => main,
        }
    }

    /// Forgets the value of a node that is in a list.
    fn discard(&mut self, at: u32) {
        self.unlink(at);
        let free = self.free;
        let Some(node) = self.node(at) else { return };
        node.value = None;
        node.after = free;
        let key = node.key;
        self.free = at;
        self.places.remove(&key);
    }

    /// Puts a node that is in no list before all others of a part.
    #[inline]
    fn link(&mut self, at: u32, part: Part) {
        let first = self.list(part).first;
        let Some(node) = self.node(at) else { return };
        (node.part, node.before, node.after) = (part, NONE, first);
        let bytes = node.bytes;
        let list = self.list(part);
        list.first = at;
        list.len = list.len.saturating_add(1);
        list.bytes = list.bytes.saturating_add(bytes);
        match self.node(first) {
            Some(second) => second.before = at,
            None => self.list(part).last = at,
        }
    }

    #[inline]
    fn unlink(&mut self, at: u32) {
        let Some(node) = self.node(at) else { return };
        let (part, bytes, before, after) = (node.part, node.bytes, node.before, node.after);
        match self.node(before) {
            Some(node) => node.after = after,
            None => self.list(part).first = after,
        }
        match self.node(after) {
            Some(node) => node.before = before,
            None => self.list(part).last = before,
        }
        let list = self.list(part);
        list.len = list.len.saturating_sub(1);
        list.bytes = list.bytes.saturating_sub(bytes);
    }
}

/// How often keys were asked for lately: a count-min sketch (Cormode and Muthukrishnan, 2005), of whose four counters of
/// a key only the smallest are raised.
#[derive(Debug)]
struct Sketch {
    /// Sixteen counters each; a power of two of them, or none.
    words: Vec<u64>,
    counted: usize,
    period: usize,
}

impl Sketch {
    /// Counters for one value.
    const EACH: usize = 8;
    /// The counters are halved after so many counts for each value.
    const PERIOD: usize = 16;

    fn new(capacity: usize) -> Self {
        let words = if capacity == 0 { 0 } else { (capacity.saturating_mul(Self::EACH) / 16).next_power_of_two() };
        Self { words: vec![0; words], counted: 0, period: capacity.saturating_mul(Self::PERIOD) }
    }

    /// The word of each counter, and how far it is shifted in it.
    #[inline]
    fn places(&self, Key(a, b): &Key) -> [(usize, u32); 4] {
        let mask = self.words.len().wrapping_sub(1);
        // bits of the key that the map does not use first; each place takes 28 of them
        [*b, b >> 32, a >> 8, a >> 36].map(|bits| {
            let word = usize::try_from(bits >> 4 & 0x0fff_ffff).unwrap_or(0) & mask;
            (word, u32::try_from(bits & 15).unwrap_or(0).saturating_mul(4))
        })
    }

    #[inline]
    fn read(&self, (word, shift): (usize, u32)) -> u64 {
        self.words.get(word).map_or(0, |word| word >> shift & 15)
    }

    #[inline]
    fn estimate(&self, key: &Key) -> u64 {
        self.places(key).into_iter().map(|place| self.read(place)).min().unwrap_or(0)
    }

    #[inline]
    fn count(&mut self, key: &Key) {
        let places = self.places(key);
        let least = self.estimate(key);
        if least < 15 {
            for place in places {
                if self.read(place) == least
                    && let Some(word) = self.words.get_mut(place.0)
                {
                    *word = word.wrapping_add(1 << place.1);
                }
            }
        }
        self.counted = self.counted.saturating_add(1);
        if self.counted >= self.period {
            self.counted /= 2;
            for word in &mut self.words {
                *word = *word >> 1 & 0x7777_7777_7777_7777;
            }
        }
    }
}

/// Keys are random already: their first word is the hash.
#[derive(Debug, Default)]
struct FirstWord(u64);

impl Hasher for FirstWord {
    fn write(&mut self, _: &[u8]) {}

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
