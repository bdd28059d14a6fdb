//! What a confined Step cannot do.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::process::{Command, Stdio};

use support::{Bench, helper, step};
use towpath_agent::sandbox::Isolation;
use towpath_api::agent::AttemptOutcome;

/// Every confinement that works on this host; which ones do not is said aloud.
fn isolations() -> Vec<Isolation> {
    let mut found = Vec::new();
    match Isolation::detect(&helper()) {
        Ok(bubblewrap @ Isolation::Bubblewrap { .. }) => found.push(bubblewrap),
        other => eprintln!("SKIPPED: bubblewrap is not tested here: {other:?}"),
    }
    match Isolation::landlock(&helper()) {
        Ok(landlock) => found.push(landlock),
        Err(error) => eprintln!("SKIPPED: Landlock is not tested here: {error}"),
    }
    found
}

#[test]
fn ordinary_work_works() {
    for isolation in isolations() {
        let name = isolation.name();
        let bench = Bench::new(isolation);
        let (ended, recorder) = bench.run(&[step(
            "echo hi > file; mkdir -p \"$HOME/.config\"; mktemp >/dev/null; cat /etc/passwd >/dev/null; \
             echo x > /dev/null; ls /usr/bin >/dev/null; echo y > \"$XDG_CACHE_HOME-probe\" || true; cat file",
        )]);
        assert_eq!(ended.outcome, AttemptOutcome::Passed, "{name}: {} {}", ended.message, recorder.text());
        assert!(recorder.text().ends_with("hi"), "{name}: {}", recorder.text());
    }
}

#[test]
fn towpaths_own_data_cannot_be_read() {
    for isolation in isolations() {
        let name = isolation.name();
        let bench = Bench::new(isolation);
        let key = bench.data().join("keys/release.key");
        let (ended, recorder) = bench.run(&[step(&format!("cat {}", key.display()))]);
        assert_eq!(ended.outcome, AttemptOutcome::Failed, "{name}");
        assert!(!recorder.text().contains("top secret"), "{name}");
    }
}

#[test]
fn nothing_outside_can_be_written() {
    for isolation in isolations() {
        let name = isolation.name();
        let bench = Bench::new(isolation);
        let victim = bench.root.path().join("victim");
        std::fs::write(&victim, "untouched").unwrap();
        let probe = format!("/usr/towpath-probe-{}", std::process::id());
        let script = format!("echo gone > {} || true; echo x > {probe} || true", victim.display());
        bench.run(&[step(&script)]);
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched", "{name}");
        assert!(!std::path::Path::new(&probe).exists(), "{name}");
    }
}

#[test]
fn processes_outside_cannot_be_killed_or_read() {
    for isolation in isolations() {
        if matches!(isolation, Isolation::Landlock { abi, .. } if abi < 6) {
            eprintln!("SKIPPED: this kernel's Landlock cannot deny signals");
            continue;
        }
        let name = isolation.name();
        let bench = Bench::new(isolation);
        let mut outsider = Command::new("sleep")
            .arg("1000")
            .env("OUTSIDER", "secret-value")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let script = format!("cat /proc/{0}/environ || true; kill -9 {0} && echo killed", outsider.id());
        let (ended, recorder) = bench.run(&[step(&script)]);
        let alive = outsider.try_wait().unwrap().is_none();
        outsider.kill().unwrap();
        outsider.wait().unwrap();
        assert!(alive, "{name}: the outsider was killed: {}", recorder.text());
        assert_eq!(ended.outcome, AttemptOutcome::Failed, "{name}");
        assert!(!recorder.text().contains("secret-value"), "{name}");
    }
}

#[test]
fn the_network_is_denied_on_request() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = step(&format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected"));
    let connect = towpath_api::agent::StepOrder { shell: Some(vec!["bash".to_owned()]), ..connect };
    for isolation in isolations() {
        let name = isolation.name();
        let mut bench = Bench::new(isolation);
        let (_, recorder) = bench.run(std::slice::from_ref(&connect));
        assert!(recorder.text().contains("connected"), "{name}: the network is allowed: {}", recorder.text());
        bench.network = false;
        let (ended, recorder) = bench.run(std::slice::from_ref(&connect));
        assert_eq!(ended.outcome, AttemptOutcome::Failed, "{name}: {}", recorder.text());
    }
}
