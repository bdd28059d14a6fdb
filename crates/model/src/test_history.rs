//! What is remembered of a test, and what that says of it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// How many results of a test are remembered one by one. Sums go back to its first.
const REMEMBERED: usize = 50;

/// How a test ended in one Attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ending {
    /// At once.
    #[serde(rename = "p")]
    Passed,
    /// After a failure at the same tree: when its runner, or the next Attempt of the Job, tried it again.
    #[serde(rename = "r")]
    PassedOnRetry,
    /// It failed.
    #[serde(rename = "f")]
    Failed,
    /// It was left out.
    #[serde(rename = "s")]
    Skipped,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The number of the Run.
    #[serde(rename = "n")]
    pub run: u64,
    /// How it ended.
    #[serde(rename = "e")]
    pub ending: Ending,
    /// How long it took, in milliseconds.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
    /// The beginning of the digest of the source tree: two results with one tree had nothing changed between them.
    #[serde(rename = "s")]
    pub tree: String,
}

/// The history of a test.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TestHistory {
    /// How often it was run; being left out is not counted.
    pub runs: u64,
    /// How often it failed.
    pub failures: u64,
    /// How often it passed on retry.
    pub retried: u64,
    /// All its times together, in milliseconds, and how many they are.
    pub millis: u64,
    /// See above.
    pub timed: u64,
    /// The last results, oldest first.
    pub recent: VecDeque<Past>,
}

/// What a history says of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Its last results agree with what was changed.
    Stable,
    /// It failed the last time, and nothing says that it would pass without a change.
    Failing,
    /// The same tree gave both answers.
    Flaky,
    /// It was never run, or always left out.
    Skipped,
}

impl Health {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Failing => "failing",
            Self::Flaky => "flaky",
            Self::Skipped => "skipped",
        }
    }
}

impl TestHistory {
    /// Takes in a result.
    pub fn note(&mut self, past: Past) {
        match past.ending {
            Ending::Passed => self.runs += 1,
            Ending::PassedOnRetry => {
                self.runs += 1;
                self.retried += 1;
            }
            Ending::Failed => {
                self.runs += 1;
                self.failures += 1;
            }
            Ending::Skipped => {}
        }
        if let Some(millis) = past.millis.filter(|_| past.ending != Ending::Skipped) {
            self.millis = self.millis.saturating_add(millis);
            self.timed += 1;
        }
        self.recent.push_back(past);
        while self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
    }

    /// How many of the remembered results show both answers without a change between them: passes on retry, and
    /// neighbours at one tree of which one passed and the other failed.
    #[must_use]
    pub fn flips(&self) -> u32 {
        let told: Vec<&Past> = self.recent.iter().filter(|past| past.ending != Ending::Skipped).collect();
        let retried = told.iter().filter(|past| past.ending == Ending::PassedOnRetry).count();
        let flipped = told.windows(2).filter(|two| {
            let failed = |past: &Past| past.ending == Ending::Failed;
            // A pass on retry after a failure is the same flip, told once already.
            two[0].tree == two[1].tree
                && failed(two[0]) != failed(two[1])
                && two[1].ending != Ending::PassedOnRetry
        });
        u32::try_from(retried + flipped.count()).unwrap_or(u32::MAX)
    }

    /// What the history says.
    #[must_use]
    pub fn health(&self) -> Health {
        let last = self.recent.iter().rev().find(|past| past.ending != Ending::Skipped);
        match last {
            None => Health::Skipped,
            Some(_) if self.flips() > 0 => Health::Flaky,
            Some(last) if last.ending == Ending::Failed => Health::Failing,
            Some(_) => Health::Stable,
        }
    }

    /// How many of a thousand remembered results failed.
    #[must_use]
    pub fn failures_per_mille(&self) -> u32 {
        let told = self.recent.iter().filter(|past| past.ending != Ending::Skipped);
        let (runs, failed) = told.fold((0_u32, 0_u32), |(runs, failed), past| {
            (runs + 1, failed + u32::from(past.ending == Ending::Failed))
        });
        failed.saturating_mul(1000).checked_div(runs).unwrap_or(0)
    }

    /// How long it will take, in milliseconds: the median of its last ten times, which one slow day does not move.
    #[must_use]
    pub fn expected_millis(&self) -> Option<u64> {
        let ran = self.recent.iter().rev().filter(|past| past.ending != Ending::Skipped);
        let mut times: Vec<u64> = ran.filter_map(|past| past.millis).take(10).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `p`, `f`, `r` and `s` are endings; a space means that the tree changes.
    fn history(text: &str) -> TestHistory {
        let mut history = TestHistory::default();
        let mut tree = 0;
        for (run, c) in (1..).zip(text.chars()) {
            let ending = match c {
                'p' => Ending::Passed,
                'r' => Ending::PassedOnRetry,
                'f' => Ending::Failed,
                's' => Ending::Skipped,
                _ => {
                    tree += 1;
                    continue;
                }
            };
            history.note(Past { run, ending, millis: Some(run), tree: tree.to_string() });
        }
        history
    }

    fn check(text: &str, health: Health, flips: u32) {
        let history = history(text);
        assert_eq!((history.health(), history.flips()), (health, flips), "{text}");
    }

    #[test]
    fn only_both_answers_of_one_tree_are_flaky() {
        check("", Health::Skipped, 0);
        check("ss", Health::Skipped, 0);
        check("p p", Health::Stable, 0);
        // Broken by one change and mended by another.
        check("p f p", Health::Stable, 0);
        check("p f", Health::Failing, 0);
        check("pf", Health::Flaky, 1);
        check("fsp", Health::Flaky, 1);
        check("fr", Health::Flaky, 1);
        check("p r p", Health::Flaky, 1);
        check("pfp", Health::Flaky, 2);
    }

    #[test]
    fn what_was_long_ago_is_forgotten_but_for_the_sums() {
        let history = history(&format!("pf {}", "p ".repeat(60)));
        assert_eq!((history.health(), history.runs, history.failures), (Health::Stable, 62, 1));
        assert_eq!((history.recent.len(), history.failures_per_mille()), (50, 0));
    }

    #[test]
    fn one_slow_day_does_not_move_the_expected_time() {
        let mut history = TestHistory::default();
        for millis in [10, 11, 9_000, 12, 10] {
            history.note(Past { run: 1, ending: Ending::Passed, millis: Some(millis), tree: String::new() });
        }
        assert_eq!(history.expected_millis(), Some(11));
    }
}
