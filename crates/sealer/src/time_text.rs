//! Times as of RFC 3339, to the microsecond.
//! Refuses leap seconds and what is finer than a microsecond, rather than to round.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

/// A time as sealed tables and JSON show it: RFC 3339 in UTC, with six digits behind the second where it is not whole.
pub fn time_text(time: SystemTime) -> String {
    // Earlier than 1970 and later than chrono counts are no times that a log was written at.
    let micros = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let time = i64::try_from(micros).ok().and_then(DateTime::from_timestamp_micros);
    rfc3339(time.unwrap_or(DateTime::<Utc>::MAX_UTC))
}

/// The time that `time_text` or anyone else wrote as of RFC 3339; none where it is from before 1970 or finer than a microsecond.
pub fn time_of_text(text: &str) -> Option<SystemTime> {
    let micros = u64::try_from(micros_of_rfc3339(text)?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros))
}

/// Microseconds since 1970 of a text such as `2023-07-13T17:38:11.25Z` or `...+02:00`.
pub(crate) fn micros_of_rfc3339(text: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    let digits =
        text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    let is_leap_second = time.timestamp_subsec_nanos() >= 1_000_000_000;
    (digits <= 6 && !is_leap_second).then(|| time.timestamp_micros())
}

/// The text of a time in UTC, with six digits behind the second where it is not whole.
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    let is_whole = time.timestamp_subsec_micros() == 0;
    time.to_rfc3339_opts(if is_whole { SecondsFormat::Secs } else { SecondsFormat::Micros }, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_read() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-07-13T17:38:11Z", 1_689_269_891_000_000),
            ("2000-02-29T23:59:59.000001Z", 951_868_799_000_001),
            ("1969-12-31T23:59:59.5Z", -500_000),
            ("2023-07-13T19:38:11+02:00", 1_689_269_891_000_000),
        ] {
            assert_eq!(micros_of_rfc3339(text), Some(micros), "{text}");
            assert_eq!(
                micros_of_rfc3339(&rfc3339(DateTime::from_timestamp_micros(micros).unwrap())),
                Some(micros),
                "{text}"
            );
        }
    }

    #[test]
    fn six_digits_are_shown_where_a_second_is_not_whole() {
        let text = |micros| rfc3339(DateTime::from_timestamp_micros(micros).unwrap());
        assert_eq!(text(1_689_269_891_000_000), "2023-07-13T17:38:11Z");
        assert_eq!(text(1_689_269_891_250_000), "2023-07-13T17:38:11.250000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2023-07-13",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:00:60Z",
            "2023-01-01T00:00:00",
            "2023-01-01T00:00:00.1234567Z",
            "2023-01-01T00:00:00.1234567890Z",
            "é",
        ] {
            assert_eq!(micros_of_rfc3339(text), None, "{text}");
        }
    }
}
