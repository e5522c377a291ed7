//! A chunk id as it is typed: whole, or its first digits where they name one chunk only.
//! Refuses to choose between two chunks.

use data_manager::data_chunk::{ChunkId, hex_id};

use crate::exit::{Exit, Failure, Outcome};

/// The first hex digits of a chunk id, at least four, in lower case and without `0x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdPrefix(String);

impl IdPrefix {
    pub(crate) fn parse(text: &str) -> Result<IdPrefix, String> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if !(4..=64).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(
                "a chunk id is 0x and 64 hex digits; its first digits are enough, at least 4".to_string()
            );
        }
        Ok(IdPrefix(digits.to_ascii_lowercase()))
    }

    /// The one chunk among `known` whose id begins so.
    pub(crate) fn resolve(&self, known: &[ChunkId]) -> Outcome<ChunkId> {
        let mut found = known.iter().filter(|id| hex_id(id).trim_start_matches("0x").starts_with(&self.0));
        match (found.next(), found.next()) {
            (Some(&id), None) => Ok(id),
            (Some(first), Some(second)) => Err(Failure::usage(format!(
                "0x{} begins more than one chunk id",
                self.0
            ))
            .hint(format!("give more digits: {} or {}", hex_id(first), hex_id(second)))),
            _ => Err(Failure::new(Exit::NotFound, format!("there is no chunk 0x{} here", self.0))
                .hint("`loghold chunk ls` shows the chunks that are here")),
        }
    }
}

/// An id short enough for a table; [`IdPrefix`] reads it back.
pub(crate) fn short_id(id: &[u8; 32]) -> String {
    hex_id(id).chars().take(14).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_a_chunk_only_when_it_names_one() {
        let mut near = [0xabu8; 32];
        near[5] = 1;
        let known = [[0xab; 32], near, [0xcd; 32]];
        let resolve = |text: &str| IdPrefix::parse(text).unwrap().resolve(&known);
        assert_eq!(resolve("0xcdcd"), Ok([0xcd; 32]));
        assert_eq!(resolve(&short_id(&near)), Ok(near));
        assert_eq!(resolve("ABABABABABab"), Ok([0xab; 32]));
        assert_eq!(resolve("0xabab").unwrap_err().exit, Exit::Usage);
        assert_eq!(resolve("0xeeee").unwrap_err().exit, Exit::NotFound);
    }

    #[test]
    fn what_is_not_the_beginning_of_an_id_is_refused() {
        for text in ["", "0x", "abc", "0xabcg", "é123", &"a".repeat(65)] {
            assert!(IdPrefix::parse(text).is_err(), "{text:?} was taken");
        }
    }
}
