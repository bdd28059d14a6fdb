//! Runs that other servers exported, as they are sent, shown and refused.

use std::io::Read as _;

use serde_json::{Value, json};
use towpath_artifact::portable::{Head, What, Writer};
use towpath_server::git::GitLimits;

use crate::world::{PASSWORD, World};

const HOSTILE: &str = "<script>alert('x')</script>";

/// What another server says of a Run that failed.
fn run() -> Value {
    let at = "2026-03-01T10:00:00Z";
    let attempt = json!({
        "id": "0192f0c1-aaaa-7cc2-9d5e-6f1f3a2b4c5d", "number": 1, "state": "failed", "fence": 1,
        "agent": HOSTILE, "isolation": "host", "steps": [
            { "name": "make", "state": { "type": "failed", "code": 3 }, "started_at": at, "finished_at": at },
        ],
        "queued_at": at, "started_at": at, "finished_at": at, "message": HOSTILE, "reported": 3,
        "tests": null, "log_bytes": 8,
    });
    json!({
        "id": "0192f0c1-bbbb-7cc2-9d5e-6f1f3a2b4c5d", "project": "till", "number": 7, "directory": "",
        "cause": {
            "event": "push", "reference": "refs/heads/main", "commit": "4f1c2ab0".repeat(5), "subject": HOSTILE,
            "author": "Ada <a@example.org>", "makers": [], "actor": { "type": "towpath" },
        },
        "trust": "protected", "pipeline_digest": null, "diagnostics": [], "source": null, "state": "failed",
        "reason": "job `build` failed", "release": { "digest": format!("sha256:{}", "0".repeat(64)), "version": "9.9.9" },
        "created_at": at, "finished_at": at,
        "jobs": [{
            "name": "build", "needs": [], "state": "failed", "reason": "exit code 3", "steps": ["make"],
            "group_granted": false, "attempts": [attempt], "outputs": {}, "artifacts": {},
        }],
    })
}

/// A file of that Run.
fn file(run: &Value, log: &str, of: (&str, u32)) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(directory.path()).unwrap();
    writer.add(What::Run, &mut run.to_string().as_bytes()).unwrap();
    writer.add(What::Log { job: of.0.into(), attempt: of.1 }, &mut log.as_bytes()).unwrap();
    let head = Head {
        towpath: "0.1.0".into(),
        instance: HOSTILE.into(),
        exported_at: "2026-03-01T11:00:00Z".parse().unwrap(),
        exported_by: "ada".into(),
        project: "till".into(),
        run: 7,
    };
    let mut out = Vec::new();
    writer.finish(head).unwrap().read_to_end(&mut out).unwrap();
    out
}

