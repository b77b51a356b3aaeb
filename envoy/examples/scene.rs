//! Starts the scene as the browser's tests have it and stays up until its input ends, for those who write such tests:
//! `cargo run -p carded-envoy --example scene`, then `CARDED_SCENE='…' node --test scene.test.mjs`.

use carded_envoy::demo::Background;
use carded_envoy::target;

fn main() -> anyhow::Result<()> {
    let scene = Background::start(&target().join("scene"), &target().join("carded/web/wallet-demo"))?;
    println!("{}", scene.said());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
