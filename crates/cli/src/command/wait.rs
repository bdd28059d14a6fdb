//! `towpath wait`: stays until a run or a promotion has ended, and ends with its answer.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use towpath_api::rest::{EnvironmentStatus, Promotion, Run};
use towpath_model::environment::{GateState, Outcome};
use towpath_model::run::RunState;

use super::env::Place;
use crate::client::{Client, part};
use crate::context::Remote;
use crate::failure::{Failure, Kind, is_unreachable};
use crate::output;

/// How often the server is asked.
const EVERY: Duration = Duration::from_secs(1);

/// For how long a server that does not answer is waited for: it may be starting again.
const AWAY: Duration = Duration::from_secs(60);

/// Waits until a run or a promotion has ended. Exits with 0 where it passed or succeeded, with 1 where it ended otherwise, with
/// 6 where the time was up first.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run, as `shop#12`; a promotion by its id; or an environment, as `shop/production`, for what is on its way into it.
    #[arg(value_name = "RUN|PROMOTION")]
    subject: Subject,
    /// How long at most, as `10m`; for ever if absent.
    #[arg(long, value_parser = super::load::duration)]
    timeout: Option<Duration>,
}

/// What is waited for.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A Run.
    Run {
        /// Its Project.
        project: String,
        /// Its number.
        number: u64,
    },
    /// A Promotion, by its id.
    Promotion(String),
    /// The Promotion that waits for an Environment, or is being rolled out there.
    Place(Place),
}

impl FromStr for Subject {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((project, number)) = text.split_once('#') {
            let number = number.parse().map_err(|_| format!("`{number}` is not the number of a run"))?;
            return Ok(Self::Run { project: project.to_owned(), number });
        }
        if text.contains('/') {
            return text.parse().map(Self::Place);
        }
        match text.parse::<uuid::Uuid>() {
            Ok(_) => Ok(Self::Promotion(text.to_owned())),
            Err(_) => Err("write a run as `shop#12`, an environment as `shop/production`, or give the id of a promotion".to_owned()),
        }
    }
}

/// What the server says of it.
enum Found {
    Run(Box<Run>),
    Promotion(Box<Promotion>),
}

impl Found {
    /// Whether it is well, once it has ended.
    fn end(&self) -> Option<bool> {
        match self {
            Self::Run(run) => run.state.is_final().then_some(run.state == RunState::Passed),
            Self::Promotion(promotion) => {
                promotion.outcome.as_ref().map(|outcome| matches!(outcome, Outcome::Succeeded))
            }
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Run(run) => {
                format!("{}#{} {}: {}", run.project, run.number, run.state.word(), run.reason)
            }
            Self::Promotion(promotion) => {
                let waits = promotion.gates.iter().filter(|gate| gate.state == GateState::Waiting);
                let reasons: Vec<&str> = match &promotion.outcome {
                    None if promotion.rollout.is_none() => waits.map(|gate| gate.reason.as_str()).collect(),
                    _ => Vec::new(),
                };
                let reason = match &promotion.outcome {
                    Some(outcome) => outcome.reason(),
                    None => reasons.join("; "),
                };
                let colon = if reason.is_empty() { "" } else { ": " };
                format!("{} {}{colon}{reason}", promotion.title, promotion.state)
            }
        }
    }

    fn print(&self, remote: &Remote) -> anyhow::Result<()> {
        match self {
            Self::Run(run) if remote.json => output::json(run),
            Self::Promotion(promotion) if remote.json => output::json(promotion),
            Self::Run(_) | Self::Promotion(_) => {
                anstream::println!("{}", self.sentence());
                Ok(())
            }
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Fails where there is no such thing, the time is up, or the server refuses or stays away.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let subject = match args.subject {
        Subject::Place(place) => Subject::Promotion(on_its_way(&client, &place).await?),
        named => named,
    };
    wait(&client, &subject, args.timeout, remote).await
}

/// Waits until `subject` has ended, tells each change on standard error and the end on standard output.
///
/// # Errors
/// Fails where there is no such thing, the time is up, or the server refuses or stays away.
pub async fn wait(
    client: &Client,
    subject: &Subject,
    timeout: Option<Duration>,
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut heard = begun;
    let mut told = String::new();
    loop {
        match look(client, subject).await {
            Ok(found) => {
                heard = Instant::now();
                if let Some(well) = found.end() {
                    found.print(remote)?;
                    return Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(Kind::Failed.code()) });
                }
                let sentence = found.sentence();
                if sentence != told {
                    anstream::eprintln!("{sentence}");
                    told = sentence;
                }
            }
            Err(error) if is_unreachable(&error) && heard.elapsed() < AWAY => {}
            Err(error) => return Err(error),
        }
        if timeout.is_some_and(|timeout| begun.elapsed() + EVERY > timeout) {
            let text = if told.is_empty() { "the server was not reached".to_owned() } else { told };
            return Err(Failure::new(Kind::TimedOut, format!("the time is up; at last: {text}")).into());
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(client: &Client, subject: &Subject) -> anyhow::Result<Found> {
    Ok(match subject {
        Subject::Run { project, number } => {
            let path = format!("/api/v1/projects/{}/runs/{number}", part(project));
            Found::Run(Box::new(client.get(&path).await?))
        }
        Subject::Promotion(id) => {
            Found::Promotion(Box::new(client.get(&format!("/api/v1/promotions/{}", part(id))).await?))
        }
        Subject::Place(place) => {
            let id = on_its_way(client, place).await?;
            Found::Promotion(Box::new(client.get(&format!("/api/v1/promotions/{}", part(&id))).await?))
        }
    })
}

/// The Promotion that is being rolled out into an Environment, else the one that waits for it.
///
/// # Errors
/// Fails where there is none.
pub async fn on_its_way(client: &Client, place: &Place) -> anyhow::Result<String> {
    let found: EnvironmentStatus = client.get(&place.path("")).await?;
    let environment = found.environment;
    let last = environment.line.into_iter().next_back();
    let promotion = environment.next.or(last).or(environment.waiting).or(environment.active);
    promotion.map(|promotion| promotion.id).ok_or_else(|| {
        let what = format!("nothing is on its way into {}/{}", place.project, place.environment);
        Failure::new(Kind::NotFound, what).hint("`towpath env` shows what was promoted there before").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_what_it_looks_like() {
        assert!(matches!("shop#12".parse(), Ok(Subject::Run { project, number: 12 }) if project == "shop"));
        assert!(matches!("shop/dev".parse(), Ok(Subject::Place(place)) if place.environment == "dev"));
        let id = "0197aa00-0000-7000-8000-000000000001";
        assert!(matches!(id.parse(), Ok(Subject::Promotion(found)) if found == id));
        for wrong in ["shop", "shop#x", "/dev", ""] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }
}
