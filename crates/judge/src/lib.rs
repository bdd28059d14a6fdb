//! Verdicts from measurements: sequential statistics and thresholds.
