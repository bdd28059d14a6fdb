//! What Prometheus reads, and who may.

use reqwest::Method;
use serde_json::{Value, json};
use towpath_server::git::GitLimits;

use crate::delivery::{DOCUMENT, SHOP, document};
use crate::world::{PASSWORD, World};

/// The value of a sample.
fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_tokens_of_people_who_see_everything() {
    let world = World::peopled(GitLimits::default()).await;
    let url = format!("{}/metrics", world.url);
    let scrape = async |token: &str| {
        let response = world.http.get(&url).bearer_auth(token).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(world.http.get(&url).send().await.unwrap().status().as_u16(), 401);
    assert_eq!(world.call("vic", Method::GET, "/metrics", Value::Null).await.0, 403, "of one project alone");
    let new = json!({"name": "prometheus", "scopes": ["metrics"]});
    let (status, made) = world.call("root", Method::POST, "/api/v1/tokens", new).await;
    assert_eq!(status, 201, "{made}");
    let token = made["secret"].as_str().unwrap();
    let applied = world.call("root", Method::POST, &format!("{SHOP}/apply"), document(DOCUMENT, false)).await;
    assert_eq!(applied.0, 200, "{}", applied.1);
    let incident = json!({"environment": "production", "title": "checkout fails"});
    let (status, opened) = world.call("dora", Method::POST, &format!("{SHOP}/incidents"), incident).await;
    assert_eq!((status, &opened["number"], &opened["version"]), (201, &json!(1), &Value::Null), "{opened}");
    let (status, text) = scrape(token).await;
    assert_eq!(status, 200, "{text}");
    for (sample, expected) in [
        ("towpath_queue_waiting", 0.0),
        ("towpath_incidents_open{project=\"shop\"}", 1.0),
        ("towpath_delivery_deployments{project=\"shop\"}", 0.0),
        ("towpath_delivery_deployments{project=\"vault\"}", 0.0),
        ("towpath_delivery_projects_left_out", 0.0),
        ("towpath_agents{state=\"connected\"}", 0.0),
    ] {
        assert_eq!(value(&text, sample), Some(expected), "{sample} in {text}");
    }
    assert!(
        value(&text, "towpath_http_responses_total{class=\"2xx\"}").is_some_and(|count| count > 3.0),
        "{text}"
    );
    // Every line is a comment or a sample, and every sample has its type before it.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, number) = line.rsplit_once(' ').unwrap();
        assert!(number.parse::<f64>().is_ok(), "{line}");
        let name = sample.split('{').next().unwrap();
        assert!(text.contains(&format!("# TYPE {name} ")), "{line}");
    }
    // The token is good for nothing else.
    let response = world.http.get(format!("{}{SHOP}", world.url)).bearer_auth(token).send().await.unwrap();
    assert!([403, 404].contains(&response.status().as_u16()), "{response:?}");
    let close = format!("{SHOP}/incidents/1/close");
    assert_eq!(world.call("vic", Method::POST, &close, json!({})).await.0, 403);
    let (status, closed) = world.call("dora", Method::POST, &close, json!({"comment": "a cable"})).await;
    assert_eq!((status, &closed["comment"]), (200, &json!("a cable")), "{closed}");
    assert_eq!(world.call("dora", Method::POST, &close, json!({})).await.0, 409);
    let listed = world.get(&format!("{SHOP}/incidents")).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_open_to_this_host_alone_where_the_operator_says_so() {
    let world = World::with_open_metrics().await;
    let url = format!("{}/metrics", world.url);
    let text = world.http.get(&url).send().await.unwrap().text().await.unwrap();
    assert!(value(&text, "towpath_effects_waiting").is_some(), "{text}");
    // Somebody else's request that a proxy of this host passes on.
    let passed_on = world.http.get(&url).header("x-forwarded-for", "203.0.113.7").send().await.unwrap();
    assert_eq!(passed_on.status().as_u16(), 401);
    let wrong = world.http.get(format!("{}/api/v1/projects", world.url)).basic_auth("root", Some(PASSWORD));
    assert_eq!(wrong.send().await.unwrap().status().as_u16(), 401);
}
