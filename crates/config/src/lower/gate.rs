//! Gates, of a Stage or of an Environment.

use std::ops::Range;

use jiff::SignedDuration;
use towpath_model::calendar::{CalendarError, Freeze, Window};
use towpath_model::gate::LONG_PATIENCE;
use towpath_model::pipeline::{ApprovalGate, Comment, FreezeGate, Gate, SelfApproval, SoakGate, WindowGate};
use towpath_model::{EnvironmentName, RoleName};

use super::{DAY, MINUTE, SECOND, demand, outside, small};
use crate::diagnostic::{Problem, Report, quote};
use crate::fields::{Fields, Located};
use crate::spec::Object;
use crate::spec::demand::EVIDENCE;
use crate::spec::gate::{DELAY, EXPRESSION, HOLD, METRIC, UPSTREAM, WEBHOOK, WHEN};
use crate::spec::pipeline::{APPROVAL, FREEZE, GATE, SOAK, WINDOW};
use crate::tree::{Node, Value};

/// A Gate, and where it names others.
pub(super) struct Lowered {
    pub(super) gate: Gate,
    /// An Environment that the Release has to go through before.
    pub(super) before: Option<Located<EnvironmentName>>,
    /// Where it names another Project.
    pub(super) elsewhere: Option<Range<usize>>,
}

/// Lowers the list under `gates`.
pub(super) fn lower_all(fields: &mut Fields<'_, '_>) -> Vec<Lowered> {
    let report = fields.report;
    fields.list("gates").iter().filter_map(|node| lower(node, report)).collect()
}

/// The sorts of Gates.
const SORTS: [&str; 11] = [
    "approval",
    "window",
    "freeze",
    "soak",
    "evidence",
    "webhook",
    "metric",
    "expression",
    "hold",
    "delay",
    "upstream",
];

fn lower(node: &Node, report: &Report<'_>) -> Option<Lowered> {
    let mut fields = Fields::open(node, &node.span, &GATE, report)?;
    let approval = open(&mut fields, "approval", &APPROVAL).and_then(approval).map(Gate::Approval);
    let window = open(&mut fields, "window", &WINDOW).and_then(window).map(Gate::Window);
    let freeze = open(&mut fields, "freeze", &FREEZE).and_then(freeze).map(Gate::Freeze);
    let soak = open(&mut fields, "soak", &SOAK).and_then(soak);
    let demands = open(&mut fields, "evidence", &EVIDENCE).and_then(demand::evidence).map(Gate::Evidence);
    let webhook = open(&mut fields, "webhook", &WEBHOOK).and_then(outside::webhook).map(Gate::Webhook);
    let metric = open(&mut fields, "metric", &METRIC).and_then(outside::metric).map(Gate::Metric);
    let holds =
        open(&mut fields, "expression", &EXPRESSION).and_then(outside::expression).map(Gate::Expression);
    let hold = open(&mut fields, "hold", &HOLD).and_then(outside::hold).map(Gate::Hold);
    let delay = open(&mut fields, "delay", &DELAY).and_then(outside::delay).map(Gate::Delay);
    let upstream = open(&mut fields, "upstream", &UPSTREAM).and_then(outside::upstream);
    let present = SORTS.iter().filter(|name| fields.has(name)).count();
    let place = fields.place_of("upstream");
    fields.close();
    if present != 1 {
        // An unknown key has been reported already, and says more.
        let misspelled = present == 0 && matches!(&node.value, Value::Map(entries) if !entries.is_empty());
        if misspelled {
            return None;
        }
        let problem = Problem::error("bad-gate", format!("a gate must be exactly one thing, not {present}"))
            .hint(format!("write one of `{}` for each item of `gates`", SORTS.join("`, `")));
        report.at(&node.span, problem);
        return None;
    }
    if let Some((gate, environment)) = soak {
        return Some(Lowered { gate: Gate::Soak(gate), before: Some(environment), elsewhere: None });
    }
    if let Some((gate, environment, success)) = upstream {
        let elsewhere = gate.project.is_some().then_some(place);
        return Some(Lowered {
            gate: Gate::Upstream(gate),
            before: success.then_some(environment),
            elsewhere,
        });
    }
    let gate = approval.or(window).or(freeze).or(demands).or(webhook).or(metric).or(holds).or(hold).or(delay);
    gate.map(|gate| Lowered { gate, before: None, elsewhere: None })
}

/// Opens the map of one sort of gate.
fn open<'n, 'r>(
    fields: &mut Fields<'n, 'r>,
    name: &'static str,
    object: &'static Object,
) -> Option<Fields<'n, 'r>> {
    let present = fields.has(name);
    let report = fields.report;
    match fields.entry(name) {
        Some(entry) => Fields::open(&entry.value, &entry.key_span, object, report),
        None if present => {
            let problem = Problem::error("missing-key", format!("`{name}` is empty"))
                .hint("`towpath schema` and the reference list its keys");
            report.at(&fields.span, problem);
            None
        }
        None => None,
    }
}

fn approval(mut fields: Fields<'_, '_>) -> Option<ApprovalGate> {
    let by = fields.texts("by");
    let count = small(fields.integer("count"), 1);
    let expires = fields.duration("expires", (MINUTE, DAY * 30)).unwrap_or(DAY);
    let self_approval = match fields.choice("self_approval") {
        Some("allow") => SelfApproval::Allow,
        _ => SelfApproval::Deny,
    };
    let instructions = fields.text("instructions").map(|text| text.value).unwrap_or_default();
    let when = open(&mut fields, "when", &WHEN).map(outside::when);
    let comment = match fields.choice("comment") {
        Some("required") => Comment::Required,
        _ => Comment::Optional,
    };
    for name in &by {
        check_approver(name, fields.report);
    }
    check_enough(&by, count, &fields);
    let gate = ApprovalGate {
        by: by.into_iter().map(|name| name.value).collect(),
        count,
        expires,
        self_approval,
        instructions,
        when,
        comment,
    };
    fields.close();
    (!gate.by.is_empty()).then_some(gate)
}

