//! Gates that look outside, and what an approval is needed for.

use jiff::SignedDuration;
use towpath_model::calendar;
use towpath_model::gate::{
    DelayGate, ExpressionGate, HoldGate, MetricGate, PATIENCE, UpstreamGate, WebhookGate, When,
};
use towpath_model::pipeline::{Condition, SecretName};
use towpath_model::{EnvironmentName, ProjectName};

use super::gate::{check_approver, check_enough, report_calendar};
use super::{DAY, MINUTE, SECOND};
use crate::check::place_within;
use crate::diagnostic::{Problem, Report, quote};
use crate::expression::Expression;
use crate::fields::{Fields, Located};
use crate::gate_expression;

/// How often an outside system may be asked.
const PAUSES: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(5), DAY);

/// How long a Gate may be told to stay shut.
pub(super) const EXPIRES: (SignedDuration, SignedDuration) = (MINUTE, SignedDuration::from_hours(24 * 365));

fn expires(fields: &mut Fields<'_, '_>) -> SignedDuration {
    fields.duration("expires", EXPIRES).unwrap_or(PATIENCE)
}

fn words(fields: &mut Fields<'_, '_>, key: &'static str) -> String {
    fields.text(key).map(|text| text.value).unwrap_or_default()
}

pub(super) fn when(mut fields: Fields<'_, '_>) -> When {
    let when = When {
        paths: fields.texts("paths").into_iter().map(|path| path.value).collect(),
        migrations: fields.boolean("migrations", false),
        more_files_than: fields.integer("more_files_than"),
        more_lines_than: fields.integer("more_lines_than"),
    };
    if when == When::default() && !fields.report.has_errors() {
        let problem =
            Problem::error("impossible-gate", "this approval is never needed: `when` names no change")
                .hint("for example `when: { paths: [infra/**] }`, or leave `when` out");
        fields.report.at(&fields.span, problem);
    }
    fields.close();
    when
}

pub(super) fn webhook(mut fields: Fields<'_, '_>) -> Option<WebhookGate> {
    let url = address(&mut fields, "url");
    let secret = fields.name::<SecretName>("secret").map(|secret| secret.value);
    let every = fields.duration("every", PAUSES).unwrap_or(MINUTE * 5);
    let expires = expires(&mut fields);
    fields.close();
    Some(WebhookGate { url: url?, secret, every, expires })
}

pub(super) fn metric(mut fields: Fields<'_, '_>) -> Option<MetricGate> {
    let prometheus = address(&mut fields, "prometheus");
    let query = fields.text("query").map(|query| query.value);
    let (min, max) = (bound(&mut fields, "min"), bound(&mut fields, "max"));
    let token = fields.name::<SecretName>("token").map(|token| token.value);
    let every = fields.duration("every", PAUSES).unwrap_or(MINUTE);
    let expires = expires(&mut fields);
    if !fields.has("min") && !fields.has("max") {
        let problem = Problem::error("missing-key", "this metric gate has no bound")
            .hint("write the greatest value that is good, `max: 0.01`, or the least, `min: 1`");
        fields.report.at(&fields.span, problem);
    }
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let problem =
            Problem::error("impossible-gate", format!("no number is at least {min} and at most {max}"))
                .hint("swap `min` and `max`");
        fields.report.at(&fields.place_of("min"), problem);
    }
    fields.close();
    let prometheus = prometheus?.trim_end_matches('/').to_owned();
    Some(MetricGate { prometheus, query: query?, min, max, token, every, expires })
}

