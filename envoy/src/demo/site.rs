//! The shop's API for programs. It has no code for tokens: it shows what Envoy told it about the caller.

use serde_json::{Map, Value, json};
use std::fmt::Write;

use super::scene::http::{Reply, Request};
use super::scene::page::escape;
use crate::upstream::latin1;

/// Answers programs, and shows browsers the same.
pub(super) fn answer(request: &Request) -> Reply {
    let told: Map<String, Value> = request
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-carded-"))
        .map(|(name, value)| (name.to_string(), json!(latin1(value.as_bytes()))))
        .collect();
    let path = request.path.as_str();
    let data = content(path);
    let status = if data.is_null() { 404 } else { 200 };
    let saw_token = request.headers.contains_key("authorization");
    if request.wants_html() {
        return Reply::html(status, page(path, &data, &told, saw_token)).header(
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        );
    }
    let reply = json!({ "you_asked_for": path, "carded_told_me": told, "i_saw_the_token": saw_token, "data": data });
    Reply::text("application/json", format!("{reply:#}\n")).with_status(status)
}

/// The shop's data.
fn content(path: &str) -> Value {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    match segments.as_slice() {
        [] => json!({ "page": "A small shop. Everybody may see this page; a browser gets it with pictures." }),
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
