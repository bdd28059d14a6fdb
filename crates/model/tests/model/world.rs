//! A simulated world around one Environment: hosts, gateways, runners, people and a store that forgets what was not committed.
//!
//! Time is simulated; chance comes from a seed. Every fault counts how often it really happened.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use jiff::Timestamp;
use towpath_model::attempt::{AttemptReport, AttemptState, Finished};
use towpath_model::environment::{
    CONFIRM_WITHIN, Change, ChangeRead, Environment, EnvironmentEffect, EnvironmentEvent, Facts, Host,
    Instance, InstanceHealth, LINE, NewPromotion, Observed, Outcome, Phase, Promotion, PromotionKind,
    Rollout, Sample, TrafficArm,
};
use towpath_model::gate::Changed;
use towpath_model::intake::Queue;
use towpath_model::pipeline::{HttpVerification, OnFailure, RunVerification, Strategy, Verification};
use towpath_model::{AgentId, AttemptId, Digest, InstanceId, PromotionId, Weight};

use crate::fixture::{
    agent, approval, approval_for, blue_green, canary, document, environment, new_promotion, plan, revision,
    rollback_plan, rolling, seconds, start, user, voter, webhook,
};
use crate::prng::Prng;

pub type Faults = BTreeMap<&'static str, u64>;

/// Every fault that must have happened somewhere in a simulation.
pub const FAULTS: [&str; 21] = [
    "agent report doubled",
    "agent report lost",
    "agent silent",
    "answer doubled",
    "candidate does not start",
    "change cannot be read",
    "check agent lost",
    "check event doubled",
    "check fails",
    "clock jumps",
    "crash before commit",
    "effect performed twice",
    "gateway back with old routes",
    "gateway confirms late",
    "gateway silent",
    "host reboots",
    "host stays lost",
    "instance dies",
    "measurement lost",
    "way back broken",
    "webhook says no",
];

struct Machine {
    id: AgentId,
    silent_until: Timestamp,
    heard_at: Timestamp,
    /// What it was last told to run.
    wanted: BTreeSet<InstanceId>,
    running: BTreeMap<InstanceId, Process>,
    acknowledged: Option<Vec<Observed>>,
}

struct Process {
    health: InstanceHealth,
    changes_at: Timestamp,
    address: SocketAddr,
    restarts: u32,
}

struct Gateway {
    name: String,
    silent_until: Timestamp,
    applies_at: Option<Timestamp>,
    generation: u64,
    /// What it was given before, as on its disk.
    older: u64,
    acknowledged: Option<u64>,
}

