//! An agent that runs nothing and says what it was told to say.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use towpath_api::agent::{
    Assignment, AttemptEvent, AttemptOutcome, AttemptReport, InstanceOrder, InstancePhase, InstanceReport,
    InstanceStatus, Lease, Poll, SequencedEvent, StepOutcome,
};
use towpath_artifact::{ContentStore, Stream, format_line};
use towpath_engine::{Engine, EngineError};
use towpath_model::reports::{ReportFile, ReportKind};
use towpath_model::{AgentId, InstanceId};
use uuid::Uuid;

/// What becomes of an Attempt, by the end of its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Passes,
    Fails,
    /// It goes on until it is cancelled.
    Hangs,
}

/// An agent in the test's own process.
pub struct SimAgent {
    pub id: AgentId,
    pub session: Uuid,
    pub labels: BTreeMap<String, String>,
    pub fates: BTreeMap<String, Fate>,
    /// Whether it answers at all.
    pub alive: bool,
    /// Attempts that it holds.
    pub held: Vec<Lease>,
    /// Every Attempt that it was ever given.
    pub given: Vec<Assignment>,
    /// Instances as they are.
    pub instances: BTreeMap<InstanceId, InstanceStatus>,
    /// Orders of these.
    pub orders: BTreeMap<InstanceId, InstanceOrder>,
    /// Instances that were started: each only once.
    pub started: Vec<InstanceId>,
    /// Lines of log with each Attempt, as acknowledged.
    pub acknowledged: BTreeMap<towpath_model::AttemptId, Vec<u8>>,
    pub never_ready: bool,
    /// What Attempts leave, by the end of their title: a report of each kind with its text.
    pub reports: BTreeMap<String, Vec<(ReportKind, String)>>,
    /// How many Attempts it takes at once.
    pub capacity: u32,
    pub version: String,
    /// The container engine of its host.
    pub container_engine: Option<String>,
    /// Releases that it was told to keep.
    pub kept: BTreeSet<towpath_model::Digest>,
    /// Artifacts that it names, whatever it was told to make.
    pub claims: Option<BTreeMap<String, towpath_model::Digest>>,
    generation: u64,
    content: ContentStore,
    next_port: u16,
}

impl SimAgent {
    pub fn new(number: u128, content: ContentStore) -> Self {
        Self {
            id: AgentId(Uuid::from_u128(number)),
            session: Uuid::from_u128(number),
            labels: BTreeMap::from([("role".to_owned(), "web".to_owned())]),
            fates: BTreeMap::new(),
            alive: true,
            held: Vec::new(),
            given: Vec::new(),
            instances: BTreeMap::new(),
            orders: BTreeMap::new(),
            started: Vec::new(),
            acknowledged: BTreeMap::new(),
            never_ready: false,
            reports: BTreeMap::new(),
            capacity: 4,
            version: "0.1.0".to_owned(),
            container_engine: None,
            kept: BTreeSet::new(),
            claims: None,
            generation: 0,
            content,
            next_port: 20_000,
        }
    }

    pub fn poll(&self) -> Poll {
        Poll {
            agent: self.id,
            session: self.session,
            version: self.version.clone(),
            hostname: "test".to_owned(),
            labels: self.labels.clone(),
            runner: true,
            deployer: true,
            engine: self.container_engine.clone(),
            address: [127, 0, 0, 1].into(),
            capacity: self.capacity.saturating_sub(u32::try_from(self.held.len()).unwrap()),
            held: self.held.clone(),
            instances_generation: self.generation,
            wait_ms: 0,
            one_job: false,
        }
    }

    /// Asks once, does everything, says everything.
    pub async fn tick(&mut self, engine: &Engine, now: Timestamp) -> Result<(), EngineError> {
        if !self.alive {
            return Ok(());
        }
        let orders = engine.agent_poll(&self.poll()).await?;
        for cancel in orders.cancel {
            self.held.retain(|held| *held != cancel.lease);
            let events = vec![finished(AttemptOutcome::Cancelled, &cancel.reason, 0)];
            self.report(engine, cancel.lease, events, now).await?;
        }
        if let Some(desired) = orders.instances {
            self.take_orders(desired.instances, now);
            self.kept = desired.keep;
            self.generation = desired.generation;
        }
        for assignment in orders.assignments {
            self.held.push(assignment.lease);
            self.given.push(assignment.clone());
            self.attempt(engine, &assignment, now).await?;
        }
        engine.agent_instances(&self.instance_report()).await
    }

    /// Starts anew, as after `kill -9`: what it held is gone, its Instances live on.
    pub fn restart(&mut self) {
        self.session = Uuid::now_v7();
        self.held.clear();
        self.generation = 0;
    }

