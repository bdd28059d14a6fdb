//! Examines the server: the tools it needs, the people it has, the room on its disk, and what the engine sees.

use std::collections::{BTreeMap, BTreeSet};

use towpath_api::rest::{Finding, FindingLevel};
use towpath_engine::FindingWeight;
use towpath_store::people::{grants, users};

use crate::app::App;
use crate::auth::Role;
use crate::problem::Problem;

/// Free space below which a push or a build is likely to fail.
const LOW_SPACE: u64 = 1 << 30;

/// Examines everything.
pub(crate) async fn examine(app: &App) -> Result<Vec<Finding>, Problem> {
    let mut findings = vec![git().await, sandbox(), space(&app.data_dir)];
    findings.extend(people(app).await?);
    let seen = app.engine.doctor(&approvers(app).await?).await?;
    findings.extend(seen.into_iter().map(wire));
    Ok(findings)
}

fn wire(seen: towpath_engine::Finding) -> Finding {
    let towpath_engine::Finding { subject, weight, text, advice } = seen;
    let level = match weight {
        FindingWeight::Fine => FindingLevel::Good,
        FindingWeight::Warning => FindingLevel::Warning,
        FindingWeight::Problem => FindingLevel::Bad,
    };
    Finding { level, title: format!("{subject}: {text}"), advice }
}

/// How many people hold each role of each Project (`shop/release-manager`), and which logins there are (`shop/@dora`).
async fn approvers(app: &App) -> Result<BTreeMap<String, usize>, Problem> {
    let mut counts = BTreeMap::new();
    for project in app.engine.projects().await? {
        let held = grants::in_project(&mut app.db.reader().await?, &project.name).await?;
        let roles = held.iter().map(|(user, _, role)| (format!("{}/{role}", project.name), *user));
        let logins = held.iter().map(|(user, login, _)| (format!("{}/@{login}", project.name), *user));
        // Whoever holds a role for all Projects and for this one is still one person.
        for (key, _) in roles.chain(logins).collect::<BTreeSet<_>>() {
            *counts.entry(key).or_default() += 1;
        }
    }
    Ok(counts)
}

fn finding(level: FindingLevel, title: impl Into<String>, advice: &str) -> Finding {
    Finding { level, title: title.into(), advice: advice.to_owned() }
}

async fn git() -> Finding {
    let output = tokio::process::Command::new("git").arg("--version").output().await;
    match output {
        Ok(output) if output.status.success() => {
            finding(FindingLevel::Good, String::from_utf8_lossy(&output.stdout).trim(), "")
        }
        _ => finding(
            FindingLevel::Bad,
            "git was not found",
            "install it: `apt install git`, `dnf install git`",
        ),
    }
}

fn sandbox() -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bubblewrap = std::env::split_paths(&path).any(|directory| directory.join("bwrap").is_file());
    if bubblewrap {
        return finding(FindingLevel::Good, "bubblewrap confines jobs", "");
    }
    finding(
        FindingLevel::Warning,
        "bubblewrap was not found; jobs are confined by Landlock only, where the kernel has it",
        "install it: `apt install bubblewrap`, `dnf install bubblewrap`",
    )
}

fn space(data_dir: &std::path::Path) -> Finding {
    match rustix::fs::statvfs(data_dir) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let title = format!("{} MiB are free under {}", free >> 20, data_dir.display());
            if free < LOW_SPACE {
                finding(FindingLevel::Bad, title, "make room, or move the data directory")
            } else {
                finding(FindingLevel::Good, title, "")
            }
        }
        Err(error) => finding(
            FindingLevel::Bad,
            format!("the data directory cannot be examined: {error}"),
            "see that it exists",
        ),
    }
}

async fn people(app: &App) -> Result<Vec<Finding>, Problem> {
    let mut reader = app.db.reader().await?;
    let (mut people, mut admins) = (0, 0);
    for user in users::list(&mut reader, "", 200).await? {
        if user.disabled {
            continue;
        }
        people += 1;
        let held = grants::of_user(&mut reader, user.id).await?;
        admins += usize::from(held.iter().any(|grant| grant.role.as_str() == Role::Admin.name()));
    }
    let mut findings = Vec::new();
    if admins == 0 {
        findings.push(finding(
            FindingLevel::Bad,
            "nobody is an admin",
            "open the link that the server printed at its start",
        ));
    }
    if people == 1 {
        findings.push(finding(
            FindingLevel::Warning,
            "there is one user: whoever pushes cannot approve their own work, so an approval gate will wait forever",
            "make a second user (`towpath user create`), or say `self_approval: allow` in the environment's gate",
        ));
    }
    Ok(findings)
}
