//! The load generator: connections that each send their next request when the reply to the one before is here (a closed loop,
//! as `wrk` has it), HTTP/1.1 without pipelining, in one thread. Unlike `wrk` it can send other requests each time.

use anyhow::{Context, Result, bail, ensure};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::histogram::Histogram;

/// The bytes of the requests to send.
#[derive(Clone)]
pub(super) enum Requests {
    /// The same again and again.
    Same(Arc<Vec<u8>>),
    /// These in their order, from the start again after the last.
    Rotation(Arc<Vec<Vec<u8>>>, Arc<AtomicUsize>),
    /// Each once; the measurement ends with the last.
    Once(Arc<Mutex<std::vec::IntoIter<Vec<u8>>>>),
    /// Ever new ones, made by another thread.
    Made(Arc<Mutex<std::sync::mpsc::Receiver<Vec<Vec<u8>>>>>, Arc<Mutex<std::vec::IntoIter<Vec<u8>>>>),
}

impl Requests {
    pub(super) fn same(bytes: Vec<u8>) -> Self {
        Self::Same(Arc::new(bytes))
    }

    pub(super) fn rotation(all: Vec<Vec<u8>>) -> Self {
        Self::Rotation(Arc::new(all), Arc::new(AtomicUsize::new(0)))
    }

    pub(super) fn once(all: Vec<Vec<u8>>) -> Self {
        Self::Once(Arc::new(Mutex::new(all.into_iter())))
    }

    /// Requests as they come out of a channel, in batches.
    pub(super) fn made(batches: std::sync::mpsc::Receiver<Vec<Vec<u8>>>) -> Self {
        Self::Made(Arc::new(Mutex::new(batches)), Arc::new(Mutex::new(Vec::new().into_iter())))
    }

    /// Writes the next request to `out`; false where there is none left.
    fn next(&self, out: &mut Vec<u8>) -> bool {
        let found = match self {
            Self::Same(_) => return true, // it is in `out` already
            Self::Rotation(all, place) => {
                let next = all.get(place.fetch_add(1, Ordering::Relaxed) % all.len().max(1));
                out.clear();
                out.extend_from_slice(next.map_or(&[], Vec::as_slice));
                return !out.is_empty();
            }
            Self::Once(all) => all.lock().unwrap_or_else(PoisonError::into_inner).next(),
            Self::Made(batches, batch) => {
                let mut batch = batch.lock().unwrap_or_else(PoisonError::into_inner);
                batch.next().or_else(|| {
                    let batches = batches.lock().unwrap_or_else(PoisonError::into_inner);
                    *batch = batches.recv().unwrap_or_default().into_iter();
                    batch.next()
                })
            }
        };
        found.map(|bytes| *out = bytes).is_some()
    }

    fn first(&self) -> Vec<u8> {
        if let Self::Same(bytes) = self { bytes.to_vec() } else { Vec::new() }
    }
}

/// What a load measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// The time of the whole.
    pub(super) time: Duration,
    /// How many were answered.
    pub(super) requests: u64,
    /// Latency in microseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Measured {
    /// Replies a second.
    pub(super) fn rate(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }
}

/// Sends `requests` over `connections` connections for `time`, or until there are none left.
///
/// # Errors
/// When a connection cannot be had or breaks, or a reply has not the expected status: a measurement of something else than was
/// meant is none.
pub(super) async fn run(
    to: SocketAddr,
    requests: &Requests,
    connections: usize,
    time: Duration,
    status: u16,
) -> Result<Measured> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
        stream.set_nodelay(true)?;
        open.push(stream);
    }
    let start = Instant::now();
    let tasks: Vec<_> = open
        .into_iter()
        .map(|stream| tokio::spawn(connection(stream, requests.clone(), start + time, status)))
        .collect();
    let mut latency = Histogram::new();
    for task in tasks {
        latency.add(&task.await??);
    }
    let time = start.elapsed();
    let requests = latency.total();
    ensure!(requests > 0, "not one request was answered");
    Ok(Measured { time, requests, p50: latency.percentile_us(0.5), p99: latency.percentile_us(0.99) })
}

