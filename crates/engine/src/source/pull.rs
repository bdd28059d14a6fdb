//! A pull request was seen: says whether its Run starts, waits for somebody, or does not start.

use towpath_model::origin::{Origin, PullRequest};
use towpath_model::plan::{self, Occasion};
use towpath_model::run::{Admission, Trust};
use towpath_model::source::ForkRuns;
use towpath_model::timeline::{Actor, Entry};
use towpath_store::core::projects::Project;
use towpath_store::core::sources::Watched;
use towpath_store::git_refs;

use super::Hint;
use crate::history::Unstarted;
use crate::{Engine, EngineError, git};

impl Engine {
    /// Follows a pull request whose head was fetched. `known` is the head that was followed before.
    pub(super) async fn pull_request_seen(
        &self,
        project: &Project,
        watched: &Watched,
        number: u64,
        known: Option<&str>,
        hint: Option<&Hint>,
    ) -> Result<Vec<String>, EngineError> {
        let reference = format!("refs/pull/{number}/head");
        let repository = git::repository(&self.0.parts.repositories, &project.name);
        let Some(commit) = repository.resolve(&reference).await? else { return Ok(Vec::new()) };
        let moved = known != Some(commit.as_str());
        let action = match hint.map(|hint| hint.action.as_str()) {
            Some(action @ ("reopened" | "labeled" | "closed")) => action,
            Some(_) | None if !moved => return Ok(Vec::new()),
            Some(_) | None if known.is_none() => "opened",
            Some(_) | None => "updated",
        };
        let default = repository.default_branch().await?;
        let default = default.trim_start_matches("refs/heads/");
        let mut base = default;
        if let Some(hint) = hint
            && repository.resolve(&format!("refs/heads/{}", hint.base)).await?.is_some()
        {
            base = &hint.base;
        }
        // Whoever may push to the repository has put this very commit on a branch of it; nobody else can.
        let trust = if repository.is_tip_of_a_branch(&commit).await? { Trust::Internal } else { Trust::Fork };
        let request = PullRequest { number, base: base.to_owned(), action: action.to_owned(), trust };
        let checked = self.read_pipeline(&repository, project, &commit, trust).await?;
        let why_not = match &checked {
            Ok((pipeline, _)) => {
                let paths =
                    pipeline.triggers.pull_request.as_ref().is_some_and(|trigger| !trigger.paths.is_empty());
                let changed = if paths {
                    repository.changed_since(&format!("refs/heads/{base}"), &commit).await?
                } else {
                    None
                };
                let origin = Some(Origin::PullRequest(request.clone()));
                let event = "pull_request".to_owned();
                let occasion = Occasion { event, reference: reference.clone(), changed, trust, origin };
                let (starts, reason) = plan::starts(pipeline, &occasion);
                (!starts).then_some(reason)
            }
            // A file that nobody could have meant for pull requests says so itself, in an invalid Run.
            Err(_) if trust == Trust::Fork => Some("its pipeline file is missing or has mistakes".to_owned()),
            Err(_) => None,
        };
        let fork = trust == Trust::Fork;
        let why_not = why_not.or_else(|| {
            (fork && watched.source.fork_runs == ForkRuns::Never)
                .then(|| "it comes from a fork, and the project runs none (`--fork-runs never`)".to_owned())
        });
        let admission = if fork && watched.source.fork_runs == ForkRuns::Approve {
            Admission::NeedsApproval(format!(
                "commit {} of pull request {number} comes from a fork",
                commit.get(..7).unwrap_or(&commit)
            ))
        } else {
            Admission::Free
        };
        let facts = repository.commit(&commit).await?;
        let mut unit = self.begin().await?;
        let now = unit.now;
        let before = git_refs::find(&mut unit.tx, project.name.as_str(), &reference).await?;
        if before.as_deref() != known {
            return Ok(Vec::new());
        }
        git_refs::handled(&mut unit.tx, project.name.as_str(), &reference, Some(&commit), now).await?;
        if let Some(why) = why_not {
            let text = format!("pull request {number} was {action}; no Run: {why}");
            let subject = format!("ref:{}/{reference}", project.name);
            let occasion = Occasion {
                event: "pull_request".to_owned(),
                reference,
                changed: None,
                trust,
                origin: Some(Origin::PullRequest(request)),
            };
            let title = facts.subject.as_str();
            let unstarted =
                Unstarted { occasion: &occasion, commit: &commit, subject: title, old: known, why: &why };
            let entry = unstarted.note(Entry::new("pull-request", Actor::Towpath, text.clone()));
            unit.record(Some(&project.name), None, &subject, entry).await?;
            unit.commit().await?;
            return Ok(vec![text]);
        }
        let mut cause = unit.cause("pull_request", &reference, &commit, facts, Actor::Towpath).await?;
        cause.origin = Some(Origin::PullRequest(request));
        let (_, lines) = unit.start_run(project, cause, admission, checked).await?;
        unit.commit().await?;
        Ok(lines)
    }
}
