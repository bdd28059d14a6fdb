//! Releases that were taken back.

use towpath_engine::Person;
use towpath_model::environment::{Outcome, Phase};
use towpath_model::revocation::OnRevocation;

use crate::canary::{self, document};
use crate::world::{World, admin, key, manager, shop};

/// Pushes a version with a canary that can be met on its way. Says which it is.
fn seal(world: &mut World, number: u64) -> String {
    canary::seal(world, number, "5s")
}

fn serves(world: &mut World, version: &str) {
    world.until(&format!("{version} to serve"), |world| {
        let production = world.environment("production").environment;
        let there = production.current.is_some_and(|current| current.revision.version == version);
        (there && production.active.is_none()).then_some(())
    });
}

fn promote(world: &World, version: &str) -> Result<(), String> {
    canary::promote(world, version, true)
}

#[test]
fn a_revoked_release_starts_nowhere_until_two_people_let_it() {
    let mut world = World::start::<117>();
    world.apply(&document("unrevoke: together")).unwrap();
    let first = seal(&mut world, 1);
    serves(&mut world, &first);
    let second = seal(&mut world, 2);
    serves(&mut world, &second);
    let revoke = |world: &World, version: &str, then| {
        world.run(world.engine.revoke(&shop(), version, "CVE-2026-1", then, &manager()))
    };

    // What waits ends, and says why.
    world.run(world.engine.hold(&key("production"), "quiet", &admin())).unwrap();
    let third = seal(&mut world, 3);
    world.waiting("production", &third);
    assert!(revoke(&world, &third, OnRevocation::Hold).unwrap().places.is_empty());
    let reason = format!("{third} was revoked by grace: CVE-2026-1");
    assert_eq!(world.outcome("production", &third), Outcome::Cancelled { reason: reason.clone() });
    let refused = promote(&world, &third).unwrap_err();
    assert!(refused.contains(&reason) && refused.contains("towpath unrevoke shop"), "{refused}");
    world.run(world.engine.resume(&key("production"), "", &manager())).unwrap();
    assert_eq!(world.version_in("production").as_deref(), Some(second.as_str()), "nor is it offered again");

    // A Rollout stays where it is, and goes on for nobody; the way back is open.
    let fourth = seal(&mut world, 4);
    world.until("the canary of the fourth", |world| {
        let active = world.environment("production").environment.active?;
        matches!(active.rollout?.phase, Phase::Step { .. }).then_some(())
    });
    let held = revoke(&world, &fourth, OnRevocation::Hold).unwrap();
    assert!(held.places[0].text.contains("stays where it is"), "{held:?}");
    let stuck = world.run(world.engine.resume(&key("production"), "", &manager())).unwrap_err();
    assert!(stuck.to_string().contains("was revoked by grace"), "{stuck}");
    let back = revoke(&world, &fourth, OnRevocation::RollBack).unwrap();
    assert!(back.places[0].text.contains("goes back"), "{back:?}");
    assert!(matches!(world.outcome("production", &fourth), Outcome::RolledBack { .. }));
    serves(&mut world, &second);

    // What serves is listed with what to do, and goes back where that is asked for; never to what is revoked.
    let listed = revoke(&world, &second, OnRevocation::Hold).unwrap();
    let advice = format!("it serves here; `towpath rollback shop/production --to {first}`");
    assert_eq!(listed.places[0].text, advice);
    let status = world.environment("production");
    assert!(status.waits.iter().any(|wait| wait.contains("and serves here")), "{:?}", status.waits);
    revoke(&world, &second, OnRevocation::RollBack).unwrap();
    serves(&mut world, &first);
    let never = world.run(world.engine.rollback(&key("production"), Some(&second), true, "", &manager()));
    assert!(never.unwrap_err().to_string().contains("was revoked by grace"));

    // Two different people have to agree; it is remembered over a crash in between.
    let unrevoke = |world: &World, person: &Person| {
        world.run(world.engine.unrevoke(&shop(), &second, "patched", person))
    };
    assert!(unrevoke(&world, &manager()).unwrap().revocation.is_some());
    assert!(unrevoke(&world, &manager()).unwrap_err().to_string().contains("second person"));
    let world = world.crashed();
    assert!(promote(&world, &second).is_err());
    assert!(unrevoke(&world, &admin()).unwrap().revocation.is_none());
    promote(&world, &second).unwrap();
    for (kind, count) in [
        ("release-revoked", 3),
        ("unrevocation-asked", 1),
        ("release-unrevoked", 1),
        ("revoked-release-serves", 2),
    ] {
        assert_eq!(world.count(kind), count, "{kind}");
    }
}
