//! A run leaves its server as one file, and is read elsewhere from that alone.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::{World, text};

const PIPELINE: &str = "\
name: shop
on:
  push: { branches: [main] }
jobs:
  build:
    executor: host
    steps: [{ run: 'echo built it' }]
  test:
    executor: host
    needs: [build]
    steps:
      - { name: prepare, run: 'cp tests.xml report.xml' }
      - name: check
        run: |
          printf '\\033]0;owned\\007the till is open\\n'
          echo '::warning file=till.rs,line=9::the drawer is stiff'
          echo '{\"message\":\"no change left\"}' >> \"$TOWPATH_ANNOTATIONS\"
          exit 3
    reports: { junit: report.xml }
";

const JUNIT: &str = r#"<testsuites><testsuite name="till"><testcase name="closes" classname="till">
<failure message="it stayed open">till.rs:7</failure></testcase><testcase name="opens" classname="till"/></testsuite></testsuites>"#;

/// The program where there is no server, no home and no data.
fn elsewhere(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.env_clear().env("HOME", directory).env("TZ", "UTC").current_dir(directory);
    command.args(arguments).output().unwrap()
}

/// A server with one run that has failed.
fn failed_run() -> World {
    let world = World::start();
    world.ok(&["project", "create", "shop"]);
    world.push(&[("towpath.yaml", PIPELINE), ("tests.xml", JUNIT)]);
    world.eventually("the run fails", || {
        let runs = world.json(&["runs", "shop"]);
        runs[0]["state"] == "failed"
    });
    world
}

/// Another server takes the file in: there it is seen, and does nothing.
fn imported_elsewhere(file: &str, from: &str) {
    let other = World::start();
    other.ok(&["project", "create", "museum"]);
    let said = other.ok(&["import", "museum", file]);
    assert!(said.contains(&format!("shop#1 of {from} is imported run 1 of museum: failed")), "{said}");
    let again = other.json(&["import", "museum", file]);
    assert_eq!((&again["number"], &again["origin"]["run"]), (&1.into(), &1.into()), "it is taken in once");

    assert_eq!(other.json(&["runs", "museum"]).as_array().unwrap().len(), 0, "it is no run of this server");
    let listed = other.ok(&["runs", "museum"]);
    assert!(listed.contains("they deliver nothing and count nowhere") && listed.contains(from), "{listed}");
    let shown = other.ok(&["imported", "show", "museum", "1", "--logs", "--job", "test"]);
    assert!(shown.contains("the till is open") && shown.contains("it stayed open"), "{shown}");
    assert_eq!(other.json(&["tests", "museum"])["tests"].as_array().unwrap().len(), 0);
    assert_eq!(other.json(&["failures", "museum"]).as_array().unwrap().len(), 0);
    assert_eq!(other.json(&["releases", "museum"]).as_array().unwrap().len(), 0);

    other.ok(&["imported", "remove", "museum", "1"]);
    assert_eq!(other.run(&["imported", "show", "museum", "1"]).status.code(), Some(3));
    let refused = other.run(&["import", "museum", env!("CARGO_BIN_EXE_towpath")]);
    assert!(!refused.status.success());
    let said = text(&refused.stderr);
    assert!(said.contains("no exported run") || said.contains("not an exported run"), "{said}");
}

#[test]
fn a_run_is_read_elsewhere_from_its_file_alone() {
    let world = failed_run();
    let away = tempfile::tempdir().unwrap();
    let file = away.path().join("shop-1.run.tar");
    let name = file.to_str().unwrap();
    let said = world.ok(&["export", "shop#1", "--out", name]);
    assert!(said.contains("6 members") && said.contains("sha256:"), "{said}");

    let failed = text(&world.run(&["runs", "shop", "1"]).stdout);
    assert!(failed.contains("till.rs:9") && failed.contains("no change left"), "{failed}");

    // What is there is never replaced, and what does not exist is named.
    assert_eq!(world.run(&["export", "shop#1", "--out", name]).status.code(), Some(2));
    let missing = world.run(&["export", "shop#7", "--out", away.path().join("7").to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(3), "{}", text(&missing.stderr));
    assert!(!away.path().join("7").exists());
    let address = world.json(&["open", name])["manifest"]["instance"].as_str().unwrap().to_owned();
    drop(world);
    imported_elsewhere(name, &address);

    let shown = elsewhere(away.path(), &["open", "shop-1.run.tar", "--logs", "--timestamps"]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let shown = text(&shown.stdout);
    for expected in [
        "every byte checked",
        "shop#1 failed",
        "a change",
        "exit code 3",
        "prepare",
        "tests: 1 passed (0 on retry), 1 failed",
        "it stayed open",
        "report.xml",
        "built it",
        "the till is open",
        "till.rs:9",
        "the drawer is stiff",
        "no change left",
        "── test, attempt 1",
    ] {
        assert!(shown.contains(expected), "`{expected}` is not in\n{shown}");
    }
    let report = elsewhere(away.path(), &["open", "shop-1.run.tar", "--report", "report.xml"]);
    assert_eq!(text(&report.stdout), JUNIT, "a report is shown as it was left");
    let json = elsewhere(away.path(), &["open", "shop-1.run.tar", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["run"]["state"], &json["manifest"]["run"]), (&"failed".into(), &1.into()));
    assert_eq!(json["run"]["jobs"][1]["attempts"][0]["steps"][1]["state"]["code"], 3);

    // Other tools read it too.
    let listed = Command::new("tar").arg("-tf").arg(&file).output().unwrap();
    let first: Vec<String> = text(&listed.stdout).lines().take(3).map(str::to_owned).collect();
    assert_eq!(first, ["manifest.json", "run.json", "evidence.json"]);

    // One byte of a log that is another one, and nothing is shown.
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(8).rposition(|window| window == b"built it").unwrap();
    bytes[at] = b'B';
    std::fs::write(&file, bytes).unwrap();
    let refused = elsewhere(away.path(), &["open", "shop-1.run.tar", "--logs"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    let said = text(&refused.stderr);
    assert!(said.contains("`logs/0002-build-1.log` was changed or damaged"), "{said}");
}
