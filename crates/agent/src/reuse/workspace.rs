//! The workspace as it was after each Step, so that a later Attempt or a person can go on from there.

use std::collections::BTreeMap;
use std::fs;

use towpath_api::agent::{AttemptOutcome, StepOrder};
use towpath_api::reuse::{NewEntry, ResumeOrder, Saved};
use towpath_artifact::snapshot::{Known, Root, restore};
use towpath_artifact::{Limits, Snapshot, SnapshotError};
use towpath_model::Digest;
use towpath_model::reuse::{EntryKind, KeepWorkspace};

use super::{HOME, LIMITS, Say, Session};
use crate::executor::chain;

/// The name of the whole source tree in snapshots of workspaces.
const SOURCE: &str = "source";

/// What is looked at where nobody asked for it: a second or two of work for each Job.
const UNASKED: Limits = Limits { entries: 30_000, bytes: 256 << 20 };

/// What is looked at where the Job asks.
const ASKED: Limits = Limits { entries: 300_000, bytes: 8 << 30 };

/// The workspaces of this Attempt so far.
#[derive(Default)]
pub(super) struct Keeping {
    known: Option<Known>,
    kept: Vec<(u32, Digest)>,
    given_up: bool,
}

impl Session<'_> {
    /// Looks at what a Step left.
    pub(crate) fn after_step(
        &mut self,
        index: u32,
        step: &StepOrder,
        passed: bool,
        last: bool,
        outputs: &BTreeMap<String, String>,
        say: &mut Say<'_>,
    ) {
        if passed {
            self.remember_step(step, outputs, say);
        }
        let wanted = match self.reuse.order.workspace {
            KeepWorkspace::Never => false,
            KeepWorkspace::Always => true,
            // After the last Step of a Job that passes, nobody needs it.
            KeepWorkspace::OnFailure => !(passed && last),
        };
        if wanted && !self.workspace.given_up {
            self.keep_workspace(index, say);
        }
    }

    fn keep_workspace(&mut self, index: u32, say: &mut Say<'_>) {
        let limits = match self.reuse.order.workspace {
            KeepWorkspace::Always => ASKED,
            KeepWorkspace::OnFailure | KeepWorkspace::Never => UNASKED,
        };
        let parts = self.places().into_iter().map(|root| (root, vec![Default::default()])).collect();
        match self.take(parts, self.workspace.known.as_ref(), limits) {
            Ok(taken) => {
                for left_out in &taken.left_out {
                    say(&format!("the kept workspace leaves out {left_out}"));
                }
                match taken.known.snapshot.store(&self.reuse.store) {
                    Ok(digest) => self.workspace.kept.push((index, digest)),
                    Err(error) => self.give_up(&chain(&error), say),
                }
                self.workspace.known = Some(taken.known);
            }
            Err(SnapshotError::TooMuch { limit, what }) => {
                // Nobody asked, so nobody is told at each Job that it is too large.
                self.workspace.given_up = true;
                if self.reuse.order.workspace == KeepWorkspace::Always {
                    say(&format!("the workspace is not kept: it has more than {limit} {what}"));
                }
            }
            Err(error) => self.give_up(&chain(&error), say),
        }
    }

    fn give_up(&mut self, why: &str, say: &mut Say<'_>) {
        self.workspace.given_up = true;
        say(&format!("the workspace is not kept: {why}"));
    }

    pub(super) fn save_workspaces(&mut self, outcome: AttemptOutcome, say: &mut Say<'_>) {
        let wanted = match self.reuse.order.workspace {
            KeepWorkspace::Never => false,
            KeepWorkspace::Always => true,
            KeepWorkspace::OnFailure => matches!(outcome, AttemptOutcome::Failed | AttemptOutcome::TimedOut),
        };
        if !wanted {
            return;
        }
        for (index, snapshot) in std::mem::take(&mut self.workspace.kept) {
            let entry = NewEntry {
                fence: 0,
                kind: EntryKind::Workspace,
                space: self.attempt.id.to_string(),
                key: format!("{index}"),
                parts: Vec::new(),
                snapshot,
                outputs: BTreeMap::new(),
                step: Some(index),
            };
            match self.reuse.depot.save(entry, &self.reuse.store) {
                Ok(Saved::Saved { .. }) => {}
                Ok(Saved::Missing { .. }) => {
                    say("a workspace was not kept: its bytes went missing while they were sent")
                }
                Ok(Saved::Refused { reason }) | Err(reason) => {
                    say(&format!("the workspace after step {} was not kept: {reason}", index + 1));
                    return;
                }
            }
        }
    }

    /// Puts a kept workspace in the place of the source tree.
    pub(super) fn resume(&mut self, resume: &ResumeOrder, say: &mut Say<'_>) -> Result<(), String> {
        let failed = |why: String| format!("the workspace of {} cannot be restored: {why}", resume.title);
        for root in self.places() {
            fs::create_dir_all(&root.path).map_err(|error| failed(error.to_string()))?;
        }
        self.reuse.depot.fetch(resume.snapshot, &self.reuse.store).map_err(failed)?;
        let snapshot =
            Snapshot::load(resume.snapshot, &self.reuse.store).map_err(|error| failed(chain(&error)))?;
        let known = restore(&snapshot, &self.reuse.store, &self.places(), LIMITS);
        let known = known.map_err(|error| failed(chain(&error)))?;
        say(&format!("goes on from the workspace of {}: {} files", resume.title, known.snapshot.files()));
        self.workspace.known = Some(known);
        Ok(())
    }

    /// The whole source tree, and the home that Steps of their own have.
    fn places(&self) -> Vec<Root> {
        let mut places = vec![Root { name: SOURCE, path: self.reuse.source.to_owned() }];
        places.extend(self.roots().into_iter().filter(|root| root.name == HOME));
        places
    }
}
