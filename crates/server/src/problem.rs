//! What an error looks like to a caller: `application/problem+json` (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use jiff::SignedDuration;
use towpath_api::rest::ProblemBody;

/// An error on its way to the caller.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    hint: Option<String>,
    reasons: Vec<String>,
    retry_after: Option<SignedDuration>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), hint: None, reasons: Vec::new(), retry_after: None }
    }

    /// What is wrong.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The request makes no sense.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    /// The caller did not say who they are, or not convincingly.
    #[must_use]
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// The caller is known and may not.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// The state of things does not allow it.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// The body is longer than `limit` bytes.
    #[must_use]
    pub fn too_large(what: &str, limit: u64) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", format!("{what} is larger than {limit} bytes"))
    }

    /// The caller must wait.
    #[must_use]
    pub fn too_many(detail: impl Into<String>, wait: SignedDuration) -> Self {
        let seconds = wait.as_secs().max(1);
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", detail)
            .hint(format!("try again in {seconds} seconds"));
        problem.retry_after = Some(wait);
        problem
    }

    /// The server cannot do it just now.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// Something went wrong that is not the caller's fault. The cause goes to the log, not to the caller.
    #[must_use]
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain = format!("{chain}: {cause}");
            source = cause.source();
        }
        tracing::error!(error = chain, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed to do this")
            .hint("the server's log has the cause under this request's id (header x-request-id)")
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what stands in the way, one sentence each.
    #[must_use]
    pub fn reasons(mut self, reasons: Vec<String>) -> Self {
        self.reasons = reasons;
        self
    }

    /// The status it answers with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What happened and what to do next, in one text.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.detail),
            None => self.detail.clone(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, kind, detail, hint, reasons, retry_after } = self;
        let body = ProblemBody {
            kind: format!("urn:towpath:problem:{kind}"),
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            status: status.as_u16(),
            detail,
            hint,
            reasons,
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"towpath\""));
        }
        if let Some(wait) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}

impl From<towpath_store::StoreError> for Problem {
    fn from(error: towpath_store::StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<towpath_engine::EngineError> for Problem {
    fn from(error: towpath_engine::EngineError) -> Self {
        use towpath_engine::EngineError as E;
        match &error {
            E::NotFound { .. } => Self::not_found(error.to_string()),
            E::Refused { .. } | E::Fenced { .. } => Self::conflict(error.to_string()),
            E::Forbidden { .. } => Self::forbidden(error.to_string()),
            E::Invalid { .. } => Self::invalid(error.to_string()),
            E::Log(towpath_artifact::LogError::Fenced { .. } | towpath_artifact::LogError::Sealed { .. }) => {
                Self::conflict(error.to_string())
            }
            E::Content(towpath_artifact::ContentError::DiskFull { .. }) => {
                tracing::error!(%error, "the disk is full");
                Self::unavailable("the server's disk is full; free some space, nothing was lost")
            }
            E::Store(_) | E::Content(_) | E::Log(_) | E::Vault(_) | E::Internal { .. } => {
                Self::internal(&error)
            }
        }
    }
}
