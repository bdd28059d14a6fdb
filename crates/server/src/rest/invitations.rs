//! Invitations of people.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use towpath_api::rest::{Invitation, NewInvitation};

use crate::app::App;
use crate::auth::{Principal, invitation};
use crate::problem::Problem;

/// Makes a one-time link by which a person chooses their password; it is shown this once and works for a day.
#[utoipa::path(post, path = "/api/v1/invitations", request_body = NewInvitation, responses((status = 201, body = Invitation)))]
pub(super) async fn create(
    State(app): State<App>,
    principal: Principal,
    Json(new): Json<NewInvitation>,
) -> Result<(StatusCode, Json<Invitation>), Problem> {
    Ok((StatusCode::CREATED, Json(invitation::invite(&app, &principal, new).await?)))
}
