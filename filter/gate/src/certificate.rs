//! The certificate by which a caller proved itself when its connection was made (TLS client authentication, RFC 8446 §4.4.2;
//! SPIFFE's X.509-SVID). The proxy checks its chain, the gate what stands in it.
//!
//! What the proxy tells: that there is one, its first URI and its first DNS name (RFC 5280 §4.2.1.6), and its SHA-256; all its
//! names in a header alone (`xfcc.rs`).
//! Whether its chain was checked it does not tell: that is for the listener (`require_client_certificate` and a
//! `validation_context` without `trust_chain_verification: ACCEPT_UNTRUSTED`). Nothing is asked of the host but where a rule
//! or an issuer's `binding` needs it.

use carded_verifier::base64url;
use serde_json::Value;

use super::config::{CertificateConfig, ConfigError, Field};

/// Reads a property of the request's connection by its name (`mtls`, `uri_san_peer_certificate` …); nothing where the host
/// has none.
pub type Connection<'a> = &'a mut dyn FnMut(&str) -> Option<Vec<u8>>;

/// The name under which its claims are known, and which no issuer and no credential may have.
pub(super) const NAME: &str = "client_certificate";

/// The caller's certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The first alone, unless the proxy tells them all.
    pub(super) uri_sans: Vec<String>,
    /// The same, in lower case.
    pub(super) dns_sans: Vec<String>,
    sha256: [u8; 32],
}

/// What of it is named: `client_certificate.uri_san` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    UriSan,
    DnsSan,
    Sha256,
}

impl Part {
    pub(super) fn parse(name: &[String]) -> Option<Self> {
        match name {
            [name] if name == "uri_san" => Some(Self::UriSan),
            [name] if name == "dns_san" => Some(Self::DnsSan),
            [name] if name == "sha256" => Some(Self::Sha256),
            _ => None,
        }
    }
}

impl Certificate {
    /// The caller's certificate, as the host tells it; nothing where there is none, or its digest is none.
    pub(super) fn of(connection: &mut dyn FnMut(&str) -> Option<Vec<u8>>) -> Option<Self> {
        if connection("mtls")?.first() != Some(&1) {
            return None;
        }
        let digest = connection("sha256_peer_certificate_digest")?;
        let mut name = |property| {
            let text = connection(property).and_then(|bytes| String::from_utf8(bytes).ok());
            Vec::from_iter(text.filter(|text| !text.is_empty()))
        };
        let uri_sans = name("uri_san_peer_certificate");
        let mut dns_sans = name("dns_san_peer_certificate");
        dns_sans.iter_mut().for_each(|name| name.make_ascii_lowercase());
        Some(Self { uri_sans, dns_sans, sha256: hex(std::str::from_utf8(&digest).ok()?)? })
    }

    /// Its SHA-256.
    pub(super) fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The thumbprint that tokens are bound to (RFC 8705 §3.1, `x5t#S256`).
    pub(super) fn thumbprint(&self) -> String {
        base64url::encode(self.sha256)
    }

    /// A part of it, as a claim; the digest in hexadecimal, as Envoy writes it.
    pub(super) fn part(&self, part: Part) -> Option<Value> {
        match part {
            Part::UriSan => self.uri_sans.first().map(|name| Value::from(name.as_str())),
            Part::DnsSan => self.dns_sans.first().map(|name| Value::from(name.as_str())),
            Part::Sha256 => Some(to_hex(&self.sha256).into()),
        }
    }

    /// What it calls its owner: the URI, the DNS name, or else the digest.
    pub(super) fn subject(&self) -> String {
        let name = self.uri_sans.first().or(self.dns_sans.first());
        name.cloned().unwrap_or_else(|| to_hex(&self.sha256))
    }
}

/// Which certificates are meant: of each list that is given, one must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    uri_sans: Vec<String>,
    dns_sans: Vec<String>,
    digests: Vec<[u8; 32]>,
}

impl Wanted {
    pub(super) fn compile(
        configured: &CertificateConfig,
        field: &Field,
        errors: &mut Vec<ConfigError>,
    ) -> Option<Self> {
        let before = errors.len();
        let mut wanted = Self::default();
        let mut named = false;
        let lists =
            [("uri_san", &configured.uri_san), ("dns_san", &configured.dns_san), ("sha256", &configured.sha256)];
        for (key, list) in lists {
            let Some(list) = list else { continue };
            named = true;
            if list.0.is_empty() {
                errors.push(field.key(key).error("an empty list could never match"));
            }
            for text in &list.0 {
                let read = match key {
                    "uri_san" => check_uri(text).map(|()| wanted.uri_sans.push(text.clone())),
                    "dns_san" => check_dns(text).map(|()| wanted.dns_sans.push(text.to_ascii_lowercase())),
                    _ => match hex(&text.replace(':', "")) {
                        Some(digest) => {
                            wanted.digests.push(digest);
                            Ok(())
                        }
                        None => Err("write the SHA-256 of the certificate in hexadecimal, 64 digits"),
                    },
                };
                if let Err(why) = read {
                    errors.push(field.key(key).error(format!("`{text}`: {why}")));
                }
            }
        }
        if !named {
            errors.push(field.error("say which: `uri_san`, `dns_san` or `sha256`"));
        }
        (errors.len() == before).then_some(wanted)
    }

