//! Gates that look outside: what they ask, what opens them, what never does, and when they give up.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use towpath_model::environment::{
    Change, ChangeRead, Deployment, Environment, EnvironmentEffect, EnvironmentEvent, Expressions, Facts,
    GateState, Outcome, Upstream,
};
use towpath_model::gate::{Changed, DelayGate, ExpressionGate, HoldGate, MetricGate, PATIENCE, UpstreamGate};
use towpath_model::pipeline::{ApprovalGate, Comment, Condition, Gate, Strategy};
use towpath_model::timeline::Actor;
use towpath_model::{Digest, EnvironmentKey, PromotionId};

use crate::fixture::{
    approval, approval_for, environment, new_promotion, plan, promotion_id, revision, seconds, start, voter,
    webhook,
};

/// An Environment with one Gate, and a Promotion of 2.0.0 that waits for it.
struct Door {
    environment: Environment,
    facts: Facts,
    now: Timestamp,
    asked: Vec<usize>,
}

impl Door {
    fn with(gate: Gate) -> Self {
        Self::over(gate, None)
    }

    /// The same where a version runs already.
    fn over(gate: Gate, runs: Option<&str>) -> Self {
        let mut environment = environment(vec![gate.clone()], 1, start());
        environment.current = runs.map(|version| Deployment {
            revision: revision(version, "c1"),
            promotion: promotion_id(99),
            since: start(),
        });
        let mut door = Self { environment, facts: Facts::default(), now: start(), asked: Vec::new() };
        let plan = plan(Strategy::Recreate, vec![gate], Vec::new());
        let mut new = new_promotion(1, revision("2.0.0", "c1"), plan, Actor::Towpath);
        new.revision.commit = "2".repeat(40);
        let _ = door.send(EnvironmentEvent::PromotionRequested(Box::new(new)));
        door
    }

    fn send(&mut self, event: EnvironmentEvent) -> Change {
        let change = self.environment.handle(event, &self.facts, self.now).expect("it is taken");
        for effect in &change.handled.effects {
            if let EnvironmentEffect::AskGate { index, .. } = effect {
                self.asked.push(*index);
            }
        }
        change
    }

    fn pass(&mut self, time: SignedDuration) {
        self.now += time;
        let _ = self.send(EnvironmentEvent::Looked);
    }

    fn answer(&mut self, opens: bool, words: &str, again: Option<SignedDuration>) {
        let binding = self.environment.waiting.as_ref().expect("it waits").binding();
        self.answer_to(binding, opens, words, again);
    }

    fn answer_to(&mut self, binding: Digest, opens: bool, words: &str, again: Option<SignedDuration>) {
        let words = words.to_owned();
        let promotion = promotion_id(1);
        let _ =
            self.send(EnvironmentEvent::GateAnswered { promotion, index: 0, binding, opens, words, again });
    }

    /// What its Gate says, or how it ended.
    fn says(&self) -> String {
        match (&self.environment.waiting, &self.environment.active) {
            (Some(waiting), _) => format!("{:?}: {}", waiting.gates[0].state, waiting.gates[0].reason),
            (None, Some(_)) => "it moves".to_owned(),
            (None, None) => "it has ended".to_owned(),
        }
    }

    fn moves(&self) -> bool {
        self.environment.active.is_some()
    }
}

fn metric() -> Gate {
    Gate::Metric(MetricGate {
        prometheus: "http://prometheus:9090".to_owned(),
        query: "errors".to_owned(),
        min: None,
        max: Some(0.01),
        token: None,
        every: seconds(60),
        expires: SignedDuration::from_hours(2),
    })
}

#[test]
fn a_webhook_is_asked_once_at_a_time_and_less_and_less_often() {
    let mut door = Door::with(webhook());
    assert_eq!(door.asked, [0]);
    door.pass(seconds(300));
    assert_eq!(door.asked, [0], "the answer to the first question is still under way");
    let mut pauses = Vec::new();
    for _ in 0..6 {
        door.answer(false, "503: not yet", None);
        let asked = door.asked.len();
        let begin = door.now;
        while door.asked.len() == asked {
            let wakeup = door.environment.next_wakeup(door.now).expect("it wakes by itself").at;
            door.now = wakeup;
            let _ = door.send(EnvironmentEvent::Looked);
        }
        pauses.push(door.now.duration_since(begin).as_secs());
    }
    assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
    door.answer(true, "200: change 17 is approved", None);
    assert!(door.moves(), "{}", door.says());
}

