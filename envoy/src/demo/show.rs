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
Carded is up: Envoy {envoy} asks who is calling before the site behind it sees the request.

  site      http://shop.localhost:{port}/  (open it in a browser, or use the lines below)
  provider  http://idp.localhost:{port}/.well-known/openid-configuration
            {describe}
  rules     {directory}/carded.yaml
  logs      {directory}/access.log, {directory}/envoy.log

Paste these; all of them were tried just now.
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
