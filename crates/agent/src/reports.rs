//! Finds the reports that Steps left, counts tests, and knows when a failure is only one of quarantined tests.
//!
//! The counts are for the log and for local runs. On a server nobody relies on them: it gets the bytes.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use towpath_api::agent::TestCounts;
use towpath_artifact::pattern::Pattern;
use towpath_artifact::{Selected, open_regular, select};
use towpath_model::reports::{ReportDeclaration, ReportKind};
use towpath_report::{Counts, MAX_BYTES, Outcome, TestReport, read_junit};

use crate::executor::chain;

/// The most reports of one Attempt, and the most bytes of all of them.
const MAX_REPORTS: usize = 1000;
const MAX_ALL: u64 = 256 << 20;

/// A report that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kind: ReportKind,
    /// Relative to the Project's directory.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// The reports below `root`. What is missing or too large is said to `complain`.
pub(crate) fn find(
    root: &Path,
    declared: &[ReportDeclaration],
    mut complain: impl FnMut(String),
) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut bytes = 0;
    for ReportDeclaration { kind, files } in declared {
        for text in files {
            let selected = Pattern::parse(text)
                .map_err(|error| chain(&error))
                .and_then(|pattern| select(root, &[pattern]).map_err(|error| chain(&error)));
            let selected = match selected {
                Ok(selected) => selected,
                Err(why) => {
                    complain(format!("no {} report was found at `{text}`: {why}", kind.word()));
                    continue;
                }
            };
            for (name, _) in selected.into_iter().filter(|(_, what)| *what == Selected::File) {
                let path = root.join(&name);
                if !inside(root, &path) {
                    complain(format!(
                        "the report {name} was left out: it lies behind a link out of the workspace"
                    ));
                    continue;
                }
                let length = path.symlink_metadata().map_or(0, |metadata| metadata.len());
                bytes += length;
                if length > MAX_BYTES as u64 || bytes > MAX_ALL || found.len() >= MAX_REPORTS {
                    complain(format!(
                        "the report {name} was left out: at most {MAX_REPORTS} reports of {MAX_BYTES} bytes each, and \
                         {MAX_ALL} in all, are taken"
                    ));
                    return found;
                }
                if !found.iter().any(|known| known.name == name && known.kind == *kind) {
                    found.push(Found { kind: *kind, name, path });
                }
            }
        }
    }
    found
}

/// Whether a file lies below `root` with all links followed: the agent reads more than a Step can.
fn inside(root: &Path, path: &Path) -> bool {
    path.canonicalize().ok().zip(root.canonicalize().ok()).is_some_and(|(path, root)| path.starts_with(root))
}

/// The bytes of a report. A link that took its place since it was found is not followed.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let file = open_regular(path).map_err(|error| chain(&error))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| chain(&error))?;
    Ok(bytes)
}

/// Counts the tests of the JUnit files among `found`.
pub(crate) fn count(found: &[Found], mut complain: impl FnMut(String)) -> Option<TestCounts> {
    let mut total: Option<TestCounts> = None;
    for Found { kind: _, name, path } in found.iter().filter(|found| found.kind == ReportKind::Junit) {
        match tests(path) {
            Ok(report) => {
                let Counts { passed, failed, skipped, flaky: _ } = Counts::of(&report.cases);
                let total = total.get_or_insert_default();
                total.passed += passed;
                total.failed += failed;
                total.skipped += skipped;
                if let Some(problem) = report.problem {
                    complain(format!("the test report {name} was read in part: {problem}"));
                }
            }
            Err(why) => complain(format!("the test report {name} cannot be read: {why}")),
        }
    }
    total
}

fn tests(path: &Path) -> Result<TestReport, String> {
    read_junit(&bytes(path)?).map_err(|error| error.to_string())
}

/// The tests whose failure does not fail a Step.
#[derive(Debug)]
pub(crate) struct Quarantine<'a> {
    pub(crate) root: &'a Path,
    pub(crate) declared: &'a [ReportDeclaration],
    pub(crate) tests: BTreeSet<&'a str>,
}

