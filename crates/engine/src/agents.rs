//! What agents ask and say.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use towpath_api::agent::{
    AttemptEvent, AttemptOutcome, AttemptReport, Cancel, InstanceReport, Lease, Orders, Poll, StepOutcome,
};
use towpath_model::attempt::{self, AttemptState, Finished, StepState};
use towpath_model::environment::EnvironmentEvent;
use towpath_model::lease::LEASE;
use towpath_model::queue::Standing;
use towpath_model::run::RunEvent;
use towpath_model::{AgentId, AttemptId, EnvironmentKey};
use towpath_store::core::agents::{self, Agent};
use towpath_store::core::attempts::{self, Owner, QueuedAttempt};
use towpath_store::core::environments;

use crate::admission::notice;
use crate::error::{blocking, chain};
use crate::failures::{LastWords, last_words};
use crate::live::STORE_EVERY;
use crate::unit::Unit;
use crate::{Engine, EngineError, containers, instances};

/// The longest that an agent's call is held.
const MAX_WAIT_MS: u32 = 30_000;

impl Engine {
    /// Answers an agent at once if there is something for it, else when there is or its wait is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn agent_poll(&self, poll: &Poll) -> Result<Orders, EngineError> {
        let heard = Instant::now();
        let deadline = heard + std::time::Duration::from_millis(poll.wait_ms.min(MAX_WAIT_MS).into());
        // Subscribed before the first look, so that a change in between is not lost.
        let mut queue = self.signals().queue();
        let standing = self.admit(poll).await?;
        self.agent_seen(poll).await?;
        let _parked = self.park(poll, standing);
        loop {
            queue.mark_unchanged();
            let mut orders = self.orders_for(poll, standing).await?;
            let nothing =
                orders.assignments.is_empty() && orders.cancel.is_empty() && orders.instances.is_none();
            if !nothing || tokio::time::timeout_at(deadline, queue.changed()).await.is_err() {
                // The lease counts from the answer, on both sides.
                self.0.live.heard(poll.agent, self.now());
                orders.waited_ms = u32::try_from(heard.elapsed().as_millis()).unwrap_or(u32::MAX);
                orders.notice = notice(standing, &poll.version);
                return Ok(orders);
            }
        }
    }

    /// Notes that an agent called, and takes back leases that it does not know any more.
    async fn agent_seen(&self, poll: &Poll) -> Result<(), EngineError> {
        let now = self.now();
        let stored = self.0.live.heard(poll.agent, now);
        let mut reader = self.db().reader().await?;
        let gone: Vec<QueuedAttempt> = attempts::leased(&mut reader)
            .await?
            .into_iter()
            .filter(|leased| leased.agent == Some(poll.agent))
            .filter(|leased| !poll.held.contains(&Lease { attempt: leased.id, fence: leased.fence }))
            .collect();
        let known = agents::find(&mut reader, poll.agent).await?;
        drop(reader);
        let fresh = stored.is_some_and(|at| now.duration_since(at) < STORE_EVERY);
        let same = known.is_some_and(|known| described(poll, now, known.generation).labels == known.labels);
        if gone.is_empty() && fresh && same {
            return Ok(());
        }
        let mut unit = self.begin().await?;
        agents::seen(&mut unit.tx, &described(poll, now, 0)).await?;
        for attempt in &gone {
            unit.lose(attempt, "its agent was started anew, or never got it").await?;
        }
        unit.commit().await?;
        for attempt in gone {
            self.seal_lost(attempt.id).await;
        }
        self.0.live.stored(poll.agent, now);
        if !fresh {
            self.look_at_waiting_environments().await?;
        }
        Ok(())
    }

    /// An agent has come: Environments that waited for a host look again.
    async fn look_at_waiting_environments(&self) -> Result<(), EngineError> {
        let mut reader = self.db().reader().await?;
        let all = environments::all(&mut reader, None).await?;
        drop(reader);
        for environment in all.iter().filter(|environment| environment.active.is_some()) {
            self.look_at(&environment.key).await?;
        }
        Ok(())
    }

    async fn orders_for(&self, poll: &Poll, standing: Standing) -> Result<Orders, EngineError> {
        let mut reader = self.db().reader().await?;
        let leased = attempts::leased(&mut reader).await?;
        let mine = leased.iter().filter(|leased| leased.agent == Some(poll.agent));
        let cancel = mine.filter_map(|leased| {
            let lease = Lease { attempt: leased.id, fence: leased.fence };
            leased.cancel.clone().map(|reason| Cancel { lease, reason })
        });
        let cancel = cancel.filter(|cancel| poll.held.contains(&cancel.lease)).collect();
        let generation = agents::find(&mut reader, poll.agent).await?.map_or(0, |agent| agent.generation);
        drop(reader);
        let mut assignments = Vec::new();
        if poll.runner && poll.capacity > 0 && standing == Standing::Ready {
            for attempt in self.offers(poll.agent).await? {
                assignments.extend(self.assign(attempt, poll.agent).await?);
            }
        }
        let instances = if poll.deployer && generation != poll.instances_generation {
            Some(instances::desired(self, poll.agent).await?)
        } else {
            None
        };
        Ok(Orders { assignments, cancel, instances, lease_ms: millis(LEASE), waited_ms: 0, notice: None })
    }

    async fn assign(
        &self,
        attempt: AttemptId,
        agent: AgentId,
    ) -> Result<Option<towpath_api::agent::Assignment>, EngineError> {
        let mut unit = self.begin().await?;
        // The queue is read without bodies; this one is needed.
        let Some(queued) = attempts::find(&mut unit.tx, attempt).await? else { return Ok(None) };
        let queued = &queued;
        let Some(fence) = attempts::lease(&mut unit.tx, queued.id, agent, unit.now).await? else {
            return Ok(None);
        };
        let assignment = match self.fill_in(&mut unit, queued, fence).await {
            Ok(assignment) => assignment,
            // It stays in the queue, and is to be had when the database works again.
            Err(error @ EngineError::Store(_)) => return Err(error),
            Err(error) => {
                // Without its secrets it cannot run anywhere; the Job says so instead of waiting for ever.
                let message = chain(&error);
                unit.refuse(queued, message).await?;
                unit.commit().await?;
                return Ok(None);
            }
        };
        unit.leased(queued, agent, fence).await?;
        unit.commit().await?;
        Ok(Some(assignment))
    }

    /// Takes in what an agent says of an Attempt. `None` is the agent of the server's own user, which says so by its token.
    ///
    /// # Errors
    /// [`EngineError::Fenced`] where the lease is not the agent's any more.
    pub async fn agent_report(
        &self,
        agent: Option<AgentId>,
        id: AttemptId,
        report: AttemptReport,
    ) -> Result<(), EngineError> {
        self.check_lease(agent, id, report.fence).await?;
        let outcome = report.events.iter().find_map(|event| match &event.event {
            AttemptEvent::Finished { outcome, .. } => Some(*outcome),
            _ => None,
        });
        let mut words = LastWords::new();
        if let Some(outcome) = outcome {
            let logs = Arc::clone(self.logs());
            let failed = matches!(outcome, AttemptOutcome::Failed | AttemptOutcome::TimedOut);
            // Sealed before the end is acknowledged: a crash in between makes the agent say it again.
            words = blocking("sealing a log", move || {
                logs.seal(id)?;
                if failed { last_words(&logs, id) } else { Ok(LastWords::new()) }
            })
            .await?;
        }
        let gathered = self.gather(id, &report).await?;
        let mut unit = self.begin().await?;
        let held = unit.held(agent, id, report.fence).await?;
        let counted = match &held.owner {
            Owner::Run(run) => unit.keep_evidence(*run, id, gathered).await?,
            Owner::Environment(_) => None,
        };
        let mut ended = false;
        for event in report.events {
            ended |= matches!(event.event, AttemptEvent::Finished { .. });
            let mut said = self.believed(&held, model_report(event.event));
            if let attempt::AttemptReport::Finished(finished) = &mut said {
                finished.tests = counted.or(finished.tests);
                if finished.state != AttemptState::Passed {
                    unit.attempt_ending(&held, &words).await?;
                }
            }
            unit.reported(&held, report.fence, event.sequence, event.at, said).await?;
        }
        if ended {
            unit.note_failure(&held, &words).await?;
            attempts::done(&mut unit.tx, id).await?;
        }
        unit.commit().await?;
        if ended {
            self.signals().queue_changed();
            self.signals().logs_changed();
        }
        Ok(())
    }

    /// Appends to the log of an Attempt. Says the length that is on disk.
    ///
    /// # Errors
    /// [`EngineError::Fenced`] where the lease is not the agent's any more.
    pub async fn agent_log(
        &self,
        agent: Option<AgentId>,
        id: AttemptId,
        fence: u64,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<u64, EngineError> {
        self.check_lease(agent, id, fence).await?;
        let logs = Arc::clone(self.logs());
        let length = blocking("writing a log", move || logs.append(id, fence, offset, &bytes)).await?;
        self.signals().logs_changed();
        Ok(length)
    }

    /// Seals the log of a lost Attempt. What a crash leaves unsealed can still be read.
    pub(crate) async fn seal_lost(&self, id: AttemptId) {
        let logs = Arc::clone(self.logs());
        if let Err(error) = blocking("sealing a log", move || logs.seal(id)).await {
            tracing::warn!(attempt.id = %id, error = chain(&error), "the log of a lost attempt was not sealed");
        }
        self.signals().logs_changed();
    }

    async fn check_lease(
        &self,
        agent: Option<AgentId>,
        id: AttemptId,
        fence: u64,
    ) -> Result<(), EngineError> {
        let mut reader = self.db().reader().await?;
        let held = attempts::find(&mut reader, id).await?;
        owned(held, agent, fence).map(drop)
    }

    /// Takes in how all Instances of an agent are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn agent_instances(&self, report: &InstanceReport) -> Result<(), EngineError> {
        let mut reader = self.db().reader().await?;
        let all = environments::all(&mut reader, None).await?;
        drop(reader);
        for environment in all {
            let concerned = environment.fleet.instances.iter().any(|instance| instance.host == report.agent);
            if !concerned {
                continue;
            }
            let observed = instances::observed(report, &environment.key);
            if !instances::is_news(&environment, report.agent, &observed) {
                continue;
            }
            let event = EnvironmentEvent::InstancesObserved { agent: report.agent, observed };
            let mut unit = self.begin().await?;
            unit.environment_event(&environment.key, event).await?;
            unit.commit().await?;
        }
        Ok(())
    }
}

