//! The only URLs that anything is ever fetched from: plain `https` to a named host (RFC 3986, RFC 9110 section 4.2.2).
//!
//! No user information, fragment, address or dot segment, and a port only where the policy admits it, so that what a
//! person reads in a configuration is where a request goes (SSRF). For development one policy admits `http` and ports for hosts that end in `.localhost`
//! (RFC 6761 section 6.3), and nothing else.
use iri_string::types::UriAbsoluteStr;
use std::fmt;

const LONGEST: usize = 2048;

/// What URLs may be, beyond plain `https`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct UrlPolicy {
    /// For development: `http` and ports for hosts that end in `.localhost`.
    pub allow_http_localhost: bool,
    /// A port after the host. For addresses that an operator wrote down, or that lead only to authorities which an
    /// operator wrote down; never for those that a DID or a wallet names.
    pub allow_port: bool,
}

/// An absolute URL that [`HttpsUrl::parse`] took. Its host is in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HttpsUrl {
    text: String,
    authority_start: usize,
    authority_end: usize,
}

/// Why a text is no URL that may be fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UrlError {
    /// It is no absolute URL of RFC 3986, or longer than 2048 bytes.
    Malformed,
    /// Its scheme is not `https`.
    NotHttps,
    /// It carries a user name or password.
    UserInformation,
    /// It carries a fragment.
    Fragment,
    /// It names a port.
    Port,
    /// Its host is an IP address.
    Address,
    /// Its host is not a name of letters, digits, hyphens and dots.
    Host,
    /// Its path has a segment `.` or `..`, plain or percent-encoded.
    DotSegment,
    /// It has a query where none may be.
    Query,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not an absolute URL",
            Self::NotHttps => "not https",
            Self::UserInformation => "carries user information",
            Self::Fragment => "carries a fragment",
            Self::Port => "names a port",
            Self::Address => "its host is an IP address",
            Self::Host => "its host is not a plain name",
            Self::DotSegment => "its path has a segment `.` or `..`",
            Self::Query => "carries a query",
        })
    }
}

impl std::error::Error for UrlError {}

