//! One Release: what it is made of, what is known of it, and how far it has come.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_artifact::{ReleaseManifest, release::MAX_BYTES, verify_release};
use towpath_engine::{Engine, Journey, JourneyStep, PromoteRequest, RevokedPlace};
use towpath_model::environment::{Outcome, Promotion};
use towpath_model::pipeline::Origin;
use towpath_model::revocation::{OnRevocation, Revocation};
use towpath_model::run::Run;
use towpath_model::{EnvironmentKey, EnvironmentName, ProjectName};
use towpath_store::core::runs;
use towpath_ui::view::{
    Action, ActionKind, ArtifactRow, Commit, EvidenceRow, JourneyStage, Leg, Notice, ReleaseView,
    State as Look, WorkloadRow,
};
use towpath_ui::{page, routes};

use super::act::{self, Refusal};
use super::shell::{Reader, Said, frame, html, live, or_error};
use super::{run, words};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action as Deed, Principal};
use crate::problem::Problem;

/// The most bytes of a signature's envelope.
const MAX_ENVELOPE: u64 = 1 << 20;

/// Where a Release shall go.
#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    comment: String,
    environment: EnvironmentName,
}

/// What to take back.
#[derive(Debug, Deserialize)]
pub(super) struct Taken {
    #[serde(default)]
    comment: String,
    rollback: Option<String>,
}

/// Shows a Release.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path((project, version)): Path<(String, String)>,
    Said(said): Said,
) -> Response {
    let shown = said.is_some();
    let page = render(&app, &principal, &project, &version, said).await;
    act::forget(&app, shown, or_error(&app, &principal, page))
}

async fn render(
    app: &App,
    principal: &Principal,
    project: &str,
    version: &str,
    notice: Option<Notice>,
) -> Result<Response, Problem> {
    let project = act::project(principal, project)?;
    let journey = app.engine.journey(&project, version).await?;
    let run = runs::find(&mut *app.db.reader().await?, journey.release.run).await?;
    let (artifacts, signature) = stored(&app.engine, &journey).await?;
    let revocation = app.engine.revocation(journey.release.digest).await?;
    let Journey { release, manifest, steps } = &journey;
    let bare = || Commit { sha: release.commit.clone(), subject: String::new(), author: String::new() };
    let view = ReleaseView {
        shell: frame(app, principal, live(Some(&project)), notice).await?,
        version: release.version.clone(),
        digest: release.digest.to_string(),
        commit: run.as_ref().map_or_else(bare, |run| words::commit(&run.cause)),
        run: run.as_ref().map(|run| run.number),
        sealed: release.created_at,
        signature,
        revoked: revocation.as_ref().map(|revoked| revoked_words(revoked, jiff::Timestamp::now())),
        artifacts,
        workloads: workloads(manifest),
        evidence: evidence(&journey, run.as_ref()),
        journey: stages(steps),
        actions: actions(principal, &project, &journey, revocation.as_ref()),
        project: project.into(),
    };
    Ok(html(page::release(&view)))
}

/// The Artifacts with their sizes, and whether the signature holds: checked against the bytes, each time.
async fn stored(engine: &Engine, journey: &Journey) -> Result<(Vec<ArtifactRow>, (Look, String)), Problem> {
    let (content, trusted) = (engine.content().clone(), engine.release_key().clone());
    let (digest, envelope) = (journey.release.digest, journey.release.signature);
    let wanted = journey.manifest.artifacts.clone();
    let read = tokio::task::spawn_blocking(move || {
        let rows = wanted.iter().map(|(name, digest)| run::artifact(&content, name, *digest)).collect();
        let manifest = content.read(digest, MAX_BYTES as u64);
        let signature = match (manifest, content.read(envelope, MAX_ENVELOPE)) {
            (Ok(manifest), Ok(envelope)) => match verify_release(&manifest, &envelope, &trusted) {
                Ok(_) => (Look::Passed, "holds, by this server's key".to_owned()),
                Err(error) => (Look::Failed, format!("does not hold: {error}")),
            },
            (Err(error), _) | (_, Err(error)) => (Look::Failed, format!("cannot be checked: {error}")),
        };
        (rows, signature)
    });
    read.await.map_err(|error| Problem::internal(&error))
}

fn workloads(manifest: &ReleaseManifest) -> Vec<WorkloadRow> {
    let row = |workload: &towpath_model::pipeline::Workload| WorkloadRow {
        name: workload.name.to_string(),
        artifact: match workload.origin() {
            Origin::Artifact(artifact) => artifact.to_string(),
            Origin::Image(image) => image.to_owned(),
        },
        command: workload.command.clone().unwrap_or_else(|| "what the image runs".to_owned()),
    };
    manifest.workloads.iter().map(row).collect()
}

