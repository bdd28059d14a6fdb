//! `GET /metrics`: what Prometheus reads. Labels are states, kinds and a bounded number of Projects, never identities.

use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use towpath_engine::{ProjectDelivery, Watched};

use crate::app::App;
use crate::auth::principal::peer;
use crate::auth::{Action, Principal};
use crate::problem::Problem;

/// How many Projects have numbers of their own.
const MOST_PROJECTS: usize = 200;

/// Over how many days delivery is counted.
const DAYS: u32 = 30;

/// How long what is counted is good for: many scrapers cost as much as one.
const FRESH: SignedDuration = SignedDuration::from_secs(5);

/// The same for how Projects deliver, which takes longer and changes slowly.
const FRESH_DELIVERY: SignedDuration = SignedDuration::from_mins(5);

/// How long a scrape may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was counted last.
#[derive(Debug, Default)]
pub(crate) struct Scraped {
    now: Mutex<Option<(Timestamp, String)>>,
    delivery: Mutex<Option<(Timestamp, String)>>,
}

/// Answers with all numbers.
pub(crate) async fn metrics(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    if !(app.open_metrics && is_this_host(&parts)) {
        let principal = Principal::authenticate(&mut parts, &app).await.map_err(|problem| {
            problem.hint(
                "`towpath token create prometheus --scope metrics` makes a token for the scraper; `open_metrics: true` in \
                 server.yaml answers to this host without one",
            )
        })?;
        let _permit = principal.may(Action::Scrape, None)?;
    }
    let counted = async { Ok::<_, Problem>((figures(&app).await?, delivery(&app).await?)) };
    let counted = tokio::time::timeout(PATIENCE, counted).await;
    let (figures, delivery) =
        counted.map_err(|_| Problem::unavailable("counting took longer than 30 s"))??;
    let text = format!("{}{figures}{delivery}", app.metrics.render());
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

/// Whether a request comes from this host and was passed on by nobody.
fn is_this_host(parts: &Parts) -> bool {
    let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    peer(parts).is_some_and(|peer| peer.to_canonical().is_loopback())
        && !passed_on.iter().any(|name| parts.headers.contains_key(*name))
}

async fn figures(app: &App) -> Result<String, Problem> {
    let mut last = app.scraped.now.lock().await;
    let now = app.now();
    if let Some((_, text)) = last.as_ref().filter(|(at, _)| is_fresh(*at, now, FRESH)) {
        return Ok(text.clone());
    }
    let text = of_now(&app.engine.watched().await?);
    *last = Some((now, text.clone()));
    Ok(text)
}

async fn delivery(app: &App) -> Result<String, Problem> {
    let mut last = app.scraped.delivery.lock().await;
    let now = app.now();
    if let Some((_, text)) = last.as_ref().filter(|(at, _)| is_fresh(*at, now, FRESH_DELIVERY)) {
        return Ok(text.clone());
    }
    let (projects, left_out) = app.engine.deliveries_of_all(DAYS, MOST_PROJECTS).await?;
    let text = of_projects(&projects, left_out);
    *last = Some((now, text.clone()));
    Ok(text)
}

/// Also not fresh is what a clock wrote that was set back since.
fn is_fresh(at: Timestamp, now: Timestamp, life: SignedDuration) -> bool {
    now >= at && now.duration_since(at) < life
}

/// Text in Prometheus' format.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Writes a gauge with one value for each value of a label; a label without a name is none.
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (String, f64)>,
    ) {
        let _ = writeln!(self.0, "# HELP towpath_{name} {help}\n# TYPE towpath_{name} gauge");
        for (of, value) in values {
            let labels =
                if label.is_empty() { String::new() } else { format!("{{{label}=\"{}\"}}", escaped(&of)) };
            let _ = writeln!(self.0, "towpath_{name}{labels} {value}");
        }
    }

    fn one(&mut self, name: &str, help: &str, value: f64) {
        self.gauge(name, help, "", [(String::new(), value)]);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Numbers below 2^53 are exact as Prometheus has them.
const fn float(count: u64) -> f64 {
    count as f64
}

fn floats(counts: impl IntoIterator<Item = (String, u64)>) -> impl Iterator<Item = (String, f64)> {
    counts.into_iter().map(|(of, count)| (of, float(count)))
}

fn of_now(watched: &Watched) -> String {
    let Watched { at, figures, gates, waits_since, held, agents: (connected, away), incidents } =
        watched.clone();
    let age =
        |since: Option<Timestamp>| since.map_or(0.0, |since| at.duration_since(since).as_secs_f64().max(0.0));
    let mut text = Text::default();
    text.gauge(
        "build_info",
        "The version of the server.",
        "version",
        [(env!("CARGO_PKG_VERSION").to_owned(), 1.0)],
    );
    text.one("queue_waiting", "Attempts that wait for an agent.", float(figures.queued));
    text.one("queue_oldest_seconds", "How long the oldest of them waits.", age(figures.queued_since));
    text.one("queue_running", "Attempts that agents hold.", float(figures.leased));
    let agents = [("connected".to_owned(), float(connected)), ("away".to_owned(), float(away))];
    text.gauge("agents", "Agents by whether they are connected.", "state", agents);
    text.gauge("runs_open", "Runs that have not ended.", "state", floats(figures.runs));
    text.gauge(
        "promotions_open",
        "Promotions that have not ended: waiting, or how their Rollout does.",
        "state",
        floats(figures.promotions),
    );
    text.gauge("gates_waiting", "Gates that keep Promotions waiting.", "kind", floats(gates));
    text.one(
        "promotion_oldest_wait_seconds",
        "How long the Promotion waits that waits longest.",
        age(waits_since),
    );
    text.one("environments_held", "Environments that a person holds.", float(held));
    text.one("effects_waiting", "Effects that are still to be performed.", float(figures.effects));
    text.one("messages_waiting", "Notifications that channels have not taken yet.", float(figures.messages));
    text.gauge(
        "incidents_open",
        "Incidents that people opened and that last.",
        "project",
        floats(incidents.into_iter().take(MOST_PROJECTS)),
    );
    text.0
}

fn of_projects(projects: &[ProjectDelivery], left_out: usize) -> String {
    let mut text = Text::default();
    let mut each = |name: &str, help: &str, value: &dyn Fn(&ProjectDelivery) -> Option<f64>| {
        let values = projects.iter().filter_map(|one| Some((one.project.to_string(), value(one)?)));
        text.gauge(
            &format!("delivery_{name}"),
            &format!("{help} The last {DAYS} days, at the end of the route."),
            "project",
            values,
        );
    };
    let seconds = |time: Option<SignedDuration>| time.map(|time| time.as_secs_f64());
    each("deployments", "Rollouts that users met.", &|one| Some(float(one.delivery.deployments as u64)));
    each("failures", "Those that were taken back, or had an incident.", &|one| {
        Some(float(one.delivery.failures as u64))
    });
    each("rework", "Those that followed a failure.", &|one| Some(float(one.delivery.rework as u64)));
    each("lead_time_seconds", "Median from the push of a commit until it ran.", &|one| {
        seconds(one.delivery.lead_time)
    });
    each("restore_seconds", "Median from noticing a failure until it was over.", &|one| {
        seconds(one.delivery.restore)
    });
    each("gate_wait_seconds", "Median from being asked for until the Rollout began.", &|one| {
        seconds(one.delivery.gate_wait)
    });
    each("run_seconds", "Median time of a Run.", &|one| seconds(one.run_time));
    text.one(
        "delivery_projects_left_out",
        "Projects beyond those that have numbers of their own.",
        float(left_out as u64),
    );
    text.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_end_their_line() {
        let mut text = Text::default();
        text.gauge("x", "X.", "of", [("a\"b\\c\nd".to_owned(), 1.5)]);
        assert_eq!(
            text.0,
            "# HELP towpath_x X.\n# TYPE towpath_x gauge\ntowpath_x{of=\"a\\\"b\\\\c\\nd\"} 1.5\n"
        );
    }

    #[test]
    fn what_a_clock_wrote_that_was_set_back_is_not_fresh() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        assert!(is_fresh(at(10), at(14), FRESH));
        assert!(!is_fresh(at(10), at(15), FRESH));
        assert!(!is_fresh(at(10), at(9), FRESH));
    }
}