#[test]
fn a_webhook_says_why_and_when_it_gives_up() {
    let mut door = Door::with(webhook());
    door.answer(false, "409: change 17 is not approved", Some(seconds(30)));
    assert_eq!(
        door.says(),
        "Waiting: https://change.example.com says not yet: 409: change 17 is not approved; it is asked again \
         2026-11-16T08:00:30Z; without it the promotion ends 2026-11-16T10:00:00Z"
    );
    door.pass(SignedDuration::from_hours(2));
    assert_eq!(door.says(), "it has ended");
}

#[test]
fn an_answer_of_before_the_policy_changed_opens_nothing() {
    let mut door = Door::with(webhook());
    let seen = door.environment.waiting.as_ref().expect("it waits").binding();
    let mut policy = door.environment.policy.clone();
    policy.version += 1;
    let config = door.environment.config;
    let actor = Actor::Towpath;
    let _ = door.send(EnvironmentEvent::PolicyApplied { policy: Box::new(policy), config, actor });
    assert_eq!(door.asked, [0, 0], "it is asked anew");
    door.answer_to(seen, true, "200: yes", None);
    assert!(!door.moves());
    door.answer(true, "200: yes", None);
    assert!(door.moves());
}

#[test]
fn a_metric_counts_while_it_is_fresh_and_never_without_data() {
    let mut door = Door::over(metric(), None);
    door.answer(false, "no series fits `errors`, and no data never opens a gate", None);
    assert!(door.says().starts_with("Waiting: no series fits `errors`"), "{}", door.says());
    door.pass(seconds(60));
    assert_eq!(door.asked, [0, 0]);
    door.pass(seconds(60));
    assert!(door.says().contains("has not answered since"), "{}", door.says());
    door.answer(true, "`errors` is 0.001", None);
    assert!(door.moves());
}

#[test]
fn a_metric_that_was_good_long_ago_does_not_open() {
    let hold = Gate::Hold(HoldGate {
        name: "campaign".to_owned(),
        by: vec!["marketing".to_owned()],
        reason: String::new(),
        expires: PATIENCE,
    });
    let mut door = Door::with(metric());
    // A second Gate keeps it waiting while the measurement grows old.
    if let Some(waiting) = &mut door.environment.waiting {
        waiting.plan.gates.push(hold);
    }
    door.answer(true, "`errors` is 0.001", None);
    assert!(door.says().starts_with("Open"), "{}", door.says());
    door.pass(seconds(120));
    assert!(door.says().contains("has not answered since"), "{}", door.says());
}

fn lift(door: &mut Door, login: &str, role: &str) -> Result<(), String> {
    let event = EnvironmentEvent::Lifted {
        promotion: promotion_id(1),
        voter: voter(login, role),
        name: None,
        comment: "the posters hang".to_owned(),
    };
    door.environment.handle(event, &door.facts, door.now).map(|_| ()).map_err(|refused| refused.reason)
}

#[test]
fn a_hold_is_lifted_by_whom_it_names_and_by_nobody_else() {
    let mut door = Door::with(Gate::Hold(HoldGate {
        name: "campaign".to_owned(),
        by: vec!["marketing".to_owned(), "@ada".to_owned()],
        reason: "the campaign starts first".to_owned(),
        expires: SignedDuration::from_hours(1),
    }));
    assert_eq!(
        door.says(),
        "Waiting: `campaign` (the campaign starts first) holds it until marketing or @ada lifts that; without it the \
         promotion ends 2026-11-16T09:00:00Z"
    );
    let refused = lift(&mut door, "grace", "release-manager").expect_err("she is none of them");
    assert!(refused.contains("grace is none of these"), "{refused}");
    // Who made the change may lift it: nobody is asked to judge it.
    assert_eq!(lift(&mut door, "ada", "developer"), Ok(()));
    assert!(door.moves());
    assert!(lift(&mut door, "ada", "developer").is_err(), "nothing waits any more");
}

