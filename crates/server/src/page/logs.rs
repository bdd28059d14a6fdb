//! Searching the logs of a Project, and what fails in it.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_api::rest::{JobRetries, RetryInsights};
use towpath_artifact::parse_line;
use towpath_store::core::failures::Recurring;
use towpath_ui::page;
use towpath_ui::view::{FailureRow, LogHit, LogsView, RetryRow};

use super::act;
use super::shell::{Reader, frame, html, or_error};
use crate::app::App;
use crate::problem::Problem;
use crate::rest::retry_insights;

/// The most lines on one page.
const LINES: usize = 100;

/// Of how many days failures are shown.
const DAYS: u32 = 30;

/// How many of them.
const FAILURES: u32 = 50;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    text: String,
    below: Option<u64>,
}

/// Shows what was found, or what fails.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path(project): Path<String>,
    Query(Wanted { text, below }): Query<Wanted>,
) -> Response {
    let shown = async {
        let project = act::project(&principal, &project)?;
        let mut view = LogsView {
            shell: frame(&app, &principal, None, None).await?,
            project: project.to_string(),
            text: text.trim().to_owned(),
            hits: Vec::new(),
            logs: 0,
            below: None,
            failures: Vec::new(),
            retries: Vec::new(),
            budgets: Vec::new(),
        };
        if view.text.is_empty() {
            let found = app.engine.frequent_failures(&project, DAYS, FAILURES).await?;
            view.failures = found.into_iter().map(failure).collect();
            let RetryInsights { budgets, jobs, .. } = retry_insights(&app, &project, DAYS, FAILURES).await?;
            view.retries = jobs.into_iter().map(retries).collect();
            let spent = budgets.into_iter().filter(|budget| budget.spent > 0);
            view.budgets = spent.map(|budget| (budget.class.word(), budget.spent, budget.budget)).collect();
        } else {
            let found = app.engine.search_logs(&project, &view.text, below, LINES).await?;
            (view.logs, view.below) = (found.logs, found.below);
            view.hits = found.hits.into_iter().map(hit).collect();
        }
        Ok::<_, Problem>(html(page::logs(&view)))
    };
    or_error(&app, &principal, shown.await)
}

fn hit(hit: towpath_engine::LogHit) -> LogHit {
    let towpath_engine::LogHit { run, job, attempt, line, text, .. } = hit;
    let said = parse_line(text.as_bytes()).map(|line| String::from_utf8_lossy(line.text).into_owned());
    LogHit { run, job, attempt, line, text: said.unwrap_or(text) }
}

fn retries(found: JobRetries) -> RetryRow {
    let JobRetries { class, job, retries, helped, in_vain, refused, last_run, last_at, last_why } = found;
    RetryRow { class: class.word(), job, retries, helped, in_vain, refused, last_run, last_at, last_why }
}

fn failure(found: Recurring) -> FailureRow {
    let Recurring { count, commits, first, last } = found;
    FailureRow {
        words: last.words.clone(),
        count,
        commits,
        since: first.commit.get(..8).unwrap_or(&first.commit).to_owned(),
        first: first.at,
        last: last.at,
        at: LogHit { run: last.run, job: last.job, attempt: last.number, line: last.line, text: last.words },
    }
}