impl Unit<'_> {
    async fn held(
        &mut self,
        agent: Option<AgentId>,
        id: AttemptId,
        fence: u64,
    ) -> Result<QueuedAttempt, EngineError> {
        owned(attempts::find(&mut self.tx, id).await?, agent, fence)
    }

    async fn leased(
        &mut self,
        attempt: &QueuedAttempt,
        agent: AgentId,
        fence: u64,
    ) -> Result<(), EngineError> {
        let id = attempt.id;
        match &attempt.owner {
            Owner::Run(run) => {
                drop(self.run_event(*run, RunEvent::AttemptLeased { attempt: id, agent, fence }).await?)
            }
            Owner::Environment(_) => {
                let event = EnvironmentEvent::AttemptLeased { attempt: id, agent, fence };
                self.environment_event(&key_of(attempt), event).await?;
            }
        }
        Ok(())
    }

    async fn reported(
        &mut self,
        attempt: &QueuedAttempt,
        fence: u64,
        sequence: u64,
        at: Timestamp,
        report: attempt::AttemptReport,
    ) -> Result<(), EngineError> {
        let id = attempt.id;
        match &attempt.owner {
            Owner::Run(run) => {
                let event = RunEvent::AttemptReported { attempt: id, fence, sequence, at, report };
                self.run_event(*run, event).await?;
            }
            Owner::Environment(_) => {
                let event = EnvironmentEvent::AttemptReported { attempt: id, fence, sequence, at, report };
                self.environment_event(&key_of(attempt), event).await?;
            }
        }
        Ok(())
    }

    /// Takes a lease back: nobody knows how far the Attempt came.
    pub(crate) async fn lose(&mut self, attempt: &QueuedAttempt, why: &str) -> Result<(), EngineError> {
        attempts::done(&mut self.tx, attempt.id).await?;
        self.attempt_ending(attempt, &LastWords::new()).await?;
        let (id, fence, message) = (attempt.id, attempt.fence, why.to_owned());
        match &attempt.owner {
            Owner::Run(run) => {
                self.run_event(*run, RunEvent::AttemptLost { attempt: id, fence, message }).await?;
            }
            Owner::Environment(_) => {
                let event = EnvironmentEvent::AttemptLost { attempt: id, fence, message };
                self.environment_event(&key_of(attempt), event).await?;
            }
        }
        Ok(())
    }

    /// Ends an Attempt that cannot be given to anybody.
    async fn refuse(&mut self, attempt: &QueuedAttempt, message: String) -> Result<(), EngineError> {
        attempts::done(&mut self.tx, attempt.id).await?;
        match &attempt.owner {
            Owner::Run(run) => {
                self.run_event(*run, RunEvent::AttemptRefused { attempt: attempt.id, message }).await?;
            }
            Owner::Environment(_) => {
                let (id, fence) = (attempt.id, attempt.fence);
                let event = EnvironmentEvent::AttemptLost { attempt: id, fence, message };
                self.environment_event(&key_of(attempt), event).await?;
            }
        }
        Ok(())
    }
}

