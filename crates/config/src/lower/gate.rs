//! Gates, of a Stage or of an Environment.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use towpath_model::pipeline::{ApprovalGate, FreezeGate, Gate, SelfApproval, SoakGate, WindowGate};
use towpath_model::{EnvironmentName, RoleName};

use super::{DAY, MINUTE, SECOND, small};
use crate::diagnostic::{Problem, Report, quote};
use crate::fields::{Fields, Located};
use crate::spec::Object;
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
    let present = ["approval", "window", "freeze", "soak"].iter().filter(|name| fields.has(name)).count();
    fields.close();
    if present != 1 {
        // An unknown key has been reported already, and says more.
        let misspelled = present == 0 && matches!(&node.value, Value::Map(entries) if !entries.is_empty());
        if misspelled {
            return None;
        }
        let problem = Problem::error("bad-gate", format!("a gate must be exactly one thing, not {present}"))
            .hint("write one of `approval`, `window`, `freeze`, `soak` for each item of `gates`");
        report.at(&node.span, problem);
        return None;
    }
    if let Some(soak) = soak {
        let (gate, environment) = soak?;
        return Some(Lowered { gate: Gate::Soak(gate), soak: Some(environment) });
    }
    let gate = approval.flatten().map(Gate::Approval);
    let gate = gate.or(window.flatten().map(Gate::Window)).or(freeze.flatten().map(Gate::Freeze));
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

fn window(mut fields: Fields<'_, '_>) -> Option<WindowGate> {
    let report = fields.report;
    let days = fields.text("days");
    let hours = fields.text("hours");
    let timezone = timezone(&mut fields);
    if let Some(days) = days.as_ref().filter(|days| !are_days(&days.value)) {
        let problem =
            Problem::error("bad-window", format!("`{}` are no days of the week", quote(&days.value)))
                .hint("write `mon-thu`, `mon,wed,fri` or `daily`");
        report.at(&days.span, problem);
    }
    if let Some(hours) = &hours {
        match minutes(&hours.value) {
            None => {
                let problem = Problem::error("bad-window", format!("`{}` are no hours", quote(&hours.value)))
                    .hint("write `\"09:00-16:00\"`; `\"22:00-04:00\"` crosses midnight");
                report.at(&hours.span, problem);
            }
            Some((from, until)) if from == until => {
                let problem =
                    Problem::error("impossible-gate", "this window never opens: it ends when it begins")
                        .hint("write `\"00:00-24:00\"` for the whole day");
                report.at(&hours.span, problem);
            }
            Some(_) => {}
        }
    }
    fields.close();
    let days = days.map_or_else(|| "daily".to_owned(), |days| days.value);
    let hours = hours.map_or_else(|| "00:00-24:00".to_owned(), |hours| hours.value);
    Some(WindowGate { days, hours, timezone })
}

/// `mon-thu`, `mon,wed,fri`, `daily`.
fn are_days(text: &str) -> bool {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let is_day = |day: &str| DAYS.contains(&day.trim());
    text == "daily"
        || text.split(',').all(|part| match part.split_once('-') {
            Some((from, until)) => is_day(from) && is_day(until),
            None => is_day(part),
        })
}

/// `09:00-16:00` in minutes of the day.
fn minutes(text: &str) -> Option<(u32, u32)> {
    let (from, until) = text.split_once('-')?;
    let clock = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let (hour, minute): (u32, u32) = if digits(hour) && digits(minute) {
            (hour.parse().ok()?, minute.parse().ok()?)
        } else {
            return None;
        };
        (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
    };
    Some((clock(from)?, clock(until)?))
}

fn timezone(fields: &mut Fields<'_, '_>) -> String {
    let Some(timezone) = fields.text("timezone") else { return "UTC".to_owned() };
    if TimeZone::get(&timezone.value).is_err() {
        let problem =
            Problem::error("bad-timezone", format!("`{}` is not a time zone", quote(&timezone.value)))
                .hint("write an IANA name: `Europe/Berlin`, `America/New_York`, `UTC`");
        fields.report.at(&timezone.span, problem);
    }
    timezone.value
}

fn freeze(mut fields: Fields<'_, '_>) -> Option<FreezeGate> {
    let from = fields.text("from");
    let until = fields.text("until");
    let timezone = timezone(&mut fields);
    let reason = fields.text("reason").map(|reason| reason.value).unwrap_or_default();
    let (start, end) = (instant(from.as_ref(), fields.report), instant(until.as_ref(), fields.report));
    if let (Some(start), Some(end), Some(until)) = (start, end, &until)
        && end <= start
    {
        let problem =
            Problem::error("bad-freeze", "this freeze ends before it begins").hint("swap `from` and `until`");
        fields.report.at(&until.span, problem);
    }
    fields.close();
    Some(FreezeGate { from: from?.value, until: until?.value, timezone, reason })
}

/// A date, or a date and time.
fn instant(text: Option<&Located<String>>, report: &Report<'_>) -> Option<DateTime> {
    let text = text?;
    let parsed = text.value.trim().parse::<DateTime>();
    if parsed.is_err() {
        let problem = Problem::error("bad-date", format!("`{}` is not a date", quote(&text.value)))
            .hint("write `2026-12-24` or `2026-12-24T18:00`");
        report.at(&text.span, problem);
    }
    parsed.ok()
}

fn soak(mut fields: Fields<'_, '_>) -> Option<(SoakGate, Located<EnvironmentName>)> {
    let environment = fields.name::<EnvironmentName>("environment");
    let duration: Option<SignedDuration> = fields.duration("for", (SECOND, DAY * 30));
    fields.close();
    let environment = environment?;
    Some((SoakGate { environment: environment.value.clone(), duration: duration? }, environment))
}
