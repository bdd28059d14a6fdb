//! What every benchmark does with its figures.

use std::fs;

use anyhow::Result;
use serde::Serialize;

/// Writes `target/bench/NAME.json`.
pub(super) fn write(name: &str, report: &impl Serialize) -> Result<()> {
    fs::create_dir_all("target/bench")?;
    let path = format!("target/bench/{name}.json");
    fs::write(&path, serde_json::to_vec_pretty(report)?)?;
    println!("written to {path}");
    Ok(())
}

/// The value that `share` of the others do not exceed; 0 of none.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

/// The value in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// How busy the machine was with other things.
pub(super) fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_nearest_rank() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((quantile(&values, 0.99) - 99.0).abs() < 1e-9);
        assert!((median(&values) - 50.0).abs() < 1e-9);
        assert!((quantile(&[7.0], 0.99) - 7.0).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }
}
