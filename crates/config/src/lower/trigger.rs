//! What starts a Run.

use towpath_model::ProjectName;
use towpath_model::cron::{Cron, InvalidCron};
use towpath_model::input::{Input, InputKind, MAX_INPUTS, names_an_input};
use towpath_model::origin::{PullRequestTrigger, ReleaseTrigger};
use towpath_model::pipeline::{PushTrigger, TagTrigger, Triggers};
use towpath_model::schedule::ScheduleTrigger;

use super::{neither, patterns};
use crate::diagnostic::{Problem, Report, quote};
use crate::fields::{Fields, Located, choice, items, parsed, text, wrong_kind};
use crate::spec::pipeline::{ON, PUSH, TAG};
use crate::spec::trigger::{INPUT, MANUAL, PULL_REQUEST, RELEASE, SCHEDULE, TYPES, WORDS};
use crate::tree::{Entry, Node, Value};

/// The most schedules of a file.
const MAX_SCHEDULES: usize = 32;

/// The most Projects whose Releases start Runs of one.
const MAX_RELEASES: usize = 32;

/// Lowers `on`. Without it, every push to a branch starts a Run, and so may a person.
pub(super) fn lower(fields: &mut Fields<'_, '_>, own: Option<&ProjectName>) -> Triggers {
    let report = fields.report;
    let Some(entry) = fields.entry("on") else {
        return Triggers { push: Some(PushTrigger::default()), manual: true, ..Triggers::default() };
    };
    let node = &entry.value;
    if matches!(node.value, Value::Map(_)) {
        return Fields::open(node, &entry.key_span, &ON, report)
            .map(|fields| from_map(fields, own))
            .unwrap_or_default();
    }
    let mut triggers = Triggers::default();
    for item in items(node) {
        match choice(item, "on", WORDS, report) {
            Some("push") => triggers.push = Some(PushTrigger::default()),
            Some("tag") => triggers.tag = Some(TagTrigger::default()),
            Some("pull_request") => triggers.pull_request = Some(PullRequestTrigger::default()),
            Some(_) => triggers.manual = true,
            None => {}
        }
    }
    triggers
}

fn from_map(mut fields: Fields<'_, '_>, own: Option<&ProjectName>) -> Triggers {
    let push = push(&mut fields);
    let tag = tag(&mut fields);
    let pull_request = pull_request(&mut fields);
    let schedules = schedules(&mut fields);
    let releases = releases(&mut fields, own);
    let (manual, inputs) = manual(&mut fields);
    let starts = push.is_some()
        || tag.is_some()
        || pull_request.is_some()
        || manual
        || !schedules.is_empty()
        || !releases.is_empty();
    if !starts && !fields.report.has_errors() {
        let problem = Problem::error("never-runs", "nothing can start this pipeline")
            .hint("add `push: main`, or leave `manual` on");
        fields.report.at(&fields.span, problem);
    }
    fields.close();
    Triggers { push, tag, manual, inputs, pull_request, schedules, releases }
}

fn push(fields: &mut Fields<'_, '_>) -> Option<PushTrigger> {
    let report = fields.report;
    let present = fields.has("push");
    let Some(entry) = fields.entry("push") else {
        // `push:` with nothing after it means any push, as it does elsewhere.
        return present.then(PushTrigger::default);
    };
    let node = &entry.value;
    if !matches!(node.value, Value::Map(_)) {
        return Some(PushTrigger { branches: texts(node, "push", fields), paths: Vec::new() });
    }
    let mut push = Fields::open(node, &entry.key_span, &PUSH, report)?;
    let branches = branches(&mut push);
    let paths = patterns(&mut push, "paths");
    push.close();
    Some(PushTrigger { branches, paths })
}

/// Branch patterns, which have no `refs/heads/`.
fn branches(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let branches = fields.texts("branches");
    for branch in branches.iter().filter(|branch| branch.value.starts_with("refs/")) {
        let short = branch.value.trim_start_matches("refs/heads/");
        let problem = Problem::error("bad-branch", "branches are named without `refs/heads/`")
            .hint(format!("write `{}`", quote(short)));
        fields.report.at(&branch.span, problem);
    }
    branches.into_iter().map(|branch| branch.value).collect()
}

