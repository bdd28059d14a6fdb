//! `reports` of Jobs and checks.

use towpath_model::reports::{ReportDeclaration, ReportKind};

use super::patterns;
use crate::fields::Fields;
use crate::spec::Object;
use crate::spec::reports::{CHECK_REPORTS, REPORTS};

/// The reports of a Job, by kind.
pub(super) fn lower(fields: &mut Fields<'_, '_>) -> Vec<ReportDeclaration> {
    let Some(mut reports) = open(fields, &REPORTS) else { return Vec::new() };
    let declared = ReportKind::ALL.into_iter().map(|kind| {
        let files = patterns(&mut reports, kind.word());
        ReportDeclaration { kind, files }
    });
    let declared = declared.filter(|declared| !declared.files.is_empty()).collect();
    reports.close();
    declared
}

/// The JUnit patterns of a check.
pub(super) fn of_check(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let Some(mut reports) = open(fields, &CHECK_REPORTS) else { return Vec::new() };
    let junit = patterns(&mut reports, "junit");
    reports.close();
    junit
}

fn open<'n, 'r>(fields: &mut Fields<'n, 'r>, object: &'static Object) -> Option<Fields<'n, 'r>> {
    let report = fields.report;
    let entry = fields.entry("reports")?;
    Fields::open(&entry.value, &entry.key_span, object, report)
}
