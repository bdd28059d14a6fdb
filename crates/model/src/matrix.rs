//! A matrix: one Job of the file that is several Jobs of a Run, its cells.
//!
//! The file's Job has a name, and so has each cell: the name of the Job and the values of the axes, which
//! does not change when another value is added. Reading a matrix from a file is left to `config`; when the
//! cells of a Run start and end is left to [`run`](crate::run), which asks here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::names::MAX_NAME;
use crate::pipeline::{Job, Pipeline};
use crate::run::{JobState, Run};
use crate::{Digest, JobName};

/// The most cells of one matrix.
pub const MAX_CELLS: usize = 256;

/// The most combinations that are looked at before `exclude` takes some away.
const MAX_COMBINATIONS: usize = 4096;

/// The values of one cell, in the order of the axes.
pub type Values = Vec<(String, String)>;

/// What a Job says of its matrix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matrix {
    /// Each axis with its values; a cell for each combination.
    pub axes: Vec<(String, Vec<String>)>,
    /// Combinations that have all values of one of these are left out.
    pub exclude: Vec<Values>,
    /// Adds values to the combinations that it fits, or a combination of its own where it fits none.
    pub include: Vec<Values>,
    /// How many cells share the work of each combination; 0 where it is not divided.
    pub parallel: u32,
}

/// The name under which a cell's number stands among its values.
pub const PARALLEL: &str = "parallel";

/// Which part of divided work a cell does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// 1, 2, 3 …
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

impl Share {
    /// As a Step is told.
    #[must_use]
    pub fn env(self) -> [(&'static str, String); 2] {
        [
            ("TOWPATH_PARALLEL_INDEX", self.index.to_string()),
            ("TOWPATH_PARALLEL_COUNT", self.count.to_string()),
        ]
    }
}

/// Where a Job stands in the matrix that it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The name of the Job in the file.
    pub of: JobName,
    /// Its values, axes first.
    pub values: Values,
    /// Whether a cell that fails ends the others.
    pub fail_fast: bool,
    /// How many cells may run at once.
    pub max_parallel: Option<u32>,
    /// Its part of the work, where `parallel` divides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}

impl Cell {
    /// Its values for people: `linux, 1.90`, `2 of 4`.
    #[must_use]
    pub fn label(&self) -> String {
        let is_share = |name: &str| name == PARALLEL && self.share.is_some();
        let values = self.values.iter().filter(|(name, _)| !is_share(name)).map(|(_, value)| value.clone());
        let share = self.share.map(|Share { index, count }| format!("{index} of {count}"));
        values.chain(share).collect::<Vec<_>>().join(", ")
    }

    /// Its values as environment: `MATRIX_OS`.
    pub fn env(&self) -> impl Iterator<Item = (String, &str)> {
        self.values.iter().map(|(axis, value)| (variable("MATRIX", axis), value.as_str()))
    }
}

/// The environment variable for a name of the file: `MATRIX` and `rust-version` give `MATRIX_RUST_VERSION`.
#[must_use]
pub fn variable(prefix: &str, name: &str) -> String {
    let upper = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    format!("{prefix}_{}", upper.collect::<String>())
}

/// Why a matrix has no cells that could run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// More than [`MAX_CELLS`], or so many combinations that they are not even looked at.
    #[error("this matrix has {count} cells; a matrix may have {MAX_CELLS}")]
    TooMany {
        /// How many, as far as was counted.
        count: usize,
    },
    /// Nothing is left.
    #[error("this matrix has no cells")]
    Empty,
}

impl Matrix {
    /// The cells: every combination of the axes, without those excluded, then what `include` adds.
    ///
    /// # Errors
    /// Fails where there are too many or none.
    pub fn cells(&self) -> Result<Vec<Values>, MatrixError> {
        let count = self
            .axes
            .iter()
            .try_fold(1_usize, |count, (_, values)| count.checked_mul(values.len()))
            .unwrap_or(usize::MAX);
        if count > MAX_COMBINATIONS {
            return Err(MatrixError::TooMany { count });
        }
        let mut cells: Vec<Values> = if self.axes.is_empty() { Vec::new() } else { vec![Vec::new()] };
        for (axis, values) in &self.axes {
            let with = |cell: &Values, value: &String| {
                let mut cell = cell.clone();
                cell.push((axis.clone(), value.clone()));
                cell
            };
            cells = cells.iter().flat_map(|cell| values.iter().map(|value| with(cell, value))).collect();
        }
        cells.retain(|cell| !self.exclude.iter().any(|pairs| pairs.iter().all(|pair| cell.contains(pair))));
        self.include_into(&mut cells);
        if self.parallel > 0 {
            let whole = cells.is_empty() && self.axes.is_empty() && self.include.is_empty();
            if whole {
                cells.push(Vec::new());
            }
            let shares = |cell: &Values| {
                let cell = cell.clone();
                (1..=self.parallel).map(move |index| {
                    let mut cell = cell.clone();
                    cell.push((PARALLEL.to_owned(), index.to_string()));
                    cell
                })
            };
            cells = cells.iter().flat_map(shares).collect();
        }
        match cells.len() {
            0 => Err(MatrixError::Empty),
            count if count > MAX_CELLS => Err(MatrixError::TooMany { count }),
            _ => Ok(cells),
        }
    }

