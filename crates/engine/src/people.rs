//! Who acts, as the edge has authenticated them.

use towpath_model::UserId;
use towpath_model::environment::Voter;
use towpath_model::timeline::Actor;

/// A person, or a machine account, with what they may be in one Project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// Their login.
    pub login: String,
    /// Their roles in the Project that the action is about.
    pub roles: Vec<String>,
}

impl Person {
    /// Them as the timeline names them.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::User { id: self.id, login: self.login.clone() }
    }

    /// Them as somebody who says yes or no.
    #[must_use]
    pub fn voter(&self) -> Voter {
        Voter { user: self.id, login: self.login.clone(), roles: self.roles.clone() }
    }
}
