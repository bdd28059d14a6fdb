//! Server-sent events: the timeline as it grows.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};
use http::HeaderMap;
use serde::Deserialize;
use tokio::sync::watch;
use towpath_model::ProjectName;
use towpath_store::core::Connection;
use towpath_store::timeline;

use crate::app::App;
use crate::auth::{Action, Principal};
use crate::problem::Problem;
use crate::rest::wire_entry;

/// How long nobody looks at the timeline while no signal comes: what was written beside the engine is seen then.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How long changes are gathered before pages are told of them.
const GATHER: Duration = Duration::from_millis(250);

/// How many entries are sent at once.
const BATCH: u32 = 100;

#[derive(Deserialize)]
pub(crate) struct Wanted {
    project: Option<ProjectName>,
    environment: Option<String>,
    after: Option<i64>,
    /// Only says that something has changed, entry or not: for pages that then fetch themselves again.
    #[serde(default)]
    changes: bool,
}

/// The stream, with a comment line whenever it was silent for long.
type News = KeepAliveStream<BoxStream<'static, Result<Event, Infallible>>>;

struct Cursor {
    app: App,
    news: watch::Receiver<u64>,
    principal: Principal,
    wanted: Wanted,
    seq: i64,
}

/// `GET /api/v1/events`: goes on from `Last-Event-ID` or `?after=`, else from now.
pub(crate) async fn events(
    State(app): State<App>,
    principal: Principal,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Sse<News>, Problem> {
    if let Some(project) = &wanted.project {
        let _permit = principal.may(Action::View, Some(project))?;
    }
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let seq = match last.or(wanted.after) {
        Some(seq) => seq,
        None => timeline::last(&mut app.db.reader().await?).await?,
    };
    let stopping = app.stopping.clone();
    if wanted.changes {
        let news = changes(&app).take_until(stopping.cancelled_owned());
        return Ok(Sse::new(news.boxed()).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))));
    }
    let cursor = Cursor { news: app.engine.signals().timeline(), app, principal, wanted, seq };
    let news = stream::unfold(cursor, |mut cursor| async move {
        let batch = cursor.next().await?;
        Some((stream::iter(batch.into_iter().map(Ok)), cursor))
    });
    let news = news.flatten().take_until(stopping.cancelled_owned());
    Ok(Sse::new(news.boxed()).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// A word whenever something that pages show has changed; many changes at once are one word.
fn changes(app: &App) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let signal = app.engine.signals().timeline();
    stream::unfold(signal, |mut signal| async move {
        signal.changed().await.ok()?;
        tokio::time::sleep(GATHER).await;
        signal.mark_unchanged();
        Some((Ok(Event::default().event("change").data("look again")), signal))
    })
}

impl Cursor {
    /// Waits for entries that the caller asked for and may see; `None` ends the stream.
    async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            // Marked as seen before the look, so that what is written during it wakes the next one.
            self.news.borrow_and_update();
            let mut reader = self.app.db.reader().await.ok()?;
            let entries = timeline::after(&mut reader, self.seq, BATCH).await.ok()?;
            let Some(newest) = entries.last() else {
                drop(reader);
                // An elapsed wait and an ended engine mean the same: look once more.
                let _ = tokio::time::timeout(LOOK_AGAIN, self.news.changed()).await;
                continue;
            };
            self.seq = newest.seq;
            let mut events = Vec::new();
            for entry in entries.into_iter().filter(|entry| self.shows(entry)) {
                events.extend(event(&mut reader, entry).await);
            }
            drop(reader);
            if !events.is_empty() {
                return Some(events);
            }
        }
    }

    fn shows(&self, entry: &timeline::Entry) -> bool {
        let asked = |wanted: Option<&str>, found: Option<&str>| wanted.is_none() || wanted == found;
        asked(self.wanted.project.as_ref().map(ProjectName::as_str), entry.project.as_deref())
            && asked(self.wanted.environment.as_deref(), entry.environment.as_deref())
            && visible(&self.principal, entry)
    }
}

/// Whether the caller may see an entry: their Projects', and their own; all of it for admins.
pub(crate) fn visible(principal: &Principal, entry: &timeline::Entry) -> bool {
    let project = entry.project.as_deref().and_then(|project| project.parse().ok());
    match project {
        Some(project) => principal.may(Action::View, Some(&project)).is_ok(),
        None => principal.may(Action::Operate, None).is_ok() || entry.actor == principal.actor(),
    }
}

async fn event(db: &mut Connection, entry: timeline::Entry) -> Option<Event> {
    let event = Event::default().id(entry.seq.to_string()).event(entry.kind.clone());
    event.json_data(wire_entry(db, entry).await.ok()?).ok()
}