async fn connection(mut stream: TcpStream, requests: Requests, end: Instant, status: u16) -> Result<Histogram> {
    let mut latency = Histogram::new();
    let (mut request, mut reply) = (requests.first(), Vec::with_capacity(16 * 1024));
    let mut now = Instant::now();
    while now < end && requests.next(&mut request) {
        let sent = Instant::now();
        stream.write_all(&request).await?;
        let found = read_reply(&mut stream, &mut reply).await?;
        if found != status {
            bail!("{found} instead of {status}: {}", String::from_utf8_lossy(&reply));
        }
        now = Instant::now();
        latency.record(now - sent);
    }
    Ok(latency)
}

/// Reads one whole reply with a `content-length` into `reply`, and returns its status.
async fn read_reply(stream: &mut TcpStream, reply: &mut Vec<u8>) -> Result<u16> {
    reply.clear();
    loop {
        let read = stream.read_buf(reply).await?;
        ensure!(read > 0, "the connection was closed");
        if let Some(head) = Head::parse(reply) {
            if head.length > reply.capacity() {
                reply.reserve(head.length - reply.len());
            }
            while reply.len() < head.length {
                ensure!(stream.read_buf(reply).await? > 0, "the connection was closed");
            }
            return Ok(head.status);
        }
        reply.reserve(1024);
    }
}

/// What must be known of a reply.
#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    /// Of head and body.
    length: usize,
}

impl Head {
    /// None while the head is not whole.
    fn parse(bytes: &[u8]) -> Option<Self> {
        const NAME: &[u8] = b"content-length:";
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
        let status = bytes.get(9..12)?.iter().try_fold(0_u16, |number, digit| {
            Some(number * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?))
        })?;
        let mut body = 0;
        for line in bytes.get(..end)?.split(|byte| *byte == b'\n') {
            if line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
                let digits = line.get(NAME.len()..)?.iter().filter(|byte| byte.is_ascii_digit());
                body = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
            }
        }
        Some(Self { status, length: end + body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn heads_of_replies() {
        let cases: [(&str, Option<Head>); 4] = [
            ("HTTP/1.1 200 OK\r\nserver: envoy\r\n", None),
            ("HTTP/1.1 200 OK\r\nserver: envoy\r\n\r\n", Some(Head { status: 200, length: 34 })),
            ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 12\r\n\r\n", Some(Head { status: 401, length: 61 })),
            ("HTTP/1.1 abc\r\n\r\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Head::parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_sent_next() {
        let mut out = Vec::new();
        let rotation = Requests::rotation(vec![b"a".to_vec(), b"b".to_vec()]);
        for expected in [b"a", b"b", b"a", b"b", b"a"] {
            assert!(rotation.next(&mut out));
            assert_eq!(out, expected);
        }
        let once = Requests::once(vec![b"a".to_vec(), b"b".to_vec()]);
        assert_eq!((0..5).filter(|_| once.next(&mut out)).count(), 2);
        let (send, receive) = std::sync::mpsc::channel();
        send.send(vec![b"a".to_vec()]).expect("sent");
        send.send(vec![b"b".to_vec()]).expect("sent");
        drop(send);
        let made = Requests::made(receive);
        assert_eq!((0..5).filter(|_| made.next(&mut out)).count(), 2);
    }

    /// A server that answers the first three requests with 200, and others with 401; each reply comes in two parts.
    async fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut buffer = [0; 1024];
            for number in 0.. {
                if stream.read(&mut buffer).await.expect("a request") == 0 {
                    return;
                }
                let status = if number < 3 { "200 OK" } else { "401 Unauthorized" };
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n");
                stream.write_all(head.as_bytes()).await.expect("written");
                tokio::time::sleep(Duration::from_millis(5)).await;
                stream.write_all(b"ok").await.expect("written");
            }
        });
        address
    }

    #[tokio::test]
    async fn counts_replies_and_their_times() {
        let requests = Requests::once(vec![b"GET / HTTP/1.1\r\n\r\n".to_vec(); 3]);
        let measured = run(server().await, &requests, 1, Duration::from_secs(5), 200).await.expect("measured");
        assert_eq!(measured.requests, 3);
        assert!(measured.p50 >= 5000.0);
        assert!(measured.rate() < 200.0);
    }

    #[tokio::test]
    async fn a_wrong_status_is_no_measurement() {
        let requests = Requests::once(vec![b"GET / HTTP/1.1\r\n\r\n".to_vec(); 4]);
        let error = run(server().await, &requests, 1, Duration::from_secs(5), 200).await.expect_err("refused");
        assert!(error.to_string().contains("401 instead of 200"), "{error}");
    }
}
