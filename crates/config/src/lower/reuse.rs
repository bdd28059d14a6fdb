//! Defaults and templates, put into the Jobs before these are read.
//!
//! Both work on the tree, so that a value from a default or a template is checked, and its mistakes are
//! shown, where it was written.

use std::collections::BTreeMap;
use std::ops::Range;

use super::neither;
use crate::diagnostic::{Problem, Report, closest, quote};
use crate::expression::{Given, Value as Expressed, inline};
use crate::fields::{Fields, items, unknown_key_of, wrong_kind};
use crate::rewrite;
use crate::spec::reuse::{DEFAULTS, PARAMETER, TEMPLATE, USE};
use crate::spec::{Kind, canonical, keys_of};
use crate::tree::{Entry, Node, Value};

/// The deepest that templates may use templates.
const MAX_DEPTH: usize = 8;

/// The most Steps of a Job, once its templates are unfolded.
const MAX_STEPS: usize = 500;

/// What one file says for all its Jobs.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    /// For the Job, by canonical key.
    job: Vec<Entry>,
    /// For each of its Steps: `shell` and `directory`.
    step: Vec<Entry>,
}

impl Defaults {
    /// Reads `defaults`.
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let report = fields.report;
        let mut defaults = Self::default();
        let Kind::Keys(parts) = DEFAULTS else { return defaults };
        let of_step = |name: &str| matches!(name, "shell" | "directory");
        let mut seen: Vec<&str> = Vec::new();
        for entry in fields.map("defaults") {
            let name = canonical(&entry.key);
            match keys_of(parts).find(|key| key.name == name) {
                None => report.at(&entry.key_span, unknown_key_of("`defaults`", keys_of(parts), &entry.key)),
                Some(key) if seen.contains(&key.name) => {
                    let message = format!("`{}` is there twice, in two spellings", key.name);
                    report.at(&entry.key_span, Problem::error("duplicate-key", message));
                }
                Some(_) if matches!(entry.value.value, Value::Null) => {}
                Some(key) => {
                    seen.push(key.name);
                    let place = if of_step(key.name) { &mut defaults.step } else { &mut defaults.job };
                    place.push(Entry { key: key.name.to_owned(), ..entry.clone() });
                }
            }
        }
        defaults
    }

    /// Adds environment under that of every Job.
    pub(super) fn add_env(&mut self, entry: &Entry) {
        match self.job.iter_mut().find(|known| known.key == "env") {
            Some(known) => under(&mut known.value, &entry.value),
            None => self.job.push(Entry { key: "env".to_owned(), ..entry.clone() }),
        }
    }

    fn is_empty(&self) -> bool {
        self.job.is_empty() && self.step.is_empty()
    }

    /// Puts into a Job what it does not say itself.
    fn put_into(&self, job: &mut Node) {
        let Value::Map(entries) = &mut job.value else { return };
        for default in &self.job {
            let own = entries.iter_mut().find(|entry| {
                canonical(&entry.key) == default.key && !matches!(entry.value.value, Value::Null)
            });
            match own {
                Some(own) if default.key == "env" => under(&mut own.value, &default.value),
                Some(_) => {}
                None => {
                    entries.retain(|entry| canonical(&entry.key) != default.key);
                    entries.push(default.clone());
                }
            }
        }
        if self.step.is_empty() {
            return;
        }
        let steps = entries.iter_mut().find(|entry| canonical(&entry.key) == "steps");
        let Some(steps) = steps else { return };
        make_list(&mut steps.value);
        if let Value::List(steps) = &mut steps.value.value {
            steps.iter_mut().for_each(|step| self.put_into_step(step));
        }
    }

    fn put_into_step(&self, step: &mut Node) {
        let Some(entries) = step_entries(step) else { return };
        for default in &self.step {
            if !entries.iter().any(|entry| canonical(&entry.key) == default.key) {
                entries.push(default.clone());
            }
        }
    }
}

/// Puts the entries of `from` into the map `into` where it has none of that name.
fn under(into: &mut Node, from: &Node) {
    if let (Value::Map(into), Value::Map(from)) = (&mut into.value, &from.value) {
        for entry in from {
            if !into.iter().any(|own| own.key == entry.key) {
                into.push(entry.clone());
            }
        }
    }
}

