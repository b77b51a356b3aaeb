//! The compact form of a list, for millions of entries: truncated salted hashes, found by one look into an index.
//!
//! All numbers are big endian.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `carded`, 0, 1 |
//! | 16 | the salt |
//! | 4, 4 | how many entries count whenever something was issued (A), and how many with a time (B) |
//! | 1, 1 | a and b: how many bits the index of A and of B is wide, at most 16 |
//! | 2 | 0, 0 |
//! | 4 · 2^a | the index of A: for each bucket, how many entries are in it and all before it |
//! | 4 · 2^b | the index of B |
//! | 5 · A | the entries of A, by bucket |
//! | 10 · B | the entries of B, by bucket, each with its time in Unix seconds in the last five bytes |
//!
//! An entry with mark `m` (64 bits) is known by SHA-256(salt ‖ m): its bucket is the first a (or b) bits, what is stored are
//! bytes 4 to 8. A builder takes indexes so wide that a bucket has 16 to 32 entries on average (up to a million or two);
//! what is on no list then meets one by chance with a probability of at most 32 / 2^40, one in 34 billion, by each of its
//! marks.
//!
//! It is kept in pages, which a newer list is read into one by one: there are never two copies of a long list.
use crate::revocation::{Entry, Mark};
use crate::time::Timestamp;
use sha2::{Digest, Sha256};

/// How many bytes of a list are handed over at a time.
pub const PAGE: usize = 64 * 1024;
/// The longest list.
pub const MOST_BYTES: usize = 24 * 1024 * 1024;
/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.carded.revocations";
/// Times are before this, so that they fit into five bytes.
pub(crate) const END_OF_TIME: i64 = 1 << 40;

const MAGIC: [u8; 8] = *b"carded\0\x01";
const HEAD: usize = 36;
const STORED: usize = 5;
const WIDE: usize = 16;
/// The most entries of one bucket.
const MOST_ALIKE: u32 = 1024;

/// A list.
#[derive(Debug)]
pub struct Compact {
    shape: Shape,
    pages: Vec<Box<[u8]>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    salt: [u8; 16],
    any: Table,
    before: Table,
    bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Table {
    count: u32,
    bits: u32,
    index: usize,
    entries: usize,
    width: usize,
}

/// What became of a newer list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It says the same.
    Same,
    /// It says something else.
    Changed,
}

/// Why a newer list was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotTaken {
    /// It is not the compact form; the list that was there is still there.
    Malformed,
    /// It changed while it was read, and so did the list that was there: there is none any more.
    Torn,
}

/// The pages of a list, by number: all of [`PAGE`] bytes but the last.
pub type Pages<'a> = &'a mut dyn FnMut(usize) -> Option<Vec<u8>>;

impl Table {
    fn size(self) -> usize {
        (self.count as usize).saturating_mul(self.width)
    }

    fn buckets(self) -> usize {
        1 << self.bits
    }

    fn bucket(self, hash: u32) -> usize {
        // a shift by the whole width is none
        (u64::from(hash) >> (32 - self.bits)) as usize
    }
}

impl Shape {
    fn read(head: &[u8]) -> Option<Self> {
        let (magic, rest) = head.split_first_chunk::<8>()?;
        let (salt, rest) = rest.split_first_chunk::<16>()?;
        let (any, rest) = rest.split_first_chunk::<4>()?;
        let (before, rest) = rest.split_first_chunk::<4>()?;
        let (bits, _) = rest.split_first_chunk::<4>()?;
        let [a, b, 0, 0] = bits.map(u32::from) else { return None };
        if *magic != MAGIC || a > 16 || b > 16 {
            return None;
        }
        let index = HEAD + (4 << a);
        let entries = index + (4 << b);
        let any = Table { count: u32::from_be_bytes(*any), bits: a, index: HEAD, entries, width: STORED };
        let count = u32::from_be_bytes(*before);
        let entries = entries.saturating_add(any.size());
        let before = Table { count, bits: b, index, entries, width: 2 * STORED };
        let bytes = entries.saturating_add(before.size());
        (bytes <= MOST_BYTES).then_some(Self { salt: *salt, any, before, bytes })
    }

