//! How Releases come into an Environment: by themselves, at their time, by hand; one after the other; and the search for the one
//! that broke what came at once.

use jiff::{SignedDuration, Timestamp};
use towpath_artifact::Revision as RevisionName;
use towpath_model::Digest;
use towpath_model::environment::Outcome;

use crate::canary::{self, document};
use crate::world::{World, admin, key, manager, shop};

/// Pushes a version with a short canary. Says which it is.
fn seal(world: &mut World, number: u64) -> String {
    canary::seal(world, number, "2s")
}

/// The Revision that a Release is in production.
fn revision(world: &World, version: &str) -> Digest {
    let release = world.run(world.engine.release(&shop(), version)).unwrap().digest;
    let config = world.environment("production").environment.config;
    RevisionName { release, config }.digest()
}

fn hold(world: &World) {
    world.run(world.engine.hold(&key("production"), "quiet, please", &admin())).unwrap();
}

fn resume(world: &World) {
    world.run(world.engine.resume(&key("production"), "", &manager())).unwrap();
}

fn serves(world: &mut World, version: &str) {
    world.until(&format!("{version} to serve"), |world| {
        (world.version_in("production").as_deref() == Some(version)).then_some(())
    });
}

fn promote(world: &World, version: &str) {
    canary::promote(world, version, false).unwrap();
}

#[test]
fn each_gets_its_turn_where_the_queue_says_so() {
    let mut world = World::start::<115>();
    world.apply(&document("queue: queued")).unwrap();
    let first = seal(&mut world, 1);
    serves(&mut world, &first);
    hold(&world);
    let behind: Vec<String> = (2..=4).map(|number| seal(&mut world, number)).collect();
    let status = world.until("three in line", |world| {
        let status = world.environment("production");
        (status.environment.in_line().count() == 3).then_some(status)
    });
    let versions: Vec<&str> =
        status.environment.in_line().map(|waiting| waiting.revision.version.as_str()).collect();
    assert_eq!(versions, behind.iter().map(String::as_str).collect::<Vec<_>>());
    let told = format!("{} waits behind {}: each gets its turn", behind[1], behind[0]);
    assert!(status.waits.contains(&told), "{:?}", status.waits);
    resume(&world);
    for version in &behind {
        assert_eq!(world.outcome("production", version), Outcome::Succeeded);
    }
    serves(&mut world, &behind[2]);
    assert_eq!(world.count("promotion-finished"), 4, "each was promoted once, and none superseded");
}

#[test]
fn the_release_that_broke_what_came_at_once_is_found() {
    let mut world = World::start::<116>();
    world.apply(&document("after_rollback: bisect")).unwrap();
    let good = seal(&mut world, 1);
    serves(&mut world, &good);
    hold(&world);
    let batch: Vec<String> = (2..=5).map(|number| seal(&mut world, number)).collect();
    world.waiting("production", &batch[3]);
    for bad in [&batch[2], &batch[3]] {
        let digest = revision(&world, bad);
        world.gateway.failing.insert(digest, 400);
    }
    resume(&world);
    assert!(matches!(world.outcome("production", &batch[3]), Outcome::RolledBack { .. }));
    let culprit = world.until("the culprit", |world| {
        let bisection = world.environment("production").environment.bisection?;
        bisection.culprit().map(|found| found.version.clone())
    });
    assert_eq!(culprit, batch[2]);
    serves(&mut world, &batch[1]);
    let kinds: Vec<&str> = ["suspects-named", "suspects-narrowed", "culprit-found"].into();
    for kind in kinds {
        assert_eq!(world.count(kind), 1, "{kind}: {:#?}", world.timeline());
    }
    let status = world.environment("production");
    let told = format!("{} is the release that fails: {} before it runs well", batch[2], batch[1]);
    assert!(status.waits.iter().any(|wait| wait.starts_with(&told)), "{:?}", status.waits);
    // What mends it ends the search.
    let mended = seal(&mut world, 6);
    serves(&mut world, &mended);
    assert_eq!(world.environment("production").environment.bisection, None);
}

#[test]
fn what_comes_by_hand_at_its_time_and_after_an_older_one() {
    let mut world = World::start::<118>();
    world.apply(&document("promote: manual")).unwrap();
    let first = seal(&mut world, 1);
    let production = world.environment("production").environment;
    assert!(production.waiting.is_none() && production.active.is_none(), "a person promotes it");
    assert_eq!(world.run(world.engine.offered(&production)).unwrap(), Some(first.clone()));
    promote(&world, &first);
    serves(&mut world, &first);

    // Half an hour from now, wherever the clock stands.
    let due = (world.now() + SignedDuration::from_mins(30)).to_zoned(jiff::tz::TimeZone::UTC);
    let cron = format!("{} {} * * *", due.minute(), due.hour());
    let report = world.apply(&document(&format!("promote: {{ schedule: \"{cron}\" }}"))).unwrap();
    assert!(report.documents[0].changes[0].starts_with("promote: manual -> scheduled"), "{report:?}");
    let second = seal(&mut world, 2);
    let waiting = world.waiting("production", &second);
    assert_eq!(waiting.gates[0].kind, "schedule");
    let at: Timestamp = waiting.gates[0].next.unwrap();
    assert!(at > world.now(), "{at}");
    world.pass(SignedDuration::from_mins(31));
    serves(&mut world, &second);

    world.apply(&document("promote: automatic")).unwrap();
    let third = seal(&mut world, 3);
    serves(&mut world, &third);
    promote(&world, &second);
    serves(&mut world, &second);
    let hold = world.environment("production").environment.hold.expect("an older version holds");
    assert!(hold.reason.contains(&format!("promotes {second}, which is older than {third}")), "{hold:?}");
    let fourth = seal(&mut world, 4);
    world.waiting("production", &fourth);
    // What waits by itself gives way to a person, and comes again when that is over.
    promote(&world, &first);
    serves(&mut world, &first);
    assert_eq!(world.outcome("production", &fourth), Outcome::Superseded { by: first });
    resume(&world);
    serves(&mut world, &fourth);
}
