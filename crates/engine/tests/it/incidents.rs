//! What went wrong elsewhere, tried here: names and messages that a stranger chooses.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use towpath_artifact::SecretValue;
use towpath_engine::RefChange;
use towpath_model::run::Trust;

use crate::world::{World, admin, developer, shop};

/// Names that git takes for a branch and that a shell or an option parser would take for something else.
const NAMES: &[&str] = &[
    "--upload-pack=touch${IFS}hacked",
    "-oProxyCommand=touch${IFS}hacked",
    "a$(touch${IFS}hacked)",
    "`touch${IFS}hacked`",
    "\";touch${IFS}hacked;\"",
    "';touch${IFS}hacked;'",
    "a|touch${IFS}hacked",
    "a&&touch${IFS}hacked",
    "$IFS",
    "%s%n",
    "ünïcode",
];

const MESSAGE: &str = "$(touch hacked) `touch hacked` \"; touch hacked; \" ${{ secrets.KEY }}\n\n::set-env name=X::y\u{1b}]0;evil\u{7}";

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Pushes a commit to `name` with a real git and tells the engine.
fn push(world: &World, name: &str, message: &str) -> RefChange {
    let work = world.work();
    git(&work, &["commit", "-q", "--allow-empty", "-m", message]);
    let reference = format!("refs/heads/{name}");
    let bare = world.work().parent().unwrap().join("git/shop.git");
    git(&work, &["push", "-q", bare.to_str().unwrap(), &format!("HEAD:{reference}")]);
    RefChange { name: reference, old: None, new: Some(git(&work, &["rev-parse", "HEAD"])) }
}

fn hacked(world: &World) -> bool {
    let places = [
        world.work(),
        world.work().parent().unwrap().to_owned(),
        world.work().parent().unwrap().join("git/shop.git"),
    ];
    places.iter().any(|place| place.join("hacked").exists()) || Path::new("hacked").exists()
}

/// CVE-2026-40938 and Ultralytics 2024: the name of a ref is data, for git as for Jobs.
#[test]
fn a_ref_is_never_an_option_of_git() {
    let mut world = World::start::<70>();
    let pipeline =
        "name: shop\non: { push: { branches: ['**'] } }\njobs:\n  test: { steps: [\"echo $TOWPATH_REF\"] }\n";
    world.commit(&[("towpath.yaml", pipeline)]);
    for (number, name) in (1..).zip(NAMES) {
        let change = push(&world, name, "a change");
        world.tell(&change);
        let run = world.ended_run(number);
        assert_eq!(run.cause.reference, change.name, "{}", run.reason);
        assert!(run.source.is_some(), "{name}: its tree was not found: {}", run.reason);
        assert!(!hacked(&world), "{name} was executed");
    }
}

/// CVE-2023-49291: values reach a Step as its environment, and the script stays what the file says.
#[test]
fn a_branch_name_and_a_commit_message_are_never_shell_text() {
    let mut world = World::start::<71>();
    let pipeline = "name: shop\non: { push: { branches: ['**'] } }\njobs:\n  test:\n    env: { NAME: \"${{ branch }}\" }\n    \
        steps: [\"echo $NAME\"]\n";
    world.commit(&[("towpath.yaml", pipeline)]);
    for (number, name) in (1..).zip(NAMES) {
        world.tell(&push(&world, name, MESSAGE));
        let run = world.ended_run(number);
        let given = world.agent.given.iter().rfind(|given| given.title.ends_with("test")).unwrap();
        assert_eq!(given.steps[0].run, "echo $NAME", "{}", run.reason);
        assert_eq!(given.env["NAME"], *name);
        assert_eq!(given.env["TOWPATH_REF"], format!("refs/heads/{name}"));
        assert!(!hacked(&world), "{name} was executed");
    }
}

/// The linter refuses what would splice a value into a script.
#[test]
fn a_script_that_holds_an_expression_is_refused() {
    let mut world = World::start::<72>();
    let pipeline = "name: shop\non: { push: { branches: [main] } }\njobs:\n  test: { steps: [\"echo ${{ branch }}\"] }\n";
    let said = world.push(&[("towpath.yaml", pipeline)]).join("\n");
    assert!(said.contains("${{") && said.contains("env"), "{said}");
    assert!(world.agent.given.is_empty());
    world.tick();
    assert!(world.agent.given.is_empty());
}

/// CVE-2026-8716: a tag is never the branch of its name, and has nothing of what that branch may.
#[test]
fn a_tag_with_the_name_of_a_branch_is_not_that_branch() {
    let mut world = World::start::<77>();
    let pipeline = "name: shop\non: { push: { branches: ['**'] }, tag: '**', manual: {} }\njobs:\n  test: { steps: [make] }\n";
    world.commit(&[("towpath.yaml", pipeline)]);
    world.tell(&push(&world, "main", "the branch"));
    let main = world.ended_run(1);
    assert_eq!((main.cause.event.as_str(), main.trust), ("push", Trust::Protected));

    git(&world.work(), &["commit", "-q", "--allow-empty", "-m", "the tag"]);
    let bare = world.work().parent().unwrap().join("git/shop.git");
    git(&world.work(), &["push", "-q", bare.to_str().unwrap(), "HEAD:refs/tags/main"]);
    let tagged = git(&world.work(), &["rev-parse", "HEAD"]);
    world.tell(&RefChange { name: "refs/tags/main".to_owned(), old: None, new: Some(tagged.clone()) });
    let tag = world.ended_run(2);
    assert_eq!((tag.cause.commit.as_str(), tag.trust), (tagged.as_str(), Trust::Internal));
    // A person who says `main` means the branch.
    let run = world.run(world.engine.start_run(&shop(), "main", &BTreeMap::new(), &developer())).unwrap();
    assert_eq!((run.cause.reference.as_str(), run.cause.commit), ("refs/heads/main", main.cause.commit));
}

