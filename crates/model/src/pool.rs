//! A pool of build agents that grows and shrinks with the queue.
//!
//! [`Pool::decide`] is asked again and again with who is there, what waits and the time. It says whom to start, to drain and to
//! stop, and why. Nobody is stopped who has a Job: a member is drained first, and stopped once it has nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

/// How long a member may take until its agent calls.
pub const START_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// How long an agent that called once may stay silent.
pub const SILENT_FOR: SignedDuration = SignedDuration::from_mins(2);

/// The longest pause after starts that came to nothing.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// What a pool is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// The labels of its agents. A Job that asks for others is none of its business.
    pub labels: BTreeMap<String, String>,
    /// How many agents there are always.
    pub minimum: u32,
    /// How many there are at most.
    pub maximum: u32,
    /// For how many waiting Jobs one agent is started.
    pub waiting_per_agent: u32,
    /// How long a Job waits before an agent is started for it.
    pub scale_up_after: SignedDuration,
    /// How long after a start nobody is drained, and after a drain nobody is started beyond the minimum.
    pub cool_down: SignedDuration,
    /// How long an agent may have nothing to do.
    pub idle_limit: SignedDuration,
}

impl PoolSettings {
    /// Whether an agent of the pool could take a Job with these labels.
    #[must_use]
    pub fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Its agent has not called yet.
    Starting,
    /// It has nothing to do.
    Idle,
    /// It has a Job.
    Busy,
    /// It is given no Jobs any more, and may still have one.
    Draining {
        /// Whether it has.
        busy: bool,
    },
    /// Its agent called once, does not any more, and holds nothing.
    Silent,
}

/// Somebody whom the driver lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The driver's name for it.
    pub name: String,
    /// What it does.
    pub doing: Doing,
}

/// A Job that waits for an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The labels that it asks for.
    pub labels: BTreeMap<String, String>,
    /// Since when.
    pub since: Timestamp,
}

/// What to do about a pool.
#[must_use = "a decision that nobody follows changes nothing"]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// How many to start.
    pub start: u32,
    /// Whom to give no more Jobs.
    pub drain: Vec<String>,
    /// Whom to stop. None of them has a Job.
    pub stop: Vec<String>,
    /// For people: why the pool is as it is.
    pub why: String,
}

/// What is remembered of a pool. It is made anew at each start of the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pool {
    started_at: Option<Timestamp>,
    drained_at: Option<Timestamp>,
    /// Since when each member does what it does.
    since: BTreeMap<String, (Doing, Timestamp)>,
    /// Starts in a row that came to nothing, and until when nobody is started because of them.
    failed: u32,
    not_before: Option<Timestamp>,
}

impl Pool {
    /// Decides what to do now.
    pub fn decide(
        &mut self,
        settings: &PoolSettings,
        members: &[Member],
        demand: &[Demand],
        now: Timestamp,
    ) -> Decision {
        self.look(settings, members, now);
        let count = |what: &dyn Fn(Doing) -> bool| {
            u32::try_from(members.iter().filter(|member| what(member.doing)).count()).unwrap_or(u32::MAX)
        };
        let all = count(&|_| true);
        let live = count(&|doing| matches!(doing, Doing::Starting | Doing::Idle | Doing::Busy));
        let ready = count(&|doing| matches!(doing, Doing::Starting | Doing::Idle));
        let fitting = || demand.iter().filter(|demand| settings.fits(&demand.labels));
        let ripe =
            fitting().filter(|demand| now.duration_since(demand.since) >= settings.scale_up_after).count();
        let ripe = u32::try_from(ripe).unwrap_or(u32::MAX);
        let mut decision = Decision { stop: self.over(members, now), ..Decision::default() };
        let missing = settings.minimum.saturating_sub(live);
        let wanted = ripe.div_ceil(settings.waiting_per_agent.max(1)).saturating_sub(ready);
        let cooling = self.drained_at.filter(|at| now.duration_since(*at) < settings.cool_down);
        let grow = if cooling.is_some() { missing } else { missing.max(wanted) };
        let room = settings.maximum.saturating_sub(all);
        let size = format!("{live} of at most {} agents", settings.maximum);
        decision.why = match (grow, self.not_before.filter(|at| *at > now)) {
            (0, _) if wanted > 0 => {
                format!("{size}; one was just let go, so {ripe} waiting jobs wait for the cool-down")
            }
            (0, _) if ripe > 0 => {
                format!("{size}; {ready} of them are free or starting for {ripe} waiting jobs")
            }
            (0, _) => {
                self.shrink(settings, members, live, fitting().next().is_some(), now, &mut decision, &size)
            }
            (_, Some(at)) => {
                format!("{size}; {} starts in a row came to nothing, the next try is at {at}", self.failed)
            }
            (_, None) if room == 0 => format!("{size}, which is the most; {ripe} jobs wait"),
            (grow, None) => {
                decision.start = grow.min(room);
                self.started_at = Some(now);
                if wanted > missing {
                    format!("{size}; {} more for {ripe} waiting jobs", decision.start)
                } else {
                    format!("{size}; {} more, since {} is the least", decision.start, settings.minimum)
                }
            }
        };
        decision
    }

