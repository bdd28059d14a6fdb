//! For a terminal: what a changed file would have done for events of the past.

use std::fmt::Write as _;

use towpath_model::history::{Change, PastEvent, Retold, RetoldGates, RetoldJob};

/// Writes one paragraph for each event that would have gone otherwise, newest first, and how many would not.
#[must_use]
pub fn history(project: &str, retold: &[Retold]) -> String {
    if retold.is_empty() {
        return format!("{project}: nothing has happened yet, so there is nothing to compare with\n");
    }
    let mut page = String::new();
    let differ = retold.iter().filter(|one| one.differs()).count();
    let _ = writeln!(
        page,
        "{project}: {differ} of the last {} would have gone otherwise",
        super::counted(retold.len(), "event")
    );
    for one in retold {
        event(&mut page, one);
    }
    page
}

fn event(page: &mut String, retold: &Retold) {
    let PastEvent { at, occasion, commit, subject, run, reason, .. } = &retold.event;
    let commit = commit.get(..7).unwrap_or(commit);
    let what = match run {
        Some(run) => format!("#{} {}", run.number, run.state.word()),
        None => "no Run".to_owned(),
    };
    let _ = writeln!(
        page,
        "\n{what}  {} of {} ({}), {commit} {subject}, {}",
        occasion.event,
        occasion.reference,
        occasion.trust.word(),
        at.strftime("%Y-%m-%d %H:%M UTC"),
    );
    match (run.is_some(), retold.starts) {
        (true, true) => {}
        (false, false) => {
            let _ = writeln!(page, "  no Run either: {}", retold.reason);
            return;
        }
        (true, false) => {
            let _ = writeln!(page, "  would start no Run: {}", retold.reason);
            return;
        }
        (false, true) => {
            let _ = writeln!(page, "  would start a Run: {} (then: {reason})", retold.reason);
        }
    }
    if !retold.differs() {
        let _ = writeln!(page, "  {}, as then", super::counted(retold.jobs.len(), "job"));
    }
    let shown: Vec<&RetoldJob> = retold.jobs.iter().filter(|job| job.change != Change::Same).collect();
    let width = shown.iter().map(|job| job.name.as_str().len()).max().unwrap_or(0);
    for job in &shown {
        let then = job.then.as_ref().map_or_else(String::new, |then| match then.reason.as_str() {
            "" => format!(" (then: {})", then.state.word()),
            why => format!(" (then: {}, {why})", then.state.word()),
        });
        let (name, change) = (job.name.as_str(), job.change.word());
        let _ = writeln!(page, "  {name:width$}  {change:11}  {}{then}", job.reason);
    }
    let sealed = run.as_ref().and_then(|run| run.release.as_deref());
    match (sealed, retold.seals) {
        (Some(version), false) => {
            let _ = writeln!(page, "  no Release: {} (then: {version})", retold.seal_reason);
        }
        (None, true) if retold.differs() => {
            let _ = writeln!(page, "  a Release, if all passes: {}", retold.seal_reason);
        }
        _ => {}
    }
    retold.gates.iter().for_each(|gates| gate(page, gates));
}

fn gate(page: &mut String, gates: &RetoldGates) {
    let RetoldGates { environment, route, added, removed } = gates;
    match route {
        Change::New => {
            let _ = writeln!(page, "  `{environment}` is new on the route");
        }
        Change::Gone => {
            let _ = writeln!(page, "  `{environment}` is gone from the route");
        }
        _ => {}
    }
    for words in added {
        let _ = writeln!(page, "  `{environment}` gets a gate: {words}");
    }
    for words in removed {
        let _ = writeln!(page, "  `{environment}` loses a gate: {words}");
    }
}
