//! What happened to a Project and what came of it, for those who plan a change of its pipeline file.

use std::collections::BTreeMap;

use serde::Deserialize;
use towpath_model::ProjectName;
use towpath_model::history::{MAX_PATHS, PastEvent, PastRun};
use towpath_model::origin::{Origin, PullRequest};
use towpath_model::plan::Occasion;
use towpath_model::run::{Run, Trust};
use towpath_model::timeline::Entry;
use towpath_store::core::{projects, runs};
use towpath_store::timeline;

use crate::git::{self, Repository};
use crate::{Engine, EngineError};

/// The most events that are told at once: for each, git compares two commits.
pub const MAX_EVENTS: u32 = 100;

/// How many older events are read as well, for the commits at which their refs stood before.
const BEHIND: u32 = 50;

impl Engine {
    /// The newest events of a Project: those that started a Run, and the pushes and pull requests that started none.
    ///
    /// # Errors
    /// When there is no such Project, or git or the database fails.
    pub async fn history(&self, project: &ProjectName, limit: u32) -> Result<Vec<PastEvent>, EngineError> {
        let limit = limit.clamp(1, MAX_EVENTS);
        let mut reader = self.db().reader().await?;
        if projects::find(&mut reader, project).await?.is_none() {
            return Err(EngineError::not_found(format!("project {project}")));
        }
        let started = runs::page(&mut reader, Some(project), None, limit + BEHIND).await?;
        let kinds = [PUSHED, PULL_REQUEST];
        let without = timeline::of_refs(&mut reader, project.as_str(), kinds, limit + BEHIND).await?;
        drop(reader);
        let mut all: Vec<(PastEvent, Option<String>)> =
            started.iter().map(|run| (of_run(run), None)).collect();
        all.extend(without.iter().filter_map(of_entry));
        all.sort_by_key(|(event, _)| std::cmp::Reverse((event.at, event.run.as_ref().map(|run| run.number))));
        let repository = git::repository(&self.0.parts.repositories, project);
        let mut told = Vec::new();
        for (place, (event, old)) in all.iter().enumerate().take(limit as usize) {
            let before = || {
                let older = all[place + 1..].iter().map(|(older, _)| older);
                let mut same = older.filter(|older| older.occasion.reference == event.occasion.reference);
                same.next().map(|older| older.commit.clone())
            };
            let mut event = event.clone();
            let old = old.clone().or_else(before);
            event.occasion.changed = changed(&repository, &event, old.as_deref()).await?;
            told.push(event);
        }
        Ok(told)
    }
}

/// The paths that an event changed, as its trigger saw them; `None` where that is not known or too much to tell.
async fn changed(
    repository: &Repository,
    event: &PastEvent,
    old: Option<&str>,
) -> Result<Option<Vec<String>>, EngineError> {
    let paths = match (&event.occasion.origin, old) {
        (Some(Origin::PullRequest(request)), _) => {
            repository.changed_since(&format!("refs/heads/{}", request.base), &event.commit).await?
        }
        (None, Some(old)) if event.occasion.event == "push" => {
            repository.changed_paths(old, &event.commit).await?
        }
        _ => None,
    };
    Ok(paths.filter(|paths| paths.len() <= MAX_PATHS))
}

fn of_run(run: &Run) -> PastEvent {
    PastEvent {
        at: run.created_at,
        occasion: Occasion {
            event: run.cause.event.clone(),
            reference: run.cause.reference.clone(),
            changed: None,
            trust: run.trust,
            origin: run.cause.origin.clone(),
        },
        commit: run.cause.commit.clone(),
        subject: run.cause.subject.clone(),
        inputs: run.cause.inputs.clone(),
        run: Some(PastRun::of(run)),
        reason: run.reason.clone(),
    }
}

const PUSHED: &str = "pushed";
const PULL_REQUEST: &str = "pull-request";

/// The facts of an event that started no Run, as the timeline keeps them.
#[derive(Debug)]
pub(crate) struct Unstarted<'a> {
    pub(crate) occasion: &'a Occasion,
    pub(crate) commit: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) old: Option<&'a str>,
    pub(crate) why: &'a str,
}

impl Unstarted<'_> {
    /// Adds them to the entry that tells people.
    pub(crate) fn note(&self, mut entry: Entry) -> Entry {
        let Occasion { event, reference, changed: _, trust, origin } = self.occasion;
        entry = entry.fact("event", event).fact("ref", reference).fact("trust", trust.word());
        entry = entry.fact("commit", self.commit).fact("subject", self.subject).fact("why", self.why);
        if let Some(old) = self.old {
            entry = entry.fact("old", old);
        }
        if let Some(Origin::PullRequest(PullRequest { number, base, action, trust: _ })) = origin {
            entry = entry.fact("number", number).fact("base", base).fact("action", action);
        }
        entry
    }
}

/// The body of an entry.
#[derive(Deserialize)]
struct Body {
    facts: BTreeMap<String, String>,
}

/// The event and the commit before it; `None` for an entry from before these facts were kept.
fn of_entry(entry: &timeline::Entry) -> Option<(PastEvent, Option<String>)> {
    let Body { mut facts } = serde_json::from_slice(&entry.body).ok()?;
    let mut take = |name: &str| facts.remove(name);
    let trust = [Trust::Protected, Trust::Internal, Trust::Fork];
    let word = take("trust")?;
    let trust = trust.into_iter().find(|trust| trust.word() == word)?;
    let origin = match entry.kind.as_str() {
        PULL_REQUEST => {
            let (number, base, action) = (take("number")?.parse().ok()?, take("base")?, take("action")?);
            Some(Origin::PullRequest(PullRequest { number, base, action, trust }))
        }
        _ => None,
    };
    let (event, reference) = (take("event")?, take("ref")?);
    let old = take("old");
    let event = PastEvent {
        at: entry.at,
        occasion: Occasion { event, reference, changed: None, trust, origin },
        commit: take("commit")?,
        subject: take("subject").unwrap_or_default(),
        inputs: BTreeMap::new(),
        run: None,
        reason: take("why").unwrap_or_default(),
    };
    Some((event, old))
}