fn key_of(attempt: &QueuedAttempt) -> EnvironmentKey {
    match &attempt.owner {
        Owner::Environment(name) => {
            EnvironmentKey { project: attempt.project.clone(), environment: name.clone() }
        }
        Owner::Run(_) => unreachable!("only checks belong to an Environment"),
    }
}

pub(crate) fn owned(
    held: Option<QueuedAttempt>,
    agent: Option<AgentId>,
    fence: u64,
) -> Result<QueuedAttempt, EngineError> {
    match held {
        Some(held) if (agent.is_none() || held.agent == agent) && held.fence == fence => Ok(held),
        Some(_) => Err(EngineError::Fenced { reason: "another lease of this Attempt is newer".to_owned() }),
        None => Err(EngineError::Fenced { reason: "this Attempt is over".to_owned() }),
    }
}

fn described(poll: &Poll, now: Timestamp, generation: u64) -> Agent {
    Agent {
        id: poll.agent,
        hostname: poll.hostname.clone(),
        labels: containers::labels(poll),
        runner: poll.runner,
        deployer: poll.deployer,
        address: poll.address.to_string(),
        version: poll.version.clone(),
        seen_at: now,
        generation,
        capacity: poll.capacity.saturating_add(u32::try_from(poll.held.len()).unwrap_or(u32::MAX)),
        one_job: poll.one_job,
        hold: None,
    }
}

