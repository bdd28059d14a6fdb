//! The whole story, as everybody sees it first: real git, real builds, real processes, real traffic.

use std::process::{Command, Stdio};

#[test]
fn the_demo_runs_to_its_end_and_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["demo", "--headless"])
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("All of it really happened"), "{said}");
    assert!(!said.contains('✘'), "{said}");
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "the demo left {left:?}");
}
