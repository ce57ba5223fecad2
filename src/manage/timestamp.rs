//! Times as journalctl(1) takes them (systemd.time(7)): `2026-11-30 12:00`, `yesterday`, `-1h`.

use chrono::{
    DateTime, Days, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
};

/// Reads a time; `now` and the result are in milliseconds since the epoch.
///
/// # Errors
/// What is not a time.
pub(crate) fn parse(text: &str, now: i64) -> Result<i64, String> {
    let trimmed = text.trim();
    read(trimmed, now).ok_or_else(|| {
        format!("{text:?} is not a time, such as \"-1h\", \"yesterday\" or \"2026-11-30 12:00\"")
    })
}

fn read(text: &str, now: i64) -> Option<i64> {
    if let Some(seconds) = text.strip_prefix('@') {
        return span(seconds, &["s"]);
    }
    if let Some(ago) = text.strip_prefix('-').or_else(|| text.strip_suffix(" ago")) {
        return now.checked_sub(span(ago, UNITS_ALL)?);
    }
    if let Some(ahead) = text.strip_prefix('+').or_else(|| text.strip_suffix(" left")) {
        return now.checked_add(span(ahead, UNITS_ALL)?);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let (text, is_utc) = match text.strip_suffix(" UTC").or_else(|| text.strip_suffix('Z')) {
        Some(text) => (text, true),
        None => (text, false),
    };
    let now_utc = DateTime::from_timestamp_millis(now)?;
    let today =
        if is_utc { now_utc.date_naive() } else { now_utc.with_timezone(&Local).date_naive() };
    let local = match text {
        "now" => return Some(now),
        "today" => today.and_time(NaiveTime::MIN),
        "yesterday" => today.checked_sub_days(Days::new(1))?.and_time(NaiveTime::MIN),
        "tomorrow" => today.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN),
        _ => date_and_time(without_weekday(text), today)?,
    };
    if is_utc {
        return Some(Utc.from_utc_datetime(&local).timestamp_millis());
    }
    // Summer time begins by leaving an hour out.
    let found = Local.from_local_datetime(&local).earliest();
    let later = || Local.from_local_datetime(&(local + TimeDelta::hours(1))).earliest();
    found.or_else(later).map(|time| time.timestamp_millis())
}

fn without_weekday(text: &str) -> &str {
    match text.split_once(' ') {
        Some((day, rest)) if day.parse::<chrono::Weekday>().is_ok() => rest.trim_start(),
        _ => text,
    }
}

fn date_and_time(text: &str, today: NaiveDate) -> Option<NaiveDateTime> {
    let date = |text: &str| {
        let format = if text.find('-') == Some(2) { "%y-%m-%d" } else { "%Y-%m-%d" };
        NaiveDate::parse_from_str(text, format).ok()
    };
    let time = |text: &str| {
        let formats = ["%H:%M:%S%.f", "%H:%M"];
        formats.iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())
    };
    match text.split_once([' ', 'T']) {
        Some((day, rest)) => Some(date(day)?.and_time(time(rest.trim_start())?)),
        None if text.contains(':') => Some(today.and_time(time(text)?)),
        None => Some(date(text)?.and_time(NaiveTime::MIN)),
    }
}

/// Each unit of time, in milliseconds, with its names.
const UNITS: [(f64, &[&str]); 9] = [
    (0.001, &["us", "usec", "\u{b5}s", "\u{3bc}s"]),
    (1.0, &["ms", "msec"]),
    (1000.0, &["s", "sec", "second", "seconds"]),
    (60_000.0, &["m", "min", "minute", "minutes"]),
    (3_600_000.0, &["h", "hr", "hour", "hours"]),
    (86_400_000.0, &["d", "day", "days"]),
    (604_800_000.0, &["w", "week", "weeks"]),
    (2_629_800_000.0, &["M", "month", "months"]),
    (31_557_600_000.0, &["y", "year", "years"]),
];

/// Any unit may be named.
const UNITS_ALL: &[&str] = &[];

/// A length of time such as `1h 30min`, in milliseconds. A number without a unit is seconds.
/// `allowed` are the names of the units, or none for all.
fn span(text: &str, allowed: &[&str]) -> Option<i64> {
    let mut rest = text.trim();
    let mut millis = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        let after = after.trim_start();
        let end = after.find(|letter: char| !letter.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = if unit.is_empty() { "s" } else { unit };
        if !allowed.is_empty() && !allowed.contains(&unit) {
            return None;
        }
        let (length, _) = UNITS.iter().find(|(_, names)| names.contains(&unit))?;
        millis += number.parse::<f64>().ok()? * length;
        rest = after.trim_start();
    }
    // A float becomes the nearest integer: no time is beyond that.
    (millis < 1e18).then_some(millis as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_journalctl_takes_them() {
        // 2026-11-30 12:34:56 UTC
        let now = 1_796_042_096_000;
        for (text, expected) in [
            ("now", now),
            ("-1h", now - 3_600_000),
            ("- 1h 30min", now - 5_400_000),
            ("2 days ago", now - 2 * 86_400_000),
            ("-90", now - 90_000),
            ("+1.5s", now + 1500),
            ("1h30m left", now + 5_400_000),
            ("@7", 7000),
            ("@7.25", 7250),
            ("2026-11-30T13:34:56.5+01:00", now + 500),
            ("2026-11-30 12:34:56 UTC", now),
            ("Mon 2026-11-30 12:34 UTC", now - 56_000),
            ("26-11-30 UTC", now - 45_296_000),
            ("12:34:56 UTC", now),
            ("today UTC", now - 45_296_000),
            ("yesterday UTC", now - 45_296_000 - 86_400_000),
            ("tomorrow UTC", now - 45_296_000 + 86_400_000),
        ] {
            assert_eq!(parse(text, now), Ok(expected), "{text}");
        }
        let local = Local.timestamp_millis_opt(now).unwrap().format("%F %T").to_string();
        assert_eq!(parse(&local, now), Ok(now));
        for text in
            ["", "-", "@", "x", "1h", "-1 fortnight", "2026-13-01", "25:00", "-99999999999y", "@1h"]
        {
            assert!(parse(text, now).unwrap_err().contains("is not a time"), "{text}");
        }
    }
}
