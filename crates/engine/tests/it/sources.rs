//! Repositories elsewhere, by the real git: branches, pull requests of the repository and of forks, faults, statuses.

use std::path::Path;

use base64::Engine as _;
use tempfile::TempDir;
use towpath_artifact::SecretValue;
use towpath_engine::{Delivered, Hint, SourceSecrets};
use towpath_model::reports::ReportKind;
use towpath_model::run::{RunState, Trust};
use towpath_model::source::{self, ForkRuns, Source, SourceUrl, Statuses};

use crate::agent::Fate;
use crate::forge::Forge;
use crate::includes::platform;
use crate::world::{World, admin, developer, git, shop};

const PIPELINE: &str = "
name: shop
on: { push: main, pull_request: { branches: main } }
jobs: { test: { steps: [./test] } }
";

/// A bare repository with one commit on `main`, and a working copy of it.
fn upstream() -> TempDir {
    let top = tempfile::tempdir().unwrap();
    git(top.path(), &["init", "-q", "--bare", "-b", "main", "r.git"]);
    git(top.path(), &["init", "-q", "-b", "main", "work"]);
    change(&top, "towpath.yaml", PIPELINE);
    push(&top, "main");
    top
}

fn change(top: &TempDir, file: &str, text: &str) {
    let work = top.path().join("work");
    std::fs::write(work.join(file), text).unwrap();
    git(&work, &["add", "--all"]);
    git(&work, &["commit", "-q", "-m", "a change"]);
}

fn push(top: &TempDir, to: &str) {
    git(&top.path().join("work"), &["push", "-q", "--force", "../r.git", &format!("HEAD:{to}")]);
    git(&top.path().join("r.git"), &["update-server-info"]);
}

fn source(url: &str) -> Source {
    Source {
        url: SourceUrl::parse(url).unwrap(),
        forge: source::Forge::Github,
        poll: Some(3600),
        fork_runs: ForkRuns::Approve,
        statuses: Statuses::Jobs,
        context: "towpath".to_owned(),
        comments: false,
    }
}

fn file(top: &Path) -> Source {
    source(&format!("file://{}/r.git", top.display()))
}

fn set(world: &World, source: &Source, token: Option<&str>) {
    let token = token.map(|token| SecretValue::from(token.to_owned()));
    let secrets = SourceSecrets { token, ..SourceSecrets::default() };
    world.run(world.engine.set_source(&shop(), source, secrets, &admin())).unwrap();
}

fn look(world: &World) -> String {
    world.run(world.engine.look(&shop())).unwrap().join("\n")
}

#[test]
fn branches_and_pull_requests_of_a_mirror_start_runs_of_the_right_trust() {
    let top = upstream();
    let mut world = World::start::<85>();
    set(&world, &file(top.path()), None);
    world.until("the first look", |world| {
        world.run(world.engine.source(&shop())).unwrap()?.contact_at.map(|_| ())
    });
    assert!(world.run(world.engine.runs(Some(&shop()), None, 9)).unwrap().is_empty());

    change(&top, "a", "1");
    push(&top, "main");
    look(&world);
    let run = world.ended_run(1);
    assert_eq!(
        (run.cause.event.as_str(), run.trust, run.state),
        ("push", Trust::Protected, RunState::Passed)
    );

    // A commit that is on no branch comes from somebody who may not push.
    change(&top, "b", "from outside");
    push(&top, "refs/pull/7/head");
    look(&world);
    let run = world.find_run(2);
    assert_eq!((run.trust, run.state), (Trust::Fork, RunState::AwaitingApproval), "{}", run.reason);
    let said = "comes from a fork; look at it, then let it run: `towpath allow shop 2`";
    assert!(run.reason.contains(said), "{}", run.reason);
    for _ in 0..20 {
        world.tick();
    }
    assert!(world.find_run(2).jobs[0].attempts.is_empty(), "nothing runs before somebody has looked");
    world.run(world.engine.allow_run(&shop(), 2, &developer())).unwrap();
    let run = world.ended_run(2);
    assert_eq!(run.state, RunState::Passed);
    let refused = world.run(world.engine.allow_run(&shop(), 2, &developer())).unwrap_err();
    assert!(refused.to_string().contains("waits for no approval"));

    // One whose commit is a branch of the repository is the repository's own.
    change(&top, "c", "from inside");
    push(&top, "feature");
    push(&top, "refs/pull/8/head");
    look(&world);
    let run = world.ended_run(3);
    assert_eq!((run.cause.event.as_str(), run.trust), ("pull_request", Trust::Internal));

    // Nobody's pull request is run where the project says so.
    set(&world, &Source { fork_runs: ForkRuns::Never, ..file(top.path()) }, None);
    change(&top, "d", "from outside");
    push(&top, "refs/pull/9/head");
    let said = look(&world);
    let known = || world.timeline().iter().any(|(_, _, text)| text.contains("runs none"));
    assert!(said.contains("runs none") || known(), "{said}");
    assert_eq!(world.run(world.engine.runs(Some(&shop()), None, 9)).unwrap().len(), 3);

    // Looking again starts nothing again.
    assert_eq!(look(&world), "");
}

