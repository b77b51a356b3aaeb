//! The view of a request that the gate decides on: its headers as bytes, as the proxy handed them over.

use std::ops::Range;

use super::effect::{Came, EffectKind, Effected};

/// So many shapes of names are told apart ([`shape`]).
const SHAPES: usize = 16;

/// A request's headers, pseudo headers (`:path`, `:method`, `:authority`, `:scheme`) included, in order, repeated ones
/// and bytes that are no UTF-8 included. One buffer, with the places of names and values in it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    buffer: Vec<u8>,
    places: Vec<(Range<usize>, Range<usize>)>,
    /// Which of the first headers have a name of this shape, a bit for each: every request is looked through many times, for
    /// names of which most are not there.
    shapes: [u32; SHAPES],
    body: Option<Vec<u8>>,
    came: Vec<Came>,
}

impl Request {
    /// A request from names and values.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut request = Self::default();
        for (name, value) in pairs {
            let start = request.buffer.len();
            request.buffer.extend_from_slice(name);
            let middle = request.buffer.len();
            request.buffer.extend_from_slice(value);
            note(&mut request.shapes, request.places.len(), name.len(), name.last().copied());
            request.places.push((start..middle, middle..request.buffer.len()));
        }
        request
    }

    /// A request from the header map of the proxy-wasm ABI: the number of pairs, the sizes of each name and value, then
    /// each of them followed by a zero byte; numbers are little-endian `u32`.
    ///
    /// Nothing where the buffer does not hold what it says.
    #[must_use]
    #[inline]
    pub fn from_header_map(buffer: Vec<u8>) -> Option<Self> {
        if buffer.is_empty() {
            return Some(Self::default());
        }
        let size = |bytes: [u8; 4]| usize::try_from(u32::from_le_bytes(bytes)).ok();
        let (count, rest) = buffer.split_first_chunk::<4>()?;
        let sizes = rest.get(..size(*count)?.checked_mul(8)?)?;
        let mut cursor = sizes.len().checked_add(4)?;
        let (mut places, mut shapes) = (Vec::with_capacity(sizes.len() / 8), [0; SHAPES]);
        for (at, pair) in sizes.as_chunks::<8>().0.iter().enumerate() {
            let &[a, b, c, d, e, f, g, h] = pair;
            let length = size([a, b, c, d])?;
            let name = cursor..cursor.checked_add(length)?;
            let start = name.end.checked_add(1)?;
            let value = start..start.checked_add(size([e, f, g, h])?)?;
            cursor = value.end.checked_add(1)?;
            note(&mut shapes, at, length, buffer.get(name.end.wrapping_sub(1)).copied());
            places.push((name, value));
        }
        // they only grow, so that the last is the one to be compared
        if cursor > buffer.len() {
            return None;
        }
        Some(Self { buffer, places, shapes, body: None, came: Vec::new() })
    }

    /// All headers in order.
    #[inline]
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places.iter().map(|(name, value)| (self.slice(name), self.slice(value)))
    }

    /// All values of a header, by its lower-case name (proxies hand names over in lower case; case is folded anyway).
    #[inline]
    pub fn values<'a>(&'a self, name: &'a str) -> Values<'a> {
        let name = name.as_bytes();
        let first = self.shapes.get(shape(name.len(), name.last().copied())).copied().unwrap_or_default();
        Values { request: self, name, first, rest: self.places.get(FIRST..).unwrap_or_default() }
    }

    /// The value of a header that must not be repeated.
    ///
    /// # Errors
    /// Where it is there more than once.
    #[inline]
    pub fn single<'a>(&'a self, name: &'a str) -> Result<Option<&'a [u8]>, Repeated> {
        let mut values = self.values(name);
        let first = values.next();
        if first.is_some() && values.next().is_some() { Err(Repeated) } else { Ok(first) }
    }

    /// The whole body, where it was asked for and came.
    #[must_use]
    #[inline]
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    /// The request with its whole body.
    #[must_use]
    pub fn with_body(self, body: Vec<u8>) -> Self {
        Self { body: Some(body), ..self }
    }

    /// What came of the call of this kind that was made for this request, where there was one.
    #[must_use]
    pub fn effected(&self, kind: EffectKind) -> Option<&Effected> {
        self.came(kind).map(|came| &came.effected)
    }

    /// The same, with what was kept with the call.
    #[must_use]
    pub fn came(&self, kind: EffectKind) -> Option<&Came> {
        self.came.iter().find(|came| came.kind == kind)
    }

    /// The request with what came of a call.
    #[must_use]
    pub fn with_effected(mut self, came: Came) -> Self {
        self.came.push(came);
        self
    }

    /// Whether a header is there.
    #[must_use]
    #[inline]
    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// Whether the caller speaks gRPC.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.values("content-type").next().is_some_and(|value| {
            value.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
        })
    }

    /// The bytes that the view holds, for bounds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.buffer
            .capacity()
            .saturating_add(self.places.len().saturating_mul(size_of::<(Range<usize>, Range<usize>)>()))
            .saturating_add(self.body.as_ref().map_or(0, Vec::capacity))
            .saturating_add(self.came.iter().fold(0, |bytes, came| {
                let reply = came.effected.as_ref().map_or(0, |reply| reply.body.len());
                bytes.saturating_add(reply).saturating_add(came.kept.len())
            }))
    }

    #[inline]
    fn slice(&self, place: &Range<usize>) -> &[u8] {
        self.buffer.get(place.clone()).unwrap_or_default()
    }
}