impl Quarantine<'_> {
    /// Whether a Step that began at `since` failed for quarantined tests alone, with the words for it.
    ///
    /// Only reports that this Step wrote are asked, all of them must be whole, and every failure in them must be
    /// in quarantine: whatever is not known keeps the failure.
    pub(crate) fn excuses(&self, since: SystemTime) -> Option<String> {
        if self.tests.is_empty() {
            return None;
        }
        let mut unclear = false;
        let found = find(self.root, self.declared, |_| ());
        let mut failed = BTreeSet::new();
        for Found { path, .. } in found.iter().filter(|found| found.kind == ReportKind::Junit) {
            let fresh =
                path.symlink_metadata().and_then(|metadata| metadata.modified()).is_ok_and(|at| at >= since);
            if !fresh {
                continue;
            }
            let Ok(report) = tests(path) else { return None };
            unclear |= report.problem.is_some();
            let failures = report.cases.into_iter().filter(|case| case.outcome.is_failure());
            for case in failures {
                // An error is a test that could not be run; in a quarantined one it is excused like a failure.
                unclear |= !self.tests.contains(case.id.as_str())
                    || !matches!(case.outcome, Outcome::Failed | Outcome::Errored);
                failed.insert(case.id);
            }
        }
        if unclear || failed.is_empty() {
            return None;
        }
        let count = failed.len();
        let some: Vec<String> = failed.into_iter().take(5).collect();
        let more =
            if count > some.len() { format!(" and {} more", count - some.len()) } else { String::new() };
        Some(format!(
            "only tests in quarantine failed, which does not fail the job: {}{more}",
            some.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str =
        "<testsuite><testcase name='a'/><testcase name='b'><failure/></testcase></testsuite>";

    fn declared(files: &str) -> Vec<ReportDeclaration> {
        ReportDeclaration::junit(&[files.to_owned()])
    }

    #[test]
    fn finds_by_pattern_and_follows_no_link() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("TEST-1.xml"), REPORT).unwrap();
        std::fs::write(root.path().join("TEST-2.xml"), REPORT).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("TEST-3.xml")).unwrap();
        let mut said = Vec::new();
        let found = find(root.path(), &declared("TEST-[12].xml"), |text| said.push(text));
        let found = if found.is_empty() {
            find(root.path(), &declared("TEST-?.xml"), |text| said.push(text))
        } else {
            found
        };
        let names: Vec<_> = found.iter().map(|found| found.name.as_str()).collect();
        assert!(!names.contains(&"TEST-3.xml"), "{names:?} {said:?}");
        let found = find(root.path(), &declared("TEST-1.xml"), |text| said.push(text));
        let counts = count(&found, |text| panic!("{text}"));
        assert_eq!(counts, Some(TestCounts { passed: 1, failed: 1, skipped: 0 }));
        said.clear();
        assert!(find(root.path(), &declared("nothing/*.xml"), |text| said.push(text)).is_empty());
        assert!(said[0].contains("no junit report was found at `nothing/*.xml`"), "{said:?}");
    }

    #[test]
    fn excuses_only_what_is_known_to_be_in_quarantine() {
        let root = tempfile::tempdir().unwrap();
        let declared = declared("*.xml");
        let began = SystemTime::now() - std::time::Duration::from_secs(5);
        let excused = |tests: &[&'static str], since| {
            let tests = tests.iter().copied().collect();
            Quarantine { root: root.path(), declared: &declared, tests }.excuses(since).is_some()
        };
        assert!(!excused(&["b"], began), "there is no report");
        std::fs::write(root.path().join("a.xml"), REPORT).unwrap();
        assert!(excused(&["b"], began));
        assert!(!excused(&["a"], began), "b failed, which is in no quarantine");
        assert!(
            !excused(&["b"], SystemTime::now() + std::time::Duration::from_secs(5)),
            "it is an older step's"
        );
        std::fs::write(root.path().join("b.xml"), "<testsuite><testcase name='b'><failure/>").unwrap();
        assert!(!excused(&["b"], began), "a report breaks off");
    }
}
