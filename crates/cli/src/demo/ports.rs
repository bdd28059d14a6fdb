//! Where the Environments listen, and their documents.

use std::net::TcpListener;

use anyhow::Context as _;

/// Free loopback ports for dev, staging and production.
pub(super) struct Ports {
    dev: u16,
    staging: u16,
    production: u16,
}

impl Ports {
    /// Finds ports that nobody listens on.
    pub(super) fn find() -> anyhow::Result<Self> {
        let bind = || TcpListener::bind("127.0.0.1:0").context("failed to find a free port");
        // Held together, so that they differ.
        let held = [bind()?, bind()?, bind()?];
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        Ok(Self { dev: port(&held[0])?, staging: port(&held[1])?, production: port(&held[2])? })
    }

    /// Where production serves.
    pub(super) fn production(&self) -> String {
        format!("http://127.0.0.1:{}", self.production)
    }

    /// The documents of all three.
    pub(super) fn documents(&self, greeting: &str) -> String {
        let Self { dev, staging, production: _ } = self;
        let production = self.production_document(greeting);
        format!(
            "environment: dev\nproject: shop\nlisten: 127.0.0.1:{dev}\ntarget: {{ instances: 1 }}\n\
             values: {{ LOG_LEVEL: debug }}\n---\n\
             environment: staging\nproject: shop\nlisten: 127.0.0.1:{staging}\ntarget: {{ instances: 1 }}\n\
             ---\n{production}"
        )
    }

    /// The document of production.
    pub(super) fn production_document(&self, greeting: &str) -> String {
        let production = self.production;
        format!(
            "environment: production\nproject: shop\nlisten: 127.0.0.1:{production}\n\
             target: {{ instances: 2 }}\n\
             gates:\n  - approval: {{ by: [release-manager], count: 1, self_approval: deny }}\n\
             values: {{ GREETING: {greeting} }}\n"
        )
    }
}
