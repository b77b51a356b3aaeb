//! What the demo says when it is up.

use std::fmt::Write;

use super::world::{Carries, LINES, To, World};
use crate::fetch::ENVOY_VERSIONS;

/// The text, at most 100 columns wide where the paths allow.
pub(super) fn text(world: &World) -> String {
    let port = world.address.port();
    let directory = shorten(world);
    let envoy = ENVOY_VERSIONS[ENVOY_VERSIONS.len() - 1];
    let mut out = format!(
        "
Carded is up: Envoy {envoy} asks who is calling before the shop behind it sees the request.

Open these in a browser, in this order; it takes a minute:

  1. http://dmv.localhost:{port}/      the agency: get a digital ID into the wallet
  2. http://shop.localhost:{port}/     the shop: the wine is for those over 21
     http://wallet.localhost:{port}/   the wallet: what you hold, and what you showed to whom
     http://clerk.localhost:{port}/    the county clerk: a plain “over 21”, which opens the shop as well
     http://dmv.localhost:{port}/operator   take the ID back: the shop closes within 15 seconds
{account}
  rules     {directory}/carded.yaml
  logs      {directory}/shop.jsonl is all that the shop ever saw; access.log and envoy.log beside it
  provider  http://idp.localhost:{port}/.well-known/openid-configuration
            {describe}

The shop's API is for programs, and its account service stands on port {beside}, behind a sidecar.
Paste these; all of them were tried just now.
",
        account = account(world),
        beside = world.sidecar.port(),
        describe = world.provider.describe(),
    );
    for line in &LINES {
        let verdict =
            if line.code.is_empty() { line.status.to_string() } else { format!("{} {}", line.status, line.code) };
        let _ = write!(out, "\n  # {:<45} → {verdict}\n  curl -i ", line.caption);
        let _ = match line.carries {
            Carries::Nothing => Ok(()),
            Carries::Bearer(name) => write!(out, "-H \"authorization: Bearer $(cat {directory}/tokens/{name})\" "),
            Carries::Minted(name) => write!(out, "-H \"x-carded-token: $(cat {directory}/tokens/{name})\" "),
            Carries::Header(name, value) => write!(out, "-H \"{name}: {value}\" "),
        };
        let to = match line.to {
            To::Gateway => format!("127.0.0.1:{port}"),
            To::Shop => format!("shop.localhost:{port}"),
            To::Sidecar => world.sidecar.to_string(),
        };
        let _ = writeln!(out, "http://{to}{}", line.path);
    }
    out.push_str("\nCtrl-C stops it.");
    out
}

/// What there is to open behind a login.
fn account(world: &World) -> String {
    let port = world.address.port();
    if !world.provider.has_pages() {
        return "  (The account pages need Node: there is nobody to sign in at.)\n".to_owned();
    }
    format!(
        "  3. http://shop.localhost:{port}/account            your account: sign in at a provider, and out again
     http://shop.localhost:{port}/account/payment    needs a second factor
     http://shop.localhost:{port}/operator           throw a session out: it ends within 4 seconds
"
    )
}

/// The demo's directory as seen from where the command runs, so that the lines are short.
fn shorten(world: &World) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    world.directory.strip_prefix(here).unwrap_or(&world.directory).display().to_string()
}
