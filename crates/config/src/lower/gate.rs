//! Gates, of a Stage or of an Environment.

use jiff::SignedDuration;
use towpath_model::calendar::{CalendarError, Freeze, Window};
use towpath_model::pipeline::{ApprovalGate, FreezeGate, Gate, SelfApproval, SoakGate, WindowGate};
use towpath_model::{EnvironmentName, RoleName};

use super::{DAY, MINUTE, SECOND, demand, small};
use crate::diagnostic::{Problem, Report, quote};
use crate::fields::{Fields, Located};
use crate::spec::Object;
use crate::spec::demand::EVIDENCE;
use crate::spec::pipeline::{APPROVAL, FREEZE, GATE, SOAK, WINDOW};
use crate::tree::{Node, Value};

/// A Gate, and where it names another Environment.
pub(super) struct Lowered {
    pub(super) gate: Gate,
    pub(super) soak: Option<Located<EnvironmentName>>,
}

/// Lowers the list under `gates`.
pub(super) fn lower_all(fields: &mut Fields<'_, '_>) -> Vec<Lowered> {
    let report = fields.report;
    fields.list("gates").iter().filter_map(|node| lower(node, report)).collect()
}

fn lower(node: &Node, report: &Report<'_>) -> Option<Lowered> {
    let mut fields = Fields::open(node, &node.span, &GATE, report)?;
    let approval = open(&mut fields, "approval", &APPROVAL).map(approval);
    let window = open(&mut fields, "window", &WINDOW).map(window);
    let freeze = open(&mut fields, "freeze", &FREEZE).map(freeze);
    let soak = open(&mut fields, "soak", &SOAK).map(soak);
    let demands = open(&mut fields, "evidence", &EVIDENCE).map(demand::evidence);
    let present =
        ["approval", "window", "freeze", "soak", "evidence"].iter().filter(|name| fields.has(name)).count();
    fields.close();
    if present != 1 {
        // An unknown key has been reported already, and says more.
        let misspelled = present == 0 && matches!(&node.value, Value::Map(entries) if !entries.is_empty());
        if misspelled {
            return None;
        }
        let problem = Problem::error("bad-gate", format!("a gate must be exactly one thing, not {present}"))
            .hint("write one of `approval`, `window`, `freeze`, `soak`, `evidence` for each item of `gates`");
        report.at(&node.span, problem);
        return None;
    }
    if let Some(soak) = soak {
        let (gate, environment) = soak?;
        return Some(Lowered { gate: Gate::Soak(gate), soak: Some(environment) });
    }
    let gate = approval.flatten().map(Gate::Approval);
    let gate = gate.or(window.flatten().map(Gate::Window)).or(freeze.flatten().map(Gate::Freeze));
    let gate = gate.or(demands.flatten().map(Gate::Evidence));
    gate.map(|gate| Lowered { gate, soak: None })
}

/// Opens the map of one sort of gate; the inner `None` says that it is no map.
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
    };
    fields.close();
    (!gate.by.is_empty()).then_some(gate)
}

/// A role, a group, or `@login`.
fn check_approver(name: &Located<String>, report: &Report<'_>) {
    let plain = name.value.strip_prefix('@').unwrap_or(&name.value);
    if plain.parse::<RoleName>().is_err() {
        let problem =
            Problem::error("bad-name", format!("`{}` is neither a role nor a person", quote(&name.value)))
                .hint("write a role or group as `release-manager`, a person as `\"@login\"`");
        report.at(&name.span, problem);
    }
}

/// Refuses an approval that nobody can give: no names, or fewer people than it asks for.
fn check_enough(by: &[Located<String>], count: u32, fields: &Fields<'_, '_>) {
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

fn timezone(fields: &mut Fields<'_, '_>) -> String {
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
fn report_calendar(error: Option<CalendarError>, place: &Located<String>, report: &Report<'_>) {
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
    fields.close();
    let environment = environment?;
    Some((SoakGate { environment: environment.value.clone(), duration: duration? }, environment))
}
