//! The index entry of format 1, and the two forms of it that the original program wrote.
//! Refuses to judge whether what an entry says is so: it only takes it apart.

use crate::bytes::{put, u32_at, u64_at};

/// Bytes of an entry of this format.
pub(crate) const ENTRY_BYTES: u32 = 36;

/// Bytes of an entry of the original program, whatever its metadata says.
pub(crate) const RUBY_ENTRY_BYTES: u32 = 40;

/// What an index says of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) transid: u64,
    pub(crate) type_no: u32,
    /// The directory of the data file: always that of the index.
    pub(crate) dir_no: u32,
    pub(crate) file_no: u32,
    /// Which block of the data file the record begins at.
    pub(crate) blk_no: u64,
    /// How long the payload is as it is stored, without its header.
    pub(crate) len: u32,
    pub(crate) checksum: u32,
}

/// How entries lie in an index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// 36 bytes, and zeros up to the stride.
    Plain { stride: u32 },
    /// 40 bytes: the number of the file has 64 bits, that of the block 32, the checksum 64.
    Ruby,
    /// 40 bytes, from before there were types.
    RubyUntyped,
}

impl Layout {
    /// How far apart entries are, in bytes.
    pub(crate) fn stride(self) -> u32 {
        match self {
            Layout::Plain { stride } => stride,
            Layout::Ruby | Layout::RubyUntyped => RUBY_ENTRY_BYTES,
        }
    }

    /// Takes an entry apart. `None` when the bytes are too few, or hold a number that no log can have.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Entry> {
        let transid = u64_at(bytes, 0)?;
        Some(match self {
            Layout::Plain { .. } => Entry {
                transid,
                type_no: u32_at(bytes, 8)?,
                dir_no: u32_at(bytes, 12)?,
                file_no: u32_at(bytes, 16)?,
                blk_no: u64_at(bytes, 20)?,
                len: u32_at(bytes, 28)?,
                checksum: u32_at(bytes, 32)?,
            },
            Layout::Ruby => Entry {
                transid,
                type_no: u32_at(bytes, 8)?,
                dir_no: u32_at(bytes, 12)?,
                file_no: u32::try_from(u64_at(bytes, 16)?).ok()?,
                blk_no: u64::from(u32_at(bytes, 24)?),
                len: u32_at(bytes, 28)?,
                checksum: u32::try_from(u64_at(bytes, 32)?).ok()?,
            },
            Layout::RubyUntyped => Entry {
                transid,
                type_no: 0,
                dir_no: u32_at(bytes, 8)?,
                file_no: u32_at(bytes, 12)?,
                blk_no: u64_at(bytes, 16)?,
                len: u32_at(bytes, 24)?,
                checksum: u32_at(bytes, 28)?,
            },
        })
    }
}

impl Entry {
    /// Appends the entry as this format writes it, with zeros up to the stride.
    pub(crate) fn encode(&self, stride: u32, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.resize(start.saturating_add(stride.max(ENTRY_BYTES) as usize), 0);
        let bytes = buffer.get_mut(start..).unwrap_or_default();
        put(bytes, 0, &self.transid.to_le_bytes());
        put(bytes, 8, &self.type_no.to_le_bytes());
        put(bytes, 12, &self.dir_no.to_le_bytes());
        put(bytes, 16, &self.file_no.to_le_bytes());
        put(bytes, 20, &self.blk_no.to_le_bytes());
        put(bytes, 28, &self.len.to_le_bytes());
        put(bytes, 32, &self.checksum.to_le_bytes());
    }
}

/// Whether a slot was never written: all of it is zeros. A transid of 0 alone may be a flipped bit.
pub(crate) fn is_blank(slot: &[u8]) -> bool {
    slot.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Entry = Entry {
        transid: 0x0102_0304_0506_0708,
        type_no: 9,
        dir_no: 10,
        file_no: 11,
        blk_no: 12,
        len: 13,
        checksum: 14,
    };

    #[test]
    fn an_entry_is_read_back_and_padded_to_its_stride() {
        for stride in [36, 37, 40, 4096] {
            let mut bytes = Vec::new();
            ENTRY.encode(stride, &mut bytes);
            assert_eq!(bytes.len(), stride as usize);
            assert_eq!(Layout::Plain { stride }.decode(&bytes), Some(ENTRY));
            assert!(is_blank(&bytes[36..]));
        }
    }

    #[test]
    fn the_entry_of_the_original_program_has_other_widths() {
        let mut bytes = Vec::new();
        bytes.extend(ENTRY.transid.to_le_bytes());
        bytes.extend(ENTRY.type_no.to_le_bytes());
        bytes.extend(ENTRY.dir_no.to_le_bytes());
        bytes.extend(u64::from(ENTRY.file_no).to_le_bytes());
        bytes.extend(12u32.to_le_bytes());
        bytes.extend(ENTRY.len.to_le_bytes());
        bytes.extend(u64::from(ENTRY.checksum).to_le_bytes());
        assert_eq!(bytes.len(), 40);
        assert_eq!(Layout::Ruby.decode(&bytes), Some(ENTRY));
        assert_eq!(Layout::Ruby.decode(&bytes[..39]), None);
        bytes[23] = 1;
        assert_eq!(Layout::Ruby.decode(&bytes), None, "a file number of more than 32 bits");
    }
}
