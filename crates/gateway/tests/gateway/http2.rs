//! HTTP/2 from clients, with and without encryption, to Instances that speak HTTP/1.1 or HTTP/2.

use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::Request;
use towpath_api::gateway::{Arm, Protocol, Rule, RuleField, Sticky};
use towpath_gateway::Limits;

use crate::process::{Process, serving};
use crate::streams::{self, Streams, text, whole};
use crate::support::{Client, Server, World, arm, backend, eventually, free_address, plain, revision};

pub fn h2c(mut arm: Arm) -> Arm {
    arm.protocol = Protocol::H2c;
    arm
}

#[tokio::test]
async fn a_client_of_http_2_reaches_instances_of_http_1() {
    let mut world = World::start().await;
    world.route(vec![arm("v1", 1000, &[backend("v1").await])]).await;
    let mut client = Streams::connect(world.address).await;
    let (status, body) = client.get("/a?b").await;
    assert_eq!(status, 200);
    assert!(body.starts_with("v1 0 GET /a?b HTTP/1.1\r\n"), "{body}");
    for field in ["host: shop.test\r\n", "x-forwarded-for: 127.0.0.1\r\n", "via: 2 towpath\r\n"] {
        assert!(body.contains(field), "{field:?} is not in {body}");
    }
    let post = Request::post("http://shop.test/").body(whole("hello")).unwrap();
    assert!(text(client.send(post).await).await.starts_with("v1 5 POST / HTTP/1.1"));
    let (sender, body) = streams::pieces();
    let post = Request::post("http://shop.test/").body(body).unwrap();
    let (answer, ()) = tokio::join!(client.send(post), async {
        for piece in ["abc", "defg"] {
            sender.send(hyper::body::Frame::data(piece.into())).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(sender);
    });
    assert!(text(answer).await.starts_with("v1 7 POST / HTTP/1.1"), "a body without a length");
    let head = Request::head("http://shop.test/").body(whole("")).unwrap();
    let head = client.send(head).await;
    assert!(head.status() == 200 && head.headers()["content-length"] != "0", "{head:?}");
    assert_eq!(text(head).await, "");
    assert_eq!(client.get("/broken").await.0, 500);
    let many = (0..100).map(|turn| {
        let mut sender = client.sender.clone();
        tokio::spawn(async move {
            let request = Request::get(format!("http://shop.test/slow/{}", 20 + turn % 30));
            let answer = sender.send_request(request.body(whole("")).unwrap()).await.unwrap();
            assert!(text(answer).await.starts_with("v1"));
        })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert!(Client::connect(world.address).await.get("/").await.1.starts_with("v1"), "beside HTTP/1.1");
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (106, 1, 0));
}

#[tokio::test]
async fn shares_rules_and_sticky_clients_are_the_same_as_with_http_1() {
    let mut world = World::start().await;
    let (stable, candidate) = (streams::backend("stable").await.0, backend("candidate").await);
    // One side speaks HTTP/2, the other does not.
    let arms = || vec![h2c(arm("stable", 900, &[stable])), arm("candidate", 100, &[candidate])];
    world.route(arms()).await;
    let mut client = Streams::connect(world.address).await;
    for _ in 0..1000 {
        assert_eq!(client.get("/").await.0, 200);
    }
    let mut route = plain("production", world.address, arms());
    route.rules = vec![Rule {
        on: RuleField::Header("x-canary".to_owned()),
        equals: "yes".to_owned(),
        revision: revision("candidate"),
    }];
    route.sticky = Some(Sticky { cookie: "side".to_owned(), seconds: 60 });
    world.server.put(route).await;
    let ask = |fields: &[(&str, &str)]| {
        let mut request = Request::get("http://shop.test/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(whole("")).unwrap()
    };
    for _ in 0..5 {
        assert!(text(client.send(ask(&[("x-canary", "yes")])).await).await.starts_with("candidate"));
    }
    let first = client.send(ask(&[])).await;
    let cookie = first.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let side = text(first).await.split(' ').next().unwrap().to_owned();
    for _ in 0..20 {
        let again = client.send(ask(&[("cookie", "other=1"), ("cookie", &cookie)])).await;
        assert!(!again.headers().contains_key("set-cookie"));
        assert!(text(again).await.starts_with(&side), "a client stays where it was");
    }
    drop(client);
    world.stop().await;
    let split: Vec<_> = world.server.deltas("candidate").into_iter().collect();
    let by_weight: u64 =
        split.iter().filter(|it| it.way == towpath_api::gateway::Way::Split).map(|it| it.requests).sum();
    let sticky = if side == "candidate" { 21 } else { 0 };
    assert!((97..=103).contains(&(by_weight - sticky)), "{by_weight} of 1000 by weight");
}

#[tokio::test]
async fn clients_of_http_1_reach_instances_of_http_2_and_nobody_notices_the_change() {
    let mut world = World::start().await;
    let (old, (new, _)) = (backend("old").await, streams::backend("new").await);
    world.route(vec![arm("old", 1000, &[old])]).await;
    let mut kept = world.client().await;
    assert!(kept.get("/").await.1.starts_with("old 0 GET /"));
    world.route(vec![arm("old", 500, &[old]), h2c(arm("new", 500, &[new]))]).await;
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let (head, body) = kept.get("/a?b").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        met.insert(body[..3].to_owned());
    }
    assert_eq!(met.len(), 2, "on the connection that was there before");
    world.route(vec![h2c(arm("new", 1000, &[new]))]).await;
    let (_, body) = kept.get("/a?b").await;
    assert!(body.starts_with("new GET http://shop.test/a?b "), "{body}");
    assert!(body.contains(r#""via": "1.1 towpath""#), "{body}");
    kept.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(kept.receive().await.unwrap().1, "hello");
    kept.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        .await;
    assert_eq!(kept.receive().await.unwrap().1, "hello");
    let mut early = world.client().await;
    early.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let refused = early.receive().await.map(|(head, _)| head);
    assert!(refused.as_ref().is_none_or(|head| head.starts_with("HTTP/1.1 400 ")), "{refused:?}");
    world.route(vec![arm("old", 1000, &[old])]).await;
    let mut fresh = world.client().await;
    assert!(fresh.get("/").await.1.starts_with("old"));
    drop((kept, early, fresh));
    world.stop().await;
    let (old, new) = (world.server.counted("old"), world.server.counted("new"));
    assert_eq!((old.0 + new.0, old.1, new.1), (25, 0, 0));
}

#[tokio::test]
async fn what_speaks_no_http_2_is_told_and_what_is_gone_is_passed_over() {
    let mut world = World::start().await;
    world.route(vec![h2c(arm("wrong", 1000, &[backend("wrong").await]))]).await;
    let mut client = Streams::connect(world.address).await;
    let (status, body) = client.get("/").await;
    assert!(status == 502 && body.contains("broke the connection"), "{status} {body}");
    let (alive, _) = streams::backend("v1").await;
    world.route(vec![h2c(arm("v1", 1000, &[free_address(), alive]))]).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.0, 200);
    }
    world.route(vec![h2c(arm("dead", 1000, &[free_address()]))]).await;
    assert_eq!(client.get("/").await.0, 502);
    world.route(Vec::new()).await;
    let (status, body) = client.get("/").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "Towpath gateway: nothing is deployed to shop/production yet\n")
    );
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("wrong"), (1, 1, 1));
    assert_eq!(world.server.counted("v1"), (20, 0, 0));
}