    /// An entry of `include` that contradicts no axis of a combination adds to it; one that fits none stands alone.
    fn include_into(&self, cells: &mut Vec<Values>) {
        let combinations = cells.len();
        let is_axis = |name: &str| self.axes.iter().any(|(axis, _)| axis == name);
        for pairs in &self.include {
            let mut fits_any = false;
            for cell in &mut cells[..combinations] {
                if pairs.iter().any(|pair| is_axis(&pair.0) && !cell.contains(pair)) {
                    continue;
                }
                fits_any = true;
                for (name, value) in pairs.iter().filter(|(name, _)| !is_axis(name)) {
                    match cell.iter_mut().find(|(known, _)| known == name) {
                        Some((_, known)) => known.clone_from(value),
                        None => cell.push((name.clone(), value.clone())),
                    }
                }
            }
            if !fits_any {
                cells.push(pairs.clone());
            }
        }
    }

    /// All names that a cell may have a value for.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let axes = self.axes.iter().map(|(axis, _)| axis.as_str());
        let share = (self.parallel > 0).then_some(PARALLEL);
        axes.chain(self.include.iter().flatten().map(|(name, _)| name.as_str())).chain(share).collect()
    }

    /// The names of cells: that of the Job and the values of the axes, told apart by a digest where these are alike or too long.
    #[must_use]
    pub fn cell_names(&self, of: &JobName, cells: &[Values]) -> Vec<JobName> {
        let plain: Vec<String> = cells.iter().map(|cell| format!("{of}-{}", self.slug(cell))).collect();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for name in &plain {
            *seen.entry(name).or_default() += 1;
        }
        let told_apart = |(name, cell): (&String, &Values)| {
            let fine =
                (name.len() <= MAX_NAME && seen[name.as_str()] == 1).then(|| name.parse().ok()).flatten();
            fine.unwrap_or_else(|| with_digest(of, name, cell))
        };
        plain.iter().zip(cells).map(told_apart).collect()
    }

    /// The values that name a cell: those of the axes, or all of a cell that has none.
    fn slug(&self, cell: &Values) -> String {
        let is_axis = |name: &str| self.axes.iter().any(|(axis, _)| axis == name);
        let whole = !cell.iter().any(|(name, _)| is_axis(name));
        let parts: Vec<String> = cell
            .iter()
            .filter(|(name, _)| whole || is_axis(name) || (self.parallel > 0 && name == PARALLEL))
            .map(|(_, value)| slug(value))
            .filter(|part| !part.is_empty())
            .collect();
        parts.join("-")
    }
}

/// A value as it may stand in a name.
fn slug(value: &str) -> String {
    let mut slug = String::new();
    for c in value.chars() {
        let c =
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c.to_ascii_lowercase() } else { '-' };
        if !(matches!(c, '-' | '.') && slug.ends_with(['-', '.'])) {
            slug.push(c);
        }
    }
    slug.trim_matches(['-', '.']).to_owned()
}

fn with_digest(of: &JobName, name: &str, cell: &Values) -> JobName {
    let mark = &Digest::of(format!("{cell:?}").as_bytes()).hex()[..8];
    let kept: String = name.chars().take(MAX_NAME - mark.len() - 1).collect();
    let kept = kept.trim_end_matches(['-', '.']);
    // A slug has only characters of a name; should that ever be wrong, the cell shares the Job's own name.
    format!("{kept}-{mark}").parse().unwrap_or_else(|_| of.clone())
}

impl Pipeline {
    /// The cells of a matrix, by the name of the Job in the file.
    pub fn cells<'p>(&'p self, of: &'p JobName) -> impl Iterator<Item = &'p Job> {
        self.jobs.iter().filter(move |job| job.cell.as_ref().is_some_and(|cell| cell.of == *of))
    }
}

impl Pipeline {
    /// Of the Jobs that one needs, those that matter: a cell that is skipped does not, where others of its matrix are not.
    pub(crate) fn needs_that_matter<'p>(
        &'p self,
        job: &'p Job,
        skipped: impl Fn(&JobName) -> bool,
    ) -> impl Iterator<Item = &'p JobName> {
        job.needs.iter().filter(move |need| {
            let cell = self.job(need).and_then(|needed| needed.cell.as_ref());
            let beside = |cell: &Cell| self.cells(&cell.of).any(|other| !skipped(&other.name));
            !(skipped(need) && cell.is_some_and(beside))
        })
    }
}

impl Run {
    /// Why a Job that could start waits for cells of its own matrix.
    pub(crate) fn held_by_matrix(&self, job: &Job) -> Option<String> {
        let cell = job.cell.as_ref()?;
        let most = cell.max_parallel?;
        let siblings = self.pipeline.as_ref()?.cells(&cell.of);
        let running = siblings
            .filter_map(|sibling| self.job(&sibling.name))
            .filter(|sibling| matches!(sibling.state, JobState::Active | JobState::Waiting))
            .count();
        (running >= most as usize)
            .then(|| format!("waits: {running} of {most} cells of `{}` run at once", cell.of))
    }