/// What names that are the same but for case have in common: made of the length and the last letter.
#[inline]
fn shape(length: usize, last: Option<u8>) -> usize {
    (length ^ usize::from(last.unwrap_or_default())) % SHAPES
}

/// Notes the shape of a name.
#[inline]
fn note(shapes: &mut [u32; SHAPES], at: usize, length: usize, last: Option<u8>) {
    if at < FIRST
        && let Some(headers) = shapes.get_mut(shape(length, last))
    {
        *headers |= 1 << at;
    }
}

/// So many headers have their bit among the shapes; those that follow are looked through.
const FIRST: usize = u32::BITS as usize;

/// The values of a header.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    request: &'a Request,
    name: &'a [u8],
    /// Those among the first that could have this name.
    first: u32,
    rest: &'a [(Range<usize>, Range<usize>)],
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.first != 0 {
            let at = self.first.trailing_zeros() as usize;
            self.first &= self.first.wrapping_sub(1);
            if let Some((name, value)) = self.request.places.get(at)
                && same_name(self.request.slice(name), self.name)
            {
                return Some(self.request.slice(value));
            }
        }
        while let Some(((name, value), rest)) = self.rest.split_first() {
            self.rest = rest;
            if same_name(self.request.slice(name), self.name) {
                return Some(self.request.slice(value));
            }
        }
        None
    }
}

/// Whether a header has this name, which is in lower case.
#[inline]
fn same_name(sent: &[u8], name: &[u8]) -> bool {
    sent.len() == name.len() && (is_same(sent, name) || sent.eq_ignore_ascii_case(name))
}

/// Whether two texts are the same, without a call for short ones: by their first and last bytes, where those are all of them.
#[inline]
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    fn ends<const N: usize>(text: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
        Some((text.first_chunk()?, text.last_chunk()?))
    }
    if a.len() != b.len() || a.len() > 16 {
        return a == b;
    }
    let long = |(first, last): (&[u8; 8], &[u8; 8])| (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    let short = |(first, last): (&[u8; 4], &[u8; 4])| (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
    if a.len() >= 8 {
        ends(a).map(long) == ends(b).map(long)
    } else if a.len() >= 4 {
        ends(a).map(short) == ends(b).map(short)
    } else {
        a.iter().eq(b)
    }
}

/// A header is there more than once where only one makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = u32::try_from(pairs.len()).unwrap().to_le_bytes().to_vec();
        for (name, value) in pairs {
            bytes.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        }
        for (name, value) in pairs {
            for part in [name, value] {
                bytes.extend_from_slice(part);
                bytes.push(0);
            }
        }
        bytes
    }

    #[test]
    fn the_header_map_of_the_abi_is_read() {
        let request =
            Request::from_header_map(encode(&[(b":path", b"/"), (b"x", b"\xff\0"), (b"X", b""), (b"y", b"2")]))
                .unwrap();
        assert_eq!(request.single(":path"), Ok(Some(&b"/"[..])));
        assert_eq!(request.values("x").collect::<Vec<_>>(), [&b"\xff\0"[..], b""]);
        assert_eq!(request.single("x"), Err(Repeated));
        assert_eq!(request.single("z"), Ok(None));
    }

    #[test]
    fn headers_are_found_wherever_they_stand() {
        let names: Vec<String> = (0..100).map(|number| format!("{}-{number}", "x".repeat(number % 40))).collect();
        let pairs: Vec<_> = names.iter().chain(&names).map(|name| (name.as_bytes(), name.as_bytes())).collect();
        for request in [Request::from_pairs(pairs.iter().copied()), Request::from_header_map(encode(&pairs)).unwrap()] {
            for name in &names {
                assert_eq!(request.values(name).collect::<Vec<_>>(), [name.as_bytes(); 2], "{name}");
            }
            assert_eq!(request.single("x-1000"), Ok(None));
        }
    }

    #[test]
    fn a_map_that_lies_about_its_sizes_is_no_map() {
        let good = encode(&[(b"name", b"value")]);
        for end in 1..good.len() {
            assert!(Request::from_header_map(good[..end].to_vec()).is_none(), "{end}");
        }
        for at in 0..12 {
            let mut bad = good.clone();
            bad[at] = 0xff;
            assert!(Request::from_header_map(bad).is_none(), "{at}");
        }
    }
}
