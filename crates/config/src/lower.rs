//! From the tree to the values of `model`, mistake by mistake.
//!
//! Each function reads one kind of map. It reports what is wrong and goes on with a default, so
//! that one run shows everything. What only the whole file can tell is left to [`crate::check`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::SignedDuration;
use towpath_model::pipeline::{Condition, EnvValue};
use towpath_model::{ArtifactName, EnvironmentName, JobName, StageName, WorkloadName};

use crate::diagnostic::{Problem, Report, quote};
use crate::fields::{Fields, Located, text, wrong_kind};
use crate::tree::{Entry, Node, Value};

mod cache;
mod container;
mod database;
mod demand;
mod docker;
pub(crate) mod environment;
mod gate;
mod intake;
mod job;
mod limits;
mod listener;
mod matrix;
pub(crate) mod notify;
mod order;
mod outside;
pub(crate) mod pipeline;
mod reports;
mod retry;
mod reuse;
mod routing;
mod stage;
mod strategy;
mod trigger;
mod workload;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Where the file says what, for the checks of the whole.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) jobs: BTreeMap<JobName, Range<usize>>,
    pub(crate) groups: BTreeMap<JobName, matrix::Group>,
    pub(crate) job_needs: Vec<(JobName, Located<JobName>)>,
    /// Those of them that need not be there.
    pub(crate) optional_needs: BTreeSet<(JobName, JobName)>,
    pub(crate) artifacts: Vec<(JobName, Located<ArtifactName>)>,
    pub(crate) workloads: Vec<(Located<WorkloadName>, Located<ArtifactName>)>,
    pub(crate) stages: Vec<Located<StageName>>,
    pub(crate) stage_needs: Vec<(StageName, Located<StageName>)>,
    pub(crate) environments: Vec<(StageName, Located<EnvironmentName>)>,
    /// Environments that Gates of a Stage want a Release to go through before.
    pub(crate) before: Vec<(StageName, Located<EnvironmentName>)>,
    pub(crate) inputs: Vec<String>,
    pub(crate) expressions: Vec<Placed>,
}

/// An expression and who may use which names in it.
#[derive(Debug)]
pub(crate) struct Placed {
    /// The Job it belongs to; none for `env` of the whole file.
    pub(crate) job: Option<JobName>,
    pub(crate) text: Located<String>,
    pub(crate) role: Role,
}

/// What an expression is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The whole text is a condition.
    Condition,
    /// A text with `${{ }}` in it.
    Value,
}

/// The name of an environment variable.
fn variable_name(entry: &Entry, report: &Report<'_>) -> bool {
    let name = &entry.key;
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || name.len() > 128 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let message = format!("`{}` cannot name an environment variable", quote(name));
        report.at(
            &entry.key_span,
            Problem::error("bad-name", message).hint("use letters, digits and `_`, and start with a letter"),
        );
        return false;
    }
    if name.starts_with("TOWPATH_") {
        let message = format!("`{name}` is Towpath's own: names with `TOWPATH_` are set by the agent");
        report.at(&entry.key_span, Problem::error("bad-name", message).hint("choose another name"));
        return false;
    }
    true
}

