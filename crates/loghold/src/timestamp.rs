//! Times as they are typed and shown: UTC, to the microsecond, in the proleptic Gregorian calendar.
//! Refuses time zones: where a time is shown or read, it is UTC and ends in Z.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::quantity::parse_duration;

const DAY_LEN: usize = "2026-01-31".len();
const MINUTE_LEN: usize = "2026-01-31T12:00".len();

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

/// What is left out of the text is put there, and it is read as a time in UTC.
fn parse_date(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let rest = match text.len() {
        DAY_LEN => "T00:00:00Z",
        MINUTE_LEN => ":00Z",
        _ => "Z",
    };
    sealer::time_of_text(&format!("{text}{rest}"))
}

/// Shows a time as `2026-01-31T12:00:00.000001Z`.
pub(crate) fn show_time(time: SystemTime) -> String {
    let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let time = i64::try_from(micros).ok().and_then(DateTime::from_timestamp_micros);
    // A record may say any time; what no calendar has is shown as the last one that chrono has.
    time.unwrap_or(DateTime::<Utc>::MAX_UTC).to_rfc3339_opts(SecondsFormat::Micros, true)
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
        assert_eq!(at("2024-03-01 07:08Z"), "2024-03-01T07:08:00.000000Z");
        assert_eq!(at("2024-03-01T07:08:09.5Z"), "2024-03-01T07:08:09.500000Z");
        assert_eq!(show_time(UNIX_EPOCH + Duration::from_secs(1 << 62)), "+262142-12-31T23:59:59.999999Z");
        assert_eq!(parse_since("15m"), Ok(Since::Ago(Duration::from_mins(15))));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "2026-02-29",
            "2026-13-01",
            "2026-1-1T25:00:00Z",
            "2026-01-01T00:00:60",
            "2026-01-01T00:00:00.0000001",
            "2026-01-01T00:00:00+02:00",
            "a-b-c",
            "soon",
            "1969-12-31",
            "20260-01-01",
            "2026-01-0é",
        ] {
            assert!(parse_since(text).is_err(), "{text}");
        }
    }
}