/// What another Project shares with this one stays out of the hands of whoever sends a pull request.
#[test]
fn a_pull_request_of_a_fork_includes_only_what_is_shared_with_all() {
    let top = upstream();
    let mut world = World::start::<76>();
    let (commit, _) = platform(&world);
    set(&world, &file(top.path()), None);
    world.until("the first look", |world| {
        world.run(world.engine.source(&shop())).unwrap()?.contact_at.map(|_| ())
    });
    let including =
        format!("{PIPELINE}include: {{ project: platform, file: shared.yaml, commit: {commit} }}\n");
    change(&top, "towpath.yaml", &including);
    push(&top, "refs/pull/7/head");
    let said = look(&world);
    assert!(said.contains("no Run: its pipeline file is missing or has mistakes"), "{said}");
    // The very same commit, once somebody who may push has put it on a branch.
    push(&top, "feature");
    change(&top, "a", "1");
    push(&top, "feature");
    push(&top, "refs/pull/8/head");
    look(&world);
    let run = world.find_run(1);
    assert_eq!(run.trust, Trust::Internal, "{}", run.reason);
    assert_eq!(run.jobs.len(), 2, "the included Job is there: {}", run.reason);
}

/// CVE-2026-58424: who looked at one commit has not looked at the next.
#[test]
fn an_allowed_pull_request_waits_again_after_its_next_commit() {
    let top = upstream();
    let mut world = World::start::<79>();
    set(&world, &file(top.path()), None);
    world.until("the first look", |world| {
        world.run(world.engine.source(&shop())).unwrap()?.contact_at.map(|_| ())
    });
    for number in [1, 2] {
        change(&top, "b", &format!("change {number} from outside"));
        push(&top, "refs/pull/7/head");
        look(&world);
        let run = world.find_run(number);
        assert_eq!(run.state, RunState::AwaitingApproval, "{}", run.reason);
        world.run(world.engine.allow_run(&shop(), number, &developer())).unwrap();
        assert_eq!(world.ended_run(number).state, RunState::Passed);
    }
}

#[test]
fn a_source_that_fails_says_so_and_is_asked_again() {
    let top = upstream();
    let world = World::start::<86>();
    set(&world, &file(&top.path().join("nowhere")), None);
    let error = world.run(world.engine.look(&shop())).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
    let watched = world.run(world.engine.source(&shop())).unwrap().unwrap();
    assert!(watched.failures >= 1 && watched.error.contains("nowhere") && watched.next_look.is_some());
    // Towpath's own data is no source, so that one project cannot be read by way of another.
    let own = world.work().parent().unwrap().join("git/shop.git");
    set(&world, &source(&format!("file://{}", own.display())), None);
    let error = world.run(world.engine.look(&shop())).unwrap_err().to_string();
    assert!(error.contains("Towpath's own data"), "{error}");
}

#[test]
fn a_delivery_is_taken_once_whatever_its_name() {
    let top = upstream();
    let world = World::start::<45>();
    set(&world, &file(top.path()), None);
    let shop = shop();
    let deliver = |id: &str, body: &str| {
        world.run(world.engine.hook_delivered((&shop, id, body, "push"), &Hint::default())).unwrap()
    };
    assert_eq!(deliver("one", "aa"), Delivered::Taken);
    assert!(
        matches!(deliver("one", "aa"), Delivered::Before(why) if why.contains("this delivery came before"))
    );
    assert!(matches!(deliver("two", "aa"), Delivered::Before(why) if why.contains("these very bytes")));
    assert_eq!(deliver("three", "bb"), Delivered::Taken);
}

#[test]
fn credentials_to_another_host_are_never_sent() {
    let top = upstream();
    let (here, elsewhere) =
        (Forge::start(&top.path().join("r.git")), Forge::start(&top.path().join("r.git")));
    *here.redirect.lock().unwrap() = Some(format!("http://127.0.0.1:{}", elsewhere.port));
    let world = World::start::<46>();
    set(&world, &source(&here.url()), Some("hunter2"));
    let error = world.run(world.engine.look(&shop())).unwrap_err().to_string();
    assert!(error.contains("redirect") || error.contains("302"), "{error}");
    assert!(!error.contains("hunter2"));
    let asked = here.asked.lock().unwrap().clone();
    assert!(asked.iter().any(|asked| asked.authorization.is_some()), "{asked:?}");
    assert!(elsewhere.asked.lock().unwrap().is_empty(), "the other host was asked");
    // A source that moves to another host takes no secret along.
    *here.redirect.lock().unwrap() = None;
    set(&world, &source(&elsewhere.url()), None);
    let watched = world.run(world.engine.source(&shop())).unwrap().unwrap();
    assert_eq!(watched.token, None);
    let refused = world.run(world.engine.set_source(
        &shop(),
        &source("http://example.com/o/r"),
        SourceSecrets { token: Some(SecretValue::from("x".to_owned())), ..SourceSecrets::default() },
        &admin(),
    ));
    assert!(refused.unwrap_err().to_string().contains("not sent to http://example.com"));
}

