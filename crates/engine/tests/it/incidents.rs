//! What went wrong elsewhere, tried here: names and messages that a stranger chooses.

use std::path::Path;
use std::process::Command;

use towpath_engine::RefChange;

use crate::world::World;

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
    let mut world = World::start::<61>();
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
    let mut world = World::start::<62>();
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
    let mut world = World::start::<63>();
    let pipeline = "name: shop\non: { push: { branches: [main] } }\njobs:\n  test: { steps: [\"echo ${{ branch }}\"] }\n";
    let said = world.push(&[("towpath.yaml", pipeline)]).join("\n");
    assert!(said.contains("${{") && said.contains("env"), "{said}");
    assert!(world.agent.given.is_empty());
    world.tick();
    assert!(world.agent.given.is_empty());
}
