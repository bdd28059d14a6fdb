//! Caches of a Job, and what a Step says of what it reads and makes.

use towpath_model::JobName;
use towpath_model::pipeline::EnvValue;
use towpath_model::reuse::{CacheDeclaration, KeepWorkspace, KeyPart, Save, StepInputs, VERIFY};

use super::{Placed, Places, Role, check_relative, patterns};
use crate::diagnostic::{Problem, Report};
use crate::fields::{Fields, Located, items, text};
use crate::spec::cache::{CACHE, INPUTS, KEY_FILE};
use crate::tree::{Node, Value};

/// The most caches of one Job.
const MAX_CACHES: usize = 10;

/// One cache, or a list of them.
pub(super) fn caches(
    fields: &mut Fields<'_, '_>,
    job: &JobName,
    places: &mut Places,
) -> Vec<CacheDeclaration> {
    let report = fields.report;
    let Some(entry) = fields.entry("cache") else { return Vec::new() };
    let nodes = items(&entry.value);
    if nodes.len() > MAX_CACHES {
        let message = format!("job `{job}` has {} caches; {MAX_CACHES} are enough", nodes.len());
        report.at(
            &entry.key_span,
            Problem::error("too-many-caches", message).hint("one cache may have several `paths`"),
        );
    }
    nodes
        .filter_map(|node| {
            let mut cache = Fields::open(node, &node.span, &CACHE, report)?;
            let key = key(&mut cache, job, places);
            let restore = cache.texts("restore").into_iter().map(|text| value(text, job, places)).collect();
            let paths = cache.texts("paths");
            for path in &paths {
                // What is below `~/` must not leave it either.
                let below = path.value.strip_prefix("~/").unwrap_or(&path.value).to_owned();
                check_relative(&Located { value: below, span: path.span.clone() }, "paths", report);
            }
            let save = match cache.choice("save") {
                Some("always") => Save::Always,
                Some("never") => Save::Never,
                _ => Save::OnSuccess,
            };
            cache.close();
            let paths = paths.into_iter().map(|path| path.value).collect();
            Some(CacheDeclaration { key, restore, paths, save })
        })
        .collect()
}

fn key(fields: &mut Fields<'_, '_>, job: &JobName, places: &mut Places) -> Vec<KeyPart> {
    let report = fields.report;
    let Some(entry) = fields.entry("key") else { return Vec::new() };
    let part = |node: &Node| {
        if matches!(node.value, Value::Map(_)) {
            let mut file = Fields::open(node, &node.span, &KEY_FILE, report)?;
            let files = patterns(&mut file, "file");
            file.close();
            return Some(KeyPart::Files(files));
        }
        text(node, "key", report).map(|text| KeyPart::Text(value(text, job, places)))
    };
    items(&entry.value).filter_map(part).collect()
}

/// A text that may hold `${{ }}`.
fn value(text: Located<String>, job: &JobName, places: &mut Places) -> EnvValue {
    let value = EnvValue(text.value.clone());
    if value.is_expression() {
        places.expressions.push(Placed { job: Some(job.clone()), text, role: Role::Value });
    }
    value
}

/// `inputs`, `outputs` and `verify` of a Step.
pub(super) fn inputs(fields: &mut Fields<'_, '_>, secrets: &[String]) -> Option<StepInputs> {
    let report = fields.report;
    let outputs_place = fields.key_place_of("outputs");
    let outputs = patterns(fields, "outputs");
    let verify = fields.share("verify");
    let Some(entry) = fields.entry("inputs") else {
        if let Some(place) = outputs_place {
            let problem = Problem::error("outputs-without-inputs", "a step with `outputs` needs `inputs`")
                .hint(
                    "name what it reads: `inputs: [src/**]`; files for later jobs are `artifacts` of the job",
                );
            report.at(&place, problem);
        }
        return None;
    };
    let (files, env) = if matches!(entry.value.value, Value::Map(_)) {
        let mut map = Fields::open(&entry.value, &entry.key_span, &INPUTS, report)?;
        let files = patterns(&mut map, "files");
        let env = map.texts("env");
        map.close();
        refuse_secrets(&env, secrets, report);
        (files, env.into_iter().map(|name| name.value).collect())
    } else {
        let files: Vec<_> = items(&entry.value).filter_map(|item| text(item, "inputs", report)).collect();
        files.iter().for_each(|file| check_relative(file, "inputs", report));
        (files.into_iter().map(|file| file.value).collect(), Vec::new())
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share lies between 0 and 1"
    )]
    let verify = verify.map_or(VERIFY, |share| (share.value * 1000.0).round() as u32);
    Some(StepInputs { files, env, outputs, verify })
}

/// A key is shown to people, and a short secret could be guessed from its digest.
fn refuse_secrets(env: &[Located<String>], secrets: &[String], report: &Report<'_>) {
    for name in env.iter().filter(|name| secrets.contains(&name.value)) {
        let message = format!("`{}` is a secret, which cannot be an input of a step", name.value);
        report.at(
            &name.span,
            Problem::error("secret-input", message)
                .hint("leave the step without `inputs`, or the name out of `env`"),
        );
    }
}

/// `workspace`.
pub(super) fn workspace(fields: &mut Fields<'_, '_>) -> KeepWorkspace {
    match fields.choice("workspace") {
        Some("always") => KeepWorkspace::Always,
        Some("never") => KeepWorkspace::Never,
        _ => KeepWorkspace::OnFailure,
    }
}
