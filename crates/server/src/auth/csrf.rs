//! Proof that a form was filled on our own page.
//!
//! The token is derived from the session's secret, which no other site can read; nothing is stored.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::principal::{Principal, Proof};
use crate::app::App;
use crate::problem::Problem;

/// The header by which scripts send the token.
pub const HEADER: &str = "x-towpath-csrf";

/// The largest form.
const MAX_FORM: usize = 64 * 1024;

/// The token that belongs to a session's secret.
#[must_use]
pub fn token(session: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"towpath-csrf\0");
    hasher.update(session.as_bytes());
    hex::encode(hasher.finalize())
}

/// Whether `given` is the token of `expected`, in constant time.
#[must_use]
pub fn matches(expected: &str, given: &str) -> bool {
    expected.as_bytes().ct_eq(given.as_bytes()).into()
}

/// Whether the browser itself says that another site sent this.
#[must_use]
pub fn cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

/// A form from our own page: its caller and its fields.
#[derive(Debug)]
pub struct CheckedForm<T> {
    /// Who filled it.
    pub principal: Principal,
    /// What they wrote.
    pub fields: T,
}

impl<T: DeserializeOwned> FromRequest<App> for CheckedForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        // The form carries the token, so the check that `Principal` makes of the header is not used here.
        let principal = Principal::authenticate(&mut parts, app).await.map_err(Problem::into_response)?;
        let refuse = || {
            Problem::forbidden(
                "this form was not filled on a page of this server, or your session has changed",
            )
            .hint("go back, reload the page and send the form again")
            .into_response()
        };
        let Proof::Session { csrf } = &principal.proof else { return Err(refuse()) };
        if cross_site(&parts.headers) {
            return Err(refuse());
        }
        let bytes = axum::body::to_bytes(body, MAX_FORM)
            .await
            .map_err(|_| Problem::too_large("the form", MAX_FORM as u64).into_response())?;
        let given = url::form_urlencoded::parse(&bytes).find(|(name, _)| name == "csrf");
        if !given.is_some_and(|(_, given)| matches(csrf, &given)) {
            return Err(refuse());
        }
        let request = Request::from_parts(parts, axum::body::Body::from(bytes));
        let axum::Form(fields) = axum::Form::<T>::from_request(request, app)
            .await
            .map_err(|error| Problem::invalid(error.body_text()).into_response())?;
        Ok(Self { principal, fields })
    }
}