#[test]
fn a_forge_is_told_of_commits_though_it_fails_at_first() {
    let top = upstream();
    let forge = Forge::start(&top.path().join("r.git"));
    forge.answers.lock().unwrap().extend(["503 Busy", "429 Slow", "502 Bad"]);
    let mut world = World::start::<47>();
    set(&world, &source(&forge.url()), Some("hunter2"));
    world.until("the first look", |world| {
        world.run(world.engine.source(&shop())).unwrap()?.contact_at.map(|_| ())
    });
    change(&top, "a", "1");
    push(&top, "main");
    look(&world);
    world.ended_run(1);
    let last = world.until("the last statuses", |_| {
        let posted = forge.posted();
        let good = |context: &str| posted.contains(&("success".to_owned(), context.to_owned()));
        (good("towpath/push") && good("towpath/push/test")).then_some(posted)
    });
    // The refused ones came again, and the newest state came last.
    assert_eq!(last.iter().rfind(|(_, context)| context == "towpath/push").unwrap().0, "success");
    let asked = forge.asked.lock().unwrap().clone();
    let post = asked.iter().find(|asked| asked.line.starts_with("POST")).unwrap();
    assert!(post.line.starts_with("POST /api/v3/repos/o/r/statuses/"), "{}", post.line);
    assert_eq!(post.authorization.as_deref(), Some("Bearer hunter2"));
}

#[test]
fn check_runs_are_made_once_then_changed_and_a_status_stands_in_where_they_are_refused() {
    let top = upstream();
    let forge = Forge::start(&top.path().join("r.git"));
    let mut world = World::start::<121>();
    let said = "::error file=cart.rs,line=7::the till is open".to_owned();
    world.agent.reports.insert("test".to_owned(), vec![(ReportKind::Annotations, said)]);
    world.agent.fates.insert("test".to_owned(), Fate::Fails);
    let key = std::process::Command::new("openssl").args(["genrsa", "2048"]).output();
    let key = key.expect("openssl makes the App's key; install it with: apt-get install openssl").stdout;
    let app = towpath_engine::github_app("42", &String::from_utf8(key).unwrap()).unwrap();
    let checks = Source { statuses: Statuses::Checks, ..source(&forge.url()) };
    set(&world, &checks, app.expose_text());
    world.until("the first look", |world| {
        world.run(world.engine.source(&shop())).unwrap()?.contact_at.map(|_| ())
    });
    change(&top, "a", "1");
    push(&top, "main");
    look(&world);
    world.ended_run(1);
    let asked = |context: &str| -> Vec<(String, serde_json::Value)> {
        let asked = forge.asked.lock().unwrap();
        let body = |asked: &crate::forge::Asked| {
            (asked.line.clone(), serde_json::from_str(&asked.body).unwrap_or_default())
        };
        asked.iter().map(body).filter(|(_, body): &(_, serde_json::Value)| body["name"] == context).collect()
    };
    let told = world.until("the job's check run is complete", |_| {
        let told = asked("towpath/push/test");
        told.last().is_some_and(|(_, body)| body["status"] == "completed").then_some(told)
    });
    let (line, last) = told.last().unwrap();
    assert!(line.starts_with("PATCH /api/v3/repos/o/r/check-runs/4 "), "{told:?}");
    let made = told.iter().filter(|(line, _)| line.starts_with("POST /api/v3/repos/o/r/check-runs ")).count();
    assert_eq!(made, 1, "{told:?}");
    assert_eq!(last["conclusion"], "failure");
    let annotation = &last["output"]["annotations"][0];
    assert_eq!((&annotation["path"], &annotation["start_line"]), (&"cart.rs".into(), &7.into()), "{last}");
    world.until("that of the run is, too", |_| {
        asked("towpath/push").last().is_some_and(|(_, body)| body["conclusion"] == "failure").then_some(())
    });

    // As GitHub sees it: a token of the App's installation, made once, and never the App's own word.
    let asked_with = |start: &str| -> Vec<String> {
        let asked = forge.asked.lock().unwrap();
        let fits = asked.iter().filter(|asked| asked.line.contains(start));
        fits.filter_map(|asked| asked.authorization.clone()).collect()
    };
    assert_eq!(asked_with("/access_tokens").len(), 1);
    assert!(asked_with("/access_tokens")[0].starts_with("Bearer ey"));
    assert!(asked_with("/check-runs").iter().all(|said| said == "Bearer ghs_minted"));
    let basic = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode("oauth2:ghs_minted"));
    assert!(asked_with("/o/r.git/").iter().all(|said| *said == basic));

    // A token that may not write check runs.
    forge.answers.lock().unwrap().push("403 Forbidden");
    change(&top, "b", "1");
    push(&top, "main");
    look(&world);
    world.until("a status takes its place", |_| {
        let asked = forge.asked.lock().unwrap();
        asked.iter().any(|asked| asked.line.starts_with("POST /api/v3/repos/o/r/statuses/")).then_some(())
    });
}
