//! Incidents: what users met and should not have. Some are known from what was taken back, others people report; where both
//! mean the same failure of a version, they are one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::EnvironmentName;

/// An incident that people opened, and perhaps closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// 1, 2, 3 … in its Project.
    pub number: u64,
    /// Where.
    pub environment: EnvironmentName,
    /// The version that caused it; `None` where nothing ran.
    pub version: Option<String>,
    /// What users met.
    pub title: String,
    /// The login of who opened it.
    pub opened_by: String,
    /// Since when it was noticed.
    pub opened_at: Timestamp,
    /// The login of who closed it.
    pub closed_by: Option<String>,
    /// Since when it is over.
    pub closed_at: Option<Timestamp>,
    /// What they said.
    pub comment: String,
}

/// Something that users met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Where.
    pub environment: EnvironmentName,
    /// The version that caused it; empty where that is not known.
    pub version: String,
    /// What caught it: the words of the guard, of the person who rolled back, or of whoever reported it.
    pub caught_by: String,
    /// When it was noticed.
    pub opened_at: Timestamp,
    /// When what ran before ran again, or people said that it is over.
    pub closed_at: Option<Timestamp>,
    /// Its number, where people reported it.
    pub number: Option<u64>,
}

impl From<&Reported> for Incident {
    fn from(reported: &Reported) -> Self {
        Self {
            environment: reported.environment.clone(),
            version: reported.version.clone().unwrap_or_default(),
            caught_by: format!("{}: {}", reported.opened_by, reported.title),
            opened_at: reported.opened_at,
            closed_at: reported.closed_at,
            number: Some(reported.number),
        }
    }
}

/// Puts both together, oldest first. What people reported of a version that was taken back at that time is no second incident:
/// it began when the first of both noticed it, and ended when people said so, else when it was taken back.
#[must_use]
pub fn joined(known: Vec<Incident>, reported: &[Reported]) -> Vec<Incident> {
    let mut all = known;
    for report in reported {
        let report = Incident::from(report);
        match all.iter_mut().find(|one| one.number.is_none() && is_the_same(one, &report)) {
            Some(one) => {
                one.opened_at = one.opened_at.min(report.opened_at);
                one.closed_at = report.closed_at.or(one.closed_at);
                one.caught_by = format!("{}; {}", report.caught_by, one.caught_by);
                one.number = report.number;
            }
            None => all.push(report),
        }
    }
    all.sort_by_key(|one| one.opened_at);
    all
}

/// Whether both are of one version in one place, at times that overlap.
fn is_the_same(one: &Incident, other: &Incident) -> bool {
    let begins_before_end =
        |one: &Incident, other: &Incident| other.closed_at.is_none_or(|end| one.opened_at <= end);
    one.environment == other.environment
        && one.version == other.version
        && begins_before_end(one, other)
        && begins_before_end(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn known(version: &str, from: i64, to: i64) -> Incident {
        Incident {
            environment: "production".parse().unwrap(),
            version: version.to_owned(),
            caught_by: "unhealthy".to_owned(),
            opened_at: at(from),
            closed_at: Some(at(to)),
            number: None,
        }
    }

    fn reported(number: u64, version: &str, from: i64, to: Option<i64>) -> Reported {
        Reported {
            number,
            environment: "production".parse().unwrap(),
            version: Some(version.to_owned()),
            title: "checkout fails".to_owned(),
            opened_by: "ada".to_owned(),
            opened_at: at(from),
            closed_by: None,
            closed_at: to.map(at),
            comment: String::new(),
        }
    }

    /// Begin, end and number of each.
    fn check(reports: &[Reported], expected: &[(Timestamp, Option<Timestamp>, Option<u64>)]) {
        let all = joined(vec![known("2", 10, 20)], reports);
        let found: Vec<_> = all.iter().map(|one| (one.opened_at, one.closed_at, one.number)).collect();
        assert_eq!(found, expected, "{reports:?}");
    }

    #[test]
    fn what_was_taken_back_and_reported_is_one_incident() {
        let guard = (at(10), Some(at(20)), None);
        check(&[], &[guard]);
        // Noticed before the guard did, and said to be over later.
        check(&[reported(1, "2", 5, Some(60))], &[(at(5), Some(at(60)), Some(1))]);
        // Never closed: what ran before runs again.
        check(&[reported(1, "2", 12, None)], &[(at(10), Some(at(20)), Some(1))]);
        // Of another version, and of the same one at another time.
        check(&[reported(1, "1", 12, None)], &[guard, (at(12), None, Some(1))]);
        check(&[reported(1, "2", 30, None)], &[guard, (at(30), None, Some(1))]);
        // Two reports are two incidents, of which one is the guard's.
        check(
            &[reported(1, "2", 11, Some(15)), reported(2, "2", 12, Some(16))],
            &[(at(10), Some(at(15)), Some(1)), (at(12), Some(at(16)), Some(2))],
        );
    }
}
