//! The places of a request that carry tokens: headers with a prefix (RFC 6750 §2.1), cookies (RFC 6265 §5.4) and query
//! parameters (RFC 6750 §2.3), each by configuration only; and taking a token out again before the request goes on.

use std::rc::Rc;

use carded_verifier::IssuerIndex;

use super::api_token;
use super::request::{Request, Values};

/// A place that a rule reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: PlaceKind,
    /// The issuers whose tokens are read from here, of those that the rule names, in order.
    pub(super) issuers: Vec<IssuerIndex>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlaceKind {
    /// A header by its lower-case name, and what stands before the token, which is compared without case.
    Header { name: Rc<str>, prefix: String },
    /// The password of HTTP Basic, where it is an API token.
    Basic,
    /// A cookie by its name.
    Cookie(String),
    /// A query parameter by its name.
    Parameter(String),
}

impl Place {
    /// Whether the issuer's tokens are read from here.
    #[inline]
    pub(super) fn admits(&self, issuer: IssuerIndex) -> bool {
        self.issuers.binary_search(&issuer).is_ok()
    }
}

impl PlaceKind {
    /// All tokens in this place. Every copy of a repeated header, cookie or parameter counts.
    #[inline]
    pub(super) fn tokens<'a>(&'a self, request: &'a Request, query: Option<&'a [u8]>, found: &mut Vec<&'a [u8]>) {
        match self {
            Self::Header { name, prefix } => {
                for value in request.values(name) {
                    found.extend(strip_prefix(value, prefix));
                }
            }
            Self::Basic => {
                let all = request.values("authorization").filter_map(|value| strip_prefix(value, api_token::BASIC));
                found.extend(all.filter(|value| api_token::password(value).is_some()));
            }
            Self::Cookie(name) => {
                let pairs = cookies(request);
                found.extend(pairs.filter(|(key, _)| key == &name.as_bytes()).map(|(_, value)| value));
            }
            Self::Parameter(name) => {
                let pairs = query.into_iter().flat_map(query_pairs);
                found.extend(pairs.filter(|(key, _)| key == &name.as_bytes()).map(|(_, value)| value));
            }
        }
    }

    /// Whether both read the same place, so that a token there is one token.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name, prefix }, Self::Header { name: other, prefix: others }) => {
                name == other && prefix.eq_ignore_ascii_case(others)
            }
            _ => self == other,
        }
    }

    /// What operators call it, for denial texts.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Header { name, prefix } if prefix.is_empty() => format!("the header {name}"),
            Self::Header { name, prefix } => format!("the header {name} after `{}`", prefix.trim_end()),
            Self::Basic => "the password of HTTP Basic".to_owned(),
            Self::Cookie(name) => format!("the cookie {name}"),
            Self::Parameter(name) => format!("the query parameter {name}"),
        }
    }
}

/// What stands behind the prefix, which is compared without case; several spaces may end it (RFC 9110 §11.4).
#[inline]
pub(super) fn strip_prefix<'a>(value: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    if !start.eq_ignore_ascii_case(prefix.as_bytes()) {
        // `Bearer` alone is an empty token, not another scheme.
        return None;
    }
    Some(if prefix.ends_with(' ') { rest.trim_ascii() } else { rest })
}

/// The pairs of all `cookie` headers of a request.
#[inline]
pub(super) fn cookies(request: &Request) -> Cookies<'_> {
    Cookies { values: request.values("cookie"), pairs: CookiePairs { rest: None } }
}

/// Whether a request has a cookie of such a name. The value of the one that is found, a session perhaps, is not read.
#[inline]
pub(super) fn has_cookie(request: &Request, is_such: impl Fn(&[u8]) -> bool) -> bool {
    request.values("cookie").any(|value| {
        let mut rest = Some(value);
        while let Some(pairs) = rest {
            let end = memchr::memchr2(b'=', b';', pairs).unwrap_or(pairs.len());
            let (name, behind) = pairs.split_at_checked(end).unwrap_or_default();
            if is_such(name.trim_ascii()) {
                return true;
            }
            rest = cut(behind, b';').1;
        }
        false
    })
}

/// What is left of the pairs of all `cookie` headers.
#[derive(Debug, Clone)]
pub(super) struct Cookies<'a> {
    values: Values<'a>,
    pairs: CookiePairs<'a>,
}

impl<'a> Iterator for Cookies<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        loop {
            if let Some(pair) = self.pairs.next() {
                return Some(pair);
            }
            self.pairs.rest = Some(self.values.next()?);
        }
    }
}

