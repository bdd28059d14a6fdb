//! Who did what.

use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_model::ProjectName;
use towpath_store::timeline::{self, Entry};
use towpath_ui::page;
use towpath_ui::view::{State as Tone, TimelineEntry, TimelineFilter, TimelineView};

use super::shell::{Reader, html, or_error, shell};
use crate::app::App;
use crate::auth::Action;
use crate::events::visible;

/// How many entries a page shows.
const LENGTH: u32 = 100;

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
        let Wanted { project, environment, actor, before } = wanted;
        let mut reader = app.db.reader().await?;
        let narrowed = (!project.is_empty()).then_some(project.as_str());
        let found = timeline::before(&mut reader, before.unwrap_or(i64::MAX), narrowed, LENGTH).await?;
        drop(reader);
        let older = if found.len() == LENGTH as usize { found.last().map(|entry| entry.seq) } else { None };
        let asked = |wanted: &str, found: Option<&str>| wanted.is_empty() || found == Some(wanted);
        let entries: Vec<_> = found
            .into_iter()
            .filter(|entry| visible(&principal, entry))
            .filter(|entry| asked(&environment, entry.environment.as_deref()))
            .filter(|entry| asked(&actor, Some(name(&entry.actor))))
            .map(view)
            .collect();
        let mut actors: Vec<String> = entries.iter().map(|entry| entry.actor.clone()).collect();
        let mut environments: Vec<String> =
            entries.iter().filter_map(|entry| entry.environment.clone()).collect();
        for list in [&mut actors, &mut environments] {
            list.sort();
            list.dedup();
        }
        let projects = app.git.projects().await?;
        let seen = |name: &ProjectName| principal.may(Action::View, Some(name)).is_ok();
        let view = TimelineView {
            shell: shell(&app, Some(&principal), Some("/api/v1/events".to_owned())),
            filter: TimelineFilter { project, environment, actor },
            projects: projects.into_iter().filter(seen).map(Into::into).collect(),
            environments,
            actors,
            entries,
            older: older.and_then(|seq| seq.try_into().ok()),
        };
        Ok(html(page::timeline(&view)))
    };
    or_error(&app, &principal, shown.await)
}

fn name(actor: &str) -> &str {
    match actor.strip_prefix("user:") {
        Some(login) => login,
        None if actor == "system" => "towpath",
        None => actor,
    }
}

fn view(entry: Entry) -> TimelineEntry {
    let Entry { seq, at, actor, project, environment, kind, subject, body } = entry;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let comment = body.get("comment").and_then(|comment| comment.as_str()).map(str::to_owned);
    let subject = subject.split_once(':').map_or(subject.as_str(), |(_, name)| name);
    TimelineEntry {
        sequence: seq.try_into().unwrap_or_default(),
        at,
        actor: name(&actor).to_owned(),
        state: Tone::Passed,
        text: format!("{} {subject}", kind.replace('-', " ")),
        comment,
        project,
        environment,
        href: None,
    }
}