/// What is known: the tests of its Run, and what the manifest names.
fn evidence(journey: &Journey, run: Option<&Run>) -> Vec<EvidenceRow> {
    let tested = run.into_iter().flat_map(|run| &run.jobs).filter_map(|job| {
        let tests = job.attempts.iter().rev().find_map(|attempt| attempt.tests)?;
        let state = if tests.failed == 0 { Look::Passed } else { Look::Failed };
        let summary = format!(
            "`{}`: {} passed, {} failed, {} skipped",
            job.name, tests.passed, tests.failed, tests.skipped
        );
        Some(EvidenceRow { kind: "tests".to_owned(), summary, state, digest: None })
    });
    let named = |kind: &str, summary: &str, digest: towpath_model::Digest| EvidenceRow {
        kind: kind.to_owned(),
        summary: summary.to_owned(),
        state: Look::Passed,
        digest: Some(digest.to_string()),
    };
    let manifest = &journey.manifest;
    tested
        .chain([
            named("source", "the tree that every job saw", manifest.source_tree),
            named("pipeline", "the file that was run", manifest.pipeline),
            named("signature", "a DSSE envelope over the manifest", journey.release.signature),
        ])
        .collect()
}

/// The way, Stage by Stage.
fn stages(steps: &[JourneyStep]) -> Vec<JourneyStage> {
    let mut stages: Vec<JourneyStage> = Vec::new();
    for step in steps {
        match stages.last_mut().filter(|stage| stage.name == step.stage) {
            Some(stage) => stage.legs.push(leg(step)),
            None => stages.push(JourneyStage { name: step.stage.clone(), legs: vec![leg(step)] }),
        }
    }
    stages
}

fn leg(step: &JourneyStep) -> Leg {
    let environment = step.environment.environment.to_string();
    let Some(promotion) = &step.promotion else {
        let reason =
            if step.waits.is_empty() { "it has not come here yet".to_owned() } else { step.waits.join("; ") };
        return Leg {
            environment,
            promotion: None,
            state: Look::Empty,
            reason: Some(reason),
            gates: Vec::new(),
            rollout: None,
            verification: None,
            finished: None,
        };
    };
    let reason = match &promotion.outcome {
        Some(Outcome::Succeeded) if !step.serves => {
            Some("it served here; another release does now".to_owned())
        }
        Some(outcome) => Some(outcome.reason()),
        None => words::some(&own_waits(promotion, &step.waits)),
    };
    let state = words::promotion_state(promotion);
    let rollout = promotion.rollout.as_ref().map(|_| (state, words::phase(promotion)));
    let verification = (promotion.rollout.is_some() && !promotion.plan.verify.is_empty()).then(|| {
        let checks = super::rollout::checks(promotion);
        let passed = checks.iter().filter(|check| check.state == Look::Passed).count();
        let state = checks.iter().map(|check| check.state).find(|state| *state != Look::Passed);
        let words = if checks.iter().all(|check| check.state == Look::Skipped) {
            "it was not reached".to_owned()
        } else {
            format!("{passed} of {} checks passed", checks.len())
        };
        (state.unwrap_or(Look::Passed), words)
    });
    Leg {
        environment,
        promotion: Some(promotion.id.to_string()),
        state,
        reason,
        gates: words::gates(promotion),
        rollout: if promotion.outcome.is_none() { rollout } else { None },
        verification,
        finished: promotion.finished_at,
    }
}

/// What the Environment waits for on behalf of this Promotion.
fn own_waits(promotion: &Promotion, waits: &[String]) -> String {
    let version = &promotion.revision.version;
    let own = |wait: &&String| match promotion.rollout {
        Some(_) => wait.starts_with("the Rollout of "),
        None => wait.starts_with(version.as_str()),
    };
    waits.iter().filter(own).cloned().collect::<Vec<_>>().join("; ")
}

/// Why it starts nowhere any more, and what is under way against that.
fn revoked_words(revoked: &Revocation, now: jiff::Timestamp) -> String {
    let waits = revoked.waits(now).map(|waits| format!("; {waits}")).unwrap_or_default();
    format!("{}{waits}", revoked.words())
}

