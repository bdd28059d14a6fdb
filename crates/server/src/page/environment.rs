//! One Environment: what it runs, what it ran, by which rules, and what people do with it.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_engine::PromoteRequest;
use towpath_model::environment::{Environment, Instance, Promotion};
use towpath_model::pipeline::Gate;
use towpath_model::{AgentId, Digest, EnvironmentKey};
use towpath_store::core::documents::Document;
use towpath_store::core::secrets::SecretVersion;
use towpath_ui::view::{
    Action, ActionKind, EnvironmentView, HistoryRow, InstanceRow, Notice, PolicyView, SecretRow,
};
use towpath_ui::{page, routes};

use super::act::{self, Comment, Refusal};
use super::shell::{Reader, Said, frame, html, live, or_error};
use super::words;
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action as Deed, Principal};
use crate::problem::Problem;

/// How many Promotions are shown.
const LENGTH: u32 = 30;

/// Where to go back to.
#[derive(Debug, Deserialize)]
pub(super) struct Back {
    #[serde(default)]
    comment: String,
    to: Option<String>,
}

/// What to let in again.
#[derive(Debug, Deserialize)]
pub(super) struct Barred {
    #[serde(default)]
    comment: String,
    version: String,
}

/// Shows an Environment.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path((project, name)): Path<(String, String)>,
    Said(said): Said,
) -> Response {
    let shown = said.is_some();
    let page = match act::environment(&principal, &project, &name) {
        Ok(key) => render(&app, &principal, &key, said).await,
        Err(problem) => Err(problem),
    };
    act::forget(&app, shown, or_error(&app, &principal, page))
}

async fn render(
    app: &App,
    principal: &Principal,
    key: &EnvironmentKey,
    notice: Option<Notice>,
) -> Result<Response, Problem> {
    let environment = app.engine.environment(key).await?.environment;
    let document = app.engine.documents(key).await?.into_iter().next();
    let secrets = app.engine.list_secrets(&key.project).await?;
    let promotions = app.engine.promotions_of(key, LENGTH).await?;
    let agents = app.engine.agents().await?;
    let agents: BTreeMap<AgentId, String> =
        agents.into_iter().map(|(agent, _)| (agent.id, agent.hostname)).collect();
    let held = &environment.policy.document;
    let past = |promotion: &Promotion| history(principal, &environment, promotion);
    let view = EnvironmentView {
        shell: frame(app, principal, live(Some(&key.project)), notice).await?,
        project: key.project.to_string(),
        name: key.environment.to_string(),
        health: words::health(&environment),
        current: words::current(&environment),
        url: Some(words::address(&environment, &app.public_url)),
        target: target(&environment),
        rollout: words::rollout_summary(&environment),
        waiting: words::waiting(&environment),
        hold: words::hold(&environment),
        instances: environment
            .fleet
            .instances
            .iter()
            .map(|each| instance(&environment, each, &agents))
            .collect(),
        history: promotions.iter().map(past).collect(),
        policy: policy(&environment, document),
        policies: super::policy::of(app, principal, &environment).await?,
        values: held.values.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        secrets: secret_rows(&environment, &secrets),
        actions: actions(principal, &environment, app.engine.offered(&environment).await?),
    };
    Ok(html(page::environment(&view)))
}

/// Where it runs, in words.
fn target(environment: &Environment) -> String {
    let target = &environment.policy.document.target;
    let labels: Vec<String> = target.hosts.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let noun = match (&target.docker, target.instances) {
        (None, 1) => "instance",
        (None, _) => "instances",
        (Some(_), 1) => "container",
        (Some(_), _) => "containers",
    };
    let hosts = if labels.is_empty() {
        "any deploy agent".to_owned()
    } else {
        format!("hosts with {}", labels.join(", "))
    };
    format!("{} {noun} on {hosts}", target.instances)
}

