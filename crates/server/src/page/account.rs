//! The account of the person who looks: password and tokens.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use towpath_api::rest::NewToken;
use towpath_store::people::{By, tokens, users};
use towpath_ui::view::{AccountView, Notice, Shell, TokenRow, Tone};
use towpath_ui::{page, routes};
use uuid::Uuid;

use super::act;
use super::shell::{Reader, Said, html, notice, or_error, shell};
use super::users::grant;
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::principal::by_password;
use crate::auth::{Principal, Scope, password as hashing, sign_in};
use crate::problem::Problem;
use crate::rest::{DEFAULT_TOKEN_LIFE, make_token};

#[derive(Deserialize)]
pub(super) struct PasswordFields {
    current: String,
    password: String,
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// Shows the account.
pub(super) async fn show(State(app): State<App>, Reader(principal): Reader, Said(said): Said) -> Response {
    let shown = said.is_some();
    let page = or_error(&app, &principal, account(&app, &principal, said, None).await);
    act::forget(&app, shown, page)
}

async fn account(
    app: &App,
    principal: &Principal,
    said: Option<Notice>,
    new: Option<String>,
) -> Result<Response, Problem> {
    let found = tokens::of_user(&mut app.db.reader().await?, principal.user.id).await?;
    let shell = Shell { notice: said, ..shell(app, Some(principal), None) };
    let view = AccountView {
        shell,
        grants: principal.grants.iter().cloned().map(grant).collect(),
        tokens: found.into_iter().map(row).collect(),
        scopes: Scope::ALL.map(|(_, name, meaning)| (name.to_owned(), meaning.to_owned())).to_vec(),
        new_token: new,
    };
    Ok(html(page::account(&view)))
}

fn row(token: tokens::Token) -> TokenRow {
    let tokens::Token { id, name, scopes, created_at, expires_at, last_used_at } = token;
    TokenRow {
        id: id.to_string(),
        name,
        scopes,
        created: created_at,
        used: last_used_at,
        expires: expires_at,
    }
}

/// Changes the password; every session ends but this one, which begins anew.
pub(super) async fn password(State(app): State<App>, form: CheckedForm<PasswordFields>) -> Response {
    let CheckedForm { principal, fields: PasswordFields { current, password } } = form;
    let done = async {
        let user =
            by_password(&app, principal.user.login.as_str(), &current, None).await.map_err(|problem| {
                match problem.status() {
                    http::StatusCode::UNAUTHORIZED => Problem::forbidden("the present password is wrong"),
                    _ => problem,
                }
            })?;
        let hash = hashing::hash(password).await.map_err(|error| Problem::invalid(error.to_string()))?;
        let actor = principal.actor();
        let mut tx = app.db.begin_write().await?;
        users::set_password(&mut tx, &user, &hash, By { actor: &actor, at: app.now() }).await?;
        tx.commit().await?;
        sign_in::start(&app, &user).await
    };
    match done.await {
        Ok(headers) => {
            let said = "The password is changed. Your other sessions have ended.";
            let mut response = act::done(&app, routes::ACCOUNT, said);
            // One by one, as extending replaces the cookie that is there.
            for (name, value) in &headers {
                response.headers_mut().append(name, value.clone());
            }
            response
        }
        Err(problem) => not_done(&app, &principal, &problem).await,
    }
}

/// Makes a token and shows it once.
pub(super) async fn create_token(
    State(app): State<App>,
    form: CheckedForm<Vec<(String, String)>>,
) -> Response {
    let CheckedForm { principal, fields } = form;
    let first = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    let scopes = fields.iter().filter(|(name, _)| name == "scopes").map(|(_, scope)| scope.clone()).collect();
    let days = first("days").and_then(|days| days.parse::<u64>().ok());
    let default = DEFAULT_TOKEN_LIFE.as_secs().unsigned_abs();
    let expires_in = Some(days.map_or(default, |days| days.saturating_mul(24 * 60 * 60)));
    let done = async {
        let new = NewToken { name: first("name").unwrap_or_default(), scopes, expires_in };
        let (_, secret) = make_token(&app, &principal, new).await?;
        let said = notice(Tone::Good, "Copy the token now: it is not shown again.");
        account(&app, &principal, said, Some(secret.reveal().to_owned())).await
    };
    match done.await {
        Ok(page) => page,
        Err(problem) => not_done(&app, &principal, &problem).await,
    }
}

/// Ends a token.
pub(super) async fn revoke_token(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    form: CheckedForm<Nothing>,
) -> Response {
    let principal = form.principal;
    let done = async {
        let actor = principal.actor();
        let mut tx = app.db.begin_write().await?;
        tokens::revoke(&mut tx, &principal.user, id, By { actor: &actor, at: app.now() }).await?;
        tx.commit().await.map_err(Problem::from)
    };
    match done.await {
        Ok(()) => act::done(&app, routes::ACCOUNT, "The token has ended."),
        Err(problem) => not_done(&app, &principal, &problem).await,
    }
}

/// Shows the account again, with why nothing was changed.
async fn not_done(app: &App, principal: &Principal, problem: &Problem) -> Response {
    let page = account(app, principal, act::not_done(problem.text()), None).await;
    act::with_status(app, principal, problem.status(), page)
}
