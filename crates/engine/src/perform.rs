//! Performs effects, at least once, and feeds their results back as events.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::{Mutex, Notify, Semaphore};
use towpath_model::environment::EnvironmentEffect;
use towpath_model::run::RunEffect;
use towpath_store::core::outbox::{self, Pending};

use crate::error::chain;
use crate::signals::Signals;
use crate::unit::Effect;
use crate::{Engine, EngineError};

/// How many effects of a lane are performed at once.
const AT_ONCE: usize = 8;

/// Effects that keep only each other waiting: a channel that hangs must never keep a Rollout from going back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// All that delivers.
    Work,
    /// What tells channels something, one message of a channel at a time.
    Messages,
}

impl Lane {
    /// What must not be performed twice at once.
    fn place(self, pending: &Pending) -> String {
        match self {
            Self::Work => pending.id.to_string(),
            Self::Messages => format!("{}/{}", pending.project, pending.owner),
        }
    }

    const fn signal(self, signals: &Signals) -> &Notify {
        match self {
            Self::Work => &signals.work,
            Self::Messages => &signals.messages,
        }
    }
}

/// The longest sleep between two looks at the outbox.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// The first and the longest pause before a failed effect is tried again.
const RETRY_FIRST: SignedDuration = SignedDuration::from_millis(500);
const RETRY_LONGEST: SignedDuration = SignedDuration::from_secs(30);

impl Engine {
    pub(crate) async fn perform_forever(&self, lane: Lane) {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let in_flight: Arc<Mutex<HashSet<String>>> = Arc::default();
        loop {
            match self.due_effects(lane).await {
                Ok(due) => {
                    for pending in due {
                        let place = lane.place(&pending);
                        if !in_flight.lock().await.insert(place.clone()) {
                            continue;
                        }
                        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                        let (engine, in_flight) = (self.clone(), Arc::clone(&in_flight));
                        tokio::spawn(async move {
                            engine.perform(&pending).await;
                            in_flight.lock().await.remove(&place);
                            drop(slot);
                            lane.signal(engine.signals()).notify_one();
                        });
                    }
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "the outbox could not be read; it is read again")
                }
            }
            let sleep = self.until_next_effect().await;
            let _ = tokio::time::timeout(sleep, lane.signal(self.signals()).notified()).await;
        }
    }

    async fn due_effects(&self, lane: Lane) -> Result<Vec<Pending>, EngineError> {
        let mut reader = self.db().reader().await?;
        Ok(match lane {
            Lane::Work => outbox::due(&mut reader, self.now()).await?,
            Lane::Messages => outbox::due_by_channel(&mut reader, self.now()).await?,
        })
    }

    /// How long nothing becomes due.
    async fn until_next_effect(&self) -> Duration {
        let now = self.now();
        let next =
            async { Ok::<_, EngineError>(outbox::next_due(&mut *self.db().reader().await?, now).await?) };
        let Ok(Some(next)) = next.await else { return LONGEST_SLEEP };
        Duration::try_from(next.duration_since(now)).unwrap_or_default().min(LONGEST_SLEEP)
    }

    /// Performs one effect. A failure that may pass is tried again later; one that cannot is dropped with a record.
    async fn perform(&self, pending: &Pending) {
        let done = match serde_json::from_str::<Effect>(&pending.body) {
            Ok(effect) => self.act(pending.id, pending.tries, effect).await,
            Err(error) => Err(EngineError::internal("an effect could not be read", error)),
        };
        let Err(error) = done else { return };
        tracing::warn!(
            effect.id = pending.id,
            effect.tries = pending.tries,
            error = chain(&error),
            "an effect failed; it is tried again"
        );
        if let Err(error) = self.put_off(pending).await {
            tracing::error!(
                effect.id = pending.id,
                error = chain(&error),
                "a failed effect could not be put off"
            );
        }
    }

    async fn put_off(&self, pending: &Pending) -> Result<(), EngineError> {
        let pause = RETRY_FIRST.saturating_mul(1 << pending.tries.min(10)).min(RETRY_LONGEST);
        let mut unit = self.begin().await?;
        let due_at = unit.now.saturating_add(pause).unwrap_or(unit.now);
        outbox::retry(&mut unit.tx, pending.id, due_at).await?;
        unit.commit().await
    }

    async fn act(&self, id: i64, tries: u32, effect: Effect) -> Result<(), EngineError> {
        match effect {
            Effect::Run { id: run, effect } => match effect {
                RunEffect::PrepareSource => self.prepare_source(id, run).await,
                RunEffect::Seal => self.seal(id, run).await,
                RunEffect::Offer { release } => self.offer(id, release).await,
                RunEffect::Pause { attempt, until: _ } => self.pause_over(id, run, attempt).await,
                // Written by a version whose queue knew no groups.
                RunEffect::AwaitGroup { job: _, group } => self.leave_group_to_queue(id, run, group).await,
                RunEffect::QueueAttempt { .. }
                | RunEffect::CancelAttempt { .. }
                | RunEffect::RememberVerdict { .. }
                | RunEffect::RememberDuration { .. }
                | RunEffect::RememberRetry { .. }
                | RunEffect::RememberHelp { .. } => self.forget(id).await,
            },
            Effect::Report { project, run } => self.tell_forge(id, tries, &project, run).await,
            Effect::Notify { project, delivery } => self.notify(id, tries, &project, delivery).await,
            Effect::Announce { project, release, depth } => {
                self.announce(id, &project, &release, depth).await
            }
            Effect::Environment { key, effect } => match effect {
                EnvironmentEffect::AskGate { promotion, index, binding } => {
                    self.ask_gate(id, &key, promotion, index, binding).await
                }
                EnvironmentEffect::ReadChange { promotion, from } => {
                    self.read_change(id, &key, promotion, from).await
                }
                EnvironmentEffect::CheckWayBack { promotion } => {
                    self.check_way_back(id, &key, promotion).await
                }
                EnvironmentEffect::VerifyHttp { promotion, index } => {
                    self.verify_http(id, &key, promotion, index).await
                }
                EnvironmentEffect::Settled { promotion } => self.settled(id, &key, promotion).await,
                EnvironmentEffect::QueueAttempt { .. } | EnvironmentEffect::CancelAttempt { .. } => {
                    self.forget(id).await
                }
            },
        }
    }

    /// Removes an effect that needs nothing more.
    pub(crate) async fn forget(&self, id: i64) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        outbox::remove(&mut unit.tx, id).await?;
        unit.commit().await
    }
}
