//! The texts that are written.

use std::path::Path;

use towpath_model::ProjectName;

use super::Kind;

/// What is particular to a kind: how it is tested, built, packed and started.
struct Recipe {
    test: Vec<String>,
    build: Vec<String>,
    files: String,
    command: String,
    /// What the author should look at first.
    note: &'static str,
}

const GENERIC_NOTE: &str = "Check that `files` names what the build makes, and `command` what starts it.";

/// The pipeline file.
pub(super) fn pipeline(kind: Kind, name: &ProjectName, directory: &Path) -> String {
    let Recipe { test, build, files, command, note } = recipe(kind, name, directory);
    let steps = |lines: &[String]| {
        lines.iter().map(|line| format!("      - run: {}\n", quoted(line))).collect::<String>()
    };
    let (test, build) = (steps(&test), steps(&build));
    format!(
        "\
# What happens to a commit, from push to production.
#   towpath lint    checks this file        towpath plan    shows what it would do, and why
#   towpath run     runs the jobs here      towpath schema  prints the schema for your editor
# {note}
name: {name}

on:
  push: main      # a push to main starts a Run; so does `towpath start`
  tag: v*         # and a tag such as v1.2.0, which also names the version

jobs:
  test:
    steps:
{test}
  build:
    needs: [test]
    steps:
{build}    # Files that are packed, named by digest and sealed into the Release.
    # From here to production nothing can build them again.
    artifacts:
      {name}: {{ files: [{files}] }}

workloads:
  {name}:
    # Runs where the artifact was unpacked. HOST and PORT are in its environment:
    # it must listen there.
    command: {command}
    # Without paths, an Instance is ready when its port accepts. Better:
    # health: {{ ready: /health/ready, live: /health/live }}
    stop: {{ signal: TERM, grace: 20s }}

stages:
  - name: dev
    environments: [dev]
    deploy: {{ strategy: recreate }}

  - name: staging
    needs: [dev]
    environments: [staging]
    deploy: {{ strategy: recreate }}
    verify:
      - http: /

  - name: production
    needs: [staging]
    environments: [production]
    # The same Release must have run in staging for a while. The approvals
    # that production asks for stand in .towpath/production.yaml.
    gates:
      - soak: {{ environment: staging, for: 10m }}
    # Traffic moves in steps; at each one the new version is compared with the old.
    deploy:
      strategy: canary
      steps:
        - {{ weight: 5%, for: 5m }}
        - {{ weight: 25%, for: 5m }}
        - {{ weight: 50%, for: 5m }}
    analysis:
      error_rate: {{ max_increase: 0.5pp }}
    on_failure: rollback
"
    )
}

/// A step as a YAML scalar that means exactly its text.
fn quoted(line: &str) -> String {
    if line.contains(": ")
        || line.contains(" #")
        || line.starts_with(['[', '{', '"', '\'', '&', '*', '!', '%', '@', '`', '-'])
    {
        format!("'{}'", line.replace('\'', "''"))
    } else {
        line.to_owned()
    }
}

fn recipe(kind: Kind, name: &ProjectName, directory: &Path) -> Recipe {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let own = |test: &[&str], build: &[&str], files: &str, command: &str| Recipe {
        test: lines(test),
        build: lines(build),
        files: files.to_owned(),
        command: command.to_owned(),
        note: GENERIC_NOTE,
    };
    match kind {
        Kind::Cargo => {
            let package = toml_name(directory, "Cargo.toml", "[package]");
            let binary = package.unwrap_or_else(|| name.to_string());
            own(
                &["cargo test --locked"],
                &["cargo build --release --locked"],
                &format!("target/release/{binary}"),
                &format!("./{binary}"),
            )
        }
        Kind::Npm => {
            // `npm ci` wants a lock file.
            let locked = directory.join("package-lock.json").exists();
            let install = if locked { "npm ci" } else { "npm install" };
            own(
                &[install, "npm test --if-present"],
                &[install, "npm run build --if-present", "npm prune --omit=dev"],
                "'**'",
                &node_start(directory),
            )
        }
        Kind::Pnpm => own(
            &["pnpm install --frozen-lockfile", "pnpm run --if-present test"],
            &["pnpm install --frozen-lockfile", "pnpm run --if-present build"],
            "'**'",
            &node_start(directory),
        ),
        Kind::Yarn => own(
            &["yarn install --immutable", "yarn test"],
            &["yarn install --immutable", "yarn build"],
            "'**'",
            &node_start(directory),
        ),
        Kind::Python => own(
            &["python3 -m venv .venv", ".venv/bin/pip install . pytest", ".venv/bin/pytest"],
            &["python3 -m pip wheel --wheel-dir wheels ."],
            "'wheels/**'",
            &format!(
                "python3 -m venv .venv && .venv/bin/pip install --no-index --find-links wheels wheels/*.whl && exec .venv/bin/python -m {}",
                toml_name(directory, "pyproject.toml", "[project]")
                    .unwrap_or_else(|| name.to_string())
                    .replace('-', "_")
            ),
        ),
        Kind::PythonRequirements => own(
            &[
                "python3 -m venv .venv",
                ".venv/bin/pip install -r requirements.txt",
                ".venv/bin/python -m unittest discover",
            ],
            &["python3 -m pip install --target vendor -r requirements.txt"],
            "'**'",
            "PYTHONPATH=vendor exec python3 app.py",
        ),
        Kind::Go => own(
            &["go vet ./...", "go test ./..."],
            &["mkdir -p out", "go build -o out/app ."],
            "out/app",
            "./app",
        ),
        Kind::Maven => own(
            &["mvn -B verify"],
            &["mvn -B package -DskipTests"],
            "'target/*.jar'",
            "exec java -jar target/*.jar --server.port=$PORT",
        ),
        Kind::Gradle => own(
            &["./gradlew check"],
            &["./gradlew assemble"],
            "'build/libs/*.jar'",
            "exec java -jar build/libs/*.jar --server.port=$PORT",
        ),
        Kind::CMake => own(
            &["cmake -B out", "cmake --build out", "ctest --test-dir out --output-on-failure"],
            &["cmake -B out -DCMAKE_BUILD_TYPE=Release", "cmake --build out"],
            &format!("out/{name}"),
            &format!("./{name}"),
        ),
        Kind::Make => own(&["make test"], &["make"], name.as_str(), &format!("./{name}")),
        Kind::Ruby => own(
            &["bundle config set --local path vendor/bundle", "bundle install", "bundle exec rake test"],
            &["bundle config set --local path vendor/bundle", "bundle install"],
            "'**'",
            "exec bundle exec rackup --host $HOST --port $PORT",
        ),
        Kind::Php => own(
            &["composer install", "composer validate --strict"],
            &["composer install --no-dev --optimize-autoloader"],
            "'**'",
            "exec php -S $HOST:$PORT -t public",
        ),
        Kind::DotNet => own(
            &["dotnet test"],
            &["dotnet publish --configuration Release --output out"],
            "'out/**'",
            &format!("exec dotnet out/{name}.dll --urls http://$HOST:$PORT"),
        ),
        Kind::Static => own(
            &["test -s index.html"],
            &[
                "mkdir -p site",
                "find . -mindepth 1 -maxdepth 1 ! -name site ! -name '.*' -exec cp -R {} site/ ';'",
            ],
            "'site/**'",
            "exec python3 -m http.server --bind $HOST --directory site $PORT",
        ),
        Kind::Dockerfile => Recipe {
            note: "This directory has a Dockerfile. An artifact can be the image: `artifacts: { NAME: { image: . } }`; Environments on hosts start files, so build the program itself here.",
            ..own(&["test -f Dockerfile"], &["make"], name.as_str(), &format!("./{name}"))
        },
        Kind::Unknown => own(
            &["true"],
            &["mkdir -p out", "date > out/index.html"],
            "'out/**'",
            "exec python3 -m http.server --bind $HOST --directory out $PORT",
        ),
    }
}

