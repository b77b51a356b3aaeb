//! What the demo says when it is up.

use std::fmt::Write;

use super::world::{LINES, World};
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

  rules     {directory}/carded.yaml
  logs      {directory}/shop.jsonl is all that the shop ever saw; access.log and envoy.log beside it
  provider  http://idp.localhost:{port}/.well-known/openid-configuration
            {describe}

The shop's API is for programs. Paste these; all of them were tried just now.
",
        describe = world.provider.describe(),
    );
    for line in &LINES {
        let verdict =
            if line.code.is_empty() { line.status.to_string() } else { format!("{} {}", line.status, line.code) };
        let _ = write!(out, "\n  # {:<40} → {verdict}\n  curl -i ", line.caption);
        if let Some(token) = line.token {
            let _ = write!(out, "-H \"authorization: Bearer $(cat {directory}/tokens/{token})\" ");
        }
        let _ = writeln!(out, "http://127.0.0.1:{port}{}", line.path);
    }
    out.push_str("\nCtrl-C stops it.");
    out
}

/// The demo's directory as seen from where the command runs, so that the lines are short.
fn shorten(world: &World) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    world.directory.strip_prefix(here).unwrap_or(&world.directory).display().to_string()
}
