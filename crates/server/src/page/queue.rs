//! The queue of the agents.

use axum::extract::State;
use axum::response::Response;
use towpath_ui::page;
use towpath_ui::view::{QueueView, RunningRow, WaitingRow};

use super::shell::{Reader, frame, html, live, or_error};
use crate::app::App;
use crate::auth::Principal;
use crate::problem::Problem;
use crate::rest::queue_as_seen;

/// Shows the queue.
pub(super) async fn show(State(app): State<App>, Reader(principal): Reader) -> Response {
    or_error(&app, &principal, render(&app, &principal).await)
}

async fn render(app: &App, principal: &Principal) -> Result<Response, Problem> {
    let queue = queue_as_seen(app, principal).await?;
    let waiting = queue.waiting.into_iter().map(|waiting| WaitingRow {
        title: waiting.title,
        project: waiting.project,
        run: waiting.run,
        reason: waiting.reason,
        since: waiting.queued_at,
        eta: waiting.eta,
        priority: waiting.priority,
    });
    let running = queue.running.into_iter().map(|running| RunningRow {
        title: running.title,
        since: running.started_at,
        usually: running.usually,
    });
    let view = QueueView {
        shell: frame(app, principal, live(None), None).await?,
        waiting: waiting.collect(),
        waiting_in_all: queue.waiting_in_all,
        running: running.collect(),
        agents: queue.agents,
        free: queue.free,
    };
    Ok(html(page::queue(&view)))
}
