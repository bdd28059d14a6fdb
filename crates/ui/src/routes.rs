//! The address of everything, built in one place.
//!
//! Names are checked elsewhere, and versions and logins may hold anything: each part is
//! percent-encoded here, so a part can never become another path.

/// The overview.
pub const OVERVIEW: &str = "/";
/// Who did what.
pub const TIMELINE: &str = "/timeline";
/// What waits for me.
pub const APPROVALS: &str = "/approvals";
/// The agents.
pub const AGENTS: &str = "/agents";
/// What waits for agents.
pub const QUEUE: &str = "/queue";
/// Asks for a join token, by POST.
pub const AGENTS_JOIN: &str = "/agents/join";
/// People and roles.
pub const USERS: &str = "/users";
/// Invites somebody, by POST.
pub const USERS_INVITE: &str = "/users/invite";
/// My account.
pub const ACCOUNT: &str = "/account";
/// Changes my password, by POST.
pub const ACCOUNT_PASSWORD: &str = "/account/password";
/// Makes an API token, by POST.
pub const ACCOUNT_TOKENS: &str = "/account/tokens";
/// The question behind a mailed link, by GET and POST.
pub const DECIDE: &str = "/decide";
/// Findings.
pub const DOCTOR: &str = "/doctor";
/// Signs in, by GET and POST.
pub const LOGIN: &str = "/login";
/// Signs out, by POST.
pub const LOGOUT: &str = "/logout";

/// Every page and form, as the server's router writes them; tests hold the links against it.
pub const TEMPLATES: &[&str] = &[
    "/",
    "/timeline",
    "/approvals",
    "/agents",
    "/agents/join",
    "/agents/{agent}/drain",
    "/agents/{agent}/undrain",
    "/queue",
    "/users",
    "/users/invite",
    "/users/{login}/grant",
    "/users/{login}/revoke",
    "/users/{login}/disable",
    "/users/{login}/enable",
    "/account",
    "/account/password",
    "/account/tokens",
    "/account/tokens/{token}/revoke",
    "/decide",
    "/doctor",
    "/login",
    "/logout",
    "/setup/{token}",
    "/p/{project}",
    "/p/{project}/runs/{number}",
    "/p/{project}/start",
    "/p/{project}/runs/{number}/export",
    "/p/{project}/runs/{number}/cancel",
    "/p/{project}/runs/{number}/allow",
    "/p/{project}/runs/{number}/rerun",
    "/p/{project}/runs/{number}/resume",
    "/p/{project}/imported/{number}",
    "/p/{project}/imported/{number}/file",
    "/p/{project}/imported/{number}/log",
    "/p/{project}/imported/{number}/log.txt",
    "/p/{project}/imported/{number}/log-groups",
    "/p/{project}/imported/{number}/remove",
    "/p/{project}/releases/{version}",
    "/p/{project}/releases/{version}/promote",
    "/p/{project}/releases/{version}/revoke",
    "/p/{project}/releases/{version}/unrevoke",
    "/p/{project}/env/{environment}",
    "/p/{project}/env/{environment}/hold",
    "/p/{project}/env/{environment}/resume",
    "/p/{project}/env/{environment}/rollback",
    "/p/{project}/env/{environment}/release",
    "/p/{project}/env/{environment}/policy/{number}",
    "/p/{project}/env/{environment}/policy/{number}/approve",
    "/p/{project}/env/{environment}/policy/{number}/reject",
    "/p/{project}/logs",
    "/p/{project}/tests",
    "/p/{project}/insights",
    "/p/{project}/insights/open",
    "/p/{project}/incidents/{number}/close",
    "/p/{project}/notifications",
    "/p/{project}/notifications/{channel}/test",
    "/p/{project}/caches",
    "/p/{project}/caches/{id}/revoke",
    "/promotions/{promotion}",
    "/promotions/{promotion}/series",
    "/promotions/{promotion}/approve",
    "/promotions/{promotion}/reject",
    "/promotions/{promotion}/lift",
    "/promotions/{promotion}/hold",
    "/promotions/{promotion}/resume",
    "/promotions/{promotion}/rollback",
    "/attempts/{attempt}/log",
    "/attempts/{attempt}/log.txt",
    "/attempts/{attempt}/log-groups",
    "/assets/{hash}/{file}",
];

