//! What a gateway and the server say to each other.
//!
//! | call | request | response |
//! |---|---|---|
//! | `POST /gateway/v1/poll` | [`Poll`] | [`Routes`] |
//! | `POST /gateway/v1/measurements` | [`MeasurementReport`] | `204` |
//!
//! The gateway keeps the last [`Routes`] on its disk and serves from them without the server.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
pub use towpath_model::pipeline::Protocol;
use towpath_model::{Digest, EnvironmentKey};
use uuid::Uuid;

/// "This is what I applied, what next?" Answered at once if the generation is newer, else after `wait_ms`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Poll {
    /// The gateway's name; `local` for the one that `serve` starts.
    pub gateway: String,
    /// Drawn anew at each start of the process.
    pub session: Uuid,
    /// The version of Towpath it runs.
    pub version: String,
    /// The generation of [`Routes`] that it last applied in full; 0 if none.
    pub generation: u64,
    /// What each Environment's route really is now: the read-back.
    pub applied: Vec<AppliedRoute>,
    /// How long the server may hold the answer, in milliseconds; at most 30,000.
    pub wait_ms: u32,
}

/// The read-back of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedRoute {
    /// Which.
    pub environment: EnvironmentKey,
    /// The route's own generation that is in force: every request that starts from now on sees it.
    pub generation: u64,
    /// Why it could not be applied, such as a port that is taken; the older one stays in force.
    pub problem: Option<String>,
    /// Endpoints that get nothing for a while because they fail what others of their version do well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outliers: Vec<SocketAddr>,
}

/// Desired state of every listener of one gateway. What is not named is drained and closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// Grows with each change of any route.
    pub generation: u64,
    /// One per Environment.
    pub routes: Vec<Route>,
}

/// Where one Environment's requests go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Whose.
    pub environment: EnvironmentKey,
    /// Grows with each change of this route.
    pub generation: u64,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The Revisions that take part. Empty means that nothing is deployed: `503`.
    pub arms: Vec<Arm>,
    /// How `listen` is encrypted; `None` for plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How clients stay with the arm that they met first; `None` draws for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Requests that go to one arm whatever the weights say. The first that fits decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Where a candidate is reached that users do not reach yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
}

/// A second listener, of plain HTTP, that reaches one Revision alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Where.
    pub listen: SocketAddr,
    /// Who gets the requests; while there is nobody, `503`. Its weight means nothing.
    pub arm: Option<Arm>,
}

/// Clients are told a number by a cookie, and the number decides. A greater weight only adds numbers to an arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sticky {
    /// The cookie's name.
    pub cookie: String,
    /// How long a client keeps its number, in seconds.
    pub seconds: u64,
}

/// Requests with a certain field or cookie go to one Revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Where to look.
    pub on: RuleField,
    /// What must stand there.
    pub equals: String,
    /// Who gets the request.
    pub revision: Digest,
}

/// Where a [`Rule`] looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleField {
    /// In a header field, by its name.
    Header(String),
    /// In a cookie, by its name.
    Cookie(String),
}

/// How requests came to a Revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By its weight. These alone can be compared between Revisions.
    #[default]
    Split,
    /// By a rule.
    Routed,
    /// By the preview address.
    Preview,
}

impl Way {
    /// The word for it, as tables have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Routed => "routed",
            Self::Preview => "preview",
        }
    }
}

/// How a listener is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The one that fits the name which a client asks for is used; where none fits, the first. They are read on the
    /// gateway's machine, and read again when they change.
    pub certificates: Vec<CertificateFiles>,
    /// Where plain HTTP is answered with the encrypted address.
    pub redirect: Option<SocketAddr>,
}

/// A certificate and its key. A path that is not absolute is below the gateway's directory, where the server leaves the
/// certificates that it makes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFiles {
    /// The server's certificate and those between it and its root, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// One Revision's share of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// The Revision; measurements are kept by it.
    pub revision: Digest,
    /// Its share in thousandths. The weights of a route's arms sum to 1000, or all are 0.
    pub weight: u16,
    /// What its Instances speak.
    #[serde(default, skip_serializing_if = "Protocol::is_http1")]
    pub protocol: Protocol,
    /// Its Instances.
    pub endpoints: Vec<SocketAddr>,
}

/// What was measured in disjoint intervals. Sent every second; kept and merged while the server is away.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MeasurementReport {
    /// The gateway's name.
    pub gateway: String,
    /// The process that measured.
    pub session: Uuid,
    /// 1, 2, 3 … within the session. A repeated number changes nothing.
    pub sequence: u64,
    /// The deltas.
    pub deltas: Vec<Delta>,
}

/// What one Revision did in one Environment in one interval, counted when a response has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Where.
    pub environment: EnvironmentKey,
    /// Who.
    pub revision: Digest,
    /// How the requests came there.
    #[serde(default)]
    pub way: Way,
    /// Start of the interval.
    pub from: Timestamp,
    /// End of the interval.
    pub to: Timestamp,
    /// The route generation that was in force at `to`.
    pub generation: u64,
    /// The Revision's weight in force at `to`, in thousandths.
    pub weight: u16,
    /// Requests that were given to this Revision in the interval, ended or not.
    pub started: u64,
    /// Requests that were given to this Revision and ended in the interval.
    pub requests: u64,
    /// Of these: answers 5xx, connections refused or broken, time-outs.
    pub errors: u64,
    /// Requests answered by the gateway itself because no endpoint could take them (`502`, `503`, `504`); part of `errors`.
    pub gateway_errors: u64,
    /// Time to the last byte, counted by [`latency_edges_micros`]; one more bucket for what is slower.
    pub latency: Vec<u64>,
    /// Requests in flight at `to`.
    pub in_flight: u64,
}

/// Upper edges of the latency buckets in microseconds: from 250 µs to 67 s, four to each doubling.
#[must_use]
pub fn latency_edges_micros() -> Vec<u64> {
    (0..=72).map(|index| (250.0 * 2f64.powf(f64::from(index) / 4.0)).round() as u64).collect()
}
