//! What a Run was started for, and what is known of one try.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use super::Actor;

/// What a Run was started for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// `push`, `tag`, `manual`, `pull_request`, `schedule` or `release`.
    pub event: String,
    /// The full ref: `refs/heads/main`.
    pub reference: String,
    /// The commit, in hexadecimal digits.
    pub commit: String,
    /// Its subject line.
    pub subject: String,
    /// `Name <mail>` of its author.
    pub author: String,
    /// Logins of everybody whose approval would be their own.
    pub makers: Vec<String>,
    /// Who pushed or pressed the button.
    pub actor: Actor,
    /// What was said at the start: the inputs that the pipeline declares.
    pub inputs: BTreeMap<String, String>,
    /// What stands behind it, where that is not a push.
    pub origin: Option<Origin>,
}

/// What stands behind a Run that no push started.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Origin {
    /// A pull request, or merge request.
    PullRequest {
        /// Its number.
        number: u64,
        /// The branch that it wants to change.
        base: String,
        /// `opened`, `updated`, `reopened`, `labeled` or `closed`.
        action: String,
        /// `internal` or `fork`.
        trust: String,
    },
    /// A schedule was due.
    Schedule {
        /// When it was due.
        #[schema(format = DateTime)]
        planned: String,
        /// For people: the schedule, and what was missed.
        words: String,
    },
    /// Another Project sealed a Release.
    Release {
        /// The Project.
        project: String,
        /// The Release's version.
        version: String,
        /// The Release's digest.
        digest: String,
        /// How many Releases led to this one, each starting the Run of the next.
        depth: u32,
    },
}

/// The Release that a Run sealed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SealedRelease {
    /// The manifest's digest.
    pub digest: String,
    /// Its version.
    pub version: String,
}

/// One Step as far as it came.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepProgress {
    /// For people.
    pub name: String,
    /// Where it is.
    pub state: StepState,
    /// When its process started.
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// When its process ended.
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
}

/// Where a Step is in its life.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StepState {
    /// Not yet.
    Pending,
    /// Its process runs.
    Running,
    /// Exit code 0.
    Passed,
    /// Another exit code.
    Failed {
        /// It.
        code: i32,
    },
    /// Killed by a signal.
    Killed {
        /// Its number.
        signal: i32,
    },
    /// Its time was up.
    TimedOut,
    /// It was not run.
    Skipped,
}

/// Counts over JUnit files.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCounts {
    /// Passed.
    pub passed: u32,
    /// Failed or errored.
    pub failed: u32,
    /// Skipped.
    pub skipped: u32,
    /// Of those that passed: only when they were tried again.
    pub retried: u32,
    /// Of those that failed: in quarantine.
    pub quarantined: u32,
}

/// An image that was used, by the bytes that it really was.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageUsed {
    /// What for: `job`, `service db`, `base of shop`.
    pub role: String,
    /// The reference as the file has it.
    pub reference: String,
    /// What it was resolved to: `sha256:…`.
    pub digest: String,
}

/// One try of a check that is a script.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckAttempt {
    /// Its id.
    pub id: String,
    /// 1, 2, 3 … within its check.
    pub number: u32,
    /// `queued`, `leased`, `running`, `passed`, `failed`, `timed-out`, `cancelled`, `errored` or `lost`.
    pub state: String,
    /// How often it was handed out.
    pub fence: u64,
    /// The agent that runs or ran it.
    pub agent: Option<String>,
    /// The confinement in use.
    pub isolation: Option<String>,
    /// The images that it used.
    pub images: Vec<ImageUsed>,
    /// Its Steps, in order.
    pub steps: Vec<StepProgress>,
    /// When it was queued.
    #[schema(format = DateTime)]
    pub queued_at: String,
    /// When an agent took it.
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// When it ended.
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    /// For people: how it ended.
    pub message: String,
    /// How many reports of its agent were taken.
    pub reported: u64,
    /// Counts of its tests, where it has JUnit files.
    pub tests: Option<TestCounts>,
    /// Bytes of log.
    pub log_bytes: u64,
    /// The class of what kept its agent from running it, where that is known.
    pub hindered_by: Option<String>,
    /// The line of its log that says what went wrong.
    pub words: Option<String>,
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use towpath_model::attempt as model;
    use towpath_model::container::ImageUsed;
    use towpath_model::origin::{Origin, PullRequest, Upstream};
    use towpath_model::retry::RetryClass;
    use towpath_model::run::{Cause, SealedRelease, Trust};
    use towpath_model::timeline::Actor;
    use towpath_model::{AgentId, AttemptId, Digest};

    use super::super::tests::reads;

    #[test]
    fn each_cause_is_described() {
        let upstream = Upstream {
            project: "base".parse().unwrap(),
            version: "1.0.0".to_owned(),
            digest: Digest::of(b"x").to_string(),
            depth: 1,
        };
        let request = PullRequest {
            number: 7,
            base: "main".to_owned(),
            action: "opened".to_owned(),
            trust: Trust::Fork,
        };
        for origin in [
            None,
            Some(Origin::PullRequest(request)),
            Some(Origin::Schedule { planned: Timestamp::UNIX_EPOCH, words: "0 4 * * *".to_owned() }),
            Some(Origin::Release(upstream)),
        ] {
            reads::<super::Cause>(&Cause {
                event: "push".to_owned(),
                reference: "refs/heads/main".to_owned(),
                commit: "c0ffee".to_owned(),
                subject: "shop: Open".to_owned(),
                author: "Mona <mona@example.com>".to_owned(),
                makers: vec!["mona".to_owned()],
                actor: Actor::Towpath,
                inputs: [("LOUD".to_owned(), "yes".to_owned())].into(),
                origin,
            });
        }
        reads::<super::SealedRelease>(&SealedRelease {
            digest: Digest::of(b"x"),
            version: "1.0.0".to_owned(),
        });
    }

    #[test]
    fn each_step_of_an_attempt_is_described() {
        let now = Timestamp::UNIX_EPOCH;
        let states = [
            model::StepState::Pending,
            model::StepState::Running,
            model::StepState::Passed,
            model::StepState::Failed { code: 3 },
            model::StepState::Killed { signal: 9 },
            model::StepState::TimedOut,
            model::StepState::Skipped,
        ];
        let id = AttemptId(uuid::Uuid::nil());
        let mut attempt = model::Attempt::queued(id, 1, states.each_ref().map(|_| "smoke".to_owned()), now);
        for (step, state) in attempt.steps.iter_mut().zip(states) {
            step.state = state;
            (step.started_at, step.finished_at) = (Some(now), Some(now));
        }
        reads::<super::CheckAttempt>(&attempt);
        attempt.agent = Some(AgentId(uuid::Uuid::nil()));
        attempt.isolation = Some("bubblewrap".to_owned());
        attempt.images = vec![ImageUsed {
            role: "job".to_owned(),
            reference: "rust:1".to_owned(),
            digest: "sha256:0".to_owned(),
        }];
        attempt.tests = Some(model::TestCounts { passed: 1, ..model::TestCounts::default() });
        attempt.hindered_by = Some(RetryClass::ImagePull);
        attempt.words = Some("no such image".to_owned());
        attempt.end(model::AttemptState::Failed, "exit code 3".to_owned(), now);
        reads::<super::CheckAttempt>(&attempt);
    }
}
