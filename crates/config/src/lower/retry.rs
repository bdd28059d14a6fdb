//! `retry` of a Job.

use jiff::SignedDuration;
use towpath_model::retry::{Backoff, Retry, RetryClass, When};

use super::{HOUR, SECOND, small};
use crate::diagnostic::{Problem, closest, quote};
use crate::fields::{Fields, items, text, wrong_kind};
use crate::spec::retry::{BACKOFF, RETRY, WHEN};
use crate::tree::{Node, Value};
use crate::values;

/// The most conditions of one Job.
const MOST: usize = 20;

/// What other systems call a class.
const ELSEWHERE: &[(&str, &str)] = &[
    ("always", "leave `when` out: every failure is retried"),
    ("runner_system_failure", "write `lost`"),
    ("runner_lost", "write `lost`"),
    ("agent_lost", "write `lost`"),
    ("script_failure", "write `exit_code`"),
    ("failure", "write `exit_code`"),
    ("job_execution_timeout", "write `timeout`"),
    ("timed_out", "write `timeout`"),
    ("image_pull_failure", "write `image_pull`"),
];

/// `2`, which repeats twice, or the whole map.
pub(super) fn lower(fields: &mut Fields<'_, '_>) -> Retry {
    let report = fields.report;
    let default = Retry::default();
    let Some(entry) = fields.entry("retry") else { return default };
    if !matches!(entry.value.value, Value::Map(_)) {
        let repetitions: u32 = small(fields.integer("retry"), 0);
        return Retry { attempts: repetitions + 1, ..default };
    }
    let Some(mut map) = Fields::open(&entry.value, &entry.key_span, &RETRY, report) else { return default };
    let named = map.integer("attempts");
    let attempts_lost = small(map.integer("attempts_lost"), default.attempts_lost);
    let when = conditions(&mut map);
    let backoff = backoff(&mut map);
    // Who says which failures are retried wants a retry of them.
    let attempts = small(named, if when.iter().any(is_own) { 2 } else { default.attempts });
    if named == Some(1) && when.iter().any(is_own) {
        let problem = Problem::error(
            "dead-setting",
            "`when` names failures, and with `attempts: 1` nothing is retried",
        )
        .hint("`attempts` counts all tries: write `attempts: 2`, or leave it out");
        report.at(&map.place_of("when"), problem);
    }
    map.close();
    Retry { attempts, attempts_lost, when, backoff }
}

const fn is_own(when: &When) -> bool {
    match when {
        When::Class(class) => class.is_own(),
        When::ExitCode(_) | When::Pattern(_) => true,
    }
}

fn conditions(map: &mut Fields<'_, '_>) -> Vec<When> {
    let Some(node) = map.node("when") else { return Vec::new() };
    let mut when = Vec::new();
    for item in items(node) {
        if when.len() >= MOST {
            map.bad(item, Problem::error("too-many", format!("`when` has more than {MOST} conditions")));
            break;
        }
        match &item.value {
            Value::Map(_) => when.extend(condition(item, map)),
            _ => when.extend(class(item, map).map(When::Class)),
        }
    }
    when
}

fn class(node: &Node, map: &Fields<'_, '_>) -> Option<RetryClass> {
    let found = text(node, "when", map.report)?;
    if let Ok(class) = found.value.parse() {
        return Some(class);
    }
    let elsewhere = ELSEWHERE.iter().find(|(word, _)| *word == found.value);
    let hint = match elsewhere {
        Some((_, advice)) => (*advice).to_owned(),
        None => match closest(&found.value, RetryClass::ALL.map(RetryClass::word)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => {
                "there are lost, image_pull, network, timeout, exit_code, and `pattern: REGEX`".to_owned()
            }
        },
    };
    let message = format!("`{}` is no class of retries", quote(&found.value));
    map.bad(node, Problem::error("bad-value", message).hint(hint));
    None
}

fn condition(node: &Node, map: &Fields<'_, '_>) -> Vec<When> {
    let Some(mut fields) = Fields::open(node, &node.span, &WHEN, map.report) else { return Vec::new() };
    let mut when = Vec::new();
    if let Some(codes) = fields.node("exit_code") {
        for code in items(codes) {
            match code.scalar().and_then(|text| text.parse().ok()).filter(|code| (1..=255).contains(code)) {
                Some(code) => when.push(When::ExitCode(code)),
                None => map.bad(code, wrong_kind("exit_code", "a whole number from 1 to 255", code)),
            }
        }
    }
    if let Some(found) = fields.text("pattern") {
        match values::pattern(&found.value) {
            Ok(_) => when.push(When::Pattern(found.value)),
            Err(why) => {
                let problem =
                    Problem::error("bad-value", format!("`pattern` is no regular expression: {why}"));
                map.report.at(
                    &found.span,
                    problem.hint("write a `.` or `(` that is meant literally as `\\.` or `\\(`"),
                );
            }
        }
    }
    fields.close();
    when
}

/// `10s`, or the whole map.
fn backoff(map: &mut Fields<'_, '_>) -> Option<Backoff> {
    let report = map.report;
    let range = (SignedDuration::ZERO, HOUR);
    let entry = map.entry("backoff")?;
    if !matches!(entry.value.value, Value::Map(_)) {
        let first = map.duration("backoff", range)?;
        return Some(Backoff { first, longest: Backoff::LONGEST.max(first) });
    }
    let mut fields = Fields::open(&entry.value, &entry.key_span, &BACKOFF, report)?;
    let first = fields.duration("first", range);
    let longest = fields.duration("longest", (SECOND, HOUR));
    fields.close();
    let first = first?;
    Some(Backoff { first, longest: longest.unwrap_or(Backoff::LONGEST).max(first) })
}
