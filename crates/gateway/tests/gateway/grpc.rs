//! gRPC through the gateway: trailers, streams both ways, flow control, cancellation, deadlines, and what counts as failed.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame};
use hyper::{HeaderMap, Response};
use towpath_gateway::Limits;

use crate::http2::h2c;
use crate::streams::{Streams, backend, call, message, pieces, whole};
use crate::support::{World, arm, eventually, free_address};

/// The whole answer of a call: its bytes and its outcome, from the trailers or the head.
async fn ended(response: Response<hyper::body::Incoming>) -> (Bytes, Option<String>) {
    let in_head = status(response.headers());
    let body = tokio::time::timeout(Duration::from_secs(20), response.into_body().collect());
    let body = body.await.expect("an end in time").unwrap();
    let outcome = body.trailers().and_then(status).or(in_head);
    (body.to_bytes(), outcome)
}

fn status(fields: &HeaderMap) -> Option<String> {
    fields.get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn calls_pass_with_messages_and_outcome_and_failures_are_counted() {
    let mut world = World::start().await;
    world.route(vec![h2c(arm("v1", 1000, &[backend("v1").await.0]))]).await;
    let mut client = Streams::connect(world.address).await;
    let sent = message(b"hello");
    let answer = client.call("/echo", whole(sent.clone())).await;
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    assert_eq!(ended(answer).await, (sent, Some("0".to_owned())));
    // NOT_FOUND and PERMISSION_DENIED are the request's own; INTERNAL and UNAVAILABLE are the server's.
    for (path, outcome) in
        [("/outcome/5", "5"), ("/outcome/7", "7"), ("/outcome/13", "13"), ("/late/14", "14")]
    {
        assert_eq!(ended(client.call(path, whole("")).await).await.1.as_deref(), Some(outcome), "{path}");
    }
    assert_eq!(ended(client.call("/silent", whole("")).await).await.1, None);
    let large = message(&vec![5; 20 * 1024 * 1024]);
    let (back, outcome) = ended(client.call("/echo", whole(large.clone())).await).await;
    assert!(back == large && outcome.as_deref() == Some("0"), "{} bytes, {outcome:?}", back.len());
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (7, 3, 0), "13, 14, and the one that ended without an outcome");
}

#[tokio::test]
async fn both_sides_stream_at_once_and_each_message_passes_at_once() {
    let mut world = World::start().await;
    world.route(vec![h2c(arm("v1", 1000, &[backend("v1").await.0]))]).await;
    let mut client = Streams::connect(world.address).await;
    let (sender, body) = pieces();
    let answer = client.call("/echo", body).await;
    let mut incoming = answer.into_body();
    for turn in 0..200u32 {
        let sent = message(&turn.to_be_bytes());
        sender.send(Frame::data(sent.clone())).unwrap();
        let back = tokio::time::timeout(Duration::from_secs(20), incoming.frame()).await.expect("in time");
        assert_eq!(back.unwrap().unwrap().into_data().unwrap(), sent, "message {turn}");
    }
    drop(sender);
    let trailers = incoming.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (1, 0, 0));
}

#[tokio::test]
async fn a_call_that_is_cancelled_ends_for_the_instance_and_is_nobodys_fault() {
    let mut world = World::start().await;
    let (address, seen) = backend("v1").await;
    world.route(vec![h2c(arm("v1", 1000, &[address]))]).await;
    let client = Streams::connect(world.address).await;
    let mut sender = client.sender.clone();
    let waiting = tokio::spawn(async move { sender.send_request(call("/hang", whole(message(b"x")))).await });
    let server = world.server.clone();
    eventually("it is under way", || server.deltas("v1").iter().any(|it| it.in_flight == 1).then_some(()))
        .await;
    waiting.abort();
    eventually("the instance is told", || (seen.left.load(Relaxed) == 1).then_some(())).await;
    let (_open, body) = pieces();
    let socket = std::net::TcpStream::connect(world.address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let cut = socket.try_clone().unwrap();
    let mut vanishing = Streams::over(tokio::net::TcpStream::from_std(socket).unwrap()).await;
    let _begun = vanishing.call("/begin", body).await;
    cut.shutdown(std::net::Shutdown::Both).unwrap();
    eventually("the instance is told in the middle of both", || (seen.left.load(Relaxed) == 2).then_some(()))
        .await;
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (2, 0, 0));
}

#[tokio::test]
async fn deadlines_pass_on_are_kept_and_a_version_that_misses_them_has_failed() {
    let mut world = World::start().await;
    let (address, seen) = backend("v1").await;
    world.route(vec![h2c(arm("v1", 1000, &[address]))]).await;
    let mut client = Streams::connect(world.address).await;
    let within = |path, timeout: &str| {
        let mut request = call(path, whole(message(b"x")));
        request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        request
    };
    let begun = Instant::now();
    let (_, outcome) = ended(client.send(within("/hang", "300m")).await).await;
    assert!(matches!(outcome.as_deref(), Some("14" | "4")), "{outcome:?}");
    assert!(
        (Duration::from_millis(1200)..Duration::from_secs(10)).contains(&begun.elapsed()),
        "a second of grace"
    );
    // A client that keeps its own deadline cancels, as all of them do.
    let impatient =
        tokio::time::timeout(Duration::from_millis(500), client.sender.send_request(within("/hang", "500m")));
    assert!(impatient.await.is_err());
    eventually("the instance is told", || (seen.left.load(Relaxed) == 2).then_some(())).await;
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("v1").0, 2);
    assert_eq!(world.server.counted("v1").1, 2, "both waited in vain until their deadline");
}

#[tokio::test]
async fn quiet_streams_live_on_and_the_gateways_own_answers_are_calls_too() {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let world = World::with(limits).await;
    world.route(vec![h2c(arm("v1", 1000, &[backend("v1").await.0]))]).await;
    let mut client = Streams::connect(world.address).await;
    let (sender, body) = pieces();
    let mut incoming = client.call("/echo", body).await.into_body();
    tokio::time::sleep(Duration::from_millis(900)).await;
    sender.send(Frame::data(message(b"still here"))).unwrap();
    let back = incoming.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(back, message(b"still here"));
    world.route(vec![h2c(arm("dead", 1000, &[free_address()]))]).await;
    let answer = client.call("/echo", whole(message(b"x"))).await;
    assert_eq!(answer.status(), 200);
    let told = answer.headers()["grpc-message"].to_str().unwrap().to_owned();
    assert!(told.starts_with("Towpath gateway: no instance of shop/production"), "{told}");
    assert_eq!(ended(answer).await.1.as_deref(), Some("14"));
}
