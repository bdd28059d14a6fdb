//! Agents that are containers of an engine on the server's host.

use std::path::Path;
use std::sync::Arc;

use towpath_agent::container::{AgentContainer, AgentContainers};
use towpath_model::container::Image;

use super::driver::DriverError;
use super::options::{DockerFile, PoolOptions};

pub(super) struct Containers(Arc<AgentContainers>);

impl Containers {
    pub(super) fn new(data: &Path, options: &PoolOptions, file: &DockerFile) -> Self {
        let mut arguments = vec![format!("--capacity={}", options.capacity)];
        arguments.extend(options.one_job.then(|| "--one-job".to_owned()));
        arguments.extend(file.unsandboxed.then(|| "--allow-unsandboxed".to_owned()));
        let container = AgentContainer {
            // Two servers on one host may have pools of the same name.
            pool: format!("{} {}", data.display(), options.name),
            image: Image { name: file.image.clone(), pull: file.pull, user: None, credentials: None },
            network: file.network.clone(),
            // Checked when the file was read.
            limits: file.limits().unwrap_or_default(),
            program: file.program.clone(),
            arguments,
        };
        Self(Arc::new(AgentContainers::new(container, file.socket.clone())))
    }

    pub(super) async fn list(&self) -> Result<Vec<String>, DriverError> {
        let containers = Arc::clone(&self.0);
        Ok(tokio::task::spawn_blocking(move || containers.list()).await??)
    }

    pub(super) async fn start(&self, member: &str, token: &str) -> Result<(), DriverError> {
        let (containers, member, token) = (Arc::clone(&self.0), member.to_owned(), token.to_owned());
        Ok(tokio::task::spawn_blocking(move || containers.start(&member, &token)).await??)
    }

    pub(super) async fn stop(&self, member: &str) -> Result<(), DriverError> {
        let (containers, member) = (Arc::clone(&self.0), member.to_owned());
        Ok(tokio::task::spawn_blocking(move || containers.stop(&member)).await??)
    }
}
