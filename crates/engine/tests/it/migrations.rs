//! Migrations of a database: read at the push, named in the Release, and in the way of a Revision that they have left behind.

use towpath_model::environment::Outcome;
use towpath_model::migration::Phase;
use towpath_model::run::RunState;

use crate::world::{PIPELINE, World, key, manager};

const DATABASE: &str = "databases: { shop: { dialect: sqlite, migrations: db } }\n";

#[test]
fn a_release_names_its_migrations_and_the_way_back_ends_at_a_contract() {
    let mut world = World::with_environments::<89>();
    let pipeline = format!("{PIPELINE}\n{DATABASE}");
    let first = world.release(
        1,
        &[("towpath.yaml", &pipeline), ("db/1_orders.sql", "CREATE TABLE orders (id INT, note TEXT);")],
    );
    world.approve(&first);
    assert_eq!(world.outcome("production", &first), Outcome::Succeeded);

    let broken = world.push(&[("db/2_note.sql", "ALTER TABLE orders DROP COLUMN note;")]).join("\n");
    assert!(
        broken.contains("error[migration-data-loss]") && broken.contains("db/2_note.sql:1:1"),
        "{broken}"
    );
    assert_eq!(world.ended_run(2).state, RunState::Invalid);

    let contract = "-- towpath: phase contract\nALTER TABLE orders DROP COLUMN note;";
    let second = world.release(3, &[("db/2_note.sql", contract)]);
    let waiting = world.waiting("production", &second);
    let phases: Vec<Phase> =
        waiting.revision.databases[0].found.iter().map(|migration| migration.phase).collect();
    assert_eq!(phases, [Phase::Expand, Phase::Contract]);
    world.approve(&second);
    assert_eq!(world.outcome("production", &second), Outcome::Succeeded);

    let back = |world: &World, anyway| {
        world.run(world.engine.rollback(&key("production"), Some(&first), anyway, "", &manager()))
    };
    let refused = back(&world, false).unwrap_err().to_string();
    assert!(refused.contains("migration 2 note (contract) of database shop came after it"), "{refused}");
    assert!(refused.contains("--anyway"), "{refused}");
    back(&world, true).unwrap();
    world.until("the rollback", |world| {
        (world.version_in("production").as_ref() == Some(&first)).then_some(())
    });
}

#[test]
fn what_was_applied_stays_as_it_was() {
    let mut world = World::with_environments::<90>();
    let pipeline = format!("{PIPELINE}\n{DATABASE}");
    let first = world
        .release(1, &[("towpath.yaml", &pipeline), ("db/1_orders.sql", "CREATE TABLE orders (id INT);")]);
    world.approve(&first);
    assert_eq!(world.outcome("production", &first), Outcome::Succeeded);
    world.push(&[("db/1_orders.sql", "CREATE TABLE orders (id INT, note TEXT);")]);
    world.until("the refusal", |world| (world.count("promotion-refused") > 0).then_some(()));
    let timeline = world.timeline();
    let why = "migration 1 orders of database shop was changed after it had been applied";
    assert!(
        timeline.iter().any(|(_, kind, text)| kind == "promotion-refused" && text.contains(why)),
        "{timeline:#?}"
    );
}
