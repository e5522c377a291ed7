//! Records as they are typed: one id, or a range `a..b` (half-open), `a..=b`, `a..`, `..b`.
//! Refuses empty ranges and anything that is not plain decimal numbers.

use std::ops::Range;

use rtrans::TransId;

/// Ids, half-open, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordRange {
    /// From 1; `u64::MAX` at the end stands for "as far as there are records".
    pub(crate) ids: Range<u64>,
    /// It was typed as one number.
    pub(crate) is_single: bool,
}

impl RecordRange {
    /// Every record.
    pub(crate) fn all() -> RecordRange {
        RecordRange { ids: 0..u64::MAX, is_single: false }
    }

    /// Whether its beginning was typed, so that records that are no longer there are missed.
    pub(crate) fn has_start(&self) -> bool {
        self.ids.start > 0
    }

    /// As ids, the first of which is never nil.
    pub(crate) fn bounds(&self) -> (TransId, TransId) {
        let id = |number: u64| TransId::new(number).unwrap_or(TransId::FIRST);
        (id(self.ids.start), id(self.ids.end))
    }

    pub(crate) fn show(&self) -> String {
        match (self.is_single, self.ids.end) {
            (true, _) => self.ids.start.to_string(),
            (false, u64::MAX) => format!("{}..", self.ids.start),
            (false, end) => format!("{}..{end}", self.ids.start),
        }
    }
}

/// Reads an id: decimal digits and nothing else.
pub(crate) fn parse_record(text: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text:?} is not a record's id (decimal digits)"));
    }
    text.parse().map_err(|_| too_high(text))
}

/// Behind the last id there is one that ends a range.
fn too_high(text: &str) -> String {
    format!("{text} is too high: ids end at {}", u64::MAX - 1)
}

/// Reads `7`, `a..b`, `a..=b`, `a..`, `..b`, `..=b`, `..`.
pub(crate) fn parse_record_range(text: &str) -> Result<RecordRange, String> {
    let Some((start, end)) = text.split_once("..") else {
        let id = parse_record(text)?;
        if id == 0 {
            return Err("ids begin with 1".to_string());
        }
        let end = id.checked_add(1).ok_or_else(|| too_high(text))?;
        return Ok(RecordRange { ids: id..end, is_single: true });
    };
    let start = if start.is_empty() { 0 } else { parse_record(start)? };
    let end = match end.strip_prefix('=') {
        Some(last) => parse_record(last)?.checked_add(1).ok_or_else(|| too_high(last))?,
        None if end.is_empty() => u64::MAX,
        None => parse_record(end)?,
    };
    // Ids begin with 1: up to 0 there are none.
    if start.max(1) < end {
        Ok(RecordRange { ids: start..end, is_single: false })
    } else {
        Err(format!("{text} holds no record"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Range<u64> {
        parse_record_range(text).unwrap().ids
    }

    #[test]
    fn ranges_are_read_in_every_form() {
        assert_eq!((ids("7"), ids("3..5"), ids("3..=5")), (7..8, 3..5, 3..6));
        assert_eq!((ids("3.."), ids("..5"), ids("..=5"), ids("..")), (3..u64::MAX, 0..5, 0..6, 0..u64::MAX));
    }

    #[test]
    fn what_is_not_a_range_with_records_is_refused() {
        for text in [
            "",
            "0",
            "x",
            "5..5",
            "6..5",
            "..0",
            "-1..5",
            "1..=",
            "1...5",
            "1..2..3",
            " 1",
            "18446744073709551616",
        ] {
            assert!(parse_record_range(text).is_err(), "{text:?} was taken");
        }
        for text in ["18446744073709551615", "1..=18446744073709551615", "99999999999999999999"] {
            let reason = parse_record_range(text).unwrap_err();
            assert!(reason.ends_with("is too high: ids end at 18446744073709551614"), "{reason}");
        }
    }
}
