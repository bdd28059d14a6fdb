//! What the files of a project say about each other.

use towpath_model::EnvironmentName;
use towpath_model::pipeline::{Gate, Pipeline};
use towpath_model::policy::{EnvironmentDocument, registry_host};

use crate::diagnostic::{Diagnostic, Problem, Report};

/// An environment document and the file it stands in.
pub type Filed = (String, EnvironmentDocument);

/// Checks the documents of several files, each clean by itself, against each other and the pipeline.
#[must_use]
pub fn check_together(pipeline: Option<&Pipeline>, documents: &[Filed]) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (index, (file, document)) in documents.iter().enumerate() {
        let report = Report::new(file, "");
        for (other_file, other) in documents[..index].iter().filter(|(other_file, _)| other_file != file) {
            check_pair(document, other, other_file, &report);
        }
        if let Some(pipeline) = pipeline {
            check_against(pipeline, document, &report);
        }
        diagnostics.extend(report.finish());
    }
    diagnostics
}

fn check_pair(
    document: &EnvironmentDocument,
    other: &EnvironmentDocument,
    other_file: &str,
    report: &Report<'_>,
) {
    if document.key() == other.key() {
        let message = format!("environment `{}` is described in {other_file} too", document.key());
        report.file_wide(Problem::error("duplicate-name", message).hint("keep one of the documents"));
    } else if document.listen == other.listen {
        let message = format!(
            "`{}` listens on {}, and so does `{}` in {other_file}",
            document.environment, document.listen, other.environment
        );
        report.file_wide(
            Problem::error("listen-twice", message).hint("give each Environment an address of its own"),
        );
    }
}

fn check_against(pipeline: &Pipeline, document: &EnvironmentDocument, report: &Report<'_>) {
    if document.project != pipeline.name {
        let message = format!(
            "environment `{}` belongs to project `{}`, and the pipeline is `{}`",
            document.environment, document.project, pipeline.name
        );
        report.file_wide(
            Problem::warning("other-project", message)
                .hint("spell both names alike, or move the document to its own project"),
        );
        return;
    }
    if pipeline.stages.is_empty() {
        return;
    }
    if pipeline.stage_of(&document.environment).is_none() {
        let message = format!("no stage of the pipeline deploys to `{}`", document.environment);
        report.file_wide(
            Problem::warning("unused-environment", message)
                .hint(format!("add a stage with `environments: [{}]`", document.environment)),
        );
    }
    if pipeline.stage_of(&document.environment).is_some() {
        check_target(pipeline, document, report);
    }
    for before in document.gates.iter().filter_map(gone_through) {
        if pipeline.stage_of(before).is_none() {
            let message = format!(
                "a gate of `{}` can never pass: no stage deploys to `{before}`",
                document.environment
            );
            report.file_wide(
                Problem::error("impossible-gate", message)
                    .hint("name an Environment that comes before on the route"),
            );
        }
    }
}

/// Hosts start files, Docker starts images.
fn check_target(pipeline: &Pipeline, document: &EnvironmentDocument, report: &Report<'_>) {
    for workload in &pipeline.workloads {
        let environment = &document.environment;
        let problem = match (&document.target.docker, pipeline.is_image(workload)) {
            (Some(_), false) => Problem::error(
                "files-workload",
                format!("`{environment}` starts containers, and workload `{}` is made of files", workload.name),
            )
            .hint(format!(
                "let a Job make an image of it (`artifacts: {{ {}: {{ image: . }} }}`), or name `hosts` in place of `docker`",
                workload.artifact
            )),
            (None, true) => Problem::error(
                "image-workload",
                format!("`{environment}` starts processes on hosts, and workload `{}` is an image", workload.name),
            )
            .hint("write `target: { docker: {} }` in its document, or start an artifact of `files`"),
            (Some(_), true) | (None, false) => continue,
        };
        report.file_wide(problem);
    }
    if let Some(docker) = &document.target.docker {
        let images = pipeline.workloads.iter().filter_map(|workload| workload.image.as_deref());
        let hosts: Vec<&str> = images.map(registry_host).collect();
        for registry in docker.registries.iter().filter(|registry| !hosts.contains(&registry.host.as_str())) {
            let message = format!("no workload has an image of registry `{}`", registry.host);
            report.file_wide(
                Problem::warning("unused-registry", message)
                    .hint("take it out of the document, or spell it as the images begin"),
            );
        }
    }
}

