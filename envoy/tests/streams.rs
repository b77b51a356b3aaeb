//! WebSocket, server-sent events and gRPC streams are checked at their start.

use anyhow::{Result, ensure};
use carded_envoy::client::{Connection, Request, http2};
use serde_json::json;

use crate::common::{Setup, World, eventually, in_each_envoy};

in_each_envoy!(websocket, websocket_that_waited, server_sent_events, grpc);

fn handshake() -> Request {
    Request::get("/ws")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// Reads the 101 and talks.
async fn talk(connection: &mut Connection) -> Result<()> {
    let head = connection.read_head().await?;
    ensure!(head.status == 101, "{head:?}");
    for text in ["hello", "again"] {
        connection.write(text.as_bytes()).await?;
        ensure!(connection.read_some().await? == text.as_bytes(), "no echo");
    }
    Ok(())
}

async fn websocket(version: &'static str) -> Result<()> {
    let world = Setup { concurrency: 1, ..Default::default() }.start(version).await?;
    world.alive().await?;
    world.refused("no token", handshake(), 401, "token_missing").await?;
    let expired = world.token_with(json!({ "exp": 1 }));
    world.refused("a bad token", handshake().bearer(&expired), 401, "token_expired").await?;
    let before = world.upstream.hits();
    let mut connection = Connection::open(world.edge).await?;
    connection.write(&handshake().bearer(&world.token()).bytes()).await?;
    talk(&mut connection).await?;
    ensure!(world.upstream.hits() == before + 1, "not once");
    drop(connection);
    world.alive().await
}

/// A handshake that comes before the keys waits, and then the stream is a stream.
async fn websocket_that_waited(version: &'static str) -> Result<()> {
    let mut config = crate::common::config();
    config["fetch"]["timeout"] = json!("20s");
    config["limits"] = json!({ "waiting_time": "20s" });
    let world = Setup { config, concurrency: 1, held_provider: true, ..Default::default() }.start(version).await?;
    let mut connection = Connection::open(world.edge).await?;
    connection.write(&handshake().bearer(&world.token()).bytes()).await?;
    eventually("it waits", || async { Ok(world.envoy.stat("wasmcustom.carded.waiting").await? == 1) }).await?;
    ensure!(world.upstream.hits() == 0, "it passed before its verdict");
    world.idp.release();
    talk(&mut connection).await?;
    drop(connection);
    world.alive().await
}

async fn server_sent_events(version: &'static str) -> Result<()> {
    let world = World::start(version).await?;
    let request = || Request::get("/sse").header("accept", "text/event-stream");
    world.refused("no token", request(), 401, "token_missing").await?;
    let reply = world.send(request().bearer(&world.token())).await?;
    ensure!(
        reply.status == 200 && reply.text() == "data: 1\n\ndata: 2\n\ndata: 3\n\n",
        "{} {}",
        reply.status,
        reply.text()
    );
    world.alive().await
}

async fn grpc(version: &'static str) -> Result<()> {
    let setup = Setup {
        edit: |bootstrap| {
            bootstrap.cluster("service")["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {} },
                },
            });
        },
        ..Default::default()
    };
    let world = setup.start(version).await?;
    let good = format!("Bearer {}", world.token());
    let call = async |token: &str, path: &str| {
        let mut headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
        if !token.is_empty() {
            headers.push(("authorization", token));
        }
        http2(world.edge, "POST", path, &headers, &[0, 0, 0, 0, 0]).await
    };
    let passed = call(&good, "/grpc.Service/Method").await?;
    ensure!(passed.reply.status == 200 && passed.grpc_status().as_deref() == Some("0"), "{passed:?}");
    ensure!(world.upstream.hits() == 1, "not once");
    for (token, path, status) in [
        ("", "/grpc.Service/Method", "16"),             // UNAUTHENTICATED
        ("Bearer a.b.c", "/grpc.Service/Method", "16"), // UNAUTHENTICATED
        (good.as_str(), "/other.Service/Method", "7"),  // PERMISSION_DENIED
    ] {
        let refused = call(token, path).await?;
        ensure!(refused.reply.status == 200 && refused.grpc_status().as_deref() == Some(status), "{path}: {refused:?}");
    }
    ensure!(world.upstream.hits() == 1, "a refused call passed");
    Ok(())
}
