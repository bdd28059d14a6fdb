//! How a Project delivers: the four DORA metrics, rework, and how long Gates keep it waiting. Computed from what happened.
//!
//! A deployment is a Promotion whose Rollout began. It failed where users were exposed to it and it was taken back: by a
//! guard during the Rollout, or by a person who rolled back later; or where people reported an incident of it. Each failure is an
//! incident of the version that caused it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::EnvironmentName;
use crate::environment::{Outcome, Promotion, PromotionKind};
use crate::incident::{Incident, Reported, joined};

/// A Promotion, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// Where to.
    pub environment: EnvironmentName,
    /// The version.
    pub version: String,
    /// Whether it brought an earlier Revision back.
    pub is_rollback: bool,
    /// When its commit was pushed, where that is known.
    pub pushed_at: Option<Timestamp>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When its Rollout began; `None` where it never did.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub ended: Option<Ended>,
}

/// How a Promotion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It runs.
    Well,
    /// It was taken back.
    TakenBack {
        /// Why: what the guard said that caught it.
        reason: String,
        /// When that was decided.
        decided_at: Timestamp,
        /// Whether users may have met it.
        exposed: bool,
    },
    /// It changed nothing.
    Otherwise,
}

impl Shipped {
    /// What matters of a Promotion.
    #[must_use]
    pub fn of(promotion: &Promotion, pushed_at: Option<Timestamp>) -> Self {
        let back = promotion.rollout.as_ref().and_then(|rollout| rollout.back.as_ref());
        let ended = promotion.outcome.as_ref().map(|outcome| match outcome {
            Outcome::Succeeded => Ended::Well,
            Outcome::RolledBack { reason, time_to_safe_ms: _ } => Ended::TakenBack {
                reason: reason.clone(),
                decided_at: back.map_or(promotion.requested_at, |back| back.decided_at),
                exposed: back.is_some_and(|back| back.exposed),
            },
            Outcome::Rejected { .. }
            | Outcome::Expired { .. }
            | Outcome::Superseded { .. }
            | Outcome::Cancelled { .. } => Ended::Otherwise,
        });
        Self {
            environment: promotion.environment.environment.clone(),
            version: promotion.revision.version.clone(),
            is_rollback: promotion.kind == PromotionKind::Rollback,
            pushed_at,
            requested_at: promotion.requested_at,
            started_at: promotion.started_at,
            finished_at: promotion.finished_at,
            ended,
        }
    }
}

/// How good a number is, as the DORA reports divide teams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Band {
    /// Best.
    Elite,
    /// Good.
    High,
    /// Fair.
    Medium,
    /// Worst.
    Low,
}

impl Band {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Elite => "elite",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }

    /// The band of a number of which less is better: below the first bound is elite, and so on.
    fn below(value: f64, bounds: [f64; 3]) -> Self {
        let bands = [Self::Elite, Self::High, Self::Medium];
        bounds.iter().zip(bands).find(|(bound, _)| value < **bound).map_or(Self::Low, |(_, band)| band)
    }
}

/// How a Project delivers into some Environments, over some days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Deployments in all.
    pub deployments: usize,
    /// Deployments per day.
    pub per_day: f64,
    /// How often: more than daily is elite, weekly high, monthly medium.
    pub frequency: Band,
    /// The median time from the push of a commit until it ran.
    pub lead_time: Option<SignedDuration>,
    /// Below an hour is elite, a week high, a month medium.
    pub lead_time_band: Option<Band>,
    /// Deployments that failed.
    pub failures: usize,
    /// Their share.
    pub failure_rate: Option<f64>,
    /// Below 5 % is elite, 10 % high, 15 % medium.
    pub failure_rate_band: Option<Band>,
    /// The median time from noticing a failure until what ran before ran again.
    pub restore: Option<SignedDuration>,
    /// Below an hour is elite, a day high, a week medium.
    pub restore_band: Option<Band>,
    /// Deployments that followed a failure in the same Environment: made to mend it.
    pub rework: usize,
    /// Their share.
    pub rework_rate: Option<f64>,
    /// The median time that Gates and the queue kept a Promotion waiting that started in the end.
    pub gate_wait: Option<SignedDuration>,
    /// Promotions that ended without a Rollout: rejected, expired, superseded, withdrawn.
    pub never_started: usize,
    /// What failed, newest first.
    pub incidents: Vec<Incident>,
}

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;

