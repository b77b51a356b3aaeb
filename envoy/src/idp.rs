//! An identity provider that follows a script: OpenID discovery documents (OpenID Connect Discovery 1.0 §4) and key sets
//! (RFC 7517 §5), and every way in which a provider fails.

use anyhow::Result;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::keys::{Key, base64url, key_set};
use crate::upstream::{Body, full, latin1};

/// How the provider behaves.
#[derive(Clone, Debug, Default)]
pub enum Behaviour {
    /// It answers with its documents.
    #[default]
    Well,
    /// It answers after this time.
    Slow(Duration),
    /// It closes every connection without a word.
    Down,
    /// It answers every request with this status and an HTML page.
    Status(u16),
    /// It answers 200 with these bytes.
    Says(Vec<u8>),
    /// It redirects to this URL.
    Redirect(String),
    /// It sends half of a reply and closes.
    Half,
}

/// What a path is answered with.
#[derive(Clone, Debug, Default)]
struct Document {
    body: Vec<u8>,
    cache_control: Option<String>,
    /// Its entity tag (RFC 9110 §8.8.3), where it has one.
    tag: Option<String>,
    /// The status, where it is not 200.
    status: Option<u16>,
    /// How long it takes.
    delay: Duration,
}

#[derive(Debug, Default)]
struct Script {
    behaviour: Behaviour,
    documents: BTreeMap<String, Document>,
    requests: BTreeMap<String, usize>,
    /// How many of the requests were answered that nothing changed.
    unchanged: usize,
}

/// A running fake provider.
#[derive(Debug)]
pub struct Idp {
    /// Where it listens.
    pub address: SocketAddr,
    script: Arc<Mutex<Script>>,
    held: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Idp {
    /// Starts it on a free port of 127.0.0.1, with TLS when an acceptor is given.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(tls: Option<TlsAcceptor>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let script = Arc::new(Mutex::new(Script::default()));
        let held = watch::Sender::new(false);
        let (shared, gate) = (script.clone(), held.subscribe());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, tls.clone(), shared.clone(), gate.clone()));
            }
        });
        Ok(Self { address, script, held, task })
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes an issuer: its discovery document and these keys at `<path of the issuer>/jwks`.
    pub fn publish(&self, issuer: &str, keys: &[&Key]) {
        self.publish_set(issuer, key_set(keys));
    }

    /// As [`Idp::publish`], with any document as the key set.
    pub fn publish_set(&self, issuer: &str, keys: Value) {
        let base = path_of(issuer);
        let discovery = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks") });
        self.put(&format!("{base}/.well-known/openid-configuration"), discovery, None);
        self.put(&format!("{base}/jwks"), keys, None);
    }

    /// Answers a path with this document and, where given, this `cache-control`.
    pub fn put(&self, path: &str, document: Value, cache_control: Option<&str>) {
        let cache_control = cache_control.map(str::to_owned);
        let document = Document { body: document.to_string().into_bytes(), cache_control, ..Document::default() };
        self.script().documents.insert(path.to_owned(), document);
    }

    /// Answers a path with this text.
    pub fn put_text(&self, path: &str, text: String) {
        self.script().documents.insert(path.to_owned(), Document { body: text.into_bytes(), ..Document::default() });
    }

    /// Answers a path with this status and text, after this time.
    pub fn put_reply(&self, path: &str, status: u16, text: &str, delay: Duration) {
        let document = Document { body: text.as_bytes().to_vec(), status: Some(status), delay, ..Document::default() };
        self.script().documents.insert(path.to_owned(), document);
    }

    /// Answers a path with these bytes and an entity tag, or with 304 to who has them (RFC 9110 §13.1.2).
    pub fn put_tagged(&self, path: &str, body: impl Into<Vec<u8>>) {
        let body = body.into();
        let tag = base64url(&digest(&SHA256, &body).as_ref()[..12]);
        let document = Document { body, tag: Some(format!("\"{tag}\"")), ..Document::default() };
        self.script().documents.insert(path.to_owned(), document);
    }

    /// How many requests were answered with 304.
    pub fn unchanged(&self) -> usize {
        self.script().unchanged
    }

    /// Changes how it behaves from the next request on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.script().behaviour = behaviour;
    }

    /// Holds every reply back, from the next request on, until [`Idp::release`].
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Lets the replies go that were held back; they are what the provider has to say at this time.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// How many requests came for paths that end so; connections that were closed without a word count as `""`.
    pub fn requests(&self, end: &str) -> usize {
        self.script().requests.iter().filter(|(path, _)| path.ends_with(end)).map(|(_, n)| n).sum()
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The path of a URL without its query; empty for the root.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default().trim_end_matches('/')
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    script: Arc<Mutex<Script>>,
    gate: watch::Receiver<bool>,
) {
    let behaviour = script.lock().unwrap_or_else(PoisonError::into_inner).behaviour.clone();
    if matches!(behaviour, Behaviour::Down) {
        *script.lock().unwrap_or_else(PoisonError::into_inner).requests.entry(String::new()).or_default() += 1;
        return;
    }
    match tls {
        None => serve(stream, script, gate).await,
        // a peer that dislikes the certificate ends here; that is what some tests want
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, script, gate).await;
            }
        }
    }
}

