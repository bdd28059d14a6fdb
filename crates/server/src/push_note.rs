//! Tells the engine of pushes.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use towpath_engine::{Engine, RefChange};
use towpath_model::ProjectName;
use towpath_model::timeline::Actor;

use crate::git::{PushSink, RefUpdate};

/// Tells the engine of pushes.
pub(crate) struct PushNote(pub(crate) Engine);

/// What is protected where the Project cannot be read: everything, until it can.
const EVERY_REF: &str = "**";

impl PushSink for PushNote {
    fn protected_refs<'a>(&'a self, project: &'a ProjectName) -> BoxFuture<'a, Vec<String>> {
        async move {
            match self.0.project(project).await {
                Ok(project) => project.protected_refs,
                Err(error) => {
                    tracing::error!(%error, %project, "failed to read which refs are protected; all count as such");
                    vec![EVERY_REF.to_owned()]
                }
            }
        }
        .boxed()
    }

    fn on_push<'a>(
        &'a self,
        project: &'a ProjectName,
        updates: &'a [RefUpdate],
        actor: &'a Actor,
    ) -> BoxFuture<'a, Vec<String>> {
        let change = |update: &RefUpdate| RefChange {
            name: update.name.clone(),
            old: update.old.clone(),
            new: update.new.clone(),
        };
        let changes: Vec<RefChange> = updates.iter().map(change).collect();
        async move {
            self.0.pushed(project, &changes, actor).await.unwrap_or_else(|error| {
                tracing::error!(%error, %project, "failed to start runs for a push; the next start tries again");
                vec!["towpath has your commits but failed to start a run; it tries again at its next start".into()]
            })
        }
        .boxed()
    }
}
