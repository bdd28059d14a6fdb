//! Times, sizes and shares as people read them.

use jiff::Timestamp;

/// `42s`, `3m 05s`, `2h 10m`, `3d 4h`.
pub fn duration(from: Timestamp, to: Timestamp) -> String {
    seconds(to.duration_since(from).as_secs().max(0))
}

/// As [`duration`], and with tenths below ten seconds, where a Step's time matters.
pub fn fine_duration(from: Timestamp, to: Timestamp) -> String {
    let milliseconds = to.duration_since(from).as_millis().max(0);
    if milliseconds < 10_000 {
        format!("{}.{}s", milliseconds / 1000, milliseconds % 1000 / 100)
    } else {
        duration(from, to)
    }
}

fn seconds(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// `just now`, `5 min ago`, `in 4 s`, `in 2 h`, `3 days ago`. `time.js` keeps it true with the same words.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let difference = now.duration_since(at).as_secs();
    let amount = match difference.abs() {
        0..10 if difference >= 0 => return "just now".to_owned(),
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    };
    if difference < 0 { format!("in {amount}") } else { format!("{amount} ago") }
}

/// `2026-11-21 14:03:07 UTC`.
pub fn absolute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `812 B`, `4.2 MB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit < UNITS.len() - 1 {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Thousandths as percent: `5 %`, `12.5 %`.
pub fn share(thousandths: u32) -> String {
    if thousandths.is_multiple_of(10) {
        format!("{} %", thousandths / 10)
    } else {
        format!("{}.{} %", thousandths / 10, thousandths % 10)
    }
}

/// `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Errors among requests: `0.42 %`, or a dash without requests.
pub fn error_rate(errors: u64, requests: u64) -> String {
    if requests == 0 { "–".to_owned() } else { format!("{:.2} %", errors as f64 * 100.0 / requests as f64) }
}

/// The first twelve characters of a hash, without `sha256:`.
pub fn short(digest: &str) -> &str {
    let hash = digest.strip_prefix("sha256:").unwrap_or(digest);
    hash.get(..12).unwrap_or(hash)
}

/// The first eight characters of a commit.
pub fn short_commit(sha: &str) -> &str {
    sha.get(..8).unwrap_or(sha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_times_as_people_do() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let before = |seconds: i64| Timestamp::from_second(1_000_000 - seconds).unwrap();
        assert_eq!(relative(before(3), now), "just now");
        assert_eq!(relative(before(300), now), "5 min ago");
        assert_eq!(relative(before(-7200), now), "in 2 h");
        assert_eq!(relative(before(-4), now), "in 4 s");
        assert_eq!(relative(before(400_000), now), "4 days ago");
        assert_eq!(duration(before(185), now), "3m 05s");
        assert_eq!(duration(now, before(5)), "0s");
        assert_eq!(fine_duration(before(4), now), "4.0s");
    }

    #[test]
    fn says_amounts_as_people_do() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(4_200_000), "4.2 MB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(share(50), "5 %");
        assert_eq!(share(125), "12.5 %");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(error_rate(1, 0), "–");
        assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short("é"), "é");
    }
}
