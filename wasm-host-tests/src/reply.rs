//! Local replies as Envoy composes them (`Http::Utility::sendLocalReply`): a gRPC caller gets trailers only with a
//! `grpc-status`, a HEAD request gets no body, and what the filter added stays.

use std::fmt::{self, Write as _};

use crate::headers::{HeaderMap, shown};

/// A response that the client gets.
#[derive(Clone, Default)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers without `:status`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// For gRPC callers, the status in the headers (trailers-only).
    pub grpc_status: Option<u32>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &shown(&self.body))
            .field("grpc_status", &self.grpc_status)
            .finish()
    }
}

impl Reply {
    /// The body as JSON, or null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The stable code of a problem body (RFC 9457), or nothing.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// What a filter asked to be sent.
#[derive(Clone, Debug)]
pub(crate) struct LocalReply {
    pub(crate) status: u32,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) grpc_status: Option<u32>,
}

impl LocalReply {
    /// The response headers (with `:status`) and body that Envoy makes of it.
    pub(crate) fn compose(self, is_grpc: bool, is_head: bool) -> (HeaderMap, Vec<u8>) {
        let mut headers = HeaderMap::from_pairs([(":status", self.status.to_string())]);
        for (name, value) in self.headers.iter() {
            headers.add(name, value);
        }
        if is_grpc {
            headers.set(":status", "200");
            headers.set("content-type", "application/grpc");
            if !headers.contains("grpc-status") {
                let status = self.grpc_status.unwrap_or_else(|| grpc_status_of(self.status));
                headers.add("grpc-status", status.to_string());
            }
            if !self.body.is_empty() && !is_head {
                headers.set("grpc-message", percent_encode(&self.body));
            }
            headers.remove("content-length");
            return (headers, Vec::new());
        }
        if self.body.is_empty() {
            headers.remove("content-length");
            headers.remove("content-type");
            return (headers, Vec::new());
        }
        headers.set("content-length", self.body.len().to_string());
        if !headers.contains("content-type") {
            headers.add("content-type", "text/plain");
        }
        (headers, if is_head { Vec::new() } else { self.body })
    }
}

/// The finished response.
pub(crate) fn finish(mut headers: HeaderMap, body: Vec<u8>) -> Reply {
    let status = headers.text(":status").and_then(|text| text.parse().ok()).unwrap_or(0);
    headers.remove(":status");
    let grpc_status = headers.text("grpc-status").and_then(|text| text.parse().ok());
    Reply { status, headers, body, grpc_status }
}

/// Envoy's mapping of HTTP to gRPC statuses (`Grpc::Utility::httpToGrpcStatus`).
fn grpc_status_of(http: u32) -> u32 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// `grpc-message` in the percent encoding of the gRPC protocol: all but printable ASCII, and `%`.
fn percent_encode(text: &[u8]) -> String {
    text.iter().fold(String::new(), |mut out, &byte| {
        if (0x20..0x7f).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u32, grpc_status: Option<u32>) -> LocalReply {
        let headers = HeaderMap::from_pairs([("x-added", "1")]);
        LocalReply { status, headers, body: "50 % \u{e4}\n".as_bytes().to_vec(), grpc_status }
    }

    #[test]
    fn grpc_callers_get_trailers_only() {
        let (headers, body) = reply(401, None).compose(true, false);
        let reply = finish(headers, body);
        assert_eq!((reply.status, reply.grpc_status, reply.body.len()), (200, Some(16), 0));
        assert_eq!(reply.headers.text("grpc-message").as_deref(), Some("50 %25 %C3%A4%0A"));
        assert_eq!(reply.headers.text("x-added").as_deref(), Some("1"));
    }

    #[test]
    fn the_filters_own_grpc_status_counts() {
        let (headers, _) = reply(401, Some(5)).compose(true, false);
        assert_eq!(headers.text("grpc-status").as_deref(), Some("5"));
    }

    #[test]
    fn head_requests_get_no_body() {
        let (headers, body) = reply(404, None).compose(false, true);
        assert!(body.is_empty());
        assert_eq!(headers.text("content-length").as_deref(), Some("8"));
    }
}
