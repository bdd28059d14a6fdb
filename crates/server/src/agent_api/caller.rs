//! Which agent or gateway calls.

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use subtle::ConstantTimeEq as _;
use towpath_api::agent::Poll;
use towpath_model::AgentId;
use towpath_store::identity::{self, AgentIdentity};

use crate::app::App;
use crate::auth::Secret;
use crate::listen::PeerAgent;
use crate::problem::Problem;

/// A process that is no person.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// One of the server's own user: it can read `run/local.json`.
    Local,
    /// A remote agent, by its client certificate.
    Remote(Box<AgentIdentity>),
}

impl Caller {
    /// Refuses a remote agent that speaks for another.
    pub(crate) fn must_be(&self, agent: AgentId) -> Result<(), Problem> {
        match self {
            Self::Local => Ok(()),
            Self::Remote(own) if own.id == agent => Ok(()),
            Self::Remote(own) => Err(Problem::forbidden(format!(
                "the certificate is of agent {}, which cannot speak for {agent}",
                own.id
            ))),
        }
    }

    /// Refuses everybody who is not on this host.
    pub(crate) fn must_be_local(&self, what: &str) -> Result<(), Problem> {
        match self {
            Self::Local => Ok(()),
            Self::Remote(_) => Err(Problem::forbidden(format!("only {what} of this host may call this"))),
        }
    }

    /// The agent, where its certificate says so.
    pub(crate) fn agent(&self) -> Option<AgentId> {
        match self {
            Self::Local => None,
            Self::Remote(agent) => Some(agent.id),
        }
    }

    /// Lays what an agent was let in for over what it says of itself.
    pub(crate) fn correct(&self, poll: &mut Poll) {
        let Self::Remote(identity) = self else { return };
        let labels = identity.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
        poll.labels.extend(labels);
        poll.runner &= identity.runner;
        poll.deployer &= identity.deployer;
    }

    /// Refuses an agent that was revoked while its call was held.
    pub(crate) async fn still_welcome(&self, app: &App) -> Result<(), Problem> {
        match self {
            Self::Local => Ok(()),
            Self::Remote(identity) => welcome(app, identity.id).await.map(drop),
        }
    }
}

/// Finds an agent that joined and was not revoked.
async fn welcome(app: &App, agent: AgentId) -> Result<Box<AgentIdentity>, Problem> {
    let found = identity::find(&mut *app.db.reader().await?, agent).await?;
    let found = found.ok_or_else(|| {
        Problem::unauthorized(format!("agent {agent} is not known here")).hint(
            "the server's database may be older than the agent; make a join token and let the agent join again",
        )
    })?;
    match found.revoked_at {
        None => Ok(Box::new(found)),
        Some(at) => Err(Problem::forbidden(format!("agent {agent} was revoked at {at}"))
            .hint("where that was a mistake, make a join token and let it join again")),
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if let Some(&PeerAgent { agent, ends }) = parts.extensions.get::<PeerAgent>() {
            if ends <= app.now() {
                return Err(Problem::unauthorized(format!(
                    "the certificate of agent {agent} ended at {ends}"
                ))
                .hint("make a join token and let the agent join again"));
            }
            return welcome(app, agent).await.map(Self::Remote);
        }
        let header = parts.headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        let is_local =
            token.is_some_and(|token| Secret::received(token).hash().ct_eq(&app.local_token).into());
        if is_local {
            Ok(Self::Local)
        } else {
            Err(Problem::unauthorized("only agents and gateways call this").hint(
                "an agent of another host needs a certificate (`towpath agent join`); one of this host reads \
                 run/local.json, which is new at each start of the server",
            ))
        }
    }
}
