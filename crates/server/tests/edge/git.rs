//! Push and clone.

use std::time::{Duration, Instant};

use towpath_server::git::GitLimits;

use crate::world::{PASSWORD, World, stderr};

#[tokio::test(flavor = "multi_thread")]
async fn push_answers_on_the_terminal_and_is_cloned_again() {
    let world = World::peopled(GitLimits::default()).await;
    let tree = world.work_tree("tree", b"hello").await;
    let remote = world.remote("dora", PASSWORD, "shop");
    let push = world.git(&tree, &["push", &remote, "main"]).await;
    assert!(push.status.success(), "{}", stderr(&push));
    assert!(stderr(&push).contains("remote: Run shop#1 http://127.0.0.1:"), "{}", stderr(&push));
    let clone =
        world.git(world.dir.path(), &["clone", "-q", &world.remote("vic", PASSWORD, "shop"), "copy"]).await;
    assert!(clone.status.success(), "{}", stderr(&clone));
    assert_eq!(std::fs::read(world.dir.path().join("copy/file")).unwrap(), b"hello");
    let run = world.get("/api/v1/projects/shop/runs/1").await;
    assert_eq!(run["project"], "shop");
    assert_eq!(run["cause"]["actor"]["login"], "dora", "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_why() {
    let world = World::peopled(GitLimits::default()).await;
    let tree = world.work_tree("tree", b"hello").await;
    for (login, password, project, expected) in [
        ("dora", "wrong password", "shop", "Authentication failed"),
        ("vic", PASSWORD, "shop", "needs the role developer"),
        ("dora", PASSWORD, "vault", "there is no project `vault` that you can see"),
        ("dora", PASSWORD, "nothing", "there is no project `nothing` that you can see"),
        ("root", PASSWORD, "nothing", "there is no project `nothing` that you can see"),
    ] {
        let push = world.git(&tree, &["push", &world.remote(login, password, project), "main"]).await;
        assert!(!push.status.success(), "{login} pushed to {project}");
        assert!(stderr(&push).contains(expected), "{login} {project}: {}", stderr(&push));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_of_main_is_not_rewritten() {
    let world = World::peopled(GitLimits::default()).await;
    let tree = world.work_tree("tree", b"hello").await;
    let remote = world.remote("dora", PASSWORD, "shop");
    assert!(world.git(&tree, &["push", &remote, "main", "main:topic"]).await.status.success());
    assert!(world.git(&tree, &["commit", "-q", "--amend", "-m", "other"]).await.status.success());
    let forced = world.git(&tree, &["push", "--force", &remote, "main"]).await;
    assert!(!forced.status.success() && stderr(&forced).contains("non-fast-forward"), "{}", stderr(&forced));
    let topic = world.git(&tree, &["push", "--force", &remote, "main:topic"]).await;
    assert!(topic.status.success(), "{}", stderr(&topic));
    let odd = world.git(&tree, &["push", &remote, "main:refs/heads/--upload-pack=x"]).await;
    assert!(odd.status.success(), "{}", stderr(&odd));
    let delete = world.git(&tree, &["push", &remote, ":main"]).await;
    assert!(!delete.status.success(), "main was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_version_tag_stays_what_it_is() {
    let world = World::peopled(GitLimits::default()).await;
    let tree = world.work_tree("tree", b"hello").await;
    let remote = world.remote("dora", PASSWORD, "shop");
    for tag in ["v1.0.0", "mine"] {
        assert!(world.git(&tree, &["tag", tag]).await.status.success());
        assert!(world.git(&tree, &["push", &remote, tag]).await.status.success());
    }
    assert!(world.git(&tree, &["commit", "-q", "--amend", "-m", "other"]).await.status.success());
    for (tag, taken) in [("v1.0.0", false), ("mine", true)] {
        let moved = world.git(&tree, &["push", "--force", &remote, &format!("HEAD:refs/tags/{tag}")]).await;
        assert_eq!(moved.status.success(), taken, "{tag}: {}", stderr(&moved));
        let gone = world.git(&tree, &["push", &remote, &format!(":refs/tags/{tag}")]).await;
        assert_eq!(gone.status.success(), taken, "{tag}: {}", stderr(&gone));
        assert!(taken || stderr(&gone).contains("refs/tags/v1.0.0 is protected"), "{}", stderr(&gone));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn push_over_the_limit_changes_nothing() {
    let world = World::peopled(GitLimits { push_bytes: 100_000, ..GitLimits::default() }).await;
    let noise: Vec<u8> = (0..400_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let tree = world.work_tree("tree", &noise).await;
    let push = world.git(&tree, &["push", &world.remote("dora", PASSWORD, "shop"), "main"]).await;
    assert!(!push.status.success(), "a push over the limit was taken");
    let refs = world.git(&world.dir.path().join("data/git/shop.git"), &["for-each-ref"]).await;
    assert!(refs.stdout.is_empty(), "refs were changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_git_took_before_a_crash_is_noted_at_the_next_start() {
    let world = World::peopled(GitLimits::default()).await;
    let tree = world.work_tree("tree", b"hello").await;
    let dir = world.stop().await;
    let repository = dir.path().join("data/git/shop.git");
    let world = {
        // As if the server had died between git's commit of the ref and the engine's.
        let push = std::process::Command::new("git")
            .current_dir(&tree)
            .args(["push", "-q", repository.to_str().unwrap(), "main"])
            .output()
            .unwrap();
        assert!(push.status.success());
        World::start(dir, GitLimits::default()).await
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let runs = world.get("/api/v1/projects/shop/runs").await;
        if runs["items"][0]["number"] == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "the push was forgotten: {runs}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
