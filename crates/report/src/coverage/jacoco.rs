//! JaCoCo XML. It opens with a document type that points outside; nobody follows it.
//!
//! A `<line>` counts as covered when one of its instructions was run, as JaCoCo's own pages have it. A report
//! without lines has only `<counter>`s; then those of its source files, or of its classes, are taken.

use super::{Coverage, FileCoverage, Files, Share};
use crate::ReportError;
use crate::xml::{Element, Visitor, walk};

pub(super) fn read(text: &str) -> Result<Coverage, ReportError> {
    let mut jacoco = Jacoco::default();
    let problem = walk(text, &mut jacoco).err();
    let Jacoco { files, branches, counted, total, .. } = jacoco;
    let mut coverage = files.coverage("jacoco", branches, problem);
    if coverage.lines.total == 0 {
        (coverage.lines, coverage.branches) = total;
        coverage.files = counted;
    }
    Ok(coverage)
}

#[derive(Default)]
struct Jacoco {
    files: Files,
    branches: Share,
    package: String,
    path: Option<String>,
    /// The elements that are open.
    open: Vec<String>,
    /// Files that have counters and no lines.
    counted: Vec<FileCoverage>,
    /// The counters of the whole report.
    total: (Share, Option<Share>),
}

impl Visitor for Jacoco {
    fn open(&mut self, element: &Element) {
        let share = |missed: &str, covered: &str| {
            let (missed, covered) =
                (element.number(missed).unwrap_or(0), element.number(covered).unwrap_or(0));
            Share { covered, total: missed.saturating_add(covered) }
        };
        match element.name.as_str() {
            "package" => self.package = element.get("name").unwrap_or_default().to_owned(),
            "sourcefile" => {
                let name = element.get("name").unwrap_or_default();
                let path = if self.package.is_empty() {
                    name.to_owned()
                } else {
                    format!("{}/{name}", self.package)
                };
                self.path = Some(path);
            }
            "line" => {
                if let (Some(path), Some(number)) = (&self.path, element.number("nr")) {
                    let covered = element.number("ci").is_some_and(|covered| covered > 0);
                    self.files.line(path, u32::try_from(number).unwrap_or(u32::MAX), covered);
                    self.branches.add(share("mb", "cb"));
                }
            }
            "counter" => {
                let share = share("missed", "covered");
                let within = self.open.last().map(String::as_str);
                match (element.get("type"), within, &self.path) {
                    (Some("LINE"), Some("report"), _) => self.total.0 = share,
                    (Some("BRANCH"), Some("report"), _) => self.total.1 = Some(share),
                    (Some("LINE"), Some("sourcefile"), Some(path))
                        if self.counted.len() < super::MAX_FILES =>
                    {
                        self.counted.push(FileCoverage { path: path.clone(), lines: share });
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        self.open.push(element.name.clone());
    }

    fn text(&mut self, _: &str) {}

    fn close(&mut self, name: &str) {
        self.open.pop();
        match name {
            "sourcefile" => self.path = None,
            "package" => self.package.clear(),
            _ => {}
        }
    }
}
