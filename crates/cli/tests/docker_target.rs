//! An Environment of containers on the real program and a real engine: a push becomes an image, the image containers behind the
//! gateway, by a canary, and back; and what happens when things die.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use support::{World, free_port, shop, text};

/// An image of nothing but busybox, made here.
const BASE: &str = "localhost/towpath-busybox:target";

const DOCKERFILE: &str = "FROM localhost/towpath-busybox:target
COPY page /www/cgi-bin/index.cgi
RUN chmod 755 /www/cgi-bin/index.cgi && echo yes > /www/ready
EXPOSE 9000
CMD [\"sh\", \"-c\", \"trap 'exit 0' TERM; echo serving; httpd -f -p $PORT -h /www & wait\"]
";

fn pipeline(deploy: &str) -> String {
    format!(
        "\
name: shop
on: {{ push: {{ branches: [main] }} }}
jobs:
  build:
    executor: host
    steps: [test -f Dockerfile]
    artifacts: {{ shop: {{ image: . }} }}
workloads:
  shop: {{ health: {{ ready: /ready, period: 1s }}, stop: {{ grace: 5s }}, limits: {{ memory: 64MiB, processes: 60 }} }}
stages:
  - name: edge
    environments: [edge]
    deploy: {deploy}
    analysis: {{ error_rate: {{ max_increase: 2pp, block: 2s }} }}
    deadline: 4m
"
    )
}

/// Packs the host's busybox, which needs no library, with a name for each of its commands. Says what is missing.
fn base(scratch: &Path) -> Result<(), &'static str> {
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
    for name in text(&names.stdout).lines().filter(|&name| name != "busybox") {
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
    import.args(["import", "-", BASE]).stdin(tar.stdout.take().unwrap()).stdout(Stdio::null());
    assert!(import.status().unwrap().success(), "docker takes the image");
    tar.wait().unwrap();
    let runs = Command::new("docker").args(["run", "--rm", BASE, "true"]).status();
    if runs.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err("the engine starts no container here")
    }
}

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().unwrap();
    assert!(output.status.success(), "docker {words:?}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// One request: the status line's number and the body.
fn request(port: u16) -> std::io::Result<String> {
    let answer = shop::request(("127.0.0.1", port), b"")?;
    Ok(format!("{} {}", answer.status, text(&answer.body)))
}

/// Users who ask without a pause until they are told to stop, and count what they were answered.
struct Users {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<BTreeMap<String, u64>>>,
}

impl Users {
    fn of(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut answers = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = request(port).unwrap_or_else(|error| format!("unanswered: {error}"));
                    *answers.entry(answer).or_default() += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
                answers
            })
        };
        let threads = (0..3).map(one).collect();
        Self { stop, threads }
    }

    fn answers(self) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for thread in self.threads {
            for (answer, count) in thread.join().unwrap() {
                *all.entry(answer).or_default() += count;
            }
        }
        all
    }
}

struct Shop {
    world: World,
    port: u16,
}

impl Shop {
    fn release(&self, version: &str, status: &str, deploy: &str) {
        let page = format!(
            "#!/bin/sh\nprintf 'Status: {status}\\r\\nContent-Type: text/plain\\r\\n\\r\\n{version}'\n"
        );
        self.world.push(&[("page", &page), ("Dockerfile", DOCKERFILE), ("towpath.yaml", &pipeline(deploy))]);
    }

    /// Promotions that have ended, newest first.
    fn history(&self) -> Vec<serde_json::Value> {
        let all = self.world.json(&["env", "history", "shop/edge"]);
        let ended = |promotion: &&serde_json::Value| promotion["outcome"].is_object();
        all.as_array().unwrap().iter().filter(ended).cloned().collect()
    }

    fn ended(&self, outcome: &str, count: usize) {
        self.world.eventually("the promotion has ended", || self.history().len() >= count);
        let last = &self.history()[0];
        assert_eq!(last["outcome"]["type"], outcome, "{last:#}\n{}", self.world.ok(&["runs", "shop"]));
    }

    /// Labels by which everything of this test's agent is found in the engine.
    fn own(&self) -> String {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        format!("label=dev.towpath.deployer=agent {} on {host}", self.world.path("data/agent").display())
    }

