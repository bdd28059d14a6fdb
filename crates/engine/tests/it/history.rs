//! What happened to a Project, as those see it who plan a change of its pipeline file.

use crate::world::{World, admin, shop};

const BY_PATH: &str = "
name: shop
on: { push: { branches: [main], paths: [code*, towpath.yaml] }, manual: {} }
jobs: { test: { steps: [./test] } }
";

#[test]
fn pushes_with_and_without_a_run_are_told_with_their_paths() {
    let mut world = World::start::<48>();
    world.push(&[("towpath.yaml", BY_PATH)]);
    world.ended_run(1);
    let lines = world.push(&[("notes-a", "words")]);
    assert!(lines.join("\n").contains("no Run for refs/heads/main"), "{lines:?}");
    world.push(&[("code-a", "code"), ("notes-b", "words")]);
    world.ended_run(2);
    let none = std::collections::BTreeMap::new();
    world.run(world.engine.start_run(&shop(), "main", &none, &admin())).unwrap();
    world.ended_run(3);

    let events = world.run(world.engine.history(&shop(), 50)).unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let run = event.run.as_ref().map(|run| run.number);
            (event.occasion.event.as_str(), run, event.occasion.changed.clone())
        })
        .collect();
    let paths = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
    assert_eq!(
        told,
        [
            ("manual", Some(3), None),
            // Compared with the push before it, though that started no Run.
            ("push", Some(2), paths(&["code-a", "notes-b"])),
            ("push", None, paths(&["notes-a"])),
            ("push", Some(1), None),
        ]
    );
    assert_eq!(events[2].occasion.trust.word(), "protected");
    assert!(events[2].reason.contains("no changed file fits"), "{}", events[2].reason);
    assert_eq!(world.run(world.engine.history(&shop(), 2)).unwrap(), events[..2]);
    let unknown = "nothing".parse().unwrap();
    assert!(world.run(world.engine.history(&unknown, 2)).is_err());
}
