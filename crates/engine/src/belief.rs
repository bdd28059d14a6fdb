//! What is believed of an agent's last word about an Attempt.
//!
//! An agent runs what strangers wrote, so its word is checked where it can be: an Artifact is one that the Job declares,
//! and its bytes are here under the digest that is named. What does not hold is no result of the
//! Job: the Attempt ends as `errored`, with what was wrong, and is tried again.

use std::collections::BTreeMap;

use towpath_model::attempt::{AttemptReport, AttemptState, Finished};
use towpath_store::core::attempts::QueuedAttempt;

use crate::Engine;
use crate::order::AttemptBody;

impl Engine {
    /// The report as it is taken in.
    pub(crate) fn believed(&self, held: &QueuedAttempt, report: AttemptReport) -> AttemptReport {
        let AttemptReport::Finished(finished) = report else { return report };
        let Some(lie) = self.lie(held, &finished) else { return AttemptReport::Finished(finished) };
        tracing::warn!(attempt.id = %held.id, agent = ?held.agent, "a result was refused: {lie}");
        AttemptReport::Finished(Finished {
            state: AttemptState::Errored,
            message: format!("the agent's result was refused: {lie}"),
            outputs: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            tests: None,
            reports: finished.reports,
            log_bytes: finished.log_bytes,
        })
    }

    /// What cannot be true of a result.
    fn lie(&self, held: &QueuedAttempt, finished: &Finished) -> Option<String> {
        if !finished.state.is_final() || finished.state == AttemptState::Lost {
            return Some(format!("`{}` is no end of an attempt", finished.state.word()));
        }
        let body = serde_json::from_str::<AttemptBody>(&held.body).ok()?;
        let declared = &body.assignment.artifacts;
        for (name, manifest) in &finished.artifacts {
            if !declared.iter().any(|order| order.name == *name) {
                return Some(format!("it names artifact `{name}`, which the job does not declare"));
            }
            if !self.content().contains(*manifest) {
                return Some(format!("it names artifact `{name}` as {manifest}, which it never uploaded"));
            }
        }
        if finished.state == AttemptState::Passed
            && let Some(missing) = declared.iter().find(|order| !finished.artifacts.contains_key(&order.name))
        {
            return Some(format!("it passed without artifact `{}`, which the job declares", missing.name));
        }
        None
    }
}
