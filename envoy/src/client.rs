//! Clients for the tests: an HTTP/1.1 client that sends any bytes it is told to (RFC 9112 is for the other side to hold), a
//! client for HTTP/2 and gRPC, and HTTP/2 frames by hand (RFC 9113 §4.1) for requests that no library would make.

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// How long a client waits for a whole reply.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An HTTP/1.1 request as bytes to be. Nothing is checked and nothing is added but what the setters say.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    host: bool,
}

impl Request {
    /// A GET. `Host: shop.example.com` is sent unless another one is set or [`Request::without_host`] is called.
    pub fn get(target: impl AsRef<[u8]>) -> Self {
        Self::new("GET", target)
    }

    /// A request with any method.
    pub fn new(method: &str, target: impl AsRef<[u8]>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.as_ref().to_vec(),
            headers: Vec::new(),
            body: Vec::new(),
            host: true,
        }
    }

    /// Adds a header line; the same name may come again.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds `Authorization: Bearer <token>`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sends a body with its length.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.header("content-length", length)
    }

    /// Sends no `Host`.
    #[must_use]
    pub fn without_host(mut self) -> Self {
        self.host = false;
        self
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        if self.host && !self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(b"host")) {
            out.extend_from_slice(b"host: shop.example.com\r\n");
        }
        for (name, value) in &self.headers {
            out.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }

    /// Sends it on a connection of its own and reads the reply.
    ///
    /// # Errors
    /// When there is no whole reply within [`PATIENCE`].
    pub async fn send(&self, to: SocketAddr) -> Result<Reply> {
        let mut connection = Connection::open(to).await?;
        connection.exchange(&self.bytes()).await
    }
}

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Names in lower case, values as received.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first value of a header, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned())
    }

    /// Every value of a header.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let all = self.headers.iter().filter(|(n, _)| n == name);
        all.map(|(_, v)| String::from_utf8_lossy(v).into_owned()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The stable `code` of an RFC 9457 problem, or an empty text.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A connection that stays open, for requests one after the other.
#[derive(Debug)]
pub struct Connection<S = TcpStream>(BufReader<S>);

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Connects from this address of the machine (on Linux all of 127.0.0.0/8 are).
    ///
    /// # Errors
    /// When it is none, or nobody listens.
    pub async fn open_from(from: Ipv4Addr, to: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        Ok(Self::over(socket.connect(to).await?))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes a stream that is already open (TLS).
    pub fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await?;
        Ok(())
    }

    /// Writes a request and reads its reply.
    ///
    /// # Errors
    /// When there is no whole reply within [`PATIENCE`].
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Reply> {
        // a peer may answer and close before it has read everything; the reply counts, not the broken write
        let written = self.write(request).await;
        let head = request.starts_with(b"HEAD ");
        match tokio::time::timeout(PATIENCE, self.read_reply(head)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => written.and(Err(error)),
            Err(_) => bail!("no reply after {PATIENCE:?}"),
        }
    }

    /// Reads the head of a reply: the status and the headers, up to the empty line.
    ///
    /// # Errors
    /// When the connection ends or what comes is not HTTP/1.1.
    pub async fn read_head(&mut self) -> Result<Reply> {
        let line = self.line().await?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let status =
            text.split(' ').nth(1).and_then(|s| s.parse().ok()).with_context(|| format!("no status line: {text:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(Reply { status, headers, body: Vec::new() });
            }
            let colon = line.iter().position(|b| *b == b':').context("a header without a colon")?;
            let (name, value) = line.split_at(colon);
            let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
            headers.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
        }
    }

    /// Reads what has arrived, at least a byte, at most 64 KiB; empty when the peer has closed.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn read_some(&mut self) -> Result<Vec<u8>> {
        let mut some = vec![0; 65536];
        let n = tokio::time::timeout(PATIENCE, self.0.read(&mut some)).await.context("nothing came")??;
        some.truncate(n);
        Ok(some)
    }

    async fn read_reply(&mut self, head: bool) -> Result<Reply> {
        let mut reply = self.read_head().await?;
        while reply.status == 100 {
            reply = self.read_head().await?;
        }
        if head || reply.status == 204 || reply.status == 304 || reply.status == 101 {
            return Ok(reply);
        }
        if reply.header("transfer-encoding").is_some_and(|v| v == "chunked") {
            loop {
                let size = usize::from_str_radix(String::from_utf8_lossy(&self.line().await?).trim(), 16)?;
                let mut chunk = vec![0; size];
                self.0.read_exact(&mut chunk).await?;
                reply.body.extend_from_slice(&chunk);
                ensure!(self.line().await?.is_empty(), "a chunk without its end");
                if size == 0 {
                    return Ok(reply);
                }
            }
        }
        if let Some(length) = reply.header("content-length") {
            reply.body = vec![0; length.parse()?];
            self.0.read_exact(&mut reply.body).await?;
        } else {
            self.0.read_to_end(&mut reply.body).await?;
        }
        Ok(reply)
    }

    async fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            let byte = self.0.read_u8().await.context("the connection ended")?;
            match byte {
                b'\n' => {
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                    return Ok(line);
                }
                other => line.push(other),
            }
        }
    }
}

