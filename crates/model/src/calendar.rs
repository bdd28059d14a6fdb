//! Windows and freezes: when a Promotion may start, and in words why not now.
//!
//! Any window opens, any freeze closes. The wall clock of a window's own time zone decides: it is open whenever
//! that clock shows a time within its hours. So where clocks jump forward, hours that no clock shows do not
//! exist (a window from 02:30 opens at 03:00); where they are set back, hours that clocks show twice count twice.
//! What cannot be read stays closed.

use std::fmt;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

use crate::pipeline::{FreezeGate, WindowGate};

/// How far ahead an opening is looked for.
const HORIZON_DAYS: i64 = 400;

/// The days after which a window that is to open must have: a week, and one that a clock change ate.
const LONGEST_WAIT_DAYS: i64 = 15;

const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const MINUTES_OF_A_DAY: i16 = 24 * 60;

/// Whether a Promotion may start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a calendar that nobody reads holds nothing back"]
pub enum Openness {
    /// It may.
    Open {
        /// Why, for people.
        reason: String,
    },
    /// Not now.
    Closed {
        /// Why, and when it opens, for people.
        reason: String,
        /// When it opens, if it does within 400 days.
        next_open: Option<Timestamp>,
    },
}

/// Looks at all windows and freezes of a policy at one moment. Without any window, only freezes close.
pub fn openness(windows: &[&WindowGate], freezes: &[&FreezeGate], now: Timestamp) -> Openness {
    match Calendar::new(windows, freezes) {
        Ok(calendar) => calendar.openness(now),
        Err(error) => Openness::Closed {
            reason: format!("the calendar cannot be read, so it stays closed: {error}"),
            next_open: None,
        },
    }
}

/// Hours on days of the week in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    text: String,
    /// From Monday; the day on which the hours begin.
    days: [bool; 7],
    /// Minutes of the day, 0 to 1440. If `until` is the lesser, it is on the next day.
    from: i16,
    until: i16,
    timezone: TimeZone,
}

impl Window {
    /// Reads `mon-thu` or `mon,wed,fri` or `daily`, `09:00-16:00`, and an IANA time zone.
    ///
    /// # Errors
    /// Says which of them cannot be read.
    pub fn parse(days: &str, hours: &str, timezone: &str) -> Result<Self, CalendarError> {
        let (from, until) = parse_hours(hours)?;
        Ok(Self {
            text: format!("{} {} {}", days.trim(), hours.trim(), timezone.trim()),
            days: parse_days(days)?,
            from,
            until,
            timezone: parse_timezone(timezone)?,
        })
    }

    fn is_open(&self, at: Timestamp) -> bool {
        let local = at.to_zoned(self.timezone.clone()).datetime();
        let minute = i16::from(local.hour()) * 60 + i16::from(local.minute());
        let today = self.begins_on(local.date().weekday());
        if self.from < self.until {
            return today && (self.from..self.until).contains(&minute);
        }
        let yesterday = self.begins_on(local.date().weekday().previous());
        (today && minute >= self.from) || (yesterday && minute < self.until)
    }

    fn begins_on(&self, day: Weekday) -> bool {
        self.days[usize::from(day.to_monday_zero_offset().unsigned_abs())]
    }

    /// The first moment after `at` at which it opens.
    fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        let today = at.to_zoned(self.timezone.clone()).date();
        let mut moments: Vec<Timestamp> = (0..=LONGEST_WAIT_DAYS)
            .filter_map(|days| today.checked_add(days.days()).ok())
            .flat_map(|date| self.beginnings(date))
            .collect();
        // Where clocks jump, they can jump into the hours.
        let last =
            at.checked_add(SignedDuration::from_hours(LONGEST_WAIT_DAYS * 24)).unwrap_or(Timestamp::MAX);
        let jumps = self.timezone.following(at).map(|jump| jump.timestamp());
        moments.extend(jumps.take_while(|jump| *jump <= last));
        moments.sort_unstable();
        moments.into_iter().find(|moment| *moment > at && self.is_open(*moment))
    }

    /// When the hours begin on a date: twice where clocks show the time twice, never where they skip it.
    fn beginnings(&self, date: Date) -> Vec<Timestamp> {
        let Some(begin) = at_minute(date, self.from) else { return Vec::new() };
        let moment = self.timezone.to_ambiguous_timestamp(begin);
        match moment.offset() {
            AmbiguousOffset::Gap { .. } => Vec::new(),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                [moment.earlier(), moment.later()].into_iter().filter_map(Result::ok).collect()
            }
        }
    }
}

