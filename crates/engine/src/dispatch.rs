//! Gives queued Attempts to the agents that ask, as [`towpath_model::queue`] decides.
//!
//! The queue is read once for all agents that wait, and again when it has changed. What the schedule
//! says is only an offer: the lease in the database decides.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use towpath_api::agent::Poll;
use towpath_model::queue::{self, Busy, Runner, Schedule, Standing, State, Upcoming, WaitReason, Waiting};
use towpath_model::run::Run;
use towpath_model::standing::standing;
use towpath_model::{AgentId, AttemptId, ProjectName};
use towpath_store::core::agents::{self, Agent};
use towpath_store::core::attempts::{self, QueuedAttempt};
use towpath_store::core::runs;

use crate::{Engine, EngineError};

/// The oldest version of an agent that is given work. It grows when Attempts begin to mean what older ones do not know.
pub const OLDEST_AGENT: &str = "0.1.0";

/// How old what was read of the queue may be.
const FRESH: Duration = Duration::from_secs(5);

/// What waits and what runs, as the page and the command line show it.
#[derive(Debug, Clone)]
pub struct QueueView {
    /// What waits, in the order in which it is expected to begin.
    pub waiting: Vec<QueueEntry>,
    /// What runs.
    pub running: Vec<Busy>,
    /// Who takes work.
    pub runners: Vec<Runner>,
}

/// One that waits.
#[derive(Debug, Clone)]
pub struct QueueEntry {
    /// It.
    pub waiting: Waiting,
    /// Why, as data.
    pub reason: Option<WaitReason>,
    /// Why, for people.
    pub words: String,
    /// When it may begin.
    pub eta: Option<Timestamp>,
}

/// What all polls of this server share.
#[derive(Debug, Default)]
pub(crate) struct Dispatcher {
    /// Agents that wait for work now, and with which call.
    parked: Mutex<HashMap<AgentId, (u64, Runner)>>,
    /// How many calls there were.
    calls: AtomicU64,
    read: tokio::sync::Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    /// Which state of the queue was read.
    version: Option<u64>,
    at: Option<Instant>,
    took: Duration,
    loaded: Loaded,
    /// What was decided for agents and not yet fetched by them.
    offers: HashMap<AgentId, Vec<AttemptId>>,
    /// Calls of agents that the decision knew. A new call may bring more room.
    considered: HashMap<AgentId, u64>,
}

#[derive(Debug, Default)]
struct Loaded {
    waiting: Vec<Waiting>,
    busy: Vec<Busy>,
    upcoming: Vec<Upcoming>,
}

impl Loaded {
    fn state<'a>(&'a self, runners: &'a [Runner]) -> State<'a> {
        State { waiting: &self.waiting, busy: &self.busy, runners, upcoming: &self.upcoming }
    }

    /// Moves what was given away.
    fn give(&mut self, schedule: &Schedule, now: Timestamp) -> Vec<(AgentId, AttemptId)> {
        let mut given = Vec::with_capacity(schedule.assignments.len());
        let mut taken: Vec<usize> = Vec::with_capacity(schedule.assignments.len());
        for begins in &schedule.assignments {
            let waiting = &self.waiting[begins.waiting];
            given.push((begins.agent, waiting.attempt));
            taken.push(begins.waiting);
            self.busy.push(Busy {
                title: waiting.title.clone(),
                project: waiting.project.clone(),
                agent: begins.agent,
                group: waiting.group.as_ref().map(|(group, _)| group.clone()),
                started_at: now,
                estimate: waiting.estimate,
            });
        }
        taken.sort_unstable();
        for index in taken.into_iter().rev() {
            self.waiting.swap_remove(index);
        }
        given
    }
}

/// An agent's place among those that wait; given up when its call ends.
pub(crate) struct Parked<'e> {
    engine: &'e Engine,
    agent: AgentId,
    call: u64,
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        let mut parked = self.engine.0.dispatcher.parked();
        if parked.get(&self.agent).is_some_and(|(call, _)| *call == self.call) {
            parked.remove(&self.agent);
        }
        drop(parked);
        // What was meant for it is decided anew, by whoever looks next.
        if let Ok(mut read) = self.engine.0.dispatcher.read.try_lock()
            && read.offers.remove(&self.agent).is_some_and(|offers| !offers.is_empty())
        {
            read.version = None;
            self.engine.signals().queue_changed();
        }
    }
}

