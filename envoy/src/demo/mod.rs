//! The demo (`cargo xtask demo`): a real Envoy with Carded; a wine shop behind it, an agency that issues credentials and a wallet
//! to keep them in; a real OpenID provider, and lines to paste.

mod background;
pub mod scene;
mod show;
mod site;
mod tokens;
mod world;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

use crate::target;
pub use background::Background;
pub use world::{Setup, World, session_key};

/// How the demo is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Return when it is up, and leave it running.
    pub detach: bool,
    /// Stop the one that is running.
    pub stop: bool,
}

/// The demo's files: tokens, logs, the configurations in use.
pub fn directory() -> PathBuf {
    target().join("demo")
}

/// Runs the demo until Ctrl-C, or starts it in the background, or stops it.
///
/// # Errors
/// When something that it needs is missing, when one is running already, or when a line of it would not do what it says.
pub fn run(options: Options) -> Result<()> {
    if options.stop {
        return stop();
    }
    ensure!(running().is_empty(), "a demo is running: stop it with `cargo xtask demo --stop`");
    // found out before anything is started
    crate::module()?;
    fs::create_dir_all(directory())?;
    let _ = fs::remove_file(ready_file());
    if options.detach { detach() } else { foreground() }
}

fn pid_file() -> PathBuf {
    directory().join("pids.json")
}

/// Written when the demo is up: the text that was shown.
fn ready_file() -> PathBuf {
    directory().join("ready.txt")
}

#[tokio::main]
async fn foreground() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let outcome = tokio::select! {
        outcome = up() => outcome,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    // what was started is stopped by drop, before the files say that nothing runs
    let _ = fs::remove_file(pid_file());
    let _ = fs::remove_file(ready_file());
    println!("\nThe demo has stopped.");
    outcome
}

async fn up() -> Result<()> {
    let mut world = World::start(&directory(), 8080, &Setup::default()).await?;
    let processes: Vec<Value> = std::iter::once((std::process::id(), "demo"))
        .chain(world.processes())
        .filter_map(|(pid, name)| Some(json!({ "pid": pid, "name": name, "started": started(pid)? })))
        .collect();
    fs::write(pid_file(), json!(processes).to_string())?;
    world.check().await?;
    world.check_scene().await?;
    let text = show::text(&world);
    println!("{text}");
    fs::write(ready_file(), &text)?;
    bail!("{}", world.ended().await)
}

/// Starts this very program again without `--detach`, and waits until it is up.
fn detach() -> Result<()> {
    let log = directory().join("demo.log");
    let file = fs::File::create(&log)?;
    let mut child = {
        use std::os::unix::process::CommandExt;
        Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1).filter(|a| a != "--detach"))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // a group of its own: a Ctrl-C in this terminal is not for it
            .process_group(0)
            .spawn()
            .context("could not start the demo in the background")?
    };
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        if let Ok(text) = fs::read_to_string(ready_file()) {
            println!(
                "{}",
                text.replace("Ctrl-C stops it.", "It runs in the background; `cargo xtask demo --stop` stops it.")
            );
            return Ok(());
        }
        if child.try_wait()?.is_some() {
            bail!("the demo did not start:\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        if Instant::now() > deadline {
            child.kill()?;
            bail!("the demo is not up after five minutes; its log is {}", log.display());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// When a process started, in the kernel's ticks (field 22 of `/proc/<pid>/stat`); nothing when it does not run. Together with
/// the process id it names one process for good: ids come round again.
fn started(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    // the field after the name is the state: a zombie has ended
    if fields.next() == Some("Z") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The processes of a running demo, by what its file says and the kernel confirms.
fn running() -> Vec<u32> {
    let list: Value = fs::read(pid_file()).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|p| {
        let pid = u32::try_from(p["pid"].as_u64()?).ok()?;
        (started(pid)? == p["started"].as_u64()?).then_some(pid)
    })
    .collect()
}

fn stop() -> Result<()> {
    let all = running();
    if all.is_empty() {
        println!("No demo is running.");
        return Ok(());
    }
    for (signal, patience) in [("-TERM", 5), ("-KILL", 5)] {
        for pid in running() {
            Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status()?;
        }
        let deadline = Instant::now() + Duration::from_secs(patience);
        while Instant::now() < deadline {
            if running().is_empty() {
                let _ = fs::remove_file(pid_file());
                let _ = fs::remove_file(ready_file());
                println!("The demo has stopped.");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    bail!("still running: {:?}", running())
}
