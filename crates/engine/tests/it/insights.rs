//! How a Project delivers, from a history that really happened.

use std::collections::BTreeSet;

use towpath_model::environment::Outcome;

use crate::world::{PIPELINE, World, key, manager, shop};

#[test]
fn deployments_failures_and_rework_are_counted_where_users_are() {
    let mut world = World::with_environments::<118>();
    let first = world.release(1, &[("towpath.yaml", PIPELINE)]);
    world.approve(&first);
    assert_eq!(world.outcome("production", &first), Outcome::Succeeded);
    let second = world.release(2, &[("shop.txt", "two")]);
    world.approve(&second);
    assert_eq!(world.outcome("production", &second), Outcome::Succeeded);
    world
        .run(world.engine.rollback(&key("production"), Some(&first), false, "it is slow", &manager()))
        .unwrap();
    world.until("the way back", |world| (world.version_in("production")? == first).then_some(()));
    let found = world.run(world.engine.delivery_insights(&shop(), 30, BTreeSet::new())).unwrap();
    assert_eq!(found.environments, BTreeSet::from(["production".parse().unwrap()]), "the end of the route");
    assert_eq!((found.delivery.deployments, found.delivery.failures, found.delivery.rework), (2, 1, 0));
    assert!(found.delivery.lead_time.is_some_and(|time| time.is_positive()), "{found:?}");
    assert!(found.run_time.is_some(), "{found:?}");
    let incident = &found.delivery.incidents[0];
    assert_eq!((incident.version.as_str(), incident.closed_at.is_some()), (second.as_str(), true));
    let dev = BTreeSet::from(["dev".parse().unwrap()]);
    let found = world.run(world.engine.delivery_insights(&shop(), 30, dev)).unwrap();
    assert_eq!((found.delivery.deployments, found.delivery.failures), (2, 0));
}
