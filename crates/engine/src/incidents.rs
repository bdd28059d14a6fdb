//! Incidents that people open and close.

use jiff::{SignedDuration, Timestamp};
use towpath_model::environment::Outcome;
use towpath_model::incident::Reported;
use towpath_model::timeline::Entry;
use towpath_model::{EnvironmentKey, ProjectName};
use towpath_store::core::{incidents, promotions, releases};

use crate::unit::Unit;
use crate::{Engine, EngineError, Person};

/// How far back an incident may be said to have begun or ended.
const FURTHEST: SignedDuration = SignedDuration::from_hours(24 * 90);

/// How many Promotions are searched for what ran at a moment.
const SEARCHED: u32 = 1_000;

/// The most characters that are kept of what people say.
const LONGEST: usize = 2_000;

/// What somebody reports.
#[derive(Debug, Clone)]
pub struct NewIncident {
    /// Where.
    pub environment: EnvironmentKey,
    /// The version that caused it; what ran there at that time if absent.
    pub version: Option<String>,
    /// What users meet.
    pub title: String,
    /// Since when it was noticed; now if absent.
    pub opened_at: Option<Timestamp>,
}

impl Engine {
    /// Opens an incident of the version that caused it.
    ///
    /// # Errors
    /// When there is no such Environment or Release, nothing is said, or the time is not a recent one.
    pub async fn open_incident(&self, new: NewIncident, person: &Person) -> Result<Reported, EngineError> {
        let NewIncident { environment: key, version, title, opened_at } = new;
        let title = said(&title);
        if title.is_empty() {
            return Err(EngineError::invalid("say what users meet: an incident needs a title"));
        }
        let mut unit = self.begin().await?;
        let opened_at = recent(opened_at, unit.now)?;
        unit.environment(&key).await?;
        let version = match version {
            Some(version) => {
                let known = releases::by_version(&mut unit.tx, &key.project, &version).await?;
                known
                    .ok_or_else(|| EngineError::not_found(format!("release {version} of {}", key.project)))?;
                Some(version)
            }
            None => unit.ran_at(&key, opened_at).await?,
        };
        let incident = Reported {
            number: incidents::next_number(&mut unit.tx, &key.project).await?,
            environment: key.environment.clone(),
            version,
            title,
            opened_by: person.login.clone(),
            opened_at,
            closed_by: None,
            closed_at: None,
            comment: String::new(),
        };
        let of = incident.version.as_ref().map(|version| format!(" of {version}")).unwrap_or_default();
        let text =
            format!("{} opened incident {}{of} in {key}: {}", person.login, incident.number, incident.title);
        unit.store_incident(&key, &incident, "incident-opened", text, person).await?;
        unit.commit().await?;
        Ok(incident)
    }

    /// Closes an incident.
    ///
    /// # Errors
    /// When there is none that lasts, or it would end before it began.
    pub async fn close_incident(
        &self,
        project: &ProjectName,
        number: u64,
        comment: &str,
        closed_at: Option<Timestamp>,
        person: &Person,
    ) -> Result<Reported, EngineError> {
        let mut unit = self.begin().await?;
        let found = incidents::find(&mut unit.tx, project, number).await?;
        let mut incident =
            found.ok_or_else(|| EngineError::not_found(format!("incident {number} of {project}")))?;
        if let Some(closed_at) = incident.closed_at {
            let by = incident.closed_by.unwrap_or_default();
            return Err(EngineError::refused(format!(
                "{by} closed incident {number} already, as of {closed_at:.0}"
            )));
        }
        let closed_at = recent(closed_at, unit.now)?;
        if closed_at < incident.opened_at {
            let began = incident.opened_at;
            return Err(EngineError::invalid(format!(
                "incident {number} began {began:.0}; it cannot end before"
            )));
        }
        incident.closed_at = Some(closed_at);
        incident.closed_by = Some(person.login.clone());
        incident.comment = said(comment);
        let key = EnvironmentKey { project: project.clone(), environment: incident.environment.clone() };
        let words =
            if incident.comment.is_empty() { String::new() } else { format!(": {}", incident.comment) };
        let text = format!("{} closed incident {number} in {key}{words}", person.login);
        unit.store_incident(&key, &incident, "incident-closed", text, person).await?;
        unit.commit().await?;
        Ok(incident)
    }

    /// The incidents that people reported in the last days, and those that last, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incidents(&self, project: &ProjectName, days: u32) -> Result<Vec<Reported>, EngineError> {
        let span = SignedDuration::from_hours(24) * i32::try_from(days).unwrap_or(i32::MAX);
        let since = self.now().saturating_sub(span).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut found = incidents::since(&mut *self.db().reader().await?, project, since).await?;
        found.reverse();
        Ok(found)
    }
}

impl Unit<'_> {
    async fn store_incident(
        &mut self,
        key: &EnvironmentKey,
        incident: &Reported,
        kind: &str,
        text: String,
        person: &Person,
    ) -> Result<(), EngineError> {
        incidents::put(&mut self.tx, &key.project, incident).await?;
        let mut entry = Entry::new(kind, person.actor(), text).fact("incident", incident.number);
        if let Some(version) = &incident.version {
            entry = entry.fact("version", version);
        }
        let subject = format!("incident:{}/{}", key.project, incident.number);
        self.record(Some(&key.project), Some(key), &subject, entry).await
    }

    /// The version that ran in an Environment at a moment.
    async fn ran_at(&mut self, key: &EnvironmentKey, at: Timestamp) -> Result<Option<String>, EngineError> {
        let all = promotions::of_environment(&mut self.tx, key, SEARCHED).await?;
        let succeeded = all.into_iter().filter(|promotion| promotion.outcome == Some(Outcome::Succeeded));
        let before = succeeded.filter(|promotion| promotion.finished_at.is_some_and(|end| end <= at));
        Ok(before.max_by_key(|promotion| promotion.finished_at).map(|promotion| promotion.revision.version))
    }
}

fn said(text: &str) -> String {
    text.trim().chars().take(LONGEST).collect()
}

/// A moment that people name: not one to come, and none of long ago.
fn recent(at: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, EngineError> {
    let at = at.unwrap_or(now);
    if at > now {
        return Err(EngineError::invalid(format!("{at:.0} is still to come; now it is {now:.0}")));
    }
    if now.duration_since(at) > FURTHEST {
        return Err(EngineError::invalid(format!("{at:.0} is more than 90 days ago")));
    }
    Ok(at)
}
