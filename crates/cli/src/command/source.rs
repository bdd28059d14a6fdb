//! `towpath source`: the repository elsewhere that a Project mirrors.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::SignedDuration;
use reqwest::Method;
use towpath_api::rest::{Look, NewHook, SetSource, Source};
use towpath_model::source::{Forge, ForkRuns, Statuses};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Mirrors a repository that lives elsewhere.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Shows the source with the last contact and the last error.
    Show {
        /// The project.
        project: String,
    },
    /// Makes a project a mirror, or changes how it is one; what is not given stays.
    Set {
        /// The project.
        project: String,
        /// `https://host/owner/repository`, `git@host:owner/repository` or `file:///path`.
        url: Option<String>,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Makes a new secret for the webhook and shows it once, with the address for the forge.
    Hook {
        /// The project.
        project: String,
    },
    /// Looks at the source now.
    Look {
        /// The project.
        project: String,
    },
}

/// How a source is watched.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// What stands around it: `github`, `gitlab`, `gitea` (also Forgejo) or `none`; guessed from the host.
    #[arg(long, value_parser = word::<Forge>)]
    forge: Option<Forge>,
    /// How often it is looked at: `30s`, `5m`, `1h`; `0s` leaves it to webhooks. 5 minutes if never said.
    #[arg(long, value_name = "TIME")]
    poll: Option<SignedDuration>,
    /// What is done with pull requests of forks: `approve` (the default), `run` or `never`.
    #[arg(long, value_parser = word::<ForkRuns>)]
    fork_runs: Option<ForkRuns>,
    /// What the forge is told of commits: `off`, `run` (the default), `jobs`, or `checks`: check runs with annotations on GitHub.
    #[arg(long, value_parser = word::<Statuses>)]
    statuses: Option<Statuses>,
    /// How the names of statuses begin; `towpath` if never said.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Whether a pull request gets a comment when its run ends: `true` or `false`.
    #[arg(long)]
    comments: Option<bool>,
    /// Reads a token for fetching and statuses from standard input.
    #[arg(long, conflicts_with = "ssh_key_stdin")]
    token_stdin: bool,
    /// The App ID or client ID of a GitHub App that is installed at the repository: its private key is read from standard input,
    /// and its tokens are made when they are needed.
    #[arg(long, value_name = "ID", conflicts_with_all = ["token_stdin", "ssh_key_stdin"])]
    github_app: Option<String>,
    /// Reads a private ssh key from standard input.
    #[arg(long)]
    ssh_key_stdin: bool,
}

/// Reads one of the words of a setting.
fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| error.to_string())
}

impl Options {
    /// What is asked of the server.
    ///
    /// # Errors
    /// When standard input cannot be read.
    pub fn ask(self, url: Option<String>) -> anyhow::Result<SetSource> {
        let Self {
            forge,
            poll,
            fork_runs,
            statuses,
            context,
            comments,
            token_stdin,
            github_app,
            ssh_key_stdin,
        } = self;
        let mut said = String::new();
        if token_stdin || ssh_key_stdin || github_app.is_some() {
            std::io::stdin()
                .take(64 << 10)
                .read_to_string(&mut said)
                .context("standard input could not be read")?;
        }
        let poll =
            poll.map(|poll| u32::try_from(poll.as_secs())).transpose().context("`--poll` is too long")?;
        Ok(SetSource {
            url,
            forge,
            poll,
            fork_runs,
            statuses,
            context,
            comments,
            token: (token_stdin || github_app.is_some()).then(|| said.clone()),
            github_app,
            ssh_key: ssh_key_stdin.then_some(said),
        })
    }
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let at = |project: &str, rest: &str| format!("/api/v1/projects/{}/source{rest}", part(project));
    match args {
        Args::Show { project } => show(&client.get(&at(&project, "")).await?, remote)?,
        Args::Set { project, url, options } => {
            let new = options.ask(url)?;
            show(&client.send(Method::PUT, &at(&project, ""), &new).await?, remote)?;
        }
        Args::Hook { project } => {
            let hook: NewHook = client.send(Method::POST, &at(&project, "/hook"), &()).await?;
            if remote.json {
                output::json(&hook)?;
            } else {
                let NewHook { url, secret } = hook;
                anstream::println!(
                    "give the forge\n  address {url}\n  secret  {secret}\n  content application/json"
                );
                anstream::println!("  events  pushes, tags, pull requests\nthe secret is not shown again");
            }
        }
        Args::Look { project } => {
            let look: Look = client.send(Method::POST, &at(&project, "/look"), &()).await?;
            if remote.json {
                output::json(&look)?;
            } else if look.lines.is_empty() {
                anstream::println!("nothing has moved at the source");
            }
            look.lines.iter().filter(|_| !remote.json).for_each(|line| anstream::println!("{line}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(source: &Source, remote: &Remote) -> anyhow::Result<()> {
    if remote.json {
        return output::json(source);
    }
    lines(source).iter().for_each(|line| anstream::println!("{line}"));
    Ok(())
}

/// A source in words.
pub fn lines(source: &Source) -> Vec<String> {
    let time = |at: Option<jiff::Timestamp>| at.map_or_else(|| "never".to_owned(), output::time);
    let poll = source
        .poll
        .map_or_else(|| "never; webhooks ask for a look".to_owned(), |poll| format!("every {poll} s"));
    let mut lines = vec![
        format!("source    {} ({})", source.url, source.forge.word()),
        format!("  contact {}", time(source.contact_at)),
        format!("  polled  {poll}; next {}", time(source.next_look)),
        format!("  hook    {}; last {}", source.hook.as_deref().unwrap_or("none"), time(source.hook_at)),
        format!("  forks   {}", source.fork_runs.word()),
        format!("  tells   {} as `{}/…`", source.statuses.word(), source.context),
    ];
    if !source.error.is_empty() {
        lines.push(format!("  error   {}", source.error));
    }
    lines.extend(source.status_error.iter().map(|error| format!("  statuses {error}")));
    lines
}
