//! `transid/NAME`: the position of a consumer in a file of its own, as the original program laid it out.
//! Refuses to lose the last position to a torn write: two slots take turns.
//!
//! Each slot has 32 bytes: the last record that the consumer is done with (`u64`, 0 for none), a generation (`u64`) that
//! grows with every write, twelve zero bytes, and the CRC-32 of those 28. The valid slot of the higher generation
//! counts. A file of eight bytes is a position of the original program.

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
    pub(crate) fn sync(self) -> Result<(), Error> {
        self.file.sync()?;
        if self.is_new {
            self.disk.sync_dir(Path::new(TRANSID))?;
        }
        Ok(())
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
                write(disk, name, Position::default())?.sync().map_err(Error::unclean)?;
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

/// Reads a position that somebody goes on from: a process that was killed may have left it in memory only, and it must
/// not go back once it was seen.
pub(crate) fn read_durably(disk: &Disk, name: &ConsumerName) -> Result<Option<Position>, Error> {
    match disk.open_file(&path_of(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => {
            let file = opened?;
            file.sync()?;
            read_from(&file)
        }
    }
}

/// Writes a position again that a failed sync may have left in memory as if it were written. Nobody else may have the name.
pub(crate) fn rewrite(disk: &Disk, name: &ConsumerName) -> Result<(), Error> {
    rewrite::rewrite(&disk.edit_file(&path_of(name))?, 0)
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
    // A file of eight bytes has no slots.
    let is_damaged = |slot: &[u8]| slot.iter().any(|byte| *byte != 0) && decode_slot(slot).is_none();
    Ok(bytes.len() > 8 && bytes.chunks(SLOT_BYTES).any(is_damaged))
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
        _ => Ok(disk.sync_dir(Path::new(""))?),
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
    if bytes.len() == 8 {
        return Some(Position { transid: u64_at(bytes, 0)?, generation: 0 });
    }
    let slots = bytes.chunks_exact(SLOT_BYTES).filter_map(decode_slot);
    slots.max_by_key(|position| position.generation)
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
        assert_eq!(decode(&7u64.to_le_bytes()), Some(Position { transid: 7, generation: 0 }));
    }
}
