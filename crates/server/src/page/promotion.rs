//! One Promotion, live while its Rollout runs, and what people do with it.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use towpath_model::environment::{Environment, Promotion, Revision, Vote};
use towpath_model::migration;
use towpath_model::{Digest, EnvironmentKey, PromotionId};
use towpath_store::core::{releases, runs};
use towpath_store::timeline;
use towpath_ui::view::{
    Action, ApprovalRow, Commit, DecisionRow, Notice, PromotionView, Series, State as Look,
};
use towpath_ui::{page, routes};

use super::act::{self, Comment, Refusal};
use super::shell::{Reader, Said, frame, html, live, or_error};
use super::{approvals, decisions, environment, rollout, series, words};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action as Deed, Principal};
use crate::problem::Problem;
use crate::rest::told_of;

/// How many entries of its Environment are searched for decisions about a Promotion.
const SEARCHED: u32 = 500;

/// What an approver sends: their word, and what the page showed them.
#[derive(Debug, Deserialize)]
pub(super) struct Ballot {
    #[serde(default)]
    comment: String,
    binding: Digest,
}

/// Shows a Promotion.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path(id): Path<String>,
    Said(said): Said,
) -> Response {
    let shown = said.is_some();
    let page = render(&app, &principal, &id, said).await;
    act::forget(&app, shown, or_error(&app, &principal, page))
}

/// Answers with what was measured so far.
pub(super) async fn measured(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (promotion, _) = find(&app, &principal, &id).await?;
    let series: Series = series::of(&app.engine, &promotion, app.now()).await?;
    Ok(([(http::header::CACHE_CONTROL, "no-store")], Json(series)).into_response())
}

/// A Promotion that the caller can see, with its Environment.
async fn find(app: &App, principal: &Principal, id: &str) -> Result<(Promotion, Environment), Problem> {
    let missing = || Problem::not_found(format!("there is no promotion {id} that you can see"));
    let id: PromotionId = id.parse().map_err(|_| missing())?;
    let promotion = app.engine.promotion(id).await?;
    let _permit = principal.may(Deed::View, Some(promotion.project())).map_err(|_| missing())?;
    let environment = app.engine.environment(&promotion.environment).await?.environment;
    // The Environment has the newest state of a Promotion that has not ended.
    let promotion = environment.promotion(id).cloned().unwrap_or(promotion);
    Ok((promotion, environment))
}

async fn render(
    app: &App,
    principal: &Principal,
    id: &str,
    notice: Option<Notice>,
) -> Result<Response, Problem> {
    let (promotion, environment) = find(app, principal, id).await?;
    let totals = app.engine.totals(&promotion.environment).await?;
    let series = series::of(&app.engine, &promotion, app.now()).await?;
    let status = app.engine.environment(&promotion.environment).await?;
    let view = PromotionView {
        shell: frame(app, principal, live(Some(promotion.project())), notice).await?,
        id: promotion.id.to_string(),
        project: promotion.project().to_string(),
        environment: promotion.environment.environment.to_string(),
        stage: promotion.plan.stage.to_string(),
        state: words::promotion_state(&promotion),
        reason: reason(&environment, &promotion, &status.waits),
        revision: words::revision_name(&promotion.revision),
        commit: commit(app, &promotion).await?,
        previous: previous(&environment, &promotion).map(words::revision_name),
        plan: plan(&environment, &promotion),
        requested_by: promotion.requested_by.name().to_owned(),
        created: promotion.requested_at,
        finished: promotion.finished_at,
        gates: words::gates(&promotion),
        told: told_of(app, &promotion).await?,
        approvals: promotion.votes.iter().map(approval).collect(),
        rollout: rollout::view(&environment, &promotion, &totals, series),
        checks: rollout::checks(&promotion),
        decisions: history(app, &promotion).await?,
        actions: actions(principal, &environment, &promotion),
    };
    Ok(html(page::promotion(&view)))
}

