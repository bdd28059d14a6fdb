//! What several pages show: the frame, states, people, commits, gates and actions.

use std::fmt;

use jiff::Timestamp;

/// The frame of every page: who looks, when, and where news come from.
#[derive(Debug, Clone)]
pub struct Shell {
    /// The person signed in, if any.
    pub user: Option<Viewer>,
    /// The token that every form gives back.
    pub csrf: String,
    /// The server's clock; relative times count from it.
    pub now: Timestamp,
    /// The name of this installation, shown beside the logo.
    pub instance: String,
    /// How many Promotions wait for this person.
    pub approvals_waiting: u32,
    /// The event stream of this page; `None` for a page that never changes.
    pub live: Option<String>,
    /// The outcome of the form that led here.
    pub notice: Option<Notice>,
}

/// The person who looks at the page.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The login.
    pub login: String,
    /// Whether the pages for admins are theirs.
    pub admin: bool,
}

/// What a form did, said once at the top of the next page.
#[derive(Debug, Clone)]
pub struct Notice {
    /// How it went.
    pub tone: Tone,
    /// In words.
    pub text: String,
}

/// What a colour means. Never the only carrier of a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing to see.
    Calm,
    /// Waits for something.
    Waiting,
    /// Moves right now.
    Live,
    /// Ended well.
    Good,
    /// Needs a look.
    Warn,
    /// Ended badly.
    Bad,
}

/// The state of anything, as the page shows it: a word, an icon and a tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Accepted, not begun.
    Queued,
    /// Waits for a condition that is named beside it.
    Waiting,
    /// Goes on right now.
    Running,
    /// Ended well.
    Passed,
    /// Ended badly.
    Failed,
    /// Ended by a person or by a newer one.
    Cancelled,
    /// Not needed, with a reason.
    Skipped,
    /// Its agent went away.
    Lost,
    /// The file cannot be read.
    Invalid,
    /// Stopped by a person until `resume`.
    Held,
    /// Serves well.
    Healthy,
    /// Serves badly.
    Unhealthy,
    /// Cannot be told.
    Unknown,
    /// Traffic went back.
    RolledBack,
    /// A newer one took its place.
    Superseded,
    /// Barred after a rollback.
    Quarantined,
    /// Refused by a person.
    Rejected,
    /// Its time ran out.
    Expired,
    /// Nothing runs there yet.
    Empty,
    /// Comes up.
    Starting,
    /// Goes down.
    Stopping,
    /// Is down.
    Stopped,
    /// A Gate that lets through.
    Open,
}

impl State {
    /// The word shown.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Lost => "lost",
            Self::Invalid => "invalid",
            Self::Held => "held",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
            Self::RolledBack => "rolled back",
            Self::Superseded => "superseded",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Empty => "empty",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Open => "open",
        }
    }

    /// The tone shown.
    #[must_use]
    pub const fn tone(self) -> Tone {
        match self {
            Self::Passed | Self::Healthy | Self::Open => Tone::Good,
            Self::Failed | Self::Invalid | Self::Unhealthy | Self::RolledBack | Self::Rejected => Tone::Bad,
            Self::Lost | Self::Held | Self::Unknown | Self::Quarantined | Self::Expired => Tone::Warn,
            Self::Running | Self::Starting | Self::Stopping => Tone::Live,
            Self::Queued | Self::Waiting => Tone::Waiting,
            Self::Cancelled | Self::Skipped | Self::Superseded | Self::Empty | Self::Stopped => Tone::Calm,
        }
    }
}

/// A commit.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The full hash.
    pub sha: String,
    /// The first line of its message.
    pub subject: String,
    /// Its author's name.
    pub author: String,
}

/// A Revision by name.
#[derive(Debug, Clone)]
pub struct RevisionName {
    /// The Release's version.
    pub version: String,
    /// The Revision's digest.
    pub digest: String,
    /// Which ConfigRevision, for people: `config 3`.
    pub config: Option<String>,
}

/// What kind of condition a Gate is; it chooses the icon's caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateKind {
    /// People agree.
    Approval,
    /// A time of the week.
    Window,
    /// A closed season.
    Freeze,
    /// Time spent well elsewhere.
    Soak,
    /// Something is known of the Artifacts.
    Evidence,
    /// A measurement.
    Metric,
    /// Another system agrees.
    Webhook,
    /// An expression is true.
    Expression,
    /// Somebody lifts it.
    Hold,
    /// A time has passed.
    Delay,
    /// Another Environment is far enough.
    Upstream,
    /// A time at which what waits goes.
    Schedule,
}

impl GateKind {
    /// The word shown.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Window => "window",
            Self::Freeze => "freeze",
            Self::Soak => "soak",
            Self::Evidence => "evidence",
            Self::Metric => "metric",
            Self::Webhook => "webhook",
            Self::Expression => "expression",
            Self::Hold => "hold",
            Self::Delay => "delay",
            Self::Upstream => "upstream",
            Self::Schedule => "schedule",
        }
    }
}

