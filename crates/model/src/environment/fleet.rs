//! The Instances of one Environment: which are wanted, and how they are.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::promotion::Revision;
use crate::{AgentId, Digest, EnvironmentKey, InstanceId, WorkloadName};
use std::net::SocketAddr;

/// How long an Instance that failed stays as it is before another takes its place, so that failing costs little.
pub const REPLACE_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// A host that can take Instances of this Environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its agent.
    pub agent: AgentId,
    /// Its name, for people.
    pub name: String,
    /// Whether the agent is heard of.
    pub connected: bool,
    /// When it was heard of last; the server's start where it was not since then.
    pub heard_at: Timestamp,
}

/// The Instances of one Environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fleet {
    /// Counts the groups of Instances that were ever made, so that identities never repeat.
    pub groups: u64,
    /// Instances that are wanted, or not gone yet.
    pub instances: Vec<Instance>,
}

/// One running copy of a Workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its identity.
    pub id: InstanceId,
    /// Its Workload.
    pub workload: WorkloadName,
    /// Its Revision.
    pub revision: Digest,
    /// Where it runs.
    pub host: AgentId,
    /// Whether it shall run.
    pub wanted: bool,
    /// Set while its host is lost for so long that a successor is on its way. It counts for nothing then, and goes when the
    /// successor is ready, or stays when its host comes back before.
    #[serde(default)]
    pub moving: bool,
    /// Since when it gets no requests any more and waits to be stopped, where no other takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Timestamp>,
    /// How it is.
    pub health: InstanceHealth,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// How often its process was started again.
    pub restarts: u32,
    /// For people.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// How an Instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceHealth {
    /// Its agent has said nothing of it yet.
    Ordered,
    /// Its bytes are fetched and verified.
    Fetching,
    /// Its process runs and is not ready yet.
    Starting,
    /// It is ready.
    Ready,
    /// It was ready and is not any more.
    NotReady,
    /// Its process ended and is started again.
    Restarting,
    /// It drains.
    Stopping,
    /// It is gone.
    Stopped,
    /// It will not be tried again.
    Failed,
}

impl InstanceHealth {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Fetching => "fetching",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::NotReady => "not ready",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

impl Instance {
    /// Whether it is wanted and nobody has begun to let it go.
    #[must_use]
    pub const fn stays(&self) -> bool {
        self.wanted && self.leaving.is_none()
    }
}

/// What an agent says of one Instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Which.
    pub instance: InstanceId,
    /// How it is.
    pub health: InstanceHealth,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// How often its process was started again.
    pub restarts: u32,
    /// For people.
    pub message: String,
}

/// How many Instances of one Workload of a Revision there are. Those on lost hosts are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Those that have not gone yet.
    pub present: u32,
    /// Of these, those that are wanted and stay so.
    pub staying: u32,
    /// Of those that stay, those that are ready.
    pub ready: u32,
}

impl Fleet {
    /// Wants `count` Instances of each Workload of a Revision; those that are wanted already count.
    ///
    /// Instances are spread over the hosts, least loaded first. Without a host nothing is made.
    pub fn want(
        &mut self,
        key: &EnvironmentKey,
        revision: &Revision,
        count: u32,
        hosts: &[Host],
        now: Timestamp,
    ) {
        let mut hosts: Vec<AgentId> =
            hosts.iter().filter(|host| host.connected).map(|host| host.agent).collect();
        hosts.sort_unstable();
        if hosts.is_empty() {
            return;
        }
        self.groups += 1;
        for workload in &revision.workloads {
            for ordinal in self.count(revision.digest, &workload.name).staying..count {
                let load =
                    |host: &AgentId| self.instances.iter().filter(|i| i.wanted && i.host == *host).count();
                let Some(host) = hosts.iter().copied().min_by_key(load) else { return };
                let name =
                    format!("{key}\0{}\0{}\0{}\0{ordinal}", revision.digest, self.groups, workload.name);
                self.instances.push(Instance {
                    id: instance_id(&name),
                    workload: workload.name.clone(),
                    revision: revision.digest,
                    host,
                    wanted: true,
                    moving: false,
                    leaving: None,
                    health: InstanceHealth::Ordered,
                    address: None,
                    restarts: 0,
                    message: "the agent was told to start it".to_owned(),
                    since: now,
                });
            }
        }
    }

    /// Wants no Instance of a Revision any more.
    pub fn stop(&mut self, revision: Digest) {
        for instance in self.instances.iter_mut().filter(|instance| instance.revision == revision) {
            instance.wanted = false;
        }
    }

    /// Wants only Instances of these Revisions.
    pub fn stop_all_but(&mut self, keep: &[Digest]) {
        for instance in self.instances.iter_mut().filter(|instance| !keep.contains(&instance.revision)) {
            instance.wanted = false;
        }
    }

