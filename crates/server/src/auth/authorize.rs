//! What each role may do. What is not listed is denied.

use std::fmt;
use std::str::FromStr;

use towpath_model::ProjectName;

use super::principal::{Principal, Proof};

/// The roles that Towpath itself knows. Others can be granted; they count as groups in Gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees.
    Viewer,
    /// Pushes, runs and promotes.
    Developer,
    /// Decides about releases.
    ReleaseManager,
    /// Changes policy, secrets and people.
    Admin,
}

impl Role {
    /// Every role, weakest first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Developer, Self::ReleaseManager, Self::Admin];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::ReleaseManager => "release-manager",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(())
    }
}

/// What a token may be used for; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// To scrape `/metrics`.
    Metrics,
    /// To look.
    Read,
    /// To push, run, promote and decide.
    Write,
    /// Everything that its user may do.
    Admin,
}

impl Scope {
    /// Every scope, weakest first, with its meaning.
    pub const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Metrics, "metrics", "scrape /metrics, and nothing else"),
        (Self::Read, "read", "look at everything that you may see"),
        (Self::Write, "write", "push, run, promote, approve, hold and roll back where you may"),
        (Self::Admin, "admin", "everything that you may do"),
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Finds a scope by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known, _)| *known == name).map(|(scope, _, _)| scope)
    }
}

/// Something that a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// See a Project and all that belongs to it; clone it.
    View,
    /// Push commits.
    Push,
    /// Cancel or rerun a Run.
    ControlRun,
    /// Let the failures of a test fail nothing for a while, or count again.
    Quarantine,
    /// Ask for a Promotion.
    Promote,
    /// Approve or reject a Promotion. The Gate decides whose approval counts.
    Decide,
    /// Stop a Promotion or an Environment where it is.
    Hold,
    /// Open and close incidents.
    Report,
    /// Let it go on.
    Resume,
    /// Go back to an earlier Revision.
    RollBack,
    /// Change an Environment's policy document.
    ApplyPolicy,
    /// Set or remove secrets.
    ManageSecrets,
    /// Give and take roles in a Project.
    ManageRoles,
    /// Make Projects.
    CreateProject,
    /// Make, disable and list users.
    ManageUsers,
    /// See agents, invite and remove them.
    ManageAgents,
    /// See how the instance itself does.
    Operate,
    /// Read its numbers.
    Scrape,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 18] = [
        Self::View,
        Self::Push,
        Self::ControlRun,
        Self::Quarantine,
        Self::Promote,
        Self::Decide,
        Self::Hold,
        Self::Report,
        Self::Resume,
        Self::RollBack,
        Self::ApplyPolicy,
        Self::ManageSecrets,
        Self::ManageRoles,
        Self::CreateProject,
        Self::ManageUsers,
        Self::ManageAgents,
        Self::Operate,
        Self::Scrape,
    ];

    /// The weakest role that may, and the scope that a token needs.
    #[must_use]
    pub const fn needs(self) -> (Role, Scope) {
        match self {
            Self::View => (Role::Viewer, Scope::Read),
            // A Gate may name anybody who can see the Project, as `@login` or as a group.
            Self::Decide => (Role::Viewer, Scope::Write),
            Self::Push | Self::ControlRun | Self::Promote | Self::Hold | Self::Report => {
                (Role::Developer, Scope::Write)
            }
            Self::Resume | Self::RollBack | Self::Quarantine => (Role::ReleaseManager, Scope::Write),
            Self::Operate => (Role::Admin, Scope::Read),
            // Numbers of all Projects: whoever sees all of them may.
            Self::Scrape => (Role::Viewer, Scope::Metrics),
            Self::ApplyPolicy
            | Self::ManageSecrets
            | Self::ManageRoles
            | Self::CreateProject
            | Self::ManageUsers
            | Self::ManageAgents => (Role::Admin, Scope::Admin),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::View => "see this",
            Self::Push => "push",
            Self::ControlRun => "cancel or rerun a Run",
            Self::Quarantine => "put a test into quarantine or take it out",
            Self::Promote => "promote",
            Self::Decide => "approve or reject",
            Self::Hold => "hold",
            Self::Report => "open or close an incident",
            Self::Resume => "resume",
            Self::RollBack => "roll back",
            Self::ApplyPolicy => "change the policy of an Environment",
            Self::ManageSecrets => "change secrets",
            Self::ManageRoles => "give or take roles",
            Self::CreateProject => "create a project",
            Self::ManageUsers => "manage users",
            Self::ManageAgents => "manage agents",
            Self::Operate => "see how the server does",
            Self::Scrape => "read its metrics",
        }
    }
}

/// The proof that a caller may do something; functions that act take it.
#[derive(Debug, Clone, Copy)]
#[must_use = "a permit is proof for the function that acts"]
pub struct Permit(());

/// Why a caller may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The role is missing.
    #[error("{login} may not {} {}: that needs the role {needs}", action.words(), place(project.as_ref()))]
    Role {
        /// Who.
        login: String,
        /// What they wanted.
        action: Action,
        /// Where.
        project: Option<ProjectName>,
        /// The weakest role that may.
        needs: Role,
    },
    /// The token was made for less.
    #[error("this token may not be used to {}: that needs the scope {}", action.words(), needs.name())]
    Scope {
        /// What was wanted.
        action: Action,
        /// The weakest scope that may.
        needs: Scope,
    },
    /// Nobody stands behind the local token.
    #[error(
        "an approval names a person, and the server's local token is nobody; sign in with `towpath login`"
    )]
    NotAPerson,
}

