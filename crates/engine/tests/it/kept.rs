//! Caches on the server: who reads what whom, what is revoked, and what goes when there is too much.

use std::io::Write as _;

use jiff::SignedDuration;
use towpath_api::agent::{AttemptEvent, AttemptOutcome, AttemptReport, Lease, SequencedEvent, StepOutcome};
use towpath_api::reuse::{Find, Found, NewEntry, Offer, Saved, Verified};
use towpath_artifact::snapshot::{Root, Take, take};
use towpath_artifact::{ContentStore, Limits};
use towpath_engine::EngineError;
use towpath_model::Digest;
use towpath_model::reuse::{EntryKind, Part};
use towpath_model::run::Trust;
use towpath_store::core::{attempts, kept, runs};

use crate::agent::Fate;
use crate::world::{World, developer, shop};

/// Several of its Runs go on at once.
const HELD: &str = "name: shop\ncancel_superseded: false\njobs:\n  test:\n    steps: [make]\n";

/// A Run whose first Job is held by the agent, so that things can be asked on its behalf.
fn holding(world: &mut World) -> Lease {
    world.agent.fates.insert("test".to_owned(), Fate::Hangs);
    let before = world.agent.held.len();
    world.push(&[("towpath.yaml", HELD)]);
    world.until("the job to run", |world| (world.agent.held.len() > before).then_some(()));
    *world.agent.held.last().unwrap()
}

/// Makes the Run of a lease one of another class of trust.
fn trusted(world: &World, lease: Lease, trust: Trust, reference: &str) {
    world.run(async {
        let mut tx = world.engine.db().begin_write().await.unwrap();
        let (_, owner) = attempts::owner(&mut tx, lease.attempt).await.unwrap().unwrap();
        let attempts::Owner::Run(id) = owner else { panic!("no run") };
        let mut run = runs::find(&mut tx, id).await.unwrap().unwrap();
        run.trust = trust;
        run.cause.reference = reference.to_owned();
        runs::put(&mut tx, &run).await.unwrap();
        tx.commit().await.unwrap();
    });
}

fn find(world: &World, lease: Lease, key: &str) -> Found {
    let wanted = Find {
        fence: lease.fence,
        kind: EntryKind::Cache,
        space: "linux".to_owned(),
        key: key.to_owned(),
        parts: vec![Part { name: "lock".to_owned(), value: key.to_owned() }],
        restore: vec!["cargo-".to_owned()],
        step: None,
    };
    world.run(world.engine.reuse_find(Some(world.agent.id), lease.attempt, &wanted)).unwrap()
}

/// Saves a directory with one file of these bytes under a key, as an agent does.
fn save(world: &World, lease: Lease, key: &str, bytes: &[u8]) -> Saved {
    save_as(world, lease, (EntryKind::Cache, key, None), bytes)
}

fn save_as(
    world: &World,
    lease: Lease,
    (kind, key, step): (EntryKind, &str, Option<u32>),
    bytes: &[u8],
) -> Saved {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("tree")).unwrap();
    std::fs::write(directory.path().join("tree/file"), bytes).unwrap();
    let store = ContentStore::open_replaceable(&directory.path().join("store")).unwrap();
    let root = Root { name: "work", path: directory.path().join("tree") };
    let wanted = Take {
        parts: vec![(root, vec![Default::default()])],
        known: None,
        limits: Limits::default(),
        refuse: None,
    };
    let mut snapshot = take(&wanted, &store).unwrap().known.snapshot;
    // The time of the file is no part of what is tested, and would make each manifest another.
    snapshot.entries.iter_mut().for_each(|entry| entry.mtime = 0);
    let digest = snapshot.store(&store).unwrap();
    let mut blobs: Vec<Digest> = snapshot.packs.iter().map(|pack| pack.digest).collect();
    blobs.push(digest);
    let agent = Some(world.agent.id);
    world.run(async {
        let offer = Offer { fence: lease.fence, blobs };
        let missing = world.engine.reuse_missing(agent, lease.attempt, &offer).await.unwrap();
        for blob in missing.blobs {
            let mut writer = world.engine.kept_store().writer(1 << 30).unwrap();
            writer.write_all(&store.read(blob, 1 << 30).unwrap()).unwrap();
            world.engine.reuse_put(agent, lease.attempt, lease.fence, blob, writer).await.unwrap();
        }
        let new = NewEntry {
            fence: lease.fence,
            kind,
            space: "linux".to_owned(),
            key: key.to_owned(),
            parts: vec![Part { name: "lock".to_owned(), value: key.to_owned() }],
            snapshot: digest,
            outputs: Default::default(),
            step,
        };
        world.engine.reuse_save(agent, lease.attempt, new).await.unwrap()
    })
}

fn saved(answer: Saved) -> String {
    match answer {
        Saved::Saved { id } => id,
        other => panic!("{other:?}"),
    }
}

