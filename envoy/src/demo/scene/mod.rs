//! The scene of the demo: a motor vehicle agency, a county clerk, a wine shop and a wallet, each under a name of its own, behind
//! one Envoy on one port.

mod account;
mod clerk;
mod desk;
mod dmv;
pub(super) mod http;
mod issuer;
pub(super) mod page;
pub(super) mod people;
pub(super) mod random;
mod shop;
mod status;
mod wallet;

use anyhow::Result;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clerk::Clerk;
pub(crate) use desk::REVOKED;
use dmv::Dmv;
use http::{Reply, Request, Server, Service};
use shop::Shop;
use wallet::Pages;

/// What tests may add to the scene. The demo has none of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Knobs {
    /// The agency's form takes a validity in seconds.
    pub short_lifetimes: bool,
    /// A second agency at `novelty.localhost`, which makes the same cards and which nobody trusts.
    pub novelty: bool,
}

/// The houses, each on one server of this process.
#[derive(Debug)]
pub struct Scene {
    houses: Server,
    shop: Server,
    log: PathBuf,
}

#[derive(Debug)]
struct Houses {
    dmv: Dmv,
    novelty: Option<Dmv>,
    clerk: Clerk,
    wallet: Pages,
}

impl Scene {
    /// Starts the houses for the public port `port`. The shop writes what it receives to `directory/shop.jsonl`; the wallet's
    /// files are taken from `pages`.
    ///
    /// # Errors
    /// When a port or a key cannot be had.
    pub async fn start(port: u16, directory: &Path, pages: &Path, knobs: Knobs) -> Result<Self> {
        let at = |name: &str| format!("http://{name}.localhost:{port}");
        let wallet = at("wallet");
        let houses = Houses {
            dmv: Dmv::new(&at("dmv"), &wallet, knobs.short_lifetimes)?,
            novelty: if knobs.novelty { Some(Dmv::new(&at("novelty"), &wallet, false)?) } else { None },
            clerk: Clerk::new(&at("clerk"), &wallet)?,
            wallet: Pages::new(pages),
        };
        let log = directory.join("shop.jsonl");
        let shop = Shop::new(&log, &at("idp"))?;
        Ok(Self { houses: Server::start(Arc::new(houses)).await?, shop: Server::start(Arc::new(shop)).await?, log })
    }

    /// Where the agency, the clerk and the wallet are.
    pub fn houses(&self) -> SocketAddr {
        self.houses.address
    }

    /// Where the shop is.
    pub fn shop(&self) -> SocketAddr {
        self.shop.address
    }

    /// What the shop received: a JSON object for each request, a line each.
    pub fn shop_log(&self) -> &Path {
        &self.log
    }
}

impl Service for Houses {
    fn answer(&self, request: &Request) -> Reply {
        if request.path == "/house.css" && !request.host.starts_with("wallet.") {
            return Reply::text("text/css; charset=utf-8", page::STYLE);
        }
        match request.host.split('.').next() {
            Some("dmv") => self.dmv.answer(request),
            Some("clerk") => self.clerk.answer(request),
            Some("wallet") => self.wallet.answer(request),
            Some("novelty") => self.novelty.as_ref().map_or_else(|| Reply::status(404), |dmv| dmv.answer(request)),
            _ => Reply::status(404),
        }
    }
}
