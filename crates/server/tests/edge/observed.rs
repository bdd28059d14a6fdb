//! What gateways said and which documents were applied, as the API tells it, and to whom.

use reqwest::Method;
use serde_json::{Value, json};
use towpath_server::git::GitLimits;

use crate::delivery::{DOCUMENT, SHOP, document};
use crate::world::World;

/// A world whose shop has the Environment `production`.
async fn production() -> (World, String) {
    let world = World::peopled(GitLimits::default()).await;
    let (status, applied) =
        world.call("root", Method::POST, &format!("{SHOP}/apply"), document(DOCUMENT, false)).await;
    assert_eq!(status, 200, "{applied}");
    (world, format!("{SHOP}/environments/production"))
}

async fn sees(world: &World, login: &str, path: &str) -> (u16, Value) {
    world.call(login, Method::GET, path, Value::Null).await
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_are_shown_as_they_were_last_seen_to_those_who_look_after_them() {
    let world = World::peopled(GitLimits::default()).await;
    assert_eq!(sees(&world, "root", "/api/v1/gateways").await, (200, json!([])));
    let poll = json!({
        "gateway": "local", "session": "01890a5d-ac96-774b-bcce-b302099a8057", "version": "0.1.0",
        "generation": 1_000_000, "applied": [], "wait_ms": 0,
    });
    world.post("/gateway/v1/poll", poll, 200).await;
    let (status, found) = sees(&world, "root", "/api/v1/gateways").await;
    assert_eq!((status, found.as_array().map(Vec::len)), (200, Some(1)), "{found}");
    assert_eq!((&found[0]["name"], &found[0]["version"]), (&json!("local"), &json!("0.1.0")));
    let seen: jiff::Timestamp = found[0]["seen_at"].as_str().unwrap().parse().unwrap();
    assert!(seen <= jiff::Timestamp::now(), "{seen}");
    assert_eq!(sees(&world, "dora", "/api/v1/gateways").await.0, 403, "agents and gateways are an admin's");
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_add_up_what_gateways_measured_and_count_a_repeated_report_once() {
    let (world, production) = production().await;
    let totals = format!("{production}/totals");
    assert_eq!(sees(&world, "vic", &totals).await, (200, json!([])), "nothing was measured yet");
    let revision = format!("sha256:{}", "5a".repeat(32));
    let report = |sequence: u64, requests: u64, errors: u64| {
        let to = jiff::Timestamp::now();
        let from = to.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
        json!({
            "gateway": "local", "session": "01890a5d-ac96-774b-bcce-b302099a8057", "sequence": sequence,
            "deltas": [{
                "environment": {"project": "shop", "environment": "production"}, "revision": revision,
                "from": from, "to": to, "generation": 1, "weight": 1000, "started": requests,
                "requests": requests, "errors": errors, "gateway_errors": 1, "latency": [requests], "in_flight": 0,
            }],
        })
    };
    for (sequence, requests, errors) in [(1, 100, 3), (1, 100, 3), (2, 40, 1)] {
        world.post("/gateway/v1/measurements", report(sequence, requests, errors), 204).await;
    }
    let (status, found) = sees(&world, "vic", &totals).await;
    let expected =
        json!([{"revision": revision, "way": "split", "requests": 140, "errors": 4, "gateway_errors": 2}]);
    assert_eq!((status, &found), (200, &expected));
    assert_eq!(sees(&world, "vic", &format!("{SHOP}/environments/nowhere/totals")).await.0, 404);
    let vault = "/api/v1/projects/vault/environments/production/totals";
    assert_eq!(sees(&world, "vic", vault).await.0, 404, "what somebody may not see does not exist for them");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_a_document_is_kept_as_it_was_applied() {
    let (world, production) = production().await;
    let second = format!("{DOCUMENT}values: {{ GREETING: hello }}\n");
    let apply = document(&second, false);
    assert_eq!(world.call("root", Method::POST, &format!("{SHOP}/apply"), apply).await.0, 200);
    let (status, found) = sees(&world, "vic", &format!("{production}/documents")).await;
    assert_eq!(status, 200, "{found}");
    let versions: Vec<_> = found.as_array().unwrap().iter().map(|each| &each["version"]).collect();
    assert_eq!(versions, [&json!(2), &json!(1)], "newest first");
    assert_eq!((&found[0]["source"], &found[1]["source"]), (&json!(second), &json!(DOCUMENT)));
    assert_eq!(found[0]["applied_by"], "root");
    assert_eq!(sees(&world, "vic", &format!("{SHOP}/environments/nowhere/documents")).await.0, 404);
}
