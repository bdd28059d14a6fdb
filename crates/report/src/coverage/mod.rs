//! Coverage: which share of lines and branches the tests went through.

mod cobertura;
mod jacoco;
mod lcov;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ReportError;
use crate::xml::{Element, Visitor, text_of, walk};

const EXPECTED: &str = "LCOV, Cobertura XML and JaCoCo XML";

/// The most files that are told apart. All of them count.
const MAX_FILES: usize = 50_000;

/// Coverage of one report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// `lcov`, `cobertura` or `jacoco`.
    pub format: String,
    /// Lines.
    pub lines: Share,
    /// Branches, where the report tells them.
    pub branches: Option<Share>,
    /// By file, in the order of their names.
    pub files: Vec<FileCoverage>,
    /// What is wrong with the report, for people.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Coverage of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCoverage {
    /// Its path, as the report names it.
    pub path: String,
    /// Its lines.
    pub lines: Share,
}

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// How many were gone through.
    pub covered: u64,
    /// How many there are.
    pub total: u64,
}

impl Share {
    /// In hundredths of a percent, rounded down, so that 99.999% never reads as all; all of nothing is all.
    #[must_use]
    pub fn basis_points(self) -> u64 {
        let Self { covered, total } = self;
        covered.min(total).saturating_mul(10_000).checked_div(total).unwrap_or(10_000)
    }

    /// Adds another share.
    pub fn add(&mut self, more: Self) {
        self.covered = self.covered.saturating_add(more.covered);
        self.total = self.total.saturating_add(more.total);
    }

    pub(crate) fn one(covered: bool) -> Self {
        Self { covered: u64::from(covered), total: 1 }
    }
}

impl Coverage {
    /// Puts the reports of several Jobs or files together. A file that two of them name counts once, at its best:
    /// which lines were gone through in both is not known here.
    #[must_use]
    pub fn together(reports: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut together: Option<Self> = None;
        let mut files: BTreeMap<String, Share> = BTreeMap::new();
        for report in reports {
            let Self { format, lines: _, branches, files: more, problem } = report;
            let whole = together.get_or_insert_with(|| Self { format: format.clone(), ..Self::default() });
            if whole.format != format {
                whole.format = "several".to_owned();
            }
            if let Some(branches) = branches {
                whole.branches.get_or_insert_default().add(branches);
            }
            whole.problem = whole.problem.take().or(problem);
            for file in more {
                let known = files.entry(file.path).or_default();
                if file.lines.total > known.total
                    || (file.lines.total == known.total && file.lines.covered > known.covered)
                {
                    *known = file.lines;
                }
            }
        }
        let mut whole = together?;
        files.values().for_each(|share| whole.lines.add(*share));
        whole.files = files.into_iter().map(|(path, lines)| FileCoverage { path, lines }).collect();
        Some(whole)
    }
}

/// Reads a report in any of the formats.
pub(crate) fn read(bytes: &[u8]) -> Result<Coverage, ReportError> {
    let text = text_of(bytes);
    let start = text.trim_start();
    if !start.starts_with('<') {
        return lcov::read(&text);
    }
    let mut root = Root::default();
    // Only the root is looked at here; where the rest breaks off, the reader of the format says so.
    let _broken = walk(&start[..start.floor_char_boundary(4096)], &mut root);
    match root.name.as_deref() {
        // Clover has the same root, with a project in it and no rates.
        Some("coverage") if root.clover => {
            Err(ReportError::unknown(EXPECTED, "Clover XML; let the tool write Cobertura as well".to_owned()))
        }
        Some("coverage") => cobertura::read(&text),
        Some("report") => jacoco::read(&text),
        Some(other) => Err(ReportError::unknown(EXPECTED, format!("XML whose root is <{other}>"))),
        None => Err(ReportError::unknown(EXPECTED, None)),
    }
}

#[derive(Default)]
struct Root {
    name: Option<String>,
    clover: bool,
}

impl Visitor for Root {
    fn open(&mut self, element: &Element) {
        if self.name.is_none() {
            self.name = Some(element.name.clone());
        } else if element.name == "project" {
            self.clover = true;
        }
    }

    fn text(&mut self, _: &str) {}

    fn close(&mut self, _: &str) {}
}

/// Lines by file and number: a report may name a line several times, and it counts once.
#[derive(Debug, Default)]
struct Files {
    files: BTreeMap<String, BTreeMap<u32, bool>>,
    beyond: Share,
}

impl Files {
    fn line(&mut self, path: &str, line: u32, covered: bool) {
        if !self.files.contains_key(path) && self.files.len() >= MAX_FILES {
            self.beyond.add(Share::one(covered));
            return;
        }
        let lines = match self.files.get_mut(path) {
            Some(lines) => lines,
            None => self.files.entry(path.to_owned()).or_default(),
        };
        *lines.entry(line).or_default() |= covered;
    }

    fn coverage(self, format: &str, branches: Share, problem: Option<String>) -> Coverage {
        let mut lines = self.beyond;
        let files = self.files.into_iter().map(|(path, hit)| {
            let mut share = Share::default();
            hit.values().for_each(|covered| share.add(Share::one(*covered)));
            FileCoverage { path, lines: share }
        });
        let files: Vec<_> = files.collect();
        files.iter().for_each(|file| lines.add(file.lines));
        let branches = (branches.total > 0).then_some(branches);
        Coverage { format: format.to_owned(), lines, branches, files, problem }
    }
}
