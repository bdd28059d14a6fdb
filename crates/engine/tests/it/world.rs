//! Everything that an engine stands on, and what is done to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use towpath_artifact::{ContentStore, LogStore, ReleaseKey, Vault};
use towpath_engine::notify::Smtp;
use towpath_engine::{Engine, EngineError, EnvironmentStatus, Parts, Person, RefChange};
use towpath_model::environment::{Outcome, Promotion};
use towpath_model::retry::RetryClass;
use towpath_model::run::Run;
use towpath_model::{EnvironmentKey, ProjectName, UserId};
use towpath_store::Db;
use towpath_store::core::projects::Project;

use crate::agent::SimAgent;
use crate::gateway::SimGateway;

/// A pipeline with three Stages: recreate twice, then a canary.
pub const PIPELINE: &str = "
name: shop
on: { push: { branches: [main] }, manual: true }
jobs:
  test: { steps: [./test] }
  build:
    needs: [test]
    steps: [make]
    artifacts: { shop: { files: [shop] } }
workloads:
  shop: { artifact: shop, command: ./shop --port $PORT, health: { ready: /ready } }
stages:
  - { name: dev, environments: [dev], deploy: { strategy: recreate } }
  - name: staging
    needs: [dev]
    environments: [staging]
    deploy: { strategy: recreate }
    verify: [{ run: ./smoke.sh }]
  - name: production
    needs: [staging]
    environments: [production]
    deploy: { strategy: canary, steps: [{ weight: 50%, for: 10s }] }
    analysis: { error_rate: { max_increase: 5pp, max: 20%, min_requests: 100 } }
";

/// The documents of its Environments. Production takes one approval.
pub const DOCUMENTS: &str = "
environment: dev
project: shop
target: { hosts: { role: web }, instances: 1 }
listen: 127.0.0.1:18081
---
environment: staging
project: shop
target: { hosts: { role: web }, instances: 1 }
listen: 127.0.0.1:18082
---
environment: production
project: shop
target: { hosts: { role: web }, instances: 2 }
listen: 127.0.0.1:18080
gates: [{ approval: { by: [release-manager], count: 1 } }]
values: { GREETING: hello }
";

/// How long anything may take in real time.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much time passes with each tick.
const TICK: SignedDuration = SignedDuration::from_millis(250);

/// Microseconds by which each test's clock is ahead. A clock is a plain function, so each test has its own place.
static AHEAD: [AtomicI64; 128] = [const { AtomicI64::new(0) }; 128];

fn clock<const PLACE: usize>() -> Timestamp {
    let ahead = SignedDuration::from_micros(AHEAD[PLACE].load(Ordering::SeqCst));
    Timestamp::now() + ahead
}

/// An engine and its surroundings.
pub struct World {
    pub agent: SimAgent,
    pub gateway: SimGateway,
    pub engine: Engine,
    pub runtime: Runtime,
    clock: fn() -> Timestamp,
    place: usize,
    smtp: Option<Smtp>,
    directory: TempDir,
}

