//! did:web: the DID is a host and a path, its document a file there (did:web method specification section 2.5.2).
//!
//! Over https to a named host only: no addresses, user information, or ports (SSRF). For development the policy can
//! admit `http` and ports (written `%3A`) for hosts that end in `.localhost`.
use super::{DidError, Method};
use crate::url::{HttpsUrl, UrlPolicy};

pub(super) struct Web;

impl Method for Web {
    fn name(&self) -> &'static str {
        "web"
    }

    fn check(&self, id: &str) -> Result<(), DidError> {
        // `%` in the host stands for the colon of a port and nothing else; in the path it may hide neither a slash nor
        // a dot, so that where the document lies can be read off the DID
        let mut parts = id.split(':');
        let host = parts.next().unwrap_or_default().to_ascii_lowercase();
        let plain_host = host.splitn(2, "%3a").all(|part| !part.is_empty() && !part.contains('%'));
        let hidden = |part: &str| {
            let lower = part.to_ascii_lowercase();
            ["%2f", "%5c", "%2e", "%00"].iter().any(|octet| lower.contains(octet)) || part == "." || part == ".."
        };
        if plain_host && !parts.any(hidden) { Ok(()) } else { Err(DidError::Malformed) }
    }

    fn url(&self, id: &str, policy: UrlPolicy) -> Result<HttpsUrl, DidError> {
        let (host, path) = match id.split_once(':') {
            None => (id, "/.well-known".to_owned()),
            Some((host, path)) => (host, format!("/{}", path.replace(':', "/"))),
        };
        let authority = host.to_ascii_lowercase().replace("%3a", ":");
        let name = authority.split(':').next().unwrap_or_default();
        let scheme = if policy.allow_http_localhost && name.ends_with(".localhost") { "http" } else { "https" };
        HttpsUrl::parse(&format!("{scheme}://{authority}{path}/did.json"), policy).map_err(DidError::Url)
    }
}