async fn serve<S>(mut stream: S, script: Arc<Mutex<Script>>, gate: watch::Receiver<bool>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    if matches!(script.lock().unwrap_or_else(PoisonError::into_inner).behaviour, Behaviour::Half) {
        *script.lock().unwrap_or_else(PoisonError::into_inner).requests.entry(String::new()).or_default() += 1;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"keys\":[").await;
        let _ = stream.flush().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        return;
    }
    let service = service_fn(move |request| answer(script.clone(), gate.clone(), request));
    // keep-alive is off, so that every request sees the behaviour of its time
    let _ = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    script: Arc<Mutex<Script>>,
    mut gate: watch::Receiver<bool>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let known = request.headers().get("if-none-match").map(|tag| latin1(tag.as_bytes()));
    *script.lock().unwrap_or_else(PoisonError::into_inner).requests.entry(path.clone()).or_default() += 1;
    // the sender lives as long as the provider; without it nothing is held
    let _ = gate.wait_for(|held| !held).await;
    let (behaviour, document) = {
        let script = script.lock().unwrap_or_else(PoisonError::into_inner);
        (script.behaviour.clone(), script.documents.get(&path).cloned())
    };
    if let Behaviour::Slow(time) = behaviour {
        tokio::time::sleep(time).await;
    }
    let builder = Response::builder();
    let response = match (behaviour, document) {
        (Behaviour::Status(status), _) => builder.status(status).body(full("<html>Something went wrong</html>")),
        (Behaviour::Says(bytes), _) => builder.header("content-type", "application/json").body(full(bytes)),
        (Behaviour::Redirect(to), _) => builder.status(302).header("location", to).body(full("")),
        (_, Some(document)) if document.tag.is_some() && document.tag == known => {
            script.lock().unwrap_or_else(PoisonError::into_inner).unchanged += 1;
            builder.status(StatusCode::NOT_MODIFIED).header("etag", known.unwrap_or_default()).body(full(""))
        }
        (_, Some(document)) => {
            tokio::time::sleep(document.delay).await;
            let mut builder = builder.status(document.status.unwrap_or(200)).header("content-type", "application/json");
            for (name, value) in [("cache-control", document.cache_control), ("etag", document.tag)] {
                if let Some(value) = value {
                    builder = builder.header(name, value);
                }
            }
            builder.body(full(document.body))
        }
        (_, None) => builder.status(StatusCode::NOT_FOUND).body(full("not here")),
    };
    Ok(response.unwrap_or_else(|_| Response::new(full(""))))
}