impl Dispatcher {
    fn parked(&self) -> std::sync::MutexGuard<'_, HashMap<AgentId, (u64, Runner)>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Makes an agent one of those that wait for work.
    pub(crate) fn park(&self, poll: &Poll, standing: Standing) -> Option<Parked<'_>> {
        if !poll.runner || poll.capacity == 0 || standing != Standing::Ready {
            return None;
        }
        let labels = crate::containers::labels(poll);
        let runner = Runner { id: poll.agent, labels, free: poll.capacity, standing };
        let call = self.0.dispatcher.calls.fetch_add(1, Ordering::Relaxed);
        self.0.dispatcher.parked().insert(poll.agent, (call, runner));
        Some(Parked { engine: self, agent: poll.agent, call })
    }

    /// Takes an agent out of those that wait, though its call is still held.
    pub(crate) fn unpark(&self, agent: AgentId) {
        self.0.dispatcher.parked().remove(&agent);
    }

    /// What an agent that waits is given now.
    pub(crate) async fn offers(&self, agent: AgentId) -> Result<Vec<AttemptId>, EngineError> {
        let mut read = self.0.dispatcher.read.lock().await;
        let version = *self.signals().queue().borrow();
        let stale = read.version != Some(version) || read.at.is_none_or(|at| at.elapsed() > FRESH);
        if stale && read.at.is_none_or(|at| at.elapsed() >= read.took * 2) {
            let begun = Instant::now();
            read.loaded = self.load_queue().await?;
            (read.version, read.at) = (Some(version), Some(Instant::now()));
            read.took = begun.elapsed();
            read.offers.clear();
            read.considered.clear();
        } else if stale {
            // A long queue is not read again for each Job that ends: it is, at most, half of the time.
            self.signals().queue_changed_soon(read.took);
        }
        let call = self.0.dispatcher.parked().get(&agent).map(|(call, _)| *call);
        if call.is_some() && read.considered.get(&agent).copied() != call {
            self.decide(&mut read, agent);
        }
        Ok(read.offers.remove(&agent).unwrap_or_default())
    }

    /// Decides for all agents that wait, or for the one that came after the others.
    fn decide(&self, read: &mut Read, agent: AgentId) {
        let parked = self.0.dispatcher.parked();
        let everybody = read.considered.is_empty();
        let mut callers: Vec<(u64, Runner)> = if everybody {
            parked.values().cloned().collect()
        } else {
            parked.get(&agent).cloned().into_iter().collect()
        };
        drop(parked);
        callers.sort_unstable_by_key(|(_, runner)| runner.id);
        read.considered.extend(callers.iter().map(|(call, runner)| (runner.id, *call)));
        let runners: Vec<Runner> = callers.into_iter().map(|(_, runner)| runner).collect();
        let now = self.now();
        let schedule = queue::schedule(read.loaded.state(&runners), now);
        for (agent, attempt) in read.loaded.give(&schedule, now) {
            read.offers.entry(agent).or_default().push(attempt);
        }
    }

    async fn load_queue(&self) -> Result<Loaded, EngineError> {
        let mut db = self.db().snapshot().await?;
        let queued = attempts::queued(&mut db).await?;
        let leased = attempts::leased(&mut db).await?;
        let upcoming = upcoming(&mut db, &queued, &leased).await?;
        Ok(Loaded {
            waiting: queued.into_iter().map(waiting).collect(),
            busy: leased.into_iter().filter_map(busy).collect(),
            upcoming,
        })
    }

    /// Everything that waits and runs, why and until when.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue(&self) -> Result<QueueView, EngineError> {
        let loaded = self.load_queue().await?;
        let runners = self.runners().await?;
        let now = self.now();
        let schedule = queue::schedule(loaded.state(&runners), now);
        let begins = schedule.assignments.iter().map(|begins| (begins.waiting, None, Some(now)));
        let waits = schedule.waits.iter().map(|wait| (wait.waiting, Some(wait.reason.clone()), wait.eta));
        let entries = begins.chain(waits).map(|(index, reason, eta)| {
            let waiting = loaded.waiting[index].clone();
            let words = reason.as_ref().map_or_else(
                || "an agent is about to take it".to_owned(),
                |reason| reason.words(&waiting.labels),
            );
            QueueEntry { waiting, reason, words, eta }
        });
        let waiting = entries.collect();
        Ok(QueueView { waiting, running: loaded.busy, runners })
    }

    /// Connected agents that take Attempts, with the room that they have by what they hold.
    async fn runners(&self) -> Result<Vec<Runner>, EngineError> {
        let mut reader = self.db().reader().await?;
        let mut held: HashMap<AgentId, u32> = HashMap::new();
        for leased in attempts::leased(&mut reader).await? {
            if let Some(agent) = leased.agent {
                *held.entry(agent).or_default() += 1;
            }
        }
        drop(reader);
        let known = self.agents().await?.into_iter().filter(|(agent, connected)| agent.runner && *connected);
        Ok(known
            .map(|(agent, _)| Runner {
                id: agent.id,
                free: agent.capacity.saturating_sub(held.get(&agent.id).copied().unwrap_or(0)),
                standing: standing_of(&agent),
                labels: agent.labels,
            })
            .collect())
    }
}

