//! A Job with a matrix becomes its cells, each lowered as a Job of its own.

use std::collections::BTreeMap;
use std::ops::Range;

use towpath_model::JobName;
use towpath_model::matrix::{Cell, Matrix, MatrixError, PARALLEL, Share, Values};
use towpath_model::pipeline::{EnvValue, Job};

use super::{Places, job};
use crate::diagnostic::{Problem, Report, closest, quote};
use crate::expression::{Value as Expressed, settle};
use crate::fields::{Fields, items, wrong_kind};
use crate::spec::canonical;
use crate::tree::{Entry, Node, Value};

/// The longest value of an axis: it is part of names and of environments.
const MAX_VALUE: usize = 200;

/// The most cells that `parallel` makes of one.
const MAX_SHARES: u32 = 256;

/// The cells of a Job, for the checks of the whole.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) span: Range<usize>,
    pub(crate) cells: Vec<JobName>,
    /// What may stand after `matrix.` in its expressions.
    pub(crate) names: Vec<String>,
}

/// Lowers a Job: one, or one for each cell of its matrix.
pub(super) fn lower(name: &JobName, entry: &Entry, places: &mut Places, report: &Report<'_>) -> Vec<Job> {
    places.jobs.insert(name.clone(), entry.key_span.clone());
    let (declared, parallel) = (part_of(entry, "matrix"), part_of(entry, PARALLEL));
    let Some((_, place)) = declared.or(parallel) else {
        return job::lower(name, name.clone(), None, entry, places, report).into_iter().collect();
    };
    let mut matrix = declared.map(|(declared, _)| read(declared, report)).unwrap_or_default();
    matrix.parallel = parallel.map_or(0, |(node, _)| count(node));
    if let (Some((_, place)), true) = (parallel, matrix.names().len() < named(&matrix)) {
        let message = "`parallel` and a value of the matrix with that name are the same to scripts";
        report.at(place, Problem::error("matrix", message).hint("give the axis another name"));
        matrix.parallel = 0;
    }
    let cells = match matrix.cells() {
        Ok(cells) => cells,
        Err(error) => {
            if !matrix.axes.is_empty() || !matrix.include.is_empty() || matrix.parallel > 0 {
                report.at(place, too_many_or_none(&error));
            }
            // Its Steps are looked at all the same.
            let _checked = job::lower(name, name.clone(), None, entry, places, report);
            return Vec::new();
        }
    };
    let names = matrix.cell_names(name, &cells);
    let known = matrix.names().into_iter().map(str::to_owned).collect();
    places.groups.insert(name.clone(), Group { span: place.clone(), cells: names.clone(), names: known });
    let mut jobs = Vec::with_capacity(cells.len());
    for (index, (cell_name, values)) in names.into_iter().zip(cells).enumerate() {
        let settled = settled(entry, &matrix, &values, report);
        let before = report.errors();
        if index == 0 {
            jobs.extend(job::lower(name, cell_name, Some(values), &settled, places, report));
        } else {
            // Needs and expressions are those of the one Job in the file, and are checked once.
            let mut scratch = Places::default();
            jobs.extend(job::lower(name, cell_name, Some(values), &settled, &mut scratch, report));
            places.artifacts.append(&mut scratch.artifacts);
        }
        if report.errors() > before {
            // The same would be said of each cell.
            break;
        }
    }
    jobs
}

/// The place of a Job in its matrix, and what the Job says of all cells.
pub(super) fn cell(
    fields: &mut Fields<'_, '_>,
    of: &JobName,
    values: Option<Values>,
    env: &mut BTreeMap<String, EnvValue>,
) -> Option<Cell> {
    fields.pass_over("matrix");
    let count = fields.integer(PARALLEL).and_then(|count| u32::try_from(count).ok());
    for key in ["fail_fast", "max_parallel"] {
        if values.is_none() && fields.has(key) && !fields.has("matrix") {
            let place = fields.place_of(key);
            let problem =
                Problem::error("no-matrix", format!("`{key}` says something of a matrix, and there is none"))
                    .hint("for example `matrix: { os: [linux, mac] }`");
            fields.report.at(&place, problem);
        }
    }
    let fail_fast = fields.boolean("fail_fast", false);
    let max_parallel = fields.integer("max_parallel").and_then(|most| u32::try_from(most).ok());
    let values = values?;
    let index = values.iter().find(|(name, _)| name == PARALLEL).and_then(|(_, index)| index.parse().ok());
    let share = count.zip(index).map(|(count, index)| Share { index, count });
    let cell = Cell { of: of.clone(), values, fail_fast, max_parallel, share };
    for (name, value) in cell.env() {
        env.entry(name).or_insert_with(|| EnvValue(value.to_owned()));
    }
    // What a share is may not be said otherwise: work would be left out, or done twice.
    env.extend(
        share.into_iter().flat_map(Share::env).map(|(name, value)| (name.to_owned(), EnvValue(value))),
    );
    Some(cell)
}

