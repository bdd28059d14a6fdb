//! Join tokens: each lets one agent of another host in.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use jiff::SignedDuration;
use towpath_api::rest::{CreatedJoinToken, JoinToken, NewJoinToken};
use towpath_artifact::{JoinToken as JoinWord, TokenHash};
use towpath_store::people::By;
use towpath_store::{StoreError, identity};
use url::Url;
use uuid::Uuid;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// How long a join token lives unless told otherwise.
const DEFAULT_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// The longest life of a join token: who holds it becomes an agent.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The most labels of an agent, and the longest name or value of one.
const MAX_LABELS: usize = 64;
const MAX_LABEL: usize = 100;

fn wire(token: identity::JoinToken) -> JoinToken {
    let identity::JoinToken { id, labels, runner, deployer, created_at, expires_at, used } = token;
    let (used_at, used_by) = used.map(|(at, by)| (at, by.to_string())).unzip();
    JoinToken { id: id.to_string(), labels, runner, deployer, created_at, expires_at, used_at, used_by }
}

/// Lists join tokens, newest first.
#[utoipa::path(get, path = "/api/v1/agents/tokens", responses((status = 200, body = Vec<JoinToken>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
) -> Result<Json<Vec<JoinToken>>, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    let tokens = identity::tokens(&mut *app.db.reader().await?).await?;
    Ok(Json(tokens.into_iter().map(wire).collect()))
}

/// Makes a join token. Its secret is shown this once.
#[utoipa::path(post, path = "/api/v1/agents/tokens", request_body = NewJoinToken, responses((status = 201, body = CreatedJoinToken)))]
pub(super) async fn create(
    State(app): State<App>,
    principal: Principal,
    Json(new): Json<NewJoinToken>,
) -> Result<(StatusCode, Json<CreatedJoinToken>), Problem> {
    Ok((StatusCode::CREATED, Json(make(&app, &principal, new).await?)))
}

/// Makes a join token, for an admin.
pub(crate) async fn make(
    app: &App,
    principal: &Principal,
    new: NewJoinToken,
) -> Result<CreatedJoinToken, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    let NewJoinToken { labels, runner, deployer, expires_in, url } = new;
    check_labels(&labels)?;
    if !runner && !deployer {
        return Err(Problem::invalid("an agent that neither runs jobs nor deploys has nothing to do"));
    }
    let life = expires_in.map_or(DEFAULT_LIFE, |seconds| {
        SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
    });
    if life.is_zero() || life > LONGEST_LIFE {
        return Err(Problem::invalid("a join token lives for at least a second and at most 7 days"));
    }
    let url = address(app, url.as_deref())?;
    let now = app.now();
    let token = identity::JoinToken {
        id: Uuid::now_v7(),
        labels,
        runner,
        deployer,
        created_at: now,
        expires_at: now + life,
        used: None,
    };
    let token_word = mint(app, &principal.actor(), url, &token).await?;
    let command = format!("towpath agent join {token_word} --run");
    Ok(CreatedJoinToken { join_token: wire(token), token: token_word, command })
}

/// Stores a join token, and returns what the agent is given.
pub(crate) async fn mint(
    app: &App,
    actor: &str,
    url: String,
    token: &identity::JoinToken,
) -> Result<String, StoreError> {
    let word = JoinWord::generate(url, app.authority.fingerprint(), app.engine.release_key().id());
    let secret = *TokenHash::of(word.secret()).as_raw();
    let mut tx = app.db.begin_write().await?;
    identity::create_token(&mut tx, token, secret, By { actor, at: token.created_at }).await?;
    tx.commit().await?;
    Ok(word.expose().to_string())
}

/// Where the agent will find the server: what the caller says, else what the server knows.
fn address(app: &App, wanted: Option<&str>) -> Result<String, Problem> {
    let own = app.agents_url.as_ref().ok_or_else(|| {
        Problem::conflict("no agent of another host can join: this server speaks HTTPS nowhere").hint(
            "start it with `--agent-listen 0.0.0.0:7879` (HTTPS for agents only) or `--listen 0.0.0.0:7878` (HTTPS for all)",
        )
    })?;
    let Some(wanted) = wanted else { return Ok(own.to_string()) };
    match wanted.parse::<Url>() {
        Ok(url) if url.scheme() == "https" && url.has_host() => Ok(url.to_string()),
        _ => Err(Problem::invalid(format!(
            "`{wanted}` is not an https address; write it as https://host:7878/"
        ))),
    }
}

/// Ends a join token that was not used.
#[utoipa::path(delete, path = "/api/v1/agents/tokens/{id}", responses((status = 204)))]
pub(super) async fn revoke(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    let _permit = principal.may(Action::ManageAgents, None)?;
    let actor = principal.actor();
    let mut tx = app.db.begin_write().await?;
    if !identity::revoke_token(&mut tx, id, By { actor: &actor, at: app.now() }).await? {
        return Err(Problem::not_found(format!("there is no unused join token {id}"))
            .hint("an agent that used one is kept out with `towpath agent revoke`"));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses labels that nobody could write in a document or read in a table.
pub(crate) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Problem> {
    if labels.len() > MAX_LABELS {
        return Err(Problem::invalid(format!("an agent has at most {MAX_LABELS} labels")));
    }
    let is_plain = |text: &String| {
        !text.is_empty()
            && text.len() <= MAX_LABEL
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._/".contains(c))
    };
    match labels.iter().find(|(name, value)| !is_plain(name) || !is_plain(value)) {
        None => Ok(()),
        Some((name, value)) => Err(Problem::invalid(format!(
            "`{}={}` cannot be a label: name and value are 1 to {MAX_LABEL} letters, digits, `-`, `.`, `_` or `/`",
            name.escape_debug(),
            value.escape_debug()
        ))),
    }
}
