//! A Job in a container through a whole server: a push, a container with a Service beside it, its report, a Release.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::World;

/// An image of nothing but busybox, made here.
const IMAGE: &str = "localhost/towpath-busybox:server";

const PIPELINE: &str = r#"
name: shop
on: { push: main }
jobs:
  build:
    image: { name: "localhost/towpath-busybox:server", pull: never }
    services:
      web:
        image: { name: "localhost/towpath-busybox:server", pull: never }
        command: [sh, -c, "mkdir -p /www && echo open > /www/index.html && exec httpd -f -p 8080 -h /www"]
        ports: 8080
        health: { http: 8080/index.html }
    steps:
      - test "$(wget -q -O - http://web:8080/index.html)" = open
      - |
        echo '<testsuite name="box"><testcase classname="box" name="opens" time="0.1"/></testsuite>' > junit.xml
        printf '#!/bin/sh\nexec sleep 1000\n' > shop
        chmod +x shop
    reports: { junit: junit.xml }
    artifacts: { shop: shop }
  check:
    needs: build
    executor: host
    steps: [test -x shop]
workloads:
  shop: { command: ./shop }
"#;

/// Packs the host's busybox, which needs no library, with a name for each of its commands. Says what is missing.
fn image(scratch: &Path) -> Result<(), &'static str> {
    let docker = Command::new("docker").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !docker.is_ok_and(|status| status.success()) {
        return Err("no Docker engine answers; `apt install docker.io`, then start `dockerd`");
    }
    let root = scratch.join("image");
    for directory in ["bin", "etc", "tmp", "dev", "proc", "sys"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    if std::fs::copy("/bin/busybox", root.join("bin/busybox")).is_err() {
        return Err("there is no busybox to make an image of; `apt install busybox-static`");
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    let names = Command::new("/bin/busybox").arg("--list").output().unwrap();
    for name in String::from_utf8_lossy(&names.stdout).lines().filter(|&name| name != "busybox") {
        let _twice = std::os::unix::fs::symlink("busybox", root.join("bin").join(name));
    }
    let mut tar = Command::new("tar")
        .args(["--create", "--numeric-owner", "--owner=0", "--group=0", "--directory"])
        .arg(&root)
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut import = Command::new("docker");
    import.args(["import", "-", IMAGE]).stdin(tar.stdout.take().unwrap()).stdout(Stdio::null());
    assert!(import.status().unwrap().success(), "docker takes the image");
    tar.wait().unwrap();
    let runs = Command::new("docker").args(["run", "--rm", IMAGE, "true"]).status();
    if runs.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err("the engine starts no container here")
    }
}

#[test]
fn a_push_becomes_a_release_by_a_job_in_a_container() {
    let scratch = tempfile::tempdir().unwrap();
    if let Err(missing) = image(scratch.path()) {
        eprintln!("SKIPPED: {missing}");
        return;
    }
    let world = World::start();
    world.ok(&["project", "create", "shop"]);
    world.push(&[("towpath.yaml", PIPELINE)]);
    let ended = world.run(&["wait", "shop#1", "--timeout", "3m"]);
    let shown = world.run(&["runs", "shop", "1"]);
    assert!(ended.status.success(), "{}\n{}", support::text(&ended.stdout), support::text(&shown.stdout));

    let log = world.ok(&["logs", "shop", "1", "build"]);
    assert!(log.contains("image localhost/towpath-busybox:server is sha256:"), "{log}");
    assert!(log.contains("service web is ready after"), "{log}");
    let tests = world.ok(&["tests", "shop", "--run", "1"]);
    assert!(tests.contains("1 passed"), "{tests}");

    let releases = world.json(&["releases", "shop"]);
    let release = &releases[0];
    let by = |job: &str| release["executors"][job].as_str().unwrap().to_owned();
    assert!(by("build").starts_with("container (docker"), "{release}");
    assert!(by("check").starts_with("host"), "{release}");
    let shown = world.ok(&["releases", "shop", release["version"].as_str().unwrap()]);
    assert!(shown.contains("build") && shown.contains(&by("build")), "{shown}");

    let left = Command::new("docker").args(["ps", "--all", "--format", "{{.Labels}}"]).output().unwrap();
    let own = world.path("data").display().to_string();
    assert!(!support::text(&left.stdout).contains(&own), "a container was left");
}