/// One Step stands for a list of it.
fn make_list(node: &mut Node) {
    if matches!(node.value, Value::Text(_) | Value::Map(_)) {
        let span = node.span.clone();
        let item = Node { value: std::mem::replace(&mut node.value, Value::Null), span };
        node.value = Value::List(vec![item]);
    }
}

/// The keys of a Step; a text becomes a map with `run`.
fn step_entries(step: &mut Node) -> Option<&mut Vec<Entry>> {
    if let Some(text) = step.scalar() {
        let run = Node { value: Value::Text(text.to_owned()), span: step.span.clone() };
        let entry = Entry { key: "run".to_owned(), key_span: step.span.clone(), value: run };
        step.value = Value::Map(vec![entry]);
    }
    match &mut step.value {
        Value::Map(entries) => Some(entries),
        _ => None,
    }
}

/// The templates of all files, by name.
#[derive(Debug, Default)]
pub(super) struct Templates {
    templates: BTreeMap<String, Template>,
}

#[derive(Debug)]
struct Template {
    parameters: BTreeMap<String, Parameter>,
    steps: Vec<Node>,
    span: Range<usize>,
}

#[derive(Debug)]
struct Parameter {
    sort: &'static str,
    required: bool,
    default: Option<Expressed>,
    options: Vec<String>,
}

impl Templates {
    /// Reads `templates` of a file.
    pub(super) fn read(&mut self, fields: &mut Fields<'_, '_>) {
        let report = fields.report;
        for entry in fields.map("templates") {
            if self.templates.contains_key(&entry.key) {
                let problem = Problem::error(
                    "duplicate-name",
                    format!("there are two templates `{}`", quote(&entry.key)),
                );
                report.at(&entry.key_span, problem.hint("rename one of them"));
            } else if crate::fields::parse_name::<towpath_model::JobName>(&entry.key, &entry.key_span, report)
                .is_some()
                && let Some(template) = template(entry, report)
            {
                self.templates.insert(entry.key.clone(), template);
            }
        }
    }

    /// A Job with defaults and the Steps of the templates that it uses.
    pub(super) fn unfold(&self, entry: &Entry, defaults: &Defaults, report: &Report<'_>) -> Entry {
        let mut entry = entry.clone();
        if let Value::Map(entries) = &mut entry.value.value
            && let Some(steps) = entries.iter_mut().find(|entry| canonical(&entry.key) == "steps")
        {
            self.unfold_steps(steps, report);
        }
        if !defaults.is_empty() {
            defaults.put_into(&mut entry.value);
        }
        entry
    }

    fn unfold_steps(&self, steps: &mut Entry, report: &Report<'_>) {
        let uses = |node: &Node| matches!(&node.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == "uses"));
        if !items(&steps.value).any(uses) {
            return;
        }
        let mut unfolded = Unfolded {
            templates: self,
            report,
            steps: Vec::new(),
            path: Vec::new(),
            full: false,
            others: items(&steps.value).len() > 1,
        };
        for item in items(&steps.value) {
            unfolded.step(item);
        }
        let Unfolded { steps: mut list, full, .. } = unfolded;
        if list.is_empty() {
            // What is wrong has been said; that there are no Steps would only confuse.
            list.push(Node { value: Value::Text("true".to_owned()), span: steps.key_span.clone() });
        }
        if full {
            let problem = Problem::error(
                "too-many-steps",
                format!("with its templates, this Job has more than {MAX_STEPS} Steps"),
            );
            report.at(&steps.key_span, problem.hint("put the commands into scripts, or split the Job"));
        }
        steps.value.value = Value::List(list);
    }

    /// Looks at templates that nothing uses, too: each as a Job that gives it what it asks for.
    pub(super) fn each_alone(&self) -> Vec<Entry> {
        let alone = |(name, template): (&String, &Template)| {
            let given = template.parameters.iter().filter(|(_, parameter)| parameter.required);
            let with = given.map(|(name, parameter)| {
                let value = parameter.options.first().cloned().unwrap_or_else(|| match parameter.sort {
                    "integer" => "1".to_owned(),
                    "boolean" => "true".to_owned(),
                    _ => "text".to_owned(),
                });
                entry(name, Value::Text(value), &template.span)
            });
            let with = entry("with", Value::Map(with.collect()), &template.span);
            let uses = entry("uses", Value::Text(name.clone()), &template.span);
            let step = Node { value: Value::Map(vec![uses, with]), span: template.span.clone() };
            let steps = entry("steps", Value::List(vec![step]), &template.span);
            entry(name, Value::Map(vec![steps]), &template.span)
        };
        self.templates.iter().map(alone).collect()
    }
}