fn millis(duration: SignedDuration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// The wire's words in the model's.
#[must_use]
pub fn model_report(event: AttemptEvent) -> attempt::AttemptReport {
    match event {
        AttemptEvent::Started { isolation } => attempt::AttemptReport::Started { isolation },
        AttemptEvent::Images { images } => attempt::AttemptReport::Images { images },
        AttemptEvent::Hindered { by } => attempt::AttemptReport::Hindered { by },
        AttemptEvent::StepStarted { step } => attempt::AttemptReport::StepStarted { step: step as usize },
        AttemptEvent::StepFinished { step, outcome } => {
            let state = match outcome {
                StepOutcome::Passed => StepState::Passed,
                StepOutcome::Failed { code } => StepState::Failed { code },
                StepOutcome::Killed { signal } => StepState::Killed { signal },
                StepOutcome::TimedOut => StepState::TimedOut,
                StepOutcome::Skipped => StepState::Skipped,
            };
            attempt::AttemptReport::StepFinished { step: step as usize, state }
        }
        AttemptEvent::Finished { outcome, message, outputs, artifacts, tests, reports, log_bytes } => {
            let state = match outcome {
                AttemptOutcome::Passed => AttemptState::Passed,
                AttemptOutcome::Failed => AttemptState::Failed,
                AttemptOutcome::TimedOut => AttemptState::TimedOut,
                AttemptOutcome::Cancelled => AttemptState::Cancelled,
                AttemptOutcome::Errored => AttemptState::Errored,
            };
            let tests = tests.map(|tests| attempt::TestCounts {
                passed: tests.passed,
                failed: tests.failed,
                skipped: tests.skipped,
                retried: 0,
                quarantined: 0,
            });
            attempt::AttemptReport::Finished(Finished {
                state,
                message,
                outputs,
                artifacts,
                tests,
                reports,
                log_bytes,
            })
        }
    }
}