/// A Project.
#[must_use]
pub fn project(project: &str) -> String {
    format!("/p/{}", encode(project))
}

/// Who of a Project is told of what.
#[must_use]
pub fn notifications(project: &str) -> String {
    format!("/p/{}/notifications", encode(project))
}

/// Tries a channel, by POST.
#[must_use]
pub fn test_channel(project: &str, channel: &str) -> String {
    format!("{}/{}/test", notifications(project), encode(channel))
}

/// An incident; its form is sent below it.
#[must_use]
pub fn incident(project: &str, number: u64) -> String {
    format!("/p/{}/incidents/{number}", encode(project))
}

/// The form that starts a Run.
#[must_use]
pub fn start(project: &str) -> String {
    format!("/p/{}/start", encode(project))
}

/// A Run.
#[must_use]
pub fn run(project: &str, number: u64) -> String {
    format!("/p/{}/runs/{number}", encode(project))
}

/// A Run as one file.
#[must_use]
pub fn export(project: &str, number: u64) -> String {
    format!("{}/export", run(project, number))
}

/// A Run that another server exported.
#[must_use]
pub fn imported(project: &str, number: u64) -> String {
    format!("/p/{}/imported/{number}", encode(project))
}

/// The file of an imported Run.
#[must_use]
pub fn imported_file(project: &str, number: u64) -> String {
    format!("{}/file", imported(project, number))
}

/// A log of an imported Run as fragments of HTML.
#[must_use]
pub fn imported_log(project: &str, number: u64, job: &str, attempt: u32) -> String {
    format!("{}/log?job={}&attempt={attempt}", imported(project, number), encode(job))
}

/// A log of an imported Run as it was written.
#[must_use]
pub fn imported_log_text(project: &str, number: u64, job: &str, attempt: u32) -> String {
    format!("{}/log.txt?job={}&attempt={attempt}", imported(project, number), encode(job))
}

/// The groups of a log of an imported Run.
#[must_use]
pub fn imported_log_groups(project: &str, number: u64, job: &str, attempt: u32) -> String {
    format!("{}/log-groups?job={}&attempt={attempt}", imported(project, number), encode(job))
}

/// One Job on the page of a Run: [`run`] or [`imported`].
#[must_use]
pub fn job_on(page: &str, job: &str) -> String {
    format!("{page}?job={}#job", encode(job))
}

/// One Attempt of one Job on the page of a Run, by number.
#[must_use]
pub fn attempt_on(page: &str, job: &str, attempt: u32) -> String {
    format!("{page}?job={}&attempt={attempt}#job", encode(job))
}

/// One Attempt of one Job of a Run, by number.
#[must_use]
pub fn attempt(project: &str, number: u64, job: &str, attempt: u32) -> String {
    attempt_on(&run(project, number), job, attempt)
}

/// One line of an Attempt's log, from 1.
#[must_use]
pub fn log_line(project: &str, number: u64, job: &str, attempt: u32, line: u64) -> String {
    format!("{}?job={}&attempt={attempt}#L{line}", run(project, number), encode(job))
}

/// A search in the logs of a Project, in Runs below a number; without a text, what fails in it.
#[must_use]
pub fn logs(project: &str, text: &str, below: Option<u64>) -> String {
    let below = below.map(|below| format!("&below={below}")).unwrap_or_default();
    let query = if text.is_empty() { String::new() } else { format!("?text={}{below}", encode(text)) };
    format!("/p/{}/logs{query}", encode(project))
}

/// The tests of a Project.
#[must_use]
pub fn tests(project: &str) -> String {
    format!("/p/{}/tests", encode(project))
}

/// A later part of the tests of a Project.
#[must_use]
pub fn tests_from(project: &str, like: &str, order: &str, from: u32) -> String {
    format!("{}?like={}&order={}&from={from}", tests(project), encode(like), encode(order))
}

/// One test: its name may hold anything, so that it is no part of a path.
#[must_use]
pub fn test(project: &str, test: &str) -> String {
    format!("{}?test={}", tests(project), encode(test))
}

/// How a Project delivers.
#[must_use]
pub fn insights(project: &str) -> String {
    format!("/p/{}/insights", encode(project))
}