fn instance(
    environment: &Environment,
    instance: &Instance,
    agents: &BTreeMap<AgentId, String>,
) -> InstanceRow {
    let version = environment.known_revision(instance.revision).map(|revision| revision.version.clone());
    let kept = environment.warm.as_ref().filter(|warm| warm.revision == instance.revision);
    let avoided: Vec<&str> =
        instance.address.iter().flat_map(|address| environment.traffic.avoided_by(*address)).collect();
    let note = match kept {
        _ if !avoided.is_empty() => Some(format!(
            "gets no requests of gateway {} for a while: it fails what others do well",
            avoided.join(", ")
        )),
        Some(warm) => Some(format!("gets no requests; kept as a quick way back until {}", warm.until)),
        None if instance.moving => {
            Some("its host is lost; it goes when a successor on another host is ready".to_owned())
        }
        None => words::some(&instance.message),
    };
    InstanceRow {
        id: instance.id.to_string(),
        agent: agents.get(&instance.host).cloned().unwrap_or_else(|| instance.host.to_string()),
        address: instance.address.map(|address| address.to_string()),
        version: version.unwrap_or_else(|| instance.revision.short()),
        state: words::instance_state(instance.health),
        note,
        restarts: instance.restarts,
        since: instance.since,
    }
}

fn history(principal: &Principal, environment: &Environment, promotion: &Promotion) -> HistoryRow {
    let digest = promotion.revision.digest;
    let runs = environment.current.as_ref().is_some_and(|current| current.revision.digest == digest);
    let ran = environment.history.iter().any(|past| past.revision.digest == digest);
    HistoryRow {
        revision: words::revision_name(&promotion.revision),
        promotion: promotion.id.to_string(),
        state: words::promotion_state(promotion),
        reason: promotion.outcome.as_ref().map(towpath_model::environment::Outcome::reason),
        by: promotion.requested_by.name().to_owned(),
        at: promotion.requested_at,
        rollback: (ran && !runs).then(|| back_to(principal, environment, promotion)),
    }
}

fn policy(environment: &Environment, document: Option<Document>) -> PolicyView {
    let held = &environment.policy;
    let (applied_by, applied_at) = match document {
        Some(document) => (document.applied_by, document.applied_at),
        None => ("towpath".to_owned(), environment.traffic.since),
    };
    PolicyView {
        version: held.version,
        applied_by,
        applied_at,
        refs: held.document.allow.refs.clone(),
        gates: held.document.gates.iter().map(Gate::words).collect(),
    }
}

/// The secrets that were granted, and those that wait to be.
fn secret_rows(environment: &Environment, known: &[SecretVersion]) -> Vec<SecretRow> {
    let here: Vec<&SecretVersion> =
        known.iter().filter(|secret| secret.environment == environment.key.environment.as_str()).collect();
    let granted = &environment.policy.document.secrets;
    let mut rows: Vec<SecretRow> = granted
        .iter()
        .map(|name| {
            let set = here.iter().find(|secret| secret.name == *name);
            SecretRow {
                name: name.to_string(),
                version: set.map(|secret| secret.version),
                set_by: set.map(|secret| secret.created_by.clone()).unwrap_or_default(),
                set_at: set.map(|secret| secret.created_at),
            }
        })
        .collect();
    rows.extend(here.iter().filter(|secret| !granted.contains(&secret.name)).map(|secret| SecretRow {
        name: format!("{} (not granted by the document)", secret.name),
        version: Some(secret.version),
        set_by: secret.created_by.clone(),
        set_at: Some(secret.created_at),
    }));
    rows
}

fn actions(principal: &Principal, environment: &Environment, offer: Option<String>) -> Vec<Action> {
    let mut actions = Vec::new();
    actions.extend(offer.map(|version| promote_action(principal, environment, &version)));
    if environment.hold.is_some() {
        actions.push(resume_action(principal, environment));
    } else {
        actions.push(hold_at(principal, environment, &page_of(&environment.key)));
    }
    if environment.active.is_some() || !environment.history.is_empty() {
        actions.push(rollback_at(principal, environment, &page_of(&environment.key)));
    }
    actions
}

/// Proposes the newest Release that may enter.
fn promote_action(principal: &Principal, environment: &Environment, version: &str) -> Action {
    let key = &environment.key;
    let consequence = format!(
        "Proposes {version} for `{key}`. It enters when every gate is open; what waits there now is superseded."
    );
    let (label, page) = (format!("Promote {version}"), routes::release(key.project.as_str(), version));
    Action::on(&page, ActionKind::Promote, label, consequence)
        .sending("environment", &key.environment)
        .unless(act::refused(principal, Deed::Promote, &key.project))
}

fn page_of(key: &EnvironmentKey) -> String {
    routes::environment(key.project.as_str(), key.environment.as_str())
}

