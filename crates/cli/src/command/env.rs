//! Environments: `env`, `promote`, `hold`, `resume`, `rollback`.

use std::process::ExitCode;
use std::str::FromStr;

use reqwest::Method;
use serde::Serialize;
use towpath_api::rest::{
    Comment, Environment, EnvironmentDocument, EnvironmentStatus, NewPromotion, Promotion, RevisionTotal,
    Rollback,
};

use towpath_model::intake::Queue;

use super::status;
use super::wait::{self, Subject, on_its_way};
use crate::client::{Client, part};
use crate::context::Remote;
use crate::failure::{Failure, Kind};
use crate::output;

/// An environment, written `shop/production`.
#[derive(Debug, Clone)]
pub struct Place {
    /// The project.
    pub project: String,
    /// The environment.
    pub environment: String,
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((project, environment)) if !project.is_empty() && !environment.is_empty() => {
                Ok(Self { project: project.to_owned(), environment: environment.to_owned() })
            }
            _ => Err("write an environment as `project/environment`".to_owned()),
        }
    }
}

impl Place {
    /// Its address, with a verb behind it.
    pub fn path(&self, verb: &str) -> String {
        format!("/api/v1/projects/{}/environments/{}{verb}", part(&self.project), part(&self.environment))
    }
}

/// Shows environments.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Lists the environments of a project with what serves there.
    List {
        /// The project.
        project: String,
    },
    /// Shows what serves, who gets the traffic, how the instances are, and what waits for what.
    Show {
        /// The environment, as `shop/production`.
        place: Place,
    },
    /// Lists policy changes: documents that loosen the policy and wait for signatures, and what became of earlier ones.
    Policy {
        /// The environment, as `shop/production`.
        place: Place,
    },
    /// Counts what each version answered there in the last seven days.
    Totals {
        /// The environment, as `shop/production`.
        place: Place,
    },
    /// Lists the versions of its document, or prints one.
    Documents {
        /// The environment, as `shop/production`.
        place: Place,
        /// Prints this version as it was applied.
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// Lists the promotions into an environment, newest first.
    History {
        /// The environment, as `shop/production`.
        place: Place,
    },
}