    /// Notes what members do, and who came to nothing.
    fn look(&mut self, settings: &PoolSettings, members: &[Member], now: Timestamp) {
        let there: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let starting = |(name, (doing, _)): &(&String, &(Doing, Timestamp))| {
            *doing == Doing::Starting && !there.contains(name.as_str())
        };
        let came_to_nothing = u32::try_from(self.since.iter().filter(starting).count()).unwrap_or(u32::MAX);
        let came = |member: &Member| {
            matches!(member.doing, Doing::Idle | Doing::Busy)
                && self.since.get(&member.name).is_none_or(|(doing, _)| *doing == Doing::Starting)
        };
        if members.iter().any(came) {
            (self.failed, self.not_before) = (0, None);
        } else if came_to_nothing > 0 {
            self.start_failed(settings, now);
        }
        self.since.retain(|name, _| there.contains(name.as_str()));
        for member in members {
            let known = self.since.entry(member.name.clone()).or_insert((member.doing, now));
            if known.0 != member.doing {
                *known = (member.doing, now);
            }
        }
    }

    /// Forgets a member that did its part and went before anybody looked: its start came to something.
    pub fn forget(&mut self, name: &str) {
        self.since.remove(name);
    }

    /// Notes that a start came to nothing: the next one waits, longer each time in a row.
    pub fn start_failed(&mut self, settings: &PoolSettings, now: Timestamp) {
        self.failed = self.failed.saturating_add(1);
        let first = settings.cool_down.max(SignedDuration::from_secs(1));
        let pause = first.saturating_mul(1 << (self.failed - 1).min(10)).min(LONGEST_PAUSE);
        self.not_before = now.checked_add(pause).ok();
    }

    fn lasts(&self, member: &Member, now: Timestamp) -> SignedDuration {
        self.since.get(&member.name).map_or(SignedDuration::ZERO, |(_, since)| now.duration_since(*since))
    }

    /// Members with nothing to do any more.
    fn over(&self, members: &[Member], now: Timestamp) -> Vec<String> {
        let over = members.iter().filter(|member| match member.doing {
            Doing::Draining { busy } => !busy,
            Doing::Silent => self.lasts(member, now) >= SILENT_FOR,
            Doing::Starting => self.lasts(member, now) >= START_WITHIN,
            Doing::Idle | Doing::Busy => false,
        });
        over.map(|member| member.name.clone()).collect()
    }

    #[expect(clippy::too_many_arguments, reason = "the second half of one decision")]
    fn shrink(
        &mut self,
        settings: &PoolSettings,
        members: &[Member],
        live: u32,
        somebody_waits: bool,
        now: Timestamp,
        decision: &mut Decision,
        size: &str,
    ) -> String {
        let spare = live.saturating_sub(settings.minimum) as usize;
        let idle = members
            .iter()
            .filter(|member| member.doing == Doing::Idle && self.lasts(member, now) >= settings.idle_limit);
        let idle: Vec<String> = idle.map(|member| member.name.clone()).take(spare).collect();
        let warm = self.started_at.filter(|at| now.duration_since(*at) < settings.cool_down);
        if idle.is_empty() || somebody_waits {
            return format!("{size}; nothing waits that needs more");
        }
        if warm.is_some() {
            return format!("{size}; {} have nothing to do and stay for the cool-down", idle.len());
        }
        self.drained_at = Some(now);
        let why = format!("{size}; {} had nothing to do for long enough", idle.len());
        decision.drain = idle;
        why
    }
}
