//! Names on disk: where chunks, staged chunks and our own files lie below a data directory.
//! Refuses to touch the disk, and to accept a name that its writer would not have written.

use std::path::{Path, PathBuf};

use crate::data_chunk::{BlockRange, ChunkId, DatasetId, hex_id, parse_hex_id};

/// Chunks that are being fetched, one directory each, outside of every glob over the chunks.
pub(crate) const STAGING: &str = ".staging";
/// Chunks that are hidden already and wait for their files to be removed.
pub(crate) const TRASH: &str = ".trash";
/// Chunks whose bytes are not what was published, kept for a look.
pub(crate) const QUARANTINE: &str = ".quarantine";
/// Named pins that outlive the process, one file each.
pub(crate) const LEASES: &str = ".leases";
/// The file whose lock says who owns the data directory.
pub(crate) const LOCK: &str = "LOCK";
/// Where the compact index lies.
pub(crate) const CATALOGUE: &str = ".catalogue";
/// The whole index, in [`CATALOGUE`].
pub(crate) const SNAPSHOT: &str = "snapshot";
/// What changed since the snapshot, in [`CATALOGUE`]; a dot and the snapshot's generation follow.
pub(crate) const JOURNAL: &str = "journal";
/// What of a staged chunk is on disk, in its staging directory.
pub(crate) const PARTS: &str = "_parts";
/// What a chunk holds, in its directory.
pub(crate) const MANIFEST: &str = "_chunk.json";

/// What a chunk's path says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkKey {
    pub(crate) dataset_id: DatasetId,
    pub(crate) range: BlockRange,
    pub(crate) id: ChunkId,
}

/// What a path in another program's layout says about a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignChunk {
    pub(crate) dataset: ForeignDataset,
    pub(crate) range: BlockRange,
    /// The part of the path below the dataset, which names the chunk there.
    pub(crate) label: String,
}

/// How another program names a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ForeignDataset {
    /// By the same kind of id as ours.
    Id(DatasetId),
    /// By a text such as `s3://ethereum-mainnet-1`.
    Name(String),
}

/// Where a chunk lies below its data directory. The range must not be empty.
pub(crate) fn chunk_path(dataset_id: &DatasetId, range: &BlockRange, id: &ChunkId) -> PathBuf {
    // Inclusive on disk, because that is what people filter on and what every engine prunes by.
    let last = range.end.saturating_sub(1);
    PathBuf::from(format!(
        "dataset_id={}/first_block={}/last_block={last}/chunk={}",
        hex_id(dataset_id),
        range.start,
        hex_id(id),
    ))
}

/// The exact inverse of [`chunk_path`]: one spelling for each chunk, so that no chunk can lie in two places.
pub(crate) fn parse_chunk_path(path: &Path) -> Option<ChunkKey> {
    let mut parts = path.to_str()?.split('/');
    let dataset_id = id_exactly(parts.next()?.strip_prefix("dataset_id=")?)?;
    let first = number_exactly(parts.next()?.strip_prefix("first_block=")?)?;
    let last = number_exactly(parts.next()?.strip_prefix("last_block=")?)?;
    let id = id_exactly(parts.next()?.strip_prefix("chunk=")?)?;
    if parts.next().is_some() {
        return None;
    }
    Some(ChunkKey { dataset_id, range: half_open(first, last)?, id })
}

/// Where a chunk is put together, below its data directory.
pub(crate) fn staging_path(id: &ChunkId) -> PathBuf {
    Path::new(STAGING).join(hex_id(id))
}

/// Reads the last part of a [`staging_path`].
pub(crate) fn parse_staging_name(name: &str) -> Option<ChunkId> {
    id_exactly(name)
}

/// Where a chunk's directory goes to be removed. The number keeps two removals of one id apart.
pub(crate) fn trash_path(id: &ChunkId, number: u64) -> PathBuf {
    Path::new(TRASH).join(set_aside_name(id, number))
}

/// Where a damaged chunk's directory goes. The number keeps two copies of one id apart.
pub(crate) fn quarantine_path(id: &ChunkId, number: u64) -> PathBuf {
    Path::new(QUARANTINE).join(set_aside_name(id, number))
}

/// Reads the last part of a [`trash_path`] or a [`quarantine_path`].
pub(crate) fn parse_set_aside_name(name: &str) -> Option<(ChunkId, u64)> {
    let (id, number) = name.split_once('-')?;
    Some((id_exactly(id)?, number_exactly(number)?))
}

/// Reads `dataset_id=<hex>/block_range=<first>_<last>`, where the last block is part of the chunk.
pub(crate) fn parse_seed_path(path: &Path) -> Option<ForeignChunk> {
    let (dataset, label) = path.to_str()?.split_once('/')?;
    let digits = dataset.strip_prefix("dataset_id=")?;
    if digits.starts_with("0x") || digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let dataset_id = parse_hex_id(digits)?;
    let (first, last) = label.strip_prefix("block_range=")?.split_once('_')?;
    Some(ForeignChunk {
        dataset: ForeignDataset::Id(dataset_id),
        range: half_open(number_exactly(first)?, number_exactly(last)?)?,
        label: label.to_string(),
    })
}

/// Reads `<base64url of the dataset's name>/<top>/<first>-<last>-<hash>`: numbers of ten digits or more, the last block
/// part of the chunk, the hash a short text.
pub(crate) fn parse_sqd_path(path: &Path) -> Option<ForeignChunk> {
    let (dataset, label) = path.to_str()?.split_once('/')?;
    let name = String::from_utf8(base64url(dataset)?).ok()?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return None;
    }
    let (top, chunk) = label.split_once('/')?;
    let mut parts = chunk.splitn(3, '-');
    let (first, last) = (padded_number(parts.next()?)?, padded_number(parts.next()?)?);
    let hash = parts.next()?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if padded_number(top)? > first || !(1..=64).contains(&hash.len()) || !hash.bytes().all(is_word) {
        return None;
    }
    Some(ForeignChunk {
        dataset: ForeignDataset::Name(name),
        range: half_open(first, last)?,
        label: label.to_string(),
    })
}

fn set_aside_name(id: &ChunkId, number: u64) -> String {
    format!("{}-{number}", hex_id(id))
}

/// Refuses what is empty, and the last block of all, which a half-open range of `u64` cannot say.
fn half_open(first: u64, last: u64) -> Option<BlockRange> {
    let end = last.checked_add(1)?;
    (first < end).then_some(first..end)
}

fn id_exactly(text: &str) -> Option<[u8; 32]> {
    if !text.starts_with("0x") || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    parse_hex_id(text)
}

fn number_exactly(text: &str) -> Option<u64> {
    let is_padded = text.len() > 1 && text.starts_with('0');
    if is_padded { None } else { digits(text) }
}

/// At least ten digits, and zeros in front only to make them ten.
fn padded_number(text: &str) -> Option<u64> {
    let is_padded_too_far = text.len() > 10 && text.starts_with('0');
    if text.len() < 10 || is_padded_too_far { None } else { digits(text) }
}

/// Digits only: the standard parser takes a plus sign too.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Base64 with `-` and `_`, without padding; the bits that belong to no byte must be zero.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut held, mut held_bits) = (0u32, 0u32);
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        held_bits += 6;
        if held_bits >= 8 {
            held_bits -= 8;
            bytes.push(u8::try_from(held >> held_bits).ok()?);
            held &= (1 << held_bits) - 1;
        }
    }
    (held_bits < 6 && held == 0).then_some(bytes)
}

#[cfg(test)]
#[path = "../tests/unit/layout.rs"]
mod tests;
