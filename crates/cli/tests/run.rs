//! `towpath run` as a person runs it: real projects, real processes, real signals.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A project with a pipeline file.
fn project(jobs: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("towpath.yaml"), format!("name: shop\njobs:\n{jobs}")).unwrap();
    directory
}

fn command(project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.arg("run").args(arguments).current_dir(project).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs without confinement, which every machine can.
fn run(project: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let mut all = vec!["--executor", "host"];
    all.extend(arguments);
    run_as(project, &all)
}

fn run_as(project: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(project.path(), arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn has(text: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn what_is_needed_runs_first_and_passes_outputs_and_artifacts_on() {
    let project = project(
        r#"  build:
    steps: ["mkdir dist && echo bytes > dist/app && echo version=7 >> $TOWPATH_OUTPUT"]
    artifacts: { app: { files: ["dist/**"] } }
  test:
    needs: [build]
    env: { VERSION: "${{ needs.build.outputs.version }}" }
    steps: ["cat dist/app && echo got $VERSION and $EXTRA", "printf '<testcase name=\"a\"/><testcase name=\"b\"/>' > junit.xml"]
    reports: { junit: junit.xml }
  other: { steps: ["echo never named"] }
"#,
    );
    let (code, stdout, stderr) = run(&project, &["test", "--env", "EXTRA=more"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    has(
        &stdout,
        &["test  | bytes", "test  | got 7 and more", "tests: 2 passed", "2 passed in", "Nothing was sealed"],
    );
    assert!(!stdout.contains("never named"), "{stdout}");
    assert!(!project.path().join("dist").exists(), "a job wrote into the working copy");
}

#[test]
fn a_job_divides_its_tests_over_its_cells() {
    let project = project(
        r#"  test:
    parallel: 2
    steps: ["printf 'a\nb\nc\nd\ne\n' | towpath test split > mine; tr '\n' ' ' < mine"]
"#,
    );
    fs::write(project.path().join("times"), "{\"id\":\"e\",\"ms\":9000}\n{\"id\":\"a\",\"ms\":100}\n")
        .unwrap();
    let (code, stdout, stderr) = run(&project, &[]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    has(&stdout, &["test-1", "test-2", "| a c e", "| b d", "by their names alone"]);
    let (code, stdout, stderr) = run(&project, &["test", "--env", "TOWPATH_TEST_TIMES=../times"]);
    assert!(
        code != 0 && (stdout + &stderr).contains("failed to read the times"),
        "a wrong file is no history"
    );
    let times = format!("TOWPATH_TEST_TIMES={}", project.path().join("times").display());
    let (code, stdout, stderr) = run(&project, &["test", "--env", &times]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    has(&stdout, &["share 1 of 2: 3 of 5 tests", "3 without history count as the median, 9.0 s"]);
}

#[test]
fn a_failure_skips_what_needs_it_and_is_told_at_the_end() {
    let project = project(
        r#"  build: { steps: ["echo before; echo the reason >&2; exit 3"] }
  test: { needs: [build], steps: ["echo not reached"] }
  clean: { needs: [build], if: "needs.build.outcome == 'failed'", steps: ["echo swept"] }
  lint: { steps: ["echo a style; exit 1"], allow_failure: true }
"#,
    );
    let (code, stdout, _) = run(&project, &["-j1"]);
    assert_eq!(code, 1, "{stdout}");
    has(
        &stdout,
        &[
            "clean | swept",
            "it needs `build`, which failed",
            "failed with exit code 3; its last lines:\n  before",
        ],
    );
    assert!(!stdout.contains("not reached"), "{stdout}");

    let (_, stdout, _) = run(&project, &["--json", "--keep-going"]);
    let events: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["state"]), (&"run-finished".into(), &"failed".into()));
    let ended = |job: &str| {
        events.iter().find(|event| event["event"] == "job-finished" && event["job"] == job).unwrap()
    };
    assert_eq!(ended("test")["state"], "skipped");
    assert_eq!(ended("lint")["state"], "failed");
    assert_eq!(ended("clean")["state"], "passed");
}

#[test]
fn after_a_failure_nothing_is_begun_unless_told_to_keep_going() {
    let project = project("  a: { steps: [\"exit 1\"] }\n  b: { steps: [\"echo b runs\"] }\n");
    let (code, stdout, _) = run(&project, &["-j1"]);
    assert_eq!(code, 1);
    has(&stdout, &["not begun, since `a` failed"]);
    assert!(!stdout.contains("| b runs"), "{stdout}");
    let (code, stdout, _) = run(&project, &["-j1", "--keep-going"]);
    assert_eq!(code, 1);
    has(&stdout, &["b | b runs"]);
}

#[test]
fn conditions_and_retries_mean_what_they_mean_on_a_server() {
    let marker = tempfile::tempdir().unwrap();
    let once = marker.path().join("once");
    let project = project(&format!(
        "  flaky: {{ retry: {{ attempts: 2 }}, steps: [\"test -e {0} || {{ touch {0}; exit 1; }}\"] }}\n  \
         tagged: {{ if: \"tag == 'v1'\", steps: [\"echo released\"] }}\n",
        once.display()
    ));
    let (code, stdout, _) = run(&project, &[]);
    assert_eq!(code, 0, "{stdout}");
    has(&stdout, &["try 2 because the last one failed", "2 tries", "`tag == 'v1'` does not hold"]);
    let (code, stdout, _) = run(&project, &["tagged", "--event", "tag", "--ref", "v1"]);
    assert_eq!(code, 0);
    has(&stdout, &["tagged | released"]);
}

#[test]
fn a_retry_says_its_class_and_keeps_to_what_the_file_names() {
    let marker = tempfile::tempdir().unwrap();
    let once = marker.path().join("once");
    let steps =
        |command: &str| format!("steps: [\"test -e {0} || {{ touch {0}; {command}; }}\"]", once.display());
    let retry = "retry: { when: [network, { exit_code: 75 }], backoff: { first: 200ms } }";
    let busy = project(&format!("  busy: {{ {retry}, {} }}\n", steps("exit 75")));
    let (code, stdout, _) = run(&busy, &[]);
    assert_eq!(code, 0, "{stdout}");
    has(&stdout, &["try 2 after a pause because the last one failed (exit_code)", "2 tries"]);
    fs::remove_file(&once).unwrap();
    let command = "echo 'fatal: Could not resolve host: example.com' >&2; exit 1";
    let offline = project(&format!("  fetch: {{ {retry}, {} }}\n", steps(command)));
    let (code, stdout, _) = run(&offline, &[]);
    assert_eq!(code, 0, "{stdout}");
    has(&stdout, &["the last one failed (network)"]);
    fs::remove_file(&once).unwrap();
    let broken = project(&format!("  broken: {{ {retry}, {} }}\n", steps("exit 1")));
    let (code, stdout, _) = run(&broken, &[]);
    assert_eq!(code, 1, "{stdout}");
    has(&stdout, &["not tried again: `retry.when` does not name this failure"]);
}

#[test]
fn secrets_are_given_and_masked() {
    let project = project("  a: { secrets: [API_KEY], steps: [\"echo the key is $API_KEY\"] }\n");
    let (code, _, stderr) = run(&project, &[]);
    assert_eq!(code, 2);
    has(&stderr, &["job `a` asks for the secret `API_KEY`", "--secret-file"]);
    fs::write(project.path().join(".secrets"), "# mine\nAPI_KEY=correct-horse\n").unwrap();
    let (code, stdout, _) = run(&project, &["--secret-file", ".secrets"]);
    assert_eq!(code, 0, "{stdout}");
    has(&stdout, &["the key is ***"]);
    assert!(!stdout.contains("correct-horse"), "{stdout}");
    let (code, _, stderr) = run(&project, &["--secret", "OTHER"]);
    assert_eq!(code, 2);
    has(&stderr, &["no job of this run asks for the secret `OTHER`"]);
}

#[test]
fn ignored_files_stay_out_of_a_job() {
    let project = project("  a: { steps: [\"ls -A\"] }\n");
    let git = Command::new("git").args(["init", "--quiet"]).current_dir(project.path()).status().unwrap();
    assert!(git.success());
    for (name, text) in [(".gitignore", "private\n"), ("private", "x"), ("new", "x")] {
        fs::write(project.path().join(name), text).unwrap();
    }
    let (code, stdout, _) = run(&project, &[]);
    assert_eq!(code, 0);
    has(&stdout, &["a | new"]);
    assert!(!stdout.contains("a | private"), "{stdout}");
}

#[test]
fn a_sandbox_confines_where_the_machine_has_one() {
    let home = tempfile::tempdir_in(std::env::var_os("HOME").unwrap()).unwrap();
    let private = home.path().join("private");
    fs::write(&private, "x").unwrap();
    let project =
        project(&format!("  a: {{ steps: [\"! cat {}\", \"echo confined\"] }}\n", private.display()));
    let (code, stdout, stderr) = run_as(&project, &[]);
    if stderr.contains("this host cannot confine jobs") {
        assert_eq!(code, 2);
        has(&stderr, &["--executor host"]);
    } else {
        assert_eq!(code, 0, "{stdout}{stderr}");
        has(&stdout, &["a | confined"]);
    }
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let project = project("  build: { steps: [\"true\"] }\n  free: { executor: host, steps: [\"true\"] }\n");
    let (code, _, stderr) = run(&project, &["biuld"]);
    assert_eq!(code, 2);
    has(&stderr, &["there is no job `biuld`", "did you mean `build`?"]);
    let (code, stdout, _) = run(&project, &["--list"]);
    assert_eq!(code, 0);
    has(&stdout, &["build", "runs", "at once"]);
    let (code, stdout, _) = run(&project, &["--dry-run", "build"]);
    assert_eq!(code, 0);
    has(&stdout, &["Jobs\n", "build"]);
    let (code, stdout, stderr) = run_as(&project, &["free"]);
    if !stderr.contains("this host cannot confine jobs") {
        assert_eq!(code, 1);
        has(&stdout, &["`--executor host` allows that"]);
    }
    fs::write(project.path().join("towpath.yaml"), "name: shop\njobs: { a: { stps: [make] } }\n").unwrap();
    let (code, stdout, stderr) = run(&project, &[]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    has(&stderr, &["towpath.yaml:2:", "did you mean `steps`?"]);
}

#[test]
fn an_interrupt_ends_everything() {
    let project = project(
        "  a: { steps: [\"echo ready; setsid sleep 1000\"] }\n  b: { needs: [a], steps: [\"true\"] }\n",
    );
    let mut child = command(
        project.path(),
        &["--executor", "host", "--env", &format!("TEST_PLACE={}", project.path().display())],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "a | ready"));
    let marked = || processes_in("TOWPATH_PROJECT=shop", project.path());
    let deadline = Instant::now() + Duration::from_secs(10);
    while marked() == 0 {
        assert!(Instant::now() < deadline, "the step does not run");
        std::thread::yield_now();
    }
    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    has(&rest.join("\n"), &["interrupted: ending what runs", "2 cancelled"]);
    assert_eq!(marked(), 0, "a process is left");
}

/// How many processes have the entry in their environment and were started by a run of this project.
fn processes_in(entry: &str, project: &Path) -> usize {
    let marker = format!("TEST_PLACE={}", project.display());
    let has = |environment: &[u8], wanted: &str| {
        environment.split(|byte| *byte == 0).any(|part| part == wanted.as_bytes())
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|process| fs::read(process.path().join("environ")).ok())
        .filter(|environment| has(environment, entry) && has(environment, &marker))
        .count()
}