impl TryFrom<&WindowGate> for Window {
    type Error = CalendarError;
    fn try_from(gate: &WindowGate) -> Result<Self, CalendarError> {
        let WindowGate { days, hours, timezone } = gate;
        Self::parse(days, hours, timezone)
    }
}

/// A time in which nothing starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    from: Timestamp,
    until: Timestamp,
    reason: String,
    timezone: TimeZone,
}

impl Freeze {
    /// Reads two dates, or dates with times, in an IANA time zone. `until` as a date includes that whole day.
    ///
    /// Where clocks show a time twice, or skip it, the longer freeze is meant.
    ///
    /// # Errors
    /// Says which of them cannot be read, or that it ends before it begins.
    pub fn parse(from: &str, until: &str, timezone: &str, reason: &str) -> Result<Self, CalendarError> {
        let zone = parse_timezone(timezone)?;
        let start = zone.to_ambiguous_timestamp(parse_moment(from, DateMeans::ItsStart)?);
        let end = zone.to_ambiguous_timestamp(parse_moment(until, DateMeans::ItsEnd)?);
        let outside = |text: &str| CalendarError::Moment { text: text.to_owned() };
        // In a gap, `earlier` reads with the offset after the jump, so it is before the jump: the longer freeze.
        let start = start.earlier().map_err(|_| outside(from))?;
        let end = end.later().map_err(|_| outside(until))?;
        if end <= start {
            return Err(CalendarError::FreezeReversed { from: from.to_owned(), until: until.to_owned() });
        }
        Ok(Self { from: start, until: end, reason: reason.trim().to_owned(), timezone: zone })
    }

    fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}

impl TryFrom<&FreezeGate> for Freeze {
    type Error = CalendarError;
    fn try_from(gate: &FreezeGate) -> Result<Self, CalendarError> {
        let FreezeGate { from, until, timezone, reason } = gate;
        Self::parse(from, until, timezone, reason)
    }
}

/// The moment that a date, or a date and time, names in an IANA time zone. Of a time that clocks show twice, the later one.
///
/// # Errors
/// Says what of it cannot be read.
pub fn moment(text: &str, timezone: &str) -> Result<Timestamp, CalendarError> {
    let zone = parse_timezone(timezone)?;
    let named = zone.to_ambiguous_timestamp(parse_moment(text, DateMeans::ItsStart)?);
    named.later().map_err(|_| CalendarError::Moment { text: text.to_owned() })
}

struct Calendar {
    windows: Vec<Window>,
    freezes: Vec<Freeze>,
}

impl Calendar {
    fn new(windows: &[&WindowGate], freezes: &[&FreezeGate]) -> Result<Self, CalendarError> {
        let windows = windows.iter().map(|gate| Window::try_from(*gate)).collect::<Result<_, _>>()?;
        let freezes = freezes.iter().map(|gate| Freeze::try_from(*gate)).collect::<Result<_, _>>()?;
        Ok(Self { windows, freezes })
    }

    fn openness(&self, now: Timestamp) -> Openness {
        let freeze = self.freezes.iter().filter(|freeze| freeze.holds(now)).max_by_key(|freeze| freeze.until);
        let Some(freeze) = freeze else {
            return match self.open_window(now) {
                Some(reason) => Openness::Open { reason },
                None => self.closed(String::new(), now),
            };
        };
        let reason = if freeze.reason.is_empty() { String::new() } else { format!(" ({})", freeze.reason) };
        let until = Moment(freeze.until, &freeze.timezone);
        self.closed(format!("frozen until {until}{reason}"), now)
    }

    /// Says why no window closes at a moment, or nothing if all of them do.
    fn open_window(&self, at: Timestamp) -> Option<String> {
        if self.windows.is_empty() {
            return Some("no freeze is in force".to_owned());
        }
        let window = self.windows.iter().find(|window| window.is_open(at))?;
        Some(format!("window {} is open", window.text))
    }