/// What starts a project of Node: its `start` script where that is a plain call of node, which gets signals itself.
fn node_start(directory: &Path) -> String {
    let script = || -> Option<String> {
        let manifest = std::fs::read(directory.join("package.json")).ok()?;
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).ok()?;
        let start = manifest.pointer("/scripts/start")?.as_str()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || " ./_-=".contains(c);
        Some(if start.starts_with("node ") && start.chars().all(plain) {
            start.to_owned()
        } else {
            "npm start".to_owned()
        })
    };
    script().unwrap_or_else(|| "node server.js".to_owned())
}

/// The name that a section of a manifest gives, which names a crate's binary and a Python package too.
fn toml_name(directory: &Path, file: &str, section: &str) -> Option<String> {
    let manifest = std::fs::read_to_string(directory.join(file)).ok()?;
    let package = manifest.split(section).nth(1)?;
    let line = package.lines().map(str::trim).find(|line| line.starts_with("name") && line.contains('='))?;
    let name = line.split('"').nth(1)?;
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    plain.then(|| name.to_owned())
}

/// The environment documents: name and text.
pub(super) fn environments(name: &ProjectName) -> Vec<(&'static str, String)> {
    vec![
        ("dev", document(name, "dev", 8081, 1, "")),
        ("staging", document(name, "staging", 8082, 2, "")),
        ("production", document(name, "production", 8080, 3, PRODUCTION)),
    ]
}

/// The document of one more Environment; the last on the route is the one that users meet.
pub(super) fn environment(name: &ProjectName, environment: &str, port: u16, is_last: bool) -> String {
    let (instances, rest) = if is_last { (3, PRODUCTION) } else { (1, "") };
    document(name, environment, port, instances, rest)
}

fn document(name: &ProjectName, environment: &str, port: u16, instances: u32, rest: &str) -> String {
    format!(
        "\
# Applied with `towpath apply`; a commit alone changes nothing here.
environment: {environment}
project: {name}
listen: 127.0.0.1:{port}
target: {{ instances: {instances} }}
{rest}"
    )
}

/// What guards the Environment that users meet.
const PRODUCTION: &str = "\
allow: { refs: [refs/heads/main, refs/tags/v*] }
gates:
  - approval: { by: [release-manager], count: 1, expires: 24h, self_approval: deny }
  # Rollouts start in these hours only. The way back is always open.
  # - window: { days: mon-thu, hours: \"09:00-16:00\", timezone: Europe/Berlin }
values: {}
# Names only; `towpath secret set` gives the values.
secrets: []
";

/// What to do next.
pub(super) fn next(kind: Kind, name: &ProjectName) -> String {
    let image = match kind {
        Kind::Dockerfile => {
            "\nNote: Environments on hosts start files. To seal the image too, write `artifacts: { image: { image: . } }` in a job.\n"
        }
        _ => "",
    };
    format!(
        "\
Next:
  1. Read towpath.yaml; check `files` and `command`.
  2. towpath lint                      checks the files
     towpath plan                      shows what a push to main would do
     towpath run                       runs the jobs here
  3. towpath serve                     starts a server, if there is none
     towpath login                     signs in to it
     towpath project create {name}
     towpath apply {name} .towpath/*.yaml
                                       gives it the environments
  4. git add . && git commit           a push takes what is committed
     git remote add towpath http://127.0.0.1:7878/git/{name}.git
     git push towpath main             the answer says what runs and what waits
{image}"
    )
}