fn place(project: Option<&ProjectName>) -> String {
    project.map_or_else(|| "on this server".to_owned(), |project| format!("in `{project}`"))
}

/// Decides whether `who` may do `action` in `project` (`None`: to the instance itself).
///
/// # Errors
/// Says which role or scope is missing.
pub fn authorize(
    who: &Principal,
    action: Action,
    project: Option<&ProjectName>,
) -> Result<Permit, Forbidden> {
    let (role, scope) = action.needs();
    if matches!(who.proof, Proof::Local) && action == Action::Decide {
        return Err(Forbidden::NotAPerson);
    }
    if let Proof::Token { scopes, .. } = &who.proof
        && !scopes.iter().any(|held| *held >= scope)
    {
        return Err(Forbidden::Scope { action, needs: scope });
    }
    let held = who
        .grants
        .iter()
        .filter(|grant| grant.covers(project))
        .filter_map(|grant| grant.role.as_str().parse::<Role>().ok())
        .max();
    if held.is_some_and(|held| held >= role) {
        return Ok(Permit(()));
    }
    let login = who.user.login.to_string();
    Err(Forbidden::Role { login, action, project: project.cloned(), needs: role })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use towpath_model::UserId;
    use towpath_store::people::grants::Grant;
    use towpath_store::people::users::User;
    use uuid::Uuid;

    use super::*;

    fn principal(role: Option<Role>, project: Option<&str>, proof: Proof) -> Principal {
        let user = User {
            id: UserId(Uuid::nil()),
            login: "alice".parse().unwrap(),
            display_name: String::new(),
            email: String::new(),
            disabled: false,
            created_at: Timestamp::UNIX_EPOCH,
        };
        let project = project.map(|project| project.parse().unwrap());
        let grants =
            role.map(|role| Grant { project, role: role.name().parse().unwrap() }).into_iter().collect();
        Principal { user, grants, proof }
    }

    #[test]
    fn each_role_may_do_its_part_and_no_more() {
        // viewer, developer, release-manager, admin
        let table = [
            (Action::View, "yyyy"),
            (Action::Push, "nyyy"),
            (Action::ControlRun, "nyyy"),
            (Action::Quarantine, "nnyy"),
            (Action::Promote, "nyyy"),
            (Action::Decide, "yyyy"),
            (Action::Hold, "nyyy"),
            (Action::Report, "nyyy"),
            (Action::Resume, "nnyy"),
            (Action::RollBack, "nnyy"),
            (Action::ApplyPolicy, "nnny"),
            (Action::ManageSecrets, "nnny"),
            (Action::ManageRoles, "nnny"),
            (Action::CreateProject, "nnny"),
            (Action::ManageUsers, "nnny"),
            (Action::ManageAgents, "nnny"),
            (Action::Operate, "nnny"),
            (Action::Scrape, "yyyy"),
        ];
        assert_eq!(table.map(|(action, _)| action), Action::ALL);
        let shop = "shop".parse().unwrap();
        for (action, expected) in table {
            for (role, expected) in Role::ALL.into_iter().zip(expected.chars()) {
                let may = |who: &Principal, at| authorize(who, action, at).is_ok();
                let everywhere = principal(Some(role), None, Proof::Password);
                assert_eq!(may(&everywhere, Some(&shop)), expected == 'y', "{role} {action:?}");
                let here = principal(Some(role), Some("shop"), Proof::Password);
                assert_eq!(may(&here, Some(&shop)), expected == 'y', "{role} {action:?} in shop");
                let there = principal(Some(role), Some("other"), Proof::Password);
                assert!(!may(&there, Some(&shop)), "{role} of another project {action:?}");
                assert!(!may(&here, None), "{role} of one project {action:?} on the instance");
            }
            let nobody = principal(None, None, Proof::Password);
            assert!(authorize(&nobody, action, Some(&shop)).is_err(), "no role {action:?}");
        }
    }

    #[test]
    fn a_token_may_do_no_more_than_its_scope() {
        let token = |scope| Proof::Token { id: Uuid::nil(), scopes: vec![scope] };
        let reader = principal(Some(Role::Admin), None, token(Scope::Read));
        assert!(authorize(&reader, Action::View, None).is_ok());
        let refused = authorize(&reader, Action::Push, None).unwrap_err();
        assert_eq!(refused.to_string(), "this token may not be used to push: that needs the scope write");
        let writer = principal(Some(Role::Admin), None, token(Scope::Write));
        assert!(authorize(&writer, Action::RollBack, None).is_ok());
        assert!(authorize(&writer, Action::ManageUsers, None).is_err());
    }

    #[test]
    fn the_local_token_approves_nothing() {
        let local = principal(Some(Role::Admin), None, Proof::Local);
        assert!(authorize(&local, Action::ManageUsers, None).is_ok());
        assert_eq!(authorize(&local, Action::Decide, None).unwrap_err(), Forbidden::NotAPerson);
    }
}