    /// Jobs to end because a cell of their matrix failed, and which.
    pub(crate) fn ended_by_matrix(&self) -> Vec<(JobName, String)> {
        let Some(pipeline) = &self.pipeline else { return Vec::new() };
        let quick = |job: &&Job| job.cell.as_ref().is_some_and(|cell| cell.fail_fast);
        let mut failed: BTreeMap<&JobName, &Job> = BTreeMap::new();
        for job in pipeline.jobs.iter().filter(quick).filter(|job| !job.allow_failure) {
            if let Some(cell) = &job.cell
                && self.job(&job.name).is_some_and(|job| job.state == JobState::Failed)
            {
                failed.entry(&cell.of).or_insert(job);
            }
        }
        if failed.is_empty() {
            return Vec::new();
        }
        let open = pipeline
            .jobs
            .iter()
            .filter(quick)
            .filter(|job| self.job(&job.name).is_some_and(|job| !job.state.is_final()));
        open.filter_map(|job| {
            let cause = failed.get(&job.cell.as_ref()?.of)?;
            Some((job.name.clone(), format!("`{}` failed, and its matrix has `fail_fast`", cause.name)))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Values {
        text.split(' ')
            .filter_map(|pair| pair.split_once('='))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    }

    fn matrix(axes: &[(&str, &[&str])], exclude: &[&str], include: &[&str]) -> Matrix {
        let axis = |(name, values): &(&str, &[&str])| {
            ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        };
        Matrix {
            axes: axes.iter().map(axis).collect(),
            exclude: exclude.iter().map(|text| pairs(text)).collect(),
            include: include.iter().map(|text| pairs(text)).collect(),
            parallel: 0,
        }
    }

    fn named(matrix: &Matrix) -> Vec<String> {
        let cells = matrix.cells().expect("it has cells");
        let names = matrix.cell_names(&"test".parse().expect("a name"), &cells);
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn combines_leaves_out_and_adds() {
        let matrix = matrix(
            &[("os", &["linux", "mac"]), ("rust", &["1.90", "nightly"])],
            &["os=mac rust=nightly"],
            &["os=linux extra=yes", "rust=1.90 cheap=1", "os=bsd rust=1.90"],
        );
        let cells = matrix.cells().expect("it has cells");
        assert_eq!(
            cells,
            [
                pairs("os=linux rust=1.90 extra=yes cheap=1"),
                pairs("os=linux rust=nightly extra=yes"),
                pairs("os=mac rust=1.90 cheap=1"),
                pairs("os=bsd rust=1.90"),
            ]
        );
        assert_eq!(
            named(&matrix),
            ["test-linux-1.90", "test-linux-nightly", "test-mac-1.90", "test-bsd-1.90"]
        );
        assert_eq!(matrix.names(), BTreeSet::from(["os", "rust", "extra", "cheap"]));
    }

    #[test]
    fn names_do_not_change_when_a_value_is_added_and_are_told_apart() {
        let one = named(&matrix(&[("v", &["a b", "c"])], &[], &[]));
        let two = named(&matrix(&[("v", &["z", "a b", "c"])], &[], &[]));
        assert!(one.iter().all(|name| two.contains(name)), "{one:?} {two:?}");
        let alike = named(&matrix(&[("v", &["A/b", "a:b", "..", &"x".repeat(80)])], &[], &[]));
        let distinct: BTreeSet<_> = alike.iter().collect();
        assert_eq!(distinct.len(), 4, "{alike:?}");
        assert!(alike.iter().all(|name| name.starts_with("test-") && name.len() <= MAX_NAME), "{alike:?}");
    }

    #[test]
    fn parallel_multiplies_what_there_is() {
        let alone = Matrix { parallel: 3, ..Matrix::default() };
        assert_eq!(named(&alone), ["test-1", "test-2", "test-3"]);
        let both = Matrix { parallel: 2, ..matrix(&[("os", &["linux", "mac"])], &[], &["os=bsd"]) };
        let names = ["test-linux-1", "test-linux-2", "test-mac-1", "test-mac-2", "test-bsd-1", "test-bsd-2"];
        assert_eq!(named(&both), names);
        let nothing = Matrix { parallel: 2, ..matrix(&[("os", &["linux"])], &["os=linux"], &[]) };
        assert_eq!(nothing.cells(), Err(MatrixError::Empty));
    }

    #[test]
    fn is_bounded() {
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let wide = matrix(&[("a", &many), ("b", &many), ("c", &many), ("d", &many), ("e", &many)], &[], &[]);
        assert!(matches!(wide.cells(), Err(MatrixError::TooMany { .. })));
        assert_eq!(
            matrix(&[("a", &many), ("b", &["1", "2", "3"])], &[], &[]).cells(),
            Err(MatrixError::TooMany { count: 300 })
        );
        assert_eq!(matrix(&[("a", &["1"])], &["a=1"], &[]).cells(), Err(MatrixError::Empty));
        assert_eq!(matrix(&[], &[], &["a=1", "a=2"]).cells().map(|cells| cells.len()), Ok(2));
    }
}
