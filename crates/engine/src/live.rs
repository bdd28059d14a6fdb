//! What is known of agents and gateways only while the server runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use towpath_api::gateway::AppliedRoute;
use towpath_model::standing::{Call, Sessions};
use towpath_model::{AgentId, EnvironmentKey};
use towpath_store::core::gateways::Gateway;
use uuid::Uuid;

/// How long an agent may be silent and still count as connected. It polls at least every 30 s.
const CONNECTED: SignedDuration = SignedDuration::from_secs(40);

/// How often at most it is written down that an agent or a gateway called.
pub(crate) const STORE_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// How long a gateway may be silent before a split no longer waits for its confirmation.
///
/// One that is down for so long serves nobody. It reads the newest split before it serves again.
pub(crate) const GATEWAY_FORGOTTEN: SignedDuration = SignedDuration::from_mins(10);

/// When agents and gateways were last heard of.
#[derive(Debug)]
pub(crate) struct Live {
    started: Timestamp,
    agents: Mutex<HashMap<AgentId, Presence>>,
    sessions: Mutex<HashMap<AgentId, Sessions>>,
    routes: Mutex<HashMap<String, BTreeMap<EnvironmentKey, AppliedRoute>>>,
    gateways: Mutex<HashMap<String, Gateway>>,
}

/// One agent as this server knows it.
#[derive(Debug, Clone)]
pub(crate) struct Presence {
    pub(crate) heard_at: Timestamp,
    /// When what it says of itself was last written down.
    pub(crate) stored_at: Timestamp,
}

impl Live {
    pub(crate) fn new(started: Timestamp) -> Self {
        Self {
            started,
            agents: Mutex::default(),
            sessions: Mutex::default(),
            routes: Mutex::default(),
            gateways: Mutex::default(),
        }
    }

    /// Notes which process of an agent calls.
    pub(crate) fn session(&self, agent: AgentId, session: Uuid) -> Call {
        let mut sessions = self.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sessions.entry(agent).or_insert_with(|| Sessions::new(session)).call(session)
    }

    /// Forgets the processes of an agent: the next one that calls is the first.
    pub(crate) fn forget_sessions(&self, agent: AgentId) {
        let mut sessions = self.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sessions.remove(&agent);
    }

    /// Notes a call of an agent. Says when it was last written down.
    pub(crate) fn heard(&self, agent: AgentId, now: Timestamp) -> Option<Timestamp> {
        let mut agents = self.agents.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let presence =
            agents.entry(agent).or_insert(Presence { heard_at: now, stored_at: Timestamp::UNIX_EPOCH });
        presence.heard_at = now;
        (presence.stored_at != Timestamp::UNIX_EPOCH).then_some(presence.stored_at)
    }

    /// Notes that what an agent says of itself was written down.
    pub(crate) fn stored(&self, agent: AgentId, now: Timestamp) {
        let mut agents = self.agents.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(presence) = agents.get_mut(&agent) {
            presence.stored_at = now;
        }
    }

    /// When an agent was last heard of. One that this server never heard counts from the server's start.
    pub(crate) fn last_heard(&self, agent: AgentId) -> Timestamp {
        let agents = self.agents.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        agents.get(&agent).map_or(self.started, |presence| presence.heard_at)
    }

    /// Whether an agent counts as connected.
    pub(crate) fn is_connected(&self, agent: AgentId, seen_at: Timestamp, now: Timestamp) -> bool {
        let agents = self.agents.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let heard = agents.get(&agent).map_or(seen_at, |presence| presence.heard_at);
        now.duration_since(heard) <= CONNECTED
    }

    /// Whether it is time to write down again that a gateway called.
    pub(crate) fn is_news_of(&self, gateway: &Gateway) -> bool {
        let gateways = self.gateways.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        gateways.get(&gateway.name).is_none_or(|known| {
            known.version != gateway.version || gateway.seen_at.duration_since(known.seen_at) >= STORE_EVERY
        })
    }

    /// Notes that a gateway's call was written down.
    pub(crate) fn noted(&self, gateway: Gateway) {
        let mut gateways = self.gateways.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        gateways.insert(gateway.name.clone(), gateway);
    }

    /// The read-backs of a gateway that are news.
    pub(crate) fn news(&self, gateway: &str, applied: &[AppliedRoute]) -> Vec<AppliedRoute> {
        let routes = self.routes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = routes.get(gateway);
        let is_news =
            |route: &&AppliedRoute| known.and_then(|known| known.get(&route.environment)) != Some(*route);
        applied.iter().filter(is_news).cloned().collect()
    }

    /// Notes a read-back that was taken in.
    pub(crate) fn taken_in(&self, gateway: &str, route: AppliedRoute) {
        let mut routes = self.routes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        routes.entry(gateway.to_owned()).or_default().insert(route.environment.clone(), route);
    }
}
