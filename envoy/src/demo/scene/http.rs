//! Requests and replies of the demo's small servers, whole in memory and bounded (RFC 9110), and the headers that a wallet in
//! another origin needs (Fetch standard, "CORS protocol").

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::borrow::Cow;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::upstream::{Body, full, latin1};

/// The longest body that is read: ten proofs fit many times.
const LONGEST_BODY: usize = 128 * 1024;

/// A request with its whole body.
#[derive(Debug)]
pub(crate) struct Request {
    /// The method, as sent.
    pub(crate) method: String,
    /// The path without the query.
    pub(crate) path: String,
    /// The query without its `?`; empty where there is none.
    pub(crate) query: String,
    /// `host` in lower case, with its port.
    pub(crate) host: String,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A header's first value; empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| latin1(value.as_bytes())).unwrap_or_default()
    }

    /// A field of a form body (`application/x-www-form-urlencoded`). A field that comes twice counts as none: OAuth forbids it
    /// (RFC 6749 section 3.2).
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        single(&self.body, name)
    }

    /// Whether a page is asked for by a browser.
    pub(crate) fn wants_html(&self) -> bool {
        self.header("accept").contains("text/html")
    }
}

fn single(form: &[u8], name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(form).filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let first = values.next();
    if values.next().is_some() { None } else { first }
}

/// A reply to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(Cow<'static, str>, String)>,
    body: Vec<u8>,
}

impl Reply {
    /// An empty reply with this status.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: vec![("cache-control".into(), "no-store".to_owned())], body: Vec::new() }
    }

    /// A page, with a policy under which nothing foreign loads and nothing frames it.
    pub(crate) fn html(status: u16, body: String) -> Self {
        Self::status(status)
            .header("content-type", "text/html; charset=utf-8")
            .header(
                "content-security-policy",
                "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            )
            .header("x-content-type-options", "nosniff")
            .header("referrer-policy", "no-referrer")
            .with_body(body)
    }

    /// A JSON document.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::status(status).header("content-type", "application/json").with_body(body.to_string())
    }

    /// A text of another type.
    pub(crate) fn text(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).header("content-type", content_type).with_body(body)
    }

    /// A redirect after a form (303).
    pub(crate) fn see_other(location: &str) -> Self {
        Self::status(303).header("location", location)
    }

    /// An error of OAuth and OpenID4VCI: `{"error", "error_description"}` with status 400.
    pub(crate) fn error(error: &str, description: &str) -> Self {
        Self::json(400, &serde_json::json!({ "error": error, "error_description": description }))
    }

    /// The same with another status.
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Adds a header, or replaces the one that was there.
    pub(crate) fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Its status.
    #[cfg(test)]
    pub(crate) fn code(&self) -> u16 {
        self.status
    }

    /// The value of a header.
    #[cfg(test)]
    pub(crate) fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Lets scripts of any origin read it. Nothing here is answered by a cookie, so nothing is given away.
    pub(crate) fn for_any_origin(self) -> Self {
        self.header("access-control-allow-origin", "*")
            .header("access-control-allow-headers", "authorization, content-type")
            .header("access-control-allow-methods", "GET, POST")
            .header("access-control-max-age", "600")
    }

    fn into_response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name.as_ref(), value);
        }
        response.body(full(self.body)).unwrap_or_else(|_| Response::new(full("")))
    }
}

/// Something that answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one.
    fn answer(&self, request: &Request) -> Reply;
}

/// A server on a port of its own; it stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a service on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had.
    pub(crate) async fn start(service: Arc<dyn Service>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let answer = service_fn(move |request| serve(service.clone(), request));
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(service: Arc<dyn Service>, request: hyper::Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LONGEST_BODY).collect().await else {
        return Ok(Reply::status(413).into_response());
    };
    let host = head.headers.get("host").map(|host| latin1(host.as_bytes()).to_ascii_lowercase()).unwrap_or_default();
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        host,
        headers: head.headers,
        body: body.to_bytes().to_vec(),
    };
    // signing ten copies takes milliseconds, which would hold up every other request of this thread
    let reply = tokio::task::spawn_blocking(move || service.answer(&request)).await;
    Ok(reply.unwrap_or_else(|_| Reply::status(500)).into_response())
}
