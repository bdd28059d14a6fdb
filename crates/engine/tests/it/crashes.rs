//! The engine is killed anywhere and goes on where it was.

use std::time::Duration;

use towpath_model::environment::Outcome;
use towpath_model::run::RunState;

use crate::agent::Fate;
use crate::delivery::{check_releases, check_timeline};
use crate::world::{PIPELINE, World, key, shop};

/// A small generator of numbers (xorshift), so that a seed tells a whole story.
struct Dice(u64, u32);

/// Far more ticks than any seed needs; a story that takes longer is stuck.
const MOST_TICKS: u32 = 600;

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Ticks; now and then the engine is killed in the middle of what it performs, or a caller goes away in the middle
/// of its call.
fn live(mut world: World, dice: &mut Dice, crashes: &mut u32) -> World {
    dice.1 += 1;
    assert!(
        dice.1 < MOST_TICKS,
        "after {MOST_TICKS} ticks it still waits: {} {:#?}",
        world.picture(),
        world.timeline()
    );
    match dice.roll(12) {
        0 => {
            *crashes += 1;
            std::thread::sleep(Duration::from_micros(dice.roll(3_000)));
            world = world.crashed();
        }
        1 => {
            let time = Duration::from_micros(dice.roll(4_000));
            let now = world.now();
            let World { agent, gateway, engine, runtime, .. } = &mut world;
            runtime.block_on(async {
                // Whatever was done until then is done; the answer never arrives, since the agent was killed.
                if tokio::time::timeout(time, agent.tick(engine, now)).await.is_err() {
                    agent.restart();
                }
                let _ = tokio::time::timeout(time, gateway.tick(engine, now)).await;
            });
        }
        _ => world.tick(),
    }
    world
}

fn survives<const PLACE: usize>(seed: u64) {
    let mut dice = Dice(seed, 0);
    let mut crashes = 0;
    let mut world = World::with_environments::<PLACE>();
    let mut versions = Vec::new();
    for number in 1..=3 {
        world.commit(&[("towpath.yaml", PIPELINE), ("greeting", &number.to_string())]);
        let change = world.push_to_git();
        world.tell(&change);
        let run = loop {
            world = live(world, &mut dice, &mut crashes);
            let run = world.find_run(number);
            if run.state.is_final() {
                break run;
            }
        };
        assert_eq!(run.state, RunState::Passed, "seed {seed}: {}", run.reason);
        let version = run.release.unwrap().version;
        loop {
            world = live(world, &mut dice, &mut crashes);
            let environment = world.environment("production").environment;
            if let Some(waiting) = environment.waiting.filter(|waiting| waiting.revision.version == version) {
                if number == 3 {
                    world.gateway.failing.insert(waiting.revision.digest, 400);
                }
                world.approve(&version);
                break;
            }
        }
        let outcome = loop {
            world = live(world, &mut dice, &mut crashes);
            let all = world.run(world.engine.promotions_of(&key("production"), 50)).unwrap();
            let found = all.into_iter().find(|promotion| promotion.revision.version == version);
            if let Some(outcome) = found.and_then(|promotion| promotion.outcome) {
                break outcome;
            }
        };
        match number {
            3 => assert!(matches!(outcome, Outcome::RolledBack { .. }), "seed {seed}: {outcome:?}"),
            _ => assert_eq!(outcome, Outcome::Succeeded, "seed {seed}"),
        }
        versions.push(version);
    }
    assert_eq!(world.version_in("production"), Some(versions[1].clone()), "seed {seed}");
    assert!(crashes > 0, "seed {seed} killed nothing");
    check_timeline(&world);
    check_releases(&world);
    check_once(&world, seed);
    check_logs(&world);
}

/// Nothing took effect twice.
fn check_once(world: &World, seed: u64) {
    assert_eq!(world.run(world.engine.releases(&shop(), None, 100)).unwrap().len(), 3, "seed {seed}");
    let mut started = world.agent.started.clone();
    let all = started.len();
    started.sort_unstable();
    started.dedup();
    assert_eq!(started.len(), all, "seed {seed}: an Instance was started twice");
    for name in ["dev", "staging", "production"] {
        let promotions = world.run(world.engine.promotions_of(&key(name), 50)).unwrap();
        assert_eq!(promotions.len(), 3, "seed {seed}: {name}");
        assert!(promotions.iter().all(|promotion| promotion.outcome.is_some()), "seed {seed}: {name}");
    }
    assert_eq!(world.count("release-sealed"), 3, "seed {seed}");
}

/// Every byte that was acknowledged is there.
fn check_logs(world: &World) {
    assert!(!world.agent.acknowledged.is_empty());
    for (attempt, bytes) in &world.agent.acknowledged {
        let log = world.run(world.engine.log(*attempt, 0, 1 << 20)).unwrap();
        assert_eq!(log.bytes, *bytes);
    }
}

#[test]
fn seed_1_survives() {
    survives::<92>(0x9e37_79b9_7f4a_7c15);
}

#[test]
fn seed_2_survives() {
    survives::<93>(0x2545_f491_4f6c_dd1d);
}

#[test]
fn seed_3_survives() {
    survives::<94>(0x0123_4567_89ab_cdef);
}

#[test]
fn a_push_that_the_engine_never_heard_of_is_still_to_be_told() {
    let mut world = World::with_environments::<95>();
    world.agent.fates.insert("test".to_owned(), Fate::Hangs);
    world.commit(&[("towpath.yaml", PIPELINE)]);
    let change = world.push_to_git();
    // Killed somewhere in the middle of being told.
    for _ in 0..5 {
        let actor = crate::world::developer().actor();
        let told = [change.clone()];
        let project = shop();
        let pushed = world.engine.pushed(&project, &told, &actor);
        let _ = world.run(async { tokio::time::timeout(Duration::from_millis(3), pushed).await });
        world = world.crashed();
    }
    world.tell(&change);
    let runs = world.run(world.engine.runs(Some(&shop()), None, 10)).unwrap();
    assert_eq!(runs.len(), 1);
}
