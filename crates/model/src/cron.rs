//! When a schedule is due: five fields of cron, read in a time zone.
//!
//! Local clocks skip an hour in spring and repeat one in autumn. A time that a clock skips is due at the first moment
//! after the gap, once. A time that comes twice is due the first time only; a schedule for every hour (`*` as the hour)
//! follows real time instead and is due both times.

use std::fmt;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};
use serde::{Deserialize, Serialize};

/// How far ahead a due time is looked for. Between two 29ths of February on the same weekday lie 40 years at most.
const HORIZON_YEARS: i64 = 41;

/// A schedule: five fields and the zone whose clock they speak of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Cron {
    text: String,
    zone: String,
    minutes: Vec<i8>,
    hours: Vec<i8>,
    days: Field,
    months: Field,
    weekdays: Field,
}

/// A schedule as files and rows write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    cron: String,
    timezone: String,
}

/// The values of a field, and whether it leaves anything out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    values: Vec<i8>,
    restricted: bool,
}

impl Field {
    fn has(&self, value: i8) -> bool {
        self.values.contains(&value)
    }
}

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCron {
    /// The wrong number of fields.
    #[error("a schedule has five fields (minute hour day month weekday), not {count}")]
    Fields {
        /// How many there are.
        count: usize,
    },
    /// A field that cannot be read.
    #[error("`{text}` is no {field}: {why}")]
    Field {
        /// Which.
        field: &'static str,
        /// What was written.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// An unknown zone.
    #[error(
        "there is no time zone `{zone}`; write a name of the IANA list, such as `Europe/Berlin` or `UTC`"
    )]
    Zone {
        /// What was written.
        zone: String,
    },
    /// A day that no year has.
    #[error("`{text}` is never due: no such day exists")]
    Never {
        /// The schedule.
        text: String,
    },
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Names for schedules that are often meant.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

impl Cron {
    /// Reads a schedule.
    ///
    /// # Errors
    /// Says which field is wrong, and how.
    pub fn parse(text: &str, zone: &str) -> Result<Self, InvalidCron> {
        let text = text.trim();
        let plain = NICKNAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        let plain = plain.map_or(text, |(_, plain)| plain);
        let fields: Vec<&str> = plain.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(InvalidCron::Fields { count: fields.len() });
        };
        if TimeZone::get(zone).is_err() {
            return Err(InvalidCron::Zone { zone: zone.chars().take(64).collect() });
        }
        let mut weekdays = field("weekday", weekday, 0, 7, &WEEKDAYS, 0)?;
        // Sunday is 0 and 7.
        if weekdays.values.last() == Some(&7) {
            weekdays.values.pop();
            if !weekdays.has(0) {
                weekdays.values.insert(0, 0);
            }
        }
        let cron = Self {
            text: text.to_owned(),
            zone: zone.to_owned(),
            minutes: field("minute", minute, 0, 59, &[], 0)?.values,
            hours: field("hour", hour, 0, 23, &[], 0)?.values,
            days: field("day", day, 1, 31, &[], 0)?,
            months: field("month", month, 1, 12, &MONTHS, 1)?,
            weekdays,
        };
        // A leap year has every day that any year has.
        match cron.due_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(cron),
            None => Err(InvalidCron::Never { text: text.to_owned() }),
        }
    }

    /// The five fields as they were written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The zone's name.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The first moment after `now` at which it is due; `None` only where the calendar ends.
    #[must_use]
    pub fn due_after(&self, now: Timestamp) -> Option<Timestamp> {
        let zone = TimeZone::get(&self.zone).ok()?;
        // A day back, so that a clock that is set back, or a date that a zone skips, hides nothing.
        let today = now.to_zoned(zone.clone()).date();
        let mut date = today.checked_sub(Span::new().days(1)).ok()?;
        let horizon = today.checked_add(Span::new().years(HORIZON_YEARS)).unwrap_or(Date::MAX);
        while date <= horizon {
            let (fits, next) = self.fits(date);
            if let Some(due) = fits.then(|| self.due_on(date, &zone, now)).flatten() {
                return Some(due);
            }
            date = next?;
        }
        None
    }

    /// Whether a date is one of the schedule's, and the next date to look at: a month that is left out is skipped whole.
    fn fits(&self, date: Date) -> (bool, Option<Date>) {
        let tomorrow = date.tomorrow().ok();
        if !self.months.has(date.month()) {
            let next = date.last_of_month().tomorrow().ok();
            return (false, next);
        }
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(number(date.weekday()));
        // As in every cron: where day and weekday are both given, one of them is enough.
        let fits =
            if self.days.restricted && self.weekdays.restricted { day || weekday } else { day && weekday };
        (fits, tomorrow)
    }

    /// The first due moment after `now` of one local date.
    fn due_on(&self, date: Date, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let mut best: Option<Timestamp> = None;
        for &hour in &self.hours {
            // An hour whose last minute is over, also where it comes twice, has nothing to give.
            if moments(date, hour, 59, zone).into_iter().flatten().all(|moment| moment <= now) {
                continue;
            }
            for &minute in &self.minutes {
                let [first, second] = moments(date, hour, minute, zone);
                // First moments never go back, so nothing better follows.
                if best.is_some_and(|best| first.is_some_and(|first| first > best)) {
                    return best;
                }
                let second = second.filter(|_| self.hours.len() == 24);
                let later = [first, second].into_iter().flatten().filter(|moment| *moment > now);
                best = later.chain(best).min();
            }
        }
        best
    }

    /// How many due moments lie in `(after, until]`, counted up to `most`.
    #[must_use]
    pub fn count(&self, after: Timestamp, until: Timestamp, most: u32) -> u32 {
        let mut count = 0;
        let mut at = after;
        while count < most {
            match self.due_after(at) {
                Some(due) if due <= until => {
                    count += 1;
                    at = due;
                }
                Some(_) | None => break,
            }
        }
        count
    }
}

