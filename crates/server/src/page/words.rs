//! Turns states, Revisions and Gates of the model into what pages show. Nothing here decides or waits.

use jiff::Timestamp;
use towpath_api::rest::ImportedRun;
use towpath_model::attempt::{Attempt, AttemptState, StepState};
use towpath_model::environment::{
    Environment, GateState, InstanceHealth, Outcome, Phase, Promotion, Revision,
};
use towpath_model::pipeline::Gate;
use towpath_model::run::{Cause, JobState, Run, RunState};
use towpath_model::timeline::Actor;
use towpath_ui::view::{
    Commit, Current, EnvironmentCard, GateKind, GateView, RevisionName, RolloutSummary, RunRow, State,
    WaitingPromotion,
};
use url::Url;

/// The number of the Step that failed, from 0.
pub(super) fn failed_step(attempt: &Attempt) -> Option<u32> {
    let failed = |step: &StepState| {
        matches!(step, StepState::Failed { .. } | StepState::Killed { .. } | StepState::TimedOut)
    };
    let index = attempt.steps.iter().position(|step| failed(&step.state))?;
    u32::try_from(index).ok()
}

/// Text, or nothing where there is none.
pub(super) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) const fn run_state(state: RunState) -> State {
    match state {
        RunState::Invalid => State::Invalid,
        RunState::AwaitingApproval => State::Waiting,
        RunState::Preparing => State::Queued,
        RunState::Running | RunState::Sealing => State::Running,
        RunState::Passed => State::Passed,
        RunState::Failed => State::Failed,
        RunState::Cancelled => State::Cancelled,
    }
}

pub(super) fn job_state(state: JobState, last: Option<AttemptState>) -> State {
    match state {
        JobState::Blocked | JobState::Waiting => State::Waiting,
        JobState::Active if last == Some(AttemptState::Queued) => State::Queued,
        JobState::Active => State::Running,
        JobState::Passed => State::Passed,
        JobState::Failed if last == Some(AttemptState::Lost) => State::Lost,
        JobState::Failed => State::Failed,
        JobState::Skipped => State::Skipped,
        JobState::Cancelled => State::Cancelled,
    }
}

pub(super) const fn attempt_state(state: AttemptState) -> State {
    match state {
        AttemptState::Queued => State::Queued,
        AttemptState::Leased | AttemptState::Running => State::Running,
        AttemptState::Passed => State::Passed,
        AttemptState::Failed | AttemptState::TimedOut | AttemptState::Errored => State::Failed,
        AttemptState::Cancelled => State::Cancelled,
        AttemptState::Lost => State::Lost,
    }
}

/// A Step's state, and what else there is to say of it.
pub(super) fn step_state(state: &StepState) -> (State, Option<String>) {
    match state {
        StepState::Pending => (State::Queued, None),
        StepState::Running => (State::Running, None),
        StepState::Passed => (State::Passed, None),
        StepState::Failed { code } => (State::Failed, Some(format!("exit code {code}"))),
        StepState::Killed { signal } => (State::Failed, Some(format!("killed by signal {signal}"))),
        StepState::TimedOut => (State::Failed, Some("its time was up".to_owned())),
        StepState::Skipped => (State::Skipped, None),
    }
}

pub(super) const fn instance_state(health: InstanceHealth) -> State {
    match health {
        InstanceHealth::Ordered | InstanceHealth::Fetching => State::Queued,
        InstanceHealth::Starting | InstanceHealth::Restarting => State::Starting,
        InstanceHealth::Ready => State::Healthy,
        InstanceHealth::NotReady => State::Unhealthy,
        InstanceHealth::Stopping => State::Stopping,
        InstanceHealth::Stopped => State::Stopped,
        InstanceHealth::Failed => State::Failed,
    }
}

pub(super) const fn outcome_state(outcome: &Outcome) -> State {
    match outcome {
        Outcome::Succeeded => State::Passed,
        Outcome::RolledBack { .. } => State::RolledBack,
        Outcome::Rejected { .. } => State::Rejected,
        Outcome::Expired { .. } => State::Expired,
        Outcome::Superseded { .. } => State::Superseded,
        Outcome::Cancelled { .. } => State::Cancelled,
    }
}

pub(super) fn promotion_state(promotion: &Promotion) -> State {
    match (&promotion.outcome, &promotion.rollout) {
        (Some(outcome), _) => outcome_state(outcome),
        (None, Some(rollout)) if rollout.held.is_some() && !rollout.is_returning() => State::Held,
        (None, Some(_)) => State::Running,
        (None, None) => State::Waiting,
    }
}