    /// Wants no Instance any more that failed so long ago; [`want`](Self::want) makes others.
    pub fn give_up_failed(&mut self, revision: Digest, now: Timestamp, failed_for: SignedDuration) {
        for instance in self.instances.iter_mut().filter(|instance| instance.revision == revision) {
            let failed = instance.health == InstanceHealth::Failed;
            if failed && now.duration_since(instance.since) >= failed_for {
                instance.wanted = false;
            }
        }
    }

    /// Wants at most `count` Instances of a Workload; those that are not ready, and the newest, go first. They leave: first
    /// the traffic, then their host.
    pub fn shrink(&mut self, revision: Digest, workload: &WorkloadName, count: u32, now: Timestamp) {
        let of_it = |instance: &&mut Instance| {
            let counts = instance.stays() && !instance.moving;
            counts && instance.revision == revision && instance.workload == *workload
        };
        let mut staying: Vec<&mut Instance> = self.instances.iter_mut().filter(of_it).collect();
        staying.sort_by_key(|instance| instance.health != InstanceHealth::Ready);
        for instance in staying.into_iter().skip(count as usize) {
            instance.leaving = Some(now);
        }
    }

    /// Stops those that left, because nobody sends to them any more.
    pub fn let_go(&mut self) {
        for instance in self.instances.iter_mut().filter(|instance| instance.leaving.is_some()) {
            instance.wanted = false;
        }
    }

    /// Stops those that left before `before`, where others of their Revision stay to answer.
    pub fn let_go_late(&mut self, before: Timestamp) {
        let stay: BTreeSet<Digest> =
            self.instances.iter().filter(|i| i.stays()).map(|i| i.revision).collect();
        for instance in self.instances.iter_mut().filter(|instance| stay.contains(&instance.revision)) {
            instance.wanted &= instance.leaving.is_none_or(|since| since > before);
        }
    }

    /// Instances of a Revision that are wanted, and stay so.
    pub fn wanted(&self, revision: Digest) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(move |instance| instance.stays() && instance.revision == revision)
    }

    /// Wanted Instances of a Revision whose hosts are not lost.
    pub fn counted(&self, revision: Digest) -> impl Iterator<Item = &Instance> {
        self.wanted(revision).filter(|instance| !instance.moving)
    }

    /// Counts the Instances of one Workload of a Revision.
    #[must_use]
    pub fn count(&self, revision: Digest, workload: &WorkloadName) -> Count {
        let mut count = Count::default();
        for instance in &self.instances {
            if instance.moving || instance.revision != revision || instance.workload != *workload {
                continue;
            }
            let stays = instance.stays();
            count.present += 1;
            count.staying += u32::from(stays);
            count.ready += u32::from(stays && instance.health == InstanceHealth::Ready);
        }
        count
    }

    /// Whether `count` Instances of each Workload of a Revision stay, at least.
    #[must_use]
    pub fn has(&self, revision: &Revision, count: u32) -> bool {
        revision.workloads.iter().all(|workload| self.count(revision.digest, &workload.name).staying >= count)
    }

    /// Whether at least one Instance of a Revision is wanted and all that are wanted are ready.
    #[must_use]
    pub fn ready(&self, revision: Digest) -> bool {
        let mut wanted = self.counted(revision).peekable();
        wanted.peek().is_some() && wanted.all(|instance| instance.health == InstanceHealth::Ready)
    }

    /// Whether nothing of a Revision is left on any host that is not lost.
    #[must_use]
    pub fn gone(&self, revision: Digest) -> bool {
        !self.instances.iter().any(|instance| instance.revision == revision && !instance.moving)
    }

    /// Takes in what one agent says of all Instances on its host.
    pub fn observe(&mut self, agent: AgentId, observed: &[Observed], now: Timestamp) {
        for instance in self.instances.iter_mut().filter(|instance| instance.host == agent) {
            let Some(seen) = observed.iter().find(|seen| seen.instance == instance.id) else { continue };
            if instance.health != seen.health {
                instance.since = now;
            }
            instance.health = seen.health;
            // An Instance that restarts gets a new port later; until then the last one stays known.
            if seen.address.is_some() {
                instance.address = seen.address;
            }
            instance.restarts = seen.restarts;
            instance.message.clone_from(&seen.message);
        }
        self.instances.retain(|instance| {
            instance.wanted || instance.host != agent || {
                let seen = observed.iter().find(|seen| seen.instance == instance.id);
                // What is not wanted goes when its agent says that it is gone, or does not know it.
                seen.is_some_and(|seen| {
                    !matches!(seen.health, InstanceHealth::Stopped | InstanceHealth::Failed)
                })
            }
        });
    }
}

fn instance_id(name: &str) -> InstanceId {
    InstanceId(crate::ids::derived("instance", name))
}
