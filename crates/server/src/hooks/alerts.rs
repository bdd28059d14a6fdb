//! `POST /hooks/PROJECT/alerts`: Alertmanager tells that alerts fire.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, State};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use towpath_engine::notify::Alert;
use towpath_model::ProjectName;

use crate::app::App;
use crate::problem::Problem;

/// What Alertmanager sends, version 4, as far as it is read.
#[derive(Debug, Deserialize)]
struct Message {
    alerts: Vec<One>,
}

#[derive(Debug, Deserialize)]
struct One {
    status: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Takes alerts from whoever knows the Project's secret.
pub(super) async fn take(
    State(app): State<App>,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<String, Problem> {
    // One answer for all that is wrong, so that nobody learns which projects there are.
    let refused = || {
        Problem::unauthorized(
            "these alerts are not taken: the bearer token does not fit, or there is no such hook",
        )
        .hint("`alerts: { secret: ... }` of the notification document names the token")
    };
    let project: ProjectName = project.parse().map_err(|_| refused())?;
    let secret = app.engine.alert_secret(&project).await?.ok_or_else(refused)?;
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Digests have one length, so the comparison tells nothing of the secret's.
    let digest = |text: &str| Sha256::digest(text.trim().as_bytes());
    if !given.is_some_and(|given| bool::from(digest(given).ct_eq(&digest(&secret)))) {
        return Err(refused());
    }
    let message: Message = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid(format!("this is no message of Alertmanager: {error}")))?;
    let alerts: Vec<Alert> = message.alerts.into_iter().map(alert).collect();
    let lines = app.engine.take_alerts(&project, &alerts).await?;
    Ok(if lines.is_empty() { "no rule fits\n".to_owned() } else { format!("{}\n", lines.join("\n")) })
}

fn alert(one: One) -> Alert {
    let One { status, labels, mut annotations } = one;
    let summary = annotations.remove("summary").or_else(|| annotations.remove("description"));
    Alert { fires: status == "firing", labels, summary: summary.unwrap_or_default() }
}