fn tag(fields: &mut Fields<'_, '_>) -> Option<TagTrigger> {
    let report = fields.report;
    let present = fields.has("tag");
    let Some(entry) = fields.entry("tag") else {
        return present.then(TagTrigger::default);
    };
    let node = &entry.value;
    if !matches!(node.value, Value::Map(_)) {
        return Some(TagTrigger { patterns: texts(node, "tag", fields) });
    }
    let mut tag = Fields::open(node, &entry.key_span, &TAG, report)?;
    let patterns = tag.texts("patterns").into_iter().map(|text| text.value).collect();
    tag.close();
    Some(TagTrigger { patterns })
}

fn pull_request(fields: &mut Fields<'_, '_>) -> Option<PullRequestTrigger> {
    let report = fields.report;
    let present = fields.has("pull_request");
    let Some(entry) = fields.entry("pull_request") else {
        return present.then(PullRequestTrigger::default);
    };
    let node = &entry.value;
    if !matches!(node.value, Value::Map(_)) {
        let branches = texts(node, "pull_request", fields);
        return Some(PullRequestTrigger { branches, ..PullRequestTrigger::default() });
    }
    let mut request = Fields::open(node, &entry.key_span, &PULL_REQUEST, report)?;
    let branches = branches(&mut request);
    let paths = patterns(&mut request, "paths");
    let types = request.node("types").map(|node| {
        let words = items(node).filter_map(|item| choice(item, "types", TYPES, report));
        words.map(|word| if word.starts_with("synchronize") { "updated" } else { word }.to_owned()).collect()
    });
    request.close();
    let usual = PullRequestTrigger::default();
    Some(PullRequestTrigger { branches, paths, types: types.unwrap_or(usual.types) })
}

fn schedules(fields: &mut Fields<'_, '_>) -> Vec<ScheduleTrigger> {
    let report = fields.report;
    let Some(entry) = fields.entry("schedule") else { return Vec::new() };
    let schedules: Vec<_> = items(&entry.value).filter_map(|item| schedule(item, entry, fields)).collect();
    if schedules.len() > MAX_SCHEDULES {
        let message = format!("a file may have {MAX_SCHEDULES} schedules, not {}", schedules.len());
        report.at(&entry.key_span, Problem::error("too-many", message).hint("let one Run do more"));
    }
    schedules
}

fn schedule(node: &Node, entry: &Entry, fields: &Fields<'_, '_>) -> Option<ScheduleTrigger> {
    let report = fields.report;
    let (cron, zone, branch) = if matches!(node.value, Value::Map(_)) {
        let mut schedule = Fields::open(node, &entry.key_span, &SCHEDULE, report)?;
        let (cron, zone) = (schedule.text("cron"), schedule.text("timezone"));
        let branch = schedule.text("branch").map(|branch| branch.value);
        schedule.close();
        (cron, zone, branch)
    } else {
        (text(node, "schedule", report), None, None)
    };
    let cron = self::cron(&cron?, zone.as_ref(), report)?;
    Some(ScheduleTrigger { cron, branch })
}

/// A schedule and the zone whose clock it means.
pub(super) fn cron(
    cron: &Located<String>,
    zone: Option<&Located<String>>,
    report: &Report<'_>,
) -> Option<Cron> {
    let zone_name = zone.map_or("UTC", |zone| &zone.value);
    match Cron::parse(&cron.value, zone_name) {
        Ok(cron) => Some(cron),
        Err(error) => {
            let at = match (&error, zone) {
                (InvalidCron::Zone { .. }, Some(Located { span, .. })) => span,
                _ => &cron.span,
            };
            let message = error.to_string();
            let (message, hint) = message.split_once("; ").unwrap_or((&message, ""));
            let hint = if hint.is_empty() {
                "for example `0 3 * * mon-fri`: at 3:00 from Monday to Friday"
            } else {
                hint
            };
            report.at(at, Problem::error("bad-schedule", message).hint(hint));
            None
        }
    }
}

fn releases(fields: &mut Fields<'_, '_>, own: Option<&ProjectName>) -> Vec<ReleaseTrigger> {
    let report = fields.report;
    let Some(entry) = fields.entry("release") else { return Vec::new() };
    let mut releases = Vec::new();
    for item in items(&entry.value) {
        let (project, versions) = if matches!(item.value, Value::Map(_)) {
            let Some(mut release) = Fields::open(item, &entry.key_span, &RELEASE, report) else { continue };
            let project = release.name::<ProjectName>("project");
            let versions = release.texts("versions").into_iter().map(|text| text.value).collect();
            release.close();
            (project, versions)
        } else {
            (parsed(item, "release", report), Vec::new())
        };
        let Some(project) = project else { continue };
        if own == Some(&project.value) {
            let problem = Problem::error("cycle", "a Project cannot be started by its own Releases")
                .hint("what follows a Release is a Stage: see `stages`");
            report.at(&project.span, problem);
        }
        releases.push(ReleaseTrigger { project: project.value, versions });
    }
    if releases.len() > MAX_RELEASES {
        let message =
            format!("a file may name {MAX_RELEASES} projects under `release`, not {}", releases.len());
        report.at(&entry.key_span, Problem::error("too-many", message));
    }
    releases
}

