//! Whether an agent is given work: drained ones, too old ones and cloned ones are not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::Standing;

/// Why an agent is given no work until somebody says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What kind.
    pub kind: HoldKind,
    /// Who saw to it.
    pub by: String,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// Why an agent is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldKind {
    /// A person drains it: it finishes what it has.
    Draining,
    /// Two processes have its identity: neither is believed.
    Cloned,
}

/// What an agent is given: its hold comes before its version.
#[must_use]
pub fn standing(hold: Option<&Hold>, version: &str, oldest: &str) -> Standing {
    match hold.map(|hold| hold.kind) {
        Some(HoldKind::Cloned) => Standing::Cloned,
        Some(HoldKind::Draining) => Standing::Draining,
        None if is_older(version, oldest) => Standing::TooOld,
        None => Standing::Ready,
    }
}

/// Whether a version comes before another one. What is no version is not older than anything.
#[must_use]
pub fn is_older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        let release = text.split(['-', '+']).next().unwrap_or_default();
        release.split('.').map(|part| part.parse().ok()).collect()
    };
    matches!((numbers(version), numbers(than)), (Some(version), Some(than)) if version < than)
}

/// How many processes of one agent are remembered.
const REMEMBERED: usize = 8;

/// The processes that called with one agent's identity.
///
/// An agent that is started anew comes with a new session, and the old one is never heard again, but for one call
/// that was on its way. A session that keeps calling after another took over is a second process: the
/// identity was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    current: Uuid,
    overtaken: Vec<Uuid>,
    returned: u32,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// The process that is known.
    Known,
    /// A new one: the agent was started anew.
    Anew,
    /// One that a newer process took the place of; perhaps its last call was late.
    Overtaken,
    /// One that a newer process took the place of, again: there are two.
    Cloned,
}

impl Sessions {
    /// Begins with the first call.
    #[must_use]
    pub const fn new(session: Uuid) -> Self {
        Self { current: session, overtaken: Vec::new(), returned: 0 }
    }

    /// Takes in a call.
    pub fn call(&mut self, session: Uuid) -> Call {
        if session == self.current {
            return Call::Known;
        }
        if self.overtaken.contains(&session) {
            self.returned += 1;
            return if self.returned > 1 { Call::Cloned } else { Call::Overtaken };
        }
        if self.overtaken.len() == REMEMBERED {
            self.overtaken.remove(0);
        }
        self.overtaken.push(self.current);
        self.current = session;
        Call::Anew
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    #[test]
    fn versions_are_compared_by_number() {
        for (version, older) in [
            ("0.9.0", true),
            ("0.10.0", false),
            ("0.10.0-rc.1", false),
            ("1.0", false),
            ("test", false),
            ("", false),
        ] {
            assert_eq!(is_older(version, "0.10.0"), older, "{version}");
        }
    }

    #[test]
    fn two_processes_with_one_identity_are_told_from_a_restart() {
        let mut restarted = Sessions::new(A);
        assert_eq!(
            [restarted.call(A), restarted.call(B), restarted.call(B)],
            [Call::Known, Call::Anew, Call::Known]
        );
        assert_eq!(restarted.call(A), Call::Overtaken, "a call that was on its way");
        assert_eq!(restarted.call(B), Call::Known);
        let mut cloned = Sessions::new(A);
        let calls: Vec<Call> = [B, A, B, A].into_iter().map(|session| cloned.call(session)).collect();
        assert_eq!(calls, [Call::Anew, Call::Overtaken, Call::Known, Call::Cloned]);
    }

    #[test]
    fn a_clone_is_worse_than_a_drain_and_a_drain_comes_before_the_version() {
        let hold =
            |kind| Hold { kind, by: String::new(), reason: String::new(), since: Timestamp::UNIX_EPOCH };
        assert_eq!(standing(Some(&hold(HoldKind::Cloned)), "0.1.0", "0.2.0"), Standing::Cloned);
        assert_eq!(standing(Some(&hold(HoldKind::Draining)), "0.1.0", "0.2.0"), Standing::Draining);
        assert_eq!(standing(None, "0.1.0", "0.2.0"), Standing::TooOld);
        assert_eq!(standing(None, "0.2.0", "0.2.0"), Standing::Ready);
    }
}