/// Whether an agent is given work.
#[must_use]
pub fn standing_of(agent: &Agent) -> Standing {
    standing(agent.hold.as_ref(), &agent.version, OLDEST_AGENT)
}

/// How an agent stands that calls.
pub(crate) async fn standing_of_caller(
    db: &mut towpath_store::core::Connection,
    poll: &Poll,
) -> Result<Standing, EngineError> {
    let known = agents::find(db, poll.agent).await?;
    let hold = known.and_then(|known| known.hold);
    Ok(standing(hold.as_ref(), &poll.version, OLDEST_AGENT))
}

fn waiting(queued: QueuedAttempt) -> Waiting {
    let QueuedAttempt { id, project, labels, place, .. } = queued;
    Waiting {
        attempt: id,
        title: place.title,
        project,
        run: place.run,
        reference: place.reference,
        labels,
        priority: place.priority,
        group: place.group,
        queued_at: place.queued_at,
        estimate: place.estimate,
    }
}

fn busy(leased: QueuedAttempt) -> Option<Busy> {
    let QueuedAttempt { project, place, agent, .. } = leased;
    Some(Busy {
        title: place.title,
        project,
        agent: agent?,
        group: place.group.map(|(group, _)| group),
        started_at: place.leased_at.unwrap_or(place.queued_at),
        estimate: place.estimate,
    })
}

/// Jobs of unfinished Runs that will come into the concurrency groups for which somebody waits.
async fn upcoming(
    db: &mut towpath_store::core::Connection,
    queued: &[QueuedAttempt],
    leased: &[QueuedAttempt],
) -> Result<Vec<Upcoming>, EngineError> {
    let grouped: HashSet<&ProjectName> =
        queued.iter().filter(|queued| queued.place.group.is_some()).map(|queued| &queued.project).collect();
    let there: HashSet<AttemptId> = queued.iter().chain(leased).map(|attempt| attempt.id).collect();
    let mut upcoming = Vec::new();
    for project in grouped {
        for id in runs::unfinished(db, project).await? {
            if let Some(run) = runs::find(db, id).await? {
                upcoming.extend(upcoming_of(&run, &there));
            }
        }
    }
    Ok(upcoming)
}

fn upcoming_of(run: &Run, there: &HashSet<AttemptId>) -> Vec<Upcoming> {
    let jobs = run.jobs.iter().filter(|job| !job.state.is_final());
    let jobs = jobs.filter(|job| !job.attempts.iter().any(|attempt| there.contains(&attempt.id)));
    let grouped = jobs.filter_map(|job| {
        let group = run.pipeline.as_ref()?.job(&job.name)?.concurrency.clone()?;
        Some(Upcoming {
            title: format!("{} {}", run.title(), job.name),
            project: run.project.clone(),
            group,
            run: run.number,
            reference: run.cause.reference.clone(),
        })
    });
    grouped.collect()
}
