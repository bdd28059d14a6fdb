//! The small notations: durations, shares, sizes, cores.

use jiff::SignedDuration;

/// Reads `90s`, `5m`, `2h`, `1d`, `1h30m`.
pub(crate) fn duration(text: &str) -> Option<SignedDuration> {
    if text == "0" {
        return Some(SignedDuration::ZERO);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        total = total.checked_add(number.checked_mul(milliseconds(&rest[..unit])?)?)?;
        rest = &rest[unit..];
    }
    let total = i64::try_from(total).ok()?;
    (!text.is_empty()).then(|| SignedDuration::from_millis(total))
}

/// Reads a regular expression, of bounded size.
pub(crate) fn pattern(text: &str) -> Result<regex::Regex, String> {
    let short = |error: regex::Error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    };
    regex::RegexBuilder::new(text).size_limit(1 << 20).build().map_err(short)
}

fn milliseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    })
}

/// Writes a duration as the pipeline file writes it: `1h30m`.
#[must_use]
pub fn show_duration(duration: SignedDuration) -> String {
    let mut rest = duration.as_millis();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

/// Reads `5%` or `0.5pp` as a fraction, from 0 to 1.
pub(crate) fn share(text: &str) -> Option<f64> {
    let number = text.strip_suffix("pp").or_else(|| text.strip_suffix('%'))?.trim_end();
    let plain = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let percent: f64 = number.parse().ok().filter(|_| plain)?;
    (percent <= 100.0).then_some(percent / 100.0)
}

/// Reads `512MiB`, `1GB`, `1024` as bytes.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// Reads `500m` or `1.5` as thousandths of a core.
pub(crate) fn cpu(text: &str) -> Option<u32> {
    let plain = |number: &str| number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let milli = match text.strip_suffix('m') {
        Some(milli) => milli.parse().ok()?,
        None if plain(text) => {
            let milli = text.parse::<f64>().ok()? * 1000.0;
            if milli > 1_000_000.0 {
                return None;
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and a million"
            )]
            let milli = milli.round() as u32;
            milli
        }
        None => return None,
    };
    (milli > 0).then_some(milli)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("1h30m"), Some(5400));
        assert_eq!(seconds("2d"), Some(172_800));
        for bad in ["", "5", "m", "5x", "-5m", "1.5h", "99999999999999999999d", "9999999999999999w"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(show_duration(SignedDuration::from_secs(5400)), "1h30m");
    }

    #[test]
    fn reads_shares() {
        assert_eq!(share("5%"), Some(0.05));
        assert_eq!(share("0.5pp"), Some(0.005));
        for bad in ["5", "%", "-1%", "101%", "NaN%", "inf%", "1e1%"] {
            assert_eq!(share(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_sizes_and_cores() {
        assert_eq!(size("512MiB"), Some(512 << 20));
        assert_eq!(size("1 GB"), Some(1_000_000_000));
        assert_eq!(size("0"), None);
        assert_eq!(size("99999999999GiB"), None);
        assert_eq!(cpu("500m"), Some(500));
        assert_eq!(cpu("1.5"), Some(1500));
        assert_eq!(cpu("0"), None);
    }
}