#[test]
fn a_hold_that_nobody_lifts_ends_the_promotion() {
    let gate = HoldGate {
        name: "hold".to_owned(),
        by: vec!["ops".to_owned()],
        reason: String::new(),
        expires: SignedDuration::from_hours(1),
    };
    let mut door = Door::with(Gate::Hold(gate));
    door.now += SignedDuration::from_hours(1);
    let change = door.send(EnvironmentEvent::Looked);
    let Some(Outcome::Expired { reason }) = change.ended[0].outcome.clone() else { panic!("{change:?}") };
    assert_eq!(reason, "`hold` holds it until ops lifts that; it had 1h for that");
}

#[test]
fn a_delay_opens_by_itself() {
    let after = |duration, until: Option<&str>| {
        Gate::Delay(DelayGate {
            duration,
            until: until.map(str::to_owned),
            timezone: "Europe/Berlin".to_owned(),
        })
    };
    let mut door = Door::with(after(Some(seconds(90)), None));
    assert_eq!(door.says(), "Waiting: it starts no earlier than 2026-11-16T08:01:30Z");
    assert_eq!(door.environment.next_wakeup(door.now).expect("a time").at, door.now + seconds(90));
    door.pass(seconds(90));
    assert!(door.moves());
    // 10:00 in Berlin is 09:00 UTC in November.
    let mut door = Door::with(after(Some(seconds(90)), Some("2026-11-16T10:00")));
    door.pass(SignedDuration::from_mins(59));
    assert_eq!(door.says(), "Waiting: it starts no earlier than 2026-11-16T09:00:00Z");
    door.pass(seconds(60));
    assert!(door.moves());
}

#[test]
fn an_upstream_has_to_be_new_enough() {
    let gate = |at_least: Option<&str>, same_commit, project: Option<&str>| {
        Gate::Upstream(UpstreamGate {
            project: project.map(|name| name.parse().expect("a name")),
            environment: "staging".parse().expect("a name"),
            at_least: at_least.map(str::to_owned),
            same_commit,
            expires: PATIENCE,
        })
    };
    let runs = |door: &mut Door, project: &str, version: &str, commit: &str| {
        let environment = "staging".parse().expect("a name");
        let key = EnvironmentKey { project: project.parse().expect("a name"), environment };
        let upstream = Upstream { version: version.to_owned(), commit: commit.repeat(40) };
        door.facts.upstreams.insert(key, upstream);
        door.pass(seconds(15));
    };
    let mut door = Door::with(gate(Some("1.4.0"), false, Some("payments")));
    assert!(door.says().contains("nothing runs in payments/staging yet"), "{}", door.says());
    runs(&mut door, "payments", "1.3.9", "1");
    assert!(
        door.says().contains("payments/staging runs 1.3.9, and it takes 1.4.0 or later"),
        "{}",
        door.says()
    );
    runs(&mut door, "payments", "1.10.0", "1");
    assert!(door.moves());

    let mut door = Door::with(gate(None, true, None));
    runs(&mut door, "shop", "2.0.0", "1");
    assert!(!door.moves());
    runs(&mut door, "shop", "2.0.0", "2");
    assert!(door.moves());

    let mut door = Door::with(gate(None, false, None));
    assert!(door.says().contains("2.0.0 has not succeeded in staging yet"), "{}", door.says());
    let release = revision("2.0.0", "c1").release;
    door.facts.passed.insert(release, BTreeSet::from(["staging".parse().expect("a name")]));
    door.pass(seconds(15));
    assert!(door.moves());
}

#[test]
fn an_expression_opens_only_when_it_is_true() {
    let gate = Gate::Expression(ExpressionGate {
        holds: Condition("x".to_owned()),
        reason: "small changes only".to_owned(),
        expires: PATIENCE,
    });
    for (evaluate, moves, words) in [
        (Expressions(|_, _| Ok(true)), true, ""),
        (Expressions(|_, _| Ok(false)), false, "`x` does not hold (small changes only)"),
        (
            Expressions(|_, _| Err("no test was reported".to_owned())),
            false,
            "`x` is not known: no test was reported",
        ),
    ] {
        let mut door = Door::with(gate.clone());
        assert!(door.says().contains("cannot be evaluated"), "{}", door.says());
        door.facts.expressions = Some(evaluate);
        door.pass(seconds(1));
        assert_eq!(door.moves(), moves, "{}", door.says());
        assert!(moves || door.says().contains(words), "{}", door.says());
    }
}