fn entry(key: &str, value: Value, span: &Range<usize>) -> Entry {
    Entry { key: key.to_owned(), key_span: span.clone(), value: Node { value, span: span.clone() } }
}

fn template(entry: &Entry, report: &Report<'_>) -> Option<Template> {
    let mut fields = Fields::open(&entry.value, &entry.key_span, &TEMPLATE, report)?;
    let _for_people = fields.text("description");
    let mut parameters = BTreeMap::new();
    for entry in fields.map("parameters") {
        if let Some(parameter) = parameter_name(entry, report).and_then(|()| parameter(entry, report)) {
            parameters.insert(entry.key.clone(), parameter);
        }
    }
    let steps = fields.node("steps").map(|node| items(node).cloned().collect()).unwrap_or_default();
    fields.close();
    Some(Template { parameters, steps, span: entry.key_span.clone() })
}

fn parameter_name(entry: &Entry, report: &Report<'_>) -> Option<()> {
    let name = &entry.key;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts_well && name.len() <= 63 && name.chars().all(allowed) && !name.ends_with('-') {
        return Some(());
    }
    let problem = Problem::error("bad-name", format!("`{}` cannot name a parameter", quote(name)));
    report.at(&entry.key_span, problem.hint("use letters, digits, `_` and `-`, and start with a letter"));
    None
}

fn parameter(entry: &Entry, report: &Report<'_>) -> Option<Parameter> {
    let mut fields = Fields::open(&entry.value, &entry.key_span, &PARAMETER, report)?;
    let sort = fields.choice("type").unwrap_or("string");
    let required = fields.has("required").then(|| fields.boolean("required", true));
    fields.pass_over("required");
    let options: Vec<String> = fields
        .list("options")
        .iter()
        .filter_map(|node| typed(node, "options", sort, &[], report))
        .map(|value| value.to_string())
        .collect();
    let default = fields.node("default").and_then(|node| typed(node, "default", sort, &options, report));
    let _for_people = fields.text("description");
    if required == Some(true) && default.is_some() {
        let problem =
            Problem::warning("never-used", "this parameter is required, so its default is never used");
        report.at(&fields.place_of("default"), problem.hint("remove `required` or `default`"));
    }
    fields.close();
    Some(Parameter { sort, required: required.unwrap_or(default.is_none()), default, options })
}

/// A scalar of the type that a parameter has.
fn typed(node: &Node, what: &str, sort: &str, options: &[String], report: &Report<'_>) -> Option<Expressed> {
    let text = match (&node.value, node.scalar()) {
        (_, Some(text)) => text,
        (Value::Null, None) => "",
        _ => {
            report.at(&node.span, wrong_kind(what, "text, a number or a boolean", node));
            return None;
        }
    };
    let value = match sort {
        "integer" => text.parse().ok().map(Expressed::Integer),
        "boolean" => text.parse().ok().map(Expressed::Boolean),
        _ => Some(Expressed::from(text)),
    };
    let Some(value) = value else {
        let wanted = if sort == "integer" { "a whole number" } else { "`true` or `false`" };
        report.at(&node.span, wrong_kind(what, wanted, node));
        return None;
    };
    if !options.is_empty() && !options.iter().any(|option| option == text) {
        let problem = Problem::error("unknown-word", format!("`{}` is not a value of `{what}`", quote(text)));
        report.at(
            &node.span,
            problem.hint(match closest(text, options.iter().map(String::as_str)) {
                Some(option) => format!("did you mean `{option}`?"),
                None => format!("write one of `{}`", options.join("`, `")),
            }),
        );
        return None;
    }
    Some(value)
}

