//! `POST /hooks/PROJECT`: a forge tells that something happened.
//!
//! The signature is checked over the raw body before anything of it is read. What it then says is only where to look:
//! the source itself tells what there is.

mod alerts;
mod event;
mod signature;

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use towpath_engine::Delivered;
use towpath_model::ProjectName;

use self::event::Event;
use self::signature::Refused;
use crate::app::App;
use crate::problem::Problem;

/// The largest body. GitHub's largest push is smaller by far.
const MAX_BODY: usize = 4 << 20;

/// How many are read at once; more are told to come again.
static READERS: Semaphore = Semaphore::const_new(16);

/// How long the answer waits for the look. Forges give up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);

/// The routes under `/hooks`. Forges may be told any further path.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/hooks/{project}", post(take))
        .route("/hooks/{project}/alerts", post(alerts::take))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn(in_turn))
}

async fn in_turn(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let Ok(_turn) = READERS.try_acquire() else {
        return Problem::unavailable("too many webhooks at once; send it again").into_response();
    };
    // A sender that dawdles gives its turn to another.
    match tokio::time::timeout(Duration::from_secs(20), next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("the webhook did not arrive within 20 s").into_response(),
    }
}

async fn take(
    State(app): State<App>,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    // One answer for all that is wrong, so that nobody learns which projects there are.
    let refused = || {
        Problem::unauthorized("this webhook is not taken: its signature does not fit, or there is no such hook")
            .hint("set the secret of `towpath source hook PROJECT` at the forge, with the content type application/json")
    };
    let project: ProjectName = project.parse().map_err(|_| refused())?;
    let secret = app.engine.hook_secret(&project).await?.ok_or_else(refused)?;
    let secret = secret.expose_text().ok_or_else(refused)?;
    signature::verify(&headers, &body, secret, app.now()).map_err(|why| match why {
        Refused::Unsigned | Refused::Forged => refused(),
        Refused::Stale => {
            Problem::unauthorized("this webhook is more than five minutes old, or a clock is wrong")
        }
    })?;
    let name = event::name(&headers);
    let digest = hex::encode(Sha256::digest(&body));
    let hint = match event::read(&name, &body).map_err(Problem::invalid)? {
        Event::Look(hint) => hint,
        Event::Nothing(why) => return Ok((StatusCode::OK, format!("{why}\n")).into_response()),
    };
    // Without a name of its own, a delivery is known by its bytes.
    let id = event::delivery(&headers).unwrap_or_else(|| digest.clone());
    match app.engine.hook_delivered((&project, &id, &digest, &name), &hint).await? {
        Delivered::Before(why) => Ok((StatusCode::OK, format!("{why}\n")).into_response()),
        Delivered::Taken => Ok(look(&app, project).await),
    }
}

/// Looks at the source and says what came of it; a look that takes long goes on without the sender.
async fn look(app: &App, project: ProjectName) -> Response {
    let engine = app.engine.clone();
    let looking = tokio::spawn(async move { engine.look(&project).await });
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(Ok(Ok(lines))) if lines.is_empty() => {
            (StatusCode::OK, "nothing has moved at the source\n").into_response()
        }
        Ok(Ok(Ok(lines))) => (StatusCode::OK, format!("{}\n", lines.join("\n"))).into_response(),
        // What the source answered is for those who may see the Project: its page has it.
        Ok(Ok(Err(_)) | Err(_)) => {
            (StatusCode::ACCEPTED, "taken; the source cannot be read now and is tried again\n")
                .into_response()
        }
        Err(_) => (StatusCode::ACCEPTED, "taken; the source is still being read\n").into_response(),
    }
}
