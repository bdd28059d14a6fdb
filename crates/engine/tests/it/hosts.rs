//! Hosts that stay lost.

use jiff::SignedDuration;
use towpath_model::environment::{Environment, InstanceHealth};

use crate::agent::SimAgent;
use crate::world::{PIPELINE, World};

/// Where the ready Instances of an Environment are.
fn ready_on(environment: &Environment) -> Vec<towpath_model::AgentId> {
    let ready = environment.fleet.instances.iter().filter(|each| each.health == InstanceHealth::Ready);
    ready.map(|instance| instance.host).collect()
}

#[test]
fn instances_of_a_host_that_stays_lost_get_successors_and_end_when_it_is_back() {
    let mut world = World::with_environments::<36>();
    world.release(1, &[("towpath.yaml", PIPELINE)]);
    let lost = world.agent.id;
    let mut second = SimAgent::new(2, world.engine.content().clone());
    second.capacity = 0;
    assert_eq!(ready_on(&world.environment("dev").environment), [lost]);
    world.agent.alive = false;
    world.pass(SignedDuration::from_mins(4));
    world.run(second.tick(&world.engine, world.now())).unwrap();
    assert_eq!(ready_on(&world.environment("dev").environment), [lost], "it was not lost for long enough");
    world.pass(SignedDuration::from_mins(2));
    for name in ["dev", "staging"] {
        world.until(&format!("the successor in {name}"), |world| {
            world.run(second.tick(&world.engine, world.now())).unwrap();
            let environment = world.environment(name).environment;
            (ready_on(&environment) == [second.id] && environment.fleet.instances.len() == 1).then_some(())
        });
    }
    assert_eq!(world.count("host-lost"), 2, "{:?}", world.timeline());
    // The host was only cut off: back again, it is told of nothing that it shall run, and stops what it runs.
    assert_eq!(world.agent.instances.len(), 2);
    world.agent.alive = true;
    world.until("the end of what the host ran", |world| world.agent.instances.is_empty().then_some(()));
    assert_eq!(ready_on(&world.environment("dev").environment), [second.id], "it took them back");
}

#[test]
fn a_server_that_was_down_gives_hosts_their_time_anew() {
    let mut world = World::with_environments::<37>();
    world.release(1, &[("towpath.yaml", PIPELINE)]);
    let host = world.agent.id;
    let mut second = SimAgent::new(2, world.engine.content().clone());
    second.capacity = 0;
    // Nobody could call for an hour, because nobody answered.
    world.pass(SignedDuration::from_hours(1));
    let mut world = world.crashed();
    for _ in 0..20 {
        world.run(second.tick(&world.engine, world.now())).unwrap();
    }
    assert_eq!(ready_on(&world.environment("dev").environment), [host]);
    world.tick();
    assert_eq!(world.count("host-lost"), 0);
}
