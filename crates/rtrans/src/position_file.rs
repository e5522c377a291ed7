//! `transid/NAME`: the position of a consumer in a file of its own, as the original program laid it out.
//! Refuses to lose the last position to a torn write: two slots take turns.
//!
//! Each slot has 32 bytes: the last record that the consumer is done with (`u64`, 0 for none), a generation (`u64`) that
//! grows with every write, twelve zero bytes, and the CRC-32 of those 28. The valid slot of the higher generation
//! counts. Eight bytes with nothing but zeros behind them, up to the second slot, are a position of the original program:
//! a generation of 0 has no other number than 0.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use host::{Disk, File, Kind};

use crate::bytes::{put, u32_at, u64_at};
use crate::checksum::crc32;
use crate::consumer_name::ConsumerName;
use crate::control::Position;
use crate::error::Error;
use crate::rewrite;

/// The directory of the positions.
pub(crate) const TRANSID: &str = "transid";

const SLOT_BYTES: usize = 32;
const CHECKED: usize = SLOT_BYTES - 4;
const FILE_BYTES: usize = 2 * SLOT_BYTES;

/// A position that was written, and is durable after [`Written::sync`].
#[derive(Debug)]
pub(crate) struct Written {
    disk: Disk,
    file: File,
    is_new: bool,
}

impl Written {
    /// The commit point of a position in a file.
    ///
    /// # Errors
    /// None is harmless: a sync that is tried again has nothing to write, and the name is synced by who made it only.
    pub(crate) fn sync(self) -> Result<(), Error> {
        let synced = self
            .file
            .sync()
            .and_then(|()| if self.is_new { self.disk.sync_dir(Path::new(TRANSID)) } else { Ok(()) });
        synced.map_err(|error| Error::from(error).unclean())
    }
}

/// A file in which there is room for a position, and which is open: to write it later takes neither room nor a handle.
#[derive(Debug)]
pub(crate) struct Place {
    file: File,
}

impl Place {
    /// Makes the file, durably, when it is not there; it says then that the consumer has seen nothing.
    ///
    /// # Errors
    /// Harmless ones leave nothing: a sync that fails is none of them.
    pub(crate) fn open(disk: &Disk, name: &ConsumerName) -> Result<Place, Error> {
        let path = path_of(name);
        let file = match disk.edit_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                write(disk, name, Position::default())?.sync()?;
                disk.edit_file(&path)?
            }
            opened => opened?,
        };
        let len = file.len()?;
        // Behind a position of the original program nothing may be, before there is a later one.
        if len != 8 && len < FILE_BYTES as u64 {
            let zeros = [0; FILE_BYTES];
            let rest = usize::try_from(len).ok().and_then(|len| zeros.get(len..)).unwrap_or_default();
            file.write_all_at(rest, len)?;
        }
        Ok(Place { file })
    }

    /// Writes a position into the slot that its generation names, and syncs it: its commit point.
    pub(crate) fn put(&self, position: Position) -> Result<(), Error> {
        self.file.write_all_at(&encode(position), slot_of(position))?;
        Ok(self.file.sync()?)
    }
}

/// Writes a position into the slot that its generation names.
pub(crate) fn write(disk: &Disk, name: &ConsumerName, position: Position) -> Result<Written, Error> {
    let path = path_of(name);
    let (file, is_new) = match disk.edit_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_dir(disk)?;
            (disk.create_file(&path)?, true)
        }
        opened => (opened?, false),
    };
    if let Err(error) = file.write_all_at(&encode(position), slot_of(position)) {
        if is_new {
            // An empty file would look like a damaged one.
            drop(disk.remove_file(&path));
        }
        return Err(error.into());
    }
    Ok(Written { disk: disk.clone(), file, is_new })
}

