//! A schedule at work: when it is due next, and what a due time that was missed comes to.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cron::Cron;

/// What the pipeline file says of one schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleTrigger {
    /// When.
    pub cron: Cron,
    /// The branch whose newest commit it runs; the default branch where there is none.
    pub branch: Option<String>,
}

/// How late a Run may start and still count as on time.
const ON_TIME: SignedDuration = SignedDuration::from_secs(90);

/// The most missed times that are counted, for people.
const COUNTED: u32 = 1000;

/// A due time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The time that it was due at: the newest one that has passed.
    pub planned: Timestamp,
    /// When it is due again.
    pub next: Option<Timestamp>,
    /// For people: why it starts now.
    pub words: String,
}

/// What a schedule does, `next` being when it is due. However many due times have passed, it starts one Run.
#[must_use]
pub fn due(cron: &Cron, next: Timestamp, now: Timestamp) -> Option<Due> {
    if next > now {
        return None;
    }
    let more = cron.count(next, now, COUNTED);
    let mut planned = next;
    if more < COUNTED {
        for _ in 0..more {
            planned = cron.due_after(planned).unwrap_or(planned);
        }
    }
    let late = now.duration_since(next) > ON_TIME;
    let words = match more {
        0 if !late => format!("its schedule {cron} is due"),
        0 => format!(
            "its schedule {cron} was due at {next} and was missed, since the server was down or busy; it is made up for now"
        ),
        _ => {
            let count = if more == COUNTED { "1000 or more".to_owned() } else { (more + 1).to_string() };
            format!(
                "its schedule {cron} was missed {count} times since {next}; this one Run makes up for all of them"
            )
        }
    };
    Some(Due { planned, next: cron.due_after(now), words })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn starts_once_however_much_was_missed() {
        let cron = Cron::parse("0 * * * *", "UTC").unwrap();
        let next = at("2026-01-01T10:00:00Z");
        assert_eq!(due(&cron, next, at("2026-01-01T09:59:59Z")), None);
        let on_time = due(&cron, next, at("2026-01-01T10:00:01Z")).unwrap();
        assert_eq!(on_time.next, Some(at("2026-01-01T11:00:00Z")));
        assert!(on_time.words.ends_with("is due"), "{}", on_time.words);
        let late = due(&cron, next, at("2026-01-01T10:30:00Z")).unwrap();
        assert!(late.words.contains("made up for"), "{}", late.words);
        let very_late = due(&cron, next, at("2026-01-01T13:30:00Z")).unwrap();
        assert_eq!(very_late.planned, at("2026-01-01T13:00:00Z"));
        assert_eq!(very_late.next, Some(at("2026-01-01T14:00:00Z")));
        assert!(very_late.words.contains("missed 4 times"), "{}", very_late.words);
        let years = due(&cron, next, at("2028-01-01T13:30:00Z")).unwrap();
        assert_eq!(years.next, Some(at("2028-01-01T14:00:00Z")));
        assert!(years.words.contains("1000 or more"), "{}", years.words);
    }
}
