//! A large push, alone in its process: the peak that is measured is nobody else's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use towpath_server::git::GitLimits;

#[path = "../edge/world.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use the rest")]
mod world;

use world::{PASSWORD, World, stderr};

#[tokio::test(flavor = "multi_thread")]
async fn hundred_megabytes_pass_with_bounded_memory() {
    let world = World::peopled(GitLimits::default()).await;
    let mut noise = vec![0_u8; 100 << 20];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for chunk in noise.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    let tree = world.work_tree("tree", &noise).await;
    drop(noise);
    let before = peak_memory();
    let push = world.git(&tree, &["push", &world.remote("dora", PASSWORD, "shop"), "main"]).await;
    assert!(push.status.success(), "{}", stderr(&push));
    let grown = peak_memory().saturating_sub(before);
    // The noise itself set the peak; the push must not come near holding the pack beside it.
    assert!(grown < 50 << 10, "the peak grew by {grown} KiB");
}

/// The most memory that this process ever held, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
