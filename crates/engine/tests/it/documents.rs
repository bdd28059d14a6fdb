//! Environment documents: what changes is shown, and loosening needs consent.

use jiff::SignedDuration;
use towpath_engine::{EngineError, PolicyBallot};
use towpath_model::policy_change::Word;

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

fn ballot(number: u64, word: Word) -> PolicyBallot {
    PolicyBallot { environment: key("production"), number, word, comment: String::new(), binding: None }
}

fn loose() -> String {
    DOCUMENTS.replace("gates: [{ approval: { by: [release-manager], count: 1 } }]", "")
}

#[test]
fn loosening_waits_for_those_who_could_approve() {
    let world = World::with_environments::<31>();
    let report = world.apply(&loose()).unwrap();
    assert_eq!(report.documents[2].loosens, ["1 approval from release-manager"]);
    let pending = report.documents[2].pending.as_ref().unwrap();
    assert_eq!(
        (pending.number, &pending.needs[..]),
        (1, &["0 of 1 signatures from release-manager".to_owned()][..])
    );
    let again = world.apply(&loose()).unwrap();
    assert_eq!(again.documents[2].pending.as_ref().unwrap().number, 1, "the same document waits once");
    let status = world.environment("production");
    assert_eq!(status.environment.policy.version, 1, "nobody has signed yet");
    assert!(
        status.waits[0].starts_with("policy change 1 of shop/production by admin waits"),
        "{:?}",
        status.waits
    );

    let own = world.run(world.engine.vote_on_policy(ballot(1, Word::Yes), &admin())).unwrap_err();
    assert!(
        own.to_string().contains("it takes release-manager") || own.to_string().contains("wrote"),
        "{own}"
    );
    // What was signed is still there after a crash, and so is what waits.
    let world = world.crashed();
    let change = world.run(world.engine.vote_on_policy(ballot(1, Word::Yes), &manager())).unwrap();
    assert_eq!(change.state_word(), "applied");
    let environment = world.environment("production").environment;
    assert_eq!((environment.policy.version, environment.policy.document.gates.len()), (2, 0));
    let history = world.run(world.engine.documents(&key("production"))).unwrap();
    assert_eq!((history[0].version, history[0].applied_by.as_str()), (2, "admin"));
    for kind in ["policy-change-proposed", "policy-change-approved", "policy-applied"] {
        assert_eq!(world.count(kind), 1, "{kind}");
    }
}

#[test]
fn who_could_approve_does_not_loosen_alone_and_anybody_of_them_may_say_no() {
    let world = World::with_environments::<34>();
    let report = world.run(world.engine.apply(&shop(), "e.yaml", &loose(), false, &manager())).unwrap();
    assert!(report.documents[2].pending.is_some());
    let own = world.run(world.engine.vote_on_policy(ballot(1, Word::Yes), &manager())).unwrap_err();
    assert!(own.to_string().contains("grace wrote this change"), "{own}");
    let change = world.run(world.engine.vote_on_policy(ballot(1, Word::No), &manager())).unwrap();
    assert_eq!(change.state_word(), "rejected");
    assert_eq!(world.environment("production").environment.policy.version, 1);
}

#[test]
fn a_change_that_nobody_signs_expires_and_one_that_was_overtaken_is_void() {
    let mut world = World::with_environments::<35>();
    world.apply(&loose()).unwrap();
    // Stricter at once: what waited was made for another version.
    world.apply(&DOCUMENTS.replace("count: 1", "count: 2")).unwrap();
    let state = |world: &World, number: u64| {
        let all = world.run(world.engine.policy_changes(&key("production"))).unwrap();
        all.into_iter().find(|change| change.number == number).unwrap().state_word()
    };
    assert_eq!(state(&world, 1), "void");
    assert_eq!(world.environment("production").environment.policy.version, 2);
    world.apply(&loose()).unwrap();
    world.apply(DOCUMENTS).unwrap();
    assert_eq!((state(&world, 2), state(&world, 3)), ("superseded", "waiting"));
    world.pass(SignedDuration::from_hours(25));
    world.until("the end of what nobody signed", |world| (state(world, 3) == "expired").then_some(()));
    assert_eq!(world.count("policy-change-expired"), 1);
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
