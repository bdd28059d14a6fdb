//! Gates that look further than people, the clock and the reports of a Run; and every Gate in words: one sentence per kind,
//! which plan, push, page and timeline share.
//!
//! Each has a deadline, counted from when it was first asked for, after which its Promotion ends. Whether one is open, and
//! what it waits for at a given moment, is left to [`environment`](crate::environment).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::calendar::{self, CalendarError};
use crate::environment::human;
use crate::pattern::fits;
use crate::pipeline::{Condition, Gate, SecretName};
use crate::{EnvironmentName, ProjectName};

/// How long a Gate may stay shut unless it says otherwise.
pub const PATIENCE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long a soak or Evidence may be missing unless the Gate says otherwise.
pub const LONG_PATIENCE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Another system says yes, by any answer of 200 to 299.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookGate {
    /// Where the question goes, by POST.
    pub url: String,
    /// The secret that signs the question.
    pub secret: Option<SecretName>,
    /// The longest pause between two questions.
    pub every: SignedDuration,
    /// How long it may stay shut.
    pub expires: SignedDuration,
}

/// What Prometheus answers to a query is within bounds. No answer, no series and `NaN` are never within them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricGate {
    /// The address of its API, without `/api/v1`.
    pub prometheus: String,
    /// The query. Of several series each has to be within the bounds.
    pub query: String,
    /// The least value, itself included.
    pub min: Option<f64>,
    /// The greatest value, itself included.
    pub max: Option<f64>,
    /// The secret that is sent as bearer token.
    pub token: Option<SecretName>,
    /// The pause between two questions. An answer counts for twice as long.
    pub every: SignedDuration,
    /// How long it may stay shut.
    pub expires: SignedDuration,
}

/// An expression over Release, Environment, Evidence, change and who asked for it is true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpressionGate {
    /// It.
    pub holds: Condition,
    /// What it is for, for people.
    pub reason: String,
    /// How long it may stay shut.
    pub expires: SignedDuration,
}

/// Shut until somebody lifts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldGate {
    /// What it is called where it is lifted.
    pub name: String,
    /// Who may: roles, groups or `@login`.
    pub by: Vec<String>,
    /// Why it is there, for people.
    pub reason: String,
    /// How long it may stay shut.
    pub expires: SignedDuration,
}

/// Opens by itself, a time after the Promotion was asked for or at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelayGate {
    /// After this time.
    pub duration: Option<SignedDuration>,
    /// At this date, or date and time, in `timezone`.
    pub until: Option<String>,
    /// An IANA time zone.
    pub timezone: String,
}

impl DelayGate {
    /// When it opens for a Promotion that was asked for at a moment.
    ///
    /// # Errors
    /// When the moment cannot be read.
    pub fn opens_at(&self, asked_at: Timestamp) -> Result<Timestamp, CalendarError> {
        let after = asked_at.saturating_add(self.duration.unwrap_or_default()).unwrap_or(Timestamp::MAX);
        match &self.until {
            Some(until) => Ok(calendar::moment(until, &self.timezone)?.max(after)),
            None => Ok(after),
        }
    }
}

/// Another Environment is far enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamGate {
    /// Its Project, where that is another one.
    pub project: Option<ProjectName>,
    /// It.
    pub environment: EnvironmentName,
    /// It runs this version or a later one.
    pub at_least: Option<String>,
    /// It runs the same commit.
    pub same_commit: bool,
    /// How long it may stay shut.
    pub expires: SignedDuration,
}

/// When an approval is needed at all: where any of these holds of the change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct When {
    /// It touches a path that fits one of these patterns.
    pub paths: Vec<String>,
    /// It brings a database migration.
    pub migrations: bool,
    /// It touches more files than this.
    pub more_files_than: Option<u64>,
    /// It adds and removes more lines than this.
    pub more_lines_than: Option<u64>,
}

/// What differs between the commit that runs in an Environment and the one that is on its way there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changed {
    /// Paths that differ; of very many only the first.
    pub paths: Vec<String>,
    /// How many differ.
    pub files: u64,
    /// Lines added and removed, those of binary files aside.
    pub lines: u64,
}

/// How many paths of a change are kept.
pub const MAX_PATHS: usize = 2_000;

impl Changed {
    /// Whether a path brings a migration: it lies in a directory that is called so, or is called as Flyway calls them.
    #[must_use]
    pub fn migrations(&self) -> Option<&str> {
        let migration = |path: &&String| {
            let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
            let there =
                directory.split('/').any(|part| matches!(part, "migrations" | "migrate" | "migration"));
            let flyway = file.ends_with(".sql") && file.starts_with(['V', 'U', 'R']) && file.contains("__");
            there || flyway
        };
        self.paths.iter().find(migration).map(String::as_str)
    }

