//! Who gets which share of an Environment's requests, and whether the gateways do it already.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fleet::{Fleet, InstanceHealth};
use crate::{Digest, Weight, WorkloadName};

/// The desired split of one Environment and its read-back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Grows with each change of `arms`.
    pub generation: u64,
    /// The desired split. Empty: nothing serves.
    pub arms: Vec<TrafficArm>,
    /// Since when it is desired.
    pub since: Timestamp,
    /// The generation that each gateway has in force.
    pub confirmed: BTreeMap<String, u64>,
    /// What gateways complain about.
    pub problems: BTreeMap<String, String>,
}

/// One Revision's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficArm {
    /// The Revision.
    pub revision: Digest,
    /// The Workload that takes the requests.
    pub workload: WorkloadName,
    /// Its share.
    pub weight: Weight,
    /// Its Instances' addresses.
    pub endpoints: Vec<SocketAddr>,
}

impl Traffic {
    /// Nothing serves.
    #[must_use]
    pub const fn none(now: Timestamp) -> Self {
        Self {
            generation: 1,
            arms: Vec::new(),
            since: now,
            confirmed: BTreeMap::new(),
            problems: BTreeMap::new(),
        }
    }

    /// Whether every gateway has the desired split in force.
    #[must_use]
    pub fn in_force(&self, gateways: &BTreeSet<String>) -> bool {
        !gateways.is_empty()
            && gateways
                .iter()
                .all(|name| self.confirmed.get(name).is_some_and(|seen| *seen == self.generation))
    }

    /// The desired share of a Revision.
    #[must_use]
    pub fn weight(&self, revision: Digest) -> Weight {
        self.arms.iter().find(|arm| arm.revision == revision).map_or(Weight::NONE, |arm| arm.weight)
    }

    /// Whether no arm but this Revision's was asked for, with everything; for `None`, whether there is no arm.
    #[must_use]
    pub fn serves_only(&self, revision: Option<Digest>) -> bool {
        match (&self.arms[..], revision) {
            ([], None) => true,
            ([arm], Some(revision)) => arm.revision == revision && arm.weight == Weight::FULL,
            _ => false,
        }
    }

    /// Desires a split. Endpoints come from the fleet.
    pub fn split(&mut self, shares: &[(Digest, WorkloadName, Weight)], fleet: &Fleet, now: Timestamp) {
        let arm = |(revision, workload, weight): &(Digest, WorkloadName, Weight)| {
            let known = self.arms.iter().find(|arm| arm.revision == *revision);
            let last = known.map_or(&[][..], |arm| &arm.endpoints);
            TrafficArm {
                revision: *revision,
                workload: workload.clone(),
                weight: *weight,
                endpoints: endpoints(fleet, *revision, workload, *weight, last),
            }
        };
        let arms = shares.iter().map(arm).collect();
        self.replace(arms, now);
    }

    /// Follows the fleet: Instances come, go, and get other ports.
    pub fn follow(&mut self, fleet: &Fleet, now: Timestamp) {
        let arms = self.arms.iter().map(|arm| TrafficArm {
            endpoints: endpoints(fleet, arm.revision, &arm.workload, arm.weight, &arm.endpoints),
            ..arm.clone()
        });
        self.replace(arms.collect(), now);
    }

    /// Leaves out an arm that has no share.
    pub fn forget(&mut self, revision: Digest, now: Timestamp) {
        let keeps = |arm: &&TrafficArm| arm.revision != revision || arm.weight != Weight::NONE;
        let arms = self.arms.iter().filter(keeps).cloned().collect();
        self.replace(arms, now);
    }

    fn replace(&mut self, arms: Vec<TrafficArm>, now: Timestamp) {
        if self.arms != arms {
            self.arms = arms;
            self.generation += 1;
            self.since = now;
        }
    }
}

/// The addresses that can take requests.
///
/// An arm never loses its last endpoint because of a failed probe: an Instance that may answer is
/// better than an answer that certainly fails. What nobody wants any more gets nothing.
fn endpoints(
    fleet: &Fleet,
    revision: Digest,
    workload: &WorkloadName,
    weight: Weight,
    last: &[SocketAddr],
) -> Vec<SocketAddr> {
    let wanted = || fleet.wanted(revision).filter(|instance| instance.workload == *workload);
    if weight == Weight::NONE && wanted().next().is_none() {
        return Vec::new();
    }
    let ready = sorted(wanted().filter(|i| i.health == InstanceHealth::Ready).filter_map(|i| i.address));
    if !ready.is_empty() {
        return ready;
    }
    let known = sorted(wanted().filter_map(|instance| instance.address));
    if known.is_empty() { last.to_vec() } else { known }
}

fn sorted(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
