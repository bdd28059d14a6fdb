//! How a Project delivers, from a history that really happened.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use towpath_engine::NewIncident;
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
    // People reported it, too: it stays one failure.
    let report = |environment: &str, version: Option<&str>, at: Timestamp| {
        let new = NewIncident {
            environment: key(environment),
            version: version.map(str::to_owned),
            title: " checkout fails ".to_owned(),
            opened_at: Some(at),
        };
        world.run(world.engine.open_incident(new, &manager())).map_err(|error| error.to_string())
    };
    let opened = report("production", None, incident.opened_at).unwrap();
    assert_eq!((opened.number, opened.version.as_deref()), (1, Some(second.as_str())), "what ran then");
    let close = |number, at: Option<Timestamp>| {
        let (shop, grace) = (shop(), manager());
        let closed = world.engine.close_incident(&shop, number, "rolled back", at, &grace);
        world.run(closed).map_err(|error| error.to_string())
    };
    assert!(
        close(1, Some(opened.opened_at - SignedDuration::from_mins(1)))
            .unwrap_err()
            .contains("cannot end before")
    );
    assert!(close(2, None).unwrap_err().contains("incident 2 of shop"));
    close(1, None).unwrap();
    assert!(close(1, None).unwrap_err().contains("grace closed incident 1 already"));
    assert!(report("production", Some("9.9.9"), world.now()).unwrap_err().contains("release 9.9.9 of shop"));
    assert!(
        report("production", None, world.now() + SignedDuration::from_mins(1))
            .unwrap_err()
            .contains("is still to come")
    );
    assert!(report("nowhere", None, world.now()).unwrap_err().contains("nowhere"));
    // Another one, of what runs now; it lasts.
    assert_eq!(report("production", None, world.now()).unwrap().version, Some(first.clone()));
    let found = world.run(world.engine.delivery_insights(&shop(), 30, BTreeSet::new())).unwrap();
    assert_eq!((found.delivery.deployments, found.delivery.failures), (2, 2));
    let numbers: Vec<_> =
        found.delivery.incidents.iter().map(|one| (one.number, one.closed_at.is_some())).collect();
    assert_eq!(numbers, [(Some(2), false), (Some(1), true)]);
    assert_eq!((world.count("incident-opened"), world.count("incident-closed")), (2, 1));
    let dev = BTreeSet::from(["dev".parse().unwrap()]);
    let found = world.run(world.engine.delivery_insights(&shop(), 30, dev)).unwrap();
    assert_eq!((found.delivery.deployments, found.delivery.failures), (2, 0));
}
