//! What people call the subject of an entry of the timeline.

use towpath_store::core::{Connection, agents, releases, runs};

use crate::problem::Problem;

/// `shop#12` for a Run, the version of a Release, the host of an agent; for others what stands behind the colon.
pub(crate) async fn name(db: &mut Connection, subject: &str) -> Result<String, Problem> {
    let (kind, id) = subject.split_once(':').unwrap_or(("", subject));
    let known = match kind {
        "run" => match id.parse() {
            Ok(run) => runs::title(db, run).await?.map(|(project, number)| format!("{project}#{number}")),
            Err(_) => None,
        },
        "release" => match id.parse() {
            Ok(digest) => {
                let release = releases::find(db, digest).await?;
                release.map(|release| format!("{} {}", release.project, release.version))
            }
            Err(_) => None,
        },
        "agent" => match id.parse() {
            Ok(agent) => agents::find(db, agent).await?.map(|agent| agent.hostname),
            Err(_) => None,
        },
        _ => None,
    };
    Ok(known.unwrap_or_else(|| id.to_owned()))
}
