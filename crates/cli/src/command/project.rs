//! `towpath project`: makes and lists Projects.

use std::process::ExitCode;

use reqwest::Method;
use towpath_api::rest::{NewProject, Project, Source};

use crate::client::{Client, part};
use crate::context::Remote;
use crate::output;

/// Makes and shows projects.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Makes a project with an empty repository.
    Create {
        /// Its name: a-z, 0-9, `-`, `_`, `.`.
        name: String,
        /// A repository elsewhere that it mirrors: `https://host/owner/repository`.
        #[arg(long, value_name = "URL")]
        source: Option<String>,
        #[command(flatten)]
        options: Box<super::source::Options>,
    },
    /// Lists the projects that you can see.
    List,
    /// Shows a project.
    Show {
        /// Its name.
        name: String,
    },
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    match args {
        Args::Create { name, source, options } => {
            let new = NewProject { name };
            let project: Project = client.send(Method::POST, "/api/v1/projects", &new).await?;
            if source.is_some() {
                let path = format!("/api/v1/projects/{}/source", part(&project.name));
                let _: Source = client.send(Method::PUT, &path, &options.ask(source)?).await?;
                show(&project, remote.json)?;
                if !remote.json {
                    let name = &project.name;
                    anstream::println!(
                        "\nit is fetched now; `towpath source show {name}` says how that goes"
                    );
                    anstream::println!("a webhook makes pushes start at once: `towpath source hook {name}`");
                }
                return Ok(ExitCode::SUCCESS);
            }
            show(&project, remote.json)?;
            if !remote.json {
                anstream::println!(
                    "\npush to it:\n  git remote add towpath {}\n  git push towpath main",
                    project.git_url
                );
            }
        }
        Args::List => {
            let projects: Vec<Project> = client.all("/api/v1/projects").await?;
            if remote.json {
                output::json(&projects)?;
            } else {
                let row = |project: Project| [project.name, project.git_url];
                let empty = "there is no project that you can see; `towpath project create` makes one";
                output::table(["name", "git"], projects.into_iter().map(row).collect(), empty);
            }
        }
        Args::Show { name } => {
            let project: Project = client.get(&format!("/api/v1/projects/{}", part(&name))).await?;
            show(&project, remote.json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(project: &Project, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(project);
    }
    let Project { name, git_url, url } = project;
    anstream::println!("{name}\n  page {url}\n  git  {git_url}");
    Ok(())
}
