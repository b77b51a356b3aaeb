//! One HTTP stream inside a VM: the request as it was sent, how far it got past the filter, and what became of it.

use std::collections::{HashMap, VecDeque};

use crate::headers::HeaderMap;
use crate::reply::Reply;

/// A request on its way to the filter.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<Vec<u8>>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) open: bool,
    pub(crate) properties: HashMap<Vec<u8>, Vec<u8>>,
}

impl Request {
    /// A request with these headers and nothing added: for what no client library would send.
    pub fn raw(headers: HeaderMap) -> Self {
        Self { headers, ..Self::default() }
    }

    /// A request as Envoy sees one over HTTP/2, for `https://shop.example.com`.
    pub fn new(method: &str, path: &str) -> Self {
        let pairs = [(":method", method), (":scheme", "https"), (":authority", "shop.example.com"), (":path", path)];
        Self::raw(HeaderMap::from_pairs(pairs))
    }

    /// `GET path`.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// One more header; the value may hold any byte.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// `authorization: Bearer …`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// A body that arrives in these pieces, after the headers.
    pub fn body(mut self, pieces: &[&[u8]]) -> Self {
        self.body = pieces.iter().map(|piece| piece.to_vec()).collect();
        self
    }

    /// Trailers after the body.
    pub fn trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }

    /// The body does not end with what is given here; more comes by `Host::send_body`, or never.
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// A property that Envoy has of this stream, by its path, as in `source.address`.
    pub fn property(mut self, path: &[&str], value: impl Into<Vec<u8>>) -> Self {
        self.properties.insert(path.join("\0").into_bytes(), value.into());
        self
    }
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It went on to the service behind.
    Passed(Passed),
    /// The filter answered it.
    Replied(Reply),
    /// It is paused; nobody has answered.
    Waiting,
    /// Envoy answered it with an error of its own, because the VM failed or the filter produced an illegal request.
    Crashed {
        /// The status that the client gets.
        status: u16,
        /// What went wrong.
        why: String,
    },
    /// The client went away first.
    Left,
    /// The filter reset the stream.
    Reset,
}

/// A request as the service behind sees it.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body so far.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
    /// Whether the service saw its end.
    pub ended: bool,
    /// The service's reply after the filter had it.
    pub response: Option<Reply>,
}

impl Outcome {
    /// The request as the service saw it.
    ///
    /// # Panics
    /// Where it did not pass, with what happened instead.
    #[track_caller]
    pub fn passed(&self) -> &Passed {
        match self {
            Self::Passed(passed) => passed,
            other => panic!("expected the request to pass, but: {other:?}"),
        }
    }

    /// The filter's reply.
    ///
    /// # Panics
    /// Where there is none, with what happened instead.
    #[track_caller]
    pub fn replied(&self) -> &Reply {
        match self {
            Self::Replied(reply) => reply,
            other => panic!("expected a reply of the filter, but: {other:?}"),
        }
    }

    /// Whether the request is paused.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting)
    }

    /// Asserts a refusal with this status and stable code, and returns the reply.
    ///
    /// # Panics
    /// Where the request was not refused so.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> &Reply {
        let reply = self.replied();
        let got = (reply.status, reply.code());
        assert_eq!(got, (status, code.to_owned()), "reply: {reply:?}");
        reply
    }
}

/// How far the request is past the filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Iteration {
    /// The filter is called for whatever comes.
    Running,
    /// Headers are held back, body and trailers still come to the filter (`StopIteration`).
    HeadersHeld,
    /// Nothing comes to the filter until it continues (`StopAllIterationAndWatermark`).
    AllHeld,
}

/// What has not been shown to the filter yet.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) pieces: VecDeque<Vec<u8>>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) open: bool,
}

/// One HTTP stream of a VM.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) number: u64,
    pub(crate) request: HeaderMap,
    pub(crate) method_is_head: bool,
    pub(crate) is_grpc: bool,
    /// Whether host calls reach the request headers now: not after they were let go.
    pub(crate) request_open: bool,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) incoming: Incoming,
    pub(crate) buffered: Vec<u8>,
    pub(crate) iteration: Iteration,
    pub(crate) passed: Option<Passed>,
    pub(crate) response: Option<HeaderMap>,
    pub(crate) response_body: Vec<u8>,
    pub(crate) response_held: Option<ResponseFrom>,
    pub(crate) reply_sent: bool,
    pub(crate) logging: bool,
    pub(crate) properties: HashMap<Vec<u8>, Vec<u8>>,
    pub(crate) filter_state: HashMap<String, Vec<u8>>,
}

/// Who made the response that the filter holds back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ResponseFrom {
    Service,
    Filter,
}

impl Stream {
    pub(crate) fn new(number: u64, request: Request) -> Self {
        let mut properties = crate::process::request_properties(&request.headers);
        properties.extend(request.properties);
        let content_type = request.headers.text("content-type").unwrap_or_default();
        Self {
            number,
            method_is_head: request.headers.get(":method") == Some(b"HEAD"),
            is_grpc: content_type == "application/grpc" || content_type.starts_with("application/grpc+"),
            request: request.headers,
            request_open: true,
            trailers: None,
            incoming: Incoming { pieces: request.body.into(), trailers: request.trailers, open: request.open },
            buffered: Vec::new(),
            iteration: Iteration::Running,
            passed: None,
            response: None,
            response_body: Vec::new(),
            response_held: None,
            reply_sent: false,
            logging: false,
            properties,
            filter_state: HashMap::new(),
        }
    }

    /// Whether the headers already end the request.
    pub(crate) fn ends_with_headers(&self) -> bool {
        self.incoming.pieces.is_empty() && self.incoming.trailers.is_none() && !self.incoming.open
    }

    /// What became of it while it is still in the VM.
    pub(crate) fn outcome(&self) -> Outcome {
        self.passed.clone().map_or(Outcome::Waiting, Outcome::Passed)
    }
}