/// Runs the command.
///
/// # Errors
/// Fails where the server refuses.
pub async fn run(args: Args, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    match args {
        Args::List { project } => {
            let path = format!("/api/v1/projects/{}/environments", part(&project));
            list(client.get(&path).await?, remote)?;
        }
        Args::Show { place } => {
            let found: EnvironmentStatus = client.get(&place.path("")).await?;
            if remote.json {
                output::json(&found)?;
            } else {
                status::show(&found);
                instances(&found.environment);
            }
        }
        Args::Totals { place } => totals(client.get(&place.path("/totals")).await?, remote)?,
        Args::Documents { place, version } => {
            documents(client.get(&place.path("/documents")).await?, version, remote)?;
        }
        Args::Policy { place } => super::policy::list(&client, &place, remote).await?,
        Args::History { place } => history(client.get(&place.path("/history")).await?, remote)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(all: Vec<EnvironmentStatus>, remote: &Remote) -> anyhow::Result<()> {
    if remote.json {
        return output::json(&all);
    }
    let row = |status: EnvironmentStatus| {
        let EnvironmentStatus { environment, waits, offer: _ } = status;
        let (version, since) = match &environment.current {
            Some(current) => (current.revision.version.clone(), output::time(current.since)),
            None => ("nothing".to_owned(), String::new()),
        };
        let policy = &environment.policy;
        let waits = if waits.is_empty() { String::new() } else { waits.len().to_string() };
        let document = format!("version {}", policy.version);
        [environment.key.environment, version, since, policy.document.listen.to_string(), document, waits]
    };
    let rows = all.into_iter().map(row).collect();
    let header = ["environment", "serves", "since", "listens", "document", "waits"];
    output::table(header, rows, "there is no environment; `towpath apply` makes them");
    Ok(())
}

fn instances(environment: &Environment) {
    let row = |instance: &towpath_model::environment::Instance| {
        let version = environment.version_of(&instance.revision.to_string()).unwrap_or("?").to_owned();
        let address = instance.address.map(|address| address.to_string()).unwrap_or_default();
        let health = instance.health.word().to_owned();
        [
            instance.workload.to_string(),
            version,
            health,
            address,
            instance.restarts.to_string(),
            instance.message.clone(),
        ]
    };
    let rows = environment.fleet.instances.iter().map(row).collect();
    let header = ["workload", "version", "state", "address", "restarts", ""];
    output::table(header, rows, "no instance runs");
}

fn history(promotions: Vec<Promotion>, remote: &Remote) -> anyhow::Result<()> {
    if remote.json {
        return output::json(&promotions);
    }
    let row = |promotion: Promotion| {
        let why = promotion.outcome.as_ref().map(towpath_model::environment::Outcome::reason);
        [
            promotion.revision.version,
            promotion.state,
            output::time(promotion.requested_at),
            promotion.requested_by.name().to_owned(),
            why.unwrap_or_default(),
        ]
    };
    let rows = promotions.into_iter().map(row).collect();
    output::table(["version", "state", "asked", "by", "why"], rows, "nothing was promoted here yet");
    Ok(())
}

fn totals(totals: Vec<RevisionTotal>, remote: &Remote) -> anyhow::Result<()> {
    if remote.json {
        return output::json(&totals);
    }
    let row = |RevisionTotal { revision, version, way, requests, errors, gateway_errors }: RevisionTotal| {
        let version = version.unwrap_or_else(|| "?".to_owned());
        [version, way, requests.to_string(), errors.to_string(), gateway_errors.to_string(), revision]
    };
    let rows = totals.into_iter().map(row).collect();
    let header = ["version", "came by", "requests", "errors", "of the gateway", "revision"];
    output::table(header, rows, "no request was answered here in the last seven days");
    Ok(())
}

fn documents(all: Vec<EnvironmentDocument>, version: Option<u64>, remote: &Remote) -> anyhow::Result<()> {
    let Some(wanted) = version else {
        if remote.json {
            return output::json(&all);
        }
        let row =
            |EnvironmentDocument { version, source: _, applied_by, applied_at }: EnvironmentDocument| {
                [version.to_string(), output::time(applied_at), applied_by]
            };
        let rows = all.into_iter().map(row).collect();
        output::table(["version", "applied", "by"], rows, "it has no document");
        return Ok(());
    };
    let Some(found) = all.into_iter().find(|document| document.version == wanted) else {
        let what = format!("there is no version {wanted} of its document among the newest hundred");
        return Err(Failure::new(Kind::NotFound, what).into());
    };
    if remote.json {
        return output::json(&found);
    }
    anstream::print!("{}", found.source);
    Ok(())
}

/// Promotes a release.
///
/// # Errors
/// Fails where the server refuses.
pub async fn promote(
    place: &Place,
    new: &NewPromotion,
    wait: bool,
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    if !wait {
        return ask(place, "/promote", new, &format!("{} is on its way", new.version), remote).await;
    }
    let client = Client::new(remote)?;
    let environment: Environment = client.send(Method::POST, &place.path("/promote"), new).await?;
    // The newest of them, as it was asked for just now.
    let moving = [environment.next, environment.active, environment.waiting].into_iter().flatten();
    let mut promotions = moving.chain(environment.line);
    let asked = promotions.find(|promotion| promotion.revision.version == new.version);
    let id = match asked {
        Some(promotion) => promotion.id,
        None => on_its_way(&client, place).await?,
    };
    wait::wait(&client, &Subject::Promotion(id), None, remote).await
}

/// Of what waits for an environment the one that a person means: the one of a version, else the first.
///
/// # Errors
/// Fails where nothing waits, where no such version does, or where several do side by side.
pub fn waiting(environment: Environment, place: &Place, version: Option<&str>) -> anyhow::Result<Promotion> {
    let at = format!("{}/{}", place.project, place.environment);
    let side_by_side = environment.policy.document.intake.queue == Queue::Parallel;
    let mut all: Vec<Promotion> = environment.waiting.into_iter().chain(environment.line).collect();
    let versions: Vec<&str> = all.iter().map(|waiting| waiting.revision.version.as_str()).collect();
    let versions = versions.join(", ");
    let place = match version {
        Some(version) => all.iter().position(|waiting| waiting.revision.version == version),
        None if side_by_side && all.len() > 1 => {
            let what = format!("{} promotions wait for {at}: {versions}", all.len());
            return Err(Failure::new(Kind::Usage, what).hint("say which with `--version`").into());
        }
        None => (!all.is_empty()).then_some(0),
    };
    let Some(place) = place else {
        let what = match version.filter(|_| !versions.is_empty()) {
            Some(version) => format!("{version} does not wait for {at}; {versions} does"),
            None => format!("nothing waits for {at}"),
        };
        return Err(Failure::new(Kind::NotFound, what).hint("`towpath status` shows what does").into());
    };
    Ok(all.swap_remove(place))
}

/// Withdraws what waits for an environment.
///
/// # Errors
/// Fails where nothing waits, or where the server refuses.
pub async fn withdraw(
    place: &Place,
    version: Option<&str>,
    comment: String,
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let found: EnvironmentStatus = client.get(&place.path("")).await?;
    let waiting = waiting(found.environment, place, version)?;
    let path = format!("/api/v1/promotions/{}/withdraw", part(&waiting.id));
    let environment: Environment = client.send(Method::POST, &path, &Comment { comment }).await?;
    if remote.json {
        output::json(&environment)?;
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!("withdrawn: {}", waiting.title);
    status::show(&client.get(&place.path("")).await?);
    Ok(ExitCode::SUCCESS)
}

/// Holds an environment.
///
/// # Errors
/// Fails where the server refuses.
pub async fn hold(place: &Place, comment: String, remote: &Remote) -> anyhow::Result<ExitCode> {
    ask(place, "/hold", &Comment { comment }, "held; `towpath resume` lets it go on", remote).await
}

/// Ends a hold.
///
/// # Errors
/// Fails where the server refuses.
pub async fn resume(place: &Place, comment: String, remote: &Remote) -> anyhow::Result<ExitCode> {
    ask(place, "/resume", &Comment { comment }, "goes on", remote).await
}

/// Goes back.
///
/// # Errors
/// Fails where the server refuses.
pub async fn rollback(place: &Place, back: &Rollback, remote: &Remote) -> anyhow::Result<ExitCode> {
    ask(place, "/rollback", back, "goes back; no gate holds that up", remote).await
}

/// Asks the server, then says what will happen and what waits.
async fn ask(
    place: &Place,
    verb: &str,
    body: &impl Serialize,
    sentence: &str,
    remote: &Remote,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote)?;
    let environment: Environment = client.send(Method::POST, &place.path(verb), body).await?;
    if remote.json {
        output::json(&environment)?;
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!("{}/{}: {sentence}", place.project, place.environment);
    status::show(&client.get(&place.path("")).await?);
    Ok(ExitCode::SUCCESS)
}
