//! Jobs and their Steps.

use std::collections::BTreeSet;

use towpath_model::JobName;
use towpath_model::container::Service;
use towpath_model::matrix::Values;
use towpath_model::pipeline::{ArtifactDeclaration, Executor, Job, Network, SecretName, Step};

use super::matrix;
use super::{
    DAY, HOUR, Places, SECOND, cache, check_relative, condition, container, env, first_line, labels, limits,
    neither, order, patterns, reports, retry, script, script_text, small,
};
use crate::diagnostic::{Problem, Report};
use crate::fields::{Fields, Located, items, parse_name, text};
use crate::spec::pipeline::{ARTIFACT, JOB, STEP};
use crate::tree::{Entry, Node, Value};

/// Lowers one Job.
///
/// `owner` is its name in the file; a cell of a matrix has a `name` of its own, and `values`.
pub(super) fn lower(
    owner: &JobName,
    name: JobName,
    values: Option<Values>,
    entry: &Entry,
    places: &mut Places,
    report: &Report<'_>,
) -> Option<Job> {
    let mut fields = Fields::open(&entry.value, &entry.key_span, &JOB, report)?;
    let needs = order::needs(&mut fields, owner, places);
    let run_when = order::run_when(&mut fields);
    let paths = order::paths(&mut fields);
    let condition = condition(&mut fields, owner, places);
    let mut env = env(&mut fields, Some(owner), places);
    let secrets: Vec<SecretName> = fields.names("secrets").into_iter().map(|secret| secret.value).collect();
    let steps = steps(&mut fields, owner, &secrets, places);
    let artifacts = artifacts(&mut fields, &name, places);
    let reports = reports::lower(&mut fields);
    let runs_on = fields.node("runs_on").map(|node| labels(node, "runs_on", report)).unwrap_or_default();
    let image = container::image(&mut fields);
    let services = container::services(&mut fields, &name, places);
    let executor = executor(&mut fields, image.is_some());
    let network = match fields.choice("network") {
        Some("none") => Network::None,
        _ => Network::Full,
    };
    check_services(&services, image.is_some(), network, &fields);
    let limits = limits::lower(&mut fields);
    let timeout = fields.duration("timeout", (SECOND, DAY)).unwrap_or(HOUR);
    let retry = retry::lower(&mut fields);
    let order::Concurrency { group: concurrency, limit: concurrency_limit } = order::concurrency(&mut fields);
    let priority = small(fields.integer("priority"), Job::DEFAULT_PRIORITY);
    let allow_failure = fields.boolean("allow_failure", false);
    let cell = matrix::cell(&mut fields, owner, values, &mut env);
    let caches = cache::caches(&mut fields, owner, places);
    let workspace = cache::workspace(&mut fields);
    fields.close();
    Some(Job {
        name,
        needs,
        optional_needs: BTreeSet::new(),
        run_when,
        paths,
        condition,
        env,
        secrets,
        steps,
        artifacts,
        reports,
        runs_on,
        executor,
        image,
        services,
        network,
        limits,
        timeout,
        retry,
        concurrency,
        concurrency_limit,
        priority,
        allow_failure,
        cell,
        caches,
        workspace,
    })
}

/// An image asks for a container, and a container for an image.
fn executor(fields: &mut Fields<'_, '_>, has_image: bool) -> Executor {
    let place = fields.key_place("executor", "");
    let place = fields.entry("executor").map_or(place, |entry| entry.value.span.clone());
    match (fields.choice("executor"), has_image) {
        (None | Some("container"), true) => Executor::Container,
        (Some("container"), false) if !fields.has("image") => {
            let problem = Problem::error("no-image", "`executor: container` needs an `image`")
                .hint("for example `image: debian:bookworm`");
            fields.report.at(&place, problem);
            Executor::Container
        }
        (Some("container"), false) => Executor::Container,
        (Some(other), true) => {
            let problem =
                Problem::error("not-both", format!("`executor: {other}` uses no image, and there is one"))
                    .hint("remove either of them");
            fields.report.at(&place, problem);
            Executor::Container
        }
        (Some("host"), false) => Executor::Host,
        (Some(_) | None, false) => Executor::Sandbox,
    }
}

/// Without the network, Steps in a sandbox reach no Service.
fn check_services(services: &[Service], in_container: bool, network: Network, fields: &Fields<'_, '_>) {
    if services.is_empty() || in_container || network == Network::Full {
        return;
    }
    let problem =
        Problem::error("unreachable-service", "with `network: none`, Steps in a sandbox reach no service")
            .hint("with an `image`, they reach their services and nothing else")
            .hint("or remove `network: none`");
    fields.report.at(&fields.key_place("services", &services[0].name), problem);
}