    pub fn instance_report(&self) -> InstanceReport {
        InstanceReport {
            agent: self.id,
            session: self.session,
            generation: self.generation,
            instances: self.instances.values().cloned().collect(),
        }
    }

    async fn attempt(
        &mut self,
        engine: &Engine,
        assignment: &Assignment,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let lease = assignment.lease;
        let fate = self.fates.iter().find(|(end, _)| assignment.title.ends_with(end.as_str()));
        let fate = fate.map_or(Fate::Passes, |(_, fate)| *fate);
        let mut log = format!("log of {}\n", assignment.title).into_bytes();
        if let Fate::Fails = fate {
            let words = format!("error: the sluice of {} is stuck", assignment.title);
            format_line(&mut log, now, 0, Stream::Err, words.as_bytes());
        }
        let length = engine.agent_log(Some(self.id), lease.attempt, lease.fence, 0, log.clone()).await?;
        assert_eq!(length, log.len() as u64);
        self.acknowledged.insert(lease.attempt, log);
        let started = vec![
            AttemptEvent::Started { isolation: "none".to_owned() },
            AttemptEvent::StepStarted { step: 0 },
        ];
        self.report(engine, lease, started, now).await?;
        let (outcome, step) = match fate {
            Fate::Hangs => return Ok(()),
            Fate::Passes => (AttemptOutcome::Passed, StepOutcome::Passed),
            Fate::Fails => (AttemptOutcome::Failed, StepOutcome::Failed { code: 1 }),
        };
        let mut end = finished(outcome, "it ended", length);
        if let AttemptEvent::Finished { artifacts, reports, .. } = &mut end {
            let left = self.reports.iter().find(|(end, _)| assignment.title.ends_with(end.as_str()));
            for (kind, text) in left.map(|(_, left)| left.as_slice()).unwrap_or_default() {
                let digest = self.content.put(text.as_bytes()).unwrap();
                let name = format!("{}.txt", kind.word());
                reports.push(ReportFile { kind: *kind, name, digest, bytes: text.len() as u64 });
            }
            for wanted in &assignment.artifacts {
                let bytes = format!("{} of {}", wanted.name, assignment.source);
                artifacts.insert(wanted.name.clone(), self.content.put(bytes.as_bytes()).unwrap());
            }
            for (name, digest) in self.claims.iter().flatten() {
                artifacts.insert(name.parse().unwrap(), *digest);
            }
        }
        let mut events = vec![
            AttemptEvent::Started { isolation: "none".to_owned() },
            AttemptEvent::StepStarted { step: 0 },
            AttemptEvent::StepFinished { step: 0, outcome: step },
        ];
        events.push(end);
        self.report(engine, lease, events, now).await?;
        self.held.retain(|held| *held != lease);
        Ok(())
    }

    /// Says everything of an Attempt from its first event on: what was said before changes nothing.
    pub async fn report(
        &self,
        engine: &Engine,
        lease: Lease,
        events: Vec<AttemptEvent>,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        let events = (1..).zip(events).map(|(sequence, event)| SequencedEvent { sequence, at, event });
        // What was cancelled says only its end, under a number that is surely new.
        let mut events: Vec<_> = events.collect();
        if let [only] = events.as_mut_slice() {
            only.sequence = 100;
        }
        match engine
            .agent_report(Some(self.id), lease.attempt, AttemptReport { fence: lease.fence, events })
            .await
        {
            Err(EngineError::Fenced { .. }) => Ok(()),
            other => other,
        }
    }

    fn take_orders(&mut self, orders: Vec<InstanceOrder>, now: Timestamp) {
        let wanted: BTreeSet<InstanceId> = orders.iter().map(|order| order.instance).collect();
        for order in orders {
            let id = order.instance;
            self.orders.insert(id, order.clone());
            if self.instances.contains_key(&id) {
                continue;
            }
            self.next_port += 1;
            self.started.push(id);
            let phase = if self.never_ready { InstancePhase::Starting } else { InstancePhase::Ready };
            let status = InstanceStatus {
                instance: id,
                environment: order.environment,
                revision: order.revision,
                phase,
                address: Some(([127, 0, 0, 1], self.next_port).into()),
                restarts: 0,
                message: String::new(),
                since: now,
            };
            self.instances.insert(id, status);
        }
        self.instances.retain(|id, _| wanted.contains(id));
    }
}

pub fn finished(outcome: AttemptOutcome, message: &str, log_bytes: u64) -> AttemptEvent {
    AttemptEvent::Finished {
        outcome,
        message: message.to_owned(),
        outputs: BTreeMap::new(),
        artifacts: BTreeMap::new(),
        tests: None,
        reports: Vec::new(),
        log_bytes,
    }
}
