//! The path of a request in its one normal form (RFC 3986 §6.2.2), or a refusal where readers could differ.
//!
//! Rules are matched on the normal form and the normal form is what is sent on, so that no service sees another path
//! than the one that was decided on. What two readers could take for different paths (`%2f`, `\`, `//`, dot segments,
//! `..;x`, doubly encoded separators, encoded bytes that are no UTF-8) is refused, not repaired.

use std::borrow::Cow;

/// A path in normal form, and the query as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path<'a> {
    /// The normal path: `/`, then visible ASCII; unreserved characters stand unencoded, other triplets in upper case.
    normal: Cow<'a, str>,
    /// What follows the first `?`, untouched. It is no part of any match.
    query: Option<&'a [u8]>,
    /// Whether the normal form differs from what came.
    changed: bool,
}

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous(pub(super) &'static str);

impl<'a> Path<'a> {
    /// Brings the value of `:path` into its normal form.
    ///
    /// # Errors
    /// Why readers could differ over it.
    #[inline]
    pub(super) fn parse(raw: &'a [u8]) -> Result<Self, Ambiguous> {
        if let Some((path, query)) = plain(raw) {
            return Ok(Self { normal: Cow::Borrowed(path), query, changed: false });
        }
        Self::parse_unusual(raw)
    }

    fn parse_unusual(raw: &'a [u8]) -> Result<Self, Ambiguous> {
        let (path, query) = match raw.iter().position(|&byte| byte == b'?') {
            Some(at) => (raw.get(..at).unwrap_or_default(), raw.get(at.saturating_add(1)..)),
            None => (raw, None),
        };
        if path.first() != Some(&b'/') {
            return Err(Ambiguous("the path does not start with /"));
        }
        let normal = normalise(path)?;
        check_segments(&normal)?;
        let changed = normal.as_bytes() != path;
        Ok(Self { normal: Cow::Owned(normal), query, changed })
    }

    /// The normal form, without the query.
    #[must_use]
    #[inline]
    pub(super) fn as_str(&self) -> &str {
        &self.normal
    }

    /// The query without its `?`, as it came.
    #[must_use]
    #[inline]
    pub(super) fn query(&self) -> Option<&'a [u8]> {
        self.query
    }

    /// Whether the normal form differs from what came, and must be sent on in its place.
    #[must_use]
    #[inline]
    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// The segments between the slashes: `/a/b/` has `a`, `b` and an empty one; `/` has none.
    #[inline]
    pub(super) fn segments(&self) -> Segments<'_> {
        segments(&self.normal)
    }
}

/// The segments of a normal path.
#[inline]
pub(super) fn segments(normal: &str) -> Segments<'_> {
    let rest = normal.strip_prefix('/').unwrap_or(normal);
    Segments { rest: Some(rest).filter(|rest| !rest.is_empty()) }
}

/// What is left of a path's segments. Every request is taken apart by it.
#[derive(Debug, Clone)]
pub(super) struct Segments<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let mut end = 0_usize;
        for byte in rest.bytes() {
            if byte == b'/' {
                self.rest = rest.get(end.saturating_add(1)..);
                return rest.get(..end);
            }
            end = end.saturating_add(1);
        }
        self.rest = None;
        Some(rest)
    }
}

/// The value of two hexadecimal digits.
fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The path and the query where nothing in the path needs a second look, as in most requests: visible ASCII without escapes,
/// parameters and dots or slashes behind a slash. One pass, on every request.
#[inline]
fn plain(raw: &[u8]) -> Option<(&str, Option<&[u8]>)> {
    let mut before = 0;
    let mut end = raw.len();
    for (at, &byte) in raw.iter().enumerate() {
        match byte {
            b'?' => {
                end = at;
                break;
            }
            b'/' | b'.' if before == b'/' => return None,
            b'%' | b'\\' | b'#' | b';' | ..=0x20 | 0x7f.. => return None,
            _ => {}
        }
        before = byte;
    }
    let path = raw.get(..end).filter(|path| path.first() == Some(&b'/'))?;
    Some((std::str::from_utf8(path).ok()?, raw.get(end.saturating_add(1)..)))
}

