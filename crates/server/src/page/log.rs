//! The log of an Attempt: lines for the page, bytes for the download.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Deserialize;
use towpath_model::AttemptId;
use towpath_store::core::attempts;
use towpath_ui::groups::Group;
use towpath_ui::log;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// The most lines in one answer.
const MOST: usize = 2000;

/// How much of a download is read at once.
const CHUNK: usize = 256 * 1024;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    from: i64,
    limit: Option<usize>,
}

/// Answers with lines as HTML; see [`towpath_ui::log`].
pub(super) async fn lines(
    State(app): State<App>,
    principal: Principal,
    Path(attempt): Path<AttemptId>,
    Query(Wanted { from, limit }): Query<Wanted>,
) -> Result<Response, Problem> {
    visible(&app, &principal, attempt).await?;
    let limit = limit.unwrap_or(500).min(MOST);
    let (shared, logs) = (app.clone(), Arc::clone(app.engine.logs()));
    let read = tokio::task::spawn_blocking(move || shared.log_index.lines(&logs, attempt, from, limit));
    let page = read.await.map_err(|error| Problem::internal(&error))?;
    let page = page.map_err(towpath_engine::EngineError::from)?;
    let headers = [
        ("content-type", "text/html; charset=utf-8".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-log-first", page.first.to_string()),
        ("x-log-total", page.total.to_string()),
        ("x-log-open", page.open.to_string()),
    ];
    let markup = log::lines(page.first, page.lines.iter().map(String::as_str));
    Ok((headers, markup.into_string()).into_response())
}

/// Answers with the headings of a log and how far each reaches; see [`towpath_ui::groups`].
pub(super) async fn groups(
    State(app): State<App>,
    principal: Principal,
    Path(attempt): Path<AttemptId>,
) -> Result<Json<Vec<Group>>, Problem> {
    visible(&app, &principal, attempt).await?;
    let (shared, logs) = (app.clone(), Arc::clone(app.engine.logs()));
    let read = tokio::task::spawn_blocking(move || shared.log_index.groups(&logs, attempt));
    let groups = read.await.map_err(|error| Problem::internal(&error))?;
    Ok(Json(groups.map_err(towpath_engine::EngineError::from)?))
}

/// Answers with the log as it was written, as far as it goes.
pub(super) async fn text(
    State(app): State<App>,
    principal: Principal,
    Path(attempt): Path<AttemptId>,
) -> Result<Response, Problem> {
    visible(&app, &principal, attempt).await?;
    let engine = app.engine.clone();
    let chunks = stream::try_unfold(0, move |offset| {
        let engine = engine.clone();
        async move {
            let page = engine.log(attempt, offset, CHUNK).await?;
            let more = !page.bytes.is_empty();
            Ok::<_, towpath_engine::EngineError>(more.then(|| (Bytes::from(page.bytes), page.next)))
        }
    });
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{attempt}.log\"")),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// Refuses whoever may not see the Project that an Attempt belongs to, in the words for one that does not exist.
async fn visible(app: &App, principal: &Principal, attempt: AttemptId) -> Result<(), Problem> {
    let missing = || Problem::not_found(format!("there is no attempt {attempt} that you can see"));
    let owner = attempts::owner(&mut *app.db.reader().await?, attempt).await?;
    let (project, _) = owner.ok_or_else(missing)?;
    principal.may(Action::View, Some(&project)).map(drop).map_err(|_| missing())
}
