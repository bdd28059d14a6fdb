//! One unit of work: what changes together is committed together.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::Serialize;
use towpath_model::environment::{Environment, EnvironmentEffect, EnvironmentEvent};
use towpath_model::run::{Handled, Run, RunEffect, RunEvent, SealedRelease};
use towpath_model::timeline::{Actor, Entry};
use towpath_model::{AgentId, EnvironmentKey, InstanceId, ProjectName, RunId};
use towpath_store::core::{
    agents, attempts, counters, durations, environments, outbox, promotions, retries, runs, verdicts,
};
use towpath_store::timeline::{self, NewEntry};
use towpath_store::{StoreError, WriteTx};

use crate::{Engine, EngineError, order};

/// A write transaction and what it touches.
pub(crate) struct Unit<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) tx: WriteTx,
    pub(crate) now: Timestamp,
    touched: Touched,
}

#[derive(Default)]
struct Touched {
    work: bool,
    queue: bool,
    routes: bool,
    clock: bool,
    schedules: bool,
}

/// An effect with whom it belongs to, as the outbox keeps it.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
#[serde(tag = "owner", rename_all = "kebab-case")]
pub(crate) enum Effect {
    Run {
        id: RunId,
        effect: RunEffect,
    },
    Environment {
        key: EnvironmentKey,
        effect: EnvironmentEffect,
    },
    /// Tell the forge how a Run does.
    Report {
        project: ProjectName,
        run: RunId,
    },
    /// Tell a channel what it waits for.
    Notify {
        project: ProjectName,
        delivery: i64,
    },
    /// Tell the Projects that wait for it of a sealed Release.
    Announce {
        project: ProjectName,
        release: SealedRelease,
        depth: u32,
    },
}

impl Engine {
    /// Begins a unit of work, once no other one is open.
    pub(crate) async fn begin(&self) -> Result<Unit<'_>, EngineError> {
        let tx = self.db().begin_write().await?;
        Ok(Unit { engine: self, tx, now: self.now(), touched: Touched::default() })
    }
}