/// The Steps of a Job while its templates are unfolded.
struct Unfolded<'t, 'r> {
    templates: &'t Templates,
    report: &'r Report<'r>,
    steps: Vec<Node>,
    /// The templates around, outermost first.
    path: Vec<String>,
    full: bool,
    /// Whether the list has more than one item.
    others: bool,
}

impl Unfolded<'_, '_> {
    fn step(&mut self, node: &Node) {
        if self.full {
            return;
        }
        let used = match &node.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == "uses"),
            _ => None,
        };
        let Some(uses) = used else {
            self.full = self.steps.len() >= MAX_STEPS;
            if !self.full {
                self.steps.push(node.clone());
            }
            return;
        };
        let Some(mut fields) = Fields::open(node, &uses.key_span, &USE, self.report) else { return };
        let name = fields.text("uses").map(|name| name.value);
        fields.pass_over("with");
        fields.pass_over("env");
        fields.close();
        let Some(name) = name else { return };
        let Some(template) = self.templates.templates.get(&name) else {
            let text = self.report.text();
            // Of a Step that only brings what is there anyway, nothing has to stay.
            let needless =
                matches!(name.split('@').next(), Some("actions/checkout" | "actions/download-artifact"));
            let edit = rewrite::without_item(node, text).filter(|_| needless && self.others);
            self.report.at(&uses.value.span, self.no_template(&name).edits(edit));
            return;
        };
        if self.path.contains(&name) || self.path.len() >= MAX_DEPTH {
            let problem = if self.path.contains(&name) {
                let round: Vec<&str> = self.path.iter().chain([&name]).map(String::as_str).collect();
                Problem::error("cycle", format!("these templates use each other: {}", round.join(" -> ")))
            } else {
                Problem::error("too-complex", format!("templates use each other more than {MAX_DEPTH} deep"))
            };
            self.report.at(&uses.value.span, problem.hint("put the Steps in their place"));
            return;
        }
        let Some(given) = self.given(node, &name, template, &uses.key_span) else { return };
        let env = environment(node, template, &given, &uses.value.span);
        self.path.push(name);
        for step in &template.steps {
            if let Some(step) = self.with_parameters(step, &given, &env) {
                self.step(&step);
            }
        }
        self.path.pop();
    }

    /// What `with` gives, checked against what the template asks for.
    fn given(
        &self,
        node: &Node,
        name: &str,
        template: &Template,
        place: &Range<usize>,
    ) -> Option<BTreeMap<String, Given>> {
        let report = self.report;
        let before = report.errors();
        let mut given = BTreeMap::new();
        for entry in map_under(node, "with", report) {
            let Some(parameter) = template.parameters.get(&entry.key) else {
                let problem = Problem::error(
                    "unknown-key",
                    format!("template `{name}` has no parameter `{}`", quote(&entry.key)),
                );
                let near = closest(&entry.key, template.parameters.keys().map(String::as_str));
                report.at(
                    &entry.key_span,
                    problem.maybe_hint(near.map(|near| format!("did you mean `{near}`?"))),
                );
                continue;
            };
            let late = entry.value.scalar().filter(|text| text.contains("${{"));
            let value = match late {
                Some(text) => Some(Given::of(text)),
                None => typed(&entry.value, &entry.key, parameter.sort, &parameter.options, report)
                    .map(Given::Value),
            };
            given.extend(value.map(|value| (entry.key.clone(), value)));
        }
        for (key, parameter) in template.parameters.iter().filter(|(key, _)| !has_under(node, "with", key)) {
            let value = match (&parameter.default, parameter.sort) {
                _ if parameter.required => {
                    let problem = Problem::error(
                        "missing-key",
                        format!("template `{name}` needs `with: {{ {key}: … }}`"),
                    );
                    report.at(place, problem.hint("or give the parameter a `default`"));
                    continue;
                }
                (Some(default), _) => default.clone(),
                (None, "integer") => Expressed::Integer(0),
                (None, "boolean") => Expressed::Boolean(false),
                (None, _) => Expressed::from(""),
            };
            given.insert(key.clone(), Given::Value(value));
        }
        (report.errors() == before).then_some(given)
    }

    /// A Step of a template, with its parameters in its environment and wherever it asks for them.
    fn with_parameters(&self, step: &Node, given: &BTreeMap<String, Given>, env: &[Entry]) -> Option<Node> {
        let mut step = step.clone();
        let span = step.span.clone();
        let nested =
            matches!(&step.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == "uses"));
        let Some(entries) = step_entries(&mut step) else {
            neither("steps", "a command, or a map with `run` or `uses`", &step, self.report);
            return None;
        };
        for entry in entries.iter_mut().filter(|entry| entry.key != "run") {
            self.inline_into(&mut entry.value, given);
        }
        // The parameters of the outer template are not those of an inner one, which has its own.
        let env = Node { value: Value::Map(env.to_vec()), span: span.clone() };
        match entries.iter_mut().find(|entry| entry.key == "env" && !matches!(entry.value.value, Value::Null))
        {
            Some(own) => under(&mut own.value, &env),
            None if nested && matches!(&env.value, Value::Map(env) if env.is_empty()) => {}
            None => {
                entries.retain(|entry| entry.key != "env");
                entries.push(Entry { key: "env".to_owned(), key_span: span, value: env });
            }
        }
        Some(step)
    }

    fn inline_into(&self, node: &mut Node, given: &BTreeMap<String, Given>) {
        match &mut node.value {
            Value::Text(text) => match inline(text, "parameters", given) {
                Ok(Some(inlined)) => node.value = Value::plain(inlined),
                Ok(None) => {}
                Err(error) => {
                    let problem = Problem::error("expression", error.message).maybe_hint(error.hint);
                    self.report.at(&node.span, problem);
                }
            },
            Value::List(items) => items.iter_mut().for_each(|item| self.inline_into(item, given)),
            Value::Map(entries) => {
                entries.iter_mut().for_each(|entry| self.inline_into(&mut entry.value, given))
            }
            Value::Null | Value::Boolean(_) | Value::Number(_) => {}
        }
    }

    fn no_template(&self, name: &str) -> Problem {
        let problem = Problem::error("unknown-name", format!("there is no template `{}`", quote(name)));
        let action = name.split('@').next().unwrap_or(name);
        match closest(name, self.templates.templates.keys().map(String::as_str)) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None if action == "actions/checkout" => {
                problem.hint("remove this Step: each Job begins in a working copy of the commit")
            }
            None if action == "actions/upload-artifact" => problem.hint("write `artifacts` on the Job"),
            None if action == "actions/download-artifact" => {
                problem.hint("remove this Step: the artifacts of the Jobs under `needs` are there")
            }
            None if name.contains(['/', '@']) => {
                problem.hint("Towpath has no actions: `run` a command, or write a template")
            }
            None => {
                problem.hint(format!("write it under `templates: {{ {}: {{ steps: [...] }} }}`", quote(name)))
            }
        }
    }
}

