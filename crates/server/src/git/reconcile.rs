//! After a crash: what git accepted and the engine was not told of.

use towpath_model::timeline::Actor;
use towpath_store::{Db, git_refs};

use super::host::{GitError, GitHost};
use super::refs::RefUpdate;

/// Why the comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Git failed.
    #[error("failed to read the refs")]
    Git(#[from] GitError),
    /// The database failed.
    #[error("failed to read which refs were handled")]
    Store(#[from] towpath_store::StoreError),
}

/// Compares every repository with the table of handled refs and reports the difference to the engine.
///
/// # Errors
/// When a repository or the database cannot be read.
pub async fn reconcile(host: &GitHost, db: &Db) -> Result<(), ReconcileError> {
    for project in host.projects().await? {
        let refs = host.refs(&project).await?;
        let mut handled = git_refs::of_project(&mut db.reader().await?, project.as_str()).await?;
        // Pull requests of a source are followed by its looks; not every one of them is here.
        handled.retain(|(name, _)| !name.starts_with("refs/pull/"));
        let missed = difference(&refs, &handled);
        if missed.is_empty() {
            continue;
        }
        tracing::info!(%project, refs = missed.len(), "telling the engine of pushes from before the restart");
        host.sink.on_push(&project, &missed, &Actor::Towpath).await;
    }
    Ok(())
}

fn difference(refs: &[(String, String)], handled: &[(String, String)]) -> Vec<RefUpdate> {
    let find = |list: &[(String, String)], name: &str| {
        list.iter().find(|(found, _)| found == name).map(|(_, object)| object.clone())
    };
    let changed = refs.iter().map(|(name, object)| RefUpdate {
        name: name.clone(),
        old: find(handled, name),
        new: Some(object.clone()),
    });
    let gone = handled
        .iter()
        .filter(|(name, _)| find(refs, name).is_none())
        .map(|(name, object)| RefUpdate { name: name.clone(), old: Some(object.clone()), new: None });
    changed.chain(gone).filter(|update| update.old != update.new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_new_moved_and_gone_refs_only() {
        let pair = |name: &str, object: &str| (name.to_owned(), object.to_owned());
        let refs = [pair("same", "1"), pair("moved", "2"), pair("new", "3")];
        let handled = [pair("same", "1"), pair("moved", "1"), pair("gone", "4")];
        let names: Vec<_> = difference(&refs, &handled).into_iter().map(|update| update.name).collect();
        assert_eq!(names, ["moved", "new", "gone"]);
    }
}
