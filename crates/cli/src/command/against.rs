//! `towpath plan --against-history`: what the pipeline file would have done for events of the past.

use towpath_api::rest::PastEvent;
use towpath_config::render;
use towpath_model::history::Retold;
use towpath_model::pipeline::Pipeline;
use towpath_model::policy::EnvironmentDocument;

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// The options by which the past is found.
#[derive(Debug, clap::Args)]
pub struct AgainstArgs {
    /// What the file would have done for the last N events of the project on the server, compared with what happened.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100),
        conflicts_with_all = ["event", "reference", "changed", "trust", "format"]
    )]
    pub against_history: Option<u32>,
    /// The project on the server, where it is not named as the file says.
    #[arg(long, requires = "against_history")]
    project: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl AgainstArgs {
    /// Whether JSON is asked for.
    pub const fn json(&self) -> bool {
        self.remote.json
    }

    /// Asks the server for the past and prints what would have been otherwise.
    ///
    /// # Errors
    /// Fails where the server refuses.
    pub fn print(
        &self,
        limit: u32,
        pipeline: &Pipeline,
        documents: &[EnvironmentDocument],
    ) -> anyhow::Result<()> {
        let project = self.project.as_deref().unwrap_or(pipeline.name.as_str());
        let path = format!("/api/v1/projects/{}/history?limit={limit}", part(project));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let events: Vec<PastEvent> =
            runtime.block_on(async { Client::new(&self.remote)?.get(&path).await })?;
        let retell = |PastEvent(event)| towpath_config::retell(pipeline, event, documents);
        let retold: Vec<Retold> = events.into_iter().map(retell).collect();
        if self.remote.json {
            return output::json(&retold);
        }
        anstream::print!("{}", render::history(project, &retold));
        Ok(())
    }
}
