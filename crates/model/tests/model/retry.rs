//! Retries: classes, maxima, conditions, budgets, pauses.

use proptest::prelude::*;
use towpath_model::AttemptId;
use towpath_model::attempt::{Attempt, AttemptState, StepState};
use towpath_model::retry::{self, Backoff, Retry, RetryClass, RetryNote, Spending, When};
use uuid::Uuid;

use crate::fixture::{seconds, start};

fn attempt(state: AttemptState, code: i32, words: &str) -> Attempt {
    let mut attempt = Attempt::queued(AttemptId(Uuid::from_u128(7)), 1, ["make".to_owned()], start());
    attempt.steps[0].state = StepState::Failed { code };
    attempt.words = Some(words.to_owned());
    attempt.end(state, "step `make` failed".to_owned(), start());
    attempt
}

fn decide(retry: &Retry, round: &[Attempt], spending: &[Spending]) -> RetryNote {
    retry::decide(retry, round, spending, &|pattern, text| text.contains(pattern)).expect("a note")
}

#[test]
fn each_failure_has_a_class() {
    let pattern = [When::Pattern("is locked".to_owned())];
    let class =
        |attempt: &Attempt| retry::classify(attempt, &pattern, &|pattern, text| text.contains(pattern)).0;
    for (state, words, expected) in [
        (AttemptState::Lost, "", RetryClass::Lost),
        (AttemptState::Errored, "connection reset by peer", RetryClass::Lost),
        (AttemptState::TimedOut, "database is locked", RetryClass::Timeout),
        (AttemptState::Failed, "error: database is locked", RetryClass::Pattern),
        (AttemptState::Failed, "curl: (6) Could not resolve host: crates.io", RetryClass::Network),
        (AttemptState::Failed, "npm ERR! code ECONNRESET", RetryClass::Network),
        (AttemptState::Failed, "assertion failed: left == right", RetryClass::ExitCode),
        (AttemptState::Failed, "", RetryClass::ExitCode),
    ] {
        assert_eq!(class(&attempt(state, 1, words)), expected, "{words}");
    }
    let mut hindered = attempt(AttemptState::Errored, 1, "");
    hindered.hindered_by = Some(RetryClass::ImagePull);
    assert_eq!(class(&hindered), RetryClass::ImagePull);
}

#[test]
fn a_condition_narrows_what_is_retried_and_never_what_was_lost() {
    let retry = Retry {
        attempts: 3,
        when: vec![When::ExitCode(75), When::Class(RetryClass::Network)],
        ..Retry::default()
    };
    let again = |attempt: Attempt| decide(&retry, &[attempt], &[]).again.is_some();
    assert!(again(attempt(AttemptState::Failed, 75, "")));
    assert!(!again(attempt(AttemptState::Failed, 1, "")));
    assert!(again(attempt(AttemptState::Failed, 1, "connection timed out")));
    assert!(!again(attempt(AttemptState::TimedOut, 75, "")), "a code says nothing about a time-out");
    assert!(again(attempt(AttemptState::Lost, 1, "")));
    assert!(again(attempt(AttemptState::Errored, 1, "")));
}

#[test]
fn notes_read_well() {
    let check = |retry: &Retry, round: &[Attempt], spending: &[Spending], expected: &str| {
        assert_eq!(decide(retry, round, spending).words(), expected);
    };
    let failed = attempt(AttemptState::Failed, 1, "");
    let twice = Retry { attempts: 2, ..Retry::default() };
    check(&Retry::default(), std::slice::from_ref(&failed), &[], "exit_code: step `make` failed");
    check(&twice, std::slice::from_ref(&failed), &[], "exit_code: step `make` failed; tried again at once");
    check(
        &twice,
        &[failed.clone(), failed.clone()],
        &[],
        "exit_code: step `make` failed; not tried again: it was tried 2 times, and that is the most",
    );
    let spent = [Spending { class: RetryClass::ExitCode, spent: 50, budget: 50 }];
    let refused = decide(&twice, &[failed], &spent);
    assert!(refused.refusal.contains("had 50 retries of class exit_code"), "{}", refused.refusal);
}

proptest! {
    #[test]
    fn pauses_grow_are_bounded_and_the_same_each_time(nth in 1_u32..100, id: u128, first in 1_i64..600) {
        let backoff = Backoff { first: seconds(first), longest: seconds(900) };
        let attempt = AttemptId(Uuid::from_u128(id));
        let pause = backoff.pause(nth, attempt);
        prop_assert_eq!(pause, backoff.pause(nth, attempt));
        prop_assert!(pause <= backoff.longest);
        prop_assert!(pause >= seconds(first) / 2);
        prop_assert!(backoff.pause(nth + 2, attempt) >= pause, "a later pause is shorter");
    }

    #[test]
    fn tries_end(states in proptest::collection::vec(0_u8..4, 1..30), attempts in 1_u32..5, lost in 1_u32..5) {
        let retry = Retry { attempts, attempts_lost: lost, ..Retry::default() };
        let mut round = Vec::new();
        for state in states {
            let state = [AttemptState::Lost, AttemptState::Errored, AttemptState::Failed, AttemptState::TimedOut][usize::from(state)];
            round.push(attempt(state, 1, ""));
            if decide(&retry, &round, &[]).again.is_none() {
                break;
            }
        }
        prop_assert!(round.len() < (attempts + lost) as usize);
    }
}