/// What an HTTP/2 exchange gave.
#[derive(Clone, Debug)]
pub struct Http2Reply {
    /// The status and headers as a [`Reply`].
    pub reply: Reply,
    /// The trailers.
    pub trailers: Vec<(String, Vec<u8>)>,
}

impl Http2Reply {
    /// A gRPC status, from the trailers or from a reply that is trailers alone.
    pub fn grpc_status(&self) -> Option<String> {
        let all = self.trailers.iter().chain(&self.reply.headers);
        all.into_iter().find(|(n, _)| n == "grpc-status").map(|(_, v)| String::from_utf8_lossy(v).into_owned())
    }
}

/// Sends one request by HTTP/2 with prior knowledge (no TLS).
///
/// # Errors
/// When the exchange breaks.
pub async fn http2(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Http2Reply> {
    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = hyper::Request::builder().method(method).uri(format!("http://shop.example.com{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let exchange = async {
        let response = sender.send_request(request.body(Full::new(Bytes::copy_from_slice(body)))?).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let list = |map: &hyper::HeaderMap| {
            map.iter().map(|(n, v)| (n.to_string(), v.as_bytes().to_vec())).collect::<Vec<_>>()
        };
        let trailers = body.trailers().map(list).unwrap_or_default();
        let reply =
            Reply { status: head.status.as_u16(), headers: list(&head.headers), body: body.to_bytes().to_vec() };
        Ok(Http2Reply { reply, trailers })
    };
    let result = tokio::time::timeout(PATIENCE, exchange).await.context("no reply by HTTP/2")?;
    driver.abort();
    result
}

/// Sends one request of exactly these header fields by HTTP/2, whatever they are, and returns every byte that came back until
/// the peer closed or `quiet` has passed without a byte. The fields are literals without indexing (RFC 7541 §6.2.2).
///
/// # Errors
/// When the connection breaks before anything came.
pub async fn http2_raw(to: SocketAddr, fields: &[(&[u8], &[u8])], quiet: Duration) -> Result<Vec<u8>> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        hpack_text(&mut block, name);
        hpack_text(&mut block, value);
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&frame(0x4, 0, 0, &[])); // SETTINGS, empty
    bytes.extend_from_slice(&frame(0x1, 0x5, 1, &block)); // HEADERS with END_HEADERS and END_STREAM
    let mut connection = Connection::open(to).await?;
    connection.write(&bytes).await?;
    let mut got = Vec::new();
    while let Ok(some) = tokio::time::timeout(quiet, connection.read_some()).await {
        match some {
            Ok(some) if !some.is_empty() => got.extend_from_slice(&some),
            _ => break,
        }
    }
    Ok(got)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A string without Huffman coding (RFC 7541 §5.2), its length with a prefix of seven bits (§5.1).
fn hpack_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    if length < 127 {
        out.push(length as u8);
    } else {
        out.push(127);
        length -= 127;
        while length >= 128 {
            out.push((length % 128) as u8 | 128);
            length /= 128;
        }
        out.push(length as u8);
    }
    out.extend_from_slice(text);
}