/// What a Job has under `matrix` or `parallel`.
fn part_of<'e>(entry: &'e Entry, key: &str) -> Option<(&'e Node, &'e Range<usize>)> {
    let Value::Map(entries) = &entry.value.value else { return None };
    let part = entries.iter().find(|entry| canonical(&entry.key) == key)?;
    (!matches!(part.value.value, Value::Null)).then_some((&part.value, &part.key_span))
}

/// How many shares there are. What is no number, or none that may be, is said where the Job's keys are read.
fn count(node: &Node) -> u32 {
    node.scalar()
        .and_then(|text| text.parse().ok())
        .filter(|count| (2..=MAX_SHARES).contains(count))
        .unwrap_or(0)
}

/// How many names a matrix would have if none stood for two things.
fn named(matrix: &Matrix) -> usize {
    Matrix { parallel: 0, ..matrix.clone() }.names().len() + usize::from(matrix.parallel > 0)
}

fn too_many_or_none(error: &MatrixError) -> Problem {
    let problem = Problem::error("matrix", error.to_string());
    match error {
        MatrixError::TooMany { .. } => {
            problem.hint("leave out what teaches nothing with `exclude`, or list under `include` what does")
        }
        MatrixError::Empty => problem.hint("`exclude` leaves nothing over, or no axis has values"),
    }
}

/// Reads axes, `include` and `exclude`; what is wrong is left out.
fn read(node: &Node, report: &Report<'_>) -> Matrix {
    let mut matrix = Matrix::default();
    let Value::Map(entries) = &node.value else {
        let problem = wrong_kind("matrix", "a map of axes", node);
        report.at(&node.span, problem.hint("for example `matrix: { os: [linux, mac] }`"));
        return matrix;
    };
    for entry in entries.iter().filter(|entry| !matches!(entry.key.as_str(), "include" | "exclude")) {
        matrix.axes.extend(axis(entry, report));
    }
    for entry in entries {
        match entry.key.as_str() {
            "include" => matrix.include = combinations(entry, report),
            "exclude" => matrix.exclude = excluded(entry, &matrix.axes, report),
            _ => {}
        }
    }
    matrix
}

fn axis(entry: &Entry, report: &Report<'_>) -> Option<(String, Vec<String>)> {
    axis_name(entry, report)?;
    let mut values: Vec<String> = Vec::new();
    if let Value::Map(_) | Value::Null = entry.value.value {
        let problem = wrong_kind(&entry.key, "a list of values", &entry.value);
        report.at(&entry.value.span, problem.hint(format!("for example `{}: [a, b]`", quote(&entry.key))));
        return None;
    }
    for item in items(&entry.value) {
        let Some(value) = value(item, &entry.key, report) else { continue };
        if values.contains(&value) {
            let message = format!("`{}` has the value `{}` twice", entry.key, quote(&value));
            report.at(&item.span, Problem::error("matrix", message).hint("remove one of them"));
            continue;
        }
        values.push(value);
    }
    (!values.is_empty()).then(|| (entry.key.clone(), values))
}

fn axis_name(entry: &Entry, report: &Report<'_>) -> Option<()> {
    let name = &entry.key;
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if starts_well && name.len() <= 63 && name.chars().all(allowed) && !name.ends_with('-') {
        return Some(());
    }
    let problem = Problem::error("bad-name", format!("`{}` cannot name an axis", quote(name)));
    report.at(&entry.key_span, problem.hint("use letters, digits, `_` and `-`, and start with a letter"));
    None
}

fn value(node: &Node, what: &str, report: &Report<'_>) -> Option<String> {
    let Some(text) = node.scalar() else {
        report.at(&node.span, wrong_kind(what, "text, a number or a boolean", node));
        return None;
    };
    if text.len() > MAX_VALUE || text.contains('\0') || text.contains("${{") {
        let problem = Problem::error("matrix", format!("`{}` cannot be a value of a matrix", quote(text)));
        report.at(&node.span, problem.hint(format!("it is plain text of at most {MAX_VALUE} bytes, without `${{{{ }}}}`: cells are known before the Run")));
        return None;
    }
    Some(text.to_owned())
}

