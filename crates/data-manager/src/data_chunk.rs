//! `DataChunk`, its ids, and the trait of a pinned chunk.
//! Refuses to know where a chunk is stored or how it got there.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// Names a chunk's immutable content: the same id never means other bytes.
pub type ChunkId = [u8; 32];

/// Names a dataset.
pub type DatasetId = [u8; 32];

/// Block numbers, half-open: `0..36` is 36 blocks, the last of which is 35.
pub type BlockRange = Range<u64>;

/// A chunk to be kept at hand: which blocks of which dataset it holds, and where its files come from.
///
/// ```
/// use std::collections::HashMap;
/// use data_manager::data_chunk::DataChunk;
///
/// let chunk = DataChunk {
///     id: [1; 32],
///     dataset_id: [7; 32],
///     block_range: 0..36,
///     files: HashMap::from([(
///         "blocks.parquet".to_string(),
///         "https://data.example/0-35/blocks.parquet#size=1048576".to_string(),
///     )]),
/// };
/// # assert_eq!(chunk.block_range.end, 36);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DataChunk {
    /// Names the content. A second download of the same id with another dataset, range or file names is refused.
    pub id: ChunkId,
    /// The dataset it belongs to.
    pub dataset_id: DatasetId,
    /// The blocks it holds, half-open and not empty.
    pub block_range: BlockRange,
    /// File name to URL. A name is 1 to 128 of `[A-Za-z0-9._-]` and does not begin with a dot. A URL may end in
    /// `#sha256=<hex>`, `#blake3=<hex>` and `size=<bytes>` joined by `&`, which are checked while the file streams in.
    pub files: HashMap<String, String>,
}

impl fmt::Debug for DataChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DataChunk { id, dataset_id, block_range, files } = self;
        f.debug_struct("DataChunk")
            .field("id", &HexId(id))
            .field("dataset_id", &HexId(dataset_id))
            .field("block_range", block_range)
            .field("files", files)
            .finish()
    }
}

/// A pinned chunk: it stays available and untouched until the last clone is dropped.
pub trait DataChunkRef: Send + Sync + Clone {
    /// The directory that holds the chunk's files.
    fn path(&self) -> &Path;
}

/// An id as it is written everywhere: `0x` and 64 hex digits.
pub fn hex_id(id: &[u8; 32]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble });
    let mut text = String::with_capacity(66);
    text.push_str("0x");
    for byte in id {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

/// An id whose `Debug` is [`hex_id`].
pub(crate) struct HexId<'a>(pub(crate) &'a [u8; 32]);

impl fmt::Debug for HexId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex_id(self.0))
    }
}

/// Reads what [`hex_id`] writes; the `0x` may be missing, the digits may be of either case.
pub fn parse_hex_id(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut id = [0u8; 32];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = hex_digit(high)? << 4 | hex_digit(low)?;
    }
    Some(id)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
