//! The tests of a Project, and one of them.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_api::rest::{Quarantine, Test, TestFailure};
use towpath_store::core::tests::Order;
use towpath_ui::page;
use towpath_ui::view::{HushedRow, TestFailureRow, TestRow, TestView, TestsView};

use super::act;
use super::shell::{Reader, frame, html, live, or_error};
use crate::app::App;
use crate::problem::Problem;

/// How many tests are shown at once.
const PART: u32 = 100;

/// The longest text that is looked for.
const LONGEST: usize = 1000;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    like: String,
    #[serde(default)]
    order: String,
    #[serde(default)]
    from: u32,
    /// One of them, whole.
    test: Option<String>,
}

/// Shows all tests, or one.
pub(super) async fn show(
    State(app): State<App>,
    Reader(principal): Reader,
    Path(project): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let shown = async {
        let project = act::project(&principal, &project)?;
        let shell = frame(&app, &principal, live(Some(&project)), None).await?;
        let Wanted { like, order, from, test } = wanted;
        if let Some(id) = test {
            let test = app.engine.test(&project, &id).await?;
            let view = TestView {
                shell,
                project: project.to_string(),
                file: test.file.clone(),
                quarantine: test.quarantine.clone().map(hushed),
                failures: test.last_failures.iter().map(failure).collect(),
                test: row(test),
            };
            return Ok::<_, Problem>(html(page::test(&view)));
        }
        let like: String = like.trim().chars().take(LONGEST).collect();
        let (order, sorted) = match order.as_str() {
            "slowest" => ("slowest", Order::Slowest),
            "name" => ("name", Order::Name),
            _ => ("health", Order::Health),
        };
        let found = app.engine.tests(&project, &like, sorted, from, PART).await?;
        let view = TestsView {
            shell,
            project: project.to_string(),
            like,
            order: order.to_owned(),
            counts: [found.stable, found.failing, found.flaky, found.skipped],
            next: found.more.then(|| from.saturating_add(PART)),
            tests: found.tests.into_iter().map(row).collect(),
            quarantined: found.quarantined.into_iter().map(hushed).collect(),
        };
        Ok(html(page::tests(&view)))
    };
    or_error(&app, &principal, shown.await)
}

fn row(test: Test) -> TestRow {
    let Test { id, job, health, runs, failures, retried, millis, recent, quarantine, .. } = test;
    let hushed = quarantine.is_some_and(|entry| !entry.expired);
    TestRow { id, job, health, runs, failures, retried, millis, recent, hushed }
}

fn hushed(entry: Quarantine) -> HushedRow {
    let Quarantine { test, owner, reason, by: _, since: _, until, expired } = entry;
    HushedRow { test, owner, reason, until, expired }
}

fn failure(failure: &TestFailure) -> TestFailureRow {
    TestFailureRow {
        run: failure.run,
        job: failure.job.clone(),
        attempt: failure.attempt,
        at: failure.at,
        retried: failure.retried,
        message: failure.said.message.clone(),
        detail: failure.said.detail.clone(),
    }
}
