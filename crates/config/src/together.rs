//! What the files of a project say about each other.

use towpath_model::EnvironmentName;
use towpath_model::pipeline::{Gate, Pipeline};
use towpath_model::policy::EnvironmentDocument;

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
