//! The rows behind the core against a real database file: what another database will have to do just so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use towpath_model::{AgentId, AttemptId, Digest, EnvironmentKey, ProjectName, RunId};
use towpath_store::core::agents::{self, Agent};
use towpath_store::core::attempts::{self, Owner, Place, QueuedAttempt};
use towpath_store::core::documents::{self, Document};
use towpath_store::core::gateways::{self, Gateway};
use towpath_store::core::measurements::{self, Measurement};
use towpath_store::core::projects::{self, Project};
use towpath_store::core::secrets::{self, SecretVersion};
use towpath_store::core::{counters, outbox};
use towpath_store::{Db, WriteTx, git_refs};
use uuid::Uuid;

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn later(seconds: i64) -> Timestamp {
    T0 + SignedDuration::from_secs(seconds)
}

async fn open() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("towpath.db")).await.unwrap();
    (dir, db)
}

fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

fn production() -> EnvironmentKey {
    EnvironmentKey { project: shop(), environment: "production".parse().unwrap() }
}

fn queued(number: u128, owner: Owner) -> QueuedAttempt {
    QueuedAttempt {
        id: AttemptId(Uuid::from_u128(number)),
        project: shop(),
        owner,
        labels: BTreeMap::from([("os".to_owned(), "linux".to_owned())]),
        place: Place::of_check(format!("shop {number}")),
        fence: 0,
        agent: None,
        cancel: None,
        body: String::new(),
    }
}

async fn queue(tx: &mut WriteTx, attempt: &QueuedAttempt, at: Timestamp) {
    attempts::queue(tx, attempt, at).await.unwrap();
}

#[tokio::test]
async fn an_attempt_is_given_to_one_agent_under_a_growing_fence() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let (one, two) = (AgentId(Uuid::from_u128(1)), AgentId(Uuid::from_u128(2)));
    let at = |attempt: QueuedAttempt, queued_at| QueuedAttempt {
        place: Place { queued_at, ..attempt.place.clone() },
        ..attempt
    };
    let job = at(queued(1, Owner::Run(RunId(Uuid::from_u128(9)))), later(1));
    let check = at(queued(2, Owner::Environment("production".parse().unwrap())), later(2));
    queue(&mut tx, &check, later(2)).await;
    queue(&mut tx, &job, later(1)).await;
    queue(&mut tx, &job, later(3)).await;
    assert_eq!(attempts::queued(&mut tx).await.unwrap(), [job.clone(), check.clone()]);
    assert_eq!(attempts::lease(&mut tx, job.id, one, later(5)).await.unwrap(), Some(1));
    assert_eq!(
        attempts::lease(&mut tx, job.id, two, later(6)).await.unwrap(),
        None,
        "it was to be had twice"
    );
    let place = Place { leased_at: Some(later(5)), ..job.place.clone() };
    let held = QueuedAttempt { fence: 1, agent: Some(one), place, ..job.clone() };
    assert_eq!(attempts::leased(&mut tx).await.unwrap(), std::slice::from_ref(&held));
    attempts::cancel(&mut tx, job.id, "enough").await.unwrap();
    let told = QueuedAttempt { cancel: Some("enough".to_owned()), ..held };
    assert_eq!(attempts::find(&mut tx, job.id).await.unwrap(), Some(told), "its agent still has to be told");
    attempts::cancel(&mut tx, check.id, "enough").await.unwrap();
    assert_eq!(attempts::find(&mut tx, check.id).await.unwrap(), None, "nobody has to be told");
    attempts::done(&mut tx, job.id).await.unwrap();
    queue(&mut tx, &job, later(4)).await;
    assert_eq!(attempts::find(&mut tx, job.id).await.unwrap(), None, "what is done came back");
}

