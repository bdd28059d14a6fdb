//! Requests through the gateway: what arrives, what comes back, what is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::support::{Client, World, arm, backend, eventually, free_address, listen, read_message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use towpath_gateway::Limits;

#[tokio::test]
async fn requests_reach_a_backend_and_answers_come_back() {
    let mut world = World::start().await;
    world.route(vec![arm("v1", 1000, &[backend("v1").await])]).await;
    let mut client = world.client().await;
    let (head, body) = client.get("/a?b").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("X-Version: v1"), "{head}");
    assert!(body.starts_with("v1 0 GET /a?b HTTP/1.1\r\nhost: shop.test\r\n"), "{body}");
    assert!(body.contains("x-forwarded-for: 127.0.0.1\r\n"), "{body}");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    assert!(client.receive().await.unwrap().1.starts_with("v1 5 POST /"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.send("4\r\ndefg\r\n0\r\n\r\n").await;
    assert!(client.receive().await.unwrap().1.starts_with("v1 7 POST /"));
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut text = String::new();
    while !text.contains("GET /two") {
        let mut bytes = [0; 4096];
        let count = client.0.read(&mut bytes).await.unwrap();
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert!(client.get("/broken").await.0.starts_with("HTTP/1.1 500"));
    drop(client);
    world.stop().await;
    let (requests, errors, own) = world.server.counted("v1");
    assert_eq!((requests, errors, own), (6, 1, 0));
}

#[tokio::test]
async fn without_a_revision_the_answer_says_so() {
    let world = World::start().await;
    world.route(Vec::new()).await;
    let mut client = world.client().await;
    for _ in 0..2 {
        let (head, body) = client.get("/").await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert_eq!(body, "Towpath gateway: nothing is deployed to shop/production yet\n");
    }
}

#[tokio::test]
async fn shares_are_met_within_a_thousandth_and_measured_once() {
    let mut world = World::start().await;
    let (stable, candidate) = (backend("stable").await, backend("candidate").await);
    world.route(vec![arm("stable", 995, &[stable]), arm("candidate", 5, &[candidate])]).await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let mut client = world.client().await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..500 {
                assert!(client.get("/").await.0.starts_with("HTTP/1.1 200 "));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    world.stop().await;
    let (stable, candidate) = (world.server.counted("stable"), world.server.counted("candidate"));
    assert_eq!(stable.0 + candidate.0, 4000, "each request is counted once");
    assert!((16..=24).contains(&candidate.0), "0.5 % of 4000 are 20, not {}", candidate.0);
    let deltas = world.server.deltas("stable");
    assert_eq!(deltas.iter().flat_map(|delta| &delta.latency).sum::<u64>(), stable.0);
    assert!(deltas.windows(2).all(|pair| pair[0].to <= pair[1].from), "intervals are disjoint");
}

#[tokio::test]
async fn a_hundred_changes_under_load_lose_nothing() {
    let mut world = World::start().await;
    let (a, b) = (backend("a").await, backend("b").await);
    world.route(vec![arm("a", 1000, &[a])]).await;
    let plan = towpath_load::LoadPlan {
        connections: 8,
        ..towpath_load::LoadPlan::new(format!("http://{}/", world.address))
    };
    let load = towpath_load::start(plan).unwrap();
    for turn in 0..100u16 {
        let weight = turn * 10 % 1000;
        let arms = match turn % 4 {
            0 => vec![arm("a", 1000, &[a])],
            1 => vec![arm("b", 1000, &[b])],
            _ => vec![arm("a", weight, &[a]), arm("b", 1000 - weight, &[b])],
        };
        world.route(arms).await;
    }
    load.stop();
    let report = load.finish().await;
    assert!(report.requests > 100, "{report}");
    assert_eq!((report.failed, report.retried), (0, 0), "{report}");
    world.stop().await;
    assert_eq!(world.server.counted("a").0 + world.server.counted("b").0, report.requests);
}

#[tokio::test]
async fn after_the_read_back_a_removed_revision_gets_nothing_and_ends_what_it_has() {
    let world = World::start().await;
    let (good, bad) = (backend("good").await, backend("bad").await);
    world.route(vec![arm("bad", 1000, &[bad])]).await;
    let mut kept = world.client().await;
    assert!(kept.get("/").await.1.starts_with("bad"));
    let mut slow = world.client().await;
    slow.send("GET /slow/400 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    world.route(vec![arm("good", 1000, &[good])]).await;
    println!("order to read-back: {:?}", begun.elapsed());
    for _ in 0..20 {
        assert!(kept.get("/").await.1.starts_with("good"), "on the connection that was there before");
    }
    assert!(slow.receive().await.unwrap().1.starts_with("bad"), "what was in flight ends where it began");
}

#[tokio::test]
async fn a_dead_endpoint_costs_no_request_while_another_lives() {
    let mut world = World::start().await;
    world.route(vec![arm("v1", 1000, &[free_address(), backend("v1").await])]).await;
    let mut client = world.client().await;
    for _ in 0..20 {
        assert!(client.get("/").await.1.starts_with("v1"));
    }
    world.route(vec![arm("dead", 1000, &[free_address()])]).await;
    let (head, body) = client.get("/").await;
    assert!(head.starts_with("HTTP/1.1 502 ") && body.contains("takes connections"), "{head}{body}");
    world.route(vec![arm("none", 1000, &[])]).await;
    assert!(client.get("/").await.0.starts_with("HTTP/1.1 503 "));
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (20, 0, 0));
    assert_eq!(world.server.counted("dead"), (1, 1, 1));
    assert_eq!(world.server.counted("none"), (1, 1, 1));
}

/// A backend that answers everything with an error.
async fn sick() -> std::net::SocketAddr {
    listen(|mut stream| async move {
        while read_message(&mut stream).await.is_some() {
            let answer = b"HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n";
            if stream.get_mut().write_all(answer).await.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_instance_that_fails_everything_is_left_alone_and_two_that_do_are_not() {
    let mut world = World::start().await;
    let ill = sick().await;
    world.route(vec![arm("v1", 1000, &[ill, backend("v1").await])]).await;
    let mut client = world.client().await;
    for _ in 0..60 {
        client.get("/").await;
    }
    let server = world.server.clone();
    eventually("the server is told who gets nothing", || {
        (server.applied("production")?.outliers == [ill]).then_some(())
    })
    .await;
    drop(client);
    world.stop().await;
    let (requests, errors, own) = world.server.counted("v1");
    assert_eq!((requests, own), (60, 0));
    assert!((5..=15).contains(&errors), "five in a row are enough, again after ten seconds: {errors}");
    let mut world = World::start().await;
    world.route(vec![arm("v2", 1000, &[sick().await, sick().await])]).await;
    let mut client = world.client().await;
    for _ in 0..40 {
        assert!(
            client.get("/").await.0.starts_with("HTTP/1.1 500 "),
            "what fails everywhere is the version's fault"
        );
    }
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("v2"), (40, 40, 0));
}

#[tokio::test]
async fn a_backend_that_dies_half_way_is_an_error_and_not_a_short_answer() {
    let mut world = World::start().await;
    let dying = listen(|mut stream| async move {
        read_message(&mut stream).await;
        let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    })
    .await;
    world.route(vec![arm("dying", 1000, &[dying])]).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.receive().await, None, "the connection ends before the tenth byte");
    let mute = listen(|mut stream| async move { drop(read_message(&mut stream).await) }).await;
    world.route(vec![arm("mute", 1000, &[mute])]).await;
    let (head, body) = world.client().await.get("/").await;
    assert!(head.starts_with("HTTP/1.1 502 ") && body.contains("before it answered"), "{head}{body}");
    world.stop().await;
    assert_eq!(world.server.counted("dying"), (1, 1, 0));
    assert_eq!(world.server.counted("mute"), (1, 1, 1));
}

#[tokio::test]
async fn a_slow_backend_times_out_and_a_slow_client_is_not_its_fault() {
    let limits =
        Limits { idle: Duration::from_millis(300), head: Duration::from_millis(300), ..Limits::default() };
    let mut world = World::with(limits).await;
    world.route(vec![arm("v1", 1000, &[backend("v1").await])]).await;
    let (head, _) = world.client().await.get("/slow/3000").await;
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe").await;
    assert!(client.receive().await.unwrap().0.starts_with("HTTP/1.1 408 "));
    let mut client = world.client().await;
    client.send("GET / HT").await;
    assert!(client.receive().await.unwrap().0.starts_with("HTTP/1.1 408 "));
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (2, 1, 1));
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_error_of_the_revision() {
    let mut world = World::start().await;
    let cancelled = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&cancelled);
    let address = listen(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            read_message(&mut stream).await;
            // Never answers; the gateway's closing is the only thing to read.
            let _ = stream.read(&mut [0; 1]).await;
            seen.fetch_add(1, Relaxed);
        }
    })
    .await;
    world.route(vec![arm("v1", 1000, &[address])]).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let server = world.server.clone();
    eventually("the request is in flight", || {
        server.deltas("v1").iter().any(|it| it.in_flight == 1).then_some(())
    })
    .await;
    drop(client);
    eventually("the backend is told", || (cancelled.load(Relaxed) == 1).then_some(())).await;
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (1, 0, 0));
    assert_eq!(world.server.deltas("v1").last().unwrap().in_flight, 0);
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_end_the_connection() {
    let mut world = World::start().await;
    world.route(vec![arm("v1", 1000, &[backend("v1").await])]).await;
    let next = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (status, request) in [
        (
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
        (501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ] {
        let mut client = world.client().await;
        client.send(&format!("{request}{next}")).await;
        let (head, _) = client.receive().await.expect(request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {head}");
        assert!(head.contains("connection: close\r\n"), "{head}");
        assert_eq!(client.receive().await, None, "{request:?}: nothing follows");
    }
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (0, 0, 0), "no backend saw any of it");
}

#[tokio::test]
async fn a_client_may_wait_for_100_continue() {
    let world = World::start().await;
    let careful = listen(|mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        stream.get_mut().write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    world.route(vec![arm("v1", 1000, &[careful])]).await;
    let mut client = world.client().await;
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    assert!(client.receive().await.unwrap().0.starts_with("HTTP/1.1 100 Continue"));
    client.send("body").await;
    assert!(client.receive().await.unwrap().0.starts_with("HTTP/1.1 201 Created"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_tried_again() {
    let world = World::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let v1 = backend("v1").await;
    world.route(vec![arm("v1", 1000, &[v1])]).await;
    world.server.order(vec![("production", address, vec![arm("v1", 1000, &[v1])])]);
    let server = world.server.clone();
    let problem = eventually("the problem is told", || server.applied("production")?.problem).await;
    assert!(problem.contains("is taken by another process"), "{problem}");
    assert_eq!(server.applied("production").unwrap().generation, 1, "the older route stays in force");
    assert!(world.client().await.get("/").await.1.starts_with("v1"));
    drop(taken);
    eventually("the port is free", || (server.applied("production")?.generation == 2).then_some(())).await;
    assert!(Client::connect(address).await.get("/").await.1.starts_with("v1"));
}

#[tokio::test]
async fn the_gateway_serves_without_the_server_and_finds_it_again() {
    let mut world = World::start().await;
    let v1 = backend("v1").await;
    world.route(vec![arm("v1", 1000, &[v1])]).await;
    std::fs::write(world.data.path().join("run/local.json"), r#"{"url":"http://127.0.0.1:1","token":"old"}"#)
        .unwrap();
    let mut client = world.client().await;
    for _ in 0..10 {
        assert!(client.get("/").await.1.starts_with("v1"));
    }
    world.server.appear(world.data.path()).await;
    world.route(vec![arm("v2", 1000, &[backend("v2").await])]).await;
    assert!(client.get("/").await.1.starts_with("v2"));
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("v1").0, 10, "measurements wait for the server");
}