impl HttpsUrl {
    /// Takes an absolute `https` URL.
    ///
    /// # Errors
    /// [`UrlError`] for anything else; see the module.
    pub fn parse(text: &str, policy: UrlPolicy) -> Result<Self, UrlError> {
        if text.len() > LONGEST {
            return Err(UrlError::Malformed);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let uri = UriAbsoluteStr::new(text).map_err(|_| UrlError::Malformed)?;
        let parts = uri.authority_components().ok_or(UrlError::Malformed)?;
        if parts.userinfo().is_some() {
            return Err(UrlError::UserInformation);
        }
        let host = parts.host().to_ascii_lowercase();
        check_host(&host)?;
        let lenient = policy.allow_http_localhost && host.ends_with(".localhost");
        let scheme = match uri.scheme_str() {
            "https" => "https",
            "http" if lenient => "http",
            _ => return Err(UrlError::NotHttps),
        };
        let port = match parts.port() {
            None => String::new(),
            Some(port) if lenient || policy.allow_port => format!(":{}", check_port(port)?),
            Some(_) => return Err(UrlError::Port),
        };
        if uri.path_str().split('/').any(is_dot_segment) {
            return Err(UrlError::DotSegment);
        }
        let mut url = format!("{scheme}://{host}{port}");
        let (authority_start, authority_end) = (scheme.len() + 3, url.len());
        url.push_str(if uri.path_str().is_empty() { "/" } else { uri.path_str() });
        if let Some(query) = uri.query_str() {
            url.push('?');
            url.push_str(query);
        }
        Ok(Self { text: url, authority_start, authority_end })
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `https`, or `http` where the policy admitted it.
    pub fn scheme(&self) -> &str {
        self.text.split(':').next().unwrap_or_default()
    }

    /// Host, and port where it has one, in lower case: what a configuration of hosts is looked up by.
    pub fn authority(&self) -> &str {
        self.text.get(self.authority_start..self.authority_end).unwrap_or_default()
    }

    /// Path and query: what goes into `:path`. It starts with `/`.
    pub fn path_and_query(&self) -> &str {
        self.text.get(self.authority_end..).unwrap_or_default()
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_host(host: &str) -> Result<(), UrlError> {
    if host.starts_with('[') {
        return Err(UrlError::Address);
    }
    let labels = || host.split('.');
    let plain = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if host.len() > 253 || !labels().all(plain) {
        return Err(UrlError::Host);
    }
    // A last label that is a number makes resolvers read the whole as an IPv4 address: 127.1, 0x7f.1, 2130706433.
    let numeric = |label: &str| {
        label.bytes().all(|b| b.is_ascii_digit())
            || label.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if labels().next_back().is_some_and(numeric) { Err(UrlError::Address) } else { Ok(()) }
}

fn check_port(port: &str) -> Result<u16, UrlError> {
    match port.parse() {
        Ok(number) if number > 0 && !port.starts_with(['0', '+']) => Ok(number),
        _ => Err(UrlError::Port),
    }
}

/// `.` and `..`, also percent-encoded: some servers and proxies resolve those as well (WHATWG URL section 4.4).
pub(crate) fn is_dot_segment(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: UrlPolicy = UrlPolicy { allow_http_localhost: false, allow_port: false };
    const DEVELOPMENT: UrlPolicy = UrlPolicy { allow_http_localhost: true, allow_port: false };

    #[test]
    fn parts() {
        let url = HttpsUrl::parse("https://IDP.example.com/a/b?c=d", STRICT).unwrap();
        assert_eq!(url.as_str(), "https://idp.example.com/a/b?c=d");
        assert_eq!(url.scheme(), "https");
        assert_eq!(url.authority(), "idp.example.com");
        assert_eq!(url.path_and_query(), "/a/b?c=d");
        let bare = HttpsUrl::parse("https://idp.example.com", STRICT).unwrap();
        assert_eq!(bare.path_and_query(), "/");
        let local = HttpsUrl::parse("http://idp.localhost:9000/jwks", DEVELOPMENT).unwrap();
        assert_eq!((local.scheme(), local.authority()), ("http", "idp.localhost:9000"));
    }

    #[test]
    fn a_port_is_admitted_where_the_policy_says_so() {
        const PORTS: UrlPolicy = UrlPolicy { allow_http_localhost: false, allow_port: true };
        let url = HttpsUrl::parse("https://idp.example.com:8443/a", PORTS).unwrap();
        assert_eq!((url.authority(), url.path_and_query()), ("idp.example.com:8443", "/a"));
        for bad in [
            "http://idp.example.com:80/",
            "https://idp.example.com:0/",
            "https://idp.example.com:99999/",
            "http://a.localhost:1/",
        ] {
            assert!(HttpsUrl::parse(bad, PORTS).is_err(), "{bad}");
        }
    }

    #[test]
    fn threat_61_only_plain_https_urls() {
        for (text, why) in [
            ("http://idp.example.com/", UrlError::NotHttps),
            ("HTTPS://idp.example.com/", UrlError::NotHttps),
            ("ftp://idp.example.com/", UrlError::NotHttps),
            ("javascript:alert(1)", UrlError::Malformed),
            ("//idp.example.com/", UrlError::Malformed),
            ("/jwks", UrlError::Malformed),
            ("", UrlError::Malformed),
            ("https:idp.example.com", UrlError::Malformed),
            ("https:///jwks", UrlError::Host),
            ("https://user@idp.example.com/", UrlError::UserInformation),
            ("https://user:pw@idp.example.com/", UrlError::UserInformation),
            ("https://@idp.example.com/", UrlError::UserInformation),
            ("https://idp.example.com/#x", UrlError::Fragment),
            ("https://idp.example.com:8443/", UrlError::Port),
            ("https://idp.example.com:443/", UrlError::Port),
            ("https://idp.example.com:/", UrlError::Port),
            ("https://127.0.0.1/", UrlError::Address),
            ("https://127.1/", UrlError::Address),
            ("https://2130706433/", UrlError::Address),
            ("https://0x7f000001/", UrlError::Address),
            ("https://[::1]/", UrlError::Address),
            ("https://idp.example.com./", UrlError::Host),
            ("https://idp..example.com/", UrlError::Host),
            ("https://-idp.example.com/", UrlError::Host),
            ("https://idp_.example.com/", UrlError::Host),
            ("https://idp%2eexample.com/", UrlError::Host),
            ("https://idp.example.com/a/../b", UrlError::DotSegment),
            ("https://idp.example.com/a/%2E%2e/b", UrlError::DotSegment),
            ("https://idp.example.com/a/./b", UrlError::DotSegment),
            ("https://idp.example.com/a\\b", UrlError::Malformed),
            ("https://idp.example.com/a b", UrlError::Malformed),
            ("https://idp.example.com/%zz", UrlError::Malformed),
            ("https://idp.example.com/\r\nx: y", UrlError::Malformed),
            ("https://\u{456}dp.example.com/", UrlError::Malformed),
        ] {
            assert_eq!(HttpsUrl::parse(text, STRICT), Err(why), "{text}");
        }
        assert_eq!(
            HttpsUrl::parse(&format!("https://a.example/{}", "x".repeat(3000)), STRICT),
            Err(UrlError::Malformed)
        );
    }

    #[test]
    fn development_admits_localhost_names_only() {
        for text in ["http://idp.localhost/", "http://a.b.localhost:1/", "https://idp.localhost:9/"] {
            assert!(HttpsUrl::parse(text, DEVELOPMENT).is_ok(), "{text}");
            if text.contains("http:") || text.contains(":9") {
                assert!(HttpsUrl::parse(text, STRICT).is_err(), "{text}");
            }
        }
        for text in [
            "http://localhost/",
            "http://idp.example.com/",
            "https://idp.example.com:8443/",
            "http://127.0.0.1/",
            "http://idplocalhost/",
            "http://idp.localhost.example.com/",
            "http://idp.localhost:0/",
            "http://idp.localhost:99999/",
            "http://idp.localhost:/",
            "http://user@idp.localhost/",
        ] {
            assert!(HttpsUrl::parse(text, DEVELOPMENT).is_err(), "{text}");
        }
    }
}