/// TanStack, 2026-05: a contribution poisons the cache that the release build restores.
#[test]
fn what_a_fork_saves_reaches_no_protected_run_and_no_other_fork() {
    let mut world = World::start::<80>();
    let lease = holding(&mut world);
    trusted(&world, lease, Trust::Fork, "refs/pull/1/head");
    saved(save(&world, lease, "cargo-evil", b"evil"));
    assert!(find(&world, lease, "cargo-evil").entry.is_some(), "it reads its own");
    for (trust, reference) in [
        (Trust::Protected, "refs/heads/main"),
        (Trust::Internal, "refs/heads/feature"),
        (Trust::Fork, "refs/pull/2/head"),
    ] {
        trusted(&world, lease, trust, reference);
        let found = find(&world, lease, "cargo-evil");
        assert!(found.entry.is_none(), "{trust:?} got what a fork wrote");
        assert_eq!(found.why, "nothing was saved yet");
    }
    trusted(&world, lease, Trust::Internal, "refs/heads/feature");
    saved(save(&world, lease, "cargo-internal", b"internal"));
    trusted(&world, lease, Trust::Protected, "refs/heads/main");
    assert!(find(&world, lease, "cargo-internal").entry.is_none());
    // The same key is not taken by the one who must not write for others.
    saved(save(&world, lease, "cargo-evil", b"good"));
    let found = find(&world, lease, "cargo-evil").entry.unwrap();
    trusted(&world, lease, Trust::Fork, "refs/pull/3/head");
    assert_eq!(
        find(&world, lease, "cargo-evil").entry.unwrap().snapshot,
        found.snapshot,
        "forks read what is protected"
    );
}

#[test]
fn a_revoked_entry_takes_along_what_was_made_from_it_and_never_comes_back() {
    let mut world = World::start::<81>();
    let first = holding(&mut world);
    let poisoned = saved(save(&world, first, "cargo-1", b"poisoned"));
    let second = holding(&mut world);
    assert_eq!(find(&world, second, "cargo-1").entry.unwrap().id, poisoned);
    let derived = saved(save(&world, second, "cargo-2", b"made from it"));
    let innocent = saved(save(&world, first, "other-1", b"of the first, which read nothing"));
    let report = world.run(world.engine.kept_revoke(&shop(), &poisoned, "TanStack", &developer())).unwrap();
    let ids: Vec<_> = report.reached.entries.iter().map(|entry| entry.id.clone()).collect();
    assert_eq!(ids, [poisoned.clone(), derived]);
    assert!(!ids.contains(&innocent));
    assert_eq!(report.reached.runs.values().cloned().collect::<Vec<_>>(), ["shop#2"]);
    for key in ["cargo-1", "cargo-2"] {
        assert!(find(&world, first, key).entry.is_none(), "{key} was given away after it was revoked");
    }
    assert!(find(&world, first, "other-1").entry.is_some());
    let again = save(&world, first, "cargo-3", b"poisoned");
    assert!(matches!(&again, Saved::Refused { reason } if reason.contains("was revoked")), "{again:?}");
    assert_eq!(world.count("cache-revoked"), 1);
}

#[test]
fn a_full_quota_evicts_what_nobody_reads_and_keeps_serving() {
    let mut world = World::start::<82>();
    let lease = holding(&mut world);
    let noise = |seed: u64, length: usize| {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        std::iter::repeat_with(&mut draw).flatten().take(length).collect::<Vec<u8>>()
    };
    let too_large = save(&world, lease, "cargo-large", &noise(999, 600 << 10));
    assert!(
        matches!(&too_large, Saved::Refused { reason } if reason.contains("half of the project's quota"))
    );
    // Three times the quota of 1 MiB.
    for number in 0..120 {
        saved(save(&world, lease, &format!("cargo-{number}"), &noise(number, 26 << 10)));
        assert!(find(&world, lease, &format!("cargo-{number}")).entry.is_some(), "while others are evicted");
    }
    world.run(world.engine.sweep_kept()).unwrap();
    let usage = |world: &World| {
        world.run(async {
            let mut reader = world.engine.db().reader().await.unwrap();
            kept::usage(&mut reader).await.unwrap()[0].1
        })
    };
    assert!((900 << 10..=1 << 20).contains(&usage(&world)), "{} bytes", usage(&world));
    let files = |world: &World| {
        std::fs::read_dir(world.engine.kept_store().root().join("blobs/sha256")).unwrap().count()
    };
    // What was just sent stays for a while, since an entry may be about to name it.
    assert_eq!(files(&world), 242);
    world.pass(SignedDuration::from_mins(31));
    world.run(world.engine.sweep_kept()).unwrap();
    assert!(files(&world) < 100, "{} files", files(&world));
    let entries = world.run(world.engine.kept_entries(&shop(), None, 200)).unwrap();
    let live = entries.iter().filter(|entry| entry.state == kept::KeptState::Live).count();
    // Each live one has its manifest and its pack, and all of them can be had.
    assert_eq!(files(&world), 2 * live);
    assert!(entries[0].state == kept::KeptState::Live && entries[119].ended.contains("quota was full"));
    for entry in entries.iter().filter(|entry| entry.state == kept::KeptState::Live) {
        assert!(world.engine.kept_store().contains(entry.snapshot));
    }
}

