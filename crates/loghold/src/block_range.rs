//! A range of blocks as it is typed and shown: `a..b` half-open, `a..=b` with its last block.
//! Refuses empty ranges and anything that is not two plain decimal numbers.

use std::ops::Range;

/// Reads `a..b` or `a..=b` into a half-open range.
pub(crate) fn parse_block_range(text: &str) -> Result<Range<u64>, String> {
    const WANTED: &str = "write it as FIRST..END (without END) or FIRST..=LAST, such as 0..36";
    let (start, end) = text.split_once("..").ok_or(WANTED)?;
    let (end, inclusive) = match end.strip_prefix('=') {
        Some(last) => (last, true),
        None => (end, false),
    };
    if start.is_empty() || end.is_empty() {
        return Err(format!("{text} names one end, or none: {WANTED}"));
    }
    let start = parse_block(start)?;
    let end = parse_block(end)?;
    let end = if inclusive {
        end.checked_add(1)
            .ok_or_else(|| format!("{end} is too high: the highest last block is {}", u64::MAX - 1))?
    } else {
        end
    };
    if start < end { Ok(start..end) } else { Err(format!("{start}..{end} holds no block")) }
}

/// The same, and `a..` for all blocks from `a` on.
pub(crate) fn parse_block_range_from(text: &str) -> Result<Range<u64>, String> {
    match text.strip_suffix("..") {
        Some(start) => parse_block(start).map(|start| start..u64::MAX),
        None => parse_block_range(text),
    }
}

/// Reads a block number: decimal digits and nothing else.
pub(crate) fn parse_block(text: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text:?} is not a block number (decimal digits)"));
    }
    text.parse().map_err(|_| format!("{text} is too high: block numbers end at {}", u64::MAX))
}

/// Shows a half-open range the way [`parse_block_range`] reads it.
pub(crate) fn show_block_range(range: &Range<u64>) -> String {
    format!("{}..{}", range.start, range.end)
}

/// Shows some of many ranges, so that a message stays short.
pub(crate) fn show_block_ranges(ranges: &[Range<u64>]) -> String {
    const SHOWN_MAX: usize = 5;
    let text = ranges.iter().take(SHOWN_MAX).map(show_block_range).collect::<Vec<_>>().join(", ");
    if ranges.len() > SHOWN_MAX {
        return format!("{text} and {} more", ranges.len() - SHOWN_MAX);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_a_range_give_the_same_half_open_range() {
        assert_eq!(parse_block_range("0..36"), Ok(0..36));
        assert_eq!(parse_block_range("0..=35"), Ok(0..36));
        assert_eq!(parse_block_range("0..18446744073709551615"), Ok(0..u64::MAX));
        assert_eq!(parse_block_range(&show_block_range(&(7..9))), Ok(7..9));
        assert_eq!(parse_block_range_from("7.."), Ok(7..u64::MAX));
        assert_eq!(parse_block_range_from("7..9"), Ok(7..9));
        assert!(parse_block_range_from("..").is_err());
    }

    #[test]
    fn what_is_not_a_range_with_blocks_is_refused() {
        for text in [
            "",
            "5",
            "..",
            "5..",
            "..5",
            "5..5",
            "6..5",
            "-1..5",
            "+1..5",
            "1..=",
            "0x1..5",
            "1...5",
            "1..5..6",
            " 1..2",
            "0..=18446744073709551615",
            "0..18446744073709551616",
        ] {
            assert!(parse_block_range(text).is_err(), "{text:?} was taken");
        }
        assert_eq!(parse_block_range("5..=5"), Ok(5..6));
        for text in ["5..", "..5", "..", "5..="] {
            assert!(parse_block_range(text).unwrap_err().contains("such as 0..36"), "{text}");
        }
    }

    #[test]
    fn a_long_list_of_ranges_is_cut_and_says_so() {
        let ranges: Vec<_> = (0..8).map(|block| block..block + 1).collect();
        assert!(show_block_ranges(&ranges).ends_with("4..5 and 3 more"));
    }
}
