//! Clocks that jump, days that are rare, fields that are wrong; and a slow reference that looks at every minute.

use jiff::{SignedDuration, Timestamp};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first due moments after `from`, in UTC.
fn check(cron: &str, zone: &str, from: &str, expected: &[&str]) {
    let schedule = Cron::parse(cron, zone).unwrap();
    let mut moment = at(from);
    let mut found = Vec::new();
    for _ in expected {
        moment = schedule.due_after(moment).unwrap();
        found.push(moment.to_string());
    }
    assert_eq!(found, expected, "{cron} in {zone} after {from}");
}

#[test]
fn ordinary_days() {
    check("*/15 * * * *", "UTC", "2026-01-01T00:00:00Z", &["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"]);
    check("0 3 * * mon-fri", "UTC", "2026-01-02T03:00:00Z", &["2026-01-05T03:00:00Z"]);
    check("30 6 1 * *", "Europe/Berlin", "2026-01-01T06:00:00Z", &["2026-02-01T05:30:00Z"]);
    check("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
    check("0 0 * * 7", "UTC", "2026-01-01T00:00:00Z", &["2026-01-04T00:00:00Z"]);
    check(
        "5/20 8,20 * JAN *",
        "UTC",
        "2026-01-31T20:10:00Z",
        &["2026-01-31T20:25:00Z", "2026-01-31T20:45:00Z", "2027-01-01T08:05:00Z"],
    );
    check("@daily", "UTC", "2026-01-01T00:00:00Z", &["2026-01-02T00:00:00Z"]);
    // Day and weekday both given: either is enough.
    check(
        "0 0 13 * fri",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"],
    );
}

#[test]
fn a_skipped_hour_is_due_once_after_the_gap() {
    // Berlin jumps from 02:00 to 03:00 at 01:00Z on 2026-03-29.
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    );
    check(
        "*/20 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:40:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z"],
    );
    // Samoa left out the 30th of December 2011.
    check(
        "0 12 30 12 *",
        "Pacific/Apia",
        "2011-12-01T00:00:00Z",
        &["2011-12-30T10:00:00Z", "2012-12-29T22:00:00Z"],
    );
}

#[test]
fn a_doubled_hour_is_due_once_unless_every_hour_is() {
    // Berlin goes from 03:00 back to 02:00 at 01:00Z on 2026-10-25.
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    );
    check(
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-25T00:10:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"],
    );
    // Lord Howe moves by half an hour.
    check(
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-04T00:00:00Z",
        &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
    );
}

#[test]
fn mistakes_are_named() {
    for (cron, zone, expected) in [
        ("* * * *", "UTC", "five fields"),
        ("60 * * * *", "UTC", "`60` is not from 0 to 59"),
        ("* 25 * * *", "UTC", "is no hour"),
        ("* * * foo *", "UTC", "is no month"),
        ("*/0 * * * *", "UTC", "a step is a number"),
        ("30-10 * * * *", "UTC", "begins at 30"),
        ("0 0 31 2 *", "UTC", "never due"),
        ("* * * * *", "Mars/Olympus", "no time zone"),
        (", * * * *", "UTC", "is no minute"),
    ] {
        let error = Cron::parse(cron, zone).unwrap_err().to_string();
        assert!(error.contains(expected), "{cron}: {error}");
    }
}

#[test]
fn agrees_with_a_clock_that_is_looked_at_every_minute() {
    // In zones without jumps every local minute comes once, so looking at each of them is the whole truth.
    for (cron, zone) in
        [("7 */5 * * *", "UTC"), ("*/13 1-4 */2 * *", "Asia/Tokyo"), ("0 22 1-7 * sat", "UTC")]
    {
        let schedule = Cron::parse(cron, zone).unwrap();
        let tz = TimeZone::get(zone).unwrap();
        let start = at("2026-02-20T00:00:00Z");
        let mut fast = schedule.due_after(start).unwrap();
        for minute in 1..60 * 24 * 20 {
            let moment = start + SignedDuration::from_mins(minute);
            let local = moment.to_zoned(tz.clone());
            let due = schedule.fits(local.date()).0
                && schedule.hours.contains(&local.hour())
                && schedule.minutes.contains(&local.minute());
            assert_eq!(due, moment == fast, "{cron} at {moment}");
            if due {
                fast = schedule.due_after(moment).unwrap();
            }
        }
    }
}

#[test]
fn missed_times_are_counted_with_a_bound() {
    let schedule = Cron::parse("0 * * * *", "UTC").unwrap();
    let (from, until) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T05:30:00Z"));
    assert_eq!(schedule.count(from, until, 100), 5);
    assert_eq!(schedule.count(from, until, 3), 3);
}
