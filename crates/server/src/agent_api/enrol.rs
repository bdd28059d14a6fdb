//! How an agent of another host gets its certificate, and a new one in time.

use std::collections::BTreeMap;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use towpath_api::agent::{Enrol, Enrolled, Renew};
use towpath_artifact::AuthorityError;
use towpath_artifact::authority::AgentCertificate;
use towpath_model::AgentId;
use towpath_store::identity::{self, AgentIdentity, TokenRefused};
use uuid::Uuid;

use super::Caller;
use crate::app::App;
use crate::auth::Secret;
use crate::problem::Problem;
use crate::rest::check_labels;

/// The largest body: a certificate request and a few labels. Anybody may send one.
const MAX_BODY: usize = 64 << 10;

/// The longest name of a host.
const MAX_HOSTNAME: usize = 253;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/agent/v1/enrol", post(enrol))
        .route("/agent/v1/renew", post(renew))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn enrol(State(app): State<App>, Json(enrol): Json<Enrol>) -> Result<Json<Enrolled>, Problem> {
    let Enrol { token, request, hostname, labels } = enrol;
    let (secret, now) = (Secret::received(&token).hash(), app.now());
    // Looked at without the one writer first: strangers shall not hold it up.
    identity::usable_token(&mut *app.db.reader().await?, secret, now).await?.map_err(refused)?;
    check_hostname(&hostname)?;
    check_labels(&labels)?;
    let id = AgentId(Uuid::now_v7());
    let issued = app.authority.agent_certificate(&request, id, now).map_err(not_issued)?;
    let mut tx = app.db.begin_write().await?;
    let token = identity::usable_token(&mut tx, secret, now).await?.map_err(refused)?;
    let labels: BTreeMap<_, _> = labels.into_iter().chain(token.labels.clone()).collect();
    let agent = AgentIdentity {
        id,
        hostname,
        labels,
        runner: token.runner,
        deployer: token.deployer,
        enrolled_at: now,
        certificate_ends: issued.not_after,
        revoked_at: None,
    };
    identity::enrol(&mut tx, &token, &agent, now).await?;
    tx.commit().await?;
    tracing::info!(agent = %id, hostname = agent.hostname, "an agent has joined");
    Ok(Json(enrolled(&app, id, issued)))
}

async fn renew(
    State(app): State<App>,
    caller: Caller,
    Json(Renew { request }): Json<Renew>,
) -> Result<Json<Enrolled>, Problem> {
    let agent =
        caller.agent().ok_or_else(|| Problem::forbidden("the agent of this host has no certificate"))?;
    let now: Timestamp = app.now();
    let issued = app.authority.agent_certificate(&request, agent, now).map_err(not_issued)?;
    let mut tx = app.db.begin_write().await?;
    identity::renewed(&mut tx, agent, issued.not_after, now).await?;
    tx.commit().await?;
    Ok(Json(enrolled(&app, agent, issued)))
}

fn enrolled(app: &App, agent: AgentId, issued: AgentCertificate) -> Enrolled {
    let AgentCertificate { certificate, not_after } = issued;
    let authority = app.authority.pem().to_owned();
    let release_key = app.engine.release_key().to_pem();
    Enrolled { agent, certificate, authority, release_key, not_after }
}

fn refused(refused: TokenRefused) -> Problem {
    tracing::warn!(%refused, "an agent was not let in");
    Problem::forbidden(refused.to_string()).hint("make another with `towpath agent token create`")
}

fn not_issued(error: AuthorityError) -> Problem {
    match error {
        AuthorityError::Request(_) | AuthorityError::RequestTooLarge { .. } | AuthorityError::RequestKey => {
            Problem::invalid(error.to_string())
        }
        AuthorityError::Io { .. }
        | AuthorityError::Load { .. }
        | AuthorityError::Mismatch { .. }
        | AuthorityError::ServerName
        | AuthorityError::Make(_)
        | AuthorityError::Clock { .. } => Problem::internal(&error),
    }
}

fn check_hostname(hostname: &str) -> Result<(), Problem> {
    let is_plain = hostname.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if hostname.is_empty() || hostname.len() > MAX_HOSTNAME || !is_plain {
        return Err(Problem::invalid("the name of the agent's host is not a host name"));
    }
    Ok(())
}