#[test]
fn nothing_is_given_or_taken_without_the_lease() {
    let mut world = World::start::<83>();
    let lease = holding(&mut world);
    let id = saved(save(&world, lease, "cargo-1", b"one"));
    let stale = Lease { fence: lease.fence + 1, ..lease };
    let digest = find(&world, lease, "cargo-1").entry.unwrap().snapshot;
    let agent = Some(world.agent.id);
    let offer = Offer { fence: stale.fence, blobs: vec![digest] };
    let refused = world.run(world.engine.reuse_missing(agent, stale.attempt, &offer)).unwrap_err();
    assert!(matches!(refused, EngineError::Fenced { .. }));
    let refused =
        world.run(world.engine.reuse_may_read(agent, stale.attempt, stale.fence, digest)).unwrap_err();
    assert!(matches!(refused, EngineError::Fenced { .. }));
    world.run(world.engine.reuse_may_read(agent, lease.attempt, lease.fence, digest)).unwrap();
    let unknown = world.run(world.engine.reuse_may_read(agent, lease.attempt, lease.fence, Digest::of(b"x")));
    assert!(matches!(unknown, Err(EngineError::NotFound { .. })));
    // What comparing showed is found again, by people and by `doctor`.
    let verified =
        Verified { fence: lease.fence, entry: id, step: 1, differences: vec!["dist/out".to_owned()] };
    world.run(world.engine.reuse_verified(agent, lease.attempt, &verified)).unwrap();
    let run = world.find_run(1);
    let uses = world.run(world.engine.kept_uses(&shop(), run.id)).unwrap();
    let (last, entry) = uses.last().unwrap();
    let by = towpath_engine::kept::writer(entry.as_ref().unwrap());
    assert_eq!(
        towpath_engine::kept::words(last, Some(&by)),
        "not deterministic: with the same inputs it made other outputs than in shop#1 test: dist/out"
    );
    let findings = world.run(world.engine.doctor(&Default::default())).unwrap();
    assert!(findings.iter().any(|finding| finding.text.contains("dist/out")), "{findings:?}");
}

/// A Job of two Steps, whose second failed.
const TWO_STEPS: &str = "name: shop\njobs:\n  test:\n    steps: [make, make check]\n";

#[test]
fn a_job_goes_on_from_the_step_that_failed_and_with_an_edited_command_seals_nothing() {
    let mut world = World::start::<84>();
    world.agent.fates.insert("test".to_owned(), Fate::Hangs);
    world.push(&[("towpath.yaml", TWO_STEPS)]);
    world.until("the job to run", |world| (!world.agent.held.is_empty()).then_some(()));
    let lease = world.agent.held[0];
    let agent = Some(world.agent.id);
    let early = world.run(world.engine.resume_job(&shop(), 1, "test", None, None, &developer())).unwrap_err();
    assert!(early.to_string().contains("still runs"), "{early}");
    saved(save_as(&world, lease, (EntryKind::Workspace, "0", Some(0)), b"a workspace"));
    let step = |step, outcome| AttemptEvent::StepFinished { step, outcome };
    let events = [
        step(0, StepOutcome::Passed),
        step(1, StepOutcome::Failed { code: 2 }),
        AttemptEvent::Finished {
            outcome: AttemptOutcome::Failed,
            message: "step `make check` failed".to_owned(),
            outputs: Default::default(),
            artifacts: Default::default(),
            tests: None,
            reports: Vec::new(),
            log_bytes: 0,
        },
    ];
    let at = world.now();
    // After what the simulated agent said itself.
    let events =
        (100..).zip(events).map(|(sequence, event)| SequencedEvent { sequence, at, event }).collect();
    let report = AttemptReport { fence: lease.fence, events };
    world.run(world.engine.agent_report(agent, lease.attempt, report)).unwrap();
    world.agent.held.clear();
    let kept = world.run(world.engine.kept_workspaces(&shop(), 1, "test")).unwrap();
    assert_eq!((kept.len(), kept[0].step, kept[0].scripts.len()), (1, 0, 2));
    world.agent.fates.clear();
    let edited = Some("make check VERBOSE=1".to_owned());
    let run = world.run(world.engine.resume_job(&shop(), 1, "test", None, edited, &developer())).unwrap();
    assert!(run.is_edited() && !run.seals());
    let run = world.ended_run(1);
    assert_eq!(run.reason, "all jobs are done; nothing is sealed, since a command was edited");
    let given = world.agent.given.last().unwrap();
    let resume = given.reuse.resume.as_ref().unwrap();
    assert_eq!((resume.snapshot, resume.from), (kept[0].snapshot, 1));
    assert_eq!((given.steps[0].run.as_str(), given.steps[1].run.as_str()), ("make", "make check VERBOSE=1"));
    assert_eq!(world.count("job-resumed"), 1);
    let none =
        world.run(world.engine.resume_job(&shop(), 1, "test", Some(3), None, &developer())).unwrap_err();
    assert!(none.to_string().contains("has 2 steps"), "{none}");
}