/// The moments at which a zone's clock shows a time: one, two in a fold, and for a gap the moment after it.
fn moments(date: Date, hour: i8, minute: i8, zone: &TimeZone) -> [Option<Timestamp>; 2] {
    let local = date.to_datetime(Time::constant(hour, minute, 0, 0));
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(local).ok(), None],
        AmbiguousOffset::Gap { before, .. } => {
            [before.to_timestamp(local).ok().map(|inside| end_of_gap(zone, inside)), None]
        }
        AmbiguousOffset::Fold { before, after } => {
            [before.to_timestamp(local).ok(), after.to_timestamp(local).ok()]
        }
    }
}

/// The moment at which a zone's clock has jumped forward; `inside` is in the hour after the jump.
fn end_of_gap(zone: &TimeZone, inside: Timestamp) -> Timestamp {
    let just_after = inside.saturating_add(SignedDuration::from_secs(1)).unwrap_or(inside);
    zone.preceding(just_after).next().map_or(inside, |transition| transition.timestamp())
}

fn number(weekday: Weekday) -> i8 {
    weekday.to_sunday_zero_offset()
}

/// Reads one field: lists, ranges, steps and names.
fn field(
    name: &'static str,
    text: &str,
    min: i8,
    max: i8,
    names: &[&str],
    first: i8,
) -> Result<Field, InvalidCron> {
    let bad = |why: String| InvalidCron::Field { field: name, text: text.chars().take(64).collect(), why };
    let value = |word: &str| -> Result<i8, InvalidCron> {
        let lower = word.to_ascii_lowercase();
        if let Some(index) = names.iter().position(|known| lower == *known) {
            return Ok(i8::try_from(index).unwrap_or(0) + first);
        }
        let number =
            word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse::<i8>().ok()).flatten();
        match number {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(bad(format!(
                "`{}` is not from {min} to {max}",
                word.chars().take(16).collect::<String>()
            ))),
        }
    };
    let mut chosen = [false; 60];
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => {
                let step = step.parse::<u8>().ok().filter(|step| (1..=60).contains(step));
                (range, Some(step.ok_or_else(|| bad("a step is a number from 1".to_owned()))?))
            }
        };
        let (low, high) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((low, high)) => (value(low)?, value(high)?),
            None => {
                let low = value(range)?;
                // `5/15` begins at 5 and goes on to the end, as everywhere.
                (low, if step.is_some() { max } else { low })
            }
        };
        if low > high {
            return Err(bad(format!("the range begins at {low}, after its end {high}")));
        }
        for number in (low..=high).step_by(usize::from(step.unwrap_or(1))) {
            chosen[usize::from(number.unsigned_abs())] = true;
        }
    }
    let values: Vec<i8> = (min..=max).filter(|number| chosen[usize::from(number.unsigned_abs())]).collect();
    Ok(Field { values, restricted: !text.starts_with('*') })
}

impl TryFrom<Written> for Cron {
    type Error = InvalidCron;
    fn try_from(written: Written) -> Result<Self, InvalidCron> {
        Self::parse(&written.cron, &written.timezone)
    }
}

impl From<Cron> for Written {
    fn from(cron: Cron) -> Self {
        Self { cron: cron.text, timezone: cron.zone }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in {}", self.text, self.zone)
    }
}

#[cfg(test)]
mod tests;
