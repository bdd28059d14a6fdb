//! The people of the story: an admin, Ada who pushes, and Grace who approves.

use anyhow::{Context as _, bail};
use rand::RngExt as _;
use reqwest::Method;
use towpath_api::rest::{CreatedToken, NewToken, NewUser, RoleGrant, User};
use url::Url;

use super::PROJECT;
use crate::client::{self, Client};
use crate::context::Access;

/// The length of a drawn password.
const PASSWORD: usize = 16;

/// Somebody with the way in.
pub(super) struct Person {
    /// Their login.
    pub(super) login: &'static str,
    /// Their password.
    pub(super) password: String,
    /// Their API token.
    pub(super) token: String,
    /// Calls in their name.
    pub(super) api: Client,
}

/// Everybody.
pub(super) struct People {
    /// Set the server up, and applies environment documents.
    pub(super) admin: Person,
    /// Develops the shop.
    pub(super) ada: Person,
    /// Releases the shop.
    pub(super) grace: Person,
}

impl People {
    /// Makes the first admin by the one-time link, and the others in the admin's name.
    pub(super) async fn make(url: &Url, setup: &Url) -> anyhow::Result<Self> {
        let password = draw_password();
        use_link(setup, "admin", &password).await?;
        let admin = Person::enter(url, "admin", password, "admin").await?;
        let ada = admin.hire(url, "ada", "Ada Lovelace", "developer").await?;
        let grace = admin.hire(url, "grace", "Grace Hopper", "release-manager").await?;
        Ok(Self { admin, ada, grace })
    }
}

impl Person {
    /// Makes a token with login and password.
    async fn enter(url: &Url, login: &'static str, password: String, scope: &str) -> anyhow::Result<Self> {
        let new = NewToken { name: "demo".to_owned(), scopes: vec![scope.to_owned()], expires_in: None };
        let request = client::http(None)?.post(url.join("/api/v1/tokens")?);
        let request = request.basic_auth(login, Some(&password)).json(&new);
        let created: CreatedToken =
            client::json(request).await.with_context(|| format!("{login} could not sign in"))?;
        let token = created.secret;
        let access = Access { url: url.clone(), token: token.clone(), authority: None };
        Ok(Self { login, password, token, api: Client::with(access)? })
    }

    async fn hire(&self, url: &Url, login: &'static str, name: &str, role: &str) -> anyhow::Result<Self> {
        let password = draw_password();
        let new = NewUser {
            login: login.to_owned(),
            display_name: name.to_owned(),
            email: email(login),
            password: Some(password.clone()),
            roles: vec![RoleGrant { role: role.to_owned(), project: Some(PROJECT.to_owned()) }],
        };
        let _user: User = self.api.send(Method::POST, "/api/v1/users", &new).await?;
        Self::enter(url, login, password, "write").await
    }
}

/// The address that a person commits with.
pub(super) fn email(login: &str) -> String {
    format!("{login}@shop.example")
}

async fn use_link(setup: &Url, login: &str, password: &str) -> anyhow::Result<()> {
    let form = [("login", login), ("password", password), ("password_again", password)];
    let response = client::http(None)?.post(setup.clone()).form(&form).send().await;
    let response = response.context("failed to use the one-time link")?;
    // Who is let in is sent on to the overview, which nobody follows here; a refusal shows the form again.
    if !response.status().is_redirection() {
        bail!("the one-time link did not make the admin: {}", response.status());
    }
    Ok(())
}

fn draw_password() -> String {
    // Without those that look alike.
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let mut random = rand::rng();
    (0..PASSWORD).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}
