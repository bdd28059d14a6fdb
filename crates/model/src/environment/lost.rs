//! Hosts that stay lost: their Instances get successors elsewhere.
//!
//! From here nobody can tell a dead host from one that is only cut off, so an Instance there is neither trusted nor stopped
//! by this. It goes on getting requests, as far as gateways reach it, until successors are ready; then no split names it any
//! more, which every gateway reads back. A host that comes back stops what it is not told to run before it does anything else.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::drive::after;
use super::fleet::{Host, Instance};
use super::gates::human;
use super::{Change, Environment, Facts};
use crate::timeline::{Actor, Entry};

impl Environment {
    /// Lets Instances on hosts that stay lost count for nothing, and forgets them once they have successors.
    pub(super) fn leave_lost_hosts(&mut self, facts: &Facts, change: &mut Change, now: Timestamp) {
        // Without another host there is nowhere to go; what may still serve is better than nothing.
        let elsewhere = facts.hosts.iter().any(|host| host.connected);
        let limit = self.policy.document.target.replace_after;
        for host in &facts.hosts {
            let lost = !host.connected && elsewhere && now >= after(host.heard_at, limit);
            let here = self.fleet.instances.iter_mut().filter(|instance| instance.host == host.agent);
            let mut moved = 0;
            for instance in here {
                moved += usize::from(lost && instance.wanted && !instance.moving);
                instance.moving = lost || (instance.moving && !host.connected);
            }
            if moved > 0 {
                let plural =
                    if moved == 1 { "its Instance gets a successor" } else { "its Instances get successors" };
                let text = format!(
                    "{} was not heard of for {}: {plural} on other hosts ({moved} in {})",
                    host.name,
                    human(limit),
                    self.key
                );
                change.handled.entry(Entry::new("host-lost", Actor::Towpath, text).fact("agent", host.agent));
            }
        }
        self.forget_replaced();
    }

    /// What nobody wants on a lost host is not waited for, and what has successors gets no requests any more.
    fn forget_replaced(&mut self) {
        let replaced = |instance: &Instance| {
            let ready = || self.fleet.count(instance.revision, &instance.workload).ready;
            // The last one of a Revision that makes room goes when no gateway sends to it any more, as it would elsewhere.
            let enough = || self.count_of(instance.revision).max(1);
            instance.moving && (!instance.wanted || ready() >= enough())
        };
        let instances = self.fleet.instances.iter();
        let gone: BTreeSet<_> = instances.filter(|each| replaced(each)).map(|each| each.id).collect();
        self.fleet.instances.retain(|instance| !gone.contains(&instance.id));
    }

    /// What is on its way from hosts that are lost, for people.
    pub(super) fn moving_waits(&self, facts: &Facts) -> Option<String> {
        let moving: Vec<&Instance> =
            self.fleet.instances.iter().filter(|instance| instance.moving && instance.wanted).collect();
        let lost = |host: &&Host| moving.iter().any(|instance| instance.host == host.agent);
        let hosts: Vec<&str> = facts.hosts.iter().filter(lost).map(|host| host.name.as_str()).collect();
        (!moving.is_empty()).then(|| {
            let (count, limit) = (moving.len(), human(self.policy.document.target.replace_after));
            format!(
                "{count} of its Instances wait for successors: {} was not heard of for {limit}",
                hosts.join(", ")
            )
        })
    }
}