/// A role, a group, or `@login`.
pub(super) fn check_approver(name: &Located<String>, report: &Report<'_>) {
    let plain = name.value.strip_prefix('@').unwrap_or(&name.value);
    if plain.parse::<RoleName>().is_err() {
        let problem =
            Problem::error("bad-name", format!("`{}` is neither a role nor a person", quote(&name.value)))
                .hint("write a role or group as `release-manager`, a person as `\"@login\"`");
        report.at(&name.span, problem);
    }
}

/// Refuses an approval that nobody can give: no names, or fewer people than it asks for.
pub(super) fn check_enough(by: &[Located<String>], count: u32, fields: &Fields<'_, '_>) {
    let (Some(first), Some(last)) = (by.first(), by.last()) else {
        if fields.has("by") {
            let problem = Problem::error("impossible-gate", "nobody can give this approval: `by` is empty")
                .hint("for example `by: [release-manager]`");
            fields.report.at(&fields.span, problem);
        }
        return;
    };
    let mut people: Vec<&str> = by.iter().map(|name| name.value.as_str()).collect();
    people.sort_unstable();
    people.dedup();
    let only_people = people.iter().all(|name| name.starts_with('@'));
    if only_people && people.len() < usize::try_from(count).unwrap_or(usize::MAX) {
        let message = format!("this approval needs {count} people, and `by` names {}", people.len());
        let problem =
            Problem::error("impossible-gate", message).hint("name a role, more people, or a lower `count`");
        fields.report.at(&(first.span.start..last.span.end), problem);
    }
}

const WHOLE_DAY: &str = "00:00-24:00";

fn window(mut fields: Fields<'_, '_>) -> Option<WindowGate> {
    let report = fields.report;
    let days = fields.text("days");
    let hours = fields.text("hours");
    let timezone = timezone(&mut fields);
    // Each part is read with good ones beside it, so that every mistake is reported and not only the first.
    if let Some(days) = &days {
        report_calendar(Window::parse(&days.value, WHOLE_DAY, "UTC").err(), days, report);
    }
    if let Some(hours) = &hours {
        report_calendar(Window::parse("daily", &hours.value, "UTC").err(), hours, report);
    }
    fields.close();
    let days = days.map_or_else(|| "daily".to_owned(), |days| days.value);
    let hours = hours.map_or_else(|| WHOLE_DAY.to_owned(), |hours| hours.value);
    Some(WindowGate { days, hours, timezone })
}

pub(super) fn timezone(fields: &mut Fields<'_, '_>) -> String {
    let Some(timezone) = fields.text("timezone") else { return "UTC".to_owned() };
    report_calendar(Window::parse("daily", WHOLE_DAY, &timezone.value).err(), &timezone, fields.report);
    timezone.value
}

fn freeze(mut fields: Fields<'_, '_>) -> Option<FreezeGate> {
    let report = fields.report;
    let from = fields.text("from");
    let until = fields.text("until");
    let timezone = timezone(&mut fields);
    let reason = fields.text("reason").map(|reason| reason.value).unwrap_or_default();
    fields.close();
    let (from, until) = (from?, until?);
    let start = Freeze::parse(&from.value, "9000-01-01", "UTC", "").err();
    let end = Freeze::parse("1000-01-01", &until.value, "UTC", "").err();
    if start.is_none() && end.is_none() {
        let reversed = Freeze::parse(&from.value, &until.value, "UTC", "").err();
        report_calendar(reversed, &until, report);
    }
    report_calendar(start, &from, report);
    report_calendar(end, &until, report);
    Some(FreezeGate { from: from.value, until: until.value, timezone, reason })
}

/// Reports what the calendar cannot read; its message says what to write after the semicolon.
pub(super) fn report_calendar(error: Option<CalendarError>, place: &Located<String>, report: &Report<'_>) {
    let Some(error) = error else { return };
    let code = match &error {
        CalendarError::Days { .. } | CalendarError::Hours { .. } => "bad-window",
        CalendarError::NoHours { .. } => "impossible-gate",
        CalendarError::Timezone { .. } => "bad-timezone",
        CalendarError::Moment { .. } => "bad-date",
        CalendarError::FreezeReversed { .. } => "bad-freeze",
    };
    let message = quote_line(&error.to_string());
    let (what, advice) = message.split_once("; ").unwrap_or((&message, ""));
    let advice = (!advice.is_empty()).then(|| advice.to_owned());
    report.at(&place.span, Problem::error(code, what).maybe_hint(advice));
}

/// A message on one line, whatever the user's text in it holds.
fn quote_line(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn soak(mut fields: Fields<'_, '_>) -> Option<(SoakGate, Located<EnvironmentName>)> {
    let environment = fields.name::<EnvironmentName>("environment");
    let duration: Option<SignedDuration> = fields.duration("for", (SECOND, DAY * 30));
    let expires = fields.duration("expires", outside::EXPIRES).unwrap_or(LONG_PATIENCE);
    fields.close();
    let environment = environment?;
    Some((SoakGate { environment: environment.value.clone(), duration: duration?, expires }, environment))
}
