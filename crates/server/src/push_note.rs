//! What becomes of a push: its entry in the timeline, and the refs marked as handled.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;
use towpath_model::ProjectName;
use towpath_model::timeline::Actor;
use towpath_store::timeline::{self, NewEntry};
use towpath_store::{Db, StoreError, git_refs};
use url::Url;

use crate::git::{PushSink, RefUpdate};

/// Notes pushes in the timeline.
pub(crate) struct PushNote {
    pub(crate) db: Db,
    pub(crate) public_url: Url,
    pub(crate) clock: fn() -> Timestamp,
}

impl PushNote {
    async fn note(&self, project: &str, updates: &[RefUpdate], actor: &Actor) -> Result<(), StoreError> {
        let actor = actor.login().map_or_else(|| "system".to_owned(), |login| format!("user:{login}"));
        let at = (self.clock)();
        let mut tx = self.db.begin_write().await?;
        for update in updates {
            let subject = format!("ref:{project}/{}", update.name);
            let entry = NewEntry {
                at,
                actor: &actor,
                project: Some(project),
                environment: None,
                kind: "pushed",
                subject: &subject,
            };
            timeline::append(&mut tx, entry, &json!({"old": update.old, "new": update.new})).await?;
            git_refs::handled(&mut tx, project, &update.name, update.new.as_deref(), at).await?;
        }
        tx.commit().await
    }
}

impl PushSink for PushNote {
    fn on_push<'a>(
        &'a self,
        project: &'a ProjectName,
        updates: &'a [RefUpdate],
        actor: &'a Actor,
    ) -> BoxFuture<'a, Vec<String>> {
        async move {
            match self.note(project.as_str(), updates, actor).await {
                Ok(()) => vec![format!("{project}: {}p/{project}", self.public_url)],
                Err(error) => {
                    tracing::error!(%error, %project, "failed to note a push; the next start tries again");
                    vec![
                        "towpath has your commits but failed to note them; it tries again at its next start"
                            .into(),
                    ]
                }
            }
        }
        .boxed()
    }
}