/// Computes it from the Promotions of some days, and from the incidents that people reported, both oldest first.
#[must_use]
pub fn delivery(shipped: &[Shipped], reported: &[Reported], days: u32) -> Delivery {
    let days = f64::from(days.max(1));
    let (mut deployments, mut rework) = (0_usize, 0_usize);
    // Whether each version that users met has failed in its place.
    let mut met: Vec<(&EnvironmentName, &str, bool)> = Vec::new();
    let mut unseen: Vec<&Reported> = reported.iter().collect();
    let (mut leads, mut waits, mut incidents) = (Vec::new(), Vec::new(), Vec::new());
    let mut broken: Vec<&EnvironmentName> = Vec::new();
    let mut last_good: Vec<(&EnvironmentName, &str)> = Vec::new();
    for one in shipped {
        let Some(started) = one.started_at else { continue };
        let place = &one.environment;
        if one.is_rollback {
            // Somebody took back what had succeeded: its failure, noticed by a person.
            if one.ended == Some(Ended::Well)
                && let Some(at) = last_good.iter().position(|(environment, _)| *environment == place)
            {
                let (_, version) = last_good.remove(at);
                fails(&mut met, place, version);
                broken.push(place);
                incidents.push(incident(one, version, "a person rolled back", one.requested_at));
            }
            continue;
        }
        let exposed = match &one.ended {
            Some(Ended::TakenBack { exposed, .. }) => *exposed,
            Some(Ended::Well) => true,
            Some(Ended::Otherwise) | None => false,
        };
        if !exposed {
            continue;
        }
        deployments += 1;
        met.push((place, &one.version, false));
        let (before, after) = unseen.into_iter().partition(|report| report.opened_at <= started);
        unseen = after;
        let before: Vec<&Reported> = before;
        for report in before {
            if !broken.contains(&&report.environment) {
                broken.push(&report.environment);
            }
        }
        waits.push(started.duration_since(one.requested_at));
        if let Some(at) = broken.iter().position(|environment| *environment == place) {
            broken.remove(at);
            rework += 1;
        }
        match &one.ended {
            Some(Ended::Well) => {
                leads.extend(one.pushed_at.zip(one.finished_at).map(|(from, to)| to.duration_since(from)));
                last_good.retain(|(environment, _)| *environment != place);
                last_good.push((place, &one.version));
            }
            Some(Ended::TakenBack { reason, decided_at, .. }) => {
                fails(&mut met, place, &one.version);
                broken.push(place);
                incidents.push(incident(one, &one.version, reason, *decided_at));
            }
            Some(Ended::Otherwise) | None => {}
        }
    }
    for report in reported {
        // One deployment fails once, however often that is reported.
        let version = report.version.as_deref().unwrap_or_default();
        if !met
            .iter()
            .any(|(place, known, failed)| (*place, *known, *failed) == (&report.environment, version, true))
        {
            fails(&mut met, &report.environment, version);
        }
    }
    let failures = met.iter().filter(|(_, _, failed)| *failed).count();
    let mut incidents = joined(incidents, reported);
    let restores = incidents
        .iter()
        .filter_map(|incident: &Incident| Some(incident.closed_at?.duration_since(incident.opened_at)));
    let (lead_time, restore) = (median(leads), median(restores.collect()));
    let share = |part: usize| (deployments > 0).then(|| ratio(part, deployments));
    let per_day = ratio(deployments, 1) / days;
    let failure_rate = share(failures);
    incidents.reverse();
    Delivery {
        deployments,
        per_day,
        frequency: Band::below(-per_day, [-1.0, -1.0 / 7.0 + 1e-9, -1.0 / 31.0 + 1e-9]),
        lead_time,
        lead_time_band: lead_time.map(|time| Band::below(time.as_secs_f64(), [HOUR, 7.0 * DAY, 30.0 * DAY])),
        failures,
        failure_rate,
        failure_rate_band: failure_rate.map(|rate| Band::below(rate, [0.05, 0.10, 0.15])),
        restore,
        restore_band: restore.map(|time| Band::below(time.as_secs_f64(), [HOUR, DAY, 7.0 * DAY])),
        rework,
        rework_rate: share(rework),
        gate_wait: median(waits),
        never_started: shipped.iter().filter(|one| one.started_at.is_none() && one.ended.is_some()).count(),
        incidents,
    }
}

/// The newest deployment of a version has failed; one that is not among the days is none of theirs.
fn fails(met: &mut [(&EnvironmentName, &str, bool)], place: &EnvironmentName, version: &str) {
    let newest = met.iter_mut().rfind(|(known, of, _)| *known == place && *of == version);
    if let Some((_, _, failed)) = newest {
        *failed = true;
    }
}

fn incident(one: &Shipped, version: &str, caught_by: &str, opened_at: Timestamp) -> Incident {
    Incident {
        environment: one.environment.clone(),
        version: version.to_owned(),
        caught_by: caught_by.to_owned(),
        opened_at,
        closed_at: one.finished_at,
        number: None,
    }
}

fn ratio(part: usize, of: usize) -> f64 {
    let float = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    float(part) / float(of.max(1))
}

