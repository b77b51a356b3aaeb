//! Starts a real Envoy on a configuration, waits until it is ready, and reads what it tells: ports, statistics, log, access log.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

use crate::client::Request;
use crate::config::Bootstrap;
use crate::{fetch, target};

/// How long an Envoy may take to become ready; a debug build of nothing and a busy machine are allowed for.
const START: Duration = Duration::from_secs(180);

/// How to start an Envoy.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version, one of [`fetch::ENVOY_VERSIONS`].
    pub version: String,
    /// Worker threads, each with a VM of its own.
    pub concurrency: u32,
    /// Environment variables of the process, for `host_env_keys`.
    pub environment: Vec<(String, String)>,
    /// The directory for the configuration and the log; a fresh one by [`scratch`] when absent.
    pub directory: Option<PathBuf>,
    /// The level of Envoy's log; where it is absent `CARDED_ENVOY_LOG`, else `warning`.
    pub log_level: Option<String>,
}

impl Options {
    /// One version of Envoy with two workers.
    pub fn version(version: &str) -> Self {
        Self { version: version.to_owned(), concurrency: 2, environment: Vec::new(), directory: None, log_level: None }
    }
}

/// A running Envoy; it is killed when this value is dropped.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    directory: PathBuf,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts Envoy and waits until its admin interface says that it is ready.
    ///
    /// # Errors
    /// When it cannot be fetched or started, or refuses its configuration: then the text holds the end of its log.
    pub async fn start(config: &Bootstrap, options: &Options) -> Result<Self> {
        let binary = fetch::envoy(&options.version)?;
        let directory = match &options.directory {
            Some(directory) => directory.clone(),
            None => scratch()?,
        };
        fs::create_dir_all(&directory)?;
        let file = directory.join("envoy.json");
        fs::write(&file, config.text())?;
        let admin_file = directory.join("admin");
        let _ = fs::remove_file(&admin_file);
        let log = fs::File::create(directory.join("envoy.log"))?;
        // for those who look into a failed test
        let level = options.log_level.clone().or_else(|| std::env::var("CARDED_ENVOY_LOG").ok());
        let level = level.unwrap_or_else(|| "warning".to_owned());
        let child = Command::new(binary)
            .arg("-c")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--concurrency", &options.concurrency.to_string()])
            .args(["--disable-hot-restart", "--log-level", &level])
            .args(["--component-log-level", if level == "debug" { "wasm:debug" } else { "wasm:info,main:info" }])
            // statistics reach the admin interface and access logs the file at once
            .args(["--file-flush-interval-msec", "50"])
            .envs(options.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("could not start Envoy")?;
        let mut this = Self { child, directory, admin: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = this.child.try_wait()? {
                bail!("Envoy ended with {status}:\n{}", this.log_end());
            }
            if let Some(admin) = fs::read_to_string(&admin_file).ok().and_then(|t| t.trim().parse().ok()) {
                this.admin = admin;
                if this.admin_get("/ready").await.is_ok_and(|(status, _)| status == 200) {
                    return Ok(this);
                }
            }
            if Instant::now() > deadline {
                bail!("Envoy is not ready after {START:?}:\n{}", this.log_end());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs `envoy --mode validate` on a configuration.
    ///
    /// # Errors
    /// When Envoy refuses it; the text holds the end of what it said.
    pub async fn validate(config: &Bootstrap, version: &str) -> Result<()> {
        let binary = fetch::envoy(version)?;
        let directory = scratch()?;
        let file = directory.join("envoy.json");
        fs::write(&file, config.text())?;
        let output = Command::new(binary).args(["--mode", "validate", "-c"]).arg(&file).output().await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("Envoy {version} refuses {}:\n{}", file.display(), tail(&said));
        }
        Ok(())
    }

    /// The process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether the process still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the process to end.
    ///
    /// # Errors
    /// When waiting fails.
    pub async fn wait(&mut self) -> Result<std::process::ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// The address of the admin interface.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Reads one page of the admin interface: the status and the text.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn admin_get(&self, path: &str) -> Result<(u16, String)> {
        let reply = Request::get(path).header("host", "admin").send(self.admin).await?;
        Ok((reply.status, reply.text()))
    }

    /// Where the listener `name` listens.
    ///
    /// # Errors
    /// When there is no such listener.
    pub async fn listener(&self, name: &str) -> Result<SocketAddr> {
        let (_, text) = self.admin_get("/listeners?format=json").await?;
        let all: serde_json::Value = serde_json::from_str(&text)?;
        let found = all["listener_statuses"].as_array().into_iter().flatten().find(|l| l["name"] == name);
        let socket = &found.with_context(|| format!("no listener {name}"))?["local_address"]["socket_address"];
        let port =
            socket["port_value"].as_u64().and_then(|p| u16::try_from(p).ok()).context("the listener has no port")?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Every counter and gauge.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub async fn stats(&self) -> Result<BTreeMap<String, u64>> {
        let (_, text) = self.admin_get("/stats").await?;
        let lines = text.lines().filter_map(|l| l.rsplit_once(": "));
        Ok(lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// One counter or gauge; 0 when it was never touched.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        Ok(self.stats().await?.get(name).copied().unwrap_or(0))
    }

    /// The whole log so far.
    pub fn log(&self) -> String {
        fs::read(self.directory.join("envoy.log")).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    fn log_end(&self) -> String {
        tail(&self.log())
    }

    /// The directory of this run.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The resident memory of the process in bytes, where the system tells (`/proc`).
    pub fn resident_bytes(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = text.lines().find(|l| l.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
    }
}

/// A fresh directory for one run, under [`runs`] of this thread.
///
/// # Errors
/// When it cannot be made.
pub fn scratch() -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let directory = runs().join(name);
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// A port of this machine that nobody listens on, and that no other call in this process gives. It is below those that the system
/// gives to outgoing connections (from 32768 on Linux), one of which could have it before it is listened on.
///
/// # Errors
/// When none is free.
pub fn free_port() -> Result<u16> {
    const FIRST: u16 = 12_000;
    const NUMBER: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..NUMBER {
        // processes that run side by side begin in different places
        let place = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(997)) % NUMBER;
        let port = FIRST.saturating_add(u16::try_from(place)?);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// The directory of all runs that this thread starts. Threads of tests are named after their test, so that what a failed test
/// leaves behind is found by its name.
pub fn runs() -> PathBuf {
    let name = std::thread::current().name().unwrap_or("unnamed").replace("::", "/");
    target().join("envoy/run").join(name)
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(25)).copied().collect::<Vec<_>>().join("\n")
}
