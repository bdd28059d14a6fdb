//! The caller of a request, and how they proved who they are.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, Method};
use jiff::{SignedDuration, Timestamp};
use subtle::ConstantTimeEq as _;
use towpath_engine::Person;
use towpath_model::timeline::Actor;
use towpath_model::{ProjectName, UserId};
use towpath_store::people::grants::{self, Grant};
use towpath_store::people::users::User;
use towpath_store::people::{sessions, tokens, users};
use uuid::Uuid;

use super::authorize::{Action, Permit, Scope, authorize};
use super::secret::Secret;
use super::{csrf, password};
use crate::app::App;
use crate::listen::Peer;
use crate::problem::Problem;

/// How stale a token's "last used" may get.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// The prefix of every API token.
pub const TOKEN_PREFIX: &str = "tp_";

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Who.
    pub user: User,
    /// What they were given.
    pub grants: Vec<Grant>,
    /// How they proved it.
    pub proof: Proof,
}

/// How a caller proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// By the cookie of the page; changes need the CSRF token too.
    Session {
        /// The token that every form gives back.
        csrf: String,
    },
    /// By an API token.
    Token {
        /// Which.
        id: Uuid,
        /// What it may be used for.
        scopes: Vec<Scope>,
    },
    /// By login and password, as git does.
    Password,
    /// By the file that only the server's own user can read.
    Local,
}

impl Principal {
    /// Decides whether the caller may; see [`authorize`].
    ///
    /// # Errors
    /// Says which role or scope is missing. A Project that the caller may not even see does not
    /// exist for them.
    pub fn may(&self, action: Action, project: Option<&ProjectName>) -> Result<Permit, Problem> {
        authorize(self, action, project).map_err(|refused| match project {
            Some(project) if authorize(self, Action::View, Some(project)).is_err() => {
                Problem::not_found(format!("there is no project `{project}` that you can see"))
            }
            _ => {
                Problem::forbidden(refused.to_string()).hint("an admin can give the role on the page `Users`")
            }
        })
    }

    /// How the timeline names the caller.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("user:{}", self.user.login)
    }

    /// How the core names the caller.
    #[must_use]
    pub fn as_actor(&self) -> Actor {
        Actor::User { id: self.user.id, login: self.user.login.to_string() }
    }

    /// The caller as the engine takes them, with the roles that count in `project`.
    #[must_use]
    pub fn person(&self, project: Option<&ProjectName>) -> Person {
        let counts = self.grants.iter().filter(|grant| grant.covers(project));
        Person {
            id: self.user.id,
            login: self.user.login.to_string(),
            roles: counts.map(|grant| grant.role.to_string()).collect(),
        }
    }

    /// Finds out who sends a request, by whatever it carries.
    ///
    /// # Errors
    /// When it carries nothing, or something that is not valid.
    pub async fn authenticate(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let address = peer(parts);
        if let Some(header) = parts.headers.get(AUTHORIZATION) {
            let header =
                header.to_str().map_err(|_| Problem::unauthorized("the authorization header is not text"))?;
            if let Some(token) = strip_scheme(header, "bearer") {
                return by_token(app, token.trim()).await;
            }
            if let Some(encoded) = strip_scheme(header, "basic") {
                return by_basic(app, encoded.trim(), address).await;
            }
            return Err(
                Problem::unauthorized("this way to authenticate is not known").hint("use Bearer or Basic")
            );
        }
        match cookie(&parts.headers, app.cookie_name()) {
            Some(session) => by_session(app, session).await,
            None => Err(Problem::unauthorized("sign in first")
                .hint("run `towpath login`, or send `Authorization: Bearer tp_…`")),
        }
    }
}

impl FromRequestParts<App> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let principal = Self::authenticate(parts, app).await?;
        if let Proof::Session { csrf } = &principal.proof
            && !matches!(parts.method, Method::GET | Method::HEAD)
        {
            let given = parts.headers.get(csrf::HEADER).and_then(|given| given.to_str().ok());
            if csrf::cross_site(&parts.headers) || !given.is_some_and(|given| csrf::matches(csrf, given)) {
                return Err(Problem::forbidden(
                    "a change with the page's cookie needs the header x-towpath-csrf",
                ));
            }
        }
        Ok(principal)
    }
}

