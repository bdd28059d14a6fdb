//! Whether there is anybody who could open the Gates of a document: a Gate that nobody can open is a mistake of the document.

use std::collections::BTreeSet;

use towpath_model::pipeline::Gate;
use towpath_model::policy::EnvironmentDocument;
use towpath_model::{Login, RoleName, UserId};
use towpath_store::people::{grants, users};

use crate::{Engine, EngineError};

/// What is wrong with the Gates of a document.
#[derive(Debug, Default)]
pub(crate) struct Unpassable {
    /// Gates that nobody can open, one sentence each.
    pub(crate) gates: Vec<String>,
    /// Whether the server knows more than the one person who sets it up.
    pub(crate) staffed: bool,
}

impl Engine {
    /// The Gates of a document that nobody can open, as people and roles are now.
    pub(crate) async fn unpassable(&self, document: &EnvironmentDocument) -> Result<Unpassable, EngineError> {
        let failed = |error| EngineError::internal("people could not be listed", error);
        let mut reader = self.db().reader().await?;
        let held = grants::in_project(&mut reader, &document.project).await.map_err(failed)?;
        let staffed = users::list(&mut reader, "", 2).await.map_err(failed)?.len() > 1;
        let gates = document.gates.iter().filter_map(|gate| nobody(gate, &held)).collect();
        Ok(Unpassable { gates, staffed })
    }
}

fn nobody(gate: &Gate, held: &[(UserId, Login, RoleName)]) -> Option<String> {
    let (by, count) = gate.people()?;
    let fits = |login: &Login, role: &RoleName| {
        by.iter().any(|by| match by.strip_prefix('@') {
            Some(name) => name == login.as_str(),
            None => by == role.as_str(),
        })
    };
    let people: BTreeSet<UserId> =
        held.iter().filter(|(_, login, role)| fits(login, role)).map(|(user, ..)| *user).collect();
    let what = if gate.approval().is_some() { "an approval" } else { "a hold" };
    (people.len() < count as usize).then(|| {
        format!("{what} takes {count} of {}, and there are {} such people", by.join(" or "), people.len())
    })
}
