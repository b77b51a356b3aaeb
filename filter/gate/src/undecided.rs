//! The replies to requests that could not be decided on: a document or the body did not come, or there is no room to wait.

use std::time::Duration;

use super::Gate;
use super::endpoint::{self, Endpoint};
use super::path::Path;
use super::reply::{Refusal, Reply};
use super::request::Request;

impl Gate {
    /// The reply to a request that waited for a document in vain.
    #[must_use]
    pub fn waited_in_vain(&self, request: &Request) -> Reply {
        let why = Refusal::keys_unavailable("a document that this decision needs did not come in time: try again");
        Self::refuse(request, &why.retry_after(Duration::from_secs(1)))
    }

    /// The reply to a request that cannot even wait.
    #[must_use]
    pub fn too_many_waiting(&self, request: &Request) -> Reply {
        let why = Refusal::too_many_waiting("too many requests wait for documents: try again");
        Self::refuse(request, &why.retry_after(Duration::from_secs(1)))
    }

    /// The reply to a request whose body did not come: it was not sent, or the proxy does not hand it over.
    #[must_use]
    pub fn body_missing(&self, request: &Request) -> Reply {
        Self::refuse(
            request,
            &Refusal::body_missing(
                "the body did not come: send it, and give the plugin `allow_on_headers_stop_iteration: true`",
            ),
        )
    }

    /// The reply to a request whose body is larger than it may be.
    #[must_use]
    pub fn body_too_large(&self, request: &Request, limit: usize) -> Reply {
        Self::refuse(request, &Refusal::body_too_large(format!("at most {limit} bytes here")))
    }

    fn refuse(request: &Request, why: &Refusal) -> Reply {
        let mut reply = why.reply(request.is_grpc());
        let path = request.single(":path").ok().flatten().and_then(|path| Path::parse(path).ok());
        let segments: Vec<&str> = path.iter().flat_map(Path::segments).collect();
        endpoint::open_to_others(Endpoint::of(&segments), &mut reply);
        reply
    }
}