/// The address of the other end of the connection.
#[must_use]
pub fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<Peer>().map(|peer| peer.0.ip())
}

fn strip_scheme<'a>(header: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = header.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Finds a cookie by its name.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}

async fn by_session(app: &App, session: &str) -> Result<Principal, Problem> {
    let now = app.now();
    let secret = Secret::received(session).hash();
    let mut reader = app.db.reader().await?;
    let live = sessions::find(&mut reader, secret, now).await?;
    let live = live.ok_or_else(|| Problem::unauthorized("your session is over; sign in again"))?;
    let grants = grants::of_user(&mut reader, live.user.id).await?;
    drop(reader);
    if live.stale {
        let mut tx = app.db.begin_write().await?;
        sessions::touch(&mut tx, secret, now).await?;
        tx.commit().await?;
    }
    Ok(Principal { user: live.user, grants, proof: Proof::Session { csrf: csrf::token(session) } })
}

async fn by_token(app: &App, token: &str) -> Result<Principal, Problem> {
    let secret = Secret::received(token).hash();
    if secret.ct_eq(&app.local_token).into() {
        return Ok(local());
    }
    let now = app.now();
    let mut reader = app.db.reader().await?;
    let found = tokens::find(&mut reader, secret, now).await?;
    let (user, token) = found.ok_or_else(|| {
        Problem::unauthorized("this token is not valid: it was revoked, has expired, or never was one")
            .hint("make a new one with `towpath token create`")
    })?;
    let grants = grants::of_user(&mut reader, user.id).await?;
    drop(reader);
    if token.last_used_at.is_none_or(|used| used + TOUCH_EVERY <= now) {
        let mut tx = app.db.begin_write().await?;
        tokens::touch(&mut tx, token.id, now).await?;
        tx.commit().await?;
    }
    let scopes = token.scopes.iter().filter_map(|scope| Scope::named(scope)).collect();
    Ok(Principal { user, grants, proof: Proof::Token { id: token.id, scopes } })
}

async fn by_basic(app: &App, encoded: &str, address: Option<IpAddr>) -> Result<Principal, Problem> {
    let wrong = || Problem::unauthorized("the authorization header is not valid");
    let decoded = STANDARD.decode(encoded).map_err(|_| wrong())?;
    let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
    let (login, given) = decoded.split_once(':').ok_or_else(wrong)?;
    if given.starts_with(TOKEN_PREFIX) {
        return by_token(app, given).await;
    }
    let user = by_password(app, login, given, address).await?;
    let grants = grants::of_user(&mut *app.db.reader().await?, user.id).await?;
    Ok(Principal { user, grants, proof: Proof::Password })
}

/// Checks a login and its password, and slows down whoever guesses.
///
/// # Errors
/// When they do not fit, or too many were wrong before.
pub async fn by_password(
    app: &App,
    login: &str,
    given: &str,
    address: Option<IpAddr>,
) -> Result<User, Problem> {
    let now = app.now();
    if let Some(wait) = app.limiter.wait(login, address, now) {
        return Err(Problem::too_many("too many wrong passwords", wait));
    }
    let found = users::with_password(&mut *app.db.reader().await?, login).await?;
    let (user, stored) = found.map_or((None, None), |(user, stored)| (Some(user), stored));
    let right = password::verify(given.to_owned(), stored).await;
    match user {
        Some(user) if right && !user.disabled => {
            app.limiter.succeeded(login, address);
            Ok(user)
        }
        _ => {
            app.limiter.failed(login, address, now);
            Err(Problem::unauthorized("the login or the password is wrong"))
        }
    }
}

/// The server's own user, known by `run/local.json`.
#[must_use]
pub fn local() -> Principal {
    let user = User {
        id: UserId(Uuid::nil()),
        login: "local".parse().expect("`local` is a name"),
        display_name: "the server's own user".to_owned(),
        email: String::new(),
        disabled: false,
        created_at: Timestamp::UNIX_EPOCH,
    };
    let admin = Grant { project: None, role: "admin".parse().expect("`admin` is a name") };
    Principal { user, grants: vec![admin], proof: Proof::Local }
}
