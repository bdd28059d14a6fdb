//! Who gets which request beside the weights: sticky clients, routes, the preview address.

use std::collections::BTreeMap;

use crate::support::{Client, World, arm, backend, free_address, plain, revision};
use towpath_api::gateway::{Preview, Rule, RuleField, Sticky, Way};

fn sticky() -> Option<Sticky> {
    Some(Sticky { cookie: "arm".to_owned(), seconds: 60 })
}

#[tokio::test]
async fn clients_stay_and_a_greater_weight_only_adds_some_to_the_candidate() {
    let world = World::start().await;
    let (stable, candidate) = (backend("stable").await, backend("candidate").await);
    let weigh = |weight| {
        let arms = vec![arm("candidate", weight, &[candidate]), arm("stable", 1000 - weight, &[stable])];
        let mut route = plain("production", world.address, arms);
        route.sticky = sticky();
        route
    };
    world.server.put(weigh(200)).await;
    let mut client = world.client().await;
    let mut before = BTreeMap::new();
    for _ in 0..200 {
        let (head, body) = client.get("/").await;
        let cookie =
            head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a number").to_owned();
        let (value, rest) = cookie.split_once(';').expect("attributes");
        assert_eq!(rest, " Max-Age=60; Path=/; HttpOnly; SameSite=Lax");
        before.insert(value.to_owned(), body.starts_with("candidate"));
    }
    let on_candidate = before.values().filter(|on| **on).count();
    assert!((15..=70).contains(&on_candidate), "20 % of 200 are 40, not {on_candidate}");
    world.server.put(weigh(600)).await;
    for (cookie, was) in &before {
        client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: x=1; {cookie}\r\n\r\n")).await;
        let (head, body) = client.receive().await.expect("an answer");
        assert!(!head.contains("set-cookie"), "{head}");
        assert!(!was || body.starts_with("candidate"), "{cookie} was taken away again");
    }
    world.route(vec![arm("candidate", 1000, &[candidate])]).await;
    assert!(!client.get("/").await.0.contains("set-cookie"), "there is no choice");
}

#[tokio::test]
async fn routes_decide_before_weights_and_are_measured_apart() {
    let mut world = World::start().await;
    let (stable, candidate) = (backend("stable").await, backend("candidate").await);
    let arms = vec![arm("candidate", 0, &[candidate]), arm("stable", 1000, &[stable])];
    let mut route = plain("production", world.address, arms);
    let rule = |on, equals: &str, to| Rule { on, equals: equals.to_owned(), revision: revision(to) };
    route.rules = vec![
        rule(RuleField::Cookie("side".to_owned()), "b", "candidate"),
        rule(RuleField::Header("X-Canary".to_owned()), "yes", "candidate"),
        rule(RuleField::Header("X-Canary".to_owned()), "gone", "nobody"),
    ];
    world.server.put(route).await;
    let mut client = world.client().await;
    for (field, side) in [
        ("X-Canary: yes\r\n", "candidate"),
        ("x-canary: yes\r\n", "candidate"),
        ("Cookie: a=1; side=b\r\n", "candidate"),
        ("X-Canary: no\r\n", "stable"),
        ("X-Canary: yes!\r\n", "stable"),
        ("X-Canary: gone\r\n", "stable"),
        ("Cookie: side=bb\r\n", "stable"),
        ("", "stable"),
    ] {
        client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n")).await;
        assert!(client.receive().await.expect("an answer").1.starts_with(side), "{field:?}");
    }
    drop(client);
    world.stop().await;
    let came = |name, way| -> u64 {
        let deltas = world.server.deltas(name).into_iter().filter(|delta| delta.way == way);
        deltas.map(|delta| delta.requests).sum()
    };
    assert_eq!((came("candidate", Way::Routed), came("candidate", Way::Split)), (3, 0));
    assert_eq!((came("stable", Way::Routed), came("stable", Way::Split)), (0, 5));
}

#[tokio::test]
async fn the_preview_address_reaches_the_candidate_alone() {
    let mut world = World::start().await;
    let (stable, candidate) = (backend("stable").await, backend("candidate").await);
    let listen = free_address();
    let shown = |arm| {
        let mut route =
            plain("production", world.address, vec![super::support::arm("stable", 1000, &[stable])]);
        route.preview = Some(Preview { listen, arm });
        route
    };
    world.server.put(shown(None)).await;
    let mut preview = Client::connect(listen).await;
    let (head, body) = preview.get("/").await;
    assert!(head.starts_with("HTTP/1.1 503 ") && body.contains("nothing to preview"), "{head}{body}");
    world.server.put(shown(Some(arm("candidate", 0, &[candidate])))).await;
    assert!(preview.get("/").await.1.starts_with("candidate"), "on the same connection");
    assert!(world.client().await.get("/").await.1.starts_with("stable"));
    world.server.put(shown(None)).await;
    assert!(preview.get("/").await.0.starts_with("HTTP/1.1 503 "));
    drop(preview);
    world.stop().await;
    let ways: Vec<(Way, u64)> =
        world.server.deltas("candidate").iter().map(|delta| (delta.way, delta.requests)).collect();
    assert!(!ways.is_empty() && ways.iter().all(|(way, _)| *way == Way::Preview), "{ways:?}");
    assert_eq!(ways.iter().map(|(_, requests)| requests).sum::<u64>(), 1);
}