    /// Looks at the part of the indexes that is on a page; their numbers never cross the border of two.
    fn check(&self, page: &[u8], number: usize, last: &mut u32) -> Option<()> {
        let from = number * PAGE;
        let end = self.any.entries;
        let start = HEAD.max(from);
        for (at, bytes) in page.get(start - from..)?.chunks_exact(4).enumerate().map(|(at, b)| (start + 4 * at, b)) {
            if at >= end {
                break;
            }
            let table = if at < self.before.index { self.any } else { self.before };
            if at == self.before.index {
                *last = 0;
            }
            let value = u32::from_be_bytes(*bytes.first_chunk::<4>()?);
            let is_last = at + 4 == table.index + 4 * table.buckets();
            let alike = value.checked_sub(*last)?;
            if alike > MOST_ALIKE || value > table.count || (is_last && value != table.count) {
                return None;
            }
            *last = value;
        }
        Some(())
    }

    fn page(&self, number: usize) -> usize {
        self.bytes.saturating_sub(number * PAGE).min(PAGE)
    }
}

impl Compact {
    /// Reads a list from its pages.
    ///
    /// # Errors
    /// [`NotTaken`] where it is none.
    pub fn read(bytes: usize, pages: Pages<'_>) -> Result<Self, NotTaken> {
        let shape = Self::look(None, bytes, pages)?.0;
        let mut list = Self { shape, pages: Vec::with_capacity(bytes.div_ceil(PAGE)) };
        list.fill(pages)?;
        Ok(list)
    }

    /// A list that is in one piece.
    pub fn of_slice(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes.len(), &mut pages_of(bytes)).ok()
    }

    /// Takes a newer list, page by page in the place of the older one.
    ///
    /// It is read twice: as a whole before anything is replaced, then to replace what differs.
    ///
    /// # Errors
    /// [`NotTaken`]; after [`NotTaken::Torn`] the list must not be used.
    pub fn replace(&mut self, bytes: usize, pages: Pages<'_>) -> Result<Taken, NotTaken> {
        let (shape, same) = Self::look(Some(self), bytes, pages)?;
        if same {
            return Ok(Taken::Same);
        }
        self.shape = shape;
        self.fill(pages)?;
        Ok(Taken::Changed)
    }

    /// Looks whether it is a list, and whether it is the same as that one.
    fn look(old: Option<&Self>, bytes: usize, pages: Pages<'_>) -> Result<(Shape, bool), NotTaken> {
        let mut shape = None;
        let mut last = 0;
        let mut same = old.is_some_and(|old| old.shape.bytes == bytes);
        for number in 0..bytes.min(MOST_BYTES).div_ceil(PAGE) {
            let page = pages(number).ok_or(NotTaken::Malformed)?;
            if number == 0 {
                shape = Shape::read(&page).filter(|shape| shape.bytes == bytes);
            }
            let shape = shape.ok_or(NotTaken::Malformed)?;
            if page.len() != shape.page(number) || shape.check(&page, number, &mut last).is_none() {
                return Err(NotTaken::Malformed);
            }
            same &= old.is_some_and(|old| old.pages.get(number).is_some_and(|held| **held == *page));
        }
        Ok((shape.ok_or(NotTaken::Malformed)?, same))
    }

    fn fill(&mut self, pages: Pages<'_>) -> Result<(), NotTaken> {
        let count = self.shape.bytes.div_ceil(PAGE);
        self.pages.truncate(count);
        for number in 0..count {
            let page = pages(number).filter(|page| page.len() == self.shape.page(number)).ok_or(NotTaken::Torn)?;
            match self.pages.get_mut(number) {
                Some(held) if held.len() == page.len() => held.copy_from_slice(&page),
                Some(held) => *held = page.into_boxed_slice(),
                None => self.pages.push(page.into_boxed_slice()),
            }
        }
        Ok(())
    }

    /// Whether an entry has that mark and speaks of what was issued then.
    pub fn covers(&self, mark: Mark, issued: Option<Timestamp>) -> bool {
        let hash = salted(&self.shape.salt, mark);
        // what cannot be read refuses
        self.in_table(self.shape.any, hash, None).unwrap_or(true)
            || self.in_table(self.shape.before, hash, Some(issued)).unwrap_or(true)
    }

    fn in_table(&self, table: Table, (hash, stored): Hash, issued: Option<Option<Timestamp>>) -> Option<bool> {
        let bucket = table.bucket(hash);
        let index = |bucket: usize| self.bytes::<4>(table.index + 4 * bucket).map(u32::from_be_bytes);
        let from = if bucket == 0 { 0 } else { index(bucket - 1)? };
        for at in from..index(bucket)? {
            let at = table.entries + at as usize * table.width;
            if self.bytes::<STORED>(at)? != stored {
                continue;
            }
            let Some(issued) = issued else { return Some(true) };
            let before = self.bytes::<STORED>(at + STORED)?.iter().fold(0, |all, byte| all << 8 | i64::from(*byte));
            if issued.is_none_or(|issued| issued.unix() < before) {
                return Some(true);
            }
        }
        Some(false)
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for (at, byte) in (at..).zip(&mut bytes) {
            *byte = *self.pages.get(at / PAGE)?.get(at % PAGE)?;
        }
        Some(bytes)
    }

    /// The pages, as they came.
    pub fn pages(&self) -> impl Iterator<Item = &[u8]> {
        self.pages.iter().map(|page| &**page)
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.shape.any.count as usize + self.shape.before.count as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        self.shape.bytes
    }

    /// The salt, which the next version of the list should have too: what met an entry by chance then stays the same.
    pub fn salt(&self) -> [u8; 16] {
        self.shape.salt
    }
}