/// The parameters as environment, and what stands under `env` beside `uses`.
fn environment(
    node: &Node,
    template: &Template,
    given: &BTreeMap<String, Given>,
    place: &Range<usize>,
) -> Vec<Entry> {
    let mut env: Vec<Entry> = template
        .parameters
        .keys()
        .filter_map(|name| {
            let value = given.get(name)?.as_text();
            let variable = towpath_model::matrix::variable("PARAM", name);
            Some(entry(&variable, Value::Text(value), place))
        })
        .collect();
    if let Value::Map(entries) = &node.value
        && let Some(own) = entries.iter().find(|entry| entry.key == "env")
        && let Value::Map(own) = &own.value.value
    {
        env.extend(own.iter().filter(|entry| !entry.key.starts_with("PARAM_")).cloned());
    }
    env
}

fn map_under<'n>(node: &'n Node, key: &str, report: &Report<'_>) -> &'n [Entry] {
    let Value::Map(entries) = &node.value else { return &[] };
    let Some(under) = entries.iter().find(|entry| entry.key == key) else { return &[] };
    match &under.value.value {
        Value::Map(entries) => entries,
        Value::Null => &[],
        _ => {
            report.at(&under.value.span, wrong_kind(key, "a map", &under.value));
            &[]
        }
    }
}

fn has_under(node: &Node, key: &str, name: &str) -> bool {
    let Value::Map(entries) = &node.value else { return false };
    entries.iter().any(|entry| {
        entry.key == key
            && matches!(&entry.value.value, Value::Map(under) if under.iter().any(|under| under.key == name))
    })
}