#[tokio::test]
async fn effects_come_in_their_order_when_they_are_due() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let first = outbox::push(&mut tx, "run", "shop", "1", "a", T0).await.unwrap();
    let second = outbox::push(&mut tx, "run", "shop", "1", "b", T0).await.unwrap();
    outbox::retry(&mut tx, first, later(10)).await.unwrap();
    let due = outbox::due(&mut tx, later(9)).await.unwrap();
    assert_eq!(due.iter().map(|effect| effect.id).collect::<Vec<_>>(), [second]);
    let due = outbox::due(&mut tx, later(10)).await.unwrap();
    assert_eq!(
        due.iter().map(|effect| (effect.id, effect.tries)).collect::<Vec<_>>(),
        [(first, 1), (second, 0)]
    );
    outbox::remove(&mut tx, first).await.unwrap();
    assert_eq!(outbox::due(&mut tx, later(10)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_agent_that_calls_again_keeps_its_generation() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let agent = Agent {
        id: AgentId(Uuid::from_u128(1)),
        hostname: "host".to_owned(),
        labels: BTreeMap::new(),
        runner: true,
        deployer: false,
        address: "10.0.0.1".to_owned(),
        version: "1".to_owned(),
        seen_at: T0,
        generation: 0,
        capacity: 2,
        one_job: false,
        hold: None,
    };
    agents::seen(&mut tx, &agent).await.unwrap();
    agents::changed(&mut tx, agent.id).await.unwrap();
    agents::seen(&mut tx, &Agent { seen_at: later(5), deployer: true, ..agent.clone() }).await.unwrap();
    let found = agents::find(&mut tx, agent.id).await.unwrap().unwrap();
    assert_eq!((found.generation, found.seen_at, found.deployer), (2, later(5), true));
    assert_eq!(agents::all(&mut tx).await.unwrap(), [found]);
}

#[tokio::test]
async fn a_measurement_counts_once() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let gateway = Gateway { name: "local".to_owned(), version: "1".to_owned(), seen_at: T0 };
    gateways::seen(&mut tx, &gateway).await.unwrap();
    for (session, sequence, new) in [
        ("a", 1, true),
        ("a", 1, false),
        ("b", 1, true),
        ("a", 2, true),
        ("b", 1, false),
        ("a", 2, false),
        ("b", 2, true),
    ] {
        assert_eq!(
            gateways::take_in(&mut tx, "local", session, sequence, T0).await.unwrap(),
            new,
            "{session} {sequence}"
        );
    }
    let much_later = later(25 * 60 * 60);
    assert!(gateways::take_in(&mut tx, "local", "c", 1, much_later).await.unwrap());
    assert!(gateways::take_in(&mut tx, "local", "a", 1, much_later).await.unwrap(), "it was not forgotten");
    assert_eq!(gateways::all(&mut tx).await.unwrap(), [gateway]);
}

#[tokio::test]
async fn measurements_of_one_second_add_up() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let revision = Digest::of(b"revision");
    let measured = |second, requests| Measurement {
        second,
        revision,
        way: "split".to_owned(),
        requests,
        errors: 1,
        gateway_errors: 0,
        weight: 500,
        latency: vec![requests, 0],
    };
    for (second, requests) in [(1, 10), (1, 5), (2, 7)] {
        measurements::add(&mut tx, &production(), &measured(second, requests)).await.unwrap();
    }
    let routed = Measurement { way: "routed".to_owned(), ..measured(2, 4) };
    measurements::add(&mut tx, &production(), &routed).await.unwrap();
    let all = measurements::since(&mut tx, &production(), T0).await.unwrap();
    assert_eq!(all, [Measurement { errors: 2, ..measured(1, 15) }, routed, measured(2, 7)]);
    let totals = measurements::totals(&mut tx, &production()).await.unwrap();
    let totals: Vec<(&str, u64, u64)> =
        totals.iter().map(|total| (total.way.as_str(), total.requests, total.errors)).collect();
    assert_eq!(totals, [("split", 22, 3), ("routed", 4, 1)], "each way by itself");
    assert_eq!(measurements::forget(&mut tx, later(2)).await.unwrap(), 1);
    assert_eq!(measurements::since(&mut tx, &production(), T0).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_secret_never_gets_an_old_version_again() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let name = "TOKEN".parse().unwrap();
    for wanted in 1..=3 {
        let version = secrets::next_version(&mut tx, &shop(), "", &name).await.unwrap();
        assert_eq!(version, wanted, "a configuration with it would look like one that ran before");
        let secret = SecretVersion {
            environment: String::new(),
            name: name.clone(),
            version,
            created_by: "ada".to_owned(),
            created_at: T0,
        };
        secrets::insert(&mut tx, &shop(), &secret, b"sealed").await.unwrap();
        assert_eq!(secrets::newest(&mut tx, &shop()).await.unwrap(), [secret]);
        let sealed = secrets::sealed(&mut tx, &shop(), "", &name, version).await.unwrap();
        assert_eq!(sealed.as_deref(), Some(&b"sealed"[..]));
        if wanted == 2 {
            assert_eq!(secrets::remove(&mut tx, &shop(), "", &name).await.unwrap(), 2);
        }
    }
}

