//! `wrk` (<https://github.com/wg/wrk>) as the load generator, where it is there: what sends the same request again and again is
//! measured by a tool that is not ours.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;
use tokio::process::Command;

use super::load::{self, Measured, Requests};
use crate::run::scratch;

/// The shortest that `wrk` measures: it counts in whole seconds.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);
/// What a line with figures begins with, among what `wrk` itself prints.
const FIGURES: &str = "carded ";

/// What it calls itself; none where it is not there.
pub(super) async fn version() -> Option<String> {
    let Output { stdout, .. } = Command::new("wrk").arg("-v").output().await.ok()?;
    name(&String::from_utf8_lossy(&stdout))
}

/// Name and version of what `wrk -v` prints.
fn name(printed: &str) -> Option<String> {
    let mut words = printed.split_whitespace();
    let found = (words.next()?, words.next()?);
    (found.0 == "wrk").then(|| format!("{} {}", found.0, found.1))
}

/// Has `wrk` send this request over so many connections for `time`, in one thread.
///
/// # Errors
/// When it cannot, or a reply has not the expected status: `wrk` counts those above 399 and looks at no other, so that one request is
/// sent ahead.
pub(super) async fn run(
    to: SocketAddr,
    request: &[u8],
    connections: usize,
    time: Duration,
    status: u16,
) -> Result<Measured> {
    load::run(to, &Requests::once(vec![request.to_vec()]), 1, SHORTEST, status).await?;
    let directory = scratch()?;
    // a file, since each of its threads reads it
    let file = directory.join("request.lua");
    std::fs::write(&file, script(request)?)?;
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--timeout", "10s", "--script"]).arg(file);
    command.arg("--connections").arg(connections.to_string());
    command.arg("--duration").arg(format!("{}s", time.as_secs().max(1)));
    let output = command.arg(format!("http://{to}/")).output().await.context("cannot start wrk")?;
    std::fs::remove_dir_all(directory)?;
    let printed = String::from_utf8_lossy(&output.stdout);
    measured(&printed).with_context(|| format!("wrk: {printed}{}", String::from_utf8_lossy(&output.stderr)))
}

/// A script that has these very bytes sent, and tells what was measured.
fn script(request: &[u8]) -> Result<String> {
    let mut script = String::from("local request = \"");
    for byte in request {
        write!(script, "\\{byte:03}")?;
    }
    // what it formats is made once and sent each time, where a function `request` would be called for each
    script.push_str("\"\nwrk.format = function() return request end\nfunction done(summary, latency)\n  local errors = summary.errors\n");
    write!(
        script,
        "  io.write(string.format('{FIGURES}{{\"requests\":%d,\"us\":%d,\"p50\":%f,\"p99\":%f,\"failed\":%d}}\\n', summary.requests, "
    )?;
    script.push_str("summary.duration, latency:percentile(50), latency:percentile(99), ");
    script.push_str("errors.connect + errors.read + errors.write + errors.status + errors.timeout))\nend\n");
    Ok(script)
}

/// What the script tells.
fn measured(printed: &str) -> Result<Measured> {
    let line = printed.lines().find_map(|line| line.strip_prefix(FIGURES)).context("no figures")?;
    let figures: Value = serde_json::from_str(line)?;
    let number = |name: &str| figures[name].as_f64().with_context(|| format!("no {name}"));
    let failed = number("failed")?;
    if failed > 0.0 {
        bail!("{failed} requests failed");
    }
    let requests = figures["requests"].as_u64().context("no requests")?;
    ensure!(requests > 0, "not one request was answered");
    let time = Duration::from_secs_f64(number("us")? / 1e6);
    Ok(Measured { time, requests, p50: number("p50")?, p99: number("p99")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn what_it_calls_itself() {
        let printed = "wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer\nUsage: wrk";
        assert_eq!(name(printed).as_deref(), Some("wrk debian/4.1.0-3+b2"));
        assert_eq!(name("something else"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn the_bytes_of_a_request_and_nothing_else_are_sent() {
        let script = script(b"G\"\\\r\n\xff").expect("a script");
        assert!(script.starts_with("local request = \"\\071\\034\\092\\013\\010\\255\"\n"), "{script}");
    }

    #[test]
    fn figures_are_read_and_failures_are_none() {
        let of = |failed: u32, requests: u32| {
            let line =
                format!("{{\"requests\":{requests},\"us\":1000000,\"p50\":12.5,\"p99\":20.0,\"failed\":{failed}}}");
            measured(&format!("Running 1s test\n{FIGURES}{line}\n"))
        };
        let held = of(0, 300).expect("measured");
        assert_eq!((held.requests, held.p50, held.p99), (300, 12.5, 20.0));
        assert_eq!(held.rate(), 300.0);
        assert!(of(1, 300).expect_err("failed").to_string().contains("1 requests failed"));
        assert!(of(0, 0).is_err());
        assert!(measured("Running 1s test\n").is_err());
    }

    #[tokio::test]
    async fn it_is_run_where_it_is_there() {
        if version().await.is_none() {
            assert!(!std::env::var("CI").is_ok_and(|v| v == "true"), "wrk is not there: apt-get install wrk");
            eprintln!("skipped: wrk is not there: apt-get install wrk");
            return;
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (send, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let send = send.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        let _ = send.send(buffer.get(..read).unwrap_or_default().to_vec());
                        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        if stream.write_all(reply).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let request = b"GET /a HTTP/1.1\r\nhost: b\r\n\r\n";
        let measured = run(address, request, 1, SHORTEST, 200).await.expect("measured");
        assert!(measured.requests > 10 && measured.p50 > 0.0 && measured.p99 >= measured.p50, "{measured:?}");
        server.abort();
        while let Ok(bytes) = seen.try_recv() {
            assert_eq!(bytes, request);
        }
    }
}