/// One simulated world.
pub struct World {
    pub now: Timestamp,
    pub env: Environment,
    pub faults: Faults,
    pub log: Vec<String>,
    chance: Prng,
    faulty: bool,
    machines: Vec<Machine>,
    gateways: Vec<Gateway>,
    inbox: VecDeque<(Timestamp, EnvironmentEvent)>,
    outbox: VecDeque<(Timestamp, EnvironmentEffect)>,
    checks: BTreeMap<AttemptId, (AgentId, u64, Timestamp, bool)>,
    fence: u64,
    bad: BTreeSet<Digest>,
    releases: u32,
    promotions: u128,
    next_port: u16,
    routes: BTreeMap<u64, Vec<TrafficArm>>,
    way_back: BTreeSet<PromotionId>,
    started: BTreeSet<PromotionId>,
    ended: BTreeSet<PromotionId>,
    gone: BTreeSet<InstanceId>,
    /// Instances whose host was once lost: they may come back beside their successors.
    moved: BTreeSet<InstanceId>,
    measured_at: Timestamp,
    asked_for: BTreeSet<(PromotionId, usize)>,
    /// The most Instances that were ever wanted.
    largest: u32,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut chance = Prng(seed);
        let now = start();
        let gates = if chance.once_in(3) { vec![approval(1)] } else { Vec::new() };
        let instances = 1 + u32::try_from(chance.below(2)).expect("small");
        let mut env = environment(gates, instances, now);
        env.policy.document.preview = Some(SocketAddr::from(([127, 0, 0, 1], 8081)));
        env.policy.document.intake.queue = queue(&mut chance);
        let machine = |number| Machine {
            id: agent(number),
            silent_until: now,
            heard_at: now,
            wanted: BTreeSet::new(),
            running: BTreeMap::new(),
            acknowledged: None,
        };
        let gateway = |name: &str| Gateway {
            name: name.to_owned(),
            silent_until: now,
            applies_at: None,
            generation: 0,
            older: 0,
            acknowledged: None,
        };
        let gateways =
            if chance.once_in(2) { vec![gateway("g1")] } else { vec![gateway("g1"), gateway("g2")] };
        Self {
            now,
            env,
            faults: Faults::new(),
            log: Vec::new(),
            chance,
            faulty: true,
            machines: vec![machine(1), machine(2)],
            gateways,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            checks: BTreeMap::new(),
            fence: 0,
            bad: BTreeSet::new(),
            releases: 0,
            promotions: 0,
            next_port: 10_000,
            routes: BTreeMap::new(),
            way_back: BTreeSet::new(),
            started: BTreeSet::new(),
            ended: BTreeSet::new(),
            gone: BTreeSet::new(),
            moved: BTreeSet::new(),
            measured_at: now,
            asked_for: BTreeSet::new(),
            largest: instances,
        }
    }

    /// Lets so many seconds pass, with faults or without.
    pub fn live(&mut self, ticks: u32, faulty: bool) {
        self.faulty = faulty;
        for _ in 0..ticks {
            let jump = if self.fault("clock jumps", 700) { 90 } else { 1 };
            self.now = self.now.saturating_add(seconds(jump)).expect("in range");
            self.people();
            self.hosts();
            self.listeners();
            self.requests();
            self.perform();
            self.deliver();
            if self.env.next_wakeup(self.now).is_some_and(|wakeup| wakeup.at <= self.now)
                || self.chance.once_in(20)
            {
                self.handle(EnvironmentEvent::Looked);
            }
        }
    }

    /// Ends all faults, lets people decide what only they can, and waits until nothing moves any more.
    pub fn converge(&mut self) {
        for machine in &mut self.machines {
            machine.silent_until = self.now;
            machine.heard_at = self.now;
        }
        for gateway in &mut self.gateways {
            gateway.silent_until = self.now;
        }
        for _ in 0..300 {
            self.live(10, false);
            self.decide_what_is_held();
            if self.settled() {
                return;
            }
        }
        let (env, waits) = (&self.env, self.env.waits(&self.facts(), self.now));
        panic!("something is open for ever: {waits:?}\n{:?}\n{:#?}", env.traffic, env.fleet);
    }

    fn decide_what_is_held(&mut self) {
        let held = self.env.active.as_ref().and_then(|active| active.rollout.as_ref()?.held.as_ref());
        if held.is_some() {
            self.handle(EnvironmentEvent::AbortRequested { actor: user("bob"), reason: "tidy".to_owned() });
        }
    }

    fn settled(&self) -> bool {
        let env = &self.env;
        let only_current = match &env.current {
            Some(current) => {
                let serves = env.traffic.serves_only(Some(current.revision.digest));
                let alone = env.fleet.instances.iter().all(|i| i.revision == current.revision.digest);
                serves && alone && env.fleet.ready(current.revision.digest)
            }
            None => env.traffic.arms.is_empty() && env.fleet.instances.is_empty(),
        };
        let still =
            |waiting: &Promotion| env.hold.is_some() || waiting.gates.iter().any(|gate| gate.next.is_some());
        let gates_wait = match env.policy.document.intake.queue {
            Queue::Parallel => env.in_line().all(still),
            Queue::Superseded | Queue::Queued => env.waiting.iter().all(still),
        };
        let in_force = env.traffic.in_force(&self.facts().gateways);
        env.active.is_none() && env.next.is_none() && gates_wait && only_current && in_force
    }

    fn fault(&mut self, name: &'static str, once_in: u64) -> bool {
        let happens = self.faulty && self.chance.once_in(once_in);
        if happens {
            *self.faults.entry(name).or_default() += 1;
        }
        happens
    }

    fn facts(&self) -> Facts {
        let connected = |machine: &Machine| machine.silent_until <= self.now;
        let hosts = self.machines.iter().map(|m| Host {
            agent: m.id,
            name: format!("host-{}", m.id),
            connected: connected(m),
            heard_at: m.heard_at,
        });
        let gateways = self.gateways.iter().map(|gateway| gateway.name.clone());
        Facts { hosts: hosts.collect(), gateways: gateways.collect(), ..Facts::default() }
    }

    fn later(&mut self, most: u64) -> Timestamp {
        let delay = i64::try_from(self.chance.below(most + 1)).expect("small");
        self.now.saturating_add(seconds(delay)).expect("in range")
    }

    // ----- people

    fn people(&mut self) {
        if !self.faulty {
            return;
        }
        let roll = self.chance.below(260);
        let actor = user("bob");
        let reason = "because".to_owned();
        match roll {
            0..=3 => self.push(),
            4..=8 => self.approve(),
            9 => self.handle(EnvironmentEvent::HoldRequested { actor, reason }),
            10 | 11 => self.handle(EnvironmentEvent::ResumeRequested { actor, reason }),
            12 => self.handle(EnvironmentEvent::AbortRequested { actor, reason }),
            13 => self.roll_back(),
            14 => self.apply(),
            _ => {}
        }
    }

    fn push(&mut self) {
        self.releases += 1;
        let fresh = revision(&format!("1.0.{}", self.releases), "c1");
        if self.chance.once_in(3) {
            self.bad.insert(fresh.digest);
        }
        let strategy = match self.chance.below(6) {
            0 => Strategy::Recreate,
            1 => rolling(self.few(), self.few(), 10),
            2 => blue_green(15),
            3 => canary(&[(100, 10, false), (500, 10, true)]),
            _ => canary(&[(100, 15, false), (500, 10, false)]),
        };
        let mut gates = self.env.policy.document.gates.clone();
        if self.chance.once_in(4) {
            gates.push(webhook());
        }
        if self.chance.once_in(4) {
            gates.push(approval_for("infra/**"));
        }
        let mut plan = plan(strategy, gates, self.verification());
        if matches!(plan.strategy, Strategy::Canary(_) | Strategy::BlueGreen(_)) {
            plan.before = self.chance.below(plan.verify.len() as u64 + 1) as usize;
        }
        plan.deadline = seconds(400);
        if self.chance.once_in(5) {
            plan.on_failure = OnFailure::Hold;
        }
        self.promotions += 1;
        let by = if self.chance.once_in(3) { user("bob") } else { towpath_model::timeline::Actor::Towpath };
        let new = new_promotion(self.promotions, fresh, plan, by);
        let event = EnvironmentEvent::PromotionRequested(Box::new(new));
        if self.fault("effect performed twice", 3) {
            let at = self.later(60);
            self.inbox.push_back((at, event.clone()));
        }
        self.handle(event);
    }

    /// 0, 1 or 2.
    fn few(&mut self) -> u32 {
        u32::try_from(self.chance.below(3)).expect("small")
    }

    fn verification(&mut self) -> Vec<Verification> {
        let http =
            HttpVerification { path: "/".to_owned(), status: 200, contains: None, within: seconds(30) };
        let run = RunVerification {
            name: "smoke".to_owned(),
            run: "./smoke.sh".to_owned(),
            secrets: Vec::new(),
            junit: Vec::new(),
            timeout: seconds(60),
        };
        match self.chance.below(3) {
            0 => Vec::new(),
            1 => vec![Verification::Http(http)],
            _ => vec![Verification::Http(http), Verification::Run(run)],
        }
    }

    fn approve(&mut self) {
        let all: Vec<PromotionId> = self.env.in_line().map(|waiting| waiting.id).collect();
        let some = self.chance.below(all.len().max(1) as u64);
        let Some(promotion) = all.get(usize::try_from(some).expect("few")).copied() else { return };
        let approve = !self.chance.once_in(8);
        let voter = voter("alice", "release-manager");
        self.handle(EnvironmentEvent::Voted {
            promotion,
            voter,
            approve,
            comment: String::new(),
            binding: None,
        });
    }

    fn roll_back(&mut self) {
        let past = &self.env.history;
        if past.is_empty() {
            return;
        }
        let index = usize::try_from(self.chance.below(past.len() as u64)).expect("small");
        let to = past[index].revision.clone();
        self.promotions += 1;
        let mut new: NewPromotion = new_promotion(self.promotions, to, rollback_plan(), user("bob"));
        new.kind = PromotionKind::Rollback;
        self.handle(EnvironmentEvent::RollbackRequested(Box::new(new)));
    }

    fn apply(&mut self) {
        let gates = if self.chance.once_in(2) { vec![approval(1)] } else { Vec::new() };
        let mut policy = self.env.policy.clone();
        policy.version += 1;
        let instances = 1 + u32::try_from(self.chance.below(4)).expect("small");
        self.largest = self.largest.max(instances);
        policy.document = document(gates, instances);
        policy.document.intake.queue = queue(&mut self.chance);
        let config = self.env.config;
        self.handle(EnvironmentEvent::PolicyApplied {
            policy: Box::new(policy),
            config,
            actor: user("carol"),
        });
    }

    // ----- hosts

    fn hosts(&mut self) {
        for index in 0..self.machines.len() {
            if self.fault("agent silent", 400) {
                self.machines[index].silent_until = self.later(120);
            }
            if self.fault("host stays lost", 1_200) {
                self.machines[index].silent_until = self.later(400);
            }
            if self.fault("host reboots", 900) {
                self.reboot(index);
            }
            self.processes(index);
            if self.machines[index].silent_until <= self.now {
                self.machines[index].heard_at = self.now;
                self.poll(index);
                self.report(index);
            }
        }
    }

    /// The processes end; the agent starts what it was told last, elsewhere.
    fn reboot(&mut self, index: usize) {
        let at = self.later(10);
        let machine = &mut self.machines[index];
        machine.silent_until = at;
        for process in machine.running.values_mut().filter(|p| p.health != InstanceHealth::Stopping) {
            self.next_port += 1;
            process.address = SocketAddr::from(([127, 0, 0, 1], self.next_port));
            process.health = InstanceHealth::Starting;
            process.restarts += 1;
            process.changes_at = at;
        }
    }

    fn processes(&mut self, index: usize) {
        let ids: Vec<InstanceId> = self.machines[index].running.keys().copied().collect();
        for id in ids {
            let due = self.machines[index].running[&id].changes_at <= self.now;
            let health = self.machines[index].running[&id].health;
            let dies = health == InstanceHealth::Ready && self.fault("instance dies", 2_000);
            let at = self.later(4);
            let fails =
                health == InstanceHealth::Starting && due && self.fault("candidate does not start", 40);
            let gone = health == InstanceHealth::Stopping && due;
            let Some(process) = self.machines[index].running.get_mut(&id) else { continue };
            let next = match health {
                InstanceHealth::Fetching if due => InstanceHealth::Starting,
                InstanceHealth::Starting if fails => InstanceHealth::Failed,
                InstanceHealth::Starting if due => InstanceHealth::Ready,
                InstanceHealth::Ready if dies => InstanceHealth::Restarting,
                InstanceHealth::Restarting if due => InstanceHealth::Starting,
                same => same,
            };
            process.restarts += u32::from(dies);
            if next != health {
                process.health = next;
                process.changes_at = at;
            }
            if gone {
                self.machines[index].running.remove(&id);
            }
        }
    }

    /// The agent takes in what it shall run.
    fn poll(&mut self, index: usize) {
        let host = self.machines[index].id;
        let ids: BTreeSet<InstanceId> = self
            .env
            .fleet
            .instances
            .iter()
            .filter(|instance| instance.wanted && instance.host == host)
            .map(|instance| instance.id)
            .collect();
        for id in ids.iter().copied() {
            if self.machines[index].running.contains_key(&id) {
                continue;
            }
            let changes_at = self.later(5);
            self.next_port += 1;
            let address = SocketAddr::from(([127, 0, 0, 1], self.next_port));
            let process = Process { health: InstanceHealth::Fetching, changes_at, address, restarts: 0 };
            self.machines[index].running.insert(id, process);
        }
        let at = self.later(3);
        let now = self.now;
        for (id, process) in &mut self.machines[index].running {
            if !ids.contains(id) && process.health != InstanceHealth::Stopping {
                // What failed is gone at once; what runs drains.
                process.changes_at = if process.health == InstanceHealth::Failed { now } else { at };
                process.health = InstanceHealth::Stopping;
            }
        }
        self.machines[index].wanted = ids;
    }

    fn report(&mut self, index: usize) {
        let machine = &self.machines[index];
        let observed = |(id, process): (&InstanceId, &Process)| Observed {
            instance: *id,
            health: process.health,
            address: (process.health != InstanceHealth::Fetching).then_some(process.address),
            restarts: process.restarts,
            message: process.health.word().to_owned(),
        };
        let observed: Vec<Observed> = machine.running.iter().map(observed).collect();
        let unknown = self.env.fleet.instances.iter().any(|i| i.host == machine.id && !i.wanted);
        if (machine.acknowledged.as_ref() == Some(&observed) && !unknown)
            || self.fault("agent report lost", 20)
        {
            return;
        }
        let machine = &mut self.machines[index];
        machine.acknowledged = Some(observed.clone());
        let event = EnvironmentEvent::InstancesObserved { agent: machine.id, observed };
        if self.fault("agent report doubled", 20) {
            self.inbox.push_back((self.now, event.clone()));
        }
        self.inbox.push_back((self.now, event));
    }

    // ----- gateways

    fn listeners(&mut self) {
        for index in 0..self.gateways.len() {
            if self.fault("gateway silent", 500) {
                self.gateways[index].silent_until = self.later(100);
            }
            if self.fault("gateway back with old routes", 500) {
                let gateway = &mut self.gateways[index];
                gateway.generation = gateway.older;
            }
            if self.gateways[index].silent_until > self.now {
                continue;
            }
            self.follow_routes(index);
            let gateway = &mut self.gateways[index];
            if gateway.acknowledged != Some(gateway.generation) {
                gateway.acknowledged = Some(gateway.generation);
                let event = confirmed(gateway);
                self.inbox.push_back((self.now, event));
            }
        }
    }

    fn follow_routes(&mut self, index: usize) {
        let newest = self.env.traffic.generation;
        if self.gateways[index].generation == newest {
            return;
        }
        if self.gateways[index].applies_at.is_none() {
            let late = self.fault("gateway confirms late", 20);
            let at = if late { self.later(40) } else { self.now };
            self.gateways[index].applies_at = Some(at);
        }
        if self.gateways[index].applies_at.is_some_and(|at| at <= self.now) {
            let gateway = &mut self.gateways[index];
            gateway.applies_at = None;
            gateway.older = gateway.generation;
            gateway.generation = newest;
        }
    }

    fn requests(&mut self) {
        if !self.env.is_judged() {
            return;
        }
        let from = self.now.saturating_sub(seconds(1)).expect("in range");
        for index in 0..self.gateways.len() {
            let (silent, generation) =
                (self.gateways[index].silent_until > self.now, self.gateways[index].generation);
            if silent || self.fault("measurement lost", 50) {
                continue;
            }
            let arms = self.routes.get(&generation).cloned().unwrap_or_default();
            let mut samples = Vec::new();
            for arm in arms {
                let requests = u64::from(arm.weight.permille()) * 600 / 1000;
                let rate = if self.bad.contains(&arm.revision) { 400 } else { 3 };
                let errors = (0..requests).filter(|_| self.chance.below(1000) < rate).count() as u64;
                let revision = arm.revision;
                samples.push(Sample {
                    revision,
                    from,
                    to: self.now,
                    generation,
                    started: requests,
                    requests,
                    errors,
                });
            }
            self.measured_at = self.now;
            self.handle(EnvironmentEvent::Measured { samples });
        }
    }

    // ----- the engine

    fn perform(&mut self) {
        let due: Vec<EnvironmentEffect> = {
            let now = self.now;
            let due =
                self.outbox.iter().filter(|(at, _)| *at <= now).map(|(_, effect)| effect.clone()).collect();
            self.outbox.retain(|(at, _)| *at > now);
            due
        };
        for effect in due {
            if self.fault("effect performed twice", 10) {
                let at = self.later(20);
                self.outbox.push_back((at, effect.clone()));
            }
            self.perform_one(effect);
        }
        self.run_checks();
    }

    fn perform_one(&mut self, effect: EnvironmentEffect) {
        match effect {
            EnvironmentEffect::CheckWayBack { promotion } => {
                let broken = self.fault("way back broken", 40);
                let problem = broken.then(|| "the signature does not fit".to_owned());
                if !broken {
                    self.way_back.insert(promotion);
                }
                self.inbox.push_back((self.now, EnvironmentEvent::WayBackChecked { promotion, problem }));
            }
            EnvironmentEffect::AskGate { promotion, index, binding } => {
                let opens = !self.fault("webhook says no", 40);
                let (at, words) = (self.later(5), "said so".to_owned());
                let event =
                    EnvironmentEvent::GateAnswered { promotion, index, binding, opens, words, again: None };
                if self.fault("answer doubled", 5) {
                    self.inbox.push_back((at, event.clone()));
                }
                self.inbox.push_back((at, event));
            }
            EnvironmentEffect::ReadChange { promotion, from } => {
                let changed = if self.fault("change cannot be read", 20) {
                    Err("the commit is gone".to_owned())
                } else {
                    Ok(Changed { paths: vec!["src/main.rs".to_owned()], files: 1, lines: 2 })
                };
                let change = ChangeRead { from, changed };
                self.inbox.push_back((self.now, EnvironmentEvent::ChangeRead { promotion, change }));
            }
            EnvironmentEffect::VerifyHttp { promotion, index } => {
                let problem = self.fault("check fails", 12).then(|| "503".to_owned());
                let at = self.later(5);
                let event = EnvironmentEvent::VerificationFinished { promotion, index, problem };
                if self.fault("check event doubled", 5) {
                    self.inbox.push_back((at, event.clone()));
                }
                self.inbox.push_back((at, event));
            }
            EnvironmentEffect::QueueAttempt { promotion, index, attempt } => {
                self.asked_for.insert((promotion, index));
                if self.checks.contains_key(&attempt) {
                    return;
                }
                self.fence += 1;
                let (agent, fence, at) = (self.machines[0].id, self.fence, self.later(6));
                let lost = self.fault("check agent lost", 4);
                self.checks.insert(attempt, (agent, fence, at, lost));
                self.inbox.push_back((self.now, EnvironmentEvent::AttemptLeased { attempt, agent, fence }));
            }
            EnvironmentEffect::CancelAttempt { attempt, reason: _ } => {
                self.checks.remove(&attempt);
            }
            EnvironmentEffect::Settled { promotion } => {
                assert!(self.ended.contains(&promotion), "settled before it ended");
            }
        }
    }

    fn run_checks(&mut self) {
        let now = self.now;
        let done: Vec<(AttemptId, u64, bool)> = self
            .checks
            .iter()
            .filter(|(_, (_, _, at, _))| *at == now)
            .map(|(id, (_, fence, _, lost))| (*id, *fence, *lost))
            .collect();
        for (attempt, fence, lost) in done {
            let event = if lost {
                EnvironmentEvent::AttemptLost { attempt, fence, message: "silence".to_owned() }
            } else {
                let state =
                    if self.fault("check fails", 12) { AttemptState::Failed } else { AttemptState::Passed };
                EnvironmentEvent::AttemptReported {
                    attempt,
                    fence,
                    sequence: 1,
                    at: now,
                    report: finished(state),
                }
            };
            if self.fault("check event doubled", 5) {
                self.inbox.push_back((now, event.clone()));
            }
            self.inbox.push_back((now, event));
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let due: Vec<EnvironmentEvent> =
            self.inbox.iter().filter(|(at, _)| *at <= now).map(|(_, event)| event.clone()).collect();
        self.inbox.retain(|(at, _)| *at > now);
        for event in due {
            self.handle(event);
        }
    }

    /// Decides, and commits or crashes. Senders repeat what was not acknowledged; people do not.
    fn handle(&mut self, event: EnvironmentEvent) {
        let facts = self.facts();
        if self.fault("crash before commit", 150) {
            let mut lost = self.env.clone();
            let _forgotten = lost.handle(event.clone(), &facts, self.now);
            let at = self.later(3);
            self.say_again(event, at);
            return;
        }
        let before = (self.env.fleet.clone(), self.env.traffic.clone());
        let mut next = self.env.clone();
        match next.handle(event, &facts, self.now) {
            Ok(change) => {
                self.env = next;
                self.committed(&before, change, &facts);
            }
            Err(_) => assert!(self.env.in_line().eq(next.in_line()), "a refused request changed something"),
        }
    }

    /// Agents and gateways repeat what was not acknowledged as it is by then; people do not.
    fn say_again(&mut self, event: EnvironmentEvent, at: Timestamp) {
        match event {
            EnvironmentEvent::InstancesObserved { agent, observed: _ } => {
                for machine in self.machines.iter_mut().filter(|machine| machine.id == agent) {
                    machine.acknowledged = None;
                }
            }
            EnvironmentEvent::RouteConfirmed { gateway, .. } => {
                for known in self.gateways.iter_mut().filter(|known| known.name == gateway) {
                    known.acknowledged = None;
                }
            }
            EnvironmentEvent::WayBackChecked { .. }
            | EnvironmentEvent::VerificationFinished { .. }
            | EnvironmentEvent::AttemptLeased { .. }
            | EnvironmentEvent::AttemptReported { .. }
            | EnvironmentEvent::AttemptLost { .. } => self.inbox.push_back((at, event)),
            _ => {}
        }
    }

    fn committed(
        &mut self,
        before: &(towpath_model::environment::Fleet, towpath_model::environment::Traffic),
        change: Change,
        facts: &Facts,
    ) {
        self.routes.insert(self.env.traffic.generation, self.env.traffic.arms.clone());
        for entry in &change.handled.entries {
            if self.log.len() > 4_000 {
                self.log.remove(0);
            }
            self.log.push(format!("{} {}", self.now, entry.text));
            if entry.kind == "step-passed" {
                let age = self.now.duration_since(self.measured_at);
                assert!(age <= seconds(15), "a step passed without fresh measurements");
            }
            if entry.kind == "rollout-started" {
                let id = entry.facts["promotion"].parse().expect("an id");
                assert!(self.started.insert(id), "a Rollout started twice: {}", entry.text);
            }
        }
        for promotion in &change.ended {
            assert!(self.ended.insert(promotion.id), "{} ended twice", promotion.title());
            let steps = promotion.rollout.as_ref().map_or(0, |rollout| rollout.steps.len());
            let judged = steps > 0
                && promotion.kind == PromotionKind::Release
                && promotion.rollout.as_ref().is_some_and(|rollout| rollout.stable.is_some());
            // What serves and is bad itself, since nothing could be compared with it, makes nothing else look bad.
            let stable = promotion.rollout.as_ref().and_then(Rollout::stable_digest);
            let bad = self.bad.contains(&promotion.revision.digest)
                && stable.is_none_or(|stable| !self.bad.contains(&stable));
            let passed = promotion.outcome == Some(Outcome::Succeeded);
            assert!(!(judged && bad && passed), "a bad candidate was promoted: {}", promotion.title());
        }
        for effect in change.handled.effects {
            let at = self.later(2);
            self.outbox.push_back((at, effect));
        }
        self.check_instances(before, facts);
        self.check_traffic();
        self.check_guide();
        self.check_waits(facts);
        self.check_way_back();
    }

    // ----- invariants

    fn check_instances(
        &mut self,
        before: &(towpath_model::environment::Fleet, towpath_model::environment::Traffic),
        facts: &Facts,
    ) {
        let (fleet, _) = before;
        if *fleet == self.env.fleet {
            return;
        }
        let wanted: BTreeSet<InstanceId> =
            self.env.fleet.instances.iter().filter(|i| i.wanted).map(|i| i.id).collect();
        self.moved.extend(self.env.fleet.instances.iter().filter(|i| i.moving).map(|i| i.id));
        assert!(wanted.is_disjoint(&self.gone), "an Instance came back from the dead");
        self.check_rolling();
        for was in fleet.instances.iter().filter(|i| i.wanted && !wanted.contains(&i.id)) {
            self.gone.insert(was.id);
            if self.env.fleet.wanted(was.revision).next().is_some() {
                self.check_left(was, facts);
                continue;
            }
            // The last one of its Revision: nobody may send to it any more, as far as gateways said.
            for gateway in &facts.gateways {
                let generation = self.env.traffic.confirmed.get(gateway).copied().unwrap_or(0);
                let arms = self.routes.get(&generation).map_or(&[][..], |arms| arms);
                let weight = arms.iter().find(|arm| arm.revision == was.revision).map(|arm| arm.weight);
                assert!(
                    weight.is_none_or(|weight| weight == Weight::NONE),
                    "{gateway} still sends {weight:?} to a Revision that was stopped"
                );
            }
        }
    }

    /// An Instance that leaves while others of its Revision stay is stopped only when nobody sends to it any more, or
    /// when gateways were silent about it for too long.
    fn check_left(&self, was: &Instance, facts: &Facts) {
        let Some((since, address)) = was.leaving.zip(was.address) else { return };
        // One on a lost host cannot be waited for, and one that failed answers nobody.
        let away = facts.hosts.iter().any(|host| host.agent == was.host && !host.connected);
        let dead = away || was.moving || was.health == InstanceHealth::Failed;
        if dead || self.now.duration_since(since) >= CONFIRM_WITHIN {
            return;
        }
        let taken = self.env.fleet.instances.iter().any(|i| i.stays() && i.address == Some(address));
        for gateway in facts.gateways.iter().filter(|_| !taken) {
            let generation = self.env.traffic.confirmed.get(gateway).copied().unwrap_or(0);
            let mut arms = self.routes.get(&generation).into_iter().flatten();
            let sends = arms.any(|arm| arm.weight != Weight::NONE && arm.endpoints.contains(&address));
            assert!(!sends, "{gateway} still sends to an Instance that was stopped");
        }
    }

    /// A rolling replacement stays within its bounds, where it began with none of the candidate's Instances.
    fn check_rolling(&self) {
        let Some(active) = &self.env.active else { return };
        let Some(rollout) = active.rollout.as_ref().filter(|rollout| rollout.restarts.is_empty()) else {
            return;
        };
        let (Strategy::Rolling(rolling), Some(&all)) = (&active.plan.strategy, rollout.batches.last()) else {
            return;
        };
        let candidate = active.revision.digest;
        if matches!(rollout.phase, Phase::Returning) || self.env.fleet.wanted(candidate).next().is_none() {
            return;
        }
        // The successor of an Instance on a lost host stands beside it, and one that came back beside its successor.
        if !self.moved.is_empty() {
            return;
        }
        let known = |i: &&Instance| {
            i.wanted && (i.revision == candidate || Some(i.revision) == rollout.stable_digest())
        };
        let count = self.env.fleet.instances.iter().filter(known).count();
        // Somebody may want more of them meanwhile, and fewer again; that begins when the last batch is there, or waits
        // until the Rollout is done.
        let wanted = all.max(self.largest);
        let most = wanted + rolling.surge(all);
        assert!(count <= most as usize, "{count} Instances of {most} at most: {:?}", rollout.phase);
        let stay = self.env.fleet.instances.iter().filter(known).filter(|i| i.stays()).count();
        let least = all - rolling.unavailable(all);
        assert!(stay >= least as usize, "{stay} Instances of {least} at least: {:?}", rollout.phase);
    }

    fn check_traffic(&self) {
        let traffic = &self.env.traffic;
        let total: u32 = traffic.arms.iter().map(|arm| u32::from(arm.weight.permille())).sum();
        assert!(traffic.arms.is_empty() || total == 1000, "the shares sum to {total}");
        for arm in traffic.arms.iter().filter(|arm| arm.weight != Weight::NONE) {
            assert!(!arm.endpoints.is_empty(), "{} of the requests go nowhere", arm.weight);
        }
        let in_place =
            self.env.active.as_ref().is_some_and(|active| active.plan.strategy == Strategy::Recreate);
        assert!(
            self.env.current.is_none() || in_place || !traffic.arms.is_empty(),
            "something served, and now nothing does"
        );
    }

    /// Before its checks have passed, no user's request reaches a candidate; on the way back no rule names it.
    fn check_guide(&self) {
        let Some((active, rollout)) =
            self.env.active.as_ref().and_then(|active| Some((active, active.rollout.as_ref()?)))
        else {
            assert!(self.env.traffic.preview.is_none(), "nobody is on the way, and somebody is shown");
            return;
        };
        let candidate = active.revision.digest;
        if active.plan.before > 0 && !rollout.checked {
            assert_eq!(self.env.traffic.weight(candidate), Weight::NONE, "{:?}", rollout.phase);
        }
        if rollout.is_returning() {
            let traffic = &self.env.traffic;
            assert!(traffic.rules.is_empty() && traffic.sticky.is_none() && traffic.preview.is_none());
        }
    }

    fn check_waits(&self, facts: &Facts) {
        let env = &self.env;
        let waits = env.waits(facts, self.now);
        let open = [&env.active, &env.next].into_iter().flatten();
        for promotion in open.chain(env.in_line()) {
            let told = waits.iter().any(|reason| reason.contains(&promotion.revision.version));
            assert!(told, "{} waits in silence: {waits:?}", promotion.title());
        }
        let rollout = env.active.as_ref().and_then(|active| active.rollout.as_ref());
        let line = env.in_line().count();
        match env.policy.document.intake.queue {
            Queue::Superseded => {
                assert!(line <= 1, "{line} wait where a newer one takes the place of older ones")
            }
            Queue::Queued | Queue::Parallel => assert!(line <= LINE, "{line} wait"),
        }
        assert!(env.waiting.is_some() || env.line.is_empty(), "nobody is first in line");
        if rollout.is_some_and(|rollout| rollout.held.is_none()) {
            assert!(env.next_wakeup(self.now).is_some(), "nobody looks at the Rollout again: {waits:?}");
        }
        if let Some(wakeup) = env.next_wakeup(self.now) {
            assert!(wakeup.at > self.now, "it is looked at without a pause: {}", wakeup.reason);
        }
    }

    fn check_way_back(&self) {
        let Some(active) = &self.env.active else { return };
        let Some(rollout) = &active.rollout else { return };
        if !matches!(rollout.phase, Phase::Preparing | Phase::Returning) {
            assert!(self.way_back.contains(&active.id), "a change before its way back was known");
        }
    }
}

fn queue(chance: &mut Prng) -> Queue {
    match chance.below(4) {
        0 => Queue::Queued,
        1 => Queue::Parallel,
        _ => Queue::Superseded,
    }
}

fn confirmed(gateway: &Gateway) -> EnvironmentEvent {
    EnvironmentEvent::RouteConfirmed {
        gateway: gateway.name.clone(),
        generation: gateway.generation,
        problem: None,
        outliers: Vec::new(),
    }
}

fn finished(state: AttemptState) -> AttemptReport {
    AttemptReport::Finished(Finished {
        state,
        message: state.word().to_owned(),
        outputs: BTreeMap::new(),
        artifacts: BTreeMap::new(),
        tests: None,
        reports: Vec::new(),
        log_bytes: 0,
    })
}