/// Holds from a page.
pub(super) fn hold_at(principal: &Principal, environment: &Environment, page: &str) -> Action {
    let key = &environment.key;
    let rollout = environment.active.as_ref().map(|active| {
        let weight = words::confirmed_weight(environment, active);
        format!(
            " The rollout of {} stays at its share of {}.{} % of the traffic.",
            active.revision.version,
            weight / 10,
            weight % 10
        )
    });
    let consequence = format!(
        "Nothing enters `{key}` by itself until somebody resumes it.{} An unhealthy verdict still rolls back.",
        rollout.unwrap_or_default()
    );
    let refused = act::refused(principal, Deed::Hold, &key.project);
    Action::on(page, ActionKind::Hold, "Hold", consequence).unless(refused)
}

/// Resumes from the Environment's own page.
pub(super) fn resume_action(principal: &Principal, environment: &Environment) -> Action {
    resume_at(principal, environment, &page_of(&environment.key))
}

/// Resumes from a page.
pub(super) fn resume_at(principal: &Principal, environment: &Environment, page: &str) -> Action {
    let then = match (&environment.active, &environment.waiting) {
        (Some(active), _) => {
            format!("The rollout of {} goes on; its present step begins anew.", active.revision.version)
        }
        (None, Some(waiting)) => {
            format!("{} starts as soon as its gates are open.", waiting.revision.version)
        }
        (None, None) => "Nothing waits just now.".to_owned(),
    };
    let consequence = format!("Ends the hold of `{}`. {then}", environment.key);
    let refused = act::refused(principal, Deed::Resume, &environment.key.project);
    Action::on(page, ActionKind::Resume, "Resume", consequence).unless(refused)
}

/// Goes back from a page: the Rollout that runs, else to what ran before.
pub(super) fn rollback_at(principal: &Principal, environment: &Environment, page: &str) -> Action {
    let key = &environment.key;
    let consequence = match (&environment.active, environment.history.first()) {
        (Some(active), _) => {
            let stable = active.rollout.as_ref().and_then(|rollout| rollout.stable.as_ref());
            let version = &active.revision.version;
            match stable {
                Some(stable) => format!(
                    "All traffic of `{key}` goes back to {} at once. {version} is stopped, and is barred from `{key}` until somebody lets it in again.",
                    stable.version
                ),
                None => format!(
                    "{version} is stopped. Nothing ran in `{key}` before, so nothing serves there then."
                ),
            }
        }
        (None, Some(past)) => back_words(environment, &past.revision.version),
        (None, None) => format!("Nothing ran in `{key}` before; there is no way back."),
    };
    roll_back(principal, environment, page, "Roll back", consequence)
}

/// Goes back to one Revision of the history.
fn back_to(principal: &Principal, environment: &Environment, promotion: &Promotion) -> Action {
    let version = &promotion.revision.version;
    let consequence = back_words(environment, version);
    roll_back(principal, environment, &page_of(&environment.key), "Go back to this", consequence)
        .sending("to", promotion.revision.digest)
}

fn roll_back(
    principal: &Principal,
    environment: &Environment,
    page: &str,
    label: &str,
    consequence: String,
) -> Action {
    let refused = act::refused(principal, Deed::RollBack, &environment.key.project);
    Action::on(page, ActionKind::RollBack, label, consequence).unless(refused)
}

fn back_words(environment: &Environment, version: &str) -> String {
    let key = &environment.key;
    let from = environment.current.as_ref().map_or("nothing", |current| current.revision.version.as_str());
    let active = environment
        .active
        .as_ref()
        .map(|active| format!(" The rollout of {} is turned around first.", active.revision.version));
    format!(
        "`{key}` goes from {from} back to {version} with the configuration that it had, past every gate.{} `{key}` is held afterwards, until somebody resumes it.",
        active.unwrap_or_default()
    )
}

/// Lets a barred version in again.
pub(super) fn release_action(principal: &Principal, environment: &Environment, version: &str) -> Action {
    let consequence = format!(
        "{version} is proposed for `{}` once more and leaves its quarantine. Its gates have to open again.",
        environment.key
    );
    Action::on(&page_of(&environment.key), ActionKind::Release, "Try again", consequence)
        .sending("version", version)
        .unless(act::refused(principal, Deed::Promote, &environment.key.project))
}

