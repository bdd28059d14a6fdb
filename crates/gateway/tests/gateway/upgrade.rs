//! Connections that switch protocols, as WebSocket does.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Client, World, arm, backend, eventually, listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use towpath_gateway::Limits;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Switches protocols, says `ready` at once, sends back whatever comes, and says `bye` at its end.
async fn echo() -> SocketAddr {
    listen(|mut stream| async move {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(stream.read_u8().await.unwrap()));
        }
        assert!(head.contains("connection: upgrade\r\nupgrade: websocket\r\n"), "{head}");
        assert!(head.contains("x-forwarded-for: 127.0.0.1\r\n"), "{head}");
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nready";
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 4096];
        loop {
            match stream.read(&mut bytes).await {
                Ok(0) => break,
                Ok(count) => stream.get_mut().write_all(&bytes[..count]).await.unwrap(),
                Err(_) => return,
            }
        }
        let _ = stream.get_mut().write_all(b"bye").await;
    })
    .await
}

/// Asks for the other protocol and reads the answer and `ready`.
async fn switch(client: &mut Client) {
    client.send(ASK).await;
    let (head, _) = client.receive().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("connection: upgrade\r\nupgrade: websocket\r\n"), "{head}");
    expect(client, b"ready").await;
}

async fn expect(client: &mut Client, wanted: &[u8]) {
    let mut bytes = vec![0; wanted.len()];
    client.0.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, wanted);
}

#[tokio::test]
async fn bytes_pass_both_ways_and_count_as_one_request() {
    let world = World::start().await;
    world.route(vec![arm("v1", 1000, &[echo().await])]).await;
    let mut client = world.client().await;
    switch(&mut client).await;
    let server = world.server.clone();
    eventually("the request is counted while the tunnel is open", || {
        (server.counted("v1") == (1, 0, 0)).then_some(())
    })
    .await;
    assert_eq!(server.deltas("v1").last().unwrap().in_flight, 0, "it has had its answer");
    let frame: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for bytes in [&b"\x81\x02hi"[..], &frame] {
        let (mut reader, mut writer) = client.0.get_mut().split();
        let mut back = vec![0; bytes.len()];
        let (sent, read) = tokio::join!(writer.write_all(bytes), reader.read_exact(&mut back));
        sent.unwrap();
        read.unwrap();
        assert_eq!(back, bytes);
    }
    client.0.get_mut().shutdown().await.unwrap();
    expect(&mut client, b"bye").await;
    assert_eq!(client.0.read(&mut [0; 1]).await.unwrap(), 0, "both sides have ended");
}

#[tokio::test]
async fn who_declines_answers_and_who_was_not_asked_may_not_switch() {
    let mut world = World::start().await;
    world.route(vec![arm("v1", 1000, &[backend("v1").await])]).await;
    let mut client = world.client().await;
    client.send(ASK).await;
    assert!(client.receive().await.unwrap().1.starts_with("v1 0 GET /chat"));
    assert!(client.get("/").await.1.starts_with("v1"), "on the same connection");
    let eager = listen(|mut stream| async move {
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes).await;
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let _ = stream.get_mut().write_all(answer).await;
    })
    .await;
    world.route(vec![arm("eager", 1000, &[eager])]).await;
    let (head, body) = client.get("/").await;
    assert!(head.starts_with("HTTP/1.1 502 ") && body.contains("does not allow"), "{head}{body}");
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("eager"), (1, 1, 1));
}

#[tokio::test]
async fn a_tunnel_ends_when_nothing_moves_and_lives_on_while_the_gateway_drains() {
    let limits = Limits { tunnel: Duration::from_millis(300), ..Limits::default() };
    let world = World::with(limits).await;
    world.route(vec![arm("v1", 1000, &[echo().await])]).await;
    let mut client = world.client().await;
    switch(&mut client).await;
    assert_eq!(client.0.read(&mut [0; 1]).await.unwrap_or(0), 0, "nobody said anything for too long");
    let mut world = World::start().await;
    world.route(vec![arm("v1", 1000, &[echo().await])]).await;
    let mut client = world.client().await;
    switch(&mut client).await;
    let address = world.address;
    let ending = async {
        eventually("nothing is accepted any more", || {
            std::net::TcpStream::connect(address).is_err().then_some(())
        })
        .await;
        client.send("still here").await;
        expect(&mut client, b"still here").await;
        drop(client);
    };
    tokio::join!(world.stop(), ending);
}
