//! Comments that speak to Towpath: `-- towpath: phase contract`, `-- towpath: allow lock, the table has 40 rows`.

use std::ops::Range;

use towpath_model::migration::Phase;

use crate::split::Comment;
use crate::{Misunderstood, RiskKind};

/// What the comments before and in a statement say.
#[derive(Debug, Default)]
pub(crate) struct Directives {
    pub(crate) phase: Option<(Phase, Range<usize>)>,
    pub(crate) allowed: Vec<(RiskKind, String)>,
    pub(crate) misunderstood: Vec<Misunderstood>,
}

/// Reads comments; those that do not begin with `towpath:` are nobody's business.
pub(crate) fn read(comments: &[Comment]) -> Directives {
    let mut directives = Directives::default();
    for comment in comments {
        let Some(words) = comment.text.trim().strip_prefix("towpath:") else { continue };
        if let Err(reason) = take(words.trim(), comment, &mut directives) {
            directives.misunderstood.push(Misunderstood { span: comment.span.clone(), reason });
        }
    }
    directives
}

fn take(words: &str, comment: &Comment, directives: &mut Directives) -> Result<(), String> {
    let (verb, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    match verb {
        "phase" => {
            let phase = match rest.trim() {
                "expand" => Phase::Expand,
                "migrate" => Phase::Migrate,
                "contract" => Phase::Contract,
                other => return Err(format!("`{other}` is no phase: write expand, migrate or contract")),
            };
            directives.phase = Some((phase, comment.span.clone()));
        }
        "allow" => {
            let (word, reason) = rest.split_once(',').unwrap_or((rest, ""));
            let (word, reason) = (word.trim(), reason.trim());
            let Some(kind) = RiskKind::ALL.into_iter().find(|kind| kind.word() == word) else {
                return Err(format!("`{word}` is no risk: write data-loss, break, lock or unread"));
            };
            if reason.is_empty() {
                return Err(format!("say why: `-- towpath: allow {word}, the table has 40 rows`"));
            }
            directives.allowed.push((kind, reason.to_owned()));
        }
        other => return Err(format!("`{other}` means nothing here: write `phase` or `allow`")),
    }
    Ok(())
}