/// CVE-2021-41077: a Job that names a secret gets it on a protected ref, and nowhere else.
#[test]
fn only_a_protected_run_is_given_secrets() {
    let mut world = World::start::<78>();
    let (name, value) = ("TOKEN".parse().unwrap(), SecretValue::new(b"s3cret".to_vec()));
    world.run(world.engine.set_secret(&shop(), None, &name, &value, &developer())).unwrap();
    let pipeline = "name: shop\non: { push: { branches: ['**'] } }\njobs:\n  test: { secrets: [TOKEN], steps: [make] }\n";
    world.commit(&[("towpath.yaml", pipeline)]);
    for (number, name, given) in [(1, "main", true), (2, "feature", false)] {
        world.tell(&push(&world, name, "a change"));
        world.ended_run(number);
        let order = world.agent.given.last().unwrap();
        assert_eq!(order.secrets.contains_key("TOKEN"), given, "{name}");
    }
}

/// CVE-2022-39309: nothing that an agent is told holds a key of the server, or a secret that its Job was not granted.
#[test]
fn no_key_of_the_server_reaches_an_agent() {
    let mut world = World::start::<119>();
    for (name, value) in [("TOKEN", "granted-s3cret"), ("OTHER", "another-s3cret")] {
        let value = SecretValue::new(value.as_bytes().to_vec());
        world
            .run(world.engine.set_secret(&shop(), None, &name.parse().unwrap(), &value, &developer()))
            .unwrap();
    }
    let pipeline = "name: shop\non: { push: { branches: [main] } }\njobs:\n  test: { secrets: [TOKEN], steps: [make] }\n  \
        other: { steps: [make] }\n";
    world.commit(&[("towpath.yaml", pipeline)]);
    world.tell(&push(&world, "main", "a change"));
    world.ended_run(1);
    let keys = world.work().parent().unwrap().join("keys");
    let mut forbidden = vec![b"another-s3cret".to_vec()];
    for key in std::fs::read_dir(&keys).unwrap() {
        let bytes = std::fs::read(key.unwrap().path()).unwrap();
        // In the file, as text, and as what its text stands for.
        let lines = String::from_utf8_lossy(&bytes).into_owned();
        forbidden.extend(lines.lines().filter(|line| line.len() > 20).map(|line| line.as_bytes().to_vec()));
        forbidden.push(bytes);
    }
    assert!(forbidden.len() > 2, "no key was found in {}", keys.display());
    assert_eq!(world.agent.given.len(), 2);
    for given in &world.agent.given {
        let said = serde_json::to_vec(given).unwrap();
        let held = |key: &Vec<u8>| said.windows(key.len()).any(|window| window == key);
        assert!(!forbidden.iter().any(held), "{} was told a key", given.title);
        let own = b"granted-s3cret".to_vec();
        assert_eq!(held(&own), given.title.ends_with("test"), "{}", given.title);
    }
}

/// CVE-2024-6385: whoever starts, tries again or resumes a Run does it as themselves, and gets nothing that was another's.
#[test]
fn a_run_is_never_started_as_somebody_else() {
    let mut world = World::start::<120>();
    let pipeline =
        "name: shop\non: { push: { branches: [main] }, manual: true }\njobs:\n  test: { steps: [make] }\n";
    world.commit(&[("towpath.yaml", pipeline)]);
    world.agent.fates.insert("test".to_owned(), crate::agent::Fate::Fails);
    world.tell(&push(&world, "main", "a change"));
    let pushed = world.ended_run(1);

    // Another person's rerun is theirs in the timeline; whose the Run was stays what it was.
    let other = admin();
    assert_ne!(other.login, developer().login);
    world.run(world.engine.rerun(&shop(), 1, &other)).unwrap();
    let again = world.ended_run(1);
    assert_eq!((again.cause.actor, again.trust), (pushed.cause.actor, pushed.trust));
    let said = world.timeline();
    let rerun = said.iter().find(|(_, _, text)| text.starts_with(&other.login) && text.contains("shop#1"));
    assert!(rerun.is_some(), "who tried it again is not told: {said:?}");

    // A start by hand is the caller's own, whoever pushed the commit, and nobody can name another.
    let run = world.run(world.engine.start_run(&shop(), "main", &BTreeMap::new(), &other)).unwrap();
    assert_eq!(run.cause.actor.name(), other.login);
    assert_eq!(run.cause.event, "manual");
    let inputs = BTreeMap::from([("actor".to_owned(), developer().login)]);
    let refused = world.run(world.engine.start_run(&shop(), "main", &inputs, &other)).unwrap_err();
    assert!(refused.to_string().contains("actor"), "{refused}");
}
