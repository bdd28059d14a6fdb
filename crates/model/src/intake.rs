//! How Releases come into an Environment: by themselves, at certain times or by hand; what becomes of those that wait; and
//! what follows when one that brought several Releases at once went back.

use serde::{Deserialize, Deserializer, Serialize};

use crate::cron::Cron;
use crate::pipeline::{Gate, Stage};
use crate::policy::EnvironmentDocument;
use crate::revocation::Unrevoke;

/// What an Environment's document says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Intake {
    /// Whether Releases come by themselves.
    #[serde(default)]
    pub promote: Promote,
    /// What becomes of those that wait.
    #[serde(default)]
    pub queue: Queue,
    /// What follows when a Promotion went back that brought several Releases at once.
    #[serde(default)]
    pub after_rollback: AfterRollback,
    /// How many people it takes to let a revoked Release start again.
    #[serde(default)]
    pub unrevoke: Unrevoke,
}

/// Whether Releases come by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promote {
    /// As soon as it is their turn.
    #[default]
    Automatic,
    /// Only when a person asks.
    Manual,
    /// At the next of these times; until then a newer one takes the place of an older one.
    Scheduled(Cron),
}

/// What becomes of Promotions that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Queue {
    /// The newest takes the place of older ones.
    #[default]
    Superseded,
    /// Each gets its turn, in the order in which they were asked for.
    Queued,
    /// They pass their Gates side by side, and whose Gates are open first goes first.
    Parallel,
}

/// What follows when a Promotion went back that brought several Releases at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterRollback {
    /// The suspects are named, and people decide.
    #[default]
    Wait,
    /// The one in the middle of the suspects is promoted next, until one is left.
    Bisect,
}

impl Intake {
    /// Whether it is what holds where a document says nothing.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// What is not usual of it, one sentence each.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let queue = match self.queue {
            Queue::Superseded => None,
            Queue::Queued => Some("those that wait get their turn one after the other".to_owned()),
            Queue::Parallel => Some("those that wait pass their gates side by side".to_owned()),
        };
        let bisect = match self.after_rollback {
            AfterRollback::Wait => None,
            AfterRollback::Bisect => Some(
                "where several releases came at once and went back, the one in the middle is tried next"
                    .to_owned(),
            ),
        };
        queue.into_iter().chain(bisect).collect()
    }
}

impl Promote {
    /// What holds where an Environment says this and a Stage says that: a commit can make it stricter, never easier. Of two
    /// schedules the Environment's holds.
    #[must_use]
    pub const fn with<'p>(&'p self, stage: &'p Self) -> &'p Self {
        match (self, stage) {
            (Self::Manual | Self::Scheduled(_), Self::Automatic | Self::Scheduled(_))
            | (Self::Manual, Self::Manual) => self,
            (Self::Automatic | Self::Scheduled(_), Self::Manual) | (Self::Automatic, _) => stage,
        }
    }

    /// As documents write it, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Automatic => "automatic".to_owned(),
            Self::Manual => "manual".to_owned(),
            Self::Scheduled(cron) => format!("scheduled {cron}"),
        }
    }

    /// Whether Releases come more freely than under an older one.
    #[must_use]
    pub fn is_freer_than(&self, old: &Self) -> bool {
        match (self, old) {
            (_, Self::Automatic) | (Self::Manual, _) => false,
            (Self::Automatic, Self::Manual | Self::Scheduled(_)) | (Self::Scheduled(_), Self::Manual) => true,
            (Self::Scheduled(new), Self::Scheduled(old)) => new != old,
        }
    }
}

impl Queue {
    /// As documents write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Queued => "queued",
            Self::Parallel => "parallel",
        }
    }
}

impl AfterRollback {
    /// As documents write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Bisect => "bisect",
        }
    }
}

/// Whether Releases of a Stage come into an Environment by themselves; without a document, as the Stage says.
#[must_use]
pub fn promote<'p>(document: Option<&'p EnvironmentDocument>, stage: &'p Stage) -> &'p Promote {
    document.map_or(&stage.promote, |document| document.intake.promote.with(&stage.promote))
}

/// The Gate that keeps what comes by itself until its time, where there is a schedule. It comes after all others.
#[must_use]
pub fn schedule(document: Option<&EnvironmentDocument>, stage: &Stage) -> Option<Gate> {
    match promote(document, stage) {
        Promote::Scheduled(cron) => Some(Gate::Schedule(cron.clone())),
        Promote::Automatic | Promote::Manual => None,
    }
}

/// Reads what a Stage says; older Releases were sealed with `automatic: true` or `false`.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Promote, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Automatic(bool),
        Promote(Promote),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Automatic(true) => Promote::Automatic,
        Written::Automatic(false) => Promote::Manual,
        Written::Promote(promote) => promote,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(text: &str) -> Promote {
        Promote::Scheduled(Cron::parse(text, "UTC").unwrap())
    }

    #[test]
    fn a_commit_makes_it_stricter_and_never_easier() {
        let (daily, hourly) = (cron("@daily"), cron("@hourly"));
        for (environment, stage, holds) in [
            (&Promote::Automatic, &Promote::Automatic, &Promote::Automatic),
            (&Promote::Automatic, &Promote::Manual, &Promote::Manual),
            (&Promote::Automatic, &hourly, &hourly),
            (&Promote::Manual, &Promote::Automatic, &Promote::Manual),
            (&Promote::Manual, &hourly, &Promote::Manual),
            (&daily, &Promote::Automatic, &daily),
            (&daily, &Promote::Manual, &Promote::Manual),
            (&daily, &hourly, &daily),
        ] {
            assert_eq!(environment.with(stage), holds, "{environment:?} with {stage:?}");
        }
    }

    #[test]
    fn what_lets_more_come_by_itself_is_freer() {
        let (daily, hourly) = (cron("@daily"), cron("@hourly"));
        assert!(Promote::Automatic.is_freer_than(&Promote::Manual));
        assert!(Promote::Automatic.is_freer_than(&daily));
        assert!(daily.is_freer_than(&Promote::Manual));
        assert!(hourly.is_freer_than(&daily), "nobody can say which of two schedules is the stricter");
        assert!(!daily.is_freer_than(&daily));
        assert!(!Promote::Manual.is_freer_than(&daily));
        assert!(!daily.is_freer_than(&Promote::Automatic));
    }
}