/// Promote and revoke. What is revoked can only be let start again.
fn actions(
    principal: &Principal,
    project: &ProjectName,
    journey: &Journey,
    revocation: Option<&Revocation>,
) -> Vec<Action> {
    let release = &journey.release;
    let page = routes::release(project.as_str(), &release.version);
    if revocation.is_some() {
        let consequence = format!(
            "{} may be promoted and gone back to again. Nothing of it starts by itself. Where a document says `unrevoke: together`, a \
             second person has to agree.",
            release.version
        );
        let action = Action::on(&page, ActionKind::Unrevoke, "Let it start again", consequence);
        return vec![action.unless(act::refused(principal, Deed::Resume, project))];
    }
    let refused = act::refused(principal, Deed::RollBack, project);
    let stays = format!(
        "{} starts nowhere any more: what of it waits ends, and a rollout of it stays at its share. Where it serves, it serves on.",
        release.version
    );
    let goes = format!(
        "{} starts nowhere any more, and every environment that it serves in or moves to goes back to the newest release that is not \
         revoked.",
        release.version
    );
    let revoke = Action::on(&page, ActionKind::Revoke, "Revoke", stays).unless(refused.clone());
    let back = Action::on(&page, ActionKind::Revoke, "Revoke and roll back", goes);
    let back = back.sending("rollback", "yes").unless(refused);
    promotions(principal, project, journey).into_iter().chain([revoke, back]).collect()
}

/// Promote, for every Environment in which it is not, and is not on its way to.
fn promotions(principal: &Principal, project: &ProjectName, journey: &Journey) -> Vec<Action> {
    let version = &journey.release.version;
    let page = routes::release(project.as_str(), version);
    let refused = act::refused(principal, Deed::Promote, project);
    let open = |step: &&JourneyStep| {
        !step.serves && step.promotion.as_ref().is_none_or(|promotion| promotion.outcome.is_some())
    };
    let action = |step: &JourneyStep| {
        let environment = &step.environment.environment;
        let consequence = format!(
            "Proposes {version} for `{}`. It enters when every gate there is open; what waits there now is superseded.",
            step.environment
        );
        Action::on(&page, ActionKind::Promote, format!("Promote to {environment}"), consequence)
            .sending("environment", environment)
            .unless(refused.clone())
    };
    journey.steps.iter().filter(open).map(action).collect()
}

/// Takes a Release back.
pub(super) async fn revoke(
    State(app): State<App>,
    Path((project, version)): Path<(String, String)>,
    form: CheckedForm<Taken>,
) -> Response {
    let CheckedForm { principal, fields: Taken { comment, rollback } } = form;
    let done = async {
        let name = act::project(&principal, &project)?;
        let _permit = principal.may(Deed::RollBack, Some(&name))?;
        let person = act::person(&principal, &name);
        let then = if rollback.is_some() { OnRevocation::RollBack } else { OnRevocation::Hold };
        let revoked = app.engine.revoke(&name, &version, &comment, then, &person).await?;
        let place = |place: &RevokedPlace| format!("{}: {}", place.environment.environment, place.text);
        let places: Vec<String> = revoked.places.iter().map(place).collect();
        let places = if places.is_empty() { "It serves nowhere.".to_owned() } else { places.join("; ") };
        Ok(format!("{version} is revoked. {places}"))
    };
    finish(&app, &principal, (&project, &version), done.await).await
}

/// Lets a revoked Release start again, or asks a second person to.
pub(super) async fn unrevoke(
    State(app): State<App>,
    Path((project, version)): Path<(String, String)>,
    form: CheckedForm<act::Comment>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let done = async {
        let name = act::project(&principal, &project)?;
        let _permit = principal.may(Deed::Resume, Some(&name))?;
        let person = act::person(&principal, &name);
        let revoked = app.engine.unrevoke(&name, &version, fields.comment.trim(), &person).await?;
        Ok(match revoked.revocation {
            None => format!("{version} may start again."),
            Some(_) => format!("{version} stays revoked until a second person agrees."),
        })
    };
    finish(&app, &principal, (&project, &version), done.await).await
}

/// Proposes a Release for an Environment.
pub(super) async fn promote(
    State(app): State<App>,
    Path((project, version)): Path<(String, String)>,
    form: CheckedForm<Wish>,
) -> Response {
    let CheckedForm { principal, fields: Wish { comment, environment } } = form;
    let done = async {
        let name = act::project(&principal, &project)?;
        let _permit = principal.may(Deed::Promote, Some(&name))?;
        let person = act::person(&principal, &name);
        let key = EnvironmentKey { project: name, environment };
        let comment = comment.trim().to_owned();
        let (version, override_quarantine) = (version.clone(), false);
        let request = PromoteRequest { environment: key, version, comment, override_quarantine };
        app.engine.promote(&request, &person).await?;
        Ok(format!("{} is proposed for {}.", request.version, request.environment))
    };
    finish(&app, &principal, (&project, &version), done.await).await
}

async fn finish(
    app: &App,
    principal: &Principal,
    (project, version): (&str, &str),
    done: Result<String, Refusal>,
) -> Response {
    match done {
        Ok(said) => act::done(app, &routes::release(project, version), &said),
        Err(Refusal::Instead(problem)) => or_error(app, principal, Err(problem)),
        Err(Refusal::OnPage(reason)) => {
            let page = render(app, principal, project, version, act::not_done(reason)).await;
            act::conflict(app, principal, page)
        }
    }
}
