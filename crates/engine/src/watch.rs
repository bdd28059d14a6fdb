//! Looks at Environments when their time has come.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use towpath_model::EnvironmentKey;
use towpath_model::environment::EnvironmentEvent;
use towpath_store::core::{environments, measurements, policy_changes};

use crate::error::chain;
use crate::{Engine, EngineError};

/// Measurements are kept this long; pages and totals show no more.
const KEEP_MEASUREMENTS: SignedDuration = SignedDuration::from_hours(24 * 7);

/// The longest sleep, so that a clock that jumps is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

impl Engine {
    /// Looks at an Environment: time has passed, or the facts have changed.
    pub(crate) async fn look_at(&self, key: &EnvironmentKey) -> Result<(), EngineError> {
        let mut unit = self.begin().await?;
        unit.environment_event(key, EnvironmentEvent::Looked).await?;
        unit.commit().await
    }

    pub(crate) async fn watch_clock(&self) {
        let mut forgotten_at = Timestamp::UNIX_EPOCH;
        loop {
            let sleep = match self.look_at_due(&mut forgotten_at).await {
                Ok(sleep) => sleep,
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "the clock's work failed; it is tried again in a second"
                    );
                    Duration::from_secs(1)
                }
            };
            // A unit that sets an earlier wake-up notifies; a permit that is left from before only looks once too often.
            let _ = tokio::time::timeout(sleep, self.signals().clock.notified()).await;
        }
    }

    async fn look_at_due(&self, forgotten_at: &mut Timestamp) -> Result<Duration, EngineError> {
        let now = self.now();
        let mut reader = self.db().reader().await?;
        let due = environments::due(&mut reader, now).await?;
        drop(reader);
        let mut failed = None;
        for key in due {
            // One that cannot be looked at keeps no other one waiting.
            failed = self.look_at(&key).await.err().or(failed);
        }
        if let Some(error) = self.expire_policy_changes().await.err().or(failed) {
            return Err(error);
        }
        if now.duration_since(*forgotten_at) > SignedDuration::from_hours(1) {
            let mut unit = self.begin().await?;
            measurements::forget(&mut unit.tx, now.saturating_sub(KEEP_MEASUREMENTS).unwrap_or(now)).await?;
            unit.commit().await?;
            self.forget_deliveries(now).await?;
            *forgotten_at = now;
        }
        let mut reader = self.db().reader().await?;
        let next = environments::next_wakeup(&mut reader).await?;
        let next = next.into_iter().chain(policy_changes::next_expiry(&mut reader).await?).min();
        let until = next
            .map_or(LONGEST_SLEEP, |at| at.duration_since(self.now()).try_into().unwrap_or(Duration::ZERO));
        Ok(until.clamp(Duration::from_millis(5), LONGEST_SLEEP))
    }
}