/// Plain variables: values are kept as they are written.
fn variables(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<(String, Located<String>)> {
    let report = fields.report;
    let mut variables = Vec::new();
    for entry in fields.map(key) {
        let value = match &entry.value.value {
            Value::Null => Some(Located { value: String::new(), span: entry.key_span.clone() }),
            Value::Text(text) if text.is_empty() => {
                Some(Located { value: String::new(), span: entry.value.span.clone() })
            }
            _ => text(&entry.value, &entry.key, report),
        };
        if let (true, Some(value)) = (variable_name(entry, report), value) {
            variables.push((entry.key.clone(), value));
        }
    }
    variables
}

/// Variables whose values may hold `${{ }}`.
fn env(
    fields: &mut Fields<'_, '_>,
    job: Option<&JobName>,
    places: &mut Places,
) -> BTreeMap<String, EnvValue> {
    let mut env = BTreeMap::new();
    for (name, text) in variables(fields, "env") {
        let value = EnvValue(text.value.clone());
        if value.is_expression() {
            places.expressions.push(Placed { job: job.cloned(), text, role: Role::Value });
        }
        env.insert(name, value);
    }
    env
}

/// Variables that are no expressions: nothing evaluates them where they are used.
fn plain_variables(fields: &mut Fields<'_, '_>, key: &'static str, advice: &str) -> BTreeMap<String, String> {
    let report = fields.report;
    let mut plain = BTreeMap::new();
    for (name, text) in variables(fields, key) {
        if text.value.contains("${{") {
            let message = format!("`{name}` holds `${{{{ }}}}`, which nothing evaluates here");
            report.at(&text.span, Problem::error("expression-here", message).hint(advice));
        }
        plain.insert(name, text.value);
    }
    plain
}

/// A condition: CEL, with or without `${{ }}` around the whole.
fn condition(fields: &mut Fields<'_, '_>, job: &JobName, places: &mut Places) -> Option<Condition> {
    let mut text = fields.text("if")?;
    let trimmed = text.value.trim();
    if let Some(inner) = trimmed.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"))
        && !inner.contains("${{")
    {
        text.value = inner.trim().to_owned();
    }
    let condition = Condition(text.value.clone());
    places.expressions.push(Placed { job: Some(job.clone()), text, role: Role::Condition });
    Some(condition)
}

/// A script: text without `${{ }}`.
fn script(fields: &mut Fields<'_, '_>) -> Option<String> {
    let node = fields.node("run")?;
    script_text(node, fields.report)
}

/// The text of a script, refused where an expression would be spliced into it.
fn script_text(node: &Node, report: &Report<'_>) -> Option<String> {
    let Located { value, span } = text(node, "run", report)?;
    let Some(start) = value.find("${{") else { return Some(value) };
    let end = value[start..].find("}}").map_or(value.len(), |end| start + end + 2);
    let spliced = &value[start..end];
    let raw = report.text().get(span.clone()).unwrap_or_default();
    let mark = match raw.find(spliced) {
        Some(offset) => span.start + offset..span.start + offset + spliced.len(),
        None => span,
    };
    let inner = spliced.trim_start_matches("${{").trim_end_matches("}}").trim();
    let inner = if inner.is_empty() { "ref" } else { inner };
    let variable = variable_for(inner);
    let problem = Problem::error("spliced-expression", "an expression cannot stand in a script")
        .label("would become part of the shell's text")
        .hint("whoever chooses the value, say the name of a branch, could run commands with it")
        .hint(format!("give it as a variable: `env: {{ {variable}: \"${{{{ {} }}}}\" }}`, and write `\"${variable}\"` here", quote(inner)));
    report.at(&mark, problem);
    None
}

/// A name for the variable that carries an expression: `needs.build.outputs.tag` becomes `TAG`.
fn variable_for(expression: &str) -> String {
    let last =
        expression.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(|word| !word.is_empty());
    let name: String = last.unwrap_or("VALUE").to_uppercase();
    if name.starts_with(|c: char| c.is_ascii_digit()) { "VALUE".to_owned() } else { name }
}

/// A path within the Project: relative, and not out of it.
fn check_relative(path: &Located<String>, what: &str, report: &Report<'_>) {
    let climbs = path.value.split('/').any(|part| part == "..");
    if path.value.starts_with('/') || climbs {
        let message = format!("`{what}` leaves the Project's directory: `{}`", quote(&path.value));
        report.at(
            &path.span,
            Problem::error("bad-path", message)
                .hint("write a path relative to the Project's directory, without `..`"),
        );
    }
}

/// Several patterns of files within the Project.
fn patterns(fields: &mut Fields<'_, '_>, key: &'static str) -> Vec<String> {
    let report = fields.report;
    let texts = fields.texts(key);
    texts.iter().for_each(|text| check_relative(text, key, report));
    texts.into_iter().map(|text| text.value).collect()
}

/// A path of a request.
fn request_path(path: Located<String>, what: &str, report: &Report<'_>) -> String {
    if !path.value.starts_with('/') || path.value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let message = format!("`{what}` must be a path with a leading `/`, not `{}`", quote(&path.value));
        report.at(&path.span, Problem::error("bad-path", message).hint("for example `/health/ready`"));
    }
    path.value
}

/// `{ role: web }`, `[linux, arch=x64]` or `linux`.
fn labels(node: &Node, what: &str, report: &Report<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    if let Value::Map(entries) = &node.value {
        for entry in entries {
            if let Some(value) = text(&entry.value, what, report) {
                labels.insert(entry.key.clone(), value.value);
            }
        }
        return labels;
    }
    for item in crate::fields::items(node) {
        let Some(label) = text(item, what, report) else { continue };
        let (key, value) = label.value.split_once('=').unwrap_or((&label.value, "true"));
        labels.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    labels
}

/// The first line of a script, cut for people.
fn first_line(script: &str) -> String {
    let line = script.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    quote(line.unwrap_or("script"))
}

/// A number that fits its field. The table's bounds have been checked, so it does.
fn small<T: TryFrom<u64>>(number: Option<u64>, default: T) -> T {
    number.and_then(|number| T::try_from(number).ok()).unwrap_or(default)
}

/// Complains of a value that should have been a text, a list or a map.
fn neither(what: &str, expected: &str, node: &Node, report: &Report<'_>) {
    report.at(&node.span, wrong_kind(what, expected, node));
}