/// Why it is as it is: the same words that the command line has.
fn reason(environment: &Environment, promotion: &Promotion, waits: &[String]) -> Option<String> {
    if let Some(outcome) = &promotion.outcome {
        return Some(outcome.reason());
    }
    if environment.active.as_ref().is_some_and(|active| active.id == promotion.id) {
        let own: Vec<&str> =
            waits.iter().map(String::as_str).filter(|wait| wait.starts_with("the Rollout of ")).collect();
        return (!own.is_empty()).then(|| own.join("; "));
    }
    let waiting = words::waiting(environment);
    let own = waiting.into_iter().find(|waiting| waiting.promotion == promotion.id.to_string());
    own.map(|own| own.reason)
}

/// What the Environment ran, or runs, before it.
fn previous<'e>(environment: &'e Environment, promotion: &'e Promotion) -> Option<&'e Revision> {
    match &promotion.rollout {
        Some(rollout) => rollout.stable.as_ref(),
        None => environment.current.as_ref().map(|current| &current.revision),
    }
}

/// What will happen, while its Rollout does not show it yet.
fn plan(environment: &Environment, promotion: &Promotion) -> Vec<String> {
    if promotion.rollout.is_some() || promotion.outcome.is_some() {
        return Vec::new();
    }
    plan_words(promotion, previous(environment, promotion))
}

/// What it does to the databases, then how it gets there.
pub(super) fn plan_words(promotion: &Promotion, serves: Option<&Revision>) -> Vec<String> {
    let applied = serves.map_or(&[][..], |serves| &serves.databases);
    let mut words = migration::told(applied, &promotion.revision.databases);
    words.extend(promotion.plan.words(serves.map(|serves| serves.version.as_str())));
    words
}

fn approval(vote: &Vote) -> ApprovalRow {
    ApprovalRow {
        by: vote.login.clone(),
        state: if vote.approve { Look::Open } else { Look::Rejected },
        at: vote.at,
        comment: vote.comment.clone(),
    }
}

/// The commit that a Promotion's Release was built from.
pub(super) async fn commit(app: &App, promotion: &Promotion) -> Result<Commit, Problem> {
    let mut reader = app.db.reader().await?;
    let run = match releases::find(&mut reader, promotion.revision.release).await? {
        Some(release) => runs::find(&mut reader, release.run).await?,
        None => None,
    };
    let bare =
        || Commit { sha: promotion.revision.commit.clone(), subject: String::new(), author: String::new() };
    Ok(run.map_or_else(bare, |run| words::commit(&run.cause)))
}

/// What was decided about it, newest first; holds of its Environment while it was under way belong to it.
async fn history(app: &App, promotion: &Promotion) -> Result<Vec<DecisionRow>, Problem> {
    let mut reader = app.db.reader().await?;
    let project = promotion.project().as_str();
    let entries = timeline::before(&mut reader, i64::MAX, Some(project), SEARCHED).await?;
    let id = promotion.id.to_string();
    let here = Some(promotion.environment.environment.as_str());
    let during = |entry: &timeline::Entry| {
        matches!(entry.kind.as_str(), "environment-held" | "environment-resumed")
            && entry.at >= promotion.requested_at
            && promotion.finished_at.is_none_or(|end| entry.at <= end)
    };
    let about = |entry: &&timeline::Entry| {
        let named = || decisions::Body::of(entry).facts.get("promotion") == Some(&id);
        entry.environment.as_deref() == here && (during(entry) || named())
    };
    Ok(entries.iter().filter(about).map(decisions::decision).collect())
}

fn actions(principal: &Principal, environment: &Environment, promotion: &Promotion) -> Vec<Action> {
    let page = routes::promotion(&promotion.id.to_string());
    let is = |held: &Option<Promotion>| held.as_ref().is_some_and(|held| held.id == promotion.id);
    if environment.in_line().any(|waiting| waiting.id == promotion.id) {
        return approvals::words_of(principal, environment, promotion);
    }
    let Some(rollout) = promotion.rollout.as_ref().filter(|_| is(&environment.active)) else {
        return Vec::new();
    };
    if rollout.is_returning() {
        return Vec::new();
    }
    let held = rollout.held.is_some() || environment.hold.is_some();
    let stay = if held {
        environment::resume_at(principal, environment, &page)
    } else {
        environment::hold_at(principal, environment, &page)
    };
    vec![stay, environment::rollback_at(principal, environment, &page)]
}