fn read(door: &mut Door, from: &str, changed: Result<&str, &str>) {
    let changed = changed
        .map(|path| Changed { paths: vec![path.to_owned()], files: 1, lines: 3 })
        .map_err(str::to_owned);
    let change = ChangeRead { from: from.to_owned(), changed };
    let _ = door.send(EnvironmentEvent::ChangeRead { promotion: promotion_id(1), change });
}

#[test]
fn an_approval_for_some_changes_lets_the_others_pass() {
    let runs = "0".repeat(40);
    let mut door = Door::over(approval_for("infra/**"), Some("1.0.0"));
    assert!(door.says().contains("what the change touches is being read"), "{}", door.says());
    read(&mut door, &runs, Ok("src/main.rs"));
    assert!(door.moves(), "{}", door.says());

    let mut door = Door::over(approval_for("infra/**"), Some("1.0.0"));
    read(&mut door, &runs, Ok("infra/dns.tf"));
    assert!(
        door.says()
            .contains("0 of 1 approvals from release-manager, because the change touches `infra/dns.tf`"),
        "{}",
        door.says()
    );

    // Nothing to compare with, and nothing that could be read: both need people.
    let door = Door::with(approval_for("infra/**"));
    assert!(door.says().contains("because it is the first deployment there"), "{}", door.says());
    let mut door = Door::over(approval_for("infra/**"), Some("1.0.0"));
    read(&mut door, &runs, Err("the commit is gone"));
    assert!(door.says().contains("cannot be read: the commit is gone"), "{}", door.says());
    // What was compared with another commit than the one that runs says nothing.
    let mut door = Door::over(approval_for("infra/**"), Some("1.0.0"));
    read(&mut door, &"9".repeat(40), Ok("src/main.rs"));
    assert!(!door.moves());
}

#[test]
fn who_has_to_say_why_is_asked_for_it() {
    let Gate::Approval(gate) = approval(1) else { panic!("an approval") };
    let mut door = Door::with(Gate::Approval(ApprovalGate { comment: Comment::Required, ..gate }));
    let vote = |door: &mut Door, comment: &str| {
        let event = EnvironmentEvent::Voted {
            promotion: PromotionId(promotion_id(1).0),
            voter: voter("grace", "release-manager"),
            approve: true,
            comment: comment.to_owned(),
            binding: None,
        };
        door.environment.handle(event, &door.facts, door.now).map(|_| ()).map_err(|refused| refused.reason)
    };
    assert!(vote(&mut door, " ").is_err_and(|reason| reason.contains("has to say why")));
    assert_eq!(vote(&mut door, "looked at it"), Ok(()));
    assert!(door.moves());
}

#[test]
fn people_are_called_once_for_each_policy() {
    let gate = approval(1);
    let mut environment = environment(vec![gate.clone()], 1, start());
    let plan = plan(Strategy::Recreate, vec![gate], Vec::new());
    let new = new_promotion(1, revision("2.0.0", "c1"), plan, Actor::Towpath);
    let facts = Facts::default();
    let calls = |change: Change| change.handled.entries.iter().filter(|e| e.kind == "people-asked").count();
    let mut handle = |event| calls(environment.handle(event, &facts, start()).expect("it is taken"));
    assert_eq!(handle(EnvironmentEvent::PromotionRequested(Box::new(new))), 1);
    assert_eq!(handle(EnvironmentEvent::Looked), 0);
    let mut policy = crate::fixture::environment(vec![approval(1)], 1, start()).policy;
    policy.version = 2;
    let config = Digest::of(b"c1");
    let applied = EnvironmentEvent::PolicyApplied { policy: Box::new(policy), config, actor: Actor::Towpath };
    assert_eq!(handle(applied), 1);
    let state = environment.waiting.as_ref().expect("it waits").gates[0].state;
    assert_eq!(state, GateState::Waiting);
}
