//! An `ext_authz` server as one would write it in Rust with the same verifier, compiled natively: it answers Envoy's HTTP check
//! and its gRPC check (`envoy.service.auth.v3.Authorization/Check`), with or without a cache of verdicts. It runs as a process
//! of its own, so that its processor time can be told from that of the load generator.

use anyhow::{Context, Result, anyhow};
use carded_verifier::{
    Algorithm, Documents, Evidence, Issuer, IssuerId, KeySet, KeySource, Limits, Outcome, RustCrypto, Timestamp, Trust,
    UrlPolicy, Verified, verify,
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::check;
use super::tokens::{ALGORITHMS, AUDIENCE, ISSUER, Keys};
use crate::keys::now;
use crate::upstream::{Body, full};

/// A running server; it ends when this value is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) pid: u32,
    _child: Child,
}

impl Server {
    /// Starts this program again as the server.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn start(cached: bool) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(if cached { "--authz-cached" } else { "--authz" })
            .stdin(Stdio::piped()) // it ends with us, however we end
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("an output")?).read_line(&mut line).await?;
        let address = line.trim().parse().context("the ext_authz server says no address")?;
        Ok(Self { address, pid: child.id().context("it runs")?, _child: child })
    }
}

/// The server itself: prints where it listens, and serves until its input ends.
///
/// # Errors
/// When it cannot listen.
pub fn serve(cached: bool) -> Result<()> {
    // one thread, as Envoy has one worker
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let judge = Arc::new(Judge::new(cached)?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let judge = Arc::clone(&judge);
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&judge), request));
                    // Envoy closes connections as it likes
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(())
    })
}

/// What decides: the verifier with the issuer of the benchmarks.
struct Judge {
    trust: Trust,
    known: Documents,
    cache: Option<Mutex<HashMap<Vec<u8>, Arc<Verified>>>>,
}

impl Judge {
    fn new(cached: bool) -> Result<Self> {
        let algorithms: Vec<Algorithm> = ALGORITHMS.iter().filter_map(|name| Algorithm::parse(name)).collect();
        let jwks = Keys::new()?.jwks().to_string();
        let keys = KeySet::parse(jwks.as_bytes(), &algorithms).map_err(|error| anyhow!("the key set: {error:?}"))?;
        let id = IssuerId::parse(ISSUER, UrlPolicy::default()).map_err(|error| anyhow!("the issuer: {error:?}"))?;
        let issuer = Issuer::new("corp", id, vec![AUDIENCE.to_owned()], algorithms, KeySource::Inline(keys));
        let limits = Limits::default();
        let trust =
            Trust::new(vec![issuer], limits.clone(), Arc::new(RustCrypto)).map_err(|error| anyhow!("{error:?}"))?;
        Ok(Self { trust, known: Documents::new(&limits), cache: cached.then(Mutex::default) })
    }

    /// The verdict on an `authorization` header.
    fn verify(&self, authorization: Option<&[u8]>) -> Option<Arc<Verified>> {
        let token = authorization?.strip_prefix(b"Bearer ")?;
        let time = Timestamp::from_unix(now());
        if let Some(cache) = &self.cache {
            let cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            // its keys do not change, so that only its end is looked at
            if let Some(found) = cache.get(token).filter(|verified| verified.expires().is_some_and(|end| time < end)) {
                return Some(Arc::clone(found));
            }
        }
        let Outcome::Verified(verified) = verify(&Evidence::access_token(token), &self.trust, &self.known, time) else {
            return None;
        };
        let verified = Arc::new(verified);
        if let Some(cache) = &self.cache {
            let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            if cache.len() >= 10_000 {
                cache.clear();
            }
            cache.insert(token.to_vec(), Arc::clone(&verified));
        }
        Some(verified)
    }
}

/// The headers for the service behind, as the filter forwards them.
fn forwarded(verified: &Verified) -> [(&'static str, &str); 2] {
    let claim = |name: &str| verified.claims().get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    [("x-carded-subject", claim("sub")), ("x-carded-role", claim("role"))]
}

async fn answer(judge: Arc<Judge>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/envoy.service.auth.v3.Authorization/Check" {
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let message = body.get(5..).unwrap_or_default();
        let verified = judge.verify(check::authorization(message));
        let reply = check::frame(&match &verified {
            Some(verified) => check::allow(&forwarded(verified)),
            None => check::deny(401),
        });
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", hyper::header::HeaderValue::from_static("0"));
        let body = Full::new(Bytes::from(reply)).with_trailers(async move { Some(Ok(trailers)) }).boxed();
        let reply = Response::builder().header("content-type", "application/grpc").body(body);
        return Ok(reply.unwrap_or_else(|_| Response::new(full(""))));
    }
    let authorization = request.headers().get("authorization").map(|value| value.as_bytes());
    let mut reply = Response::builder();
    match judge.verify(authorization) {
        Some(verified) => {
            for (name, value) in forwarded(&verified) {
                reply = reply.header(name, value);
            }
        }
        None => reply = reply.status(401),
    }
    Ok(reply.body(full("")).unwrap_or_else(|_| Response::new(full(""))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tokens::tampered;

    #[test]
    fn a_token_is_judged_with_and_without_a_cache() {
        let token = Keys::new().expect("keys").token("EdDSA", 7).expect("a token");
        for cached in [false, true] {
            let judge = Judge::new(cached).expect("a judge");
            for _ in 0..2 {
                let verified = judge.verify(Some(format!("Bearer {token}").as_bytes())).expect("a good token");
                let expected = [("x-carded-subject", "person-00000007"), ("x-carded-role", "clerk")];
                assert_eq!(forwarded(&verified), expected);
                assert!(judge.verify(Some(format!("Bearer {}", tampered(&token)).as_bytes())).is_none());
                assert!(judge.verify(None).is_none());
                assert!(judge.verify(Some(token.as_bytes())).is_none());
            }
            let kept = judge.cache.as_ref().map(|cache| cache.lock().expect("a cache").len());
            assert_eq!(kept, cached.then_some(1));
        }
    }
}