    /// Whether a certificate is one of those.
    pub(super) fn admits(&self, certificate: &Certificate) -> bool {
        let uri = |pattern: &String| certificate.uri_sans.iter().any(|uri| uri_matches(pattern, uri));
        let dns = |pattern: &String| certificate.dns_sans.iter().any(|name| dns_matches(pattern, name));
        (self.uri_sans.is_empty() || self.uri_sans.iter().any(uri))
            && (self.dns_sans.is_empty() || self.dns_sans.iter().any(dns))
            && (self.digests.is_empty() || self.digests.contains(&certificate.sha256))
    }
}

/// A pattern of URIs: `*` is one whole segment of the path, `/**` at the end any number of them.
fn check_uri(pattern: &str) -> Result<(), &'static str> {
    if !pattern.contains(':') {
        return Err("this is no URI");
    }
    let segments = pattern.split('/').count();
    for (at, segment) in pattern.split('/').enumerate() {
        let last = at.saturating_add(1) == segments;
        match segment {
            // scheme, nothing, authority: who the names are of is never left open
            "*" | "**" if at < 3 => return Err("`*` stands in the path only, behind scheme and host"),
            "*" => {}
            "**" if last => {}
            _ if segment.contains('*') => return Err("`*` is one whole segment, and `**` the last"),
            _ => {}
        }
    }
    Ok(())
}

/// One pass over the segments of both (threat 92).
fn uri_matches(pattern: &str, uri: &str) -> bool {
    if !pattern.contains('*') {
        return pattern == uri;
    }
    // what could be read in two ways is no name that a pattern meets (SPIFFE ID §2.2 has none of it)
    if uri.contains(['?', '#', '%', '\\']) {
        return false;
    }
    let mut segments = uri.split('/').enumerate();
    let plain = |at: usize, segment: &str| at < 3 || !matches!(segment, "" | "." | "..");
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return segments.all(|(at, segment)| plain(at, segment));
        }
        match segments.next() {
            Some((at, segment)) if plain(at, segment) && (wanted == "*" || wanted == segment) => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

/// A DNS name, or `*.` and one for exactly one label before it (RFC 9525 §6.3).
fn check_dns(pattern: &str) -> Result<(), &'static str> {
    let name = pattern.strip_prefix("*.").unwrap_or(pattern);
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let whole = name.split('.').all(label) && (name == pattern || name.contains('.'));
    if whole { Ok(()) } else { Err("write a DNS name, or `*.` before one for exactly one label") }
}

fn dns_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => pattern == name,
        // a certificate may have a wildcard itself: that is no host
        Some(parent) => name.split_once('.').is_some_and(|(label, rest)| !matches!(label, "" | "*") && rest == parent),
    }
}

/// 32 bytes from 64 hexadecimal digits.
pub(super) fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16)?;
            *byte = *byte << 4 | u8::try_from(value).ok()?;
        }
    }
    Some(bytes)
}

fn to_hex(bytes: &[u8; 32]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_92_patterns_of_names_match_whole_segments_in_one_pass() {
        for (pattern, uri, expected) in [
            ("spiffe://a.example/web", "spiffe://a.example/web", true),
            ("spiffe://a.example/web", "spiffe://a.example/web2", false),
            ("spiffe://a.example/*", "spiffe://a.example/web", true),
            ("spiffe://a.example/*", "spiffe://a.example/", false),
            ("spiffe://a.example/*", "spiffe://a.example", false),
            ("spiffe://a.example/*", "spiffe://a.example/ns/web", false),
            ("spiffe://a.example/*", "spiffe://a.example.evil/web", false),
            ("spiffe://a.example/*", "SPIFFE://a.example/web", false),
            ("spiffe://a.example/ns/*/sa/web", "spiffe://a.example/ns/shop/sa/web", true),
            ("spiffe://a.example/ns/*/sa/web", "spiffe://a.example/ns/a/b/sa/web", false),
            ("spiffe://a.example/ns/**", "spiffe://a.example/ns/a/b", true),
            ("spiffe://a.example/ns/**", "spiffe://a.example/ns", true),
            ("spiffe://a.example/ns/**", "spiffe://a.example/nsx", false),
            ("spiffe://a.example/ns/**", "spiffe://a.example/ns/../admin", false),
            ("spiffe://a.example/ns/**", "spiffe://a.example/ns//x", false),
            ("spiffe://a.example/ns/*", "spiffe://a.example/ns/x?y", false),
            ("spiffe://a.example/ns/*", "spiffe://a.example/ns/%2e%2e", false),
            ("urn:a:b", "urn:a:b", true),
        ] {
            assert_eq!(uri_matches(pattern, uri), expected, "{pattern} {uri}");
        }
        for (pattern, name, expected) in [
            ("api.example.com", "api.example.com", true),
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", "*.example.com", false),
            ("*.example.com", ".example.com", false),
        ] {
            assert_eq!(dns_matches(pattern, name), expected, "{pattern} {name}");
        }
        for bad in ["a", "*://a", "spiffe://*/a", "spiffe://*.a/b", "spiffe://a/b*", "spiffe://a/**/b", "urn:*"] {
            assert!(check_uri(bad).is_err(), "{bad}");
        }
        for bad in ["", "*", "*.com", "a..b", "*.*.a", "a/b", "a."] {
            assert!(check_dns(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_are_read_and_written() {
        let text = "00ff10abcdef".to_owned() + &"0".repeat(52);
        assert_eq!(hex(&text).map(|bytes| to_hex(&bytes)), Some(text.clone()));
        assert_eq!(hex(&text.to_ascii_uppercase()), hex(&text));
        for bad in ["", &text[1..], &format!("{text}00"), &format!("g{}", &text[1..]), &"é".repeat(32)] {
            assert_eq!(hex(bad), None, "{bad}");
        }
    }
}