/// Whether a person may start it, and what they may say.
fn manual(fields: &mut Fields<'_, '_>) -> (bool, Vec<Input>) {
    let report = fields.report;
    let Some(entry) = fields.entry("manual") else { return (true, Vec::new()) };
    match &entry.value.value {
        Value::Boolean(manual) => (*manual, Vec::new()),
        Value::Map(_) => {
            let Some(mut manual) = Fields::open(&entry.value, &entry.key_span, &MANUAL, report) else {
                return (true, Vec::new());
            };
            let entries = manual.map("inputs");
            if entries.len() > MAX_INPUTS {
                let message = format!("a pipeline may have {MAX_INPUTS} inputs, not {}", entries.len());
                report.at(&entry.key_span, Problem::error("too-many", message));
            }
            let inputs = entries.iter().filter_map(|entry| input(entry, fields)).collect();
            manual.close();
            (true, inputs)
        }
        _ => {
            report.at(
                &entry.value.span,
                wrong_kind("manual", "`true`, `false` or a map with `inputs`", &entry.value),
            );
            (true, Vec::new())
        }
    }
}

fn input(entry: &Entry, outer: &Fields<'_, '_>) -> Option<Input> {
    let report = outer.report;
    let name = entry.key.clone();
    if !names_an_input(&name) {
        let message = format!("`{}` cannot name an input", quote(&name));
        let problem =
            Problem::error("bad-name", message).hint("use a-z, 0-9 and `_`, and start with a letter");
        report.at(&entry.key_span, problem);
        return None;
    }
    // `note:` with nothing after it is a text that nobody has to give.
    if matches!(entry.value.value, Value::Null) {
        let kind = InputKind::String;
        return Some(Input { name, description: String::new(), kind, required: false, default: None });
    }
    let mut fields = Fields::open(&entry.value, &entry.key_span, &INPUT, report)?;
    let word = fields.choice("type").unwrap_or("string");
    let description = fields.text("description").map(|text| text.value).unwrap_or_default();
    let required = fields.boolean("required", false);
    let (has_options, default) = (fields.has("options"), fields.node("default"));
    let options: Vec<String> = fields
        .list("options")
        .iter()
        .filter_map(|item| text(item, "options", report))
        .map(|o| o.value)
        .collect();
    let kind = match word {
        "number" => InputKind::Number,
        "boolean" => InputKind::Boolean,
        "choice" => InputKind::Choice { options },
        _ => InputKind::String,
    };
    match &kind {
        InputKind::Choice { options } if options.is_empty() => {
            let problem = Problem::error("no-options", format!("input `{name}` is a choice of nothing"))
                .hint("for example `options: [staging, production]`");
            report.at(&entry.key_span, problem);
        }
        InputKind::String | InputKind::Number | InputKind::Boolean if has_options => {
            let problem =
                Problem::error("not-a-choice", format!("input `{name}` is a {word}, which has no `options`"))
                    .hint("write `type: choice`");
            report.at(&entry.key_span, problem);
        }
        _ => {}
    }
    let default = default.and_then(|node| match kind.read(node.scalar()?) {
        Ok(value) => Some(value),
        Err(why) => {
            let message = format!("the default of input `{name}` does not fit: {why}");
            report.at(&node.span, Problem::error("bad-default", message));
            None
        }
    });
    if required && default.is_some() {
        let problem =
            Problem::warning("never-asked", format!("input `{name}` is required, and has a default"))
                .hint("nobody will be asked; leave one of them out");
        report.at(&entry.key_span, problem);
    }
    fields.close();
    Some(Input { name, description, kind, required, default })
}

fn texts(node: &Node, what: &str, fields: &Fields<'_, '_>) -> Vec<String> {
    if matches!(node.value, Value::Boolean(_)) {
        neither(what, "branches or tags; leave the value out for all", node, fields.report);
        return Vec::new();
    }
    items(node).filter_map(|item| text(item, what, fields.report)).map(|text| text.value).collect()
}
