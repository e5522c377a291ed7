//! Descriptors from what others publish: one file per format, pure, bytes or names in and descriptors out.
//! Refuses to fetch and to list; the command does.

pub(crate) mod assignment;
pub(crate) mod detect;
mod flatbuffer;
pub(crate) mod manifest;
pub(crate) mod peer_id;
pub(crate) mod sqd;

use data_manager::data_chunk::ChunkId;
use sha2::{Digest, Sha256};

/// The id of a chunk that has none of its own: the SHA-256 of its dataset's name, a zero byte, and its path in the
/// dataset. The same chunk gets the same id from a listing and from an assignment.
pub(crate) fn chunk_id(dataset: &str, path: &str) -> ChunkId {
    Sha256::new()
        .chain_update(dataset.as_bytes())
        .chain_update([0])
        .chain_update(path.as_bytes())
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_ids_are_the_documented_digest() {
        let plain: [u8; 32] =
            Sha256::digest(b"s3://moonbeam\x000002720101/0004031655-0004045270-8304ceb8").into();
        assert_eq!(chunk_id("s3://moonbeam", "0002720101/0004031655-0004045270-8304ceb8"), plain);
        assert_ne!(chunk_id("a", "bc"), chunk_id("ab", "c"));
    }
}
