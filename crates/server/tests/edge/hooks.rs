//! Webhooks over real HTTP: forged, unknown, too large, repeated, and one that starts a look.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use towpath_server::git::GitLimits;

use crate::world::{PASSWORD, World, stderr};

const PUSH: &[u8] = include_bytes!("../fixtures/github-push.json");

/// Sends a body to the hook of a project as GitHub does, and gives status and text.
async fn send(world: &World, project: &str, secret: &str, delivery: &str, body: &[u8]) -> (u16, String) {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let request = world.http.post(format!("{}/hooks/{project}", world.url));
    let request = request.header("x-github-event", "push").header("x-github-delivery", delivery);
    let request = request.header("x-hub-signature-256", signature).body(body.to_vec());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_says_look_and_a_forged_one_says_nothing() {
    let world = World::peopled(GitLimits::default()).await;
    let upstream = world.work_tree("upstream", b"one").await;
    let put = |login: &'static str, url: String| {
        let request = world.http.put(format!("{}/api/v1/projects/shop/source", world.url));
        let request = request.basic_auth(login, Some(PASSWORD));
        request.json(&json!({"url": url, "forge": "github", "poll": 0})).send()
    };
    // Neither a developer nor another transport makes a mirror.
    assert_eq!(put("dora", "https://example.com/o/r".to_owned()).await.unwrap().status(), 403);
    assert_eq!(put("root", "ext::sh -c id".to_owned()).await.unwrap().status(), 422);
    let url = format!("file://{}", upstream.display());
    assert_eq!(put("root", url).await.unwrap().status(), 200);
    let hook = world.post("/api/v1/projects/shop/source/hook", json!(null), 200).await;
    let secret = hook["secret"].as_str().unwrap();
    assert_eq!(hook["url"], format!("{}/hooks/shop", world.url));

    let unknown = send(&world, "nothing", secret, "1", PUSH).await;
    let forged = send(&world, "shop", "guessed", "1", PUSH).await;
    assert_eq!((forged.0, unknown.0), (401, 401));
    // Whether there is such a project cannot be told from the answer.
    assert_eq!(forged.1, unknown.1);
    let large = vec![b' '; (4 << 20) + 1];
    assert_eq!(send(&world, "shop", secret, "1", &large).await.0, 413);

    let (status, text) = send(&world, "shop", secret, "1", PUSH).await;
    assert_eq!(status, 200, "{text}");
    let (status, text) = send(&world, "shop", secret, "1", PUSH).await;
    assert_eq!((status, text.contains("came before")), (200, true), "{text}");
    let (status, text) = send(&world, "shop", secret, "2", PUSH).await;
    assert_eq!((status, text.contains("these very bytes came before")), (200, true), "{text}");

    // The mirror has what the source has, and nobody pushes to it.
    let source = world.get("/api/v1/projects/shop/source").await;
    assert!(source["contact_at"].is_string() && source["error"] == "", "{source}");
    assert_eq!(source["token"], false);
    let refused = world.git(&upstream, &["push", &world.remote("dora", PASSWORD, "shop"), "main"]).await;
    assert!(stderr(&refused).contains("mirrors file://"), "{}", stderr(&refused));
    world.stop().await;
}
