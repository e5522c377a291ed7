//! One record of format 1 from disk: its index entry, its header and its bytes, which must all agree.
//! Refuses to hand out anything that does not: what is wrong is named with its file and offset.

use std::io;

use super::data::{DATA_HEAD_BYTES, DataHead, Place};
use super::entry::{Entry, Layout};
use super::files::Files;
use super::position::{Geometry, Key, Slot};
use super::ruby::string_in;
use crate::checksum::crc32;
use crate::codec::inflate;
use crate::error::{Corruption, Error};
use crate::ids::TransId;

/// What a record may have when it is read, as it is stored and as it was appended: no log takes larger ones. A damaged
/// length is refused beyond it, and so is what would inflate to more.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// What may be stored for a record of the largest size: zlib adds up to a thousandth to what it cannot compress.
const STORED_BYTES_MAX: u32 = (1 << 30) + (1 << 21);

/// Up to here a length is believed without asking how long the file is.
pub(crate) const UNASKED_BYTES_MAX: u32 = 64 << 10;

/// How a payload lies in a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As it was appended.
    Raw,
    /// zlib.
    Zlib,
    /// A string in Marshal.
    Marshal,
    /// zlib as a string in Marshal.
    MarshalZlib,
}

impl Packing {
    /// The payload as it was appended; `None` when it cannot be unpacked.
    pub(crate) fn unpack(self, stored: &[u8]) -> Option<Vec<u8>> {
        match self {
            Packing::Raw => Some(stored.to_vec()),
            Packing::Zlib => inflate(stored, RECORD_BYTES_MAX),
            // The original program takes any object; what is no string is handed out as it is.
            Packing::Marshal => Some(string_in(stored).unwrap_or(stored).to_vec()),
            Packing::MarshalZlib => inflate(string_in(stored)?, RECORD_BYTES_MAX),
        }
    }
}

/// What has to be known to read a record, besides where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) geometry: Geometry,
    pub(crate) layout: Layout,
    pub(crate) packing: Packing,
}

/// A record's entry that agrees with its own place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) id: u64,
    pub(crate) slot: Slot,
    pub(crate) entry: Entry,
    /// Where its header begins in its data file.
    pub(crate) offset: u64,
}

impl Located {
    /// The data file that the record lies in.
    pub(crate) fn key(&self) -> Key {
        Key::Data { dir: self.slot.dir, file: self.entry.file_no }
    }

    pub(crate) fn place(&self) -> Place {
        Place { file: self.entry.file_no, blk: self.entry.blk_no }
    }

    /// Where its payload ends in its data file.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(DATA_HEAD_BYTES as u64).saturating_add(u64::from(self.entry.len))
    }
}

impl Form {
    /// Takes an entry apart that was read for a record, and compares it with the place where it was found.
    pub(crate) fn locate(&self, id: u64, slot: Slot, bytes: &[u8]) -> Result<Located, Error> {
        let wrong = |what: String| -> Error {
            let path = slot.key().path();
            lost(id, Corruption::at(&path, slot.offset(self.layout.stride()), what))
        };
        let entry = self.layout.decode(bytes).ok_or_else(|| wrong("it is no index entry".to_owned()))?;
        if entry.transid != id {
            return Err(wrong(format!("the index entry says transid {}, not {id}", entry.transid)));
        }
        if entry.dir_no != slot.dir {
            return Err(wrong(format!("the index entry says directory {}, not {}", entry.dir_no, slot.dir)));
        }
        if entry.len > STORED_BYTES_MAX {
            return Err(wrong(format!("the index entry says {} bytes, more than a record has", entry.len)));
        }
        let place = Place { file: entry.file_no, blk: entry.blk_no };
        let offset = self.geometry.offset_of(place, entry.len);
        let offset = offset.ok_or_else(|| wrong(format!("the index entry says block {}", entry.blk_no)))?;
        Ok(Located { id, slot, entry, offset })
    }

