//! What starts the Runs of a Project, for its page; and the form that starts one.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Response;
use towpath_model::ProjectName;
use towpath_model::input::{Input, InputKind};
use towpath_store::core::sources::Watched;
use towpath_store::core::standing::{Standing, Trigger};
use towpath_ui::routes;
use towpath_ui::view::{InputField, SourceRow, StandingRow, StartForm, TriggersView};

use super::act::{self, Refusal};
use super::shell::or_error;
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action as Deed, Principal};
use crate::problem::Problem;

/// Fills the part of the page.
pub(super) async fn view(
    app: &App,
    principal: &Principal,
    project: &ProjectName,
) -> Result<TriggersView, Problem> {
    let standing = app.engine.standing_triggers(project).await?.into_iter().map(row).collect();
    let source = match app.engine.source(project).await? {
        Some(watched) => Some(source(watched, app.engine.status_failure(project).await?)),
        None => None,
    };
    let file = app.engine.default_triggers(project).await?.filter(|file| file.manual);
    let start = file.map(|file| StartForm {
        url: routes::start(project.as_str()),
        branch: String::new(),
        inputs: file.inputs.into_iter().map(field).collect(),
        refused: act::refused(principal, Deed::ControlRun, project),
    });
    Ok(TriggersView { standing, source, start })
}

fn row(standing: Standing) -> StandingRow {
    let Standing { project: _, position: _, trigger, last_at, last } = standing;
    let (what, next) = match trigger {
        Trigger::Schedule { schedule, next_at } => {
            let branch = schedule.branch.map(|branch| format!(" on {branch}")).unwrap_or_default();
            (format!("{}{branch}", schedule.cron), next_at)
        }
        Trigger::Release(release) if release.versions.is_empty() => {
            (format!("a Release of {}", release.project), None)
        }
        Trigger::Release(release) => {
            (format!("a Release of {} that fits {}", release.project, release.versions.join(", ")), None)
        }
    };
    StandingRow { what, next, last: last_at.map(|at| (at, last)) }
}

fn source(watched: Watched, status_error: Option<String>) -> SourceRow {
    let Watched { source, hook, next_look, contact_at, error, hook_at, .. } = watched;
    let polled = source.poll.map_or_else(|| "not polled".to_owned(), |poll| format!("polled every {poll} s"));
    let hooked = if hook.is_some() { "webhooks are taken" } else { "no webhook is set up" };
    let words = vec![
        format!("{polled}; {hooked}"),
        format!("pull requests of forks: {}; statuses: {}", source.fork_runs.word(), source.statuses.word()),
    ];
    let errors = Some(error).filter(|error| !error.is_empty()).into_iter().chain(status_error).collect();
    let url = source.url.to_string();
    SourceRow { url, words, contact: contact_at, hook: hook_at, next: next_look, errors }
}

fn field(input: Input) -> InputField {
    let Input { name, description, kind, required, default } = input;
    let word = kind.word().to_owned();
    let options = match kind {
        InputKind::Choice { options } => options,
        InputKind::Boolean => vec!["true".to_owned(), "false".to_owned()],
        InputKind::String | InputKind::Number => Vec::new(),
    };
    InputField { name, description, kind: word, options, required, default }
}

/// Starts a Run.
pub(super) async fn start(
    State(app): State<App>,
    Path(project): Path<String>,
    form: CheckedForm<BTreeMap<String, String>>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let done = async {
        let project = act::project(&principal, &project)?;
        let _permit = principal.may(Deed::ControlRun, Some(&project))?;
        let reference = fields.get("ref").map(|text| text.trim()).unwrap_or_default();
        // A field that was left empty says nothing, so the default holds.
        let inputs = fields.iter().filter(|(_, value)| !value.is_empty());
        let inputs =
            inputs.filter_map(|(name, value)| Some((name.strip_prefix("input.")?.to_owned(), value.clone())));
        let person = act::person(&principal, &project);
        let run = app.engine.start_run(&project, reference, &inputs.collect(), &person).await?;
        Ok::<_, Refusal>((routes::run(project.as_str(), run.number), format!("{} was started.", run.title())))
    };
    match done.await {
        Ok((page, said)) => act::done(&app, &page, &said),
        Err(Refusal::Instead(problem)) => or_error(&app, &principal, Err(problem)),
        Err(Refusal::OnPage(reason)) => or_error(&app, &principal, Err(Problem::conflict(reason))),
    }
}
