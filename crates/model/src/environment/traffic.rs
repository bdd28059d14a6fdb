//! Who gets which share of an Environment's requests, and whether the gateways do it already.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fleet::{Fleet, InstanceHealth};
use crate::pipeline::{Canary, Protocol, Route, RouteField, Side, Sticky};
use crate::{Digest, Weight, WorkloadName};

/// The desired split of one Environment and its read-back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Grows with each change of `arms`.
    pub generation: u64,
    /// The desired split. Empty: nothing serves.
    pub arms: Vec<TrafficArm>,
    /// How clients stay with the arm that they met first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Requests that go to one arm whatever the weights say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<TrafficRule>,
    /// Who gets the requests of the preview address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<TrafficArm>,
    /// Since when it is desired.
    pub since: Timestamp,
    /// The generation that each gateway has in force.
    pub confirmed: BTreeMap<String, u64>,
    /// What gateways complain about.
    pub problems: BTreeMap<String, String>,
    /// The addresses of Instances that a gateway leaves alone for a while, because they fail what others do well.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outliers: BTreeMap<String, Vec<SocketAddr>>,
}

/// The Workload of a Revision that takes the listener's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// Its name.
    pub workload: WorkloadName,
    /// What it speaks.
    pub protocol: Protocol,
}

/// Requests that go to one arm whatever the weights say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficRule {
    /// Where to look.
    pub on: RouteField,
    /// What must stand there.
    pub equals: String,
    /// Who gets the request.
    pub revision: Digest,
}

/// One Revision's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficArm {
    /// The Revision.
    pub revision: Digest,
    /// The Workload that takes the requests.
    pub workload: WorkloadName,
    /// What that Workload speaks.
    #[serde(default, skip_serializing_if = "Protocol::is_http1")]
    pub protocol: Protocol,
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
            sticky: None,
            rules: Vec::new(),
            preview: None,
            since: now,
            confirmed: BTreeMap::new(),
            problems: BTreeMap::new(),
            outliers: BTreeMap::new(),
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

    /// The gateways that leave an address alone for a while.
    pub fn avoided_by(&self, address: SocketAddr) -> impl Iterator<Item = &str> {
        let avoid = move |(_, outliers): &(&String, &Vec<SocketAddr>)| outliers.contains(&address);
        self.outliers.iter().filter(avoid).map(|(gateway, _)| gateway.as_str())
    }

    /// Desires a split. Endpoints come from the fleet.
    pub fn split(&mut self, shares: &[(Digest, Front, Weight)], fleet: &Fleet, now: Timestamp) {
        let arm = |(revision, front, weight): &(Digest, Front, Weight)| {
            let known = self.arms.iter().find(|arm| arm.revision == *revision);
            let last = known.map_or(&[][..], |arm| &arm.endpoints);
            TrafficArm {
                revision: *revision,
                workload: front.workload.clone(),
                protocol: front.protocol,
                weight: *weight,
                endpoints: endpoints(fleet, *revision, &front.workload, *weight, last),
            }
        };
        let arms = shares.iter().map(arm).collect();
        self.replace(arms, now);
    }

    /// Desires that a canary's clients stay where they are, and that its routes decide before its weights.
    pub fn guide(&mut self, canary: &Canary, candidate: Digest, stable: Option<Digest>, now: Timestamp) {
        let rule = |route: &Route| {
            let revision = match route.to {
                Side::Candidate => Some(candidate),
                Side::Stable => stable,
            };
            Some(TrafficRule { on: route.on.clone(), equals: route.equals.clone(), revision: revision? })
        };
        self.set_guide(canary.sticky.clone(), canary.routes.iter().filter_map(rule).collect(), now);
    }

    /// Desires that weights alone decide.
    pub fn unguide(&mut self, now: Timestamp) {
        self.set_guide(None, Vec::new(), now);
    }

    fn set_guide(&mut self, sticky: Option<Sticky>, rules: Vec<TrafficRule>, now: Timestamp) {
        if (&self.sticky, &self.rules) != (&sticky, &rules) {
            (self.sticky, self.rules) = (sticky, rules);
            self.generation += 1;
            self.since = now;
        }
    }

    /// Follows the fleet: Instances come, go, and get other ports.
    pub fn follow(&mut self, fleet: &Fleet, now: Timestamp) {
        let arms = self.arms.iter().map(|arm| TrafficArm {
            endpoints: endpoints(fleet, arm.revision, &arm.workload, arm.weight, &arm.endpoints),
            ..arm.clone()
        });
        let arms = arms.collect();
        self.replace(arms, now);
        if let Some(TrafficArm { revision, workload, protocol, .. }) = self.preview.clone() {
            self.show(revision, Front { workload, protocol }, fleet, now);
        }
    }

    /// Desires that the requests of the preview address go to a Revision.
    pub fn show(&mut self, revision: Digest, front: Front, fleet: &Fleet, now: Timestamp) {
        let Front { workload, protocol } = front;
        let last = self.preview.as_ref().filter(|arm| arm.revision == revision);
        let last = last.map_or(&[][..], |arm| &arm.endpoints);
        let endpoints = endpoints(fleet, revision, &workload, Weight::NONE, last);
        let arm = TrafficArm { revision, workload, protocol, weight: Weight::NONE, endpoints };
        self.set_preview(Some(arm), now);
    }

    /// Desires that nobody gets the requests of the preview address.
    pub fn hide(&mut self, now: Timestamp) {
        self.set_preview(None, now);
    }

    fn set_preview(&mut self, preview: Option<TrafficArm>, now: Timestamp) {
        if self.preview != preview {
            self.preview = preview;
            self.generation += 1;
            self.since = now;
        }
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