async fn send(world: &World, token: &str, bytes: Vec<u8>) -> (u16, Value) {
    let url = format!("{}/api/v1/projects/shop/runs/import", world.url);
    let answer = world.http.post(url).bearer_auth(token).body(bytes).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn text(world: &World, path: &str) -> (u16, String) {
    let request = world.http.get(format!("{}{path}", world.url)).bearer_auth(world.local());
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_run_is_shown_marked_and_harmless() {
    let world = World::peopled(GitLimits::default()).await;
    let log = format!("2026-03-01T10:00:00.000001Z 00o {HOSTILE}\n2026-03-01T10:00:00.000002Z 00e two\n");
    let good = file(&run(), &log, ("build", 1));
    let (status, made) = send(&world, &world.local(), good.clone()).await;
    assert_eq!((status, &made["number"]), (201, &json!(1)), "{made}");
    let (status, again) = send(&world, &world.local(), good.clone()).await;
    assert_eq!((status, &again["number"]), (200, &json!(1)), "{again}");

    let (_, page) = text(&world, "/p/shop").await;
    assert!(page.contains("/p/shop/imported/1") && page.contains("imported 1"), "{page}");
    let (status, page) = text(&world, "/p/shop/imported/1").await;
    assert_eq!(status, 200);
    for expected in
        ["till#7", "It cannot be deployed", "exit code 3", "9.9.9", "/p/shop/imported/1/log?job=build"]
    {
        assert!(page.contains(expected), "`{expected}` is not in\n{page}");
    }
    assert!(!page.contains("<script>alert") && !page.contains("/releases/9.9.9"), "{page}");
    let (_, lines) = text(&world, "/p/shop/imported/1/log?job=build&attempt=1&from=-1&limit=5").await;
    assert!(lines.contains("id=\"L2\"") && lines.contains("two") && !lines.contains("id=\"L1\""), "{lines}");
    assert_eq!(text(&world, "/api/v1/projects/shop/imported/1/log?job=build&attempt=1").await, (200, log));
    assert_eq!(text(&world, "/p/shop/imported/1/log?job=other&attempt=1").await.0, 404);
    let whole = world.http.get(format!("{}/api/v1/projects/shop/imported/1/file", world.url));
    let whole = whole.bearer_auth(world.local()).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(whole, good, "the file is given back as it came");

    // Nothing that counts or delivers knows it.
    for (path, items) in [("runs", "/items"), ("releases", "/items"), ("failures", "")] {
        let listed = world.get(&format!("/api/v1/projects/shop/{path}")).await;
        assert_eq!(
            listed.pointer(items).and_then(Value::as_array).map(Vec::len),
            Some(0),
            "{path}: {listed}"
        );
    }

    let remove = world.http.delete(format!("{}/api/v1/projects/shop/imported/1", world.url));
    assert_eq!(remove.bearer_auth(world.local()).send().await.unwrap().status(), 204);
    assert_eq!(text(&world, "/p/shop/imported/1").await.0, 404);
    let (status, anew) = send(&world, &world.local(), good).await;
    assert_eq!((status, &anew["number"]), (201, &json!(2)), "a number is never given twice: {anew}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_run_is_refused_and_leaves_nothing() {
    let world = World::peopled(GitLimits::default()).await;
    let with = |pointer: &str, value: Value| {
        let mut run = run();
        *run.pointer_mut(pointer).unwrap() = value;
        run
    };
    let mut twice = run();
    let job = twice["jobs"][0].clone();
    twice["jobs"].as_array_mut().unwrap().push(job);
    let steps: Vec<Value> =
        (0..20_001).map(|_| json!({ "name": "s", "state": { "type": "passed" } })).collect();
    let mut changed = file(&run(), "0123456789", ("build", 1));
    let at = changed.windows(10).position(|window| window == b"0123456789").unwrap();
    changed[at] = b'x';
    let whole = file(&run(), "log", ("build", 1));
    let cases = [
        (b"hello".to_vec(), "not an exported run"),
        (whole[..whole.len() / 2].to_vec(), "cut off"),
        (changed, "was changed or damaged"),
        (file(&run(), "log", ("build", 2)), "is of an attempt that its run does not have"),
        (file(&run(), "log", ("../../etc/passwd", 1)), "is of an attempt that its run does not have"),
        (file(&with("/state", json!("running")), "log", ("build", 1)), "its run goes on"),
        (file(&with("/state", json!("deployed")), "log", ("build", 1)), "was not understood"),
        (file(&with("/number", json!(8)), "log", ("build", 1)), "are of different runs"),
        (file(&twice, "log", ("build", 1)), "has a job twice"),
        (file(&with("/jobs/0/attempts/0/steps", json!(steps)), "log", ("build", 1)), "20001 steps"),
        (
            file(&with("/cause/subject", json!("x".repeat(70_000))), "log", ("build", 1)),
            "longer than 65536 bytes",
        ),
    ];
    for (bytes, expected) in cases {
        let (status, said) = send(&world, &world.local(), bytes).await;
        let said = said["detail"].as_str().unwrap_or_default().to_owned();
        assert!(status == 422 && said.contains(expected), "{status} {said}\nshould say: {expected}");
    }
    for hostile in towpath_artifact::testing::corpus(world.dir.path()) {
        let (status, said) = send(&world, &world.local(), hostile.tar).await;
        assert_eq!(status, 422, "{}: {said}", hostile.name);
    }
    assert_eq!(world.get("/api/v1/projects/shop/imported").await["items"], json!([]));
    let kept = std::fs::read_dir(world.dir.path().join("data/imported/blobs/sha256")).unwrap().count();
    assert_eq!(kept, 0, "what was refused is kept");

    // Whoever may only look sends nothing.
    let url = format!("{}/api/v1/projects/shop/runs/import", world.url);
    let refused = world.http.post(url).basic_auth("vic", Some(PASSWORD)).body(whole).send().await.unwrap();
    assert_eq!(refused.status(), 403);
}
