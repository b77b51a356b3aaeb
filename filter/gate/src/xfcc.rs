//! All names in the caller's certificate: the header `x-forwarded-client-cert` as Envoy writes it with
//! `forward_client_cert_details: SANITIZE_SET`. A client can send such a header, too: it counts only where it is of the
//! certificate that this connection was made with, and with the names that the connection itself tells.

use super::certificate::{Certificate, hex};
use super::reply::Refusal;
use super::request::Request;

/// The name of the header.
pub(super) const HEADER: &str = "x-forwarded-client-cert";
/// The most names of one kind.
const MOST: usize = 64;

/// Adds all its names to a certificate.
///
/// # Errors
/// Where the header is missing, is not of this certificate, or cannot be read in one way only.
pub(super) fn add_names(certificate: &mut Certificate, request: &Request) -> Result<(), Refusal> {
    let value = request.single(HEADER).ok().flatten().and_then(|value| std::str::from_utf8(value).ok());
    let names = value.and_then(|value| names(value, certificate));
    let Some((uri_sans, dns_sans)) = names else {
        return Err(Refusal::client_certificate_required(
            "the proxy does not say whose certificate this is: give the listener `forward_client_cert_details: SANITIZE_SET` \
             and `set_current_client_cert_details: { uri: true, dns: true }`",
        ));
    };
    (certificate.uri_sans, certificate.dns_sans) = (uri_sans, dns_sans);
    Ok(())
}

/// The URIs and the DNS names of the one element. Envoy quotes the names of subjects and the certificate itself, but no URI and
/// no DNS name.
fn names(value: &str, certificate: &Certificate) -> Option<(Vec<String>, Vec<String>)> {
    let (mut uris, mut hosts, mut hash) = (Vec::new(), Vec::new(), None);
    let mut rest = value;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (text, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_at(quoted_end(quoted)?),
            None => after.split_at(after.find(';').unwrap_or(after.len())),
        };
        let quoted = after.strip_prefix('"');
        match (key, quoted.is_some()) {
            // Envoy writes the key where the certificate has no such name
            ("URI" | "DNS", false) if text.is_empty() => {}
            ("URI", false) if uris.len() < MOST => uris.push(text.to_owned()),
            ("DNS", false) if hosts.len() < MOST => hosts.push(text.to_ascii_lowercase()),
            ("Hash", false) if hash.is_none() => hash = Some(hex(text)?),
            ("By", false) | ("Subject" | "Cert" | "Chain", true) => {}
            _ => return None,
        }
        if quoted.is_none() && text.contains([',', '"']) {
            return None;
        }
        match quoted.unwrap_or(after) {
            "" => break,
            more => rest = more.strip_prefix(';')?,
        }
    }
    let same = hash.as_ref() == Some(certificate.sha256())
        && uris.first() == certificate.uri_sans.first()
        && hosts.first() == certificate.dns_sans.first();
    same.then_some((uris, hosts))
}

/// Where a quoted text ends; a backslash takes the next character for itself.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}
