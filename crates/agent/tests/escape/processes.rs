//! Touching processes outside, and leaving some behind.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use towpath_agent::executor::Cancel;
use towpath_agent::executor::CancelReason;
use towpath_model::AttemptId;

use crate::support::{Bench, Recorder, eventually, step};
use crate::{Control, SIGN, has, must_fail, python, unconfined, walls};

/// A process of the host, killed with the test.
struct Outsider(Child);

impl Outsider {
    fn new() -> Self {
        let mut command = Command::new("sleep");
        Self(command.arg("1000").env("OUTSIDER", "secret-value").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn kill_a_process_outside() {
    let outsider = Outsider::new();
    must_fail(Control::ComesThrough, |_| {}, |_| format!("kill -0 {} && echo {SIGN}", outsider.0.id()));
}

#[test]
fn read_the_environment_of_a_process_outside() {
    let outsider = Outsider::new();
    must_fail(
        Control::ComesThrough,
        |_| {},
        |_| format!("grep -q secret-value /proc/{}/environ && echo {SIGN}", outsider.0.id()),
    );
}

#[test]
fn trace_a_process_outside() {
    if !has("python3") {
        return;
    }
    let outsider = Outsider::new();
    let pid = outsider.0.id();
    // PTRACE_SEIZE does not stop it.
    let text = format!("if libc.ptrace(0x4206, {pid}, None, None) == 0: print('{SIGN}')");
    must_fail(Control::ComesThrough, |_| {}, |_| python(&text));
    let text = format!("open('/proc/{pid}/mem', 'rb') and print('{SIGN}')");
    must_fail(Control::ComesThrough, |_| {}, |_| python(&text));
}

/// Processes whose command line holds `text`.
fn running(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split('\0').next() == Some("sleep") && line.contains(text)).collect()
}

fn unique_seconds() -> String {
    format!("98{}.{}", std::process::id(), uuid::Uuid::new_v4().as_u128() % 1_000_000_000)
}

/// Forks twice, in a session of its own, without the environment by which Towpath would know it.
fn daemon(seconds: &str) -> String {
    format!(
        "env -i setsid sh -c 'env -i setsid sleep {seconds} >/dev/null 2>&1 </dev/null & exit 0' & sleep 0.2; echo done"
    )
}

#[test]
fn leave_a_daemon_that_cleared_its_environment() {
    for isolation in walls().into_iter().chain([unconfined()]) {
        let (name, seconds) = (isolation.name(), unique_seconds());
        let (_, recorder) = Bench::new(isolation).run(&[step(&daemon(&seconds))]);
        assert!(recorder.text().contains("done"), "{name}: {}", recorder.text());
        assert_eq!(running(&seconds), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn outlive_a_cancellation_as_a_daemon() {
    for isolation in walls().into_iter().chain([unconfined()]) {
        let (name, seconds) = (isolation.name(), unique_seconds());
        let bench = Bench::new(isolation);
        let (cancel, recorder) = (Cancel::new(), Recorder::default());
        let script = format!("trap '' TERM QUIT; {}; while :; do sleep 1; done", daemon(&seconds));
        std::thread::scope(|scope| {
            let attempt = AttemptId(uuid::Uuid::new_v4());
            let steps = [step(&script)];
            let (cancel, recorder, bench) = (&cancel, &recorder, &bench);
            let run = scope.spawn(move || bench.run_with(attempt, &steps, cancel, recorder));
            eventually("the daemon runs", || recorder.text().contains("done"));
            assert_eq!(running(&seconds).len(), 1, "{name}: nothing would be tested");
            cancel.cancel(CancelReason::Cancelled("a test".to_owned()));
            run.join().unwrap();
        });
        assert_eq!(running(&seconds), Vec::<String>::new(), "{name}");
    }
}

/// Kills the supervisor of the Step, so that nobody is left who could catch a daemon.
#[test]
fn kill_what_watches_over_it() {
    for isolation in walls() {
        let (name, seconds) = (isolation.name(), unique_seconds());
        let script = format!("kill -9 $PPID; {}", daemon(&seconds));
        Bench::new(isolation).run(&[step(&script)]);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(running(&seconds), Vec::<String>::new(), "{name}");
    }
}
