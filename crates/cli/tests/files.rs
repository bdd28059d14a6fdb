//! The commands that read and write the files of a project, as a person runs them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the binary in a directory, without colours and without a terminal.
fn towpath(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(arguments)
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes UTF-8");
    (status.code().expect("it exits"), text(stdout), text(stderr))
}

#[test]
fn init_lint_and_plan_follow_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("go.mod"), "module shop\n").unwrap();

    let (code, stdout, stderr) = towpath(here, &["init", "--yes"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(
        stdout.contains("This looks like a go project") && stdout.contains("git push towpath main"),
        "{stdout}"
    );

    let (code, stdout, stderr) = towpath(here, &["lint"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("2 jobs, 1 workload, 3 stages; 3 environment documents"), "{stdout}");

    let below = here.join("a/b");
    fs::create_dir_all(&below).unwrap();
    let (code, stdout, _) = towpath(&below, &["plan", "--ref", "main"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("waits for 1 approval from release-manager"), "{stdout}");
    let (_, stdout, _) = towpath(&below, &["plan", "--event", "tag", "--ref", "v1.0.0", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["occasion"]["reference"], "refs/tags/v1.0.0");
    assert_eq!(report["seal"]["seals"], true);
    let (_, stdout, _) = towpath(&below, &["plan", "--ref", "topic", "--format", "svg"]);
    assert!(stdout.starts_with("<svg"), "{stdout}");

    let (code, _, stderr) = towpath(here, &["init", "--yes"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("towpath.yaml is there already, and so is a document"), "{stderr}");
}

#[test]
fn init_adds_the_documents_that_a_pipeline_lacks() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("go.mod"), "module shop\n").unwrap();
    assert_eq!(towpath(here, &["init", "--yes"]).0, 0);
    let pipeline = fs::read_to_string(here.join("towpath.yaml")).unwrap();
    let dev = fs::read_to_string(here.join(".towpath/dev.yaml")).unwrap();
    for gone in ["staging", "production"] {
        fs::remove_file(here.join(format!(".towpath/{gone}.yaml"))).unwrap();
    }
    let (code, stdout, stderr) = towpath(here, &["init", "--yes"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("towpath.yaml is there already, and stays"), "{stdout}");
    assert!(stdout.contains(".towpath/staging.yaml") && !stdout.contains(".towpath/dev.yaml\n"), "{stdout}");
    assert_eq!(fs::read_to_string(here.join("towpath.yaml")).unwrap(), pipeline);
    assert_eq!(fs::read_to_string(here.join(".towpath/dev.yaml")).unwrap(), dev);
    let (code, stdout, stderr) = towpath(here, &["lint"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("3 environment documents"), "{stdout}");
    let (_, stdout, _) = towpath(here, &["plan", "--ref", "main"]);
    assert!(stdout.contains("waits for 1 approval from release-manager"), "{stdout}");

    fs::write(here.join("towpath.yaml"), "name: shop\njobs: [\n").unwrap();
    let (code, _, stderr) = towpath(here, &["init", "--yes"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("has mistakes") && stderr.contains("towpath lint"), "{stderr}");
}

#[test]
fn lint_says_all_that_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let (code, _, stderr) = towpath(here, &["lint"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("there is no towpath.yaml"), "{stderr}");

    fs::write(
        here.join("towpath.yaml"),
        "name: shop\njobs:\n  build: { stps: [make], needs: [tset] }\n  test: { steps: [make] }\n",
    )
    .unwrap();
    let (code, stdout, stderr) = towpath(here, &["lint"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    for wanted in [
        "towpath.yaml:3:12",
        "did you mean `steps`?",
        "towpath.yaml:3:34",
        "did you mean `test`?",
        "2 errors",
    ] {
        assert!(stderr.contains(wanted), "{wanted} is not in:\n{stderr}");
    }
    let (code, stdout, _) = towpath(here, &["lint", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["clean"]), (1, &serde_json::Value::Bool(false)));
    assert_eq!(report["diagnostics"].as_array().map(Vec::len), Some(2));
    let (code, _, _) = towpath(here, &["plan"]);
    assert_eq!(code, 1);
}

#[test]
fn a_linked_pipeline_file_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::os::unix::fs::symlink("/etc/hostname", here.join("towpath.yaml")).unwrap();
    let (code, _, stderr) = towpath(here, &["lint"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("is a symbolic link, which is not followed"), "{stderr}");
}

#[test]
fn schemas_are_json() {
    let directory = tempfile::tempdir().unwrap();
    for document in ["pipeline", "environment"] {
        let (code, stdout, _) = towpath(directory.path(), &["schema", document]);
        let schema: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, schema["$ref"].as_str()), (0, Some(format!("#/$defs/{document}").as_str())));
    }
}
