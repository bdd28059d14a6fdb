//! Repositories elsewhere, and what starts Runs.

use axum::Json;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use rand::Rng as _;
use towpath_api::rest::{Look, NewHook, Schedule, SetSource, Source, Triggers};
use towpath_artifact::SecretValue;
use towpath_engine::SourceSecrets;
use towpath_model::ProjectName;
use towpath_model::source::{Forge, ForkRuns, Scheme, SourceUrl, Statuses};
use towpath_store::core::sources::Watched;
use towpath_store::core::standing::Trigger;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// How often a source is looked at unless told otherwise, in seconds.
const POLL: u32 = 300;

/// The shortest time between two looks, in seconds.
const SHORTEST_POLL: u32 = 10;

/// The longest, in seconds.
const LONGEST_POLL: u32 = 7 * 24 * 3600;

/// Shows where a Project is mirrored from.
#[utoipa::path(get, path = "/api/v1/projects/{project}/source", responses((status = 200, body = Source)))]
pub(super) async fn show(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
) -> Result<Json<Source>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    Ok(Json(wire(&app, &project).await?))
}

/// Makes a Project a mirror of a repository elsewhere, or changes how it is one.
#[utoipa::path(put, path = "/api/v1/projects/{project}/source", request_body = SetSource, responses((status = 200, body = Source)))]
pub(super) async fn set(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
    Json(new): Json<SetSource>,
) -> Result<Json<Source>, Problem> {
    let _permit = principal.may(Action::ManageSecrets, Some(&project))?;
    let before = app.engine.source(&project).await?.map(|watched| watched.source);
    let SetSource { url, forge, poll, fork_runs, statuses, context, comments, token, github_app, ssh_key } =
        new;
    let given = url.as_deref().map(SourceUrl::parse).transpose();
    let given = given.map_err(|error| Problem::invalid(error.to_string()))?;
    let url = given.clone().or(before.as_ref().map(|before| before.url.clone()));
    let url = url.ok_or_else(|| Problem::invalid("the source needs a `url`"))?;
    if given.is_some() && url.scheme() == Scheme::File {
        // A directory of the host can hold anything that the server's user can read.
        let _permit = principal.may(Action::CreateProject, None)?;
    }
    let poll = match (poll, &before) {
        (Some(0), _) => None,
        (Some(seconds), _) if (SHORTEST_POLL..=LONGEST_POLL).contains(&seconds) => Some(seconds),
        (Some(_), _) => {
            let bounds = format!("`poll` is 0 or {SHORTEST_POLL} to {LONGEST_POLL} seconds");
            return Err(Problem::invalid(bounds));
        }
        (None, Some(before)) => before.poll,
        (None, None) => Some(POLL),
    };
    let context = context.or(before.as_ref().map(|before| before.context.clone()));
    let context = context.unwrap_or_else(|| "towpath".to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./ ".contains(c);
    if context.is_empty() || context.len() > 64 || !context.chars().all(plain) {
        return Err(Problem::invalid("`context` is up to 64 letters, digits and `-_./`"));
    }
    let forge = forge.or(before.as_ref().filter(|_| given.is_none()).map(|before| before.forge));
    let source = towpath_model::source::Source {
        forge: forge.unwrap_or_else(|| Forge::guess(&url)),
        url,
        poll,
        fork_runs: fork_runs.or(before.as_ref().map(|before| before.fork_runs)).unwrap_or(ForkRuns::Approve),
        statuses: statuses.or(before.as_ref().map(|before| before.statuses)).unwrap_or(Statuses::Run),
        context,
        comments: comments.or(before.as_ref().map(|before| before.comments)).unwrap_or(false),
    };
    let secret = |text: Option<String>| text.map(|text| SecretValue::new(text.trim().as_bytes().to_vec()));
    let token = match github_app {
        Some(id) if source.forge == Forge::Github => {
            let made = towpath_engine::github_app(&id, token.as_deref().unwrap_or_default());
            Some(made.map_err(Problem::invalid)?)
        }
        Some(_) => {
            return Err(Problem::invalid(format!(
                "a GitHub App belongs to GitHub, and {} is said to be {}; `forge` says what it is",
                source.url,
                source.forge.word()
            )));
        }
        None => secret(token),
    };
    let secrets = SourceSecrets { token, ssh_key: secret(ssh_key), hook: None };
    app.engine.set_source(&project, &source, secrets, &principal.person(Some(&project))).await?;
    Ok(Json(wire(&app, &project).await?))
}

/// Makes a new secret for the webhook of a Project; the old one is void.
#[utoipa::path(post, path = "/api/v1/projects/{project}/source/hook", responses((status = 200, body = NewHook)))]
pub(super) async fn hook(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
) -> Result<Json<NewHook>, Problem> {
    let _permit = principal.may(Action::ManageSecrets, Some(&project))?;
    let watched = found(&app, &project).await?;
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    // As text for forges that take any, and as Standard Webhooks writes a key.
    let secret = format!("whsec_{}", BASE64.encode(bytes));
    let secrets = SourceSecrets { hook: Some(SecretValue::from(secret.clone())), ..SourceSecrets::default() };
    app.engine.set_source(&project, &watched.source, secrets, &principal.person(Some(&project))).await?;
    Ok(Json(NewHook { url: hook_url(&app, &project), secret }))
}

/// Looks at the source now.
#[utoipa::path(post, path = "/api/v1/projects/{project}/source/look", responses((status = 200, body = Look)))]
pub(super) async fn look(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
) -> Result<Json<Look>, Problem> {
    let _permit = principal.may(Action::ControlRun, Some(&project))?;
    Ok(Json(Look { lines: app.engine.look(&project).await? }))
}

/// Shows what starts the Runs of a Project, and when the next is due.
#[utoipa::path(get, path = "/api/v1/projects/{project}/triggers", responses((status = 200, body = Triggers)))]
pub(super) async fn triggers(
    State(app): State<App>,
    principal: Principal,
    Path(project): Path<ProjectName>,
) -> Result<Json<Triggers>, Problem> {
    let _permit = principal.may(Action::View, Some(&project))?;
    let mut triggers = Triggers::default();
    for standing in app.engine.standing_triggers(&project).await? {
        match standing.trigger {
            Trigger::Schedule { schedule, next_at } => triggers.schedules.push(Schedule {
                cron: schedule.cron.text().to_owned(),
                timezone: schedule.cron.zone().to_owned(),
                branch: schedule.branch,
                next: next_at,
                last_at: standing.last_at,
                last: standing.last,
            }),
            Trigger::Release(release) => {
                triggers.releases.insert(release.project.to_string(), release.versions);
            }
        }
    }
    if let Some(file) = app.engine.default_triggers(&project).await? {
        triggers.manual = file.manual;
        triggers.inputs = file.inputs;
    }
    Ok(Json(triggers))
}

async fn found(app: &App, project: &ProjectName) -> Result<Watched, Problem> {
    app.engine.source(project).await?.ok_or_else(|| {
        Problem::not_found(format!("{project} is hosted here and mirrors nothing"))
            .hint(format!("`towpath source set {project} https://host/owner/repository` makes it a mirror"))
    })
}

/// Where webhooks of a Project are taken.
pub(crate) fn hook_url(app: &App, project: &ProjectName) -> String {
    format!("{}/hooks/{project}", app.public_url.as_str().trim_end_matches('/'))
}

async fn wire(app: &App, project: &ProjectName) -> Result<Source, Problem> {
    let watched = found(app, project).await?;
    let Watched { source, token, ssh_key, hook, next_look, contact_at, error, said, hook_at, .. } = watched;
    Ok(Source {
        url: source.url.to_string(),
        forge: source.forge,
        poll: source.poll,
        fork_runs: source.fork_runs,
        statuses: source.statuses,
        context: source.context,
        comments: source.comments,
        token: token.is_some(),
        ssh_key: ssh_key.is_some(),
        hook: hook.is_some().then(|| hook_url(app, project)),
        contact_at,
        hook_at,
        next_look,
        error,
        said,
        status_error: app.engine.status_failure(project).await?,
    })
}
