//! The whole way: from a push to judged production, and back.

use towpath_artifact::verify_release;
use towpath_engine::EngineError;
use towpath_model::environment::{Outcome, PromotionKind};

use crate::world::{DOCUMENTS, PIPELINE, World, admin, developer, key, manager, shop};

#[test]
fn a_push_becomes_production_and_a_bad_one_goes_back() {
    let mut world = World::with_environments::<0>();
    let first = world.release(1, &[("towpath.yaml", PIPELINE)]);
    // Nothing runs there, so it is a bootstrap: the canary has nobody to be compared with.
    world.approve(&first);
    assert_eq!(world.outcome("production", &first), Outcome::Succeeded);
    assert_eq!(world.version_in("production"), Some(first.clone()));

    let second = world.release(2, &[("greeting", "two")]);
    world.approve(&second);
    assert_eq!(world.outcome("production", &second), Outcome::Succeeded);
    assert_eq!(world.count("step-passed"), 1, "a canary of one step");

    let third = world.release(3, &[("greeting", "three")]);
    let bad = world.waiting("production", &third).revision.digest;
    world.gateway.failing.insert(bad, 400);
    world.approve(&third);
    let Outcome::RolledBack { reason, time_to_safe_ms } = world.outcome("production", &third) else {
        panic!("a version that fails was promoted");
    };
    assert!(time_to_safe_ms.is_some(), "{reason}");
    assert_eq!(world.version_in("production"), Some(second.clone()));
    let again = towpath_engine::PromoteRequest {
        environment: key("production"),
        version: third,
        comment: String::new(),
        override_quarantine: false,
    };
    let refused = world.run(world.engine.promote(&again, &manager())).unwrap_err();
    assert!(refused.to_string().contains("quarantine"), "{refused}");

    // By hand, exempt from every Gate.
    world.run(world.engine.rollback(&key("production"), Some(&first), false, "just so", &manager())).unwrap();
    world.until("the manual rollback", |world| {
        (world.version_in("production").as_ref() == Some(&first)).then_some(())
    });
    for (version, serves) in [(&first, true), (&second, false)] {
        let journey = world.run(world.engine.journey(&shop(), version)).unwrap();
        assert_eq!(journey.steps.last().unwrap().serves, serves, "{version} in production");
    }
    check_timeline(&world);
    check_releases(&world);
}

#[test]
fn a_changed_value_goes_through_the_same_gates() {
    let mut world = World::with_environments::<1>();
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    world.approve(&version);
    world.outcome("production", &version);
    let before = world.environment("production").environment.current.unwrap().revision;

    let documents = crate::world::DOCUMENTS.replace("GREETING: hello", "GREETING: hi");
    let report = world.apply(&documents).unwrap();
    assert_eq!(report.documents[2].changes, ["values.GREETING: hello -> hi"]);
    let waiting = world.waiting("production", &version);
    assert_eq!(waiting.kind, PromotionKind::Configuration);
    assert_eq!(waiting.revision.release, before.release);
    assert_ne!(waiting.revision.digest, before.digest);
    world.approve(&version);
    assert_eq!(world.outcome("production", &version), Outcome::Succeeded);
    let values: Vec<_> = world.agent.orders.values().map(|order| order.values.get("GREETING")).collect();
    assert!(values.contains(&Some(&"hi".to_owned())), "{values:?}");
}

#[test]
fn a_value_that_changes_while_approval_is_awaited_is_what_gets_deployed() {
    let mut world = World::with_environments::<2>();
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    let seen = world.waiting("production", &version);
    world.apply(&crate::world::DOCUMENTS.replace("GREETING: hello", "GREETING: hi")).unwrap();
    // The approval is for what was looked at, and that has just changed.
    let late = world.run(world.engine.vote(seen.id, true, "", Some(seen.binding()), &manager())).unwrap_err();
    assert!(matches!(late, EngineError::Refused { .. }), "{late}");
    let now = world.waiting("production", &version);
    assert_ne!(now.revision.config, seen.revision.config);
    world.approve(&version);
    assert_eq!(world.outcome("production", &version), Outcome::Succeeded);
    let environment = world.environment("production").environment;
    assert_eq!(environment.current.unwrap().revision.config, environment.config);
}