    fn containers(&self) -> Vec<String> {
        let listed = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &self.own()]);
        let mut all: Vec<String> = listed.lines().map(str::to_owned).collect();
        all.sort();
        all
    }

    fn networks(&self) -> usize {
        docker(&["network", "ls", "--quiet", "--filter", &self.own()]).lines().count()
    }

    fn serves(&self, wanted: &str) {
        self.world.eventually(&format!("it serves {wanted}"), || {
            request(self.port).is_ok_and(|answer| answer == wanted)
        });
    }

    fn kill_agent(&self) {
        let lock = self.world.path("data/agent/lock");
        let pid: i32 = std::fs::read_to_string(&lock).unwrap().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        self.world.eventually("another agent is there", || {
            std::fs::read_to_string(&lock)
                .is_ok_and(|now| now.trim().parse().is_ok_and(|now: i32| now != pid.as_raw_nonzero().get()))
        });
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ended = self.world.run(&["shutdown"]);
        let kept = std::fs::read_dir(self.world.path("data/agent/images")).into_iter().flatten().flatten();
        for file in kept {
            let kept: serde_json::Value =
                serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
            let _gone = Command::new("docker").args(["image", "rm", kept["tag"].as_str().unwrap()]).output();
        }
    }
}

#[test]
fn an_image_is_released_by_canary_taken_back_and_survives_what_dies() {
    let scratch = tempfile::tempdir().unwrap();
    if let Err(missing) = base(scratch.path()) {
        eprintln!("SKIPPED: {missing}");
        return;
    }
    let shop = Shop { world: World::start(), port: free_port() };
    shop.world.make_shop(&shop::document(&format!("127.0.0.1:{}", shop.port), "docker: {}, instances: 2"));
    shop.release("v1", "200 OK", "{ strategy: recreate }");
    shop.serves("200 v1");
    shop.ended("succeeded", 1);
    let first = shop.containers();
    assert_eq!(first.len(), 2);
    let found: serde_json::Value = serde_json::from_str(&docker(&["inspect", &first[0]])).unwrap();
    let (host, labels) = (&found[0]["HostConfig"], &found[0]["Config"]["Labels"]);
    assert_eq!((&host["Memory"], &host["PidsLimit"]), (&(64 << 20).into(), &60.into()));
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(
        (&labels["dev.towpath.project"], &labels["dev.towpath.environment"]),
        (&"shop".into(), &"edge".into())
    );
    let shown = shop.world.ok(&["env", "show", "shop/edge"]);
    assert!(shown.contains("ready"), "{shown}");

    // Nobody notices that the agent dies, and the next one finds what runs.
    let users = Users::of(shop.port);
    shop.kill_agent();
    shop.world.eventually("the new agent knows both", || {
        let environment = shop.world.json(&["env", "show", "shop/edge"]).to_string();
        environment.matches("\"health\":\"ready\"").count() == 2
    });
    assert_eq!(shop.containers(), first, "they were started anew");

    // A version that is ready and answers with errors: the judge takes it back.
    let canary = "{ strategy: canary, steps: [{ weight: 50%, for: 5s }] }";
    shop.release("v2", "500 Broken", canary);
    shop.ended("rolled-back", 2);
    assert_eq!(request(shop.port).unwrap(), "200 v1");
    shop.world.eventually("the candidate's containers are gone", || shop.containers() == first);
    let answers = users.answers();
    assert!(answers.contains_key("500 v2"), "it was never exposed: {answers:?}");
    assert!(answers.keys().all(|answer| answer == "200 v1" || answer == "500 v2"), "{answers:?}");

    // The next one stays, until a person takes it back to what was kept warm.
    let users = Users::of(shop.port);
    shop.release("v3", "200 OK", canary);
    shop.ended("succeeded", 3);
    assert_eq!(request(shop.port).unwrap(), "200 v3");
    shop.world.ok(&["rollback", "shop/edge"]);
    shop.ended("succeeded", 4);
    shop.serves("200 v1");
    let answers = users.answers();
    assert!(answers.keys().all(|answer| answer == "200 v1" || answer == "200 v3"), "{answers:?}");

    // Whoever restarts a container by hand gets it back.
    docker(&["restart", "--time", "2", &first[0]]);
    shop.world.eventually("it is ready again", || {
        let environment = shop.world.json(&["env", "show", "shop/edge"]).to_string();
        environment.contains("\"restarts\":1")
    });
    shop.serves("200 v1");
    shop.world.ok(&["shutdown"]);
    assert!(shop.containers().is_empty(), "containers were left");
    assert_eq!(shop.networks(), 0, "a network was left");
}
