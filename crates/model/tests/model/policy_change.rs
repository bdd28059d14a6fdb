//! A document that loosens a policy: whose signatures count, how many it takes, and what makes it void.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use towpath_model::environment::{Environment, Policy};
use towpath_model::pipeline::{ApprovalGate, Gate, SelfApproval};
use towpath_model::policy_change::{
    ChangeOutcome, PolicyChange, Word, loosenings, may_loosen_alone, time_to_sign,
};

use crate::fixture::{approval, document, environment, start, user, voter};
use crate::prng::Prng;

const MANAGER: &str = "release-manager";

/// Production takes `count` approvals, and mallory wants it to take none.
fn change(environment: &Environment) -> PolicyChange {
    let old = &environment.policy.document;
    let new = document(Vec::new(), 1);
    PolicyChange {
        number: 1,
        environment: environment.key.clone(),
        base: environment.policy.version,
        loosens: loosenings(old, &new),
        document: new,
        source: String::new(),
        changes: Vec::new(),
        author: user("mallory"),
        proposed_at: start(),
        expires_at: start() + time_to_sign(old),
        votes: Vec::new(),
        outcome: None,
        ended_at: None,
    }
}

fn two_managers() -> (Environment, PolicyChange) {
    let environment = environment(vec![approval(2)], 1, start());
    let change = change(&environment);
    (environment, change)
}

fn sign(change: &mut PolicyChange, policy: &Policy, login: &str, now: Timestamp) -> Result<(), String> {
    let vote = change.vote(policy, voter(login, MANAGER), Word::Yes, "", None, now);
    vote.map(|_| ()).map_err(|refused| refused.reason)
}

#[test]
fn two_others_have_to_sign_and_the_author_never_counts() {
    let (environment, mut change) = two_managers();
    let policy = &environment.policy;
    assert_eq!(change.loosens, [approval(2).words()]);
    let refused = sign(&mut change, policy, "mallory", start()).unwrap_err();
    assert!(refused.contains("mallory wrote this change"), "{refused}");
    sign(&mut change, policy, "grace", start()).unwrap();
    sign(&mut change, policy, "grace", start()).unwrap();
    assert!(!change.is_agreed(policy), "one person counted twice");
    assert_eq!(change.needs(policy), ["1 of 2 signatures from release-manager (grace signed)"]);
    sign(&mut change, policy, "heidi", start()).unwrap();
    assert!(change.is_agreed(policy), "{:?}", change.needs(policy));
}

#[test]
fn the_author_does_not_count_even_where_people_approve_their_own() {
    let gate = Gate::Approval(ApprovalGate {
        self_approval: SelfApproval::Allow,
        ..match approval(2) {
            Gate::Approval(gate) => gate,
            other => panic!("{other:?}"),
        }
    });
    let environment = environment(vec![gate], 1, start());
    let mut change = change(&environment);
    assert!(sign(&mut change, &environment.policy, "mallory", start()).is_err());
}

#[test]
fn a_recent_editor_and_a_stranger_do_not_count() {
    let (mut environment, mut change) = two_managers();
    environment.policy.editors.insert("grace".to_owned());
    let refused = sign(&mut change, &environment.policy, "grace", start()).unwrap_err();
    assert!(refused.contains("grace edited this Environment's policy lately"), "{refused}");
    let stranger = voter("ada", "developer");
    let refused = change.vote(&environment.policy, stranger, Word::Yes, "", None, start()).unwrap_err();
    assert!(refused.reason.contains("it takes release-manager"), "{refused}");
}

#[test]
fn a_no_ends_it_and_the_author_may_take_it_back() {
    for (login, role) in [("grace", MANAGER), ("mallory", "admin")] {
        let (environment, mut change) = two_managers();
        let _entry =
            change.vote(&environment.policy, voter(login, role), Word::No, "no", None, start()).unwrap();
        assert_eq!(change.state_word(), "rejected");
        let late = sign(&mut change, &environment.policy, "heidi", start()).unwrap_err();
        assert!(late.contains("does not wait any more"), "{late}");
    }
}

#[test]
fn signatures_are_bound_to_what_was_seen_to_the_version_and_to_the_time() {
    let (mut environment, mut change) = two_managers();
    let other = towpath_model::Digest::of(b"another document");
    let policy = environment.policy.clone();
    let seen = change.vote(&policy, voter("grace", MANAGER), Word::Yes, "", Some(other), start());
    assert!(seen.unwrap_err().reason.contains("is not what you looked at"));
    let late = sign(&mut change, &policy, "grace", start() + SignedDuration::from_hours(24)).unwrap_err();
    assert!(late.contains("expired"), "{late}");
    sign(&mut change, &policy, "grace", start()).unwrap();
    sign(&mut change, &policy, "heidi", start()).unwrap();
    environment.policy.version = 2;
    assert!(!change.is_agreed(&environment.policy), "it was made for another version");
    assert!(sign(&mut change, &environment.policy, "ivan", start()).unwrap_err().contains("version 1"));
    change.end(ChangeOutcome::Void { version: 2 }, start());
    assert!(!change.is_open());
}

#[test]
fn what_loosens_is_named_and_what_tightens_is_not() {
    let two = document(vec![approval(2)], 1);
    let mut refs = two.clone();
    refs.allow.refs.push("refs/heads/*".to_owned());
    for (new, expected) in [
        (document(vec![approval(3)], 5), vec![]),
        (document(vec![approval(1)], 1), vec!["2 approvals from release-manager".to_owned()]),
        (document(Vec::new(), 1), vec!["2 approvals from release-manager".to_owned()]),
        (refs, vec!["releases of refs/heads/* may come in".to_owned()]),
    ] {
        assert_eq!(loosenings(&two, &new), expected);
    }
    assert!(may_loosen_alone(&document(Vec::new(), 1), "anybody", &[]));
    assert!(!may_loosen_alone(&document(vec![approval(1)], 1), "grace", &[MANAGER.to_owned()]));
}

/// Whatever people say in whatever order: it is agreed exactly if enough different managers who are not its author said
/// yes, and nobody said no.
#[test]
fn it_is_agreed_exactly_when_enough_others_have_signed() {
    for seed in 0..500 {
        let mut prng = Prng(seed);
        let needed = 1 + prng.below(3);
        let environment = environment(vec![approval(needed as u32)], 1, start());
        let mut change = change(&environment);
        let (mut signed, mut ended) = (BTreeSet::new(), false);
        for _ in 0..8 {
            let login = ["mallory", "grace", "heidi", "ivan", "ada"][prng.below(5) as usize];
            let role = if login == "ada" { "developer" } else { MANAGER };
            let word = if prng.below(8) == 0 { Word::No } else { Word::Yes };
            let said = change.vote(&environment.policy, voter(login, role), word, "", None, start()).is_ok();
            let counts = !ended && !["mallory", "ada"].contains(&login);
            match word {
                Word::Yes if counts => drop(signed.insert(login)),
                Word::No if counts || (!ended && login == "mallory") => ended = true,
                Word::Yes | Word::No => assert!(!said, "seed {seed}: {login} was heard"),
            }
            let agreed = !ended && signed.len() as u64 >= needed;
            assert_eq!(change.is_agreed(&environment.policy), agreed, "seed {seed}: {change:?}");
        }
    }
}
