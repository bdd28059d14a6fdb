//! The reference of the command line, made from what the program itself parses, so that it cannot drift.
//!
//! Regenerate with `UPDATE=1 cargo test -p towpath reference`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use crate::Cli;

/// What the program reads beside what its flags name.
const MORE: &[(&str, &str)] = &[
    ("HOME", "where `~/.config/towpath` and `~/.local/share/towpath` are"),
    ("NO_COLOR", "any value: no colours; they are left out anyway where the output is no terminal"),
    (
        "TOWPATH_LOG",
        "what `serve`, `agent` and `gateway` log: `info` unless told otherwise, `towpath_engine=debug`",
    ),
    ("XDG_CONFIG_HOME", "where `towpath login` keeps its tokens, instead of `~/.config`"),
    ("XDG_DATA_HOME", "where the data directory is by default, instead of `~/.local/share`"),
];

fn check(file: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, generated).expect("the reference can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == generated,
        "docs/reference/{file} is out of date; run: UPDATE=1 cargo test -p towpath reference"
    );
}

#[test]
fn command_line_is_current() {
    let mut root = Cli::command();
    root.build();
    let mut page = String::from(
        "# The command line\n\n<!-- Generated from what the program parses. Regenerate with: UPDATE=1 cargo test -p towpath reference -->\n\n\
         Every command that talks to a server takes `--url`, `--token` and `--json`; [exit codes](exit-codes.md) and\n\
         [environment variables](environment-variables.md) have pages of their own.\n",
    );
    for command in root.get_subcommands() {
        describe(command, "towpath", 2, &mut page);
    }
    check("cli.md", &page);
}

fn describe(command: &Command, parent: &str, level: usize, page: &mut String) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").split_whitespace().collect::<Vec<_>>().join(" ");
    let marks = "#".repeat(level);
    write!(page, "\n{marks} {name}\n\n{about}\n\n```\n{usage}\n```\n").expect("text grows");
    let shown = |argument: &&Arg| !argument.is_hide_set() && !is_common(argument);
    let rows: Vec<String> = command.get_arguments().filter(shown).map(row).collect();
    if !rows.is_empty() {
        write!(page, "\n| Argument | Meaning |\n| --- | --- |\n{}\n", rows.join("\n")).expect("text grows");
    }
    for below in command.get_subcommands() {
        describe(below, &name, level + 1, page);
    }
}

/// Whether the page says it once for all: what clap adds to each command, and how a server is found.
fn is_common(argument: &Arg) -> bool {
    let action = argument.get_action();
    let of_clap =
        matches!(action, ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version);
    of_clap || argument.is_global_set() && ["url", "token", "json"].contains(&argument.get_id().as_str())
}

fn row(argument: &Arg) -> String {
    let value = argument.get_value_names().map(|names| names[0].to_string()).unwrap_or_default();
    let takes = argument.get_action().takes_values();
    let name = match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("--{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, None) => value.clone(),
    };
    let name = if takes && argument.get_long().is_some() { format!("{name} <{value}>") } else { name };
    let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
    if !meaning.ends_with('.') {
        meaning.push('.');
    }
    let words: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes && !words.is_empty() {
        write!(meaning, " One of {}.", words.join(", ")).expect("text grows");
    }
    let default = argument.get_default_values().first().and_then(|value| value.to_str()).unwrap_or_default();
    if takes && !default.is_empty() {
        write!(meaning, " Default: `{default}`.").expect("text grows");
    }
    if let Some(variable) = argument.get_env().and_then(|variable| variable.to_str()) {
        write!(meaning, " `{variable}` sets it too.").expect("text grows");
    }
    format!("| `{name}` | {meaning} |")
}

#[test]
fn environment_variables_are_current() {
    let mut found: BTreeMap<String, String> =
        MORE.iter().map(|(name, meaning)| ((*name).to_owned(), (*meaning).to_owned())).collect();
    let mut root = Cli::command();
    root.build();
    gather(&root, &mut found);
    let mut page = String::from(
        "# Environment variables\n\n<!-- Generated from what the program parses. Regenerate with: UPDATE=1 cargo test -p towpath reference -->\n\n\
         A flag wins over its variable, a variable over the configuration file, the file over the default.\n\
         What jobs and instances find in their environment stands in [the pipeline file](towpath-yaml.md).\n\n\
         | Variable | Meaning |\n| --- | --- |\n",
    );
    for (name, meaning) in found {
        writeln!(page, "| `{name}` | {meaning} |").expect("text grows");
    }
    check("environment-variables.md", &page);
}

fn gather(command: &Command, found: &mut BTreeMap<String, String>) {
    for argument in command.get_arguments() {
        let (Some(name), Some(long)) =
            (argument.get_env().and_then(|name| name.to_str()), argument.get_long())
        else {
            continue;
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        found.entry(name.to_owned()).or_insert_with(|| format!("`--{long}`: {help}"));
    }
    for below in command.get_subcommands() {
        gather(below, found);
    }
}
