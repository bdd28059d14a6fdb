//! Environment documents: what changes is shown, and loosening needs consent.

use towpath_engine::EngineError;

use crate::world::{DOCUMENTS, World, admin, key, manager, shop};

#[test]
fn the_difference_is_shown_before_anything_changes() {
    let world = World::with_environments::<30>();
    let text = DOCUMENTS.replace("instances: 2", "instances: 3");
    let asked = world.run(world.engine.apply(&shop(), "e.yaml", &text, true, &admin())).unwrap();
    assert_eq!(asked.documents[2].changes, ["target.instances: 2 -> 3"]);
    assert_eq!(world.environment("production").environment.policy.version, 1, "a dry run changed something");
    world.apply(&text).unwrap();
    assert_eq!(world.environment("production").environment.policy.version, 2);
    let again = world.apply(&text).unwrap();
    assert!(again.documents.iter().all(|document| document.changes.is_empty()), "{again:?}");
    let history = world.run(world.engine.documents(&key("production"))).unwrap();
    assert_eq!(history.len(), 2, "what changes nothing is no version");
}

#[test]
fn loosening_needs_those_who_could_approve() {
    let world = World::with_environments::<31>();
    let loose = DOCUMENTS.replace("gates: [{ approval: { by: [release-manager], count: 1 } }]", "");
    let refused = world.apply(&loose).unwrap_err();
    assert!(refused.to_string().contains("this loosens the policy of shop/production"), "{refused}");
    assert_eq!(world.environment("production").environment.policy.version, 1);
    let report = world.run(world.engine.apply(&shop(), "e.yaml", &loose, false, &manager())).unwrap();
    assert_eq!(report.documents[2].loosens, ["1 approval from release-manager"]);
}

#[test]
fn every_mistake_is_named_and_nothing_is_applied() {
    let world = World::start::<32>();
    let text = DOCUMENTS.replace("listen: 127.0.0.1:18081", "lissen: x").replace("count: 1", "count: none");
    let refused = world.apply(&text).unwrap_err();
    assert!(matches!(refused, EngineError::Invalid { .. }));
    let words = refused.to_string();
    assert!(words.contains("lissen") && words.contains("count"), "{words}");
    assert!(world.run(world.engine.environments(None)).unwrap().is_empty());
}

#[test]
fn two_environments_do_not_share_a_port() {
    let world = World::start::<33>();
    let documents: Vec<&str> = DOCUMENTS.split("---").collect();
    world.apply(documents[0]).unwrap();
    let refused = world.apply(&documents[1].replace("18082", "18081")).unwrap_err();
    assert!(refused.to_string().contains("127.0.0.1:18081 is where shop/dev listens"), "{refused}");
}
