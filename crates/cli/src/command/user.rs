//! `towpath user`: people and their roles.

use std::process::ExitCode;

use reqwest::Method;
use towpath_api::rest::{Invitation, NewInvitation, NewUser, RoleGrant, User, UserChange};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::{output, prompt};

/// Makes, changes and lists users.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Makes a user; asks for the first password.
    Create {
        #[command(flatten)]
        account: Account,
        /// Makes an account without a password, which uses tokens only.
        #[arg(long)]
        no_password: bool,
    },
    /// Makes a user, if there is none by that login, and a link by which they choose their password. It works once, within a day.
    Invite(Account),
    /// Lists users.
    List,
    /// Gives a role.
    Grant {
        /// The login.
        login: String,
        /// The role, as `developer@shop` or `admin`.
        #[arg(value_parser = grant)]
        role: RoleGrant,
    },
    /// Takes a role.
    Revoke {
        /// The login.
        login: String,
        /// The role, as `developer@shop` or `admin`.
        #[arg(value_parser = grant)]
        role: RoleGrant,
    },
    /// Keeps a user from signing in; their sessions end.
    Disable {
        /// The login.
        login: String,
    },
    /// Lets a user sign in again.
    Enable {
        /// The login.
        login: String,
    },
    /// Sets a password; asks for it.
    Password {
        /// The login.
        login: String,
    },
}

/// Who somebody is, and what they may do from the beginning.
#[derive(Debug, clap::Args)]
pub struct Account {
    /// The login.
    login: String,
    /// Their name.
    #[arg(long, default_value = "")]
    name: String,
    /// Their e-mail address, as in their commits.
    #[arg(long, default_value = "")]
    email: String,
    /// A role, as `developer@shop` or `admin`; may be repeated.
    #[arg(long = "role", value_parser = grant)]
    roles: Vec<RoleGrant>,
}

/// Reads `role` or `role@project`.
fn grant(text: &str) -> Result<RoleGrant, String> {
    let (role, project) = match text.split_once('@') {
        Some((role, project)) => (role, Some(project.to_owned())),
        None => (text, None),
    };
    if role.is_empty() || project.as_deref() == Some("") {
        return Err("write a role as `developer@shop`, or `developer` for every project".to_owned());
    }
    Ok(RoleGrant { role: role.to_owned(), project })
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    match args {
        Args::List => list(&client, remote.json).await?,
        Args::Create { account: Account { login, name, email, roles }, no_password } => {
            let password =
                if no_password { None } else { Some(prompt::new_password("Password of the new user")?) };
            let new = NewUser { login, display_name: name, email, password, roles };
            let user: User = client.send(Method::POST, "/api/v1/users", &new).await?;
            show(&user, remote.json)?;
        }
        Args::Invite(Account { login, name, email, roles }) => {
            let new = NewInvitation { login, display_name: name, email, roles };
            let made: Invitation = client.send(Method::POST, "/api/v1/invitations", &new).await?;
            invited(&made, remote.json)?;
        }
        Args::Grant { login, role } => {
            change(&client, remote, &login, UserChange { give: vec![role], ..UserChange::default() }).await?;
        }
        Args::Revoke { login, role } => {
            change(&client, remote, &login, UserChange { take: vec![role], ..UserChange::default() }).await?;
        }
        Args::Disable { login } => {
            change(&client, remote, &login, UserChange { disabled: Some(true), ..UserChange::default() })
                .await?;
        }
        Args::Enable { login } => {
            change(&client, remote, &login, UserChange { disabled: Some(false), ..UserChange::default() })
                .await?;
        }
        Args::Password { login } => {
            let password = Some(prompt::new_password("New password")?);
            change(&client, remote, &login, UserChange { password, ..UserChange::default() }).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn change(client: &Client, remote: &Remote, login: &str, change: UserChange) -> anyhow::Result<()> {
    let path = format!("/api/v1/users/{}", part(login));
    let user: User = client.send(Method::PATCH, &path, &change).await?;
    show(&user, remote.json)
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let users: Vec<User> = client.all("/api/v1/users").await?;
    if json {
        return output::json(&users);
    }
    let row = |user: User| {
        let roles = words(&user);
        [user.login, user.display_name, roles, if user.disabled { "disabled".into() } else { String::new() }]
    };
    let empty = "there is no user yet; open the link that the server printed at its start";
    output::table(["login", "name", "roles", ""], users.into_iter().map(row).collect(), empty);
    Ok(())
}

fn invited(made: &Invitation, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(made);
    }
    let Invitation { login, url, expires_at } = made;
    anstream::println!("{url}");
    anstream::eprintln!(
        "Give this link to {login}, and to nobody else: whoever opens it first chooses the password. It works once, until {}.",
        output::time(*expires_at)
    );
    Ok(())
}

fn show(user: &User, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(user);
    }
    let state = if user.disabled { " (disabled)" } else { "" };
    anstream::println!("{}{state}: {}", user.login, words(user));
    Ok(())
}

fn words(user: &User) -> String {
    let word = |grant: &RoleGrant| match &grant.project {
        Some(project) => format!("{}@{project}", grant.role),
        None => grant.role.clone(),
    };
    if user.roles.is_empty() {
        "no role".into()
    } else {
        user.roles.iter().map(word).collect::<Vec<_>>().join(", ")
    }
}
