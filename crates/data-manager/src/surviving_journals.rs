//! Surviving journals: which chunks were to be removed, as far as journals say it whose snapshot is lost. Pure.
//! Refuses to say what is there: the directories are looked at for that.

use std::collections::{HashMap, HashSet};

use crate::data_chunk::ChunkId;
use crate::index_journal::{JournalEntry, decode_journal};

/// The last word of a journal on a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Publishing,
    Deleting,
}

/// Chunks that were to be removed, by the journals with their generations.
///
/// The one of the highest generation counts. It may have come before its snapshot, which was never written: then it has
/// nothing but what was to be removed at that moment, and the journal before it went on, and has the last word.
pub(crate) fn deletions(mut journals: Vec<(u64, Vec<u8>)>) -> HashSet<ChunkId> {
    journals.sort_unstable_by_key(|(generation, _)| *generation);
    let Some((generation, highest)) = journals.pop() else { return HashSet::new() };
    let (entries, _) = decode_journal(&highest, generation);
    let mut words = last_words(&entries);
    if is_begun_only(&entries)
        && let Some((generation, before)) = journals.pop()
    {
        words.extend(last_words(&decode_journal(&before, generation).0));
    }
    words.into_iter().filter(|(_, word)| *word == Word::Deleting).map(|(id, _)| id).collect()
}

fn last_words(entries: &[JournalEntry<'_>]) -> HashMap<ChunkId, Word> {
    let mut words = HashMap::new();
    for entry in entries {
        match entry {
            JournalEntry::Publishing(entry) => words.insert(entry.id, Word::Publishing),
            JournalEntry::Deleting(id) => words.insert(*id, Word::Deleting),
            // Whoever put it back since wants it.
            JournalEntry::Gone(id) => words.remove(id),
        };
    }
    words
}

/// Whether a journal has only what each begins with: pairs of a chunk and its deletion.
fn is_begun_only(entries: &[JournalEntry<'_>]) -> bool {
    entries.chunks(2).all(|pair| {
        matches!(pair, [JournalEntry::Publishing(entry), JournalEntry::Deleting(id)] if entry.id == *id)
    })
}

#[cfg(test)]
#[path = "../tests/unit/surviving_journals.rs"]
mod tests;