/// Reads a position. `None`: there is no file, or nothing valid in it.
pub(crate) fn read(disk: &Disk, name: &ConsumerName) -> Result<Option<Position>, Error> {
    match disk.open_file(&path_of(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => read_from(&opened?),
    }
}

/// Reads a position that somebody goes on from, and makes it durable, for it must not go back once it was seen: who
/// wrote it may have been killed before the sync, or have met one that failed. Nobody else may write it meanwhile.
pub(crate) fn read_durably(disk: &Disk, name: &ConsumerName) -> Result<Option<Position>, Error> {
    match disk.edit_file(&path_of(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => {
            let file = opened?;
            rewrite::rewrite(&file, 0)?;
            read_from(&file)
        }
    }
}

/// Reads a position that somebody else may be about to write, and makes it durable unless a sync of his has failed.
pub(crate) fn read_synced(disk: &Disk, name: &ConsumerName) -> Result<Option<Position>, Error> {
    match disk.open_file(&path_of(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => {
            let file = opened?;
            file.sync()?;
            read_from(&file)
        }
    }
}

fn read_from(file: &File) -> Result<Option<Position>, Error> {
    let mut bytes = [0; FILE_BYTES];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64)? {
            0 => break,
            read => filled = filled.saturating_add(read),
        }
    }
    Ok(decode(bytes.get(..filled).unwrap_or_default()))
}

/// Whether one of the two slots was written and is not valid any more.
pub(crate) fn is_half_damaged(disk: &Disk, name: &ConsumerName) -> Result<bool, Error> {
    let file = disk.open_file(&path_of(name))?;
    let mut bytes = vec![0; usize::try_from(file.len()?.min(FILE_BYTES as u64)).unwrap_or(FILE_BYTES)];
    file.read_exact_at(&mut bytes, 0)?;
    let is_damaged = |slot: &[u8]| slot.iter().any(|byte| *byte != 0) && decode_slot(slot).is_none();
    let (first, second) = bytes.split_at_checked(SLOT_BYTES).unwrap_or((&bytes, &[]));
    Ok(of_original(first).is_none() && is_damaged(first) || is_damaged(second))
}

/// Makes the names of files durable that a process may have left in memory when it was killed: whoever writes into a file
/// that is there syncs its bytes only. To be called before the first write.
pub(crate) fn settle(disk: &Disk) -> Result<(), Error> {
    match disk.sync_dir(Path::new(TRANSID)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        synced => Ok(synced?),
    }
}

/// Removes a consumer's file durably: what the log itself knows of it counts then.
pub(crate) fn forget(disk: &Disk, name: &ConsumerName) -> Result<(), Error> {
    disk.remove_file(&path_of(name))?;
    Ok(disk.sync_dir(Path::new(TRANSID))?)
}

/// The consumers that have a file, in order.
pub(crate) fn list(disk: &Disk) -> Result<Vec<ConsumerName>, Error> {
    let entries = match disk.list(Path::new(TRANSID)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let files = entries.iter().filter(|entry| entry.kind == Kind::File);
    Ok(files.filter_map(|entry| ConsumerName::new(entry.name.to_str()?).ok()).collect())
}

/// Makes the directory of the positions durably.
pub(crate) fn make_dir(disk: &Disk) -> Result<(), Error> {
    match disk.create_dir(Path::new(TRANSID)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        // Also when it is there: whoever made it may have been killed before its name was durable.
        _ => disk.sync_dir(Path::new("")).map_err(|error| Error::from(error).unclean()),
    }
}

fn path_of(name: &ConsumerName) -> PathBuf {
    Path::new(TRANSID).join(name.as_str())
}

fn slot_of(position: Position) -> u64 {
    position.generation % 2 * SLOT_BYTES as u64
}

fn encode(position: Position) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    put(&mut bytes, 0, &position.transid.to_le_bytes());
    put(&mut bytes, 8, &position.generation.to_le_bytes());
    let crc = crc32(bytes.get(..CHECKED).unwrap_or_default());
    put(&mut bytes, CHECKED, &crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Position> {
    let slots = bytes.chunks_exact(SLOT_BYTES).filter_map(decode_slot);
    slots.chain(of_original(bytes)).max_by_key(|position| position.generation)
}

/// A position of the original program: eight bytes, and zeros where a write stopped that was to come behind them.
fn of_original(bytes: &[u8]) -> Option<Position> {
    let transid = u64_at(bytes, 0)?;
    let is_alone =
        bytes.len() == 8 || transid != 0 && bytes.iter().take(SLOT_BYTES).skip(8).all(|byte| *byte == 0);
    is_alone.then_some(Position { transid, generation: 0 })
}

fn decode_slot(slot: &[u8]) -> Option<Position> {
    let (checked, crc) = slot.split_at_checked(CHECKED)?;
    let position = Position { transid: u64_at(slot, 0)?, generation: u64_at(slot, 8)? };
    (u32_at(crc, 0)? == crc32(checked)).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_write_leaves_the_position_before() {
        let (older, newer) = (Position { transid: 4, generation: 2 }, Position { transid: 9, generation: 3 });
        let mut bytes = [encode(older), encode(newer)].concat();
        assert_eq!(decode(&bytes), Some(newer));
        for bit in 0..SLOT_BYTES * 8 {
            bytes[SLOT_BYTES + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes), Some(older), "bit {bit}");
            bytes[SLOT_BYTES + bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(decode(&bytes[..40]), Some(older));
        assert_eq!(decode(&bytes[..20]), None);
    }

    #[test]
    fn the_position_of_the_original_program_is_eight_bytes() {
        let (original, later) =
            (Position { transid: 7, generation: 0 }, Position { transid: 9, generation: 1 });
        let mut bytes = 7u64.to_le_bytes().to_vec();
        assert_eq!(decode(&bytes), Some(original));
        // A start was stopped while it wrote the file again, in a whole block.
        bytes.resize(4096, 0);
        assert_eq!(decode(&bytes), Some(original));
        for stopped in 0..SLOT_BYTES {
            let mut torn = bytes.clone();
            torn[SLOT_BYTES..][..stopped].copy_from_slice(&encode(later)[..stopped]);
            assert_eq!(decode(&torn), Some(original), "the next position stops at byte {stopped}");
        }
        bytes[SLOT_BYTES..][..SLOT_BYTES].copy_from_slice(&encode(later));
        assert_eq!(decode(&bytes), Some(later));
        assert_eq!(decode(&[0; 4096]), None);
    }
}