    /// Adds the next opening to the reason for which it is closed now.
    fn closed(&self, frozen: String, now: Timestamp) -> Openness {
        let next_open = self.next_open(now);
        let opening = match next_open {
            Some(at) => self.windows.iter().find(|window| window.is_open(at)).map(|window| {
                let opens = Moment(at, &window.timezone);
                if frozen.is_empty() {
                    format!("window opens {opens}")
                } else {
                    format!("then opens {opens}")
                }
            }),
            None => Some(format!("no opening within {HORIZON_DAYS} days")),
        };
        let reason = [Some(frozen).filter(|frozen| !frozen.is_empty()), opening];
        let reason = reason.into_iter().flatten().collect::<Vec<_>>().join("; ");
        Openness::Closed { reason, next_open }
    }

    /// Goes from the end of a freeze to the next window and on to the end of its freeze, until nothing closes.
    fn next_open(&self, now: Timestamp) -> Option<Timestamp> {
        let horizon = now.checked_add(SignedDuration::from_hours(HORIZON_DAYS * 24)).ok()?;
        let mut at = now;
        while at <= horizon {
            let thaw = self.freezes.iter().filter(|freeze| freeze.holds(at)).map(|freeze| freeze.until).max();
            at = match thaw {
                Some(thaw) => thaw,
                None if self.open_window(at).is_some() => return Some(at),
                None => self.windows.iter().filter_map(|window| window.next_open(at)).min()?,
            };
        }
        None
    }
}

/// A moment as `Mon 2026-11-23 09:00 Europe/Berlin`.
struct Moment<'a>(Timestamp, &'a TimeZone);

impl fmt::Display for Moment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at, timezone) = self;
        let local: Zoned = at.to_zoned((*timezone).clone());
        let name = timezone.iana_name().unwrap_or("UTC");
        write!(f, "{} {name}", local.strftime("%a %Y-%m-%d %H:%M"))
    }
}

fn at_minute(date: Date, minute: i16) -> Option<DateTime> {
    date.to_datetime(jiff::civil::Time::midnight()).checked_add(i64::from(minute).minutes()).ok()
}

fn parse_days(text: &str) -> Result<[bool; 7], CalendarError> {
    if text.trim() == "daily" {
        return Ok([true; 7]);
    }
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (parse_day(first, text)?, parse_day(last, text)?);
        // `fri-mon` goes over the end of the week.
        let count = (last + 7 - first) % 7;
        (0..=count).for_each(|step| days[(first + step) % 7] = true);
    }
    Ok(days)
}

fn parse_day(day: &str, text: &str) -> Result<usize, CalendarError> {
    let day = day.trim();
    DAY_NAMES
        .iter()
        .position(|name| *name == day)
        .ok_or_else(|| CalendarError::Days { day: day.to_owned(), text: text.to_owned() })
}

fn parse_hours(text: &str) -> Result<(i16, i16), CalendarError> {
    let parsed =
        text.split_once('-').and_then(|(from, until)| Some((parse_minute(from)?, parse_minute(until)?)));
    let (from, until) = parsed.ok_or_else(|| CalendarError::Hours { text: text.to_owned() })?;
    if from == until || from == MINUTES_OF_A_DAY {
        return Err(CalendarError::NoHours { text: text.to_owned() });
    }
    Ok((from, until))
}

fn parse_minute(text: &str) -> Option<i16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |digits: &str| {
        let two_digits = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if two_digits { digits.parse::<i16>().ok() } else { None }
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= MINUTES_OF_A_DAY).then_some(total)
}

fn parse_timezone(name: &str) -> Result<TimeZone, CalendarError> {
    let name = name.trim();
    let unknown = |source| CalendarError::Timezone { name: name.to_owned(), source };
    TimeZoneDatabase::bundled().get(name).map_err(unknown)
}

/// What a date without a time stands for.
#[derive(Clone, Copy)]
enum DateMeans {
    ItsStart,
    ItsEnd,
}