/// Whether an Environment serves well.
pub(super) fn health(environment: &Environment) -> State {
    let Some(current) = &environment.current else {
        return if environment.active.is_some() { State::Starting } else { State::Empty };
    };
    let Counted { ready, desired } = count(environment, &current.revision);
    let wanted = || environment.fleet.wanted(current.revision.digest);
    let comes_up = wanted().all(|instance| {
        matches!(
            instance.health,
            InstanceHealth::Ready
                | InstanceHealth::Ordered
                | InstanceHealth::Fetching
                | InstanceHealth::Starting
        )
    });
    if !environment.traffic.problems.is_empty() || desired == 0 || ready == 0 && !comes_up {
        State::Unhealthy
    } else if ready == desired {
        State::Healthy
    } else if comes_up {
        State::Starting
    } else {
        State::Unhealthy
    }
}

/// Instances of one Revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) ready: u32,
    pub(super) desired: u32,
}

pub(super) fn count(environment: &Environment, revision: &Revision) -> Counted {
    let (mut ready, mut desired) = (0, 0);
    for instance in environment.fleet.wanted(revision.digest) {
        desired += 1;
        ready += u32::from(instance.health == InstanceHealth::Ready);
    }
    Counted { ready, desired }
}

pub(super) fn revision_name(revision: &Revision) -> RevisionName {
    let config = Some(format!("config {}", revision.config.short()));
    RevisionName { version: revision.version.clone(), digest: revision.digest.to_string(), config }
}

/// The commit of a cause, with its author's name alone.
pub(super) fn commit(cause: &Cause) -> Commit {
    let author = cause.author.split('<').next().unwrap_or_default().trim();
    Commit { sha: cause.commit.clone(), subject: cause.subject.clone(), author: author.to_owned() }
}

/// What started a Run: `push by mona`.
pub(super) fn trigger(cause: &Cause) -> String {
    format!("{} by {}", cause.event, cause.actor.name())
}

/// When the first Job of a Run started.
pub(super) fn started(run: &Run) -> Option<Timestamp> {
    run.jobs.iter().flat_map(|job| &job.attempts).filter_map(|attempt| attempt.started_at).min()
}

pub(super) fn run_row(run: &Run) -> RunRow {
    RunRow {
        number: run.number,
        imported: None,
        state: run_state(run.state),
        reason: some(&run.reason),
        commit: commit(&run.cause),
        reference: run.cause.short_reference().to_owned(),
        trigger: trigger(&run.cause),
        created: run.created_at,
        started: started(run),
        finished: run.finished_at,
    }
}

/// A Run of another server, at the time at which it came here.
pub(super) fn imported_row(run: &ImportedRun) -> RunRow {
    let origin = &run.origin;
    RunRow {
        number: run.number,
        imported: Some(origin.instance.clone()),
        state: run_state(origin.state),
        reason: some(&origin.reason),
        commit: commit(&origin.cause),
        reference: origin.cause.short_reference().to_owned(),
        trigger: format!("imported by {}", run.imported_by),
        created: run.imported_at,
        started: origin.started_at,
        finished: origin.finished_at,
    }
}

/// The candidate's share as the gateways have confirmed it, in thousandths.
pub(super) fn confirmed_weight(environment: &Environment, promotion: &Promotion) -> u32 {
    let Some(rollout) = &promotion.rollout else { return 0 };
    if let Some(outcome) = &promotion.outcome {
        return if *outcome == Outcome::Succeeded { 1000 } else { 0 };
    }
    let traffic = &environment.traffic;
    let confirmed = !traffic.confirmed.is_empty()
        && traffic.confirmed.values().all(|generation| *generation >= traffic.generation);
    if confirmed {
        return traffic.weight(promotion.revision.digest).permille().into();
    }
    let in_force = rollout.steps.iter().rev().find(|step| step.in_force_at.is_some());
    in_force.map_or(0, |step| step.weight.permille().into())
}

/// Where a Rollout is: `step 2 of 4`.
pub(super) fn phase(promotion: &Promotion) -> String {
    let Some(rollout) = &promotion.rollout else { return "waiting".to_owned() };
    match &rollout.phase {
        Phase::Step { index } => format!("step {} of {}", index + 1, promotion.steps().len()),
        Phase::Batch { index } => format!("batch {} of {}", index + 1, rollout.batches.len()),
        phase => phase.word().to_owned(),
    }
}

