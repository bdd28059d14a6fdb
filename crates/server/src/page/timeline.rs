//! Who did what.

use std::collections::BTreeSet;

use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_model::ProjectName;
use towpath_store::core::runs;
use towpath_store::timeline::{self, Entry};
use towpath_ui::page;
use towpath_ui::view::{TimelineEntry, TimelineFilter, TimelineView};

use super::decisions;
use super::shell::{Reader, frame, html, live, or_error};
use crate::app::App;
use crate::auth::{Action, Principal};
use crate::events::visible;
use crate::problem::Problem;

/// How many entries a page shows.
const LENGTH: usize = 100;

/// How many entries are read at once.
const BATCH: u32 = 200;

/// How many batches are read for one page: a rare filter then gives a shorter page and a link to older ones.
const BATCHES: usize = 20;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    project: String,
    #[serde(default)]
    environment: String,
    #[serde(default)]
    actor: String,
    before: Option<i64>,
}

/// Shows a page of the timeline.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Query(wanted): Query<Wanted>,
) -> Response {
    let shown = async {
        let (found, older) = read(&app, &principal, &wanted).await?;
        let mut entries = Vec::new();
        for entry in &found {
            entries.push(line(&app, entry).await?);
        }
        let names = |each: fn(&TimelineEntry) -> Option<String>| {
            entries.iter().filter_map(each).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let projects = app.git.projects().await?;
        let seen = |name: &ProjectName| principal.may(Action::View, Some(name)).is_ok();
        let Wanted { project, environment, actor, before: _ } = wanted;
        let view = TimelineView {
            shell: frame(&app, &principal, live(None), None).await?,
            filter: TimelineFilter { project, environment, actor },
            projects: projects.into_iter().filter(seen).map(Into::into).collect(),
            environments: names(|entry| entry.environment.clone()),
            actors: names(|entry| Some(entry.actor.clone())),
            entries,
            older: older.and_then(|seq| seq.try_into().ok()),
        };
        Ok(html(page::timeline(&view)))
    };
    or_error(&app, &principal, shown.await)
}

/// Reads back until a page is full. Says where older entries go on.
async fn read(
    app: &App,
    principal: &Principal,
    wanted: &Wanted,
) -> Result<(Vec<Entry>, Option<i64>), Problem> {
    let project = Some(wanted.project.as_str()).filter(|project| !project.is_empty());
    let asked = |wanted: &str, found: Option<&str>| wanted.is_empty() || found == Some(wanted);
    let fits = |entry: &Entry| {
        visible(principal, entry)
            && asked(&wanted.environment, entry.environment.as_deref())
            && asked(&wanted.actor, Some(decisions::actor(&entry.actor)))
    };
    let mut reader = app.db.reader().await?;
    let mut entries = Vec::new();
    let mut before = wanted.before.unwrap_or(i64::MAX);
    for _ in 0..BATCHES {
        let batch = timeline::before(&mut reader, before, project, BATCH).await?;
        let whole = batch.len() == BATCH as usize;
        for entry in batch {
            before = entry.seq;
            if fits(&entry) {
                entries.push(entry);
            }
            if entries.len() == LENGTH {
                return Ok((entries, Some(before).filter(|seq| *seq > 1)));
            }
        }
        if !whole {
            return Ok((entries, None));
        }
    }
    Ok((entries, Some(before)))
}

async fn line(app: &App, entry: &Entry) -> Result<TimelineEntry, Problem> {
    let id = entry.subject.strip_prefix("run:").and_then(|id| id.parse().ok());
    let run = match id {
        Some(id) => runs::title(&mut *app.db.reader().await?, id).await?,
        None => None,
    };
    Ok(decisions::line(entry, run.map(|(_, number)| number)))
}
