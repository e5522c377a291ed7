//! Times as they are typed and shown: UTC, to the microsecond, in the proleptic Gregorian calendar.
//! Refuses time zones: where a time is shown or read, it is UTC and ends in Z.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::quantity::parse_duration;

const DAY_SECONDS: i64 = 86_400;

/// A time as it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    At(SystemTime),
    Ago(Duration),
}

impl Since {
    /// The time that is meant, when it is `now`.
    pub(crate) fn at(self, now: SystemTime) -> SystemTime {
        match self {
            Since::At(time) => time,
            Since::Ago(ago) => now.checked_sub(ago).unwrap_or(UNIX_EPOCH),
        }
    }
}

/// Reads `2026-01-31`, `2026-01-31T12:00:00Z`, `2026-01-31T12:00:00.5Z`, or how long ago: `90s`, `2h`.
pub(crate) fn parse_since(text: &str) -> Result<Since, String> {
    let is_date = text.bytes().filter(|byte| *byte == b'-').count() == 2;
    let wrong = || {
        format!("{text:?} is no time: write 2026-01-31, 2026-01-31T12:00:00Z, or how long ago, such as 15m")
    };
    if !is_date {
        return parse_duration(text).map(Since::Ago).map_err(|_| wrong());
    }
    parse_date(text).map(Since::At).ok_or_else(wrong)
}

fn parse_date(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let time = time.strip_suffix('Z').unwrap_or(time);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = match time.split(':').count() {
        2 => numbers(&format!("{time}:00"), ':')?,
        _ => numbers(time, ':')?,
    };
    let is_valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_valid || fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = days_from_1970(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?) + Duration::from_micros(micros))
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let is_plain = !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_: &i64| is_plain)
    });
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years are counted from March, so that the day that some years have more is the last one.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Shows a time as `2026-01-31T12:00:00.000001Z`.
pub(crate) fn show_time(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let days = seconds / DAY_SECONDS + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) =
        (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> String {
        match parse_since(text) {
            Ok(Since::At(time)) => show_time(time),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn times_are_shown_as_they_are_read() {
        for text in
            ["1970-01-01T00:00:00.000000Z", "2000-02-29T23:59:59.999999Z", "2026-12-31T00:00:01.000002Z"]
        {
            assert_eq!(at(text), text);
        }
        assert_eq!(at("2024-02-29"), "2024-02-29T00:00:00.000000Z");
        assert_eq!(at("2024-03-01 07:08"), "2024-03-01T07:08:00.000000Z");
        assert_eq!(at("2024-03-01T07:08:09.5Z"), "2024-03-01T07:08:09.500000Z");
        assert_eq!(parse_since("15m"), Ok(Since::Ago(Duration::from_mins(15))));
    }

    #[test]
    fn every_day_of_four_centuries_has_its_name() {
        let mut days = 0;
        for year in 1970..2371 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(days_from_1970(year, month, day), days);
                    let time = UNIX_EPOCH + Duration::from_secs(u64::try_from(days * DAY_SECONDS).unwrap());
                    assert!(show_time(time).starts_with(&format!("{year:04}-{month:02}-{day:02}T")));
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "2026-02-29",
            "2026-13-01",
            "2026-1-1T25:00:00Z",
            "2026-01-01T00:00:00+02:00",
            "a-b-c",
            "soon",
            "1969-12-31",
        ] {
            assert!(parse_since(text).is_err(), "{text}");
        }
    }
}
