//! What starts a Run.

use towpath_model::pipeline::{PushTrigger, TagTrigger, Triggers};

use super::{neither, patterns};
use crate::diagnostic::{Problem, quote};
use crate::fields::{Fields, choice, items, text};
use crate::spec::pipeline::{ON, PUSH, TAG};
use crate::tree::{Node, Value};

/// Lowers `on`. Without it, every push to a branch starts a Run, and so may a person.
pub(super) fn lower(fields: &mut Fields<'_, '_>) -> Triggers {
    let report = fields.report;
    let Some(entry) = fields.entry("on") else {
        return Triggers { push: Some(PushTrigger::default()), tag: None, manual: true };
    };
    let node = &entry.value;
    if matches!(node.value, Value::Map(_)) {
        return Fields::open(node, &entry.key_span, &ON, report).map(from_map).unwrap_or_default();
    }
    let mut triggers = Triggers { push: None, tag: None, manual: false };
    for item in items(node) {
        match choice(item, "on", &["push", "tag", "manual"], report) {
            Some("push") => triggers.push = Some(PushTrigger::default()),
            Some("tag") => triggers.tag = Some(TagTrigger::default()),
            Some(_) => triggers.manual = true,
            None => {}
        }
    }
    triggers
}

fn from_map(mut fields: Fields<'_, '_>) -> Triggers {
    let push = push(&mut fields);
    let tag = tag(&mut fields);
    let manual = fields.boolean("manual", true);
    if push.is_none() && tag.is_none() && !manual && !fields.report.has_errors() {
        let problem = Problem::error("never-runs", "nothing can start this pipeline")
            .hint("add `push: main`, or leave `manual` on");
        fields.report.at(&fields.span, problem);
    }
    fields.close();
    Triggers { push, tag, manual }
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
    let branches: Vec<_> = push.texts("branches");
    for branch in branches.iter().filter(|branch| branch.value.starts_with("refs/")) {
        let short = branch.value.trim_start_matches("refs/heads/");
        let problem = Problem::error("bad-branch", "branches are named without `refs/heads/`")
            .hint(format!("write `{}`", quote(short)));
        report.at(&branch.span, problem);
    }
    let paths = patterns(&mut push, "paths");
    push.close();
    Some(PushTrigger { branches: branches.into_iter().map(|branch| branch.value).collect(), paths })
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

fn texts(node: &Node, what: &str, fields: &Fields<'_, '_>) -> Vec<String> {
    if matches!(node.value, Value::Boolean(_)) {
        neither(what, "branches or tags; leave the value out for all", node, fields.report);
        return Vec::new();
    }
    items(node).filter_map(|item| text(item, what, fields.report)).map(|text| text.value).collect()
}