impl Unit<'_> {
    /// Commits, then wakes whoever waits for what has changed.
    pub(crate) async fn commit(self) -> Result<(), EngineError> {
        let Self { engine, tx, now: _, touched } = self;
        tx.commit().await?;
        let signals = engine.signals();
        let Touched { work, queue, routes, clock, schedules } = touched;
        if work {
            signals.work.notify_one();
            signals.messages.notify_one();
        }
        if queue {
            signals.queue_changed();
        }
        if routes {
            signals.routes_changed();
        }
        if clock {
            signals.clock.notify_one();
        }
        if schedules {
            signals.schedules.notify_one();
        }
        signals.timeline_changed();
        Ok(())
    }

    /// Applies an event to a Run.
    pub(crate) async fn run_event(&mut self, id: RunId, event: RunEvent) -> Result<Run, EngineError> {
        let mut run =
            runs::find(&mut self.tx, id).await?.ok_or_else(|| EngineError::not_found(format!("run {id}")))?;
        let handled = run.handle(event, &self.engine.0.evaluator, self.now);
        self.store_run(&mut run, handled).await?;
        Ok(run)
    }

    /// Writes a Run with what its event came to.
    pub(crate) async fn store_run(
        &mut self,
        run: &mut Run,
        mut handled: Handled<RunEffect>,
    ) -> Result<(), EngineError> {
        let subject = format!("run:{}", run.id);
        let mut answers = VecDeque::new();
        loop {
            runs::put(&mut self.tx, run).await?;
            for entry in handled.entries {
                self.record(Some(&run.project), None, &subject, entry).await?;
            }
            for effect in handled.effects {
                answers.extend(self.run_effect(run, effect).await?);
            }
            // An Attempt that cannot be put together fails its Job at once, which may set others free.
            let Some(answer) = answers.pop_front() else { return self.report(run).await };
            handled = run.handle(answer, &self.engine.0.evaluator, self.now);
        }
    }

    async fn run_effect(&mut self, run: &Run, effect: RunEffect) -> Result<Option<RunEvent>, EngineError> {
        match effect {
            RunEffect::QueueAttempt { job, attempt } => match order::for_job(self.engine, run, &job, attempt)
            {
                Ok(queued) => {
                    attempts::queue(&mut self.tx, &queued, self.now).await?;
                    self.touched.queue = true;
                }
                Err(EngineError::Invalid { reason: message }) => {
                    return Ok(Some(RunEvent::AttemptRefused { attempt, message }));
                }
                Err(error) => return Err(error),
            },
            RunEffect::CancelAttempt { attempt, reason } => {
                attempts::cancel(&mut self.tx, attempt, &reason).await?;
                self.touched.queue = true;
            }
            RunEffect::AwaitGroup { job: _, group } => return Ok(Some(RunEvent::GroupLeftToQueue { group })),
            RunEffect::RememberVerdict { job, verdict } => {
                verdicts::put(&mut self.tx, &run.project, &run.cause.reference, &job, &verdict).await?;
            }
            RunEffect::RememberDuration { job, took } => {
                durations::note(&mut self.tx, &run.project, &job, took).await?;
            }
            RunEffect::RememberRetry { job, attempt, note } => {
                retries::note(&mut self.tx, &run.project, run.number, &job, attempt, &note, self.now).await?;
            }
            RunEffect::RememberHelp { attempt, helped } => {
                retries::helped(&mut self.tx, attempt, helped).await?;
            }
            RunEffect::Pause { attempt, until } => {
                let effect = Effect::Run { id: run.id, effect: RunEffect::Pause { attempt, until } };
                self.push_effect_at("run", &run.project, &run.id.to_string(), &effect, until).await?;
            }
            effect @ (RunEffect::PrepareSource | RunEffect::Seal | RunEffect::Offer { .. }) => {
                let effect = Effect::Run { id: run.id, effect };
                self.push_effect("run", &run.project, &run.id.to_string(), &effect).await?;
            }
        }
        Ok(None)
    }

    /// Applies an event to an Environment.
    pub(crate) async fn environment_event(
        &mut self,
        key: &EnvironmentKey,
        event: EnvironmentEvent,
    ) -> Result<Environment, EngineError> {
        let mut environment = self.environment(key).await?;
        let asked = match &event {
            EnvironmentEvent::PromotionRequested(new) => Some(new.as_ref()),
            _ => None,
        };
        let facts = self.engine.facts(&mut self.tx, &environment, asked).await?;
        let (generation, wanted) = (environment.traffic.generation, wanted(&environment));
        let change = environment.handle(event, &facts, self.now)?;
        if environment.traffic.generation != generation {
            self.routes_changed().await?;
        }
        for agent in changed_agents(&wanted, &self::wanted(&environment)) {
            agents::changed(&mut self.tx, agent).await?;
            self.touched.queue = true;
        }
        self.store_environment(&environment).await?;
        for promotion in &change.ended {
            promotions::put(&mut self.tx, promotion).await?;
        }
        let subject = format!("environment:{key}");
        for entry in change.handled.entries {
            self.record(Some(&key.project), Some(key), &subject, entry).await?;
        }
        for effect in change.handled.effects {
            self.environment_effect(&environment, effect).await?;
        }
        Ok(environment)
    }

    /// Loads an Environment.
    pub(crate) async fn environment(&mut self, key: &EnvironmentKey) -> Result<Environment, EngineError> {
        environments::find(&mut self.tx, key).await?.ok_or_else(|| {
            EngineError::not_found(format!("environment {key} (`towpath apply` makes it from its document)"))
        })
    }

    /// Marks that a schedule has changed.
    pub(crate) fn schedules_changed(&mut self) {
        self.touched.schedules = true;
    }

    /// Marks that something has to be looked at at another time than before.
    pub(crate) const fn clock_changed(&mut self) {
        self.touched.clock = true;
    }

    /// Marks that some route has changed.
    pub(crate) async fn routes_changed(&mut self) -> Result<(), EngineError> {
        counters::grow(&mut self.tx, counters::ROUTES).await?;
        self.touched.routes = true;
        Ok(())
    }

    /// Writes an Environment with its open Promotions and its next wake-up.
    pub(crate) async fn store_environment(&mut self, environment: &Environment) -> Result<(), EngineError> {
        let wakeup = environment.next_wakeup(self.now).map(|wakeup| wakeup.at);
        environments::put(&mut self.tx, environment, wakeup).await?;
        let moving = [&environment.active, &environment.next].into_iter().flatten();
        for promotion in moving.chain(environment.in_line()) {
            promotions::put(&mut self.tx, promotion).await?;
        }
        self.clock_changed();
        Ok(())
    }

    async fn environment_effect(
        &mut self,
        environment: &Environment,
        effect: EnvironmentEffect,
    ) -> Result<(), EngineError> {
        match effect {
            EnvironmentEffect::QueueAttempt { promotion: _, index, attempt } => {
                if let Some(active) = &environment.active {
                    let queued = order::for_check(self.engine, environment, active, index, attempt)?;
                    attempts::queue(&mut self.tx, &queued, self.now).await?;
                    self.touched.queue = true;
                }
            }
            EnvironmentEffect::CancelAttempt { attempt, reason } => {
                attempts::cancel(&mut self.tx, attempt, &reason).await?;
                self.touched.queue = true;
            }
            effect @ (EnvironmentEffect::AskGate { .. }
            | EnvironmentEffect::ReadChange { .. }
            | EnvironmentEffect::CheckWayBack { .. }
            | EnvironmentEffect::VerifyHttp { .. }
            | EnvironmentEffect::Settled { .. }) => {
                let key = environment.key.clone();
                let owner = key.environment.to_string();
                let project = key.project.clone();
                self.push_effect("environment", &project, &owner, &Effect::Environment { key, effect })
                    .await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn push_effect(
        &mut self,
        kind: &str,
        project: &ProjectName,
        owner: &str,
        effect: &Effect,
    ) -> Result<(), EngineError> {
        self.push_effect_at(kind, project, owner, effect, self.now).await
    }

    /// Queues an effect that is performed at a moment, not before.
    async fn push_effect_at(
        &mut self,
        kind: &str,
        project: &ProjectName,
        owner: &str,
        effect: &Effect,
        due_at: Timestamp,
    ) -> Result<(), EngineError> {
        let body = serde_json::to_string(effect).map_err(|error| StoreError::Encode(Box::new(error)))?;
        outbox::push(&mut self.tx, kind, project.as_str(), owner, &body, due_at).await?;
        self.touched.work = true;
        Ok(())
    }

    /// Writes an entry into the timeline.
    pub(crate) async fn record(
        &mut self,
        project: Option<&ProjectName>,
        environment: Option<&EnvironmentKey>,
        subject: &str,
        entry: Entry,
    ) -> Result<(), EngineError> {
        if let Some(project) = project {
            self.tell(project, environment.map(|key| &key.environment), &entry).await?;
        }
        let Entry { kind, actor, text, facts } = entry;
        let actor = match &actor {
            Actor::Towpath => "system".to_owned(),
            Actor::User { login, .. } => format!("user:{login}"),
            Actor::Agent { name } => format!("agent:{name}"),
        };
        let new = NewEntry {
            at: self.now,
            actor: &actor,
            project: project.map(ProjectName::as_str),
            environment: environment.map(|key| key.environment.as_str()),
            kind: &kind,
            subject,
        };
        let body = serde_json::json!({ "text": text, "facts": facts });
        timeline::append(&mut self.tx, new, &body).await?;
        Ok(())
    }
}

type Wanted = BTreeSet<(AgentId, InstanceId)>;

fn wanted(environment: &Environment) -> Wanted {
    let instances = environment.fleet.instances.iter().filter(|instance| instance.wanted);
    instances.map(|instance| (instance.host, instance.id)).collect()
}

fn changed_agents(before: &Wanted, after: &Wanted) -> BTreeSet<AgentId> {
    before.symmetric_difference(after).map(|(agent, _)| *agent).collect()
}
