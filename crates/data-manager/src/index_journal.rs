//! The catalogue's journal: what changed since the snapshot, one record behind the other.
//! Refuses to decide what is true: a record says which directory to look at, and the directory has the last word.

use crate::data_chunk::ChunkId;
use crate::index_file::{
    Fields, IndexEntry, NameSet, TEXT_BYTES_MAX, block_range, joined_text, narrow, read_text,
};

const MAGIC: [u8; 8] = *b"LHJNL\0\0\x01";
const HEADER_BYTES: usize = 24;
/// The longest text, and more than the numbers before it take.
const RECORD_BYTES_MAX: usize = TEXT_BYTES_MAX + 128;

const PUBLISHING: u8 = 1;
const DELETING: u8 = 2;
const GONE: u8 = 3;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JournalEntry<'a> {
    /// Written before the rename that publishes the chunk: a promise that the directory may not keep.
    Publishing(IndexEntry<'a>),
    /// Written before the chunk is hidden: its removal goes on after a crash.
    Deleting(ChunkId),
    /// Written after the chunk's directory was moved away.
    Gone(ChunkId),
}

/// The first bytes of a journal; records of the same generation follow.
pub(crate) fn journal_header(generation: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&generation.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    header
}

/// One more record for the journal of this generation.
pub(crate) fn journal_record(generation: u64, entry: &JournalEntry<'_>) -> Vec<u8> {
    let mut record = vec![0; 4];
    match entry {
        JournalEntry::Publishing(entry) => {
            let blocks = entry.block_range.end.saturating_sub(entry.block_range.start);
            record.push(PUBLISHING);
            record.extend_from_slice(&entry.id);
            record.extend_from_slice(&entry.dataset_id);
            for number in [entry.block_range.start, blocks, entry.bytes, entry.sequence] {
                record.extend_from_slice(&number.to_le_bytes());
            }
            record.extend_from_slice(joined_text(entry).as_bytes());
        }
        JournalEntry::Deleting(id) => {
            record.push(DELETING);
            record.extend_from_slice(id);
        }
        JournalEntry::Gone(id) => {
            record.push(GONE);
            record.extend_from_slice(id);
        }
    }
    let len = narrow(record.len() - 4).to_le_bytes();
    record.splice(..4, len);
    let sum = journal_sum(generation, &record);
    record.extend_from_slice(&sum);
    record
}

/// The generation of a journal whose header is good.
pub(crate) fn journal_generation(file: &[u8]) -> Option<u64> {
    let (header, _) = file.split_first_chunk::<HEADER_BYTES>()?;
    let generation = Fields(header.get(MAGIC.len()..)?).u64()?;
    (*header == *journal_header(generation)).then_some(generation)
}

/// The records of a journal up to the first that is torn, damaged or of another generation, and how many bytes they and
/// the header take. Cut the file to this before appending; at 0 it needs a new header too.
pub(crate) fn decode_journal(file: &[u8], generation: u64) -> (Vec<JournalEntry<'_>>, usize) {
    let mut entries = Vec::new();
    if journal_generation(file) != Some(generation) {
        return (entries, 0);
    }
    let mut valid_len = HEADER_BYTES;
    while let Some((entry, len)) = file.get(valid_len..).and_then(|rest| read_record(rest, generation)) {
        entries.push(entry);
        valid_len += len;
    }
    (entries, valid_len)
}

fn read_record(bytes: &[u8], generation: u64) -> Option<(JournalEntry<'_>, usize)> {
    let len = usize::try_from(Fields(bytes).u32()?).ok()?;
    if len > RECORD_BYTES_MAX {
        return None;
    }
    let (summed, rest) = bytes.split_at_checked(len + 4)?;
    if rest.first_chunk() != Some(&journal_sum(generation, summed)) {
        return None;
    }
    let (kind, payload) = summed.get(4..)?.split_first()?;
    let entry = match *kind {
        PUBLISHING => JournalEntry::Publishing(read_publishing(payload)?),
        DELETING => JournalEntry::Deleting(payload.try_into().ok()?),
        GONE => JournalEntry::Gone(payload.try_into().ok()?),
        _ => return None,
    };
    Some((entry, len + 8))
}

fn read_publishing(payload: &[u8]) -> Option<IndexEntry<'_>> {
    let mut fields = Fields(payload);
    let (id, dataset_id) = (fields.take()?, fields.take()?);
    let block_range = block_range(fields.u64()?, fields.u64()?)?;
    let (bytes, sequence) = (fields.u64()?, fields.u64()?);
    let NameSet { names, foreign_path } = read_text(fields.0)?;
    Some(IndexEntry { id, dataset_id, block_range, bytes, sequence, names, foreign_path })
}

/// The generation is summed too, so that a record of an earlier journal is never taken for one of this.
fn journal_sum(generation: u64, record: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&generation.to_le_bytes());
    hasher.update(record);
    hasher.finalize().to_le_bytes()
}

#[cfg(test)]
#[path = "../tests/unit/index_journal.rs"]
mod tests;
