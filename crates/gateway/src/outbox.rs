//! Measurements that the server has not acknowledged: kept, merged and bounded. Pure.

use std::collections::HashMap;

use towpath_api::gateway::{Delta, MeasurementReport};
use uuid::Uuid;

/// The most deltas that are kept apart. Beyond it, those of one Revision are merged whatever the weight was.
const MAX_DELTAS: usize = 2048;

/// What is still to be told.
pub struct Outbox {
    gateway: String,
    session: Uuid,
    sequence: u64,
    /// A report that may have arrived: its content never changes.
    sent: Option<MeasurementReport>,
    waiting: Vec<Delta>,
}

impl Outbox {
    /// Starts at sequence 1.
    #[must_use]
    pub fn new(gateway: String, session: Uuid) -> Self {
        Self { gateway, session, sequence: 0, sent: None, waiting: Vec::new() }
    }

    /// Adds what was measured in one interval.
    pub fn add(&mut self, deltas: Vec<Delta>) {
        merge(&mut self.waiting, deltas, |older, newer| {
            older.generation == newer.generation && older.weight == newer.weight
        });
        if self.waiting.len() > MAX_DELTAS {
            let all = std::mem::take(&mut self.waiting);
            merge(&mut self.waiting, all, |_, _| true);
        }
    }

    /// The report to send now: the unacknowledged one again, or what came since.
    pub fn next(&mut self) -> Option<MeasurementReport> {
        if self.sent.is_none() && !self.waiting.is_empty() {
            self.sequence += 1;
            self.sent = Some(MeasurementReport {
                gateway: self.gateway.clone(),
                session: self.session,
                sequence: self.sequence,
                deltas: std::mem::take(&mut self.waiting),
            });
        }
        self.sent.clone()
    }

    /// Forgets what the server has.
    pub fn acknowledge(&mut self, sequence: u64) {
        if self.sent.as_ref().is_some_and(|sent| sent.sequence == sequence) {
            self.sent = None;
        }
    }

    /// Whether the server has everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_none() && self.waiting.is_empty()
    }
}

/// Adds each of `deltas` to the newest one of the same Revision and way if the two are `alike`, else behind all others.
fn merge(into: &mut Vec<Delta>, deltas: Vec<Delta>, alike: impl Fn(&Delta, &Delta) -> bool) {
    let mut newest: HashMap<_, usize> = HashMap::new();
    for (index, delta) in into.iter().enumerate() {
        newest.insert((delta.environment.clone(), delta.revision, delta.way), index);
    }
    for delta in deltas {
        let key = (delta.environment.clone(), delta.revision, delta.way);
        match newest.get(&key) {
            Some(&index) if alike(&into[index], &delta) => absorb(&mut into[index], delta),
            _ => {
                newest.insert(key, into.len());
                into.push(delta);
            }
        }
    }
}

fn absorb(older: &mut Delta, newer: Delta) {
    let Delta {
        to, generation, weight, started, requests, errors, gateway_errors, latency, in_flight, ..
    } = newer;
    older.started += started;
    older.requests += requests;
    older.errors += errors;
    older.gateway_errors += gateway_errors;
    for (sum, more) in older.latency.iter_mut().zip(latency) {
        *sum += more;
    }
    (older.to, older.generation, older.weight, older.in_flight) = (to, generation, weight, in_flight);
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use towpath_api::gateway::Way;
    use towpath_model::{Digest, EnvironmentKey};

    use super::*;

    fn delta(second: i64, weight: u16, requests: u64) -> Delta {
        Delta {
            environment: EnvironmentKey {
                project: "shop".parse().unwrap(),
                environment: "dev".parse().unwrap(),
            },
            revision: Digest::of(b"one"),
            way: Way::Split,
            from: Timestamp::from_second(second).unwrap(),
            to: Timestamp::from_second(second + 1).unwrap(),
            generation: 1,
            weight,
            started: requests,
            requests,
            errors: 1,
            gateway_errors: 0,
            latency: vec![requests, 0],
            in_flight: second as u64,
        }
    }

    fn outbox() -> Outbox {
        Outbox::new("local".to_owned(), Uuid::nil())
    }

    #[test]
    fn merges_while_the_server_is_away_and_never_changes_what_was_sent() {
        let mut outbox = outbox();
        outbox.add(vec![delta(0, 50, 3)]);
        let first = outbox.next().unwrap();
        outbox.add(vec![delta(1, 50, 4)]);
        outbox.add(vec![delta(2, 50, 5)]);
        let again = outbox.next().unwrap();
        assert_eq!((again.sequence, &again.deltas), (1, &first.deltas), "the same number, the same content");
        outbox.acknowledge(1);
        let second = outbox.next().unwrap();
        assert_eq!(second.sequence, 2);
        let [merged] = second.deltas.as_slice() else { panic!("{:?}", second.deltas) };
        assert_eq!((merged.requests, merged.errors, merged.latency[0], merged.in_flight), (9, 2, 9, 2));
        assert_eq!((merged.from.as_second(), merged.to.as_second()), (1, 3));
        outbox.acknowledge(1);
        assert!(!outbox.is_empty(), "an old acknowledgement means nothing");
        outbox.acknowledge(2);
        assert!(outbox.is_empty() && outbox.next().is_none());
    }

    #[test]
    fn keeps_ways_apart() {
        let mut outbox = outbox();
        outbox.add(vec![delta(0, 50, 3), Delta { way: Way::Routed, ..delta(0, 50, 5) }]);
        outbox.add(vec![Delta { way: Way::Routed, ..delta(1, 50, 6) }, delta(1, 50, 4)]);
        let report = outbox.next().unwrap();
        let counted: Vec<(Way, u64)> =
            report.deltas.iter().map(|delta| (delta.way, delta.requests)).collect();
        assert_eq!(counted, [(Way::Split, 7), (Way::Routed, 11)]);
    }

    #[test]
    fn keeps_weights_apart_within_bounds() {
        let mut outbox = outbox();
        for second in 0..2048 {
            outbox.add(vec![delta(second, (second % 1000) as u16, 1)]);
        }
        assert_eq!(outbox.waiting.len(), 2048);
        outbox.add(vec![delta(2048, 1, 1)]);
        assert_eq!(outbox.waiting.len(), 1, "bounded");
        assert_eq!(outbox.waiting[0].requests, 2049, "and nothing is lost");
    }
}