fn normalise(path: &[u8]) -> Result<String, Ambiguous> {
    let mut normal = String::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let code = match (bytes.next(), bytes.next()) {
                    (Some(high), Some(low)) => hex(high, low),
                    _ => None,
                };
                match code {
                    None => return Err(Ambiguous("a % is not followed by two hexadecimal digits")),
                    Some(b'/' | b'\\') => return Err(Ambiguous("an encoded slash or backslash")),
                    Some(0..=0x1f | 0x7f) => return Err(Ambiguous("an encoded control character")),
                    Some(code) if is_unreserved(code) => normal.push(char::from(code)),
                    Some(code) => push_triplet(&mut normal, code),
                }
            }
            b'\\' => return Err(Ambiguous("a backslash")),
            b'#' => return Err(Ambiguous("a fragment")),
            0x21..=0x7e => normal.push(char::from(byte)),
            _ => return Err(Ambiguous("a byte that is no visible ASCII character")),
        }
    }
    Ok(normal)
}

fn push_triplet(normal: &mut String, code: u8) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    normal.push('%');
    normal.push(digit(code >> 4));
    normal.push(digit(code & 0x0f));
}

fn check_segments(normal: &str) -> Result<(), Ambiguous> {
    let mut all = segments(normal).peekable();
    while let Some(segment) = all.next() {
        if segment.is_empty() && all.peek().is_some() {
            return Err(Ambiguous("two slashes in a row"));
        }
        // Some servers cut path parameters off before they resolve dot segments: `..;x` is `..` to them.
        let name = segment.split(';').next().unwrap_or_default();
        let encoded = segment.bytes().any(|byte| byte == b'%');
        let name = if encoded { name.split("%3B").next().unwrap_or_default() } else { name };
        if matches!(name, "." | "..") {
            return Err(Ambiguous("a dot segment"));
        }
        if encoded {
            check_encoded(segment)?;
        }
    }
    Ok(())
}

/// What is still encoded must be UTF-8, and must not be the code of a separator when it is decoded once more.
fn check_encoded(segment: &str) -> Result<(), Ambiguous> {
    let decoded = decode(segment).ok_or(Ambiguous("encoded bytes that are no UTF-8"))?;
    let mut rest = decoded.as_str();
    while let Some((_, after)) = rest.split_once('%') {
        let code = after.as_bytes().first().zip(after.as_bytes().get(1)).and_then(|(&high, &low)| hex(high, low));
        if matches!(code, Some(b'/' | b'\\' | b'.' | b'%' | b'?' | 0..=0x1f | 0x7f)) {
            return Err(Ambiguous("a separator that is encoded twice"));
        }
        rest = after;
    }
    Ok(())
}

/// Decodes the triplets of a segment once; nothing where the result is no UTF-8.
pub(super) fn decode(segment: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hex(bytes.next()?, bytes.next()?)? } else { byte });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_spellings_have_one_normal_form() {
        for (raw, normal) in [
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("/%61dmin", "/admin"),
            ("/a%2db%5F%7e", "/a-b_~"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/100%25", "/100%25"),
            ("/a...b/...", "/a...b/..."),
        ] {
            let path = Path::parse(raw.as_bytes()).unwrap();
            assert_eq!(path.as_str(), normal);
            assert_eq!(path.is_changed(), raw != normal, "{raw}");
            assert_eq!(Path::parse(normal.as_bytes()).unwrap().as_str(), normal, "normal forms stay as they are");
        }
    }

    #[test]
    fn the_query_is_kept_as_it_came_and_out_of_the_path() {
        let path = Path::parse(b"/a?x=%2f&\xff=//..").unwrap();
        assert_eq!((path.as_str(), path.query()), ("/a", Some(&b"x=%2f&\xff=//.."[..])));
        assert_eq!(Path::parse(b"/a?").unwrap().query(), Some(&b""[..]));
    }

    #[test]
    fn threat_73_what_readers_could_differ_over_is_refused() {
        for raw in [
            "",
            "a",
            "*",
            "http://x/",
            "?",
            "//",
            "/a//b",
            "//a",
            "/a\\b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/a/%2e%2e/b",
            "/%2e",
            "/a/..;x/b",
            "/a/.;/b",
            "/a/..%3bx",
            "/a/..%3Bx",
            "/a%00",
            "/a%0d%0a",
            "/a%7f",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a#b",
            "/a b",
            "/a\tb",
            "/a%252fb",
            "/a%255Cb",
            "/a%252e%252e/b",
            "/a%25252f",
            "/a%c0%af",
            "/a%ff",
            "/a%253fb",
            "/a%2500",
        ] {
            assert!(Path::parse(raw.as_bytes()).is_err(), "{raw}");
        }
        for raw in [&b"/\xff"[..], b"/\xc3\xa9", b"/a\x00", b"/a\x7f", b"/a\r\n"] {
            assert!(Path::parse(raw).is_err(), "{raw:?}");
        }
    }
}