/// A Gate before a Rollout.
#[derive(Debug, Clone)]
pub struct GateView {
    /// What kind.
    pub kind: GateKind,
    /// What it asks: `2 approvals from release-manager`.
    pub title: String,
    /// Open, waiting, or why it will never open.
    pub state: State,
    /// What it waits for, or why it is open, in words.
    pub reason: String,
    /// When it is expected to open, where that is known.
    pub opens_at: Option<Timestamp>,
}

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// Agrees to a Promotion.
    Approve,
    /// Refuses a Promotion.
    Reject,
    /// Opens a Gate that waits for a hand.
    Lift,
    /// Keeps things where they are.
    Hold,
    /// Ends a hold.
    Resume,
    /// Sends traffic back.
    RollBack,
    /// Starts a Promotion.
    Promote,
    /// Ends a Run.
    Cancel,
    /// Lets a Run of a fork go on.
    Allow,
    /// Runs again.
    Rerun,
    /// Ends a quarantine.
    Release,
    /// Takes trust away.
    Revoke,
    /// Gives it back.
    Unrevoke,
    /// Forgets something.
    Remove,
    /// Opens an incident.
    Open,
    /// Closes an incident.
    Close,
}

impl ActionKind {
    /// The last part of the path that the form is sent to.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Lift => "lift",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::RollBack => "rollback",
            Self::Promote => "promote",
            Self::Cancel => "cancel",
            Self::Allow => "allow",
            Self::Rerun => "rerun",
            Self::Release => "release",
            Self::Revoke => "revoke",
            Self::Unrevoke => "unrevoke",
            Self::Remove => "remove",
            Self::Open => "open",
            Self::Close => "close",
        }
    }
}

/// A button that opens a dialog which says what will happen and takes a comment.
#[derive(Debug, Clone)]
pub struct Action {
    /// What it does.
    pub kind: ActionKind,
    /// What the button says: `Roll back`, `Rerun failed jobs`.
    pub label: String,
    /// Where the form goes; see [`crate::routes`].
    pub url: String,
    /// Exactly what will happen.
    pub consequence: String,
    /// Fields sent besides `csrf` and `comment`.
    pub fields: Vec<(String, String)>,
    /// Why this person cannot do it now; the button is then shown disabled, with the reason.
    pub refused: Option<String>,
}

impl Action {
    /// An action on what lives at `page`, with nothing in its way.
    #[must_use]
    pub fn on(
        page: &str,
        kind: ActionKind,
        label: impl Into<String>,
        consequence: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            label: label.into(),
            url: crate::routes::act(page, kind),
            consequence: consequence.into(),
            fields: Vec::new(),
            refused: None,
        }
    }

    /// Sends one more field.
    #[must_use]
    pub fn sending(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.fields.push((name.to_owned(), value.to_string()));
        self
    }

    /// Shows it disabled where there is a reason.
    #[must_use]
    pub fn unless(self, refused: Option<String>) -> Self {
        Self { refused, ..self }
    }
}

/// A Run in a list.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// Its number within the Project.
    pub number: u64,
    /// The server that made it, if that was another one; `number` is then the one that it has among such.
    pub imported: Option<String>,
    /// How it is.
    pub state: State,
    /// Why, if there is something to say.
    pub reason: Option<String>,
    /// What it runs at.
    pub commit: Commit,
    /// The branch or tag, short.
    pub reference: String,
    /// `push`, `tag`, `cron`, `manual`, `rerun of #3`.
    pub trigger: String,
    /// When it came.
    pub created: Timestamp,
    /// When its first Job started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// One stage of a Project's route.
#[derive(Debug, Clone)]
pub struct RouteStage {
    /// Its name.
    pub name: String,
    /// Whether the lock before it is shut for the Promotion that waits there; `None` if nothing waits.
    pub lock: Option<Lock>,
    /// Its Environments.
    pub environments: Vec<EnvironmentCard>,
}

/// The Gates before a stage, as one lock on the canal.
#[derive(Debug, Clone)]
pub struct Lock {
    /// Open or waiting.
    pub state: State,
    /// What it waits for, in words.
    pub reason: String,
}

/// An Environment at a glance.
#[derive(Debug, Clone)]
pub struct EnvironmentCard {
    /// Its name.
    pub name: String,
    /// Whether it serves well.
    pub health: State,
    /// What it runs, `None` before the first deployment.
    pub current: Option<Current>,
    /// The Rollout in progress.
    pub rollout: Option<RolloutSummary>,
    /// Promotions that wait, each with its reason.
    pub waiting: Vec<WaitingPromotion>,
    /// Why automatic promotion is held.
    pub hold: Option<String>,
    /// Where users reach it.
    pub url: Option<String>,
}

/// What an Environment runs.
#[derive(Debug, Clone)]
pub struct Current {
    /// Which Revision.
    pub revision: RevisionName,
    /// Since when.
    pub since: Timestamp,
    /// Instances that are ready.
    pub ready: u32,
    /// Instances that shall run.
    pub desired: u32,
}

/// A Rollout in one line.
#[derive(Debug, Clone)]
pub struct RolloutSummary {
    /// Its Promotion.
    pub promotion: String,
    /// The candidate's version.
    pub version: String,
    /// How it is.
    pub state: State,
    /// The candidate's share of the traffic, in thousandths.
    pub weight: u32,
    /// `step 2 of 4`, `bootstrap`, `verifying`.
    pub phase: String,
}

/// A Promotion that waits before its Gates.
#[derive(Debug, Clone)]
pub struct WaitingPromotion {
    /// Its id.
    pub promotion: String,
    /// Its version.
    pub version: String,
    /// What it waits for, in words.
    pub reason: String,
}

/// Stored bytes with a name.
#[derive(Debug, Clone)]
pub struct ArtifactRow {
    /// The name in the pipeline file.
    pub name: String,
    /// The digest of its OCI manifest.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
    /// What it is: `files`, `container image`.
    pub kind: String,
}