    /// Whether not all paths are known.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.files > self.paths.len() as u64
    }
}

impl When {
    /// Why an approval is needed for a change, or why none is.
    ///
    /// # Errors
    /// Says in words that none of the conditions holds.
    pub fn holds(&self, change: &Changed) -> Result<String, String> {
        if change.is_cut() && (self.migrations || !self.paths.is_empty()) {
            return Ok(format!("the change touches {} files, too many to look at each", change.files));
        }
        if let Some(path) =
            change.paths.iter().find(|path| self.paths.iter().any(|pattern| fits(pattern, path)))
        {
            return Ok(format!("the change touches `{path}`"));
        }
        if let Some(path) = change.migrations().filter(|_| self.migrations) {
            return Ok(format!("the change brings the migration `{path}`"));
        }
        if self.more_files_than.is_some_and(|most| change.files > most) {
            return Ok(format!("the change touches {} files", change.files));
        }
        if self.more_lines_than.is_some_and(|most| change.lines > most) {
            return Ok(format!("the change is {} lines long", change.lines));
        }
        Err(format!(
            "not needed: {} files and {} lines change, and it is needed for {}",
            change.files,
            change.lines,
            self.words()
        ))
    }

    /// What it is needed for, in a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let mut parts = Vec::new();
        if !self.paths.is_empty() {
            parts.push(format!("changes of `{}`", self.paths.join("`, `")));
        }
        if self.migrations {
            parts.push("migrations".to_owned());
        }
        parts.extend(self.more_files_than.map(|most| format!("more than {most} files")));
        parts.extend(self.more_lines_than.map(|most| format!("more than {most} lines")));
        parts.join(" or ")
    }
}

impl Gate {
    /// Its kind, as the documents write it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Approval(_) => "approval",
            Self::Window(_) => "window",
            Self::Freeze(_) => "freeze",
            Self::Soak(_) => "soak",
            Self::Evidence(_) => "evidence",
            Self::Webhook(_) => "webhook",
            Self::Metric(_) => "metric",
            Self::Expression(_) => "expression",
            Self::Hold(_) => "hold",
            Self::Delay(_) => "delay",
            Self::Upstream(_) => "upstream",
            Self::Schedule(_) => "schedule",
        }
    }

    /// What it demands, to follow "waits for": `1 approval from release-manager`. The same for equal Gates.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Approval(gate) => {
                let noun = if gate.count == 1 { "approval" } else { "approvals" };
                let when =
                    gate.when.as_ref().map(|when| format!(" for {}", when.words())).unwrap_or_default();
                format!("{} {noun} from {}{when}", gate.count, gate.by.join(" or "))
            }
            Self::Window(gate) => format!("the window {} {} {}", gate.days, gate.hours, gate.timezone),
            Self::Freeze(gate) => {
                let why = if gate.reason.is_empty() { String::new() } else { format!(" ({})", gate.reason) };
                format!("a time outside the freeze of {} to {} {}{why}", gate.from, gate.until, gate.timezone)
            }
            Self::Soak(gate) => format!("a soak of {} in {}", human(gate.duration), gate.environment),
            Self::Evidence(gate) => format!("evidence: {}", gate.words()),
            Self::Webhook(gate) => gate.words(),
            Self::Metric(gate) => gate.words(),
            Self::Expression(gate) => gate.words(),
            Self::Hold(gate) => gate.words(),
            Self::Delay(gate) => gate.words(),
            Self::Upstream(gate) => gate.words(),
            Self::Schedule(cron) => format!("the next time of {cron}"),
        }
    }
}

impl WebhookGate {
    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("a yes of {}", place(&self.url))
    }
}

impl MetricGate {
    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("`{}` {}", self.query, self.bounds())
    }

    /// The bounds in words: `at most 0.01`.
    #[must_use]
    pub fn bounds(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => "any number".to_owned(),
        }
    }

    /// Whether a value is within the bounds. What is no number never is.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        value.is_finite()
            && self.min.is_none_or(|min| value >= min)
            && self.max.is_none_or(|max| value <= max)
    }
}

impl ExpressionGate {
    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("`{}`", self.holds.0)
    }
}

impl HoldGate {
    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        format!("the hold `{}`, lifted by {}", self.name, self.by.join(" or "))
    }
}

impl DelayGate {
    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let after = self.duration.map(|time| format!("{time:#} after it was asked for"));
        let at = self.until.as_ref().map(|until| format!("{until} {}", self.timezone));
        after.into_iter().chain(at).collect::<Vec<_>>().join(", and ")
    }
}