#[test]
fn nobody_approves_their_own_and_strangers_do_not_count() {
    let mut world = World::with_environments::<3>();
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    let waiting = world.waiting("production", &version);
    let mut pusher = developer();
    pusher.roles.push("release-manager".to_owned());
    for (person, why) in [(pusher, "nobody approves their own"), (admin(), "it takes release-manager")] {
        let refused = world.run(world.engine.vote(waiting.id, true, "", None, &person)).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    world.run(world.engine.vote(waiting.id, false, "not today", None, &manager())).unwrap();
    assert!(matches!(world.outcome("production", &version), Outcome::Rejected { .. }));
    assert_eq!(world.version_in("production"), None);
}

#[test]
fn a_newer_release_takes_the_place_of_one_that_waits() {
    let mut world = World::with_environments::<4>();
    let first = world.release(1, &[("towpath.yaml", PIPELINE)]);
    let stale = world.waiting("production", &first);
    let second = world.release(2, &[("greeting", "two")]);
    assert_eq!(world.outcome("production", &first), Outcome::Superseded { by: second.clone() });
    let refused = world.run(world.engine.vote(stale.id, true, "", None, &manager())).unwrap_err();
    assert!(refused.to_string().contains("does not wait any more"), "{refused}");
    world.approve(&second);
    assert_eq!(world.outcome("production", &second), Outcome::Succeeded);
}

/// The sequence has no gap.
pub fn check_timeline(world: &World) {
    let places: Vec<i64> = world.timeline().iter().map(|(place, _, _)| *place).collect();
    let expected: Vec<i64> = (1..=places.len() as i64).collect();
    assert_eq!(places, expected);
}

/// Every Release verifies against the public key.
pub fn check_releases(world: &World) {
    let releases = world.run(world.engine.releases(&shop(), None, 100)).unwrap();
    assert!(!releases.is_empty());
    for release in releases {
        let read = |digest| world.engine.content().read(digest, 1 << 20).unwrap();
        let (manifest, envelope) = (read(release.digest), read(release.signature));
        verify_release(&manifest, &envelope, world.engine.release_key()).unwrap();
    }
}

#[test]
fn an_environment_that_comes_late_takes_the_newest_release_that_may_enter() {
    let mut world = World::start::<38>();
    let documents: Vec<&str> = DOCUMENTS.split("---").collect();
    world.push(&[("towpath.yaml", PIPELINE)]);
    let old = world.ended_run(1).release.expect("a Release").version;
    world.push(&[("greeting", "two")]);
    let new = world.ended_run(2).release.expect("a Release").version;
    // The route begins with dev: nothing may enter staging before it.
    world.apply(documents[1]).expect("staging is applied");
    assert_eq!(world.version_in("staging"), None);
    world.apply(documents[0]).expect("dev is applied");
    assert_eq!(world.outcome("dev", &new), Outcome::Succeeded);
    assert_eq!(world.outcome("staging", &new), Outcome::Succeeded, "the route goes on from there");
    // Production comes when staging has passed, and waits for its approval.
    world.apply(documents[2]).expect("production is applied");
    assert_eq!(world.waiting("production", &new).revision.version, new);
    let production = world.environment("production").environment;
    assert_eq!(world.run(world.engine.offered(&production)).expect("an answer"), None, "it is on its way");
    let never = world.run(world.engine.promotions_of(&key("dev"), 50)).expect("promotions");
    assert!(never.iter().all(|promotion| promotion.revision.version != old), "an old Release was offered");
}

#[test]
fn an_instance_that_a_gateway_leaves_alone_is_told_for_as_long() {
    let mut world = World::with_environments::<100>();
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    assert_eq!(world.outcome("dev", &version), Outcome::Succeeded);
    let address = world.environment("dev").environment.traffic.arms[0].endpoints[0];
    let told = |world: &World| {
        world.environment("dev").waits.iter().any(|text| text.contains(&format!("leaves {address} alone")))
    };
    assert!(!told(&world));
    world.gateway.outliers = vec![address];
    world.until("it is told", |world| told(world).then_some(()));
    world.gateway.outliers.clear();
    world.until("it is told no more", |world| (!told(world)).then_some(()));
}

#[test]
fn gateways_are_told_what_a_workload_speaks() {
    let mut world = World::with_environments::<101>();
    let pipeline =
        PIPELINE.replace("health: { ready: /ready } }", "health: { ready: /ready }, protocol: h2c }");
    assert_ne!(pipeline, PIPELINE);
    let version = world.release(1, &[("towpath.yaml", &pipeline)]);
    assert_eq!(world.outcome("dev", &version), Outcome::Succeeded);
    let routes = world.run(world.engine.routes()).unwrap().routes;
    let route = routes.iter().find(|route| route.environment == key("dev")).unwrap();
    assert_eq!(route.arms[0].protocol, towpath_model::pipeline::Protocol::H2c);
}
