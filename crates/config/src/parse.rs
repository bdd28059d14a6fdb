//! From text to checked values.

use std::ops::Range;

use towpath_model::EnvironmentKey;
use towpath_model::notify::NotificationDocument;
use towpath_model::pipeline::Pipeline;
use towpath_model::policy::EnvironmentDocument;

use crate::diagnostic::{Diagnostic, Problem, Report};
use crate::load::{Includer, Loader, Source};
use crate::lower::{self, Places};
use crate::{check, tree};

/// The name of the pipeline file.
pub const PIPELINE_FILE: &str = "towpath.yaml";

/// The most bytes of a file. The largest pipelines people write are a hundredth of it.
pub const MAX_FILE: usize = 1 << 20;

/// Parses a pipeline file. There is a pipeline exactly where no diagnostic is an error.
#[must_use]
pub fn parse_pipeline(file: &str, text: &str) -> (Option<Pipeline>, Vec<Diagnostic>) {
    Loader::new(file, text.as_bytes(), Includer::AsNamed).finish()
}

/// Lowers the files of a pipeline, the pipeline file first, as one text: a place in it knows its file.
pub(crate) fn lower_all(sources: Vec<Source>) -> (Option<Pipeline>, Vec<Diagnostic>) {
    let mut text = String::new();
    let mut files = Vec::with_capacity(sources.len());
    let mut nodes = Vec::with_capacity(sources.len());
    for Source { name, text: part, mut node } in sources {
        node.shift(text.len());
        files.push((text.len(), name));
        nodes.push(node);
        text.push_str(&part);
        text.push('\n');
    }
    let report = Report::of(&files, &text);
    let mut places = Places::default();
    let pipeline = lower::pipeline::lower(&nodes, &mut places, &report);
    check::check(&places, &report);
    let mut pipeline = pipeline.filter(|_| !report.has_errors());
    if let Some(checked) = &pipeline {
        check::check_route(checked, &places, &report);
    }
    if report.has_errors() {
        pipeline = None;
    }
    (pipeline, report.finish())
}

/// Parses a pipeline file of any bytes.
#[must_use]
pub fn parse_pipeline_bytes(file: &str, bytes: &[u8]) -> (Option<Pipeline>, Vec<Diagnostic>) {
    match decode(file, bytes) {
        Ok(text) => parse_pipeline(file, text),
        Err(diagnostics) => (None, diagnostics),
    }
}

/// Parses a file of environment documents. There are documents exactly where no diagnostic is an error.
#[must_use]
pub fn parse_environments(file: &str, text: &str) -> (Vec<EnvironmentDocument>, Vec<Diagnostic>) {
    let report = Report::new(file, text);
    let mut documents: Vec<(EnvironmentDocument, Range<usize>)> = Vec::new();
    for node in documents_of(&report) {
        let top = first_line(text, node.span.start);
        documents.extend(lower::environment::lower(&node, &top, &report));
    }
    for (index, (document, span)) in documents.iter().enumerate() {
        check_unique(document.key(), span, &documents[..index], &report);
        check_listen(document, span, &documents[..index], &report);
    }
    let usable = !report.has_errors();
    let documents = documents.into_iter().map(|(document, _)| document).filter(|_| usable).collect();
    (documents, report.finish())
}

/// Parses a file of environment documents of any bytes.
#[must_use]
pub fn parse_environments_bytes(file: &str, bytes: &[u8]) -> (Vec<EnvironmentDocument>, Vec<Diagnostic>) {
    match decode(file, bytes) {
        Ok(text) => parse_environments(file, text),
        Err(diagnostics) => (Vec::new(), diagnostics),
    }
}

/// Parses a notification document. There is one exactly where no diagnostic is an error.
#[must_use]
pub fn parse_notifications(file: &str, text: &str) -> (Option<NotificationDocument>, Vec<Diagnostic>) {
    let report = Report::new(file, text);
    let document = single_document(&report).and_then(|node| {
        let top = first_line(text, node.span.start);
        lower::notify::lower(&node, &top, &report)
    });
    let document = document.filter(|_| !report.has_errors());
    (document, report.finish())
}

/// Parses a notification document of any bytes.
#[must_use]
pub fn parse_notifications_bytes(
    file: &str,
    bytes: &[u8],
) -> (Option<NotificationDocument>, Vec<Diagnostic>) {
    match decode(file, bytes) {
        Ok(text) => parse_notifications(file, text),
        Err(diagnostics) => (None, diagnostics),
    }
}

/// Bytes to text, within the bound.
pub(crate) fn decode<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, Vec<Diagnostic>> {
    let refuse = |problem| {
        let report = Report::new(file, "");
        report.file_wide(problem);
        Err(report.finish())
    };
    if bytes.len() > MAX_FILE {
        return refuse(too_large(bytes.len()));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let problem = Problem::error(
                "not-utf8",
                format!(
                    "the file is not UTF-8: the byte {:#04x} in line {line} is none",
                    bytes[before.len()]
                ),
            );
            refuse(problem.hint("save it as UTF-8"))
        }
    }
}

pub(crate) fn too_large(bytes: usize) -> Problem {
    Problem::error("too-large", format!("the file has {bytes} bytes; at most {MAX_FILE} are read"))
        .hint("move scripts into files of their own and call them")
}

fn documents_of(report: &Report<'_>) -> Vec<tree::Node> {
    if report.text().len() > MAX_FILE {
        report.file_wide(too_large(report.text().len()));
        return Vec::new();
    }
    let documents = tree::read(report);
    if documents.is_empty() && !report.has_errors() {
        report.file_wide(
            Problem::error("empty", "the file is empty").hint("`towpath init` writes one for your project"),
        );
    }
    documents
}

pub(crate) fn single_document(report: &Report<'_>) -> Option<tree::Node> {
    let mut documents = documents_of(report).into_iter();
    let first = documents.next()?;
    if let Some(second) = documents.next() {
        let problem = Problem::error("several-documents", "this file holds more than one document")
            .hint("remove the `---`; only environment documents share a file");
        report.at(&second.span, problem);
    }
    Some(first)
}

/// The line at or after an offset, to be marked where a document as a whole is meant.
fn first_line(text: &str, from: usize) -> Range<usize> {
    let from = text.floor_char_boundary(from.min(text.len()));
    let end = text[from..].find('\n').map_or(text.len(), |newline| from + newline);
    from..end
}

fn check_unique(
    key: EnvironmentKey,
    span: &Range<usize>,
    before: &[(EnvironmentDocument, Range<usize>)],
    report: &Report<'_>,
) {
    if before.iter().any(|(other, _)| other.key() == key) {
        let problem = Problem::error("duplicate-name", format!("environment `{key}` is described twice"))
            .hint("keep one of the documents");
        report.at(span, problem);
    }
}

/// Two Environments cannot share a listener.
fn check_listen(
    document: &EnvironmentDocument,
    span: &Range<usize>,
    before: &[(EnvironmentDocument, Range<usize>)],
    report: &Report<'_>,
) {
    if let Some((other, _)) = before.iter().find(|(other, _)| other.listen == document.listen) {
        let message = format!(
            "`{}` and `{}` both listen on {}",
            other.environment, document.environment, document.listen
        );
        report.at(
            span,
            Problem::error("listen-twice", message).hint("give each Environment an address of its own"),
        );
    }
}
