//! Notification documents and alerts over HTTP: who may, and what is answered.

use reqwest::Method;
use serde_json::{Value, json};
use towpath_server::git::GitLimits;

use crate::delivery::{DOCUMENT, SHOP, document};
use crate::world::World;

const NEWS: &str = "
project: shop
channels:
  releases: { slack: { secret: SLACK_URL } }
routes: [{ on: needs-people, environments: [production], to: releases }]
alerts: { secret: ALERT_TOKEN, rules: [{ environments: [production], labels: { severity: page } }] }
";

fn news(text: &str, dry_run: bool) -> Value {
    json!({"file": "notifications.yaml", "text": text, "dry_run": dry_run})
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_of_what_is_an_admins_to_say_and_for_all_to_see() {
    let world = World::peopled(GitLimits::default()).await;
    let path = format!("{SHOP}/notifications");
    assert_eq!(world.call("vic", Method::GET, &path, Value::Null).await.0, 404, "there is none yet");
    assert_eq!(world.call("rhea", Method::POST, &path, news(NEWS, false)).await.0, 403);
    let (status, refused) =
        world.call("root", Method::POST, &path, news("project: shop\nroute: []", false)).await;
    assert!(
        status == 422 && refused["detail"].as_str().unwrap().contains("notifications.yaml:2"),
        "{refused}"
    );
    let (status, refused) = world.call("root", Method::POST, &path, news("project: vault", false)).await;
    assert!(status == 422 && refused["detail"].as_str().unwrap().contains("is not shop"), "{refused}");
    let (status, tried) = world.call("root", Method::POST, &path, news(NEWS, true)).await;
    assert_eq!((status, &tried["version"]), (200, &json!(0)), "{tried}");
    assert_eq!(tried["unset"], json!(["SLACK_URL", "ALERT_TOKEN"]));
    let (status, applied) = world.call("root", Method::POST, &path, news(NEWS, false)).await;
    assert_eq!((status, &applied["version"]), (200, &json!(1)), "{applied}");
    let (_, again) = world.call("root", Method::POST, &path, news(NEWS, false)).await;
    assert_eq!((&again["version"], &again["changes"]), (&json!(1), &json!([])), "{again}");
    let (status, shown) = world.call("vic", Method::GET, &path, Value::Null).await;
    assert_eq!((status, &shown["channels"][0]["kind"]), (200, &json!("slack")), "{shown}");
    let test = format!("{path}/channels/releases/test");
    assert_eq!(world.call("rhea", Method::POST, &test, Value::Null).await.0, 403);
    let (status, refused) = world.call("root", Method::POST, &test, Value::Null).await;
    assert!(
        status == 409 && refused["detail"].as_str().unwrap().contains("SLACK_URL of shop is not set"),
        "{refused}"
    );
    assert_eq!(world.get(&format!("{path}/deliveries")).await, json!([]));
    let kinds = world.get("/api/v1/timeline").await.to_string();
    assert!(kinds.contains("notifications-applied"), "{kinds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_taken_from_whoever_knows_the_token_and_from_nobody_else() {
    let world = World::peopled(GitLimits::default()).await;
    let applied = world.call("root", Method::POST, &format!("{SHOP}/apply"), document(DOCUMENT, false)).await;
    assert_eq!(applied.0, 200, "{}", applied.1);
    // As Alertmanager sends it.
    let body = json!({
        "version": "4", "status": "firing", "receiver": "towpath", "groupKey": "{}", "truncatedAlerts": 0,
        "alerts": [
            {"status": "firing", "labels": {"alertname": "CheckoutFails", "severity": "page"},
             "annotations": {"summary": "one in ten fails"}, "startsAt": "2026-11-21T20:00:00Z", "fingerprint": "a"},
            {"status": "resolved", "labels": {"alertname": "Other", "severity": "page"}, "annotations": {}},
        ],
    });
    let post = async |token: Option<&str>, body: Value| {
        let request = world.http.post(format!("{}/hooks/shop/alerts", world.url)).json(&body);
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(post(Some("t0ken"), body.clone()).await.0, 401, "no document");
    let news = news(NEWS, false);
    assert_eq!(world.call("root", Method::POST, &format!("{SHOP}/notifications"), news).await.0, 200);
    assert_eq!(post(Some(""), body.clone()).await.0, 401, "the token is not set yet");
    let secret = format!("{SHOP}/secrets/ALERT_TOKEN");
    assert_eq!(world.call("root", Method::PUT, &secret, json!({"value": "t0ken"})).await.0, 200);
    assert_eq!(post(None, body.clone()).await.0, 401);
    assert_eq!(post(Some("wrong"), body.clone()).await.0, 401);
    let (status, said) = post(Some("t0ken"), body).await;
    assert_eq!(
        (status, said.as_str()),
        (200, "shop/production: no Rollout runs that the alert could stop\n"),
        "one of two fires"
    );
    let quiet = json!({"alerts": [{"status": "firing", "labels": {"severity": "info"}}]});
    assert_eq!(post(Some("t0ken"), quiet).await, (200, "no rule fits\n".to_owned()));
    assert_eq!(post(Some("t0ken"), json!({"alert": 1})).await.0, 422);
}
