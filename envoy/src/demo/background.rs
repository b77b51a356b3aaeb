//! The scene for tests in a browser: started on a thread of its own, stopped by drop.

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

use super::scene::Knobs;
use super::world::{Setup, World};

/// A running scene with two Envoys of one fleet.
#[derive(Debug)]
pub struct Background {
    said: Value,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts it, with everything that tests may add and Envoy's log at `debug`. Files are written below `directory`; the wallet's
    /// pages are taken from `wallet`.
    ///
    /// # Errors
    /// When something is missing or does not start.
    pub fn start(directory: &Path, wallet: &Path) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let (directory, wallet) = (directory.to_owned(), wallet.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error.into()))),
            };
            runtime.block_on(async move {
                match start(&directory, wallet).await {
                    Ok((said, world)) => {
                        let _ = tell.send(Ok(said));
                        let _ = stopped.await;
                        drop(world);
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            });
        });
        let said =
            told.recv().context("the scene did not start")?.map_err(|error: anyhow::Error| anyhow!("{error:#}"))?;
        Ok(Self { said, stop: Some(stop), thread: Some(thread) })
    }

    /// Where everything is: `port`, `twin` (the port of the second Envoy) and `directory`, as JSON for the tests' environment
    /// variable `CARDED_SCENE`.
    pub fn said(&self) -> String {
        self.said.to_string()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn start(directory: &Path, wallet: PathBuf) -> Result<(Value, (World, crate::run::Envoy))> {
    let _ = std::fs::remove_dir_all(directory);
    std::fs::create_dir_all(directory.join("twin"))?;
    let setup = Setup {
        knobs: Knobs { short_lifetimes: true, novelty: true },
        wallet,
        log_level: Some("debug".to_owned()),
        ..Setup::default()
    };
    let world = World::start(directory, 8080, &setup).await?;
    let (twin, address) = world.twin(&directory.join("twin")).await?;
    let said = json!({ "port": world.address.port(), "twin": address.port(), "directory": directory });
    Ok((said, (world, twin)))
}
