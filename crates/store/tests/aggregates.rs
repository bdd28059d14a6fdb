//! Runs, Releases, Environments and Promotions against a real database file: what another database will have to do just so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use towpath_model::environment::{
    Environment, Outcome, Policy, Promotion, PromotionKind, PromotionPlan, Revision,
};
use towpath_model::intake::Intake;
use towpath_model::pipeline::{Analysis, OnFailure, Strategy};
use towpath_model::policy::{Allow, EnvironmentDocument, Target};
use towpath_model::run::{Admission, Cause, NewRun, Run, RunState, Trust};
use towpath_model::timeline::Actor;
use towpath_model::{Digest, EnvironmentKey, ProjectName, PromotionId, RunId};
use towpath_store::core::projects::{self, Project};
use towpath_store::core::releases::{self, Release, Route};
use towpath_store::core::{environments, promotions, runs};
use towpath_store::{Db, WriteTx};
use uuid::Uuid;

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn later(seconds: i64) -> Timestamp {
    T0 + SignedDuration::from_secs(seconds)
}

fn named(project: &str) -> ProjectName {
    project.parse().unwrap()
}

/// An open database in which `shop` and `blog` are projects.
async fn open() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("towpath.db")).await.unwrap();
    let mut tx = db.begin_write().await.unwrap();
    for name in ["shop", "blog"] {
        let project = Project {
            name: named(name),
            protected_refs: Vec::new(),
            directory: String::new(),
            created_at: T0,
        };
        assert!(projects::insert(&mut tx, &project).await.unwrap());
    }
    tx.commit().await.unwrap();
    (dir, db)
}

/// A Run that is being prepared, started `number` seconds after the epoch.
fn run(project: &str, number: u64) -> Run {
    let new = NewRun {
        id: RunId(Uuid::from_u128(u128::from(number) + if project == "shop" { 0 } else { 1000 })),
        project: named(project),
        number,
        directory: String::new(),
        cause: Cause {
            event: "push".to_owned(),
            reference: "refs/heads/main".to_owned(),
            commit: "c".repeat(40),
            subject: "ä …".to_owned(),
            author: "ada".to_owned(),
            makers: Vec::new(),
            actor: Actor::Towpath,
            inputs: BTreeMap::new(),
            origin: None,
        },
        trust: Trust::Protected,
        pipeline: Err(vec!["no jobs".to_owned()]),
        admission: Admission::Free,
    };
    let (run, _) = Run::start(new, later(number.cast_signed()));
    Run { state: RunState::Preparing, finished_at: None, ..run }
}

async fn put_runs(tx: &mut WriteTx, all: &[Run]) {
    for run in all {
        runs::put(tx, run).await.unwrap();
    }
}

#[tokio::test]
async fn runs_are_numbered_per_project_and_found_by_either_name() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    assert_eq!(runs::next_number(&mut tx, &named("shop")).await.unwrap(), 1);
    let all = [run("shop", 1), run("shop", 2), run("blog", 1)];
    put_runs(&mut tx, &all).await;
    assert_eq!(runs::next_number(&mut tx, &named("shop")).await.unwrap(), 3);
    assert_eq!(runs::next_number(&mut tx, &named("blog")).await.unwrap(), 2);
    assert_eq!(runs::find(&mut tx, all[1].id).await.unwrap().as_ref(), Some(&all[1]));
    assert_eq!(runs::by_number(&mut tx, &named("blog"), 1).await.unwrap().as_ref(), Some(&all[2]));
    assert_eq!(runs::by_number(&mut tx, &named("blog"), 2).await.unwrap(), None);
    assert_eq!(runs::find(&mut tx, RunId(Uuid::from_u128(77))).await.unwrap(), None);
    let twice = Run { id: RunId(Uuid::from_u128(50)), ..run("shop", 2) };
    assert!(runs::put(&mut tx, &twice).await.is_err(), "two Runs have one number");
}

#[tokio::test]
async fn a_run_of_no_project_is_refused() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    assert!(runs::put(&mut tx, &run("unknown", 1)).await.is_err());
}

#[tokio::test]
async fn a_run_that_changed_is_the_changed_one_everywhere() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let shop = named("shop");
    put_runs(&mut tx, &[run("shop", 1), run("shop", 2), run("blog", 1)]).await;
    let both = [run("shop", 1).id, run("shop", 2).id];
    assert_eq!(runs::unfinished(&mut tx, &shop).await.unwrap(), both);
    let ended = Run { state: RunState::Failed, finished_at: Some(later(9)), ..run("shop", 1) };
    runs::put(&mut tx, &ended).await.unwrap();
    assert_eq!(runs::unfinished(&mut tx, &shop).await.unwrap(), both[1..]);
    assert_eq!(runs::find(&mut tx, ended.id).await.unwrap(), Some(ended));
    tx.rollback().await.unwrap();
    let mut reader = db.reader().await.unwrap();
    assert_eq!(runs::page(&mut reader, None, None, 10).await.unwrap(), [], "what was undone is there");
}

