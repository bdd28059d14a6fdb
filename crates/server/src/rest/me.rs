//! Who the caller is, and what the server is.

use axum::Json;
use towpath_api::rest::{ServerVersion, User};

use super::users;
use crate::auth::Principal;

/// Shows the caller.
#[utoipa::path(get, path = "/api/v1/me", responses((status = 200, body = User)))]
pub(super) async fn me(principal: Principal) -> Json<User> {
    Json(users::wire(principal.user, principal.grants))
}

/// Shows the server's version.
#[utoipa::path(get, path = "/api/v1/version", responses((status = 200, body = ServerVersion)))]
pub(super) async fn version() -> Json<ServerVersion> {
    Json(ServerVersion { version: env!("CARGO_PKG_VERSION").to_owned() })
}