#[tokio::test]
async fn requests_share_connections_to_an_instance_and_a_slow_reader_stops_nobody() {
    let mut world = World::start().await;
    let (address, seen) = streams::backend("v1").await;
    world.route(vec![h2c(arm("v1", 1000, &[address]))]).await;
    let mut client = Streams::connect(world.address).await;
    let at_once: Vec<_> = (0..60)
        .map(|_| {
            let mut sender = client.sender.clone();
            tokio::spawn(async move {
                let request = Request::get("http://shop.test/").body(whole("")).unwrap();
                text(sender.send_request(request).await.unwrap()).await
            })
        })
        .collect();
    for one in at_once {
        assert!(one.await.unwrap().starts_with("v1"));
    }
    assert_eq!(seen.connections.load(Relaxed), 1, "sixty at once over one connection");
    let large = 64 * 1024 * 1024;
    let mut lazy = Streams::connect(world.address).await;
    let request = Request::get(format!("http://shop.test/bytes/{large}")).body(whole("")).unwrap();
    let unread = lazy.send(request).await;
    for _ in 0..100 {
        assert_eq!(client.get("/").await.0, 200, "while another's response waits for its reader");
    }
    let whole = unread.into_body().collect().await.unwrap().to_bytes();
    assert!(whole.len() == large && whole.iter().all(|&byte| byte == 7), "{} bytes", whole.len());
    drop((client, lazy));
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (161, 0, 0));
}

#[tokio::test]
async fn what_rests_for_too_long_is_cut_and_is_the_fault_of_whom_it_waits_for() {
    let limits = Limits { idle: Duration::from_millis(400), ..Limits::default() };
    let mut world = World::with(limits).await;
    let (address, seen) = streams::backend("v1").await;
    world.route(vec![h2c(arm("v1", 1000, &[address]))]).await;
    let mut client = Streams::connect(world.address).await;
    let (status, body) = client.get("/hang").await;
    assert!(status == 504 && body.contains("did not answer in time"), "{status} {body}");
    let begun = client.send(Request::get("http://shop.test/begin").body(whole("")).unwrap()).await;
    assert!(begun.into_body().collect().await.is_err(), "it never goes on");
    let (sender, body) = streams::pieces();
    sender.send(hyper::body::Frame::data("he".into())).unwrap();
    let stalled = client.send(Request::post("http://shop.test/hang").body(body).unwrap()).await;
    assert_eq!(stalled.status(), 408, "half a request");
    drop(sender);
    let unread = client.send(Request::get("http://shop.test/bytes/67108864").body(whole("")).unwrap()).await;
    eventually("all four have ended for the instance", || (seen.left.load(Relaxed) == 4).then_some(())).await;
    assert!(unread.into_body().collect().await.is_err(), "its reader took nothing");
    assert_eq!(client.get("/").await.0, 200, "on the same connection");
    drop(client);
    world.stop().await;
    assert_eq!(world.server.counted("v1"), (5, 2, 1));
}

