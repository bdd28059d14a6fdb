//! Secrets of a local run: from a file, or typed. They are kept in memory only.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::Context as _;
use towpath_agent::executor::SHORTEST_SECRET;
use towpath_api::agent::Secret;
use towpath_model::pipeline::{Job, SecretName};
use towpath_model::run::Trust;

use crate::failure::{Failure, Kind};
use crate::prompt;

/// The secrets that a person gave, by name.
pub type Secrets = BTreeMap<SecretName, Secret>;

/// Brings together what `jobs` ask for: from `file`, then by asking for `named`, and on a protected ref for
/// everything else. On other refs a Job has no secrets on a server, so none is missing here.
///
/// # Errors
/// Fails where a secret cannot be had, or none of the Jobs asks for a named one.
pub fn gather<'j>(
    jobs: impl Iterator<Item = &'j Job>,
    named: &[String],
    file: Option<&Path>,
    trust: Trust,
) -> anyhow::Result<Secrets> {
    let mut asked: BTreeMap<&SecretName, &Job> = BTreeMap::new();
    for job in jobs {
        for name in &job.secrets {
            asked.entry(name).or_insert(job);
        }
    }
    let mut secrets = file.map(read).transpose()?.unwrap_or_default();
    for name in named {
        let name: SecretName = name.parse()?;
        if !asked.contains_key(&name) {
            let what = format!("no job of this run asks for the secret `{name}`");
            return Err(Failure::new(Kind::Usage, what).hint("a job asks by `secrets: [NAME]`").into());
        }
        let value = prompt::secret(&format!("Secret {name}"))?;
        secrets.insert(name, Secret::new(value));
    }
    if trust == Trust::Protected {
        for (name, job) in &asked {
            if !secrets.contains_key(name) {
                secrets.insert((*name).clone(), ask(name, job)?);
            }
        }
    }
    secrets.retain(|name, _| asked.contains_key(name));
    for (name, _) in secrets.iter().filter(|(_, secret)| secret.expose().len() < SHORTEST_SECRET) {
        let least = SHORTEST_SECRET;
        anstream::eprintln!(
            "warning: secret {name} is shorter than {least} bytes, so it is not masked in the output"
        );
    }
    Ok(secrets)
}

fn ask(name: &SecretName, job: &Job) -> anyhow::Result<Secret> {
    if !io::stdin().is_terminal() {
        let what = format!("job `{}` asks for the secret `{name}`, and nobody is here to type it", job.name);
        let hint = format!(
            "give it by `--secret-file FILE` with a line `{name}=…`, or by `--secret {name}` from a pipe"
        );
        return Err(Failure::new(Kind::Usage, what).hint(hint).into());
    }
    Ok(Secret::new(prompt::secret(&format!("Secret {name}, for job {}", job.name))?))
}

fn read(file: &Path) -> anyhow::Result<Secrets> {
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let mut secrets = Secrets::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        // The line itself is not shown: it may be a secret.
        let place = || format!("{}:{number}: expected NAME=value", file.display());
        let (name, value) = line.split_once('=').ok_or_else(|| Failure::new(Kind::Usage, place()))?;
        let name = name.trim().parse::<SecretName>().map_err(|_| Failure::new(Kind::Usage, place()))?;
        secrets.insert(name, Secret::new(value.to_owned()));
    }
    Ok(secrets)
}