/// Holds; the words say why.
pub(super) async fn do_hold(
    app: &App,
    principal: &Principal,
    key: &EnvironmentKey,
    comment: &str,
) -> Result<String, Refusal> {
    let _permit = principal.may(Deed::Hold, Some(&key.project))?;
    let reason = comment.trim();
    if reason.is_empty() {
        return Err(Refusal::OnPage("a hold needs a reason: others will ask why nothing moves".to_owned()));
    }
    app.engine.hold(key, reason, &act::person(principal, &key.project)).await?;
    Ok(format!("{key} is on hold."))
}

/// Ends a hold.
pub(super) async fn do_resume(
    app: &App,
    principal: &Principal,
    key: &EnvironmentKey,
    comment: &str,
) -> Result<String, Refusal> {
    let _permit = principal.may(Deed::Resume, Some(&key.project))?;
    app.engine.resume(key, comment.trim(), &act::person(principal, &key.project)).await?;
    Ok(format!("{key} goes on."))
}

/// Goes back; `to` is a Revision's digest.
pub(super) async fn do_rollback(
    app: &App,
    principal: &Principal,
    key: &EnvironmentKey,
    to: Option<&str>,
    comment: &str,
) -> Result<String, Refusal> {
    let _permit = principal.may(Deed::RollBack, Some(&key.project))?;
    let to = to.map(str::parse::<Digest>).transpose();
    let to = to.map_err(|_| Problem::invalid("`to` is not the digest of a Revision"))?;
    let to = to.map(|digest| digest.to_string());
    let person = act::person(principal, &key.project);
    app.engine.rollback(key, to.as_deref(), false, comment.trim(), &person).await?;
    Ok(format!("{key} goes back."))
}

/// `POST …/hold`.
pub(super) async fn hold(
    State(app): State<App>,
    Path((project, name)): Path<(String, String)>,
    form: CheckedForm<Comment>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let Ok(key) = act::environment(&principal, &project, &name) else { return gone(&app, &principal, &name) };
    let done = do_hold(&app, &principal, &key, &fields.comment).await;
    finish(&app, &principal, &key, done).await
}

/// `POST …/resume`.
pub(super) async fn resume(
    State(app): State<App>,
    Path((project, name)): Path<(String, String)>,
    form: CheckedForm<Comment>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let Ok(key) = act::environment(&principal, &project, &name) else { return gone(&app, &principal, &name) };
    let done = do_resume(&app, &principal, &key, &fields.comment).await;
    finish(&app, &principal, &key, done).await
}

/// `POST …/rollback`.
pub(super) async fn rollback(
    State(app): State<App>,
    Path((project, name)): Path<(String, String)>,
    form: CheckedForm<Back>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let Ok(key) = act::environment(&principal, &project, &name) else { return gone(&app, &principal, &name) };
    let done = do_rollback(&app, &principal, &key, fields.to.as_deref(), &fields.comment).await;
    finish(&app, &principal, &key, done).await
}

/// `POST …/release`: proposes a barred version once more.
pub(super) async fn release(
    State(app): State<App>,
    Path((project, name)): Path<(String, String)>,
    form: CheckedForm<Barred>,
) -> Response {
    let CheckedForm { principal, fields: Barred { comment, version } } = form;
    let Ok(key) = act::environment(&principal, &project, &name) else { return gone(&app, &principal, &name) };
    let done = async {
        let _permit = principal.may(Deed::Promote, Some(&key.project))?;
        let comment = comment.trim().to_owned();
        let request =
            PromoteRequest { environment: key.clone(), version, comment, override_quarantine: true };
        app.engine.promote(&request, &act::person(&principal, &key.project)).await?;
        Ok(format!("{} is proposed for {key} once more.", request.version))
    };
    finish(&app, &principal, &key, done.await).await
}

pub(super) fn gone(app: &App, principal: &Principal, name: &str) -> Response {
    or_error(
        app,
        principal,
        Err(Problem::not_found(format!("there is no environment `{name}` that you can see"))),
    )
}

pub(super) async fn finish(
    app: &App,
    principal: &Principal,
    key: &EnvironmentKey,
    done: Result<String, Refusal>,
) -> Response {
    match done {
        Ok(said) => act::done(app, &page_of(key), &said),
        Err(Refusal::Instead(problem)) => or_error(app, principal, Err(problem)),
        Err(Refusal::OnPage(reason)) => {
            act::conflict(app, principal, render(app, principal, key, act::not_done(reason)).await)
        }
    }
}