/// What is kept for later Runs.
#[must_use]
pub fn caches(project: &str) -> String {
    format!("/p/{}/caches", encode(project))
}

/// What was kept before a time.
#[must_use]
pub fn caches_before(project: &str, before: &str) -> String {
    format!("{}?before={}", caches(project), encode(before))
}

/// One entry, with what it reached.
#[must_use]
pub fn cache(project: &str, id: &str) -> String {
    format!("{}?entry={}", caches(project), encode(id))
}

/// Revokes an entry, by POST.
#[must_use]
pub fn revoke_cache(project: &str, id: &str) -> String {
    format!("{}/{}/{}", caches(project), encode(id), crate::view::ActionKind::Revoke.verb())
}

/// A Release.
#[must_use]
pub fn release(project: &str, version: &str) -> String {
    format!("/p/{}/releases/{}", encode(project), encode(version))
}

/// An Environment.
#[must_use]
pub fn environment(project: &str, environment: &str) -> String {
    format!("/p/{}/env/{}", encode(project), encode(environment))
}

/// A change of an Environment's policy; what is done with it has its address below this.
#[must_use]
pub fn policy_change(project: &str, environment: &str, number: u64) -> String {
    format!("{}/policy/{number}", self::environment(project, environment))
}

/// A Promotion.
#[must_use]
pub fn promotion(id: &str) -> String {
    format!("/promotions/{}", encode(id))
}

/// The measurements of a Promotion's Rollout, as JSON.
#[must_use]
pub fn series(promotion: &str) -> String {
    format!("/promotions/{}/series", encode(promotion))
}

/// The form that does `verb` to what lives at `page`: one of the addresses above.
#[must_use]
pub fn act(page: &str, verb: crate::view::ActionKind) -> String {
    format!("{page}/{}", verb.verb())
}

/// An Attempt's log as fragments of HTML.
#[must_use]
pub fn log(attempt: &str) -> String {
    format!("/attempts/{}/log", encode(attempt))
}

/// An Attempt's log as it was written.
#[must_use]
pub fn log_text(attempt: &str) -> String {
    format!("/attempts/{}/log.txt", encode(attempt))
}

/// The groups of an Attempt's log.
#[must_use]
pub fn log_groups(attempt: &str) -> String {
    format!("/attempts/{}/log-groups", encode(attempt))
}

/// The form behind a one-time link.
#[must_use]
pub fn setup(token: &str) -> String {
    format!("/setup/{}", encode(token))
}

/// Ends an API token, by POST.
#[must_use]
pub fn revoke_token(token: &str) -> String {
    format!("/account/tokens/{}/revoke", encode(token))
}

/// Changes a user, by POST: `grant`, `revoke`, `disable`, `enable`.
#[must_use]
pub fn user(login: &str, verb: &str) -> String {
    format!("/users/{}/{verb}", encode(login))
}

/// The timeline, narrowed. Empty strings are left out.
#[must_use]
pub fn timeline(project: &str, environment: &str, actor: &str, before: Option<u64>) -> String {
    let mut query: Vec<String> = [("project", project), ("environment", environment), ("actor", actor)]
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", encode(value)))
        .collect();
    query.extend(before.map(|sequence| format!("before={sequence}")));
    if query.is_empty() { TIMELINE.to_owned() } else { format!("{TIMELINE}?{}", query.join("&")) }
}

fn encode(part: &str) -> String {
    use std::fmt::Write as _;

    let mut encoded = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// Drains an agent or gives it jobs again, by POST.
#[must_use]
pub fn agent_verb(agent: &str, verb: &str) -> String {
    format!("{AGENTS}/{agent}/{verb}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_never_becomes_another_path() {
        assert_eq!(project("../users"), "/p/..%2Fusers");
        assert_eq!(release("shop", "1.0?x#y\"<"), "/p/shop/releases/1.0%3Fx%23y%22%3C");
        assert_eq!(job_on(&run("shop", 3), "a b"), "/p/shop/runs/3?job=a%20b#job");
    }

    #[test]
    fn the_timeline_leaves_empty_filters_out() {
        assert_eq!(timeline("", "", "", None), "/timeline");
        assert_eq!(timeline("shop", "", "mona", Some(7)), "/timeline?project=shop&actor=mona&before=7");
    }
}
