//! Scripted upstreams for the HTTP calls of a filter: what a cluster answers, when, or how it fails. The failures are
//! Envoy's own: a timeout is its 504, a refused connection its 503, a reset in mid-reply comes back without headers.

use std::time::Duration;

use crate::headers::HeaderMap;

/// One HTTP call that the filter made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Nanoseconds of the fake clock when it was made.
    pub at: u64,
    /// Which VM made it: 0 is the main thread's, the workers follow.
    pub vm: usize,
    /// The cluster it went to.
    pub cluster: String,
    /// Request headers, pseudo headers among them.
    pub headers: HeaderMap,
    /// Request body.
    pub body: Vec<u8>,
    /// How long the filter waits at most; `None` waits for ever.
    pub timeout: Option<Duration>,
}

impl Call {
    /// `:path` as text.
    pub fn path(&self) -> String {
        self.headers.text(":path").unwrap_or_default()
    }

    /// `:authority` as text.
    pub fn authority(&self) -> String {
        self.headers.text(":authority").unwrap_or_default()
    }
}

/// What an upstream does with a call.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) after: Duration,
    pub(crate) how: How,
}

#[derive(Clone, Debug)]
pub(crate) enum How {
    Reply(HeaderMap, Vec<u8>),
    Reset,
    Never,
}

impl Answer {
    /// A reply with this status and body.
    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = HeaderMap::from_pairs([(":status", status.to_string())]);
        Self { after: Duration::ZERO, how: How::Reply(headers, body.into()) }
    }

    /// A 200 with a JSON body.
    pub fn json(body: &serde_json::Value) -> Self {
        Self::status(200, body.to_string()).header("content-type", "application/json")
    }

    /// A redirect to this place.
    pub fn redirect(location: &str) -> Self {
        Self::status(302, "").header("location", location)
    }

    /// The connection is refused: Envoy answers the call with its own 503.
    pub fn refused() -> Self {
        Self::status(503, "upstream connect error or disconnect/reset before headers. reset reason: connection failure")
            .header("content-type", "text/plain")
    }

    /// The connection breaks in mid-reply: the callback comes with no headers and no body.
    pub fn reset() -> Self {
        Self { after: Duration::ZERO, how: How::Reset }
    }

    /// Nothing ever comes.
    pub fn never() -> Self {
        Self { after: Duration::ZERO, how: How::Never }
    }

    /// The same, but this much later.
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// The same with one more header.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        if let How::Reply(headers, _) = &mut self.how {
            headers.add(name, value);
        }
        self
    }

    /// The same with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        if let How::Reply(headers, _) = &mut self.how {
            headers.set(":status", status.to_string());
        }
        self
    }

    /// What reaches the filter and when, once the call's timeout is taken into account. Envoy cancels the upstream request
    /// at the timeout, so that a late reply never arrives.
    pub(crate) fn arrival(self, timeout: Option<Duration>) -> Option<(Duration, CallReply)> {
        let expired = || {
            let timeout = timeout?;
            let headers = HeaderMap::from_pairs([(":status", "504"), ("content-type", "text/plain")]);
            let body = b"upstream request timeout".to_vec();
            Some((timeout, CallReply { headers, body }))
        };
        if timeout.is_some_and(|limit| self.after >= limit) {
            return expired();
        }
        match self.how {
            How::Never => expired(),
            How::Reset => Some((self.after, CallReply::default())),
            How::Reply(headers, body) => Some((self.after, CallReply { headers, body })),
        }
    }
}

/// The reply to a call as the filter sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallReply {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_reply_is_envoys_504_at_the_timeout() {
        let (when, reply) = Answer::status(200, "late")
            .after(Duration::from_secs(5))
            .arrival(Some(Duration::from_secs(2)))
            .expect("answered");
        assert_eq!((when, reply.headers.text(":status").as_deref()), (Duration::from_secs(2), Some("504")));
        assert!(Answer::never().arrival(None).is_none());
    }
}