/// What is left of the pairs of a `cookie` header, of which a session is the longest by far.
#[derive(Debug, Clone)]
struct CookiePairs<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for CookiePairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (pair, rest) = cut(self.rest?, b';');
        self.rest = rest;
        let (key, value) = cut(pair, b'=');
        let value = value.unwrap_or_default().trim_ascii();
        let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        Some((key.trim_ascii(), unquoted.unwrap_or(value)))
    }
}

/// What stands before a byte, and what behind it where there is one.
#[inline]
fn cut(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(separator, bytes) {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at.saturating_add(1)..)),
        None => (bytes, None),
    }
}

/// The pairs of a query.
fn query_pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|&byte| byte == b'&').map(|pair| split_at_byte(pair, b'='))
}

fn split_at_byte(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let (before, behind) = cut(bytes, separator);
    (before, behind.unwrap_or_default())
}

/// The `cookie` header with the cookies that are to be kept, by their names; nothing where none is left.
#[inline]
pub(super) fn cookies_where(request: &Request, keep: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut kept: Vec<u8> = Vec::new();
    for value in request.values("cookie") {
        let mut rest = Some(value);
        while let Some(all) = rest {
            let (pair, behind) = cut(all, b';');
            rest = behind;
            let pair = pair.trim_ascii();
            if pair.is_empty() || !keep(cut(pair, b'=').0.trim_ascii()) {
                continue;
            }
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(pair);
        }
    }
    (!kept.is_empty()).then_some(kept)
}

/// The query without the named parameters; nothing where none is left.
pub(super) fn without_parameters(query: &[u8], names: &[&str]) -> Option<Vec<u8>> {
    let kept: Vec<&[u8]> = query
        .split(|&byte| byte == b'&')
        .filter(|pair| !names.iter().any(|name| split_at_byte(pair, b'=').0 == name.as_bytes()))
        .collect();
    (!kept.is_empty()).then(|| kept.join(&b'&'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&str, &str)]) -> Request {
        Request::from_pairs(pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn tokens(kind: &PlaceKind, request: &Request, query: Option<&str>) -> Vec<String> {
        let mut found = Vec::new();
        kind.tokens(request, query.map(str::as_bytes), &mut found);
        found.into_iter().map(|token| String::from_utf8_lossy(token).into_owned()).collect()
    }

    #[test]
    fn every_copy_is_found() {
        let request = request(&[
            ("authorization", "Bearer a"),
            ("authorization", "bearer  b "),
            ("authorization", "Basic c"),
            ("authorization", "Bearer "),
            ("cookie", "x=1; t=d;t=\"e\""),
            ("cookie", "tt=f; t=g"),
        ]);
        let bearer = PlaceKind::Header { name: "authorization".into(), prefix: "Bearer ".into() };
        assert_eq!(tokens(&bearer, &request, None), ["a", "b", ""]);
        assert_eq!(tokens(&PlaceKind::Cookie("t".into()), &request, None), ["d", "e", "g"]);
        assert_eq!(tokens(&PlaceKind::Parameter("t".into()), &request, Some("t=h&u=t&t&tt=1&t=i")), ["h", "", "i"]);
    }

    #[test]
    fn threat_85_a_cookie_that_is_there_is_seen_whatever_stands_before_it() {
        for header in [
            "t=1",
            "t",
            "a;t=1",
            "a=1;t",
            " t =1",
            "a==;t=",
            "=;t=1",
            ";;t=1",
            "a=\"x;t=1\"",
            "tt=1; at=2",
            "a=t; b=t=1",
            "",
            "=",
            ";",
            "a=1;",
            "=t",
        ] {
            let request = request(&[("cookie", "first=1"), ("cookie", header)]);
            let there = cookies(&request).any(|(name, _)| name == b"t");
            assert_eq!(has_cookie(&request, |name| name == b"t"), there, "{header}");
            // and is taken out
            let kept = cookies_where(&request, |name| name != b"t").unwrap_or_default();
            let again = Request::from_pairs([(&b"cookie"[..], &kept[..])]);
            assert!(!has_cookie(&again, |name| name == b"t"), "{header}");
        }
        assert!(!has_cookie(&request(&[]), |_| true));
    }

    #[test]
    fn what_is_taken_out_leaves_the_rest_as_it_was() {
        let request = request(&[("cookie", "a=1; t=x"), ("cookie", "b=\"2\";t=y")]);
        assert_eq!(cookies_where(&request, |name| name != b"t").as_deref(), Some(&b"a=1; b=\"2\""[..]));
        assert_eq!(cookies_where(&request, |_| false), None);
        assert_eq!(without_parameters(b"a=%2f&t=x&&b", &["t"]).as_deref(), Some(&b"a=%2f&&b"[..]));
        assert_eq!(without_parameters(b"t=x", &["t"]), None);
    }
}