impl UpstreamGate {
    /// Where it looks, for people: `payments/production`, or `staging` of the same Project.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.project {
            Some(project) => format!("{project}/{}", self.environment),
            None => self.environment.to_string(),
        }
    }

    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let place = self.place();
        let version = self.at_least.as_ref().map(|version| format!("{version} or later in {place}"));
        let commit = self.same_commit.then(|| format!("the same commit in {place}"));
        match version.into_iter().chain(commit).collect::<Vec<_>>() {
            none if none.is_empty() => format!("success in {place}"),
            parts => parts.join(", and "),
        }
    }
}

/// Scheme and host of an address, for people: what stands behind may hold a token.
#[must_use]
pub fn place(url: &str) -> &str {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |at| begin + at);
    &url[..end]
}

/// Whether a version is as new as another: numbers by their value, a pre-release before its release.
#[must_use]
pub fn is_at_least(version: &str, least: &str) -> bool {
    compare(version, least).is_ge()
}

fn compare(left: &str, right: &str) -> std::cmp::Ordering {
    let ((left, left_pre), (right, right_pre)) = (split(left), split(right));
    left.cmp(&right).then_with(|| match (left_pre, right_pre) {
        (None, None) => std::cmp::Ordering::Equal,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (Some(_), None) => std::cmp::Ordering::Less,
        (Some(left), Some(right)) => left.cmp(&right),
    })
}

/// The numbers of a version, and what its pre-release is made of.
fn split(version: &str) -> (Vec<Part<'_>>, Option<Vec<Part<'_>>>) {
    let version = version.strip_prefix('v').unwrap_or(version);
    let (core, pre) = version.split_once('-').map_or((version, None), |(core, pre)| (core, Some(pre)));
    (core.split('.').map(part).collect(), pre.map(|pre| pre.split('.').map(part).collect()))
}

/// A part of a version: numbers come before words, as SemVer has it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'v> {
    Number(u64),
    Word(&'v str),
}

fn part(text: &str) -> Part<'_> {
    text.parse().map_or(Part::Word(text), Part::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(paths: &[&str], lines: u64) -> Changed {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        Changed { files: paths.len() as u64, paths, lines }
    }

    #[test]
    fn an_approval_is_needed_for_what_it_names_and_for_nothing_else() {
        let when = When {
            paths: vec!["infra/**".to_owned()],
            migrations: true,
            more_files_than: Some(2),
            more_lines_than: Some(100),
        };
        let said = |change: &Changed| when.holds(change).unwrap_or_else(|why| why);
        assert_eq!(said(&change(&["infra/dns.tf"], 1)), "the change touches `infra/dns.tf`");
        assert_eq!(
            said(&change(&["db/migrations/7_up.sql"], 1)),
            "the change brings the migration `db/migrations/7_up.sql`"
        );
        assert_eq!(
            said(&change(&["sql/V7__add.sql"], 1)),
            "the change brings the migration `sql/V7__add.sql`"
        );
        assert_eq!(said(&change(&["a", "b", "c"], 1)), "the change touches 3 files");
        assert_eq!(said(&change(&["a"], 101)), "the change is 101 lines long");
        let small = when.holds(&change(&["a", "b"], 100));
        assert!(
            small.as_ref().is_err_and(|why| why.contains("needed for changes of `infra/**` or migrations")),
            "{small:?}"
        );
    }

    #[test]
    fn a_change_that_is_too_large_to_read_needs_the_approval() {
        let when = When { paths: vec!["infra/**".to_owned()], ..When::default() };
        let cut = Changed { paths: vec!["a".to_owned()], files: 9_000, lines: 1 };
        assert!(when.holds(&cut).is_ok());
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (version, least, reaches) in [
            ("1.10.0", "1.9.0", true),
            ("1.9.0", "1.10.0", false),
            ("1.4.0", "1.4.0", true),
            ("v1.4.0", "1.4.0", true),
            ("1.4.0-3.gabc", "1.4.0", false),
            ("1.4.0", "1.4.0-3.gabc", true),
            ("1.4.0-12.gabc", "1.4.0-3.gdef", true),
            ("1.4", "1.4.0", false),
        ] {
            assert_eq!(is_at_least(version, least), reaches, "{version} {least}");
        }
    }

    #[test]
    fn what_is_no_number_is_never_within_bounds() {
        let gate = MetricGate {
            prometheus: "http://p".to_owned(),
            query: "up".to_owned(),
            min: None,
            max: Some(0.5),
            token: None,
            every: SignedDuration::from_mins(1),
            expires: PATIENCE,
        };
        assert!(gate.holds(0.5) && gate.holds(-1.0));
        assert!(!gate.holds(0.6) && !gate.holds(f64::NAN) && !gate.holds(f64::NEG_INFINITY));
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        assert_eq!(place("https://hooks.example.com/T0/abc?key=1"), "https://hooks.example.com");
        assert_eq!(place("https://hooks.example.com"), "https://hooks.example.com");
    }
}
