//! Workloads.

use jiff::SignedDuration;
use towpath_model::pipeline::{Health, Limits, Protocol, Stop, Workload};
use towpath_model::{ArtifactName, WorkloadName};

use super::{HOUR, Places, SECOND, plain_variables, request_path, small};
use crate::diagnostic::{Problem, Report};
use crate::fields::{Fields, Located, wrong_kind};
use crate::spec::pipeline::{HEALTH, LIMITS, STOP, WORKLOAD};
use crate::tree::{Entry, Value};
use crate::values;
use towpath_model::container::is_pinned;

/// Lowers one Workload.
pub(super) fn lower(
    name: WorkloadName,
    entry: &Entry,
    places: &mut Places,
    report: &Report<'_>,
) -> Option<Workload> {
    let mut fields = Fields::open(&entry.value, &entry.key_span, &WORKLOAD, report)?;
    let artifact = match fields.name::<ArtifactName>("artifact") {
        Some(artifact) => Some(artifact),
        None if fields.has("artifact") => None,
        None => name.as_str().parse().ok().map(|value| Located { value, span: entry.key_span.clone() }),
    };
    let image = image(&mut fields);
    if let (Some(artifact), false) = (&artifact, fields.has("image")) {
        let workload = Located { value: name.clone(), span: entry.key_span.clone() };
        places.workloads.push((workload, artifact.clone()));
    }
    let command = command(&mut fields);
    let port = fields.integer("port").and_then(|port| u16::try_from(port).ok());
    let env =
        plain_variables(&mut fields, "env", "set it per Environment: `values` in the environment document");
    let health = health(&mut fields);
    let stop = stop(&mut fields);
    let limits = limits(&mut fields);
    let protocol = match fields.choice("protocol") {
        Some("h2c") => Protocol::H2c,
        Some(_) | None => Protocol::Http1,
    };
    fields.close();
    let artifact = artifact?.value;
    Some(Workload { name, artifact, image, command, port, env, health, stop, limits, protocol })
}

/// An image of a registry. It is sealed by its digest, so that a Release means the same bytes tomorrow.
fn image(fields: &mut Fields<'_, '_>) -> Option<String> {
    let both = fields.has("artifact");
    let image = fields.text("image")?;
    if both {
        let problem =
            Problem::error("two-origins", "a Workload is started from `artifact` or from `image`, not both")
                .hint("keep `artifact` where a Job of this file makes it");
        fields.report.at(&image.span, problem);
    }
    let span = image.span.clone();
    let name = super::container::plain_reference(image, fields.report)?;
    if !is_pinned(&name) {
        let problem = Problem::error(
            "unpinned-image",
            format!("`{name}` may be other bytes tomorrow, and what is released cannot change"),
        )
        .hint("name its digest: `registry.example.com/team/shop@sha256:…`; `docker buildx imagetools inspect NAME` shows it");
        fields.report.at(&span, problem);
    }
    Some(name)
}

fn command(fields: &mut Fields<'_, '_>) -> Option<String> {
    let command = fields.text("command")?;
    if command.value.contains("${{") {
        let problem = Problem::error("spliced-expression", "an expression cannot stand in a command")
            .hint("an Instance gets its values by environment: `values` in the environment document");
        fields.report.at(&command.span, problem);
    }
    Some(command.value)
}

fn health(fields: &mut Fields<'_, '_>) -> Health {
    let report = fields.report;
    let default = Health::default();
    let Some(entry) = fields.entry("health") else { return default };
    if matches!(entry.value.value, Value::Text(_)) {
        let ready = fields.text("health").map(|path| request_path(path, "health", report));
        return Health { ready, ..default };
    }
    let Some(mut health) = Fields::open(&entry.value, &entry.key_span, &HEALTH, report) else {
        return default;
    };
    let lowered = Health {
        ready: health.text("ready").map(|path| request_path(path, "ready", report)),
        live: health.text("live").map(|path| request_path(path, "live", report)),
        start_within: health.duration("start_within", (SECOND, HOUR)).unwrap_or(default.start_within),
        period: health.duration("period", (SECOND, HOUR)).unwrap_or(default.period),
        timeout: health.duration("timeout", (SECOND / 10, HOUR)).unwrap_or(default.timeout),
        failures: small(health.integer("failures"), default.failures),
    };
    health.close();
    lowered
}

fn stop(fields: &mut Fields<'_, '_>) -> Stop {
    let report = fields.report;
    let default = Stop::default();
    let Some(entry) = fields.entry("stop") else { return default };
    let Some(mut stop) = Fields::open(&entry.value, &entry.key_span, &STOP, report) else { return default };
    let lowered = Stop {
        signal: stop.choice("signal").map(str::to_owned).unwrap_or(default.signal),
        grace: stop.duration("grace", (SignedDuration::ZERO, HOUR)).unwrap_or(default.grace),
    };
    stop.close();
    lowered
}

fn limits(fields: &mut Fields<'_, '_>) -> Limits {
    let report = fields.report;
    let Some(entry) = fields.entry("limits") else { return Limits::default() };
    let Some(mut limits) = Fields::open(&entry.value, &entry.key_span, &LIMITS, report) else {
        return Limits::default();
    };
    let memory = limits.node("memory").and_then(|node| {
        let bytes = node.scalar().and_then(values::size);
        if bytes.is_none() {
            limits.bad(node, wrong_kind("memory", "a size", node).hint("write it as `512MiB` or `1GB`"));
        }
        bytes
    });
    let cpu = limits.node("cpu").and_then(|node| {
        let cpu = node.scalar().and_then(values::cpu);
        if cpu.is_none() {
            limits
                .bad(node, wrong_kind("cpu", "a number of cores", node).hint("write it as `1.5` or `500m`"));
        }
        cpu
    });
    let processes = limits.integer("processes").and_then(|number| u32::try_from(number).ok());
    limits.close();
    Limits { memory, cpu, processes }
}
