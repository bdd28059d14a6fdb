//! Leases of agents that went silent.

use std::time::Duration;

use towpath_model::lease;
use towpath_store::core::attempts;

use crate::error::chain;
use crate::{Engine, EngineError};

impl Engine {
    pub(crate) async fn watch_leases(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            if let Err(error) = self.take_back_leases().await {
                tracing::error!(
                    error = chain(&error),
                    "leases could not be looked at; they are looked at again in a second"
                );
            }
        }
    }

    async fn take_back_leases(&self) -> Result<(), EngineError> {
        let now = self.now();
        let mut reader = self.db().reader().await?;
        let leased = attempts::leased(&mut reader).await?;
        drop(reader);
        for attempt in leased {
            let Some(agent) = attempt.agent else { continue };
            let silent = now.duration_since(self.0.live.last_heard(agent));
            if !lease::may_take_back(silent) {
                continue;
            }
            let mut unit = self.begin().await?;
            let why = format!("its agent was not heard of for {} s", silent.as_secs());
            unit.lose(&attempt, &why).await?;
            unit.commit().await?;
            self.seal_lost(attempt.id).await;
        }
        Ok(())
    }
}
