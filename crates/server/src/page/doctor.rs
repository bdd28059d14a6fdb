//! What is wrong with the installation.

use axum::extract::State;
use axum::response::Response;
use towpath_api::rest::{Finding, FindingLevel};
use towpath_ui::page;
use towpath_ui::view::{DoctorView, Finding as Row, State as Health};

use super::shell::{Reader, html, or_error, shell};
use crate::app::App;
use crate::auth::Action;
use crate::doctor;

/// Shows the findings, worst first.
pub(super) async fn show(State(app): State<App>, Reader(principal): Reader) -> Response {
    let shown = async {
        let _permit = principal.may(Action::Operate, None)?;
        let mut findings = doctor::examine(&app).await?;
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        let findings = findings.into_iter().map(row).collect();
        let shell = shell(&app, Some(&principal), None);
        Ok(html(page::doctor(&DoctorView { shell, checked: app.now(), findings })))
    };
    or_error(&app, &principal, shown.await)
}

fn row(finding: Finding) -> Row {
    let Finding { level, title, advice } = finding;
    let state = match level {
        FindingLevel::Good => Health::Healthy,
        FindingLevel::Warning => Health::Unknown,
        FindingLevel::Bad => Health::Unhealthy,
    };
    Row { state, title, detail: String::new(), advice: (!advice.is_empty()).then_some(advice), command: None }
}
