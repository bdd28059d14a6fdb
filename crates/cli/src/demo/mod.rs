//! `towpath demo`: the whole way from push to judged production, with nothing faked.
//!
//! A real server in a scratch directory, real pushes by git, real builds, a real service, real traffic. What it
//! claims is checked while it happens, and its exit code says whether all of it held.

mod claims;
mod ending;
mod follow;
mod people;
mod ports;
mod processes;
mod screen;
mod server;
mod shop;
mod story;
mod traffic;

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use people::People;
use ports::Ports;
use screen::{Screen, seconds};
use server::Server;
use shop::Shop;
use story::{Story, Tale};

/// The project of the story.
const PROJECT: &str = "shop";

/// How long `towpath shutdown` may take.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(60);

/// Shows the whole way in two minutes: a push is tested, built, sealed and deployed; a good version is canaried and
/// promoted, a bad one rolled back, under real traffic.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs unattended to its end, stops everything, and exits with 0 only if all of it really happened.
    #[arg(long)]
    headless: bool,
    /// Keeps the scratch directory.
    #[arg(long)]
    keep: bool,
    /// The port of the page; else a free one.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
}

/// Whether somebody is there to click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visitor {
    /// A person at the terminal.
    Reader,
    /// Nobody.
    None,
}

/// How the demo ended.
enum Ended {
    Told(Box<Tale>),
    Interrupted,
}

/// Runs the command until its end, or until `stop`.
///
/// # Errors
/// Fails where the story does not go as it should.
pub async fn run(args: Args, stop: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    let Args { headless, keep, port } = args;
    processes::adopt_orphans().context("failed to become the parent of what the demo starts")?;
    let begun = Instant::now();
    let screen = Screen::new();
    let scratch = TempDir::with_prefix("towpath-demo-").context("failed to make a scratch directory")?;
    let _net = processes::Net;
    // A terminal that is closed ends the demo as Ctrl-C does.
    let mut hangup = signal(SignalKind::hangup()).context("failed to wait for signals")?;
    let stop = async {
        tokio::select! {
            () = stop => {}
            _ = hangup.recv() => {}
        }
    };
    let visitor = if headless { Visitor::None } else { Visitor::Reader };
    let mut stop = std::pin::pin!(stop);
    let ended = tokio::select! {
        told = play(screen, scratch.path(), port, visitor) => told.map(|tale| Ended::Told(Box::new(tale))),
        () = &mut stop => Ok(Ended::Interrupted),
    };
    if visitor == Visitor::Reader && !matches!(ended, Ok(Ended::Interrupted)) {
        if let Err(error) = &ended {
            screen.line(&format!("\nThe story ended too early: {error:#}"));
        }
        screen.line("\nEverything stays up until Ctrl-C.");
        stop.await;
    }
    screen.heading("Stopping the server, the agent, the gateway and every instance");
    let left = shut_down(scratch.path()).await;
    let interrupted = matches!(ended, Ok(Ended::Interrupted));
    let result = conclude(screen, ended, &left, begun.elapsed());
    let failed = !interrupted && !matches!(result, Ok(code) if code == ExitCode::SUCCESS);
    if keep || failed {
        let path = scratch.keep();
        screen.line(&format!("\nThe scratch directory stays: {}", path.display()));
    }
    result
}

/// Sets everything up and tells the story.
async fn play(screen: Screen, scratch: &Path, port: u16, visitor: Visitor) -> anyhow::Result<Tale> {
    screen.line("Towpath demo: from a git push to judged production, on this machine, with nothing faked.");
    screen.line("The canary's steps are seconds and the traffic is high, on purpose: so verdicts are sound and quick.");
    let phase = screen.phase("server, people");
    let mut server = Server::start(scratch, port).await?;
    let people = People::make(&server.url, &server.setup).await?;
    let project = story::make_project(&people).await?;
    let ports = Ports::find()?;
    let shop = Shop::create(scratch, &project.git_url, &people.ada).await?;
    phase.done(&format!("the page: {}", server.url));
    introduce(screen, &people, &shop, &project.git_url);
    let documents = ports.documents(story::first_greeting());
    story::write_documents(scratch, &documents)?;
    let story = Story::new(screen, &mut server, &people, &shop, &ports, visitor);
    story.apply(&documents).await?;
    let tale = story.tell().await?;
    ending::tables(screen, &tale);
    if visitor == Visitor::Reader {
        invite(screen, &server, &ports, &shop);
    }
    Ok(tale)
}

fn introduce(screen: Screen, people: &People, shop: &Shop, git_url: &str) {
    let People { admin, ada, grace } = people;
    for (person, role) in [(admin, "set the server up"), (ada, "pushes"), (grace, "approves")] {
        screen.aside(&format!("{:5}  password {}  {role}", person.login, person.password));
    }
    screen.aside(&format!("git remote {git_url}"));
    screen.aside(&format!("ada's clone {}", shop.directory.display()));
}

fn invite(screen: Screen, server: &Server, ports: &Ports, shop: &Shop) {
    screen.heading("Your turn");
    let page =
        |path: String| server.url.join(&path).map_or_else(|_| server.url.to_string(), |url| url.to_string());
    screen.line(&format!("  the page           {}", server.url));
    screen.line(&format!("  the project        {}", page(towpath_ui::routes::project(PROJECT))));
    screen.line(&format!(
        "  production         {} (on hold after the rollback: press Resume there)",
        page(towpath_ui::routes::environment(PROJECT, "production"))
    ));
    screen.line(&format!("  the shop           {}/", ports.production()));
    screen
        .line(&format!("  push a change      cd {} && git commit -a && git push", shop.directory.display()));
    screen.line(&format!("  the command line   TOWPATH_DATA_DIR={} towpath timeline", server.data.display()));
}

/// Ends all of it as a user does, by `towpath shutdown`, and tells what was left running.
async fn shut_down(scratch: &Path) -> Vec<String> {
    let data = scratch.join("data");
    let told = async {
        let program = std::env::current_exe()?;
        let mut command = tokio::process::Command::new(program);
        command.arg("shutdown").arg("--data-dir").arg(&data);
        let output = command.stdin(Stdio::null()).output();
        let output = tokio::time::timeout(SHUTDOWN_WITHIN, output).await.context("it took too long")??;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        anyhow::ensure!(output.status.success(), "{said}");
        Ok(())
    };
    let told: anyhow::Result<()> = told.await;
    let left = tokio::task::spawn_blocking(processes::left_over).await;
    let mut left = left.unwrap_or_default();
    if let Err(error) = told {
        left.push(format!("towpath shutdown: {error:#}"));
    }
    left
}

/// Prints the claims and decides the exit code.
fn conclude(
    screen: Screen,
    ended: anyhow::Result<Ended>,
    left: &[String],
    took: Duration,
) -> anyhow::Result<ExitCode> {
    let mut tale = match ended? {
        Ended::Told(tale) => tale,
        Ended::Interrupted => {
            screen.line("  interrupted before its end");
            return Ok(ExitCode::FAILURE);
        }
    };
    let text = if left.is_empty() { "nothing was left running".to_owned() } else { left.join(", ") };
    tale.claims.note(left.is_empty(), text);
    screen.heading("What happened, as checked");
    for (held, text) in tale.claims.iter() {
        screen.claim(held, text);
    }
    let held = tale.claims.hold();
    let end = if held { "All of it really happened" } else { "Not all of it held" };
    screen.line(&format!("\n{end}, in {}.", seconds(took)));
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
