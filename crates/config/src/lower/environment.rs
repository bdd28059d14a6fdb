//! Environment documents.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::SignedDuration;
use towpath_model::policy::{Allow, EnvironmentDocument, REPLACE_AFTER, Target};
use towpath_model::{EnvironmentName, ProjectName};

use super::listener::{address, further_address, tls};
use super::{docker, gate, intake, labels, plain_variables, small};
use crate::diagnostic::{Problem, Report, quote};
use crate::fields::Fields;
use crate::spec::environment::{ALLOW, ENVIRONMENT, TARGET};
use crate::tree::Node;

/// Lowers one document. `None` where it does not even say what it is about.
pub(crate) fn lower(
    node: &Node,
    top: &Range<usize>,
    report: &Report<'_>,
) -> Option<(EnvironmentDocument, Range<usize>)> {
    let mut fields = Fields::open(node, top, &ENVIRONMENT, report)?;
    let environment = fields.name::<EnvironmentName>("environment");
    let project = fields.name::<ProjectName>("project");
    let target = target(&mut fields);
    let listen = fields.text("listen").and_then(|listen| address(&listen, report));
    let tls = tls(&mut fields, listen);
    let redirect = tls.as_ref().and_then(|tls| tls.redirect);
    let preview = fields.text("preview").and_then(|text| further_address(&text, &[listen, redirect], report));
    let allow = allow(&mut fields);
    let intake = intake::intake(&mut fields);
    let lowered = gate::lower_all(&mut fields);
    let own = lowered.iter().filter_map(|gate| gate.before.as_ref());
    for before in own.filter(|before| environment.as_ref().is_some_and(|name| name.value == before.value)) {
        let problem = Problem::error("impossible-gate", format!("`{}` would wait for itself", before.value))
            .hint("name an Environment that comes before");
        report.at(&before.span, problem);
    }
    let values = plain_variables(
        &mut fields,
        "values",
        "write the value itself; an Environment's values are the same for every commit",
    );
    let secrets = fields.names("secrets").into_iter().map(|secret| secret.value).collect();
    check_secret_values(&values, &fields);
    fields.close();
    let environment = environment?;
    let gates = lowered.into_iter().map(|gate| gate.gate).collect();
    let span = environment.span;
    let environment = environment.value;
    let document = EnvironmentDocument {
        environment,
        project: project?.value,
        target,
        listen: listen?,
        tls,
        preview,
        allow,
        intake,
        gates,
        values,
        secrets,
    };
    Some((document, span))
}

/// A host counts as lost after forty seconds of silence; less than a minute would move Instances at every hiccup.
const REPLACE_BOUNDS: (SignedDuration, SignedDuration) =
    (SignedDuration::from_mins(1), SignedDuration::from_hours(24 * 365));

fn target(fields: &mut Fields<'_, '_>) -> Target {
    let report = fields.report;
    let default = Target { hosts: BTreeMap::new(), instances: 1, replace_after: REPLACE_AFTER, docker: None };
    let Some(entry) = fields.entry("target") else { return default };
    let Some(mut target) = Fields::open(&entry.value, &entry.key_span, &TARGET, report) else {
        return default;
    };
    let mut hosts = target.node("hosts").map(|node| labels(node, "hosts", report)).unwrap_or_default();
    let has_hosts = target.has("hosts");
    let docker = target.entry("docker").and_then(|entry| {
        let (docker, labels) = docker::lower(entry, report)?;
        if has_hosts {
            let problem = Problem::error("two-targets", "Instances run on `hosts` or in `docker`, not both")
                .hint("say which agents within `docker`: `docker: { hosts: { role: web } }`");
            report.at(&entry.key_span, problem);
        }
        hosts = labels;
        Some(docker)
    });
    let instances = small(target.integer("instances"), 1);
    let replace_after = target.duration("replace_after", REPLACE_BOUNDS).unwrap_or(REPLACE_AFTER);
    target.close();
    Target { hosts, instances, replace_after, docker }
}

fn allow(fields: &mut Fields<'_, '_>) -> Allow {
    let report = fields.report;
    let Some(entry) = fields.entry("allow") else { return Allow::default() };
    let Some(mut allow) = Fields::open(&entry.value, &entry.key_span, &ALLOW, report) else {
        return Allow::default();
    };
    let present = allow.has("refs");
    let refs = allow.texts("refs");
    allow.close();
    for name in refs.iter().filter(|name| !name.value.starts_with("refs/")) {
        let problem = Problem::error("bad-ref", format!("`{}` is not a full ref", quote(&name.value))).hint(
            format!("write `refs/heads/{0}` for a branch, `refs/tags/{0}` for a tag", quote(&name.value)),
        );
        report.at(&name.span, problem);
    }
    if !present {
        return Allow::default();
    }
    if refs.is_empty() && !report.has_errors() {
        let problem = Problem::error("impossible-gate", "nothing can ever be promoted here: `refs` is empty")
            .hint("for example `refs: [refs/heads/main]`");
        report.at(&entry.key_span, problem);
    }
    Allow { refs: refs.into_iter().map(|name| name.value).collect() }
}

/// Warns of a value that looks like a secret: documents are read by many, and kept in every revision.
fn check_secret_values(values: &BTreeMap<String, String>, fields: &Fields<'_, '_>) {
    const WORDS: [&str; 5] = ["PASSWORD", "SECRET", "TOKEN", "PRIVATE_KEY", "API_KEY"];
    for name in values.keys().filter(|name| WORDS.iter().any(|word| name.to_uppercase().ends_with(word))) {
        let problem = Problem::warning(
            "secret-in-values",
            format!("`{name}` looks like a secret, and `values` are shown to everyone"),
        )
        .hint(format!(
            "list it under `secrets`, and give its value by `towpath secret set`: `secrets: [{}]`",
            name.to_uppercase()
        ));
        let place = fields.key_place("values", name);
        fields.report.at(&place, problem);
    }
}
