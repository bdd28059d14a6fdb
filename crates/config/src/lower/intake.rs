//! How Releases come in: `promote`, `queue`, `after_rollback`, `unrevoke`.

use towpath_model::intake::{AfterRollback, Intake, Promote, Queue};
use towpath_model::revocation::Unrevoke;

use super::trigger::cron;
use crate::fields::{Fields, choice};
use crate::spec::intake::{PROMOTE_WORDS, SCHEDULED};
use crate::tree::Value;

/// What an Environment's document says.
pub(super) fn intake(fields: &mut Fields<'_, '_>) -> Intake {
    let promote = promote(fields);
    let queue = match fields.choice("queue") {
        Some("queued") => Queue::Queued,
        Some("parallel") => Queue::Parallel,
        _ => Queue::Superseded,
    };
    let after_rollback = match fields.choice("after_rollback") {
        Some("bisect") => AfterRollback::Bisect,
        _ => AfterRollback::Wait,
    };
    let unrevoke = match fields.choice("unrevoke") {
        Some("together") => Unrevoke::Together,
        _ => Unrevoke::Alone,
    };
    Intake { promote, queue, after_rollback, unrevoke }
}

/// Whether Releases come by themselves.
pub(super) fn promote(fields: &mut Fields<'_, '_>) -> Promote {
    let report = fields.report;
    let Some(entry) = fields.entry("promote") else { return Promote::Automatic };
    if !matches!(entry.value.value, Value::Map(_)) {
        return match choice(&entry.value, "promote", PROMOTE_WORDS, report) {
            Some("manual") => Promote::Manual,
            _ => Promote::Automatic,
        };
    }
    let Some(mut scheduled) = Fields::open(&entry.value, &entry.key_span, &SCHEDULED, report) else {
        return Promote::Automatic;
    };
    let (text, zone) = (scheduled.text("schedule"), scheduled.text("timezone"));
    scheduled.close();
    let cron = text.and_then(|text| cron(&text, zone.as_ref(), report));
    cron.map_or(Promote::Automatic, Promote::Scheduled)
}
