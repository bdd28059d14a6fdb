//! The Jobs of a plan as rows: cells of a matrix that fare alike are one.

use towpath_model::plan::{PlanReport, PlannedJob};

/// A Job, or cells of a matrix.
#[derive(Debug)]
pub(super) struct Row<'r> {
    /// `test`, or `test (6 cells)`.
    pub(super) name: String,
    /// The Job, or the first cell.
    pub(super) job: &'r PlannedJob,
    /// The names of all of them.
    pub(super) jobs: Vec<&'r str>,
}

/// Folds the Jobs, in their order.
pub(super) fn rows(report: &PlanReport) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for job in &report.jobs {
        let alike = |row: &&mut Row<'_>| {
            let of = |job: &PlannedJob| job.cell.as_ref().map(|cell| cell.of.clone());
            of(job).is_some()
                && of(row.job) == of(job)
                && (row.job.batch, row.job.fate, &row.job.reason) == (job.batch, job.fate, &job.reason)
        };
        match rows.iter_mut().find(alike) {
            Some(row) => row.jobs.push(job.name.as_str()),
            None => rows.push(Row { name: job.name.to_string(), job, jobs: vec![job.name.as_str()] }),
        }
    }
    for row in &mut rows {
        if let (Some(cell), 2..) = (&row.job.cell, row.jobs.len()) {
            row.name = format!("{} ({} cells)", cell.of, row.jobs.len());
        }
    }
    rows
}