fn steps(
    fields: &mut Fields<'_, '_>,
    job: &JobName,
    secrets: &[SecretName],
    places: &mut Places,
) -> Vec<Step> {
    let secrets: Vec<String> = secrets.iter().map(ToString::to_string).collect();
    let report = fields.report;
    let Some(entry) = fields.entry("steps") else { return Vec::new() };
    let nodes = items(&entry.value);
    if nodes.len() == 0 {
        let problem = Problem::error("no-steps", format!("job `{job}` has no steps"))
            .hint("for example `steps: [make test]`");
        report.at(&entry.key_span, problem);
    }
    nodes.filter_map(|node| step(node, job, &secrets, places, report)).collect()
}

fn step(
    node: &Node,
    job: &JobName,
    secrets: &[String],
    places: &mut Places,
    report: &Report<'_>,
) -> Option<Step> {
    if !matches!(node.value, Value::Map(_)) {
        let run = script_text(node, report)?;
        return Some(plain_step(run));
    }
    let mut fields = Fields::open(node, &node.span, &STEP, report)?;
    let run = script(&mut fields);
    let name = fields.text("name").map(|name| name.value);
    let shell = shell(&mut fields);
    let env = env(&mut fields, Some(job), places);
    let directory = fields.text("directory");
    if let Some(directory) = &directory {
        check_relative(directory, "directory", report);
    }
    let timeout = fields.duration("timeout", (SECOND, DAY));
    let always = fields.boolean("always", false);
    let inputs = cache::inputs(&mut fields, secrets);
    fields.close();
    let run = run?;
    let name = name.unwrap_or_else(|| first_line(&run));
    Some(Step {
        name,
        run,
        shell,
        env,
        directory: directory.map(|directory| directory.value),
        timeout,
        always,
        inputs,
    })
}

fn plain_step(run: String) -> Step {
    let name = first_line(&run);
    Step {
        name,
        run,
        shell: None,
        env: Default::default(),
        directory: None,
        timeout: None,
        always: false,
        inputs: None,
    }
}

/// `python3 -u` or `[python3, -u]`.
fn shell(fields: &mut Fields<'_, '_>) -> Option<Vec<String>> {
    let words: Vec<Located<String>> = fields.texts("shell");
    let words: Vec<String> = match words.as_slice() {
        [line] => line.value.split_whitespace().map(str::to_owned).collect(),
        _ => words.into_iter().map(|word| word.value).collect(),
    };
    (!words.is_empty()).then_some(words)
}

fn artifacts(fields: &mut Fields<'_, '_>, job: &JobName, places: &mut Places) -> Vec<ArtifactDeclaration> {
    let report = fields.report;
    let mut artifacts = Vec::new();
    for entry in fields.map("artifacts") {
        let Some(name) = parse_name(&entry.key, &entry.key_span, report) else { continue };
        let located = Located { value: name, span: entry.key_span.clone() };
        places.artifacts.push((job.clone(), located.clone()));
        let (files, image) = match &entry.value.value {
            Value::Text(_) | Value::List(_) => {
                let files: Vec<_> =
                    items(&entry.value).filter_map(|item| text(item, "files", report)).collect();
                files.iter().for_each(|file| check_relative(file, "files", report));
                (files.into_iter().map(|file| file.value).collect(), None)
            }
            Value::Map(_) => {
                let Some(mut artifact) = Fields::open(&entry.value, &entry.key_span, &ARTIFACT, report)
                else {
                    continue;
                };
                if artifact.has("files") == artifact.has("image") {
                    let problem =
                        Problem::error("missing-key", "an artifact needs either `files` or `image`")
                            .hint("for example `files: dist/**`, or `image: { context: . }`");
                    report.at(&entry.key_span, problem);
                }
                let files = patterns(&mut artifact, "files");
                let image = artifact.entry("image").and_then(|entry| container::build(entry, report));
                artifact.close();
                (files, image)
            }
            Value::Null | Value::Boolean(_) | Value::Number(_) => {
                neither(
                    "artifacts",
                    "a path, a list of patterns, or a map with `files` or `image`",
                    &entry.value,
                    report,
                );
                continue;
            }
        };
        artifacts.push(ArtifactDeclaration { name: located.value, files, image });
    }
    artifacts
}