/// Why a Promotion has not started, in words.
pub(super) fn waits(environment: &Environment, promotion: &Promotion) -> String {
    let mut reasons = Vec::new();
    if let Some(active) = &environment.active {
        reasons.push(format!("the Rollout of {} is not done", active.revision.version));
    }
    if let Some(hold) = &environment.hold
        && promotion.requested_by == Actor::Towpath
    {
        reasons.push(format!("{} holds promotions: {}", hold.by.name(), hold.reason));
    }
    let closed = promotion.gates.iter().filter(|gate| gate.state != GateState::Open);
    reasons.extend(closed.map(|gate| gate.reason.clone()));
    if reasons.is_empty() { "it starts at once".to_owned() } else { reasons.join("; ") }
}

/// Promotions of an Environment that wait, soonest first.
pub(super) fn waiting(environment: &Environment) -> Vec<WaitingPromotion> {
    let row = |promotion: &Promotion, reason| WaitingPromotion {
        promotion: promotion.id.to_string(),
        version: promotion.revision.version.clone(),
        reason,
    };
    let next =
        environment.next.iter().map(|next| row(next, "the Rollout before it has to go back".to_owned()));
    let waiting = environment.in_line().map(|waiting| row(waiting, waits(environment, waiting)));
    next.chain(waiting).collect()
}

pub(super) fn rollout_summary(environment: &Environment) -> Option<RolloutSummary> {
    let active = environment.active.as_ref()?;
    Some(RolloutSummary {
        promotion: active.id.to_string(),
        version: active.revision.version.clone(),
        state: promotion_state(active),
        weight: confirmed_weight(environment, active),
        phase: phase(active),
    })
}

pub(super) fn current(environment: &Environment) -> Option<Current> {
    let current = environment.current.as_ref()?;
    let Counted { ready, desired } = count(environment, &current.revision);
    Some(Current { revision: revision_name(&current.revision), since: current.since, ready, desired })
}

/// Why nothing is promoted by itself.
pub(super) fn hold(environment: &Environment) -> Option<String> {
    environment.hold.as_ref().map(|hold| format!("{} ({})", hold.reason, hold.by.name()))
}

pub(super) fn card(environment: &Environment, server: &Url) -> EnvironmentCard {
    EnvironmentCard {
        name: environment.key.environment.to_string(),
        health: health(environment),
        current: current(environment),
        rollout: rollout_summary(environment),
        waiting: waiting(environment),
        hold: hold(environment),
        url: environment.current.as_ref().map(|_| address(environment, server)),
    }
}

/// Where users reach an Environment. A gateway that listens everywhere is reached where the server is.
pub(super) fn address(environment: &Environment, server: &Url) -> String {
    let listen = environment.policy.document.listen;
    let host = server.host_str().filter(|_| listen.ip().is_unspecified());
    let scheme = environment.policy.document.scheme();
    match host {
        Some(host) => format!("{scheme}://{host}:{}/", listen.port()),
        None => format!("{scheme}://{listen}/"),
    }
}

/// How each Gate of a Promotion stands. Windows and freezes are one calendar, so they share the first line.
pub(super) fn gates(promotion: &Promotion) -> Vec<GateView> {
    let (calendar, others): (Vec<&Gate>, Vec<&Gate>) =
        promotion.plan.gates.iter().partition(|gate| matches!(gate, Gate::Window(_) | Gate::Freeze(_)));
    let calendar: Vec<String> = calendar.into_iter().map(Gate::words).collect();
    let mut others = others.into_iter();
    let mut views = Vec::new();
    for status in &promotion.gates {
        let (kind, title) = match status.kind.as_str() {
            "freeze" => (GateKind::Freeze, calendar.join("; ")),
            "window" => (GateKind::Window, calendar.join("; ")),
            _ => match others.next() {
                Some(gate) => (kind(gate), gate.words()),
                None => continue,
            },
        };
        let state = match status.state {
            GateState::Open => State::Open,
            GateState::Waiting => State::Waiting,
            GateState::Expired => State::Expired,
        };
        views.push(GateView { kind, title, state, reason: status.reason.clone(), opens_at: status.next });
    }
    views
}

const fn kind(gate: &Gate) -> GateKind {
    match gate {
        Gate::Approval(_) => GateKind::Approval,
        Gate::Window(_) => GateKind::Window,
        Gate::Freeze(_) => GateKind::Freeze,
        Gate::Soak(_) => GateKind::Soak,
        Gate::Evidence(_) => GateKind::Evidence,
        Gate::Webhook(_) => GateKind::Webhook,
        Gate::Metric(_) => GateKind::Metric,
        Gate::Expression(_) => GateKind::Expression,
        Gate::Hold(_) => GateKind::Hold,
        Gate::Delay(_) => GateKind::Delay,
        Gate::Upstream(_) => GateKind::Upstream,
        Gate::Schedule(_) => GateKind::Schedule,
    }
}
