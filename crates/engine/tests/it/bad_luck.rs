//! What goes wrong around the engine is a clear outcome or a wait that explains itself.

use jiff::SignedDuration;
use towpath_artifact::SecretValue;
use towpath_model::environment::Outcome;

use crate::world::{DOCUMENTS, PIPELINE, World, admin, key, shop};

#[test]
fn a_service_that_never_gets_ready_goes_back_with_the_reason() {
    let mut world = World::with_environments::<89>();
    world.agent.never_ready = true;
    world.push(&[("towpath.yaml", PIPELINE)]);
    let version = world.ended_run(1).release.unwrap().version;
    world.until("the Rollout to start Instances", |world| (!world.agent.instances.is_empty()).then_some(()));
    world.pass(SignedDuration::from_mins(5));
    let Outcome::RolledBack { reason, .. } = world.outcome("dev", &version) else {
        panic!("it was promoted")
    };
    assert!(reason.contains("was not ready within"), "{reason}");
    assert_eq!(world.version_in("dev"), None);
}

#[test]
fn without_a_deploy_agent_the_wait_says_which_labels_are_looked_for() {
    let mut world = World::with_environments::<90>();
    world.agent.labels.clear();
    world.push(&[("towpath.yaml", PIPELINE)]);
    world.ended_run(1);
    world.until("the wait to explain itself", |world| {
        let waits = world.environment("dev").waits;
        waits.iter().any(|wait| wait.contains("a deploy agent with role=web")).then_some(())
    });
    world.agent.labels.insert("role".to_owned(), "web".to_owned());
    world.until("the Rollout to go on", |world| world.version_in("dev"));
}

#[test]
fn a_missing_secret_stops_a_promotion_before_anything_changes() {
    let mut world = World::start::<87>();
    world.apply(&DOCUMENTS.replace("values: {", "secrets: [TOKEN]\nvalues: {")).unwrap();
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    world.approve(&version);
    let Outcome::Cancelled { reason } = world.outcome("production", &version) else { panic!("it went on") };
    assert!(reason.contains("nothing was changed: secret TOKEN of shop/production is not set"), "{reason}");
}

#[test]
fn a_secret_set_while_approval_is_awaited_reaches_the_instances() {
    let mut world = World::start::<88>();
    world.apply(&DOCUMENTS.replace("values: {", "secrets: [TOKEN]\nvalues: {")).unwrap();
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    let (name, value) = ("TOKEN".parse().unwrap(), SecretValue::new(b"s3cret".to_vec()));
    let production = key("production").environment;
    world.run(world.engine.set_secret(&shop(), Some(&production), &name, &value, &admin())).unwrap();
    world.approve(&version);
    assert_eq!(world.outcome("production", &version), Outcome::Succeeded);
    let given = world.agent.orders.values().filter(|order| order.environment == key("production"));
    let secrets: Vec<_> = given.map(|order| order.secrets["TOKEN"].expose().to_owned()).collect();
    assert_eq!(secrets, ["s3cret", "s3cret"]);
    let removed =
        world.run(world.engine.remove_secret(&shop(), Some(&production), &name, &admin())).unwrap_err();
    assert!(removed.to_string().contains("runs in shop/production with secret TOKEN"), "{removed}");
}

#[test]
fn a_silent_gateway_is_a_reason_to_wait_and_then_to_go_back() {
    let mut world = World::with_environments::<44>();
    let first = world.release(1, &[("towpath.yaml", PIPELINE)]);
    world.approve(&first);
    world.outcome("production", &first);
    let second = world.release(2, &[("greeting", "two")]);
    world.gateway.alive = false;
    world.approve(&second);
    world.until("the wait to explain itself", |world| {
        let waits = world.environment("production").waits;
        waits.iter().any(|wait| wait.contains("the gateways' confirmation")).then_some(())
    });
    world.pass(SignedDuration::from_secs(31));
    world.until("the decision to go back", |world| {
        let active = world.environment("production").environment.active?;
        active.rollout?.back.map(drop)
    });
    world.gateway.alive = true;
    assert!(matches!(world.outcome("production", &second), Outcome::RolledBack { .. }));
    assert_eq!(world.version_in("production"), Some(first));
}

#[test]
fn polls_that_bring_no_news_write_nothing() {
    let mut world = World::with_environments::<91>();
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    world.approve(&version);
    world.outcome("production", &version);
    for _ in 0..5 {
        world.tick();
    }
    let changes = world.engine.signals().timeline();
    let before = *changes.borrow();
    for _ in 0..20 {
        world.run(world.engine.agent_poll(&world.agent.poll())).unwrap();
        world.run(world.engine.agent_instances(&world.agent.instance_report())).unwrap();
        world.run(world.engine.gateway_poll(&world.gateway.poll())).unwrap();
    }
    assert_eq!(*changes.borrow(), before, "commits for nothing");
}
