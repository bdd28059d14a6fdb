//! The caller's own API tokens.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use jiff::SignedDuration;
use towpath_api::rest::{CreatedToken, NewToken, Page, Token};
use towpath_store::people::{By, tokens};
use uuid::Uuid;

use crate::app::App;
use crate::auth::principal::TOKEN_PREFIX;
use crate::auth::{Principal, Proof, Scope, Secret};
use crate::problem::Problem;

/// How long a token lives unless told otherwise.
pub(crate) const DEFAULT_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The longest name of a token.
const MAX_NAME: usize = 100;

pub(super) fn wire(token: tokens::Token) -> Token {
    let tokens::Token { id, name, scopes, created_at, expires_at, last_used_at } = token;
    Token { id: id.to_string(), name, scopes, created_at, expires_at, last_used_at }
}

/// Lists the caller's tokens.
#[utoipa::path(get, path = "/api/v1/tokens", responses((status = 200, body = Page<Token>)))]
pub(super) async fn list(State(app): State<App>, principal: Principal) -> Result<Json<Page<Token>>, Problem> {
    let found = tokens::of_user(&mut app.db.reader().await?, principal.user.id).await?;
    Ok(Json(Page { items: found.into_iter().map(wire).collect(), next: None }))
}

/// Makes a token for the caller. Its secret is shown this once.
#[utoipa::path(post, path = "/api/v1/tokens", request_body = NewToken, responses((status = 201, body = CreatedToken)))]
pub(super) async fn create(
    State(app): State<App>,
    principal: Principal,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let (token, secret) = make(&app, &principal, new).await?;
    Ok((StatusCode::CREATED, Json(CreatedToken { token: wire(token), secret: secret.reveal().to_owned() })))
}

/// Makes a token that can do no more than what the caller proved themselves with.
pub(crate) async fn make(
    app: &App,
    principal: &Principal,
    new: NewToken,
) -> Result<(tokens::Token, Secret), Problem> {
    let NewToken { name, scopes, expires_in } = new;
    if name.trim().is_empty() || name.chars().count() > MAX_NAME {
        return Err(Problem::invalid(format!("a token needs a name of 1 to {MAX_NAME} characters")));
    }
    if scopes.is_empty() {
        return Err(Problem::invalid("a token needs at least one scope: metrics, read, write or admin"));
    }
    for scope in &scopes {
        let wanted = Scope::named(scope).ok_or_else(|| {
            Problem::invalid(format!("`{scope}` is no scope; there are metrics, read, write and admin"))
        })?;
        match &principal.proof {
            Proof::Token { scopes, .. } if !scopes.iter().any(|held| *held >= wanted) => {
                return Err(Problem::forbidden("a token cannot make one that may do more than itself"));
            }
            Proof::Local => {
                return Err(Problem::forbidden("the local token is nobody, and cannot own tokens"));
            }
            Proof::Token { .. } | Proof::Session { .. } | Proof::Password => {}
        }
    }
    let now = app.now();
    let life = expires_in.map_or(DEFAULT_LIFE, |seconds| {
        SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
    });
    let expires_at =
        now.checked_add(life).map_err(|_| Problem::invalid("the token would live longer than time does"))?;
    let secret = Secret::draw(TOKEN_PREFIX);
    let token = tokens::Token {
        id: Uuid::now_v7(),
        name,
        scopes,
        created_at: now,
        expires_at: Some(expires_at),
        last_used_at: None,
    };
    let actor = principal.actor();
    let mut tx = app.db.begin_write().await?;
    tokens::create(&mut tx, &principal.user, &token, secret.hash(), By { actor: &actor, at: now }).await?;
    tx.commit().await?;
    Ok((token, secret))
}

/// Ends one of the caller's tokens.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", responses((status = 204)))]
pub(super) async fn revoke(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    let actor = principal.actor();
    let by = By { actor: &actor, at: app.now() };
    let mut tx = app.db.begin_write().await?;
    if !tokens::revoke(&mut tx, &principal.user, id, by).await? {
        return Err(Problem::not_found(format!("you have no token {id}")));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
