//! `limits` of a Job.

use towpath_model::JobLimits;

use crate::fields::{Fields, wrong_kind};
use crate::spec::limits::JOB_LIMITS;
use crate::values;

pub(super) fn lower(fields: &mut Fields<'_, '_>) -> JobLimits {
    let report = fields.report;
    let Some(entry) = fields.entry("limits") else { return JobLimits::default() };
    let Some(mut limits) = Fields::open(&entry.value, &entry.key_span, &JOB_LIMITS, report) else {
        return JobLimits::default();
    };
    let memory = size(&mut limits, "memory");
    let disk = size(&mut limits, "disk");
    let cpu = limits.node("cpu").and_then(|node| {
        let cpu = node.scalar().and_then(values::cpu);
        if cpu.is_none() {
            let problem = wrong_kind("cpu", "a number of cores", node).hint("write it as `1.5` or `500m`");
            limits.bad(node, problem);
        }
        cpu
    });
    let processes = limits.integer("processes").and_then(|number| u32::try_from(number).ok());
    limits.close();
    JobLimits { memory, cpu, processes, disk }
}

fn size(limits: &mut Fields<'_, '_>, key: &'static str) -> Option<u64> {
    let node = limits.node(key)?;
    let bytes = node.scalar().and_then(values::size);
    if bytes.is_none() {
        limits.bad(node, wrong_kind(key, "a size", node).hint("write it as `512MiB` or `1GB`"));
    }
    bytes
}
