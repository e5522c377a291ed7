//! "Did you mean": the known word nearest to a misspelt one.
//! Refuses to suggest what is not near.

use strsim::levenshtein;

/// The word of `known` that `word` most probably meant, by edit distance.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    const WORD_CHARS_MAX: usize = 64;
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let word = word.to_lowercase();
    known
        .iter()
        .map(|&candidate| (levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| {
            distance <= candidate.chars().count() / 3 + 1 && distance < word.len()
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_suggested() {
        let keys = ["id", "dataset_id", "block_range", "files", "priority"];
        assert_eq!(nearest("datasetid", &keys), Some("dataset_id"));
        assert_eq!(nearest("blockRange", &keys), Some("block_range"));
        assert_eq!(nearest("file", &keys), Some("files"));
        assert_eq!(nearest("ID", &keys), Some("id"));
        assert_eq!(nearest("colour", &keys), None);
        assert_eq!(nearest("", &keys), None);
    }
}