#[tokio::test]
async fn documents_and_configurations_stay() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    for version in [1, 2] {
        let document =
            Document { version, source: "…".to_owned(), applied_by: "ada".to_owned(), applied_at: T0 };
        documents::insert(&mut tx, &production(), &document).await.unwrap();
    }
    let versions: Vec<u64> =
        documents::history(&mut tx, &production()).await.unwrap().iter().map(|d| d.version).collect();
    assert_eq!(versions, [2, 1]);
    let digest = Digest::of(b"configuration");
    for _ in 0..2 {
        documents::put_config(&mut tx, &production(), digest, &"values", T0).await.unwrap();
    }
    assert_eq!(documents::config::<String>(&mut tx, digest).await.unwrap(), Some("values".to_owned()));
    assert_eq!(documents::config::<String>(&mut tx, Digest::of(b"other")).await.unwrap(), None);
}

#[tokio::test]
async fn names_are_taken_once_counters_only_grow_and_refs_are_remembered() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let project =
        Project { name: shop(), protected_refs: Vec::new(), directory: String::new(), created_at: T0 };
    assert!(projects::insert(&mut tx, &project).await.unwrap());
    assert!(!projects::insert(&mut tx, &project).await.unwrap());
    assert_eq!(projects::find(&mut tx, &shop()).await.unwrap(), Some(project));
    assert_eq!(counters::value(&mut tx, counters::ROUTES).await.unwrap(), 0);
    for wanted in [1, 2] {
        assert_eq!(counters::grow(&mut tx, counters::ROUTES).await.unwrap(), wanted);
    }
    for commit in [Some("a"), Some("b"), None] {
        git_refs::handled(&mut tx, "shop", "refs/heads/main", commit, T0).await.unwrap();
        let known = git_refs::find(&mut tx, "shop", "refs/heads/main").await.unwrap();
        assert_eq!(known.as_deref(), commit);
    }
}

#[tokio::test]
async fn a_concurrency_group_lets_in_no_more_than_its_limit() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    let agent = AgentId(Uuid::from_u128(1));
    for number in 1..=3 {
        let mut attempt = queued(number, Owner::Run(RunId(Uuid::from_u128(9))));
        attempt.place.group = Some(("db".to_owned(), 2));
        queue(&mut tx, &attempt, later(1)).await;
    }
    let mut lease = async |number| {
        attempts::lease(&mut tx, AttemptId(Uuid::from_u128(number)), agent, later(2)).await.unwrap()
    };
    assert_eq!((lease(1).await, lease(2).await, lease(3).await), (Some(1), Some(1), None));
    attempts::done(&mut tx, AttemptId(Uuid::from_u128(1))).await.unwrap();
    let third = attempts::lease(&mut tx, AttemptId(Uuid::from_u128(3)), agent, later(3)).await.unwrap();
    assert_eq!(third, Some(1));
}
