//! Properties: what comes twice or out of order changes nothing.

use proptest::prelude::*;
use towpath_model::AttemptId;
use towpath_model::attempt::{Attempt, AttemptReport, AttemptState, StepState};
use towpath_model::environment::{EnvironmentEvent, Facts};
use towpath_model::pipeline::Strategy as Way;
use towpath_model::timeline::Actor;

use crate::fixture::{agent, approval, environment, new_promotion, plan, revision, start};

fn report(kind: u8) -> AttemptReport {
    match kind % 3 {
        0 => AttemptReport::Started { isolation: "sandbox".to_owned() },
        1 => AttemptReport::StepStarted { step: usize::from(kind) % 2 },
        _ => AttemptReport::StepFinished { step: usize::from(kind) % 2, state: StepState::Passed },
    }
}

proptest! {
    /// Reports under another fence, old ones and doubled ones leave an Attempt as it was.
    #[test]
    fn only_the_next_report_of_the_present_lease_counts(
        reports in prop::collection::vec((0_u64..4, 0_u64..20, any::<u8>()), 0..60),
    ) {
        let steps = ["a".to_owned(), "b".to_owned()];
        let mut attempt = Attempt::queued(AttemptId(uuid::Uuid::from_u128(1)), 1, steps, start());
        prop_assert!(attempt.lease(agent(1), 2, start()));
        prop_assert!(!attempt.lease(agent(2), 3, start()), "leased twice");
        let mut highest = 0;
        for (fence, sequence, kind) in reports {
            let before = attempt.clone();
            let _applied = attempt.report(fence, sequence, start(), report(kind));
            if fence == 2 && sequence > highest {
                highest = sequence;
                prop_assert_eq!(attempt.reported, sequence);
            } else {
                prop_assert_eq!(&attempt, &before);
            }
        }
        attempt.end(AttemptState::Lost, String::new(), start());
        let ended = attempt.clone();
        let _applied = attempt.report(2, 99, start(), report(0));
        prop_assert_eq!(attempt, ended);
    }

    /// However often, and in whatever order, requests for Promotions are repeated: the newest one that was new waits.
    #[test]
    fn a_request_that_comes_again_changes_nothing(order in prop::collection::vec(0_u128..6, 1..40)) {
        let mut environment = environment(vec![approval(1)], 1, start());
        let facts = Facts::default();
        let mut known = Vec::new();
        for number in order {
            let candidate = revision(&format!("1.0.{number}"), "c1");
            let plan = plan(Way::Recreate, vec![approval(1)], Vec::new());
            let new = new_promotion(number, candidate, plan, Actor::Towpath);
            let before = environment.clone();
            let event = EnvironmentEvent::PromotionRequested(Box::new(new));
            let change = environment.handle(event, &facts, start()).expect("it fits");
            if known.contains(&number) {
                prop_assert_eq!(&environment, &before);
                prop_assert!(change.ended.is_empty() && change.handled.effects.is_empty());
            } else {
                known.push(number);
            }
        }
        let newest = known.last().map(|number| format!("1.0.{number}"));
        prop_assert_eq!(environment.waiting.map(|waiting| waiting.revision.version), newest);
    }
}
