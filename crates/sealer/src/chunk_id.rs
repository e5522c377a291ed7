//! The identity of a chunk: a digest of what it holds and nothing else.
//! Refuses times, places and sequence numbers: the same records make the same chunk, whoever seals them, and when.

use std::collections::BTreeMap;

use crate::hex::hex;

/// The digest of a chunk: BLAKE3 over the dataset, the blocks, and the names and digests of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub [u8; 32]);

impl ChunkId {
    /// The id of the chunk with these files, by name with their BLAKE3 digests. `last_block` is part of the chunk.
    pub fn of(dataset: &str, first_block: u64, last_block: u64, files: &BTreeMap<&str, [u8; 32]>) -> ChunkId {
        let mut hasher = blake3::Hasher::new();
        let text = |hasher: &mut blake3::Hasher, text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(&mut hasher, "loghold chunk 1");
        text(&mut hasher, dataset);
        hasher.update(&first_block.to_le_bytes());
        hasher.update(&last_block.to_le_bytes());
        hasher.update(&(files.len() as u64).to_le_bytes());
        for (name, digest) in files {
            text(&mut hasher, name);
            hasher.update(digest);
        }
        ChunkId(*hasher.finalize().as_bytes())
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// The first 16 of them, which names of objects end in.
    pub fn short(self) -> String {
        self.to_hex().chars().take(16).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_changes_with_each_part_and_with_nothing_else() {
        let files = BTreeMap::from([("a.parquet", [1; 32]), ("b.parquet", [2; 32])]);
        let id = ChunkId::of("d", 1, 2, &files);
        assert_eq!(id, ChunkId::of("d", 1, 2, &files));
        assert_ne!(id, ChunkId::of("e", 1, 2, &files));
        assert_ne!(id, ChunkId::of("d", 0, 2, &files));
        assert_ne!(id, ChunkId::of("d", 1, 3, &files));
        assert_ne!(id, ChunkId::of("d", 1, 2, &BTreeMap::from([("a.parquet", [1; 32])])));
        assert_ne!(
            id,
            ChunkId::of("d", 1, 2, &BTreeMap::from([("a.parquet", [1; 32]), ("b.parquet", [3; 32])]))
        );
        assert_eq!(id.short(), id.to_hex()[..16]);
    }
}