/// The pages of bytes that are in one piece.
pub fn pages_of(bytes: &[u8]) -> impl FnMut(usize) -> Option<Vec<u8>> + '_ {
    move |number| bytes.chunks(PAGE).nth(number).map(<[u8]>::to_vec)
}

type Hash = (u32, [u8; STORED]);

fn salted(salt: &[u8; 16], mark: Mark) -> Hash {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(mark.0);
    let hash: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, stored @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash;
    (u32::from_be_bytes([a, b, c, d]), stored)
}

/// Builds the compact form. `None` where it would be over [`MOST_BYTES`], or where more entries are alike than a reader
/// takes; leave out what is there twice.
pub fn build(entries: &[Entry], salt: [u8; 16]) -> Option<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(salt);
    let count = |timed: bool| entries.iter().filter(|entry| entry.before.is_some() == timed).count();
    let counts = [count(false), count(true)];
    let bits = counts.map(|count| (count / WIDE).checked_ilog2().unwrap_or(0).min(16));
    for count in counts {
        bytes.extend(u32::try_from(count).ok()?.to_be_bytes());
    }
    let [a, b] = bits;
    bytes.extend([u8::try_from(a).ok()?, u8::try_from(b).ok()?, 0, 0]);
    let shape = Shape::read(&bytes)?;
    bytes.resize(shape.bytes, 0);
    for (table, timed) in [(shape.any, false), (shape.before, true)] {
        let mut ends = vec![0_u32; table.buckets()];
        let ours = || entries.iter().filter(|entry| entry.before.is_some() == timed);
        for entry in ours() {
            *ends.get_mut(table.bucket(salted(&salt, entry.mark).0))? += 1;
        }
        let mut sum = 0;
        for (end, at) in ends.iter_mut().zip((table.index..).step_by(4)) {
            if *end > MOST_ALIKE {
                return None;
            }
            let first = sum;
            sum += *end;
            bytes.get_mut(at..)?.first_chunk_mut::<4>()?.copy_from_slice(&sum.to_be_bytes());
            // from here on: where the next entry of the bucket goes
            *end = first;
        }
        for entry in ours() {
            let (hash, stored) = salted(&salt, entry.mark);
            let next = ends.get_mut(table.bucket(hash))?;
            let at = table.entries + *next as usize * table.width;
            *next += 1;
            let place = bytes.get_mut(at..)?;
            place.first_chunk_mut::<STORED>()?.copy_from_slice(&stored);
            if let Some(before) = entry.before {
                let [_, _, _, time @ ..] = before.unix().clamp(0, END_OF_TIME - 1).to_be_bytes();
                place.get_mut(STORED..)?.first_chunk_mut::<STORED>()?.copy_from_slice(&time);
            }
        }
    }
    Some(bytes)
}
