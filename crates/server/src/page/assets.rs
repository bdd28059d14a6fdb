//! Styles, scripts and icons.

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{StatusCode, Uri};

/// Serves an embedded file.
pub(super) async fn serve(uri: Uri) -> Response {
    let Some(asset) = towpath_ui::asset(uri.path()) else { return StatusCode::NOT_FOUND.into_response() };
    let keep = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, keep)], asset.bytes).into_response()
}