/// The middle value; of an even number of them the lower of the two in the middle.
#[must_use]
pub fn median(mut values: Vec<SignedDuration>) -> Option<SignedDuration> {
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    /// Pushed, asked for 10 minutes later, started 20 and ended 30 minutes later.
    fn shipped(version: &str, pushed: i64, ended: Ended) -> Shipped {
        Shipped {
            environment: "production".parse().unwrap(),
            version: version.to_owned(),
            is_rollback: false,
            pushed_at: Some(at(pushed)),
            requested_at: at(pushed + 10),
            started_at: Some(at(pushed + 20)),
            finished_at: Some(at(pushed + 30)),
            ended: Some(ended),
        }
    }

    fn taken_back(decided: i64, exposed: bool) -> Ended {
        Ended::TakenBack {
            reason: "unhealthy: 5 % of the requests fail".to_owned(),
            decided_at: at(decided),
            exposed,
        }
    }

    #[test]
    fn the_metrics_come_from_what_users_met() {
        let history = [
            shipped("1", 0, Ended::Well),
            shipped("2", 100, taken_back(128, true)),
            shipped("3", 200, Ended::Well),
            // Nobody met this one: its way back was broken, or it never answered.
            shipped("4", 300, taken_back(325, false)),
            shipped("5", 400, Ended::Otherwise),
        ];
        let found = delivery(&history, &[], 1);
        assert_eq!((found.deployments, found.failures, found.rework), (3, 1, 1));
        assert_eq!(found.lead_time, Some(SignedDuration::from_mins(30)));
        assert_eq!(found.restore, Some(SignedDuration::from_mins(2)));
        assert_eq!(found.gate_wait, Some(SignedDuration::from_mins(10)));
        assert_eq!(
            (found.frequency, found.lead_time_band, found.restore_band, found.failure_rate_band),
            (Band::Elite, Some(Band::Elite), Some(Band::Elite), Some(Band::Low))
        );
        let incident = &found.incidents[0];
        assert_eq!((incident.version.as_str(), incident.opened_at), ("2", at(128)));
        assert_eq!(incident.caught_by, "unhealthy: 5 % of the requests fail");
    }

    #[test]
    fn a_rollback_by_hand_is_a_failure_of_what_it_took_back_and_no_deployment() {
        let back = Shipped { is_rollback: true, ..shipped("1", 200, Ended::Well) };
        let history = [
            shipped("1", 0, Ended::Well),
            shipped("2", 100, Ended::Well),
            back.clone(),
            back,
            shipped("3", 300, Ended::Well),
        ];
        let found = delivery(&history, &[], 30);
        assert_eq!((found.deployments, found.failures, found.rework), (3, 1, 1));
        assert_eq!(found.incidents[0].version, "2");
        assert_eq!(found.incidents[0].opened_at, at(210));
        assert_eq!(found.frequency, Band::Medium);
    }

    #[test]
    fn what_people_report_fails_the_deployment_that_caused_it_once() {
        let history =
            [shipped("1", 0, Ended::Well), shipped("2", 100, Ended::Well), shipped("3", 200, Ended::Well)];
        let report = |number, version: &str, from, to| Reported {
            number,
            environment: "production".parse().unwrap(),
            version: Some(version.to_owned()),
            title: "checkout fails".to_owned(),
            opened_by: "ada".to_owned(),
            opened_at: at(from),
            closed_by: None,
            closed_at: Some(at(to)),
            comment: String::new(),
        };
        // Both are of the second version; the third one mends it. What was deployed long ago has no deployment here.
        let reports = [report(1, "2", 150, 190), report(2, "2", 160, 200), report(3, "0.9", 10, 40)];
        let found = delivery(&history, &reports, 1);
        assert_eq!((found.deployments, found.failures, found.rework), (3, 1, 2));
        assert_eq!(found.restore, Some(SignedDuration::from_mins(40)));
        assert_eq!(
            found.incidents.iter().map(|one| one.number).collect::<Vec<_>>(),
            [Some(2), Some(1), Some(3)]
        );
        // Taken back as well: still one failure, and one incident less.
        let back = Shipped { is_rollback: true, ..shipped("1", 170, Ended::Well) };
        let history = [history[0].clone(), history[1].clone(), back, history[2].clone()];
        let found = delivery(&history, &reports[..1], 1);
        assert_eq!((found.failures, found.rework, found.incidents.len()), (1, 1, 1));
        assert_eq!(found.incidents[0].closed_at, Some(at(190)));
    }

    #[test]
    fn nothing_is_not_made_up_where_nothing_happened() {
        let found = delivery(&[], &[], 30);
        assert_eq!((found.deployments, found.frequency), (0, Band::Low));
        assert_eq!(
            (found.lead_time, found.failure_rate, found.restore, found.gate_wait),
            (None, None, None, None)
        );
    }

    #[test]
    fn bands_begin_where_they_are_said_to() {
        let band = |per_week: usize| {
            let many: Vec<Shipped> = (0..per_week).map(|_| shipped("1", 0, Ended::Well)).collect();
            delivery(&many, &[], 7).frequency
        };
        assert_eq!([band(8), band(7), band(1), band(0)], [Band::Elite, Band::High, Band::High, Band::Low]);
    }
}
