//! "Did you mean": the known word nearest to a misspelt one.
//! Refuses to suggest what is not near.

/// The word of `known` that `word` most probably meant, by edit distance.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    const WORD_CHARS_MAX: usize = 64;
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let word = word.to_lowercase();
    known
        .iter()
        .map(|&candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| {
            distance <= candidate.chars().count() / 3 + 1 && distance < word.len()
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut next = vec![line + 1];
        let mut left = line + 1;
        for ((&other, &above_left), &above) in to.iter().zip(row.iter()).zip(row.iter().skip(1)) {
            let changed = above_left + usize::from(letter != other);
            left = changed.min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

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
