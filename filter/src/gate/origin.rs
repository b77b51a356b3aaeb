//! Our own public origins (RFC 6454 §4): the only source of addresses that we make, never `Host` or a forwarding header
//! (threat 93). A request belongs to one where its scheme and authority equal it, without regard to case and the default
//! port.

use super::request::Request;

/// The origins of the configuration, as written there.
#[derive(Debug, Default)]
pub(super) struct Origins {
    list: Vec<(String, String)>,
}

impl Origins {
    pub(super) fn new(origins: &[String]) -> Self {
        Self { list: origins.iter().map(|origin| (normal(origin), origin.clone())).collect() }
    }

    /// The origin that a request is for, as the configuration writes it.
    pub(super) fn of(&self, request: &Request, authority: &str) -> Option<&str> {
        let scheme = request.single(":scheme").ok().flatten().and_then(|scheme| std::str::from_utf8(scheme).ok())?;
        let asked = normal(&format!("{scheme}://{authority}"));
        self.list.iter().find(|(normal, _)| *normal == asked).map(|(_, origin)| origin.as_str())
    }

    /// Whether an `Origin` header names this origin.
    pub(super) fn same(&self, header: &[u8], origin: &str) -> bool {
        std::str::from_utf8(header).is_ok_and(|header| normal(header) == normal(origin))
    }
}

fn normal(origin: &str) -> String {
    let lower = origin.to_ascii_lowercase();
    let default = if lower.starts_with("https://") { ":443" } else { ":80" };
    lower.strip_suffix(default).map(str::to_owned).unwrap_or(lower)
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
        }
    }
}