impl World {
    /// Makes a Project with a repository. `PLACE` is the test's own clock: no two tests have the same.
    pub fn start<const PLACE: usize>() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("git")).unwrap();
        git(directory.path(), &["init", "-q", "--bare", "-b", "main", "git/shop.git"]);
        git(directory.path(), &["init", "-q", "-b", "main", "work"]);
        let clock = clock::<PLACE>;
        let (runtime, engine) = bring_to_life(directory.path(), clock, None);
        let agent = SimAgent::new(1, engine.content().clone());
        let gateway = SimGateway::default();
        let world = Self { agent, gateway, engine, runtime, clock, place: PLACE, smtp: None, directory };
        let project = Project {
            name: shop(),
            protected_refs: vec!["refs/heads/main".to_owned(), "refs/tags/v*".to_owned()],
            directory: String::new(),
            created_at: world.now(),
        };
        world.run(world.engine.create_project(&project, &admin())).unwrap();
        world
    }

    /// The same with the usual Environments.
    pub fn with_environments<const PLACE: usize>() -> Self {
        let world = Self::start::<PLACE>();
        world.apply(DOCUMENTS).unwrap();
        world
    }

    /// Waits for an answer of the engine.
    pub fn run<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// Kills the engine wherever it is, and makes a new one on the same files.
    pub fn crashed(self) -> Self {
        let Self { agent, gateway, engine, runtime, clock, place, smtp, directory } = self;
        runtime.shutdown_timeout(PATIENCE);
        // The last clone: with it the lock of the database goes.
        drop(engine);
        let (runtime, engine) = bring_to_life(directory.path(), clock, smtp.clone());
        Self { agent, gateway, engine, runtime, clock, place, smtp, directory }
    }

    /// The same with a mail server.
    pub fn with_mail(self, smtp: Smtp) -> Self {
        Self { smtp: Some(smtp), ..self }.crashed()
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Moves the clock.
    pub fn pass(&self, time: SignedDuration) {
        AHEAD[self.place].fetch_add(time.as_micros() as i64, Ordering::SeqCst);
        self.engine.signals().clock_jumped();
    }

    pub fn apply(&self, text: &str) -> Result<towpath_engine::ApplyReport, EngineError> {
        self.run(self.engine.apply(&shop(), "environments.yaml", text, false, &admin()))
    }

    /// Commits files in the working copy. Says the commit.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        let work = self.work();
        for (path, text) in files {
            let path = work.join(path);
            path.parent().map(std::fs::create_dir_all).transpose().unwrap();
            std::fs::write(path, text).unwrap();
        }
        git(&work, &["add", "--all"]);
        git(&work, &["commit", "-q", "--allow-empty", "-m", "a change"]);
        git(&work, &["rev-parse", "HEAD"])
    }

    /// Pushes `main` with a real git client, as far as the repository.
    pub fn push_to_git(&self) -> RefChange {
        let bare = self.directory.path().join("git/shop.git");
        let main = |repository: &Path| {
            let output = Command::new("git")
                .arg("--git-dir")
                .arg(repository)
                .args(["rev-parse", "-q", "--verify", "refs/heads/main"])
                .output()
                .unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
        };
        let old = main(&bare);
        git(&self.work(), &["push", "-q", "--force", bare.to_str().unwrap(), "main"]);
        RefChange { name: "refs/heads/main".to_owned(), old, new: main(&bare) }
    }

    /// Tells the engine of a push. Says what the pusher's terminal shows.
    pub fn tell(&self, change: &RefChange) -> Vec<String> {
        let actor = developer().actor();
        self.run(self.engine.pushed(&shop(), std::slice::from_ref(change), &actor)).unwrap()
    }

    /// Commits files, pushes, tells the engine. Says what the pusher's terminal shows.
    pub fn push(&self, files: &[(&str, &str)]) -> Vec<String> {
        self.commit(files);
        self.tell(&self.push_to_git())
    }

    /// Lets agent and gateway do what there is to do, once.
    pub fn tick(&mut self) {
        AHEAD[self.place].fetch_add(TICK.as_micros() as i64, Ordering::SeqCst);
        let now = self.now();
        self.runtime.block_on(async {
            self.agent.tick(&self.engine, now).await.unwrap();
            self.gateway.tick(&self.engine, now).await.unwrap();
        });
        self.engine.signals().clock_jumped();
    }

    /// Ticks until something holds.
    pub fn until<T>(&mut self, what: &str, mut holds: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = holds(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}; {}", self.picture());
            self.tick();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn find_run(&self, number: u64) -> Run {
        self.run(self.engine.find_run(&shop(), number)).unwrap()
    }

    /// Ticks until a Run has ended.
    pub fn ended_run(&mut self, number: u64) -> Run {
        self.until(&format!("the end of run {number}"), |world| {
            Some(world.find_run(number)).filter(|run| run.state.is_final())
        })
    }

    pub fn environment(&self, name: &str) -> EnvironmentStatus {
        self.run(self.engine.environment(&key(name))).unwrap()
    }

    /// Ticks until a Promotion of a version into an Environment waits.
    pub fn waiting(&mut self, name: &str, version: &str) -> Promotion {
        self.until(&format!("{version} to wait for {name}"), |world| {
            world.environment(name).environment.waiting.filter(|waiting| waiting.revision.version == version)
        })
    }

    /// Ticks until the newest Promotion of a version into an Environment has ended.
    pub fn outcome(&mut self, name: &str, version: &str) -> Outcome {
        self.until(&format!("the end of {version} in {name}"), |world| {
            let all = world.run(world.engine.promotions_of(&key(name), 50)).unwrap();
            all.into_iter().find(|promotion| promotion.revision.version == version)?.outcome
        })
    }

    /// The version that an Environment runs.
    pub fn version_in(&self, name: &str) -> Option<String> {
        self.environment(name).environment.current.map(|current| current.revision.version)
    }

    /// Pushes files and follows the Release to the door of production. Says its version.
    pub fn release(&mut self, number: u64, files: &[(&str, &str)]) -> String {
        self.push(files);
        let run = self.ended_run(number);
        let release = run.release.unwrap_or_else(|| panic!("run {number} sealed nothing: {}", run.reason));
        for name in ["dev", "staging"] {
            let outcome = self.outcome(name, &release.version);
            assert_eq!(outcome, Outcome::Succeeded, "{} in {name}", release.version);
        }
        self.waiting("production", &release.version);
        release.version
    }

    pub fn approve(&mut self, version: &str) {
        let waiting = self.waiting("production", version);
        let binding = Some(waiting.binding());
        self.run(self.engine.vote(waiting.id, true, "fine", binding, &manager())).unwrap();
    }

    /// What everything waits for, for a failed test.
    pub fn picture(&self) -> String {
        let environments = self.run(self.engine.environments(None)).unwrap();
        let waits: Vec<_> = environments
            .iter()
            .map(|status| {
                let phase = status.environment.active.as_ref().and_then(|active| active.rollout.as_ref());
                (status.environment.key.to_string(), phase.map(|rollout| &rollout.phase), &status.waits)
            })
            .collect();
        let runs = self.run(self.engine.runs(None, None, 3)).unwrap();
        let runs: Vec<_> =
            runs.iter().map(|run| (run.title(), run.state.word(), run.reason.clone())).collect();
        format!("{waits:#?} {runs:#?}")
    }

    /// Every entry of the timeline: its place, kind and text.
    pub fn timeline(&self) -> Vec<(i64, String, String)> {
        self.run(async {
            let mut reader = self.engine.db().reader().await.unwrap();
            let entries = towpath_store::timeline::after(&mut reader, 0, 10_000).await.unwrap();
            let text = |entry: &towpath_store::timeline::Entry| {
                let body: serde_json::Value = serde_json::from_slice(&entry.body).unwrap();
                body["text"].as_str().unwrap_or_default().to_owned()
            };
            entries.iter().map(|entry| (entry.seq, entry.kind.clone(), text(entry))).collect()
        })
    }

    /// How many entries of a kind the timeline has.
    pub fn count(&self, kind: &str) -> usize {
        self.timeline().iter().filter(|(_, found, _)| found == kind).count()
    }

    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }
}

