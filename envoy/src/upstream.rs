//! The service behind Envoy, as a test double: it counts what reaches it and answers with what it was told, as JSON.

use anyhow::Result;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The body type of everything that answers here.
pub type Body = BoxBody<Bytes, Infallible>;

/// An echo service on a port of its own. It speaks HTTP/1.1 and HTTP/2 (prior knowledge).
///
/// - `/sse…` answers with three server-sent events, 100 ms apart, and ends;
/// - an `Upgrade: websocket` is accepted and echoes bytes;
/// - `content-type: application/grpc` is answered as a gRPC server does, with `grpc-status: 0` in the trailers;
/// - everything else gets the JSON of [`Seen`].
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

/// One request as the service saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Names in lower case and values, in order. A value's bytes are shown as the characters U+0000 to U+00FF, so nothing is
    /// lost.
    pub headers: Vec<(String, String)>,
    /// The length of the body in bytes.
    pub body: usize,
}

impl Seen {
    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    fn json(&self) -> Value {
        json!({ "method": self.method, "path": self.path, "headers": self.headers, "body": self.body })
    }
}

impl Upstream {
    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(seen.clone(), request));
                    // a client that goes away ends its connection, nothing else
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection_with_upgrades(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { address, seen, task })
    }

    /// How many requests reached the service.
    pub fn hits(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Everything that reached the service.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last request that reached the service.
    pub fn last(&self) -> Option<Seen> {
        self.seen().pop()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Bytes as characters U+0000 to U+00FF.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

async fn answer(seen: Arc<Mutex<Vec<Seen>>>, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let upgrade = request.headers().get("upgrade").is_some_and(|v| v == "websocket");
    let pending = upgrade.then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let mut entry = Seen {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: list(&head.headers),
        body: 0,
    };
    if let Some(authority) = head.uri.authority() {
        entry.headers.insert(0, (":authority".into(), authority.to_string()));
    }
    let index = {
        let mut all = seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(entry.clone());
        all.len() - 1
    };
    if let Some(pending) = pending {
        tokio::spawn(async move {
            if let Ok(upgraded) = pending.await {
                let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        });
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", "upgrade".parse().expect("a header"));
        response.headers_mut().insert("upgrade", "websocket".parse().expect("a header"));
        return Ok(response);
    }
    if head.uri.path().starts_with("/sse") {
        let mut response = Response::new(events());
        response.headers_mut().insert("content-type", "text/event-stream".parse().expect("a header"));
        return Ok(response);
    }
    entry.body = body.collect().await.map(|b| b.to_bytes().len()).unwrap_or_default();
    if let Some(slot) = seen.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
        slot.body = entry.body;
    }
    if head.headers.get("content-type").is_some_and(|v| v.as_bytes().starts_with(b"application/grpc")) {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a header"));
        let body =
            Full::new(Bytes::from_static(&[0, 0, 0, 0, 0])).with_trailers(async move { Some(Ok(trailers)) }).boxed();
        let mut response = Response::new(body);
        response.headers_mut().insert("content-type", "application/grpc".parse().expect("a header"));
        return Ok(response);
    }
    let mut response = Response::new(full(entry.json().to_string()));
    response.headers_mut().insert("content-type", "application/json".parse().expect("a header"));
    Ok(response)
}

fn list(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), latin1(value.as_bytes()))).collect()
}

/// Three events, 100 ms apart.
fn events() -> Body {
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(4);
    tokio::spawn(async move {
        for n in 1..=3 {
            if send.send(Ok(Frame::data(Bytes::from(format!("data: {n}\n\n"))))).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    Receiver(receive).boxed()
}

/// A channel as a stream of frames.
struct Receiver(tokio::sync::mpsc::Receiver<Result<Frame<Bytes>, Infallible>>);

impl hyper::body::Body for Receiver {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context)
    }
}
