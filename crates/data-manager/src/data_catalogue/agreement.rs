//! Agreement: whether what a chunk is asked for as agrees with what is known of it. Pure.
//! Refuses to choose between two that differ: an id names immutable content.

use crate::data_catalogue::entry::{Content, Wanted};
use crate::data_chunk::{ChunkId, hex_id};
use crate::error::{Error, ErrorKind, Result};
use crate::file_spec::CheckedChunk;

/// An id names immutable content: everything but the URLs must be the same.
pub(super) fn same_content(id: &ChunkId, here: &Content, asked: &Content) -> Result<()> {
    if here == asked {
        return Ok(());
    }
    let message = format!(
        "chunk {} is known here as blocks {}..{} of dataset {} with files {}, and was asked for as blocks {}..{} of dataset {} \
         with files {}: an id names immutable content, so give the new content an id of its own",
        hex_id(id),
        here.block_range.start,
        here.block_range.end,
        hex_id(&here.dataset_id),
        here.names,
        asked.block_range.start,
        asked.block_range.end,
        hex_id(&asked.dataset_id),
        asked.names,
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

/// A descriptor that names all lengths must name those of what is here.
pub(super) fn same_bytes(id: &ChunkId, here: u64, asked: &Wanted) -> Result<()> {
    match asked.bytes() {
        Some(bytes) if bytes != here => {
            let message = format!(
                "chunk {} is here with {here} bytes, and was asked for with {bytes}: an id names immutable content, so give \
                 the new content an id of its own",
                hex_id(id)
            );
            Err(Error::new(ErrorKind::Conflict, message))
        }
        _ => Ok(()),
    }
}

/// Whether a descriptor names a length or a digest that another one of the chunk does not.
pub(super) fn says_more(asked: &CheckedChunk, before: &CheckedChunk) -> bool {
    asked.files.iter().zip(&before.files).any(|(asked, before)| {
        (asked.size.is_some() && before.size.is_none())
            || (asked.sha256.is_some() && before.sha256.is_none())
            || (asked.blake3.is_some() && before.blake3.is_none())
    })
}

/// Two descriptors of a chunk may name different URLs, and one may say more than the other, but no two lengths or digests
/// of a file.
pub(super) fn same_files(id: &ChunkId, here: &CheckedChunk, asked: &CheckedChunk) -> Result<()> {
    fn differ<T: PartialEq>(here: Option<T>, asked: Option<T>) -> bool {
        here.zip(asked).is_some_and(|(here, asked)| here != asked)
    }
    let other = here.files.iter().zip(&asked.files).find(|(here, asked)| {
        differ(here.size, asked.size)
            || differ(here.sha256, asked.sha256)
            || differ(here.blake3, asked.blake3)
    });
    let Some((file, _)) = other else { return Ok(()) };
    let message = format!(
        "chunk {} was asked for before with another length or digest of {}: an id names immutable content; if what was asked \
         for before was wrong, delete the chunk first",
        hex_id(id),
        file.name
    );
    Err(Error::new(ErrorKind::Conflict, message))
}
