//! The web page: fills the view models of `ui`, one file per page.

mod account;
mod assets;
mod doctor;
mod error;
mod overview;
mod project;
mod setup;
mod shell;
mod sign_in;
mod timeline;
mod users;

use axum::Router;
use axum::routing::{get, post};
use towpath_ui::routes;

use crate::app::App;

pub(crate) use error::missing;

/// The routes of the page.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(routes::OVERVIEW, get(overview::show))
        .route(routes::LOGIN, get(sign_in::show).post(sign_in::submit))
        .route(routes::LOGOUT, post(sign_in::out))
        .route("/setup/{token}", get(setup::show).post(setup::submit))
        .route("/p/{project}", get(project::show))
        .route(routes::TIMELINE, get(timeline::show))
        .route(routes::USERS, get(users::show).post(users::create))
        .route("/users/{login}/{verb}", post(users::change))
        .route(routes::ACCOUNT, get(account::show))
        .route(routes::ACCOUNT_PASSWORD, post(account::password))
        .route(routes::ACCOUNT_TOKENS, post(account::create_token))
        .route("/account/tokens/{token}/revoke", post(account::revoke_token))
        .route(routes::DOCTOR, get(doctor::show))
        .route("/assets/{hash}/{file}", get(assets::serve))
        .route("/favicon.svg", get(assets::serve))
}