/// The Environment of the same Project that a Gate wants a Release to have gone through.
fn gone_through(gate: &Gate) -> Option<&EnvironmentName> {
    match gate {
        Gate::Soak(soak) => Some(&soak.environment),
        Gate::Upstream(gate) if gate.project.is_none() => Some(&gate.environment),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{parse_environments, parse_pipeline};

    fn filed(file: &str, text: &str) -> Vec<Filed> {
        parse_environments(file, text).0.into_iter().map(|document| (file.to_owned(), document)).collect()
    }

    #[test]
    fn hosts_start_files_and_docker_starts_images() {
        let check = |artifact: &str, workload: &str, target: &str| {
            let pipeline = format!(
                "name: shop\njobs: {{ a: {{ steps: [make], artifacts: {{ shop: {artifact} }} }} }}\nworkloads: {{ shop: {workload} }}\n\
                 stages: [{{ name: dev }}]\n"
            );
            let (pipeline, found) = parse_pipeline("towpath.yaml", &pipeline);
            assert!(pipeline.is_some(), "{found:?}");
            let document = format!("environment: dev\nproject: shop\nlisten: 8080\ntarget: {target}\n");
            let found = check_together(pipeline.as_ref(), &filed("dev.yaml", &document));
            found.iter().map(|diagnostic| diagnostic.code.as_str().to_owned()).collect::<Vec<_>>()
        };
        let pinned = format!("{{ image: 'r.example.com/shop@sha256:{}' }}", "0".repeat(64));
        assert!(check("out", "{ command: ./shop }", "{ hosts: {} }").is_empty());
        assert!(check("{ image: . }", "{}", "{ docker: {} }").is_empty());
        assert!(check("out", &pinned, "{ docker: {} }").is_empty());
        assert_eq!(check("out", "{ command: ./shop }", "{ docker: {} }"), ["files-workload"]);
        assert_eq!(check("{ image: . }", "{}", "{ hosts: {} }"), ["image-workload"]);
        assert_eq!(check("out", &pinned, "{ instances: 2 }"), ["image-workload"]);
        let registry = |host: &str| {
            format!("{{ docker: {{ registries: [{{ host: {host}, username: robot, password: TOKEN }}] }} }}")
        };
        assert!(check("out", &pinned, &registry("r.example.com")).is_empty());
        assert_eq!(check("out", &pinned, &registry("s.example.com")), ["unused-registry"]);
    }

    #[test]
    fn files_are_checked_against_each_other() {
        let pipeline = "name: shop\njobs: { a: { steps: [make], artifacts: { shop: out } } }\nworkloads: { shop: { command: ./shop } }\nstages: [{ name: dev }]\n";
        let (pipeline, _) = parse_pipeline("towpath.yaml", pipeline);
        let mut documents = filed("dev.yaml", "environment: dev\nproject: shop\nlisten: 8080\n");
        documents.extend(filed("copy.yaml", "environment: dev\nproject: shop\nlisten: 8081\n"));
        documents.extend(filed("qa.yaml", "environment: qa\nproject: shop\nlisten: 8080\ngates: [{ soak: { environment: pre, for: 1h } }]\n"));
        documents.extend(filed("other.yaml", "environment: dev\nproject: ship\nlisten: 8083\n"));
        let diagnostics = check_together(pipeline.as_ref(), &documents);
        let found: Vec<_> = diagnostics
            .iter()
            .map(|diagnostic| (diagnostic.file.as_str(), diagnostic.code.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("copy.yaml", "duplicate-name"),
                ("qa.yaml", "listen-twice"),
                ("qa.yaml", "unused-environment"),
                ("qa.yaml", "impossible-gate"),
                ("other.yaml", "other-project"),
            ]
        );
    }
}