#[tokio::test]
async fn pages_of_runs_go_on_where_the_last_one_ended() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let shop = named("shop");
    put_runs(&mut tx, &(1..=5).map(|number| run("shop", number)).collect::<Vec<_>>()).await;
    put_runs(&mut tx, &[run("blog", 9)]).await;
    let numbers = |page: Vec<Run>| page.iter().map(|run| run.number).collect::<Vec<_>>();
    assert_eq!(numbers(runs::page(&mut tx, Some(&shop), None, 2).await.unwrap()), [5, 4]);
    assert_eq!(numbers(runs::page(&mut tx, Some(&shop), Some(4), 2).await.unwrap()), [3, 2]);
    assert_eq!(numbers(runs::page(&mut tx, Some(&shop), Some(2), 2).await.unwrap()), [1]);
    assert_eq!(numbers(runs::page(&mut tx, Some(&shop), Some(1), 2).await.unwrap()), [0; 0]);
    assert_eq!(numbers(runs::page(&mut tx, None, None, 2).await.unwrap()), [9, 5], "of all projects");
}

fn release(number: u64, version: &str) -> Release {
    Release {
        digest: Digest::of(format!("{number} {version}").as_bytes()),
        project: named("shop"),
        version: version.to_owned(),
        run: run("shop", number).id,
        commit: "c".repeat(40),
        signature: Digest::of(b"signature"),
        created_at: later(number.cast_signed()),
        route: Route {
            reference: "refs/tags/v1".to_owned(),
            source: Digest::of(b"source"),
            directory: "service".to_owned(),
            workloads: Vec::new(),
            databases: Vec::new(),
            stages: Vec::new(),
            makers: BTreeSet::from(["ada".to_owned()]),
            executors: BTreeMap::from([("build".parse().unwrap(), "bubblewrap".to_owned())]),
        },
    }
}

#[tokio::test]
async fn a_release_is_written_once_and_its_version_taken() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    put_runs(&mut tx, &[run("shop", 1), run("shop", 2)]).await;
    let first = release(1, "1.0.0");
    for _ in 0..2 {
        releases::insert(&mut tx, &first).await.unwrap();
    }
    let other = Release { commit: "d".repeat(40), ..first.clone() };
    releases::insert(&mut tx, &other).await.unwrap();
    assert_eq!(releases::find(&mut tx, first.digest).await.unwrap().as_ref(), Some(&first), "it was changed");
    let by_version = releases::by_version(&mut tx, &named("shop"), "1.0.0").await.unwrap();
    assert_eq!(by_version, Some(first));
    assert_eq!(releases::by_version(&mut tx, &named("blog"), "1.0.0").await.unwrap(), None);
    assert!(releases::insert(&mut tx, &release(2, "1.0.0")).await.is_err(), "two Releases have one version");
    assert!(releases::insert(&mut tx, &release(3, "1.0.1")).await.is_err(), "no Run sealed it");
}

#[tokio::test]
async fn pages_of_releases_are_newest_first() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    for number in 1..=3 {
        put_runs(&mut tx, &[run("shop", number)]).await;
        releases::insert(&mut tx, &release(number, &format!("1.0.{number}"))).await.unwrap();
    }
    let versions = |page: Vec<Release>| page.into_iter().map(|release| release.version).collect::<Vec<_>>();
    let shop = named("shop");
    let first = releases::page(&mut tx, &shop, None, 2).await.unwrap();
    let end = first.last().map(|release| release.created_at);
    assert_eq!(versions(first), ["1.0.3", "1.0.2"]);
    assert_eq!(versions(releases::page(&mut tx, &shop, end, 2).await.unwrap()), ["1.0.1"]);
    assert_eq!(versions(releases::page(&mut tx, &named("blog"), None, 2).await.unwrap()), [""; 0]);
}

fn key(project: &str, name: &str) -> EnvironmentKey {
    EnvironmentKey { project: named(project), environment: name.parse().unwrap() }
}

fn environment(key: &EnvironmentKey) -> Environment {
    let document = EnvironmentDocument {
        environment: key.environment.clone(),
        project: key.project.clone(),
        target: Target {
            hosts: BTreeMap::new(),
            instances: 1,
            replace_after: SignedDuration::from_mins(5),
            docker: None,
        },
        listen: "127.0.0.1:8080".parse().unwrap(),
        tls: None,
        preview: None,
        allow: Allow::default(),
        intake: Intake::default(),
        gates: Vec::new(),
        values: BTreeMap::new(),
        secrets: Vec::new(),
    };
    let policy = Policy { version: 1, document, editors: BTreeSet::new() };
    Environment::new(policy, Digest::of(b"config"), T0)
}

