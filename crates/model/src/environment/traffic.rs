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
                .all(|name| self.confirmed.get(name).is_some_and(|seen| *seen >= self.generation))
    }

    /// The desired share of a Revision.
    #[must_use]
    pub fn weight(&self, revision: Digest) -> Weight {
        self.arms.iter().find(|arm| arm.revision == revision).map_or(Weight::NONE, |arm| arm.weight)
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
                endpoints: endpoints(fleet, *revision, workload, last),
            }
        };
        let arms = shares.iter().map(arm).collect();
        self.replace(arms, now);
    }

    /// Follows the fleet: Instances come, go, and get other ports.
    pub fn follow(&mut self, fleet: &Fleet, now: Timestamp) {
        let arms = self.arms.iter().map(|arm| TrafficArm {
            endpoints: endpoints(fleet, arm.revision, &arm.workload, &arm.endpoints),
            ..arm.clone()
        });
        self.replace(arms.collect(), now);
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
/// better than an answer that certainly fails.
fn endpoints(
    fleet: &Fleet,
    revision: Digest,
    workload: &WorkloadName,
    last: &[SocketAddr],
) -> Vec<SocketAddr> {
    let mut ready: Vec<SocketAddr> = fleet
        .wanted(revision)
        .filter(|instance| instance.workload == *workload && instance.health == InstanceHealth::Ready)
        .filter_map(|instance| instance.address)
        .collect();
    ready.sort_unstable();
    if ready.is_empty() { last.to_vec() } else { ready }
}