fn combinations(entry: &Entry, report: &Report<'_>) -> Vec<Values> {
    let mut combinations = Vec::new();
    for item in items(&entry.value) {
        let Value::Map(pairs) = &item.value else {
            let problem = wrong_kind(&entry.key, "a list of maps", item);
            report.at(
                &item.span,
                problem.hint(format!("for example `{}: [{{ os: mac, rust: nightly }}]`", entry.key)),
            );
            continue;
        };
        let named = pairs.iter().filter(|pair| axis_name(pair, report).is_some());
        let read: Values = named
            .filter_map(|pair| Some((pair.key.clone(), value(&pair.value, &pair.key, report)?)))
            .collect();
        if !read.is_empty() {
            combinations.push(read);
        }
    }
    combinations
}

/// What `exclude` lists, checked against the axes: a slip there would leave nothing out, and nobody would see it.
fn excluded(entry: &Entry, axes: &[(String, Vec<String>)], report: &Report<'_>) -> Vec<Values> {
    for pair in items(&entry.value).flat_map(|item| match &item.value {
        Value::Map(pairs) => pairs.as_slice(),
        _ => &[],
    }) {
        let Some((_, values)) = axes.iter().find(|(axis, _)| *axis == pair.key) else {
            let problem = Problem::error(
                "matrix",
                format!("the matrix has no axis `{}` to exclude from", quote(&pair.key)),
            );
            let near = closest(&pair.key, axes.iter().map(|(axis, _)| axis.as_str()));
            report.at(&pair.key_span, problem.maybe_hint(near.map(|axis| format!("did you mean `{axis}`?"))));
            continue;
        };
        if let Some(text) = pair.value.scalar().filter(|text| !values.iter().any(|value| value == text)) {
            let problem = Problem::error("matrix", format!("`{}` is never `{}`", pair.key, quote(text)));
            let near = closest(text, values.iter().map(String::as_str));
            report.at(
                &pair.value.span,
                problem.maybe_hint(near.map(|value| format!("did you mean `{value}`?"))),
            );
        }
    }
    combinations(entry, report)
}

/// The Job with the values of a cell wherever they must be known before the Run: labels, names, patterns, times.
///
/// Scripts are left alone, for nothing is put into the text of a shell. Environment and condition are
/// left to the Run, which sees more names.
fn settled(entry: &Entry, matrix: &Matrix, values: &Values, report: &Report<'_>) -> Entry {
    let mut given: BTreeMap<String, Expressed> =
        matrix.names().into_iter().map(|name| (name.to_owned(), Expressed::from(""))).collect();
    given.extend(values.iter().map(|(name, value)| (name.clone(), Expressed::from(value.as_str()))));
    let mut entry = entry.clone();
    let Value::Map(entries) = &mut entry.value.value else { return entry };
    for entry in entries {
        match canonical(&entry.key).as_str() {
            "matrix" | PARALLEL | "env" | "if" | "needs" => {}
            "steps" => steps(&mut entry.value, &given, report),
            _ => settle_node(&mut entry.value, &given, report),
        }
    }
    entry
}

fn steps(node: &mut Node, given: &BTreeMap<String, Expressed>, report: &Report<'_>) {
    let Value::List(steps) = &mut node.value else { return };
    for step in steps {
        let Value::Map(entries) = &mut step.value else { continue };
        for entry in entries.iter_mut().filter(|entry| !matches!(entry.key.as_str(), "run" | "env" | "if")) {
            settle_node(&mut entry.value, given, report);
        }
    }
}

fn settle_node(node: &mut Node, given: &BTreeMap<String, Expressed>, report: &Report<'_>) {
    match &mut node.value {
        Value::Text(text) => {
            if let Some(settled) = settle_text(text, &node.span, given, report) {
                node.value = Value::plain(settled);
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| settle_node(item, given, report)),
        Value::Map(entries) => {
            for entry in entries {
                if let Some(settled) = settle_text(&entry.key, &entry.key_span, given, report) {
                    entry.key = settled;
                }
                settle_node(&mut entry.value, given, report);
            }
        }
        Value::Null | Value::Boolean(_) | Value::Number(_) => {}
    }
}

fn settle_text(
    text: &str,
    span: &Range<usize>,
    given: &BTreeMap<String, Expressed>,
    report: &Report<'_>,
) -> Option<String> {
    if !text.contains("matrix") || !text.contains("${{") {
        return None;
    }
    match settle(text, "matrix", given) {
        Ok(settled) => settled,
        Err(error) => {
            let names = given.keys().map(String::as_str);
            let unknown = error.message.strip_prefix("there is no `").and_then(|rest| rest.strip_suffix('`'));
            let hint = match unknown {
                Some(name) => closest(name, names).map(|near| format!("did you mean `matrix.{near}`?")),
                None => error.hint,
            };
            report.at(span, Problem::error("expression", error.message).maybe_hint(hint));
            None
        }
    }
}
