//! The small site behind Carded. It has no code for tokens: it shows what Envoy told it about the caller.

use anyhow::Result;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::upstream::{Body, full, latin1};

/// The site on a port of its own; it stops when it is dropped.
#[derive(Debug)]
pub(super) struct Site {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Site {
    /// Starts it on a free port of 127.0.0.1.
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(served);
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let told: Map<String, Value> = request
        .headers()
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-carded-"))
        .map(|(name, value)| (name.to_string(), json!(latin1(value.as_bytes()))))
        .collect();
    let path = request.uri().path();
    let data = content(path);
    let status = if data.is_null() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    let browser = request.headers().get("accept").is_some_and(|v| latin1(v.as_bytes()).contains("text/html"));
    let saw_token = request.headers().contains_key("authorization");
    let (kind, body) = if browser {
        ("text/html; charset=utf-8", page(path, &data, &told, saw_token))
    } else {
        let reply =
            json!({ "you_asked_for": path, "carded_told_me": told, "i_saw_the_token": saw_token, "data": data });
        ("application/json", format!("{reply:#}\n"))
    };
    let response = Response::builder().status(status).header("content-type", kind).header("cache-control", "no-store");
    Ok(response.body(full(body)).unwrap_or_else(|_| Response::new(full(""))))
}

/// The shop's data.
fn content(path: &str) -> Value {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    match segments.as_slice() {
        [] => json!({ "page": "A small shop. Everybody may see this page." }),
        ["health"] => json!({ "status": "ok" }),
        ["whoami"] => json!({ "page": "A token is optional here; a bad one is refused all the same." }),
        ["api", "orders"] => {
            json!([{ "order": 1001, "item": "a red bicycle" }, { "order": 1002, "item": "two lamps" }])
        }
        ["api", "users", user, "profile"] => {
            json!({ "user": user, "address": format!("{user}'s address: 1 Some Street") })
        }
        _ => Value::Null,
    }
}

fn page(path: &str, data: &Value, told: &Map<String, Value>, saw_token: bool) -> String {
    let mut rows = String::new();
    for (name, value) in told {
        let _ = write!(rows, "<tr><th>{}<td>{}", escape(name), escape(value.as_str().unwrap_or_default()));
    }
    if told.is_empty() {
        rows.push_str("<tr><td colspan=2>nothing: you are a stranger to me");
    }
    let token = if saw_token { "A token reached me." } else { "No token reached me: Carded keeps them." };
    format!(
        r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>A site behind Carded</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; color: #1c2430; background: #fafbfc }}
  h1 {{ font-size: 1.5rem }} code, pre, td {{ font-family: ui-monospace, monospace; font-size: .9rem }}
  section {{ background: #fff; border: 1px solid #dfe4ea; border-radius: 10px; padding: 1rem 1.25rem; margin: 1rem 0 }}
  table {{ border-collapse: collapse }} th {{ text-align: left; font-weight: 600; padding-right: 1.5rem }}
  pre {{ white-space: pre-wrap; margin: 0 }} nav a {{ margin-right: 1rem }} small {{ color: #5a6675 }}
</style>
<h1>A site behind Carded</h1>
<nav><a href="/">/</a><a href="/whoami">/whoami</a><a href="/api/orders">/api/orders</a><a href="/api/users/alice/profile">/api/users/alice/profile</a></nav>
<section><b>What I was told about you</b><table>{rows}</table><small>{token}</small></section>
<section><b>{path}</b><pre>{data}</pre></section>
<small>A browser sends no token by itself: the pages under /api answer it with 401. Use the curl lines of the demo.</small>
"#,
        path = escape(path),
        data = escape(&format!("{data:#}")),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
