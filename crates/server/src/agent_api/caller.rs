//! Which agent or gateway calls.

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use subtle::ConstantTimeEq as _;
use towpath_model::AgentId;

use crate::app::App;
use crate::auth::Secret;
use crate::listen::PeerAgent;
use crate::problem::Problem;

/// A process that is no person.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Caller {
    /// One of the server's own user: it can read `run/local.json`.
    Local,
    /// A remote agent, by its client certificate.
    Remote(AgentId),
}

impl Caller {
    /// Refuses a remote agent that speaks for another.
    pub(crate) fn must_be(self, agent: AgentId) -> Result<(), Problem> {
        match self {
            Self::Local => Ok(()),
            Self::Remote(own) if own == agent => Ok(()),
            Self::Remote(own) => Err(Problem::forbidden(format!(
                "the certificate is of agent {own}, which cannot speak for {agent}"
            ))),
        }
    }

    /// Refuses everybody who is not on this host.
    pub(crate) fn must_be_local(self, what: &str) -> Result<(), Problem> {
        match self {
            Self::Local => Ok(()),
            Self::Remote(_) => Err(Problem::forbidden(format!("only {what} of this host may call this"))),
        }
    }

    /// The agent, where its certificate says so.
    pub(crate) const fn agent(self) -> Option<AgentId> {
        match self {
            Self::Local => None,
            Self::Remote(agent) => Some(agent),
        }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if let Some(PeerAgent(agent)) = parts.extensions.get::<PeerAgent>() {
            return Ok(Self::Remote(*agent));
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
