//! Which of several Releases broke what one Promotion brought at once: the suspects, and the one to try next.
//!
//! Releases that were superseded while they waited arrive together with the one that took their place. Where that goes back, any of them
//! may be to blame. Trying the one in the middle, again and again, finds it; each goes through all Gates.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::promotion::{Outcome, Promotion, PromotionKind};
use super::{Change, Environment};
use crate::intake::AfterRollback;
use crate::timeline::{Actor, Entry};
use crate::{Digest, PromotionId};

/// The search for the Release that broke something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bisection {
    /// The newest version that is known to run well.
    pub good: String,
    /// Those that may have broken it, oldest first. The last one is known to fail.
    pub suspects: Vec<Suspect>,
    /// Why that went back.
    pub reason: String,
    /// Since when it is looked for.
    pub since: Timestamp,
}

/// A Release that may have broken something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// The manifest.
    pub release: Digest,
    /// Its version.
    pub version: String,
}

impl Bisection {
    /// The one to try next: in the middle of those of which nothing is known.
    #[must_use]
    pub fn next(&self) -> Option<&Suspect> {
        let untried = self.suspects.len().checked_sub(1)?;
        self.suspects[..untried].get(untried / 2)
    }

    /// The one that broke it, once only one is left.
    #[must_use]
    pub fn culprit(&self) -> Option<&Suspect> {
        match self.suspects.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Takes in how one of them ran.
    fn learn(&mut self, place: usize, ran_well: bool) {
        if !ran_well {
            self.suspects.truncate(place + 1);
        } else if place + 1 < self.suspects.len() {
            let mut cleared: Vec<Suspect> = self.suspects.drain(..=place).collect();
            self.good = cleared.pop().map(|last| last.version).unwrap_or_default();
        }
    }

    /// How it stands, as a sentence.
    #[must_use]
    pub fn words(&self, after: AfterRollback) -> String {
        let names: Vec<&str> = self.suspects.iter().map(|suspect| suspect.version.as_str()).collect();
        let (good, why) = (&self.good, &self.reason);
        match (self.culprit(), self.next(), after) {
            (Some(culprit), _, _) => {
                format!("{} is the release that fails: {good} before it runs well ({why})", culprit.version)
            }
            (None, Some(next), AfterRollback::Bisect) => format!(
                "suspects since {good} are {}: {} is tried next, as the one in the middle ({why})",
                names.join(", "),
                next.version
            ),
            (None, Some(next), AfterRollback::Wait) => format!(
                "suspects since {good} are {} ({why}); promoting {} halves them, and `after_rollback: bisect` does that by itself",
                names.join(", "),
                next.version
            ),
            (None, None, _) => format!("nothing came since {good} ({why})"),
        }
    }
}

impl Environment {
    pub(super) const fn after_rollback(&self) -> AfterRollback {
        self.policy.document.intake.after_rollback
    }

    /// Writes down who may have broken what went back.
    pub(super) fn name_suspects(
        &mut self,
        promotion: PromotionId,
        bisection: Bisection,
        change: &mut Change,
    ) {
        // One alone needs no search; and what is known of the same ones already is kept.
        let known = |suspect: &Suspect| {
            let narrowed = self.bisection.as_ref();
            narrowed.is_some_and(|known| known.suspects.last().is_some_and(|last| last == suspect))
        };
        if bisection.suspects.len() < 2 || bisection.suspects.last().is_some_and(known) {
            return;
        }
        let text = format!("{}: {}", self.key, bisection.words(self.after_rollback()));
        change.handled.entry(Entry::new("suspects-named", Actor::Towpath, text).fact("promotion", promotion));
        self.bisection = Some(bisection);
    }

    /// Takes in how a Rollout ended, where suspects are tried; anything else that succeeds ends the search.
    pub(super) fn learn_of_suspects(&mut self, ended: &Promotion, outcome: &Outcome, change: &mut Change) {
        let ran_well = match outcome {
            Outcome::Succeeded => true,
            Outcome::RolledBack { .. } => false,
            Outcome::Rejected { .. }
            | Outcome::Expired { .. }
            | Outcome::Superseded { .. }
            | Outcome::Cancelled { .. } => return,
        };
        let after = self.after_rollback();
        let Some(bisection) = &mut self.bisection else { return };
        let release = ended.revision.release;
        let place = bisection.suspects.iter().position(|suspect| suspect.release == release);
        let tried = ended.kind == PromotionKind::Release;
        let entry = match place.filter(|_| tried) {
            Some(place) if !(ran_well && place + 1 == bisection.suspects.len()) => {
                bisection.learn(place, ran_well);
                let kind = if bisection.culprit().is_some() { "culprit-found" } else { "suspects-narrowed" };
                Entry::new(kind, Actor::Towpath, format!("{}: {}", self.key, bisection.words(after)))
            }
            Some(_) | None if ran_well => {
                let left: Vec<&str> =
                    bisection.suspects.iter().map(|suspect| suspect.version.as_str()).collect();
                let (key, runs) = (&self.key, &ended.revision.version);
                let text = match left.as_slice() {
                    [one] => format!("{key}: {runs} runs, after {one}, which failed"),
                    left => format!(
                        "{key}: {runs} runs, so it is no longer looked for which of {} failed",
                        left.join(", ")
                    ),
                };
                self.bisection = None;
                Entry::new("suspects-dropped", Actor::Towpath, text)
            }
            Some(_) | None => return,
        };
        change.handled.entry(entry.fact("release", release));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(count: usize) -> Bisection {
        let suspect = |number: usize| Suspect {
            release: Digest::of(number.to_string().as_bytes()),
            version: format!("1.0.{number}"),
        };
        Bisection {
            good: "1.0.0".to_owned(),
            suspects: (1..=count).map(suspect).collect(),
            reason: "5 % of the requests fail".to_owned(),
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_one_that_fails_is_found_in_as_many_tries_as_halving_takes() {
        for count in 1..=50 {
            for culprit in 0..count {
                let mut bisection = among(count);
                let name = bisection.suspects[culprit].version.clone();
                let mut tries = 0;
                while let Some(next) = bisection.next().cloned() {
                    tries += 1;
                    let number: usize = next.version.rsplit('.').next().unwrap().parse().unwrap();
                    let place = bisection.suspects.iter().position(|suspect| *suspect == next).unwrap();
                    bisection.learn(place, number - 1 < culprit);
                }
                assert_eq!(bisection.culprit().map(|found| found.version.clone()), Some(name));
                assert_eq!(bisection.good, format!("1.0.{culprit}"));
                assert!(1 << tries < count * 2 || count == 1, "{tries} tries among {count}");
            }
        }
    }

    #[test]
    fn says_who_is_tried_next_or_what_a_person_can_do() {
        let mut some = among(4);
        let words = some.words(AfterRollback::Bisect);
        assert!(words.contains("1.0.1, 1.0.2, 1.0.3, 1.0.4: 1.0.2 is tried next"), "{words}");
        assert!(some.words(AfterRollback::Wait).contains("promoting 1.0.2 halves them"));
        some.learn(1, true);
        some.learn(0, false);
        let words = some.words(AfterRollback::Wait);
        assert!(words.starts_with("1.0.3 is the release that fails: 1.0.2 before it"), "{words}");
    }
}
