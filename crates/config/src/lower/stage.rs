//! Stages: analysis, verification, deadline.

use jiff::SignedDuration;
use towpath_model::pipeline::{
    Analysis, ErrorRate, HttpVerification, OnFailure, RunVerification, Stage, Strategy, Verification,
};
use towpath_model::{EnvironmentName, StageName};

use super::{
    DAY, HOUR, MINUTE, Places, SECOND, first_line, gate, intake, reports, request_path, script, small,
    strategy,
};
use crate::diagnostic::{Problem, Report};
use crate::fields::{Fields, Located};
use crate::spec::pipeline::{ANALYSIS, ERROR_RATE, HTTP, STAGE, VERIFY};
use crate::tree::{Node, Value};
use crate::values::show_duration;

/// Lowers one Stage.
pub(super) fn lower(node: &Node, places: &mut Places, report: &Report<'_>) -> Option<Stage> {
    let mut fields = Fields::open(node, &node.span, &STAGE, report)?;
    let name = fields.name::<StageName>("name");
    let needs = fields.names::<StageName>("needs");
    let environments = environments(&mut fields, name.as_ref());
    let promote = intake::promote(&mut fields);
    let gates = gate::lower_all(&mut fields);
    let (strategy, before) = strategy::strategy(&mut fields);
    let analysis = Analysis { error_rate: error_rate(&mut fields) };
    let verify: Vec<_> = fields.list("verify").iter().filter_map(|node| verification(node, report)).collect();
    let on_failure = match fields.choice("on_failure") {
        Some("hold") => OnFailure::Hold,
        _ => OnFailure::Rollback,
    };
    let deadline = deadline(&mut fields, &strategy);
    fields.close();
    let name = name?;
    places.stages.push(name.clone());
    places.stage_needs.extend(needs.iter().map(|need| (name.value.clone(), need.clone())));
    places
        .environments
        .extend(environments.iter().map(|environment| (name.value.clone(), environment.clone())));
    places.before.extend(gates.iter().filter_map(|gate| Some((name.value.clone(), gate.before.clone()?))));
    for place in gates.iter().filter_map(|gate| gate.elsewhere.as_ref()) {
        let problem = Problem::error("not-for-commits", "a commit cannot look into another Project")
            .hint("put this gate into the environment document, which only `towpath apply` changes");
        report.at(place, problem);
    }
    Some(Stage {
        name: name.value,
        needs: needs.into_iter().map(|need| need.value).collect(),
        environments: environments.into_iter().map(|environment| environment.value).collect(),
        promote,
        gates: gates.into_iter().map(|gate| gate.gate).collect(),
        strategy,
        analysis,
        before,
        verify,
        on_failure,
        deadline,
    })
}

/// The Environments; a Stage without any deploys to the one of its own name.
fn environments(
    fields: &mut Fields<'_, '_>,
    name: Option<&Located<StageName>>,
) -> Vec<Located<EnvironmentName>> {
    let present = fields.has("environments");
    let environments = fields.names("environments");
    if !environments.is_empty() {
        return environments;
    }
    if present {
        if !fields.report.has_errors() {
            let problem = Problem::error("no-environments", "this stage has no environments")
                .hint("for example `environments: [dev]`");
            fields.report.at(&fields.span, problem);
        }
        return Vec::new();
    }
    let own = name
        .and_then(|name| Some(Located { value: name.value.as_str().parse().ok()?, span: name.span.clone() }));
    own.into_iter().collect()
}

fn error_rate(fields: &mut Fields<'_, '_>) -> ErrorRate {
    let report = fields.report;
    let default = ErrorRate::default();
    let Some(entry) = fields.entry("analysis") else { return default };
    let Some(mut analysis) = Fields::open(&entry.value, &entry.key_span, &ANALYSIS, report) else {
        return default;
    };
    let rate = analysis.entry("error_rate");
    analysis.close();
    let Some(entry) = rate else { return default };
    let Some(mut rate) = Fields::open(&entry.value, &entry.key_span, &ERROR_RATE, report) else {
        return default;
    };
    let max_increase =
        positive(rate.share("max_increase"), "max_increase", report).unwrap_or(default.max_increase);
    let max = positive(rate.share("max"), "max", report).or(default.max);
    let false_alarm = rate.share("false_alarm");
    if let Some(chance) = false_alarm.as_ref().filter(|chance| !(0.0001..=0.2).contains(&chance.value)) {
        let problem = Problem::error("out-of-bounds", "`false_alarm` is out of bounds")
            .hint("it may be 0.01% to 20%; less needs more requests until a verdict");
        report.at(&chance.span, problem);
    }
    let lowered = ErrorRate {
        max_increase,
        max,
        false_alarm: false_alarm.map_or(default.false_alarm, |chance| chance.value),
        min_requests: rate.integer("min_requests").unwrap_or(default.min_requests),
        block: rate.duration("block", (SECOND, HOUR)).unwrap_or(default.block),
    };
    rate.close();
    lowered
}

