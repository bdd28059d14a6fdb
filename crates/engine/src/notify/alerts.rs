//! Alerts of a monitoring: one that fires while a Rollout runs stops it, as the notification document says.

use std::collections::BTreeMap;

use towpath_model::ProjectName;
use towpath_model::environment::EnvironmentEvent;
use towpath_model::notify::AlertRule;

use super::key_of;
use crate::{Engine, EngineError};

/// An alert as Alertmanager sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Whether it fires; else it has ended.
    pub fires: bool,
    /// Its labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// What it says to people.
    pub summary: String,
}

/// The most alerts of one message that are looked at.
const MOST: usize = 200;

impl Engine {
    /// The secret that alerts of a Project have to carry; `None` where it takes none.
    ///
    /// # Errors
    /// When the database or the vault fails.
    pub async fn alert_secret(&self, project: &ProjectName) -> Result<Option<String>, EngineError> {
        let document = self.notifications(project).await?.map(|(document, _)| document);
        let Some(alerts) = document.and_then(|document| document.alerts) else { return Ok(None) };
        Ok(self.channel_secret(project, &alerts.secret).await?.ok())
    }

    /// Takes alerts. Says, one line each, what came of those that a rule fits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_alerts(
        &self,
        project: &ProjectName,
        alerts: &[Alert],
    ) -> Result<Vec<String>, EngineError> {
        let document = self.notifications(project).await?.map(|(document, _)| document);
        let Some(rules) = document.and_then(|document| document.alerts) else { return Ok(Vec::new()) };
        let mut lines = Vec::new();
        let firing: Vec<&Alert> = alerts.iter().filter(|alert| alert.fires).take(MOST).collect();
        for alert in firing {
            if let Some(rule) = rules.rule(&alert.labels) {
                self.alert(project, alert, rule, &mut lines).await?;
            }
        }
        Ok(lines)
    }

    async fn alert(
        &self,
        project: &ProjectName,
        alert: &Alert,
        rule: &AlertRule,
        lines: &mut Vec<String>,
    ) -> Result<(), EngineError> {
        let name = alert.labels.get("alertname").map_or("an alert", String::as_str);
        let summary = if alert.summary.is_empty() { String::new() } else { format!(": {}", alert.summary) };
        let reason: String = format!("alert {name} fires{summary}").chars().take(500).collect();
        for environment in &rule.environments {
            let key = key_of(project, environment);
            let mut unit = self.begin().await?;
            let event = EnvironmentEvent::AlertFired { reason: reason.clone(), then: rule.then };
            match unit.environment_event(&key, event).await {
                Ok(_) => {
                    unit.commit().await?;
                    lines.push(format!("{key}: {reason}"));
                }
                Err(EngineError::Refused { reason } | EngineError::NotFound { what: reason }) => {
                    lines.push(format!("{key}: {reason}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