fn bring_to_life(directory: &Path, clock: fn() -> Timestamp, smtp: Option<Smtp>) -> (Runtime, Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let engine = runtime.block_on(async {
        let db = open(&directory.join("towpath.db")).await;
        let engine = Engine::new(Parts { smtp, ..parts(directory, db, clock) }).unwrap();
        let life = engine.clone();
        tokio::spawn(async move { life.run(std::future::pending()).await });
        engine
    });
    (runtime, engine)
}

/// Opens the database once the connections of a killed engine are gone.
async fn open(path: &Path) -> Db {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Db::open(path).await {
            Ok(db) => return db,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn parts(directory: &Path, db: Db, clock: fn() -> Timestamp) -> Parts {
    let content = ContentStore::open(&directory.join("blobs")).unwrap();
    let logs = LogStore::open(&directory.join("logs"), content.clone(), 1 << 20).unwrap();
    std::fs::create_dir_all(directory.join("keys")).unwrap();
    Parts {
        keeping: towpath_engine::kept::Keeping {
            store: ContentStore::open(&directory.join("kept")).unwrap(),
            project_bytes: 1 << 20,
            total_bytes: 2 << 20,
        },
        db,
        content,
        logs: Arc::new(logs),
        vault: Vault::load_or_create(&directory.join("keys/master.key")).unwrap(),
        release_key: ReleaseKey::load_or_create(&directory.join("keys/release.key")).unwrap(),
        repositories: directory.join("git"),
        public_url: "http://127.0.0.1:7878/".to_owned(),
        smtp: None,
        outgoing: vec!["127.0.0.1".parse().unwrap()],
        retry_budget: BTreeMap::from([(RetryClass::Pattern, 2)]),
        allow_host_executor: false,
        clock,
    }
}

pub fn git(directory: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.com"])
        .args(words)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

pub fn key(name: &str) -> EnvironmentKey {
    EnvironmentKey { project: shop(), environment: name.parse().unwrap() }
}

fn person(number: u128, login: &str, role: &str) -> Person {
    let id = UserId(uuid::Uuid::from_u128(number));
    Person { id, login: login.to_owned(), roles: vec![role.to_owned()] }
}

pub fn admin() -> Person {
    person(1, "admin", "admin")
}

pub fn developer() -> Person {
    person(2, "ada", "developer")
}

pub fn manager() -> Person {
    person(3, "grace", "release-manager")
}
