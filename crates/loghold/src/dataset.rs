//! A dataset as it is typed: a name, which stands for its SHA-256, or an id.
//! Refuses to know which datasets exist; suggestions come from the ids it is given.

use std::fmt;

use data_manager::data_chunk::{DatasetId, hex_id, parse_hex_id};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The longest name that is taken.
const NAME_BYTES_MAX: usize = 256;

/// A dataset, and how the user calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Dataset {
    /// What the hold knows it by.
    pub(crate) id: DatasetId,
    /// The name, or the id as text when it was given as an id.
    text: String,
}

impl Dataset {
    /// The dataset of that name or id.
    pub(crate) fn parse(text: &str) -> Result<Dataset, String> {
        if let Some(id) = parse_hex_id(text) {
            return Ok(Dataset { id, text: hex_id(&id) });
        }
        if let Some(digits) = text.strip_prefix("0x") {
            let shown = digits.chars().take(64).collect::<String>();
            return Err(format!(
                "0x{} is not a dataset id: 0x and 64 hex digits are needed, {} characters follow the 0x",
                shown.escape_debug(),
                digits.chars().count()
            ));
        }
        if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(format!("a dataset name has 1 to {NAME_BYTES_MAX} bytes and no control characters"));
        }
        Ok(Dataset { id: Sha256::digest(text.as_bytes()).into(), text: text.to_string() })
    }

    /// The name or id as the user wrote it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// A name one slip of the finger away from this one whose dataset is among `known`.
    ///
    /// The hold stores ids and no names, so the slips are undone one by one and hashed.
    pub(crate) fn near_name(&self, known: &[DatasetId]) -> Option<String> {
        const NAME_CHARS_MAX: usize = 64;
        let letters: Vec<char> = self.text.chars().collect();
        if letters.len() > NAME_CHARS_MAX || known.is_empty() {
            return None;
        }
        neighbours(&letters).find(|name| known.contains(&Sha256::digest(name.as_bytes()).into()))
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Dataset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// All names one edit away: another case, a letter less, two letters swapped, a letter more or another one.
fn neighbours(letters: &[char]) -> impl Iterator<Item = String> + '_ {
    const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz0123456789-_./:";
    let split = move |at: usize| letters.split_at(at.min(letters.len()));
    let whole: String = letters.iter().collect();
    let cases =
        [whole.to_lowercase(), whole.to_uppercase(), whole.replace('_', "-"), whole.replace('-', "_")];
    let shorter = (0..letters.len()).map(move |at| {
        let (head, tail) = split(at);
        head.iter().chain(tail.iter().skip(1)).collect()
    });
    let swapped = (1..letters.len()).map(move |at| {
        let (head, tail) = split(at - 1);
        let pair = tail.iter().take(2).rev();
        head.iter().chain(pair).chain(tail.iter().skip(2)).collect()
    });
    let changed = (0..=letters.len()).flat_map(move |at| {
        let (head, tail) = split(at);
        ALPHABET.chars().flat_map(move |letter| {
            [0, 1].map(|left_out| {
                let letter = std::iter::once(&letter);
                head.iter().chain(letter).chain(tail.iter().skip(left_out)).collect::<String>()
            })
        })
    });
    cases.into_iter().chain(shorter).chain(swapped).chain(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_its_sha_256_and_an_id_means_itself() {
        let named = Dataset::parse("abc").unwrap();
        let hex = "0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex_id(&named.id), hex);
        assert_eq!(Dataset::parse(hex).unwrap().id, named.id);
        assert_eq!(Dataset::parse(&hex.to_uppercase().replace("0X", "0x")).unwrap().id, named.id);
    }

    #[test]
    fn a_cut_id_is_not_taken_for_a_name() {
        assert!(Dataset::parse("0xba7816bf").unwrap_err().contains("8 characters"));
        assert!(Dataset::parse("").is_err());
        assert!(Dataset::parse("a\u{1b}[31m").is_err());
        assert!(Dataset::parse(&"n".repeat(257)).is_err());
    }

    #[test]
    fn one_slip_away_from_a_known_dataset_is_suggested() {
        let known = [Dataset::parse("s3://ethereum-mainnet-1").unwrap().id];
        for slip in [
            "s3://ethereum-mainnet1",
            "s3://ethereum-mainnet-11",
            "s3://etehreum-mainnet-1",
            "s3://ethereum-mainnet-2",
            "S3://ethereum-mainnet-1",
            "3://ethereum-mainnet-1",
            "s3://ethereum_mainnet-1",
        ] {
            let near = Dataset::parse(slip).unwrap().near_name(&known);
            assert_eq!(near.as_deref(), Some("s3://ethereum-mainnet-1"), "{slip}");
        }
        assert_eq!(Dataset::parse("solana").unwrap().near_name(&known), None);
    }
}
