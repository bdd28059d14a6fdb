//! A Project's route: its Stages with what their Environments run and wait for.

use towpath_model::environment::Environment;
use towpath_model::pipeline::Stage;
use towpath_model::run::Run;
use towpath_store::core::releases::Release;
use towpath_ui::view::{EnvironmentCard, Lock, RouteStage, State};
use url::Url;

use super::words;

/// The Stages that count: those of the newest Release, else of the newest Run.
pub(super) fn stages<'s>(releases: &'s [Release], runs: &'s [Run]) -> &'s [Stage] {
    let released = releases.first().map(|release| release.route.stages.as_slice());
    let pushed = || runs.iter().find_map(|run| run.pipeline.as_ref()).map(|found| found.stages.as_slice());
    released.or_else(pushed).unwrap_or_default()
}

/// Draws the route. Environments that no Stage leads to stand behind it, each for itself.
pub(super) fn route(stages: &[Stage], environments: &[Environment], server: &Url) -> Vec<RouteStage> {
    let mut drawn: Vec<RouteStage> = stages
        .iter()
        .map(|stage| {
            let found: Vec<Option<&Environment>> = stage
                .environments
                .iter()
                .map(|name| environments.iter().find(|environment| environment.key.environment == *name))
                .collect();
            let cards = stage.environments.iter().zip(&found).map(|(name, found)| match found {
                Some(environment) => words::card(environment, server),
                None => missing(name.as_str()),
            });
            RouteStage {
                name: stage.name.to_string(),
                lock: lock(found.iter().copied().flatten()),
                environments: cards.collect(),
            }
        })
        .collect();
    let led_to = |environment: &Environment| {
        stages.iter().any(|stage| stage.environments.contains(&environment.key.environment))
    };
    drawn.extend(environments.iter().filter(|environment| !led_to(environment)).map(|environment| {
        RouteStage {
            name: environment.key.environment.to_string(),
            lock: lock([environment].into_iter()),
            environments: vec![words::card(environment, server)],
        }
    }));
    drawn
}

/// An Environment that a Stage names and nobody has applied a document for.
fn missing(name: &str) -> EnvironmentCard {
    EnvironmentCard {
        name: name.to_owned(),
        health: State::Empty,
        current: None,
        rollout: None,
        waiting: Vec::new(),
        hold: Some("it has no document yet; `towpath apply -f` makes it".to_owned()),
        url: None,
    }
}

/// The lock before a Stage: what its waiting Promotions wait for.
fn lock<'e>(environments: impl Iterator<Item = &'e Environment>) -> Option<Lock> {
    let mut reasons = Vec::new();
    let mut held = false;
    for environment in environments {
        let Some(waiting) = &environment.waiting else { continue };
        held |= environment.hold.is_some();
        reasons.push(format!("{} waits: {}", waiting.revision.version, words::waits(environment, waiting)));
    }
    let state = if held { State::Held } else { State::Waiting };
    (!reasons.is_empty()).then(|| Lock { state, reason: reasons.join("; ") })
}