#[tokio::test]
async fn a_change_of_routes_and_a_drain_lose_no_request() {
    let mut world = World::start().await;
    let (a, (b, _)) = (backend("a").await, streams::backend("b").await);
    world.route(vec![arm("a", 1000, &[a])]).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (address, stop) = (world.address, std::sync::Arc::clone(&stop));
            tokio::spawn(async move {
                let mut client = Streams::connect(address).await;
                let mut count = 0u64;
                while !stop.load(Relaxed) {
                    assert_eq!(client.get("/").await.0, 200);
                    count += 1;
                }
                count
            })
        })
        .collect();
    for turn in 0..60u16 {
        let arms = match turn % 3 {
            0 => vec![arm("a", 1000, &[a])],
            1 => vec![h2c(arm("b", 1000, &[b]))],
            _ => vec![arm("a", 300, &[a]), h2c(arm("b", 700, &[b]))],
        };
        world.route(arms).await;
    }
    stop.store(true, Relaxed);
    let mut requests = 0;
    for one in load {
        requests += one.await.unwrap();
    }
    world.route(vec![arm("a", 1000, &[a])]).await;
    let (mut resting, mut busy) =
        (Streams::connect(world.address).await, Streams::connect(world.address).await);
    assert_eq!(resting.get("/").await.0, 200);
    let begun = Instant::now();
    let slow = Request::get("http://shop.test/slow/1500").body(whole("")).unwrap();
    let answer = tokio::spawn(busy.sender.send_request(slow));
    let server = world.server.clone();
    eventually("it is under way", || server.deltas("a").iter().any(|it| it.in_flight == 1).then_some(()))
        .await;
    let ((), ()) = tokio::join!(world.stop(), async {
        resting.connection.await.unwrap().expect("a connection that rests ends in good order");
        assert!(begun.elapsed() < Duration::from_millis(1400), "and is not waited for");
        assert!(text(answer.await.unwrap().unwrap()).await.starts_with("a 0 GET"), "what was under way ends");
        busy.connection.await.unwrap().expect("and so does its connection");
    });
    let counted = (world.server.counted("a"), world.server.counted("b"));
    assert_eq!((counted.0.0 + counted.1.0, counted.0.1 + counted.1.1), (requests + 2, 0));
}

#[tokio::test]
async fn an_upgrade_of_the_gateway_loses_no_request_of_http_2() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path()).await;
    let address = free_address();
    let mut gateway = Process::start(data.path(), "1.0.0");
    server.route(address, vec![h2c(arm("v1", 1000, &[streams::backend("v1").await.0]))]).await;
    let upgrades = async {
        for version in ["1.1.0", "1.2.0"] {
            let mut successor = Process::start(data.path(), version);
            serving(data.path(), version).await;
            eventually("the older gateway has drained", || gateway.has_ended().then_some(())).await;
            std::mem::swap(&mut gateway, &mut successor);
        }
    };
    let (mut requests, mut connections) = (0u32, 0u32);
    let clients = async {
        loop {
            let mut client = Streams::connect(address).await;
            connections += 1;
            loop {
                let request = Request::get("http://shop.test/").body(whole("")).unwrap();
                match client.sender.try_send_request(request).await {
                    Ok(response) => {
                        assert!(text(response).await.starts_with("v1"));
                        requests += 1;
                    }
                    // The gateway said that it ends; nothing of the request was sent.
                    Err(mut unsent) => {
                        assert!(unsent.take_message().is_some(), "{}", unsent.error());
                        break;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = upgrades => {}
        () = clients => {}
    }
    assert!(requests > 20 && connections >= 2, "{requests} requests over {connections} connections");
}

#[tokio::test]
async fn curl_speaks_it_without_being_told_how() {
    let has_it = Command::new("curl")
        .arg("--version")
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("HTTP2"));
    if !has_it {
        eprintln!("SKIPPED: no curl with HTTP/2 here; `apt install curl`");
        return;
    }
    let world = World::start().await;
    world.route(vec![arm("v1", 1000, &[backend("v1").await])]).await;
    let url = format!("http://{}/a", world.address);
    for (words, version) in [(&["--http2-prior-knowledge"][..], "2"), (&["--http2"], "1.1"), (&[], "1.1")] {
        let (words, url) = (words.to_vec(), url.clone());
        let output = tokio::task::spawn_blocking(move || {
            Command::new("curl")
                .args(["-sS", "-m", "20", "-w", "\n%{http_version}"])
                .args(words)
                .arg(url)
                .output()
        });
        let output = output.await.unwrap().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.starts_with("v1 0 GET /a HTTP/1.1"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.ends_with(&format!("\n{version}")), "{text}");
    }
}