    /// Reads the entry of a record.
    pub(crate) fn find(&self, files: &Files, id: u64) -> Result<Located, Error> {
        let slot = self.geometry.slot_of(id).ok_or_else(|| beyond_numbers(id))?;
        let mut bytes = [0; super::entry::RUBY_ENTRY_BYTES as usize];
        let entry = bytes.get_mut(..self.layout.stride().min(40) as usize).unwrap_or_default();
        let offset = slot.offset(self.layout.stride());
        read_exact(files, slot.key(), entry, offset)
            .map_err(|cause| lost_or_failed(id, slot.key(), offset, cause))?;
        self.locate(id, slot, entry)
    }

    /// Reads a record's bytes as they are stored, and compares them with what its entry says.
    pub(crate) fn fetch(files: &Files, located: &Located) -> Result<Vec<u8>, Error> {
        let Located { id, entry, offset, .. } = *located;
        let failed = |cause| lost_or_failed(id, located.key(), offset, cause);
        if entry.len > UNASKED_BYTES_MAX
            && files.get(located.key()).and_then(|file| file.len()).map_err(failed)? < located.end()
        {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        let mut bytes = vec![0; DATA_HEAD_BYTES.saturating_add(entry.len as usize)];
        read_exact(files, located.key(), &mut bytes, offset).map_err(failed)?;
        Self::verify(located, &bytes)?;
        bytes.drain(..DATA_HEAD_BYTES);
        Ok(bytes)
    }

    /// Compares header and payload with the entry. Returns the payload as it is stored.
    pub(crate) fn verify<'a>(located: &Located, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        let Located { id, entry, offset, .. } = *located;
        let wrong = |what: String| -> Error { lost(id, Corruption::at(&located.key().path(), offset, what)) };
        let parts = DataHead::read(bytes).zip(bytes.get(DATA_HEAD_BYTES..));
        let (head, stored) = parts.ok_or_else(|| wrong("the record is too short".to_owned()))?;
        if head.transid != id {
            return Err(wrong(format!("the record's header says transid {}, not {id}", head.transid)));
        }
        if head.checksum != entry.checksum {
            let (in_data, in_index) = (head.checksum, entry.checksum);
            return Err(wrong(format!(
                "the record's header says checksum {in_data:08x}, the index says {in_index:08x}"
            )));
        }
        let crc = crc32(stored);
        if crc != entry.checksum {
            return Err(wrong(format!("the record has checksum {crc:08x}, not {:08x}", entry.checksum)));
        }
        Ok(stored)
    }

    /// The payload as it was appended.
    pub(crate) fn unpack(&self, located: &Located, stored: &[u8]) -> Result<Vec<u8>, Error> {
        self.packing.unpack(stored).ok_or_else(|| {
            let what = "the record cannot be decompressed, or becomes larger than a record is";
            lost(located.id, Corruption::at(&located.key().path(), located.offset, what))
        })
    }
}

/// An id that no directory can hold.
pub(crate) fn beyond_numbers(id: u64) -> Error {
    let what = format!("no directory can hold record {id}: directories are numbered with 32 bits");
    Error::BadParameters { name: "index_num_per_file", given: id, wanted: what }
}

/// The damage with the record that it costs.
fn lost(id: u64, corruption: Corruption) -> Error {
    match TransId::new(id) {
        Some(id) => corruption.losing(id, id).into(),
        None => corruption.into(),
    }
}

/// A file that is missing or too short is damage; any other failure is the system's.
fn lost_or_failed(id: u64, key: Key, offset: u64, cause: io::Error) -> Error {
    let what = match cause.kind() {
        io::ErrorKind::NotFound => "the file is missing",
        io::ErrorKind::UnexpectedEof => "the file ends before what the record needs",
        _ => return cause.into(),
    };
    lost(id, Corruption::at(&key.path(), offset, what))
}

fn read_exact(files: &Files, key: Key, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    files.get(key)?.read_exact_at(buffer, offset)
}
