//! Sizes, rates and times as people type and read them.
//! Refuses to guess: a size without a unit is bytes, a time without a unit is seconds.

use std::time::Duration;

/// Units of size, the ones that are shown first. A bare letter means the power of 1,024, as in most download tools.
const UNITS: [(&str, u64); 13] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
];

const TIME_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads `10MiB/s`, `10 MB`, `4096`: bytes a second.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let rate = parse_bytes(text.strip_suffix("/s").unwrap_or(text))?;
    if rate < 1_024 {
        return Err(format!("{rate} bytes a second is too low: at least 1KiB/s"));
    }
    Ok(rate)
}

/// Reads `10MiB`, `1.5 GB`, `4096`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = split_unit(text);
    let scale = if unit.is_empty() {
        1
    } else {
        UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|&(_, scale)| scale).ok_or_else(
            || {
                format!(
                    "{unit:?} is not a unit of size: use B, KiB, MiB, GiB, TiB, kB, MB, GB or TB, such as 10MiB"
                )
            },
        )?
    };
    scaled(digits, scale)
}

/// Reads `30`, `30s`, `1.5m`, `2h`, `500ms`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = split_unit(text);
    let scale = if unit.is_empty() {
        1_000
    } else {
        TIME_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|&(_, scale)| scale)
            .ok_or_else(|| format!("{unit:?} is not a unit of time: use ms, s, m, h or d, such as 30s"))?
    };
    scaled(digits, scale).map(Duration::from_millis)
}

/// Shows a size in three or four digits: `999 B`, `1.21 GiB`.
pub(crate) fn show_bytes(bytes: u64) -> String {
    for &(name, scale) in UNITS.iter().take(4) {
        if bytes >= scale {
            let hundredths = u128::from(bytes) * 100 / u128::from(scale);
            let (whole, rest) = (hundredths / 100, hundredths % 100);
            return match whole {
                0..=9 => format!("{whole}.{rest:02} {name}"),
                10..=99 => format!("{whole}.{} {name}", rest / 10),
                _ => format!("{whole} {name}"),
            };
        }
    }
    format!("{bytes} B")
}

/// `1 chunk`, `2 chunks`: a count and its noun.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Shows a time in its two highest units: `1h 05m`, `2m 03s`, `12s`.
pub(crate) fn show_duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.subsec_millis()),
        1..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    (digits.trim_end(), unit)
}

/// `digits` times `scale`, exact: up to six digits after the point, no floating point.
fn scaled(digits: &str, scale: u64) -> Result<u64, String> {
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(part) || part.len() > 6 {
        return Err(format!("{digits:?} is not a number, such as 10 or 1.5"));
    }
    let too_much = || format!("{digits} of that unit is more than can be counted");
    let scale = u128::from(scale);
    let rest = part.bytes().fold(0u128, |rest, digit| rest * 10 + u128::from(digit - b'0'));
    let places = part.bytes().fold(1u128, |places, _| places * 10);
    whole
        .parse::<u128>()
        .ok()
        .and_then(|whole| whole.checked_mul(scale))
        .and_then(|whole| whole.checked_add(rest * scale / places))
        .and_then(|total| u64::try_from(total).ok())
        .ok_or_else(too_much)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4_096),
            ("4096B", 4_096),
            ("10MiB", 10 << 20),
            ("10 MiB", 10 << 20),
            ("10mib", 10 << 20),
            ("10M", 10 << 20),
            ("10MB", 10_000_000),
            ("1.5GiB", 3 << 29),
            ("0.25kB", 250),
            ("16TiB", 16 << 40),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in
            ["", "MiB", "-1", "1e9", "1,5MiB", "1.MiB.", ".5MiB", "5 parsecs", "99999999999TiB", "1.1234567B"]
        {
            assert!(parse_bytes(text).is_err(), "{text:?} was taken");
        }
        assert!(parse_bytes("18446744073709551616").is_err());
    }

    #[test]
    fn a_rate_may_end_in_per_second_and_has_a_lower_bound() {
        assert_eq!(parse_rate("10MiB/s"), Ok(10 << 20));
        assert_eq!(parse_rate("1KiB"), Ok(1_024));
        assert!(parse_rate("1000").is_err());
        assert!(parse_rate("10MiB/h").is_err());
    }

    #[test]
    fn times_are_read_in_every_unit() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("30s", 30_000),
            ("500ms", 500),
            ("1.5m", 90_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert!(parse_duration("30M").is_err());
        assert!(parse_duration("soon").is_err());
    }

    #[test]
    fn sizes_and_times_are_shown_short() {
        assert_eq!(show_bytes(999), "999 B");
        assert_eq!(show_bytes(1_024), "1.00 KiB");
        assert_eq!(show_bytes(u64::MAX), "16777215 TiB");
        assert_eq!(show_bytes(1_300_000_000), "1.21 GiB");
        assert_eq!(show_bytes(200 << 20), "200 MiB");
        assert_eq!(show_duration(Duration::from_millis(250)), "250ms");
        assert_eq!(show_duration(Duration::from_secs(62)), "1m 02s");
        assert_eq!(show_duration(Duration::from_mins(125)), "2h 05m");
    }
}