#[tokio::test]
async fn environments_are_looked_at_when_they_are_due() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    assert_eq!(environments::next_wakeup(&mut tx).await.unwrap(), None);
    let (dev, production, blog) = (key("shop", "dev"), key("shop", "production"), key("blog", "dev"));
    for (key, wake_at) in [(&production, Some(later(20))), (&dev, Some(later(10))), (&blog, None)] {
        environments::put(&mut tx, &environment(key), wake_at).await.unwrap();
    }
    assert_eq!(environments::next_wakeup(&mut tx).await.unwrap(), Some(later(10)));
    assert_eq!(environments::due(&mut tx, later(9)).await.unwrap(), []);
    assert_eq!(environments::due(&mut tx, later(10)).await.unwrap(), std::slice::from_ref(&dev));
    assert_eq!(environments::due(&mut tx, later(20)).await.unwrap(), [dev.clone(), production.clone()]);
    let mut changed = environment(&dev);
    changed.policy.version = 2;
    environments::put(&mut tx, &changed, None).await.unwrap();
    assert_eq!(
        environments::due(&mut tx, later(20)).await.unwrap(),
        [production],
        "its wake-up was taken back"
    );
    assert_eq!(environments::find(&mut tx, &dev).await.unwrap(), Some(changed));
    assert_eq!(environments::find(&mut tx, &key("shop", "staging")).await.unwrap(), None);
    let names = |all: Vec<Environment>| all.iter().map(|one| one.key.to_string()).collect::<Vec<_>>();
    let shop = environments::all(&mut tx, Some(&named("shop"))).await.unwrap();
    assert_eq!(names(shop), ["shop/dev", "shop/production"]);
    assert_eq!(names(environments::all(&mut tx, None).await.unwrap())[0], "blog/dev");
    assert!(environments::put(&mut tx, &environment(&key("unknown", "dev")), None).await.is_err());
}

fn promotion(number: u64, environment: EnvironmentKey, release: &[u8]) -> Promotion {
    let revision = Revision {
        digest: Digest::of(&[release, b"+config"].concat()),
        release: Digest::of(release),
        signature: Digest::of(b"signature"),
        config: Digest::of(b"config"),
        version: "1.0.0".to_owned(),
        commit: "c".repeat(40),
        source: Digest::of(b"source"),
        directory: String::new(),
        workloads: Vec::new(),
        databases: Vec::new(),
    };
    let plan = PromotionPlan {
        stage: "production".parse().unwrap(),
        gates: Vec::new(),
        strategy: Strategy::Recreate,
        analysis: Analysis::default(),
        verify: Vec::new(),
        before: 0,
        on_failure: OnFailure::Rollback,
        deadline: SignedDuration::from_mins(30),
    };
    let at = later(number.cast_signed());
    Promotion {
        id: PromotionId(Uuid::from_u128(number.into())),
        environment,
        revision,
        kind: PromotionKind::Release,
        plan,
        policy: 1,
        makers: BTreeSet::new(),
        requested_by: Actor::Towpath,
        requested_at: at,
        asked_at: at,
        votes: Vec::new(),
        gates: Vec::new(),
        soaked: BTreeSet::new(),
        probes: BTreeMap::new(),
        lifted: BTreeMap::new(),
        change: None,
        comparing: None,
        called: false,
        started_at: None,
        rollout: None,
        outcome: None,
        finished_at: None,
    }
}

#[tokio::test]
async fn promotions_are_listed_by_place_by_release_and_while_open() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let (dev, production) = (key("shop", "dev"), key("shop", "production"));
    let early = promotion(1, production.clone(), b"a");
    assert!(promotions::put(&mut tx, &early).await.is_err(), "its Environment does not exist");
    for key in [&dev, &production] {
        environments::put(&mut tx, &environment(key), None).await.unwrap();
    }
    let all = [early, promotion(2, dev.clone(), b"a"), promotion(3, production.clone(), b"b")];
    for promotion in &all {
        promotions::put(&mut tx, promotion).await.unwrap();
    }
    let numbers = |list: Vec<Promotion>| list.iter().map(|one| one.id.0.as_u128()).collect::<Vec<_>>();
    assert_eq!(numbers(promotions::of_environment(&mut tx, &production, 10).await.unwrap()), [3, 1]);
    assert_eq!(numbers(promotions::of_environment(&mut tx, &production, 1).await.unwrap()), [3]);
    assert_eq!(numbers(promotions::of_release(&mut tx, Digest::of(b"a")).await.unwrap()), [1, 2]);
    assert_eq!(numbers(promotions::open(&mut tx).await.unwrap()), [1, 2, 3]);
    let done = Promotion { outcome: Some(Outcome::Succeeded), finished_at: Some(later(9)), ..all[1].clone() };
    promotions::put(&mut tx, &done).await.unwrap();
    assert_eq!(numbers(promotions::open(&mut tx).await.unwrap()), [1, 3]);
    assert_eq!(promotions::find(&mut tx, done.id).await.unwrap(), Some(done));
    assert_eq!(promotions::find(&mut tx, PromotionId(Uuid::from_u128(9))).await.unwrap(), None);
}