/// Says yes.
pub(super) async fn approve(
    State(app): State<App>,
    Path(id): Path<String>,
    form: CheckedForm<Ballot>,
) -> Response {
    vote(&app, &id, form, true).await
}

/// Says no.
pub(super) async fn reject(
    State(app): State<App>,
    Path(id): Path<String>,
    form: CheckedForm<Ballot>,
) -> Response {
    vote(&app, &id, form, false).await
}

/// Lifts the holds that this person may lift.
pub(super) async fn lift(
    State(app): State<App>,
    Path(id): Path<String>,
    form: CheckedForm<Comment>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let done = async {
        let (promotion, environment) = find(&app, &principal, &id).await?;
        let project = promotion.project();
        let _permit = principal.may(Deed::View, Some(project))?;
        let person = act::person(&principal, project);
        app.engine.lift(promotion.id, None, fields.comment.trim(), &person).await?;
        Ok(format!("You lifted the hold of {} for {}.", promotion.revision.version, environment.key))
    };
    finish(&app, &principal, &id, done.await).await
}

async fn vote(app: &App, id: &str, form: CheckedForm<Ballot>, yes: bool) -> Response {
    let CheckedForm { principal, fields: Ballot { comment, binding } } = form;
    let done = async {
        let (promotion, environment) = find(app, &principal, id).await?;
        let project = promotion.project();
        let _permit = principal.may(Deed::Decide, Some(project))?;
        let person = act::person(&principal, project);
        app.engine.vote(promotion.id, yes, comment.trim(), Some(binding), &person).await?;
        let verb = if yes { "approved" } else { "rejected" };
        Ok(format!("You {verb} {} for {}.", promotion.revision.version, environment.key))
    };
    finish(app, &principal, id, done.await).await
}

/// Keeps the Rollout where it is.
pub(super) async fn hold(
    State(app): State<App>,
    Path(id): Path<String>,
    form: CheckedForm<Comment>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let done = async {
        let key = under_way(&app, &principal, &id, Deed::Hold).await?;
        environment::do_hold(&app, &principal, &key, &fields.comment).await
    };
    finish(&app, &principal, &id, done.await).await
}

/// Lets it go on.
pub(super) async fn resume(
    State(app): State<App>,
    Path(id): Path<String>,
    form: CheckedForm<Comment>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let done = async {
        let key = under_way(&app, &principal, &id, Deed::Resume).await?;
        environment::do_resume(&app, &principal, &key, &fields.comment).await
    };
    finish(&app, &principal, &id, done.await).await
}

/// Sends the traffic back.
pub(super) async fn rollback(
    State(app): State<App>,
    Path(id): Path<String>,
    form: CheckedForm<Comment>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let done = async {
        let key = under_way(&app, &principal, &id, Deed::RollBack).await?;
        environment::do_rollback(&app, &principal, &key, None, &fields.comment).await
    };
    finish(&app, &principal, &id, done.await).await
}

/// The Environment of a Rollout that runs: an order for one that has ended must not hit the next one.
async fn under_way(
    app: &App,
    principal: &Principal,
    id: &str,
    deed: Deed,
) -> Result<EnvironmentKey, Refusal> {
    let (promotion, environment) = find(app, principal, id).await?;
    let _permit = principal.may(deed, Some(promotion.project()))?;
    if environment.active.as_ref().is_some_and(|active| active.id == promotion.id) {
        return Ok(environment.key);
    }
    Err(Refusal::OnPage("its Rollout does not run any more; see what became of it".to_owned()))
}

async fn finish(app: &App, principal: &Principal, id: &str, done: Result<String, Refusal>) -> Response {
    match done {
        Ok(said) => act::done(app, &routes::promotion(id), &said),
        Err(Refusal::Instead(problem)) => or_error(app, principal, Err(problem)),
        Err(Refusal::OnPage(reason)) => {
            act::conflict(app, principal, render(app, principal, id, act::not_done(reason)).await)
        }
    }
}
