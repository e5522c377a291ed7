//! Where a record of format 1 lies: directory, file and slot from its id alone, by arithmetic.
//! Refuses to wrap around: an id that no directory can hold has no position.

use std::path::PathBuf;

use crate::error::Error;
use crate::parameters::Parameters;

/// Index entries in a file, files in a directory, and how data files are divided: what positions are computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Index entries in a file, at least 1.
    pub(crate) per_file: u64,
    /// Index entries in a directory, at least 1.
    pub(crate) per_dir: u64,
    /// Bytes of a block, at least 1.
    pub(crate) block: u64,
    /// Bytes that a data file may have, unless one record alone has more.
    pub(crate) file_bytes_max: u64,
}

/// The place of an index entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) dir: u32,
    pub(crate) file: u32,
    /// Which entry of the file, from 0.
    pub(crate) number: u32,
}

/// One file of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Index { dir: u32, file: u32 },
    Data { dir: u32, file: u32 },
}

impl Geometry {
    /// Takes what positions need from the parameters. Of the bounds it checks only those: logs of the original program
    /// break others.
    pub(crate) fn new(parameters: &Parameters) -> Result<Geometry, Error> {
        let at_least_1 = |name, given: u32| match given {
            0 => Err(Error::BadParameters { name, given: 0, wanted: "it has to be at least 1".to_owned() }),
            _ => Ok(u64::from(given)),
        };
        let per_file = at_least_1("index_num_per_file", parameters.index_num_per_file)?;
        let files = at_least_1("index_file_num_per_dir", parameters.index_file_num_per_dir)?;
        let block = at_least_1("data_blk_size", parameters.data_blk_size)?;
        // Two factors of 32 bits each.
        let per_dir = per_file.saturating_mul(files);
        Ok(Geometry { per_file, per_dir, block, file_bytes_max: parameters.max_size_data_file })
    }

    /// The slot of a record. `None` for 0, which is nil, and for ids beyond the last directory that has a number.
    pub(crate) fn slot_of(&self, id: u64) -> Option<Slot> {
        let before = id.checked_sub(1)?;
        let in_dir = before.checked_rem(self.per_dir)?;
        Some(Slot {
            dir: u32::try_from(before.checked_div(self.per_dir)?).ok()?,
            file: u32::try_from(in_dir.checked_div(self.per_file)?).ok()?,
            number: u32::try_from(in_dir.checked_rem(self.per_file)?).ok()?,
        })
    }

    /// The record whose entry is in a slot.
    pub(crate) fn id_of(&self, slot: Slot) -> Option<u64> {
        let in_dir = u64::from(slot.file).checked_mul(self.per_file)?.checked_add(u64::from(slot.number))?;
        self.first_of(slot.dir)?.checked_add(in_dir)
    }

    /// The first record of a directory.
    pub(crate) fn first_of(&self, dir: u32) -> Option<u64> {
        u64::from(dir).checked_mul(self.per_dir)?.checked_add(1)
    }

    /// How many index files a directory has.
    pub(crate) fn files_per_dir(&self) -> u64 {
        self.per_dir.checked_div(self.per_file).unwrap_or(1)
    }
}

impl Slot {
    /// Whether it is the first of its directory.
    pub(crate) fn is_first_of_dir(&self) -> bool {
        self.file == 0 && self.number == 0
    }

    /// The file that it lies in.
    pub(crate) fn key(&self) -> Key {
        Key::Index { dir: self.dir, file: self.file }
    }

    /// Where it lies in its file.
    pub(crate) fn offset(&self, stride: u32) -> u64 {
        u64::from(self.number).saturating_mul(u64::from(stride))
    }
}

impl Key {
    /// The path, relative to the log's directory.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Key::Index { dir, file } => PathBuf::from(format!("{dir}/index.{file}")),
            Key::Data { dir, file } => PathBuf::from(format!("{dir}/data.{file}")),
        }
    }

    /// The directory that it lies in.
    pub(crate) fn dir(&self) -> u32 {
        match self {
            Key::Index { dir, .. } | Key::Data { dir, .. } => *dir,
        }
    }
}

/// The path of a directory, relative to the log's.
pub(crate) fn dir_path(dir: u32) -> PathBuf {
    PathBuf::from(dir.to_string())
}

/// The number that a name spells, in the one way in which it is spelt: no sign, no leading zeros.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let number: u32 = name.parse().ok()?;
    (number.to_string() == name).then_some(number)
}

#[cfg(test)]
#[path = "../../tests/format1/position.rs"]
mod tests;
