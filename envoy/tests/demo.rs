//! The demo does what it says, with the real OpenID provider.

use anyhow::{Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::demo::{Setup, World};
use carded_envoy::run::scratch;
use carded_envoy::{fetch, module};

use crate::common::{finish, missing};

#[test]
fn every_line_of_the_demo_does_what_its_caption_says() {
    let needed = module().map(drop).and_then(|()| fetch::npm().map(drop));
    if missing(needed) {
        return;
    }
    finish(demo());
}

async fn demo() -> Result<()> {
    let directory = scratch()?;
    let world = World::start(&directory, 18080, &Setup::default()).await?;
    world.check().await?;
    ensure!(world.provider.describe().contains("oidc-provider"), "not the real provider");
    // the site is told about the caller, and does not see the token
    let token = std::fs::read_to_string(directory.join("tokens/good"))?;
    let reply =
        Request::get("/api/orders").bearer(&token).header("x-carded-roles", "admin").send(world.address).await?;
    let told = &reply.json()["carded_told_me"];
    ensure!(told["x-carded-subject"] == "alice" && told["x-carded-roles"] == "clerk", "{}", reply.text());
    ensure!(reply.json()["i_saw_the_token"] == false, "{}", reply.text());
    // and shows a page to a browser
    let page = Request::get("/").header("accept", "text/html,*/*").send(world.address).await?;
    ensure!(page.text().contains("<h1>Good things, for everybody</h1>"), "{}", page.text());
    Ok(())
}
