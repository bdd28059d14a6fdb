//! A server in a scratch directory, its people, and clients.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use towpath_server::git::GitLimits;
use towpath_server::{LocalAccess, Overrides, ServeOptions, Server};

/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A running server.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) url: String,
    pub(crate) setup: Option<String>,
    pub(crate) http: reqwest::Client,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl World {
    /// Starts a server without any user.
    pub(crate) async fn empty() -> Self {
        Self::start(tempfile::tempdir().unwrap(), GitLimits::default()).await
    }

    /// Starts a server on a directory that may hold an earlier one's state.
    pub(crate) async fn start(dir: tempfile::TempDir, git: GitLimits) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let given = Overrides {
            data_dir: Some(dir.path().join("data")),
            listen: "127.0.0.1:0".parse().ok(),
            ..Overrides::default()
        };
        Self::with(dir, ServeOptions { git, ..ServeOptions::resolve(given).unwrap() }).await
    }

    /// Starts a server with these options on a directory.
    async fn with(dir: tempfile::TempDir, options: ServeOptions) -> Self {
        let server = Server::start(options, Timestamp::now).await.unwrap();
        let url = format!("http://{}", server.address());
        let setup = server.setup_link().map(ToString::to_string);
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self { dir, url, setup, http, stop, task: Some(task) }
    }

    /// Starts a server that shows its metrics to its own host.
    pub(crate) async fn with_open_metrics() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.yaml");
        std::fs::write(&file, "open_metrics: true\n").unwrap();
        let given = Overrides {
            config: Some(file),
            data_dir: Some(dir.path().join("data")),
            listen: "127.0.0.1:0".parse().ok(),
            ..Overrides::default()
        };
        Self::with(dir, ServeOptions::resolve(given).unwrap()).await
    }

    /// Starts a server with the project `shop`, an admin `root`, a release manager `rhea`, a developer `dora` and a viewer `vic`.
    pub(crate) async fn peopled(git: GitLimits) -> Self {
        let world = Self::start(tempfile::tempdir().unwrap(), git).await;
        world.post("/api/v1/projects", json!({"name": "shop"}), 201).await;
        world.post("/api/v1/projects", json!({"name": "vault"}), 201).await;
        for (login, role, project) in [
            ("root", "admin", None),
            ("rhea", "release-manager", Some("shop")),
            ("dora", "developer", Some("shop")),
            ("vic", "viewer", Some("shop")),
        ] {
            let user = json!({
                "login": login, "password": PASSWORD, "roles": [{"role": role, "project": project}],
            });
            world.post("/api/v1/users", user, 201).await;
        }
        world
    }

    /// The server's own token.
    pub(crate) fn local(&self) -> String {
        LocalAccess::read(&self.dir.path().join("data")).unwrap().token
    }

    /// Posts as the server's own user.
    pub(crate) async fn post(&self, path: &str, body: Value, expected: u16) -> Value {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(self.local()).json(&body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert_eq!(status, expected, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Sends a request as somebody and gives status and body.
    pub(crate) async fn call(&self, login: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let response = request.basic_auth(login, Some(PASSWORD)).json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    /// Gets as the server's own user.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(self.local());
        request.send().await.unwrap().json().await.unwrap()
    }

    /// The address of a repository, with a login in it.
    pub(crate) fn remote(&self, login: &str, password: &str, project: &str) -> String {
        let password = password.replace(' ', "%20");
        format!("http://{login}:{password}@{}/git/{project}.git", self.url.trim_start_matches("http://"))
    }

    /// Runs git, off the runtime's threads.
    pub(crate) async fn git(&self, directory: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new("git");
        command
            .current_dir(directory)
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// A work tree with one commit of one file.
    pub(crate) async fn work_tree(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        assert!(self.git(&path, &["init", "-q", "-b", "main"]).await.status.success());
        std::fs::write(path.join("file"), content).unwrap();
        assert!(self.git(&path, &["add", "."]).await.status.success());
        assert!(self.git(&path, &["commit", "-q", "-m", "one"]).await.status.success());
        path
    }

    /// Stops the server and gives its directory back.
    pub(crate) async fn stop(mut self) -> tempfile::TempDir {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
        self.dir
    }
}

/// What a command wrote to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
