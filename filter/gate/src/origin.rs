//! Our own public origins (RFC 6454 §4): the only source of addresses that we make, never `Host` or a forwarding header
//! (threat 93). A request belongs to one where its scheme and authority equal it, without regard to case and the default
//! port.

use super::request::{Request, is_same};

/// The origins of the configuration, each with its scheme and its authority in normal form.
#[derive(Debug, Default)]
pub(super) struct Origins {
    list: Vec<Origin>,
}

#[derive(Debug)]
struct Origin {
    scheme: String,
    /// Without the scheme's default port.
    authority: String,
    /// As it is written there.
    written: String,
}

impl Origin {
    fn is(&self, scheme: &[u8], authority: &[u8]) -> bool {
        self.scheme.as_bytes().eq_ignore_ascii_case(scheme)
            && self.authority.as_bytes().eq_ignore_ascii_case(without_default_port(scheme, authority))
    }
}

impl Origins {
    pub(super) fn new(origins: &[String]) -> Self {
        let origin = |written: &String| {
            let (scheme, authority) = written.split_once("://")?;
            let authority = without_default_port(scheme.as_bytes(), authority.as_bytes());
            Some(Origin {
                scheme: scheme.to_owned(),
                authority: String::from_utf8_lossy(authority).into_owned(),
                written: written.clone(),
            })
        };
        Self { list: origins.iter().filter_map(origin).collect() }
    }

    /// The origin that a request is for, as the configuration writes it.
    #[inline]
    pub(super) fn of(&self, request: &Request, authority: &str) -> Option<&str> {
        let (scheme, authority) = (request.single(":scheme").ok().flatten()?, authority.as_bytes());
        // most write it as the first is written
        if let Some(first) = self.list.first()
            && is_same(first.scheme.as_bytes(), scheme)
            && is_same(first.authority.as_bytes(), authority)
        {
            return Some(&first.written);
        }
        self.find(scheme, authority)
    }

    fn find(&self, scheme: &[u8], authority: &[u8]) -> Option<&str> {
        self.list.iter().find(|origin| origin.is(scheme, authority)).map(|origin| origin.written.as_str())
    }

    /// Whether an `Origin` header names this origin.
    pub(super) fn same(&self, header: &[u8], origin: &str) -> bool {
        let Some((scheme, authority)) = std::str::from_utf8(header).ok().and_then(|text| text.split_once("://")) else {
            return false;
        };
        let known = self.list.iter().find(|known| known.written == origin);
        known.is_some_and(|known| known.is(scheme.as_bytes(), authority.as_bytes()))
    }
}

/// The authority of an address of this scheme, without the port that it has anyway.
fn without_default_port<'a>(scheme: &[u8], authority: &'a [u8]) -> &'a [u8] {
    let default: &[u8] = if scheme.eq_ignore_ascii_case(b"https") { b":443" } else { b":80" };
    authority.strip_suffix(default).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_93_a_request_belongs_to_an_origin_of_the_configuration_or_to_none() {
        let origins = Origins::new(&["https://shop.example.com".to_owned(), "http://a.localhost:8080".to_owned()]);
        for (scheme, authority, expected) in [
            ("https", "shop.example.com", Some("https://shop.example.com")),
            ("https", "SHOP.example.com:443", Some("https://shop.example.com")),
            ("http", "shop.example.com", None),
            ("https", "shop.example.com:8443", None),
            ("https", "evil.example.com", None),
            ("http", "a.localhost:8080", Some("http://a.localhost:8080")),
            ("http", "a.localhost", None),
            ("https", "", None),
        ] {
            let request =
                Request::from_pairs([(&b":scheme"[..], scheme.as_bytes()), (b"x-forwarded-host", b"shop.example.com")]);
            assert_eq!(origins.of(&request, authority), expected, "{scheme} {authority}");
            let header = format!("{scheme}://{authority}");
            for origin in ["https://shop.example.com", "http://a.localhost:8080"] {
                assert_eq!(origins.same(header.as_bytes(), origin), expected == Some(origin), "{header} {origin}");
            }
        }
        for odd in [&b"null"[..], b"", b"https:", b"://", b"\xff://shop.example.com"] {
            assert!(!origins.same(odd, "https://shop.example.com"));
        }
    }
}