fn parse_moment(text: &str, date_means: DateMeans) -> Result<DateTime, CalendarError> {
    let text = text.trim();
    let unreadable = || CalendarError::Moment { text: text.to_owned() };
    let moment: DateTime = text.parse().map_err(|_| unreadable())?;
    match date_means {
        DateMeans::ItsEnd if !text.contains(':') => moment.checked_add(1.day()).map_err(|_| unreadable()),
        DateMeans::ItsStart | DateMeans::ItsEnd => Ok(moment),
    }
}

/// A window or a freeze that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// A day of the week that is none.
    #[error("`{day}` in `{text}` is not a day; write `mon-thu`, `mon,wed,fri` or `daily`")]
    Days {
        /// The part.
        day: String,
        /// All of it.
        text: String,
    },
    /// Hours that are none.
    #[error("`{text}` are no hours; write `09:00-16:00`, or `22:00-04:00` across midnight")]
    Hours {
        /// What was given.
        text: String,
    },
    /// Hours that end when they begin.
    #[error("the hours `{text}` never open; write `00:00-24:00` for the whole day")]
    NoHours {
        /// What was given.
        text: String,
    },
    /// A time zone that is not in the database.
    #[error("`{name}` is not a time zone; write an IANA name such as `Europe/Berlin` or `UTC`")]
    Timezone {
        /// What was given.
        name: String,
        /// What the database says.
        #[source]
        source: jiff::Error,
    },
    /// A date or time that is none.
    #[error("`{text}` is not a date; write `2026-12-24` or `2026-12-24T18:00`")]
    Moment {
        /// What was given.
        text: String,
    },
    /// A freeze without a duration.
    #[error("the freeze ends at {until}, before it begins at {from}; swap them")]
    FreezeReversed {
        /// Its start.
        from: String,
        /// Its end.
        until: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &str, hours: &str, timezone: &str) -> WindowGate {
        WindowGate { days: days.to_owned(), hours: hours.to_owned(), timezone: timezone.to_owned() }
    }

    fn freeze(from: &str, until: &str, reason: &str) -> FreezeGate {
        FreezeGate {
            from: from.to_owned(),
            until: until.to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn say(windows: &[WindowGate], freezes: &[FreezeGate], at: &str) -> String {
        let windows: Vec<_> = windows.iter().collect();
        let freezes: Vec<_> = freezes.iter().collect();
        match openness(&windows, &freezes, at.parse().unwrap()) {
            Openness::Open { reason } => format!("open: {reason}"),
            Openness::Closed { reason, next_open } => {
                let next = next_open.map_or("never".to_owned(), |next| next.to_string());
                format!("closed: {reason} [{next}]")
            }
        }
    }

    /// At each moment, is the window of all days open?
    fn check_hours(hours: &str, moments: &[(&str, bool)]) {
        let window = Window::parse("daily", hours, "Europe/Berlin").unwrap();
        for (at, open) in moments {
            assert_eq!(window.is_open(at.parse().unwrap()), *open, "{hours} at {at}");
        }
    }

    #[test]
    fn a_window_opens_on_its_days_in_its_hours() {
        let office = [window("mon-thu", "09:00-16:00", "Europe/Berlin")];
        for (at, expected) in [
            (
                "2026-11-21T10:00:00Z",
                "closed: window opens Mon 2026-11-23 09:00 Europe/Berlin [2026-11-23T08:00:00Z]",
            ),
            (
                "2026-11-23T07:59:59Z",
                "closed: window opens Mon 2026-11-23 09:00 Europe/Berlin [2026-11-23T08:00:00Z]",
            ),
            ("2026-11-23T08:00:00Z", "open: window mon-thu 09:00-16:00 Europe/Berlin is open"),
            ("2026-11-23T14:59:59Z", "open: window mon-thu 09:00-16:00 Europe/Berlin is open"),
            (
                "2026-11-23T15:00:00Z",
                "closed: window opens Tue 2026-11-24 09:00 Europe/Berlin [2026-11-24T08:00:00Z]",
            ),
        ] {
            assert_eq!(say(&office, &[], at), expected, "{at}");
        }
    }

    #[test]
    fn any_window_opens() {
        let both = [
            window("mon", "09:00-10:00", "Europe/Berlin"),
            window("sat,sun", "20:00-22:00", "America/New_York"),
        ];
        assert_eq!(
            say(&both, &[], "2026-11-21T12:00:00Z"),
            "closed: window opens Sat 2026-11-21 20:00 America/New_York [2026-11-22T01:00:00Z]"
        );
        assert_eq!(
            say(&both, &[], "2026-11-23T08:30:00Z"),
            "open: window mon 09:00-10:00 Europe/Berlin is open"
        );
    }

    #[test]
    fn a_window_across_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = [window("fri", "22:00-04:00", "UTC")];
        for (at, open) in [
            ("2026-11-19T23:00:00Z", false),
            ("2026-11-20T03:00:00Z", false),
            ("2026-11-20T22:00:00Z", true),
            ("2026-11-21T03:59:59Z", true),
            ("2026-11-21T04:00:00Z", false),
            ("2026-11-21T22:00:00Z", false),
        ] {
            assert_eq!(say(&night, &[], at).starts_with("open"), open, "{at}");
        }
    }

    #[test]
    fn a_freeze_closes_whatever_is_open_and_says_when_it_goes_on() {
        let office = [window("mon-thu", "09:00-16:00", "Europe/Berlin")];
        let holidays = [freeze("2026-12-23", "2027-01-01", "Christmas")];
        assert_eq!(
            say(&office, &holidays, "2026-12-23T10:00:00Z"),
            "closed: frozen until Sat 2027-01-02 00:00 Europe/Berlin (Christmas); then opens Mon 2027-01-04 09:00 \
             Europe/Berlin [2027-01-04T08:00:00Z]"
        );
        // The window before it ends with it.
        assert!(say(&office, &holidays, "2026-12-22T10:00:00Z").starts_with("open"));
        assert_eq!(
            say(&office, &holidays, "2026-12-22T16:00:00Z"),
            "closed: window opens Mon 2027-01-04 09:00 Europe/Berlin [2027-01-04T08:00:00Z]"
        );
    }

    #[test]
    fn without_windows_only_freezes_close() {
        let two =
            [freeze("2026-12-24T18:00", "2026-12-26", ""), freeze("2026-12-26", "2026-12-27T12:00", "audit")];
        assert_eq!(say(&[], &two, "2026-12-24T16:59:59Z"), "open: no freeze is in force");
        assert_eq!(
            say(&[], &two, "2026-12-24T17:00:00Z"),
            "closed: frozen until Sun 2026-12-27 00:00 Europe/Berlin [2026-12-27T11:00:00Z]"
        );
        assert_eq!(say(&[], &two, "2026-12-27T11:00:00Z"), "open: no freeze is in force");
    }

    #[test]
    fn a_freeze_of_years_is_told_as_such() {
        let office = [window("mon", "09:00-16:00", "Europe/Berlin")];
        assert_eq!(
            say(&office, &[freeze("2026-01-01", "2030-12-31", "sunset")], "2026-11-21T10:00:00Z"),
            "closed: frozen until Wed 2031-01-01 00:00 Europe/Berlin (sunset); no opening within 400 days [never]"
        );
    }

    /// On 2027-03-28 clocks in Berlin go from 01:59 to 03:00 at 01:00 UTC.
    #[test]
    fn hours_that_no_clock_shows_do_not_exist() {
        check_hours(
            "02:30-04:00",
            &[
                ("2027-03-28T00:59:59Z", false),
                ("2027-03-28T01:00:00Z", true),
                ("2027-03-28T01:59:59Z", true),
                ("2027-03-28T02:00:00Z", false),
            ],
        );
        check_hours("01:00-02:30", &[("2027-03-28T00:59:59Z", true), ("2027-03-28T01:00:00Z", false)]);
        let opens = |hours: &str| say(&[window("sun", hours, "Europe/Berlin")], &[], "2027-03-27T12:00:00Z");
        assert_eq!(
            opens("02:30-04:00"),
            "closed: window opens Sun 2027-03-28 03:00 Europe/Berlin [2027-03-28T01:00:00Z]"
        );
        // All of it is skipped, so it opens a week later.
        assert_eq!(
            opens("02:10-02:50"),
            "closed: window opens Sun 2027-04-04 02:10 Europe/Berlin [2027-04-04T00:10:00Z]"
        );
    }

    /// On 2026-10-25 clocks in Berlin go from 02:59 back to 02:00 at 01:00 UTC.
    #[test]
    fn hours_that_clocks_show_twice_count_twice() {
        check_hours(
            "02:15-02:45",
            &[
                ("2026-10-25T00:14:59Z", false),
                ("2026-10-25T00:15:00Z", true),
                ("2026-10-25T00:45:00Z", false),
                ("2026-10-25T01:15:00Z", true),
                ("2026-10-25T01:45:00Z", false),
            ],
        );
        let opens = |hours: &str, at: &str| say(&[window("sun", hours, "Europe/Berlin")], &[], at);
        assert!(opens("02:15-02:45", "2026-10-25T00:50:00Z").ends_with("[2026-10-25T01:15:00Z]"));
        // The clock goes back into the hours.
        assert!(opens("01:00-02:30", "2026-10-25T00:40:00Z").ends_with("[2026-10-25T01:00:00Z]"));
    }

    #[test]
    fn a_freeze_at_a_change_of_clocks_is_the_longer_one() {
        let twice = Freeze::try_from(&freeze("2026-10-25T02:30", "2026-10-25T02:30", "")).unwrap();
        assert_eq!((twice.from, twice.until), ts("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"));
        let skipped = Freeze::try_from(&freeze("2027-03-28T02:30", "2027-03-28T03:30", "")).unwrap();
        assert_eq!((skipped.from, skipped.until), ts("2027-03-28T00:30:00Z", "2027-03-28T01:30:00Z"));
    }

    fn ts(from: &str, until: &str) -> (Timestamp, Timestamp) {
        (from.parse().unwrap(), until.parse().unwrap())
    }

    #[test]
    fn days_can_be_ranges_and_lists_and_go_over_the_weekend() {
        for (text, expected) in [
            ("daily", "1111111"),
            ("mon-thu", "1111000"),
            ("mon, wed,fri", "1010100"),
            ("fri-mon", "1000111"),
            ("sun", "0000001"),
            ("mon-tue,sat-sun", "1100011"),
        ] {
            let days = parse_days(text).unwrap().map(|day| if day { '1' } else { '0' });
            assert_eq!(days.iter().collect::<String>(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_what_to_write_and_stays_closed() {
        for (days, hours, timezone, expected) in [
            (
                "mon-thr",
                "09:00-16:00",
                "UTC",
                "`thr` in `mon-thr` is not a day; write `mon-thu`, `mon,wed,fri` or `daily`",
            ),
            ("", "09:00-16:00", "UTC", "`` in `` is not a day; write `mon-thu`, `mon,wed,fri` or `daily`"),
            (
                "mon",
                "9-16",
                "UTC",
                "`9-16` are no hours; write `09:00-16:00`, or `22:00-04:00` across midnight",
            ),
            (
                "mon",
                "09:00-24:01",
                "UTC",
                "`09:00-24:01` are no hours; write `09:00-16:00`, or `22:00-04:00` across midnight",
            ),
            (
                "mon",
                "09:00-09:00",
                "UTC",
                "the hours `09:00-09:00` never open; write `00:00-24:00` for the whole day",
            ),
            (
                "mon",
                "09:00-16:00",
                "Berlin",
                "`Berlin` is not a time zone; write an IANA name such as `Europe/Berlin` or `UTC`",
            ),
        ] {
            let error = Window::parse(days, hours, timezone).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let error = Freeze::try_from(&freeze("christmas", "2027-01-01", "")).unwrap_err();
        assert_eq!(error.to_string(), "`christmas` is not a date; write `2026-12-24` or `2026-12-24T18:00`");
        assert!(Freeze::try_from(&freeze("2027-01-02", "2027-01-01", "")).is_err());
        assert_eq!(
            say(&[window("mon", "9-16", "UTC")], &[], "2026-11-23T10:00:00Z"),
            "closed: the calendar cannot be read, so it stays closed: `9-16` are no hours; write `09:00-16:00`, or \
             `22:00-04:00` across midnight [never]"
        );
    }
}