fn bound(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<f64> {
    let text = fields.text(key)?;
    let number = text.value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    if number.is_none() {
        let message = format!("`{}` is not a number", quote(&text.value));
        let problem = Problem::error("wrong-kind", message).hint("write it as `0.01`, without a unit");
        fields.report.at(&text.span, problem);
    }
    number
}

/// An address of http or https without credentials in it: documents are read by many.
pub(super) fn address(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<String> {
    let text = fields.text(key)?;
    let rest = text.value.strip_prefix("https://").or_else(|| text.value.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let odd = |c: char| c.is_whitespace() || c.is_control();
    let problem = match host {
        None | Some("") => Problem::error(
            "bad-address",
            format!("`{}` is not an address of http or https", quote(&text.value)),
        )
        .hint("for example `https://change.example.com/towpath`"),
        Some(host) if host.contains('@') => {
            Problem::error("bad-address", "an address with a password in it would be shown to everyone")
                .hint("take it out, and name a secret instead")
        }
        Some(_) if text.value.contains(odd) => {
            Problem::error("bad-address", format!("`{}` holds a space", quote(&text.value)))
        }
        Some(_) => return Some(text.value),
    };
    fields.report.at(&text.span, problem);
    None
}

pub(super) fn expression(mut fields: Fields<'_, '_>) -> Option<ExpressionGate> {
    let holds = fields.text("holds");
    let reason = words(&mut fields, "reason");
    let expires = expires(&mut fields);
    if let Some(text) = &holds {
        check_expression(text, fields.report);
    }
    fields.close();
    Some(ExpressionGate { holds: Condition(holds?.value), reason, expires })
}

fn check_expression(text: &Located<String>, report: &Report<'_>) {
    let errors = match Expression::parse(&text.value) {
        Ok(expression) => expression.unknown_names(gate_expression::KNOWN),
        Err(error) => vec![error],
    };
    for error in errors {
        let place = place_within(text, &error.span, report.text());
        report.at(&place, Problem::error("expression", error.message).maybe_hint(error.hint));
    }
}

pub(super) fn hold(mut fields: Fields<'_, '_>) -> Option<HoldGate> {
    let by = fields.texts("by");
    let name = fields.text("name").map_or_else(|| "hold".to_owned(), |name| name.value);
    let reason = words(&mut fields, "reason");
    let expires = expires(&mut fields);
    for name in &by {
        check_approver(name, fields.report);
    }
    check_enough(&by, 1, &fields);
    fields.close();
    let by: Vec<String> = by.into_iter().map(|name| name.value).collect();
    (!by.is_empty()).then_some(HoldGate { name, by, reason, expires })
}

pub(super) fn delay(mut fields: Fields<'_, '_>) -> Option<DelayGate> {
    let duration = fields.duration("for", (SECOND, DAY * 30));
    let until = fields.text("until");
    let timezone = super::gate::timezone(&mut fields);
    if let Some(until) = &until {
        report_calendar(calendar::moment(&until.value, "UTC").err(), until, fields.report);
    }
    if !fields.has("for") && !fields.has("until") {
        let problem = Problem::error("missing-key", "this delay has no end")
            .hint("write `for: 2h`, or `until: 2026-12-01T09:00`");
        fields.report.at(&fields.span, problem);
    }
    fields.close();
    let delay = DelayGate { duration, until: until.map(|until| until.value), timezone };
    (delay.duration.is_some() || delay.until.is_some()).then_some(delay)
}

pub(super) fn upstream(mut fields: Fields<'_, '_>) -> Option<(UpstreamGate, Located<EnvironmentName>, bool)> {
    let project = fields.name::<ProjectName>("project").map(|project| project.value);
    let environment = fields.name::<EnvironmentName>("environment");
    let at_least = fields.text("at_least").map(|version| version.value);
    let same_commit = fields.boolean("same_commit", false);
    let expires = expires(&mut fields);
    if project.is_some() && at_least.is_none() && !same_commit && !fields.report.has_errors() {
        let problem = Problem::error("missing-key", "this gate does not say what the other Project must run")
            .hint("write `at_least: 1.4.0`, or `same_commit: true`: this Release is none of theirs");
        fields.report.at(&fields.place_of("project"), problem);
    }
    fields.close();
    let environment = environment?;
    let success = project.is_none() && at_least.is_none() && !same_commit;
    let gate =
        UpstreamGate { project, environment: environment.value.clone(), at_least, same_commit, expires };
    Some((gate, environment, success))
}
