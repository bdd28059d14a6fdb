//! The timeline, newest first.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use towpath_api::rest::{Page, TimelineEntry};
use towpath_model::ProjectName;
use towpath_store::core::Connection;
use towpath_store::timeline::{self, Entry};

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::events::visible;
use crate::problem::Problem;
use crate::subject;

/// Converts to the wire.
pub(crate) async fn wire(db: &mut Connection, entry: Entry) -> Result<TimelineEntry, Problem> {
    let Entry { seq, at, actor, project, environment, kind, subject, body } = entry;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let about = subject::name(db, &subject).await?;
    Ok(TimelineEntry { sequence: seq, at, actor, project, environment, kind, subject, about, body })
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub(super) struct Wanted {
    /// Only of this Project.
    #[param(value_type = Option<String>)]
    project: Option<ProjectName>,
    /// The `next` of the page before.
    cursor: Option<i64>,
    /// How many entries, 1 to 200; 50 if absent.
    limit: Option<u32>,
}

/// Lists what happened, newest first.
#[utoipa::path(get, path = "/api/v1/timeline", params(Wanted), responses((status = 200, body = Page<TimelineEntry>)))]
pub(super) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<TimelineEntry>>, Problem> {
    let Wanted { project, cursor, limit } = wanted;
    if let Some(project) = &project {
        let _permit = principal.may(Action::View, Some(project))?;
    }
    let limit = limit.unwrap_or(50).clamp(1, 200);
    let project = project.as_ref().map(ProjectName::as_str);
    let mut reader = app.db.reader().await?;
    let found = timeline::before(&mut reader, cursor.unwrap_or(i64::MAX), project, limit).await?;
    // A page may be short of entries that the caller may not see; only `next` says whether there are more.
    let next = (found.len() == limit as usize).then(|| found.last().map(|entry| entry.seq.to_string()));
    let mut items = Vec::new();
    for entry in found.into_iter().filter(|entry| visible(&principal, entry)) {
        items.push(wire(&mut reader, entry).await?);
    }
    Ok(Json(Page { items, next: next.flatten() }))
}