/// A share above nothing: no candidate passes a test that allows no increase at all.
fn positive(share: Option<Located<f64>>, what: &str, report: &Report<'_>) -> Option<f64> {
    let share = share?;
    if share.value <= 0.0 {
        let problem = Problem::error(
            "out-of-bounds",
            format!("`{what}` is 0, and no number of requests could show that"),
        )
        .hint("say what is tolerable: `0.1pp` is one request in a thousand");
        report.at(&share.span, problem);
    }
    Some(share.value)
}

/// Lowers one check.
pub(super) fn verification(node: &Node, report: &Report<'_>) -> Option<Verification> {
    let mut fields = Fields::open(node, &node.span, &VERIFY, report)?;
    let http = fields.entry("http").map(|entry| http(entry, report));
    let run = script(&mut fields);
    let name = fields.text("name").map(|name| name.value);
    let secrets: Vec<_> = fields.names("secrets").into_iter().map(|secret| secret.value).collect();
    let junit = reports::of_check(&mut fields);
    let timeout = fields.duration("timeout", (SECOND, DAY)).unwrap_or(MINUTE * 10);
    let (has_http, has_run) = (fields.has("http"), fields.has("run"));
    let only_with_run = ["name", "secrets", "reports", "timeout"].into_iter().find(|key| fields.has(key));
    fields.close();
    if has_http == has_run {
        let problem = Problem::error("bad-verify", "a check is either `http` or `run`")
            .hint("for example `- http: /health`, or `- run: ./ci/smoke.sh`");
        report.at(&node.span, problem);
        return None;
    }
    if let (true, Some(key)) = (has_http, only_with_run) {
        let problem =
            Problem::error("bad-verify", format!("`{key}` belongs to `run`, and this check is `http`"))
                .hint("`http` has `path`, `status`, `contains` and `within`");
        report.at(&node.span, problem);
    }
    if let Some(http) = http {
        return http.map(Verification::Http);
    }
    let run = run?;
    let name = name.unwrap_or_else(|| first_line(&run));
    Some(Verification::Run(RunVerification { name, run, secrets, junit, timeout }))
}

fn http(entry: &crate::tree::Entry, report: &Report<'_>) -> Option<HttpVerification> {
    let within = SECOND * 30;
    if !matches!(entry.value.value, Value::Map(_)) {
        let path = crate::fields::text(&entry.value, "http", report)?;
        return Some(HttpVerification {
            path: request_path(path, "http", report),
            status: 200,
            contains: None,
            within,
        });
    }
    let mut fields = Fields::open(&entry.value, &entry.key_span, &HTTP, report)?;
    let path = fields.text("path").map(|path| request_path(path, "path", report));
    let status = small(fields.integer("status"), 200);
    let contains = fields.text("contains").map(|text| text.value);
    let within = fields.duration("within", (SECOND, HOUR)).unwrap_or(within);
    fields.close();
    Some(HttpVerification { path: path?, status, contains, within })
}

/// The deadline; it must leave time for the steps.
fn deadline(fields: &mut Fields<'_, '_>, strategy: &Strategy) -> SignedDuration {
    // How many batches a rolling replacement has is up to the Environment: at least those of two Instances, and by
    // default there is time for those of a hundred.
    let time = |instances| {
        strategy.steps(instances).iter().fold(SignedDuration::ZERO, |sum, step| sum + step.duration)
    };
    let steps = time(2);
    let node = fields.node("deadline").cloned();
    let Some(deadline) = fields.duration("deadline", (MINUTE, DAY * 30)) else {
        return HOUR.max(time(100) * 2);
    };
    if let Some(node) = node.filter(|_| deadline <= steps) {
        let message = format!(
            "the deadline of {} comes before the steps of {} are over",
            show_duration(deadline),
            show_duration(steps)
        );
        fields.report.at(
            &node.span,
            Problem::error("out-of-bounds", message)
                .hint("every rollout would be rolled back: give it more time"),
        );
    }
    deadline
}
