//! Environments, secrets, promotions and runs over REST: what they answer, and to whom.

use reqwest::Method;
use serde_json::{Value, json};
use towpath_server::git::GitLimits;

use crate::world::{PASSWORD, World};

pub(crate) const SHOP: &str = "/api/v1/projects/shop";

pub(crate) const DOCUMENT: &str = "
project: shop
environment: production
listen: 127.0.0.1:18099
target:
  hosts: { role: web }
gates:
  - approval:
      by: [release-manager]
";

pub(crate) fn document(text: &str, dry_run: bool) -> Value {
    json!({"file": "production.yaml", "text": text, "dry_run": dry_run})
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_tried_applied_and_loosened_only_by_several() {
    let world = World::peopled(GitLimits::default()).await;
    let apply = format!("{SHOP}/apply");
    let (status, tried) = world.call("root", Method::POST, &apply, document(DOCUMENT, true)).await;
    assert_eq!(status, 200, "{tried}");
    assert_eq!(tried[0]["changes"], json!(["environment shop/production is new"]));
    assert_eq!(world.get(&format!("{SHOP}/environments")).await, json!([]), "a dry run changed something");

    assert_eq!(world.call("root", Method::POST, &apply, document(DOCUMENT, false)).await.0, 200);
    let shown = world.get(&format!("{SHOP}/environments/production")).await;
    assert_eq!(shown["environment"]["key"], json!({"project": "shop", "environment": "production"}));
    assert_eq!(shown["environment"]["policy"]["version"], 1);

    let loose = DOCUMENT.split("gates:").next().unwrap();
    let (status, waits) = world.call("root", Method::POST, &apply, document(loose, false)).await;
    assert_eq!((status, &waits[0]["version"]), (200, &json!(1)), "{waits}");
    assert_eq!(waits[0]["pending"]["needs"], json!(["0 of 1 signatures from release-manager"]), "{waits}");
    let changes = format!("{SHOP}/environments/production/policy-changes");
    let waiting = world.get(&changes).await;
    assert_eq!(
        (&waiting[0]["state"], &waiting[0]["author"]),
        (&json!("waiting"), &json!("root")),
        "{waiting}"
    );
    let sign = format!("{changes}/1/approve");
    let seen = json!({"binding": waiting[0]["binding"]});
    let (status, weak) = world.call("dora", Method::POST, &sign, seen.clone()).await;
    let said = "it takes release-manager; dora has the role developer";
    assert!(status == 403 && weak["detail"].as_str().unwrap().contains(said), "{weak}");
    let (status, own) = world.call("root", Method::POST, &sign, seen.clone()).await;
    let said = "root wrote this change, and nobody signs their own";
    assert!(status == 403 && own["detail"].as_str().unwrap().contains(said), "{own}");
    let (status, signed) = world.call("rhea", Method::POST, &sign, seen.clone()).await;
    assert_eq!((status, &signed["state"]), (200, &json!("applied")), "{signed}");
    let (status, late) = world.call("rhea", Method::POST, &sign, seen).await;
    assert_eq!(status, 409, "{late}");
    let shown = world.get(&format!("{SHOP}/environments/production")).await;
    assert_eq!(shown["environment"]["policy"]["version"], 2);
    let (status, refused) = world.call("root", Method::POST, &apply, document("environmen: x", false)).await;
    assert_eq!(status, 422, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("production.yaml:1"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_its_own_and_no_more() {
    let world = World::peopled(GitLimits::default()).await;
    let applied = world.call("root", Method::POST, &format!("{SHOP}/apply"), document(DOCUMENT, false)).await;
    assert_eq!(applied.0, 200, "{}", applied.1);
    let production = format!("{SHOP}/environments/production");
    let promote = json!({"version": "1.0.0"});
    // (who, what, status): 404 and 409 mean that the role was enough and something else was missing.
    for (login, method, path, body, expected) in [
        ("vic", Method::GET, format!("{SHOP}/runs"), Value::Null, 200),
        ("vic", Method::GET, production.clone(), Value::Null, 200),
        ("vic", Method::POST, format!("{SHOP}/runs"), json!({"reference": "main"}), 403),
        ("vic", Method::POST, format!("{production}/promote"), promote.clone(), 403),
        ("vic", Method::PUT, format!("{SHOP}/secrets/KEY"), json!({"value": "x"}), 403),
        ("dora", Method::POST, format!("{SHOP}/runs"), json!({"reference": "main"}), 404),
        ("dora", Method::POST, format!("{production}/promote"), promote, 404),
        ("dora", Method::POST, format!("{SHOP}/apply"), document(DOCUMENT, false), 403),
        ("dora", Method::PUT, format!("{SHOP}/secrets/KEY"), json!({"value": "x"}), 403),
        ("dora", Method::GET, "/api/v1/users".to_owned(), Value::Null, 403),
        ("dora", Method::GET, "/api/v1/doctor".to_owned(), Value::Null, 403),
        // What somebody may not see does not exist for them.
        ("dora", Method::GET, "/api/v1/projects/vault/runs".to_owned(), Value::Null, 404),
        ("root", Method::GET, "/api/v1/doctor".to_owned(), Value::Null, 200),
    ] {
        let (status, answer) = world.call(login, method.clone(), &path, body).await;
        assert_eq!(status, expected, "{login}: {method} {path}: {answer}");
    }
    assert_eq!(world.call("vic", Method::GET, "/api/v1/promotions", Value::Null).await, (200, json!([])));
    let unknown = "/api/v1/promotions/01890a5d-ac96-774b-bcce-b302099a8057/approve";
    assert_eq!(world.call("root", Method::POST, unknown, json!({})).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_go_in_and_never_come_out() {
    let world = World::peopled(GitLimits::default()).await;
    let path = format!("{SHOP}/secrets/LICENSE_KEY");
    assert_eq!(world.call("root", Method::PUT, &path, json!({"value": "first"})).await, (200, json!(1)));
    assert_eq!(world.call("root", Method::PUT, &path, json!({"value": "second-value"})).await.1, json!(2));
    let listed = world.get(&format!("{SHOP}/secrets")).await;
    assert_eq!(listed[0]["name"], "LICENSE_KEY");
    assert_eq!(listed[0]["version"], 2);
    assert!(!listed.to_string().contains("second-value"), "{listed}");
    let timeline = world.get("/api/v1/timeline").await;
    assert!(!timeline.to_string().contains("second-value"), "{timeline}");
    let bytes = std::fs::read(world.dir.path().join("data/towpath.db-wal")).unwrap();
    assert!(
        !bytes.windows(12).any(|window| window == b"second-value"),
        "the value is on the disk in clear text"
    );
    assert_eq!(world.call("root", Method::DELETE, &path, Value::Null).await.0, 204);
    assert_eq!(world.get(&format!("{SHOP}/secrets")).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_broken_file_says_what_is_wrong_and_has_no_logs() {
    let world = World::peopled(GitLimits::default()).await;
    let tree = world.work_tree("tree", b"x").await;
    std::fs::write(tree.join("towpath.yaml"), "jobs:\n  build:\n    step: []\n").unwrap();
    assert!(world.git(&tree, &["add", "."]).await.status.success());
    assert!(world.git(&tree, &["commit", "-q", "-m", "two"]).await.status.success());
    let push = world.git(&tree, &["push", "-q", &world.remote("dora", PASSWORD, "shop"), "main"]).await;
    assert!(push.status.success());
    let run = world.get(&format!("{SHOP}/runs/1")).await;
    assert_eq!(run["state"], "invalid", "{run}");
    assert!(run["diagnostics"][0].as_str().unwrap().contains("towpath.yaml:"), "{run}");
    let (status, log) =
        world.call("vic", Method::GET, &format!("{SHOP}/runs/1/jobs/build/log"), Value::Null).await;
    assert_eq!((status, log["detail"].as_str()), (404, Some("run 1 has no job `build`")));
    let page = world.get(&format!("{SHOP}/runs?limit=1")).await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (1, &Value::Null));
}
