//! LCOV tracefiles.
//!
//! Lines are counted from `DA`, branches from `BRDA`; the sums that a file claims (`LF`, `LH`) are not looked at.

use std::collections::BTreeMap;

use super::{Coverage, EXPECTED, Files, Share};
use crate::ReportError;

pub(super) fn read(text: &str) -> Result<Coverage, ReportError> {
    let mut files = Files::default();
    let mut branches: BTreeMap<(String, String), bool> = BTreeMap::new();
    let mut open: Option<String> = None;
    let mut known = false;
    let mut odd: Option<usize> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line == "end_of_record" {
            open = None;
            continue;
        }
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        match (key, &open) {
            ("SF", _) => {
                known = true;
                open = Some(value.to_owned());
            }
            ("DA", Some(path)) => match da(value) {
                Some((line, hits)) => files.line(path, line, hits),
                None => odd = odd.or(Some(number)),
            },
            ("BRDA", Some(path)) => {
                // line,block,branch,taken: `-` means that the line was never reached.
                if let Some((place, taken)) = value.rsplit_once(',') {
                    let taken = taken.parse::<u64>().is_ok_and(|taken| taken > 0);
                    *branches.entry((path.clone(), place.to_owned())).or_default() |= taken;
                }
            }
            _ => {}
        }
    }
    if !known {
        let found = if text.trim().is_empty() { "empty" } else { "text without an `SF:` line" };
        return Err(ReportError::unknown(EXPECTED, found.to_owned()));
    }
    let unfinished = open.map(|path| format!("it breaks off within {path}: its writer did not finish"));
    let odd = odd.map(|line| format!("line {line} and others like it cannot be read"));
    let mut share = Share::default();
    branches.values().for_each(|taken| share.add(Share::one(*taken)));
    Ok(files.coverage("lcov", share, unfinished.or(odd)))
}

/// `line,hits[,checksum]`. Hits may be negative or fractional where a tool counts oddly; only zero is none.
fn da(value: &str) -> Option<(u32, bool)> {
    let mut parts = value.split(',');
    let line = parts.next()?.trim().parse().ok()?;
    let hits: f64 = parts.next()?.trim().parse().ok()?;
    Some((line, hits > 0.0))
}
